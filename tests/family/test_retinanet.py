"""RetinaNet: what its matching does."""

import pytest
import torch

from tests.family.anchored_losses import KINDS, TARGETS
from yolo_lite.family.anchored import BACKGROUND, BETWEEN
from yolo_lite.family.retinanet.loss import RetinaNetSettings, match_anchors, retinanet_anchors


def test_anchors_between_the_thresholds_are_ignored() -> None:
    assigned = KINDS["retinanet"].make(3).assign(KINDS["retinanet"].maps(3), TARGETS)
    assert (assigned.role == -1).any()
    assert (assigned.target[assigned.role == -1] == -1).all()


def test_an_anchor_is_restored_to_its_own_best_object() -> None:
    """The first object's best anchor overlaps the second object more: it goes to the second."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [100, 100, 110, 110]])
    objects = torch.tensor([[0.0, 0, 3, 3], [0, 0, 10, 4.5]])  # overlaps .09 and .45
    assert match_anchors(objects, anchors, RetinaNetSettings()).tolist() == [1, BACKGROUND]
    unforced = RetinaNetSettings(force=False)
    assert match_anchors(objects, anchors, unforced).tolist() == [BETWEEN, BACKGROUND]


def test_every_anchor_that_ties_is_restored() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 20, 20]])
    assert match_anchors(torch.tensor([[4.0, 4, 6, 6]]), anchors, RetinaNetSettings()).tolist() == [0, 0, BACKGROUND]


def test_anchors_stand_on_the_corners_of_cells() -> None:
    anchors = retinanet_anchors([(9, 2, 3)], (16, 24), RetinaNetSettings(sizes=(32,)))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres[:6].tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]
    assert torch.equal(anchors, anchors.round())


def test_the_divisor_is_the_number_of_positives_of_the_image() -> None:
    """Another image without objects halves the first one's loss, and adds half of its own."""
    kind = KINDS["retinanet"]
    maps, targets = kind.maps(3), TARGETS[TARGETS[:, 0] == 0]
    both, loss = kind.make(3)(maps, targets), kind.make(3)
    first = loss([raw[:1] for raw in maps], targets)
    second = loss([raw[1:] for raw in maps], targets[:0])
    torch.testing.assert_close(both.box, first.box / 2)
    torch.testing.assert_close(both.cls, (first.cls + second.cls) / 2)


@pytest.mark.parametrize(
    "wrong", [{"sizes": ()}, {"negative_iou": 0.6}, {"box_loss": "l2"}, {"alpha": 2.0}, {"octaves": 0}]
)
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError):
        RetinaNetSettings(**wrong)
