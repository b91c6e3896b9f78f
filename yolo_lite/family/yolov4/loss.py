"""The loss of YOLOv4 and Scaled-YOLOv4, as Darknet computes it, and with the true gradient of the overlaps.

Numbers of rules are those of the package, ``yolo_lite.family.yolov4``.

Shape letters: N batch, L levels, A anchors of a level, K of all levels, H W grid, C classes, m matches of a level, p
predictions of a level that have a match.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from yolo_lite.boxes import IouKind, iou_terms
from yolo_lite.coding import AnchorCoding, encode_matches
from yolo_lite.family.common import add_at, shape_iou, sum_of_squares
from yolo_lite.family.yolov3.heads import AnchorHeadLoss, LevelTerms
from yolo_lite.family.yolov3.loss import half_square, size_weight
from yolo_lite.family.yolov3.matching import Positives, View, matches_at, positives
from yolo_lite.family.yolov4.overlap_step import overlap_step
from yolo_lite.family.yolov4.settings import Yolov4Settings
from yolo_lite.loss.criterion import Faithful
from yolo_lite.loss.focal import smooth_targets
from yolo_lite.loss.targets import Assignment

CLASS_SCORE_OF_IGNORED = 0.25  # rule 1: a prediction is ignored only where it is this sure of some class
LIKELY_EPS = 1e-15  # rule 5: keeps the logarithm of focal finite
# Overlaps are taken in thousandths of the image: what bbox_iou adds to areas, 1e-7, is nothing beside them.
THOUSANDTHS = 1000.0


class Yolov4Assignment(NamedTuple):
    """What YOLOv4 asks of a level's predictions; constants for the gradient."""

    matches: Assignment  # in Darknet's order: object by object, the best anchor first
    additional: Tensor  # (m,) bool: not the object's best anchor, but similar enough (rule 2b)
    positive: Positives
    ignored: Tensor  # (N, A, H, W) bool, no objectness loss, or with objectness_smooth one towards the IoU
    objectness: Tensor  # (N, A, H, W) targets
    classes: Tensor  # (p, C) targets
    class_weight: Tensor  # (p, C) of the class loss: 1, or what focal makes of it
    mse_weight: Tensor  # (m,) of the squared errors, 2 - w * h of the object
    divisor: Tensor  # (p,) of the box loss: how many classes are pushed up (rule 6)
    alpha: Tensor  # (m,) ciou's weight of the aspect ratios


class Yolov4Loss(AnchorHeadLoss[Yolov4Assignment]):
    """YOLOv4's loss: the best anchor and others similar enough for each object, boxes compared by their overlap.

    Args:
        anchors: (K, 2) pixels, all of them: each object belongs to the one most like it in shape, and with
            iou_thresh below 1 to others, of all levels, too.
        masks: which of these each level has. strides: (L,) pixels per cell. num_classes: C.
        settings: see ``Yolov4Settings``; of all levels, or one for each.
        gain: factor of every term.
        faithful: both have the same values, iou_normalizer (1 - overlap) for boxes, and differ where iou_kind is not
            "mse": the gradient of "paper" is the derivative of that through the decode (ciou's alpha a constant),
            that of "darknet" is Darknet's step, ``overlap_step``, which leaves out the decode but for exp.
            focal's weights are constants in both.

    >>> anchors = [[10, 13], [16, 30], [33, 23]]
    >>> loss = Yolov4Loss(anchors, [[0, 1, 2]], [8], 2, Yolov4Settings(iou_kind="ciou", iou_thresh=0.2))
    >>> parts = loss([torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.375]]))
    >>> [round(part.item(), 4) for part in parts]
    [134.565, 0.7876, 131.0048, 2.7726]
    """

    def __init__(
        self,
        anchors: Tensor | Sequence[Sequence[float]],
        masks: Sequence[Sequence[int]],
        strides: Sequence[float] | Tensor,
        num_classes: int,
        settings: Yolov4Settings | Sequence[Yolov4Settings] | None = None,
        gain: float = 1.0,
        faithful: Faithful = "darknet",
    ) -> None:
        super().__init__(anchors, masks, strides, num_classes, gain, faithful)
        settings = Yolov4Settings() if settings is None else settings
        each = [settings] * len(self.masks) if isinstance(settings, Yolov4Settings) else list(settings)
        if len(each) != len(self.masks):
            raise ValueError(f"{len(each)} settings for {len(self.masks)} levels: give one for all or one per level")
        self.settings = each

    def coding(self, level: int) -> AnchorCoding:
        """How the boxes of a level are written."""
        return self.settings[level].coding

    def max_boxes(self, level: int) -> int:
        """How many objects of an image a level sees."""
        return self.settings[level].max_boxes

    def numbers(self, raw: Tensor, level: int) -> Tensor:
        """What the layer gets: the raw map, or with new_coords its logistic values."""
        return raw.sigmoid() if self.settings[level].new_coords else raw

    # What is asked of whom

    def assign_level(self, raw: Tensor, view: View) -> Yolov4Assignment:
        """Rules 1, 2, 5 and 6 of one level: matches, ignored predictions and constants of the loss."""
        settings = self.settings[view.level]
        matches, additional = self._matched_anchors(view, settings)
        positive = positives(matches, view.shape)
        objectness, ignored = self._objectness(raw, view, settings, positive)
        logits = raw.flatten(0, 3)[positive.cells]  # (p, 5 + C)
        scores = logits[:, 5:].sigmoid()
        classes, class_weight = class_targets(scores, matches.cls, positive, settings)
        divisor = torch.ones_like(logits[:, 4])
        if settings.iou_thresh < 1:
            divisor = pushed_up(scores, classes, class_weight)
            obj = self._objectness_step(raw, settings, objectness).flatten()[positive.cells]
            divisor = torch.where(obj != 0, divisor.clamp(min=1), 1)
        numbers = self.numbers(raw, view.level).flatten(0, 3)[positive.cells][positive.slot]
        predicted, truth = self._boxes(numbers, view.level, matches, view.shape)
        return Yolov4Assignment(
            matches=matches,
            additional=additional,
            positive=positive,
            ignored=ignored,
            objectness=objectness,
            classes=classes,
            class_weight=class_weight,
            mse_weight=size_weight(matches, view),
            divisor=divisor,
            alpha=iou_terms(predicted * THOUSANDTHS, truth * THOUSANDTHS).alpha,
        )

    def _matched_anchors(self, view: View, settings: Yolov4Settings) -> tuple[Assignment, Tensor]:
        """Rule 2: the best anchor of all (a), and any other of this level that is similar enough (b)."""
        similar = shape_iou(view.sizes, view.anchors) > (settings.iou_thresh if settings.iou_thresh < 1 else torch.inf)
        position, anchor = (view.is_best | similar).nonzero().unbind(1)
        additional = ~view.is_best[position, anchor]
        order = (2 * position + additional).argsort(stable=True)  # the best of an object before its others
        return matches_at(view, position[order], anchor[order]), additional[order]

    def _objectness(
        self, raw: Tensor, view: View, settings: Yolov4Settings, positive: Positives
    ) -> tuple[Tensor, Tensor]:
        """Rule 1, and 3 as far as it is about objectness: targets and what is ignored, (N, A, H, W) each."""
        found = view.overlaps
        over = (found.iou > settings.ignore_thresh) & (found.class_score > CLASS_SCORE_OF_IGNORED)
        target, matched = torch.zeros_like(found.iou), positive.cells
        if settings.objectness_smooth:
            target = torch.where(over, found.iou, target)
            # Rule 3 asks for 1 only where the step is exactly 0: else a match is background, or trained to its IoU.
            step = self._objectness_step(raw, settings, target).flatten()[matched]
            target.view(-1)[matched[step == 0]] = 1
        else:
            target.view(-1)[matched] = 1
        over.view(-1)[matched] = False
        return target, over

    def _objectness_step(self, raw: Tensor, settings: Yolov4Settings, target: Tensor) -> Tensor:
        """The layer's gradient by objectness where nothing is ignored, (N, A, H, W)."""
        return settings.obj_normalizer * (raw[..., 4].sigmoid() - target)

    # What each costs

    def level_terms(self, numbers: Tensor, level: int, assigned: Yolov4Assignment) -> LevelTerms:
        """Rules 1 and 3 to 6: box, objectness and class loss of each prediction."""
        settings, shape, cells = self.settings[level], numbers.shape[:4], assigned.positive.cells
        score_loss = _half_squares if settings.new_coords else _cross_entropies
        obj = settings.obj_normalizer * score_loss(numbers[..., 4], assigned.objectness)
        if not settings.objectness_smooth:
            obj = obj * ~assigned.ignored
        positive = numbers.flatten(0, 3)[cells]  # (p, 5 + C)
        cls = (assigned.class_weight * score_loss(positive[:, 5:], assigned.classes)).sum(1)  # (p,)
        slot = assigned.positive.slot
        matched = positive[slot, :4]  # (m, 4)
        if settings.iou_kind == "mse":
            box = self._squared_errors(matched, settings, assigned)
        else:
            box = self._overlap_loss(matched, settings.iou_kind, level, assigned, shape)
        box = settings.iou_normalizer * box / assigned.divisor[slot]  # (m,), rules 3 and 6
        return add_at(cells[slot], box, shape), obj.flatten(1), add_at(cells, cls, shape)

    def _squared_errors(self, numbers: Tensor, settings: Yolov4Settings, assigned: Yolov4Assignment) -> Tensor:
        """Rule 4, mse: (m,). The gradient by x is X - target, X the scaled value, without the scale as a factor."""
        scale, matches = settings.scale_x_y, assigned.matches
        inside = (matches.box[:, :2] + (scale - 1) / 2) / scale  # (m, 2) what the logistic value should be
        if settings.new_coords:
            size = (matches.box[:, 2:] / matches.anchor_wh).sqrt() / 2  # beyond 1 out of reach
            centre, size_loss = _half_squares(numbers[:, :2], inside), _half_squares(numbers[:, 2:], size)
        else:
            size = encode_matches(matches.box, matches.anchor_wh, settings.coding)[:, 2:]
            centre, size_loss = _cross_entropies(numbers[:, :2], inside), half_square(numbers[:, 2:] - size)
        return assigned.mse_weight * (scale * centre + size_loss).sum(1)

    def _overlap_loss(
        self, numbers: Tensor, kind: IouKind, level: int, assigned: Yolov4Assignment, shape: Sequence[int]
    ) -> Tensor:
        """Rule 4, the overlaps: (m,) 1 - overlap, with Darknet's step as gradient or the true one."""
        predicted, truth = self._boxes(numbers, level, assigned.matches, shape)
        terms = iou_terms(predicted * THOUSANDTHS, truth * THOUSANDTHS)
        loss = 1 - terms._replace(alpha=assigned.alpha).value(kind)
        if self.faithful == "paper":
            return loss
        step, settings = -overlap_step(predicted.detach(), truth, kind), self.settings[level]
        if not settings.new_coords:
            step = torch.cat((step[:, :2], step[:, 2:] * numbers[:, 2:].detach().exp()), 1)
        step = self._clipped(step, settings)
        # The value of the loss with a gradient that is none of it: numbers - numbers.detach() is 0, its derivative 1
        return loss.detach() + (step * (numbers - numbers.detach())).sum(1)

    def _clipped(self, step: Tensor, settings: Yolov4Settings) -> Tensor:
        """Rule 4: no nan, nothing infinite, and of each match at most max_delta after the normalizer."""
        step = step.nan_to_num(0.0, 0.0, 0.0)
        if settings.max_delta is None or settings.iou_normalizer == 0:
            return step
        limit = settings.max_delta / settings.iou_normalizer
        return step.clamp(-limit, limit)

    def _boxes(self, numbers: Tensor, level: int, matches: Assignment, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Predicted boxes and objects of m matches, (m, 4) from the cell's corner, as fractions of the image.

        ``coding.decode_matches`` for numbers that have been through the logistic function, or not.
        """
        settings, coding = self.settings[level], self.settings[level].coding
        s = numbers[:, :4] if settings.new_coords else numbers[:, :4].sigmoid()
        size = coding.size_ratio(numbers[:, 2:4], s[:, 2:]) * matches.anchor_wh
        grid = numbers.new_tensor([shape[3], shape[2]] * 2)
        return torch.cat((coding.centre(s[:, :2]), size), 1) / grid, matches.box / grid

    def level_cost(self, gradient: Tensor, raw: Tensor, level: int, assigned: Yolov4Assignment) -> float:
        """Rule 7: squares of the gradient; with overlaps the mean of 1 - IoU (or GIoU) in place of the box's."""
        settings = self.settings[level]
        if settings.iou_kind == "mse":
            return sum_of_squares([gradient])
        scores = settings.obj_normalizer * sum_of_squares([gradient[..., 4:]])
        if not len(assigned.additional):
            return scores
        numbers = self.numbers(raw, level).flatten(0, 3)[assigned.positive.cells][assigned.positive.slot]
        predicted, truth = self._boxes(numbers, level, assigned.matches, raw.shape)
        terms = iou_terms(predicted * THOUSANDTHS, truth * THOUSANDTHS)
        overlap = terms.value("giou" if settings.iou_kind == "giou" else "iou")
        return settings.iou_normalizer * float((1 - overlap).mean()) + scores


def class_targets(scores: Tensor, cls: Tensor, positive: Positives, settings: Yolov4Settings) -> tuple[Tensor, Tensor]:
    """Rule 5: what each matched prediction's classes are trained towards, and with what weight.

    The first object sets all classes, each further one only its own, to a positive without focal's weight.

    Args:
        scores: (p, C) logistic class values. cls: (m,) classes of the objects.
    Returns:
        (p, C) targets, (p, C) weights.
    """
    first_cls = cls[positive.first]  # (p,)
    target = smooth_targets(0.0 if settings.focal else settings.label_smooth_eps)
    classes = torch.full_like(scores, target.negative)
    classes[positive.slot, cls] = target.positive
    weight = torch.ones_like(scores)
    if settings.focal:
        likely = scores.gather(1, first_cls[:, None]) + LIKELY_EPS  # (p, 1)
        weight = (0.5 * focal_factor(likely)).expand_as(scores).clone()
        further = torch.ones_like(cls, dtype=torch.bool)  # (m,)
        further[positive.first] = False
        weight[positive.slot[further], cls[further]] = 1
    return classes, weight


def focal_factor(likely: Tensor) -> Tensor:
    """Darknet's factor of class gradients: the derivative of the focal loss with gamma 2, over that of the logarithm.

    >>> focal_factor(torch.tensor([0.1, 0.9]))
    tensor([1.2245, 0.0290])
    """
    return -(1 - likely) * (2 * likely * likely.log() + likely - 1)


def pushed_up(scores: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """Rule 6: how many classes of each matched prediction are trained towards a higher score, (p, C) -> (p,)."""
    return ((weight * (scores - classes)) < 0).sum(1).to(scores)


def _half_squares(activated: Tensor, target: Tensor) -> Tensor:
    return half_square(activated - target)


def _cross_entropies(logits: Tensor, target: Tensor) -> Tensor:
    return bce(logits, target, reduction="none")
