"""Detect, the head that makes raw maps, and decode, which turns them into boxes.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of a level's grid.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

# What the head should say before it has learnt anything: about 8 objects in an image of 640 pixels,
# each class with a probability of 0.6 / C. Retinanet's prior (arXiv 1708.02002, section 3.3), with these numbers.
PRIOR_OBJECTS = 8
PRIOR_IMAGE_SIZE = 640
PRIOR_CLASS_SHARE = 0.6


class Detect(nn.Module):
    """One 1x1 convolution per level: for each cell and anchor, four numbers for the box, one objectness, C classes.

    Args:
        num_classes: C. anchors: (L, A, 2) width and height in pixels. strides: L, pixels per cell.
        in_channels: L, the channels of the feature maps.

    Shape: a list of L feature maps (N, channels, H, W) -> a list of L raw maps (N, A, H, W, 5 + C), the same in
    training and in evaluation mode; ``decode`` makes boxes of them.

    >>> head = Detect(2, torch.ones(1, 3, 2), strides=[8], in_channels=[16])
    >>> head([torch.zeros(1, 16, 10, 12)])[0].shape
    torch.Size([1, 3, 10, 12, 7])
    """

    anchors: Tensor

    def __init__(self, num_classes: int, anchors: Tensor, strides: Sequence[int], in_channels: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("anchors", anchors)
        outputs = anchors.shape[1] * (5 + num_classes)  # A * (5 + C)
        self.m = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for channels in in_channels)
        self._add_prior(strides)

    def _add_prior(self, strides: Sequence[int]) -> None:
        """Add log-odds of the prior to the random start of the biases, so that early losses stay small."""
        with torch.no_grad():
            for conv, stride in zip(self.m, strides, strict=True):
                bias = conv.bias.view(-1, 5 + self.num_classes)  # (A, 5 + C)
                bias[:, 4] += math.log(PRIOR_OBJECTS / (PRIOR_IMAGE_SIZE / stride) ** 2)
                bias[:, 5:] += math.log(PRIOR_CLASS_SHARE / (self.num_classes - 0.99999))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps = []
        for conv, feature in zip(self.m, features, strict=True):
            out = conv(feature)  # (N, channels, H, W) -> (N, A * (5 + C), H, W)
            out = out.unflatten(1, (-1, 5 + self.num_classes))  # (N, A, 5 + C, H, W)
            maps.append(out.permute(0, 1, 3, 4, 2).contiguous())  # (N, A, H, W, 5 + C)
        return maps


def decode(maps: Sequence[Tensor], anchors: Tensor, strides: Sequence[int] | Tensor) -> Tensor:
    """Raw maps -> boxes in pixels and scores.

    With t a raw output and s = sigmoid(t): centre = (2 s - 0.5 + cell) * stride, so a box may leave its cell by half
    a cell; size = (2 s)^2 * anchor, so at most four times the anchor; objectness and classes = s. The form is
    Scaled-YOLOv4's (arXiv 2011.08036).

    Args:
        maps: L raw maps (N, A, H, W, 5 + C). anchors: (L, A, 2) pixels. strides: (L,) pixels per cell.
    Returns:
        (N, sum of A * H * W, 5 + C), at least float32: x, y (centre), w, h in pixels, objectness, class scores; level
        by level, within a level anchor by anchor, row by row.
    Raises:
        ValueError: maps, anchors and strides of different numbers of levels or anchors.

    >>> boxes = decode([torch.full((1, 1, 2, 2, 6), 0.5)], torch.tensor([[[10.0, 30.0]]]), [16])
    >>> boxes[0, 3]  # the cell at row 1, column 1: (0.744919 + 1) * 16, 1.549822 * (10, 30)
    tensor([27.9187, 27.9187, 15.4982, 46.4947,  0.6225,  0.6225])
    """
    if not len(maps) == len(anchors) == len(strides):
        raise ValueError(f"{len(maps)} maps, {len(anchors)} levels of anchors, {len(strides)} strides: must agree")
    levels = [decode_level(*level) for level in zip(maps, anchors, strides, strict=True)]
    return torch.cat(levels, 1)


def decode_level(raw: Tensor, anchors: Tensor, stride: float | Tensor) -> Tensor:
    """One level of ``decode``: raw (N, A, H, W, 5 + C), anchors (A, 2) -> (N, A * H * W, 5 + C)."""
    if raw.dim() != 5 or raw.shape[1] != len(anchors) or raw.shape[-1] < 5:
        raise ValueError(f"a raw map is (N, {len(anchors)} anchors, H, W, 5 + C), not {tuple(raw.shape)}")
    _, _, rows, cols, _ = raw.shape
    # half precision resolves only half a pixel at x = 600
    share = raw.to(torch.promote_types(raw.dtype, torch.float32)).sigmoid()
    anchors = anchors.to(share)
    y, x = torch.meshgrid(
        torch.arange(rows, device=raw.device), torch.arange(cols, device=raw.device), indexing="ij"
    )  # each (H, W)
    cells = torch.stack((x, y), -1)  # (H, W, 2)
    centre = (2 * share[..., :2] - 0.5 + cells) * stride  # (N, A, H, W, 2)
    size = (2 * share[..., 2:4]) ** 2 * anchors[:, None, None]  # (N, A, H, W, 2)
    return torch.cat((centre, size, share[..., 4:]), -1).flatten(1, 3)  # (N, A * H * W, 5 + C)
