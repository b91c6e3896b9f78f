"""Geometry: letterbox, resize on load, warp, flips, random resized crop."""

from typing import NamedTuple

import numpy as np

from yolo_lite.augment.objects import Image, Objects
from yolo_lite.hyperparameters import Hyperparameters

FILL = 114  # gray of everything that no image covers


class Geometry(NamedTuple):
    """How an original image lies in a network input; network = original * ratio + pad."""

    original_size: tuple[int, int]  # (height, width)
    ratio: float  # network pixels per original pixel
    pad: tuple[float, float]  # (w, h) per side; may end in .5


class Letterboxed(NamedTuple):
    image: Image  # (h, w, 3)
    ratio: float  # new pixels per old pixel
    pad: tuple[float, float]  # (w, h) per side; may end in .5


def letterbox(image: Image, size: int | tuple[int, int], auto: bool = True, scaleup: bool = True, stride: int = 32) -> Letterboxed:
    raise NotImplementedError


def resize_longest(image: Image, size: int, augment: bool) -> tuple[Image, float]:
    """Resize on load (reference.md section 1)."""
    raise NotImplementedError


def to_original(boxes: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(n, 4) xyxy in the network input -> pixels of the original image, clipped to it. Tensors too."""
    raise NotImplementedError


class WarpDraw(NamedTuple):
    angle: float  # degrees
    scale: float
    shear: tuple[float, float]  # degrees, x and y
    translate: tuple[float, float]  # where the canvas centre lands, share of the output's width and height
    perspective: tuple[float, float]


class WarpMatrices(NamedTuple):  # M = T S R P C, each (3, 3)
    translation: np.ndarray
    shear: np.ndarray
    rotation: np.ndarray
    perspective: np.ndarray
    centre: np.ndarray

    @property
    def combined(self) -> np.ndarray: raise NotImplementedError


class Survival(NamedTuple):
    """Which boxes a warp leaves usable, each (n,), and why not."""
    kept: np.ndarray  # bool
    reasons: tuple[str, ...]  # '' where kept, otherwise a sentence: "1.4 px wide, must be over 2"


class Warped(NamedTuple):
    image: Image
    objects: Objects  # the survivors
    matrix: np.ndarray  # (3, 3)
    before: Objects  # all the objects that came in (input pixels)
    after: Objects  # all of them where the warp put them, the dropped ones too (output pixels)
    survival: Survival


def draw_warp(hyp: Hyperparameters, size: tuple[int, int], generator: np.random.Generator) -> WarpDraw: raise NotImplementedError
def warp_matrices(drawn: WarpDraw, canvas: tuple[int, int], size: tuple[int, int]) -> WarpMatrices: raise NotImplementedError
def apply_warp(image: Image, objects: Objects, drawn: WarpDraw, size: tuple[int, int] | None = None) -> Warped: raise NotImplementedError
def box_candidates(before: np.ndarray, after: np.ndarray, area_threshold: float = 0.1) -> Survival: raise NotImplementedError


class FlipDraw(NamedTuple):
    left_right: bool
    up_down: bool


def draw_flip(hyp: Hyperparameters, size: tuple[int, int], generator: np.random.Generator) -> FlipDraw: raise NotImplementedError
def apply_flip(image: Image, objects: Objects, drawn: FlipDraw) -> tuple[Image, Objects]: raise NotImplementedError


class CropDraw(NamedTuple):
    """A window of the image that is scaled up to the whole; None of it = no crop."""
    left: float; top: float; width: float; height: float  # shares of the image's sides
