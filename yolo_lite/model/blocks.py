"""The blocks of YOLOv5, by its names: Conv, Bottleneck, C3, SPP, SPPF, Focus, Concat.

The order of the arguments is the one that YOLOv5-style YAML files rely on, and the names of the attributes
(conv, bn, cv1, cv2, cv3, m) are those in official checkpoints. Block variants: ``block_variants.py``.

Shape letters: N batch, C channels, H rows, W columns.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolo_lite.model.packed import PackedConvolution

BN_EPS = 1e-3  # PyTorch's defaults are 1e-5 and 0.1; these come from the reference
BN_MOMENTUM = 0.03
Padding = int | tuple[int, int] | None


def same_padding(kernel: int | tuple[int, int], dilation: int = 1) -> int | tuple[int, int]:
    """The padding that keeps the size at stride 1, for odd kernels. YOLOv5: ``autopad``.

    >>> same_padding(3), same_padding(3, dilation=2), same_padding((1, 5))
    (1, 2, (0, 2))
    """
    of_sides = [(dilation * (side - 1) + 1) // 2 for side in (kernel if isinstance(kernel, tuple) else (kernel,))]
    return (of_sides[0], of_sides[1]) if isinstance(kernel, tuple) else of_sides[0]


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm (Ioffe and Szegedy 2015, arXiv 1502.03167) with the reference's eps and momentum."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class Fusible(nn.Module):
    """A block that has a simpler form in evaluation mode, which computes the same: see ``LayeredDetector.fuse``."""

    def fuse(self) -> None:
        """Becomes its simpler form, in place. Blocks inside it may be left to their own ``fuse``."""
        raise NotImplementedError


class Conv(Fusible):
    """Convolution without bias, BatchNorm, SiLU: every other block is built from it.

    Args:
        in_channels, out_channels: C before and after.
        kernel, stride, padding, groups, dilation: as in ``nn.Conv2d``; padding None keeps H / stride, W / stride.
        activation: True for SiLU (Elfwing et al. 2017, arXiv 1702.03118), False for none, or a module.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    >>> Conv(3, 16, kernel=3, stride=2)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 16, 32, 32])
    """

    packed: PackedConvolution | None = None  # after ``fuse``: convolution and activation in one, where that is possible

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        padding: Padding = None,
        groups: int = 1,
        dilation: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        padding = same_padding(kernel, dilation) if padding is None else padding
        # BatchNorm subtracts the mean, so a bias would have no effect
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, groups=groups, dilation=dilation, bias=False
        )
        self.bn: nn.Module = batch_norm(out_channels)
        self.act = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is not None and self.packed.is_for(self.conv, self.act, x):
            return self.packed(self.conv, self.act, x)
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Folds the BatchNorm into the convolution. Other norms depend on the image, and stay."""
        if isinstance(self.bn, nn.BatchNorm2d | nn.SyncBatchNorm):
            self.conv = fuse_conv_bn_eval(self.conv, self.bn)
            self.bn, self.packed = nn.Identity(), PackedConvolution()


def activation_module(activation: bool | nn.Module) -> nn.Module:
    """True -> SiLU, False -> nothing, a module -> itself."""
    if isinstance(activation, nn.Module):
        return activation
    return nn.SiLU() if activation else nn.Identity()


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3 back, and the input added where ``shortcut`` is set and the channels agree.

    ``kernels`` are the sides of the two windows: YOLOv8 and later have (3, 3).

    Source: He et al. 2015 (arXiv 1512.03385); in Darknet-53's two-convolution form, Redmon and Farhadi 2018
    (arXiv 1804.02767).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
        kernels: tuple[int, int] = (1, 3),
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1: nn.Module = Conv(in_channels, hidden, kernels[0])
        self.cv2 = Conv(hidden, out_channels, kernels[1], groups=groups)
        self.add = shortcut and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))  # (N, in, H, W) -> (N, hidden, H, W) -> (N, out, H, W)
        return x + y if self.add else y


class C3(nn.Module):
    """Two branches of half the width, one through ``number`` Bottlenecks, joined by a third convolution.

    Source: a cross-stage partial block, CSPNet, Wang et al. 2019 (arXiv 1911.11929), with three convolutions.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> block = C3(64, 64, number=2)
    >>> sum(p.numel() for p in block.parameters()), block(torch.zeros(1, 64, 8, 8)).shape
    (29184, torch.Size([1, 64, 8, 8]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        number: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(in_channels, hidden, 1)
        self.cv3 = Conv(2 * hidden, out_channels, 1)
        self.m = self.deep_branch(hidden, number, shortcut, groups)

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        """What the first branch goes through; the variants of C3 put something else here."""
        return nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(number)))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.m(self.cv1(x))  # (N, hidden, H, W)
        short = self.cv2(x)  # (N, hidden, H, W)
        return self.cv3(torch.cat((deep, short), 1))  # (N, 2 hidden, H, W) -> (N, out, H, W)


class SPP(nn.Module):
    """Spatial pyramid pooling: the same map max-pooled in windows of several sizes, side by side.

    Source: He et al. 2014 (arXiv 1406.4729), in the stride-1 form of YOLOv3-SPP.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, kernels: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(hidden * (len(kernels) + 1), out_channels, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(kernel, stride=1, padding=kernel // 2) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cv1(x)  # (N, hidden, H, W)
        return self.cv2(torch.cat((x, *(pool(x) for pool in self.m)), 1))  # (N, (K + 1) hidden, H, W) -> (N, out, H, W)


class SPPF(nn.Module):
    """SPP with windows 5, 9, 13, faster: two 5x5 pools in a row see 9x9, three see 13x13.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 5) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(hidden * 4, out_channels, 1)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv2(in_a_row(self.m, self.cv1(x)))  # (N, hidden, H, W) -> (N, 4 hidden, H, W) -> (N, out, H, W)


def in_a_row(pool: nn.Module, x: Tensor, times: int = 3) -> Tensor:
    """The map, pooled once, pooled twice and so on, joined: (N, C, H, W) -> (N, (times + 1) C, H, W)."""
    pooled = [x]
    for _ in range(times):
        pooled.append(pool(pooled[-1]))
    return torch.cat(pooled, 1)


class Focus(nn.Module):
    """Every 2x2 square of pixels becomes one cell with four times the channels, then a Conv.

    With kernel 3 this computes what a 6x6 convolution of stride 2 computes (``focus_to_stem`` rearranges the
    weights); releases before 6.0 begin with it.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: Padding = None,
        groups: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels * 4, out_channels, kernel, stride, padding, groups, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        # the four corners of each square: top left, bottom left, top right, bottom right
        corners = [x[..., row::2, col::2] for col in (0, 1) for row in (0, 1)]  # 4 x (N, C, H / 2, W / 2)
        return self.conv(torch.cat(corners, 1))  # (N, 4 C, H / 2, W / 2) -> (N, out, H / 2, W / 2)


def focus_to_stem(focus: Focus) -> Conv:
    """The 6x6 stride-2 Conv that computes exactly what a Focus with kernel 3 computes.

    Tap (i, j) of the 3x3 kernel reads the squares' corner (row, col), which is pixel (2 i + row, 2 j + col) of the 6x6.
    """
    narrow = focus.conv.conv
    if narrow.kernel_size != (3, 3) or narrow.stride != (1, 1) or narrow.padding != (1, 1) or narrow.groups != 1:
        raise ValueError(f"only a Focus with kernel 3, stride 1, padding 1 is a 6x6 stem, not {narrow}")
    out_channels, in_channels = narrow.out_channels, narrow.in_channels // 4
    stem = Conv(in_channels, out_channels, 6, 2, 2).to(narrow.weight)
    taps = narrow.weight.detach().view(out_channels, 2, 2, in_channels, 3, 3)  # out, col, row, in, i, j
    taps = taps.permute(0, 3, 4, 2, 5, 1)  # out, in, i, row, j, col
    with torch.no_grad():
        stem.conv.weight.copy_(taps.reshape(out_channels, in_channels, 6, 6))
    stem.bn.load_state_dict(focus.conv.bn.state_dict())
    stem.act = focus.conv.act
    return stem.train(focus.training)


class Concat(nn.Module):
    """Several maps of the same size, joined along the channels, unless ``dim`` says otherwise.

    Shape: a list of (N, C_i, H, W) -> (N, sum C_i, H, W).
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.d = dim

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.cat(maps, self.d)
