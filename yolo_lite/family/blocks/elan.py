"""Efficient layer aggregation: ELAN and E-ELAN of YOLOv7, ELAN1, RepNCSPELAN4 and SPPELAN of YOLOv9.

A chain of convolutions, of which not only the last output is used: several are joined along the channels. The shortest
way of a gradient stays short, however long the chain. Attribute names of YOLOv9's blocks are those of official
checkpoints.

Shape letters: N batch, C channels, H rows, W columns, G groups.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.blocks.rep import RepCSP
from yolo_lite.model.blocks import Conv, in_a_row
from yolo_lite.model.spec import whole_number


class ELAN(nn.Module):
    """Two 1x1 Convs, a chain of 3x3 Convs on the second; both and every ``every``-th link joined by a 1x1.

    Args:
        in_channels, out_channels: C before and after.
        hidden: output channels of each 1x1; None for out_channels / 4. inner: of each 3x3; None for ``hidden``.
        number: 3x3 Convs in the chain. every: how many of them lie between outputs that are joined.
    Raises:
        SpecError: a number that is not 1 or more. ValueError: ``every`` does not divide ``number``.
    Source: YOLOv7, Wang et al. 2022 (arXiv 2207.02696), after Wang et al. 2022 (arXiv 2211.04800). Its backbone has
        four links of ``hidden`` channels, of which every second is joined; its neck four links of hidden / 2
        channels, all joined.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> block = ELAN(32, 64)
    >>> block.cv3.conv  # 4 x 16 channels are joined
    Conv2d(64, 64, kernel_size=(1, 1), stride=(1, 1), bias=False)
    >>> block(torch.zeros(1, 32, 8, 8)).shape
    torch.Size([1, 64, 8, 8])
    >>> ELAN(32, 16, hidden=16, inner=8, every=1).cv3.conv.in_channels  # a neck's block: 2 x 16 + 4 x 8
    64
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int | None = None,
        inner: int | None = None,
        number: int = 4,
        every: int = 2,
    ) -> None:
        super().__init__()
        hidden = whole_number(out_channels // 4 if hidden is None else hidden, "hidden")
        inner = whole_number(hidden if inner is None else inner, "inner")
        self.every = whole_number(every, "every")
        if whole_number(number, "number") % every:
            raise ValueError(f"every {every} of {number} Convs are joined: every must divide number")
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(in_channels, hidden, 1)
        self.m = nn.ModuleList(self.link(hidden, inner, index) for index in range(number))
        self.cv3 = Conv(2 * hidden + number // every * inner, out_channels, 1)

    def link(self, hidden: int, inner: int, index: int) -> Conv:
        """Convolution ``index`` of the chain; the first reads ``hidden`` channels."""
        return Conv(hidden if index == 0 else inner, inner, 3)

    def merged(self, y: Tensor) -> Tensor:
        """A link's output, (N, inner, H, W), as it is joined."""
        return y

    def forward(self, x: Tensor) -> Tensor:
        joined = [self.cv1(x), self.cv2(x)]  # 2 x (N, hidden, H, W)
        y = joined[-1]
        for index, block in enumerate(self.m, start=1):
            y = block(y)
            if index % self.every == 0:
                joined.append(self.merged(y))  # (N, inner, H, W)
        return self.cv3(torch.cat(joined, 1))  # (N, 2 hidden + number / every * inner, H, W) -> (N, out, H, W)


class EELAN(ELAN):
    """E-ELAN: the chain of an ELAN ``groups`` times as wide, in group convolutions; groups are shuffled, then added.

    Expand, shuffle, merge cardinality, in the paper's words. What is joined has the width that an ELAN's has.

    Args:
        groups: G, of every 3x3 Conv, and the factor of their channels; the others are those of ELAN.
    Raises:
        SpecError: a number that is not 1 or more. ValueError: ``groups`` does not divide ``hidden``, or ``every``
            not ``number``.
    Source: YOLOv7, Wang et al. 2022 (arXiv 2207.02696), section 3.1, figure 2 (d), for its YOLOv7-E6E; the shuffle is
        ShuffleNet's (Zhang et al. 2017, arXiv 1707.01083). With one group it is an ELAN.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> block = EELAN(32, 64, groups=2)
    >>> block.m[1].conv
    Conv2d(32, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=2, bias=False)
    >>> block(torch.zeros(1, 32, 8, 8)).shape
    torch.Size([1, 64, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int | None = None,
        inner: int | None = None,
        number: int = 4,
        every: int = 2,
        groups: int = 2,
    ) -> None:
        self.groups = whole_number(groups, "groups")
        super().__init__(in_channels, out_channels, hidden, inner, number, every)

    def link(self, hidden: int, inner: int, index: int) -> Conv:
        if hidden % self.groups:
            raise ValueError(f"{self.groups} groups do not divide hidden, {hidden} channels")
        return Conv(hidden if index == 0 else self.groups * inner, self.groups * inner, 3, groups=self.groups)

    def merged(self, y: Tensor) -> Tensor:
        shuffled = functional.channel_shuffle(y, self.groups)  # (N, G inner, H, W): of each group in turn
        return torch.stack(shuffled.chunk(self.groups, 1)).sum(0)  # (N, inner, H, W)


class ELAN1(nn.Module):
    """One 1x1 Conv, split in two; two 3x3 Convs in a row on the second part; all four joined by a 1x1.

    Args:
        in_channels, out_channels: C before and after.
        c3: channels of the first Conv, even. c4: of each of the two. A width multiple does not change them.
    Raises:
        SpecError: a number that is not 1 or more. ValueError: c3 is odd.
    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616), its smallest networks.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> ELAN1(12, 16, 12, 8)(torch.zeros(1, 12, 9, 7)).shape
    torch.Size([1, 16, 9, 7])
    """

    def __init__(self, in_channels: int, out_channels: int, c3: int, c4: int) -> None:
        super().__init__()
        if whole_number(c3, "c3") % 2:
            raise ValueError(f"c3 is split in two halves, so it must be even, not {c3}")
        self.cv1 = Conv(in_channels, c3, 1)
        self.cv2 = self.stage(c3 // 2, whole_number(c4, "c4"))
        self.cv3 = self.stage(c4, c4)
        self.cv4 = Conv(c3 + 2 * c4, out_channels, 1)

    def stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """One of the two in a row; the variant of ELAN1 puts something else here."""
        return Conv(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        around, first = self.cv1(x).chunk(2, 1)  # 2 x (N, c3 / 2, H, W)
        second = self.cv2(first)  # (N, c4, H, W)
        third = self.cv3(second)  # (N, c4, H, W)
        return self.cv4(torch.cat((around, first, second, third), 1))  # (N, c3 + 2 c4, H, W) -> (N, out, H, W)


class RepNCSPELAN4(ELAN1):
    """GELAN, the generalised ELAN: an ELAN1 in which a RepCSP stands before each 3x3 Conv.

    Args:
        in_channels, out_channels: C before and after.
        c3: channels of the first Conv, even. c4: of each of the two stages. A width multiple does not change them.
        number: RepBottlenecks in each RepCSP.
    Raises:
        SpecError: a number that is not 1 or more. ValueError: c3 is odd.
    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616), section 4.2.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> RepNCSPELAN4(12, 16, 12, 8, number=2)(torch.zeros(1, 12, 6, 5)).shape
    torch.Size([1, 16, 6, 5])
    """

    def __init__(self, in_channels: int, out_channels: int, c3: int, c4: int, number: int = 1) -> None:
        self.number = whole_number(number, "number")
        super().__init__(in_channels, out_channels, c3, c4)

    def stage(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(RepCSP(in_channels, out_channels, self.number), Conv(out_channels, out_channels, 3))


class SPPELAN(nn.Module):
    """An SPPF whose inner width is free: 1x1 Conv, three max pools in a row, all four maps joined by a 1x1.

    Args:
        in_channels, out_channels: C before and after. c3: channels of each map. kernel: side of the windows, odd.
    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> SPPELAN(12, 16, 8)(torch.zeros(1, 12, 9, 7)).shape
    torch.Size([1, 16, 9, 7])
    """

    def __init__(self, in_channels: int, out_channels: int, c3: int, kernel: int = 5) -> None:
        super().__init__()
        self.cv1 = Conv(in_channels, whole_number(c3, "c3"), 1)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)
        self.cv5 = Conv(4 * c3, out_channels, 1)  # pools are 2, 3 and 4

    def forward(self, x: Tensor) -> Tensor:
        return self.cv5(in_a_row(self.m, self.cv1(x)))  # (N, c3, H, W) -> (N, 4 c3, H, W) -> (N, out, H, W)
