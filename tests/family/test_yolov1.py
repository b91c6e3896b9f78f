"""YOLOv1: what its loss does beyond the recordings, which test_checker.py compares."""

import pytest
import torch

from yolo_lite.family.yolov1 import Yolov1Loss, Yolov1Settings, decode_yolov1, split_output
from yolo_lite.loss.criterion import IGNORED, POSITIVE

SETTINGS = [
    Yolov1Settings(grid=3),
    Yolov1Settings(grid=3, boxes=3, square_root=False),
    Yolov1Settings(grid=3, rescore=False, softmax=True),
    Yolov1Settings(grid=4, boxes=1, object_scale=2.0, noobject_scale=0.1, class_scale=0.5, coord_scale=3.0),
]
# Two objects of image 0 share a cell of either grid; image 1 has none.
TARGETS = torch.tensor(
    [
        [0, 1, 0.1, 0.15, 0.3, 0.2],
        [0, 2, 0.2, 0.1, 0.1, 0.1],
        [2, 0, 0.9, 0.6, 0.2, 0.5],
        [0, 2, 0.6, 0.9, 0.4, 0.1],
    ]
)
BATCH, CLASSES = 3, 3


def random_output(settings: Yolov1Settings, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(BATCH, settings.outputs(CLASSES), generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradcheck(settings):
    loss = Yolov1Loss(CLASSES, settings, gain=0.5)
    out = random_output(settings).requires_grad_()
    assignment = loss.assignments([out], TARGETS)

    def losses(out: torch.Tensor) -> torch.Tensor:
        return torch.stack([field.sum() for field in loss.of_assignments([out], assignment)])

    assert torch.autograd.gradcheck(losses, out)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_losses_of_the_predictions_add_up(settings, dtype, tolerance):
    loss, out = Yolov1Loss(CLASSES, settings, gain=0.25), random_output(settings, dtype)
    parts, assigned = loss([out], TARGETS), loss.assign([out], TARGETS)
    for name, each in assigned.losses._asdict().items():
        assert each.dtype == dtype
        assert each.shape == assigned.role.shape == (BATCH, len(assigned.cells))
        torch.testing.assert_close(each.sum(), getattr(parts, name), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(parts.total, sum(parts[1:]), rtol=tolerance, atol=0)
    whole = Yolov1Loss(CLASSES, settings)([out], TARGETS)
    torch.testing.assert_close(parts.total * 4, whole.total, rtol=tolerance, atol=0)


def test_roles_and_dropped_objects():
    settings = SETTINGS[0]
    loss, out = Yolov1Loss(CLASSES, settings), random_output(settings)
    assigned = loss.assign([out], TARGETS)
    assert loss.dropped == 0  # only the loss itself counts
    assert assigned.matches.target.tolist() == [0, 2, 3]  # the first object of a cell counts
    assert not (assigned.role == IGNORED).any()
    assert ((assigned.role == POSITIVE) == (assigned.target >= 0)).all()
    matches = assigned.matches
    assert torch.equal(assigned.target[matches.image, matches.prediction], matches.target)
    assert assigned.cells[matches.prediction, 2:].tolist() == [[0, 0], [1, 2], [2, 1]]
    assert (assigned.losses.box[assigned.target < 0] == 0).all()
    assert (assigned.losses.cls[assigned.target < 0] == 0).all()
    for calls in (1, 2):
        loss([out], TARGETS)
        assert loss.dropped == calls


def test_decode_has_the_order_of_assign():
    """A responsible box whose numbers are the targets decodes to its object."""
    settings = SETTINGS[0]
    loss, out = Yolov1Loss(CLASSES, settings), random_output(settings)
    assignment, matches = loss.assignments([out], TARGETS), loss.assign([out], TARGETS).matches
    boxes = split_output(out, CLASSES, settings).boxes
    boxes[assignment.image, assignment.box, assignment.row, assignment.col] = assignment.coordinates
    decoded = decode_yolov1(out, CLASSES, settings, (200, 100))[matches.image, matches.prediction, :4]
    expected = TARGETS[matches.target, 2:] * torch.tensor([100, 200, 100, 200])
    torch.testing.assert_close(decoded, expected.double())


def test_without_objects_only_confidences_cost():
    settings = SETTINGS[0]
    loss, out = Yolov1Loss(CLASSES, settings), random_output(settings).requires_grad_()
    parts = loss([out], torch.zeros(0, 6))
    assert (parts.box.item(), parts.cls.item()) == (0, 0)
    confidence = split_output(out, CLASSES, settings).confidence
    torch.testing.assert_close(parts.obj, 0.5 * confidence.square().sum() / 2)
    (gradient,) = torch.autograd.grad(parts.total, out)
    torch.testing.assert_close(split_output(gradient, CLASSES, settings).confidence, 0.5 * confidence)
    assert loss.assign([out], torch.zeros(0, 6)).matches.target.tolist() == []


def test_order_of_objects_in_different_cells_does_not_matter():
    loss, out = Yolov1Loss(CLASSES, SETTINGS[0]), random_output(SETTINGS[0])
    apart = TARGETS[[0, 2, 3]]
    for order in ([0, 1, 2], [2, 0, 1], [2, 1, 0]):
        torch.testing.assert_close(loss([out], apart[order]), loss([out], apart), rtol=1e-12, atol=0)


def test_the_larger_overlap_is_responsible_and_without_one_the_nearer_box():
    settings = Yolov1Settings(grid=1, boxes=2)
    loss = Yolov1Loss(1, settings)
    target = torch.tensor([[0, 0, 0.5, 0.5, 0.25, 0.25]])
    none = [0.0, 0.0, 0.1, 0.1]

    def responsible(*boxes: list[float]) -> tuple[int, float]:
        assignment = loss.assignments([torch.tensor([[0.0, 0, 0, *boxes[0], *boxes[1]]])], target)
        return int(assignment.box), float(assignment.confidence)

    assert responsible(none, [0.6, 0.5, 0.5, 0.5])[0] == 1
    assert responsible([0.6, 0.5, 0.5, 0.5], none)[0] == 0
    assert responsible([0.6, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5]) == (1, 1.0)  # the sign of a root is lost
    assert responsible(none, [0.1, 0.1, 0.1, 0.1]) == (1, 0.0)
    assert responsible([0.1, 0.1, 0.1, 0.1], none) == (0, 0.0)


def test_an_object_on_the_border_is_in_the_last_cell():
    loss, out = Yolov1Loss(CLASSES, SETTINGS[0]), random_output(SETTINGS[0])
    assignment = loss.assignments([out], torch.tensor([[0, 0, 1.0, 1.0, 0.2, 0.2]]))
    assert (assignment.row.item(), assignment.col.item()) == (2, 2)
    assert assignment.coordinates[0, :2].tolist() == [1, 1]


def test_one_class_and_half_precision():
    settings = Yolov1Settings(grid=2, boxes=1)
    out = torch.rand(1, 24, generator=torch.Generator().manual_seed(0)).half()
    parts = Yolov1Loss(1, settings)([out], torch.tensor([[0, 0, 0.3, 0.3, 0.2, 0.2]]))
    assert parts.total.dtype == torch.float32
    assert parts.cls > 0  # squared errors: also a single class costs
    assert decode_yolov1(out, 1, settings, 1001).dtype == torch.float32


@pytest.mark.parametrize("wrong", [{"grid": 0}, {"boxes": 0}, {"coord_scale": -1.0}, {"noobject_scale": float("nan")}])
def test_settings_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Yolov1Settings(**wrong)


def test_outputs_that_do_not_fit():
    loss = Yolov1Loss(20)
    with pytest.raises(ValueError, match=r"1470.*1715"):
        loss([torch.zeros(1, 1715)], torch.zeros(0, 6))
    with pytest.raises(ValueError, match="2 maps"):
        loss([torch.zeros(1, 1470)] * 2, torch.zeros(0, 6))
    with pytest.raises(ValueError, match="0"):
        Yolov1Loss(0)
