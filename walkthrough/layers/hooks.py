"""A pass through somebody's model: each call of a module is reported, and the model is as it was afterwards."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from walkthrough.layers.foreign import uncompiled


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Inside: evaluation mode, no gradients. Afterwards the modes, buffers and random numbers are as before."""
    modes = [(module, module.training) for module in model.modules()]
    names = [(module, dict(module._buffers)) for module in model.modules()]  # a module may put another in its place
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), uncompiled(model):
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training
        for module, held in names:
            module._buffers.clear()
            module._buffers.update(held)
        for buffer, before in buffers:
            if not torch.equal(buffer, before):
                with torch.no_grad():
                    buffer.copy_(before)


@contextlib.contextmanager
def listening(model: nn.Module, listener: Any) -> Iterator[None]:
    """Until the end, at each call of a module: listener.enter(module, inputs), listener.leave(module, output, failed).

    failed: it raised an exception, which the module around it may catch.
    """
    handles, under_way = [], []

    def enter(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        under_way.append(module)
        listener.enter(module, (args, kwargs))

    def leave(module: nn.Module, args: tuple, made: Any) -> None:
        if not under_way or under_way[-1] is not module:
            return  # another hook raised before enter was called
        under_way.pop()
        listener.leave(module, made, failed=made is None and sys.exc_info()[0] is not None)

    try:
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
