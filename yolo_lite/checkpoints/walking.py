"""The modules of a network as a pickle records them: which there are, and the tensors in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeGuard

import torch
from torch import Tensor

from yolo_lite.checkpoints.archive import Archive
from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject, PickledTensor
from yolo_lite.model.blocks import BN_EPS
from yolo_lite.model.registry import known_layers

MAX_MODULES = 100_000
MAX_DEPTH = 50  # of modules inside modules
# The modules that a network may consist of, besides the layers of the registry.
_NETWORK: Mapping[str, str] = MappingProxyType(
    {
        "models.yolo": "Model DetectionModel Detect",
        "models.common": "TransformerLayer TransformerBlock",
        "utils.activations": "SiLU Hardswish Mish",
        "torch.nn.modules.conv": "Conv2d ConvTranspose2d",
        "torch.nn.modules.batchnorm": "BatchNorm2d",
        "torch.nn.modules.activation": "SiLU ReLU ReLU6 LeakyReLU Hardswish Mish GELU ELU Sigmoid MultiheadAttention",
        "torch.nn.modules.container": "ModuleList Sequential",
        "torch.nn.modules.pooling": "MaxPool2d AvgPool2d",
        "torch.nn.modules.upsampling": "Upsample",
        "torch.nn.modules.padding": "ZeroPad2d",
        "torch.nn.modules.linear": "Linear Identity NonDynamicallyQuantizableLinear",
        "torch.nn.modules.dropout": "Dropout Dropout2d",
    }
)
IN_A_NETWORK = frozenset((module, name) for module, names in _NETWORK.items() for name in names.split())
LAYER_MODULES = ("models.common", "models.experimental")  # where YOLOv5 keeps the layers that rows name
MODERN = "ultralytics.nn.modules"  # the same of YOLOv8 and later; the layers are in it, or in modules inside it
MODERN_PARTS = frozenset({"Detect", "DFL", "Attention", "PSABlock", "C3k", "RepCSP", "RepBottleneck"})  # besides layers


def is_recorded(value: Any, module: str, *names: str) -> TypeGuard[PickledObject]:
    """Whether it is the record of an object of one of these classes."""
    return isinstance(value, PickledObject) and value.module == module and value.name in names


def is_modern(record: PickledObject) -> bool:
    """Whether its class is a layer or head of YOLOv8's package, which early releases kept in one module."""
    return record.module == MODERN or record.module.startswith(f"{MODERN}.")


def is_known_module(record: PickledObject) -> bool:
    """Whether it is of a class that a network may consist of: a generation's, PyTorch's, or a registered layer."""
    if (record.module, record.name) in IN_A_NETWORK:
        return True
    if is_modern(record):
        return record.name in MODERN_PARTS or record.name in known_layers()
    return record.module in LAYER_MODULES and record.name in known_layers()


def children(record: Any) -> dict[str, Any]:
    """The modules inside a recorded module, by name."""
    return {name: child for name, child in _members(record, "_modules").items() if child is not None}


def child(record: PickledObject, name: str) -> PickledObject:
    """The module of that name inside a recorded one.

    Raises:
        CheckpointError: there is none.
    """
    found = children(record).get(name)
    if not isinstance(found, PickledObject):
        raise CheckpointError(f"its {record.name} has no part named {name!r}")
    return found


def _members(record: Any, kind: str) -> dict[str, Any]:
    """``_modules``, ``_parameters`` or ``_buffers`` of a recorded module."""
    members = record.state.get(kind, {}) if isinstance(record, PickledObject) else None
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        raise CheckpointError(f"it holds a module without {kind}")
    return members


@dataclass
class Seen:
    """What a walk through the modules of a network has met."""

    modules: dict[str, PickledObject] = field(default_factory=dict)  # by name; "" is the network itself
    convolutions: int = 0  # Conv and DWConv, which have a BatchNorm unless it was folded in
    norms: int = 0  # of those
    activations: set[str] = field(default_factory=set)

    @property
    def fused(self) -> bool:
        """Whether every BatchNorm is folded into its convolution."""
        return self.convolutions > 0 and self.norms == 0

    def activation(self) -> str | None:
        """The activation of all blocks, as a spec writes it; None for SiLU, which is the default.

        Raises:
            CheckpointError: there are several.
        """
        if len(self.activations) > 1:
            mixed = ", ".join(sorted(self.activations))
            raise CheckpointError(f"it mixes the activations {mixed}, which a spec cannot say")
        return next((text for text in self.activations if text != "nn.SiLU()"), None)


def tensors_below(
    record: PickledObject, seen: Seen, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, PickledTensor]]:
    """Every parameter and buffer below a module, by its name in a state dict; notes in ``seen`` what else there is.

    A module of a class that is not known is an error: it might compute something else.
    """
    seen.modules[prefix.rstrip(".")] = record
    if depth > MAX_DEPTH or len(seen.modules) > MAX_MODULES:
        raise CheckpointError("its modules are nested without end")
    if not is_known_module(record):
        kind = f"{record.module}.{record.name}"
        raise CheckpointError(
            f"its network holds a {kind} at {prefix.rstrip('.') or 'its top'}, which is not on the list of what a "
            "detector may consist of (register_layer adds layers of your own)"
        )
    if record.name in ("Conv", "DWConv"):
        seen.convolutions += 1
        seen.norms += "bn" in children(record)
    if record.name == "BatchNorm2d" and record.state.get("eps") != BN_EPS:
        raise CheckpointError(f"its BatchNorm has eps {record.state.get('eps')!r}, and this library {BN_EPS}")
    for kind in ("_parameters", "_buffers"):
        for name, value in _members(record, kind).items():
            if isinstance(value, PickledTensor):
                yield prefix + name, value
    for name, inner in children(record).items():
        if not isinstance(inner, PickledObject):
            raise CheckpointError(f"it holds a {type(inner).__name__} in the place of the module {prefix}{name}")
        if name == "act" and inner.name != "Identity":
            seen.activations.add(_activation_text(inner))
        yield from tensors_below(inner, seen, f"{prefix}{name}.", depth + 1)


def _activation_text(record: PickledObject) -> str:
    """As a spec writes it, with the one number that some of them have."""
    number = {"LeakyReLU": "negative_slope", "ELU": "alpha"}.get(record.name)
    return f"nn.{record.name}({record.state.get(number) if number else ''})"


def numbers_of(archive: Archive, value: Any, what: str) -> Tensor:
    """The numbers of a tensor of the head, in float32.

    Raises:
        CheckpointError: the head has no such tensor.
    """
    if not isinstance(value, PickledTensor):
        raise CheckpointError(f"its Detect has no {what}")
    return archive.tensor(value).to(torch.float32)


def whole_strides(strides: Tensor) -> list[int]:
    """Pixels per cell of each level, (L,).

    Raises:
        CheckpointError: others than whole numbers of 1 or more, one for each level.

    >>> whole_strides(torch.tensor([8.0, 16.0]))
    [8, 16]
    """
    if strides.dim() != 1:
        raise CheckpointError("its strides are not one number for each level")
    found: list[float] = strides.tolist()
    if not all(stride >= 1 and stride.is_integer() for stride in found):
        raise CheckpointError(f"its strides must be whole numbers of 1 or more, not {found}")
    return [int(stride) for stride in found]
