"""Raw numbers of the head <-> boxes, of every generation, written once for heads, losses, explorers and notebooks.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of a level's grid, m matches.

With t a raw number, s = sigmoid(t), k the grid sensitivity (Darknet: ``scale_x_y``)::

    YOLOv2, v3      centre = s + cell                        size = exp(t) * anchor
    YOLOv4          centre = k s - (k - 1) / 2 + cell        size = exp(t) * anchor
    Scaled-v4, v5   centre = 2 s - 0.5 + cell                size = (2 s)^2 * anchor
    SSD, RetinaNet  centre = anchor centre + t * anchor      size = exp(t) * anchor; each t divided by a weight
    YOLOv1          centre = t + cell                        size = t^2 * image; no anchors
    FCOS            sides  = point -+ t * stride             no anchors
    YOLOv8          sides  = point -+ sum(i softmax(t)_i) * stride; R numbers t a side, no anchors

A sigmoid keeps the centre in its cell; a k above 1 lets it reach the border of the cell, and 2 half a cell beyond. exp
reaches any size, (2 s)^2 at most four anchors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnchorCoding:
    """How a generation writes a box with an anchor at a cell: the first three lines of the table above."""

    sensitivity: float = 1.0  # k; Darknet: scale_x_y
    size: Literal["exponential", "square"] = "exponential"  # exp(t) or (2 s)^2, times the anchor

    def __post_init__(self) -> None:
        if self.size not in ("exponential", "square"):
            raise ValueError(f"size must be 'exponential' or 'square', not {self.size!r}")

    def centre(self, s: Tensor) -> Tensor:
        """Sigmoids of raw numbers -> centre from the cell's corner, in cells."""
        return self.sensitivity * s - (self.sensitivity - 1) / 2

    def size_ratio(self, t: Tensor, s: Tensor) -> Tensor:
        """Raw numbers and their sigmoids -> width and height, in anchors."""
        return t.exp() if self.size == "exponential" else (2 * s) ** 2


YOLOV3 = AnchorCoding()  # and YOLOv2
YOLOV5 = AnchorCoding(2.0, "square")  # and Scaled-YOLOv4, arXiv 2011.08036


def decode_matches(matched: Tensor, anchor_wh: Tensor, coding: AnchorCoding = YOLOV5) -> Tensor:
    """Raw predictions of matched cells -> boxes from the cell's corner. YOLOv5: ``pbox``.

    Args:
        matched: (m, 4 or more) raw. anchor_wh: (m, 2) in cells.
    Returns:
        (m, 4) x, y from the cell's corner, w, h; in cells, as ``Assignment.box``.

    >>> decode_matches(torch.zeros(1, 4), torch.tensor([[3.0, 2.0]]))
    tensor([[0.5000, 0.5000, 3.0000, 2.0000]])
    """
    t = matched[:, :4]
    s = t.sigmoid()
    return torch.cat((coding.centre(s[:, :2]), coding.size_ratio(t[:, 2:], s[:, 2:]) * anchor_wh), 1)


def encode_matches(boxes: Tensor, anchor_wh: Tensor, coding: AnchorCoding = YOLOV5) -> Tensor:
    """The raw numbers that ``decode_matches`` turns into these boxes: its inverse.

    Args:
        boxes: (m, 4) x, y from the cell's corner, w, h; in cells. anchor_wh: (m, 2) in cells.
    Returns:
        (m, 4) raw. Infinite where only an infinite number encodes the box (for YOLOv5 a centre at -0.5 or 1.5, a size
        of 0 or of four anchors), nan where no number does: no prediction of that cell and anchor reaches such a box.

    >>> box, anchor = torch.tensor([[0.3, 0.9, 2.0, 5.0]]), torch.tensor([[3.0, 2.0]])
    >>> torch.allclose(decode_matches(encode_matches(box, anchor), anchor), box)
    True
    >>> encode_matches(torch.tensor([[0.5, 0.5, 6.0, 1.0]]), anchor, YOLOV3)  # twice and half: ln 2 and -ln 2
    tensor([[ 0.0000,  0.0000,  0.6931, -0.6931]])
    """
    centre = (boxes[:, :2] + (coding.sensitivity - 1) / 2) / coding.sensitivity
    ratio = boxes[:, 2:4] / anchor_wh
    size = ratio.log() if coding.size == "exponential" else (ratio.sqrt() / 2).logit()
    return torch.cat((centre.logit(), size), 1)


def decode(
    maps: Sequence[Tensor],
    anchors: Tensor | Sequence[Tensor],
    strides: Sequence[float] | Tensor,
    codings: AnchorCoding | Sequence[AnchorCoding] = YOLOV5,
    softmax: bool = False,
) -> Tensor:
    """Raw maps -> boxes in pixels and scores. YOLOv5: ``Detect`` in evaluation mode, ``make_grid``.

    Args:
        maps: L raw maps (N, A, H, W, 5 + C). anchors: (L, A, 2) pixels, or L of (A, 2). strides: (L,) pixels per cell.
        codings: of all levels, or of each. softmax: class scores that add up to 1 (YOLOv2) instead of sigmoids.
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
    each = [codings] * len(maps) if isinstance(codings, AnchorCoding) else codings
    levels = zip(maps, anchors, strides, each, strict=True)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or not torch.is_inference_mode_enabled():
        return torch.cat([decode_level(*level, softmax=softmax) for level in levels], 1)
    # The same without temporaries: at 80 classes a third of the time of a small network on a CPU
    counts = [raw.shape[1:4].numel() for raw in maps]
    dtype = torch.promote_types(maps[0].dtype, torch.float32)
    boxes = maps[0].new_empty(len(maps[0]), sum(counts), maps[0].shape[-1], dtype=dtype)
    for level, part in zip(levels, boxes.split(counts, 1), strict=True):
        decode_level(*level, softmax=softmax, out=part)
    return boxes


def decode_level(
    raw: Tensor,
    anchors: Tensor,
    stride: float | Tensor,
    coding: AnchorCoding = YOLOV5,
    softmax: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """``decode`` on one grid: raw (N, A, H, W, 5 + C), anchors (A, 2) -> (N, A * H * W, 5 + C).

    out: where to write it; then it carries no gradient.
    """
    if raw.dim() != 5 or raw.shape[1] != len(anchors) or raw.shape[-1] < 5:
        raise ValueError(f"a raw map is (N, {len(anchors)} anchors, H, W, 5 + C), not {tuple(raw.shape)}")
    # half precision resolves only half a pixel at x = 600
    dtype = torch.promote_types(raw.dtype, torch.float32)
    s = raw.to(dtype).sigmoid() if out is None else out.unflatten(1, raw.shape[1:4]).copy_(raw).sigmoid_()
    anchor_wh = anchors.to(s)[:, None, None]  # (A, 1, 1, 2)
    centre = (coding.centre(s[..., :2]) + cell_corners(raw)) * stride  # (N, A, H, W, 2)
    size = coding.size_ratio(raw[..., 2:4].to(dtype), s[..., 2:4]) * anchor_wh  # (N, A, H, W, 2)
    if softmax:
        s = torch.cat((s[..., :5], raw[..., 5:].to(dtype).softmax(-1)), -1)
    if out is None:
        return torch.cat((centre, size, s[..., 4:]), -1).flatten(1, 3)  # (N, A * H * W, 5 + C)
    s[..., :2], s[..., 2:4] = centre, size
    return out if not softmax else out.copy_(s.flatten(1, 3))


def cell_corners(raw: Tensor) -> Tensor:
    """(H, W, 2): column and row of each cell of a map (N, A, H, W, ...), where the map is."""
    rows, cols = raw.shape[2:4]
    y, x = torch.meshgrid(
        torch.arange(rows, device=raw.device), torch.arange(cols, device=raw.device), indexing="ij"
    )  # each (H, W)
    return torch.stack((x, y), -1)


# YOLOv1: a grid without anchors


def decode_grid(boxes: Tensor, square_root: bool = True) -> Tensor:
    """YOLOv1's numbers of each cell -> boxes.

    Args:
        boxes: (N, B, S, S, 4): x, y from the cell's corner in cells; w, h as fractions of the image, or with
            square_root their square roots (the sign is lost).
    Returns:
        (N, B, S, S, 4): centre and size as fractions of the image.

    >>> decode_grid(torch.tensor([0.5, 0.5, 0.6, 0.5]).expand(1, 1, 2, 2, 4))[0, 0, 1, 0]
    tensor([0.2500, 0.7500, 0.3600, 0.2500])
    """
    rows, cols = boxes.shape[2:4]
    centre = (boxes[..., :2] + cell_corners(boxes)) / boxes.new_tensor([cols, rows])
    size = boxes[..., 2:4] ** 2 if square_root else boxes[..., 2:4]
    return torch.cat((centre, size), -1)


def encode_grid(boxes: Tensor, grid: tuple[int, int], square_root: bool = True) -> Tensor:
    """The numbers that ``decode_grid`` turns into these boxes, in the cell that holds the centre.

    Args:
        boxes: (m, 4) centre and size as fractions of the image. grid: (rows, cols).
    Returns:
        (m, 4): x, y from the cell's corner in cells; w, h, or their square roots.

    >>> encode_grid(torch.tensor([[0.25, 0.75, 0.36, 0.25]]), (2, 2))
    tensor([[0.5000, 0.5000, 0.6000, 0.5000]])
    """
    cells = boxes[:, :2] * boxes.new_tensor([grid[1], grid[0]])
    inside = cells - torch.minimum(cells.floor(), boxes.new_tensor([grid[1] - 1, grid[0] - 1]))  # 1.0 has no cell
    return torch.cat((inside, boxes[:, 2:4].sqrt() if square_root else boxes[:, 2:4]), 1)


# SSD, RetinaNet: anchors that stand anywhere, as in Faster R-CNN

MAX_LOG_RATIO = math.log(1000 / 16)  # exp of more would make boxes beyond any image


def decode_offsets(raw: Tensor, anchors: Tensor, weights: Sequence[float] = (1, 1, 1, 1)) -> Tensor:
    """Offsets from anchors -> boxes. Faster R-CNN's parametrisation (arXiv 1506.01497, equation 2).

    Args:
        raw: (..., 4) dx, dy, dw, dh, each times its weight. anchors: (..., 4) centre and size, any unit.
        weights: 1, 1, 1, 1 (RetinaNet) or 10, 10, 5, 5 (SSD: the reciprocals of its "variances").
    Returns:
        (..., 4) centre and size in the anchors' unit; dw, dh capped at ln(1000 / 16).

    >>> decode_offsets(torch.tensor([0.5, 0.0, 0.0, math.log(2)]), torch.tensor([8.0, 8, 4, 4]))
    tensor([10.,  8.,  4.,  8.])
    """
    offsets = raw / raw.new_tensor(weights)
    centre = anchors[..., :2] + offsets[..., :2] * anchors[..., 2:]
    return torch.cat((centre, anchors[..., 2:] * offsets[..., 2:].clamp(max=MAX_LOG_RATIO).exp()), -1)


def encode_offsets(boxes: Tensor, anchors: Tensor, weights: Sequence[float] = (1, 1, 1, 1)) -> Tensor:
    """The offsets that ``decode_offsets`` turns into these boxes: its inverse. Both (..., 4) centre and size.

    >>> encode_offsets(torch.tensor([10.0, 8, 4, 8]), torch.tensor([8.0, 8, 4, 4]))
    tensor([0.5000, 0.0000, 0.0000, 0.6931])
    """
    centre = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    return torch.cat((centre, (boxes[..., 2:] / anchors[..., 2:]).log()), -1) * boxes.new_tensor(weights)


# FCOS: points and the distances to the four sides


def decode_distances(distances: Tensor, points: Tensor) -> Tensor:
    """Distances from a point to left, top, right and bottom side -> corners (..., 4), in the same unit.

    YOLOv8: ``dist2bbox``.

    >>> decode_distances(torch.tensor([1.0, 2, 3, 4]), torch.tensor([10.0, 10]))
    tensor([ 9.,  8., 13., 14.])
    """
    return torch.cat((points - distances[..., :2], points + distances[..., 2:]), -1)


def encode_distances(corners: Tensor, points: Tensor) -> Tensor:
    """Corners (..., 4) -> the distances of a point from left, top, right and bottom side; negative where it is outside.

    YOLOv8: ``bbox2dist``.

    >>> encode_distances(torch.tensor([9.0, 8, 13, 14]), torch.tensor([10.0, 10]))
    tensor([1., 2., 3., 4.])
    """
    return torch.cat((points - corners[..., :2], corners[..., 2:] - points), -1)


# YOLOv8: each distance as a distribution over R bins, 0 to R - 1 cells

LAST_BIN_MARGIN = 0.01  # a distance stays that far below the last bin, so that there is a bin above it


def decode_distribution(logits: Tensor) -> Tensor:
    """Logits of the bins -> the expected bin: (..., R) -> (...). Generalized Focal Loss (arXiv 2006.04388, eq. 5).

    YOLOv8: ``DFL``, a module of the head.

    >>> decode_distribution(torch.tensor([0.0, 0.0, 0.0, 0.0])).item()  # (0 + 1 + 2 + 3) / 4
    1.5
    """
    bins = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    return (logits.softmax(-1) * bins).sum(-1)


def encode_distribution(distances: Tensor, bins: int) -> Tensor:
    """Distances -> target distributions over the two bins beside them, whose expectations they are: (...) -> (..., R).

    Args:
        distances: in bins; below 0 and above R - 1.01 as if they were there. bins: R, at least 2.

    >>> encode_distribution(torch.tensor([1.25, -3.0]), 4)
    tensor([[0.0000, 0.7500, 0.2500, 0.0000],
            [1.0000, 0.0000, 0.0000, 0.0000]])
    """
    distances = distances.clamp(0, bins - 1 - LAST_BIN_MARGIN)
    lower = distances.floor()
    above = (distances - lower)[..., None]  # (..., 1) probability of the bin above
    index = lower.long()[..., None]  # (..., 1)
    empty = distances.new_zeros(*distances.shape, bins)
    return empty.scatter(-1, index, 1 - above).scatter(-1, index + 1, above)


# All generations


def prediction_cells(shapes: Sequence[Sequence[int]]) -> Tensor:
    """Where each prediction of an image is, in the order of ``decode``.

    Args:
        shapes: (A, H, W) of each level.
    Returns:
        (n, 4) int64 with n = sum of A * H * W: level, anchor, row, column.

    >>> prediction_cells([(1, 1, 2), (1, 1, 1)]).tolist()
    [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    """
    levels = [
        torch.cartesian_prod(torch.tensor([level]), *(torch.arange(size) for size in shape))  # (A * H * W, 4)
        for level, shape in enumerate(shapes)
    ]
    return torch.cat(levels)
