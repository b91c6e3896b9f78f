"""Darknet's step for a box trained by its overlap (YOLOv4 with iou, giou, diou or ciou): almost a gradient.

``iou_gradient`` is the true one. Source: what AlexeyAB's Darknet computes, as recorded in tests/golden/family/darknet.

Shape letters: m pairs of a predicted box P and its object T.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_lite.boxes import IOU_KINDS, IouKind

ALPHA_EPS = 1e-6  # Darknet's in ciou's alpha


class _Pairs(NamedTuple):
    """Boxes and what their overlap is made of. Edges in the order left, right, top, bottom; sizes are (w, h)."""

    edges: Tensor  # (m, 4) of P
    of_object: Tensor  # (m, 4)
    size: Tensor  # (m, 2) of P
    overlap: Tensor  # (m, 2) signed: negative where the boxes are apart
    intersection: Tensor  # (m,) product of that, even of two negative numbers
    union: Tensor  # (m,)
    d_intersection: Tensor  # (m, 4) by P's edges
    d_union: Tensor  # (m, 4)

    @property
    def apart(self) -> Tensor:
        """(m, 1) bool: not overlapping in x or in y."""
        return (self.overlap <= 0).any(1, keepdim=True)


def overlap_step(predicted: Tensor, target: Tensor, kind: IouKind = "ciou") -> Tensor:
    """The numbers g that Darknet adds, as they are, to where the box should move; ``iou_gradient`` is the true one.

    What differs from the derivative of the overlap, for boxes that touch:

    - iou and giou: g_x, g_y are exact; g_w, g_h are twice the derivative (left and right edge move half a width each,
      and here move a whole one);
    - diou adds the exact derivative of -(centre distance)^2 / (enclosing diagonal)^2 for w, h (not doubled); for x, y
      the term of the diagonal has the opposite sign;
    - ciou adds alpha times the derivative of -v without the factor 1 / (w^2 + h^2);
    - boxes that are apart: the intersection is the product of signed sides and so positive where they are apart in
      both directions; giou, diou and ciou then use only what they add to iou.

    Args:
        predicted, target: (m, 4) x, y, w, h as fractions of the image.
    Returns:
        (m, 4) g, towards more overlap; nan or infinite for boxes that are (the layer sets such numbers to 0).
    Raises:
        ValueError: an unknown kind.

    >>> from yolo_lite.overlap_gradients import iou_gradient
    >>> predicted, target = torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.6, 0.54, 0.2, 0.2]])
    >>> overlap_step(predicted, target, "iou")
    tensor([[3.1250, 1.9531, 1.5625, 0.3906]])
    >>> iou_gradient(predicted, target, "iou")
    tensor([[3.1250, 1.9531, 0.7812, 0.1953]])
    """
    if kind not in IOU_KINDS:
        raise ValueError(f"unknown kind of IoU {kind!r}: choose one of {', '.join(IOU_KINDS)}")
    pairs = _pairs(predicted, target)
    union = pairs.union[:, None]
    iou = (union * pairs.d_intersection - pairs.intersection[:, None] * pairs.d_union) / union**2  # (m, 4)
    iou = torch.where(union > 0, iou, 0)
    if kind == "iou":
        return _of_box(iou)
    if kind == "giou":
        return _of_box(torch.where(pairs.apart, 0, iou) + _enclosing_term(pairs))
    added = _distance_term(pairs, predicted, target)
    if kind == "ciou":
        added = added + _aspect_term(pairs, predicted, target)
    return torch.where(pairs.apart, 0, _of_box(iou)) + added


def _pairs(predicted: Tensor, target: Tensor) -> _Pairs:
    edges, of_object = _edges(predicted), _edges(target)  # (m, 4)
    nearer = torch.minimum(edges[:, 1::2], of_object[:, 1::2])  # (m, 2) right, bottom
    overlap = nearer - torch.maximum(edges[:, ::2], of_object[:, ::2])
    intersection = overlap.prod(1)
    size = predicted[:, 2:]
    union = size.prod(1) + target[:, 2:].prod(1) - intersection
    inner = torch.where(_outward(edges) * (of_object - edges) > 0, _outward(edges), 0)  # P's edge is the nearer one
    d_intersection = inner * _other(overlap)
    return _Pairs(
        edges,
        of_object,
        size,
        overlap,
        intersection,
        union,
        d_intersection,
        _outward(edges) * _other(size) - d_intersection,
    )


def _enclosing_term(pairs: _Pairs) -> Tensor:
    """(m, 4) by P's edges: derivative of union / (area of the enclosing box)."""
    enclosing, outer = _enclosing(pairs)
    area, d_area = enclosing.prod(1, keepdim=True), outer * _other(enclosing)
    return (area * pairs.d_union - pairs.union[:, None] * d_area) / area**2


def _distance_term(pairs: _Pairs, predicted: Tensor, target: Tensor) -> Tensor:
    """(m, 4) by x, y, w, h: with Q the centre distance squared and D the enclosing diagonal squared."""
    away = target[:, :2] - predicted[:, :2]  # (m, 2)
    enclosing, outer = _enclosing(pairs)
    distance = away.square().sum(1, keepdim=True)  # Q
    diagonal = enclosing.square().sum(1, keepdim=True)  # D
    left, right = outer[:, ::2], outer[:, 1::2]  # (m, 2) -1 or 0, and 1 or 0
    d_x, d_w = 2 * enclosing * (right + left), enclosing * (right - left)  # of D by centre and by size
    centre = 2 * away / diagonal - distance * d_x / diagonal**2  # the true derivative has a plus here
    return torch.cat((centre, distance * d_w / diagonal**2), 1)


def _aspect_term(pairs: _Pairs, predicted: Tensor, target: Tensor) -> Tensor:
    """(m, 4) by x, y, w, h: alpha times the derivative of -v, times w^2 + h^2."""
    alpha, angle = _alpha(pairs, target)
    weight = (alpha * 8 / math.pi**2 * angle)[:, None]  # (m, 1)
    w, h = pairs.size.unbind(1)
    return torch.cat((torch.zeros_like(predicted[:, :2]), weight * torch.stack((h, -w), 1)), 1)


def _alpha(pairs: _Pairs, target: Tensor) -> tuple[Tensor, Tensor]:
    """(m,) ciou's weight of v, and the difference of the angles that v is made of."""
    w, h = pairs.size.unbind(1)
    angle = torch.atan(target[:, 2] / target[:, 3]) - torch.atan(w / h)
    v = 4 / math.pi**2 * angle.square()
    return v / (1 - pairs.intersection / pairs.union + v + ALPHA_EPS), angle


def _enclosing(pairs: _Pairs) -> tuple[Tensor, Tensor]:
    """(m, 2) sides of the enclosing box; (m, 4) -1 or 1 where P's left or right edge is one of its edges, else 0."""
    right = torch.maximum(pairs.edges[:, 1::2], pairs.of_object[:, 1::2])
    left = torch.minimum(pairs.edges[:, ::2], pairs.of_object[:, ::2])
    outward = _outward(pairs.edges)
    return right - left, torch.where(outward * (pairs.edges - pairs.of_object) > 0, outward, 0)


def _edges(boxes: Tensor) -> Tensor:
    """x, y, w, h -> left, right, top, bottom, (m, 4)."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.stack((centre - half, centre + half), 2).flatten(1)


def _outward(edges: Tensor) -> Tensor:
    """(4,): the way in which each edge makes its box larger."""
    return edges.new_tensor([-1.0, 1.0, -1.0, 1.0])


def _other(size: Tensor) -> Tensor:
    """(m, 2) w, h -> (m, 4): the side along each edge, h, h, w, w."""
    return size.flip(1).repeat_interleave(2, 1)


def _of_box(edges: Tensor) -> Tensor:
    """(m, 4) by edges -> by x, y, w, h as Darknet adds them: sizes without their half."""
    low, high = edges[:, ::2], edges[:, 1::2]
    return torch.cat((low + high, high - low), 1)
