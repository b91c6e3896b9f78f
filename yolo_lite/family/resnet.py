"""ResNet, the backbone of RetinaNet and FCOS.

Source: He et al. 2015, Deep Residual Learning for Image Recognition (arXiv 1512.03385); the stride of a bottleneck
stands in its 3x3 convolution, as in torchvision. torchvision's detectors freeze their BatchNorm, as pretrained
statistics are better than those of two images; here they are plain BatchNorm, which trains from scratch.

Shape: N batch, C channels, H rows, W columns.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from yolo_lite.family.building import Layers, scaled
from yolo_lite.model.blocks import Conv
from yolo_lite.model.rows import IMAGE


class ConvReLU(Conv):
    """Convolution without bias, BatchNorm with PyTorch's eps and momentum, ReLU or nothing."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        relu: bool = True,
    ) -> None:
        activation = nn.ReLU() if relu else nn.Identity()
        super().__init__(in_channels, out_channels, kernel, stride, padding, dilation=dilation, activation=activation)
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """relu(body(x) + x); x goes through a 1x1 convolution where its shape changes.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(self, body: nn.Module, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = body
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else ConvReLU(in_channels, out_channels, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.body(x) + self.shortcut(x)
        return total.relu()


def basic_block(in_channels: int, channels: int, stride: int) -> Residual:
    """Two 3x3 convolutions; out: channels."""
    body = nn.Sequential(ConvReLU(in_channels, channels, 3, stride), ConvReLU(channels, channels, 3, relu=False))
    return Residual(body, in_channels, channels, stride)


def bottleneck(in_channels: int, channels: int, stride: int) -> Residual:
    """1x1 to fewer channels, 3x3, 1x1 to four times as many; out: 4 * channels."""
    body = nn.Sequential(
        ConvReLU(in_channels, channels, 1),
        ConvReLU(channels, channels, 3, stride),
        ConvReLU(channels, 4 * channels, 1, relu=False),
    )
    return Residual(body, in_channels, 4 * channels, stride)


class Depth(NamedTuple):
    """What tells one ResNet from another."""

    bottlenecks: bool
    blocks: tuple[int, int, int, int]  # of the four stages


RESNETS: Mapping[str, Depth] = MappingProxyType(
    {
        "resnet18": Depth(False, (2, 2, 2, 2)),
        "resnet34": Depth(False, (3, 4, 6, 3)),
        "resnet50": Depth(True, (3, 4, 6, 3)),
        "resnet101": Depth(True, (3, 4, 23, 3)),
    }
)


class Feature(NamedTuple):
    """A layer whose output others read."""

    layer: int
    channels: int


def add_resnet(layers: Layers, name: str, image_channels: int, width: float = 1.0) -> list[Feature]:
    """Appends a ResNet; its stages of strides 4, 8, 16, 32 are C2 to C5.

    Args:
        name: a key of RESNETS. width: multiplies all channels.
    Returns:
        C3, C4, C5.

    >>> [feature.channels for feature in add_resnet(Layers("an example"), "resnet18", 3, 0.25)]
    [32, 64, 128]
    """
    depth = RESNETS[name]
    channels = scaled(64, width)
    index = layers.add(ConvReLU(image_channels, channels, 7, 2), IMAGE, (channels, 7, 2))
    index = layers.add(nn.MaxPool2d(3, 2, 1), index, (3, 2, 1))
    features = []
    for stage, count in enumerate(depth.blocks):
        inner = scaled(64 * 2**stage, width)
        make, out = (bottleneck, 4 * inner) if depth.bottlenecks else (basic_block, inner)
        kind = "Bottlenecks" if depth.bottlenecks else "BasicBlocks"
        stride = 1 if stage == 0 else 2
        blocks = [make(channels, inner, stride), *(make(out, inner, 1) for _ in range(count - 1))]
        index = layers.add(nn.Sequential(*blocks), index, (out, count, stride), kind)
        channels = out
        features.append(Feature(index, channels))
    return features[1:]
