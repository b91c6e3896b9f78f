"""Letterbox: any image into a network input without distorting it, and boxes back into the original.

YOLOv5: `letterbox`, `load_image`, `scale_boxes`. Sizes are (height, width), pads (w, h) per side.
Shape letters: n boxes, H W height and width.
"""

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.objects import PADDING, Image, height_width, require_image
from yolo_lite.support.band_groups import in_groups

Array = TypeVar("Array", Tensor, np.ndarray)


class Geometry(NamedTuple):
    """How an original image lies in a network input; network = original * ratio + pad."""

    original_size: tuple[int, int]  # (height, width)
    ratio: float  # network pixels per original pixel
    pad: tuple[float, float]  # (w, h) per side; may end in .5


class Letterboxed(NamedTuple):
    """An image that fits the network, and how the original lies in it."""

    image: Image  # (h, w, C)
    ratio: float  # new pixels per old pixel
    pad: tuple[float, float]  # (w, h) per side; may end in .5


class Resized(NamedTuple):
    """An image scaled to a longest side, and by how much."""

    image: Image  # (h, w, C)
    ratio: float  # new pixels per old pixel


def letterbox(
    image: Image, size: int | tuple[int, int], auto: bool = True, scaleup: bool = True, stride: int = 32
) -> Letterboxed:
    """Resizes an image to fit into ``size``, keeping its proportions, and fills the rest with gray (114).

    YOLOv5: `letterbox`, which returns the image, `ratio` and `(dw, dh)`.

    Args:
        image: (H, W, C) uint8, RGB or of any channels.
        size: one side, or (height, width), of the network input.
        auto: fill up to the next multiple of ``stride`` only, instead of the whole ``size``.
        scaleup: enlarge small images too; without it they are only ever made smaller.
    Returns:
        Letterboxed; a point (x, y) of the image lies at (x, y) * ratio + pad, to within a pixel of rounding.
    Raises:
        ValueError: not an image, or a size that is not a positive whole number.

    >>> boxed = letterbox(np.zeros((480, 640, 3), np.uint8), 320, auto=False)
    >>> boxed.image.shape, boxed.ratio, boxed.pad
    ((320, 320, 3), 0.5, (0.0, 40.0))
    """
    require_image(image)
    height, width = height_width(size)
    old_h, old_w = image.shape[:2]
    ratio = min(height / old_h, width / old_w)
    if not scaleup:
        ratio = min(ratio, 1.0)

    new_h, new_w = max(round(old_h * ratio), 1), max(round(old_w * ratio), 1)  # thin images keep one pixel
    free_h, free_w = height - new_h, width - new_w
    if auto:
        free_h, free_w = free_h % stride, free_w % stride
    pad_h, pad_w = free_h / 2, free_w / 2

    if (new_h, new_w) != (old_h, old_w):
        image = in_groups(image, lambda group: cv2.resize(group, (new_w, new_h), interpolation=cv2.INTER_LINEAR))
    top, bottom = round(pad_h - 0.1), round(pad_h + 0.1)  # an odd pixel goes to the bottom and to the right
    left, right = round(pad_w - 0.1), round(pad_w + 0.1)
    sides = top, bottom, left, right
    image = in_groups(image, lambda group: cv2.copyMakeBorder(group, *sides, cv2.BORDER_CONSTANT, value=PADDING))
    return Letterboxed(image, ratio, (pad_w, pad_h))


def resize_longest(image: Image, size: int, augment: bool) -> Resized:
    """Resizes an image so that its longest side is ``size``: what happens right after reading it. YOLOv5: `load_image`.

    Interpolates linearly when augmenting or enlarging, and averages areas (slower, sharper) otherwise.

    Args:
        image: (H, W, C) uint8, RGB or of any channels.
    Returns:
        Resized; the image itself where it has that size already.

    >>> resize_longest(np.zeros((147, 100, 3), np.uint8), 640, augment=True).image.shape
    (640, 436, 3)
    """
    require_image(image)
    size, _ = height_width(size)
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest == size:
        return Resized(image, 1.0)
    new_h, new_w = longest_size((height, width), size)
    interpolation = cv2.INTER_LINEAR if augment or size > longest else cv2.INTER_AREA
    resized = in_groups(image, lambda group: cv2.resize(group, (new_w, new_h), interpolation=interpolation))
    return Resized(resized, size / longest)


def longest_size(original: tuple[int, int], size: int) -> tuple[int, int]:
    """The (height, width) that ``resize_longest`` gives an image of (height, width).

    >>> longest_size((147, 100), 640)
    (640, 436)
    """
    height, width = original
    longest = max(original)  # ceil(side * size / longest) in whole numbers: in floats 147 at 640 would become 641
    return -(-height * size // longest), -(-width * size // longest)


def to_original(boxes: Array, geometry: Geometry) -> Array:
    """Boxes in the network input -> boxes in the original image, clipped to it. YOLOv5: `scale_boxes`, `clip_boxes`.

    Args:
        boxes: (n, 4) xyxy, tensor or array.
    Returns:
        The same kind, (n, 4), in pixels of the original image.

    >>> geometry = Geometry(original_size=(480, 640), ratio=0.5, pad=(0.0, 40.0))
    >>> to_original(np.array([[10.0, 50.0, 400.0, 90.0]]), geometry).tolist()
    [[20.0, 20.0, 640.0, 100.0]]
    """
    height, width = geometry.original_size
    pad_w, pad_h = geometry.pad
    x = ((boxes[..., 0::2] - pad_w) / geometry.ratio).clip(0, width)  # (n, 2): left, right
    y = ((boxes[..., 1::2] - pad_h) / geometry.ratio).clip(0, height)  # (n, 2): top, bottom
    stack = torch.stack if isinstance(boxes, Tensor) else np.stack
    return stack((x, y), -1).reshape(boxes.shape)  # (n, 2, 2) -> (n, 4): the pairs interleave
