"""YOLOv3's loss in both forms. Its numbers are held by the recordings in tests/golden/family."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from tests.family.anchor_heads import (
    ANCHORS,
    MASKS,
    STRIDES,
    TARGETS,
    adds_up,
    consistent,
    holds_gradcheck,
    noise,
    refuses_bad_input,
)
from yolo_lite.family.yolov3 import Yolov3Loss, Yolov3Settings
from yolo_lite.family.yolov3.matching import OVER_THRESHOLD
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

FORMS = ["darknet", "paper"]
EARLY = Yolov3Settings(ignore_thresh=0.4, truth_thresh=0.6)


def loss_of(**options) -> Yolov3Loss:
    return Yolov3Loss(ANCHORS, MASKS, STRIDES, 3, **options)


@pytest.mark.parametrize("settings", [None, EARLY])
@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_the_derivative(form, settings):
    assert holds_gradcheck(loss_of(faithful=form, settings=settings, gain=0.5))


@pytest.mark.parametrize("settings", [None, EARLY])
@pytest.mark.parametrize("form", FORMS)
def test_losses_of_the_predictions_add_up_to_the_loss(form, settings):
    adds_up(loss_of(faithful=form, settings=settings, gain=0.25))
    consistent(loss_of(faithful=form, settings=settings))


def test_each_object_belongs_to_one_anchor_of_all():
    loss = loss_of()
    matches = loss.assign(noise(), TARGETS).matches
    assert sorted(matches.target.tolist()) == [0, 1, 2, 3, 4, 5]
    levels = loss.assignments(noise(), TARGETS)
    assert [level.matches.target.tolist() for level in levels] == [[0, 1], [2, 4, 5], [3]]


def test_of_two_objects_on_a_prediction_the_last_has_the_box_and_both_have_their_class():
    loss = loss_of()
    maps = noise()
    assigned = loss.assign(maps, TARGETS)
    first, second = (assigned.matches.prediction[assigned.matches.target == row] for row in (0, 1))
    assert torch.equal(first, second)
    assert assigned.target[0, first] == 1
    alone = loss.assign(maps, TARGETS[1:])
    torch.testing.assert_close(assigned.losses.box[0, first], alone.losses.box[0, first])
    assert loss.assignments(maps, TARGETS)[0].classes.tolist() == [[1, 1, 0]]


def test_an_image_without_objects_has_background_only():
    assigned = loss_of().assign(noise(), TARGETS)
    assert (assigned.role[1] == NEGATIVE).all()
    nothing = loss_of()(noise(), TARGETS[:0])
    assert nothing.box == nothing.cls == 0
    assert nothing.total == nothing.obj > 0


def test_predictions_that_overlap_any_object_are_ignored():
    maps = [torch.zeros(1, 3, 2, 3, 8)]  # stride 32: predictions are the anchors in the middle of their cells
    loss = Yolov3Loss(ANCHORS, [[6, 7, 8]], [32], 3)
    targets = torch.tensor([[0, 0, 0.5, 0.25, 116 / 96 * 0.45, 90 / 64 * 0.5]])  # belongs to an anchor elsewhere
    assert loss.assign(maps, targets).role.eq(NEGATIVE).all()
    close = torch.tensor([[0, 0, 0.5, 0.25, 116 / 96 * 0.9, 90 / 64 * 0.99]])
    assigned = Yolov3Loss(ANCHORS, [[6, 7]], [32], 3).assign([maps[0][:, :2]], close)
    assert assigned.role.view(2, 2, 3)[0, 0].tolist() == [NEGATIVE, POSITIVE, NEGATIVE]
    elsewhere = Yolov3Loss(ANCHORS + torch.tensor([2.0, 0]), [[6]], [32], 3)
    elsewhere.anchors[8] = torch.tensor([116.0 * 0.9, 90 * 0.99])  # now another level's anchor is the best
    assigned = elsewhere.assign([maps[0][:, :1]], close)
    assert assigned.role.view(2, 3)[0].tolist() == [NEGATIVE, IGNORED, NEGATIVE]
    assert assigned.losses.total[0, 1] == 0


def test_box_losses_by_hand():
    anchors, raw = [[16.0, 16], [32, 64]], torch.zeros(1, 1, 2, 2, 6, dtype=torch.float64)
    raw[0, 0, 1, 0] = torch.tensor([0.3, -0.4, 0.5, -0.6, 0.7, 0.8], dtype=torch.float64)
    target = torch.tensor([[0, 0, 0.125, 0.9, 0.75, 0.5]], dtype=torch.float64)  # cell (1, 0), a quarter and .8 inside
    darknet = Yolov3Loss(anchors, [[1]], [32], 1)([raw], target)
    size = (0.5 - math.log(48 / 32)) ** 2 / 2 + (-0.6 - math.log(32 / 64)) ** 2 / 2
    centre = bce(raw[0, 0, 1, 0, :2], torch.tensor([0.25, 0.8], dtype=torch.float64), reduction="sum")
    torch.testing.assert_close(darknet.box, (2 - 0.75 * 0.5) * (centre + size))
    paper = Yolov3Loss(anchors, [[1]], [32], 1, faithful="paper")([raw], target)
    logits = (0.3 - math.log(0.25 / 0.75)) ** 2 / 2 + (-0.4 - math.log(0.8 / 0.2)) ** 2 / 2
    assert float(paper.box) == pytest.approx(logits + size, rel=1e-9)


def test_the_paper_form_stays_finite_on_the_border_of_a_cell():
    target = torch.tensor([[0, 0, 0.5, 1.0, 0.5, 0.5]])
    parts = loss_of(faithful="paper")(noise(batch=1), target)
    assert all(torch.isfinite(part) for part in parts)
    assert parts.box > 0
    assert loss_of(faithful="paper").settings.ignore_thresh == 0.5


def test_truth_thresh_matches_predictions_to_what_they_overlap():
    loss = loss_of(settings=Yolov3Settings(truth_thresh=0.3))
    levels = loss.assignments(noise(), TARGETS)
    found = [level.matches for level in levels]
    assert any((m.offset == OVER_THRESHOLD).any() for m in found)
    own = loss_of().assign(noise(), TARGETS).matches
    assert sum(int((m.offset == 0).sum()) for m in found) == len(own.target)
    for level, matches in enumerate(found):  # the object is as far from the cell as it says
        rows, cols = noise()[level].shape[2:4]
        centre = TARGETS[matches.target, 2:4] * torch.tensor([cols, rows])
        torch.testing.assert_close(matches.box[:, :2] + torch.stack((matches.col, matches.row), 1), centre)


def test_dropped_objects_are_counted():
    loss = loss_of()
    loss(noise(), TARGETS)
    assert loss.dropped == 1  # the one without width
    loss(noise(), TARGETS)
    assert loss.dropped == 2
    few = loss_of(settings=Yolov3Settings(max_boxes=1))
    few(noise(), TARGETS)
    assert few.dropped == 5  # one object of each image is seen
    head = Yolov3Loss(ANCHORS, MASKS[2:], STRIDES[2:], 3)
    head(noise()[2:], TARGETS)
    assert head.dropped == 6  # all but one belong to anchors of other heads


def test_cost_is_the_square_of_the_gradient_and_knows_no_gain():
    maps = noise()
    gradients = loss_of(gain=7.0).layer_gradient(maps, TARGETS)
    expected = sum(float(each.square().sum()) for each in gradients)
    assert loss_of(gain=7.0).cost(maps, TARGETS) == pytest.approx(expected)
    leaves = [raw.requires_grad_() for raw in maps]
    for ours, theirs in zip(torch.autograd.grad(loss_of()(leaves, TARGETS).total, leaves), gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_half_precision_is_computed_in_single():
    parts = loss_of()([raw.half() for raw in noise()], TARGETS.float())
    assert parts.total.dtype == torch.float32


def test_bad_input_is_named():
    refuses_bad_input(loss_of())
    with pytest.raises(ValueError, match=r"mask 1.*9"):
        Yolov3Loss(ANCHORS, [[0, 1], [3, 9]], [8, 16], 3)
    with pytest.raises(ValueError, match="mask 0"):
        Yolov3Loss(ANCHORS, [[1, 1]], [8], 3)
    with pytest.raises(ValueError, match=r"2 masks.*1 strides"):
        Yolov3Loss(ANCHORS, [[0], [1]], [8], 3)
    with pytest.raises(ValueError, match="anchors"):
        Yolov3Loss(ANCHORS.view(3, 3, 2), MASKS, STRIDES, 3)
    with pytest.raises(ValueError, match="num_classes"):
        Yolov3Loss(ANCHORS, MASKS, STRIDES, 0)
    with pytest.raises(ValueError, match="gain"):
        loss_of(gain=math.nan)
    with pytest.raises(ValueError, match="thesis"):
        loss_of(faithful="thesis")


@pytest.mark.parametrize("wrong", [{"ignore_thresh": 1.5}, {"truth_thresh": -0.1}, {"max_boxes": 0}])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Yolov3Settings(**wrong)
