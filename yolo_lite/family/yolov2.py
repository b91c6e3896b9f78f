"""YOLOv2: anchors, centres held in their cell by a sigmoid, and an early loss that moves boxes to their anchors.

Sources: Redmon and Farhadi 2017 (arXiv 1612.08242), section 2; it gives no loss: that is Darknet's ``region`` layer.

Shape letters: N batch, A anchors, H W grid, C classes, m objects, n = A H W predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot, pad

from yolo_lite.coding import YOLOV3, decode_level, prediction_cells
from yolo_lite.family.common import (
    Objects,
    add_at,
    centre_iou,
    check_maps,
    check_setting,
    count_dropped,
    flat_index,
    gradients_in,
    last_on_place,
    object_cells,
    read_objects,
    sum_of_squares,
    summed,
    working_type,
)
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE, AssignedPredictions, PredictionMatches

Origin = Literal["pjreddie", "alexeyab"]
ANCHOR_PRIOR_SCALE = 0.01  # of the loss that moves boxes to their anchors


@dataclass(frozen=True)
class Yolov2Settings:
    """The loss of YOLOv2; Darknet: the options of a ``[region]`` section. Defaults: those of its yolov2-voc."""

    thresh: float = 0.6  # a prediction that overlaps an object more than this, in IoU, is not background
    softmax: bool = True  # class scores that add up to 1 (cross entropy), else each a sigmoid of its own
    rescore: bool = True  # the objectness target of a positive is its IoU, else 1
    bias_match: bool = True  # the anchor that fits an object best is responsible, else the predicted shape that does
    object_scale: float = 5.0  # weight of the objectness of positives
    noobject_scale: float = 1.0  # weight of the objectness of background
    class_scale: float = 1.0
    coord_scale: float = 1.0
    origin: Origin = "pjreddie"  # who weights small boxes more, by 2 - w h; "alexeyab" does not
    early_images: int = 12800  # until training has seen this many images, boxes are moved to their anchors
    max_boxes: int = 30  # objects of an image; more are dropped

    def __post_init__(self) -> None:
        check_setting(self, "thresh", 0 <= self.thresh <= 1, "an IoU from 0 to 1")
        check_setting(self, "origin", self.origin in get_args(Origin), "'pjreddie' or 'alexeyab'")
        check_setting(self, "max_boxes", self.max_boxes >= 1, "at least 1")
        for name in ("object_scale", "noobject_scale", "class_scale", "coord_scale", "early_images"):
            check_setting(self, name, getattr(self, name) >= 0, "at least 0")


class Yolov2LossParts(NamedTuple):
    """The loss of a batch, taken apart; every field a scalar that carries gradient. In ``assign``: (N, n)."""

    total: Tensor  # box + obj + cls + anchor_prior, as Darknet a sum over images, cells and anchors
    box: Tensor  # half squared errors of s(x), s(y), w, h of positives, times coord_scale and 2 - w h
    obj: Tensor  # half squared errors of s(objectness): of positives towards their IoU, of background towards 0
    cls: Tensor  # cross entropy of positives; with logistic classes binary cross entropy, all classes added up
    anchor_prior: Tensor  # early in training: moves all other boxes to their anchor, in the middle of their cell


class Yolov2Assignment(NamedTuple):
    """Which prediction is responsible for which object, and what it is trained towards; no gradient."""

    image: Tensor  # (m,) int64, as all the next ones: every object, in list order
    anchor: Tensor
    row: Tensor
    col: Tensor
    target: Tensor  # the row of targets
    cls: Tensor
    last: Tensor  # (m,) bool: no later object has the same prediction. The last one decides what it is trained towards
    box: Tensor  # (m, 4) target of s(x), s(y), w, h
    box_weight: Tensor  # (m,)
    objectness: Tensor  # (m,) target: the IoU that the box has now, or 1
    ignored: Tensor  # (N, A, H, W) bool: overlaps an object too much to be background
    early: bool  # whether boxes are moved to their anchors


class Yolov2Loss(nn.Module):
    """The loss of YOLOv2; follows ``Criterion``.

    An object is matched to one anchor, that of the most similar shape, in the cell of its centre. Of several objects
    at one prediction the last one counts.

    Args:
        anchors: (A, 2) pixels. stride: pixels per cell, 32 in all published networks. num_classes: C.
        gain: factor of everything; Darknet divides by the batch, in its learning rate.

    The buffer ``seen`` counts the images of all calls in training mode; ``state_dict`` keeps it, so that a run that
    is resumed is not young again. ``dropped`` counts objects that no prediction is responsible for.

    >>> loss = Yolov2Loss(torch.tensor([[32.0, 32.0], [64.0, 96.0]]), 32, 3).eval()
    >>> parts = loss([torch.zeros(1, 2, 2, 2, 8)], torch.tensor([[0, 1, 0.25, 0.25, 0.5, 0.5]]))
    >>> [round(part.item(), 4) for part in parts]  # the box is exactly right, its objectness half of what it should be
    [2.5986, 0.0, 1.5, 1.0986, 0.0]
    """

    seen: Tensor  # () int64, a buffer

    def __init__(
        self,
        anchors: Tensor,
        stride: float,
        num_classes: int,
        settings: Yolov2Settings | None = None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        anchors = torch.as_tensor(anchors).detach().clone().cpu()
        if anchors.ndim != 2 or anchors.shape[1] != 2 or not (anchors > 0).all():
            raise ValueError(f"anchors must be (A, 2) pixels above 0, not {tuple(anchors.shape)}: {anchors.tolist()}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        self.anchors, self.stride, self.num_classes = anchors, stride, num_classes
        self.settings, self.gain = settings or Yolov2Settings(), gain
        self.dropped = 0  # objects without a responsible prediction, in all calls so far
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> Yolov2LossParts:
        """The loss of a batch; in training mode its images are counted first.

        Args:
            maps: [raw (N, A, H, W, 5 + C)]. targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        self._check(maps)
        if self.training:
            self.seen += len(maps[0])
        assignment = self.assignments(maps, targets)
        self.dropped += count_dropped(targets, self._matches(assignment))
        return summed(self.of_assignments(maps, assignment))

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """What this loss asks of every prediction, and what each costs. Counts nothing.

        Ignored: the prediction overlaps an object more than ``thresh`` without being responsible for one; its
        objectness costs nothing.

        >>> loss = Yolov2Loss(torch.tensor([[32.0, 32.0], [32.0, 40.0]]), 32, 1)
        >>> assigned = loss.assign([torch.zeros(1, 2, 1, 2, 6)], torch.tensor([[0, 0, 0.25, 0.5, 0.5, 1.0]]))
        >>> assigned.role, assigned.target
        (tensor([[ 1,  0, -1,  0]], dtype=torch.int8), tensor([[ 0, -1, -1, -1]]))
        """
        assignment = self.assignments(maps, targets)
        losses = self.of_assignments(maps, assignment)
        matches = self._matches(assignment)
        target = torch.full_like(losses.total, -1, dtype=torch.int64)  # (N, n)
        image, prediction, row = (each[assignment.last] for each in matches)
        target[image, prediction] = row
        role = torch.full_like(target, NEGATIVE, dtype=torch.int8)
        role[assignment.ignored.flatten(1)] = IGNORED
        role[target >= 0] = POSITIVE
        cells = prediction_cells([maps[0].shape[1:4]]).to(target.device)
        return AssignedPredictions(role, target, losses, matches, cells)

    @torch.no_grad()
    def assignments(self, maps: Sequence[Tensor], targets: Tensor) -> Yolov2Assignment:
        """The responsible prediction of each object; everything in a step that has no gradient."""
        raw, settings = self._check(maps), self.settings
        objects = read_objects(targets, maps, self.num_classes, settings.max_boxes)
        rows, cols = raw.shape[2:4]
        boxes = self._boxes(raw)  # (N, A, H, W, 4)
        row, col = object_cells(objects.box, rows, cols)  # (m,) each
        anchors = self.anchors.to(raw) / self.stride / raw.new_tensor([cols, rows])  # (A, 2) fractions of the image
        shapes = anchors[None] if settings.bias_match else boxes[objects.image, :, row, col, 2:]  # (1 or m, A, 2)
        shapes, own = pad(shapes, (2, 0)), pad(objects.box[:, None, 2:], (2, 0))  # boxes around the origin
        anchor = centre_iou(shapes, own).argmax(1)  # (m,)
        overlap = centre_iou(boxes[objects.image, anchor, row, col], objects.box)  # (m,)
        centre = objects.box[:, :2] * raw.new_tensor([cols, rows]) - torch.stack((col, row), 1)  # (m, 2)
        size = (objects.box[:, 2:] / anchors[anchor]).log()  # (m, 2)
        weight = 2 - objects.box[:, 2:].prod(1) if settings.origin == "pjreddie" else torch.ones_like(overlap)
        return Yolov2Assignment(
            *(objects.image, anchor, row, col, objects.target, objects.cls),
            last=last_on_place(flat_index(raw.shape[:4], objects.image, anchor, row, col)),
            box=torch.cat((centre, size), 1),
            box_weight=settings.coord_scale * weight,
            objectness=overlap if settings.rescore else torch.ones_like(overlap),
            ignored=_best_overlap(boxes, objects) > settings.thresh,
            early=bool(self.seen < settings.early_images),
        )

    def of_assignments(self, maps: Sequence[Tensor], assignment: Yolov2Assignment) -> Yolov2LossParts:
        """The losses of all predictions, fields (N, n), for an assignment that is held fixed."""
        return self._of_values(_activated(self._check(maps)), assignment)

    def layer_gradient(self, maps: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """What Darknet's layer stores, with the sign of a gradient: [(N, A, H, W, 5 + C)] float64, without the gain.

        pjreddie's layer stores the gradient in s(x), s(y) and s(objectness) and leaves the derivative of the sigmoid to
        its backward step; AlexeyAB's stores the gradient in the raw numbers.
        """
        maps = [self._check(maps).double()]
        assignment = self.assignments(maps, targets)
        if self.settings.origin == "alexeyab":
            return gradients_in(maps, lambda raw: self.of_assignments(raw, assignment).total.sum() / self.gain)
        values = [_activated(maps[0])]
        return gradients_in(values, lambda leaves: self._of_values(leaves[0], assignment).total.sum() / self.gain)

    def cost(self, maps: Sequence[Tensor], targets: Tensor) -> float:
        """The number that Darknet prints: the sum of the squares of ``layer_gradient``; not the loss."""
        return sum_of_squares(self.layer_gradient(maps, targets))

    def _of_values(self, values: Tensor, assignment: Yolov2Assignment) -> Yolov2LossParts:
        """``of_assignments`` from what ``_activated`` returns."""
        settings, shape, last = self.settings, values.shape[:4], assignment.last
        place = flat_index(shape, *assignment[:4])[last]  # (k,) predictions with an object, each once
        matched = values.flatten(0, 3)[place]  # (k, 5 + C)
        free = 1 - add_at(place, torch.ones_like(matched[:, 0]), shape)  # (N, n), as all maps here: 1 without object
        background = free * ~assignment.ignored.flatten(1)

        box = assignment.box_weight[last] * (matched[:, :4] - assignment.box[last]).square().sum(1) / 2  # (k,)
        obj = settings.object_scale * (matched[:, 4] - assignment.objectness[last]).square() / 2  # (k,)
        no_obj = settings.noobject_scale * background * values[..., 4].flatten(1).square() / 2
        cls = settings.class_scale * self._class_losses(matched[:, 5:], assignment)  # (k,)
        prior = free * _anchor_prior(values) if assignment.early else torch.zeros_like(free)

        parts = (add_at(place, box, shape), no_obj + add_at(place, obj, shape), add_at(place, cls, shape), prior)
        box, obj, cls, prior = (self.gain * part for part in parts)
        return Yolov2LossParts(box + obj + cls + prior, box, obj, cls, prior)

    def _class_losses(self, logits: Tensor, assignment: Yolov2Assignment) -> Tensor:
        """(k, C) of the predictions with an object -> (k,)."""
        if self.settings.softmax:
            return cross_entropy(logits, assignment.cls[assignment.last], reduction="none")
        where = torch.stack(assignment[:4], 1)  # (m, 4)
        together = (where[assignment.last][:, None] == where).all(-1)  # (k, m): all objects of a prediction,
        classes = one_hot(assignment.cls, self.num_classes).to(logits)  # (m, C): whose classes are all positive
        positive = (together.to(logits) @ classes).clamp(max=1)  # (k, C)
        return binary_cross_entropy_with_logits(logits, positive, reduction="none").sum(1)

    def _boxes(self, raw: Tensor) -> Tensor:
        """Decoded boxes (N, A, H, W, 4) as fractions of the image."""
        rows, cols = raw.shape[2:4]
        pixels = decode_level(raw, self.anchors, self.stride, YOLOV3)[..., :4]  # (N, n, 4)
        return (pixels / (self.stride * raw.new_tensor([cols, rows, cols, rows]))).view(*raw.shape[:4], 4)

    def _matches(self, assignment: Yolov2Assignment) -> PredictionMatches:
        shape = (1, *assignment.ignored.shape[1:])
        prediction = flat_index(shape, torch.zeros_like(assignment.image), *assignment[1:4])
        return PredictionMatches(assignment.image, prediction, assignment.target)

    def _check(self, maps: Sequence[Tensor]) -> Tensor:
        """The one raw map, in the dtype to compute in."""
        check_maps(maps, [len(self.anchors)], self.num_classes)
        return maps[0].to(working_type(maps[0]))


def _activated(raw: Tensor) -> Tensor:
    """(N, A, H, W, 5 + C) raw -> s(x), s(y), w, h, s(objectness), class logits."""
    return torch.cat((raw[..., :2].sigmoid(), raw[..., 2:4], raw[..., 4:5].sigmoid(), raw[..., 5:]), -1)


def _anchor_prior(values: Tensor) -> Tensor:
    """What ``_activated`` returns -> (N, n), what each box costs for not being its anchor in the middle of its cell."""
    anchor = values.new_tensor([0.5, 0.5, 0.0, 0.0])
    return ANCHOR_PRIOR_SCALE * (values[..., :4] - anchor).square().sum(-1).flatten(1) / 2


def _best_overlap(boxes: Tensor, objects: Objects) -> Tensor:
    """(N, A, H, W, 4) boxes -> (N, A, H, W), the largest IoU with any object of the image."""
    best = boxes.new_zeros(boxes.shape[:4])
    for image in objects.image.unique().tolist():
        here = objects.box[objects.image == image]  # (k, 4)
        best[image] = centre_iou(boxes[image, ..., None, :], here).amax(-1)
    return best
