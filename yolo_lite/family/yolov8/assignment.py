"""Task-aligned assignment: a point is matched to an object if it both classifies and localises it well.

Anchors and points of older generations are matched by geometry alone. Here the network's own predictions decide: an
object gets the ``topk`` points inside it whose metric ``score^alpha * overlap^beta`` is largest. So one point has both
the good score and the good box, which a single list of detections needs.

Source: Feng et al. 2021, TOOD: Task-aligned One-stage Object Detection (arXiv 2108.07755), with YOLOv8's details.

Shape letters: N batch, M slots for the objects of an image, P points per image in the order of ``decode``, C classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from yolo_lite.boxes import bbox_iou, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.coding import encode_distances
from yolo_lite.family.anchored import Objects

INSIDE = 1e-9  # pixels; a point on the edge of a box is not inside
EPS = 1e-9  # added to the largest metric of an object, which may be 0


class PaddedObjects(NamedTuple):
    """The objects of a batch, as many slots in each image as the fullest image needs, and at least one."""

    row: Tensor  # (N, M) int64, of targets; -1 in a slot without an object
    cls: Tensor  # (N, M) int64
    xyxy: Tensor  # (N, M, 4) pixels


class TaskAligned(NamedTuple):
    """What was matched, and each step on the way to it."""

    candidates: Tensor  # (N, M, P) bool: the point is inside the object
    overlaps: Tensor  # (N, M, P) CIoU of the object and the box that the point predicts; 0 if negative or no candidate
    metric: Tensor  # (N, M, P) score^alpha * overlap^beta
    selected: Tensor  # (N, M, P) bool: among the object's topk; a point may be selected by several objects
    assigned: Tensor  # (N, M, P) bool: each point has one object at most
    slot: Tensor  # (N, P) int64: the same as an index into the slots, -1 where there is no object
    target_scores: Tensor  # (N, P, C) what the class scores are trained towards, in [0, 1]


def pad_objects(objects: Sequence[Objects]) -> PaddedObjects:
    """The objects of each image -> slots.

    >>> one = Objects(torch.tensor([3]), torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([1]))
    >>> none = Objects(*(each[:0] for each in one))
    >>> pad_objects([one, none]).row.tolist()
    [[3], [-1]]
    """
    row = pad_sequence([each.row for each in objects], batch_first=True, padding_value=-1)  # (N, M)
    cls = pad_sequence([each.cls for each in objects], batch_first=True)  # (N, M)
    xyxy = pad_sequence([each.xyxy for each in objects], batch_first=True)  # (N, M, 4)
    if row.shape[1]:
        return PaddedObjects(row, cls, xyxy)
    one_slot = functional.pad(row, (0, 1), value=-1), functional.pad(cls, (0, 1)), functional.pad(xyxy, (0, 0, 0, 1))
    return PaddedObjects(*one_slot)  # a maximum over no slots does not exist


def find_candidates(objects: PaddedObjects, points: Tensor, min_side: float) -> Tensor:
    """Which points (P, 2) are strictly inside an object, all in pixels; a side below ``min_side`` counts as that long.

    Returns:
        (N, M, P) bool.

    >>> objects = PaddedObjects(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[[6.0, 6, 9, 9]]]))
    >>> find_candidates(objects, torch.tensor([[4.0, 4.0], [12, 4], [20, 4]]), min_side=16).tolist()
    [[[True, True, False]]]
    """
    centre, size = xyxy_to_xywh(objects.xyxy).split(2, -1)  # (N, M, 2) each
    enlarged = xywh_to_xyxy(torch.cat((centre, size.clamp(min=min_side)), -1))  # (N, M, 4)
    sides = encode_distances(enlarged[:, :, None], points)  # (N, M, P, 4)
    return (sides > INSIDE).all(-1) & (objects.row >= 0)[..., None]


def assign_task_aligned(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    objects: PaddedObjects,
    topk: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
    min_side: float = 16.0,
) -> TaskAligned:
    """Matches points to objects. Carries no gradient: call it with detached predictions.

    YOLOv8: ``TaskAlignedAssigner``.

    Only points with a metric above 0 are selected. The reference fills up the topk with points of metric 0, in an
    order that its sort leaves open; their target score is 0, and so is their loss.

    Args:
        scores: (N, P, C) after the sigmoid. boxes: (N, P, 4) xyxy, pixels. points: (P, 2) pixels.
        topk, alpha, beta, min_side: see ``Yolov8Settings``.

    >>> objects = PaddedObjects(torch.tensor([[0]]), torch.tensor([[1]]), torch.tensor([[[0.0, 0, 16, 16]]]))
    >>> scores, points = torch.tensor([[[0.0, 0.25], [0.0, 0.25]]]), torch.tensor([[4.0, 4.0], [12, 12]])
    >>> boxes = torch.tensor([[[0.0, 0, 16, 16], [8, 8, 24, 24]]])  # the first predicts the object
    >>> found = assign_task_aligned(scores, boxes, points, objects)
    >>> found.metric[0, 0, 0].item(), found.target_scores[0, 0].tolist()
    (0.5, [0.0, 1.0])
    """
    candidates = find_candidates(objects, points, min_side)  # (N, M, P)
    image, slot, point = candidates.nonzero(as_tuple=True)
    overlap = bbox_iou(objects.xyxy[image, slot], boxes[image, point], "ciou", "xyxy").clamp(min=0)
    score = scores[image, point, objects.cls[image, slot]]
    overlaps, metric = (
        scores.new_zeros(candidates.shape).index_put((image, slot, point), values)
        for values in (overlap, score**alpha * overlap**beta)
    )
    best = metric.topk(min(topk, len(points)), -1).indices  # (N, M, topk)
    selected = torch.zeros_like(candidates).scatter(2, best, True) & (metric > 0)
    assigned = resolve_conflicts(selected, overlaps)
    matched, found = assigned.max(1)  # (N, P) each; the index of the only slot that is True
    target_scores = align_scores(assigned, overlaps, metric, objects.cls, found, scores.shape[-1])
    return TaskAligned(candidates, overlaps, metric, selected, assigned, torch.where(matched, found, -1), target_scores)


def resolve_conflicts(selected: Tensor, overlaps: Tensor) -> Tensor:
    """A point that several objects selected goes to the object that its box overlaps most, the first one of equals.

    That may be an object which has the point inside and did not select it. Both (N, M, P), and so is what returns.

    >>> resolve_conflicts(torch.tensor([[[True], [True], [False]]]), torch.tensor([[[0.4], [0.5], [0.6]]]))[0, :, 0]
    tensor([False, False,  True])
    """
    contested = selected.sum(1, keepdim=True) > 1  # (N, 1, P)
    slots = torch.arange(selected.shape[1], device=selected.device)[:, None]  # (M, 1)
    return torch.where(contested, overlaps.argmax(1, keepdim=True) == slots, selected)


def align_scores(
    assigned: Tensor, overlaps: Tensor, metric: Tensor, cls: Tensor, slot: Tensor, num_classes: int
) -> Tensor:
    """Target scores (N, P, C): metrics, scaled so that an object's best point gets the object's best overlap.

    Args:
        assigned, overlaps, metric: (N, M, P). cls: (N, M) of the objects. slot: (N, P) whose object's class counts.
    """
    metric, overlaps = metric * assigned, overlaps * assigned
    scale = overlaps.amax(2, keepdim=True) / (metric.amax(2, keepdim=True) + EPS)  # (N, M, 1)
    score = (metric * scale).amax(1)  # (N, P)
    column = cls.gather(1, slot)  # (N, P)
    empty = score.new_zeros(*score.shape, num_classes)
    return empty.scatter(2, column[..., None], score[..., None])
