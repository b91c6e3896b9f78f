"""YOLOv4's loss in both forms. Its numbers are held by the recordings in tests/golden/family."""

import math
from dataclasses import replace

import pytest
import torch

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
from yolo_lite.boxes import IouKind, bbox_iou
from yolo_lite.coding import decode
from yolo_lite.family.yolov4 import Yolov4Loss, Yolov4Settings, overlap_step
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

V4 = Yolov4Settings("ciou", 0.07, iou_thresh=0.213, ignore_thresh=0.7, max_delta=5, scale_x_y=1.1)
CSP = Yolov4Settings("ciou", 0.05, iou_thresh=0.2, ignore_thresh=0.7, max_delta=5, scale_x_y=2, new_coords=True)
OVERLAPS = ["iou", "giou", "diou", "ciou"]
EVERY = {
    "mse": replace(V4, iou_kind="mse"),
    "default": Yolov4Settings(),
    "ciou": V4,
    "smooth": replace(V4, label_smooth_eps=0.1, iou_kind="giou"),
    "focal": replace(V4, focal=True),
    "csp": CSP,
    "cspmse": replace(CSP, iou_kind="mse"),
    "cspsmooth": replace(CSP, objectness_smooth=True, obj_normalizer=0.4, ignore_thresh=0.3),
}


def loss_of(settings: Yolov4Settings | list[Yolov4Settings] | None = V4, **options) -> Yolov4Loss:
    return Yolov4Loss(ANCHORS, MASKS, STRIDES, 3, settings, **options)


def gradients(loss: Yolov4Loss, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    leaves = [raw.detach().requires_grad_() for raw in maps]
    return list(torch.autograd.grad(loss(leaves, TARGETS).total, leaves))


@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_of_the_paper_form_is_the_derivative(name):
    assert holds_gradcheck(loss_of(EVERY[name], faithful="paper", gain=0.5))


@pytest.mark.parametrize("kind", OVERLAPS)
@pytest.mark.parametrize("base", [V4, CSP])
def test_so_it_is_with_every_overlap(base, kind):
    assert holds_gradcheck(loss_of(replace(base, iou_kind=kind), faithful="paper"))


@pytest.mark.parametrize("name", ["mse", "default", "cspmse"])
def test_darknet_with_squared_errors_is_a_derivative_too(name):
    assert holds_gradcheck(loss_of(EVERY[name]))
    for pair in zip(
        gradients(loss_of(EVERY[name]), noise()),
        gradients(loss_of(EVERY[name], faithful="paper"), noise()),
        strict=True,
    ):
        assert torch.equal(*pair)


@pytest.mark.parametrize("form", ["darknet", "paper"])
@pytest.mark.parametrize("name", EVERY)
def test_losses_of_the_predictions_add_up_to_the_loss(name, form):
    adds_up(loss_of(EVERY[name], faithful=form, gain=0.25))
    consistent(loss_of(EVERY[name], faithful=form))


@pytest.mark.parametrize("kind", OVERLAPS)
@pytest.mark.parametrize("base", [V4, CSP])
def test_both_forms_have_the_same_value_and_other_gradients(base, kind):
    settings = replace(base, iou_kind=kind)
    darknet, paper = loss_of(settings), loss_of(settings, faithful="paper")
    for pair in zip(darknet(noise(), TARGETS), paper(noise(), TARGETS), strict=True):
        torch.testing.assert_close(*pair, rtol=1e-12, atol=0)
    for ours, true in zip(gradients(darknet, noise()), gradients(paper, noise()), strict=True):
        torch.testing.assert_close(ours[..., 4:], true[..., 4:])  # they differ in boxes alone
        assert (ours[..., :4] - true[..., :4]).abs().max() > 1e-4


def test_box_values_are_one_minus_the_overlap_of_decoded_boxes():
    settings = replace(V4, iou_kind="diou", iou_thresh=1.0)  # a match each, and no division
    loss = loss_of(settings)
    maps = noise(batch=1)
    targets = TARGETS[2:3]
    assigned = loss.assign(maps, targets)
    anchors = [ANCHORS[mask].double() for mask in MASKS]
    boxes = decode(maps, anchors, STRIDES, settings.coding)
    (prediction,) = assigned.matches.prediction
    fractions = boxes[:, prediction, :4] / torch.tensor([160.0, 96, 160, 96])
    expected = 0.07 * (1 - bbox_iou(fractions * 1e4, targets[:, 2:] * 1e4, "diou"))
    torch.testing.assert_close(assigned.losses.box[0, prediction], expected[0], rtol=1e-9, atol=0)


def test_darknets_box_gradient_is_the_step_without_the_decode():
    settings = replace(V4, max_delta=None, iou_thresh=1.0)
    loss, maps, targets = loss_of(settings), noise(), TARGETS[2:3]
    levels = loss.assignments(maps, targets)
    (number,) = [number for number, level in enumerate(levels) if len(level.matches.target)]
    matches = levels[number].matches
    t = maps[number][matches.image, matches.anchor, matches.row, matches.col][:, :4]
    grid = torch.tensor(maps[number].shape[2:4]).flip(0).repeat(2)
    s = t[:, :2].sigmoid()
    predicted = torch.cat((1.1 * s - 0.05, t[:, 2:].exp() * matches.anchor_wh), 1) / grid
    step = overlap_step(predicted, matches.box / grid, "ciou")
    expected = -0.07 * torch.cat((step[:, :2], step[:, 2:] * t[:, 2:].exp()), 1)
    stored = loss.layer_gradient(maps, targets)[number]
    torch.testing.assert_close(stored[matches.image, matches.anchor, matches.row, matches.col][:, :4], expected)


def test_an_object_is_matched_to_all_anchors_similar_enough():
    best, more = (loss_of(replace(V4, iou_thresh=t)).assign(noise(), TARGETS).matches for t in (1.0, 0.213))
    assert sorted(best.target.tolist()) == [0, 1, 2, 3, 4, 5]
    assert len(more.target) > 12
    levels = loss_of().assignments(noise(), TARGETS)
    matches = [level.matches for level in levels]
    found = {(int(t), level) for level, m in enumerate(matches) for t in m.target}
    assert {level for target, level in found if target == 3} == {1, 2}  # of two levels
    additional = torch.cat([level.additional for level in levels])
    assert sorted(torch.cat([m.target for m in matches])[~additional].tolist()) == [0, 1, 2, 3, 4, 5]


def test_a_prediction_is_ignored_only_where_it_is_sure_of_a_class():
    raw = torch.zeros(1, 1, 2, 3, 8)
    raw[..., 5:] = -2.0  # a score of .12
    raw[0, 0, 0, 2, 7] = 0.0
    anchors = ANCHORS.clone()
    anchors[8] = torch.tensor([110.0, 90])  # the object belongs to this anchor, of another level
    loss = Yolov4Loss(anchors, [[6]], [32], 3, Yolov4Settings(ignore_thresh=0.3))
    target = torch.tensor([[0, 0, 0.5, 0.25, 110 / 96, 90 / 64]])
    assigned = loss.assign([raw], target)
    assert assigned.role.view(2, 3).tolist() == [[NEGATIVE, NEGATIVE, IGNORED], [NEGATIVE] * 3]
    assert assigned.losses.obj[0, 2] == 0
    smooth = Yolov4Loss(anchors, [[6]], [32], 3, Yolov4Settings(ignore_thresh=0.3, objectness_smooth=True))
    towards = smooth.assignments([raw], target)[0].objectness[0, 0, 0]
    assert towards[:2].tolist() == [0, 0]
    assert 0.3 < towards[2] < 1
    assert smooth.assign([raw], target).losses.obj[0, 2] > 0


def twins(first: int, second: int) -> torch.Tensor:
    """Two objects at the same place and of the same size."""
    return torch.tensor([[0, first, 0.5, 0.5, 0.3, 0.5], [0, second, 0.5, 0.5, 0.3, 0.5]], dtype=torch.float64)


def test_two_objects_of_two_classes_are_averaged_and_of_one_class_added_up():
    loss = loss_of()
    alone = loss(noise(batch=1), twins(0, 0)[:1]).box
    torch.testing.assert_close(loss(noise(batch=1), twins(0, 0)).box, 2 * alone)
    torch.testing.assert_close(loss(noise(batch=1), twins(0, 2)).box, alone)
    single = loss_of(replace(V4, iou_thresh=1.0))  # without division
    torch.testing.assert_close(single(noise(batch=1), twins(0, 2)).box, 2 * single(noise(batch=1), twins(0, 0)[:1]).box)


def test_classes_of_two_objects():
    level = next(level for level in loss_of().assignments(noise(batch=1), twins(2, 0)) if len(level.classes))
    assert level.classes[0].tolist() == [1, 0, 1]
    smooth = loss_of(replace(V4, label_smooth_eps=0.2)).assignments(noise(batch=1), twins(2, 0))
    level = next(level for level in smooth if len(level.classes))
    assert level.classes[0].tolist() == pytest.approx([0.9, 0.1, 0.9])
    focal = loss_of(replace(V4, focal=True)).assignments(noise(batch=1), twins(2, 0))
    level = next(level for level in focal if len(level.classes))
    weight = level.class_weight[0]
    assert weight[0] == 1  # of the second object
    assert weight[1] == weight[2] != 1


def test_steps_are_clipped_for_each_object():
    def largest(limit: float | None) -> float:
        settings = replace(V4, iou_normalizer=2.0, max_delta=limit, iou_thresh=1.0)
        found = loss_of(settings).layer_gradient(noise(batch=1), twins(0, 0))
        return max(float(each[..., :4].abs().max()) for each in found)

    free = largest(None)
    limit = free / 4
    assert largest(limit) == pytest.approx(2 * limit)  # free is of two objects, half each
    assert largest(free) == pytest.approx(free)


def test_extreme_numbers_take_no_step():
    maps = noise(batch=1)
    for raw in maps:
        raw[..., 2] = 1000.0
    found = loss_of().layer_gradient(maps, twins(0, 1))
    assert all(torch.isfinite(each).all() for each in found)


def test_logistic_values_are_the_layers_own_numbers():
    maps = noise()
    stored, true = loss_of(CSP).layer_gradient(maps, TARGETS), gradients(loss_of(CSP), maps)
    for raw, by_layer, by_raw in zip(maps, stored, true, strict=True):
        a = raw.sigmoid()
        torch.testing.assert_close(by_layer * a * (1 - a), by_raw)


def test_each_level_has_its_own_settings():
    each = [V4, replace(V4, scale_x_y=1.2), CSP]
    whole = loss_of(each)(noise(), TARGETS)
    alone = [
        Yolov4Loss(ANCHORS, [mask], [stride], 3, settings)([raw], TARGETS)
        for mask, stride, settings, raw in zip(MASKS, STRIDES, each, noise(), strict=True)
    ]
    for name in whole._fields:
        torch.testing.assert_close(getattr(whole, name), sum(getattr(one, name) for one in alone))


def test_cost_of_overlaps_is_a_mean_over_matches_and_squares_of_scores():
    loss = loss_of(replace(V4, iou_normalizer=0.5, obj_normalizer=2.0, iou_thresh=1.0))
    scores = sum(float(each[..., 4:].square().sum()) for each in loss.layer_gradient(noise(), TARGETS[2:3]))
    iou = loss_of(replace(V4, iou_kind="iou", iou_normalizer=0.5, iou_thresh=1.0))
    box = float(iou(noise(), TARGETS[2:3]).box)
    assert loss.cost(noise(), TARGETS[2:3]) == pytest.approx(box + 2 * scores)
    nothing = loss.layer_gradient(noise(), TARGETS[:0])
    expected = 2 * sum(float(each.square().sum()) for each in nothing)
    assert loss.cost(noise(), TARGETS[:0]) == pytest.approx(expected)


def test_cls_normalizer_is_without_effect():
    for pair in zip(loss_of()(noise(), TARGETS), loss_of(replace(V4, cls_normalizer=9))(noise(), TARGETS), strict=True):
        assert torch.equal(*pair)


def test_positives_are_positive_and_an_image_without_objects_has_none():
    role = loss_of().assign(noise(), TARGETS).role
    assert (role[0] == POSITIVE).any()
    assert (role[1] == NEGATIVE).all()


def test_dropped_objects_are_counted():
    loss = loss_of()
    loss(noise(), TARGETS)
    loss.assign(noise(), TARGETS)
    assert loss.dropped == 1  # the one without width


def test_bad_input_is_named():
    refuses_bad_input(loss_of())
    with pytest.raises(ValueError, match=r"2 settings.*3 levels"):
        loss_of([V4, V4])
    with pytest.raises(ValueError, match=r"mask 0.*-1"):
        Yolov4Loss(ANCHORS, [[-1]], [8], 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iou_kind": "siou"},
        {"iou_thresh": 1.5},
        {"truth_thresh": 0.7},
        {"max_delta": 0.0},
        {"scale_x_y": 0.5},
        {"iou_normalizer": -1.0},
        {"label_smooth_eps": math.nan},
        {"max_boxes": 0},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Yolov4Settings(**wrong)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_a_box_of_absurd_size_leaves_darknets_loss_and_gradient_finite(kind: IouKind) -> None:
    loss = Yolov4Loss([[10, 13], [16, 30]], [[0, 1]], [8], 1, Yolov4Settings(iou_kind=kind))
    raw = torch.full((1, 2, 4, 4, 6), 0.5)
    raw[..., 2:4] = 85  # exp of this, squared, is beyond float32
    raw.requires_grad_()
    total = loss([raw], torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.4]])).total
    (gradient,) = torch.autograd.grad(total, raw)
    assert total.isfinite()
    assert gradient.isfinite().all()
