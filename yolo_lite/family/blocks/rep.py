"""Blocks that have several branches in training and one convolution after it: RepConv, RepBottleneck, RepCSP.

A sum of convolutions of one map is a convolution, whose kernel is the sum of their kernels. So branches help training
and cost nothing afterwards: re-parameterisation. Attribute names are those of official checkpoints.

Shape letters: N batch, C channels, H rows, W columns, G groups, K side of the kernel.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights

from yolo_lite.family.blocks.csp import hidden_channels
from yolo_lite.model.blocks import C3, Bottleneck, Conv, Fusible, activation_module, batch_norm, same_padding


class RepConv(Fusible):
    """KxK and 1x1 convolution, each with BatchNorm, added up, then SiLU; ``fuse`` makes them one convolution.

    Args:
        in_channels, out_channels: C before and after.
        kernel, stride, padding, groups, dilation: of the KxK convolution, whose window is centred on that of the
            1x1: K is odd, and the padding None or the one that keeps the size.
        activation: True for SiLU, False for none, or a module.
        identity: whether BatchNorm of the input itself is a third branch. YOLOv7 and YOLOv9 leave it out where the
            block's output is added to or joined with its input (YOLOv7's "planned" re-parameterisation).
    Attributes:
        conv1: KxK. conv2: 1x1. bn: of the input, or None. conv: None before ``fuse``; after it the one convolution,
            and conv1, conv2, bn are None.
    Raises:
        ValueError: another padding; an even kernel; an identity branch where size or channels change.
    Source: RepVGG, Ding et al. 2021 (arXiv 2101.03697); without identity: YOLOv7, Wang et al. 2022 (arXiv 2207.02696).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    >>> block, x = RepConv(8, 8, identity=True).eval(), torch.rand(1, 8, 5, 5)
    >>> before = block(x)
    >>> block.fuse()
    >>> block.conv
    Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    >>> torch.allclose(block(x), before, atol=1e-5)
    True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        dilation: int = 1,
        activation: bool | nn.Module = True,
        identity: bool = False,
    ) -> None:
        super().__init__()
        centred = same_padding(kernel, dilation)
        if kernel % 2 == 0 or padding not in (None, centred):
            raise ValueError(
                f"a RepConv has an odd kernel and the padding that keeps the size, not {kernel}, {padding}"
            )
        if identity and (in_channels != out_channels or stride != 1):
            raise ValueError(
                f"the identity branch of a RepConv keeps channels and size, but they go from {in_channels} to "
                f"{out_channels} channels at stride {stride}: pass identity=False"
            )
        self.conv1 = Conv(in_channels, out_channels, kernel, stride, centred, groups, dilation, activation=False)
        self.conv2 = Conv(in_channels, out_channels, 1, stride, 0, groups, activation=False)
        self.bn: nn.Module | None = batch_norm(in_channels) if identity else None
        self.conv: nn.Conv2d | None = None
        self.act = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is not None:
            return self.act(self.conv(x))
        y = self.conv1(x) + self.conv2(x)  # (N, out, H / stride, W / stride)
        return self.act(y if self.bn is None else y + self.bn(x))

    def fuse(self) -> None:
        """The branches become one convolution with a bias. Other norms than BatchNorm cannot be folded: no change."""
        norms = [self.conv1.bn, self.conv2.bn, self.bn] if self.conv is None else []
        if self.conv is None and all(
            isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm | nn.Identity | None) for norm in norms
        ):
            self.conv = self.merged()
            del self.conv1, self.conv2
            self.bn = None

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """The one convolution, from the BatchNorms' running statistics: KxK + 1x1 in the centre + identity."""
        wide, narrow = self.conv1.conv, self.conv2.conv
        kernel, bias = folded(wide.weight, wide.bias, self.conv1.bn)  # (out, in / G, K, K), (out,)
        point, more = folded(narrow.weight, narrow.bias, self.conv2.bn)  # (out, in / G, 1, 1), (out,)
        bias = bias + more
        if self.bn is not None:
            same, more = folded(identity_kernel(narrow), None, self.bn)
            point, bias = point + same, bias + more
        kernel = kernel + pad(point, [wide.kernel_size[0] // 2] * 4)  # zeros around the 1x1
        one = copy.deepcopy(wide)
        one.weight, one.bias = nn.Parameter(kernel), nn.Parameter(bias)
        return one


def folded(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution with the BatchNorm after it: kernel * s, (bias - mean) * s + the norm's bias.

    s is weight / sqrt(variance + eps) of the norm. After an Identity, nothing changes.

    Shape: (out, in / G, K, K), (out,) -> the same.
    """
    if not isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm):
        return weight, weight.new_zeros(len(weight)) if bias is None else bias
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    return fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, norm.weight, norm.bias)


def identity_kernel(like: nn.Conv2d) -> Tensor:
    """The 1x1 kernel that gives back its input: (out, in / G, 1, 1), with one 1 in each row.

    >>> identity_kernel(nn.Conv2d(4, 4, 1, groups=2)).flatten(1).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """
    channels = like.in_channels // like.groups
    eye = torch.eye(channels, device=like.weight.device, dtype=like.weight.dtype)
    return eye.repeat(like.groups, 1)[:, :, None, None]


class RepBottleneck(Bottleneck):
    """A Bottleneck of two 3x3 windows, the first of them a RepConv.

    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> RepBottleneck(8, 8, expansion=1.0)(torch.zeros(1, 8, 6, 7)).shape
    torch.Size([1, 8, 6, 7])
    """

    def __init__(
        self, in_channels: int, out_channels: int, shortcut: bool = True, groups: int = 1, expansion: float = 0.5
    ) -> None:
        super().__init__(in_channels, out_channels, shortcut, groups, expansion, kernels=(3, 3))
        self.cv1 = RepConv(in_channels, hidden_channels(out_channels, expansion), 3)


class RepCSP(C3):
    """A C3 of RepBottlenecks.

    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> RepCSP(12, 8, number=2)(torch.zeros(1, 12, 9, 7)).shape
    torch.Size([1, 8, 9, 7])
    """

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(RepBottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(number)))
