"""Boxes: their formats and how well two of them agree.

Formats of the last axis: ``xyxy`` = left, top, right, bottom; ``xywh`` = centre x, centre y, width, height.
Shape letters: n, m numbers of boxes.

Sources: GIoU, Rezatofighi et al. 2019 (arXiv 1902.09630); DIoU and CIoU, Zheng et al. 2020 (arXiv 1911.08287).
"""

import math
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

IouKind = Literal["iou", "giou", "diou", "ciou"]
BoxFormat = Literal["xywh", "xyxy"]
Array = TypeVar("Array", Tensor, np.ndarray)

IOU_KINDS: tuple[IouKind, ...] = ("iou", "giou", "diou", "ciou")
EPS = 1e-7  # keeps the divisions finite for boxes without area; the reference's value


def xywh_to_xyxy(boxes: Array) -> Array:
    """Centre and size -> corners, shape (..., 4) -> (..., 4). Works on tensors and arrays.

    >>> xywh_to_xyxy(torch.tensor([5.0, 5.0, 4.0, 2.0]))
    tensor([3., 4., 7., 6.])
    """
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return _joined(centre - half, centre + half)


def xyxy_to_xywh(boxes: Array) -> Array:
    """Corners -> centre and size, shape (..., 4) -> (..., 4). Works on tensors and arrays.

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
    """Intersection over union of every box of ``a`` with every box of ``b``.

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
    """Everything that IoU and its descendants are made of; each (n,)."""

    intersection: Tensor  # area that both boxes cover
    union: Tensor  # area that either covers (+ eps)
    iou: Tensor  # intersection / union
    hull: Tensor  # area of the smallest box around both (+ eps)
    distance2: Tensor  # squared distance of the centres
    diagonal2: Tensor  # squared diagonal of the hull (+ eps)
    v: Tensor  # difference of the aspect ratios, 4/pi^2 (atan(w2/h2) - atan(w1/h1))^2
    alpha: Tensor  # weight of v, v / (v - iou + 1 + eps); a constant for the gradient

    def value(self, kind: IouKind = "ciou") -> Tensor:
        """The overlap of that kind, (n,): what ``bbox_iou`` returns."""
        if kind == "iou":
            return self.iou
        if kind == "giou":  # the share of the hull that neither box covers
            return self.iou - (self.hull - self.union) / self.hull
        diou = self.iou - self.distance2 / self.diagonal2
        if kind == "diou":
            return diou
        if kind == "ciou":
            return diou - self.alpha * self.v
        raise ValueError(f"unknown kind of IoU {kind!r}: choose one of {', '.join(IOU_KINDS)}")


def iou_terms(a: Tensor, b: Tensor, box_format: BoxFormat = "xywh", eps: float = EPS) -> IouTerms:
    """All terms of the overlap of ``a[i]`` with ``b[i]``.

    Args:
        a, b: (n, 4) in ``box_format``, any unit, or shapes that broadcast.
    Returns:
        IouTerms, each field (n,).

    >>> terms = iou_terms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]]), "xyxy")
    >>> terms.intersection.item(), terms.hull.item(), terms.distance2.item(), terms.diagonal2.item()
    (0.0, 9.0, 8.0, 18.0)
    """
    left1, top1, right1, bottom1, w1, h1 = _sides(a, box_format)
    left2, top2, right2, bottom2, w2, h2 = _sides(b, box_format)

    overlap_w = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    overlap_h = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0)
    intersection = overlap_w * overlap_h
    union = w1 * h1 + w2 * h2 - intersection + eps
    iou = intersection / union

    hull_w = torch.maximum(right1, right2) - torch.minimum(left1, left2)
    hull_h = torch.maximum(bottom1, bottom2) - torch.minimum(top1, top2)
    distance2 = ((left2 + right2 - left1 - right1) ** 2 + (top2 + bottom2 - top1 - bottom1) ** 2) / 4
    # eps: the angle of a box without width and height has no gradient
    v = (4 / math.pi**2) * (torch.atan2(w2, h2 + eps) - torch.atan2(w1, h1 + eps)) ** 2
    with torch.no_grad():  # the paper differentiates v alone
        alpha = v / (v - iou + (1 + eps))
    return IouTerms(intersection, union, iou, hull_w * hull_h + eps, distance2, hull_w**2 + hull_h**2 + eps, v, alpha)


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
    """Overlap of ``a[i]`` with ``b[i]``: IoU, or IoU less what GIoU, DIoU or CIoU take off.

    Args:
        a, b: (n, 4) in ``box_format``, same unit. kind: "iou", "giou", "diou" or "ciou".
    Returns:
        (n,); IoU in [0, 1], GIoU and DIoU in (-1, 1], CIoU below DIoU where the aspect ratios differ.

    >>> pred, truth = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
    >>> [round(1 - bbox_iou(pred, truth, kind, "xyxy").item(), 4) for kind in IOU_KINDS]
    [0.5862, 0.7074, 0.6184, 0.6231]
    """
    return iou_terms(a, b, box_format, eps).value(kind)


def iou_gradient(a: Tensor, b: Tensor, kind: IouKind = "ciou", box_format: BoxFormat = "xywh") -> Tensor:
    """Gradient of ``bbox_iou(a, b, kind)`` in ``a``, by formula instead of autograd.

    The gradient of the box loss 1 - overlap is the negative of it. Where two edges coincide the overlap has a kink;
    there each side counts half, as autograd does it.

    Args:
        a, b: (n, 4) in ``box_format``.
    Returns:
        (n, 4): d overlap / d (x, y, w, h), or d (left, top, right, bottom).

    >>> pred, truth = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
    >>> -iou_gradient(pred, truth, "ciou", "xyxy")
    tensor([[-0.0039,  0.0049, -0.0080, -0.0054]])
    """
    if kind not in IOU_KINDS:
        raise ValueError(f"unknown kind of IoU {kind!r}: choose one of {', '.join(IOU_KINDS)}")
    return iou_gradients(a, b, box_format)[kind]


def iou_gradients(a: Tensor, b: Tensor, box_format: BoxFormat = "xywh") -> dict[IouKind, Tensor]:
    """``iou_gradient`` of every kind, which share most of their formulas.

    >>> a, b = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
    >>> gradients = iou_gradients(a, b, "xyxy")
    >>> torch.equal(gradients["giou"], iou_gradient(a, b, "giou", "xyxy"))
    True
    """
    terms = iou_terms(a, b, box_format)
    corners1, corners2 = _corners(a, box_format), _corners(b, box_format)  # (n, corner, xy)
    w1, h1 = (corners1[..., 1, :] - corners1[..., 0, :]).unbind(-1)
    w2, h2 = (corners2[..., 1, :] - corners2[..., 0, :]).unbind(-1)

    d_intersection, d_hull, d_diagonal2 = _overlap_gradients(corners1, corners2)
    d_area = torch.stack((-h1, -w1, h1, w1), -1).unflatten(-1, (2, 2))
    d_union = d_area - d_intersection  # union = area 1 + area 2 - intersection
    d_distance2 = (corners1 - corners2).sum(-2, keepdim=True) / 2  # the same in both corners
    intersection, union, _, hull, distance2, diagonal2, *_ = torch.stack(terms)[..., None, None].unbind()

    iou = (d_intersection * union - intersection * d_union) / (union * union)
    giou = iou + (d_union * hull - union * d_hull) / (hull * hull)
    diou = iou - (d_distance2 * diagonal2 - distance2 * d_diagonal2) / (diagonal2 * diagonal2)
    # dv/dw = 8/pi^2 (atan(w2/h2) - atan(w1/h1)) * -h/(w^2 + h^2); dv/dh with +w; alpha is a constant
    h1, h2 = h1 + EPS, h2 + EPS
    slope = 8 / math.pi**2 * (torch.atan2(w2, h2) - torch.atan2(w1, h1)) / (w1 * w1 + h1 * h1)
    d_size = (terms.alpha * slope)[..., None] * torch.stack((h1, -w1), -1)  # (n, 2) of -alpha v
    ciou = diou + torch.stack((-d_size, d_size), -2)  # width = right - left
    all_kinds = _in_format(torch.stack(torch.broadcast_tensors(iou, giou, diou, ciou)), box_format)  # (4, n, 4)
    return dict(zip(IOU_KINDS, all_kinds.unbind(), strict=True))


def _corners(boxes: Tensor, box_format: BoxFormat) -> Tensor:
    """Left, top and right, bottom, (n, 2, 2)."""
    return (xywh_to_xyxy(boxes) if box_format == "xywh" else boxes).unflatten(-1, (2, 2))


def _in_format(gradient: Tensor, box_format: BoxFormat) -> Tensor:
    """From the corners (n, 2, 2) to the four numbers of a format (n, 4)."""
    top_left, bottom_right = gradient.unbind(-2)
    if box_format == "xyxy":
        return torch.cat((top_left, bottom_right), -1)
    return torch.cat((top_left + bottom_right, (bottom_right - top_left) / 2), -1)


def _overlap_gradients(corners1: Tensor, corners2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of intersection, hull and squared diagonal in the first box's corners, each (n, 2, 2)."""
    outward = corners1.new_tensor([[-1.0], [1.0]])  # the way in which an edge makes its box larger
    away = outward * (corners1 - corners2)  # how much further out the first box's edges lie
    outer = torch.heaviside(away, away.new_tensor(0.5))  # (n, 2, 2): 1 where the hull's edge is the first box's
    (most_left, least_right), (least_left, most_right) = (
        edges.unbind(-2) for edges in (torch.minimum(corners1, corners2), torch.maximum(corners1, corners2))
    )  # (n, 2) each, in x and y
    hull, overlap = most_right - most_left, least_right - least_left  # (n, 2) w, h

    touching = (overlap >= 0).to(overlap.dtype)  # disjoint boxes: moving an edge changes nothing
    d_overlap = outward * (1 - outer) * touching[..., None, :]
    d_hull = outward * outer
    other_overlap, other_hull = (size.flip(-1)[..., None, :] for size in (overlap.clamp(min=0), hull))
    return d_overlap * other_overlap, d_hull * other_hull, 2 * d_hull * hull[..., None, :]
