"""Decode and encode: inverse of each other, what a prediction can reach, and the recorded box loss."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.loss.test_targets import ANCHORS, NINE_OBJECTS, STRIDES
from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import (
    decode,
    decode_distribution,
    decode_matches,
    encode_distribution,
    encode_matches,
    prediction_cells,
)
from yolo_lite.loss.targets import build_targets

INSIDE = st.floats(-0.49, 1.49)  # of a centre, from the cell's corner
RATIO = st.floats(0.001, 3.99)  # of a side to the anchor's
ANCHOR = torch.tensor([[3.0, 2.0]], dtype=torch.float64)


@given(INSIDE, INSIDE, RATIO, RATIO)
def test_encode_is_the_inverse_of_decode(x: float, y: float, wide: float, high: float) -> None:
    box = torch.tensor([[x, y, 3 * wide, 2 * high]], dtype=torch.float64)
    raw = encode_matches(box, ANCHOR)
    assert raw.isfinite().all()
    torch.testing.assert_close(decode_matches(raw, ANCHOR), box, rtol=1e-9, atol=1e-9)


@given(st.lists(st.floats(-8, 8), min_size=4, max_size=4))
def test_decode_is_the_inverse_of_encode(numbers: list[float]) -> None:
    raw = torch.tensor([numbers], dtype=torch.float64)
    torch.testing.assert_close(encode_matches(decode_matches(raw, ANCHOR), ANCHOR), raw, rtol=1e-6, atol=1e-6)


def test_values_by_hand() -> None:
    s = 1 / (1 + np.exp(-0.5))
    box = decode_matches(torch.full((1, 4), 0.5), torch.tensor([[10.0, 20.0]]))[0]
    assert box.tolist() == pytest.approx([2 * s - 0.5, 2 * s - 0.5, 10 * (2 * s) ** 2, 20 * (2 * s) ** 2])
    assert encode_matches(box[None], torch.tensor([[10.0, 20.0]]))[0].tolist() == pytest.approx([0.5] * 4, abs=1e-5)


def test_the_borders_of_what_a_prediction_reaches() -> None:
    boxes = torch.tensor([[-0.5, 1.5, 12.0, 0.0], [-0.6, 1.6, 12.1, 1.0]])
    on_the_border, beyond = encode_matches(boxes, torch.tensor([[3.0, 2.0]]))
    assert on_the_border.tolist() == [-torch.inf, torch.inf, torch.inf, -torch.inf]
    assert beyond[:3].isnan().all()
    assert beyond[3].isfinite()


def test_every_match_can_be_reached() -> None:
    """A matched prediction reaches its object: why the neighbours end at half a cell, and anchor_t at 4."""
    for match in build_targets(NINE_OBJECTS, [(80, 80), (40, 40), (20, 20)], ANCHORS, STRIDES):
        raw = encode_matches(match.box, match.anchor_wh)
        assert raw.isfinite().all()
        assert bbox_iou(decode_matches(raw, match.anchor_wh), match.box).min() > 0.9999


def test_box_losses_of_the_recording(golden) -> None:
    recorded = np.load(golden / "loss_base.npz")
    hyp = json.loads(str(recorded["hyp"]))
    box_loss = 0.0
    for level in range(3):
        index = tuple(torch.from_numpy(recorded[f"{name}{level}"]) for name in ("image", "anchor", "row", "col"))
        matched = torch.from_numpy(recorded[f"p{level}"])[index]
        boxes = decode_matches(matched, torch.from_numpy(recorded[f"anchor_wh{level}"]))
        box_loss += (1 - bbox_iou(boxes, torch.from_numpy(recorded[f"box{level}"]))).mean().item()
    assert hyp["box"] * box_loss == pytest.approx(recorded["parts"][0].item(), rel=1e-5)


def test_matches_and_maps_are_decoded_alike() -> None:
    raw = torch.randn(2, 3, 4, 5, 7, generator=torch.Generator().manual_seed(0))
    boxes = decode([raw], ANCHORS[:1], [8])
    cells = prediction_cells([raw.shape[1:4]])
    _, anchor, row, col = cells.T
    for image in range(2):
        matched = decode_matches(raw[image, anchor, row, col], ANCHORS[0][anchor] / 8)
        matched[:, :2] += torch.stack((col, row), 1)
        torch.testing.assert_close(boxes[image, :, :4], 8 * matched)


def test_distances_as_distributions() -> None:
    """Two neighbouring bins at most, whose expectation is the distance: below the first and near the last it is cut."""
    distances = torch.tensor([-2.0, 0.0, 0.25, 3.0, 6.5, 6.99, 7.0, 20.0], dtype=torch.float64)
    distributions = encode_distribution(distances, 8)
    assert distributions.shape == (8, 8)
    assert (distributions >= 0).all()
    torch.testing.assert_close(distributions.sum(-1), torch.ones_like(distances))
    assert ((distributions > 0).sum(-1) <= 2).all()
    expected = distances.clamp(0, 6.99)
    torch.testing.assert_close(decode_distribution(distributions.log()), expected)
    assert decode_distribution(torch.zeros(3, 4, 16)).tolist() == [[7.5] * 4] * 3


def test_other_numbers_of_levels_are_named() -> None:
    with pytest.raises(ValueError, match=r"1 maps.*3.*2"):
        decode([torch.zeros(1, 3, 2, 2, 7)], ANCHORS, [8, 16])
    with pytest.raises(ValueError, match=r"3 anchors.*\(1, 2, 2, 2, 7\)"):
        decode([torch.zeros(1, 2, 2, 2, 7)], ANCHORS[:1], [8])
