"""Matching by another rule than YOLOv5's: what the assign of a detector's own loss says, anchor by anchor.

The anchors are what ``decode`` makes of raw maps that are 0: an anchor in its cell, in every generation that has any.

Shape letters: n predictions per image in the order of ``decode``, m objects.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from walkthrough.explorers.pictures import Annotated, images_of, taking, targets_of
from walkthrough.gradients import maps_of
from yolo_lite.boxes import box_iou, xywh_to_xyxy
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import AssignedPredictions


@dataclass(frozen=True, eq=False)
class OtherMatches:
    """The matches of the shown picture under a detector's own rule."""

    picture: Annotated
    names: tuple[str, ...]
    rule: str  # the name of the loss's class
    object: int  # the chosen one
    level: int  # whose grid is drawn
    anchor: int  # the chosen one of that level
    new_class: int
    strides: tuple[int, ...]
    cells: Tensor  # (n, 4) level, anchor, row, column
    anchors: Tensor  # (n, 4) xywh in pixels
    role: Tensor  # (n,) as in AssignedPredictions
    pairs: Tensor  # (k, 2) prediction and object of each match
    overlaps: Tensor  # (n,) IoU of each anchor, where it is, with the chosen object; 0 without one
    shapes: Tensor  # (n,) IoU of the two if they had the same centre

    def matches_of(self, index: int) -> Tensor:
        """(k,) the predictions matched to an object."""
        return self.pairs[self.pairs[:, 1] == index, 0]


class OtherRule:
    """A detector that has anchors and a loss of its own; passes over the last picture are kept."""

    def __init__(self, model: Any, picture: Annotated) -> None:
        self.model = model
        self.strides = tuple(int(stride) for stride in model.strides)
        self._passed: tuple[Any, list[Tensor], Tensor, AssignedPredictions] | None = None
        _, maps, anchors, assigned = self._pass(picture)
        # more numbers than a box, an objectness and the classes: the distances of sides, bin by bin
        has_bins = maps[0].ndim == 5 and maps[0].shape[-1] > 5 + int(model.num_classes)
        if has_bins or not bool((anchors[:, 2:] > 0).all()):
            raise ValueError(
                f"{type(model).__name__} has no anchors, so there is nothing to match objects with here: "
                "FamilyExplorer, LossExplorer and GradientExplorer show what its loss asks of each prediction"
            )
        self._cells = assigned.cells.cpu()

    def anchors_of_level(self, level: int) -> int:
        """How many anchors a level has in each cell."""
        own = self._cells[self._cells[:, 0] == level, 1]
        return int(own.max()) + 1 if len(own) else 0

    def matches(
        self, picture: Annotated, index: int, level: int, anchor: int, names: tuple[str, ...], new_class: int
    ) -> OtherMatches:
        """What the loss's assign says of a picture."""
        maps, anchors = self._pass(picture)[1:3]
        assigned = self._assign(maps, picture)
        boxes = xywh_to_xyxy(anchors)
        overlaps = shapes = torch.zeros(len(anchors))
        if picture.boxes:
            own = torch.tensor([picture.boxes[index][:4]])
            overlaps = box_iou(boxes, own)[:, 0]
            half = anchors[:, 2:] / 2
            side = (own[:, 2:] - own[:, :2]) / 2
            shapes = box_iou(torch.cat((-half, half), 1), torch.cat((-side, side), 1))[:, 0]
        pairs = torch.stack((assigned.matches.prediction, assigned.matches.target), 1).cpu()
        return OtherMatches(
            *(picture, names, type(self._loss(picture)).__name__, index, level, anchor, new_class, self.strides),
            *(self._cells, anchors, assigned.role[0].cpu(), pairs, overlaps, shapes),
        )

    def _pass(self, picture: Annotated) -> tuple[Any, list[Tensor], Tensor, AssignedPredictions]:
        if self._passed is None or self._passed[0] is not picture.pixels:
            with taking(picture):
                maps = maps_of(self.model, images_of((picture,), self.model))
                with torch.no_grad():
                    anchors = self.model.decode([torch.zeros_like(raw) for raw in maps])[0, :, :4].float().cpu()
            self._passed = picture.pixels, maps, anchors, self._assign(maps, picture)
        return self._passed

    def _loss(self, picture: Annotated) -> Any:
        return self.model.criterion(Hyperparameters(), max(picture.size))

    def _assign(self, maps: list[Tensor], picture: Annotated) -> AssignedPredictions:
        targets = targets_of((picture,))
        targets[:, 1] %= self.model.num_classes  # matching does not look at classes: any picture will do
        with torch.no_grad():
            assigned: AssignedPredictions = self._loss(picture).assign([raw.clone() for raw in maps], targets)
        return assigned
