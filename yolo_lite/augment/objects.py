"""The objects of one image while it is being augmented: classes, boxes and, where known, outlines.

YOLOv5: `labels` and `segments`.
Coordinates are pixels of that image: x in [0, width], y in [0, height]; pixel (row, col) covers [col, col + 1] x
[row, row + 1]. Shape letters: n objects, k points of a polygon, H W height and width.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from yolo_lite._moved import moved_name
from yolo_lite.augment.polygons import clip_polygon

Image = np.ndarray  # (H, W, C) uint8: RGB, or as many channels as the network takes
Polygon = np.ndarray | None  # (k, 2) float32 xy in pixels; None where only a box is known
MANY = 16  # channels: an image of 1, 3 or 4 rows with more of them has its channels first
Rectangle = tuple[int, int, int, int]  # left, top, right, bottom in whole pixels
PADDING_VALUE = 114  # gray of everything that no image covers; YOLOv5 writes (114, 114, 114)
PADDING = (PADDING_VALUE,) * 4  # as OpenCV takes it


class Objects(NamedTuple):
    """n objects in the pixels of their image. No method writes into what it was given.

    ``len()`` of a NamedTuple counts its fields: the number of objects is ``num_objects``.

    >>> objects = Objects.build([0, 2], [[0, 0, 10, 10], [5, 5, 20, 9]])
    >>> objects.moved(-5, 0).clipped(10, 10).boxes.tolist()
    [[0.0, 0.0, 5.0, 10.0], [0.0, 5.0, 10.0, 9.0]]
    """

    cls: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float32 xyxy
    polygons: tuple[Polygon, ...]  # one per object; (0, 2) where clipping has left nothing of an outline

    @classmethod
    def build(
        cls,
        classes: Sequence[int] | np.ndarray,
        boxes: Sequence[Sequence[float]] | np.ndarray,
        polygons: Sequence[Polygon] | None = None,
    ) -> "Objects":
        """From lists or arrays, with the types that the fields promise.

        Args:
            classes: (n,). boxes: (n, 4) xyxy pixels. polygons: n of (k, 2) or None; left out = only boxes are known.
        Raises:
            ValueError: the three do not count the same objects, a shape is wrong, a class is not a whole number, or a
                box is complex.
        """
        numbers, corners = np.asarray(classes).reshape(-1), real_boxes(boxes)
        fractional = (
            ~np.isfinite(numbers) | (numbers != np.floor(numbers)) if numbers.dtype.kind == "f" else numbers != numbers
        )
        if fractional.any():
            raise ValueError(f"class {numbers[fractional][0]}: classes are whole numbers")
        ids = numbers.astype(np.int64)
        if corners.size == 0:
            corners = corners.reshape(0, 4)
        if polygons is None:
            polygons = (None,) * len(ids)
        if corners.ndim != 2 or corners.shape[1] != 4:
            raise ValueError(f"boxes must be (n, 4) xyxy, not {corners.shape}")
        if not len(ids) == len(corners) == len(polygons):
            raise ValueError(
                f"{len(ids)} classes, {len(corners)} boxes and {len(polygons)} polygons: give the same number of each"
            )
        outlines = tuple(None if p is None else np.asarray(p, np.float32).reshape(-1, 2) for p in polygons)
        return cls(ids, corners, outlines)

    @classmethod
    def empty(cls) -> "Objects":
        """No objects: what a background image has."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), ())

    @property
    def num_objects(self) -> int:
        return len(self.cls)

    @property
    def all_outlined(self) -> bool:
        """Whether every object has a polygon, and there is one at least."""
        return bool(self.polygons) and all(polygon is not None for polygon in self.polygons)

    @property
    def has_area(self) -> np.ndarray:
        """(n,) bool: whether the box has a width and a height, and the outline, where known, is not empty."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]  # (n, 2)
        outlined = np.array([polygon is None or len(polygon) > 0 for polygon in self.polygons], bool)
        usable: np.ndarray = (sides > 0).all(1) & outlined
        return usable

    def select(self, which: np.ndarray) -> "Objects":
        """The objects of a mask (n,) bool or of indices (m,) int, in that order."""
        which = np.asarray(which)
        indices = np.flatnonzero(which) if which.dtype == bool else which.astype(np.int64)
        return Objects(self.cls[indices], self.boxes[indices], tuple([self.polygons[i] for i in indices.tolist()]))

    def moved(self, dx: float, dy: float) -> "Objects":
        """Shifted by dx pixels to the right and dy pixels down."""
        shift = np.array((dx, dy), np.float32)
        boxes = self.boxes + np.array((dx, dy, dx, dy), np.float32)
        return Objects(self.cls, boxes, _each(self.polygons, lambda polygon: polygon + shift))

    def scaled(self, fx: float, fy: float) -> "Objects":
        """x times fx and y times fy, both positive: what resizing an image does."""
        factor = np.array((fx, fy), np.float32)
        boxes = self.boxes * np.array((fx, fy, fx, fy), np.float32)
        return Objects(self.cls, boxes, _each(self.polygons, lambda polygon: polygon * factor))

    def mirrored(self, width: float | None = None, height: float | None = None) -> "Objects":
        """Left and right exchanged in an image ``width`` wide; up and down in one ``height`` high."""
        mirrored = self
        if width is not None:
            mirrored = mirrored._linear((-1, 1), (width, 0))
        if height is not None:
            mirrored = mirrored._linear((1, -1), (0, height))
        one, other = mirrored.boxes[:, :2], mirrored.boxes[:, 2:]  # (n, 2) corners
        boxes = np.concatenate((np.minimum(one, other), np.maximum(one, other)), 1)  # (n, 4)
        return mirrored._replace(boxes=boxes)

    def clipped(self, width: float, height: float) -> "Objects":
        """What lies inside an image of that size. All n stay: ``has_area`` says of which nothing is left."""
        boxes = self.boxes.clip(0, np.array((width, height, width, height), np.float32))
        return Objects(self.cls, boxes, _each(self.polygons, lambda polygon: clip_polygon(polygon, width, height)))

    def _linear(self, factor: tuple[float, float], offset: tuple[float, float]) -> "Objects":
        scale, shift = np.array(factor, np.float32), np.array(offset, np.float32)  # (2,) each
        boxes = (self.boxes.reshape(-1, 2, 2) * scale + shift).reshape(-1, 4)  # (n, corner, xy) -> (n, 4)
        return Objects(self.cls, boxes, _each(self.polygons, lambda polygon: polygon * scale + shift))


def real_boxes(boxes: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """As float32. Raises ValueError for complex numbers, of which a part would be lost."""
    given = np.asarray(boxes)
    if np.iscomplexobj(given):
        raise ValueError(f"box 0 as {given.reshape(-1)[:4].tolist()}: boxes are real numbers, x1 y1 x2 y2 in pixels")
    return np.asarray(given, np.float32)


def _each(polygons: Sequence[Polygon], change: Callable[[np.ndarray], np.ndarray]) -> tuple[Polygon, ...]:
    return tuple([None if polygon is None else change(polygon) for polygon in polygons])  # faster than a generator


def concatenate(parts: Sequence[Objects]) -> Objects:
    """The objects of several images, one after the other.

    >>> concatenate([Objects.empty(), Objects.build([3], [[0, 0, 1, 1]])]).cls.tolist()
    [3]
    """
    if not parts:
        return Objects.empty()
    return Objects(
        np.concatenate([part.cls for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        tuple(polygon for part in parts for polygon in part.polygons),
    )


class Augmented(NamedTuple):
    """What most augmentations return. Where nothing was to be done, these are the inputs themselves, not copies."""

    image: Image  # (H, W, C)
    objects: Objects


def require_image(image: np.ndarray) -> None:
    """Raises an error with one clear sentence for anything that is not an image, RGB or of C channels.

    Raises:
        ValueError: not (H, W, C) uint8 with at least one pixel; of three rows and more columns than a picture has
        channels, which is (C, H, W).
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is a NumPy array, (H, W, 3) uint8 RGB, not {type(image).__name__}")
    shape, dtype = image.shape, image.dtype
    if image.ndim != 3 or (shape[0] in (1, 3, 4) and shape[2] > MANY) or dtype != np.uint8:
        hint = "; a gray image becomes RGB with np.repeat(gray[..., None], 3, -1)" if image.ndim == 2 else ""
        raise ValueError(f"an image is (H, W, 3) uint8 RGB, or (H, W, C), not {shape} {dtype}{hint}")
    if image.size == 0:
        raise ValueError(f"an image has at least one pixel, this one is {shape}")


def require_rgb(image: np.ndarray) -> None:
    """Raises ValueError for what is not an RGB image: see require_image."""
    require_image(image)
    if image.shape[2] != 3:
        raise ValueError(f"colours need an image (H, W, 3) uint8 RGB, not {image.shape}")


def channels_first(image: Image) -> np.ndarray:
    """(H, W, C) uint8 -> (C, H, W), the network's order of axes; a copy.

    >>> channels_first(np.zeros((4, 6, 3), np.uint8)).shape
    (3, 4, 6)
    """
    planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))  # in a seventh of the time of a transposed copy
    return planes


def height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """One side s, or (height, width) -> (height, width).

    Raises:
        ValueError: a side that is not a positive whole number.

    >>> height_width(640), height_width((384, 640))
    ((640, 640), (384, 640))
    """
    sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Iterable) else (size, size)
    if len(sides) != 2 or any(int(side) != side or side < 1 for side in sides):
        raise ValueError(f"a size is one positive whole number or (height, width), not {size!r}")
    return int(sides[0]), int(sides[1])


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
