"""predict: pictures of any kind and size -> boxes in the pixels of the original image.

Shape letters: H W height and width of an image, n detections.
"""

import contextlib
import os
import warnings
from collections.abc import Collection, Generator, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, BinaryIO, Literal, NamedTuple, overload

import cv2
import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.letterbox import Geometry, letterbox, to_original
from yolo_lite.augment.objects import Image
from yolo_lite.data.unreadable import READ_ERRORS
from yolo_lite.detect.detections import Detection, Detections
from yolo_lite.detect.inference import (
    default_batch,
    image_channels,
    inference,
    input_shape,
    network_input,
    size_multiple,
)
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.detect.streams import Source, each_source, is_live, open_stream
from yolo_lite.images.arrays import OVERSHOOT
from yolo_lite.images.rgb import to_channels
from yolo_lite.model.protocol import Detector
from yolo_lite.support.arguments import require_model
from yolo_lite.support.class_names import class_numbers

__all__ = ["Detection", "Detections", "ImageLike", "predict"]

ImageLike = str | os.PathLike[str] | bytes | BinaryIO | np.ndarray | Tensor  # and PIL images
Classes = Collection[int | str] | int | str
SHOWN = 20  # images left out that a warning names


@overload
def predict(
    model: Detector,
    images: ImageLike | Iterable[ImageLike],
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    img_size: int | tuple[int, int] | None = None,
    classes: Classes | None = None,
    agnostic: bool = False,
    max_det: int = 1000,
    batch_size: int | None = None,
    auto: bool = True,
    strict: bool = False,
    multi_label: bool = False,
    stream: Literal[False] = False,
) -> list[Detections]: ...
@overload
def predict(
    model: Detector,
    images: "ImageLike | Iterable[ImageLike] | int | cv2.VideoCapture",
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    img_size: int | tuple[int, int] | None = None,
    classes: Classes | None = None,
    agnostic: bool = False,
    max_det: int = 1000,
    batch_size: int | None = None,
    auto: bool = True,
    strict: bool = False,
    multi_label: bool = False,
    *,
    stream: Literal[True],
) -> Generator[Detections, None, None]: ...
def predict(
    model: Detector,
    images: Any,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    img_size: int | tuple[int, int] | None = None,
    classes: Classes | None = None,
    agnostic: bool = False,
    max_det: int = 1000,
    batch_size: int | None = None,
    auto: bool = True,
    strict: bool = False,
    multi_label: bool = False,
    stream: bool = False,
) -> list[Detections] | Generator[Detections, None, None]:
    """Finds the objects in images of any sizes, where the model's weights are. The model is left as it was.

    Several threads may predict with one model at a time, unless another trains it meanwhile.
    YOLOv5: ``AutoShape``, ``detect.py``.

    Args:
        images: one image or several, mixed as they come: a path; the bytes of a file or an open file; a PIL image; an
            array (H, W, 3) RGB, gray (H, W) or RGBA; a tensor (3, H, W); several of one size as (N, ...). Numbers are
            uint8, floats in [0, 1], or of 16 bits: see ``to_rgb``. Floats of an array may lie in [0, 255]; those of a
            tensor may not, as ``model(images)`` would take them for [0, 1]. EXIF rotation is applied.
            OpenCV reads BGR: reverse the channels first, ``image[..., ::-1]``, or pass the path.
            A model of other channels than three gets gray (1), RGBA (4), the pages of a TIFF, or the last axis of an
            ``.npy`` or array (H, W, C): see ``to_channels``; how numbers of files become bytes: ``images.bands``.
        img_size: longest side of the network input, rounded up to a multiple of the largest stride; or (height, width),
            into which every image is made to fit; None: as in training, where the model's metadata have it, else 640
            (``input_size(model)``).
        classes: keep only these, by name or number: "person", 0 or ["person", 5].
        auto: fill the shorter side up to the next stride only; without it, and for a network of one ``fixed_size``,
            every input has the whole size.
        batch_size: inputs of one shape that run together; None: ``default_batch(model)``, and 1 for a camera.
        strict: raise for one of several files that cannot be read, instead of leaving it out with a warning.
        conf_thres, iou_thres, agnostic, multi_label, max_det: see ``non_max_suppression``.
        stream: a generator in place of a list. It reads on as it is asked, in order, and holds no more than
            ``batch_size`` images; each Detections keeps its ``image``, ``path`` and ``frame`` for as long as you
            keep it. Takes also an endless iterable, a folder, a pattern (``"photos/*.jpg"``), a video, the number of a
            camera, or a ``cv2.VideoCapture`` that you opened. Closing the generator closes the video or camera.
    Returns:
        One Detections per image, in the order of the images; empty, with ``unreadable``, for a file left out.
    Raises:
        TypeError: the model is a name or path. ValueError: an option that is not of its kind, with its name.
        ValueError, OSError: an input that is not an image, with its name or place in the list; an address, as nothing
            is fetched here; a single file, or all of several, that cannot be read; a damaged video.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=2)
    >>> predict(model, [np.zeros((50, 100, 3), np.uint8), torch.zeros(3, 64, 64)], img_size=64)
    [Detections(nothing found), Detections(nothing found)]
    >>> frames = (np.full((48, 64, 3), shade, np.uint8) for shade in range(3))
    >>> [int(found.image.max()) for found in predict(model, frames, img_size=64, stream=True)]
    [0, 1, 2]
    """
    require_model(model)
    if batch_size is not None and (not isinstance(batch_size, Integral) or batch_size < 1):
        raise ValueError(f"batch_size must be a whole number, at least 1, or None, not {batch_size!r}")
    numbers = None if classes is None else class_numbers(classes, model.names)
    sources = open_stream(images) if stream else each_source(images)
    looking = _Looking(
        model=model,
        size=input_shape(model, img_size),  # checks it
        auto=auto and getattr(model, "fixed_size", None) is None,
        batch_size=batch_size or (1 if stream and is_live(images) else default_batch(model)),
        strict=strict or sources.is_one,
        keep=stream,
        nms={"classes": numbers, "agnostic": agnostic, "multi_label": multi_label, "max_det": max_det}
        | {"conf_thres": conf_thres, "iou_thres": iou_thres},
    )
    return looking.each(sources.each) if stream else list(looking.each(sources.each))


class _Input(NamedTuple):
    place: int  # in the caller's order
    image: Image  # letterboxed
    geometry: Geometry
    source: Source
    original: Image | None  # where it is kept


def _require_fractions(image: Tensor, name: str) -> None:
    """Raises ValueError for floats that are plainly not in [0, 1]: a dark one among them could not be told from white.

    In PyTorch, images of floats are in [0, 1], and the network itself takes no others.
    """
    if image.numel() and (high := float(image.max())) > 1 + OVERSHOOT:
        raise ValueError(
            f"{name}: a tensor of {image.dtype} with values up to {high:g}: floats of a tensor are in [0, 1], as the "
            "model takes them. Pass image / 255 or image.byte() where they are in [0, 255]"
        )


def _held_back(sources: Iterable[Source], errors: list[Exception]) -> Generator[Source, None, None]:
    """The sources up to an error of theirs, which is kept: what came before is given first."""
    try:
        yield from sources
    except Exception as error:
        errors.append(error)


class _LeftOut:
    """The images that could not be read: how many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.errors: list[Exception] = []

    def add(self, error: Exception) -> None:
        self.count += 1
        self.errors += [error] * (len(self.errors) < SHOWN)

    def report(self, images: int, is_stream: bool) -> None:
        """Warns of them; raises the first where nothing is left of a list."""
        if not self.count:
            return
        if self.count == images and not is_stream:
            raise self.errors[0]
        more = f"; and {self.count - SHOWN} more" if self.count > SHOWN else ""
        named = "; ".join(map(str, self.errors)) + more
        warnings.warn(f"{self.count} of {images} images left out: {named}", stacklevel=3 if is_stream else 4)


@dataclass(frozen=True)
class _Looking:
    """A model and what is asked of it."""

    model: Detector
    size: int | tuple[int, int]
    auto: bool
    batch_size: int
    strict: bool
    keep: bool  # a stream: originals are kept, and no more than a batch of them waits
    nms: dict[str, Any]

    def each(self, sources: Generator[Source, None, None]) -> Generator[Detections, None, None]:
        """Detections in the order of the sources; inputs of one shape run together."""
        waiting: dict[tuple[int, ...], list[_Input]] = {}  # by shape, until there is a batch of them
        found: dict[int, Detections] = {}  # by place, until all before it are there
        left_out, given, place = _LeftOut(), 0, -1
        errors: list[Exception] = []  # the one that ends a stream
        with contextlib.closing(sources):  # a video, too
            for place, source in enumerate(_held_back(sources, errors) if self.keep else sources):
                try:
                    boxed = self._input(place, source)
                except READ_ERRORS as error:
                    if self.strict and self.keep:
                        errors.append(error)
                        break
                    if self.strict:
                        raise
                    left_out.add(error)
                    found[place] = self._not_read(source, error)
                else:
                    same_shape = waiting.setdefault(boxed.image.shape, [])
                    same_shape.append(boxed)
                    if len(same_shape) == self.batch_size:
                        found |= self._detect(waiting.pop(boxed.image.shape))
                if self.keep and place + 1 - given >= self.batch_size:
                    found |= self._detect_all(waiting)
                while given in found:
                    yield found.pop(given)
                    given += 1
        found |= self._detect_all(waiting)
        yield from (found[key] for key in sorted(found))
        left_out.report(place + 1, self.keep)
        if errors:
            raise errors[0]

    def _input(self, place: int, source: Source) -> _Input:
        if isinstance(source.image, Exception):
            raise source.image
        if isinstance(source.image, Tensor) and source.image.is_floating_point():
            _require_fractions(source.image, source.name)
        image = to_channels(source.image, image_channels(self.model) or 3, source.name)
        boxed = letterbox(image, self.size, auto=self.auto, stride=size_multiple(self.model))
        geometry = Geometry(image.shape[:2], boxed.ratio, boxed.pad)
        if self.keep and not source.path and source.frame is None:
            image = image.copy()  # of an array that the caller may go on to write into
        return _Input(place, boxed.image, geometry, source, image if self.keep else None)

    def _detect_all(self, waiting: dict[tuple[int, ...], list[_Input]]) -> dict[int, Detections]:
        found: dict[int, Detections] = {}
        while waiting:
            found |= self._detect(waiting.popitem()[1])
        return found

    def _detect(self, inputs: list[_Input]) -> dict[int, Detections]:
        """Runs inputs of one shape together -> detections by place."""
        images = torch.from_numpy(np.stack([each.image for each in inputs])).permute(0, 3, 1, 2)  # (N, C, H, W)
        with inference(self.model):
            boxes = self.model.decode(self.model(network_input(images, self.model)))
            rows = [row.cpu() for row in non_max_suppression(boxes, **self.nms)]
        # outside, so that gradients can flow through what is made of them
        return {each.place: self._detections(row.clone(), each) for each, row in zip(inputs, rows, strict=True)}

    def _detections(self, rows: Tensor, given: _Input) -> Detections:
        return Detections(
            to_original(rows[:, :4], given.geometry),
            rows[:, 4],
            rows[:, 5].long(),
            tuple(self.model.names),
            path=given.source.path,
            frame=given.source.frame,
            size=given.geometry.original_size,
            image=given.original,
            channels=given.image.shape[2],
        )

    def _not_read(self, source: Source, error: Exception) -> Detections:
        names = tuple(self.model.names)
        return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), names, str(error), source.path)
