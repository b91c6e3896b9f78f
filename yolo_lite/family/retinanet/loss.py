"""RetinaNet: nine anchors per cell, focal loss against the flood of easy background.

Source: Lin et al. 2017, Focal Loss for Dense Object Detection (arXiv 1708.02002), with the details (whole-pixel anchors
at the cell's corner, forced matches, plain L1) of torchvision 0.29.

Shape letters: N batch, L levels, A anchors per cell, n anchors per image in the order of ``decode``, m objects of one
image, p positives, C classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import decode_offsets, encode_offsets
from yolo_lite.family.anchored import (
    BACKGROUND,
    BETWEEN,
    AnchoredLoss,
    BoxAndClass,
    Matched,
    Objects,
    Shapes,
    as_xywh,
    flatten,
    image_size,
    level_shapes,
    level_steps,
    one_hot,
    overlaps,
    place_anchors,
    rows_of,
    scatter,
)
from yolo_lite.loss.focal import bce_with_focal

BoxLoss = Literal["l1", "giou"]


@dataclass(frozen=True)
class RetinaNetSettings:
    """RetinaNet's published values (arXiv 1708.02002, sections 4 and 5)."""

    sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # pixels, the base of each level's anchors
    octaves: int = 3  # sizes per level: base * 2^(k / octaves), rounded down
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    positive_iou: float = 0.5  # an anchor with at least this overlap is positive
    negative_iou: float = 0.4  # with less it is background; between the two it is ignored
    force: bool = True  # the best anchors of every object are positive, however small their overlap
    alpha: float = 0.25  # focal loss: weight of the positives
    gamma: float = 2.0  # focal loss: how much easy predictions are weighted down
    box_loss: BoxLoss = "l1"  # of the offsets; or "giou" of the boxes

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) <= 0 or not self.ratios or min(self.ratios) <= 0 or self.octaves < 1:
            raise ValueError(f"sizes {self.sizes}, ratios {self.ratios} and octaves {self.octaves} must be positive")
        if not 0 <= self.negative_iou <= self.positive_iou <= 1:
            raise ValueError(
                f"0 <= negative_iou {self.negative_iou} <= positive_iou {self.positive_iou} <= 1: must hold"
            )
        if self.box_loss not in get_args(BoxLoss):
            raise ValueError(f"unknown box_loss {self.box_loss!r}: choose one of {', '.join(get_args(BoxLoss))}")
        if not 0 <= self.alpha <= 1 or self.gamma < 0:
            raise ValueError(f"alpha {self.alpha} must lie between 0 and 1, gamma {self.gamma} must not be negative")

    @property
    def anchors_per_cell(self) -> int:
        """A."""
        return self.octaves * len(self.ratios)

    def cell_anchors(self) -> Tensor:
        """(L, A, 4) xyxy in pixels around the corner of a cell, rounded to whole pixels (half to even).

        >>> RetinaNetSettings().cell_anchors()[0, :3].tolist()  # 32, 40 and 50 pixels, twice as wide as high
        [[-23.0, -11.0, 23.0, 11.0], [-28.0, -14.0, 28.0, 14.0], [-35.0, -18.0, 35.0, 18.0]]
        """
        sizes = [[math.floor(base * 2 ** (k / self.octaves)) for k in range(self.octaves)] for base in self.sizes]
        size = torch.tensor(sizes, dtype=torch.float32)[:, None]  # (L, 1, octaves)
        root = torch.tensor(self.ratios).sqrt()[:, None]  # (ratios, 1)
        half = torch.stack((size / root, size * root), -1).flatten(1, 2) / 2  # (L, A, 2)
        return torch.cat((-half, half), -1).round()


def retinanet_anchors(shapes: Shapes, size: tuple[int, int], settings: RetinaNetSettings) -> Tensor:
    """All anchors of an image.

    Args:
        shapes: (A, H, W) of each level. size: height and width of the image in pixels.
    Returns:
        (n, 4) xyxy in pixels; they may reach outside the image.

    >>> retinanet_anchors([(9, 2, 2)], (16, 16), RetinaNetSettings(sizes=(32,))).shape
    torch.Size([36, 4])
    """
    levels = zip(shapes, settings.cell_anchors(), level_steps(shapes, size), strict=True)
    return torch.cat([place_anchors(*level) for level in levels])


def match_anchors(objects: Tensor, anchors: Tensor, settings: RetinaNetSettings) -> Tensor:
    """Which object each anchor is matched to.

    An anchor is given its best object where they overlap enough. Then every anchor that reaches an object's largest
    overlap is restored to its own best object, which need not be the object that it is the best anchor of.

    Args:
        objects: (m, 4), anchors: (n, 4), both xyxy in pixels.
    Returns:
        (n,) int64: index of the object, BACKGROUND or BETWEEN.

    >>> anchors = torch.tensor([[0.0, 0, 10, 6], [0, 0, 10, 4.5], [9, 9, 20, 20]])
    >>> match_anchors(torch.tensor([[0.0, 0, 10, 10]]), anchors, RetinaNetSettings()).tolist()
    [0, -2, -1]
    """
    if not len(objects):
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    iou = overlaps(objects, anchors)  # (m, n)
    best, which = iou.max(0)  # (n,) of each anchor
    matched = torch.where(best >= settings.negative_iou, BETWEEN, BACKGROUND)
    matched = torch.where(best >= settings.positive_iou, which, matched)
    if settings.force:
        largest = iou.amax(1, keepdim=True)  # (m, 1) of each object
        restored = ((iou == largest) & (largest > 0)).any(0)  # (n,) one that no anchor touches restores none
        matched = torch.where(restored, which, matched)
    return matched


def decode_retinanet(maps: Sequence[Tensor], strides: Sequence[int], settings: RetinaNetSettings) -> Tensor:
    """Raw maps (N, A, H, W, 4 + C) -> (N, n, 5 + C): x, y, w, h in pixels, 1, class scores."""
    flat = flatten(maps)
    shapes = [(raw.shape[1], raw.shape[2], raw.shape[3]) for raw in maps]
    anchors = as_xywh(retinanet_anchors(shapes, image_size(shapes, strides), settings), flat)
    boxes = decode_offsets(flat[..., :4], anchors)
    return torch.cat((boxes, torch.ones_like(flat[..., :1]), flat[..., 4:].sigmoid()), -1)


class RetinaNetLoss(AnchoredLoss):
    """RetinaNet's loss: focal loss of all anchors but those between, L1 (or GIoU) loss of the positives.

    Both are divided by the positives of each image (at least 1), and averaged over the images.

    Args:
        strides: L, pixels per cell; images are multiples of the smallest (see ``image_size``). num_classes: C.
        settings: thresholds, anchors and the kind of box loss.

    >>> loss = RetinaNetLoss([8], 2, RetinaNetSettings(sizes=(32,)))
    >>> maps, targets = [torch.zeros(1, 9, 8, 8, 6)], torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.4]])
    >>> parts = loss(maps, targets)
    >>> assigned = loss.assign(maps, targets)
    >>> torch.allclose(assigned.losses.total.sum(), parts.total), (assigned.role > 0).sum().item()
    (True, 10)
    """

    def __init__(self, strides: Sequence[int], num_classes: int, settings: RetinaNetSettings | None = None) -> None:
        super().__init__(num_classes)
        self.strides, self.settings = tuple(strides), settings or RetinaNetSettings()
        if len(self.strides) != len(self.settings.sizes):
            raise ValueError(f"{len(self.strides)} strides for {len(self.settings.sizes)} sizes of anchors: must agree")

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> BoxAndClass:
        """The loss of a batch.

        Args:
            maps: L of (N, A, H, W, 4 + C): offsets, class logits. targets: (n, 6) image, class, xc, yc, w, h;
                normalised.
        """
        box, cls = self.summed(maps, targets)
        return BoxAndClass(box + cls, box, cls)

    def shapes(self, maps: Sequence[Tensor]) -> Shapes:
        """(A, H, W) of each level."""
        count = self.settings.anchors_per_cell
        return level_shapes(maps, [count] * len(self.strides), 4 + self.num_classes)

    def size(self, shapes: Shapes) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return image_size(shapes, self.strides)

    def match(self, shapes: Shapes, size: tuple[int, int], objects: Sequence[Objects]) -> Tensor:
        """(N, n) int64: for every anchor a row of targets, BACKGROUND or BETWEEN."""
        anchors = retinanet_anchors(shapes, size, self.settings).to(objects[0].xyxy.device)
        matched = [match_anchors(each.xyxy, anchors, self.settings) for each in objects]
        return torch.stack([rows_of(each.row, found) for each, found in zip(objects, matched, strict=True)])

    def terms(self, flat: Tensor, target: Tensor, pairs: Matched, shapes: Shapes) -> tuple[BoxAndClass, Tensor]:
        """The losses of every anchor, and which are ignored."""
        settings, ignored = self.settings, target == BETWEEN
        weight = 1 / ((target >= 0).sum(1, keepdim=True).clamp(min=1) * len(target)).to(flat)  # (N, 1)
        logits = flat[..., 4:]
        focal = bce_with_focal(logits, one_hot(pairs, logits), gamma=settings.gamma, alpha=settings.alpha)
        cls = focal.sum(-1).masked_fill(ignored, 0) * weight  # (N, n)

        anchors = as_xywh(retinanet_anchors(shapes, self.size(shapes), settings), flat)[pairs.prediction]  # (p, 4)
        offsets = flat[pairs.image, pairs.prediction, :4]
        if settings.box_loss == "l1":
            of_pairs = (offsets - encode_offsets(pairs.box, anchors)).abs().sum(-1)  # (p,)
        else:
            of_pairs = 1 - bbox_iou(decode_offsets(offsets, anchors), pairs.box, "giou")
        box = scatter(of_pairs, pairs, cls) * weight
        return BoxAndClass(box + cls, box, cls), ignored
