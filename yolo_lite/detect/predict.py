"""predict: pictures of any kind and size -> boxes in the pixels of the original image.

Shape letters: H W height and width of an image, n detections.
"""

import os
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.letterbox import Geometry, letterbox, to_original
from yolo_lite.augment.objects import Image
from yolo_lite.data.unreadable import READ_ERRORS
from yolo_lite.detect.inference import inference, input_size, network_input, size_multiple
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.images.rgb import each_image, to_rgb
from yolo_lite.model.protocol import Detector

ImageLike = str | os.PathLike[str] | bytes | BinaryIO | np.ndarray | Tensor  # and PIL images


class Detection(NamedTuple):
    """One object, in words and numbers."""

    name: str
    conf: float
    xyxy: tuple[float, float, float, float]  # pixels of the original image


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one image, best first; ``len()`` counts it and ``str()`` lists it. Tensors on the CPU.

    >>> found = Detections(torch.zeros(3, 4), torch.ones(3), torch.tensor([0, 1, 0]), ("person", "bus"))
    >>> len(found), str(found)
    (3, '2 persons, 1 bus')
    """

    xyxy: Tensor  # (n, 4) float32, pixels of the original image
    conf: Tensor  # (n,) float32
    cls: Tensor  # (n,) int64
    names: tuple[str, ...]  # of all classes of the model
    unreadable: str = ""  # why the image could not be read: nothing was looked for

    def __len__(self) -> int:
        return len(self.cls)

    def __str__(self) -> str:
        if self.unreadable:
            return f"not read: {self.unreadable}"
        counts = torch.bincount(self.cls, minlength=len(self.names)).tolist()
        found = [
            f"{count} {_plural(name) if count > 1 else name}"
            for name, count in zip(self.names, counts, strict=True)
            if count
        ]
        return ", ".join(found) or "nothing found"

    def __repr__(self) -> str:
        return f"Detections({self})"

    def named(self) -> list[Detection]:
        """The detections one by one, with the names of their classes."""
        rows = zip(self.cls.tolist(), self.conf.tolist(), self.xyxy.tolist(), strict=True)
        return [Detection(self.names[cls], conf, tuple(box)) for cls, conf, box in rows]


def predict(
    model: Detector,
    images: ImageLike | Iterable[ImageLike],
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    img_size: int | None = None,
    classes: Collection[int] | None = None,
    agnostic: bool = False,
    max_det: int = 1000,
    batch_size: int = 16,
    auto: bool = True,
    strict: bool = False,
) -> list[Detections]:
    """Finds the objects in images of any sizes, where the model's weights are. The model is left as it was.

    YOLOv5: ``AutoShape``, ``detect.py``.

    Args:
        images: one image or several, mixed as they come: a path; the bytes of a file or an open file; a PIL image; an
            array (H, W, 3) RGB, gray (H, W) or RGBA; a tensor (3, H, W); several of one size as (N, ...). Numbers are
            uint8, floats in [0, 1] or [0, 255], or of 16 bits: see ``to_rgb``. EXIF rotation is applied.
            OpenCV reads BGR: reverse the channels first, ``image[..., ::-1]``, or pass the path.
        img_size: longest side of the network input, rounded up to a multiple of the largest stride; None: as in
            training, where the model's metadata have it, else 640 (``input_size(model)``).
        auto: fill the shorter side up to the next stride only; without it, and for a network of one ``fixed_size``,
            every input has the whole size.
        batch_size: inputs of one shape that run together.
        strict: raise for one of several files that cannot be read, instead of leaving it out with a warning.
        conf_thres, iou_thres, classes, agnostic, max_det: see ``non_max_suppression``.
    Returns:
        One Detections per image, in the order of the images; empty, with ``unreadable``, for a file left out.
    Raises:
        TypeError: the model is a name or path. ValueError: an option that is not of its kind, with its name.
        ValueError, OSError: an input that is not an image, with its name or place in the list; an address, as nothing
            is fetched here; a single file, or all of several, that cannot be read.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=2)
    >>> predict(model, [np.zeros((50, 100, 3), np.uint8), torch.zeros(3, 64, 64)], img_size=64)
    [Detections(nothing found), Detections(nothing found)]
    """
    if isinstance(model, str | os.PathLike):
        raise TypeError(f"model is {os.fspath(model)!r}, a name or path: pass yl.load({os.fspath(model)!r})")
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number, at least 1, not {batch_size!r}")
    fixed, stride = getattr(model, "fixed_size", None), size_multiple(model)
    size = input_size(model, img_size)  # checks it
    nms_options = {"classes": classes, "agnostic": agnostic, "max_det": max_det}

    found: dict[int, Detections] = {}
    errors: list[Exception] = []
    several = each_image(images)
    strict = strict or several is not images  # one image was given
    waiting: dict[tuple[int, ...], list[_Input]] = {}  # inputs by shape, until there is a batch of them
    with inference(model):
        for place, source in enumerate(several):
            try:
                image = to_rgb(source, f"image {place}")
            except READ_ERRORS as error:
                if strict:
                    raise
                errors.append(error)
                found[place] = _not_read(error, model)
                continue
            boxed = letterbox(image, fixed or size, auto=auto and fixed is None, stride=stride)
            same_shape = waiting.setdefault(boxed.image.shape, [])
            same_shape.append(_Input(place, boxed.image, Geometry(image.shape[:2], boxed.ratio, boxed.pad)))
            if len(same_shape) == batch_size:
                found |= _detect(model, waiting.pop(boxed.image.shape), conf_thres, iou_thres, nms_options)
        for same_shape in waiting.values():
            found |= _detect(model, same_shape, conf_thres, iou_thres, nms_options)
    if errors and len(errors) == len(found):
        raise errors[0]
    if errors:
        warnings.warn(f"{len(errors)} of {len(found)} images left out: {_listed(errors)}", stacklevel=2)
    return [found[place] for place in sorted(found)]


def _listed(errors: list[Exception], shown: int = 20) -> str:
    more = f"; and {len(errors) - shown} more" if len(errors) > shown else ""
    return "; ".join(map(str, errors[:shown])) + more


def _not_read(error: Exception, model: Detector) -> Detections:
    return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), tuple(model.names), str(error))


class _Input(NamedTuple):
    place: int  # in the caller's list
    image: Image  # letterboxed
    geometry: Geometry


def _detect(
    model: Detector, inputs: list[_Input], conf_thres: float, iou_thres: float, nms_options: dict[str, Any]
) -> dict[int, Detections]:
    """Runs inputs of one shape together -> detections by place."""
    images = torch.from_numpy(np.stack([each.image for each in inputs])).permute(0, 3, 1, 2)  # (N, 3, H, W)
    boxes = model.decode(model(network_input(images.contiguous(), model)))
    rows = [row.cpu() for row in non_max_suppression(boxes, conf_thres, iou_thres, **nms_options)]
    with torch.inference_mode(False):  # so that gradients can flow through what is made of them
        return {
            each.place: _detections(row.clone(), each.geometry, model) for each, row in zip(inputs, rows, strict=True)
        }


def _detections(rows: Tensor, geometry: Geometry, model: Detector) -> Detections:
    return Detections(to_original(rows[:, :4], geometry), rows[:, 4], rows[:, 5].long(), tuple(model.names))


def _plural(name: str) -> str:
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
