"""Which predictions of YOLOv3 and YOLOv4 are matched to which objects, and which overlap one without being its own.

Source: Redmon and Farhadi 2018 (arXiv 1804.02767), section 2.1; numbers as in Darknet's layer.

Shape letters: N batch, A anchors of a level, K of all levels, H W grid, n objects, m matches of a level, p predictions
of a level that have a match.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_lite.family.common import Objects, centre_iou, flat_index, object_cells
from yolo_lite.loss.targets import Assignment

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
    position: Tensor  # int64, which object; -1 in images without objects
    class_score: Tensor  # the largest class score of the prediction, not multiplied by its objectness


class View(NamedTuple):
    """One level as the rules of matching see it."""

    level: int
    shape: torch.Size  # (N, A, H, W)
    anchors: Tensor  # (A, 2) of this level, pixels
    is_best: Tensor  # (n, A) bool: whether that is the anchor of all K most like the object in shape
    net_size: tuple[int, int]  # height, width of the network's input in pixels
    objects: Objects  # n of them
    overlaps: Overlaps

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[2], self.shape[3]

    @property
    def sizes(self) -> Tensor:
        """(n, 2) width and height of the objects, pixels."""
        return pixels(self.objects.box, self.net_size)[:, 2:]


def matches_at(view: View, position: Tensor, anchor: Tensor) -> Assignment:
    """Objects matched to anchors, each in the cell of its centre. position: (m,), which objects. anchor: (m,)."""
    image, cls, box, target = (each[position] for each in view.objects)
    rows, cols = view.grid
    row, col = object_cells(box, rows, cols)  # (m,) each
    size = box.new_tensor([cols, rows])
    corner = torch.stack((col, row), 1)  # (m, 2)
    in_cells = torch.cat((box[:, :2] * size - corner, box[:, 2:] * size), 1)  # (m, 4)
    anchor_wh = view.anchors[anchor] * size / size.new_tensor([view.net_size[1], view.net_size[0]])  # (m, 2)
    return Assignment(image, anchor, row, col, cls, target, torch.zeros_like(target), in_cells, anchor_wh)


def matches_of_predictions(view: View, above: float) -> Assignment:
    """Every prediction whose box overlaps an object more than that, matched to the one that it overlaps most."""
    place = (view.overlaps.iou > above).nonzero()  # (m, 4)
    image, anchor, row, col = place.unbind(1)
    own = matches_at(view, view.overlaps.position[image, anchor, row, col], anchor)
    moved = torch.stack((own.col - col, own.row - row), 1)  # (m, 2): the object may be in another cell
    box = torch.cat((own.box[:, :2] + moved, own.box[:, 2:]), 1)
    return own._replace(row=row, col=col, box=box, offset=torch.full_like(row, OVER_THRESHOLD))


def join(first: Assignment, second: Assignment) -> Assignment:
    """One after the other."""
    return Assignment(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


def positives(matches: Assignment, shape: Sequence[int]) -> Positives:
    """The predictions that matches are at. shape: (N, A, H, W)."""
    place = flat_index(shape, matches.image, matches.anchor, matches.row, matches.col)
    cells, slot = torch.unique(place, return_inverse=True)  # (p,), (m,)
    rank = torch.arange(len(slot), device=slot.device)
    none = rank.new_zeros(len(cells))
    first = none.scatter_reduce(0, slot, rank, "amin", include_self=False)
    return Positives(cells, slot, first, none.scatter_reduce(0, slot, rank, "amax", include_self=False))


def largest_overlaps(decoded: Tensor, shape: Sequence[int], objects: Objects, net_size: tuple[int, int]) -> Overlaps:
    """How much each predicted box overlaps the objects of its image, whichever level these belong to.

    Args:
        decoded: (N, A * H * W, 5 + C) of ``decode_level``. shape: (N, A, H, W).
    """
    iou, position = decoded.new_zeros(decoded.shape[:2]), torch.full(decoded.shape[:2], -1, device=decoded.device)
    boxes = pixels(objects.box, net_size)
    for image in objects.image.unique().tolist():  # one by one: all at once would hold N times as much
        here = (objects.image == image).nonzero()[:, 0]
        each = centre_iou(decoded[image, :, None], boxes[here])  # (A * H * W, objects of the image)
        # nan, of a box that has grown beyond all numbers, is above no threshold
        iou[image], best = each.nan_to_num(nan=0.0).max(1)
        position[image] = here[best]
    found = (iou, position, decoded[..., 5:].amax(-1))
    return Overlaps(*(each.view(*shape) for each in found))


def pixels(box: Tensor, net_size: tuple[int, int]) -> Tensor:
    """(n, 4) centre boxes as fractions of the image -> in pixels of the network's input (height, width)."""
    return box * box.new_tensor([net_size[1], net_size[0]] * 2)
