"""Flips and random resized crop: markers found again in the pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.markers import find, labelled, picture
from yolo_lite.augment.geometry import CropDraw, FlipDraw, apply_crop, apply_flip, draw_crop, draw_flip
from yolo_lite.augment.objects import Objects
from yolo_lite.hyperparameters import Hyperparameters

BOXES = [(4, 5, 19, 28), (60, 30, 99, 41), (0, 70, 10, 80)]
flips = st.builds(FlipDraw, st.booleans(), st.booleans())


@given(flips, st.booleans())
@settings(max_examples=8, deadline=None)
def test_flips_move_markers_and_undo_themselves(drawn, outlined):
    image, objects = picture(80, 100, BOXES), labelled(BOXES, outlined=outlined)
    flipped, moved = apply_flip(image, objects, drawn)
    for number, box in enumerate(moved.boxes):
        assert find(flipped, number).tolist() == box.tolist()
        if outlined:
            assert [*moved.polygons[number].min(0), *moved.polygons[number].max(0)] == box.tolist()
    again, back = apply_flip(flipped, moved, drawn)
    assert (again == image).all()
    assert (back.boxes == objects.boxes).all()
    for polygon, original in zip(back.polygons, objects.polygons, strict=True):
        assert (polygon is None and original is None) or (polygon == original).all()


def test_flips_come_as_often_as_asked():
    hyp = Hyperparameters(fliplr=0.5, flipud=0.1)
    draws = [draw_flip(hyp, 640, np.random.default_rng(seed)) for seed in range(1000)]
    assert 0.45 < np.mean([draw.left_right for draw in draws]) < 0.55
    assert 0.07 < np.mean([draw.up_down for draw in draws]) < 0.13
    never, always = Hyperparameters(fliplr=0, flipud=0), Hyperparameters(fliplr=1, flipud=1)
    assert draw_flip(never, 640, np.random.default_rng(0)) == (False, False)
    assert draw_flip(always, 640, np.random.default_rng(0)) == (True, True)


windows = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.3, 1), st.floats(0.3, 1)).map(
    lambda t: CropDraw(t[0] * (1 - t[2]), t[1] * (1 - t[3]), t[2], t[3])
)


@given(windows, st.booleans())
@settings(max_examples=80, deadline=None)
def test_crops_move_markers(drawn, outlined):
    crop = apply_crop(picture(80, 100, BOXES), labelled(BOXES, outlined=outlined), drawn)
    assert crop.image.shape == (80, 100, 3)
    zoom = crop.matrix[[0, 1], [0, 1]].max()
    for number, box in enumerate(crop.after.boxes):
        found = find(crop.image, number)
        if found is None:
            assert (box[2:] - box[:2]).min() <= zoom  # less than a pixel of it in the window
        else:
            assert np.abs(found - box).max() <= 1 + zoom / 2  # enlarged edges are soft
    assert crop.objects.cls.tolist() == [i for i, kept in enumerate(crop.box_filter.kept) if kept]


def test_crop_drops_by_the_rule_of_the_warp():
    boxes = [(0, 0, 52, 40), (50, 50, 90, 79)]
    crop = apply_crop(picture(80, 100, boxes), labelled(boxes), CropDraw(left=0.5, width=0.5))
    assert crop.box_filter.reasons == ("3.8 % of its area left: must be over 10 %", "")
    assert crop.objects.boxes.tolist() == [[0, 50, 80, 79]]
    assert crop.after.boxes[0].tolist() == [0, 0, 4, 40]


def test_no_crop_is_the_image_itself():
    image, objects = picture(80, 100, BOXES), labelled(BOXES)
    crop = apply_crop(image, objects, CropDraw())
    assert crop.image is image
    assert (crop.objects.boxes == objects.boxes).all()


@pytest.mark.parametrize("size", [640, (384, 640), (32, 2000)])
def test_crop_windows_keep_their_ranges(size):
    height, width = (size, size) if isinstance(size, int) else size
    never, always = Hyperparameters(), Hyperparameters(random_resized_crop=1)
    assert draw_crop(never, size, np.random.default_rng(0)) == CropDraw()
    crops = 0
    for seed in range(200):
        window = draw_crop(always, size, np.random.default_rng(seed))
        assert window == draw_crop(always, size, np.random.default_rng(seed))
        assert window.left >= 0
        assert window.top >= 0
        assert window.left + window.width <= 1 + 1e-9
        assert window.top + window.height <= 1 + 1e-9
        if window != CropDraw():
            crops += 1
            assert 0.8 <= window.width * window.height <= 1
            assert 0.9 <= window.width * width / (window.height * height) <= 1.11
    assert crops > 190 if size == 640 else crops == 0  # no such window fits into a strip


@pytest.mark.parametrize("drawn", [CropDraw(0.999, 0.999, 0.0001, 0.0001), CropDraw(0, 0, 0, 0), CropDraw(1, 1, 1, 1)])
def test_a_window_has_a_pixel_at_least(drawn):
    crop = apply_crop(picture(3, 5), Objects.empty(), drawn)
    assert crop.image.shape == (3, 5, 3)
