"""ComputeLoss: how far the raw maps are from the objects, as box, objectness and class loss.

YOLOv5's names: ``lbox``, ``lobj``, ``lcls`` are the parts, ``pbox`` the predicted boxes, ``tobj`` the objectness
targets, ``cp`` and ``cn`` the class targets. ``gr``, the mix of 1 and CIoU in ``tobj``, is always 1, as it is there.

Shape letters: N batch, A anchors, H W grid of a level, C classes, n targets, m matches of a level.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args

import torch
from torch import Tensor, nn

from yolo_lite.boxes import IOU_KINDS, IouKind, bbox_iou
from yolo_lite.coding import decode_matches, prediction_cells
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import NEGATIVE, POSITIVE, AssignedPredictions, PredictionMatches
from yolo_lite.loss.focal import FocalKind, bce_with_focal, smooth_targets
from yolo_lite.loss.matching import match_levels
from yolo_lite.loss.reading import read_predictions
from yolo_lite.loss.targets import Assignment, check_anchors, sent

Collisions = Literal["last", "best"]

# Levels with many cells have few objects in each: their objectness mean is small, so it is weighted up.
BALANCE_OF_THREE = (4.0, 1.0, 0.4)
BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)


class Anchored(Protocol):
    """The part of a detector that YOLOv5's loss is made from: ``Yolo``, or a detector of your own."""

    @property
    def anchors(self) -> Tensor: ...  # (L, A, 2) pixels
    @property
    def strides(self) -> Sequence[float] | Tensor: ...
    @property
    def num_classes(self) -> int: ...


class LossParts(NamedTuple):
    """One loss, taken apart; every field a scalar that carries gradient. In ``assign``: (N, n), of each prediction."""

    total: Tensor  # (box + obj + cls) * batch size
    box: Tensor  # hyp.box * sum over levels of mean(1 - overlap); YOLOv5: ``lbox``
    obj: Tensor  # hyp.obj * sum over levels of balance * mean BCE over all predictions; ``lobj``
    cls: Tensor  # hyp.cls * sum over levels of mean BCE over matches x classes; ``lcls``


class LevelLoss(NamedTuple):
    """What one level contributes; the fields of the levels add up to those of LossParts."""

    box: Tensor  # scalars, gain and balance included
    obj: Tensor
    cls: Tensor
    matches: Assignment
    overlap: Tensor  # (m,) overlap of each matched prediction with its object, carries gradient
    objectness: Tensor  # (N, A, H, W) objectness targets, no gradient; YOLOv5: ``tobj``
    obj_mean: Tensor  # mean BCE over all predictions before balance and gain
    obj_bce: Tensor  # (N, A, H, W) of which that is the mean
    cls_bce: Tensor  # (m, C) before gain; (0, 1) with one class
    divisor: Tensor | float  # what sums over matches were divided by


def add_levels(levels: Sequence[LevelLoss], batch_size: int) -> LossParts:
    """The loss of all levels: terms add up over levels, and their sum times the batch size is the total."""
    box = torch.stack([level.box for level in levels]).sum()
    obj = torch.stack([level.obj for level in levels]).sum()
    cls = torch.stack([level.cls for level in levels]).sum()
    return LossParts((box + obj + cls) * batch_size, box, obj, cls)


def cell_index(matches: Assignment, shape: Sequence[int]) -> Tensor:
    """(m,) int64: the place of each match's prediction in a level's (N, A, H, W), flattened."""
    _, num_anchors, rows, cols = shape
    return ((matches.image * num_anchors + matches.anchor) * rows + matches.row) * cols + matches.col


def deciding_match(cell: Tensor, overlap: Tensor, collisions: Collisions = "last") -> Tensor:
    """Which match sets the objectness target of each match's prediction, as several may be matched to one prediction.

    "last": the last one in the reference's order; "best": the one with the largest overlap. Both are the same on every
    run and device: sorted, not a race between writes.

    Args:
        cell: (m,) the place of each match's prediction. overlap: (m,).
    Returns:
        (m,) int64, an index into the matches; a match's own where it has its prediction to itself.

    >>> cell, overlap = torch.tensor([7, 3, 7]), torch.tensor([0.9, 0.5, 0.2])
    >>> deciding_match(cell, overlap).tolist(), deciding_match(cell, overlap, "best").tolist()
    ([2, 1, 2], [0, 1, 0])
    """
    if collisions not in get_args(Collisions):
        raise ValueError(f"unknown collisions {collisions!r}: choose 'last' or 'best'")
    rising = overlap if collisions == "best" else torch.zeros_like(overlap)  # "last": all are equally good
    order = rising.argsort(stable=True)  # (m,)
    by_cell, in_order = cell[order].sort(stable=True)  # those of one prediction stand together, the deciding one last
    return order[in_order[torch.searchsorted(by_cell, cell, right=True) - 1]]


def deciding_matches(
    shape: Sequence[int], matches: Assignment, overlap: Tensor, collisions: Collisions = "last"
) -> Tensor:
    """``deciding_match`` of every prediction: (N, A, H, W) int64; -1 where nothing is matched.

    Args:
        shape: (N, A, H, W). overlap: (m,).
    """
    cell = cell_index(matches, shape)  # (m,)
    none = cell.new_full((math.prod(shape),), -1)
    return none.scatter(0, cell, deciding_match(cell, overlap, collisions)).view(*shape)


def objectness_targets(
    shape: Sequence[int], matches: Assignment, overlap: Tensor, collisions: Collisions = "last"
) -> Tensor:
    """What the objectness of each prediction is trained towards: how well its box fits; 0 without a match.

    YOLOv5: ``tobj``. Where several objects are matched to one prediction, see ``deciding_match``.

    Args:
        shape: (N, A, H, W). overlap: (m,), taken as 0 where negative.
    Returns:
        (N, A, H, W), no gradient.
    """
    overlap = overlap.detach().clamp(min=0)
    cell = cell_index(matches, shape)  # (m,)
    none = overlap.new_zeros(math.prod(shape))
    return none.scatter(0, cell, overlap[deciding_match(cell, overlap, collisions)]).view(*shape)


class ComputeLoss(nn.Module):
    """The loss of raw maps against targets.

    Args:
        anchors: (L, A, 2) pixels. strides: (L,). num_classes: C.
        hyp: gains and settings; gains are used as given (``hyp.scaled`` fits them to a model).
        balance: weight of each level's objectness; None = 4, 1, 0.4 (three levels) or 4, 1, .25, .06, .02.
        box_loss: "iou", "giou", "diou" or "ciou". focal: "focal" or "quality", used where hyp.fl_gamma > 0.
        collisions: which overlap is the objectness target where several objects are matched to one prediction, see
            ``deciding_matches``. YOLOv5: "best" is ``sort_obj_iou``.
        autobalance: after each training call, balance <- 0.9999 balance + 0.0001 / (the level's mean BCE), divided by
            the entry of stride 16 (YOLOv5: ``ssi``); kept in the buffer ``balance``.

    >>> anchors = torch.tensor([[[10.0, 13], [16, 30], [33, 23]]])
    >>> loss = ComputeLoss(anchors, [8], 2, Hyperparameters())
    >>> parts = loss([torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]]))
    >>> [round(part.item(), 4) for part in parts]
    [3.1501, 0.0309, 2.7726, 0.3466]
    """

    balance: Tensor  # (L,), a buffer

    def __init__(
        self,
        anchors: Tensor,
        strides: Sequence[float] | Tensor,
        num_classes: int,
        hyp: Hyperparameters | None = None,
        balance: Sequence[float] | None = None,
        box_loss: IouKind = "ciou",
        focal: FocalKind = "focal",
        collisions: Collisions = "last",
        autobalance: bool = False,
    ) -> None:
        super().__init__()
        check_anchors(anchors)
        anchors = torch.as_tensor(anchors).detach().clone()
        strides = torch.as_tensor(strides, dtype=anchors.dtype).detach().clone()
        if anchors.ndim != 3 or anchors.shape[0] != len(strides) or anchors.shape[2] != 2:
            raise ValueError(
                f"anchors must be ({len(strides)} levels, anchors, 2) in pixels, not {tuple(anchors.shape)}"
            )
        for name, value, known in (
            ("box_loss", box_loss, IOU_KINDS),
            ("focal", focal, get_args(FocalKind)),
            ("collisions", collisions, get_args(Collisions)),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        levels = len(strides)
        balance = balance if balance is not None else BALANCE_OF_THREE if levels == 3 else BALANCE[:levels]
        if len(balance) != levels:
            raise ValueError(f"balance has {len(balance)} values for {levels} levels: give one per level")
        self.num_classes, self.hyp = num_classes, hyp or Hyperparameters()
        self.box_loss, self.focal, self.collisions, self.autobalance = box_loss, focal, collisions, autobalance
        self.anchors, self.strides = anchors.cpu(), strides.cpu()  # matching happens where the targets are
        self.register_buffer("balance", torch.tensor(balance))
        # Several processes, each with a part of the batch, set this to their mean: then every match weighs the same
        # wherever it falls, and the averaged gradient is that of the whole batch.
        self.over_processes: Callable[[Tensor], Tensor] = torch.clone

    @classmethod
    def of(cls, model: "Anchored", hyp: Hyperparameters, img_size: int = 640, **options: Any) -> Self:
        """The loss of a model, its gains scaled to the levels, the classes and the image size.

        Of a subclass it is what ``Trainer(criterion=Subclass.of)`` takes.

        Args:
            model: for its anchors, strides and num_classes. hyp: the gains before scaling. img_size: pixels, of the
                training images. options: the other arguments of the class.
        """
        scaled = hyp.scaled(len(model.strides), model.num_classes, img_size)
        return cls(model.anchors, model.strides, model.num_classes, scaled, **options)

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> LossParts:
        """The loss of a batch.

        Args:
            maps: raw maps of the model, per level (N, A, H, W, 5 + C).
            targets: (n, 6) image, class, xc, yc, w, h; normalised. n may be 0. Best left on the CPU, where they are
                matched: then nothing here waits for a GPU. Targets that are on one are copied, which waits once.
        """
        return add_levels(self.levels(maps, targets), maps[0].shape[0])

    def levels(self, maps: Sequence[Tensor], targets: Tensor) -> list[LevelLoss]:
        """The contribution of each level, before they are added up."""
        levels = self._levels(maps, targets)
        if self.autobalance and self.training:
            self._rebalance(self.over_processes(torch.stack([level.obj_mean.detach() for level in levels])))
        return levels

    def _levels(self, maps: Sequence[Tensor], targets: Tensor) -> list[LevelLoss]:
        if not isinstance(targets, Tensor):
            raise TypeError(
                f"targets must be a tensor (n, 6), not {type(targets).__name__}; without objects torch.zeros(0, 6)"
            )
        targets = targets.cpu()
        self._check(maps, targets)
        if self.balance.device != maps[0].device:
            self.to(maps[0].device)
        assignments = self.matches(maps, targets)
        counts = self._counts(assignments, maps[0])
        return [
            self.level(raw, matches.to(raw.device), balance, count)
            for raw, matches, balance, count in zip(maps, assignments, self.balance, counts, strict=True)
        ]

    def matches(self, maps: Sequence[Tensor], targets: Tensor) -> list[Assignment]:
        """Which predictions are matched to which objects, level by level; here geometry alone decides."""
        grids = [(raw.shape[2], raw.shape[3]) for raw in maps]
        return match_levels(targets, grids, self.anchors, self.strides, self.hyp.anchor_t)

    def level(
        self,
        raw: Tensor,
        matches: Assignment,
        balance: Tensor | float,
        count: Tensor | float,
        quality: Tensor | None = None,
    ) -> LevelLoss:
        """One level.

        Args:
            raw: (N, A, H, W, 5 + C). count: what sums over matches are divided by, mostly m.
            quality: (m,) what objectness is trained towards at the matches; by default the overlap there.
        """
        hyp = self.hyp
        matched, logits = read_predictions(raw, matches)  # (m, 5 + C), (N, A, H, W)
        overlap = bbox_iou(decode_matches(matched, matches.anchor_wh), matches.box, self.box_loss)  # (m,)
        quality = overlap if quality is None else quality
        objectness = self.objectness_target(raw.shape[:4], matches, quality)  # (N, A, H, W)
        obj_bce = bce_with_focal(logits, objectness, hyp.obj_pw, hyp.fl_gamma, kind=self.focal)  # (N, A, H, W)
        cls_bce = self._class_bce(matched[:, 5:], matches.cls)  # (m, C)

        box = (1 - overlap).sum() / count
        obj_mean = obj_bce.mean()
        cls = cls_bce.sum() / (count * self.num_classes)
        parts = hyp.box * box, hyp.obj * balance * obj_mean, hyp.cls * cls
        return LevelLoss(*parts, matches, overlap, objectness, obj_mean, obj_bce, cls_bce, count)

    def objectness_target(self, shape: Sequence[int], matches: Assignment, overlap: Tensor) -> Tensor:
        """What the objectness of each prediction of a level is trained towards; a subclass may choose something else.

        Args:
            shape: (N, A, H, W). matches: m of them. overlap: (m,) of each matched prediction with its object.
        Returns:
            (N, A, H, W) in [0, 1], without gradient. YOLOv5: ``tobj``.

        >>> class AllOrNothing(ComputeLoss):
        ...     def objectness_target(self, shape, matches, overlap):
        ...         return (super().objectness_target(shape, matches, overlap) > 0.5).to(overlap)
        """
        return objectness_targets(shape, matches, overlap, self.collisions)

    def class_target(self, logits: Tensor, cls: Tensor) -> Tensor:
        """What the class logits of the matches are trained towards; a subclass may choose something else.

        Args:
            logits: (m, C). cls: (m,) int64.
        Returns:
            (m, C) in [0, 1]: one for the class and zero for the others, smoothed by hyp.label_smoothing.
        """
        positive, negative = smooth_targets(self.hyp.label_smoothing)
        return torch.full_like(logits, negative).scatter_(1, cls[:, None], positive)

    def _class_bce(self, logits: Tensor, cls: Tensor) -> Tensor:
        """(m, C) logits and (m,) classes -> (m, C); (0, 1) for one class, as objectness says it all."""
        if self.num_classes == 1:
            return logits[:0]  # whose sum is 0 and carries gradient
        hyp, class_targets = self.hyp, self.class_target(logits, cls)  # (m, C)
        return bce_with_focal(logits, class_targets, hyp.cls_pw, hyp.fl_gamma, kind=self.focal)

    def _counts(self, assignments: Sequence[Assignment], raw: Tensor) -> Tensor:
        """(L,) what each level's sums over matches are divided by: its number of matches.

        Over several processes: the matches of all, divided up by the images that each has.
        """
        images = raw.shape[0]
        numbers = [*(len(matches.image) for matches in assignments), images]
        here = torch.tensor(numbers, dtype=torch.promote_types(raw.dtype, torch.float32))
        *counts, mean_images = self.over_processes(sent(here, raw.device)).unbind()  # new_tensor would wait for a GPU
        return torch.stack(counts).clamp(min=1e-3) * (images / mean_images)  # 0 matches: sums of nothing

    @torch.no_grad()
    def _rebalance(self, obj_means: Tensor) -> None:
        balance = 0.9999 * self.balance + 0.0001 / obj_means.to(self.balance.dtype)  # (L,)
        of_stride_16 = int((self.strides - 16).abs().argmin())  # or the nearest to it; YOLOv5: ``ssi``
        self.balance.copy_(balance / balance[of_stride_16])

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """What this loss asks of every prediction, and what each costs: the terms of ``levels``, not added up.

        No prediction is ignored. Changes nothing: autobalance takes no step.

        Args:
            maps, targets: as for the loss itself.

        >>> loss = ComputeLoss(torch.tensor([[[10.0, 13], [16, 30], [33, 23]]]), [8], 2)
        >>> maps, targets = [torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]])
        >>> assigned = loss.assign(maps, targets)
        >>> assigned.role.sum().item(), len(assigned.matches.prediction)  # one cell is its object's own and "right" one
        (9, 15)
        >>> torch.allclose(assigned.losses.total.sum(), loss(maps, targets).total)
        True
        """
        return self.assigned(self._levels(maps, targets))

    def assigned(self, levels: Sequence[LevelLoss]) -> AssignedPredictions:
        """What ``assign`` gives, from the contributions of the levels."""
        shapes = [level.objectness.shape for level in levels]  # (N, A, H, W) each
        starts = [0, *accumulate(math.prod(shape[1:]) for shape in shapes)]  # of each level among the n predictions
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
        target = torch.cat([self._objects(level) for level in levels], 1)  # (N, n)
        role = torch.where(target >= 0, POSITIVE, NEGATIVE).to(torch.int8)
        terms = [self._prediction_losses(*level) for level in zip(levels, self.balance, strict=True)]
        box, obj, cls = (torch.cat(term, 1) for term in zip(*terms, strict=True))  # (N, n) each
        losses = LossParts((box + obj + cls) * len(box), box, obj, cls)
        cells = prediction_cells([shape[1:] for shape in shapes]).to(target.device)
        return AssignedPredictions(role, target, losses, matches, cells)

    def _objects(self, level: LevelLoss) -> Tensor:
        """(N, A * H * W) int64: the row of targets that sets each prediction's objectness target, -1 for none."""
        matches = level.matches
        deciding = deciding_matches(level.objectness.shape, matches, level.overlap, self.collisions)
        return torch.cat((matches.target, matches.target.new_tensor([-1])))[deciding].flatten(1)

    def _prediction_losses(self, level: LevelLoss, balance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Box, objectness and class loss of each prediction of a level, (N, A * H * W) each."""
        hyp, cell = self.hyp, cell_index(level.matches, level.objectness.shape)  # (m,)
        obj = hyp.obj * balance * (level.obj_bce / level.obj_bce.numel())  # (N, A, H, W)
        box = hyp.box / level.divisor * (1 - level.overlap)  # (m,)
        cls = hyp.cls / (level.divisor * self.num_classes) * level.cls_bce.sum(1)  # (m,), or none with one class
        box, cls = (torch.zeros_like(obj).flatten().index_add(0, cell[: len(each)], each) for each in (box, cls))
        return box.view_as(obj).flatten(1), obj.flatten(1), cls.view_as(obj).flatten(1)

    def _check(self, maps: Sequence[Tensor], targets: Tensor) -> None:
        levels, num_anchors = self.anchors.shape[:2]
        if len(maps) != levels:
            raise ValueError(f"{len(maps)} maps for {levels} levels of anchors")
        for level, raw in enumerate(maps):
            expected = (num_anchors, 5 + self.num_classes)
            if raw.ndim != 5 or (raw.shape[1], raw.shape[4]) != expected:
                raise ValueError(
                    f"map {level} must be (N, {num_anchors}, H, W, {5 + self.num_classes}) for {num_anchors} anchors "
                    f"and {self.num_classes} classes; got {tuple(raw.shape)}"
                )
        if not targets.numel() or targets.ndim != 2 or targets.shape[1] != 6:
            return  # nothing to look at; build_targets speaks about shapes
        batch = maps[0].shape[0]
        for column, name, limit in ((1, "class", self.num_classes), (0, "image index", batch)):
            values = targets[:, column]
            bad = ((values < 0) | (values >= limit)).nonzero()
            if len(bad):
                row = int(bad[0])
                what = "the model has classes" if column else "the batch has images"
                raise ValueError(f"targets row {row} has {name} {values[row]:g}, but {what} 0 to {limit - 1}")
