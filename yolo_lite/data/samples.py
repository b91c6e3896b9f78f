"""One sample: all its random numbers, and the steps from images and labels to the network's input.

YOLOv5: `LoadImagesAndLabels.__getitem__`, with `load_mosaic`, `mixup`, `random_perspective`, `letterbox`,
`augment_hsv`.
``draw_sample`` decides, ``sample_stages`` computes. n objects, H W height and width.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.augment.colour import (
    HsvDraw,
    PhotometricDraw,
    apply_hsv,
    apply_photometric,
    draw_hsv,
    draw_photometric,
    photometric_without_colour,
)
from yolo_lite.augment.geometry import CropDraw, FlipDraw, apply_crop, apply_flip, draw_crop, draw_flip
from yolo_lite.augment.letterbox import Geometry, letterbox
from yolo_lite.augment.mixing import (
    CopyPasteDraw,
    MixupDraw,
    MosaicDraw,
    apply_copy_paste,
    apply_mixup,
    draw_copy_paste,
    draw_mixup,
    draw_mosaic,
    is_seen,
    join_images,
)
from yolo_lite.augment.objects import Image, Objects
from yolo_lite.augment.warp import WarpDraw, apply_warp, draw_warp, source_window, warp_matrices
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.hyperparameters import Hyperparameters

EDGE = 1e-3  # px that boxes keep from the right and lower edge, as the reference clips them


class MosaicDraws(NamedTuple):
    """A mosaic, what is pasted into it, and the warp that cuts the network's input out of it."""

    index: int  # type: ignore[assignment]  # hides tuple.index; of the image that the mosaic is drawn for
    mosaic: MosaicDraw
    copy_paste: CopyPasteDraw
    warp: WarpDraw


class SampleDraw(NamedTuple):
    """All that chance decides about a sample; None = that step is not taken."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    epoch: int
    mosaic: MosaicDraws | None = None
    second_mosaic: MosaicDraws | None = None  # what mixup blends in
    mixup: MixupDraw | None = None
    warp: WarpDraw | None = None  # of the image itself, where there is no mosaic
    crop: CropDraw | None = None
    photometric: PhotometricDraw | None = None
    hsv: HsvDraw | None = None
    flip: FlipDraw | None = None


def draw_sample(
    hyp: Hyperparameters,
    index: int,
    epoch: int,
    generator: np.random.Generator,
    size: tuple[int, int],
    objects_per_image: np.ndarray,
    allow_mosaic: bool = True,
) -> SampleDraw:
    """Draws an augmented sample.

    Everything is drawn in the same order whatever ``hyp`` says, so changing one setting leaves the others' draws as
    they are.

    Args:
        size: (height, width) of the network input. objects_per_image: (n,) of the whole dataset.
    """
    has_mosaic, has_mixup = (generator.random(2) < (hyp.mosaic, hyp.mixup)).tolist()
    has_mosaic = has_mosaic and allow_mosaic
    has_mixup = has_mixup and has_mosaic
    mosaic = _draw_mosaic(hyp, index, generator, size, objects_per_image)
    partner = int(generator.integers(len(objects_per_image)))
    second = _draw_mosaic(hyp, partner, generator, size, objects_per_image)
    mixup, warp = draw_mixup(hyp, size, generator), draw_warp(hyp, size, generator)
    crop = draw_crop(hyp, size, generator)
    return SampleDraw(
        index,
        epoch,
        mosaic=mosaic if has_mosaic else None,
        second_mosaic=second if has_mixup else None,
        mixup=mixup if has_mixup else None,
        warp=None if has_mosaic else warp,
        crop=None if crop == CropDraw() else crop,
        photometric=draw_photometric(hyp, size, generator),
        hsv=draw_hsv(hyp, size, generator),
        flip=draw_flip(hyp, size, generator),
    )


def without_colour(draw: SampleDraw) -> SampleDraw:
    """What is left of it for images that are not RGB."""
    photometric = None if draw.photometric is None else photometric_without_colour(draw.photometric)
    return draw._replace(hsv=None, photometric=photometric)


def _draw_mosaic(
    hyp: Hyperparameters,
    index: int,
    generator: np.random.Generator,
    size: tuple[int, int],
    objects_per_image: np.ndarray,
) -> MosaicDraws:
    mosaic = draw_mosaic(hyp, size, generator, index, len(objects_per_image))
    num_objects = int(objects_per_image[[index, *mosaic.partners]].sum())
    copy_paste = draw_copy_paste(hyp, size, generator, num_objects)
    return MosaicDraws(index, mosaic, copy_paste, draw_warp(hyp, size, generator))


class Loaded(NamedTuple):
    """An image as it enters the pipeline: resized so that its longest side is that of the network input."""

    image: Image  # (H, W, C)
    objects: Objects  # in its pixels
    original_size: tuple[int, int]  # (height, width)


class Stage(NamedTuple):
    """A sample after one of its steps."""

    name: str  # load, letterbox, mosaic, copy_paste, warp, mixup, crop, photometric, hsv, flip, transform
    image: Image  # (H, W, C)
    objects: Objects  # in its pixels
    result: Any = None  # what the step gave besides: a Geometry, a Mosaic, a Warped (with the boxes it dropped) ...


Load = Callable[[int], Loaded]  # dataset index -> image


def sample_stages(
    draw: SampleDraw, load: Load, size: tuple[int, int], placeholder: Load | None = None
) -> Iterator[Stage]:
    """The sample after each of its steps; the last is the finished one.

    Args:
        load: reads an image of the dataset. size: (height, width) of the network input.
        placeholder: an image without its own pixels. Where it is given, mosaics have only those that the warp shows,
            and partners in them of which it shows nothing are not read. The finished sample is the same.
    """
    mosaic = draw.mosaic
    start = _single_stages(draw, load, size) if mosaic is None else _mosaic_stages(mosaic, load, size, placeholder)
    for stage in start:
        yield stage
    image, objects = stage.image, stage.objects
    if draw.second_mosaic is not None and draw.mixup is not None:
        *_, second = _mosaic_stages(draw.second_mosaic, load, size, placeholder)
        image, objects = apply_mixup(image, objects, second.image, second.objects, draw.mixup)
        yield Stage("mixup", image, objects, second)
    if draw.crop is not None:
        cropped = apply_crop(image, objects, draw.crop)
        image, objects = cropped.image, cropped.objects
        yield Stage("crop", image, objects, cropped)
    if draw.photometric is not None:
        image = apply_photometric(image, draw.photometric)
        yield Stage("photometric", image, objects)
    if draw.hsv is not None:
        image = apply_hsv(image, draw.hsv)
        yield Stage("hsv", image, objects)
    if draw.flip is not None:
        image, objects = apply_flip(image, objects, draw.flip)
        yield Stage("flip", image, objects)


def _single_stages(draw: SampleDraw, load: Load, size: tuple[int, int]) -> Iterator[Stage]:
    """An image by itself: letterboxed, and warped where that was drawn."""
    image, objects, original_size = load(draw.index)
    yield Stage("load", image, objects)
    ratio = max(image.shape[:2]) / max(original_size)
    boxed = letterbox(image, size, auto=False, scaleup=draw.warp is not None)  # validation never enlarges
    objects = objects.scaled(boxed.ratio, boxed.ratio).moved(*boxed.pad)
    yield Stage("letterbox", boxed.image, objects, Geometry(original_size, ratio * boxed.ratio, boxed.pad))
    if draw.warp is not None:
        warped = apply_warp(boxed.image, objects, draw.warp)
        yield Stage("warp", warped.image, warped.objects, warped)


def _mosaic_stages(draws: MosaicDraws, load: Load, size: tuple[int, int], placeholder: Load | None) -> Iterator[Stage]:
    indices, window = (draws.index, *draws.mosaic.partners), None
    loaders = [load] * 4
    if placeholder is not None and not draws.copy_paste.fraction:  # copies may come from anywhere
        canvas = 2 * size[0], 2 * size[1]
        window = source_window(warp_matrices(draws.warp, canvas, size).combined, canvas, size)
        loaders[1:] = [load if is_seen(draws.mosaic, which, window) else placeholder for which in (1, 2, 3)]
    loaded = (load_one(index) for load_one, index in zip(loaders, indices, strict=True))  # into the same memory
    mosaic = join_images(((image, objects) for image, objects, _ in loaded), draws.mosaic, size, window)
    yield Stage("mosaic", mosaic.image, mosaic.objects, mosaic)
    copy_paste = _for_all(draws.copy_paste, mosaic.objects.num_objects)
    image, objects = apply_copy_paste(mosaic.image, mosaic.objects, copy_paste)
    yield Stage("copy_paste", image, objects)
    warped = apply_warp(image, objects, draws.warp, size)  # shows the middle of the canvas
    yield Stage("warp", warped.image, warped.objects, warped)


def _for_all(drawn: CopyPasteDraw, num_objects: int) -> CopyPasteDraw:
    """An image that took the place of another may bring more objects than were drawn for: the others come last."""
    return drawn._replace(order=(*drawn.order, *range(len(drawn.order), num_objects)))


def normalised(objects: Objects, size: tuple[int, int]) -> np.ndarray:
    """Objects in pixels -> label rows (n, 6) float32: 0, class, xc, yc, w, h as fractions of the image's sides."""
    height, width = size
    boxes = objects.boxes.clip(0, np.array((width, height, width, height)) - EDGE)
    labels = np.zeros((len(objects.cls), 6), np.float32)
    labels[:, 1] = objects.cls
    labels[:, 2:] = xyxy_to_xywh(boxes) / (width, height, width, height)
    return labels
