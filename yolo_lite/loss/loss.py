"""ComputeLoss: how far the raw maps are from the objects, as box, objectness and class loss.

Shape letters: N batch, A anchors, H W grid of a level, C classes, n targets, m matches of a level.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from yolo_lite._moved import moved_name
from yolo_lite.boxes import IOU_KINDS, IouKind, bbox_iou
from yolo_lite.coding import decode_matches
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.focal import FocalKind, binary_loss, smooth_targets
from yolo_lite.loss.targets import Assignment, build_targets, sent

Collisions = Literal["last", "best"]

# Levels with many cells have few objects in each: their objectness mean is small, so it is weighted up.
BALANCE_OF_THREE = (4.0, 1.0, 0.4)
BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)


class LossParts(NamedTuple):
    """One loss, taken apart; every field a scalar that carries gradient."""

    total: Tensor  # (box + obj + cls) * batch size
    box: Tensor  # hyp.box * sum over levels of mean(1 - overlap)
    obj: Tensor  # hyp.obj * sum over levels of balance * mean BCE over all cells
    cls: Tensor  # hyp.cls * sum over levels of mean BCE over matches x classes


class LevelLoss(NamedTuple):
    """What one level contributes; the fields of the levels add up to those of LossParts."""

    box: Tensor  # scalars, gain and balance included
    obj: Tensor
    cls: Tensor
    matches: Assignment
    overlap: Tensor  # (m,) overlap of each matched prediction with its object, carries gradient
    objectness: Tensor  # (N, A, H, W) what every cell's objectness is trained towards, no gradient
    obj_mean: Tensor  # mean BCE over all cells before balance and gain


def add_levels(levels: Sequence[LevelLoss], batch_size: int) -> LossParts:
    """The loss of all levels: terms add up over levels, and their sum times the batch size is the total."""
    box = torch.stack([level.box for level in levels]).sum()
    obj = torch.stack([level.obj for level in levels]).sum()
    cls = torch.stack([level.cls for level in levels]).sum()
    return LossParts((box + obj + cls) * batch_size, box, obj, cls)


def objectness_targets(
    shape: Sequence[int], matches: Assignment, overlap: Tensor, collisions: Collisions = "last"
) -> Tensor:
    """Each matched cell shall say how well its box fits; all others 0.

    Several objects may claim one (image, anchor, cell). "last" gives the cell to the last match in the reference's
    order, "best" to the one with the largest overlap. Both answers are the same on every run and device: they are
    maxima, not races between writes.

    Args:
        shape: (N, A, H, W). overlap: (m,), taken as 0 where negative.
    Returns:
        (N, A, H, W), no gradient.
    """
    _, num_anchors, rows, cols = shape
    overlap = overlap.detach().clamp(min=0)
    cell = ((matches.image * num_anchors + matches.anchor) * rows + matches.row) * cols + matches.col  # (m,)
    targets = overlap.new_zeros(shape).flatten()
    if collisions == "best":
        return targets.scatter_reduce(0, cell, overlap, "amax").view(*shape)
    if collisions != "last":
        raise ValueError(f"unknown answer to collisions {collisions!r}: choose 'last' or 'best'")
    place = torch.arange(len(cell), device=cell.device)
    last = torch.full_like(targets, -1, dtype=torch.long).scatter_reduce(0, cell, place, "amax")  # -1: no match
    padded = torch.cat((overlap, overlap.new_zeros(1)))  # index -1 finds the zero at the end
    return padded[last].view(*shape)


class ComputeLoss(nn.Module):
    """The loss of raw maps against targets.

    Args:
        anchors: (L, A, 2) pixels. strides: (L,). num_classes: C.
        hyp: gains and settings; gains are used as given (``hyp.scaled`` fits them to a model).
        balance: weight of each level's objectness; None = 4, 1, 0.4 (three levels) or 4, 1, .25, .06, .02.
        box_loss: "iou", "giou", "diou" or "ciou". focal: "focal" or "quality", used where hyp.fl_gamma > 0.
        collisions: whose overlap a cell gets that several objects claim, see ``objectness_targets``.
        autobalance: after each training call, balance <- 0.9999 balance + 0.0001 / (the level's mean BCE), divided by
            the entry of stride 16; kept in the buffer ``balance``.

    >>> anchors = torch.tensor([[[10.0, 13], [16, 30], [33, 23]]])
    >>> loss = ComputeLoss(anchors, [8], 2, Hyperparameters())
    >>> parts = loss([torch.zeros(1, 3, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]]))
    >>> [round(part.item(), 4) for part in parts]
    [3.1501, 0.0309, 2.7726, 0.3466]
    """

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
        # Several processes, each with a share of the batch, set this to their mean: then every match weighs the same
        # wherever it falls, and the averaged gradient is that of the whole batch.
        self.over_processes: Callable[[Tensor], Tensor] = torch.clone

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> LossParts:
        """The loss of a batch.

        Args:
            maps: raw maps of the model, per level (N, A, H, W, 5 + C).
            targets: (n, 6) image, class, xc, yc, w, h; normalised. n may be 0. Best left on the CPU: matching there
                and moving the matches spares a GPU the waiting for shapes that depend on values.
        """
        return add_levels(self.levels(maps, targets), maps[0].shape[0])

    def levels(self, maps: Sequence[Tensor], targets: Tensor) -> list[LevelLoss]:
        """The contribution of each level, before they are added up."""
        self._check(maps, targets)
        if self.balance.device != maps[0].device:
            self.to(maps[0].device)
        grids = [(raw.shape[2], raw.shape[3]) for raw in maps]
        assignments = build_targets(targets, grids, self.anchors, self.strides, self.hyp.anchor_t)
        counts = self._counts(assignments, maps[0])
        levels = [
            self.level(raw if raw.dtype == torch.float64 else raw.float(), matches.to(raw.device), balance, count)
            for raw, matches, balance, count in zip(maps, assignments, self.balance, counts, strict=True)
        ]
        if self.autobalance and self.training:
            self._rebalance(self.over_processes(torch.stack([level.obj_mean.detach() for level in levels])))
        return levels

    def level(self, raw: Tensor, matches: Assignment, balance: Tensor | float, count: Tensor | float) -> LevelLoss:
        """One level: raw (N, A, H, W, 5 + C). count: what sums over matches are divided by, mostly m."""
        hyp = self.hyp
        matched = raw[matches.image, matches.anchor, matches.row, matches.col]  # (m, 5 + C)
        overlap = bbox_iou(decode_matches(matched, matches.anchor_wh), matches.box, self.box_loss)  # (m,)
        objectness = objectness_targets(raw.shape[:4], matches, overlap, self.collisions)  # (N, A, H, W)
        obj_mean = binary_loss(raw[..., 4], objectness, hyp.obj_pw, hyp.fl_gamma, kind=self.focal).mean()

        box = (1 - overlap).sum() / count
        cls = matched[:0].sum()  # 0 that carries gradient
        if self.num_classes > 1:  # one class: objectness says it all
            positive, negative = smooth_targets(hyp.label_smoothing)
            wanted = torch.full_like(matched[:, 5:], negative)  # (m, C)
            wanted.scatter_(1, matches.cls[:, None], positive)
            cls = binary_loss(matched[:, 5:], wanted, hyp.cls_pw, hyp.fl_gamma, kind=self.focal)
            cls = cls.sum() / (count * self.num_classes)
        return LevelLoss(
            hyp.box * box, hyp.obj * balance * obj_mean, hyp.cls * cls, matches, overlap, objectness, obj_mean
        )

    def _counts(self, assignments: Sequence[Assignment], raw: Tensor) -> Tensor:
        """(L,) what each level's sums over matches are divided by: its number of matches.

        Over several processes: the matches of all, shared out by the images that each has.
        """
        images = raw.shape[0]
        numbers = [*(len(matches.image) for matches in assignments), images]
        here = torch.tensor(numbers, dtype=torch.promote_types(raw.dtype, torch.float32))
        *counts, mean_images = self.over_processes(sent(here, raw.device)).unbind()  # new_tensor would wait for a GPU
        return torch.stack(counts).clamp(min=1e-3) * (images / mean_images)  # 0 matches: sums of nothing

    @torch.no_grad()
    def _rebalance(self, obj_means: Tensor) -> None:
        balance = 0.9999 * self.balance + 0.0001 / obj_means.to(self.balance.dtype)  # (L,)
        anchor_level = int((self.strides - 16).abs().argmin())  # the level of stride 16, or the nearest to it
        self.balance.copy_(balance / balance[anchor_level])

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


__getattr__ = partial(moved_name, __name__)  # until 0.3.0
