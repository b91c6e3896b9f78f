"""Colour: HSV tables and the photometric set."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.augment.colour import (
    PHOTOMETRIC,
    HsvDraw,
    PhotometricDraw,
    apply_brightness_contrast,
    apply_gamma,
    apply_hsv,
    apply_jpeg,
    apply_photometric,
    apply_to_gray,
    draw_hsv,
    draw_photometric,
    hsv_tables,
)
from yolo_lite.hyperparameters import Hyperparameters

NAMES = [effect.name for effect in PHOTOMETRIC]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2)))
def test_hsv_is_what_the_tables_say(gains):
    drawn = HsvDraw(gains)
    channels = cv2.split(cv2.cvtColor(NOISE, cv2.COLOR_RGB2HSV))
    looked_up = [table[channel] for channel, table in zip(channels, hsv_tables(drawn), strict=True)]
    expected = NOISE if gains == (1, 1, 1) else cv2.cvtColor(cv2.merge(looked_up), cv2.COLOR_HSV2RGB)
    assert (apply_hsv(NOISE, drawn) == expected).all()


def test_hsv_tables_follow_the_formula():
    hue, saturation, value = hsv_tables(HsvDraw((1.5, 0.5, 1.4)))
    assert hue[[0, 100, 120, 179]].tolist() == [0, 150, 0, 88]  # 180 and 268.5 wrap
    assert saturation[[0, 51, 255]].tolist() == [0, 25, 127]
    assert value[[0, 100, 182, 183, 255]].tolist() == [0, 140, 254, 255, 255]
    assert all(table.shape == (256,) and table.dtype == np.uint8 for table in (hue, saturation, value))


def test_hsv_takes_and_gives_rgb():
    orange = np.full((2, 2, 3), (255, 128, 0), np.uint8)  # hue 15 of 180
    greener = apply_hsv(orange, HsvDraw((2.0, 1.0, 1.0)))[0, 0]
    assert greener[0] == greener[1] == 255  # hue 30 is yellow
    assert greener[2] == 0
    assert apply_hsv(orange, HsvDraw((1.0, 0.0, 1.0)))[0, 0].tolist() == [255, 255, 255]
    assert apply_hsv(orange, HsvDraw((1.0, 1.0, 0.5)))[0, 0].tolist() == [127, 64, 0]


def test_gains_of_one_change_nothing_but_rounding():
    assert apply_hsv(NOISE, HsvDraw()) is NOISE
    assert draw_hsv(Hyperparameters(hsv_h=0, hsv_s=0, hsv_v=0), 64, np.random.default_rng(0)) == HsvDraw()
    barely = apply_hsv(NOISE, HsvDraw((1.0, 1.0, 1.0 + 1e-12)))  # through the tables after all
    converted = cv2.cvtColor(cv2.cvtColor(NOISE, cv2.COLOR_RGB2HSV), cv2.COLOR_HSV2RGB)
    assert (barely == converted).all()
    assert np.abs(barely.astype(int) - NOISE).max() <= 6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_hsv_gains_stay_in_their_ranges(seed):
    hyp = Hyperparameters()
    drawn = draw_hsv(hyp, 640, np.random.default_rng(seed))
    assert drawn == draw_hsv(hyp, 640, np.random.default_rng(seed))
    for gain, most in zip(drawn.gains, (hyp.hsv_h, hyp.hsv_s, hyp.hsv_v), strict=True):
        assert abs(gain - 1) <= most


def test_set_is_one_name_everywhere():
    assert tuple(NAMES) == PhotometricDraw._fields
    hyp = Hyperparameters()
    assert all(hasattr(hyp, name) for name in NAMES)


@pytest.mark.parametrize("effect", PHOTOMETRIC, ids=NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (7, 5), (40, 50)])
def test_each_alone_on_any_size(effect, shape):
    image = NOISE[: shape[0], : shape[1]]
    strength = effect.draw(Hyperparameters(**{effect.name: 1.0}), 64, np.random.default_rng(1))
    result = effect.apply(image, strength)
    assert result.shape == (*shape, 3)
    assert result.dtype == np.uint8
    assert effect.draw(Hyperparameters(**{effect.name: 0.0}), 64, np.random.default_rng(1)) is None
    if shape == (40, 50):
        assert (result != image).any()


def test_strengths_stay_in_their_ranges():
    always = Hyperparameters(**dict.fromkeys(NAMES, 1.0))
    draws = [draw_photometric(always, 64, np.random.default_rng(seed)) for seed in range(300)]
    assert {draw.blur for draw in draws} == {draw.median_blur for draw in draws} == {3, 5, 7}
    assert {draw.jpeg for draw in draws} == set(range(75, 101))
    for values, low, high in (
        ([draw.clahe for draw in draws], 1, 4),
        ([draw.gamma for draw in draws], 0.8, 1.2),
        ([number for draw in draws for number in draw.brightness_contrast], -0.2, 0.2),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high


def test_probabilities_are_those_of_the_hyperparameters():
    hyp = Hyperparameters(**dict.fromkeys(NAMES, 0.0)).replace(blur=0.3, gamma=1.0)
    draws = [draw_photometric(hyp, 64, np.random.default_rng(seed)) for seed in range(500)]
    assert 0.24 < np.mean([draw.blur is not None for draw in draws]) < 0.36
    assert all(draw.gamma is not None for draw in draws)
    assert all(draw.jpeg is None and draw.to_gray is None for draw in draws)
    other = draw_photometric(hyp.replace(blur=0.0, gamma=1.0), 64, np.random.default_rng(2))
    assert other.gamma == draws[2].gamma  # one probability leaves the other draws alone


def test_formulas():
    pixel = np.full((1, 1, 3), (10, 100, 200), np.uint8)
    assert apply_brightness_contrast(pixel, (0.1, 0.2))[0, 0].tolist() == [38, 146, 255]  # 37.5 rounds to even
    assert apply_gamma(pixel, 2.0)[0, 0].tolist() == [0, 39, 157]
    assert apply_to_gray(pixel)[0, 0].tolist() == [round(0.299 * 10 + 0.587 * 100 + 0.114 * 200)] * 3


def test_jpeg_keeps_red_red():
    red = np.full((16, 16, 3), (200, 30, 20), np.uint8)
    assert np.abs(apply_jpeg(red, 90).astype(int) - red).max() <= 6
    worse, better = (np.abs(apply_jpeg(NOISE, quality).astype(int) - NOISE).mean() for quality in (75, 100))
    assert worse > better


def test_order_and_nothing_drawn():
    assert apply_photometric(NOISE, PhotometricDraw()) is NOISE
    both = apply_photometric(NOISE, PhotometricDraw(gamma=0.8, to_gray=True))
    assert (both == apply_gamma(apply_to_gray(NOISE), 0.8)).all()
    with pytest.raises(ValueError, match="RGB"):
        apply_photometric(NOISE[..., 0], PhotometricDraw(gamma=0.8))
