"""Dropout that a resumed run repeats: what it drops is a function of (seed, epoch, batch), as all other chance here."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

DROPOUT_DRAW = 4  # sets these draws apart from those of samples, orders, batch sizes and scenes


@contextmanager
def repeatable_dropout(model: nn.Module, device: torch.device, *draw: int) -> Iterator[None]:
    """Inside, the model's dropout depends on the whole numbers ``draw`` alone; outside, the random state is as before.

    >>> model, images = nn.Dropout(), torch.ones(8)
    >>> with repeatable_dropout(model, images.device, 0, 1):
    ...     first = model(images)
    >>> with repeatable_dropout(model, images.device, 0, 1):
    ...     torch.equal(model(images), first)
    True
    """
    if not any(isinstance(module, nn.modules.dropout._DropoutNd) for module in model.modules()):
        yield
        return
    seed = int(np.random.SeedSequence(draw, spawn_key=(DROPOUT_DRAW,)).generate_state(1)[0])
    is_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if is_cuda else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, and not undo it
        if is_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
