"""SSD: what its matching and its hard negatives do."""

import pytest
import torch

from tests.family.anchored_losses import KINDS, TARGETS
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.family.ssd.loss import SsdSettings, default_boxes, match_default_boxes


def test_three_negatives_are_trained_for_every_positive_of_an_image() -> None:
    kind = KINDS["ssd"]
    maps = kind.maps(3, images=3)
    assigned = kind.make(3).assign(maps, TARGETS)  # none in image 2
    positives, negatives = ((assigned.role == role).sum(1) for role in (1, 0))
    assert positives.min() == 0
    assert torch.equal(negatives, 3 * positives)


def test_the_trained_negatives_are_the_hardest() -> None:
    kind = KINDS["ssd"]
    maps = kind.maps(3)
    assigned = kind.make(3).assign(maps, TARGETS)
    background = torch.cat([raw.flatten(1, 3) for raw in maps], 1)[..., 4:].log_softmax(-1)[..., 0]
    for image in range(2):
        trained, left = (background[image][assigned.role[image] == role] for role in (0, -1))
        assert trained.max() <= left.min()


def test_a_later_object_gets_a_best_box_that_two_share() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    objects = torch.tensor([[0.0, 0, 3, 3], [0, 0, 2, 2], [20, 20, 30, 30]])
    assert match_default_boxes(objects[:2], boxes).tolist() == [1]
    assert match_default_boxes(objects[:1], boxes).tolist() == [0]  # below the threshold, but the best there is


def test_default_boxes_are_relative_to_the_image() -> None:
    settings = SsdSettings()
    shapes = [(a, g, g) for a, g in zip(settings.anchors_per_cell(), (38, 19, 10, 5, 3, 1), strict=True)]
    square = default_boxes(shapes, (300, 300), settings)
    assert square.shape == (8732, 4)
    assert square[0].tolist() == pytest.approx([4, 4, 21, 21])
    assert square[-4:, :2].tolist() == [[150, 150]] * 4
    last = default_boxes([(4, 1, 1)], (300, 600), SsdSettings((0.5, 0.5), ((2,),), (None,)))
    assert last[0].tolist() == [300, 150, 300, 150]


def test_default_boxes_cover_every_cell_in_the_order_of_the_maps() -> None:
    boxes = default_boxes([(4, 2, 3)], (16, 24), SsdSettings((0.5, 0.5), ((2,),), (8,)))
    assert boxes[:6, :2].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert xywh_to_xyxy(boxes).shape == (24, 4)


@pytest.mark.parametrize(
    "wrong",
    [{"scales": (0.1, 0.2)}, {"ratios": ()}, {"positive_iou": 0.0}, {"negatives": -1.0}, {"weights": (0, 10, 5, 5)}],
)
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError):
        SsdSettings(**wrong)
