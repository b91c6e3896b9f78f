"""The labels of a dataset as flat arrays: boxes and, where known, polygons. YOLOv5: `labels`, `segments`.

n images, m objects, k polygon points.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite._moved import moved_name


class ImageLabels(NamedTuple):
    """The objects of one image, normalised to its width and height.

    YOLOv5: what ``xyxy2xywhn`` gives and ``xywhn2xyxy`` takes.
    """

    cls: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float32 xywh
    polygons: tuple[np.ndarray | None, ...]  # one per object: (k, 2) float32 xy, or None where only a box is known

    @classmethod
    def empty(cls) -> "ImageLabels":
        """No objects: a background image."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), ())


class LabelStore:
    """The labels of a whole dataset in five flat tensors, which worker processes share instead of copying.

    One Python object per box would cost each worker hundreds of bytes a box, because counting references to an object
    writes to it, and what is written to is no longer shared. Tensors in shared memory stay where they are.

    >>> one = ImageLabels(np.array([2]), np.array([[0.5, 0.5, 0.2, 0.1]], np.float32), (None,))
    >>> store = LabelStore.build([one, ImageLabels.empty()])
    >>> len(store), store.num_objects, store.of(0).cls, store.objects_per_image
    (2, 1, array([2]), array([1, 0]))
    """

    def __init__(
        self,
        image_start: Tensor,  # (n + 1,) int64: image i has the objects image_start[i] .. image_start[i + 1]
        cls: Tensor,  # (m,) int64
        boxes: Tensor,  # (m, 4) float32 xywh normalised
        polygon_start: Tensor,  # (m + 1,) int64: object j has the points polygon_start[j] .. polygon_start[j + 1]
        polygon_points: Tensor,  # (k, 2) float32 normalised
    ) -> None:
        self.image_start = shared(image_start)
        self.cls = shared(cls)
        self.boxes = shared(boxes)
        self.polygon_start = shared(polygon_start)
        self.polygon_points = shared(polygon_points)

    @classmethod
    def build(cls, labels: Sequence[ImageLabels]) -> "LabelStore":
        """From the labels of each image, in the order of the images."""
        polygons = [polygon for image in labels for polygon in image.polygons]
        points = [polygon for polygon in polygons if polygon is not None]
        return cls(
            torch.from_numpy(_starts([len(image.cls) for image in labels])),
            torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(image.cls for image in labels)])),
            torch.from_numpy(np.concatenate([np.zeros((0, 4), np.float32), *(image.boxes for image in labels)])),
            torch.from_numpy(_starts([0 if polygon is None else len(polygon) for polygon in polygons])),
            torch.from_numpy(np.concatenate([np.zeros((0, 2), np.float32), *points]).astype(np.float32)),
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_start) - 1

    @property
    def num_objects(self) -> int:
        return len(self.cls)

    @property
    def objects_per_image(self) -> np.ndarray:
        """(n,) int64."""
        return np.diff(self.image_start.numpy())

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        arrays = (self.image_start, self.cls, self.boxes, self.polygon_start, self.polygon_points)
        return sum(array.nbytes for array in arrays)

    def of(self, index: int) -> ImageLabels:
        """A copy of the labels of one image."""
        first, last = self.image_start.numpy()[index : index + 2].tolist()
        cls, boxes = self.cls.numpy()[first:last].copy(), self.boxes.numpy()[first:last].copy()
        starts = self.polygon_start.numpy()[first : last + 1].tolist() if len(self.polygon_points) else [0]
        if starts[0] == starts[-1]:
            return ImageLabels(cls, boxes, (None,) * len(cls))
        points = self.polygon_points.numpy()[starts[0] : starts[-1]].copy()  # (k, 2) of this image
        polygons = tuple(
            points[start - starts[0] : end - starts[0]] if end > start else None
            for start, end in itertools.pairwise(starts)
        )
        return ImageLabels(cls, boxes, polygons)

    def select(self, images: Sequence[int] | np.ndarray) -> "LabelStore":
        """The labels of these images (indices), in this order."""
        which = np.asarray(images, np.int64)
        counts = self.objects_per_image[which]
        objects = _ranges(self.image_start.numpy()[which], counts)
        return self._of_objects(_starts(counts), objects, self.cls[torch.from_numpy(objects)])

    def keep_classes(self, classes: Sequence[int]) -> "LabelStore":
        """The objects of these classes, numbered as they are listed; all images stay."""
        number = np.full(max(int(self.cls.max()) if self.num_objects else 0, *classes) + 1, -1)
        number[list(classes)] = np.arange(len(classes))
        numbers = number[self.cls.numpy()]  # (m,) -1: another class
        before = _starts((numbers >= 0).astype(np.int64))  # (m + 1,) objects that stay before each
        objects = np.flatnonzero(numbers >= 0)
        return self._of_objects(before[self.image_start.numpy()], objects, torch.from_numpy(numbers[objects]))

    def _of_objects(self, image_start: np.ndarray, objects: np.ndarray, cls: Tensor) -> "LabelStore":
        """These objects (indices) with other classes; image i has those from image_start[i] on."""
        starts = self.polygon_start.numpy()
        lengths = np.diff(starts)[objects]  # points of each polygon
        points = torch.from_numpy(_ranges(starts[objects], lengths))
        boxes = self.boxes[torch.from_numpy(objects)]
        start, polygon_start = torch.from_numpy(image_start), torch.from_numpy(_starts(lengths))
        return LabelStore(start, cls, boxes, polygon_start, self.polygon_points[points])

    def single_class(self) -> "LabelStore":
        """The same objects, all of class 0."""
        zeros = torch.zeros_like(self.cls)
        return LabelStore(self.image_start, zeros, self.boxes, self.polygon_start, self.polygon_points)


def shared(tensor: Tensor) -> Tensor:
    """The tensor, its numbers moved into memory that worker processes share."""
    tensor.share_memory_()
    return tensor


def _starts(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each of consecutive runs begins, and where the last one ends: (n,) -> (n + 1,) int64."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1 ... of each run, one run after the other: (n,), (n,) -> (sum of lengths,) int64."""
    shifts = starts - _starts(lengths)[:-1]
    return np.repeat(shifts, lengths) + np.arange(lengths.sum(), dtype=np.int64)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
