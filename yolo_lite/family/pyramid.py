"""The feature pyramid of RetinaNet and FCOS, and what their networks share.

Source: Lin et al. 2016, Feature Pyramid Networks for Object Detection (arXiv 1612.03144); P6 and P7 from RetinaNet
(arXiv 1708.02002).

Shape letters: N batch, A anchors per cell, C classes, H rows, W columns.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.building import Layers
from yolo_lite.family.resnet import Feature
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError, whole_number

STRIDES = (8, 16, 32, 64, 128)  # P3 to P7
MULTIPLE = 32  # the stride of C5: sides of images are multiples of it; P6 and P7 round up
PRIOR = 0.01  # how probable an object is in the beginning: the many negatives then cost little
GROUP = 8  # channels of a group of GroupNorm: of 256, 32 groups
STANDARD_WIDTH = 256  # channels of the published pyramids
LARGEST_WIDTH = 2048


def pyramid_channels(spec: Mapping[str, Any], where: str) -> int:
    """The entry "channels", a multiple of 8."""
    wide = whole_number(spec["channels"], f"{where}: channels, of the pyramid,")
    if wide % GROUP or wide > LARGEST_WIDTH:
        raise SpecError(f"{where}: channels must be a multiple of {GROUP} up to {LARGEST_WIDTH}, not {wide}")
    return wide


class TopDown(nn.Module):
    """The finer map, plus the coarser one enlarged to its size (nearest neighbour)."""

    def forward(self, features: list[Tensor]) -> Tensor:
        fine, coarse = features
        return fine + functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class ReLUConv(nn.Module):
    """ReLU, then a 3x3 convolution of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = pyramid_conv(in_channels, out_channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.relu())  # type: ignore[no-any-return]


def pyramid_conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias, as pyramids have them: neither norm nor activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def add_pyramid(layers: Layers, features: Sequence[Feature], channels: int, extra_from_c5: bool = False) -> list[int]:
    """Appends a feature pyramid on C3, C4, C5.

    Args:
        extra_from_c5: P6 reads C5, as in the paper, instead of P5.
    Returns:
        indices of P3 to P7.
    """
    laterals = [layers.add(pyramid_conv(f.channels, channels, 1), f.layer, (channels, 1)) for f in features]
    merged = [laterals[-1]]  # from coarse to fine
    for lateral in laterals[-2::-1]:
        merged.append(layers.add(TopDown(), (lateral, merged[-1])))
    outputs = [layers.add(pyramid_conv(channels, channels, 3), index, (channels, 3)) for index in merged[::-1]]
    source = features[-1] if extra_from_c5 else Feature(outputs[-1], channels)
    outputs.append(layers.add(pyramid_conv(source.channels, channels, 3, 2), source.layer, (channels, 3, 2)))
    outputs.append(layers.add(ReLUConv(channels, channels), outputs[-1], (channels, 3, 2)))
    return outputs


def head_conv(in_channels: int, out_channels: int, bias: float | None = 0.0) -> nn.Conv2d:
    """A 3x3 convolution of a head. Its weights start with a deviation of .01.

    Those of narrower heads with a larger one, as their sums have fewer terms.
    """
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias is not None)
    nn.init.normal_(conv.weight, std=0.01 * math.sqrt(STANDARD_WIDTH / in_channels))
    if conv.bias is not None and bias is not None:
        nn.init.constant_(conv.bias, bias)
    return conv


def tower(channels: int, norm: bool, bias: bool = True) -> nn.Sequential:
    """Four times 3x3 convolution, GroupNorm where asked for (Wu and He 2018, arXiv 1803.08494), and ReLU.

    bias: of the convolutions; FCOS keeps it before GroupNorm, which has a bias itself.
    """
    modules: list[nn.Module] = []
    for _ in range(4):
        modules.append(head_conv(channels, channels, 0.0 if bias else None))
        if norm:
            modules.append(nn.GroupNorm(channels // GROUP, channels))
        modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def prior_bias(prior: float = PRIOR) -> float:
    """The logit of a probability."""
    return -math.log((1 - prior) / prior)


def anchors_apart(raw: Tensor, anchors: int) -> Tensor:
    """(N, A * K, H, W) -> (N, A, H, W, K)."""
    split: Tensor = raw.unflatten(1, (anchors, -1))
    return split.movedim(2, -1)


class PyramidDetector(LayeredDetector):
    """A detector on P3 to P7. Images need only be multiples of 32: the coarser grids round up."""

    reads_hyp = False

    @property
    def size_multiple(self) -> int:
        """Pixels; height and width of the images must be multiples of it."""
        return MULTIPLE
