"""Darknet's step for overlaps beside the true derivative: what is exact, doubled, of opposite sign, left out."""

import math

import pytest
import torch
from torch import Tensor

from yolo_lite.boxes import bbox_iou
from yolo_lite.family.yolov4 import overlap_step
from yolo_lite.overlap_gradients import iou_gradient

LARGE = 1000.0  # boxes of this many units: the epsilon of bbox_iou is nothing beside them


def overlapping(count: int = 200) -> tuple[Tensor, Tensor]:
    """Pairs of boxes that overlap, and share no edge."""
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(count, 4, generator=generator, dtype=torch.float64) * 0.2 + 0.4
    target = torch.rand(count, 4, generator=generator, dtype=torch.float64) * 0.2 + 0.4
    return predicted, target


def derivative(predicted: Tensor, target: Tensor, kind: str) -> Tensor:
    """By autograd, of the overlap in fractions of the image."""
    leaf = predicted.clone().requires_grad_()
    return torch.autograd.grad(bbox_iou(leaf * LARGE, target * LARGE, kind).sum(), leaf)[0]


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["iou", "giou"])
def test_iou_and_giou_are_exact_in_x_and_y_and_doubled_in_w_and_h(kind):
    predicted, target = overlapping()
    exact, step = derivative(predicted, target, kind), overlap_step(predicted, target, kind)
    close(step[:, :2], exact[:, :2])
    close(step[:, 2:], 2 * exact[:, 2:])


def test_it_stands_beside_iou_gradient():
    predicted, target = overlapping(3)
    true = iou_gradient(predicted * LARGE, target * LARGE, "iou") * LARGE
    close(overlap_step(predicted, target, "iou"), true * torch.tensor([1.0, 1, 2, 2]).double())


def distance_parts(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of -Q / D with D held, and with Q held; Q the centre distance squared, D the enclosing diagonal's."""
    leaf = predicted.clone().requires_grad_()
    distance = (leaf[:, :2] - target[:, :2]).square().sum(1)
    right = torch.maximum(leaf[:, :2] + leaf[:, 2:] / 2, target[:, :2] + target[:, 2:] / 2)
    left = torch.minimum(leaf[:, :2] - leaf[:, 2:] / 2, target[:, :2] - target[:, 2:] / 2)
    diagonal = (right - left).square().sum(1)
    held = (-distance / diagonal.detach()).sum(), (-distance.detach() / diagonal).sum()
    of_distance, of_diagonal = (torch.autograd.grad(each, leaf, retain_graph=True)[0] for each in held)
    return of_distance, of_diagonal


def test_diou_has_the_diagonal_the_wrong_way_round_in_x_and_y():
    predicted, target = overlapping()
    of_distance, of_diagonal = distance_parts(predicted, target)
    added = overlap_step(predicted, target, "diou") - overlap_step(predicted, target, "iou")
    close(added[:, :2], of_distance[:, :2] - of_diagonal[:, :2])
    close(added[:, 2:], of_diagonal[:, 2:])  # exact, and not doubled
    assert (of_diagonal[:, :2].abs() > 1e-3).any()


def test_ciou_leaves_a_factor_out():
    predicted, target = overlapping()
    true = derivative(predicted, target, "ciou") - derivative(predicted, target, "diou")  # of -alpha v
    added = overlap_step(predicted, target, "ciou") - overlap_step(predicted, target, "diou")
    size = predicted[:, 2:].square().sum(1, keepdim=True)
    torch.testing.assert_close(added / size, true, rtol=1e-4, atol=1e-6)  # their alphas have different epsilons


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_boxes_that_are_apart_are_moved_by_the_added_terms_alone(kind):
    predicted = torch.tensor([[0.2, 0.2, 0.1, 0.1]], dtype=torch.float64)
    target = torch.tensor([[0.8, 0.7, 0.2, 0.1]], dtype=torch.float64)
    step = overlap_step(predicted, target, kind)
    assert (step[:, :2] > 0).all()  # towards the object
    if kind == "diou":
        of_distance, of_diagonal = distance_parts(predicted, target)
        close(step, torch.cat((of_distance[:, :2] - of_diagonal[:, :2], of_diagonal[:, 2:]), 1))


def test_plain_iou_believes_in_an_overlap_of_boxes_that_are_apart_in_both_directions():
    predicted = torch.tensor([[0.2, 0.2, 0.1, 0.1]], dtype=torch.float64)
    target = torch.tensor([[0.35, 0.35, 0.1, 0.1]], dtype=torch.float64)
    assert torch.equal(derivative(predicted, target, "iou"), torch.zeros(1, 4).double())
    assert overlap_step(predicted, target, "iou").abs().max() > 0.1


def test_by_hand():
    # P from .4 to .6, T from .5 to .7 in both directions: I = .01, U = .07; dI by the right edge .1, dU = .2 - .1
    predicted = torch.tensor([[0.5, 0.5, 0.2, 0.2]], dtype=torch.float64)
    target = torch.tensor([[0.6, 0.6, 0.2, 0.2]], dtype=torch.float64)
    right = (0.07 * 0.1 - 0.01 * 0.1) / 0.07**2
    left = -(0.01 * -0.2) / 0.07**2
    expected = torch.tensor([[left + right, left + right, right - left, right - left]], dtype=torch.float64)
    close(overlap_step(predicted, target, "iou"), expected)


def test_the_same_box_stays():
    box = torch.tensor([[0.5, 0.5, 0.2, 0.2]]).double()
    assert overlap_step(box, box, "ciou")[0, :2].abs().max() == 0
    assert math.isfinite(overlap_step(box, box, "ciou").sum())


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="mse"):
        overlap_step(torch.ones(1, 4), torch.ones(1, 4), "mse")
