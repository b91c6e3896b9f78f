"""What happens before and around the loop: device, model, data, sizes of batches, weights of images."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import YoloLoader, create_dataloader
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import ImageSource, class_names
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.anchors import suggest_anchors
from yolo_lite.model.names import class_order, match_names
from yolo_lite.train.checks import require_objects
from yolo_lite.train.devices import default_device
from yolo_lite.train.distributed import World, mean_over_processes
from yolo_lite.train.optim import Schedule
from yolo_lite.train.options import TrainOptions

Source = YoloDataset | ImageSource | str | Path | Sequence[str | Path]

SIZE_DRAW = 2  # sets the draws of batch sizes apart from those of samples and order, which share seed and epoch
OF_THE_DATASET = ("img_size", "augment", "rect", "seed")  # options that a finished dataset has decided already


# Model and device


def best_device(name: str | None, world: World) -> torch.device:
    """The device asked for; else this process's GPU, else another accelerator, else the CPU."""
    if name is None and not torch.cuda.is_available():
        return default_device()
    device = torch.device(name or "cuda")
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: PyTorch finds no CUDA GPU here; leave the device out to use what there is")
    if world.size > 1 and device.index is None:
        device = torch.device("cuda", world.local_rank)
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"{device} was asked for, but there are {torch.cuda.device_count()} GPUs: start fewer processes"
        )
    return device


def freeze_layers(model: nn.Module, freeze: int | tuple[int, ...]) -> None:
    """The first so many layers, or those of these numbers, keep weights and BatchNorm statistics."""
    if not freeze:
        return
    if not hasattr(model, "layers"):
        raise ValueError(f"freeze={freeze} needs a model with .layers, which {type(model).__name__} has not")
    before_head = len(model.layers) - 1
    if isinstance(freeze, int) and freeze > before_head:
        raise ValueError(f"freeze must lie between 0 and {before_head}, the layers before the head, not {freeze}")
    numbers = range(freeze) if isinstance(freeze, int) else freeze
    wrong = [number for number in numbers if number >= before_head]
    if wrong:
        raise ValueError(f"freeze: the layers before the head are 0 to {before_head - 1}, there is no {wrong[0]}")
    for number in numbers:
        model.layers[number].eval().requires_grad_(False)


def weights_dtype(model: nn.Module) -> torch.dtype:
    """The number format to compute in: float32 or float64."""
    dtype = next(model.parameters()).dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"weights in {str(dtype).removeprefix('torch.')} are too coarse for small steps: pass model.float(), and "
            "precision='bfloat16' or 'float16' for the passes through the network"
        )
    return dtype


def criterion(model: nn.Module, hyp: Hyperparameters, options: TrainOptions) -> Any:
    """The model's loss. It is told only what differs from the defaults: losses of your own need not know the rest."""
    defaults = TrainOptions().loss_options
    asked = {name: value for name, value in options.loss_options.items() if value != defaults[name]}
    loss = model.criterion(hyp, options.img_size, **asked)
    if hasattr(loss, "over_processes"):
        loss.over_processes = mean_over_processes
    return loss.to(next(model.parameters()).device) if isinstance(loss, nn.Module) else loss


def set_decay(optimizer: torch.optim.Optimizer, hyp: Hyperparameters, schedule: Schedule) -> None:
    """Writes changed hyperparameters into an optimiser: weight decay and beta1, which ``apply_rates`` leaves alone."""
    for group in optimizer.param_groups:
        if group["name"] == "weights":
            group["weight_decay"] = schedule.scaled_weight_decay
        if "betas" in group:
            group["betas"] = (hyp.momentum, group["betas"][1])


def fit_anchors(model: nn.Module, dataset: YoloDataset, hyp: Hyperparameters, options: TrainOptions) -> list[str]:
    """Replaces anchors that miss objects, and says what it found; models without anchors are left alone."""
    if not hasattr(model, "set_anchors"):
        return []
    suggestion = suggest_anchors(dataset, model.anchors.cpu(), options.img_size, hyp.anchor_t, seed=options.seed)
    if suggestion.replace:
        model.set_anchors(suggestion.anchors)
    return [f"anchors: {suggestion}"]


# Data


def settle_options(options: TrainOptions, train: Source, resumed: bool = False) -> TrainOptions:
    """Options at their defaults follow a dataset that is finished already; others must agree with it."""
    if not isinstance(train, YoloDataset):
        return options
    found = {name: getattr(train, name) for name in OF_THE_DATASET}
    for name, value in found.items():
        given = getattr(options, name)
        if given != value and (resumed or given != getattr(TrainOptions(), name)):
            raise ValueError(
                f"the dataset was made with {name}={value!r}, the run shall have {name}={given!r}: make them the same, "
                "or pass the source, so that the run makes its own dataset"
            )
    return options.replace(**found)


def source_name(source: Source | None) -> str | None:
    """How a source is found again, from any folder; None for what cannot be written down."""
    if not isinstance(source, str | Path):
        return None
    return str(Path(source).resolve()) if source not in ("shapes", "photos") else source


def open_datasets(
    train: Source, val: Source | None, model: nn.Module, hyp: Hyperparameters, options: TrainOptions
) -> tuple[YoloDataset, YoloDataset | None]:
    """Datasets as they are, sources opened. No val: the split "val" of a source given as text or path."""
    common = {
        "img_size": options.img_size,
        "hyp": hyp,
        "seed": options.seed,
        "stride": int(max(model.strides)),
        "single_cls": options.single_cls,
        "cache": options.cache,
        "strict": options.strict,
    }
    of_train = val is None and isinstance(train, str | Path)
    if of_train:
        val = train
    names = None if options.single_cls else options.names
    if not isinstance(train, YoloDataset):
        own = {"augment": options.augment, "rect": options.rect, "batch_size": options.batch_size}
        train = YoloDataset(train, names=names, **own, **common)
    if val is not None and not isinstance(val, YoloDataset):
        try:
            if names is None and not options.single_cls and isinstance(val, str | Path) and not class_names(val, "val"):
                names = train.names  # what has no names of its own has the classes that are trained
            val = YoloDataset(val, split="val", names=names, **common)
        except (DatasetError, FileNotFoundError) as error:
            if not of_train or getattr(error, "report", None):
                raise
            raise DatasetError(f"{error}. Give images to validate on as val=, in the shell as --val") from None
    if options.strict:
        train, val = _strict(train), val and _strict(val)
    if not train.replace_unreadable:  # a batch must not get smaller: other processes wait for as many
        train = copy.copy(train)
        train.replace_unreadable = True
    return train, val


def _strict(dataset: YoloDataset) -> YoloDataset:
    """The same images, but what cannot be read is an error."""
    if dataset.strict:
        return dataset
    if dataset.report:
        raise DatasetError(str(dataset.report), dataset.report)
    strict = copy.copy(dataset)
    strict.strict = True
    return strict


def check_datasets(
    model: nn.Module, train: YoloDataset, val: YoloDataset | None, options: TrainOptions, world: World
) -> list[str]:
    """Before hours are spent: an error for what cannot work, messages for what may be a mistake."""
    if model.num_classes != train.num_classes:
        raise ValueError(
            f"the model has {model.num_classes} classes, the dataset {train.num_classes}: "
            f"create the model with num_classes={train.num_classes}"
        )
    require_objects(train)
    if train.rect and (options.image_weights or world.size > 1):
        what = "image_weights" if options.image_weights else "several processes"
        raise ValueError(f"rect keeps the images in the order of their shapes, which {what} would change: choose one")
    messages = []
    matched = match_names(model.names, train.names)
    if matched.order and None not in matched.order:
        raise ValueError(
            f"the model has the dataset's classes in another order ({_listed(model.names)}; the dataset "
            f"{_listed(train.names)}): load(path, names=dataset.names) puts its outputs in the order of the dataset"
        )
    if not matched.same:
        messages.append(
            f"names: the model calls its classes {_listed(model.names)}, the dataset {_listed(train.names)}: "
            "detections will bear the model's names (create_model takes names=)"
        )
    if val is None:
        return [*messages, "validation: none, as no data was given for it; every epoch counts as the best"]
    if val.augment:
        raise ValueError("the validation images must be as they are: make their dataset with augment=False")
    if val.num_classes != train.num_classes:
        raise ValueError(
            f"the dataset for training has {train.num_classes} classes, that for validation {val.num_classes}"
        )
    order = class_order(train.names, val.names, "the training data", "the validation data")
    messages += [order.message] if order.message else []
    if not val.labels.num_objects:
        raise ValueError(f"none of the {len(val)} validation images has a label: there is nothing to compare with")
    both = len(set(train.paths) & set(val.paths))
    if both:
        messages.append(
            f"validation: {both} of its {len(val)} images are trained on too, so its figures say little: "
            "give others as val=, in the shell as --val"
        )
    return messages


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def train_loader(dataset: YoloDataset, options: TrainOptions, world: World, device: torch.device) -> YoloLoader:
    """This process's share of shuffled batches; of batches in order for a dataset of rectangles."""
    return create_dataloader(
        dataset,
        options.batch_size,
        shuffle=not dataset.rect,
        workers=options.workers,
        rank=world.rank,
        world_size=world.size,
        pin_memory=device.type == "cuda",
    )


def val_loader(dataset: YoloDataset | None, options: TrainOptions) -> YoloLoader | None:
    """All of the validation images, for the main process."""
    return None if dataset is None else create_dataloader(dataset, options.batch_size, workers=options.workers)


def with_hyp(dataset: YoloDataset, changes: dict[str, float]) -> YoloDataset:
    """The same images, otherwise augmented; the dataset itself stays as it is."""
    changed = copy.copy(dataset)
    changed.hyp = dataset.hyp.replace(**changes)
    return changed


def random_size(img_size: int, stride: int, seed: int, epoch: int, batch: int, least: int = 0) -> int:
    """A multiple of the stride within +- 50 % of img_size, and not below ``least``; a function of (seed, epoch, batch).

    >>> random_size(640, 32, seed=0, epoch=0, batch=0) % 32
    0
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, epoch, batch], spawn_key=(SIZE_DRAW,)))
    size = int(generator.integers(int(img_size * 0.5), int(img_size * 1.5) + stride))
    return max(size // stride * stride, stride, least)


def resized(images: Tensor, longest: int, stride: int) -> Tensor:
    """Images (N, 3, H, W) scaled so that the longer side is ``longest``, the other a multiple of the stride."""
    rows, cols = images.shape[2:]
    share = longest / max(rows, cols)
    size = [max(round(side * share / stride), 1) * stride for side in (rows, cols)]
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


def class_maps(metrics: Metrics) -> list[float]:
    """mAP of every class, (C,); a class without labels counts as the mean of the others."""
    found = {entry.name: entry.map for entry in metrics.per_class}
    return [found.get(name, metrics.map) for name in metrics.names]


def image_weights(dataset: YoloDataset, class_maps: list[float]) -> np.ndarray:
    """How often each image shall be drawn: classes with low mAP and few objects weigh more.

    A class weighs (1 - mAP)^2 / its number of objects; an image, the sum over its objects.
    """
    counts = np.bincount(dataset.labels.cls.numpy(), minlength=dataset.num_classes)
    class_weights = (1 - np.array(class_maps)) ** 2 / counts.clip(1)  # (C,)
    weights = np.array([class_weights[dataset.labels.of(index).cls].sum() for index in range(len(dataset))])
    return weights + weights[weights > 0].min(initial=1.0) * 1e-3  # background images stay possible
