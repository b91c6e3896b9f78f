"""YOLOv8's loss: task-aligned classes, CIoU, and a distribution for the distance of each side.

Of each side the head gives R numbers, the logits of a distribution over the distances 0 to R - 1 (in cells); the
distance is its expectation. Nothing says whether there is an object ("objectness"): the class scores do.

Sources: distribution focal loss, Li et al. 2020, Generalized Focal Loss (arXiv 2006.04388); assignment, see
``assignment``; gains and order of YOLOv8.

Shape letters: N batch, L levels, P points per image in the order of ``decode``, M slots for the objects of an image,
p positives, R distance bins, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.boxes import bbox_iou, xyxy_to_xywh
from yolo_lite.coding import (
    decode_distances,
    decode_distribution,
    encode_distances,
    encode_distribution,
    prediction_cells,
)
from yolo_lite.family.anchored import Shapes, flatten, image_size, level_shapes, objects_of_images
from yolo_lite.family.common import check_count, check_gains, check_targets, count_dropped, summed
from yolo_lite.family.yolov8.assignment import PaddedObjects, TaskAligned, assign_task_aligned, pad_objects
from yolo_lite.loss.criterion import NEGATIVE, POSITIVE, AssignedPredictions, PredictionMatches


@dataclass(frozen=True)
class Yolov8Settings:
    """YOLOv8's published values."""

    box: float = 7.5  # gain of 1 - CIoU
    cls: float = 0.5  # gain of the binary cross-entropy of the classes
    dfl: float = 1.5  # gain of the distribution focal loss
    topk: int = 10  # points that an object selects at most
    alpha: float = 0.5  # exponent of the score in the metric of the assignment
    beta: float = 6.0  # exponent of the overlap
    min_side: float = 16.0  # pixels; for finding points inside, shorter sides of an object count as that long
    auxiliary: float = 0.25  # weight of the loss of auxiliary maps (YOLOv9's programmable gradient information)

    def __post_init__(self) -> None:
        check_gains(self, ("box", "cls", "dfl", "alpha", "beta", "min_side", "auxiliary"))
        check_count(self, "topk")


class Yolov8Parts(NamedTuple):
    """YOLOv8's loss; scalars that carry gradient, gains included. In ``assign``: (N, P), of each point."""

    total: Tensor  # (box + cls + dfl) * batch size
    box: Tensor
    cls: Tensor
    dfl: Tensor


class Points(NamedTuple):
    """All points of an image, the centres of the cells."""

    xy: Tensor  # (P, 2) pixels
    stride: Tensor  # (P, 1) pixels, of their levels


def grid_points(shapes: Shapes, strides: Sequence[int], like: Tensor) -> Points:
    """Where the points are; of the type of another tensor and where it is. YOLOv8: ``make_anchors``.

    >>> grid_points([(1, 1, 2), (1, 1, 1)], [8, 16], torch.zeros(())).xy.tolist()
    [[4.0, 4.0], [12.0, 4.0], [8.0, 8.0]]
    """
    cells = prediction_cells(shapes)  # (P, 4) level, anchor, row, column
    stride = torch.tensor(strides, dtype=like.dtype)[cells[:, :1]]  # (P, 1)
    return Points(((cells[:, [3, 2]] + 0.5) * stride).to(like), stride.to(like))


def decode_yolov8(maps: Sequence[Tensor], strides: Sequence[int], num_classes: int) -> Tensor:
    """Raw maps -> boxes and scores.

    Args:
        maps: L of (N, 1, H, W, 4 R + C): R logits for the left side, R for top, right, bottom; class logits.
    Returns:
        (N, P, 5 + C), at least float32: x, y, w, h in pixels, 1, sigmoid scores.

    >>> decode_yolov8([torch.zeros(1, 1, 1, 2, 4 * 3 + 1)], [8], 1)[0]  # each side is 0, 1 or 2 cells away: 1
    tensor([[ 4.0000,  4.0000, 16.0000, 16.0000,  1.0000,  0.5000],
            [12.0000,  4.0000, 16.0000, 16.0000,  1.0000,  0.5000]])
    """
    bins = (maps[0].shape[-1] - num_classes) // 4
    shapes = level_shapes(maps, [1] * len(strides), 4 * bins + num_classes)
    flat = flatten(maps)
    points = grid_points(shapes, strides, flat)
    sides, logits = split_columns(flat, bins)
    boxes = decode_distances(decode_distribution(sides) * points.stride, points.xy)  # (N, P, 4)
    return torch.cat((xyxy_to_xywh(boxes), torch.ones_like(boxes[..., :1]), logits.sigmoid()), -1)


def split_columns(flat: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """(..., 4 R + C) -> logits of the distances (..., 4, R) and of the classes (..., C)."""
    return flat[..., : 4 * bins].unflatten(-1, (4, bins)), flat[..., 4 * bins :]


def distribution_focal_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy towards the two bins beside each distance: ``-(l + 1 - t) log p_l - (t - l) log p_(l + 1)``.

    YOLOv8: ``DFLoss``.

    Args:
        logits: (..., R). distances: (...) in bins; below 0 and above R - 1.01 as if they were there.
    Returns:
        (...). Its gradient in the logits is softmax - target.

    >>> distribution_focal_loss(torch.zeros(4), torch.tensor(1.3))  # -0.7 log 0.25 - 0.3 log 0.25
    tensor(1.3863)
    """
    return -(encode_distribution(distances, logits.shape[-1]) * logits.log_softmax(-1)).sum(-1)


class Asked(NamedTuple):
    """What the loss asks of each point, and what each costs."""

    objects: PaddedObjects
    aligned: TaskAligned
    target: Tensor  # (N, P) int64, a row of targets or -1
    losses: Yolov8Parts  # fields (N, P)


class Yolov8Loss(nn.Module):
    """YOLOv8's loss. There: ``v8DetectionLoss``, with ``BboxLoss`` for the positives.

    With S the sum of all target scores of the batch (at least 1) and w the target score of a positive point::

        cls = gain * sum over all points and classes of BCE / S
        box = gain * sum over positives of (1 - CIoU) * w / S
        dfl = gain * sum over positives of the mean of the four sides' distribution focal loss * w / S

    Args:
        strides: L, pixels per cell; images are multiples of the smallest. num_classes: C. reg_max: R.

    Attributes:
        dropped: how many objects had no point matched to them, since this loss was made.

    >>> loss = Yolov8Loss([8, 16], 2, reg_max=8)
    >>> maps = [torch.zeros(1, 1, 8, 8, 34), torch.zeros(1, 1, 4, 4, 34)]
    >>> targets = torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.4]])
    >>> assigned = loss.assign(maps, targets)
    >>> torch.allclose(assigned.losses.total.sum(), loss(maps, targets).total), (assigned.role > 0).sum().item()
    (True, 10)
    """

    def __init__(
        self,
        strides: Sequence[int],
        num_classes: int,
        settings: Yolov8Settings | None = None,
        reg_max: int = 16,
    ) -> None:
        super().__init__()
        if num_classes < 1 or reg_max < 2:
            raise ValueError(f"num_classes {num_classes} must be at least 1, reg_max {reg_max} at least 2")
        self.strides, self.num_classes, self.reg_max = tuple(strides), num_classes, reg_max
        self.settings, self.dropped = settings or Yolov8Settings(), 0

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> Yolov8Parts:
        """The loss of a batch.

        Args:
            maps: L of (N, 1, H, W, 4 R + C), or 2 L: then the last L are auxiliary ones, whose loss is added with
                the weight ``settings.auxiliary``. targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        asked = self.ask(maps, targets)
        self.dropped += count_dropped(targets, matches_of(asked.target))
        parts = summed(asked.losses)
        return parts._replace(total=(parts.box + parts.cls + parts.dfl) * len(maps[0]))

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """For every point its role, its object and its losses: the terms of the loss, not added up.

        Of 2 L maps the first L say which points are positive; a point's losses are those of both its predictions.
        """
        asked = self.ask(maps, targets)
        role = torch.where(asked.target >= 0, POSITIVE, NEGATIVE).to(torch.int8)
        cells = prediction_cells(self.shapes(maps)).to(role.device)
        return AssignedPredictions(role, asked.target, asked.losses, matches_of(asked.target), cells)

    def ask(self, maps: Sequence[Tensor], targets: Tensor) -> Asked:
        """Matches, each step on the way to them, and the loss of every point."""
        shapes, levels = self.shapes(maps), len(self.strides)
        check_targets(targets, len(maps[0]), self.num_classes)
        # a few rows: to look through them image by image, a GPU would wait each time
        objects = objects_of_images(targets.cpu(), image_size(shapes, self.strides), len(maps[0]), torch.device("cpu"))
        padded = PaddedObjects(*(each.to(maps[0].device) for each in pad_objects(objects)))
        aligned, losses = self.losses(maps[:levels], shapes, padded)
        if len(maps) > levels:
            _, auxiliary = self.losses(maps[levels:], shapes, padded)
            pairs = zip(losses, auxiliary, strict=True)
            losses = Yolov8Parts(*(main + self.settings.auxiliary * other for main, other in pairs))
        row = padded.row.gather(1, aligned.slot.clamp(min=0))  # (N, P)
        return Asked(padded, aligned, torch.where(aligned.slot >= 0, row, -1), losses)

    def shapes(self, maps: Sequence[Tensor]) -> Shapes:
        """(1, H, W) of each level; a ValueError for maps that this loss does not take."""
        levels, columns = len(self.strides), 4 * self.reg_max + self.num_classes
        if len(maps) != 2 * levels:
            return level_shapes(maps, [1] * levels, columns)
        shapes = level_shapes(maps, [1] * 2 * levels, columns)
        if shapes[:levels] != shapes[levels:]:
            raise ValueError(f"auxiliary maps must have the grids of the others: {shapes[levels:]}, {shapes[:levels]}")
        return shapes[:levels]

    def losses(self, maps: Sequence[Tensor], shapes: Shapes, objects: PaddedObjects) -> tuple[TaskAligned, Yolov8Parts]:
        """The assignment of L maps, and the loss of every point."""
        flat, settings = flatten(maps), self.settings  # (N, P, 4 R + C)
        objects = objects._replace(xyxy=objects.xyxy.to(flat.dtype))
        points = grid_points(shapes, self.strides, flat)
        sides, logits = split_columns(flat, self.reg_max)  # (N, P, 4, R), (N, P, C)
        boxes = decode_distances(decode_distribution(sides), points.xy / points.stride)  # (N, P, 4) in cells
        with torch.no_grad():
            aligned = assign_task_aligned(
                logits.sigmoid(), boxes * points.stride, points.xy, objects,
                settings.topk, settings.alpha, settings.beta, settings.min_side,
            )  # fmt: skip
        scores = aligned.target_scores  # (N, P, C)
        divisor = scores.sum().clamp(min=1)  # S
        bce = functional.binary_cross_entropy_with_logits(logits, scores, reduction="none")
        cls = settings.cls * bce.sum(-1) / divisor  # (N, P)

        place = image, point = (aligned.slot >= 0).nonzero(as_tuple=True)  # (p,) each
        weight = scores[place].sum(-1) / divisor  # (p,)
        target = objects.xyxy[image, aligned.slot[place]] / points.stride[point]  # (p, 4) in cells
        overlap = bbox_iou(boxes[place], target, "ciou", "xyxy")  # (p,)
        distances = encode_distances(target, points.xy[point] / points.stride[point])  # (p, 4)
        dfl = distribution_focal_loss(sides[place], distances).mean(-1)  # (p,)
        box, dfl = (
            torch.zeros_like(cls).index_put(place, gain * values * weight)
            for gain, values in ((settings.box, 1 - overlap), (settings.dfl, dfl))
        )
        return aligned, Yolov8Parts((box + cls + dfl) * len(flat), box, cls, dfl)


def matches_of(target: Tensor) -> PredictionMatches:
    """(N, P) rows of targets, -1 where there is none -> the pairs of points and objects."""
    image, point = (target >= 0).nonzero(as_tuple=True)
    return PredictionMatches(image, point, target[image, point])
