"""A scene is written in the format that the ending says, photographs pixel for pixel."""

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from walkthrough import IouPlayground, Scene, row, show_feature_maps, show_image, show_series, show_table

STARTS = {
    ".png": b"\x89PNG",
    ".jpg": b"\xff\xd8\xff",
    ".jpeg": b"\xff\xd8\xff",
    ".webp": b"RIFF",
    ".svg": b"<?xml",
    ".pdf": b"%PDF",
    ".html": b"<!doctype html>",
}


def photograph(height: int = 130, width: int = 210) -> np.ndarray:
    """Of far more colours than a palette has."""
    rows, cols = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, cols * 255 // width, (rows * 3 + cols * 5) % 256], -1).astype(np.uint8)


def everything() -> Scene:
    table = show_table(["a < b", "</script>"], [["x", "1"]])
    return row(show_image(photograph(), [[20, 30, 90, 100]], ["cat"]), show_series({"loss": [3, 2, 1]}), table)


@pytest.mark.parametrize("ending", list(STARTS))
def test_the_ending_says_the_format(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"scene{ending.upper()}"
    everything().save(path)
    data = path.read_bytes()
    assert data.startswith(STARTS[ending])
    if ending in (".png", ".jpg", ".webp"):
        assert Image.open(io.BytesIO(data)).mode == "RGB"
    everything().save(str(path))
    assert path.read_bytes() == data  # the same each time


def where(picture: np.ndarray, part: np.ndarray) -> list[tuple[int, int]]:
    """The places at which a picture holds another one, pixel for pixel."""
    (height, width), (h, w) = picture.shape[:2], part.shape[:2]
    places = [(y, x) for y in range(min(height - h, 24) + 1) for x in range(min(width - w, 24) + 1)]
    return [(y, x) for y, x in places if np.array_equal(picture[y : y + h, x : x + w], part)]


@pytest.mark.parametrize(
    ("size", "times", "ending"),
    [((480, 640), 1, ".png"), ((416, 416), 1, ".png"), ((450, 700), 1, ".webp"), ((65, 105), 5, ".png")],
)
def test_a_photograph_is_in_the_file_pixel_for_pixel(
    size: tuple[int, int], times: int, ending: str, tmp_path: Path
) -> None:
    pixels, path = photograph(*size), tmp_path / f"photograph{ending}"
    show_image(pixels).save(path)
    picture = np.asarray(Image.open(path))
    assert where(picture, pixels.repeat(times, 0).repeat(times, 1))  # a small one each pixel as a square


def test_a_jpeg_is_close_and_on_white_where_the_page_shines_through(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(photograph(450, 700), (0, 0), 3)
    show_image(smooth).save(tmp_path / "a.jpg", theme="any")
    picture = np.asarray(Image.open(tmp_path / "a.jpg")).astype(int)
    assert picture[0, 0].min() > 250
    height, width = smooth.shape[:2]
    errors = [np.abs(picture[y : y + height, x : x + width] - smooth).mean() for y in range(9) for x in range(9)]
    assert min(errors) < 3


def test_vector_graphics_hold_lines_and_the_pixels_of_photographs(tmp_path: Path) -> None:
    everything().save(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<path") > 20
    images = re.findall(r"<image [^>]*>", text.replace("\n", " "))
    assert len(images) == 1
    show_feature_maps(np.random.default_rng(0).random((1, 2, 5, 7))).save(tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").stat().st_size > 1000


def test_a_page_holds_all_that_it_needs(tmp_path: Path) -> None:
    everything().save(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", text.split("<script type", 1)[0])
    traits, files = (
        json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
        for name in ("traits", "files")
    )
    assert [panel["kind"] for panel in traits["scene"]["rows"][0]] == ["Panel", "Chart", "Table"]
    assert set(files) == {"picture0", "plotly"}
    show_image(photograph()).save(tmp_path / "b.html")
    assert "plotly" not in json.loads(
        re.search(r'id="files">(.*?)</script>', (tmp_path / "b.html").read_text())[1]  # type: ignore[index]
    )


def test_what_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    for name in ("scene.bmp", "scene"):
        with pytest.raises(ValueError, match=rf"{name}.*\.png, .*\.svg, \.pdf, \.html"):
            everything().save(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="absent"):
        everything().save(tmp_path / "absent" / "scene.png")
    assert list(tmp_path.iterdir()) == []


def test_an_explorer_is_saved_in_the_format_of_the_ending(tmp_path: Path) -> None:
    IouPlayground().save(tmp_path / "iou.svg")
    assert (tmp_path / "iou.svg").read_bytes().startswith(b"<?xml")


def test_the_picture_in_a_notebook_stays_small() -> None:
    assert Image.open(io.BytesIO(show_image(photograph()).png())).mode == "P"
