"""build_targets against the recorded matches, the worked example, and by hand."""

import json

import numpy as np
import pytest
import torch

from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.loss.targets import build_targets, neighbour_cells, ratio_test, to_grid_units

STRIDES = [8, 16, 32]
ANCHORS = torch.tensor(
    [[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
)
GRIDS = [(80, 80), (40, 40), (20, 20)]
CASES = [
    "base", "anchor_t2", "anchor_t8", "collide", "empty", "focal", "gains", "one_class", "pos_weight", "smooth", "wide",
]  # fmt: skip
NINE_OBJECTS = torch.tensor([
    [0, 53, .396669, .479963, .793338, .588065], [0, 0, .321526, .212996, .643052, .16726],
    [0, 60, .420099, .496443, .840199, .563289], [0, 0, .97439, .539114, .0512177, .469156],
    [0, 0, .62153, .994613, .0269818, .0107708], [0, 0, .21751, .992081, .076763, .0158359],
    [0, 6, .37533, .892184, .75066, .215629], [0, 6, .781094, .986248, .0703293, .0275012],
    [0, 0, .927958, .812408, .0307235, .0600933],
])  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_matches_equal_the_recorded_ones_in_order(golden, case):
    recorded = np.load(golden / f"loss_{case}.npz")
    hyp = json.loads(str(recorded["hyp"]))
    grids = [recorded[f"p{level}"].shape[2:4] for level in range(3)]
    targets = torch.from_numpy(recorded["targets"])
    assignments = build_targets(targets, grids, torch.from_numpy(recorded["anchors_px"]), STRIDES, hyp["anchor_t"])
    for level, match in enumerate(assignments):
        for field in ("image", "anchor", "row", "col", "cls"):
            np.testing.assert_array_equal(getattr(match, field), recorded[f"{field}{level}"], err_msg=f"{field}{level}")
        np.testing.assert_allclose(match.box, recorded[f"box{level}"], atol=1e-5)
        np.testing.assert_allclose(match.anchor_wh, recorded[f"anchor_wh{level}"], atol=1e-6)
        np.testing.assert_array_equal(targets[match.target, 1].long(), match.cls)


def test_nine_objects_of_the_reference_sheet():
    assignments = build_targets(NINE_OBJECTS, GRIDS, ANCHORS, STRIDES)
    assert [len(match.image) for match in assignments] == [25, 18, 30]
    pairs = [
        int(ratio_test(to_grid_units(NINE_OBJECTS, grid)[:, 2:], anchors / stride).passed.sum())
        for grid, anchors, stride in zip(GRIDS, ANCHORS, STRIDES, strict=True)
    ]
    assert pairs == [9, 6, 10]


def test_worked_example():
    fine, middle, coarse = build_targets(NINE_OBJECTS[7:8], GRIDS, ANCHORS, STRIDES)
    assert to_grid_units(NINE_OBJECTS[7:8], GRIDS[0])[0].tolist() == pytest.approx(
        [62.48754, 78.89983, 5.62634, 2.20010], abs=1e-4
    )
    matched = list(zip(fine.anchor.tolist(), fine.col.tolist(), fine.row.tolist(), strict=True))
    assert sorted(matched) == [(a, x, y) for a in (1, 2) for x, y in ((61, 78), (62, 78), (62, 79))]
    assert (len(middle.image), len(coarse.image)) == (6, 0)


def test_centre_on_a_grid_line_is_listed_twice():
    centre = torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]])
    matches = build_targets(centre, GRIDS, ANCHORS, STRIDES)
    assert [len(match.image) for match in matches] == [5, 15, 10]
    distinct = [len({*zip(m.anchor.tolist(), m.row.tolist(), m.col.tolist(), strict=True)}) for m in matches]
    assert distinct == [3, 9, 6]


def test_every_corner_of_the_image_stays_on_the_grid():
    corners = torch.tensor([[0, 0, x, y, 0.05, 0.05] for x in (0.0, 1.0) for y in (0.0, 1.0)])
    for match, (rows, cols) in zip(build_targets(corners, GRIDS, ANCHORS, STRIDES), GRIDS, strict=True):
        assert ((match.row >= 0) & (match.row < rows) & (match.col >= 0) & (match.col < cols)).all()


def test_a_rectangular_grid_keeps_rows_and_columns_apart():
    cells = neighbour_cells(torch.tensor([[15.2, 3.9]]), (4, 16))
    assert cells[:, 0].tolist() == [True, True, False, False, False]  # the last row has nothing below it
    (match,) = build_targets(torch.tensor([[0, 0, 15.2 / 16, 3.9 / 4, 0.1, 0.3]]), [(4, 16)], ANCHORS[:1], [8])
    assert match.row.unique().tolist() == [3]
    assert match.col.unique().tolist() == [14, 15]


def test_no_objects_give_no_matches():
    assert [len(match.image) for match in build_targets(torch.zeros(0, 6), GRIDS, ANCHORS, STRIDES)] == [0, 0, 0]


def test_other_numbers_of_levels_and_anchors():
    anchors = torch.tensor([[[20.0, 20], [40, 30]], [[80, 90], [160, 120]]])
    matches = build_targets(NINE_OBJECTS, [(40, 40), (20, 20)], anchors, [16, 32])
    assert all(len(match.image) > 0 and match.anchor.max() <= 1 for match in matches)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(0), "torch.zeros\\(0, 6\\)"),
        (torch.zeros(3, 5), "\\(3, 5\\)"),
        (torch.tensor([[0, 1, 0.5, 0.5, 0.1, 0.1], [0, 1, 320, 320, 50, 40]]), "row 1 .*320"),
        (torch.tensor([[0, 1, 0.5, float("nan"), 0.1, 0.1]]), "row 0"),
        (torch.tensor([[0, 1, 0.5, 0.5, 0.0, 0.1]]), r"row 0 .*0\.0"),
    ],
)
def test_bad_targets_are_explained(targets, message):
    with pytest.raises(ValueError, match=message):
        build_targets(targets, GRIDS, ANCHORS, STRIDES)


def test_anchors_of_the_wrong_shape_are_explained():
    with pytest.raises(ValueError, match=r"anchors.*\(3, 2\)"):
        build_targets(NINE_OBJECTS, GRIDS, ANCHORS[0], STRIDES)
    with pytest.raises(ValueError, match=r"2 grids.*3 strides"):
        build_targets(NINE_OBJECTS, GRIDS[:2], ANCHORS, STRIDES)
    with pytest.raises(ValueError, match="anchor_t"):
        build_targets(NINE_OBJECTS, GRIDS, ANCHORS, STRIDES, anchor_t=1)


def test_a_detector_without_anchors_is_told_what_to_ask_for() -> None:
    with pytest.raises(ValueError, match=r"no anchors.*model\.criterion"):
        build_targets(torch.zeros(0, 6), [(8, 8)], None, [8])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no anchors.*model\.criterion"):
        ComputeLoss(None, [8], 2)  # type: ignore[arg-type]
