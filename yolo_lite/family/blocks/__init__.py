"""The blocks of the generations after YOLOv5. Any YAML may name those of ``KINDS`` in its rows."""

from collections.abc import Mapping
from types import MappingProxyType

from yolo_lite.family.blocks.attention import C2PSA, Attention, PSABlock
from yolo_lite.family.blocks.bifpn import WeightedFusion
from yolo_lite.family.blocks.csp import C2f, C3k, C3k2
from yolo_lite.family.blocks.downsampling import AConv, ADown, LargestInParts, MPConv
from yolo_lite.family.blocks.elan import EELAN, ELAN, ELAN1, SPPELAN, RepNCSPELAN4
from yolo_lite.family.blocks.rep import RepBottleneck, RepConv, RepCSP
from yolo_lite.family.blocks.reversible import CBFuse, CBLinear
from yolo_lite.family.blocks.words import (
    WORD_KINDS,
    BNContrastiveHead,
    C2fAttn,
    ContrastiveHead,
    ImagePoolingAttn,
    MaxSigmoidAttn,
)
from yolo_lite.model.registry import LayerKind

__all__ = [
    "C2PSA",
    "EELAN",
    "ELAN",
    "ELAN1",
    "KINDS",
    "SPPELAN",
    "AConv",
    "ADown",
    "Attention",
    "BNContrastiveHead",
    "C2f",
    "C2fAttn",
    "C3k",
    "C3k2",
    "CBFuse",
    "CBLinear",
    "ContrastiveHead",
    "ImagePoolingAttn",
    "LargestInParts",
    "MPConv",
    "MaxSigmoidAttn",
    "PSABlock",
    "RepBottleneck",
    "RepCSP",
    "RepConv",
    "RepNCSPELAN4",
    "WeightedFusion",
]

KINDS: Mapping[str, LayerKind] = MappingProxyType(
    {cls.__name__: LayerKind(cls, repeats=True) for cls in (C2f, C3k, C3k2, RepCSP, C2PSA)}
    | {cls.__name__: LayerKind(cls) for cls in (RepConv, RepBottleneck, ELAN, EELAN, ELAN1, RepNCSPELAN4, SPPELAN)}
    | {cls.__name__: LayerKind(cls) for cls in (ADown, AConv, MPConv)}
    | {"CBLinear": LayerKind(CBLinear, "in"), "CBFuse": LayerKind(CBFuse, "none")}
    | dict(WORD_KINDS)
    | {"WeightedFusion": LayerKind(WeightedFusion, "in")}
)
