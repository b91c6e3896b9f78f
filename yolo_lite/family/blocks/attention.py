"""Self-attention between all places of a map: Attention, PSABlock, C2PSA of YOLO11.

Attribute names (qkv, pe, proj, attn, ffn) are those of official checkpoints.

Shape letters: N batch, C channels, H rows, W columns, P places (H * W), A heads, D channels of a head, K of a key.
"""

import torch
from torch import Tensor, nn

from yolo_lite.family.blocks.csp import hidden_channels
from yolo_lite.model.blocks import Conv


class Attention(nn.Module):
    """Multi-head attention with keys of half a head's width, and a depthwise 3x3 of the values that tells the place.

    Args:
        channels: C. heads: A, which divide the channels.
    Raises:
        ValueError: heads of another number, or without a key channel.
    Source: Vaswani et al. 2017 (arXiv 1706.03762); in this form in YOLOv10, Wang et al. 2024 (arXiv 2405.14458).

    Shape: (N, C, H, W) -> the same.

    >>> Attention(16, heads=2)(torch.zeros(1, 16, 5, 4)).shape
    torch.Size([1, 16, 5, 4])
    """

    def __init__(self, channels: int, heads: int = 1) -> None:
        super().__init__()
        if channels % heads or channels // heads < 2:
            raise ValueError(f"{channels} channels are not {heads} heads of two channels or more")
        self.heads, self.width, self.key = heads, channels // heads, channels // heads // 2  # A, D, K
        self.qkv = Conv(channels, heads * (2 * self.key + self.width), 1, activation=False)
        self.proj = Conv(channels, channels, 1, activation=False)
        self.pe = Conv(channels, channels, 3, groups=channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        by_head = self.qkv(x).flatten(2).unflatten(1, (self.heads, -1))  # (N, A, 2 K + D, P)
        query, key, value = by_head.split((self.key, self.key, self.width), 2)
        weights = (query.transpose(2, 3) @ key * self.key**-0.5).softmax(3)  # (N, A, P, P), each row sums to 1
        attended = value @ weights.transpose(2, 3)  # (N, A, D, P): for each place the mean of all values
        return self.proj(attended.reshape(x.shape) + self.pe(value.reshape(x.shape)))  # (N, C, H, W)


class PSABlock(nn.Module):
    """Attention, then two 1x1 Convs (twice the width between them), each added to its input.

    Shape: (N, C, H, W) -> the same.
    """

    def __init__(self, channels: int, heads: int = 1) -> None:
        super().__init__()
        self.attn = Attention(channels, heads)
        self.ffn = nn.Sequential(Conv(channels, 2 * channels, 1), Conv(2 * channels, channels, 1, activation=False))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.ffn(x)


class C2PSA(nn.Module):
    """Partial self-attention: one 1x1 Conv, split in two; PSABlocks on the second part; both joined by a 1x1.

    Every place reads every other, at a cost that grows with the square of their number: so only half of the channels,
    and only on the coarsest map.

    Args:
        in_channels, out_channels: C before and after. number: PSABlocks in a row.
        expansion: the width of a part is out_channels * expansion; a head has 64 channels of it, one at least.
    Raises:
        ValueError: the width of a part is not whole heads.
    Source: YOLO11; partial self-attention: YOLOv10, Wang et al. 2024 (arXiv 2405.14458).

    Shape: (N, in_channels, H, W) -> (N, out_channels, H, W).

    >>> block = C2PSA(16, 16)
    >>> sum(p.numel() for p in block.parameters()), block(torch.zeros(1, 16, 5, 4)).shape
    (1208, torch.Size([1, 16, 5, 4]))
    """

    def __init__(self, in_channels: int, out_channels: int, number: int = 1, expansion: float = 0.5) -> None:
        super().__init__()
        hidden = hidden_channels(out_channels, expansion)
        self.cv1 = Conv(in_channels, 2 * hidden, 1)
        self.cv2 = Conv(2 * hidden, out_channels, 1)
        self.m = nn.Sequential(*(PSABlock(hidden, max(hidden // 64, 1)) for _ in range(number)))

    def forward(self, x: Tensor) -> Tensor:
        around, attended = self.cv1(x).chunk(2, 1)  # 2 x (N, hidden, H, W)
        return self.cv2(torch.cat((around, self.m(attended)), 1))  # (N, 2 hidden, H, W) -> (N, out, H, W)
