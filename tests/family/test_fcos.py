"""FCOS: which points are matched to which object."""

import pytest
import torch

from tests.family.anchored_losses import KINDS, TARGETS
from yolo_lite.family.fcos.loss import FcosSettings, decode_fcos, fcos_points, match_points

STRIDES = (8, 16)
SHAPES = [(1, 20, 20), (1, 10, 10)]


def matched(*objects: list[float], **settings: float) -> torch.Tensor:
    chosen = FcosSettings(**settings)
    return match_points(torch.tensor(objects), fcos_points(SHAPES, STRIDES, chosen), chosen)


def places(found: torch.Tensor, index: int = 0) -> list[list[float]]:
    return fcos_points(SHAPES, STRIDES, FcosSettings()).xy[found == index].tolist()


def test_only_points_near_the_centre_are_positive() -> None:
    found = matched([20.0, 20, 60, 60])  # centre 40, radius 12 on the first level
    assert places(found) == [[x, y] for y in (32, 40, 48) for x in (32, 40, 48)]


def test_large_objects_belong_to_coarse_levels() -> None:
    found = matched([8.0, 8, 152, 152])  # sides of 72 pixels and more
    assert (found[:400] == -1).all()
    assert (found[400:] == 0).any()


def test_the_smaller_object_wins() -> None:
    found = matched([16.0, 16, 64, 64], [28, 28, 52, 52])
    assert places(found, 1) == [[x, y] for y in (32, 40, 48) for x in (32, 40, 48)]
    assert not (found == 0).any()


def test_areas_that_float32_cannot_tell_apart_go_to_the_first() -> None:
    larger, smaller = [16.0, 16, 64, 64], [16, 16, 64, 63.96]  # 2 square pixels apart
    assert set(matched(larger, smaller).tolist()) == {-1, 0}


def test_points_may_stand_in_the_middle_of_cells() -> None:
    points = fcos_points(SHAPES, STRIDES, FcosSettings(offset=0.5)).xy
    assert points[[0, 1, 20, 400]].tolist() == [[4, 4], [12, 4], [4, 12], [8, 8]]


def test_the_scores_multiply_to_the_square_root() -> None:
    maps = KINDS["fcos"].maps(3)
    decoded = decode_fcos(maps, STRIDES, FcosSettings())
    flat = torch.cat([raw.flatten(1, 3) for raw in maps], 1).sigmoid()
    expected = (flat[..., 4:5] * flat[..., 5:]).sqrt()
    torch.testing.assert_close(decoded[..., 4:5] * decoded[..., 5:], expected)


def test_sums_are_divided_by_the_positives_of_the_batch() -> None:
    kind = KINDS["fcos"]
    maps = kind.maps(3)
    half = [raw[:1].expand(2, -1, -1, -1, -1) for raw in maps]
    one = TARGETS[TARGETS[:, 0] == 0]
    two = one.clone()
    two[:, 0] = 1
    single, double = kind.make(3)([raw[:1] for raw in maps], one), kind.make(3)(half, torch.cat((one, two)))
    torch.testing.assert_close(single, double)


@pytest.mark.parametrize("wrong", [{"radius": 0.0}, {"range": -1.0}, {"gamma": -1.0}, {"offset": 1.0}])
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError):
        FcosSettings(**wrong)
