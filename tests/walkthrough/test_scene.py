"""Scenes are plain data: words without surprises, JSON and back, put together side by side."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from walkthrough import column, row, show_bars, show_image, show_series, show_table
from walkthrough.charts import numbers
from walkthrough.images import to_rgb
from walkthrough.scene import Arrows, Boxes, Cells, Grid, Key, Line, Panel, Picture, Points, Scene, Text
from walkthrough.serialise import from_json, to_json

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def everything() -> Scene:
    layers = (
        Picture(PIXELS),
        Boxes([[0, 0, 3, 3]], ("cat",), (0.5,), (3,)),
        Cells([[0, 1]], 2, "neighbour", "/"),
        Grid(2, 6, 4),
        Line([[0, 0], [1, 1]]),
        Points([[2, 2]]),
        Arrows([[0, 0, 2, 2]]),
        Text(1, 1, "word"),
    )
    panel = Panel(layers, 6, 4, "all layers", "caption")
    charts = column(show_series({"a": [1, math.nan, 3]}), show_bars({"b": 2}), show_table(["c"], [["d"]]))
    return row(Scene(((panel,),), (Key("object", "object", dash="solid"),)), charts)


def test_json_there_and_back() -> None:
    scene = everything()
    back = from_json(json.loads(json.dumps(to_json(scene), allow_nan=False)))
    assert to_json(back) == to_json(scene)  # not scene == back: nan is not equal to itself
    assert back.rows[0][0] == scene.rows[0][0]
    assert np.array_equal(back.rows[0][0].layers[0].pixels, PIXELS)


def test_json_of_something_else_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="kind 'Elephant'"):
        from_json({"kind": "Elephant"})


def test_words_hold_names_and_mark_the_values_that_differ_between_machines() -> None:
    image = show_image(PIXELS, np.array([[0, 0, 3, 3, 0.912345, 1]]), names=["cat", "dog"])
    assert repr(image) == "picture 6 x 4, 1 box: dog"
    assert repr(show_bars({"box": 0.107249})) == "chart with bars box ≈ 0.107"
    assert "0x" not in repr(everything())


def test_bundle_has_words_and_a_png_of_a_stated_size() -> None:
    data, metadata = everything()._repr_mimebundle_()
    assert data["text/plain"] == repr(everything())
    assert data["image/png"].startswith("iVBOR")
    assert set(metadata["image/png"]) == {"width", "height"}


def test_row_titles_go_over_the_first_panels() -> None:
    pair = row(show_image(PIXELS), show_bars({"a": 1}), titles=["left", "right"])
    assert [panel.title for panel in pair.rows[0]] == ["left", "right"]
    assert repr(pair) == "left: picture 6 x 4, brightness ≈ 14%, saturation ≈ 13%\nright: chart with bars a ≈ 1"
    with pytest.raises(ValueError, match="1 scenes, but 2 titles"):
        row(show_image(PIXELS), titles=["left", "right"])


def test_row_keeps_what_is_under_the_first_row_and_joins_the_legends() -> None:
    tall = column(everything(), everything())
    both = row(tall, tall)
    assert len(both.rows) == len(tall.rows)
    assert both.legend == (Key("object", "object", dash="solid"),)


def test_wrong_shapes_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"boxes must have the shape \(n, 4\), got \(1, 3\)"):
        Boxes([[1, 2, 3]])
    with pytest.raises(ValueError, match="3 boxes, but 2 labels"):
        Boxes(np.zeros((3, 4)), ("a", "b"))
    with pytest.raises(ValueError, match="series 'a' has 3 values, but there are 2 in x"):
        show_series({"a": [1, 2, 3]}, x=[1, 2])
    with pytest.raises(ValueError, match="row 0 has 1 values, but there are 2 columns"):
        show_table(["a", "b"], [["c"]])


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS.astype(np.float32) / 255,
        PIXELS.astype(np.float64),
        PIXELS.astype(np.int64),
        PIXELS.transpose(2, 0, 1),
        np.dstack((PIXELS, np.full((4, 6), 255, np.uint8))),
    ],
    ids=["uint8", "float in 0..1", "float in 0..255", "int64", "channels first", "with alpha"],
)
def test_every_form_of_an_image_gives_the_same_pixels(image: np.ndarray) -> None:
    assert np.array_equal(to_rgb(image), PIXELS)


def test_a_dark_integer_image_stays_dark() -> None:
    assert to_rgb(np.ones((5, 5), np.uint8)).max() == 1
    assert to_rgb(np.ones((5, 5), bool)).max() == 255


def test_images_that_are_none_are_refused_in_words(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 5\)"):
        to_rgb(np.zeros((2, 3, 4, 5)))
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        to_rgb(tmp_path / "absent.jpg")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(ValueError, match=r"text\.jpg: not an image"):
        to_rgb(tmp_path / "text.jpg")


def test_numbers_take_scalars_with_gradient() -> None:
    import torch

    assert numbers([torch.tensor(1.5, requires_grad=True), 2]) == (1.5, 2.0)
    assert numbers(torch.arange(3, dtype=torch.bfloat16)) == (0.0, 1.0, 2.0)


def test_upright_lines_are_said_drawn_and_kept_in_json() -> None:
    chart = show_series({"a": [1, 2, 3]}, x_label="step").rows[0][0]
    marked = replace(chart, upright=(1.5,))
    assert marked.describe() == chart.describe() + "; a line at step 1.5"
    assert from_json(to_json(marked)) == marked
    assert Scene(((marked,),)).png("light") != Scene(((chart,),)).png("light")


def test_a_line_that_is_named_as_its_chart_needs_no_legend() -> None:
    def drawn(name: str, title: str) -> bytes:
        return show_series({name: [1, 2, 3]}, title=title).png("light")

    assert drawn("rate", "rate") == drawn("", "rate")
    assert drawn("rate", "speed") != drawn("", "speed")
