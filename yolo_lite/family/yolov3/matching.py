"""Which predictions of YOLOv3 and YOLOv4 are matched to which objects, and which overlap one without being its own.

Source: Redmon and Farhadi 2018 (arXiv 1804.02767), section 2.1; numbers as in Darknet's layer.

Shape letters: N batch, A anchors of a level, K of all levels, H W grid, n targets, m matches of a level, p predictions
of a level that have a match.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_lite.boxes import box_iou, xywh_to_xyxy
from yolo_lite.loss.loss import cell_index
from yolo_lite.loss.targets import Assignment, to_grid_units

OVER_THRESHOLD = -1  # Assignment.offset of a match in the cell of a predicted box, wherever the object's centre is


class Positives(NamedTuple):
    """The p predictions of a level that have matches, in ascending order, and which matches each has."""

    cells: Tensor  # (p,) int64, place in the level's (N, A, H, W), flattened
    slot: Tensor  # (m,) int64, which of the p each match is at
    first: Tensor  # (p,) int64, the first match of each; an index into the m
    last: Tensor  # (p,) int64, the last


class Overlaps(NamedTuple):
    """The object that each predicted box of a level overlaps most; each (N, A, H, W)."""

    iou: Tensor  # 0 in images without objects
    target: Tensor  # int64, row of targets; -1 in images without objects
    class_score: Tensor  # the largest class score of the prediction, not multiplied by its objectness


def shape_iou(wh: Tensor, anchors: Tensor) -> Tensor:
    """IoU of sizes, both boxes moved to the same centre: (n, 2), (K, 2) in one unit -> (n, K).

    >>> shape_iou(torch.tensor([[10.0, 20.0]]), torch.tensor([[20.0, 10.0], [10.0, 10.0]]))
    tensor([[0.3333, 0.5000]])
    """
    common = torch.minimum(wh[:, None], anchors).prod(-1)  # (n, K)
    return common / (wh.prod(-1)[:, None] + anchors.prod(-1) - common)


def truth_list(targets: Tensor, max_boxes: int) -> Tensor:
    """The rows of targets that Darknet's layer sees, image by image, each in the order of the rows.

    Left out: all of an image after its first max_boxes rows, or from a row on whose centre x is exactly 0, which ends
    Darknet's list; rows without width or height, and centres outside the image, which no cell holds.

    Args:
        targets: (n, 6) image, class, xc, yc, w, h; normalised.
    Returns:
        (rows,) int64.

    >>> rows = [[1, 0, 0.5, 0.5, 0.1, 0.1], [0, 0, 0.5, 0.5, 0.1, 0.1], [1, 0, 0, 0.5, 0.1, 0.1]]
    >>> truth_list(torch.tensor([*rows, [1, 0, 0.7, 0.5, 0.1, 0.1]]), 90)
    tensor([1, 0])
    """
    order = targets[:, 0].argsort(stable=True)  # (n,)
    ordered = targets[order]
    position = torch.arange(len(ordered), device=targets.device)
    starts = torch.searchsorted(ordered[:, 0].contiguous(), ordered[:, 0].contiguous())  # (n,) of the row's image
    ended = torch.cat((ordered.new_zeros(1), (ordered[:, 2] == 0).to(ordered).cumsum(0)))  # (n + 1,)
    listed = (position - starts < max_boxes) & (ended[position + 1] == ended[starts])
    inside = ((ordered[:, 2:4] >= 0) & (ordered[:, 2:4] <= 1)).all(1)
    return order[listed & inside & (ordered[:, 4:6] > 0).all(1)]


def matches_at(
    targets: Tensor, rows: Tensor, anchor: Tensor, anchors: Tensor, net_size: tuple[int, int], grid: tuple[int, int]
) -> Assignment:
    """Objects matched to anchors of a level, each in the cell of its centre.

    Args:
        targets: (n, 6). rows: (m,) of targets. anchor: (m,), which of the level's. anchors: (A, 2) pixels.
        net_size: (height, width) of the network's input in pixels. grid: (rows, cols).
    """
    size = targets.new_tensor([grid[1], grid[0]])
    boxes = to_grid_units(targets[rows], grid)  # (m, 4)
    corner = torch.minimum(boxes[:, :2].floor(), size - 1)  # (m, 2): a centre of exactly 1 belongs to the last cell
    col, row = corner.long().unbind(1)
    boxes = torch.cat((boxes[:, :2] - corner, boxes[:, 2:]), 1)
    anchor_wh = anchors[anchor] * size / size.new_tensor([net_size[1], net_size[0]])  # (m, 2)
    image, cls = targets[rows, :2].long().unbind(1)
    return Assignment(image, anchor, row, col, cls, rows, torch.zeros_like(rows), boxes, anchor_wh)


def matches_of_predictions(
    targets: Tensor, found: Overlaps, above: float, anchors: Tensor, net_size: tuple[int, int]
) -> Assignment:
    """Every prediction whose box overlaps an object more than that, matched to the one that it overlaps most."""
    image, anchor, row, col = (found.iou > above).nonzero().unbind(1)
    rows = found.target[image, anchor, row, col]
    grid = (found.iou.shape[2], found.iou.shape[3])
    own = matches_at(targets, rows, anchor, anchors, net_size, grid)
    moved = torch.stack((own.col - col, own.row - row), 1).to(own.box)  # (m, 2): the object may be in another cell
    box = torch.cat((own.box[:, :2] + moved, own.box[:, 2:]), 1)
    return own._replace(row=row, col=col, box=box, offset=torch.full_like(rows, OVER_THRESHOLD))


def join(first: Assignment, second: Assignment) -> Assignment:
    """One after the other."""
    return Assignment(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


def positives(matches: Assignment, shape: Sequence[int]) -> Positives:
    """The predictions that matches are at. shape: (N, A, H, W)."""
    cells, slot = torch.unique(cell_index(matches, shape), return_inverse=True)  # (p,), (m,)
    rank = torch.arange(len(slot), device=slot.device)
    none = rank.new_zeros(len(cells))
    first = none.scatter_reduce(0, slot, rank, "amin", include_self=False)
    return Positives(cells, slot, first, none.scatter_reduce(0, slot, rank, "amax", include_self=False))


@torch.no_grad()
def largest_overlaps(decoded: Tensor, shape: Sequence[int], targets: Tensor, rows: Tensor) -> Overlaps:
    """How much each predicted box overlaps the objects of its image, whichever level they belong to.

    Args:
        decoded: (N, A * H * W, 5 + C) of ``decode_level``. shape: (N, A, H, W).
        targets: (n, 6) with boxes in pixels. rows: those of targets that count.
    """
    corners, objects = xywh_to_xyxy(decoded[..., :4]), xywh_to_xyxy(targets[:, 2:6])
    iou = decoded.new_zeros(decoded.shape[:2])  # (N, A * H * W)
    target = torch.full(decoded.shape[:2], -1, device=decoded.device)
    for image in targets[rows, 0].unique().long().tolist():  # one by one: all at once would hold N times as much
        here = rows[targets[rows, 0] == image]
        each = box_iou(corners[image], objects[here])  # (A * H * W, objects)
        # nan, of a box that has grown beyond all numbers, is above no threshold
        iou[image], best = each.nan_to_num(nan=0.0).max(1)
        target[image] = here[best]
    found = (iou, target, decoded[..., 5:].amax(-1))
    return Overlaps(*(each.view(*shape) for each in found))


def scattered(values: Tensor, cells: Tensor, shape: Sequence[int]) -> Tensor:
    """(p,) values at their places in zeros of that shape; those of the same place are added up."""
    return values.new_zeros(math.prod(shape)).index_add(0, cells, values).view(*shape)
