"""Objects and their outlines: clipping is checked against rasterised polygons."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.augment.objects import Objects, concatenate, height_width, require_image
from yolo_lite.augment.polygons import clip_polygon, cut_polygon, visible_extent

MARGIN = 100  # of the raster around the canvas
FINE = 4  # raster cells per pixel
INSIDE = slice(MARGIN * FINE, -MARGIN * FINE)
SQUARE = np.ones((3, 3), np.uint8)


@st.composite
def star_shapes(draw):
    """Simple polygons, mostly not convex, that may stick out of a canvas of 100 x 80 on any side."""
    count = draw(st.integers(3, 12))
    radii = np.array(draw(st.lists(st.integers(10, 90), min_size=count, max_size=count)), float)
    centre = np.array([draw(st.integers(0, 100)), draw(st.integers(0, 80))], float)
    angles = np.arange(count) * 2 * np.pi / count + draw(st.floats(0, 6))
    return centre + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), 1)


def raster(polygon, height=80, width=100):
    """The polygon's mask, drawn with room around the canvas. OpenCV's edges may be off by a cell."""
    mask = np.zeros(((height + 2 * MARGIN) * FINE, (width + 2 * MARGIN) * FINE), np.uint8)
    if len(polygon):
        cv2.fillPoly(mask, [np.round(((polygon + MARGIN) * FINE - 0.5) * 256).astype(np.int32)], 1, shift=8)
    return mask


def extent_of(mask):
    rows, cols = np.nonzero(mask)
    return np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]) / FINE if len(rows) else None


@settings(max_examples=100, deadline=None)
@given(star_shapes())
def test_clipped_polygon_covers_the_same_pixels(polygon):
    clipped = clip_polygon(polygon, 100, 80)
    assert len(clipped) == 0 or ((clipped >= 0).all() and (clipped <= (100, 80)).all())
    before, after = raster(polygon), raster(clipped)
    inner = slice(INSIDE.start + 2, INSIDE.stop - 2)  # lines along the border are drawn, though they enclose nothing
    assert not (after & ~cv2.dilate(before, SQUARE))[inner, inner].any()
    assert not (cv2.erode(before, SQUARE) & ~after)[inner, inner].any()


@settings(max_examples=100, deadline=None)
@given(star_shapes())
def test_visible_extent_is_that_of_the_pixels_inside(polygon):
    mask, extent = raster(polygon), visible_extent(polygon, 100, 80)
    inner = extent_of(cv2.erode(mask, SQUARE)[INSIDE, INSIDE])
    outer = extent_of(cv2.dilate(mask, SQUARE)[INSIDE, INSIDE])
    if inner is not None:
        assert (extent[:2] <= inner[:2] + 1 / FINE).all()
        assert (extent[2:] >= inner[2:] - 1 / FINE).all()
    if outer is None:
        assert extent.tolist() == [0, 0, 0, 0]
    elif extent.any():
        assert (extent[:2] >= outer[:2] - 1 / FINE).all()
        assert (extent[2:] <= outer[2:] + 1 / FINE).all()


def test_visible_extent_counts_covered_corners_and_parted_pieces():
    over_the_top = np.array([[-10.0, -10], [110, -10], [110, 30], [-10, 20]])
    np.testing.assert_allclose(visible_extent(over_the_top, 100, 80), [0, 0, 100, 110 / 12 + 20], atol=0.1)
    everything = np.array([[-10.0, -10], [110, -10], [110, 90], [-10, 90]])
    assert visible_extent(everything, 100, 80).tolist() == [0, 0, 100, 80]
    # A bracket around the upper left corner, outside, with one arm inside: the lines that join it do not count
    bracket = np.array([[-20.0, -20], [50, -20], [50, -10], [-10, -10], [-10, 40], [30, 40], [30, 50], [-20, 50]])
    assert visible_extent(bracket, 100, 80).tolist() == [0, 40, 30, 50]


def test_nothing_inside():
    outside = np.array([[200.0, 0], [210, 0], [205, 9]])
    assert clip_polygon(outside, 100, 80).shape == (0, 2)
    assert visible_extent(outside, 100, 80).tolist() == [0, 0, 0, 0]
    assert visible_extent(np.zeros((0, 2)), 100, 80).tolist() == [0, 0, 0, 0]


def test_cut_adds_points_on_the_line_only():
    square = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])
    cut = cut_polygon(square, square[:, 1] - 3)
    assert cut.points[cut.signed == 0].tolist() == [[4, 3], [0, 3]]
    assert len(cut_polygon(square, square[:, 1] + 1).points) == 4


def test_build_checks_and_converts():
    objects = Objects.build([1, 2], [[0, 0, 1, 1], [2, 2, 4, 4]], [None, [[2, 2], [4, 2], [4, 4]]])
    assert objects.cls.dtype == np.int64
    assert objects.boxes.dtype == np.float32
    assert objects.polygons[1].dtype == np.float32
    assert objects.num_objects == 2
    assert not objects.all_outlined
    assert not Objects.empty().all_outlined
    with pytest.raises(ValueError, match=r"\b2 classes.*\b1 box"):
        Objects.build([1, 2], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match=r"\(n, 4\).*\(1, 3\)"):
        Objects.build([1], [[0, 0, 1]])


def test_select_takes_masks_and_indices():
    objects = Objects.build([5, 6, 7], np.arange(12).reshape(3, 4), [None, np.ones((3, 2)), None])
    assert objects.select(np.array([True, False, True])).cls.tolist() == [5, 7]
    picked = objects.select(np.array([2, 1]))
    assert picked.cls.tolist() == [7, 6]
    assert picked.polygons[0] is None
    assert picked.polygons[1].shape == (3, 2)
    assert objects.select(np.zeros(3, bool)).boxes.shape == (0, 4)
    assert objects.select(np.array([], int)).num_objects == 0
    assert objects.select([]).num_objects == 0


def test_moves_scales_mirrors_and_joins_outlines_with_boxes():
    objects = Objects.build([0], [[1, 2, 5, 4]], [[[1, 2], [5, 2], [5, 4]]])
    for changed in (objects.moved(3, -1), objects.scaled(2, 0.5), objects.mirrored(10, 6), objects.mirrored(height=9)):
        outline = changed.polygons[0]
        assert changed.boxes[0].tolist() == [*outline.min(0), *outline.max(0)]
    assert objects.mirrored(10).boxes.tolist() == [[5, 2, 9, 4]]
    assert objects.boxes.tolist() == [[1, 2, 5, 4]]  # as it was
    both = concatenate((objects, Objects.empty(), objects.moved(1, 1)))
    assert both.boxes.tolist() == [[1, 2, 5, 4], [2, 3, 6, 5]]
    assert len(both.polygons) == 2
    assert concatenate([]).num_objects == 0


def test_has_area_after_clipping():
    # The last one's box reaches into the canvas; its outline, the lower right half of that box, does not
    objects = Objects.build(
        [0, 1, 2, 3],
        [[-5, 0, 5, 5], [-5, 0, 0, 5], [2, 2, 2, 9], [10, 10, 40, 40]],
        [None, None, None, np.array([[40, 10], [40, 40], [10, 40]])],
    )
    assert objects.clipped(20, 20).has_area.tolist() == [True, False, False, False]
    assert Objects.empty().clipped(20, 20).has_area.shape == (0,)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\) uint8.*np\.repeat"),
        (np.zeros((3, 40, 40), np.uint8), r"\(3, 40, 40\) uint8"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        ([[1, 2]], "list"),
        (None, "NoneType"),
    ],
)
def test_what_is_not_an_image_is_named(image, says):
    with pytest.raises(ValueError, match=says):
        require_image(image)


@pytest.mark.parametrize("size", [0, -3, 2.5, (1, 2, 3), (640, 0), "640"])
def test_what_is_not_a_size_is_named(size):
    with pytest.raises(ValueError, match=f"{re.escape(repr(size))}$"):
        height_width(size)
    assert height_width(np.int64(32)) == (32, 32)
