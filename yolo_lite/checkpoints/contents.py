"""What a checkpoint holds, whichever format it came in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor


class CheckpointContents(NamedTuple):
    """What any checkpoint holds, whichever format it came in."""

    spec: dict[str, Any]
    names: list[str] | None
    anchors: Any  # (L, A, 2) pixels; None for a network without anchors
    strides: list[int] | None  # None where the file does not say
    tensors: dict[str, Tensor]  # by the names of the network's state dict
    fused: bool  # BatchNorm already folded
    metadata: dict[str, Any]
    facts: Mapping[str, tuple[Any, ...]] = MappingProxyType({})  # module's name -> what else it computes with: facts.py
