"""Colour: HSV gains, and the photometric set: blur, median blur, gray, CLAHE, brightness-contrast, gamma, JPEG.

YOLOv5: `augment_hsv`, and `Albumentations` for the photometric set. Nothing here moves an object, so images are enough:
(H, W, 3) uint8 RGB. Blur, median blur, brightness-contrast and gamma change each channel alike, whatever their number;
the others need colours, and ``photometric_without_colour`` leaves them out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from yolo_lite.augment.objects import Image, channels_first, require_image, require_rgb
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support.band_groups import in_groups

HUES = 180  # OpenCV counts the hue circle in steps of two degrees
LEVELS = np.arange(256, dtype=np.uint8)[None]
CLAHE_GRID = 8  # tiles per side

# ---------------------------------------------------------------------------------------------------------------- HSV


class HsvDraw(NamedTuple):
    """How hue, saturation and value are changed."""

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)  # hue, saturation, value; 1 = unchanged


def draw_hsv(hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> HsvDraw:
    """Samples the gains 1 + U(-1, 1) * (hsv_h, hsv_s, hsv_v)."""
    hue, saturation, value = (1 + generator.uniform(-1, 1, 3) * (hyp.hsv_h, hyp.hsv_s, hyp.hsv_v)).tolist()
    return HsvDraw((hue, saturation, value))


def hsv_tables(drawn: HsvDraw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The new value of each hue, saturation and value: three tables (256,) uint8. The hue wraps, the others clip.

    YOLOv5: `lut_hue`, `lut_sat`, `lut_val`.
    """
    levels = np.arange(256, dtype=np.float64)
    hue, saturation, value = (levels * gain for gain in drawn.gains)
    return (
        (hue % HUES).astype(np.uint8),
        saturation.clip(0, 255).astype(np.uint8),
        value.clip(0, 255).astype(np.uint8),
    )


def apply_hsv(image: Image, drawn: HsvDraw) -> Image:
    """Changes hue, saturation and value of each pixel by ``hsv_tables``; the image itself where all gains are 1.

    YOLOv5: `augment_hsv`.

    >>> red = np.full((1, 1, 3), (200, 0, 0), np.uint8)
    >>> apply_hsv(red, HsvDraw((1.0, 1.0, 0.5))).tolist()
    [[[100, 0, 0]]]
    """
    require_rgb(image)
    if drawn.gains == (1, 1, 1):
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    channels = channels_first(hsv)
    for channel, table, gain, levels in zip(channels, hsv_tables(drawn), drawn.gains, (HUES, 256, 256), strict=True):
        _look_up(channel, table, gain, levels)
    return cv2.cvtColor(cv2.merge(list(channels), hsv), cv2.COLOR_HSV2RGB, hsv)


def _look_up(channel: np.ndarray, table: np.ndarray, gain: float, levels: int) -> None:
    """Writes the values of a table (256,) into a channel that has no more than these levels.

    Mostly a table is floor(gain * level), which OpenCV computes in a third of the time; all levels are tried first,
    because its floats may round otherwise, and a hue may wrap.
    """
    to_floor = 2e-4 - 0.5  # what is added before the rounding to the nearest whole number
    scaled = cv2.convertScaleAbs(LEVELS[:, :levels], alpha=gain, beta=to_floor)
    if scaled.tobytes() == table[:levels].tobytes():
        cv2.convertScaleAbs(channel, channel, gain, to_floor)
    else:
        cv2.LUT(channel, table, channel)


# ---------------------------------------------------------------------------------------------------- photometric set


def apply_blur(image: Image, kernel: int) -> Image:
    """Mean of a square of ``kernel`` pixels a side."""
    return in_groups(image, lambda group: cv2.blur(group, (kernel, kernel)))


def apply_median_blur(image: Image, kernel: int) -> Image:
    """Median of a square of ``kernel`` pixels a side, odd."""
    return in_groups(image, lambda group: cv2.medianBlur(group, kernel))


def apply_to_gray(image: Image, strength: bool = True) -> Image:
    """Three equal channels: the luma of each pixel."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if strength else image


def apply_clahe(image: Image, clip_limit: float) -> Image:
    """Contrast-limited adaptive histogram equalisation of the lightness (L of Lab), in 8 x 8 tiles.

    Source: Zuiderveld, "Contrast limited adaptive histogram equalization", 1994.
    """
    lightness, a, b = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    equalised = cv2.createCLAHE(clip_limit, (CLAHE_GRID, CLAHE_GRID)).apply(lightness)
    return cv2.cvtColor(cv2.merge((equalised, a, b)), cv2.COLOR_LAB2RGB)


def apply_brightness_contrast(image: Image, strength: tuple[float, float]) -> Image:
    """pixel * (1 + contrast) + 255 * brightness, with strength = (brightness, contrast)."""
    brightness, contrast = strength
    return _by_table(image, np.arange(256) * (1 + contrast) + 255 * brightness)


def apply_gamma(image: Image, gamma: float) -> Image:
    """255 * (pixel / 255) ^ gamma: below 1 lighter, above 1 darker."""
    return _by_table(image, 255 * (np.arange(256) / 255) ** gamma)


def apply_jpeg(image: Image, quality: int) -> Image:
    """Through a JPEG file, in memory, of that quality (0 to 100)."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def _by_table(image: Image, table: np.ndarray) -> Image:
    return cv2.LUT(image, table.round().clip(0, 255).astype(np.uint8)).reshape(image.shape)


def _kernel(generator: np.random.Generator) -> int:
    return (3, 5, 7)[generator.integers(3)]


class Effect(NamedTuple):
    """One of the photometric set; ``name`` is its field in PhotometricDraw and its probability in Hyperparameters."""

    name: str
    strength: Callable[[np.random.Generator], Any]  # drawn from its range
    apply: Callable[[Image, Any], Image]  # (image, strength) -> a new image
    needs_colour: bool = False  # (H, W, 3) RGB, and not any number of channels

    def draw(self, hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> Any:
        """Its strength with probability hyp.<name>, otherwise None. It samples as many numbers either way."""
        wanted, strength = generator.random() < getattr(hyp, self.name), self.strength(generator)
        return strength if wanted else None


PHOTOMETRIC: tuple[Effect, ...] = (  # in the order in which they are applied
    Effect("blur", _kernel, apply_blur),
    Effect("median_blur", _kernel, apply_median_blur),
    Effect("to_gray", lambda generator: True, apply_to_gray, needs_colour=True),
    Effect("clahe", lambda generator: generator.uniform(1, 4), apply_clahe, needs_colour=True),
    Effect(
        "brightness_contrast",
        lambda generator: tuple(generator.uniform(-0.2, 0.2, 2).tolist()),
        apply_brightness_contrast,
    ),
    Effect("gamma", lambda generator: generator.uniform(0.8, 1.2), apply_gamma),
    Effect("jpeg", lambda generator: int(generator.integers(75, 101)), apply_jpeg, needs_colour=True),
)


class PhotometricDraw(NamedTuple):
    """What is applied and how strongly; None = not applied. In the order of application."""

    blur: int | None = None  # kernel, px: 3, 5 or 7
    median_blur: int | None = None  # kernel, px: 3, 5 or 7
    to_gray: bool | None = None
    clahe: float | None = None  # clip limit, 1 to 4
    brightness_contrast: tuple[float, float] | None = None  # each -.2 to .2
    gamma: float | None = None  # exponent, .8 to 1.2
    jpeg: int | None = None  # quality, 75 to 100


def draw_photometric(
    hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator
) -> PhotometricDraw:
    """Each of the set on its own, with the probability that ``hyp`` gives under its name."""
    return PhotometricDraw(**{effect.name: effect.draw(hyp, size, generator) for effect in PHOTOMETRIC})


def apply_photometric(image: Image, drawn: PhotometricDraw) -> Image:
    """Applies what was drawn, in the order of PHOTOMETRIC; the image itself where nothing was.

    >>> apply_photometric(np.full((1, 1, 3), (255, 0, 0), np.uint8), PhotometricDraw(to_gray=True)).tolist()
    [[[76, 76, 76]]]
    """
    require_image(image)
    for effect, strength in zip(PHOTOMETRIC, drawn, strict=True):
        if strength is not None:
            if effect.needs_colour:
                require_rgb(image)
            image = effect.apply(image, strength)
    return image


COLOUR_KEYS = ("hsv_h", "hsv_s", "hsv_v", *(effect.name for effect in PHOTOMETRIC if effect.needs_colour))


def photometric_without_colour(drawn: PhotometricDraw) -> PhotometricDraw:
    """What is left of it for images that are not RGB: the effects that change each channel alike.

    >>> photometric_without_colour(PhotometricDraw(to_gray=True, gamma=0.9))
    PhotometricDraw(blur=None, median_blur=None, to_gray=None, clahe=None, brightness_contrast=None, gamma=0.9, ...)
    """
    return drawn._replace(**{effect.name: None for effect in PHOTOMETRIC if effect.needs_colour})
