"""Boxes: overlap and its gradients against the recorded numbers, autograd and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.boxes import IOU_KINDS, bbox_iou, box_iou, iou_terms, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.overlap_gradients import iou_gradient

PRED, TRUTH = torch.tensor([[50.0, 80, 150, 140]]), torch.tensor([[90.0, 70, 160, 160]])


@pytest.mark.parametrize("kind", IOU_KINDS)
def test_overlap_and_gradient_equal_the_recorded_ones(golden, kind):
    recorded = np.load(golden / "iou.npz")
    box1 = torch.from_numpy(recorded["box1"]).requires_grad_()
    box2 = torch.from_numpy(recorded["box2"])
    overlap = bbox_iou(box1, box2, kind)
    (1 - overlap).sum().backward()
    np.testing.assert_allclose(overlap.detach(), recorded[kind], atol=1e-5)
    np.testing.assert_allclose(box1.grad, recorded[f"{kind}_grad"], atol=1e-5)
    np.testing.assert_allclose(-iou_gradient(box1.detach(), box2, kind), recorded[f"{kind}_grad"], atol=1e-5)


@pytest.mark.parametrize("kind", IOU_KINDS)
@pytest.mark.parametrize("box_format", ["xywh", "xyxy"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.5, 3.0, 30.0]))
def test_formula_equals_autograd(kind, box_format, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.rand(2, 16, 2, generator=generator, dtype=torch.float64) * 10 + 0.1
    boxes = torch.cat((torch.randn(2, 16, 2, generator=generator, dtype=torch.float64) * spread, sizes), -1)
    boxes[1, 0] = boxes[0, 0]  # the same box twice: every edge coincides
    a, b = boxes if box_format == "xywh" else xywh_to_xyxy(boxes)
    a = a.clone().requires_grad_()
    (expected,) = torch.autograd.grad(bbox_iou(a, b, kind, box_format).sum(), a)
    torch.testing.assert_close(iou_gradient(a.detach(), b, kind, box_format), expected, atol=1e-9, rtol=1e-7)


def test_overlap_example_of_the_reference_sheet():
    losses = [1 - bbox_iou(PRED, TRUTH, kind, "xyxy").item() for kind in IOU_KINDS]
    assert losses == pytest.approx([0.586207, 0.707419, 0.618385, 0.6231495], abs=1e-6)
    gradient = -iou_gradient(PRED, TRUTH, "ciou", "xyxy")[0]
    assert gradient.tolist() == pytest.approx([-0.003855, 0.004936, -0.00802, -0.005431], abs=5e-7)


def test_iou_is_silent_for_disjoint_boxes_and_its_descendants_are_not():
    a, b = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]])
    assert iou_gradient(a, b, "iou", "xyxy").abs().max() == 0
    assert 1 - bbox_iou(a, b, "giou", "xyxy").item() == pytest.approx(1.777778, abs=1e-6)
    assert 1 - bbox_iou(a, b, "diou", "xyxy").item() == pytest.approx(1.444444, abs=1e-6)
    assert iou_gradient(a, b, "giou", "xyxy").abs().max() > 0


def test_pairwise_equals_element_wise():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(2, 12, 2, generator=generator) * 50
    a, b = torch.cat((corner, corner + torch.rand(2, 12, 2, generator=generator) * 40 + 1), -1)
    every = box_iou(a, b)
    for column in range(12):
        torch.testing.assert_close(every[:, column], bbox_iou(a, b[column : column + 1].expand_as(a), "iou", "xyxy"))


def test_formats_are_inverse_for_tensors_and_arrays():
    boxes = np.array([[3.0, 4, 7, 6], [0, 0, 0, 0]])
    np.testing.assert_array_equal(xywh_to_xyxy(xyxy_to_xywh(boxes)), boxes)
    torch.testing.assert_close(xywh_to_xyxy(xyxy_to_xywh(torch.from_numpy(boxes))), torch.from_numpy(boxes))


def test_boxes_without_area_stay_finite():
    nothing = torch.zeros(1, 4)
    assert all(term.isfinite().all() for term in iou_terms(nothing, nothing))
    assert box_iou(nothing, nothing).item() == 0


def test_a_box_that_shrank_to_nothing_still_has_a_gradient():
    logit = torch.tensor([[-200.0, -200.0]], requires_grad=True)  # sigmoid(-200) is 0 in float32
    size = (2 * logit.sigmoid()) ** 2
    bbox_iou(torch.cat((torch.ones(1, 2), size), 1), torch.tensor([[1.0, 1, 2, 3]]), "ciou").sum().backward()
    assert logit.grad.isfinite().all()


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match="'siou'"):
        bbox_iou(PRED, TRUTH, "siou")
    with pytest.raises(ValueError, match="'siou'"):
        iou_gradient(PRED, TRUTH, "siou")
    with pytest.raises(ValueError, match="'yxyx'"):
        bbox_iou(PRED, TRUTH, "iou", "yxyx")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hull", "enclosing_area"),
        ("distance2", "centre_distance_squared"),
        ("diagonal2", "enclosing_diagonal_squared"),
    ],
)
def test_terms_have_their_old_names_until_0_3(old, new):
    terms = iou_terms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 2, 3, 3]]), "xyxy")
    with pytest.warns(DeprecationWarning, match=f"{old}.*{new}") as warned:
        assert torch.equal(getattr(terms, old), getattr(terms, new))
    assert warned[0].filename == __file__
    assert len(terms) == 8  # fields, not properties
