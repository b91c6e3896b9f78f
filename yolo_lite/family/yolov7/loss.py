"""YOLOv7's loss: the form of YOLOv5's, on matches that depend on what the network predicts.

The paper states the assignment in words (see ``assignment.py``) and no gains: these are YOLOv5's. With an auxiliary
head, both heads learn, from what the lead head predicts (see ``auxiliary.py``).

Shape letters: L levels, N batch, A anchors, H W grid of a level, C classes, n targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from yolo_lite.family.common import check_count, check_gains, check_setting, working_type
from yolo_lite.family.yolov7.assignment import assign_by_cost, candidate_costs, only, unique_candidates
from yolo_lite.family.yolov7.auxiliary import coarse_labels, soft_labels
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import AssignedPredictions
from yolo_lite.loss.loss import ComputeLoss, LevelLoss, LossParts, add_levels
from yolo_lite.loss.targets import Assignment

Labels = Literal["coarse-to-fine", "same"]


@dataclass(frozen=True)
class Yolov7Settings:
    """The settings of YOLOv7's loss.

    Raises:
        ValueError: a number out of its range.
    """

    box: float = 0.05  # gains, as in ``Hyperparameters``; ``Yolov7Loss`` scales them as YOLOv5 does
    obj: float = 1.0
    cls: float = 0.5
    anchor_t: float = 4.0  # candidates: the largest factor between an object's side and an anchor's
    topk: int = 10  # of how many candidates the IoUs are summed to k; YOLOX
    iou_weight: float = 3.0  # of -log IoU in the cost; YOLOX's lambda
    # The next three are for networks with an auxiliary head; the paper prints no numbers, these are our own.
    auxiliary: float = 0.25  # weight of its loss
    labels: Labels = "coarse-to-fine"  # of the auxiliary head: with extra positives, or the "same" as the lead head's
    coarse: int = 2  # for the coarse labels, the IoUs of this many times topk candidates are summed to k

    def __post_init__(self) -> None:
        check_gains(self, ("box", "obj", "cls", "iou_weight", "anchor_t", "auxiliary"))
        check_setting(self, "anchor_t", self.anchor_t > 1, "above 1")
        check_count(self, "topk")
        check_count(self, "coarse")
        check_setting(self, "labels", self.labels in get_args(Labels), " or ".join(map(repr, get_args(Labels))))


class Yolov7Loss(ComputeLoss):
    """YOLOv7's loss of raw maps.

    Box, objectness and class loss are those of ``ComputeLoss``; the objectness target is the CIoU. Only the matches
    differ: a prediction is matched to one object at most, and a network that predicts better has more positives.

    Args:
        anchors: (L, A, 2) pixels. strides: L. num_classes: C. img_size: pixels of the training images.
    Attributes:
        dropped: how many objects had no prediction matched to them, since this loss was made.

    >>> import torch
    >>> anchors = torch.tensor([[[10.0, 13], [16, 30], [33, 23]]])
    >>> loss = Yolov7Loss(anchors, [8], 2, img_size=64)
    >>> maps, targets = [torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]])
    >>> assigned = loss.assign(maps, targets)  # of YOLOv5's 15 matches, 9 predictions, the three that cost least
    >>> assigned.role.sum().item(), torch.allclose(assigned.losses.total.sum(), loss(maps, targets).total)
    (3, True)
    """

    def __init__(
        self,
        anchors: Tensor,
        strides: Sequence[float] | Tensor,
        num_classes: int,
        settings: Yolov7Settings | None = None,
        img_size: int = 640,
    ) -> None:
        settings = settings or Yolov7Settings()
        hyp = Hyperparameters(box=settings.box, obj=settings.obj, cls=settings.cls, anchor_t=settings.anchor_t)
        super().__init__(anchors, strides, num_classes, hyp.scaled(len(strides), num_classes, img_size))
        self.settings, self.dropped = settings, 0

    def levels(self, maps: Sequence[Tensor], targets: Tensor) -> list[LevelLoss]:
        """The contribution of each level, before they are added up; counts the objects that were dropped."""
        levels = super().levels(maps, targets)
        matched = {row for level in levels for row in level.matches.target.tolist()}
        self.dropped += len(targets) - len(matched)
        return levels

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> LossParts:
        """The loss of a batch.

        Args:
            maps: L of (N, A, H, W, 5 + C), or 2 L: then the last L are those of the auxiliary head, whose loss is
                added with the weight ``settings.auxiliary``. targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        lead, auxiliary = self.heads(maps)
        levels = self.levels(lead, targets)
        parts = add_levels(levels, len(lead[0]))
        if not auxiliary:
            return parts
        others = add_levels(self.auxiliary_levels(lead, auxiliary, targets, levels), len(lead[0]))
        box, obj, cls = (
            one + self.settings.auxiliary * other for one, other in zip(parts[1:], others[1:], strict=True)
        )
        return LossParts((box + obj + cls) * len(lead[0]), box, obj, cls)

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """For every prediction its role, its object and its losses, as ``ComputeLoss.assign``.

        Of 2 L maps the first L say which predictions are positive; the losses at a place are those of both heads.
        """
        lead, auxiliary = self.heads(maps)
        levels = self._levels(lead, targets)
        assigned = self.assigned(levels)
        if not auxiliary:
            return assigned
        others = self.assigned(self.auxiliary_levels(lead, auxiliary, targets, levels)).losses
        pairs = zip(assigned.losses, others, strict=True)
        return assigned._replace(losses=LossParts(*(one + self.settings.auxiliary * other for one, other in pairs)))

    def heads(self, maps: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """L or 2 L maps -> the lead head's, and the auxiliary head's or none."""
        levels = len(self.strides)
        if len(maps) != 2 * levels:
            return maps, ()
        lead, auxiliary = maps[:levels], maps[levels:]
        found, expected = ([tuple(raw.shape) for raw in each] for each in (auxiliary, lead))
        if found != expected:
            raise ValueError(f"auxiliary maps must have the shapes of the others: {found}, {expected}")
        return lead, auxiliary

    def auxiliary_levels(
        self, lead: Sequence[Tensor], auxiliary: Sequence[Tensor], targets: Tensor, levels: Sequence[LevelLoss]
    ) -> list[LevelLoss]:
        """The contribution of each level of the auxiliary head, before its weight.

        Args:
            lead, auxiliary: L maps each. levels: the lead head's contributions, with its matches.
        """
        settings, labels = self.settings, [level.matches for level in levels]
        if settings.labels == "coarse-to-fine":
            candidates, topk = self.candidates(lead, targets), settings.coarse * settings.topk
            labels = coarse_labels(lead, candidates, labels, len(targets), topk, settings.iou_weight)
        rows = zip(lead, auxiliary, labels, self.balance, self._counts(labels, lead[0]), strict=True)
        return [
            self.level(raw.to(working_type(raw)), matches, balance, count, soft_labels(guide, matches))
            for guide, raw, matches, balance, count in rows
        ]

    def matches(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assignment]:
        """Of the candidates those that cost least: see ``assignment``."""
        candidates = self.candidates(maps, targets)
        costs = candidate_costs(maps, candidates, self.settings.iou_weight)
        return only(candidates, assign_by_cost(costs, len(targets), self.settings.topk))

    def candidates(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assignment]:
        """YOLOv5's matches, each pair of object and prediction once, where the maps are."""
        return [
            unique_candidates(level, raw.shape[:4]).to(raw.device)
            for level, raw in zip(super().matches(maps, targets), maps, strict=True)
        ]
