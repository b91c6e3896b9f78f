"""The losses of YOLOv3 and YOLOv4 have this in common: anchors in masks, and a sum over predictions of each level.

Shape letters: N batch, L levels, A anchors of a level, K of all levels, H W grid, C classes, n targets or predictions.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, NamedTuple, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

from yolo_lite.coding import AnchorCoding, decode_level, prediction_cells
from yolo_lite.family.common import (
    check_maps,
    count_dropped,
    gradients_in,
    read_objects,
    shape_iou,
    summed,
    working_type,
)
from yolo_lite.family.yolov3.matching import Positives, View, largest_overlaps, pixels
from yolo_lite.loss.criterion import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    AssignedPredictions,
    Faithful,
    PredictionMatches,
)
from yolo_lite.loss.targets import Assignment


class HeadLoss(NamedTuple):
    """The loss of YOLOv3 or YOLOv4, scalars that carry gradient; in ``assign`` (N, n), of each prediction."""

    total: Tensor  # box + obj + cls
    box: Tensor  # these three: sums over images, cells and anchors, times the gain
    obj: Tensor
    cls: Tensor


class LevelAssignment(Protocol):
    """What is decided from maps and targets once and is constant for the gradient, of one level."""

    @property
    def matches(self) -> Assignment: ...

    @property
    def positive(self) -> Positives: ...

    @property
    def ignored(self) -> Tensor: ...  # (N, A, H, W) bool: overlaps an object and is not background


Assigned = TypeVar("Assigned", bound=LevelAssignment)
LevelTerms = tuple[Tensor, Tensor, Tensor]  # box, obj, cls of each prediction of a level, (N, A * H * W); no gain


class AnchorHeadLoss(nn.Module, ABC, Generic[Assigned]):
    """Base of ``Yolov3Loss`` and ``Yolov4Loss``; these two say what matches, and what a prediction costs.

    Attributes:
        dropped: objects so far that no prediction of these levels was matched to.
    """

    def __init__(
        self,
        anchors: Tensor | Sequence[Sequence[float]],
        masks: Sequence[Sequence[int]],
        strides: Sequence[float] | Tensor,
        num_classes: int,
        gain: float,
        faithful: Faithful,
    ) -> None:
        super().__init__()
        self.anchors = torch.as_tensor(anchors, dtype=torch.float32).detach().clone()  # (K, 2)
        if self.anchors.ndim != 2 or self.anchors.shape[1] != 2 or not (self.anchors > 0).all():
            raise ValueError(f"anchors must be (all of them, 2) in pixels, above 0; got {tuple(self.anchors.shape)}")
        if len(masks) != len(strides) or not len(masks):
            raise ValueError(f"{len(masks)} masks for {len(strides)} strides: give one mask per level")
        for level, mask in enumerate(masks):
            wrong = [number for number in mask if not 0 <= number < len(self.anchors)]
            if wrong or len(set(mask)) < len(mask) or not len(mask):
                raise ValueError(
                    f"mask {level} is {list(mask)}: it must hold different numbers of anchors from 0 to "
                    f"{len(self.anchors) - 1}"
                )
        if faithful not in get_args(Faithful):
            raise ValueError(f"unknown faithful {faithful!r}: choose 'darknet' or 'paper'")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        if not 0 <= gain < math.inf:
            raise ValueError(f"gain must be a finite number, at least 0, not {gain}")
        self.masks = [tuple(int(number) for number in mask) for mask in masks]
        self.strides = [float(stride) for stride in strides]
        self.num_classes, self.gain, self.faithful, self.dropped = num_classes, float(gain), faithful, 0

    # What a generation says

    @abstractmethod
    def coding(self, level: int) -> AnchorCoding:
        """How the boxes of a level are written."""

    @abstractmethod
    def max_boxes(self, level: int) -> int:
        """How many objects of an image a level sees."""

    @abstractmethod
    def assign_level(self, raw: Tensor, view: View) -> Assigned:
        """What is matched, ignored and asked of each prediction."""

    @abstractmethod
    def level_terms(self, numbers: Tensor, level: int, assigned: Assigned) -> LevelTerms:
        """The loss of a level's predictions, as a function of the numbers that Darknet's layer gets."""

    @abstractmethod
    def level_cost(self, gradient: Tensor, raw: Tensor, level: int, assigned: Assigned) -> float:
        """What Darknet's layer prints as its cost."""

    def numbers(self, raw: Tensor, level: int) -> Tensor:
        """What Darknet's layer gets from the convolution in front of it: the raw map, or its logistic values."""
        return raw

    # What follows from it

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> HeadLoss:
        """The loss of a batch.

        Args:
            maps: L raw maps (N, A, H, W, 5 + C). targets: (n, 6) image, class, xc, yc, w, h; normalised; n may be 0.
        Returns:
            HeadLoss; sums over images and predictions, not divided by anything.
        Raises:
            ValueError: maps of other shapes; targets of other classes, or of images that the batch does not have.
        """
        levels = self.assignments(maps, targets)
        self.dropped += count_dropped(targets, self._matches(levels, maps))
        return summed(self.of_assignments(maps, levels))

    @torch.no_grad()
    def assignments(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assigned]:
        """What is matched and asked of whom, of each level; constants for the gradient."""
        check_maps(maps, [len(mask) for mask in self.masks], self.num_classes)
        levels = [raw.to(working_type(raw)) for raw in maps]
        return [self.assign_level(raw, self._view(raw, level, targets)) for level, raw in enumerate(levels)]

    def of_assignments(self, maps: Sequence[Tensor], levels: Sequence[Assigned]) -> HeadLoss:
        """The losses of all predictions, fields (N, n), where what is asked of them is held fixed."""
        numbers = [self.numbers(raw.to(working_type(raw)), level) for level, raw in enumerate(maps)]
        box, obj, cls = (self.gain * term for term in self._terms(numbers, levels))
        return HeadLoss(box + obj + cls, box, obj, cls)

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """What this loss asks of every prediction, and what each costs. Counts nothing as dropped.

        A prediction that is matched to several objects has the last of them as its target.
        """
        levels = self.assignments(maps, targets)
        losses = self.of_assignments(maps, levels)
        target = torch.full_like(losses.total, -1, dtype=torch.int64)  # (N, n)
        role = torch.where(torch.cat([level.ignored.flatten(1) for level in levels], 1), IGNORED, NEGATIVE)
        for level, part in zip(levels, target.split([raw.shape[1:4].numel() for raw in maps], 1), strict=True):
            image, place = level.positive.cells // part.shape[1], level.positive.cells % part.shape[1]
            part[image, place] = level.matches.target[level.positive.last]  # a view of target
        role = torch.where(target >= 0, POSITIVE, role).to(torch.int8)
        cells = prediction_cells([raw.shape[1:4] for raw in maps]).to(role.device)
        return AssignedPredictions(role, target, losses, self._matches(levels, maps), cells)

    def layer_gradient(self, maps: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """Minus the "delta" that Darknet's layers store: gradients by the numbers they get, float64, without the gain.

        These numbers are the maps, or behind a convolution with a logistic activation (new_coords) logistic values.
        """
        maps = [raw.detach().double() for raw in maps]
        return self._layer_gradient(maps, self.assignments(maps, targets))

    def cost(self, maps: Sequence[Tensor], targets: Tensor) -> float:
        """What Darknet prints beside training: mostly the squares of its gradient, not the loss; without the gain."""
        maps = [raw.detach().double() for raw in maps]
        levels = self.assignments(maps, targets)
        found = enumerate(zip(self._layer_gradient(maps, levels), maps, levels, strict=True))
        return sum(self.level_cost(gradient, raw, level, assigned) for level, (gradient, raw, assigned) in found)

    # Inside

    def _terms(self, numbers: Sequence[Tensor], levels: Sequence[Assigned]) -> list[Tensor]:
        """Box, objectness and class loss of all predictions, (N, n) each."""
        pairs = enumerate(zip(numbers, levels, strict=True))
        terms = [self.level_terms(each, level, assigned) for level, (each, assigned) in pairs]
        return [torch.cat(term, 1) for term in zip(*terms, strict=True)]

    def _layer_gradient(self, maps: Sequence[Tensor], levels: Sequence[Assigned]) -> list[Tensor]:
        numbers = [self.numbers(raw, level) for level, raw in enumerate(maps)]
        return gradients_in(numbers, lambda leaves: torch.cat(self._terms(leaves, levels)).sum())

    def _matches(self, levels: Sequence[Assigned], maps: Sequence[Tensor]) -> PredictionMatches:
        sizes = [raw.shape[1:4].numel() for raw in maps]  # A * H * W
        starts = accumulate(sizes, initial=0)
        places = [
            start + level.positive.cells[level.positive.slot] % size
            for level, size, start in zip(levels, sizes, starts, strict=False)
        ]
        image, target = zip(*((level.matches.image, level.matches.target) for level in levels), strict=True)
        return PredictionMatches(torch.cat(image), torch.cat(places), torch.cat(target))

    def _view(self, raw: Tensor, level: int, targets: Tensor) -> View:
        anchors, mask = self.anchors.to(raw), list(self.masks[level])
        stride, (height, width) = self.strides[level], raw.shape[2:4]
        net_size = (round(height * stride), round(width * stride))
        objects = read_objects(targets, [raw], self.num_classes, self.max_boxes(level))
        best = shape_iou(pixels(objects.box, net_size)[:, 2:], anchors).argmax(1)  # (n,): the first of equals
        is_best = best[:, None] == torch.tensor(mask, device=raw.device)  # (n, A)
        decoded = decode_level(raw, anchors[mask], stride, self.coding(level))
        overlaps = largest_overlaps(decoded, raw.shape[:4], objects, net_size)
        return View(level, raw.shape[:4], anchors[mask], is_best, net_size, objects, overlaps)
