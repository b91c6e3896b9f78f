"""Mosaic, mixup and copy-paste: markers found again in the pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.augment.markers import COLOURS, find, labelled, picture, rectangle
from yolo_lite.augment.mixing import (
    CopyPasteDraw,
    MixupDraw,
    MosaicDraw,
    apply_copy_paste,
    apply_mixup,
    apply_mosaic,
    draw_copy_paste,
    draw_mixup,
    draw_mosaic,
    is_seen,
    join_images,
)
from yolo_lite.augment.objects import PADDING_VALUE, Objects
from yolo_lite.hyperparameters import Hyperparameters

HYP = Hyperparameters()


@st.composite
def four_pictures(draw, size=64):
    """Four images with ``size`` as their longest side, one marker each, of four colours."""
    images, objects = [], []
    outlined = draw(st.booleans())
    for number in range(4):
        short = draw(st.integers(20, size))
        height, width = (size, short) if draw(st.booleans()) else (short, size)
        left, top = draw(st.integers(0, width - 4)), draw(st.integers(0, height - 4))
        box = (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))
        images.append(picture(height, width, [box], first=number))
        objects.append(labelled([box], first=number, outlined=outlined))
    return images, objects


@settings(max_examples=120, deadline=None)
@given(four_pictures(), st.integers(0, 2**32))
def test_every_label_of_a_mosaic_lies_on_its_marker(four, seed):
    images, objects = four
    drawn = draw_mosaic(HYP, 64, np.random.default_rng(seed), index=5, num_images=9)
    mosaic = apply_mosaic(images, objects, drawn, 64)
    assert mosaic.image.shape == (128, 128, 3)
    labels = dict(zip(mosaic.objects.cls.tolist(), range(4), strict=False))
    for number in range(4):
        found = find(mosaic.image, number, tolerance=0)
        assert (found is None) == (number not in labels)
        if found is not None:
            assert mosaic.objects.boxes[labels[number]].tolist() == found.tolist()
            outline = mosaic.objects.polygons[labels[number]]
            assert outline is None or [*outline.min(0), *outline.max(0)] == found.tolist()


@settings(max_examples=60, deadline=None)
@given(four_pictures(), st.integers(0, 2**32))
def test_placements_say_where_each_image_lies(four, seed):
    images, objects = four
    drawn = draw_mosaic(HYP, 64, np.random.default_rng(seed), index=0, num_images=3)
    mosaic = apply_mosaic(images, objects, drawn, 64)
    rest = np.ones((128, 128), bool)
    assert sorted(placement.image for placement in mosaic.placements) == [0, 1, 2, 3]
    for corner, (which, source, canvas) in enumerate(mosaic.placements):
        assert which == drawn.order[corner]
        part = images[which][source[1] : source[3], source[0] : source[2]]
        assert (mosaic.image[canvas[1] : canvas[3], canvas[0] : canvas[2]] == part).all()
        touches = canvas[0 if corner % 2 else 2], canvas[1 if corner >= 2 else 3]
        assert touches == drawn.centre
        rest[canvas[1] : canvas[3], canvas[0] : canvas[2]] = False
    assert (mosaic.image[rest] == PADDING_VALUE).all()


@settings(max_examples=60, deadline=None)
@given(four_pictures(), st.integers(0, 2**32), st.tuples(*[st.integers(0, 127)] * 4))
def test_a_window_of_a_mosaic_is_that_part_of_the_whole(four, seed, sides):
    images, objects = four
    (left, right), (top, bottom) = sorted(sides[:2]), sorted(sides[2:])
    window = left, top, right + 1, bottom + 1
    drawn = draw_mosaic(HYP, 64, np.random.default_rng(seed), index=0, num_images=9)
    seen = [is_seen(drawn, which, window) for which in range(4)]
    images = [image if s else np.full_like(image, 7) for image, s in zip(images, seen, strict=True)]
    whole = apply_mosaic(four[0], objects, drawn, 64)
    part = join_images(zip(images, objects, strict=True), drawn, (64, 64), window)
    assert part.image.shape == (128, 128, 3)
    assert (part.image[top : bottom + 1, left : right + 1] == whole.image[top : bottom + 1, left : right + 1]).all()
    assert part.placements == whole.placements
    assert (part.objects.boxes == whole.objects.boxes).all()


def test_mosaic_draws_cover_their_ranges():
    draws = [draw_mosaic(HYP, (100, 200), np.random.default_rng(seed), 2, 5) for seed in range(600)]
    assert draws == [draw_mosaic(HYP, (100, 200), np.random.default_rng(seed), 2, 5) for seed in range(600)]
    x, y = np.array([draw.centre for draw in draws]).T
    assert (100, 298) <= (x.min(), x.max()) <= (104, 299)
    assert (50, 148) <= (y.min(), y.max()) <= (52, 149)
    assert {partner for draw in draws for partner in draw.partners} == set(range(5))
    assert any(len(set(draw.partners)) < 3 for draw in draws)  # with replacement
    assert len({draw.order for draw in draws}) == 24
    assert draw_mosaic(HYP, 64, np.random.default_rng(0), 0, 1).partners == (0, 0, 0)
    with pytest.raises(ValueError, match=r"\b5\b.*\b5\b"):
        draw_mosaic(HYP, 64, np.random.default_rng(0), 5, 5)


def test_mosaic_of_a_rectangle_and_of_three():
    images, objects = [picture(20, 40)] * 4, [Objects.empty()] * 4
    drawn = MosaicDraw((40, 20), (0, 1, 2, 3), (0, 0, 0))
    mosaic = apply_mosaic(images, objects, drawn, (20, 40))
    assert mosaic.image.shape == (40, 80, 3)
    assert mosaic.objects.num_objects == 0
    with pytest.raises(ValueError, match=r"\b3 and 3\b"):
        apply_mosaic(images[:3], objects[:3], drawn, 64)


def test_mixup_shows_both_and_keeps_all_labels():
    box_a, box_b = (2, 2, 12, 12), (20, 8, 30, 28)
    image_a, image_b = picture(32, 40, [box_a]), picture(32, 40, [box_b], first=1)
    mixed = apply_mixup(image_a, labelled([box_a]), image_b, labelled([box_b], first=1), MixupDraw(0.25))
    assert mixed.objects.cls.tolist() == [0, 1]
    changed = (mixed.image != PADDING_VALUE).any(-1)
    for box in mixed.objects.boxes.astype(int):
        assert changed[box[1] : box[3], box[0] : box[2]].all()
        changed[box[1] : box[3], box[0] : box[2]] = False
    assert not changed.any()
    exact = image_a * 0.25 + image_b * 0.75
    assert np.abs(mixed.image - exact).max() <= 0.5
    with pytest.raises(ValueError, match=r"\(\d+, \d+\) and \(30, \d+\)"):
        apply_mixup(image_a, labelled([]), image_b[:30], labelled([]), MixupDraw(0.5))


def test_mixup_ratio_is_beta_32_32():
    ratios = [draw_mixup(HYP, 64, np.random.default_rng(seed)).ratio for seed in range(2000)]
    assert np.mean(ratios) == pytest.approx(0.5, abs=0.01)
    assert np.std(ratios) == pytest.approx(np.sqrt(1 / (4 * 65)), rel=0.05)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60), st.integers(3, 40), st.integers(3, 20)), max_size=5),
    st.integers(0, 2**32),
    st.floats(0, 1),
)
def test_pasted_markers_lie_in_their_boxes(rectangles, seed, share):
    boxes = [(x, y, min(x + w, 120), min(y + h, 80)) for x, y, w, h in rectangles]
    image, objects = picture(80, 120, boxes), labelled(boxes, outlined=True)
    drawn = draw_copy_paste(HYP.replace(copy_paste=share), 64, np.random.default_rng(seed), len(boxes))
    pasted_image, after = apply_copy_paste(image, objects, drawn)

    count = after.num_objects - len(boxes)
    assert count <= round(share * len(boxes))
    pasted_once = np.zeros((80, 120), int)
    for i in range(len(boxes), after.num_objects):
        left, top, right, bottom = after.boxes[i].astype(int)
        mirrored = image[top:bottom, 120 - right : 120 - left][:, ::-1]
        pasted_once[top:bottom, left:right] += 1
        alone = pasted_once[top:bottom, left:right] == 1
        later = after.boxes[i + 1 :]
        if all((box[2:] <= (left, top)).any() or (box[:2] >= (right, bottom)).any() for box in later):
            assert (pasted_image[top:bottom, left:right] == mirrored)[alone].all()
        for box in after.boxes[:i]:  # 30 % of every box that was there before it
            overlap = np.clip(np.minimum(box[2:], (right, bottom)) - np.maximum(box[:2], (left, top)), 0, None).prod()
            assert overlap < 0.3 * (box[2:] - box[:2]).prod()
    assert (pasted_image == image)[pasted_once == 0].all()
    assert (after.boxes[: len(boxes)] == objects.boxes).all()


def test_copy_paste_takes_the_pixels_inside_the_outline_only():
    triangle = np.array([(10, 10), (50, 10), (10, 50)], np.float32)
    image = picture(60, 120)
    rows, cols = np.indices((60, 120))
    image[(cols >= 10) & (rows >= 10) & (cols + rows <= 59)] = COLOURS[0]  # pixels whose middle is inside
    image[:, 60:] = COLOURS[2]  # where it lands, every pixel taken from around it would show
    objects = Objects.build([7], [[10, 10, 50, 50]], [triangle])
    pasted, after = apply_copy_paste(image, objects, CopyPasteDraw((0,), 1.0))
    assert after.cls.tolist() == [7, 7]
    assert after.boxes[1].tolist() == [70, 10, 110, 50]
    marker = (image[:, ::-1] == COLOURS[0]).all(-1)
    expected = np.where(marker[..., None], COLOURS[0], image)
    assert (pasted == expected).all()


def test_copy_paste_tries_the_first_of_the_order():
    boxes = [(0, 0, 9, 9), (0, 20, 9, 29), (0, 40, 9, 49), (0, 60, 9, 69)]
    image = picture(80, 60, boxes)
    polygons = [rectangle(boxes[0]), None, rectangle(boxes[2]), rectangle(boxes[3])]
    objects = Objects.build([0, 1, 2, 3], boxes, polygons)
    _, after = apply_copy_paste(image, objects, CopyPasteDraw((6, 1, 3, 4, 0, 2, 5), 0.6))  # round(.6 * 3) = 2
    assert after.cls.tolist() == [0, 1, 2, 3, 3, 0]
    same = apply_copy_paste(image, objects, CopyPasteDraw((0, 1, 2, 3), 0.0))
    assert same.image is image
    with pytest.raises(ValueError, match=r"\b2 objects.*\b4\b"):
        apply_copy_paste(image, objects, CopyPasteDraw((0, 1), 0.5))


def test_copy_paste_leaves_out_what_would_hide_a_box():
    in_the_middle, small = (20, 10, 40, 30), (2, 60, 12, 70)
    under = (45, 58, 60, 75)  # where the mirror image of the small one would go
    boxes = [in_the_middle, small, under]
    _, after = apply_copy_paste(picture(80, 60, boxes), labelled(boxes, outlined=True), CopyPasteDraw((0, 1, 2), 1.0))
    assert after.cls.tolist() == [0, 1, 2]  # each would cover 30 % or more of a box
