"""The labels of YOLOv7's auxiliary head: made, as those of the lead head, from what the lead head predicts.

Source: YOLOv7, Wang et al. 2022 (arXiv 2207.02696), section 4.2 and table 7. What the paper states: the head whose
output is used is the lead head; an auxiliary head in the middle of the network helps to train it (deep supervision).
The lead head's predictions and the objects give the labels of both ("lead head guided label assigner"). The fine
labels, for the lead head, are these; the coarse labels, for the auxiliary head, let more grid cells be positive, by
relaxing the assignment. The extra cells are restricted, so that their soft labels cannot be perfect: the distance
from the object's centre is an upper bound of their objectness. The paper gives no number and no formula for it.

What is this library's own choice: an object's coarse candidates are all four neighbours of its cell, whether its centre
is near to them or not; its k is the sum of the IoUs of ``coarse`` times as many candidates. The soft label of both
heads' objectness is the CIoU of the lead head's box; at an extra cell at most 1 minus how far, in cells, the centre
lies beyond what the decoder can reach from there. Classes and box targets stay the object's. Not built is the "partial"
auxiliary head, which the paper has for E-ELAN in its largest network.

Shape letters: L levels, N batch, A anchors, H W grid of a level, C classes, m candidates or matches of a level.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import decode_matches
from yolo_lite.family.common import working_type
from yolo_lite.family.yolov7.assignment import assign_by_cost, candidate_costs, only, unique_candidates
from yolo_lite.loss.loss import cell_index
from yolo_lite.loss.targets import NEIGHBOURS, Assignment

REACH = 1.0  # cells from a cell's centre that a decoded centre can lie away: 2 sigmoid - 0.5 is in (-0.5, 1.5)


def coarse_labels(
    maps: Sequence[Tensor],
    candidates: Sequence[Assignment],
    fine: Sequence[Assignment],
    num_targets: int,
    topk: int = 20,
    iou_weight: float = 3.0,
) -> list[Assignment]:
    """The matches of the auxiliary head: those of the lead head and others, a prediction to one object at most.

    Args:
        maps: L raw maps (N, A, H, W, 5 + C) of the lead head. candidates: of the fine labels, of each level.
        fine: which of them became the lead head's matches. num_targets: number of objects.
        topk: of how many candidates the IoUs are summed to k; no fewer than for the fine labels, so that k is no less.
    """
    shapes = [raw.shape[:4] for raw in maps]
    wider = [with_neighbours(level, shape) for level, shape in zip(candidates, shapes, strict=True)]
    costs = candidate_costs(maps, wider, iou_weight)
    is_fine = torch.cat(
        [_are_among(level, some, shape) for level, some, shape in zip(wider, fine, shapes, strict=True)]
    )
    # those cost least: each object chooses them first, and no other object gets their predictions
    costs = costs._replace(total=costs.total.masked_fill(is_fine, -torch.inf))
    return only(wider, assign_by_cost(costs, num_targets, topk))


def _are_among(level: Assignment, matches: Assignment, shape: Sequence[int]) -> Tensor:
    """(m,) bool: which candidates are among the matches, of which each prediction has one at most."""
    owner = matches.target.new_full((math.prod(shape),), -1)
    owner[cell_index(matches, shape)] = matches.target
    return owner[cell_index(level, shape)] == level.target


def with_neighbours(level: Assignment, shape: Sequence[int]) -> Assignment:
    """The candidates of a level, followed by those neighbours of the objects' own cells that are not among them.

    Args:
        level: with the own cell of every object and anchor. shape: (N, A, H, W).

    >>> from yolo_lite.loss.targets import build_targets
    >>> one, anchors = torch.tensor([[0, 0, 0.53, 0.56, 0.2, 0.2]]), torch.tensor([[[10.0, 12]]])
    >>> (level,) = build_targets(one, [(8, 8)], anchors, [8])
    >>> level.offset.tolist(), with_neighbours(level, (1, 1, 8, 8)).offset.tolist()
    ([0, 1, 2], [0, 1, 2, 3, 4])
    """
    own = only([level], level.offset == 0)[0]
    moved = [level]
    for offset, (dx, dy) in enumerate(NEIGHBOURS[1:], start=1):
        box = own.box - own.box.new_tensor([dx, dy, 0, 0])
        row, col = own.row + dy, own.col + dx
        inside = (row >= 0) & (row < shape[2]) & (col >= 0) & (col < shape[3])
        offsets = torch.full_like(own.offset, offset)
        moved += only([own._replace(row=row, col=col, offset=offsets, box=box)], inside)
    return unique_candidates(Assignment(*(torch.cat(fields) for fields in zip(*moved, strict=True))), shape)


@torch.no_grad()
def soft_labels(raw: Tensor, matches: Assignment) -> Tensor:
    """(m,) what the objectness of the auxiliary head's matches is trained towards; no gradient.

    Args:
        raw: (N, A, H, W, 5 + C), the lead head's map of the level.
    """
    matched = raw[matches.image, matches.anchor, matches.row, matches.col].to(working_type(raw))  # (m, 5 + C)
    overlap = bbox_iou(decode_matches(matched, matches.anchor_wh), matches.box, "ciou")
    return torch.minimum(overlap, centre_bound(matches.box))


def centre_bound(box: Tensor) -> Tensor:
    """(m,) the upper bound of a soft label: 1 - how far the object's centre is beyond the decoder's reach, in cells.

    Args:
        box: (m, 4) x, y from the cell's corner, w, h; in cells.

    >>> centre_bound(torch.tensor([[1.5, 0.5, 3, 3], [1.75, 0.5, 3, 3], [-0.75, -1.0, 3, 3]]))
    tensor([1.0000, 0.7500, 0.5000])
    """
    beyond = (box[:, :2] - 0.5).abs() - REACH  # (m, 2)
    return 1 - beyond.clamp(min=0).amax(1)
