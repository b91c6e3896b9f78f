"""Boxes: their formats and how well two of them agree.

Formats of the last axis: ``xyxy`` = left, top, right, bottom; ``xywh`` = centre x, centre y, width, height.
Shape letters: n, m numbers of boxes.

Sources: GIoU, Rezatofighi et al. 2019 (arXiv 1902.09630); DIoU and CIoU, Zheng et al. 2020 (arXiv 1911.08287).
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from yolo_lite._moved import moved_name, renamed_field

IouKind = Literal["iou", "giou", "diou", "ciou"]
BoxFormat = Literal["xywh", "xyxy"]
Array = TypeVar("Array", Tensor, np.ndarray)

IOU_KINDS: tuple[IouKind, ...] = ("iou", "giou", "diou", "ciou")
EPS = 1e-7  # keeps the divisions finite for boxes without area; the reference's value


def xywh_to_xyxy(boxes: Array) -> Array:
    """Centre and size -> corners, shape (..., 4) -> (..., 4). Works on tensors and arrays. YOLOv5: ``xywh2xyxy``.

    >>> xywh_to_xyxy(torch.tensor([5.0, 5.0, 4.0, 2.0]))
    tensor([3., 4., 7., 6.])
    """
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return _joined(centre - half, centre + half)


def xyxy_to_xywh(boxes: Array) -> Array:
    """Corners -> centre and size, shape (..., 4) -> (..., 4). Works on tensors and arrays. YOLOv5: ``xyxy2xywh``.

    >>> xyxy_to_xywh(np.array([3.0, 4.0, 7.0, 6.0]))
    array([5., 5., 4., 2.])
    """
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:4]
    return _joined((top_left + bottom_right) / 2, bottom_right - top_left)


def _joined(first: Array, second: Array) -> Array:
    if isinstance(first, Tensor):
        return torch.cat((first, second), -1)
    return np.concatenate((first, second), -1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of ``a`` with every box of ``b``. YOLOv5: ``box_iou``.

    Args:
        a: (n, 4) xyxy. b: (m, 4) xyxy, same units.
    Returns:
        (n, m) in [0, 1]; 0 where both boxes have no area.

    >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]]))
    tensor([[0.1429, 0.0000]])
    """
    top_left = torch.maximum(a[:, None, :2], b[None, :, :2])  # (n, m, 2)
    bottom_right = torch.minimum(a[:, None, 2:4], b[None, :, 2:4])  # (n, m, 2)
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)  # (n, m)
    area_a = (a[:, 2:4] - a[:, :2]).prod(-1)  # (n,)
    area_b = (b[:, 2:4] - b[:, :2]).prod(-1)  # (m,)
    return intersection / (area_a[:, None] + area_b[None, :] - intersection + EPS)


class IouTerms(NamedTuple):
    """Everything that IoU, GIoU, DIoU and CIoU are made of; each (n,). The papers' letters: C, rho^2, c^2."""

    intersection: Tensor  # area that both boxes cover
    union: Tensor  # area that either covers (+ eps)
    iou: Tensor  # intersection / union
    enclosing_area: Tensor  # C, area of the smallest box that encloses both (+ eps)
    centre_distance_squared: Tensor  # rho^2, of the two centres
    enclosing_diagonal_squared: Tensor  # c^2, of the enclosing box (+ eps)
    v: Tensor  # difference of the aspect ratios, 4/pi^2 (atan(w2/h2) - atan(w1/h1))^2
    alpha: Tensor  # weight of v, v / (v - iou + 1 + eps); a constant for the gradient

    def value(self, kind: IouKind = "ciou") -> Tensor:
        """The overlap of that kind, (n,): what ``bbox_iou`` returns."""
        if kind == "iou":
            return self.iou
        if kind == "giou":  # less the fraction of the enclosing box that neither covers
            return self.iou - (self.enclosing_area - self.union) / self.enclosing_area
        diou = self.iou - self.centre_distance_squared / self.enclosing_diagonal_squared
        if kind == "diou":
            return diou
        if kind == "ciou":
            return diou - self.alpha * self.v
        raise ValueError(f"unknown kind of IoU {kind!r}: choose one of {', '.join(IOU_KINDS)}")

    @property
    def hull(self) -> Tensor:
        """Until 0.3.0: ``enclosing_area``."""
        value: Tensor = renamed_field(self, "hull", "enclosing_area")
        return value

    @property
    def distance2(self) -> Tensor:
        """Until 0.3.0: ``centre_distance_squared``."""
        value: Tensor = renamed_field(self, "distance2", "centre_distance_squared")
        return value

    @property
    def diagonal2(self) -> Tensor:
        """Until 0.3.0: ``enclosing_diagonal_squared``."""
        value: Tensor = renamed_field(self, "diagonal2", "enclosing_diagonal_squared")
        return value


def iou_terms(a: Tensor, b: Tensor, box_format: BoxFormat = "xywh", eps: float = EPS) -> IouTerms:
    """All terms of the overlap of ``a[i]`` with ``b[i]``. YOLOv5: ``iou``, ``c2``, ``rho2``, ``v``, ``alpha``.

    Args:
        a, b: (n, 4) in ``box_format``, any unit, or shapes that broadcast.
    Returns:
        IouTerms, each field (n,).

    >>> terms = iou_terms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]]), "xyxy")
    >>> terms.intersection.item(), terms.enclosing_area.item(), terms.centre_distance_squared.item()
    (0.0, 9.0, 8.0)
    """
    left1, top1, right1, bottom1, w1, h1 = _sides(a, box_format)
    left2, top2, right2, bottom2, w2, h2 = _sides(b, box_format)

    overlap_w = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    overlap_h = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0)
    intersection = overlap_w * overlap_h
    union = w1 * h1 + w2 * h2 - intersection + eps
    iou = intersection / union

    enclosing_w = torch.maximum(right1, right2) - torch.minimum(left1, left2)
    enclosing_h = torch.maximum(bottom1, bottom2) - torch.minimum(top1, top2)
    enclosing_area = enclosing_w * enclosing_h + eps
    distance_squared = ((left2 + right2 - left1 - right1) ** 2 + (top2 + bottom2 - top1 - bottom1) ** 2) / 4
    # eps: the angle of a box without width and height has no gradient
    v = (4 / math.pi**2) * (torch.atan2(w2, h2 + eps) - torch.atan2(w1, h1 + eps)) ** 2
    with torch.no_grad():  # the paper differentiates v alone
        alpha = v / (v - iou + (1 + eps))
    diagonal_squared = enclosing_w**2 + enclosing_h**2 + eps
    return IouTerms(intersection, union, iou, enclosing_area, distance_squared, diagonal_squared, v, alpha)


def _sides(boxes: Tensor, box_format: BoxFormat) -> tuple[Tensor, ...]:
    """left, top, right, bottom, width, height, each (n,)."""
    if box_format == "xywh":
        x, y, w, h = boxes.unbind(-1)
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2, w, h
    if box_format == "xyxy":
        left, top, right, bottom = boxes.unbind(-1)
        return left, top, right, bottom, right - left, bottom - top
    raise ValueError(f"unknown box format {box_format!r}: choose 'xywh' or 'xyxy'")


def bbox_iou(a: Tensor, b: Tensor, kind: IouKind = "ciou", box_format: BoxFormat = "xywh", eps: float = EPS) -> Tensor:
    """Overlap of ``a[i]`` with ``b[i]``: IoU, or IoU less the penalty of GIoU, DIoU or CIoU. YOLOv5: ``bbox_iou``.

    Args:
        a, b: (n, 4) in ``box_format``, same unit. kind: "iou", "giou", "diou" or "ciou".
    Returns:
        (n,); IoU in [0, 1], GIoU and DIoU in (-1, 1], CIoU below DIoU where the aspect ratios differ.

    >>> pred, truth = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
    >>> [round(1 - bbox_iou(pred, truth, kind, "xyxy").item(), 4) for kind in IOU_KINDS]
    [0.5862, 0.7074, 0.6184, 0.6231]
    """
    return iou_terms(a, b, box_format, eps).value(kind)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
