"""The warp: recorded survivors, its matrices, and markers found again in the warped pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.markers import COLOURS, find, labelled, picture, rectangle
from yolo_lite.augment.box_filter import box_candidates
from yolo_lite.augment.objects import PADDING_VALUE, Objects
from yolo_lite.augment.warp import (
    WarpDraw,
    apply_warp,
    draw_warp,
    map_points,
    source_window,
    warp_image,
    warp_matrices,
)
from yolo_lite.hyperparameters import Hyperparameters

BOXES = [(40, 50, 90, 80), (110, 30, 150, 110), (20, 120, 60, 150)]

warps = st.builds(
    WarpDraw,
    angle=st.floats(-180, 180),
    scale=st.floats(0.4, 1.6),
    shear=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    translate=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
    perspective=st.tuples(st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3)),
)


@settings(max_examples=60, deadline=None)
@given(warps, st.booleans(), st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**16))
def test_the_warp_is_opencvs_and_reads_its_window_alone(drawn, flat, height, width, seed):
    drawn = drawn._replace(perspective=(0.0, 0.0)) if flat else drawn
    image = np.random.default_rng(seed).integers(0, 256, (70, 80, 3)).astype(np.uint8)
    matrix = warp_matrices(drawn, (70, 80), (height, width)).combined
    flat = matrix[2].tolist() == [0, 0, 1]  # as also without a perspective that was drawn: OpenCV 4 rounds otherwise
    gray, size = (PADDING_VALUE,) * 3, (width, height)
    if flat:
        three = cv2.warpAffine(image, matrix[:2], size, borderValue=gray)
    else:
        three = cv2.warpPerspective(image, matrix, size, borderValue=gray)
    assert (warp_image(image, matrix, (height, width)) == three).all()

    left, top, right, bottom = source_window(matrix, (70, 80), (height, width))
    assert 0 <= left < right <= 80
    assert 0 <= top < bottom <= 70
    rgba = np.full((70, 80, 4), 255, np.uint8)
    rgba[top:bottom, left:right, :3] = image[top:bottom, left:right]
    assert (warp_image(rgba[..., :3], matrix, (height, width)) == three).all()  # the view of four channels


def test_a_warp_that_zooms_out_reads_all_and_one_that_zooms_in_little():
    zooms = [warp_matrices(WarpDraw(scale=zoom), (100, 100), (50, 50)).combined for zoom in (0.4, 2.0, 0.0)]
    assert source_window(zooms[0], (100, 100), (50, 50)) == (0, 0, 100, 100)
    assert source_window(zooms[1], (100, 100), (50, 50)) == (35, 35, 64, 64)
    assert source_window(zooms[2], (100, 100), (50, 50)) == (0, 0, 100, 100)  # no inverse


def test_recorded_candidates(golden):
    recorded = np.load(golden / "box_candidates.npz")
    before, after = recorded["before"].T, recorded["after"].T
    assert (box_candidates(before, after).kept == recorded["keep"]).all()
    assert (box_candidates(before, after, 0.01).kept == recorded["keep_segments"]).all()
    assert 0 < recorded["keep"].sum() < len(before)


def test_reasons_give_the_numbers():
    before = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 100, 100], [0, 0, 300, 3], [0, 0, 9, 9], [0, 0, 50, 50]])
    after = np.array(
        [[0, 0, 1.4, 10], [0, 0, 10, 1.98], [0, 0, 27, 26], [0, 0, 300, 2.5], [9, 0, 9, 5], [0, 0, 50, 50]]
    )
    box_filter = box_candidates(before, after)
    assert box_filter.reasons == (
        "1.4 px wide: must be over 2",
        "1.9 px tall: must be over 2",
        "7 % of its area left: must be over 10 %",
        "aspect 120: must be under 100",
        "outside the image: nothing of it left",
        "",
    )
    assert box_filter.kept.tolist() == [False] * 5 + [True]
    assert box_candidates(np.zeros((0, 4)), np.zeros((0, 4))).reasons == ()
    assert "must be over 1 %" in box_candidates(before[2:3], np.array([[0, 0, 9, 9]]), 0.01).reasons[0]


def warp_numbers(drawn, outlined):
    """Warps BOXES drawn and labelled in pixel numbers (a pixel's number is its middle, half a pixel from its edge).

    One matrix moves labels and pixel numbers, as in the reference. Labels are edges, so on screen they and their
    objects may part by a pixel when a warp turns the image; with numbers on both sides nothing hides in that pixel.
    """
    objects = labelled(BOXES, outlined=outlined).moved(-0.5, -0.5)
    return apply_warp(picture(180, 200, BOXES), objects, drawn)


def find_numbers(image, number):
    found = find(image, number, tolerance=70)  # half way to the gray around it
    return None if found is None else found - 0.5


@settings(max_examples=80, deadline=None)
@given(warps, st.booleans())
def test_boxes_contain_their_markers(drawn, outlined):
    warped = warp_numbers(drawn, outlined)
    for number, box in enumerate(warped.after.boxes):
        found = find_numbers(warped.image[2:-2, 2:-2], number)  # the rim itself lies half in the view, in numbers
        if found is not None:
            assert (found[:2] + 2 >= box[:2] - 1).all()
            assert (found[2:] + 2 <= box[2:] + 1).all()


@settings(max_examples=80, deadline=None)
@given(warps)
def test_outlines_follow_their_markers(drawn):
    warped, square = warp_numbers(drawn, outlined=True), np.ones((5, 5), np.uint8)
    for number, outline in enumerate(warped.after.polygons):
        visible = np.zeros(warped.image.shape[:2], np.uint8)
        if len(outline):
            cv2.fillPoly(visible, [np.round(outline).astype(np.int32)], 1)
        coloured = (np.abs(warped.image.astype(int) - COLOURS[number]).max(-1) <= 80).astype(np.uint8)
        inner = slice(2, -2)  # at the rim, outlines are filled a pixel wide
        assert not (coloured & ~cv2.dilate(visible, square))[inner, inner].any()
        assert not (cv2.erode(visible, square, borderValue=1) & ~coloured)[inner, inner].any()


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.5, 1.6),
    translate=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    turns=st.integers(0, 3),
    outlined=st.booleans(),
)
def test_boxes_hug_upright_markers(scale, translate, turns, outlined):
    warped = warp_numbers(WarpDraw(angle=90.0 * turns, scale=scale, translate=translate), outlined)
    for number, box in enumerate(warped.after.boxes):
        found = find_numbers(warped.image, number)
        if found is not None and (found[2:] - found[:2]).min() >= 3:  # what is thinner is soft edges only
            assert np.abs(found - box).max() <= 1


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.5, 1.5), translate=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)))
def test_labels_as_they_come_lie_on_their_objects(scale, translate):
    warped = apply_warp(picture(180, 200, BOXES), labelled(BOXES), WarpDraw(scale=scale, translate=translate))
    for number, box in enumerate(warped.after.boxes):
        found = find(warped.image, number, tolerance=80)
        if found is not None:
            assert np.abs(found - box).max() <= 1.3  # a quarter for the numbers, the rest for the rounding


@settings(max_examples=60, deadline=None)
@given(warps, st.lists(st.tuples(st.floats(0, 200), st.floats(0, 180)), min_size=1, max_size=8))
def test_there_and_back(drawn, points):
    points = np.array(points)
    matrix = warp_matrices(drawn, (180, 200), (160, 160)).combined
    np.testing.assert_allclose(map_points(map_points(points, matrix), np.linalg.inv(matrix)), points, atol=1e-5)


def test_matrices_are_five_steps_in_order():
    drawn = WarpDraw(angle=30, scale=1.2, shear=(10, -5), translate=(0.4, 0.7), perspective=(1e-4, 2e-4))
    steps = warp_matrices(drawn, canvas=(200, 300), size=(100, 120))
    translation, shear, rotation, perspective, centre = steps
    np.testing.assert_allclose(steps.combined, translation @ shear @ rotation @ perspective @ centre)
    assert not np.allclose(steps.combined, translation @ rotation @ shear @ perspective @ centre)
    np.testing.assert_allclose(map_points(np.array([150, 100]), steps.combined), [0.4 * 120, 0.7 * 100])
    assert np.linalg.det(rotation[:2, :2]) == pytest.approx(1.2**2)
    np.testing.assert_allclose(rotation[:2, :2] @ (1, 0), 1.2 * np.array([np.cos(np.pi / 6), -0.5]))  # up is -y
    assert shear[0, 1] == pytest.approx(np.tan(np.pi / 18))
    assert perspective[2].tolist() == [1e-4, 2e-4, 1]


def test_canvas_of_a_mosaic_shows_its_middle():
    boxes = [(90, 100, 150, 130), (10, 10, 40, 40)]
    warped = apply_warp(picture(200, 200, boxes), labelled(boxes), WarpDraw(), size=100)
    assert warped.image.shape == (100, 100, 3)
    assert warped.objects.boxes.tolist() == [[40, 50, 100, 80]]
    assert find(warped.image, 0).tolist() == [40, 50, 100, 80]
    assert find(warped.image, 1) is None
    assert warped.box_filter.reasons == ("", "outside the image: nothing of it left")
    assert (warped.before.boxes == np.array(boxes)).all()
    assert warped.after.num_objects == 2


def test_doing_nothing_returns_the_image_itself():
    image, objects = picture(60, 80, [(10, 10, 30, 30)]), labelled([(10, 10, 30, 30)])
    warped = apply_warp(image, objects, WarpDraw())
    assert warped.image is image
    assert warped.objects.boxes.tolist() == objects.boxes.tolist()
    assert (apply_warp(image, objects, WarpDraw(translate=(0.75, 0.5))).image[:, :20] == PADDING_VALUE).all()


def test_one_object_without_outline_means_boxes_for_all():
    slanted = np.array([(40, 50), (90, 80), (89, 80), (40, 51)], np.float32)
    drawn, image = WarpDraw(angle=45), picture(180, 200)
    boxes = BOXES[:2]
    outlined = apply_warp(image, Objects.build([0, 1], boxes, [slanted, rectangle(boxes[1])]), drawn).after
    mixed = apply_warp(image, Objects.build([0, 1], boxes, [slanted, None]), drawn).after
    boxed = apply_warp(image, Objects.build([0, 1], boxes), drawn).after
    assert (mixed.boxes == boxed.boxes).all()
    assert np.ptp(outlined.boxes[0, 1::2]) < np.ptp(boxed.boxes[0, 1::2]) - 5
    assert mixed.polygons[1] is None
    np.testing.assert_allclose(mixed.polygons[0], outlined.polygons[0])  # kept for what comes later


def test_outlines_may_lose_more_area():
    box = (0, 0, 100, 100)
    drawn = WarpDraw(translate=(-0.45, 0.5))  # 5 % of it stays in view
    image = picture(100, 100, [box])
    boxed, outlined = (apply_warp(image, labelled([box], outlined=o), drawn) for o in (False, True))
    assert boxed.box_filter.reasons == ("5 % of its area left: must be over 10 %",)
    assert outlined.box_filter.kept.tolist() == [True]


def test_a_polygon_larger_than_the_view_keeps_all_of_it():
    box = (0, 0, 200, 200)
    warped = apply_warp(
        picture(200, 200, [box]), labelled([box], outlined=True), WarpDraw(angle=20, scale=1.8), size=100
    )
    assert find(warped.image, 0).tolist() == [0, 0, 100, 100]
    assert warped.objects.boxes.tolist() == [[0, 0, 100, 100]]


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_behind_the_viewer_is_cut_off(outlined):
    boxes = [(0, 0, 400, 300), (0, 0, 30, 30), (370, 270, 400, 300)]
    drawn = WarpDraw(perspective=(0.006, 0.004))
    warped = apply_warp(picture(300, 400, boxes), labelled(boxes, outlined=outlined), drawn)
    assert np.isfinite(warped.after.boxes).all()
    assert (warped.after.boxes >= 0).all()
    assert (warped.after.boxes <= (400, 300, 400, 300)).all()
    assert warped.box_filter.kept[2]
    assert not warped.box_filter.kept[1]
    across = [(0, 100, 60, 200)]  # reaches from behind the horizon, x = 33, to far left of the view
    tilted = apply_warp(picture(300, 400), labelled(across, outlined=outlined), WarpDraw(perspective=(0.006, 0)))
    assert tilted.box_filter.reasons == ("outside the image: nothing of it left",)


def test_draws_stay_in_their_ranges_and_repeat():
    hyp = Hyperparameters(degrees=30, scale=0.4, shear=8, translate=0.2, perspective=0.001)
    draws = [draw_warp(hyp, 640, np.random.default_rng(seed)) for seed in range(300)]
    assert draws == [draw_warp(hyp, 640, np.random.default_rng(seed)) for seed in range(300)]

    def spread(values, low, high):
        share = (np.array(values) - low) / (high - low)
        assert share.min() >= 0
        assert share.max() <= 1
        assert share.min() < 0.05
        assert share.max() > 0.95

    spread([draw.angle for draw in draws], -30, 30)
    spread([draw.scale for draw in draws], 0.6, 1.4)
    for axis in (0, 1):
        spread([draw.shear[axis] for draw in draws], -8, 8)
        spread([draw.translate[axis] for draw in draws], 0.3, 0.7)
        spread([draw.perspective[axis] for draw in draws], -0.001, 0.001)


def test_one_setting_leaves_the_other_draws_alone():
    plain, turned = (
        draw_warp(hyp, 64, np.random.default_rng(3)) for hyp in (Hyperparameters(), Hyperparameters(degrees=10))
    )
    assert plain == turned._replace(angle=0.0)
    still = Hyperparameters(degrees=0, scale=0, shear=0, translate=0, perspective=0)
    assert draw_warp(still, 64, np.random.default_rng(3)) == WarpDraw()


def test_scale_above_one_is_named():
    with pytest.raises(ValueError, match=r"scale.*\b1\.5\b"):
        draw_warp(Hyperparameters(scale=1.5), 640, np.random.default_rng(0))


def test_shrinking_alone_loses_no_area():
    box = (20, 20, 120, 120)
    image, drawn = picture(200, 200, [box]), WarpDraw(scale=0.2)  # 4 % of the pixels, all of the object
    assert apply_warp(image, labelled([box]), drawn).box_filter.kept.tolist() == [True]
    shifted = apply_warp(image, labelled([box]), drawn._replace(translate=(-0.0118, 0.5)))
    assert shifted.box_filter.reasons == ("1.6 px wide: must be over 2; 8.2 % of its area left: must be over 10 %",)
