"""The layers of Darknet's networks that PyTorch has not, or has with other numbers.

Shape letters: N batch, C channels, F filters, H rows, W columns, K side of a kernel.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.darknet.norm import DarknetBatchNorm, Origin
from yolo_lite.model.blocks import Fusible

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "linear": nn.Identity,
        "leaky": lambda: nn.LeakyReLU(0.1),
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "logistic": nn.Sigmoid,
        "mish": nn.Mish,  # arXiv 1908.08681
        "swish": nn.SiLU,
        "tanh": nn.Tanh,
        "elu": nn.ELU,
        "selu": nn.SELU,
    }
)


class DarknetConv(Fusible):
    """[convolutional]: convolution, BatchNorm or bias, activation."""

    def __init__(
        self,
        in_channels: int,
        filters: int,
        size: int,
        stride: tuple[int, int],
        padding: int,
        groups: int,
        dilation: int,
        norm: Origin | None,
        activation: str,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            *(in_channels, filters, size, stride, padding * dilation),
            groups=groups,
            dilation=dilation,
            bias=norm is None,
        )
        self.fused = False
        self.bn: nn.Module = nn.Identity() if norm is None else DarknetBatchNorm(filters, norm)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.act(self.bn(self.conv(x)))
        return output

    @torch.no_grad()
    def fuse(self) -> None:
        """Folds BatchNorm, as it is in evaluation mode, into the convolution."""
        if not isinstance(self.bn, DarknetBatchNorm):
            return
        scale, shift = self.bn.scale_and_shift()
        self.conv.weight.mul_(scale[:, None, None, None])
        self.conv.bias = nn.Parameter(shift)
        self.bn, self.fused = nn.Identity(), True


class DarknetLocal(nn.Module):
    """[local]: a convolution with other weights, and another bias, at each place of the output. YOLOv1 has one.

    Shape: (N, C, H, W) -> (N, F, H', W').
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        size: int,
        stride: int,
        padding: int,
        grid: tuple[int, int],
        activation: str,
    ) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding
        fan_in = in_channels * size * size
        self.weight = nn.Parameter(torch.empty(grid[0] * grid[1], filters, fan_in).uniform_(-1, 1) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(filters, *grid))
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        patches = functional.unfold(x, self.size, padding=self.padding, stride=self.stride)  # (N, C K K, H' W')
        outputs = torch.einsum("pfk,nkp->nfp", self.weight, patches)  # (N, F, H' W')
        output: Tensor = self.act(outputs.unflatten(2, self.bias.shape[1:]) + self.bias)
        return output


class DarknetConnected(Fusible):
    """[connected]: a fully connected layer, which reads channel after channel. Shape: (N, C, H, W) -> (N, F, 1, 1)."""

    def __init__(self, inputs: int, outputs: int, norm: Origin | None, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=norm is None)
        self.fused = False
        self.bn: nn.Module = nn.Identity() if norm is None else DarknetBatchNorm(outputs, norm)
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.act(self.bn(self.linear(x.flatten(1))[:, :, None, None]))
        return output

    @torch.no_grad()
    def fuse(self) -> None:
        """Folds BatchNorm, as it is in evaluation mode, into the layer."""
        if not isinstance(self.bn, DarknetBatchNorm):
            return
        scale, shift = self.bn.scale_and_shift()
        self.linear.weight.mul_(scale[:, None])
        self.linear.bias = nn.Parameter(shift)
        self.bn, self.fused = nn.Identity(), True


class DarknetMaxPool(nn.Module):
    """[maxpool]: pads ``padding`` in all, half of it (rounded down) left and above, with minus infinity.

    So a size of 2 at stride 1 keeps the size of the image and pads only right and below.

    >>> DarknetMaxPool(2, (1, 1), 1)(torch.tensor([[[[1.0, 3.0], [4.0, 2.0]]]]))
    tensor([[[[4., 3.],
              [4., 2.]]]])
    """

    def __init__(self, size: int, stride: tuple[int, int], padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.before, self.after = size, stride, padding // 2, padding - padding // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.before == self.after <= self.size // 2:
            return functional.max_pool2d(x, self.size, self.stride, self.before)
        padded = functional.pad(x, (self.before, self.after) * 2, value=float("-inf"))
        return functional.max_pool2d(padded, self.size, self.stride)


class DarknetRoute(nn.Module):
    """[route]: the channels of several layers one after another; of each only one of ``groups`` equal parts."""

    def __init__(self, groups: int = 1, group: int = 0) -> None:
        super().__init__()
        self.groups, self.group = groups, group

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        parts = [feature.chunk(self.groups, 1)[self.group] for feature in features]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class DarknetShortcut(nn.Module):
    """[shortcut]: the sum of the layer before and others, then an activation."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        total = features[0]
        for feature in features[1:]:
            total = total + feature
        output: Tensor = self.act(total)
        return output


class DarknetUpsample(nn.Module):
    """[upsample]: every number ``stride`` times in each direction, times ``scale``."""

    def __init__(self, stride: int, scale: float) -> None:
        super().__init__()
        self.stride, self.scale = stride, scale

    def forward(self, x: Tensor) -> Tensor:
        larger = functional.interpolate(x, scale_factor=float(self.stride), mode="nearest")
        return larger if self.scale == 1 else larger * self.scale


class DarknetReorg(nn.Module):
    """[reorg]: YOLOv2's pass-through layer, (N, C, H, W) -> (N, C S S, H / S, W / S), in Darknet's order.

    That is not the order of ``nn.PixelUnshuffle``: the memory of an image is read as (C / S^2, H S, W S), taken apart
    by the position in each S x S square, positions first, and the result's memory is read in the new shape.
    ``reverse`` goes the other way in shape, (N, C, H, W) -> (N, C / S^2, H S, W S), position after position; it undoes
    a space-to-depth of positions first, not the layer above.
    """

    def __init__(self, stride: int, reverse: bool = False) -> None:
        super().__init__()
        self.stride, self.reverse = stride, reverse

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, cols = x.shape
        s, few = self.stride, channels // self.stride**2
        if self.reverse:
            split = x.reshape(batch, s, s, few, rows, cols)  # row and column in a square, then channels
            return split.permute(0, 3, 4, 1, 5, 2).reshape(batch, few, rows * s, cols * s)
        squares = x.reshape(batch, few, rows, s, cols, s)
        positions = squares.permute(0, 3, 5, 1, 2, 4)  # (N, S, S, C / S^2, H, W)
        return positions.reshape(batch, channels * s * s, rows // s, cols // s)


class DarknetAvgPool(nn.Module):
    """[avgpool]: the mean of each channel. Shape: (N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class DarknetSoftmax(nn.Module):
    """[softmax]: over all numbers of an image, or of each of ``groups`` equal parts of them."""

    def __init__(self, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups, self.temperature = groups, temperature

    def forward(self, x: Tensor) -> Tensor:
        parts: Tensor = x.flatten(1).unflatten(1, (self.groups, -1)) / self.temperature
        return parts.softmax(-1).reshape(x.shape)


class DarknetCrop(nn.Module):
    """[crop]: the middle of the image; numbers from [0, 1] to [-1, 1] unless ``adjust`` is off.

    Darknet crops elsewhere and mirrors in training; here that is left to augmentation.
    """

    def __init__(self, height: int, width: int, adjust: bool) -> None:
        super().__init__()
        self.height, self.width, self.adjust = height, width, adjust

    def forward(self, x: Tensor) -> Tensor:
        top, left = (x.shape[2] - self.height) // 2, (x.shape[3] - self.width) // 2
        part = x[:, :, top : top + self.height, left : left + self.width]
        return part * 2 - 1 if self.adjust else part


class DarknetMaps(nn.Module):
    """[region] and [yolo]: (N, A (5 + C), H, W) -> the raw map (N, A, H, W, 5 + C)."""

    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.anchors = anchors

    def forward(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(1, (self.anchors, -1))
        return split.permute(0, 1, 3, 4, 2)


class DarknetFlat(nn.Module):
    """[detection]: (N, F, 1, 1) -> YOLOv1's flat output (N, S S (5 B + C))."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)
