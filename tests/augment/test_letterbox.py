"""Letterbox and resize on load: recorded sizes, and markers found again in the pixels."""

import json
from fractions import Fraction
from math import ceil

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.markers import find, labelled, picture
from yolo_lite.augment.letterbox import Geometry, letterbox, resize_longest, to_original
from yolo_lite.augment.objects import PADDING_VALUE


def test_recorded_letterboxes(golden):
    table = json.loads((golden / "facts.json").read_text())["letterbox"]
    assert len(table["rows"]) == 40
    for values in table["rows"]:
        row = dict(zip(table["columns"], values, strict=True))
        image = np.zeros((int(row["h"]), int(row["w"]), 3), np.uint8)
        boxed = letterbox(image, int(row["size"]), auto=bool(row["auto"]), scaleup=bool(row["scaleup"]))
        assert boxed.image.shape == (row["out_h"], row["out_w"], 3)
        assert boxed.ratio == pytest.approx(row["ratio"], abs=1e-9)
        assert boxed.pad == (row["pad_w"], row["pad_h"])


@settings(max_examples=80, deadline=None)
@given(
    sides=st.tuples(st.integers(24, 300), st.integers(24, 300)),
    size=st.one_of(st.integers(64, 320), st.tuples(st.integers(64, 320), st.integers(64, 320))),
    auto=st.booleans(),
    scaleup=st.booleans(),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_marker_is_where_the_geometry_says(sides, size, auto, scaleup, corner):
    height, width = sides
    left, top = round(corner[0] * (width - 12)), round(corner[1] * (height - 12))
    box = (left, top, left + 12, top + 12)
    boxed = letterbox(picture(height, width, [box]), size, auto=auto, scaleup=scaleup)

    found = find(boxed.image, 0, tolerance=70)  # half way to the gray around it
    if found is not None:  # a marker made smaller than a pixel may be gone
        expected = labelled([box]).scaled(boxed.ratio, boxed.ratio).moved(*boxed.pad).boxes[0]
        assert np.abs(found - expected).max() <= 1.6  # both edges snap to pixels, and the pad to whole ones
    geometry = Geometry((height, width), boxed.ratio, boxed.pad)
    network = labelled([box]).scaled(boxed.ratio, boxed.ratio).moved(*boxed.pad).boxes
    np.testing.assert_allclose(to_original(network, geometry), [box], atol=1e-2)


def test_found_marker_goes_back_to_within_a_pixel():
    box = (100, 60, 180, 200)
    boxed = letterbox(picture(333, 500, [box]), 640, auto=False)
    back = to_original(find(boxed.image, 0)[None], Geometry((333, 500), boxed.ratio, boxed.pad))
    assert np.abs(back - box).max() <= 1


def test_to_original_clips_and_takes_tensors():
    geometry = Geometry((100, 200), 0.5, (3.0, 10.5))
    boxes = np.array([[-5, 0, 900, 900], [13, 20.5, 23, 30.5]], np.float32)
    expected = [[0, 0, 200, 100], [20, 20, 40, 40]]
    assert to_original(boxes, geometry).tolist() == expected
    tensor = torch.from_numpy(boxes)
    assert torch.equal(to_original(tensor, geometry), torch.tensor(expected, dtype=torch.float32))
    assert boxes[0, 0] == -5
    assert to_original(np.zeros((0, 4)), geometry).shape == (0, 4)
    assert to_original(torch.zeros(0, 4), geometry).shape == (0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3000)])
@pytest.mark.parametrize("auto", [True, False])
def test_thin_and_tiny_images_keep_a_pixel(shape, auto):
    image = np.full((*shape, 3), 200, np.uint8)
    boxed = letterbox(image, 320, auto=auto)
    assert (boxed.image == 200).all(-1).any()
    assert boxed.image.shape[0] % 32 == boxed.image.shape[1] % 32 == 0
    resized, ratio = resize_longest(image, 320, augment=False)
    assert max(resized.shape[:2]) == 320
    assert min(resized.shape[:2]) >= 1
    assert ratio == 320 / max(shape)


def test_pad_is_gray_and_rectangles_are_filled():
    boxed = letterbox(np.zeros((100, 100, 3), np.uint8), (64, 128), auto=False)
    assert boxed.image.shape == (64, 128, 3)
    assert (boxed.image[:, :32] == PADDING_VALUE).all()
    assert (boxed.image[:, 32:96] == 0).all()
    assert letterbox(np.zeros((100, 100, 3), np.uint8), 70, stride=64).image.shape == (70, 70, 3)


def test_not_an_image():
    for function in (lambda image: letterbox(image, 64), lambda image: resize_longest(image, 64, False)):
        with pytest.raises(ValueError, match=r"\(10, 10\) uint8"):
            function(np.zeros((10, 10), np.uint8))


def test_longest_side_is_exact_and_the_other_rounded_up():
    assert ceil(147 * (640 / 147)) == 641  # what floats would do
    for size in (320, 640):
        for longest in (*range(1, 400, 7), 147):
            shorter = max(longest * 2 // 3, 1)
            shape = resize_longest(np.zeros((longest, shorter, 3), np.uint8), size, augment=True).image.shape
            assert shape == (size, ceil(Fraction(shorter * size, longest)), 3)


def test_resize_interpolates_by_purpose():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert resize_longest(image, 64, augment=True).image is image
    area, linear = resize_longest(image, 16, augment=False).image, resize_longest(image, 16, augment=True).image
    blocks = image.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(area - blocks).max() <= 1
    assert np.abs(linear - blocks).max() > 10
    larger = [resize_longest(image, 100, augment=augment).image for augment in (True, False)]
    assert (larger[0] == larger[1]).all()


@pytest.mark.parametrize(("number", "size", "auto"), [(0, 640, False), (1, 320, True), (2, 320, True)])
def test_recorded_pixels(shared, number, size, auto):
    recorded = np.load(shared / "golden" / "yolov5n_forward.npz")
    bgr = cv2.imread(str(shared / "data" / "coco8" / str(recorded[f"file{number}"])))
    boxed = letterbox(bgr[..., ::-1], size, auto=auto)
    expected = recorded[f"image{number}"][..., ::-1]
    assert boxed.image.shape == expected.shape
    assert np.abs(boxed.image.astype(int) - expected).max() <= 1  # OpenCV's builds round differently
    assert boxed.pad == tuple(recorded[f"pad{number}"])
