"""An album: images in memory, or those of a dataset, whose objects a reader may change and to which pictures are added.

It is an ImageSource, so that YoloDataset makes samples of it as of any other.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from walkthrough.explorers.controls import Boxes
from walkthrough.explorers.pictures import Annotations
from yolo_lite.boxes import xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import Report
from yolo_lite.data.source import PathStore
from yolo_lite.images.bands import as_picture

REMEMBERED = 24  # images of a dataset that are kept in memory
SAME = 0.01  # pixels: sides that differ by less are the same box, written with fewer digits


class AlbumLabels(NamedTuple):
    """The labels of a dataset, some replaced, those of added pictures behind them: what YoloDataset asks of labels."""

    base: LabelStore
    changed: Mapping[int, ImageLabels]

    @property
    def objects_per_image(self) -> np.ndarray:
        """(n,) int64."""
        highest = max(self.changed, default=-1) + 1
        counts = np.zeros(max(len(self.base), highest), np.int64)
        counts[: len(self.base)] = self.base.objects_per_image
        for index, labels in self.changed.items():
            counts[index] = len(labels.cls)
        return counts

    @property
    def num_objects(self) -> int:
        """Of all images together."""
        return int(self.objects_per_image.sum())

    def of(self, index: int) -> ImageLabels:
        """The labels of one image."""
        return self.changed[index] if index in self.changed else self.base.of(index)


class Album:
    """Images with objects; frozen: a change gives another album, which shares the images.

    Args:
        dataset: whose images and labels to begin with; None: no images yet.
        names: class names, where there is no dataset.
    """

    def __init__(self, dataset: YoloDataset | None = None, names: Sequence[str] = ()) -> None:
        self.dataset = dataset
        self.names = tuple(dataset.names if dataset is not None else names)
        self.paths: Sequence[str] = dataset.paths if dataset is not None else ()
        self.sizes = dataset.sizes if dataset is not None else np.zeros((0, 2), np.int64)  # (n, 2) height, width
        self.labels = AlbumLabels(dataset.labels if dataset is not None else LabelStore.build([]), {})
        self.report = Report()  # what is wrong with the dataset was said when it was opened
        self._added: tuple[np.ndarray, ...] = ()
        self._read: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"Album({len(self)} images, {self.labels.num_objects} objects)"

    def read(self, index: int) -> np.ndarray:
        """An image, (H, W, 3) uint8 RGB; those read last are remembered."""
        first = len(self) - len(self._added)
        if index >= first:
            return self._added[index - first]
        if index not in self._read and self.dataset is not None:
            self._read[index] = as_picture(self.dataset.image(index))
            while len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        self._read.move_to_end(index)
        return self._read[index]

    def objects(self, index: int) -> Boxes:
        """The objects of an image: x1 y1 x2 y2 in its pixels, class."""
        labels = self.labels.of(index)
        xyxy = xywh_to_xyxy(labels.boxes) * np.tile(self.sizes[index][::-1], 2)  # (n, 4)
        return tuple((*map(float, box), int(cls)) for box, cls in zip(xyxy, labels.cls, strict=True))

    def with_objects(self, index: int, objects: Boxes) -> "Album":
        """Other objects in an image. Those that stay where they were keep their outlines; a drawn box has none."""
        labels, before = self.labels.of(index), self.objects(index)
        scale = np.tile(self.sizes[index][::-1], 2)  # width, height, width, height
        cls, boxes, polygons = [], [], []
        for *box, kind in objects:
            old = next((k for k, known in enumerate(before) if known[4] == kind and _same(known[:4], box)), None)
            cls.append(int(kind))
            boxes.append(xyxy_to_xywh(np.array([box]))[0] / scale if old is None else labels.boxes[old])
            polygons.append(None if old is None else labels.polygons[old])
        changed = ImageLabels(np.array(cls, np.int64), np.array(boxes, np.float32).reshape(-1, 4), tuple(polygons))
        return self._copy(AlbumLabels(self.labels.base, {**self.labels.changed, index: changed}))

    def with_pictures(self, pictures: Annotations) -> "Album":
        """With more pictures behind the others."""
        first = len(self)
        empty = {first + place: ImageLabels.empty() for place in range(len(pictures))}
        album = self._copy(AlbumLabels(self.labels.base, {**self.labels.changed, **empty}))
        album._added = (*self._added, *(picture.pixels for picture in pictures))
        album.sizes = np.concatenate((self.sizes, np.array([p.size for p in pictures], np.int64).reshape(-1, 2)))
        album.paths = PathStore([*self.paths, *(picture.name for picture in pictures)])
        highest = max((int(box[4]) for picture in pictures for box in picture.boxes), default=0)
        album.names = (*self.names, *(f"class {cls}" for cls in range(len(self.names), highest + 1)))
        for place, picture in enumerate(pictures):
            album = album.with_objects(first + place, picture.boxes)
        return album

    def _copy(self, labels: AlbumLabels) -> "Album":
        album = Album(self.dataset, self.names)
        album.names, album.paths, album.sizes = self.names, self.paths, self.sizes
        album.labels, album._added, album._read = labels, self._added, self._read
        return album


def _same(box: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < SAME for a, b in zip(box, other, strict=True))
