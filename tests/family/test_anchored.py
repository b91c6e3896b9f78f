"""What holds for the losses of SSD, RetinaNet and FCOS alike."""

import pytest
import torch

from tests.family.anchored_losses import GRIDS, KINDS, SIZE, TARGETS
from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import prediction_cells

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_losses_of_predictions_add_up_to_the_loss(kind) -> None:
    loss, maps = kind.make(3), kind.maps(3)
    parts, assigned = loss(maps, TARGETS), loss.assign(maps, TARGETS)
    assert parts._fields == assigned.losses._fields
    for whole, single in zip(parts, assigned.losses, strict=True):
        assert single.shape == assigned.role.shape
        torch.testing.assert_close(single.sum(), whole)
    torch.testing.assert_close(sum(list(parts)[1:]), parts.total)


@each_kind
def test_roles_targets_and_pairs_agree(kind) -> None:
    assigned = kind.make(3).assign(kind.maps(3), TARGETS)
    assert torch.equal(assigned.role == 1, assigned.target >= 0)
    assert assigned.target[assigned.role != 1].eq(-1).all()
    assert assigned.losses.total[assigned.role == -1].eq(0).all()
    assert assigned.losses.box[assigned.role != 1].eq(0).all()
    pairs = assigned.matches
    assert set(pairs.target.tolist()) == {0, 1, 2, 3}
    assert torch.equal(TARGETS[pairs.target, 0].long(), pairs.image)
    assert torch.equal(assigned.target[pairs.image, pairs.prediction], pairs.target)


@each_kind
def test_predictions_have_the_order_of_prediction_cells(kind) -> None:
    maps = kind.maps(3)
    assigned, decoded = kind.make(3).assign(maps, TARGETS), kind.decode(maps)
    shapes = [(anchors, *grid) for anchors, grid in zip(kind.anchors, GRIDS, strict=True)]
    assert torch.equal(assigned.cells, prediction_cells(shapes))
    assert decoded.shape == (2, len(assigned.cells), 5 + 3)
    changed = [raw.clone() for raw in maps]
    place = len(assigned.cells) - 9
    level, anchor, row, col = assigned.cells[place].tolist()
    changed[level][1, anchor, row, col] += 0.5
    assert (kind.decode(changed) != decoded).any(2).nonzero().tolist() == [[1, place]]


@each_kind
def test_positives_are_trained_towards_their_objects(kind) -> None:
    """A few steps along the gradient, and the boxes of the positives lie on their objects."""
    loss, maps = kind.make(3), [raw.requires_grad_() for raw in kind.maps(3)]
    optimizer = torch.optim.Adam(maps, lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss(maps, TARGETS).total.backward()
        optimizer.step()
    pairs = loss.assign(maps, TARGETS).matches
    boxes = kind.decode([raw.detach() for raw in maps])[pairs.image, pairs.prediction]
    height, width = SIZE
    objects = TARGETS[pairs.target, 2:] * torch.tensor([width, height, width, height])
    assert bbox_iou(boxes[:, :4], objects, "iou").min() > 0.8
    assert torch.equal(boxes[:, 5:].argmax(1), TARGETS[pairs.target, 1].long())


@each_kind
def test_gradients_are_derivatives(kind) -> None:
    """Matches depend on geometry alone; SSD's choice of negatives is far from a tie here."""
    loss, maps = kind.make(2), kind.maps(2, images=1, dtype=torch.float64)
    targets = TARGETS[TARGETS[:, 0] == 0].double()
    chosen = (loss.assign(maps, targets).losses.total > 0).nonzero()[::29, 1][:8].tolist()
    positives = loss.assign(maps, targets).matches.prediction[:3].tolist()
    cells = loss.assign(maps, targets).cells[positives + chosen]

    def total(values: torch.Tensor) -> torch.Tensor:
        changed = [raw.clone() for raw in maps]
        for index, (level, anchor, row, col) in enumerate(cells.tolist()):
            changed[level][0, anchor, row, col] = values[index]
        return loss(changed, targets).total

    rows = [maps[level][0, anchor, row, col] for level, anchor, row, col in cells.tolist()]
    assert torch.autograd.gradcheck(total, torch.stack(rows).requires_grad_())


@each_kind
def test_no_objects(kind) -> None:
    loss, maps = kind.make(3), [raw.requires_grad_() for raw in kind.maps(3)]
    parts = loss(maps, torch.zeros(0, 6))
    assert parts.box == 0
    assert parts.total.isfinite()
    parts.total.backward()
    assert loss.dropped == 0
    assert not (loss.assign(maps, torch.zeros(0, 6)).role == 1).any()


@each_kind
def test_one_class(kind) -> None:
    targets = TARGETS.clone()
    targets[:, 1] = 0
    loss = kind.make(1)
    assert loss(kind.maps(1), targets).total.isfinite()
    assert kind.decode(kind.maps(1)).shape[2] == 6


@each_kind
def test_objects_without_a_prediction_are_counted(kind) -> None:
    loss, maps = kind.make(3), kind.maps(3)
    line, nowhere, outside = [0, 0, 0.5, 0.5, 0.2, 0.0], [0, 0, torch.nan, 0.5, 0.2, 0.2], [1, 2, 30, 30, 0.2, 0.2]
    parts = loss(maps, torch.cat((TARGETS, torch.tensor([line, nowhere, outside]))))
    assert loss.dropped == 3
    torch.testing.assert_close(parts.total, loss(maps, TARGETS).total)
    assert loss.dropped == 3  # nothing was dropped the second time


@each_kind
@pytest.mark.parametrize(("row", "word"), [([2, 0], "image"), ([0, 3], "class"), ([0, -1], "class")])
def test_targets_out_of_range(kind, row: list[int], word: str) -> None:
    targets = torch.cat((TARGETS, torch.tensor([[*row, 0.5, 0.5, 0.2, 0.2]])))
    with pytest.raises(ValueError, match=f"row 4.*{word}"):
        kind.make(3)(kind.maps(3), targets)


@each_kind
def test_maps_that_do_not_fit(kind) -> None:
    maps = kind.maps(3)
    with pytest.raises(ValueError, match="1 maps"):
        kind.make(3)(maps[:1], TARGETS)
    with pytest.raises(ValueError, match="map 0"):
        kind.make(2)(maps, TARGETS[:0])


@each_kind
def test_half_precision_is_computed_in_float32(kind) -> None:
    maps = kind.maps(3)
    half = [raw.bfloat16() for raw in maps]
    again = [raw.float() for raw in half]
    assert kind.make(3)(half, TARGETS).total == kind.make(3)(again, TARGETS).total
    assert kind.decode(half).dtype == torch.float32
