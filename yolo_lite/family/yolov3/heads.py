"""The losses of YOLOv3 and YOLOv4 have this in common: anchors in masks, and a sum over predictions of each level.

Shape letters: N batch, L levels, A anchors of a level, K of all levels, H W grid, C classes, n targets or predictions.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

from yolo_lite.coding import AnchorCoding, decode_level, prediction_cells
from yolo_lite.family.yolov3.matching import Overlaps, Positives, largest_overlaps, truth_list
from yolo_lite.loss.criterion import IGNORED, POSITIVE, AssignedPredictions, PredictionMatches
from yolo_lite.loss.loss import cell_index
from yolo_lite.loss.targets import Assignment

Faithful = Literal["darknet", "paper"]


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
    def ignored(self) -> Tensor: ...  # (N, A, H, W) bool: overlaps an object and is no background


Assigned = TypeVar("Assigned", bound=LevelAssignment)
LevelTerms = tuple[Tensor, Tensor, Tensor]  # box, obj, cls of each prediction of a level, each (N, A, H, W); no gain


class View(NamedTuple):
    """One level as the rules of matching see it."""

    number: int
    shape: torch.Size  # (N, A, H, W)
    anchors: Tensor  # (A, 2) pixels
    mask: Tensor  # (A,) int64, which of all K these are
    net_size: tuple[int, int]  # height, width of the network's input in pixels
    targets: Tensor  # (n, 6), where the maps are
    rows: Tensor  # those of targets that Darknet's list holds
    overlaps: Overlaps


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
    def level_cost(self, gradient: Tensor, raw: Tensor, level: int, assigned: Assigned) -> Tensor:
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
        self.dropped += len(targets) - len(torch.cat([level.matches.target for level in levels]).unique())
        return self.of_assignments(maps, levels)

    def assignments(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assigned]:
        """What is matched and asked of whom, of each level; constants for the gradient."""
        self._check(maps, targets)
        with torch.no_grad():
            return [
                self.assign_level(raw, self._view(raw, level, targets)) for level, raw in enumerate(map(_float, maps))
            ]

    def of_assignments(self, maps: Sequence[Tensor], levels: Sequence[Assigned]) -> HeadLoss:
        """The loss of these maps where what is asked of them is given. Its gradient is that of ``forward``."""
        terms = self._terms(maps, levels)
        box, obj, cls = (torch.stack([each.sum() for each in term]).sum() for term in zip(*terms, strict=True))
        return HeadLoss(box + obj + cls, box, obj, cls)

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """What this loss asks of every prediction, and what each costs. Counts nothing as dropped.

        A prediction that is matched to several objects has the last of them as its target.
        """
        levels = self.assignments(maps, targets)
        shapes = [raw.shape[:4] for raw in maps]
        terms = self._terms(maps, levels)
        box, obj, cls = (torch.cat([each.flatten(1) for each in term], 1) for term in zip(*terms, strict=True))
        role, target = (
            torch.cat([each.flatten(1) for each in both], 1)
            for both in zip(*(_roles(*pair) for pair in zip(levels, shapes, strict=True)), strict=True)
        )
        starts = accumulate((math.prod(shape[1:]) for shape in shapes), initial=0)
        matches = PredictionMatches(
            torch.cat([level.matches.image for level in levels]),
            torch.cat(
                [
                    start + cell_index(level.matches, shape) % math.prod(shape[1:])
                    for level, shape, start in zip(levels, shapes, starts, strict=False)
                ]
            ),
            torch.cat([level.matches.target for level in levels]),
        )
        cells = prediction_cells([shape[1:] for shape in shapes]).to(role.device)
        return AssignedPredictions(role, target, HeadLoss(box + obj + cls, box, obj, cls), matches, cells)

    def layer_gradient(self, maps: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """Minus the "delta" that Darknet's layers store: gradients by the numbers that they get, without the gain.

        Those are the maps, or behind a convolution with a logistic activation (new_coords) their logistic values.
        """
        return [
            self._level_gradient(raw.detach(), level, assigned)
            for level, (raw, assigned) in enumerate(
                zip(map(_float, maps), self.assignments(maps, targets), strict=True)
            )
        ]

    def cost(self, maps: Sequence[Tensor], targets: Tensor) -> float:
        """What Darknet prints beside training: mostly the squares of its gradient, not the loss; without the gain."""
        levels = self.assignments(maps, targets)
        costs = [
            self.level_cost(self._level_gradient(raw.detach(), level, assigned), raw.detach(), level, assigned)
            for level, (raw, assigned) in enumerate(zip(map(_float, maps), levels, strict=True))
        ]
        return sum(float(cost) for cost in costs)

    # Inside

    def _terms(self, maps: Sequence[Tensor], levels: Sequence[Assigned]) -> list[list[Tensor]]:
        found = []
        for level, (raw, assigned) in enumerate(zip(map(_float, maps), levels, strict=True)):
            terms = self.level_terms(self.numbers(raw, level), level, assigned)
            found.append([self.gain * term for term in terms])
        return found

    def _level_gradient(self, raw: Tensor, level: int, assigned: Assigned) -> Tensor:
        with torch.enable_grad():
            numbers = self.numbers(raw, level).detach().requires_grad_()
            box, obj, cls = self.level_terms(numbers, level, assigned)
            (gradient,) = torch.autograd.grad((box + obj + cls).sum(), numbers)
        return gradient

    def _view(self, raw: Tensor, level: int, targets: Tensor) -> View:
        anchors = self.anchors.to(raw)[list(self.masks[level])]
        stride, (height, width) = self.strides[level], raw.shape[2:4]
        net_size = (round(height * stride), round(width * stride))
        targets = targets.to(raw)
        rows = truth_list(targets, self.max_boxes(level))
        pixels = targets.clone()
        pixels[:, 2:6] *= targets.new_tensor([net_size[1], net_size[0]] * 2)
        decoded = decode_level(raw, anchors, stride, self.coding(level))
        overlaps = largest_overlaps(decoded, raw.shape[:4], pixels, rows)
        mask = torch.tensor(self.masks[level], device=raw.device)
        return View(level, raw.shape[:4], anchors, mask, net_size, targets, rows, overlaps)

    def _check(self, maps: Sequence[Tensor], targets: Tensor) -> None:
        if len(maps) != len(self.masks):
            raise ValueError(f"{len(maps)} maps for {len(self.masks)} levels: give one map per mask")
        for level, (raw, mask) in enumerate(zip(maps, self.masks, strict=True)):
            if raw.ndim != 5 or (raw.shape[1], raw.shape[4]) != (len(mask), 5 + self.num_classes):
                raise ValueError(
                    f"map {level} must be (N, {len(mask)}, H, W, {5 + self.num_classes}) for {len(mask)} anchors and "
                    f"{self.num_classes} classes; got {tuple(raw.shape)}"
                )
        if targets.ndim != 2 or targets.shape[1] != 6:
            raise ValueError(f"targets must be (n, 6): image, class, xc, yc, w, h; got {tuple(targets.shape)}")
        for column, name, limit in ((1, "class", self.num_classes), (0, "image index", len(maps[0]))):
            bad = ((targets[:, column] < 0) | (targets[:, column] >= limit)).nonzero()
            if len(bad):
                row, value = int(bad[0]), float(targets[bad[0, 0], column])
                what = "the model has classes" if column else "the batch has images"
                raise ValueError(f"targets row {row} has {name} {value:g}, but {what} 0 to {limit - 1}")


def _float(raw: Tensor) -> Tensor:
    """At least float32."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def _roles(assigned: LevelAssignment, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Role and target of every prediction of a level, (N, A, H, W) each."""
    role = torch.where(assigned.ignored, IGNORED, 0).to(torch.int8)
    target = torch.full(shape, -1, device=role.device)
    positive = assigned.positive
    role.view(-1)[positive.cells] = POSITIVE
    target.view(-1)[positive.cells] = assigned.matches.target[positive.last]
    return role, target
