"""A step of your own, after the augmentations: ``YoloDataset(transform=fn)``. n objects, H W of the network input."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from yolo_lite.augment.letterbox import Geometry
from yolo_lite.augment.objects import Image, Objects, real_boxes
from yolo_lite.data.samples import Stage
from yolo_lite.data.unreadable import READ_ERRORS
from yolo_lite.support.arguments import name_of

# image (H, W, C) uint8, its objects, random numbers -> the same kinds, the image of the same size
Transform = Callable[[Image, Objects, np.random.Generator], tuple[Image, Objects]]
TRANSFORM = 2  # sets its random numbers apart from those of the augmentations, which share seed, epoch and index


def transform_name(transform: Transform | None) -> str | None:
    """What messages, checkpoints and the lab call it: the name of the function or class, without its module.

    >>> transform_name(sorted), transform_name(None)
    ('sorted', None)
    """
    return None if transform is None else name_of(transform)


def transform_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers that a transform gets: a function of (seed, epoch, index)."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch, index], spawn_key=(TRANSFORM,)))


def with_transform(
    stages: Iterator[Stage], transform: Transform, generator: np.random.Generator, num_classes: int, path: str = ""
) -> Iterator[Stage]:
    """The stages of a sample and, behind them, that of the transform.

    The result of the last one is the letterbox's Geometry where no augmentation stands between them.
    """
    for stage in stages:
        yield stage
    image, objects = apply_transform(transform, stage.image, stage.objects, generator, num_classes, path)
    yield Stage("transform", image, objects, stage.result if isinstance(stage.result, Geometry) else None)


def apply_transform(
    transform: Transform,
    image: Image,
    objects: Objects,
    generator: np.random.Generator,
    num_classes: int,
    path: str = "",
) -> tuple[Image, Objects]:
    """What the function makes of copies, checked; objects of which nothing lies inside the image are left out.

    Args:
        path: of the image, for messages.
    Raises:
        ValueError, TypeError: what it returned cannot be used, with its name. RuntimeError: it could not read a file,
        which is not to be mistaken for an image of the dataset that cannot be read.

    >>> image, objects = np.zeros((32, 32, 3), np.uint8), Objects.build([0], [[4, 4, 20, 20]])
    >>> negative = lambda image, objects, rng: (255 - image, objects)
    >>> int(apply_transform(negative, image, objects, np.random.default_rng(0), 1)[0].max())
    255
    """
    copied = Objects(objects.cls.copy(), objects.boxes.copy(), objects.polygons)
    name, where = f"transform {transform_name(transform)}", f" ({path})" if path else ""
    try:
        result = transform(image.copy(), copied, generator)
    except READ_ERRORS as error:
        raise RuntimeError(f"{name}: {error}") from error
    except ValueError as error:  # of Objects.build, for example
        raise ValueError(f"{name}: {error}{where}") from error
    try:
        return _checked(result, image, num_classes)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {error}{where}") from None


def _checked(result: Any, before: Image, num_classes: int) -> tuple[Image, Objects]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"returned {type(result).__name__}: it must return (image, objects)")
    image, objects = result
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != before.shape:
        found = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"returned an image that is {found}: it must stay {before.shape} uint8, the network's input")
    if not isinstance(objects, Objects):
        raise TypeError(f"returned objects that are {type(objects).__name__}: Objects.build(classes, boxes) makes them")
    cls, boxes = np.asarray(objects.cls), real_boxes(objects.boxes)
    if boxes.shape != (len(cls), 4) or cls.shape != (len(cls),) or len(objects.polygons) != len(cls):
        shapes = f"cls {cls.shape}, boxes {boxes.shape} and {len(objects.polygons)} polygons"
        raise ValueError(f"returned {shapes}: they must be (n,), (n, 4) and n")
    usable = np.isfinite(boxes).all(1) & (boxes[:, 2:] >= boxes[:, :2]).all(1)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"returned box {row} as {boxes[row].tolist()}: boxes are finite x1 y1 x2 y2 in pixels, x1 <= x2 and "
            "y1 <= y2 (a flip exchanges the two)"
        )
    if len(boxes) and ((boxes > 0) & (boxes <= 1)).all() and (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError(
            f"returned box 0 as {boxes[0].astype(float).round(4).tolist()}, and the others within 0 and 1 too: boxes "
            f"are in pixels of the image, {image.shape[1]} x {image.shape[0]} (W x H), not in fractions of its sides"
        )
    wrong = (cls != np.floor(cls)) | (cls < 0) | (cls >= num_classes)
    if wrong.any():
        raise ValueError(f"returned class {cls[wrong][0]}: classes are whole numbers from 0 to {num_classes - 1}")
    height, width = image.shape[:2]
    inside = boxes.clip(0, (width, height, width, height))
    checked = Objects.build(cls, boxes, objects.polygons)
    visible = (inside[:, 2:] > inside[:, :2]).all(1)
    return image, checked if visible.all() else checked.select(np.flatnonzero(visible))


def require_picklable(transform: Transform | None) -> None:
    """Raises ValueError where worker processes could not be given the function."""
    try:
        pickle.dumps(transform)
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError, and what objects raise in it
        raise ValueError(
            f"transform {transform_name(transform)} cannot be sent to worker processes ({error}): define it with def "
            "at the top level of a module, or use workers=0"
        ) from None
