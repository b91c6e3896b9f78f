"""Blocks that halve a map: ADown and AConv of YOLOv9, MPConv of YOLOv7; and one that makes it S by S, of YOLO-World.

Shape letters: N batch, C channels, H rows, W columns.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from yolo_lite.model.blocks import Conv


class AConv(nn.Module):
    """The mean of every 2x2 window, then a 3x3 Conv of stride 2.

    The mean is a small blur before three of four places are dropped, so that less depends on where an edge falls.

    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616), its smaller networks.

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2), rounded down; H and W are 2 or more.

    >>> AConv(12, 10)(torch.zeros(1, 12, 9, 6)).shape
    torch.Size([1, 10, 4, 3])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.cv1 = Conv(in_channels, out_channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv1(avg_pool2d(x, 2, stride=1))  # (N, in, H - 1, W - 1) -> (N, out, H / 2, W / 2)


class ADown(nn.Module):
    """The mean of every 2x2 window; then half of the channels by a 3x3 Conv of stride 2, half by a max pool and a 1x1.

    Raises:
        ValueError: odd channels, before or after.
    Source: YOLOv9, Wang et al. 2024 (arXiv 2402.13616).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2), rounded down; H and W are 2 or more.

    >>> ADown(12, 10)(torch.zeros(1, 12, 9, 6)).shape
    torch.Size([1, 10, 4, 3])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        check_halves(in_channels, out_channels)
        self.cv1 = Conv(in_channels // 2, out_channels // 2, 3, 2)
        self.cv2 = Conv(in_channels // 2, out_channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        strided, pooled = avg_pool2d(x, 2, stride=1).chunk(2, 1)  # 2 x (N, in / 2, H - 1, W - 1)
        pooled = max_pool2d(pooled, 3, stride=2, padding=1)  # (N, in / 2, H / 2, W / 2)
        return torch.cat((self.cv1(strided), self.cv2(pooled)), 1)  # (N, out, H / 2, W / 2)


class MPConv(nn.Module):
    """Two ways down, joined: a 2x2 max pool and a 1x1 Conv; a 1x1 Conv and a 3x3 Conv of stride 2.

    Raises:
        ValueError: odd output channels.
    Source: the transition between the stages of YOLOv7, Wang et al. 2022 (arXiv 2207.02696).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2), for even H and W.

    >>> MPConv(12, 10)(torch.zeros(1, 12, 8, 6)).shape
    torch.Size([1, 10, 4, 3])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        check_halves(out_channels)
        half = out_channels // 2
        self.cv1 = Conv(in_channels, half, 1)
        self.cv2 = Conv(in_channels, half, 1)
        self.cv3 = Conv(half, half, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.cv1(max_pool2d(x, 2, ceil_mode=True))  # (N, out / 2, H / 2, W / 2)
        strided = self.cv3(self.cv2(x))  # (N, out / 2, H / 2, W / 2)
        return torch.cat((strided, pooled), 1)  # (N, out, H / 2, W / 2)


class LargestInParts(nn.Module):
    """``nn.AdaptiveMaxPool2d``, in operations that ONNX has for maps of any size. Shape: (N, C, H, W) -> (N, C, S, S).

    Args:
        size: S. A side is cut into S equal parts; a cell on a cut belongs to both.

    >>> x = torch.rand(2, 4, 7, 5)
    >>> torch.equal(LargestInParts(3)(x), nn.AdaptiveMaxPool2d(3)(x))
    True
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        of_columns = self._largest(x)  # (N, C, H, S)
        return self._largest(of_columns.transpose(2, 3)).transpose(2, 3)

    def _largest(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., S), in each part of the last axis."""
        length, cell = x.shape[-1], torch.arange(x.shape[-1], device=x.device)  # (n,)
        part = torch.arange(self.size, device=x.device)[:, None]  # (S, 1)
        inside = (part * length < (cell + 1) * self.size) & (cell * self.size < (part + 1) * length)  # (S, n)
        return x[..., None, :].masked_fill(~inside, -torch.inf).amax(-1)


def check_halves(*channels: int) -> None:
    """Raises a ValueError where channels have no halves."""
    for each in channels:
        if each % 2:
            raise ValueError(f"each half of the channels goes its own way, so they must be even, not {each}")
