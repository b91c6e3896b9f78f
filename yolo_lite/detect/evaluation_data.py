"""What evaluate is given: a loader, or what one is made of; and what would make its figures silently wrong."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.letterbox import Geometry
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import as_dataset, create_dataloader
from yolo_lite.data.source import ImageSource, class_names
from yolo_lite.detect.inference import (
    image_channels,
    input_size,
    require_channels,
    require_size,
    size_multiple,
    trained_size,
)
from yolo_lite.model.protocol import Detector
from yolo_lite.support.arguments import require_listed
from yolo_lite.support.class_names import class_order

SIZE_RATIO = 1.5  # between the sizes of training and evaluation; beyond it figures fall by half and more
BATCH_SIZE = 32
MOST = 2.0  # a box of fractions of the image does not reach further
BRIGHTEST = 10.0  # of images in [0, 1] or standardised; a batch from 0 to 255 that stays below is black
SLACK = 3.0  # pixels by which resizing may round
Source = str | Path | Sequence[str | Path] | ImageSource


def open_dataset(
    model: Detector,
    source: Source,
    *,
    img_size: int | None = None,
    batch_size: int | None = None,
    split: str | None = None,
    rect: bool | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    progress: bool = False,
) -> YoloDataset:
    """A dataset of unaugmented images for a model, as ``yolo-lite val`` makes them.

    Args:
        source: anything that YoloDataset takes. split: "val" if left out.
        img_size: left out: as in training (``input_size(model)``). batch_size: 32 if left out.
        rect: the smallest rectangles that hold the images of a batch; left out: so, but squares for a network of one
            size.
        names: class names that replace those of the source; left out: its own, or those of the model where it has none.
        classes: keep the objects of these classes only, in this order.

    >>> from yolo_lite.checkpoints.own import load
    >>> open_dataset(load("shapes-n"), "shapes").img_size
    256
    """
    fixed = getattr(model, "fixed_size", None) is not None
    batch_size, split = batch_size or BATCH_SIZE, split or "val"
    if names is None:
        own = source.names if isinstance(source, ImageSource) else class_names(source, split)
        names = own or tuple(model.names)
    return YoloDataset(
        source,
        input_size(model, img_size) if img_size is None or fixed else img_size,
        split=split,
        names=names,
        classes=classes,
        rect=not fixed if rect is None else rect,
        batch_size=batch_size,
        stride=size_multiple(model),
        channels=image_channels(model),
        progress=progress,
    )


def as_loader(model: Detector, source: Any, **options: Any) -> Iterable[Batch]:
    """A loader as it is; one for a dataset, or for anything that a dataset is made of.

    Raises:
        ValueError: options that the loader or the dataset has already.
    """
    given = {name: value for name, value in options.items() if value is not None}
    source = as_dataset(source)
    if isinstance(source, YoloDataset):
        if fixed := given.keys() - {"batch_size"}:
            raise ValueError(f"the dataset exists already: set its {', '.join(sorted(fixed))} where it is made")
        size = given.get("batch_size", source.batch_size if source.rect else BATCH_SIZE)
        return create_dataloader(source, batch_size=size)
    if isinstance(source, str | Path | ImageSource) or _is_list_of_paths(source):
        dataset = open_dataset(model, source, **given)
        return create_dataloader(dataset, dataset.batch_size)
    if given:
        raise ValueError(f"the loader exists already: set its {', '.join(sorted(given))} where it is made")
    if not hasattr(source, "__iter__"):
        raise ValueError(f"evaluate takes a dataset or a loader of batches, not {type(source).__name__}")
    loader: Iterable[Batch] = source
    return loader


def _is_list_of_paths(source: Any) -> bool:
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(each, str | Path) for each in source)


def dataset_of(loader: Any) -> Any:
    """The dataset of a loader, without what wraps it (torch's Subset); None where there is none."""
    dataset: Any = getattr(loader, "dataset", None)
    while not hasattr(dataset, "names") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def check_dataset(model: Detector, dataset: Any) -> None:
    """Before hours are spent: what can be known from the dataset alone."""
    num_classes = getattr(dataset, "num_classes", model.num_classes)
    if num_classes != model.num_classes and not hasattr(dataset, "names"):
        raise ValueError(f"the model has {model.num_classes} classes, the dataset {num_classes}: not the same")
    require_channels(model, dataset)
    size = getattr(dataset, "img_size", None)
    require_size(model, size)
    if getattr(dataset, "augment", False):
        raise ValueError("the dataset has augment=True: evaluate needs the images as they are, with augment=False")
    if getattr(dataset, "rect", False) and getattr(model, "fixed_size", None) is not None:
        raise ValueError(
            f"rectangles for {type(model).__name__}, which takes one size: make the dataset with rect=False"
        )
    if size:
        _compare_sizes(model, size)
    if getattr(getattr(dataset, "labels", None), "num_objects", 1) == 0:
        raise ValueError(f"none of the {len(dataset)} images has a label, so there is nothing to compare with")


def _compare_sizes(model: Detector, size: int) -> None:
    trained = trained_size(model)
    if trained and not 1 / SIZE_RATIO < size / trained < SIZE_RATIO:
        warnings.warn(
            f"images of {size} px for a model that was trained at {trained}: objects have another size than in "
            f"training. A dataset of img_size={trained}, in the shell --img-size {trained}, has them as they were",
            stacklevel=4,
        )


def matched_classes(model: Detector, dataset: Any) -> tuple[int, ...] | None:
    """The model's class for each of the dataset's; None where the numbers agree or the dataset has no names."""
    names = getattr(dataset, "names", None)
    if names is None:
        return None
    order, message = class_order(model.names, names)
    if message:
        warnings.warn(message, stacklevel=3)
    return order


def checked_order(order: Any, model: Detector) -> list[int]:
    """A ``class_order`` that was given, as whole numbers; a ValueError where it is none."""
    require_listed("the model's classes, one for each class of the labels", class_order=order)
    for number in order:
        if not 0 <= int(number) < model.num_classes or int(number) != number:
            raise ValueError(f"class_order: {number} is not a class of the model: 0 to {model.num_classes - 1}")
    return [int(number) for number in order]


def check_batch(model: Detector, batch: Batch, order: Sequence[int] | None = None) -> list[Geometry]:
    """How each image of a batch was resized; a ValueError where the batch cannot be evaluated."""
    if not isinstance(batch, Batch):
        raise ValueError(
            f"evaluate takes a dataset, or a loader of batches from create_dataloader, not of {type(batch).__name__}"
        )
    geometries = [geometry for geometry in batch.geometry if geometry is not None]
    if len(geometries) < len(batch.geometry):
        raise ValueError("evaluate needs images that nothing was mixed into: make the dataset with augment=False")
    if len(batch.images) != len(geometries) or len(batch.paths) != len(geometries):
        counts = f"{len(batch.images)} images, {len(batch.paths)} paths and {len(geometries)} geometries"
        raise ValueError(f"a batch has {counts}: one of each for an image")
    _check_targets(batch, model.num_classes if order is None else len(order))
    _check_images(batch.images)
    return geometries


def _check_targets(batch: Batch, num_classes: int) -> None:
    if not len(batch.targets):
        return
    image, cls, boxes = batch.targets[:, 0], batch.targets[:, 1], batch.targets[:, 2:]
    if int(image.min()) < 0 or int(image.max()) >= len(batch.images):
        raise ValueError(
            f"a label of image {int(image.max())} in a batch of {len(batch.images)}: column 0 of the targets is the "
            "place of the image in its batch, as yolo_lite.data.loader.collate writes it"
        )
    if int(cls.min()) < 0 or int(cls.max()) >= num_classes:
        wrong = int(cls.max()) if int(cls.max()) >= num_classes else int(cls.min())
        raise ValueError(f"a label has class {wrong}, but the model's classes are 0 to {num_classes - 1}")
    if float(boxes.max()) > MOST:
        raise ValueError(
            f"a target reaches to {float(boxes.max()):g}: targets are image, class, xc, yc, w, h, in fractions of the "
            "network input, not in pixels"
        )


def _check_images(images: Tensor) -> None:
    """Raises ValueError for images that are in [0, 1] already, or standardised: evaluate divides them by 255."""
    if images.is_floating_point() and (float(images.max()) < BRIGHTEST or float(images.min()) < 0):
        low, high = float(images.min()), float(images.max())
        raise ValueError(
            f"images of {images.dtype} from {low:.3g} to {high:.3g}: a batch has uint8 from 0 to 255, as "
            "create_dataloader gives them, and evaluate divides it by 255"
        )


class Doubts:
    """Warns, once each, of what is seen only in the batches and would make the figures wrong."""

    def __init__(self, model: Detector, knows_size: bool) -> None:
        """
        Args:
            knows_size: whether the dataset's size was compared with the model's already.
        """
        self._model, self._knows_size = model, knows_size
        self._said: set[str] = set()

    def look_at_input(self, batch: Batch, geometries: Sequence[Geometry]) -> None:
        """Images of another size than in training, almost black, or not resized as their geometry says."""
        height, width = batch.images.shape[2:]
        if not self._knows_size:
            self._knows_size = True
            _compare_sizes(self._model, max(height, width))
        if not batch.images.is_floating_point() and 0 < int(batch.images.max()) <= 1:
            self._say(
                "dark", "images without a number above 1: uint8 goes from 0 to 255; of [0, 1], only black is left"
            )
        for path, geometry in zip(batch.paths, geometries, strict=True):
            covered = np.array(geometry.original_size) * geometry.ratio + 2 * np.array(geometry.pad)[::-1]
            if (np.abs(covered - (height, width)) > SLACK).any():
                message = (
                    f"{path}: its geometry says {covered[0]:g} x {covered[1]:g} pixels (original size * ratio + pad on "
                    f"both sides), the image has {height} x {width}: boxes are compared at wrong places"
                )
                self._say("geometry", message)

    def look_at_output(self, boxes: Tensor) -> None:
        """Numbers that are not numbers, of which no detection is made; a ValueError for another number of columns."""
        classes = self._model.num_classes
        if boxes.ndim == 3 and boxes.shape[2] != 5 + classes:
            raise ValueError(
                f"model.decode gives rows of {boxes.shape[2]} numbers: x, y, w, h, objectness and the scores of "
                f"{boxes.shape[2] - 5} classes; the model has {classes} classes"
            )
        if not bool(torch.isfinite(boxes).all()):
            message = "the model's output holds NaN or infinity, of which no detection is made: are its weights damaged"
            self._say("output", f"{message}, or its numbers too large for {boxes.dtype}?")

    def look_back(self, loader: Any, num_images: int) -> None:
        """Fewer images than the dataset has."""
        dataset: Any = getattr(loader, "dataset", None)
        total = len(dataset) if hasattr(dataset, "__len__") else num_images
        if num_images < total:
            why = "drop_last=True; or the part of one of several processes, which gather=world.gathered joins"
            self._say("number", f"the loader gave {num_images} of {total} images, and left the others out ({why})", 4)

    def _say(self, kind: str, message: str, stacklevel: int = 5) -> None:
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(message, stacklevel=stacklevel)
