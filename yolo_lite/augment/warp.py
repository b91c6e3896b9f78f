"""Warp: rotation, scale, shear, translation and perspective in one matrix, and where it moves the objects.

YOLOv5: `random_perspective`. One matrix moves the pixels and the labels. Sizes are (height, width).
Shape letters: n objects, k points of a polygon, H W height and width.
"""

import math
from functools import reduce
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite._moved import renamed_field
from yolo_lite.augment.box_filter import MIN_AREA_BOX, MIN_AREA_POLYGON, BoxFilter, box_candidates
from yolo_lite.augment.objects import PADDING, Image, Objects, Rectangle, height_width, require_image
from yolo_lite.augment.polygons import clip_polygon, cut_polygon, visible_extent
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support.band_groups import in_groups

SINGULAR = 1e-6  # a determinant below this zooms a whole image into a pixel
READ_AROUND = 2  # px around a point that interpolation reads, and roundings on the way there
HORIZON = 1e-3  # what a perspective divides by less than this is behind the viewer, and not seen


class WarpDraw(NamedTuple):
    """Where nothing is given: the warp that only centres the canvas in the output."""

    angle: float = 0.0  # degrees, counter-clockwise
    scale: float = 1.0  # zoom
    shear: tuple[float, float] = (0.0, 0.0)  # degrees, x and y
    translate: tuple[float, float] = (0.5, 0.5)  # where the canvas centre goes, fractions of the output's sides
    perspective: tuple[float, float] = (0.0, 0.0)  # x and y, per pixel from the centre


class WarpMatrices(NamedTuple):
    """M = T S R P C, each (3, 3): the canvas is centred first and moved to its place last. YOLOv5: `M`, `T`, `S` ..."""

    translation: np.ndarray
    shear: np.ndarray
    rotation: np.ndarray  # and scale
    perspective: np.ndarray
    centre: np.ndarray

    @property
    def combined(self) -> np.ndarray:
        """(3, 3): maps (x, y, 1) of the canvas to the output, up to division by the third component."""
        product: np.ndarray = self.translation @ self.shear @ self.rotation @ self.perspective @ self.centre
        return product


class Warped(NamedTuple):
    """An image and its objects after a warp, with what became of each of them."""

    image: Image  # (H, W, C)
    objects: Objects  # those that the box filter keeps
    matrix: np.ndarray  # (3, 3)
    before: Objects  # all the objects that came in (input pixels)
    after: Objects  # all of them where the warp put them, the dropped ones too (output pixels)
    box_filter: BoxFilter

    @property
    def survival(self) -> BoxFilter:
        """The name of ``box_filter`` until 0.3.0."""
        found: BoxFilter = renamed_field(self, "survival", "box_filter")
        return found


def draw_warp(hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> WarpDraw:
    """Samples a warp: angle U(+-degrees), scale 1 + U(+-scale), shear U(+-shear), translation, perspective.

    Every number is drawn whatever ``hyp`` says, so changing one setting leaves the other draws alone.

    Raises:
        ValueError: hyp.scale above 1, which would turn images inside out.
    """
    if hyp.scale > 1:
        raise ValueError(f"scale must lie between 0 and 1 for a warp (zoom 1 +- scale), not {hyp.scale:g}")
    angle, scale, shear_x, shear_y, x, y, perspective_x, perspective_y = generator.uniform(-1, 1, 8).tolist()
    return WarpDraw(
        angle=angle * hyp.degrees,
        scale=1 + scale * hyp.scale,
        shear=(shear_x * hyp.shear, shear_y * hyp.shear),
        translate=(0.5 + x * hyp.translate, 0.5 + y * hyp.translate),
        perspective=(perspective_x * hyp.perspective, perspective_y * hyp.perspective),
    )


def warp_matrices(drawn: WarpDraw, canvas: int | tuple[int, int], size: int | tuple[int, int]) -> WarpMatrices:
    """The five steps of a warp from a canvas to an output.

    Args:
        canvas: (height, width) of the image that is warped. size: (height, width) of the output.

    >>> matrices = warp_matrices(WarpDraw(scale=2.0), canvas=(100, 100), size=(50, 50))
    >>> (matrices.combined @ (50, 50, 1)).tolist()  # the centre stays the centre
    [25.0, 25.0, 1.0]
    """
    canvas_h, canvas_w = height_width(canvas)
    height, width = height_width(size)
    translation, shear, rotation, perspective, centre = np.eye(3)[None].repeat(5, 0)
    centre[:2, 2] = -canvas_w / 2, -canvas_h / 2
    perspective[2, :2] = drawn.perspective
    rotation[:2] = cv2.getRotationMatrix2D(center=(0, 0), angle=drawn.angle, scale=drawn.scale)
    shear[0, 1], shear[1, 0] = (math.tan(math.radians(degrees)) for degrees in drawn.shear)
    translation[:2, 2] = drawn.translate[0] * width, drawn.translate[1] * height
    return WarpMatrices(translation, shear, rotation, perspective, centre)


def apply_warp(image: Image, objects: Objects, drawn: WarpDraw, size: int | tuple[int, int] | None = None) -> Warped:
    """Warps an image and its objects, and removes objects of which too little is left. YOLOv5: `random_perspective`.

    A mosaic canvas of (2s, 2s) with ``size=s`` shows its middle (YOLOv5: `border`, `mosaic_border` of -s/2).
    The matrix moves pixel numbers and box edges alike, as the reference's does, though a pixel's number means its
    middle: labels part from their pixels by ``|zoom - 1| / 2`` px, and by a pixel where the image is rotated by 180
    degrees.

    Args:
        image: (H, W, C) uint8, of any channels. size: (height, width) of the output; left out = that of the image.
    Returns:
        Warped; its image is the input itself where the warp does nothing.

    >>> gray = np.full((100, 100, 3), 90, np.uint8)
    >>> apply_warp(gray, Objects.build([0], [[0, 0, 10, 10]]), WarpDraw(translate=(0.45, 0.42))).after.boxes
    array([[0., 0., 5., 2.]], dtype=float32)
    """
    require_image(image)
    canvas = image.shape[:2]
    height, width = canvas if size is None else height_width(size)
    matrix = warp_matrices(drawn, canvas, (height, width)).combined
    after = map_objects(objects, matrix, (height, width))
    threshold = MIN_AREA_POLYGON if objects.all_outlined else MIN_AREA_BOX
    box_filter = box_candidates(objects.boxes * drawn.scale, after.boxes, threshold)
    warped = warp_image(image, matrix, (height, width))
    return Warped(warped, after.select(box_filter.kept), matrix, objects, after, box_filter)


def warp_image(image: Image, matrix: np.ndarray, size: tuple[int, int]) -> Image:
    """The pixels alone: (H, W, C) through a (3, 3) matrix into (height, width), gray where nothing lands."""
    height, width = size
    if image.shape[:2] == (height, width) and np.array_equal(matrix, np.eye(3)):
        return image
    is_affine = matrix[2].tolist() == [0, 0, 1]  # no perspective: the cheaper call

    def warped(pixels: Image) -> Image:
        if is_affine:
            return cv2.warpAffine(pixels, matrix[:2], (width, height), borderValue=PADDING)
        return cv2.warpPerspective(pixels, matrix, (width, height), borderValue=PADDING)

    if image.shape[2] != 3:
        return in_groups(image, warped)
    return cv2.cvtColor(warped(_four_channels(image, matrix, size)), cv2.COLOR_RGBA2RGB)


def _four_channels(image: Image, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> (H, W, 4), where it is read: OpenCV 5 warps four channels in less than half the time of three."""
    rgba = image.base
    if rgba is not None and rgba.shape == (*image.shape[:2], 4) and rgba.ctypes.data == image.ctypes.data:
        return rgba  # of which the image is a view
    left, top, right, bottom = source_window(matrix, image.shape[:2], size)
    rgba = np.empty((*image.shape[:2], 4), np.uint8)
    cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2RGBA, rgba[top:bottom, left:right])
    return rgba


def source_window(matrix: np.ndarray, source: tuple[int, int], size: tuple[int, int]) -> Rectangle:
    """The rectangle of a source that a warp into an output of ``size`` reads; all of it where there is perspective.

    >>> source_window(np.diag((2.0, 2.0, 1.0)), source=(100, 100), size=(50, 80))
    (0, 0, 42, 27)
    """
    (source_h, source_w), (height, width) = source, size
    (a, b, c), (d, e, f), last = matrix.tolist()  # x' = a x + b y + c, y' = d x + e y + f
    determinant = a * e - b * d
    if last != [0, 0, 1] or abs(determinant) < SINGULAR:
        return 0, 0, source_w, source_h
    corners = [(x - c, y - f) for x in (0, width) for y in (0, height)]
    xs = [(e * x - b * y) / determinant for x, y in corners]
    ys = [(a * y - d * x) / determinant for x, y in corners]
    left, top = (int(min(max(min(v) - READ_AROUND, 0), end - 1)) for v, end in ((xs, source_w), (ys, source_h)))
    right, bottom = (int(min(max(v) + READ_AROUND, end)) for v, end in ((xs, source_w), (ys, source_h)))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points through a matrix, perspective divided out: (..., 2) -> (..., 2) float64."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]  # (..., 3)
    mapped: np.ndarray = homogeneous[..., :2] / homogeneous[..., 2:]
    return mapped


def map_objects(objects: Objects, matrix: np.ndarray, size: tuple[int, int]) -> Objects:
    """Objects through a (3, 3) matrix, clipped to an output of (height, width); all n of them.

    A box becomes the extent of its four mapped corners. Where every object of the image has a polygon, boxes become
    the extent of the visible part of the mapped polygons, which is tighter.
    """
    height, width = size
    outlines = tuple(None if polygon is None else _map_outline(polygon, matrix) for polygon in objects.polygons)
    if objects.all_outlined:
        extents = [visible_extent(outline, width, height) for outline in outlines if outline is not None]
        boxes = np.array(extents, np.float32).reshape(-1, 4)
    else:
        boxes = _map_boxes(objects.boxes, matrix).clip(0, (width, height, width, height)).astype(np.float32)
    polygons = tuple(None if outline is None else clip_polygon(outline, width, height) for outline in outlines)
    return Objects(objects.cls, boxes, polygons)


def _map_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Extents of the mapped corners, (n, 4) -> (n, 4) float64; zeros for what is behind the viewer."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)  # (n, 4, 2), around the box
    if matrix[2].tolist() == [0, 0, 1]:
        mapped = map_points(corners.reshape(-1, 2), matrix).reshape(-1, 4, 2).swapaxes(0, 1)  # (4, n, 2)
        return np.concatenate((reduce(np.minimum, mapped), reduce(np.maximum, mapped)), 1)  # sooner than .min(0)
    outlines = [_map_outline(corner, matrix) for corner in corners]
    extents = [np.concatenate((o.min(0), o.max(0))) if len(o) else np.zeros(4) for o in outlines]
    return np.array(extents, np.float64).reshape(-1, 4)


def _map_outline(polygon: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(k, 2) -> (j, 2) float64. Straight edges stay straight, so the corners are all that needs mapping.

    A strong perspective has a horizon: what lies behind it is cut off first, as it would come out mirrored.
    """
    homogeneous = polygon @ matrix[:, :2].T + matrix[:, 2]  # (k, 3)
    if (homogeneous[:, 2] < HORIZON).any():
        homogeneous, in_front = cut_polygon(homogeneous, homogeneous[:, 2] - HORIZON)
        homogeneous = homogeneous[in_front >= 0]
    mapped: np.ndarray = homogeneous[:, :2] / homogeneous[:, 2:]
    return mapped
