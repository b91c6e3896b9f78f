"""YOLOv2: what its loss does beyond the recordings, which test_checker.py compares."""

import pytest
import torch

from yolo_lite.coding import YOLOV3, decode_level
from yolo_lite.family.yolov2 import Yolov2Loss, Yolov2Settings
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

ANCHORS = torch.tensor([[20.0, 30.0], [60.0, 40.0], [70.0, 120.0]])
STRIDE, CLASSES, BATCH, ROWS, COLS = 32, 3, 3, 3, 4  # 96 pixels high, 128 wide
SETTINGS = [
    Yolov2Settings(thresh=0.3),
    Yolov2Settings(thresh=0.3, early_images=0, softmax=False, origin="alexeyab"),
    Yolov2Settings(rescore=False, bias_match=False, coord_scale=2.0, class_scale=0.5, noobject_scale=0.3),
]
# The first two of image 0 have one cell and anchor; image 1 has none.
TARGETS = torch.tensor(
    [
        [0, 1, 0.3, 0.4, 0.5, 0.4],
        [0, 2, 0.35, 0.45, 0.48, 0.42],
        [2, 0, 0.9, 0.6, 0.2, 0.3],
        [0, 2, 0.6, 0.9, 0.5, 0.9],
    ]
)


def loss_of(settings: Yolov2Settings | None = None, gain: float = 1.0) -> Yolov2Loss:
    return Yolov2Loss(ANCHORS, STRIDE, CLASSES, settings, gain)


def random_map(dtype: torch.dtype = torch.float64, scale: float = 0.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, len(ANCHORS), ROWS, COLS, 5 + CLASSES)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradcheck(settings):
    loss, raw = loss_of(settings, gain=0.5), random_map().requires_grad_()
    assignment = loss.assignments([raw], TARGETS)

    def losses(raw: torch.Tensor) -> torch.Tensor:
        return torch.stack([field.sum() for field in loss.of_assignments([raw], assignment)])

    assert torch.autograd.gradcheck(losses, raw)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_losses_of_the_predictions_add_up(settings, dtype, tolerance):
    loss, raw = loss_of(settings, gain=0.25).eval(), random_map(dtype)
    parts, assigned = loss([raw], TARGETS), loss.assign([raw], TARGETS)
    for name, each in assigned.losses._asdict().items():
        assert each.dtype == dtype
        assert each.shape == assigned.role.shape == (BATCH, len(assigned.cells))
        torch.testing.assert_close(each.sum(), getattr(parts, name), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(parts.total, sum(parts[1:]), rtol=tolerance, atol=0)
    torch.testing.assert_close(parts.total * 4, loss_of(settings)([raw], TARGETS).total, rtol=tolerance, atol=0)


def test_roles():
    loss, raw = loss_of(SETTINGS[0]), random_map()
    assigned = loss.assign([raw], TARGETS)
    matches = assigned.matches
    assert matches.target.tolist() == [0, 1, 2, 3]
    assert (
        matches.prediction[0] == matches.prediction[1]
    )  # both objects have the same prediction, and the last one wins
    assert assigned.target[matches.image, matches.prediction].tolist() == [1, 1, 2, 3]
    assert assigned.cells[matches.prediction].tolist() == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 3], [0, 2, 2, 2]]
    for role in (POSITIVE, NEGATIVE, IGNORED):
        here = assigned.role == role
        assert here.any()
        assert ((assigned.losses.obj[here] == 0).all()) == (role == IGNORED)
        assert ((assigned.losses.box[here] == 0).all()) == (role != POSITIVE)
        assert ((assigned.losses.cls[here] == 0).all()) == (role != POSITIVE)
        assert ((assigned.losses.anchor_prior[here] == 0).all()) == (role == POSITIVE)
    assert ((assigned.role == POSITIVE) == (assigned.target >= 0)).all()


def test_seen_counts_training_images_and_ends_the_prior():
    loss, raw = loss_of(Yolov2Settings(early_images=2 * BATCH)), random_map()
    loss.eval()([raw], TARGETS)
    assert loss.seen == 0
    loss.train()
    assert loss([raw], TARGETS).anchor_prior > 0  # 3 images seen, of 6
    assert loss([raw], TARGETS).anchor_prior == 0
    loss.assign([raw], TARGETS)
    assert loss.seen == 2 * BATCH
    resumed = loss_of(loss.settings)
    resumed.load_state_dict(loss.state_dict())
    assert resumed.seen == 2 * BATCH
    assert resumed.seen.dtype == torch.int64


def test_the_prior_pulls_to_the_anchor_in_the_middle_of_the_cell():
    loss, raw = loss_of().eval(), torch.zeros_like(random_map()).requires_grad_()
    assert loss([raw], torch.zeros(0, 6)).anchor_prior == 0
    loss, raw = loss_of().eval(), random_map().requires_grad_()
    (gradient,) = torch.autograd.grad(loss([raw], torch.zeros(0, 6)).total, raw)
    torch.testing.assert_close(gradient[..., 2:4], 0.01 * raw.detach()[..., 2:4])
    stored = loss.layer_gradient([raw], torch.zeros(0, 6))[0]
    torch.testing.assert_close(stored[..., :2], 0.01 * (raw.detach()[..., :2].sigmoid() - 0.5))


def test_layer_gradient_leaves_out_the_sigmoid_where_pjreddie_does():
    raw = random_map().requires_grad_()
    s = raw.detach().sigmoid()[..., [0, 1, 4]]
    for settings in SETTINGS:
        loss = loss_of(settings, gain=0.25).eval()
        (gradient,) = torch.autograd.grad(loss([raw], TARGETS).total, raw)
        stored = loss.layer_gradient([raw], TARGETS)[0]
        assert loss.cost([raw], TARGETS) == pytest.approx(stored.square().sum().item(), rel=1e-12)
        if settings.origin == "pjreddie":
            stored[..., [0, 1, 4]] *= s * (1 - s)
        torch.testing.assert_close(gradient, 0.25 * stored)


@pytest.mark.parametrize(("softmax", "positive"), [(True, [2]), (False, [1, 2])])
def test_classes_of_objects_that_share_a_prediction(softmax, positive):
    loss = loss_of(Yolov2Settings(softmax=softmax)).eval()
    raw = random_map().requires_grad_()
    image, prediction, _ = (each[1] for each in loss.assign([raw], TARGETS).matches)
    (gradient,) = torch.autograd.grad(loss([raw], TARGETS).cls, raw)
    classes = gradient.flatten(1, 3)[image, prediction, 5:]
    assert (classes < 0).nonzero()[:, 0].tolist() == positive  # pushed up


def test_a_box_that_is_right_costs_nothing_and_decodes_to_its_object():
    loss, raw = loss_of().eval(), random_map()
    assignment, matches = loss.assignments([raw], TARGETS), loss.assign([raw], TARGETS).matches
    last = assignment.last
    targets = assignment.box.clone()
    targets[:, :2] = targets[:, :2].logit()
    raw[assignment.image, assignment.anchor, assignment.row, assignment.col, :4] = targets
    raw[assignment.image[last], assignment.anchor[last], assignment.row[last], assignment.col[last], :4] = targets[last]
    assert loss([raw], TARGETS).box < 1e-12
    assert torch.allclose(loss.assignments([raw], TARGETS).objectness[last], torch.ones(3).double())
    decoded = decode_level(raw, ANCHORS, STRIDE, YOLOV3)[matches.image, matches.prediction, :4][last]
    torch.testing.assert_close(decoded, (TARGETS[last, 2:] * torch.tensor([128, 96, 128, 96])).double())


def test_objects_beyond_the_list_are_dropped_and_counted():
    loss, raw = loss_of(Yolov2Settings(max_boxes=2)), random_map()
    assert loss.assign([raw], TARGETS).matches.target.tolist() == [0, 1, 2]
    assert loss.dropped == 0
    loss([raw], TARGETS)
    loss([raw], TARGETS)
    assert loss.dropped == 2


def test_a_dropped_object_spares_no_background():
    raw = random_map()
    loss = loss_of(Yolov2Settings(max_boxes=2, thresh=0.3)).eval()
    torch.testing.assert_close(loss([raw], TARGETS), loss([raw], TARGETS[:3]), rtol=1e-12, atol=0)


def test_order_of_objects_with_predictions_of_their_own_does_not_matter():
    loss, raw = loss_of().eval(), random_map()
    apart = TARGETS[1:]
    for order in ([0, 1, 2], [2, 0, 1], [2, 1, 0]):
        torch.testing.assert_close(loss([raw], apart[order]), loss([raw], apart), rtol=1e-12, atol=0)


def test_without_objects_all_is_background():
    loss, raw = loss_of(Yolov2Settings(early_images=0)), random_map()
    parts, assigned = loss([raw], torch.zeros(0, 6)), loss.assign([raw], torch.zeros(0, 6))
    assert (assigned.role == NEGATIVE).all()
    torch.testing.assert_close(parts.total, raw[..., 4].sigmoid().square().sum() / 2)


def test_an_object_on_the_border_is_in_the_last_cell():
    assignment = loss_of().assignments([random_map()], torch.tensor([[0, 0, 1.0, 1.0, 0.2, 0.2]]))
    assert (assignment.row.item(), assignment.col.item()) == (ROWS - 1, COLS - 1)
    assert assignment.box[0, :2].tolist() == [1, 1]


def test_one_class_and_half_precision():
    loss = Yolov2Loss(ANCHORS, STRIDE, 1)
    parts = loss([torch.zeros(1, 3, 2, 2, 6).half()], torch.tensor([[0, 0, 0.3, 0.3, 0.2, 0.2]]))
    assert parts.total.dtype == torch.float32
    assert parts.cls == 0  # softmax of a single class is always right


@pytest.mark.parametrize(
    "wrong", [{"thresh": 1.5}, {"origin": "joseph"}, {"max_boxes": 0}, {"coord_scale": -1.0}, {"early_images": -1}]
)
def test_settings_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Yolov2Settings(**wrong)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(3, 2, 4, 4, 8\)"):
        loss_of()([torch.zeros(3, 2, 4, 4, 8)], TARGETS)
    with pytest.raises(ValueError, match="anchors"):
        Yolov2Loss(torch.zeros(3, 2), STRIDE, CLASSES)
    with pytest.raises(ValueError, match="0"):
        Yolov2Loss(ANCHORS, STRIDE, 0)
