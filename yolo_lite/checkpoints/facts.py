"""What modules compute with beside their tensors: a file's modules and the network built from its rows must agree.

A file describes its network twice: in rows, and in the modules that it holds. Tensors that fit show most differences,
but not a stride, a shortcut or an activation.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject

DISAGREE = "its rows and its modules disagree"
# class -> attributes that change what it computes: the recorded module's name, and ours where it differs
ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Conv2d": ("stride", "padding", "dilation", "groups", "padding_mode"),
        "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
        "Upsample": ("scale_factor", "mode"),
        "Concat": ("d",),
        "Bottleneck": ("add",),
        "RepBottleneck": ("add",),
        "Attention": ("num_heads:heads", "key_dim:key"),
    }
)


def recorded_facts(modules: Mapping[str, PickledObject], prefix: str) -> dict[str, tuple[Any, ...]]:
    """Of each module of a file that has such attributes: the name of its class, and their values.

    Args:
        modules: by name. prefix: put before each name.
    """
    facts: dict[str, tuple[Any, ...]] = {}
    for name, record in modules.items():
        if name.endswith("act"):
            facts[prefix + name] = (record.name,)
        elif record.name in ATTRIBUTES:
            attributes = (attribute.split(":")[0] for attribute in ATTRIBUTES[record.name])
            facts[prefix + name] = (record.name, *(record.state.get(attribute) for attribute in attributes))
    return facts


def check_facts(model: nn.Module, facts: Mapping[str, tuple[Any, ...]], file: Path) -> None:
    """Raises CheckpointError for the first module of a network that computes something else than the file's.

    >>> check_facts(nn.Sequential(nn.MaxPool2d(2)), {"0": ("MaxPool2d", 3, 2, 0, 1, False)}, Path("a.pt"))
    Traceback (most recent call last):
        ...
    yolo_lite.checkpoints.unpickle.CheckpointError: a.pt: its rows and its modules disagree: 0, a MaxPool2d, has ...
    """
    for name, module in model.named_modules():
        if name not in facts:
            continue
        kind, *values = facts[name]
        ours = type(module).__name__
        if kind != ours:
            raise CheckpointError(f"{file}: {DISAGREE}: {name} is a {kind} in the modules, a {ours} by the rows")
        for attribute, value in zip(ATTRIBUTES.get(kind, ()), values, strict=False):
            own = getattr(module, attribute.split(":")[-1])
            if value != own:
                what = f"{name}, a {kind}, has another {attribute.split(':')[0]} than {own}, which the rows give it"
                raise CheckpointError(f"{file}: {DISAGREE}: {what}")
