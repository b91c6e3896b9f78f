"""Geometry: flips (YOLOv5: `flipud`, `fliplr`) and the random resized crop (YOLOv5: `RandomResizedCrop`).

The resizing to the network's input is in letterbox.py, rotation, scale, shear and perspective in warp.py.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from yolo_lite._moved import moved_name
from yolo_lite.augment.box_filter import MIN_AREA_BOX, MIN_AREA_POLYGON, box_candidates
from yolo_lite.augment.objects import Augmented, Image, Objects, height_width, require_image
from yolo_lite.augment.warp import Warped, map_objects
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support.band_groups import in_groups

CROP_AREA = (0.8, 1.0)  # fraction of the image that a random crop keeps
CROP_RATIO = (0.9, 1.11)  # width / height of the window
CROP_ATTEMPTS = 10  # windows drawn before giving up on one that fits


class FlipDraw(NamedTuple):
    """Which flips are made."""

    left_right: bool = False
    up_down: bool = False


def draw_flip(hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> FlipDraw:
    """Left-right with probability hyp.fliplr, up-down with hyp.flipud."""
    left_right, up_down = generator.random(2) < (hyp.fliplr, hyp.flipud)
    return FlipDraw(bool(left_right), bool(up_down))


def apply_flip(image: Image, objects: Objects, drawn: FlipDraw) -> Augmented:
    """Mirrors the image and its objects; done twice it changes nothing.

    >>> apply_flip(np.zeros((8, 10, 3), np.uint8), Objects.build([0], [[0, 0, 4, 2]]), FlipDraw(True)).objects.boxes
    array([[ 6.,  0., 10.,  2.]], dtype=float32)
    """
    require_image(image)
    if not any(drawn):
        return Augmented(image, objects)
    height, width = image.shape[:2]
    axis = {(True, False): 1, (False, True): 0, (True, True): -1}[drawn.left_right, drawn.up_down]  # OpenCV's code
    moved = objects.mirrored(width if drawn.left_right else None, height if drawn.up_down else None)
    return Augmented(cv2.flip(image, axis).reshape(image.shape), moved)  # OpenCV drops the axis of a single channel


class CropDraw(NamedTuple):
    """A window of the image that is enlarged to the whole, in fractions of the image's sides; by default, all of it."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0


def draw_crop(hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> CropDraw:
    """With probability hyp.random_resized_crop a window of 80 to 100 % of the area, width / height .9 to 1.11.

    Windows are drawn until one fits into the image, ten at most, and then there is no crop.
    """
    height, width = height_width(size)
    wanted = generator.random() < hyp.random_resized_crop
    areas = generator.uniform(*CROP_AREA, CROP_ATTEMPTS) * height * width
    low, high = map(math.log, CROP_RATIO)
    log_ratios = generator.uniform(low, high, CROP_ATTEMPTS)  # 1 / 1.1 is as likely as 1.1
    left, top = generator.random(2).tolist()  # fraction of the free room
    if not wanted:
        return CropDraw()
    for area, ratio in zip(areas.tolist(), np.exp(log_ratios).tolist(), strict=True):
        window_w, window_h = math.sqrt(area * ratio) / width, math.sqrt(area / ratio) / height
        if window_w <= 1 and window_h <= 1:
            return CropDraw(left * (1 - window_w), top * (1 - window_h), window_w, window_h)
    return CropDraw()


def apply_crop(image: Image, objects: Objects, drawn: CropDraw) -> Warped:
    """Cuts the window out and enlarges it to the size of the image; drops objects by the rule of the warp.

    >>> objects = Objects.build([0], [[0, 0, 60, 30]])
    >>> crop = apply_crop(np.zeros((100, 100, 3), np.uint8), objects, CropDraw(left=0.5, width=0.5))
    >>> crop.image.shape, crop.objects.boxes.tolist()
    ((100, 100, 3), [[0.0, 0.0, 20.0, 30.0]])
    """
    require_image(image)
    height, width = image.shape[:2]
    left, top = min(round(drawn.left * width), width - 1), min(round(drawn.top * height), height - 1)
    right = min(max(round((drawn.left + drawn.width) * width), left + 1), width)
    bottom = min(max(round((drawn.top + drawn.height) * height), top + 1), height)
    zoom_x, zoom_y = width / (right - left), height / (bottom - top)
    matrix = np.array([[zoom_x, 0, -left * zoom_x], [0, zoom_y, -top * zoom_y], [0, 0, 1]])

    after = map_objects(objects, matrix, (height, width))
    zoomed = objects.scaled(zoom_x, zoom_y).boxes
    box_filter = box_candidates(zoomed, after.boxes, MIN_AREA_POLYGON if objects.all_outlined else MIN_AREA_BOX)
    if (right - left, bottom - top) != (width, height):
        window = image[top:bottom, left:right]
        image = in_groups(window, lambda group: cv2.resize(group, (width, height), interpolation=cv2.INTER_LINEAR))
    return Warped(image, after.select(box_filter.kept), matrix, objects, after, box_filter)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
