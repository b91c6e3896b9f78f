"""What a run learns from and is validated on: sources become datasets, and datasets become loaders."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

from yolo_lite.data.dataset import Sample, YoloDataset
from yolo_lite.data.loader import YoloLoader, as_dataset, create_dataloader
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import SOURCES, ImageSource, class_names
from yolo_lite.data.transform import transform_name
from yolo_lite.detect.inference import image_channels, size_multiple
from yolo_lite.hyperparameters import AUGMENTATION_KEYS, Hyperparameters, descriptions
from yolo_lite.model.protocol import Detector
from yolo_lite.running.distributed import World
from yolo_lite.train.options import TrainOptions, preset

Source = YoloDataset | ImageSource | str | Path | Sequence[str | Path]
Given = Source | Subset[Sample]  # what a Trainer takes; the Subset becomes a YoloDataset at once

OF_THE_DATASET = ("img_size", "augment", "rect", "seed")  # options that a finished dataset has decided already


def settle_options(options: TrainOptions, train: Source, resumed: bool = False) -> TrainOptions:
    """Options at their defaults follow a dataset that is finished already; others must agree with it."""
    if not isinstance(train, YoloDataset):
        return options
    found = {name: getattr(train, name) for name in OF_THE_DATASET}
    for name, value in found.items():
        given = getattr(options, name)
        if given != value and (resumed or given != getattr(TrainOptions(), name)):
            raise ValueError(
                f"the dataset was made with {name}={value!r}, but the run was given {name}={given!r}: make them the "
                "same, or pass the source, so that the run makes its own dataset"
            )
    return options.replace(**found)


def options_asked(options: Mapping[str, Any], preset_name: str | None) -> TrainOptions:
    """Those of the preset, changed by those that were given."""
    asked = TrainOptions.from_dict(options)
    return asked if preset_name is None else preset(preset_name).options.replace(**options)


def is_asked(name: str, hyp: Hyperparameters | Mapping[str, Any] | None) -> bool:
    """Whether somebody has chosen that hyperparameter: it is in the dict given, or is not the default."""
    if isinstance(hyp, Mapping):
        return name in hyp
    return hyp is not None and getattr(hyp, name) != getattr(Hyperparameters(), name)


def settle_hyp(
    hyp: Hyperparameters | Mapping[str, Any] | None,
    preset_name: str | None,
    train: Source,
    resumed: bool = False,
) -> Hyperparameters:
    """From what was given, else the preset's, else the defaults. A finished dataset has decided its augmentation.

    Raises:
        ValueError: a value of the augmentation that somebody has chosen, and that is not the dataset's.

    >>> settle_hyp({"box": 0.1}, "small-data", "shapes").lr0
    0.002
    """
    base = Hyperparameters() if preset_name is None else preset(preset_name).hyp
    if isinstance(hyp, Mapping):
        if misplaced := [name for name in hyp if name in descriptions(TrainOptions)]:
            raise ValueError(
                f"{misplaced[0]} is an option of the run and no hyperparameter: Trainer(..., {misplaced[0]}=)"
            )
        settled = Hyperparameters.from_dict(asdict(base) | dict(hyp))
    else:
        settled = base if hyp is None else Hyperparameters.of(hyp)
    if not isinstance(train, YoloDataset) or not train.augment:
        return settled
    for name in AUGMENTATION_KEYS:
        value, found = getattr(settled, name), getattr(train.hyp, name)
        if value != found and (resumed or is_asked(name, hyp)):
            raise ValueError(
                f"the dataset was made with the hyperparameter {name}={found:g}, but the run was given "
                f"{name}={value:g}: make them the same, or pass the source, so that the run makes its own dataset"
            )
    return settled.replace(**{name: getattr(train.hyp, name) for name in AUGMENTATION_KEYS})


def data_digest(dataset: YoloDataset) -> str:
    """Tells images and labels from others, wherever their folder lies: of file names, classes, boxes and outlines."""
    digest = hashlib.sha256()
    for path in dataset.paths:
        digest.update(str(path).replace("\\", "/").rpartition("/")[2].encode("utf-8", "surrogateescape") + b"\n")
    labels = dataset.labels
    for values in (labels.image_start, labels.cls, labels.boxes, labels.polygon_start, labels.polygon_points):
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:16]


def as_source(given: Given) -> Source:
    """The YoloDataset of a Subset; anything else as it is."""
    source: Source = as_dataset(given)
    return source


def settle_transforms(train: YoloDataset, val: YoloDataset | None, metadata: dict[str, Any], resumed: bool) -> None:
    """Writes the names of the datasets' own transforms into the metadata of a new run; they are a resumed one's too.

    Raises:
        ValueError: other transforms than the run began with. The names are compared, not what the functions do.
    """
    for key, dataset in (("transform", train), ("val_transform", val)):
        name = transform_name(dataset.transform) if dataset is not None else None
        if resumed and metadata.get(key) != name:
            now = f"its dataset now has the transform {name}" if name else "its dataset now has none"
            before = f"after {metadata[key]}" if metadata.get(key) else "without a transform"
            what = "is validated" if dataset is val else "learns"
            raise ValueError(f"the run {what} on images {before}, but {now}: give the dataset as it was")
        if name is not None:
            metadata[key] = name


def source_name(source: Source | None) -> str | None:
    """How a source is found again, from any folder; None for what cannot be written down."""
    if not isinstance(source, str | Path):
        return None
    return str(source) if source in SOURCES else str(Path(source).resolve())


def open_datasets(
    train: Source, val: Source | None, model: Detector, hyp: Hyperparameters, options: TrainOptions
) -> tuple[YoloDataset, YoloDataset | None]:
    """Datasets as they are, sources opened. No val: the split "val" of a source given as text or path."""
    from_train = val is None and isinstance(train, str | Path)
    val = train if from_train else val
    names = None if options.single_cls else options.names
    dataset_of = partial(
        YoloDataset,
        img_size=options.img_size,
        hyp=hyp,
        seed=options.seed,
        stride=size_multiple(model),
        single_cls=options.single_cls,
        cache=options.cache,
        strict=options.strict,
        channels=image_channels(model),
    )
    if not isinstance(train, YoloDataset):
        augment, rect, batch_size = options.augment, options.rect, options.batch_size
        train = dataset_of(train, names=names, augment=augment, rect=rect, batch_size=batch_size)
    if val is not None and not isinstance(val, YoloDataset):
        try:
            if names is None and not options.single_cls and isinstance(val, str | Path) and not class_names(val, "val"):
                names = train.names  # a source without names of its own has the classes that are trained
            val = dataset_of(val, split="val", names=names)
        except (DatasetError, FileNotFoundError) as error:
            if not from_train or getattr(error, "report", None):
                raise
            raise DatasetError(f"{error}. Give images to validate on as val=, in the shell as --val") from None
    if options.strict:
        train, val = _strict(train), None if val is None else _strict(val)
    if options.hsv_on_device:
        train = _with_hsv_later(train)
    # a batch must not get smaller: other processes wait for as many images
    return train if train.replace_unreadable else _copied(train, replace_unreadable=True), val


def _with_hsv_later(dataset: YoloDataset) -> YoloDataset:
    """The same samples, whose colours the trainer changes."""
    if dataset.transform is not None:
        raise ValueError(
            "hsv_on_device changes colours last, but the dataset has a transform, which has to see them changed "
            f"({transform_name(dataset.transform)}): leave one of the two out"
        )
    return _copied(dataset, hsv_later=True)


def _strict(dataset: YoloDataset) -> YoloDataset:
    """The same images, but one that cannot be read is an error."""
    if not dataset.strict and dataset.report:
        raise DatasetError(str(dataset.report), dataset.report)
    return dataset if dataset.strict else _copied(dataset, strict=True)


def with_hyp(dataset: YoloDataset, changes: dict[str, float]) -> YoloDataset:
    """The same images, otherwise augmented; the dataset itself stays as it is."""
    return _copied(dataset, hyp=dataset.hyp.replace(**changes))


def _copied(dataset: YoloDataset, **attributes: Any) -> YoloDataset:
    copied = copy.copy(dataset)
    vars(copied).update(attributes)
    return copied


def train_loader(dataset: YoloDataset, options: TrainOptions, world: World, device: torch.device) -> YoloLoader:
    """This process's part of shuffled batches; of batches in order for a dataset of rectangles."""
    return create_dataloader(
        dataset,
        options.batch_size,
        shuffle=not dataset.rect,
        workers=options.workers,
        rank=world.rank,
        world_size=world.size,
        pin_memory=device.type == "cuda",
        multiprocessing_context=options.multiprocessing_context,
    )


def val_loader(dataset: YoloDataset | None, options: TrainOptions) -> YoloLoader | None:
    """All of the validation images, for the main process."""
    if dataset is None:
        return None
    context = options.multiprocessing_context
    return create_dataloader(dataset, options.batch_size, workers=options.workers, multiprocessing_context=context)
