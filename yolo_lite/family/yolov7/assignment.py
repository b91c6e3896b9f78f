"""YOLOv7's assignment: of the candidates that geometry allows, each object gets those that the network predicts best.

Three steps. Geometry: ``loss.targets.build_targets``, YOLOv5's rule, finds the candidates. Cost: what a candidate's
prediction would lose if it had to predict the object (``candidate_costs``). Choice: an object gets its k cheapest
candidates, where k is about how many of them already overlap with it; a prediction that several objects choose goes to
the one where it costs least (``assign_by_cost``).

Sources: YOLOv7, Wang et al. 2022 (arXiv 2207.02696), which names YOLOv5's and YOLOX's assignments and gives no formula;
the cost and the k are from OTA, Ge et al. 2021 (arXiv 2103.14259), and SimOTA of YOLOX (arXiv 2107.08430, section 2.1).

Shape letters: L levels, N batch, A anchors, H W grid of a level, C classes, n targets, m candidates of all levels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import decode_matches
from yolo_lite.loss.loss import cell_index
from yolo_lite.loss.targets import Assignment


class Costs(NamedTuple):
    """The m candidates of all levels, level after level, and what each would cost; no gradient."""

    target: Tensor  # (m,) int64, the object: a row of targets
    prediction: Tensor  # (m,) int64, a number for each prediction of the batch, level after level
    iou: Tensor  # (m,) overlap of the predicted box with the object
    cls: Tensor  # (m,) binary cross-entropy of the class logits, summed over classes
    total: Tensor  # (m,) cls + weight * -log IoU


@torch.no_grad()
def candidate_costs(
    maps: Sequence[Tensor], candidates: Sequence[Assignment], iou_weight: float = 3.0, eps: float = 1e-8
) -> Costs:
    """What each candidate's prediction would cost. SimOTA's cost, with -log IoU as the box part.

    Args:
        maps: L raw maps (N, A, H, W, 5 + C). candidates: of each level, where the maps are.
        iou_weight: YOLOX's lambda. eps: keeps the logarithm of an overlap of 0 finite.
    """
    fields, start = [], 0
    for raw, found in zip(maps, candidates, strict=True):
        matched = raw[found.image, found.anchor, found.row, found.col]  # (m of the level, 5 + C)
        matched = matched.to(torch.promote_types(raw.dtype, torch.float32))
        iou = bbox_iou(decode_matches(matched, found.anchor_wh), found.box, "iou")
        logits = matched[:, 5:]
        classes = functional.one_hot(found.cls, logits.shape[1]).to(logits)  # (m of the level, C)
        cls = functional.binary_cross_entropy_with_logits(logits, classes, reduction="none").sum(1)
        place = start + cell_index(found, raw.shape[:4])
        fields.append((found.target, place, iou, cls, cls - iou_weight * (iou + eps).log()))
        start += math.prod(raw.shape[:4])
    return Costs(*(torch.cat(each) for each in zip(*fields, strict=True)))


def dynamic_k(costs: Costs, num_targets: int, topk: int = 10) -> Tensor:
    """(n,) int64: how many predictions each object gets: the sum of its largest IoUs, rounded down, at least 1.

    OTA: dynamic k estimation. An object whose candidates overlap well gets many, one that nothing overlaps gets one.

    Args:
        topk: of how many candidates the IoUs are summed. OTA: q, 20 there; YOLOX: 10.

    >>> one = torch.zeros(3)
    >>> dynamic_k(Costs(one.long(), torch.arange(3), torch.tensor([0.9, 0.4, 0.8]), one, one), 1)
    tensor([2])
    """
    largest = costs.iou * (rank_within(costs.target, -costs.iou) < topk)  # (m,)
    total = costs.iou.new_zeros(num_targets).index_add(0, costs.target, largest)  # (n,)
    return total.long().clamp(min=1)


def assign_by_cost(costs: Costs, num_targets: int, topk: int = 10) -> Tensor:
    """Which candidates are matches: each object's k cheapest, and of several objects on one prediction the cheapest.

    Args:
        num_targets: n. topk: as in ``dynamic_k``.
    Returns:
        (m,) bool. Each prediction is at most once among them. Equal costs: the earlier candidate.

    >>> target, prediction = torch.tensor([0, 0, 1, 1]), torch.tensor([4, 5, 5, 6])
    >>> iou, total = torch.tensor([0.6, 0.6, 0.5, 0.1]), torch.tensor([2.0, 1.0, 3.0, 4.0])
    >>> assign_by_cost(Costs(target, prediction, iou, total, total), 2)  # both want prediction 5; the second gets none
    tensor([False,  True, False, False])
    """
    chosen = rank_within(costs.target, costs.total) < dynamic_k(costs, num_targets, topk)[costs.target]  # (m,)
    # those not chosen come after all chosen ones, and no longer compete
    cheapest = rank_within(costs.prediction, costs.total.masked_fill(~chosen, torch.inf)) == 0
    return chosen & cheapest


def rank_within(group: Tensor, value: Tensor) -> Tensor:
    """(m,) int64: the place of each value among those of its group, 0 for the smallest; equal ones in their order.

    >>> rank_within(torch.tensor([7, 7, 3, 7]), torch.tensor([0.5, 0.1, 9.0, 0.3]))
    tensor([2, 0, 0, 1])
    """
    order = value.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]  # group after group, each by value
    sizes = group.unique(return_counts=True)[1]  # in the order of the groups
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)  # (m,)
    ranks = torch.arange(len(group), device=group.device) - starts
    return torch.empty_like(ranks).scatter_(0, order, ranks)


def only(levels: Sequence[Assignment], chosen: Tensor) -> list[Assignment]:
    """The chosen candidates of each level. chosen: bool, for those of all levels, level after level."""
    kept = chosen.split([len(level.target) for level in levels])
    return [Assignment(*(field[mask] for field in level)) for level, mask in zip(levels, kept, strict=True)]


def unique_candidates(level: Assignment, shape: Sequence[int]) -> Assignment:
    """The candidates of a level, each pair of object and prediction once.

    An object whose centre lies exactly on a line between two cells has its own cell twice (see ``neighbour_cells``);
    two of its k places must not go to one prediction.

    Args:
        shape: (N, A, H, W).
    """
    pair = level.target * math.prod(shape) + cell_index(level, shape)  # (m of the level,)
    return only([level], rank_within(pair, torch.zeros_like(pair)) == 0)[0]
