"""ComputeLoss against recorded losses and gradients, the analytic checks, and its own promises."""

import json
import math

import numpy as np
import pytest
import torch

from tests.loss.test_targets import ANCHORS, CASES, STRIDES
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.focal import bce_with_focal, smooth_targets
from yolo_lite.loss.loss import ComputeLoss, objectness_targets
from yolo_lite.loss.targets import build_targets

ONE_OBJECT = torch.tensor([[0, 3, 0.5, 0.5, 0.1, 0.12]])
OF_CLASS_ZERO = torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]])


def read_case(golden, case):
    recorded = np.load(golden / f"loss_{case}.npz")
    maps = [torch.from_numpy(recorded[f"p{level}"]).requires_grad_() for level in range(3)]
    return recorded, maps, torch.from_numpy(recorded["targets"])


def loss_of(recorded, **options) -> ComputeLoss:
    hyp = Hyperparameters.from_dict(json.loads(str(recorded["hyp"])))
    return ComputeLoss(torch.from_numpy(recorded["anchors_px"]), STRIDES, int(recorded["nc"]), hyp, **options)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_equal_the_recorded_ones(golden, case):
    recorded, maps, targets = read_case(golden, case)
    parts = loss_of(recorded)(maps, targets)
    parts.total.backward()
    np.testing.assert_allclose(parts.total.item(), recorded["total"].item(), rtol=1e-5)
    np.testing.assert_allclose([part.item() for part in parts[1:]], recorded["parts"], rtol=1e-5, atol=1e-9)
    for level, raw in enumerate(maps):
        np.testing.assert_allclose(raw.grad, recorded[f"g{level}"], atol=1e-6, rtol=0)


def test_autobalance_follows_the_recorded_steps(golden):
    base, _, _ = read_case(golden, "base")
    recorded, maps, targets = read_case(golden, "autobalance")
    hyp = Hyperparameters.from_dict(json.loads(str(base["hyp"])))
    loss = ComputeLoss(torch.from_numpy(base["anchors_px"]), STRIDES, 4, hyp, autobalance=True)
    for row in recorded["rows"]:
        parts = loss(maps, targets)
        np.testing.assert_allclose([*(p.item() for p in parts), *loss.balance.tolist()], row, rtol=1e-5)


def test_analytic_check_of_the_reference_sheet():
    maps = [torch.zeros(1, 3, 640 // s, 640 // s, 85) for s in STRIDES]
    parts = ComputeLoss(ANCHORS, STRIDES, 80)(maps, ONE_OBJECT)
    assert parts.obj.item() == pytest.approx(5.4 * math.log(2), abs=1e-5)
    assert parts.cls.item() == pytest.approx(1.5 * math.log(2), abs=1e-5)
    assert parts.box.item() == pytest.approx(0.107249, abs=1e-6)


@pytest.mark.parametrize(("kind", "name"), [("focal", "focal"), ("quality", "qfocal")])
def test_focal_losses_equal_the_recorded_ones(golden, kind, name):
    recorded = np.load(golden / "focal.npz")
    logits, targets = torch.from_numpy(recorded["logits"]), torch.from_numpy(recorded["targets"])
    ours = bce_with_focal(logits, targets, gamma=1.5, kind=kind).mean().item()
    assert ours == pytest.approx(recorded[name].item(), rel=1e-5)
    assert tuple(smooth_targets(0.1)) == pytest.approx(tuple(recorded["smooth"]))


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [(2.0, 1.0, 4.50891e-4), (-2.0, 0.0, 1.35267e-3), (0.0, 1.0, 0.0433217), (0.0, 0.0, 0.1299651)],
)
def test_focal_loss_values_of_the_paper(logit, target, expected):
    assert bce_with_focal(torch.tensor(logit), torch.tensor(target), gamma=2.0).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_levels_add_up_to_the_parts(golden):
    recorded, maps, targets = read_case(golden, "base")
    loss = loss_of(recorded)
    parts, levels = loss(maps, targets), loss.levels(maps, targets)
    for name in ("box", "obj", "cls"):
        torch.testing.assert_close(sum(getattr(level, name) for level in levels), getattr(parts, name))


def test_collisions_have_one_answer():
    two = torch.tensor([[0, 0, 0.51, 0.51, 0.1, 0.1], [0, 1, 0.51, 0.51, 0.14, 0.14]])
    matches = build_targets(two, [(80, 80)], ANCHORS[:1], [8])[0]
    rising = torch.linspace(0.1, 0.9, len(matches.image)).flip(0)  # the last match fits worst
    last = objectness_targets((1, 3, 80, 80), matches, rising, "last")
    best = objectness_targets((1, 3, 80, 80), matches, rising, "best")
    cell = (matches.image, matches.anchor, matches.row, matches.col)
    assert len(torch.stack(cell).unique(dim=1)[0]) < len(rising), "the two objects share cells"
    written = torch.zeros(1, 3, 80, 80)
    for index in range(len(rising)):  # one write after the other: the last one stays
        written[tuple(axis[index] for axis in cell)] = rising[index]
    torch.testing.assert_close(last, written)
    assert (best >= last).all()
    assert (best > last).any()
    assert best.max() == rising.max()


@pytest.mark.parametrize("box_loss", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("collisions", ["last", "best"])
def test_every_option_carries_finite_gradient(golden, box_loss, collisions):
    recorded, maps, targets = read_case(golden, "collide")
    for focal in ("focal", "quality"):
        loss = loss_of(recorded, box_loss=box_loss, collisions=collisions, focal=focal)
        loss.hyp = loss.hyp.replace(fl_gamma=1.5)
        for raw in maps:
            raw.grad = None
        for part in loss(maps, targets):
            part.backward(retain_graph=True)
        assert all(raw.grad.isfinite().all() and raw.grad.abs().sum() > 0 for raw in maps)


def test_no_objects_leave_only_objectness_and_every_part_differentiates(golden):
    recorded, maps, _ = read_case(golden, "base")
    parts = loss_of(recorded)(maps, torch.zeros(0, 6))
    assert parts.box == parts.cls == 0
    assert parts.obj > 0
    for part in parts:
        part.backward(retain_graph=True)
    assert maps[0].grad[..., 4].abs().sum() > 0


def test_targets_may_lie_on_another_device_and_maps_in_half_precision(golden):
    recorded, maps, targets = read_case(golden, "base")
    full = loss_of(recorded)(maps, targets)
    half = loss_of(recorded)([raw.bfloat16() for raw in maps], targets)
    assert half.total.dtype == torch.float32
    assert half.total.item() == pytest.approx(full.total.item(), rel=0.01)


def test_double_precision_stays_double(golden):
    recorded, maps, targets = read_case(golden, "base")
    parts = loss_of(recorded)([raw.double() for raw in maps], targets.double())
    assert parts.total.dtype == torch.float64


@pytest.mark.parametrize("levels", [1, 2, 4, 5])
def test_other_numbers_of_levels(levels):
    strides = [2 ** (3 + level) for level in range(levels)]
    anchors = torch.tensor([[[2.0 * s, 3.0 * s]] for s in strides])
    maps = [torch.zeros(2, 1, 256 // s, 256 // s, 8) for s in strides]
    parts = ComputeLoss(anchors, strides, 3)(maps, OF_CLASS_ZERO)
    assert parts.total > 0


class TestWrongUse:
    maps = tuple(torch.zeros(2, 3, 640 // s, 640 // s, 8) for s in STRIDES)
    loss = ComputeLoss(ANCHORS, STRIDES, 3)

    def test_class_the_model_does_not_have(self):
        with pytest.raises(ValueError, match=r"row 1 has class 3, .* classes 0 to 2"):
            self.loss(self.maps, torch.tensor([[0, 2, 0.5, 0.5, 0.1, 0.1], [0, 3, 0.5, 0.5, 0.1, 0.1]]))

    def test_image_the_batch_does_not_have(self):
        with pytest.raises(ValueError, match=r"row 0 has image index 2, .* images 0 to 1"):
            self.loss(self.maps, torch.tensor([[2, 0, 0.5, 0.5, 0.1, 0.1]]))

    def test_maps_of_another_model(self):
        with pytest.raises(ValueError, match=r"2 maps.*3 levels"):
            self.loss(self.maps[:2], torch.zeros(0, 6))
        with pytest.raises(ValueError, match=r"map 0.*\(2, 3, 80, 80, 7\)"):
            self.loss([raw[..., :7] for raw in self.maps], torch.zeros(0, 6))

    def test_settings(self):
        with pytest.raises(ValueError, match="'siou'"):
            ComputeLoss(ANCHORS, STRIDES, 3, box_loss="siou")
        with pytest.raises(ValueError, match=r"balance.*2.*3 levels"):
            ComputeLoss(ANCHORS, STRIDES, 3, balance=(1, 2))
        with pytest.raises(ValueError, match=r"anchors.*\(2, 3, 2\)"):
            ComputeLoss(ANCHORS[:2], STRIDES, 3)
        with pytest.raises(ValueError, match="'sharp'"):
            ComputeLoss(ANCHORS, STRIDES, 3, focal="sharp")
        with pytest.raises(ValueError, match="'first'"):
            ComputeLoss(ANCHORS, STRIDES, 3, collisions="first")
