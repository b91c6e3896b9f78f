"""Raw numbers of the head <-> boxes: decode and its inverse, written once for head, loss, explorers and notebooks.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of a level's grid, m matches.

YOLOv5's form is Scaled-YOLOv4's (arXiv 2011.08036). With t a raw number and s = sigmoid(t)::

    centre = 2 s - 0.5 + cell      a box may leave its cell by half a cell
    size   = (2 s)^2 * anchor      at most four times the anchor
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def _centre_and_size(s: Tensor, anchor_wh: Tensor) -> tuple[Tensor, Tensor]:
    """Sigmoids (..., 4 or more) -> centre from the cell's corner in cells, size in the anchor's unit; each (..., 2)."""
    return 2 * s[..., :2] - 0.5, (2 * s[..., 2:4]) ** 2 * anchor_wh


def decode_matches(matched: Tensor, anchor_wh: Tensor) -> Tensor:
    """Raw predictions of matched cells -> boxes from the cell's corner. YOLOv5: ``pbox``.

    Args:
        matched: (m, 4 or more) raw. anchor_wh: (m, 2) in cells.
    Returns:
        (m, 4) x, y from the cell's corner, w, h; in cells, as ``Assignment.box``.

    >>> decode_matches(torch.zeros(1, 4), torch.tensor([[3.0, 2.0]]))
    tensor([[0.5000, 0.5000, 3.0000, 2.0000]])
    """
    return torch.cat(_centre_and_size(matched[:, :4].sigmoid(), anchor_wh), 1)


def encode_matches(boxes: Tensor, anchor_wh: Tensor) -> Tensor:
    """The raw numbers that ``decode_matches`` turns into these boxes: its inverse.

    Args:
        boxes: (m, 4) x, y from the cell's corner, w, h; in cells. anchor_wh: (m, 2) in cells.
    Returns:
        (m, 4) raw. Infinite where only an infinite number encodes the box (a centre at -0.5 or 1.5, a size of 0 or
        of four anchors), nan where no number does: no prediction of that cell and anchor reaches such a box.

    >>> box, anchor = torch.tensor([[0.3, 0.9, 2.0, 5.0]]), torch.tensor([[3.0, 2.0]])
    >>> torch.allclose(decode_matches(encode_matches(box, anchor), anchor), box)
    True
    """
    return torch.cat(((boxes[:, :2] + 0.5) / 2, (boxes[:, 2:4] / anchor_wh).sqrt() / 2), 1).logit()


def decode(maps: Sequence[Tensor], anchors: Tensor, strides: Sequence[int] | Tensor) -> Tensor:
    """Raw maps -> boxes in pixels and scores. YOLOv5: ``Detect`` in evaluation mode, ``make_grid``.

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
    s = raw.to(torch.promote_types(raw.dtype, torch.float32)).sigmoid()
    y, x = torch.meshgrid(
        torch.arange(rows, device=raw.device), torch.arange(cols, device=raw.device), indexing="ij"
    )  # each (H, W)
    cells = torch.stack((x, y), -1)  # (H, W, 2)
    centre, size = _centre_and_size(s, anchors.to(s)[:, None, None])  # each (N, A, H, W, 2)
    return torch.cat(((centre + cells) * stride, size, s[..., 4:]), -1).flatten(1, 3)  # (N, A * H * W, 5 + C)


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
