"""Mixing: mosaic and its labels, mixup, copy-paste. YOLOv5: `load_mosaic`, `mixup`, `copy_paste`.

Sizes are (height, width), points and rectangles (x, y) and (x1, y1, x2, y2) in pixels.
Whether a sample gets a mosaic or a mixup at all (hyp.mosaic, hyp.mixup) is for the dataset to draw: it decides which
images are read. Shape letters: n objects, H W height and width.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite._moved import renamed_field
from yolo_lite.augment.objects import (
    PADDING_VALUE,
    Augmented,
    Image,
    Objects,
    Rectangle,
    concatenate,
    height_width,
    require_image,
)
from yolo_lite.hyperparameters import Hyperparameters

MIXUP_BETA = 32.0  # Beta(32, 32): both images are almost always seen about equally well
PASTE_COVER = 0.30  # a pasted object must hide less than this fraction of every box there


class MosaicDraw(NamedTuple):
    """Which images meet where."""

    centre: tuple[int, int]  # (x, y) pixel of the canvas where the four images meet
    order: tuple[int, int, int, int]  # which of the four (0 = the image itself, 1..3 the partners) lies top-left,
    #                                   top-right, bottom-left, bottom-right
    partners: tuple[int, int, int]  # dataset indices of the others


class Placement(NamedTuple):
    """Where one of the four images lies: canvas[canvas rectangle] = image[source rectangle]."""

    image: int  # which of the four
    source: Rectangle  # pixels of that image
    canvas: Rectangle  # pixels of the mosaic

    @property
    def offset(self) -> tuple[int, int]:
        """(dx, dy) from pixels of the image to pixels of the mosaic."""
        return self.canvas[0] - self.source[0], self.canvas[1] - self.source[1]


class Mosaic(NamedTuple):
    """Four images on one canvas, with their objects."""

    image: Image  # (2H, 2W, C)
    objects: Objects  # of all four, clipped to the canvas; in the order of the placements
    placements: tuple[Placement, ...]  # top-left, top-right, bottom-left, bottom-right


def draw_mosaic(
    hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator, index: int, num_images: int
) -> MosaicDraw:
    """Samples a centre in the middle half of the canvas, three partners (with replacement), and which image goes where.

    YOLOv5: `yc, xc` from `mosaic_border`, `indices`.

    Args:
        size: of the network input; the canvas is twice as high and wide.
        index: of the image itself. num_images: of the dataset.
    """
    if not 0 <= index < num_images:
        raise ValueError(f"image {index} of a dataset of {num_images}: must lie between 0 and {num_images - 1}")
    height, width = height_width(size)
    x, y = generator.uniform(0.5, 1.5, 2).tolist()
    partners = generator.integers(num_images, size=3).tolist()
    order = generator.permutation(4).tolist()
    return MosaicDraw((int(x * width), int(y * height)), tuple(order), tuple(partners))


def apply_mosaic(
    images: Sequence[Image], objects: Sequence[Objects], drawn: MosaicDraw, size: int | tuple[int, int]
) -> Mosaic:
    """Joins four images and their labels around a centre: each has a corner there, and ends where the canvas ends.

    YOLOv5: `load_mosaic`, with `img4`, `labels4`, `segments4`; `x1a ... y2a` is a placement's rectangle of the canvas,
    `x1b ... y2b` that of the image, `padw, padh` its offset.
    Source: Bochkovskiy et al. 2020, YOLOv4 (arXiv 2004.10934).

    Args:
        images: four of (h, w, C), resized so that their longest side is that of ``size``: the image itself, then its
            partners. objects: theirs. size: of the network input.
    Returns:
        Mosaic; objects of which the canvas shows nothing are left out.
    """
    if not len(images) == len(objects) == 4:
        raise ValueError(f"a mosaic needs four images and their objects, not {len(images)} and {len(objects)}")
    return join_images(zip(images, objects, strict=True), drawn, height_width(size))


def join_images(
    four: Iterable[tuple[Image, Objects]],
    drawn: MosaicDraw,
    size: tuple[int, int],
    window: Rectangle | None = None,
) -> Mosaic:
    """``apply_mosaic`` of images that may be read one by one, and of that part of the canvas alone which is needed.

    Args:
        four: images with their objects. size: (height, width) of the network input.
        window: the part that is needed: pixels beside it are undefined, and an image of three channels is a view of
            four, which are warped faster. Left out: all of it.
    """
    height, width = 2 * size[0], 2 * size[1]
    needed = window or (0, 0, width, height)
    placements, parts, canvas, channels = {}, {}, np.empty(0, np.uint8), 3
    for which, (image, objects) in enumerate(four):
        require_image(image)
        if not canvas.size:
            channels = image.shape[-1]
            canvas = np.empty((height, width, 4 if window and channels == 3 else channels), np.uint8)
            canvas[needed[1] : needed[3], needed[0] : needed[2]] = PADDING_VALUE
        corner = drawn.order.index(which)
        placement = _place(which, corner, image.shape[:2], drawn.centre, (height, width))
        (left, top, right, bottom), (x, y) = _overlap(placement.canvas, needed), placement.offset
        _copy(image[top - y : bottom - y, left - x : right - x], canvas[top:bottom, left:right])
        placements[corner], parts[corner] = placement, objects.moved(x, y)
    together = concatenate([parts[corner] for corner in range(4)]).clipped(width, height)
    in_order = tuple(placements[corner] for corner in range(4))
    return Mosaic(canvas[..., :channels], together.select(together.has_area), in_order)


def is_seen(drawn: MosaicDraw, which: int, window: Rectangle) -> bool:
    """Whether a window of the canvas reaches into the quarter in which an image (0..3) lies."""
    corner, (x, y), (left, top, right, bottom) = drawn.order.index(which), drawn.centre, window
    return (right > x if corner % 2 else left < x) and (bottom > y if corner >= 2 else top < y)


def _place(
    which: int, corner: int, image_size: tuple[int, int], centre: tuple[int, int], canvas_size: tuple[int, int]
) -> Placement:
    """Corner 0..3 = the image lies top-left, top-right, bottom-left or bottom-right of the centre."""
    (height, width), (canvas_h, canvas_w), (x, y) = image_size, canvas_size, centre
    origin_x = x if corner % 2 else x - width  # where the image's own (0, 0) falls, maybe off the canvas
    origin_y = y if corner >= 2 else y - height
    left, right = max(origin_x, 0), min(origin_x + width, canvas_w)
    top, bottom = max(origin_y, 0), min(origin_y + height, canvas_h)
    source = (left - origin_x, top - origin_y, right - origin_x, bottom - origin_y)
    return Placement(which, source, (left, top, right, bottom))


def _copy(image: Image, canvas: np.ndarray) -> None:
    """Writes an image into a part of a canvas, which may have a fourth channel."""
    if image.shape == canvas.shape:
        canvas[...] = image
    elif image.size:
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, canvas)


def _overlap(one: Rectangle, other: Rectangle) -> Rectangle:
    """What lies in both rectangles; without a width or a height where nothing does."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    return left, top, max(min(one[2], other[2]), left), max(min(one[3], other[3]), top)


class MixupDraw(NamedTuple):
    """How much of the first image remains."""

    ratio: float  # weight of the first image


def draw_mixup(hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator) -> MixupDraw:
    """Samples ratio ~ Beta(32, 32)."""
    return MixupDraw(float(generator.beta(MIXUP_BETA, MIXUP_BETA)))


def apply_mixup(image_a: Image, objects_a: Objects, image_b: Image, objects_b: Objects, drawn: MixupDraw) -> Augmented:
    """Blends two images, image_a * ratio + image_b * (1 - ratio), with the objects of both at full weight.

    YOLOv5: `mixup`. Source: Zhang et al. 2018 (arXiv 1710.09412). Raises ValueError where the sizes differ.
    """
    require_image(image_a)
    require_image(image_b)
    if image_a.shape != image_b.shape:
        raise ValueError(f"mixup needs two images of one size, not {image_a.shape[:2]} and {image_b.shape[:2]}")
    blended = cv2.addWeighted(image_a, drawn.ratio, image_b, 1 - drawn.ratio, 0)
    return Augmented(blended.reshape(image_a.shape), concatenate((objects_a, objects_b)))


class CopyPasteDraw(NamedTuple):
    """Which objects are tried, in which order."""

    order: tuple[int, ...] = ()  # permutation of the objects: which are tried first
    fraction: float = 0.0  # of the objects with an outline that are tried

    @property
    def share(self) -> float:
        """The name of ``fraction`` until 0.3.0."""
        found: float = renamed_field(self, "share", "fraction")
        return found


def draw_copy_paste(
    hyp: Hyperparameters, size: int | tuple[int, int], generator: np.random.Generator, num_objects: int
) -> CopyPasteDraw:
    """Samples the order in which objects are tried, and takes from hyp the fraction of them that are.

    Args:
        num_objects: how many objects there are, at least. A mosaic may lose some of the objects of its four images;
            their sum, known before any is read, will do: a random order of more is a random order of fewer.
    """
    return CopyPasteDraw(tuple(generator.permutation(num_objects).tolist()), hyp.copy_paste)


def apply_copy_paste(image: Image, objects: Objects, drawn: CopyPasteDraw) -> Augmented:
    """Pastes mirror images of outlined objects into the image, where they hide little of the objects there.

    An object's mirror image (left-right, of the whole image) is pasted where its box covers less than 30 % of every
    box there, those pasted before included. Of the m objects with an outline round(fraction * m) are tried.
    YOLOv5: `copy_paste`. Source: Ghiasi et al. 2021 (arXiv 2012.07177), within one image.

    Returns:
        Augmented; the pasted objects come last.
    """
    require_image(image)
    if not drawn.fraction:
        return Augmented(image, objects)
    outlined = [i for i, polygon in enumerate(objects.polygons) if polygon is not None and len(polygon) > 2]
    if outlined and len(drawn.order) < objects.num_objects:
        raise ValueError(f"copy-paste drawn for {len(drawn.order)} objects meets {objects.num_objects}: draw for more")
    candidates = [i for i in drawn.order if i in set(outlined)][: round(drawn.fraction * len(outlined))]
    mirrored = objects.mirrored(width=image.shape[1])
    pasted, boxes, canvas = [], objects.boxes, image
    for i in candidates:
        outline = objects.polygons[i]
        if outline is not None and (_covered(boxes, mirrored.boxes[i]) < PASTE_COVER).all():
            canvas = image.copy() if canvas is image else canvas
            _paste_mirrored(canvas, image, outline)
            boxes = np.concatenate((boxes, mirrored.boxes[i : i + 1]))
            pasted.append(i)
    if not pasted:
        return Augmented(image, objects)
    return Augmented(canvas, concatenate((objects, mirrored.select(np.array(pasted)))))


def _covered(boxes: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Fraction of each of the boxes (n, 4) that the box ``by`` (4,) covers, (n,)."""
    overlap = np.minimum(boxes[:, 2:], by[2:]) - np.maximum(boxes[:, :2], by[:2])  # (n, 2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    covered: np.ndarray = overlap.clip(0).prod(1) / (area + 1e-16)
    return covered


def _paste_mirrored(canvas: Image, image: Image, polygon: np.ndarray) -> None:
    """Writes the pixels inside the polygon into ``canvas``, left and right exchanged."""
    height, width = image.shape[:2]
    left, top = np.floor(polygon.min(0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(polygon.max(0)).astype(int), (width, height))
    if left >= right or top >= bottom:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    middle = (polygon.min(0) + polygon.max(0)) / 2
    inward = polygon + 0.01 * np.sign(middle - polygon)  # whole numbers lie between two pixels: the inner one is meant
    cv2.fillPoly(mask, [np.round(inward - (left, top) - 0.5).astype(np.int32)], 1)  # pixel p has its centre at p + .5
    target = canvas[top:bottom, width - right : width - left]
    cv2.copyTo(cv2.flip(image[top:bottom, left:right], 1), cv2.flip(mask, 1), target)
