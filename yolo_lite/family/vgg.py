"""VGG16 as SSD uses it: its fully connected layers made convolutions, and small layers after them.

Sources: Simonyan and Zisserman 2014 (arXiv 1409.1556); SSD, Liu et al. 2015 (arXiv 1512.02325), section 3.

Shape letters: N batch, C channels, H rows, W columns.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.building import Layers, scaled
from yolo_lite.family.resnet import ConvReLU, Feature
from yolo_lite.model.rows import IMAGE

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # channels of the convolutions before each pool
# of each layer after fc7: channels of its 1x1 and of its 3x3 convolution, stride and padding of the latter
EXTRAS = ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0))


class ConvBiasReLU(nn.Module):
    """Convolution with bias and ReLU: VGG has no normalisation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2) if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x))


class L2Norm(nn.Module):
    """Each cell's features divided by their length, times a learned scale per channel that starts at 20.

    ParseNet (Liu et al. 2015, arXiv 1506.04579): conv4_3 has much larger features than the layers after it.

    >>> L2Norm(2)(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).flatten()
    tensor([12., 16.], grad_fn=<...>)
    """

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=1) * self.weight[:, None, None]


def add_vgg(layers: Layers, image_channels: int, width: float, norm: bool, levels: int) -> list[Feature]:
    """Appends VGG16 with SSD's changes and as many extra layers as the levels need.

    Args:
        width: multiplies all channels. norm: BatchNorm after every convolution. levels: 2 to 6.
    Returns:
        the features that the head reads, from fine to coarse: conv4_3 (normalised), fc7, extra layers.
    """
    block = ConvReLU if norm else ConvBiasReLU
    index, channels = IMAGE, image_channels

    def conv(out: int, kernel: int, stride: int = 1, padding: int | None = None, dilation: int = 1) -> None:
        nonlocal index, channels
        wide = scaled(out, width)
        module = block(channels, wide, kernel, stride, padding, dilation)
        index, channels = layers.add(module, index, (wide, kernel, stride)), wide

    def pool(kernel: int, stride: int, padding: int = 0, ceil: bool = False) -> None:
        nonlocal index
        index = layers.add(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil), index, (kernel, stride))

    for stage, outs in enumerate(STAGES):
        for out in outs:
            conv(out, 3)
        if stage < 3:
            pool(2, 2, ceil=stage == 2)  # 75 -> 38
    features = [Feature(layers.add(L2Norm(channels), index, (channels,)), channels)]
    pool(2, 2)
    for _ in range(3):
        conv(512, 3)
    pool(3, 1, 1)
    conv(1024, 3, dilation=6)  # fc6
    conv(1024, 1)  # fc7
    features.append(Feature(index, channels))
    for inner, outer, stride, padding in EXTRAS[: levels - 2]:
        conv(inner, 1)
        conv(outer, 3, stride, padding)
        features.append(Feature(index, channels))
    return features


def vgg_grids(side: int, levels: int) -> list[int]:
    """Cells along a side of the image, of each level; 0 or less where the image is too small.

    >>> vgg_grids(300, 6)
    [38, 19, 10, 5, 3, 1]
    """
    finest = -(-(side // 4) // 2)  # two pools that round down, one that rounds up
    grids = [finest, finest // 2]
    for _, _, stride, padding in EXTRAS[: levels - 2]:
        grids.append((grids[-1] + 2 * padding - 3) // stride + 1)
    return grids
