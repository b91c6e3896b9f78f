"""What holds for every augmentation: no input is written into, no image is too small, no global chance is used."""

import copy
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.augment.markers import rectangle
from yolo_lite.augment import colour, geometry, letterbox, mixing, warp
from yolo_lite.augment.objects import Objects
from yolo_lite.hyperparameters import Hyperparameters

CHANCES = "mosaic mixup copy_paste blur median_blur to_gray clahe brightness_contrast gamma jpeg random_resized_crop"
HYP = Hyperparameters(
    degrees=20, shear=5, perspective=0.0005, flipud=1, fliplr=1, **dict.fromkeys(CHANCES.split(), 1.0)
)


class Case(NamedTuple):
    draw: Any  # (generator) -> drawn
    apply: Any  # (image, objects, drawn) -> (image, objects, ...) or an image


CASES = {
    "warp": Case(lambda g: warp.draw_warp(HYP, 32, g), lambda i, o, d: warp.apply_warp(i, o, d, 32)),
    "flip": Case(lambda g: geometry.draw_flip(HYP, 32, g), geometry.apply_flip),
    "crop": Case(lambda g: geometry.draw_crop(HYP, 32, g), geometry.apply_crop),
    "mosaic": Case(
        lambda g: mixing.draw_mosaic(HYP, 32, g, 1, 7), lambda i, o, d: mixing.apply_mosaic([i] * 4, [o] * 4, d, 32)
    ),
    "mixup": Case(lambda g: mixing.draw_mixup(HYP, 32, g), lambda i, o, d: mixing.apply_mixup(i, o, i, o, d)),
    "copy_paste": Case(lambda g: mixing.draw_copy_paste(HYP, 32, g, 9), mixing.apply_copy_paste),
    "hsv": Case(lambda g: colour.draw_hsv(HYP, 32, g), lambda i, o, d: (colour.apply_hsv(i, d), o)),
    "photometric": Case(
        lambda g: colour.draw_photometric(HYP, 32, g), lambda i, o, d: (colour.apply_photometric(i, d), o)
    ),
    "letterbox": Case(lambda g: None, lambda i, o, d: (letterbox.letterbox(i, 32).image, o)),
    "resize": Case(lambda g: None, lambda i, o, d: (letterbox.resize_longest(i, 32, True).image, o)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def objects_within(height, width):
    """One with an outline, one without, as large as the image allows."""
    left = (0, 0, width / 3, height / 2)
    return Objects.build([1, 2], [left, (0, 0, width, height)], [rectangle(left), None])


@every_case
@pytest.mark.parametrize("layout", ["plain", "reversed", "view", "read-only"])
def test_inputs_are_never_written_into(case, layout):
    whole = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    image = {
        "plain": whole,
        "reversed": whole[:, :, ::-1],  # BGR seen as RGB
        "view": whole[3:35, 8:40],
        "read-only": whole.copy(),
    }[layout]
    image.setflags(write=layout != "read-only")
    objects = objects_within(*image.shape[:2])
    before, objects_before = image.copy(), copy.deepcopy(objects)
    drawn = case.draw(np.random.default_rng(1))
    results = [case.apply(image, objects, drawn) for _ in range(2)]

    assert (image == before).all()
    assert (objects.boxes == objects_before.boxes).all()
    assert (objects.cls == objects_before.cls).all()
    assert (objects.polygons[0] == objects_before.polygons[0]).all()
    assert (results[0][0] == results[1][0]).all()  # no chance left in it
    assert (results[0][1].boxes == results[1][1].boxes).all()
    contiguous = case.apply(np.ascontiguousarray(image), objects, drawn)
    assert (results[0][0] == contiguous[0]).all()


@every_case
@pytest.mark.parametrize("shape", [(1, 1), (1, 32), (32, 1), (32, 20), (33, 31)])
def test_any_size_with_and_without_objects(case, shape):
    image = np.full((*shape, 3), 200, np.uint8)
    for seed in range(5):
        drawn = case.draw(np.random.default_rng(seed))
        for objects in (Objects.empty(), objects_within(*shape)):
            result, after, *_ = case.apply(image, objects, drawn)
            assert result.dtype == np.uint8
            assert result.ndim == 3
            assert after.boxes.dtype == np.float32
            assert after.cls.dtype == np.int64
            assert after.boxes.shape == (after.num_objects, 4)
            assert len(after.polygons) == after.num_objects
            assert after.num_objects == 0 or objects.num_objects > 0
            height, width = result.shape[:2]
            if case not in (CASES["letterbox"], CASES["resize"]):  # these leave the objects to the caller
                assert (after.boxes >= 0).all()
                assert (after.boxes <= (width, height, width, height)).all()


@every_case
def test_same_seed_same_draw_and_no_other_source_of_chance(case):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what must not move
    draws = [case.draw(np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert draws[0] == draws[1]
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@every_case
def test_gray_images_are_refused_in_words(case):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 RGB"):
        case.apply(np.zeros((32, 32), np.uint8), Objects.empty(), case.draw(np.random.default_rng(0)))
