"""YOLOv7's loss: the form of YOLOv5's, on matches that depend on what the network predicts.

The paper states the assignment in words (see ``assignment.py``) and no gains: these are YOLOv5's.

Shape letters: L levels, N batch, A anchors, H W grid of a level, C classes, n targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from yolo_lite.family.common import check_count, check_gains, check_setting
from yolo_lite.family.yolov7.assignment import assign_by_cost, candidate_costs, unique_candidates
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss, LevelLoss, LossParts, add_levels
from yolo_lite.loss.targets import Assignment


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

    def __post_init__(self) -> None:
        check_gains(self, ("box", "obj", "cls", "iou_weight", "anchor_t"))
        check_setting(self, "anchor_t", self.anchor_t > 1, "above 1")
        check_count(self, "topk")


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
            maps: L of (N, A, H, W, 5 + C). targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        return add_levels(self.levels(maps, targets), len(maps[0]))

    def matches(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assignment]:
        """Of YOLOv5's matches, the candidates, those that cost least: see ``assignment``."""
        candidates = [
            unique_candidates(level, raw.shape[:4]).to(raw.device)
            for level, raw in zip(super().matches(maps, targets), maps, strict=True)
        ]
        costs = candidate_costs(maps, candidates, self.settings.iou_weight)
        chosen = assign_by_cost(costs, len(targets), self.settings.topk)
        kept = chosen.split([len(level.target) for level in candidates])
        return [Assignment(*(field[mask] for field in level)) for level, mask in zip(candidates, kept, strict=True)]
