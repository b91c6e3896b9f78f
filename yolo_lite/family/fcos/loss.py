"""FCOS: no anchors. Every point inside an object says how far the four sides are, and how central it is.

Source: Tian et al. 2019, FCOS: Fully Convolutional One-Stage Object Detection (arXiv 1904.01355; centre sampling and
centre-ness beside the box in its second edition, arXiv 2006.09214), with the details of torchvision 0.29.

Shape letters: N batch, L levels, n points per image in the order of ``decode``, m objects of one image, p positives, C
classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from yolo_lite.boxes import bbox_iou, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.coding import decode_distances, encode_distances
from yolo_lite.family.anchored import (
    BACKGROUND,
    AnchoredLoss,
    Matched,
    Objects,
    Shapes,
    flatten,
    image_size,
    level_shapes,
    level_steps,
    one_hot,
    rows_of,
    scatter,
)
from yolo_lite.loss.focal import bce_with_focal

AREA_LIMIT = 1e8  # square pixels; areas are compared as what is missing from it, in float32


@dataclass(frozen=True)
class FcosSettings:
    """FCOS's published values. Raw sides, ranges and the radius are counted in strides of their level."""

    radius: float = 1.5  # strides: how far a positive point may be from its object's centre, in x and in y
    range: float = 8.0  # strides: a level's largest side; the next level, with twice the stride, begins there
    alpha: float = 0.25  # focal loss: weight of the positives
    gamma: float = 2.0  # focal loss: how much easy predictions are weighted down
    offset: float = 0.0  # of a point in its cell, in cells: torchvision: the corner; the paper: 0.5, the centre

    def __post_init__(self) -> None:
        if self.radius <= 0 or self.range <= 0:
            raise ValueError(f"radius {self.radius} and range {self.range} must be positive numbers of strides")
        if not 0 <= self.alpha <= 1 or self.gamma < 0:
            raise ValueError(f"alpha {self.alpha} must lie between 0 and 1, gamma {self.gamma} must not be negative")
        if not 0 <= self.offset < 1:
            raise ValueError(f"offset must be at least 0 and below 1 cell, not {self.offset}")


class FcosParts(NamedTuple):
    """FCOS's loss; scalars that carry gradient. In ``assign``: (N, n), of each point."""

    total: Tensor  # box + cls + centreness
    box: Tensor  # 1 - GIoU
    cls: Tensor  # focal
    centreness: Tensor  # binary cross-entropy; the papers' "center-ness"


class Points(NamedTuple):
    """All points of an image."""

    xy: Tensor  # (n, 2) pixels
    stride: Tensor  # (n, 1) pixels, of their levels
    smallest: Tensor  # (n,) the largest side of an object matched to such a point is above this ...
    largest: Tensor  # (n,) ... and below this, in pixels


def fcos_points(shapes: Shapes, strides: Sequence[int], settings: FcosSettings) -> Points:
    """Where the points are, and which sizes of objects each level is for.

    >>> points = fcos_points([(1, 2, 2), (1, 1, 1)], [8, 16], FcosSettings())
    >>> points.xy.tolist()
    [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0], [0.0, 0.0]]
    >>> points.smallest.tolist(), points.largest.tolist()
    ([0.0, 0.0, 0.0, 0.0, 64.0], [64.0, 64.0, 64.0, 64.0, inf])
    """
    steps = level_steps(shapes, image_size(shapes, strides))
    borders = [0.0, *(settings.range * stride for stride in strides[:-1]), torch.inf]
    levels = []
    for (_, rows, cols), (down, across), stride, limits in zip(shapes, steps, strides, pairwise(borders), strict=True):
        y, x = (torch.arange(rows) + settings.offset) * down, (torch.arange(cols) + settings.offset) * across
        xy = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).flatten(0, 1).float()  # (H * W, 2)
        smallest, largest, each_stride = (torch.full_like(xy[:, 0], value) for value in (*limits, stride))
        levels.append(Points(xy, each_stride[:, None], smallest, largest))
    return Points(*(torch.cat(field) for field in zip(*levels, strict=True)))


def match_points(objects: Tensor, points: Points, settings: FcosSettings) -> Tensor:
    """Which object each point is matched to: of those that may be, the smallest.

    A point may be matched to an object if it is strictly inside, near the object's centre (centre sampling), and if
    the largest distance to a side lies in the range of its level.

    Args:
        objects: (m, 4) xyxy in pixels, float32: areas closer than about 8 square pixels tie, and the first one wins.
    Returns:
        (n,) int64: index of the object or BACKGROUND.
    """
    if not len(objects):
        return torch.full((len(points.xy),), BACKGROUND, device=objects.device)
    centre = (objects[:, :2] + objects[:, 2:]) / 2  # (m, 2)
    near = (points.xy[:, None] - centre).abs().amax(-1) < settings.radius * points.stride  # (n, m)
    sides = encode_distances(objects[None], points.xy[:, None])  # (n, m, 4)
    farthest = sides.amax(-1)
    fits = (farthest > points.smallest[:, None]) & (farthest < points.largest[:, None])
    area = (objects[:, 2:] - objects[:, :2]).prod(-1)  # (m,)
    rank = (near & (sides.amin(-1) > 0) & fits) * (AREA_LIMIT - area)  # (n, m)
    best, which = rank.max(1)
    return torch.where(best > 0, which, BACKGROUND)


def centreness(sides: Tensor) -> Tensor:
    """(p, 4) distances to left, top, right, bottom -> (p,): 1 in the middle, 0 at a side. FCOS, equation 3.

    >>> centreness(torch.tensor([[2.0, 3, 2, 3], [1, 3, 4, 3]]))
    tensor([1.0000, 0.5000])
    """
    across, down = sides[:, 0::2], sides[:, 1::2]
    return (across.amin(1) / across.amax(1) * (down.amin(1) / down.amax(1))).sqrt()


def decode_fcos(maps: Sequence[Tensor], strides: Sequence[int], settings: FcosSettings) -> Tensor:
    """Raw maps (N, 1, H, W, 5 + C) -> (N, n, 5 + C): x, y, w, h in pixels, root of centre-ness, roots of class scores.

    The last two multiply to FCOS's score, sqrt(centre-ness * class score).
    """
    flat = flatten(maps)
    points = fcos_points([(raw.shape[1], raw.shape[2], raw.shape[3]) for raw in maps], strides, settings)
    sides = flat[..., :4].relu() * points.stride.to(flat)
    boxes = xyxy_to_xywh(decode_distances(sides, points.xy.to(flat)))
    return torch.cat((boxes, flat[..., 4:].sigmoid().sqrt()), -1)


class FcosLoss(AnchoredLoss):
    """FCOS's loss: focal loss of all points, GIoU and centre-ness loss of the positives.

    Each is a sum over the batch, divided by the positives of the whole batch (at least 1). Centre-ness weights nothing.

    Args:
        strides: L, pixels per cell; images are multiples of the smallest (see ``image_size``). num_classes: C.

    >>> loss = FcosLoss([8, 16], 2)
    >>> maps = [torch.zeros(1, 1, 8, 8, 7), torch.zeros(1, 1, 4, 4, 7)]
    >>> targets = torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.4]])
    >>> assigned = loss.assign(maps, targets)
    >>> torch.allclose(assigned.losses.total.sum(), loss(maps, targets).total), (assigned.role > 0).sum().item()
    (True, 9)
    """

    def __init__(self, strides: Sequence[int], num_classes: int, settings: FcosSettings | None = None) -> None:
        super().__init__(num_classes)
        self.strides, self.settings = tuple(strides), settings or FcosSettings()

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> FcosParts:
        """The loss of a batch.

        Args:
            maps: L of (N, 1, H, W, 5 + C): left, top, right, bottom in strides (before the ReLU), centre-ness logit,
                class logits. targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        box, cls, centre = self.summed(maps, targets)
        return FcosParts(box + cls + centre, box, cls, centre)

    def shapes(self, maps: Sequence[Tensor]) -> Shapes:
        """(1, H, W) of each level."""
        return level_shapes(maps, [1] * len(self.strides), 5 + self.num_classes)

    def size(self, shapes: Shapes) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return image_size(shapes, self.strides)

    def match(self, shapes: Shapes, size: tuple[int, int], objects: Sequence[Objects]) -> Tensor:
        """(N, n) int64: for every point a row of targets or BACKGROUND."""
        device = objects[0].xyxy.device
        points = Points(*(each.to(device) for each in fcos_points(shapes, self.strides, self.settings)))
        return torch.stack([rows_of(each.row, match_points(each.xyxy, points, self.settings)) for each in objects])

    def terms(self, flat: Tensor, target: Tensor, pairs: Matched, shapes: Shapes) -> tuple[FcosParts, Tensor]:
        """The losses of every point; none is ignored."""
        settings = self.settings
        positives = max(1, len(pairs.row))
        logits = flat[..., 5:]
        focal = bce_with_focal(logits, one_hot(pairs, logits), gamma=settings.gamma, alpha=settings.alpha)
        cls = focal.sum(-1) / positives  # (N, n)

        points = fcos_points(shapes, self.strides, settings)
        xy, stride = (each.to(flat)[pairs.prediction] for each in (points.xy, points.stride))
        raw = flat[pairs.image, pairs.prediction]  # (p, 5 + C)
        corners = xywh_to_xyxy(pairs.box)
        overlap = bbox_iou(decode_distances(raw[:, :4].relu() * stride, xy), corners, "giou", "xyxy")  # (p,)
        centreness_targets = centreness(encode_distances(corners, xy))
        bce = functional.binary_cross_entropy_with_logits(raw[:, 4], centreness_targets, reduction="none")
        box, centre = (scatter(each / positives, pairs, cls) for each in (1 - overlap, bce))
        return FcosParts(box + cls + centre, box, cls, centre), torch.zeros_like(target, dtype=torch.bool)
