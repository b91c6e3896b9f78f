"""YoloDataset: image i, loaded, augmented and letterboxed, with its labels. YOLOv5: `LoadImagesAndLabels`.

All that chance decides about a sample is in its SampleDraw (samples.py), derived from (seed, epoch, index) alone; the
rest is computed from that, stage by stage. So a sample is the same in every process, and any of them can be replayed.
"""

import operator
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from yolo_lite.augment.letterbox import Geometry, resize_longest
from yolo_lite.augment.objects import Image, Objects
from yolo_lite.boxes import xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.data.cache import DiskCache, ImageCache, RamCache
from yolo_lite.data.report import DatasetError, DatasetWarning, Problem, Report
from yolo_lite.data.samples import Loaded, SampleDraw, Stage, draw_sample, sample_stages
from yolo_lite.data.source import ImageSource, PathStore, open_source
from yolo_lite.data.unreadable import READ_ERRORS, Reader, describe, is_of_the_machine
from yolo_lite.hyperparameters import Hyperparameters

SOURCE_MEMBERS = ("names", "paths", "sizes", "labels", "report", "read", "__len__")  # of the protocol ImageSource
EDGE = 1e-3  # px that boxes keep from the right and lower edge, as the reference clips them


class Sample(NamedTuple):
    """One image as the network gets it, with its labels."""

    image: Tensor  # (3, H, W) uint8 RGB
    labels: Tensor  # (n, 6) float32: 0 (the image's place in its batch), class, xc, yc, w, h normalised to the image
    path: str
    geometry: Geometry | None  # None where the image was warped or mixed
    unreadable: tuple[Problem, ...] = ()  # images whose place others took, this one's or a partner's


class Batch(NamedTuple):
    """Samples of one size, stacked; what the loader yields."""

    images: Tensor  # (N, 3, H, W) uint8 RGB
    targets: Tensor  # (n, 6) float32: image index, class, xc, yc, w, h normalised
    paths: tuple[str, ...]
    geometry: tuple[Geometry | None, ...]
    unreadable: tuple[Problem, ...] = ()  # images that were replaced or left out


class YoloDataset(Dataset[Sample]):
    """Images with their labels, ready for a network. YOLOv5: `LoadImagesAndLabels`.

    Args:
        source: data.yaml, folder, .txt list, "shapes" or "photos" (see open_source), or an ImageSource of your own.
            Scenes of "shapes" are drawn at ``img_size``.
        img_size: longest side of the network input, a multiple of ``stride``.
        augment: mosaic, warp, colours and flips by the probabilities of ``hyp``; without it, letterbox only.
        seed: with the epoch and the index, all that chance depends on.
        split: "train", "val" or "test".
        names: class names that replace those of the source.
        rect: sort by shape, and give each ``batch_size`` images the smallest input that holds them; no mosaics.
        rect_pad: added to both sides of a rectangle, in strides, before rounding up. Left out: .5, 0 when augmenting.
        cache: keep resized images in "ram" or on "disk" (in ``cache_dir``, or the user's cache folder).
        single_cls: all objects are of one class.
        strict: raise where anything had to be left out, instead of warning.
        replace_unreadable: the next image takes the place of one that turns out to be damaged when it is read; without
            it ``dataset[i]`` raises, and loaders leave the image out. Left out: as ``augment``.
        progress: draws a bar while files are checked and cached.
    Raises:
        FileNotFoundError, DatasetError: see open_source. ValueError: an option that cannot be.

    >>> dataset = YoloDataset("shapes", img_size=64)
    >>> dataset[0].image.shape, dataset[0].labels.shape[1]
    (torch.Size([3, 64, 64]), 6)
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | ImageSource,
        img_size: int = 640,
        hyp: Hyperparameters | None = None,
        augment: bool = False,
        seed: int = 0,
        *,
        split: str = "train",
        names: Sequence[str] | None = None,
        rect: bool = False,
        batch_size: int = 16,
        stride: int = 32,
        rect_pad: float | None = None,
        cache: Literal["ram", "disk"] | None = None,
        cache_dir: str | Path | None = None,
        single_cls: bool = False,
        strict: bool = False,
        replace_unreadable: bool | None = None,
        progress: bool = False,
    ) -> None:
        _require_options(img_size, stride, seed, batch_size, cache)
        self.img_size, self.augment, self.seed, self.rect, self.batch_size = img_size, augment, seed, rect, batch_size
        self.hyp = hyp or Hyperparameters()
        self.epoch = 0  # of dataset[i]
        self.strict, self.replace_unreadable = strict, augment if replace_unreadable is None else replace_unreadable
        if isinstance(source, ImageSource):
            self.source = source
        elif isinstance(source, str | Path | Sequence):
            self.source = open_source(source, split, None if single_cls else names, progress, img_size)
        else:
            lacking = [name for name in SOURCE_MEMBERS if not hasattr(source, name)]
            raise TypeError(f"{type(source).__name__} cannot be a source of images: it lacks {', '.join(lacking)}")
        self.report: Report = self.source.report
        if self.report.is_doubtful:
            _complain(self.report, strict)
        self.names = _class_names(self.source.names, names, single_cls)

        sizes = np.asarray(self.source.sizes)  # (n, 2) height, width
        order = np.argsort(sizes[:, 0] / sizes[:, 1], kind="stable") if rect else np.arange(len(sizes))
        self._order = order  # place in this dataset -> index in the source
        self.sizes = sizes[order]
        self.paths = PathStore([self.source.paths[index] for index in order]) if rect else self.source.paths
        self.labels = self.source.labels.select(order) if rect else self.source.labels
        if single_cls:
            self.labels = self.labels.single_class()
        if rect_pad is None:
            rect_pad = 0.0 if augment else 0.5
        self._objects_per_image = self.labels.objects_per_image
        self.batch_shapes = rectangle_shapes(self.sizes, batch_size, img_size, stride, rect_pad) if rect else None
        self.cache = self._open_cache(cache, cache_dir, progress)

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """``dataset[i]``: sample i of the epoch ``dataset.epoch``; ``dataset[(epoch, i)]``: of that epoch."""
        epoch, index = key if isinstance(key, tuple) else (self.epoch, key)
        return self.sample(index, epoch)

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[Sample | Problem]:
        """The samples of a batch, as PyTorch's DataLoader asks for them; a Problem for what cannot be read."""
        return [self._sample_or_problem(key) for key in keys]

    def _sample_or_problem(self, key: int | tuple[int, int]) -> Sample | Problem:
        try:
            return self[key]
        except READ_ERRORS as error:
            if is_of_the_machine(error):
                raise
            return describe(self.paths[key[1] if isinstance(key, tuple) else key], error)

    def sample(self, index: int, epoch: int = 0) -> Sample:
        """Image ``index`` as it is in that epoch."""
        return self.apply(self.draw(index, epoch))

    def image(self, index: int) -> Image:
        """The original image, (H, W, 3) uint8 RGB."""
        return self.source.read(int(self._order[self._checked(index)]))

    def objects(self, index: int) -> Objects:
        """The objects of an image, in pixels of the original."""
        return self._objects(index, tuple(self.sizes[self._checked(index)]))

    def shape(self, index: int) -> tuple[int, int]:
        """(height, width) of the network input that an image goes into."""
        if self.batch_shapes is None:
            return self.img_size, self.img_size
        height, width = self.batch_shapes[self._checked(index) // self.batch_size].tolist()
        return height, width

    def draw(self, index: int, epoch: int = 0) -> SampleDraw:
        """All that chance decides about a sample: a function of (seed, epoch, index)."""
        index = self._checked(index)
        if not self.augment:
            return SampleDraw(index, epoch)
        generator = np.random.default_rng([self.seed, epoch, index])
        allow_mosaic = not self.rect  # a mosaic is square
        return draw_sample(self.hyp, index, epoch, generator, self.shape(index), self._objects_per_image, allow_mosaic)

    def stages(self, draw: SampleDraw) -> Iterator[Stage]:
        """The sample after each of its steps, the last being what ``apply`` returns."""
        return sample_stages(draw, self._reader(), self.shape(draw.index))

    def apply(self, draw: SampleDraw) -> Sample:
        """The sample that was drawn; no chance left.

        Raises:
            ImageError, OSError: an image cannot be read, and is not to be replaced.
        """
        reader = self._reader()
        *_, last = sample_stages(draw, reader, self.shape(draw.index))
        image = np.ascontiguousarray(last.image.transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)
        labels = _normalised(last.objects, last.image.shape[:2])
        geometry = last.result if last.name == "letterbox" else None
        path = self.paths[reader.indices[0]]
        return Sample(torch.from_numpy(image), torch.from_numpy(labels), path, geometry, tuple(reader.problems))

    def _reader(self) -> Reader:
        return Reader(self._load, self.paths, self.replace_unreadable, self.strict)

    def _load(self, index: int) -> Loaded:
        """An image, resized, and its objects in the pixels of that."""
        image = self._resized(index) if self.cache is None else self.cache.load(index)
        return Loaded(image, self._objects(index, image.shape[:2]), tuple(self.sizes[index].tolist()))

    def _resized(self, index: int) -> Image:
        return resize_longest(self.image(index), self.img_size, self.augment).image

    def _objects(self, index: int, size: tuple[int, int]) -> Objects:
        labels = self.labels.of(index)
        scale = np.array([size[1], size[0]], np.float32)  # width, height
        polygons = tuple(None if polygon is None else polygon * scale for polygon in labels.polygons)
        return Objects(labels.cls, xywh_to_xyxy(labels.boxes) * np.tile(scale, 2), polygons)

    def _checked(self, index: int) -> int:
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"image {place} of a dataset of {len(self)}")
        return place % len(self)

    def _open_cache(self, cache: str | None, folder: str | Path | None, progress: bool) -> ImageCache | None:
        if cache == "ram":
            return RamCache(self._resized, self.sizes, self.img_size, progress)
        if cache == "disk":
            key = f"{self.img_size}|{'linear' if self.augment else 'area'}"
            return DiskCache(self._resized, self.paths, key, folder)
        return None

    def __repr__(self) -> str:
        parts = [f"{len(self)} images", f"{self.labels.num_objects} objects", f"{self.num_classes} classes"]
        parts += [f"img_size={self.img_size}", f"augment={self.augment}"]
        parts += [f"cache={self.cache}"] if self.cache else []
        return f"YoloDataset({', '.join(parts)})"


def rectangle_shapes(sizes: np.ndarray, batch_size: int, img_size: int, stride: int, pad: float) -> np.ndarray:
    """The smallest network input for each ``batch_size`` consecutive images, in multiples of the stride.

    YOLOv5: `rect`, `batch_shapes`.

    Args:
        sizes: (n, 2) height and width, sorted by height / width. pad: strides added before rounding up.
    Returns:
        (batches, 2) int64 height and width.

    >>> rectangle_shapes(np.array([[480, 640], [640, 640]]), 1, 640, 32, 0.5).tolist()
    [[512, 672], [672, 672]]
    """
    aspects = sizes[:, 0] / sizes[:, 1]  # (n,)
    fractions = []  # of img_size, height and width
    for start in range(0, len(aspects), batch_size):
        low, high = aspects[start : start + batch_size].min(), aspects[start : start + batch_size].max()
        fractions.append((high, 1) if high < 1 else (1, 1 / low) if low > 1 else (1, 1))
    return (np.ceil(np.array(fractions) * img_size / stride + pad) * stride).astype(np.int64)


def _normalised(objects: Objects, size: tuple[int, int]) -> np.ndarray:
    """Objects in pixels -> label rows (n, 6) float32: 0, class, xc, yc, w, h as fractions of the image's sides."""
    height, width = size
    boxes = objects.boxes.clip(0, np.array((width, height, width, height)) - EDGE)
    labels = np.zeros((len(objects.cls), 6), np.float32)
    labels[:, 1] = objects.cls
    labels[:, 2:] = xyxy_to_xywh(boxes) / (width, height, width, height)
    return labels


def _class_names(found: Sequence[str], given: Sequence[str] | None, single_cls: bool) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ValueError(f"names must be a list of class names, not the text {given!r}")
    expected = 1 if single_cls else len(found)
    if given is not None and len(given) != expected:
        raise ValueError(f"{len(given)} names given for {expected} classes ({', '.join(found[:20])})")
    return tuple(given or (("object",) if single_cls else found))


def _complain(report: Report, strict: bool) -> None:
    if strict and report:
        raise DatasetError(str(report), report)
    warnings.warn(f"{report.summary}; print(dataset.report) shows all", DatasetWarning, stacklevel=3)


def _require_options(img_size: int, stride: int, seed: int, batch_size: int, cache: str | None) -> None:
    """Raises ValueError with what would be right."""
    if img_size < 1 or img_size % stride:
        above = max(-(-img_size // stride), 1) * stride
        raise ValueError(f"img_size {img_size} must be a multiple of the stride {stride}: the next one is {above}")
    if seed < 0:
        raise ValueError(f"seed {seed} must not be negative")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} must be 1 or more")
    if cache not in (None, "ram", "disk"):
        raise ValueError(f"cache {cache!r} must be 'ram', 'disk' or None")
