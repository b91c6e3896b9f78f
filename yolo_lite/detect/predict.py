"""predict: paths, arrays or tensors of any size -> boxes in the pixels of the original image.

Shape letters: H W height and width of an image, n detections.
"""

import math
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.geometry import Geometry, letterbox, to_original
from yolo_lite.augment.objects import Image
from yolo_lite.data.images import read_image
from yolo_lite.data.unreadable import READ_ERRORS
from yolo_lite.detect.inference import Detector, inference, network_input
from yolo_lite.detect.nms import non_max_suppression

ImageLike = str | Path | np.ndarray | Tensor


class Detection(NamedTuple):
    """One object, in words and numbers."""

    name: str
    conf: float
    xyxy: tuple[float, float, float, float]  # pixels of the original image


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one image, best first; ``len()`` counts it and ``str()`` tells it. Tensors on the CPU.

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
    img_size: int = 640,
    classes: Collection[int] | None = None,
    agnostic: bool = False,
    max_det: int = 1000,
    batch_size: int = 16,
    auto: bool = True,
    strict: bool = False,
) -> list[Detections]:
    """Finds the objects in images of any sizes, where the model's weights are. The model is left as it was.

    Args:
        images: one image or several. A path; an array (H, W, 3) RGB, gray (H, W) or RGBA, uint8 or float in [0, 1]; a
            tensor (3, H, W) or (N, 3, H, W), uint8 or float in [0, 1]; a PIL image; or an iterable that mixes them.
            OpenCV reads BGR: turn it round first, or pass the path.
        img_size: longest side of the network input, rounded up to a multiple of the largest stride.
        auto: fill the shorter side up to the next stride only; without it every input is square.
        batch_size: inputs of one shape that run together.
        strict: raise for one of several files that cannot be read, instead of leaving it out with a warning.
        conf_thres, iou_thres, classes, agnostic, max_det: see ``non_max_suppression``.
    Returns:
        One Detections per image, in the order of the images; empty, with ``unreadable``, for a file left out.
    Raises:
        ValueError, OSError: an input that is no image, with its name or place in the list; a single file, or all of
            several, that cannot be read.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=2)
    >>> predict(model, [np.zeros((50, 100, 3), np.uint8), torch.zeros(3, 64, 64)], img_size=64)
    [Detections(nothing found), Detections(nothing found)]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    stride = max(int(stride) for stride in model.strides)
    size = math.ceil(img_size / stride) * stride
    nms_options = {"classes": classes, "agnostic": agnostic, "max_det": max_det}

    found: dict[int, Detections] = {}
    errors: list[Exception] = []
    several = _as_list(images)
    strict = strict or several is not images  # one image was given
    waiting: dict[tuple[int, ...], list[_Input]] = {}  # inputs by shape, until there is a batch of them
    with inference(model):
        for place, source in enumerate(several):
            try:
                image = _as_rgb(source, f"image {place}")
            except READ_ERRORS as error:
                if strict:
                    raise
                errors.append(error)
                found[place] = _not_read(error, model)
                continue
            boxed = letterbox(image, size, auto=auto, stride=stride)
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


def _as_list(images: Any) -> Iterable[Any]:
    """One image or several -> several."""
    if isinstance(images, Tensor | np.ndarray):
        return images if images.ndim == 4 else [images]
    if isinstance(images, str | Path) or hasattr(images, "convert"):
        return [images]
    if not isinstance(images, Iterable):
        raise ValueError(
            f"images must be paths, arrays or tensors, or an iterable of them, not {type(images).__name__}"
        )
    return images


def _as_rgb(source: Any, name: str) -> Image:
    """Any image -> (H, W, 3) uint8 RGB."""
    if isinstance(source, str | Path):
        if Path(source).is_dir():
            raise ValueError(
                f"{source}: a folder; pass the images in it, for example Path({str(source)!r}).glob('*.jpg')"
            )
        return read_image(source)
    if hasattr(source, "convert"):  # a PIL image, palette and all
        source = np.asarray(source.convert("RGB"))
    if isinstance(source, Tensor):
        if source.ndim != 3 or source.shape[0] not in (1, 3):
            raise ValueError(
                f"{name}: a tensor must be (3, H, W), or (N, 3, H, W) by itself, not {tuple(source.shape)}"
            )
        values = source.detach().movedim(0, -1).cpu()  # (H, W, 3)
        source = (values if values.dtype == torch.uint8 else values.float()).numpy()
    if not isinstance(source, np.ndarray):
        raise ValueError(f"{name}: must be a path, an array or a tensor, not {type(source).__name__}")
    pixels = source[..., None] if source.ndim == 2 else source
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(f"{name}: an array must be (H, W, 3) RGB, gray (H, W) or RGBA, not {source.shape}")
    pixels = _as_uint8(pixels[..., :3], name)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _as_uint8(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{name}: pixels must be uint8, or float in [0, 1], not {pixels.dtype}")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # NaN too
        raise ValueError(
            f"{name}: float pixels must lie in [0, 1], found {low:g} to {high:g}; divide by 255, or pass uint8"
        )
    return (pixels * 255).round().astype(np.uint8)


def _plural(name: str) -> str:
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
