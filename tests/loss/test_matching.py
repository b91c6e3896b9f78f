"""match_levels gives what build_targets gives: the same matches, in the same order, to the last bit."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.loss.test_targets import ANCHORS, CASES, GRIDS, NINE_OBJECTS, STRIDES
from yolo_lite.loss.matching import match_levels
from yolo_lite.loss.targets import Assignment, build_targets


def some_targets(count: int, seed: int = 0) -> Tensor:
    """(count, 6): of all sizes, a third of the centres on lines of a grid or on the border."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(count, 6, generator=generator)
    image, cls = (values[:, :2] * 9).floor().T
    centre = torch.where(values[:, 2:3] < 0.3, (values[:, 2:4] * 40).round() / 40, values[:, 2:4])
    return torch.cat((torch.stack((image, cls), 1), centre, values[:, 4:] ** 2 + 0.001), 1)


def equal(ours: list[Assignment], theirs: list[Assignment]) -> bool:
    return all(
        torch.equal(one, other) and one.dtype == other.dtype
        for level, expected in zip(ours, theirs, strict=True)
        for one, other in zip(level, expected, strict=True)
    )


@pytest.mark.parametrize("case", CASES)
def test_recorded_cases(golden, case):
    recorded = np.load(golden / f"loss_{case}.npz")
    grids = [recorded[f"p{level}"].shape[2:4] for level in range(3)]
    given = torch.from_numpy(recorded["targets"]), grids, torch.from_numpy(recorded["anchors_px"]), STRIDES
    for anchor_t in (2.0, 4.0, 8.0):
        assert equal(match_levels(*given, anchor_t), build_targets(*given, anchor_t))


@pytest.mark.parametrize("count", [0, 1, 2, 120, 500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_objects_on_square_and_other_grids(count, dtype):
    targets = some_targets(count).to(dtype)
    for grids in (GRIDS, [(12, 20), (6, 10), (3, 5)], [(1, 1), (2, 1), (1, 2)]):
        ours = match_levels(targets, grids, ANCHORS, STRIDES)
        assert equal(ours, build_targets(targets, grids, ANCHORS, STRIDES))
        assert count < 100 or all(len(level.image) for level in ours)


def test_borders_corners_and_lines():
    places = torch.tensor([[x, y] for x in (0, 1 / 80, 0.5, 1 - 2**-24, 1) for y in (0, 1 / 3, 79 / 80, 1)])
    targets = torch.cat((torch.zeros(20, 2), places, torch.full((20, 2), 0.1)), 1)
    assert equal(match_levels(targets, GRIDS, ANCHORS, STRIDES), build_targets(targets, GRIDS, ANCHORS, STRIDES))


def test_other_numbers_of_levels_and_anchors():
    for levels, anchors in ((1, 1), (2, 5), (4, 2)):
        strides = torch.tensor([8.0 * 2**level for level in range(levels)])
        sizes = strides[:, None, None] * torch.rand(levels, anchors, 2, generator=torch.Generator().manual_seed(1)) * 5
        given = some_targets(60), [(160 // 2**level, 96 // 2**level) for level in range(levels)], sizes, strides
        assert equal(match_levels(*given), build_targets(*given))


def test_targets_that_numpy_has_no_type_for_and_those_with_gradient():
    for targets in (NINE_OBJECTS.bfloat16(), NINE_OBJECTS.half(), some_targets(9).requires_grad_()):
        ours = match_levels(targets, GRIDS, ANCHORS, STRIDES)
        assert equal(ours, build_targets(targets, GRIDS, ANCHORS, STRIDES))
        assert ours[0].box.requires_grad == targets.requires_grad


@pytest.mark.parametrize("column", [2, 4])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), 0.0])
def test_both_refuse_the_same_targets(column, value):
    targets = NINE_OBJECTS.clone()
    targets[3, column] = value
    if value == 0 and column == 2:
        assert equal(match_levels(targets, GRIDS, ANCHORS, STRIDES), build_targets(targets, GRIDS, ANCHORS, STRIDES))
        return
    for match in (match_levels, build_targets):
        with pytest.raises(ValueError, match="targets row 3 is"):
            match(targets, GRIDS, ANCHORS, STRIDES)


def test_what_build_targets_refuses_takes_and_rounds_is_the_same_here() -> None:
    one, anchors = torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]]), torch.tensor([[[10.0, 13], [16, 30], [33, 23]]])
    for function in (match_levels, build_targets):
        with pytest.raises(ValueError, match="anchor_t must be greater than 1"):
            function(one, [(80, 80)], anchors, [8], 1.0)
    learnt = torch.nn.Parameter(anchors)
    (ours,), (plain,) = (function(one, [(80.7, 80.2)], learnt, [8]) for function in (match_levels, build_targets))
    assert torch.equal(ours.box, plain.box)
