"""The gradient of CIoU, DIoU, GIoU and IoU by formula: for the walkthrough, which shows every term of it.

Training does not need this module: autograd differentiates ``boxes.bbox_iou``, and a test holds both equal.

Sources: GIoU, Rezatofighi et al. 2019 (arXiv 1902.09630); DIoU and CIoU, Zheng et al. 2020 (arXiv 1911.08287).
"""

import math

import torch
from torch import Tensor

from yolo_lite.boxes import EPS, IOU_KINDS, BoxFormat, IouKind, iou_terms, xywh_to_xyxy


def iou_gradient(a: Tensor, b: Tensor, kind: IouKind = "ciou", box_format: BoxFormat = "xywh") -> Tensor:
    """Gradient of ``bbox_iou(a, b, kind)`` with respect to ``a``, by formula instead of autograd.

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
    """``iou_gradient`` of every kind, whose formulas are mostly the same.

    >>> a, b = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])
    >>> gradients = iou_gradients(a, b, "xyxy")
    >>> torch.equal(gradients["giou"], iou_gradient(a, b, "giou", "xyxy"))
    True
    """
    terms = iou_terms(a, b, box_format)
    corners1, corners2 = _corners(a, box_format), _corners(b, box_format)  # (n, corner, xy)
    w1, h1 = (corners1[..., 1, :] - corners1[..., 0, :]).unbind(-1)
    w2, h2 = (corners2[..., 1, :] - corners2[..., 0, :]).unbind(-1)

    d_intersection, d_enclosing, d_diagonal_squared = _overlap_gradients(corners1, corners2)
    d_area = torch.stack((-h1, -w1, h1, w1), -1).unflatten(-1, (2, 2))
    d_union = d_area - d_intersection  # union = area 1 + area 2 - intersection
    d_distance_squared = (corners1 - corners2).sum(-2, keepdim=True) / 2  # the same in both corners
    each = torch.stack(terms)[..., None, None]  # (8, n, 1, 1)
    intersection, union, _, enclosing, distance_squared, diagonal_squared, *_ = each.unbind()

    iou = (d_intersection * union - intersection * d_union) / (union * union)
    giou = iou + (d_union * enclosing - union * d_enclosing) / (enclosing * enclosing)
    diou = iou - (d_distance_squared * diagonal_squared - distance_squared * d_diagonal_squared) / (
        diagonal_squared * diagonal_squared
    )
    # dv/dw = 8/pi^2 (atan(w2/h2) - atan(w1/h1)) * -h/(w^2 + h^2); dv/dh with +w; alpha is a constant
    h1, h2 = h1 + EPS, h2 + EPS
    slope = 8 / math.pi**2 * (torch.atan2(w2, h2) - torch.atan2(w1, h1)) / (w1 * w1 + h1 * h1)
    d_size = (terms.alpha * slope)[..., None] * torch.stack((h1, -w1), -1)  # (n, 2) of -alpha v
    ciou = diou + torch.stack((-d_size, d_size), -2)  # width = right - left
    all_kinds = _in_format(torch.stack(torch.broadcast_tensors(iou, giou, diou, ciou)), box_format)  # (4, n, 4)
    return dict(zip(IOU_KINDS, all_kinds.unbind(), strict=True))


def _corners(boxes: Tensor, box_format: BoxFormat) -> Tensor:
    """Left, top and right, bottom, (n, 2, 2)."""
    corners = xywh_to_xyxy(boxes) if box_format == "xywh" else boxes
    return corners.view(*corners.shape[:-1], 2, 2)


def _in_format(gradient: Tensor, box_format: BoxFormat) -> Tensor:
    """From the corners (n, 2, 2) to the four numbers of a format (n, 4)."""
    top_left, bottom_right = gradient.unbind(-2)
    if box_format == "xyxy":
        return torch.cat((top_left, bottom_right), -1)
    return torch.cat((top_left + bottom_right, (bottom_right - top_left) / 2), -1)


def _overlap_gradients(corners1: Tensor, corners2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of intersection, enclosing area and diagonal squared, with respect to the first box's corners; each (n, 2, 2)."""
    outward = corners1.new_tensor([[-1.0], [1.0]])  # the way in which an edge makes its box larger
    away = outward * (corners1 - corners2)  # how much further out the first box's edges lie
    outer = torch.heaviside(away, away.new_tensor(0.5))  # (n, 2, 2): 1 where the first box's edge is the outer one
    (most_left, least_right), (least_left, most_right) = (
        edges.unbind(-2) for edges in (torch.minimum(corners1, corners2), torch.maximum(corners1, corners2))
    )  # (n, 2) each, in x and y
    enclosing, overlap = most_right - most_left, least_right - least_left  # (n, 2) w, h

    touching = (overlap >= 0).to(overlap.dtype)  # disjoint boxes: moving an edge changes nothing
    d_overlap = outward * (1 - outer) * touching[..., None, :]
    d_enclosing = outward * outer
    other_overlap, other_enclosing = (size.flip(-1)[..., None, :] for size in (overlap.clamp(min=0), enclosing))
    return d_overlap * other_overlap, d_enclosing * other_enclosing, 2 * d_enclosing * enclosing[..., None, :]
