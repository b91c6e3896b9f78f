"""Cross-stage partial blocks of YOLOv8 and YOLO11: C2f, C3k, C3k2.

One part of the channels passes a chain of small blocks, the other goes around it; both are joined at the end. So
gradients have a short way, and half of the work is saved. Argument order and attribute names (cv1, cv2, m) are those
of YAML files and official checkpoints.

Shape letters: N batch, C channels, H rows, W columns.
"""

import torch
from torch import Tensor, nn

from yolo_lite.model.blocks import C3, Bottleneck, Conv
from yolo_lite.model.rows import MAX_CHANNELS
from yolo_lite.model.spec import SpecError, whole_number


def hidden_channels(out_channels: int, expansion: float) -> int:
    """The channels inside a block, rounded down.

    Raises:
        SpecError: none are left, or more than a map may have.
    """
    what = f"expansion times {out_channels} output channels, rounded down,"
    hidden = whole_number(int(out_channels * expansion), what)
    if hidden > MAX_CHANNELS:
        raise SpecError(f"{what} must be at most {MAX_CHANNELS}, not {hidden}")
    return hidden


class C2f(nn.Module):
    """One 1x1 Conv, split in two; a chain of Bottlenecks on the second part; all that was computed joined by a 1x1.

    A C3 joins only the last output of its chain. Here every output is joined: "f" is for the faster of two variants.

    Args:
        in_channels, out_channels: C before and after. number: Bottlenecks in the chain.
        shortcut: whether each adds its input. groups: of their second convolution.
        expansion: the width of a part is out_channels * expansion.
    Raises:
        SpecError: no channel is left inside.
    Source: YOLOv8's block. It joins CSPNet (Wang et al. 2019, arXiv 1911.11929) with the idea of ELAN
        (Wang et al. 2022, arXiv 2211.04800) that every output of the chain is used.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> block = C2f(32, 32, number=1, shortcut=True)
    >>> sum(p.numel() for p in block.parameters()), block(torch.zeros(1, 32, 8, 8)).shape
    (7360, torch.Size([1, 32, 8, 8]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        number: int = 1,
        shortcut: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = hidden_channels(out_channels, expansion)
        self.cv1 = Conv(in_channels, 2 * hidden, 1)
        self.cv2 = Conv((2 + number) * hidden, out_channels, 1)
        self.m = nn.ModuleList(self.inner_block(hidden, shortcut, groups) for _ in range(number))

    def inner_block(self, hidden: int, shortcut: bool, groups: int) -> nn.Module:
        """One link of the chain; the variants of C2f put something else here."""
        return Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0, kernels=(3, 3))

    def parts(self, x: Tensor) -> list[Tensor]:
        """What is joined: the two parts of the first Conv, then every output of the chain, each (N, hidden, H, W)."""
        found = list(self.cv1(x).chunk(2, 1))  # (N, in, H, W) -> 2 x (N, hidden, H, W)
        for block in self.m:
            found.append(block(found[-1]))
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.cv2(torch.cat(self.parts(x), 1))  # (N, (2 + number) hidden, H, W) -> (N, out, H, W)


class C3k(C3):
    """A C3 whose Bottlenecks have two windows of ``kernel`` x ``kernel``, where C3 has 1x1 and 3x3.

    Source: YOLO11, as part of C3k2; C3 itself is a block of CSPNet (Wang et al. 2019, arXiv 1911.11929).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> C3k(12, 16, number=2)(torch.zeros(1, 12, 9, 7)).shape
    torch.Size([1, 16, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        number: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
        kernel: int = 3,
    ) -> None:
        hidden_channels(out_channels, expansion)
        self.kernel = kernel
        super().__init__(in_channels, out_channels, number, shortcut, groups, expansion)

    def deep_branch(self, hidden: int, number: int, shortcut: bool, groups: int) -> nn.Module:
        kernels = (self.kernel, self.kernel)
        return nn.Sequential(
            *(Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0, kernels=kernels) for _ in range(number))
        )


class C3k2(C2f):
    """A C2f with a lighter or a deeper chain: Bottlenecks of half the width, or C3k of two Bottlenecks.

    Args:
        in_channels, out_channels: C before and after. number: links of the chain.
        c3k: whether a link is a C3k, else a Bottleneck that narrows to half of its channels.
        expansion: the width of a part is out_channels * expansion. groups: of the links' second convolutions.
        shortcut: whether Bottlenecks add their input.
    Raises:
        SpecError: no channel is left inside.
    Source: YOLO11's block.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> plain, deep = C3k2(12, 16, expansion=0.25), C3k2(12, 16, c3k=True)
    >>> [sum(p.numel() for p in block.parameters()) for block in (plain, deep)]
    [492, 1408]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        number: int = 1,
        c3k: bool = False,
        expansion: float = 0.5,
        groups: int = 1,
        shortcut: bool = True,
    ) -> None:
        self.c3k = c3k
        super().__init__(in_channels, out_channels, number, shortcut, groups, expansion)

    def inner_block(self, hidden: int, shortcut: bool, groups: int) -> nn.Module:
        if self.c3k:
            return C3k(hidden, hidden, 2, shortcut, groups)
        hidden_channels(hidden, 0.5)
        return Bottleneck(hidden, hidden, shortcut, groups, expansion=0.5, kernels=(3, 3))
