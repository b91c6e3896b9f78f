"""Paints a drawn scene at any size: paper, pattern, strokes, then the objects from back to front, then the grain.

No chance is left here: the same layout and size give the same pixels.
Shape letters: S side of the picture in pixels, h w sides of the window that an object lies in.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite.datasets.shapes.layout import Background, Layout, PlacedShape

SUPERSAMPLING = 4  # an object's coverage is counted on this many by this many points per pixel
SUBPIXEL_BITS = 4
SHADOW_DARKNESS = {"shadow": 0.3, "print": 0.22}
GRAIN_SIDE, GRAIN_STRENGTH = 160, 3.0  # of the paper's noise: its own resolution, its standard deviation in gray levels
RIM = 0.045  # half the width of an outline, in fractions of the object's side


class _Window(NamedTuple):
    """The part of the picture that an object touches, its borders included."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def paint(layout: Layout, size: int) -> np.ndarray:
    """A layout -> its picture, (S, S, 3) uint8 RGB.

    >>> from yolo_lite.datasets.shapes.layout import draw_layout
    >>> paint(draw_layout(np.random.default_rng(0)), size=160).shape
    (160, 160, 3)
    """
    canvas = _paper(layout.background, size)
    for shape in layout.shapes:
        _paint_shape(canvas, shape, layout, size)
    noise = np.random.default_rng(layout.background.seed).standard_normal((GRAIN_SIDE, GRAIN_SIDE), np.float32)
    grain = cv2.resize(noise * GRAIN_STRENGTH, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.add(canvas, cv2.merge([grain, grain, grain]), dtype=cv2.CV_8U)  # rounds, and stops at 0 and 255


def texture(name: str, rows: np.ndarray, columns: np.ndarray, angle: float, pitch: float) -> np.ndarray:
    """How much of the second colour a texture has at each point: 0 to 1, anti-aliased.

    Args:
        name: stripes, dots, checks, rings, waves, gradient; anything else is without texture.
        rows: (h, 1) and columns: (1, w), the pixels' y and x.
        angle: degrees. pitch: pixels from one stripe to the next.
    Returns:
        (h, w) float32, or 0.

    >>> texture("stripes", np.zeros((1, 1), np.float32), np.array([[0, 5]], np.float32), angle=0, pitch=10)
    array([[0., 1.]], dtype=float32)
    """
    cosine, sine = np.float32(math.cos(math.radians(angle)) / pitch), np.float32(math.sin(math.radians(angle)) / pitch)
    u, v = columns * cosine + rows * sine, rows * cosine - columns * sine  # (h, w) in pitches
    if name == "stripes":
        return _covered(_to_stripe(u), pitch)
    if name == "waves":
        return _covered(_to_stripe(u + 0.16 * np.sin(2 * np.float32(math.pi) * v * 0.6)), pitch)
    if name == "rings":
        return _covered(_to_stripe(np.sqrt(u * u + v * v)), pitch)
    if name == "dots":
        across, along = u - np.rint(u), v - np.rint(v)
        return _covered(np.sqrt(across * across + along * along) - np.float32(0.27), pitch)
    if name == "checks":
        first, second = _covered(_to_stripe(u), pitch), _covered(_to_stripe(v), pitch)
        differ: np.ndarray = first + second - 2 * first * second
        return differ
    if name == "gradient":
        rising: np.ndarray = np.clip(v * pitch / max(rows.size, columns.size) + 0.5, 0, 1)
        return rising
    return np.zeros(())


def _to_stripe(u: np.ndarray) -> np.ndarray:
    """Signed distance to the nearest stripe, in pitches: below zero within. The stripes are half a pitch wide."""
    distance: np.ndarray = np.float32(0.25) - np.abs(u - np.rint(u))
    return distance


def _covered(distance: np.ndarray, pitch: float) -> np.ndarray:
    """The fraction of a pixel that lies within, from a signed distance in pitches."""
    covered: np.ndarray = np.clip(0.5 - distance * np.float32(pitch), 0, 1)
    return covered


def _paper(background: Background, size: int) -> np.ndarray:
    """The background, (S, S, 3) float32: two papers, pattern and strokes, each with its fraction of every pixel."""
    second = cv2.resize(background.fractions, (size, size), interpolation=cv2.INTER_CUBIC)  # (S, S)
    fractions = np.zeros((4, size, size), np.float32)
    fractions[0], fractions[1] = 1 - second, second
    axis = np.arange(size, dtype=np.float32)
    if background.pattern == "blobs":
        seeds = np.random.default_rng(background.seed).random((7, 7), np.float32)
        height = cv2.resize(seeds, (size, size), interpolation=cv2.INTER_CUBIC)
        fractions[2] = np.clip((height - 0.55) * (size / 8), 0, 1)
    else:
        pitch = background.pitch * size
        fractions[2] = texture(background.pattern, axis[:, None], axis[None], background.angle, pitch)
    if background.strokes:
        brush = np.zeros((size, size), np.uint8)
        width = max(round(background.stroke_width * size), 1)
        cv2.polylines(brush, _fixed(background.strokes, size), False, 255, width, cv2.LINE_AA, SUBPIXEL_BITS)
        fractions[3] = brush / np.float32(255)
    for index in (2, 3):  # each lies over those before it
        fractions[:index] *= 1 - fractions[index]
    return cv2.transform(cv2.merge(list(fractions)), background.colours.T)  # (S, S, 4) -> (S, S, 3)


def _fixed(contours: tuple[np.ndarray, ...], scale: float, shift: tuple[float, float] = (0.0, 0.0)) -> list[np.ndarray]:
    """Contours as OpenCV's fixed-point numbers. Its integer coordinates are the centres of pixels, hence the half."""
    return [np.round((line * scale - shift - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32) for line in contours]


def _window(shape: PlacedShape, size: int, reach: float) -> _Window:
    outline = shape.contours[0] * size
    left, top = np.clip(np.floor(outline.min(axis=0) - reach).astype(int), 0, size - 1)
    right, bottom = np.clip(np.ceil(outline.max(axis=0) + reach).astype(int), 1, size)
    return _Window(int(left), int(top), int(right - left), int(bottom - top))


def _paint_shape(canvas: np.ndarray, shape: PlacedShape, layout: Layout, size: int) -> None:
    reach = 0.02 * size if layout.finish in SHADOW_DARKNESS else 0.0
    window = _window(shape, size, reach)
    points = _fixed(shape.contours, size * SUPERSAMPLING, (window.left * SUPERSAMPLING, window.top * SUPERSAMPLING))
    fine = np.zeros((window.height * SUPERSAMPLING, window.width * SUPERSAMPLING), np.uint8)
    cv2.fillPoly(fine, points, 255, shift=SUBPIXEL_BITS)
    alpha = _averaged(fine, window)  # (h, w)
    below = canvas[window.slices]  # (h, w, 3), a view
    if layout.finish in SHADOW_DARKNESS:
        _cast_shadow(below, alpha, layout, size)
    colour = _coloured(shape, window, size)
    if layout.finish == "outline":
        side = math.prod(np.ptp(shape.contours[0], axis=0)) ** 0.5
        rim = np.zeros_like(fine)
        thickness = max(round(2 * RIM * side * size * SUPERSAMPLING), SUPERSAMPLING)
        cv2.polylines(rim, points, True, 255, thickness, shift=SUBPIXEL_BITS)
        colour = colour + (shape.fill.tone - colour) * _averaged(rim, window)[..., None]
    below += (colour - below) * alpha[..., None]


def _averaged(fine: np.ndarray, window: _Window) -> np.ndarray:
    """A supersampled mask -> the fraction of each pixel, (h, w) float32."""
    coarse = cv2.resize(fine, (window.width, window.height), interpolation=cv2.INTER_AREA)
    return coarse.astype(np.float32) / 255


def _cast_shadow(below: np.ndarray, alpha: np.ndarray, layout: Layout, size: int) -> None:
    x, y = layout.shadow * size
    moved = cv2.warpAffine(alpha, np.array([[1, 0, x], [0, 1, y]], np.float32), alpha.shape[::-1])
    if layout.finish == "shadow":
        moved = cv2.GaussianBlur(moved, (0, 0), 0.006 * size)
    below *= 1 - SHADOW_DARKNESS[layout.finish] * moved[..., None]


def _coloured(shape: PlacedShape, window: _Window, size: int) -> np.ndarray:
    """The object's colours, (h, w, 3), or (3,) where there is but one."""
    fill = shape.fill
    if fill.texture == "flat":
        return fill.ink
    low, high = shape.contours[0].min(axis=0) * size, shape.contours[0].max(axis=0) * size
    centre_x, centre_y = (low + high) / 2
    rows = np.arange(window.top, window.top + window.height, dtype=np.float32)[:, None] + np.float32(0.5 - centre_y)
    columns = np.arange(window.left, window.left + window.width, dtype=np.float32)[None] + np.float32(0.5 - centre_x)
    pitch = max(fill.pitch * math.prod(high - low) ** 0.5, 3.0)  # finer ones would be gray
    coverage = texture(fill.texture, rows, columns, fill.angle, pitch)
    coloured: np.ndarray = fill.ink + (fill.tone - fill.ink) * coverage[..., None]
    return coloured
