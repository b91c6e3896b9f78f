"""What was made of a Python function or module to run without Python: TorchScript, torch.compile, torch.export."""

from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

SCRIPTED = (torch.jit.ScriptModule, torch.jit.ScriptFunction, torch._C.ScriptMethod)


def why_not_python(obj: Any) -> str:
    """Why there is no Python to follow when this is called, as the end of a sentence; "" where there is.

    >>> why_not_python(nn.ReLU())
    ''
    """
    if isinstance(obj, SCRIPTED):
        return "is TorchScript: an interpreter of PyTorch runs it, so that there is no Python to follow"
    if _is_compiled(obj):
        return "is compiled by torch.compile: generated code runs in its place, so that there is no Python to follow"
    if type(obj).__name__ == "ExportedProgram":
        return "is exported by torch.export: a graph of operations, without functions and modules"
    return ""


def original_of(obj: Any) -> str:
    """Where the Python is that something was made of, in words."""
    if isinstance(obj, nn.Module) and "_orig_mod" in obj._modules:
        return "the module that torch.compile was given: its ._orig_mod"
    if isinstance(obj, nn.Module) and _is_compiled(obj):
        return "a copy of the module on which .compile() was not called"
    return "what it was made from"


def _is_compiled(obj: Any) -> bool:
    if isinstance(obj, nn.Module):
        return "_orig_mod" in obj._modules or getattr(obj, "_compiled_call_impl", None) is not None
    return isinstance(obj, FunctionType) and hasattr(obj, "_torchdynamo_orig_callable")


def check_model(model: Any, images: Tensor) -> None:
    """Raises ValueError with a sentence for what has no layers that could be recorded."""
    if not isinstance(model, nn.Module):
        reason = why_not_python(model) or f"is {type(model).__name__}, not a torch.nn.Module"
        raise ValueError(f"the model {reason}: record the module itself, such as create_model(...) or load(...) gives")
    if isinstance(model, torch.jit.ScriptModule) or "_orig_mod" in model._modules:
        raise ValueError(f"{type(model).__name__} {why_not_python(model)}: record {original_of(model)}")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name} of the model {why_not_python(module)}: put what it was made from in its place, and record that"
            )
    if isinstance(model, torch.fx.GraphModule) and getattr(model.train, "__func__", None) is not nn.Module.train:
        raise ValueError(
            f"{type(model).__name__} is exported by torch.export: a graph without modules. Record what it was made from"
        )
    if images.is_meta or any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError("on the meta device there are no numbers to record: move the model and the images to a device")


def misfit(model: nn.Module, images: Tensor) -> str:
    """A sentence where images have another type or device than a model's weights; "" where they fit."""
    weight = next((each for each in model.parameters() if each.is_floating_point()), None)
    if weight is None or (weight.dtype, weight.device) == (images.dtype, images.device):
        return ""
    kinds = [f"{str(each.dtype).removeprefix('torch.')} on {each.device}" for each in (images, weight)]
    return f"the images are {kinds[0]}, the model {kinds[1]}: convert one of them with .to(...)"


def uncompiled(model: nn.Module) -> AbstractContextManager[Any]:
    """Inside: the modules of a model that torch.compile was given run as they are written."""
    if any(_is_compiled(module) for module in model.modules()):
        return torch.compiler.set_stance("force_eager")
    return nullcontext()
