"""Detect and decode: numbers by hand, any number of levels, half precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.coding import decode
from yolo_lite.model.head import Detect


def test_decode_by_hand() -> None:
    raw = torch.full((1, 2, 3, 4, 7), 0.5)
    anchors = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    boxes = decode([raw], anchors, [8]).view(1, 2, 3, 4, 7)
    xy, wh, score = 0.744919, 1.549822, 0.622459  # 2 s - 0.5 and (2 s)^2 with s = sigmoid(0.5)
    expected = torch.tensor([(3 + xy) * 8, (2 + xy) * 8, 30 * wh, 40 * wh, score, score, score])
    assert torch.allclose(boxes[0, 1, 2, 3], expected, atol=1e-4)  # anchor 1, row 2, column 3


def test_rows_run_level_anchor_row_column() -> None:
    maps = [torch.zeros(1, 3, 2, 2, 6), torch.zeros(1, 3, 1, 1, 6)]
    anchors = torch.tensor([[[1.0, 1], [2, 2], [3, 3]], [[4, 4], [5, 5], [6, 6]]])
    boxes = decode(maps, anchors, torch.tensor([8, 16]))[0]
    assert boxes[:, 2].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [4, 5, 6]
    assert boxes[:4, :2].tolist() == [[4, 4], [12, 4], [4, 12], [12, 12]]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_number_of_levels_anchors_and_classes(data: st.DataObject) -> None:
    levels, anchors, classes = (data.draw(st.integers(low, 5)) for low in (1, 1, 0))
    sides = [(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))) for _ in range(levels)]
    strides = [2**level for level in range(1, levels + 1)]
    maps = [torch.randn(2, anchors, rows, cols, 5 + classes) * 5 for rows, cols in sides]
    sizes = torch.rand(levels, anchors, 2) * 100 + 1
    boxes = decode(maps, sizes, strides)
    assert boxes.shape == (2, anchors * sum(rows * cols for rows, cols in sides), 5 + classes)
    start = 0
    for (rows, cols), stride, size in zip(sides, strides, sizes, strict=True):
        part = boxes[:, start : start + anchors * rows * cols].view(2, anchors, rows, cols, -1)
        start += anchors * rows * cols
        place = part[..., :2] / stride - torch.stack(
            torch.meshgrid(torch.arange(cols), torch.arange(rows), indexing="xy"), -1
        )
        assert (place >= -0.5001).all()  # a centre leaves its cell by half a cell at most
        assert (place <= 1.5001).all()
        assert (part[..., 2:4] <= 4.001 * size[:, None, None]).all()
        assert (part[..., 4:] >= 0).all()
        assert (part[..., 4:] <= 1).all()


def test_half_precision_maps_give_full_precision_boxes() -> None:
    raw = torch.randn(1, 1, 80, 80, 6)
    anchors = torch.tensor([[[10.0, 13.0]]])
    exact = decode([raw.half().float()], anchors, [8])
    assert torch.equal(decode([raw.half()], anchors, [8]), exact)
    assert torch.equal(decode([raw.half()], anchors.half(), [8]), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(decode([raw.half().float()], anchors, [8]), exact)
    assert decode([raw.double()], anchors, [8]).dtype == torch.float64


def test_decode_carries_gradient() -> None:
    raw = torch.randn(1, 2, 3, 3, 6, requires_grad=True)
    decode([raw], torch.ones(1, 2, 2), [8]).sum().backward()
    assert (raw.grad != 0).all()


@pytest.mark.parametrize(
    ("maps", "anchors", "words"),
    [
        ([torch.zeros(1, 3, 2, 2, 6)], torch.ones(2, 3, 2), "1 maps, 2 levels"),
        ([torch.zeros(1, 2, 2, 2, 6)], torch.ones(1, 3, 2), "3 anchors.*not"),
        ([torch.zeros(1, 3, 2, 6)], torch.ones(1, 3, 2), "3 anchors.*not"),
    ],
)
def test_what_disagrees_is_named(maps: list[torch.Tensor], anchors: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode(maps, anchors, [8])


def test_raw_maps_are_the_convolution_rearranged() -> None:
    head = Detect(2, torch.ones(1, 3, 2), [8], [4])
    feature = torch.rand(2, 4, 5, 6)
    out = head.m[0](feature)  # (2, 21, 5, 6)
    raw = head([feature])[0]
    assert raw.shape == (2, 3, 5, 6, 7)
    assert raw[1, 2, 3, 4, 6] == out[1, 2 * 7 + 6, 3, 4]
