"""assign: what the loss asks of every prediction, and that its terms are those of the loss itself."""

import pytest
import torch

from tests.loss.test_loss import loss_of, read_case
from tests.loss.test_targets import ANCHORS, CASES, STRIDES
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import NEGATIVE, POSITIVE
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.model.yolo import create_model

TWINS = torch.tensor([[0, 0, 0.51, 0.51, 0.1, 0.1], [0, 1, 0.51, 0.51, 0.14, 0.14]])  # they share predictions


def zeros(num_classes: int = 2, batch: int = 1) -> list[torch.Tensor]:
    return [torch.zeros(batch, 3, 640 // s, 640 // s, 5 + num_classes) for s in STRIDES]


def noise(num_classes: int = 2, batch: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(raw.shape, generator=generator) for raw in zeros(num_classes, batch)]


@pytest.mark.parametrize("collisions", ["last", "best"])
@pytest.mark.parametrize("case", CASES)
def test_losses_of_the_predictions_add_up_to_the_loss(golden, case, collisions):
    recorded, maps, targets = read_case(golden, case)
    maps = [raw.double() for raw in maps]
    loss = loss_of(recorded, collisions=collisions)
    assigned, parts = loss.assign(maps, targets), loss(maps, targets)
    for name, each in assigned.losses._asdict().items():
        assert each.shape == assigned.role.shape
        torch.testing.assert_close(each.sum(), getattr(parts, name), rtol=1e-12, atol=1e-12)


def test_their_gradients_add_up_too(golden):
    recorded, maps, targets = read_case(golden, "base")
    loss = loss_of(recorded)
    expected = torch.autograd.grad(loss(maps, targets).total, maps)
    for ours, of_loss in zip(
        torch.autograd.grad(loss.assign(maps, targets).losses.total.sum(), maps), expected, strict=True
    ):
        torch.testing.assert_close(ours, of_loss, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_matches_are_those_of_every_level(golden, case):
    recorded, maps, targets = read_case(golden, case)
    loss = loss_of(recorded)
    assigned = loss.assign(maps, targets)
    cells = assigned.cells[assigned.matches.prediction]
    for number, level in enumerate(loss.levels(maps, targets)):
        here = cells[:, 0] == number
        expected = torch.stack((level.matches.anchor, level.matches.row, level.matches.col), 1)
        assert torch.equal(cells[here, 1:], expected)
        assert torch.equal(assigned.matches.target[here], level.matches.target)
        assert torch.equal(assigned.matches.image[here], level.matches.image)
    positive = torch.zeros_like(assigned.role)
    positive[assigned.matches.image, assigned.matches.prediction] = 1
    assert torch.equal(assigned.role == POSITIVE, positive.bool())
    assert torch.equal(assigned.role == NEGATIVE, assigned.target == -1)
    # a target lies in the image that it is assigned in
    image, prediction = (assigned.role == POSITIVE).nonzero(as_tuple=True)
    assert torch.equal(targets[assigned.target[image, prediction], 0].long(), image)


def test_predictions_are_in_the_order_of_decode():
    model = create_model("yolov5n", num_classes=2)
    maps = [raw[..., :7] for raw in noise()]
    target = torch.tensor([[0, 1, 0.3, 0.6, 0.2, 0.1]])
    assigned = model.criterion(Hyperparameters()).assign(maps, target)
    boxes = model.decode(maps)
    assert boxes.shape[:2] == assigned.role.shape == (1, len(assigned.cells))
    level, anchor, row, col = assigned.cells.T
    for number, raw in enumerate(maps):
        of_level = level == number
        logits = raw[0, anchor[of_level], row[of_level], col[of_level], 4]
        torch.testing.assert_close(boxes[0, of_level, 4], logits.sigmoid())


@pytest.mark.parametrize("collisions", ["last", "best"])
def test_several_objects_on_one_prediction_are_all_listed(collisions):
    loss = ComputeLoss(ANCHORS, STRIDES, 2, collisions=collisions)
    assigned = loss.assign(noise(), TWINS)
    pairs = {}
    for prediction, target in zip(*(index.tolist() for index in assigned.matches[1:]), strict=True):
        pairs.setdefault(prediction, []).append(target)
    shared = [prediction for prediction, objects in pairs.items() if set(objects) == {0, 1}]
    assert shared
    for level in loss.levels(noise(), TWINS):  # the owner's overlap is the objectness target
        match = level.matches
        for index in range(len(match.image)):
            cell = (match.image[index], match.anchor[index], match.row[index], match.col[index])
            places = (torch.stack(match[:4]) == torch.stack(cell)[:, None]).all(0)
            overlaps = level.overlap[places].clamp(min=0)
            expected = overlaps.max() if collisions == "best" else overlaps[-1]
            assert level.objectness[cell] == expected
    owners = {prediction: assigned.target[0, prediction].item() for prediction in shared}
    assert set(owners.values()) <= {0, 1}
    if collisions == "last":
        assert all(owner == pairs[prediction][-1] for prediction, owner in owners.items())


def test_without_objects_all_are_negative():
    assigned = ComputeLoss(ANCHORS, STRIDES, 2).assign(zeros(batch=2), torch.zeros(0, 6))
    assert (assigned.role == NEGATIVE).all()
    assert (assigned.target == -1).all()
    assert len(assigned.matches.image) == 0
    assert assigned.losses.box.sum() == assigned.losses.cls.sum() == 0
    assert (assigned.losses.obj > 0).all()


def test_one_class_has_no_class_loss():
    loss = ComputeLoss(ANCHORS, STRIDES, 1)
    assigned = loss.assign(noise(1), TWINS[:1])
    assert assigned.losses.cls.sum() == 0
    assert assigned.losses.box.sum() > 0


def test_autobalance_takes_no_step():
    loss = ComputeLoss(ANCHORS, STRIDES, 2, autobalance=True).train()
    before = loss.balance.clone()
    loss.assign(noise(), TWINS)
    assert torch.equal(loss.balance, before)
    loss(noise(), TWINS)
    assert not torch.equal(loss.balance, before)


def test_wrong_input_is_named_as_in_the_loss():
    with pytest.raises(ValueError, match=r"row 0.*class 2"):
        ComputeLoss(ANCHORS, STRIDES, 2).assign(zeros(), torch.tensor([[0, 2, 0.5, 0.5, 0.1, 0.1]]))
    with pytest.raises(TypeError, match=r"not NoneType; without objects torch\.zeros\(0, 6\)"):
        ComputeLoss(ANCHORS, STRIDES, 2)(zeros(), None)
