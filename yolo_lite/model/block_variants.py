"""Block variants that YOLOv5-style YAML files use: depthwise, cross-stage, ghost, transformer.

Argument order and attribute names as in ``blocks.py``: those of YAML files and checkpoints. Each is written from
its paper. Shape letters: N batch, C channels, H rows, W columns.
"""

import math

import torch
from torch import Tensor, nn

from yolo_lite.model.blocks import C3, SPP, Bottleneck, Conv, batch_norm


class DWConv(Conv):
    """Depthwise Conv: as many groups as the widths have in common, so that channels do not mix.

    Source: MobileNets, Howard et al. 2017 (arXiv 1704.04861).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        groups = math.gcd(in_channels, out_channels)
        super().__init__(in_channels, out_channels, kernel, stride, None, groups, dilation, activation)


class BottleneckCSP(nn.Module):
    """A C3 with a BatchNorm of its own on the joined branches: the block before release 4.0.

    Source: CSPNet, Wang et al. 2019 (arXiv 1911.11929).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).
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
        self.cv2 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.cv4 = Conv(2 * hidden, out_channels, 1)
        self.bn = batch_norm(2 * hidden)
        self.act = nn.SiLU()
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(number)))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.cv3(self.m(self.cv1(x)))  # (N, hidden, H, W)
        joined = torch.cat((deep, self.cv2(x)), 1)  # (N, 2 hidden, H, W)
        return self.cv4(self.act(self.bn(joined)))  # (N, out, H, W)


class C3SPP(C3):
    """A C3 whose deep branch is an SPP."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernels: tuple[int, ...] = (5, 9, 13),
        number: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        self.kernels = tuple(kernels)
        super().__init__(in_channels, out_channels, number, shortcut, groups, expansion)

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        return SPP(hidden, hidden, self.kernels)


class CrossConv(nn.Module):
    """A 1xK convolution, then Kx1: a KxK window for 2 K instead of K * K weights.

    Source: the factorised convolutions of Szegedy et al. 2015 (arXiv 1512.00567).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        expansion: float = 1.0,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1 = Conv(in_channels, hidden, (1, kernel), (1, stride))
        self.cv2 = Conv(hidden, out_channels, (kernel, 1), (stride, 1), groups=groups)
        self.add = shortcut and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))  # (N, hidden, H, W / stride) -> (N, out, H / stride, W / stride)
        return x + y if self.add else y


class C3x(C3):
    """A C3 of CrossConvs instead of Bottlenecks."""

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(CrossConv(hidden, hidden, 3, 1, groups, 1.0, shortcut) for _ in range(number)))


class GhostConv(nn.Module):
    """Half of the maps by an ordinary convolution, the other half by a cheap depthwise 5x5 on the first.

    Source: GhostNet, Han et al. 2019 (arXiv 1911.11907).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.cv1 = Conv(in_channels, half, kernel, stride, None, groups, activation=activation)
        self.cv2 = Conv(half, half, 5, 1, None, half, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.cv1(x)  # (N, out / 2, H / stride, W / stride)
        return torch.cat((primary, self.cv2(primary)), 1)  # (N, out, H / stride, W / stride)


class GhostBottleneck(nn.Module):
    """Two GhostConvs, with a depthwise step between them at stride 2, and a shortcut around them.

    Source: GhostNet, Han et al. 2019 (arXiv 1911.11907), figure 3.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        hidden = out_channels // 2
        strided = stride == 2
        self.conv = nn.Sequential(
            GhostConv(in_channels, hidden),
            DWConv(hidden, hidden, kernel, stride, activation=False) if strided else nn.Identity(),
            GhostConv(hidden, out_channels, activation=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if strided:
            self.shortcut = nn.Sequential(
                DWConv(in_channels, in_channels, kernel, stride, activation=False),
                Conv(in_channels, out_channels, 1, activation=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)  # (N, out, H / stride, W / stride)


class C3Ghost(C3):
    """A C3 of GhostBottlenecks."""

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(GhostBottleneck(hidden, hidden) for _ in range(number)))


class TransformerLayer(nn.Module):
    """Self-attention and a linear feed-forward, both residual, without LayerNorm.

    Source: Vaswani et al. 2017 (arXiv 1706.03762), less its LayerNorm and its activation.

    Shape: (H * W, N, C) -> the same.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.q = nn.Linear(channels, channels, bias=False)
        self.k = nn.Linear(channels, channels, bias=False)
        self.v = nn.Linear(channels, channels, bias=False)
        self.ma = nn.MultiheadAttention(channels, heads)
        self.fc1 = nn.Linear(channels, channels, bias=False)
        self.fc2 = nn.Linear(channels, channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        attended, _ = self.ma(self.q(tokens), self.k(tokens), self.v(tokens), need_weights=False)
        tokens = tokens + attended
        return tokens + self.fc2(self.fc1(tokens))


class TransformerBlock(nn.Module):
    """Every cell of a map as a token, through a learned position term and ``number`` TransformerLayers.

    Source: Vision Transformer, Dosovitskiy et al. 2020 (arXiv 2010.11929).

    Shape: (N, C, H, W) -> the same.
    """

    def __init__(self, channels: int, heads: int, number: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        self.tr = nn.Sequential(*(TransformerLayer(channels, heads) for _ in range(number)))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).permute(2, 0, 1)  # (N, C, H, W) -> (H * W, N, C)
        tokens = self.tr(tokens + self.linear(tokens))
        return tokens.permute(1, 2, 0).reshape(x.shape)  # (N, C, H, W)


class C3TR(C3):
    """A C3 whose deep branch is a TransformerBlock of four heads."""

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        return TransformerBlock(hidden, 4, number)
