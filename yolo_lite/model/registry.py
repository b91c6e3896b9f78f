"""The layer names that a row of a YAML may use, and how to add one's own."""

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from torch import nn

from yolo_lite.model.block_variants import (
    C3SPP,
    C3TR,
    BottleneckCSP,
    C3Ghost,
    C3x,
    CrossConv,
    DWConv,
    GhostBottleneck,
    GhostConv,
)
from yolo_lite.model.blocks import BN_EPS, BN_MOMENTUM, C3, SPP, SPPF, Bottleneck, Concat, Conv, Focus

Takes = Literal["in_out", "in", "none"]
Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


class LayerKind(NamedTuple):
    """How a row becomes a module."""

    build: Callable[..., nn.Module]
    takes: Takes = "in_out"  # "in_out": build(in_channels, out_channels, *rest), out_channels scaled by the width;
    # "in": build(in_channels, *arguments); "none": build(*arguments)
    repeats: bool = False  # build takes `number` after out_channels, instead of being repeated that many times


def _plain(*classes: type[nn.Module]) -> dict[str, LayerKind]:
    return {cls.__name__: LayerKind(cls, "none") for cls in classes}


BUILT_IN: Mapping[str, LayerKind] = MappingProxyType(
    {cls.__name__: LayerKind(cls) for cls in (Conv, DWConv, Bottleneck, SPP, SPPF, Focus, CrossConv, C3SPP)}
    | {cls.__name__: LayerKind(cls) for cls in (GhostConv, GhostBottleneck, nn.Conv2d, nn.ConvTranspose2d)}
    | {cls.__name__: LayerKind(cls, repeats=True) for cls in (C3, BottleneckCSP, C3TR, C3Ghost, C3x)}
    | {"BatchNorm2d": LayerKind(functools.partial(nn.BatchNorm2d, eps=BN_EPS, momentum=BN_MOMENTUM), "in")}
    | _plain(Concat, nn.Upsample, nn.MaxPool2d, nn.AvgPool2d, nn.ZeroPad2d, nn.Identity, nn.Dropout2d)
)
# The layers of other generations, found when a row names one of them: they are built from those above.
MORE = "yolo_lite.family.blocks:KINDS"
_OWN: dict[str, LayerKind] = {}  # what register_layer added; the built-in names cannot be replaced


def register_layer(name: str, takes: Takes = "in_out", repeats: bool = False) -> Callable[[Builder], Builder]:
    """Give a module class a name that YAML rows may use; use it as a decorator.

    Args:
        name: what the row says. Registering a name of one's own again replaces it, so a notebook cell can be rerun.
        takes: what the constructor is called with: "in_out" ``(in_channels, out_channels, *rest)``, where the row's
            first argument is out_channels before the width multiple; "in" ``(in_channels, *arguments)``; "none"
            ``(*arguments)``.
            A row with several inputs gives a list of in_channels, and ``forward`` a list of tensors.
        repeats: the row's `number` is passed after out_channels; otherwise `number` modules stand in a row.
    Raises:
        ValueError: the name of a built-in layer, or an unknown ``takes``.

    >>> @register_layer("Scale", takes="in")
    ... class Scale(nn.Module):
    ...     def __init__(self, in_channels, start=1.0):
    ...         super().__init__()
    ...         self.weight = nn.Parameter(torch.full((in_channels, 1, 1), start))
    ...     def forward(self, x):
    ...         return x * self.weight
    >>> import torch, yolo_lite.model.yolo
    >>> spec = {"nc": 2, "anchors": 3, "backbone": [[-1, 1, "Conv", [16, 3, 8]], [-1, 1, "Scale", [0.5]]],
    ...         "head": [[[-1], 1, "Detect", ["nc", "anchors"]]]}
    >>> yolo_lite.model.yolo.create_model(spec).layers[1].weight.shape
    torch.Size([16, 1, 1])
    """
    if takes not in ("in_out", "in", "none"):
        raise ValueError(f"takes must be 'in_out', 'in' or 'none', not {takes!r}")
    if short_name(name) in {*BUILT_IN, *_more()} or name == "Detect":
        raise ValueError(f"{name!r} is the name of a built-in layer: choose another")

    def register(build: Builder) -> Builder:
        _OWN[name] = LayerKind(build, takes, repeats)
        return build

    return register


def find_layer(name: str) -> LayerKind | None:
    """The layer of that name, with or without ``nn.`` in front; None where there is none."""
    return _OWN.get(name) or BUILT_IN.get(short_name(name)) or _more().get(name)


def is_own(name: str) -> bool:
    """Whether ``register_layer`` added it."""
    return name in _OWN


def known_layers() -> list[str]:
    """Every name that a row may use, sorted."""
    return sorted({*BUILT_IN, *_more(), *_OWN, "Detect"})


def _more() -> Mapping[str, LayerKind]:
    module, name = MORE.split(":")
    kinds: Mapping[str, LayerKind] = getattr(import_module(module), name)
    return kinds


def short_name(name: str) -> str:
    """
    >>> short_name("nn.Upsample"), short_name("torch.nn.Upsample"), short_name("Conv")
    ('Upsample', 'Upsample', 'Conv')
    """
    return name.removeprefix("torch.").removeprefix("nn.")
