"""Drawings of ideas: that what is drawn lies where the numbers say."""

import numpy as np
import pytest
import torch

import yolo_lite as yl
from walkthrough import show_anchor_reach, show_convolution, show_decoding, show_prediction_cube
from walkthrough.scene import Boxes, Cells, Panel, Picture, Points, Scene


def of_kind(panel: Panel, kind: type) -> list:
    return [layer for layer in panel.layers if isinstance(layer, kind)]


def panel_of(scene: Scene, number: int = 0) -> Panel:
    return scene.rows[0][number]


def test_the_cube_of_the_chosen_anchor_alone_is_cut_open() -> None:
    level = torch.rand(2, 3, 8, 6, 9)
    scene = show_prediction_cube(level, (5, 1), anchor=1, image_index=1)
    first, opened, last = (layer.pixels for layer in of_kind(panel_of(scene), Picture)[1:])
    ground = first[0, 0]  # the upper left corner is free
    filled = [(pixels[-1] != ground).any(-1).sum() for pixels in (first, opened, last)]  # the lowest row of the front
    assert filled[0] == filled[2] == 3 * filled[1] > 0  # of six columns two are left


def test_the_bars_below_the_cubes_are_the_numbers_of_the_cell() -> None:
    level = torch.zeros(1, 1, 4, 4, 7)
    level[0, 0, 2, 3] = torch.tensor([0.0, 0, 0, 2, -4, 1, -1])
    bars = of_kind(panel_of(show_prediction_cube(level, (2, 3))), Boxes)
    box, objectness, classes = (layer for layer in bars if layer.fill)
    assert [len(layer.xyxy) for layer in (box, objectness, classes)] == [4, 1, 2]
    high = [y2 - y1 for _, y1, _, y2 in (*box.xyxy, *objectness.xyxy, *classes.xyxy)]
    assert np.allclose(np.array(high) / high[4], [0, 0, 0, 0.5, 1, 0.25, 0.25], atol=1e-3)
    assert objectness.xyxy[0][1] == box.xyxy[3][3]  # one hangs down from where the other stands: 0


@pytest.mark.parametrize("wrong", [{"cell": (8, 0)}, {"cell": (0, -1)}, {"anchor": 3}, {"image_index": 1}])
def test_a_place_that_is_not_there_is_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"there is no (row 8|column -1|anchor 3|image 1): choose 0 to"):
        show_prediction_cube(torch.zeros(1, 3, 8, 8, 85), **{"cell": (0, 0)} | wrong)


def test_the_decoded_box_is_that_of_the_model() -> None:
    model = yl.create_model("yolov5n", num_classes=2).eval()
    with torch.no_grad():
        maps = model(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    row, col, anchor, stride = 2, 4, 1, model.strides[1]
    decoded = model.decode(maps)[0]  # (n, 7)
    number = 3 * 8 * 12 + anchor * 4 * 6 + row * 6 + col  # of the predictions: all of stride 8, then those before it
    scene = show_decoding(maps[1][0, anchor, row, col], (row, col), model.anchors[1, anchor].tolist(), stride)
    near, far = scene.rows[0]
    (predicted,) = (layer.xyxy[0] for layer in of_kind(far, Boxes) if layer.colours == ("prediction",))
    assert np.allclose(predicted, yl.xywh_to_xyxy(decoded[number, :4]), atol=2e-3)
    assert of_kind(near, Cells)[0].cells == ((row, col),)
    centres = [layer.xy[0] for layer in of_kind(near, Points) if layer.colour == "prediction"]
    assert np.allclose(centres, decoded[number, :2], atol=2e-3)


def test_bad_numbers_for_a_box_are_named() -> None:
    with pytest.raises(ValueError, match="3 numbers, stride 0"):
        show_decoding(torch.zeros(3), (0, 0), (4, 4), 0)


def test_an_anchor_reaches_what_training_matches_to_it() -> None:
    anchors = torch.tensor([[[10.0, 10], [20, 20]], [[30, 90], [100, 100]]])
    wh, image = torch.tensor([[60.0, 90.0]]), torch.zeros(3, 128, 128)
    box = yl.xywh_to_xyxy(torch.tensor([[64.0, 64, 60, 90]]))
    verdicts = [line.rsplit(": ", 1)[1] for line in repr(show_anchor_reach(image, anchors, box)).splitlines()]
    worst = torch.maximum(wh / anchors.view(-1, 2), anchors.view(-1, 2) / wh).amax(1)
    assert verdicts == ["matched" if factor < 4 else "not matched" for factor in worst.tolist()]
    assert set(verdicts) == {"matched", "not matched"}
    twice = repr(show_anchor_reach(image, anchors, box, 2.0)).splitlines()
    assert twice[3] == "100 x 100: 50 to 200 wide, 50 to 200 high: matched"


def test_a_window_and_all_channels() -> None:
    weight, x = torch.randn(4, 3, 3, 3), torch.randn(3, 8, 6)
    scene = show_convolution(weight, x, (2, 5), channel=1)
    panel = panel_of(scene)
    pictures = [layer.pixels.shape[:2] for layer in of_kind(panel, Picture)[1:]]
    assert pictures == [(8, 6)] * 7 + [(3, 3)] * 3  # three inputs, four outputs, the weights of one output channel
    windows = [box.xyxy[0] for box in of_kind(panel, Boxes) if box.colours == ("#FFFFFF",)]
    assert [round((x2 - x1) / (96 / 8)) for x1, _, x2, _ in windows] == [3, 3, 3, 1, 1, 1, 1]
    assert panel.caption == "27 weights for each output channel, 108 in all"


def test_a_weight_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2, 3, 3\)"):
        show_convolution(torch.zeros(4, 2, 3, 3), torch.zeros(3, 8, 8), (0, 0))
