"""YoloDataset: image i, loaded, augmented and letterboxed, with its labels. YOLOv5: `LoadImagesAndLabels`.

All that chance decides about a sample is in its SampleDraw (samples.py), derived from (seed, epoch, index) alone; the
rest is computed from that, stage by stage. So a sample is the same in every process, and any of them can be replayed.
"""

import copy
import logging
import operator
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from yolo_lite.augment.colour import COLOUR_KEYS, HsvDraw, hsv_tables
from yolo_lite.augment.letterbox import Geometry, longest_size, resize_longest
from yolo_lite.augment.objects import PADDING_VALUE, Image, Objects, channels_first
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data.cache import THREADS, DiskCache, ImageCache, PartOfCache, RamCache
from yolo_lite.data.memory import keep_freed_memory
from yolo_lite.data.opening import class_numbers, complain, named_classes, opened, require_options
from yolo_lite.data.rectangles import by_shape, rectangle_shapes
from yolo_lite.data.report import Problem, Report
from yolo_lite.data.samples import (
    Load,
    Loaded,
    SampleDraw,
    Stage,
    draw_sample,
    normalised,
    sample_stages,
    without_colour,
)
from yolo_lite.data.sampling import EpochClock, EpochSampler, Key, KeySampler
from yolo_lite.data.source import ImageSource, PathStore
from yolo_lite.data.transform import Transform, transform_generator, transform_name, with_transform
from yolo_lite.data.unreadable import READ_ERRORS, Reader, describe, is_of_the_machine
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.bands import as_channels
from yolo_lite.support.arguments import require_listed, require_whole, shown

logger = logging.getLogger("yolo_lite.data")
FOLDS = 3  # sets the draws of the folds apart from others of the same seed


class Sample(NamedTuple):
    """One image as the network gets it, with its labels."""

    image: Tensor  # (C, H, W) uint8, three channels RGB
    labels: Tensor  # (n, 6) float32: 0 (the image's place in its batch), class, xc, yc, w, h normalised to the image
    path: str
    geometry: Geometry | None  # None where the image was warped or mixed
    unreadable: tuple[Problem, ...] = ()  # images whose place others took, this one's or a partner's
    hsv: Tensor | None = None  # (3, 256) uint8 hsv_tables that the image is still to be changed by


class Batch(NamedTuple):
    """Samples of one size, stacked; what the loader yields."""

    images: Tensor  # (N, C, H, W) uint8, three channels RGB
    targets: Tensor  # (n, 6) float32: image index, class, xc, yc, w, h normalised
    paths: tuple[str, ...]
    geometry: tuple[Geometry | None, ...]
    unreadable: tuple[Problem, ...] = ()  # images that were replaced or left out
    hsv: Tensor | None = None  # (N, 3, 256) uint8, of a dataset with hsv_later: see support.device_colour


class YoloDataset(Dataset[Sample]):
    """Images with their labels, ready for a network. YOLOv5: `LoadImagesAndLabels`.

    Args:
        source: data.yaml, folder, .txt list, "shapes" or "photos" (see open_source), or an ImageSource of your own.
            Scenes of "shapes" are drawn at ``img_size``.
        img_size: longest side of the network input, a multiple of ``stride``.
        hyp: hyperparameters, a dict of some, or the path of a YAML file.
        augment: mosaic, warp, colours and flips by the probabilities of ``hyp``; without it, letterbox only.
        seed: with the epoch and the index, all that chance depends on.
        split: "train", "val" or "test".
        transform: a step of your own after all others, ``fn(image, objects, rng) -> (image, objects)``: the image
            (H, W, C) uint8 as the network gets it, whose size stays; its Objects (``yolo_lite.augment.objects``)
            with cls, boxes xyxy in pixels and polygons; a NumPy Generator derived from (seed, epoch, index). It comes
            last so that it is asked once per sample, for mosaics too, and with or without ``augment``.
        names: class names that replace those of the source.
        classes: keep the objects of these classes only, names or numbers, renumbered in this order; images without
            such objects stay, as background.
        rect: sort by shape, and give each ``batch_size`` images the smallest input that holds them; no mosaics.
        rect_pad: added to both sides of a rectangle, in strides, before rounding up. Left out: .5, 0 when augmenting.
        cache: keep resized images in "ram" or on "disk" (in ``cache_dir``, or the user's cache folder).
        channels: C of the images, as the network takes them: 1 gray (colours become their luma), 3 RGB, 4 RGBA, N the
            pages of a TIFF or the last axis of an ``.npy`` (H, W, N). 16 bits give their upper 8, floats are in [0, 1]:
            see ``yolo_lite.images.bands``. A file of another number of channels is left out like one that cannot be
            read. Left out: what data.yaml says, else 3. Augmentations that need colours stay out where it is not 3,
            which is logged (logger "yolo_lite.data").
        single_cls: all objects are of one class.
        strict: raise where anything had to be left out, instead of warning.
        replace_unreadable: the next image takes the place of one that turns out to be damaged when it is read; without
            it ``dataset[i]`` raises, and loaders leave the image out. Left out: as ``augment``.
        threads: how many samples of a batch are made at a time where no worker processes are used; the samples stay
            the same. Left out: one per processor, 8 at most; 1 with a transform or an ImageSource of your own, which
            threads would call at the same time.
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
        hyp: Hyperparameters | Mapping[str, Any] | str | Path | None = None,
        augment: bool = False,
        seed: int = 0,
        *,
        split: str = "train",
        transform: Transform | None = None,
        names: Sequence[str] | None = None,
        classes: Sequence[str | int] | None = None,
        rect: bool = False,
        batch_size: int = 16,
        stride: int = 32,
        rect_pad: float | None = None,
        cache: Literal["ram", "disk"] | None = None,
        cache_dir: str | Path | None = None,
        channels: int | None = None,
        single_cls: bool = False,
        strict: bool = False,
        replace_unreadable: bool | None = None,
        threads: int | None = None,
        progress: bool = False,
    ) -> None:
        require_options(img_size, stride, seed, batch_size, cache, channels)
        require_listed("class names", names=names)
        if transform is not None and not callable(transform):
            raise ValueError(f"transform must be a function (image, objects, rng), not {shown(transform)}")
        self.img_size, self.augment, self.seed, self.rect, self.batch_size = img_size, augment, seed, rect, batch_size
        self.hyp, self.transform = Hyperparameters.of(hyp), transform
        self.strict, self.replace_unreadable = strict, augment if replace_unreadable is None else replace_unreadable
        own = transform is not None or isinstance(source, ImageSource)
        self.threads = threads or (1 if own else THREADS)
        self.source = opened(source, split, None if single_cls else names, progress, img_size, channels)
        self.channels = channels or int(getattr(self.source, "channels", 3))
        self.report: Report = self.source.report
        if self.report.is_doubtful:
            complain(self.report, strict)
        self.names, self.labels = named_classes(self.source.names, names, single_cls), self.source.labels
        if classes is not None:
            kept = class_numbers(self.source.names if single_cls else self.names, classes)
            self.labels = self.labels.keep_classes(kept)
            self.names = self.names if single_cls else tuple(self.names[number] for number in kept)
        if single_cls:
            self.labels = self.labels.single_class()
        self.sizes, self.paths = np.asarray(self.source.sizes), self.source.paths  # (n, 2) height, width
        self._order = np.arange(len(self.sizes))  # place in this dataset -> index in the source
        self._rectangles = stride, rect_pad
        self.hsv_later = False  # True: samples have their colours unchanged, and ``hsv`` for whoever changes them
        self._clock = EpochClock(len(self))
        self.cache: ImageCache | None = None
        self._arrange(by_shape(self.sizes) if rect else None)
        self._cache_options = cache, cache_dir
        self.cache = self._open_cache(progress)
        if self.channels not in (1, 3) and not hasattr(self.source, "channels"):
            self.image(0)  # of scenes, which have three: an error now, not one for each of them
        if left_out := self.without_effect:
            counted = f"{self.channels} channel{'s' * (self.channels != 1)}"
            logger.warning("augmentation: %s need colours and stay out, as the images have %s", left_out, counted)

    @property
    def without_effect(self) -> str:
        """The hyperparameters of augmentations that need colours, which the images do not have; empty where none."""
        needs = self.augment and self.channels != 3
        return ", ".join(key for key in COLOUR_KEYS if needs and getattr(self.hyp, key))

    @property
    def num_classes(self) -> int:
        return len(self.names)

    @property
    def epoch(self) -> int:
        """The epoch of ``dataset[i]``; worker processes that are already there see it when it is set."""
        return self._clock.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._clock.epoch = epoch

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, key: int | Key) -> Sample:
        """``dataset[i]``: sample i of the epoch ``dataset.epoch``; ``dataset[(epoch, i)]``: of that epoch."""
        if get_worker_info() is not None:
            self._count([key])
        epoch, index = key if isinstance(key, tuple) else (self.epoch, key)
        return self.sample(index, epoch)

    def __getitems__(self, keys: Sequence[int | Key]) -> list[Sample | Problem]:
        """The samples of a batch, as PyTorch's DataLoader asks for them; a Problem for what cannot be read."""
        self._count(keys)
        threads = 1 if get_worker_info() is not None else min(self.threads, len(keys))
        if threads < 2:
            return [self._sample_or_problem(key) for key in keys]
        with ThreadPoolExecutor(threads) as pool:  # OpenCV works without holding Python's lock
            return list(pool.map(self._sample_or_problem, keys))

    def _count(self, keys: Sequence[int | Key]) -> None:
        """Counts what a DataLoader, and not a reader, asks for without saying of which epoch."""
        if self.augment or self.transform is not None:
            self._clock.count([self._checked(key) for key in keys if not isinstance(key, tuple)])

    def _sample_or_problem(self, key: int | Key) -> Sample | Problem:
        epoch, index = key if isinstance(key, tuple) else (self.epoch, key)
        try:
            return self.sample(index, epoch)
        except READ_ERRORS as error:
            if is_of_the_machine(error):
                raise
            return describe(self.paths[index], error)

    def sample(self, index: int, epoch: int = 0) -> Sample:
        """Image ``index`` as it is in that epoch."""
        return self.apply(self.draw(index, epoch))

    def image(self, index: int) -> Image:
        """The original image, (H, W, C) uint8, three channels RGB."""
        index = self._checked(index)
        pixels = self.source.read(int(self._order[index]))
        return pixels if pixels.shape[2:] == (self.channels,) else as_channels(pixels, self.channels, self.paths[index])

    def objects(self, index: int) -> Objects:
        """The objects of an image, in pixels of the original."""
        return self._objects(index, tuple(self.sizes[self._checked(index)]))

    def shape(self, index: int) -> tuple[int, int]:
        """(height, width) of the network input that an image goes into."""
        if self.batch_shapes is None:
            return self.img_size, self.img_size
        height, width = self.batch_shapes[self._checked(index) // self.batch_size].tolist()
        return height, width

    def sampler(self, shuffle: bool | None = None, rank: int = 0, world_size: int = 1) -> KeySampler:
        """Keys (epoch, index) for PyTorch's own DataLoader, so that each pass over it is another epoch::

            DataLoader(dataset, 16, sampler=dataset.sampler(), collate_fn=collate)  # collate: of yolo_lite.data.loader

        Of a part, use that of ``dataset.subset(indices)``: PyTorch's Subset passes on no keys.

        Args:
            shuffle: a new order in each epoch; left out: unless the dataset has rectangles, whose order is fixed.
            rank, world_size: this process, and how many there are.
        """
        shuffle = not self.rect if shuffle is None else shuffle
        if shuffle and self.rect:
            raise ValueError("rect keeps the images in the order of their shapes: use sampler(shuffle=False)")
        return KeySampler(EpochSampler(len(self), 1, shuffle, self.seed, rank=rank, world_size=world_size))

    def subset(self, indices: Sequence[int] | np.ndarray | slice) -> Self:
        """A dataset of these images alone, mosaics included; ``subset[i]`` has place i in ``indices``.

        Args:
            indices: (m,) whole numbers, in the order wanted (by shape where ``rect``); a slice; or a mask (n,) bool.
        Raises:
            ValueError: none. IndexError: a number beyond the images.

        >>> YoloDataset("shapes", img_size=64).subset(range(10, 13)).paths[0]
        'shapes/train/000010'
        """
        given = np.arange(len(self))[indices] if isinstance(indices, slice) else np.asarray(indices)
        if given.ndim != 1:
            raise ValueError(f"a subset has a list of image numbers, a slice or a mask, not {shown(indices)}")
        if given.dtype == bool and given.shape != (len(self),):
            raise ValueError(f"a mask of shape {given.shape} for {len(self)} images: one value per image is needed")
        which = np.flatnonzero(given) if given.dtype == bool else np.array([self._checked(index) for index in given])
        if not len(which):
            raise ValueError(f"a subset of no image, of {len(self)}: give one index or more")
        part = copy.copy(self)
        part._clock = EpochClock(len(which))
        part._arrange(np.sort(which) if self.rect else which)  # the whole is sorted by shape already
        part.report = Report.of(part.labels.objects_per_image, self.report.problems)
        return part

    def folds(self, k: int = 5, seed: int = 0) -> list[tuple[Self, Self]]:
        """k pairs (training, validation) for cross-validation: each image is validated on in one of them.

        The images are shuffled by ``seed`` alone and cut into k parts, whose sizes differ by one at most; an image that
        ``subset`` was given twice counts once, and stays in one part. Validation is without augmentation, transform
        and a cache in memory.

        Raises:
            ValueError: k is not between 2 and the number of images.

        >>> [(len(train), len(val)) for train, val in YoloDataset("shapes", img_size=64).subset(range(7)).folds(3)]
        [(4, 3), (5, 2), (5, 2)]
        """
        require_whole(k=k)
        require_whole(0, seed=seed)
        _, first, places = np.unique(self._order, return_index=True, return_inverse=True)
        images = first.argsort().argsort()[places]  # of each place, numbered as they first come
        count = len(first)
        if not 2 <= k <= count:
            raise ValueError(f"{count} images cannot be cut into {k} folds: k lies between 2 and {count}")
        generator = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(FOLDS,)))
        fold = np.empty(count, np.int64)  # of each image
        for number, part in enumerate(np.array_split(generator.permutation(count), k)):
            fold[part] = number
        fold = fold[images]
        plain = self._without_augmentation()
        return [(self.subset(fold != number), plain.subset(fold == number)) for number in range(k)]

    def _without_augmentation(self) -> Self:
        plain = copy.copy(self)
        plain.augment, plain.transform, plain.replace_unreadable = False, None, False
        cache, folder = self._cache_options
        plain._cache_options = ("disk" if cache == "disk" else None), folder
        plain.cache = plain._open_cache()  # images are resized otherwise
        return plain

    def _arrange(self, which: np.ndarray | None) -> None:
        """These images in this order, None for all; the shapes of rectangles with them."""
        if which is not None:
            self._order, self.sizes, self.labels = self._order[which], self.sizes[which], self.labels.select(which)
            self.paths = PathStore([self.paths[index] for index in which.tolist()])
            self.cache = self.cache and PartOfCache(self.cache, which)
        self._objects_per_image = self.labels.objects_per_image
        stride, pad = self._rectangles
        pad = (0.0 if self.augment else 0.5) if pad is None else pad
        shapes = rectangle_shapes(self.sizes, self.batch_size, self.img_size, stride, pad) if self.rect else None
        self.batch_shapes = shapes

    def draw(self, index: int, epoch: int = 0) -> SampleDraw:
        """All that chance decides about a sample: a function of (seed, epoch, index)."""
        index = self._checked(index)
        if not self.augment:
            return SampleDraw(index, epoch)
        generator = np.random.default_rng([self.seed, epoch, index])
        allow_mosaic = not self.rect  # a mosaic is square
        settings = self.shape(index), self._objects_per_image, allow_mosaic
        drawn = draw_sample(self.hyp, index, epoch, generator, *settings)
        return drawn if self.channels == 3 else without_colour(drawn)

    def stages(self, draw: SampleDraw) -> Iterator[Stage]:
        """The sample after each of its steps, the last being what ``apply`` returns."""
        return self._stages(draw, self._reader())

    def _stages(self, draw: SampleDraw, reader: Reader, placeholder: Load | None = None) -> Iterator[Stage]:
        stages = sample_stages(draw, reader, self.shape(draw.index), placeholder)
        if self.transform is None:
            return stages
        generator = transform_generator(self.seed, draw.epoch, draw.index)
        return with_transform(stages, self.transform, generator, self.num_classes, self.paths[draw.index])

    def apply(self, draw: SampleDraw) -> Sample:
        """The sample that was drawn; no chance left.

        Raises:
            ImageError, OSError: an image cannot be read, and is not to be replaced.
        """
        keep_freed_memory()
        reader, tables = self._reader(), None
        if self.hsv_later and draw.hsv not in (None, HsvDraw()):
            tables, draw = torch.from_numpy(np.stack(hsv_tables(draw.hsv))), draw._replace(hsv=None)
        for last in self._stages(draw, reader, self._placeholder):  # noqa: B007
            pass
        image = channels_first(last.image)
        labels = normalised(last.objects, last.image.shape[:2])
        geometry = last.result if isinstance(last.result, Geometry) else None
        path = self.paths[reader.indices[0]]
        return Sample(torch.from_numpy(image), torch.from_numpy(labels), path, geometry, tuple(reader.problems), tables)

    def _reader(self) -> Reader:
        return Reader(self._load, self.paths, self.replace_unreadable, self.strict)

    def _load(self, index: int) -> Loaded:
        """An image, resized, and its objects in the pixels of that."""
        image = self._resized(index) if self.cache is None else self.cache.load(index)
        return Loaded(image, self._objects(index, image.shape[:2]), tuple(self.sizes[index].tolist()))

    def _placeholder(self, index: int) -> Loaded:
        """What ``_load`` gives, with an image of gray pixels that takes no memory."""
        original = tuple(self.sizes[index].tolist())
        size = longest_size(original, self.img_size)
        image = np.broadcast_to(np.uint8(PADDING_VALUE), (*size, self.channels))
        return Loaded(image, self._objects(index, size), original)

    def _resized(self, index: int) -> Image:
        return resize_longest(self.image(index), self.img_size, self.augment).image

    def _objects(self, index: int, size: tuple[int, int]) -> Objects:
        labels = self.labels.of(index)
        height, width = size
        return Objects(labels.cls, xywh_to_xyxy(labels.boxes), labels.polygons).scaled(width, height)

    def _checked(self, index: int) -> int:
        try:
            place = operator.index(index)
        except TypeError:
            ways = "dataset.subset(...) takes several numbers or a slice; dataset.paths.index(path) is that of a path"
            raise TypeError(f"an image of a dataset is chosen by its number, not by {shown(index)}: {ways}") from None
        if not -len(self) <= place < len(self):
            raise IndexError(f"image {place} of a dataset of {len(self)}")
        return place % len(self)

    def _open_cache(self, progress: bool = False) -> ImageCache | None:
        cache, folder = self._cache_options
        if cache == "ram":
            return RamCache(self._resized, self.sizes, self.img_size, progress, self.channels)
        if cache == "disk":
            key = f"{self.img_size}|{'linear' if self.augment else 'area'}"
            key += "" if self.channels == 3 else f"|{self.channels} channels"
            return DiskCache(self._resized, self.paths, key, folder, self.channels)
        return None

    def __repr__(self) -> str:
        parts = [f"{len(self)} images", f"{self.labels.num_objects} objects", f"{self.num_classes} classes"]
        parts += [f"img_size={self.img_size}", f"augment={self.augment}"]
        parts += [f"channels={self.channels}"] if self.channels != 3 else []
        parts += [f"transform={transform_name(self.transform)}"] if self.transform else []
        parts += [f"cache={self.cache}"] if self.cache else []
        return f"YoloDataset({', '.join(parts)})"
