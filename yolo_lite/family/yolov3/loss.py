"""The loss of YOLOv3, as Darknet computes it and as the paper describes it.

Numbers of rules are those of the package, ``yolo_lite.family.yolov3``.

Shape letters: N batch, L levels, A anchors of a level, K of all levels, H W grid, C classes, m matches of a level, p
predictions of a level that have a match.
"""

import dataclasses
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from yolo_lite.coding import YOLOV3, AnchorCoding, encode_matches
from yolo_lite.family.common import add_at, check_setting, sum_of_squares
from yolo_lite.family.yolov3.heads import AnchorHeadLoss, LevelTerms
from yolo_lite.family.yolov3.matching import Positives, View, join, matches_at, matches_of_predictions, positives
from yolo_lite.hyperparameters import described, descriptions, probability
from yolo_lite.loss.criterion import Faithful
from yolo_lite.loss.targets import Assignment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PAPER_IGNORE_THRESH = 0.5  # the paper's; the published descriptions say .7
# The paper's target of x is the logit of where the centre is in its cell, infinite at the cell's border. There the
# paper form asks for a hundredth of a cell inside: |t| stays below 4.6.
BORDER = 0.01


@dataclasses.dataclass(frozen=True)
class Yolov3Settings:
    """The options of Darknet's yolo layer that YOLOv3 uses; defaults are those of the published description."""

    ignore_thresh: float = probability(0.7, "IoU with an object above which a prediction is not background")
    truth_thresh: float = probability(1.0, "IoU with an object above which a prediction is matched to it; 1: never")
    max_boxes: int = described(90, "objects of an image that are seen, in their order", low=1)

    def __post_init__(self) -> None:
        check_ranges(self)


def check_ranges(settings: "DataclassInstance") -> None:
    """ValueError for a number outside the range that its description gives. None, "without", is in range."""
    for name, (_, _, low, high) in descriptions(type(settings)).items():
        value = getattr(settings, name)
        must = f"at least {low:g}" if high == inf else f"between {low:g} and {high:g}"
        must = f"{low:g}" if low == high else must
        check_setting(settings, name, value is None or low <= value <= high, must)


class Yolov3Assignment(NamedTuple):
    """What YOLOv3 asks of a level's predictions; constants for the gradient."""

    matches: Assignment  # in Darknet's order. offset OVER_THRESHOLD: by rule 2, in the predicted box's cell
    positive: Positives
    ignored: Tensor  # (N, A, H, W) bool, no objectness loss
    classes: Tensor  # (p, C) targets: 1 for the class of each of the matches
    weight: Tensor  # (m,) of the box loss, 2 - w * h of the object


class Yolov3Loss(AnchorHeadLoss[Yolov3Assignment]):
    """YOLOv3's loss: one anchor of all for each object, cross entropies, half squares of the sizes.

    Sums over images, cells and anchors; Darknet divides by the batch when it updates the weights (``gain``).

    Args:
        anchors: (K, 2) pixels, all of them: each object belongs to the one most like it in shape.
        masks: which of these each level has. strides: (L,) pixels per cell. num_classes: C.
        settings: see ``Yolov3Settings``. gain: factor of every term.
        faithful: "darknet": the box term is (2 - w h) (BCE(x) + BCE(y) + half squares of t_w, t_h), w and h of the
            object as fractions of the image, and the cross entropies have soft targets, the centre in its cell.
            "paper": half squares of all four t, without that weight, so that the gradient is prediction less target
            as the paper has it; predictions are ignored above .5 whatever the settings say. Where the target of
            t_x or t_y would be infinite, at a cell's border, it is that of a hundredth of a cell inside (``BORDER``).

    >>> anchors = [[10, 13], [16, 30], [33, 23]]
    >>> loss = Yolov3Loss(anchors, [[0, 1, 2]], [8], 2)
    >>> parts = loss([torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.375]]))
    >>> [round(part.item(), 4) for part in parts]
    [136.9857, 2.5152, 133.0842, 1.3863]
    """

    def __init__(
        self,
        anchors: Tensor | Sequence[Sequence[float]],
        masks: Sequence[Sequence[int]],
        strides: Sequence[float] | Tensor,
        num_classes: int,
        settings: Yolov3Settings | None = None,
        gain: float = 1.0,
        faithful: Faithful = "darknet",
    ) -> None:
        super().__init__(anchors, masks, strides, num_classes, gain, faithful)
        settings = settings or Yolov3Settings()
        paper = faithful == "paper"
        self.settings = dataclasses.replace(settings, ignore_thresh=PAPER_IGNORE_THRESH) if paper else settings

    def coding(self, level: int) -> AnchorCoding:
        """The same at all levels."""
        return YOLOV3

    def max_boxes(self, level: int) -> int:
        """The same at all levels."""
        return self.settings.max_boxes

    def assign_level(self, raw: Tensor, view: View) -> Yolov3Assignment:
        """Rules 1 to 5 of one level: who is matched to what, and who is ignored."""
        threshold = self.settings.truth_thresh
        over = matches_of_predictions(view, threshold if threshold < 1 else inf)  # rule 2; 1: even if rounded up
        position, anchor = view.is_best.nonzero().unbind(1)  # rules 3 and 5: its best anchor is one of this level's
        matches = join(over, matches_at(view, position, anchor))
        positive = positives(matches, view.shape)
        ignored = view.overlaps.iou > self.settings.ignore_thresh  # rule 1: of any object, also another level's
        ignored.view(-1)[positive.cells] = False
        classes = raw.new_zeros(len(positive.cells), self.num_classes)
        classes[positive.slot, matches.cls] = 1  # rule 4: the classes of all objects
        return Yolov3Assignment(matches, positive, ignored, classes, size_weight(matches, view))

    def level_terms(self, numbers: Tensor, level: int, assigned: Yolov3Assignment) -> LevelTerms:
        """Rules 1, 3 and 4: box, objectness and class loss of each prediction."""
        shape, cells = numbers.shape[:4], assigned.positive.cells
        objectness = add_at(cells, torch.ones_like(cells).to(numbers), shape)  # (N, A * H * W) targets
        obj = bce(numbers[..., 4].flatten(1), objectness, reduction="none") * ~assigned.ignored.flatten(1)
        positive = numbers.flatten(0, 3)[cells]  # (p, 5 + C)
        cls = bce(positive[:, 5:], assigned.classes, reduction="none").sum(1)  # (p,)
        box = self._box(positive[:, :4], assigned)
        return add_at(cells, box, shape), obj, add_at(cells, cls, shape)

    def _box(self, t: Tensor, assigned: Yolov3Assignment) -> Tensor:
        """(p, 4) raw -> (p,) box loss towards the last match of each."""
        last = assigned.positive.last  # rule 4
        matches, weight = assigned.matches, assigned.weight[last]
        box, anchor_wh = matches.box[last], matches.anchor_wh[last]
        if self.faithful == "paper":
            inside = torch.cat((box[:, :2].clamp(BORDER, 1 - BORDER), box[:, 2:]), 1)
            return half_square(t - encode_matches(inside, anchor_wh, YOLOV3)).sum(1)
        size = encode_matches(box, anchor_wh, YOLOV3)[:, 2:]
        centre = bce(t[:, :2], box[:, :2], reduction="none").sum(1)  # rule 3: its gradient is s - target
        return weight * (centre + half_square(t[:, 2:] - size).sum(1))

    def level_cost(self, gradient: Tensor, raw: Tensor, level: int, assigned: Yolov3Assignment) -> float:
        """Rule 5: the squares of the gradient."""
        return sum_of_squares([gradient])


def size_weight(matches: Assignment, view: View) -> Tensor:
    """(m,) 2 - w * h of the object, as fractions of the image: small objects count more."""
    return 2 - matches.box[:, 2:].prod(1) / (view.grid[0] * view.grid[1])


def half_square(difference: Tensor) -> Tensor:
    """Darknet's squared errors, each with the difference as its gradient."""
    return difference.square() / 2
