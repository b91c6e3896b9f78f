"""Before hours are spent: a detector, data that fit it, objects to learn from, and enough values for BatchNorm."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import YoloLoader
from yolo_lite.data.sampling import EpochSampler
from yolo_lite.detect.inference import image_channels, inference, require_channels, require_size, size_multiple
from yolo_lite.hyperparameters import LOSS_KEYS, Hyperparameters
from yolo_lite.loss.anchors import object_sizes
from yolo_lite.loss.criterion import LossTerms
from yolo_lite.model.protocol import Detector
from yolo_lite.running.distributed import World
from yolo_lite.support.arguments import DETECTOR, name_of, require_model
from yolo_lite.support.class_names import class_order, listed, match_names
from yolo_lite.support.weights import weights_of
from yolo_lite.train.messages import Note
from yolo_lite.train.options import TrainOptions, preset
from yolo_lite.train.schedule import Schedule

FEW_STEPS = 300  # of the optimiser; YOLOv5's settings are made for far more
OLD_STATISTICS = 0.05  # of BatchNorm's: a part that it had before the run


def require_detector(model: nn.Module) -> Detector:
    """The same model, known to offer what a detector does.

    Raises:
        TypeError: with what it lacks.
    """
    if not isinstance(model, nn.Module):
        require_model(model)
    lacking = [name for name in (*DETECTOR, "criterion") if not hasattr(model, name)]
    if lacking:
        raise TypeError(f"{type(model).__name__} cannot be trained as a detector: it lacks {', '.join(lacking)}")
    return cast(Detector, model)


def require_parts(parts: object, loss: object) -> LossTerms:
    """What a loss returned, known to be a NamedTuple that begins with the total.

    Raises:
        TypeError: something else, a bare tensor for example.
    """
    if getattr(parts, "_fields", ("",))[0] != "total":
        raise TypeError(
            f"{name_of(loss)} returned {type(parts).__name__}: a loss returns a NamedTuple of scalars whose first "
            "field is total, such as class Parts(NamedTuple): total: Tensor; box: Tensor"
        )
    found = cast(LossTerms, parts)
    for name, part in zip(found._fields, found, strict=True):
        if not isinstance(part, Tensor) or part.numel() != 1:
            what = f"a tensor {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
            raise TypeError(f"{name_of(loss)} returned {name} as {what}: it must be a tensor of one number")
    if not found.total.requires_grad:
        raise TypeError(f"{name_of(loss)} returned a total without gradient: it must be computed from the maps")
    return found


# The network


def check_network(model: Detector, hyp: Hyperparameters, options: TrainOptions) -> list[str]:
    """An error for sizes that the network does not take; a message for hyperparameters that its loss does not read."""
    fixed = getattr(model, "fixed_size", None)
    if fixed is not None:
        height, width = fixed
        if height != width:
            raise ValueError(f"training images are square, but {type(model).__name__} takes {height} x {width} (H x W)")
        require_size(model, options.img_size)
        for name in ("multi_scale", "rect"):
            if getattr(options, name):
                raise ValueError(
                    f"{name}: {type(model).__name__} takes images of {height} x {width} only: leave it out"
                )
    if getattr(model, "reads_hyp", True):
        return []
    default = Hyperparameters()
    unread = [f"{key}={getattr(hyp, key):g}" for key in LOSS_KEYS if getattr(hyp, key) != getattr(default, key)]
    if not unread:
        return []
    return [
        f"hyperparameters: {', '.join(unread)} without effect: the loss of {type(model).__name__} has settings of its "
        "own, which belong to the model (the options of its .cfg, or the settings of its spec)"
    ]


def check_loss(loss: object, model: nn.Module) -> list[str]:
    """A message where a loss has weights of its own: the optimiser moves those of the model.

    >>> print(check_loss(nn.Linear(1, 1), nn.ReLU())[0])
    criterion: weight, bias of Linear stay as they are, as only the model's parameters are trained: make them ...
    """
    ours = set(model.parameters())
    own = [name for name, weight in weights_of(loss) if weight.requires_grad and weight.is_leaf and weight not in ours]
    if not own:
        return []
    return [
        f"criterion: {listed(own)} of {name_of(loss)} stay as they are, as only the model's parameters are trained: "
        "make them parameters of the model, or set requires_grad=False if they are to stay"
    ]


def require_alike(world: World, values: Mapping[str, object]) -> None:
    """Raises ValueError in every process where they were given different things, with what each was given."""
    everywhere = world.gathered(dict(values))
    for name, value in values.items():
        if any(each[name] != value for each in everywhere):
            listed_values = ", ".join(f"{each[name]} in process {rank}" for rank, each in enumerate(everywhere))
            raise ValueError(f"{name} differs between the processes ({listed_values}): give all of them the same")


# The schedule


def check_schedule(schedule: Schedule, model: nn.Module) -> list[str]:
    """Messages where a run is too short for its settings."""
    found = few_steps(schedule, model)
    return found if any("in warm-up" in message for message in found) else found + check_warmup(schedule)


def check_warmup(schedule: Schedule) -> list[str]:
    """A message where the run ends before its warm-up does.

    >>> schedule = Schedule(Hyperparameters(), epochs=1, batches=25, batch_size=16)
    >>> print(check_warmup(schedule)[0])
    warm-up: of 100 iterations, but the run has only 25, so the learning rate never gets to lr0=0.01: give ...
    """
    if schedule.warmup_iterations < schedule.iterations:
        return []
    small = ""
    if schedule.least_warmup > preset("small-data").options.least_warmup:
        small = "; preset='small-data', in the shell --preset small-data, has both"
    return [
        f"warm-up: of {schedule.warmup_iterations} iterations, but the run has only {schedule.iterations}, so the "
        f"learning rate never gets to lr0={schedule.hyp.lr0:g}: give more epochs, or a shorter warm-up by "
        f"least_warmup= and the hyperparameter warmup_epochs{small}"
    ]


def few_steps(schedule: Schedule, model: nn.Module) -> list[str]:
    """A message where a run is too short for its settings: it may end without having learnt anything.

    Args:
        model: as it is trained, its frozen layers in evaluation mode.
    """
    iterations, steps = schedule.iterations, len(list(islice(schedule.steps(), FEW_STEPS)))
    norms = [norm.momentum for norm in _trained_norms(model) if norm.momentum is not None]
    left = max(((1 - momentum) ** iterations for momentum in norms), default=0.0)
    found = [f"{iterations} iterations"]
    if is_short := steps < FEW_STEPS and schedule.least_warmup >= TrainOptions().least_warmup:
        found += [f"{steps} steps of the optimiser", f"{min(schedule.warmup_iterations, iterations)} in warm-up"]
    if slow := left > OLD_STATISTICS:
        found += [f"BatchNorm's running statistics stay {left:.0%} what they were"]
    ways = "more epochs or a smaller batch_size"
    if is_short:
        ways += ', or the settings for few pictures: hyp, options = yolo_lite.train.preset("small-data"), in the shell '
        ways += "--preset small-data"
    message = f"steps: {', '.join(found)}: the run may learn nothing. Give {ways}"
    return [message] if is_short else [Note(message)] if slow else []


# Data


def require_objects(dataset: YoloDataset) -> None:
    """Raises ValueError where there is nothing to learn from, with what was left out."""
    if (object_sizes(dataset, dataset.img_size) > 0).all(1).any():
        return
    left_out = [problem for problem in dataset.report.problems if not problem.note]
    why = f"; {len(left_out)} times something was left out, first {left_out[0]}" if left_out else ""
    without = "an object" if not dataset.labels.num_objects else "an object with an area"
    raise ValueError(
        f"none of the {len(dataset)} training images has {without}, so there is nothing to learn{why}. "
        "print(dataset.report), or `yolo-lite info --data`, shows what was found in each file"
    )


def check_datasets(
    model: Detector, train: YoloDataset, val: YoloDataset | None, options: TrainOptions, world: World
) -> list[str]:
    """An error for what cannot work, messages for what may be a mistake."""
    if model.num_classes != train.num_classes:
        raise ValueError(
            f"the model has {model.num_classes} classes, the dataset {train.num_classes}: "
            f"create the model with num_classes={train.num_classes}"
        )
    require_objects(train)
    for dataset in (train, val):
        require_channels(model, dataset)
    if train.rect and (options.image_weights or world.size > 1):
        what = "image_weights" if options.image_weights else "several processes"
        raise ValueError(f"rect keeps the images in the order of their shapes, which {what} would change: choose one")
    messages = []
    matched = match_names(model.names, train.names)
    if matched.order and None not in matched.order:
        raise ValueError(
            f"the model has the dataset's classes in another order ({listed(model.names)}; the dataset "
            f"{listed(train.names)}): load(path, names=dataset.names) puts its outputs in the order of the dataset"
        )
    if not matched.same:
        messages.append(
            f"names: the model calls its classes {listed(model.names)}, the dataset {listed(train.names)}: "
            "detections will have the model's names (create_model takes names=)"
        )
    if val is None:
        return [*messages, Note("validation: none, as no data was given for it; every epoch counts as the best")]
    return messages + _check_validation(train, val)


def _check_validation(train: YoloDataset, val: YoloDataset) -> list[str]:
    if val.augment:
        raise ValueError("the validation images must be as they are: make their dataset with augment=False")
    if val.num_classes != train.num_classes:
        raise ValueError(
            f"the dataset for training has {train.num_classes} classes, that for validation {val.num_classes}"
        )
    message = class_order(train.names, val.names, "the training data", "the validation data").message
    if not val.labels.num_objects:
        raise ValueError(f"none of the {len(val)} validation images has a label: there is nothing to compare with")
    both = len(set(train.paths) & set(val.paths))
    messages = [message] if message else []
    if both:
        messages.append(
            f"validation: {both} of its {len(val)} images are trained on too, so its figures say little: "
            "give others as val=, in the shell as --val"
        )
    return messages


# BatchNorm


def least_size(model: nn.Module, loader: YoloLoader, options: TrainOptions) -> int:
    """The smallest longest side at which every BatchNorm sees two values per channel: one has no deviation.

    Args:
        model: on its device, its frozen layers in evaluation mode.
    Returns:
        Pixels, for the sizes that multi_scale draws; 0 = any.
    Raises:
        ValueError: batches without two values, with their sizes and others that would do.
    """
    sampler, stride = loader.batch_sampler, size_multiple(model)
    is_fixed = getattr(model, "fixed_size", None) is not None
    if sampler.smallest_batch > 1 or options.sync_bn:
        return 0
    single = {loader.dataset.shape(int(batch[0])) for batch in sampler.batches(0) if len(batch) == 1}
    height, width = min(single, key=math.prod, default=(options.img_size, options.img_size))
    if values_per_channel(model, (height, width)) < 2:
        side = None if is_fixed else _least_side(model, range(stride, 9 * stride, stride))
        ways = [f"img_size={max(side, options.img_size + stride)}"] if side else []
        ways += [f"batch_size={batch_size}" for batch_size in _without_single_images(sampler)]
        raise ValueError(
            f"the smallest batch of an epoch has 1 image ({sampler.num_images} images, {sampler.batch_size} to a "
            f"batch), and of {height} x {width} pixels (stride {stride}) a BatchNorm layer gets one value per channel, "
            f"which has no deviation to learn from. Use {' or '.join(ways) or 'more images'}"
        )
    if not options.multi_scale:
        return 0
    return _least_side(model, range(stride, options.img_size + stride, stride)) or options.img_size


def _least_side(model: nn.Module, sides: range) -> int | None:
    """The first side of square images at which every BatchNorm sees two values per channel."""
    return next((side for side in sides if values_per_channel(model, (side, side)) > 1), None)


def _without_single_images(sampler: EpochSampler) -> list[int]:
    """The next larger batch size that leaves no single image, if there is one."""
    for batch_size in range(sampler.batch_size + 1, sampler.num_images + 1):
        other = EpochSampler(sampler.num_images, batch_size, sampler.shuffle, world_size=sampler.world_size)
        if other.smallest_batch > 1:
            return [batch_size]
    return []


def _trained_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]


def values_per_channel(model: nn.Module, size: tuple[int, int]) -> float:
    """The fewest values of one channel and image that a BatchNorm in training sees; infinity where there is none.

    Args:
        size: (height, width) of the images.
    """
    trained = _trained_norms(model)
    fewest = [float("inf")]

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        fewest.append(inputs[0].numel() / inputs[0].shape[0] / inputs[0].shape[1])

    hooks = [module.register_forward_pre_hook(look) for module in trained]
    weights = next(model.parameters())
    try:
        with inference(cast(Detector, model)):  # which leaves the statistics as they are
            model(torch.zeros(2, image_channels(model) or 3, *size, dtype=weights.dtype, device=weights.device))
    finally:
        for hook in hooks:
            hook.remove()
    return min(fewest)
