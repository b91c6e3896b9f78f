"""The settings of a run besides its hyperparameters, and the presets that set both."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args, get_origin

import torch

from yolo_lite.boxes import IouKind
from yolo_lite.detect.average_precision import Rule
from yolo_lite.hyperparameters import Hyperparameters, described, descriptions
from yolo_lite.loss.criterion import Faithful
from yolo_lite.loss.focal import FocalKind
from yolo_lite.loss.loss import Collisions
from yolo_lite.train.optim import OptimizerName

Precision = Literal["float32", "bfloat16", "float16"]
Cache = Literal["ram", "disk"]
StartOfWorkers = Literal["forkserver", "spawn", "fork"]
LOSS_OPTIONS = ("box_loss", "focal", "collisions", "autobalance", "faithful")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TrainOptions:
    """The settings of a run that are not hyperparameters. Frozen; stored with the run.

    Raises:
        ValueError: a value of the wrong type, or not one of the choices, with its name.

    >>> TrainOptions(epochs=3).replace(batch_size=8).batch_size
    8
    """

    epochs: int = described(100, "passes over the training images", low=1)
    batch_size: int = described(16, "images per process and batch", low=1)
    img_size: int = described(640, "longest side of the network input", unit="pixels", low=1)
    seed: int = described(0, "same seed, same run")
    # Optimiser
    optimizer: OptimizerName = described("SGD", "the optimiser; Adam and AdamW take momentum as beta1")
    nominal_batch: int = described(
        64, "gradients of this many images are accumulated before an optimiser step; YOLOv5: nbs", low=1
    )
    cosine: bool = described(False, "learning rate along half a cosine instead of a line; YOLOv5: --cos-lr")
    least_warmup: int = described(100, "shortest warm-up, however short the epochs are", unit="iterations")
    clip_norm: float = described(10.0, "largest norm of the gradient of all weights together")
    ema_decay: float = described(0.9999, "decay of the exponential moving average of the weights (EMA)")
    ema_tau: float = described(2000.0, "the decay of the EMA ramps up over about this many updates")
    freeze: int | tuple[int, ...] = described(
        0, "layers that keep their weights: one number: this many, from the first on; several: these"
    )
    # Numbers and machine
    precision: Precision = described("float32", "data type of the forward pass; the weights stay float32")
    channels_last: bool | None = described(
        None,
        "memory layout in which convolutions are faster on CPUs, and in half precision on GPUs; left out: in half "
        "precision; in float32 on a CPU BatchNorm rounds more in it",
    )
    device: str | None = described(None, "cpu, cuda, mps ...; left out: CUDA, else MPS, else CPU")
    workers: int = described(0, "processes that load images; 0: the process that trains loads them")
    multiprocessing_context: StartOfWorkers | None = described(
        None, "how these processes start; left out: forkserver, or spawn where the system does not have it"
    )
    sync_bn: bool = described(False, "BatchNorm over all processes (CUDA only)")
    # Data
    augment: bool = described(True, "mosaic, warp, colour changes and flips")
    rect: bool = described(False, "rectangles by the shapes of the images instead of squares; no mosaic")
    hsv_on_device: bool = described(
        False, "hue, saturation and value of a batch are changed on the device, which spares the CPU a tenth"
    )
    multi_scale: bool = described(False, "each batch at a random size within +- 50 %")
    single_cls: bool = described(False, "all objects are of one class")
    names: tuple[str, ...] | None = described(None, "class names in place of those of the data: dog,person,cat")
    image_weights: bool = described(False, "images of classes with a low mAP are sampled more often")
    cache: Cache | None = described(None, "keep resized images in memory or on disk: each is decoded once")
    auto_anchors: bool | None = described(
        None, "replace the anchors where they do not fit the objects; left out: only those that nobody gave"
    )
    strict: bool = described(False, "an error where anything of the data would have to be left out or replaced")
    # Validation and saving
    rule: Rule = described("yolov5", "how average precision is computed")
    validate_every: int = described(1, "validate after this many epochs", low=1)
    patience: int = described(100, "early stopping after this many validations without a better result")
    save_every: float = described(300.0, "time between checkpoints inside an epoch", unit="seconds")
    # Loss
    box_loss: IouKind = described("ciou", "the IoU of the box loss, which is 1 - IoU")
    focal: FocalKind = described("focal", "focal or quality focal loss, where fl_gamma > 0")
    collisions: Collisions = described(
        "last", "where two objects are matched to one anchor and cell, the last or the one with the best IoU counts"
    )
    autobalance: bool = described(False, "the weights of the levels' objectness losses follow these losses")
    faithful: Faithful = described(
        "darknet", "YOLOv3 and v4: train with the gradient that Darknet computes, or with that of the paper's loss"
    )

    def __post_init__(self) -> None:
        if isinstance(self.freeze, list):  # as JSON and the shell give it
            object.__setattr__(self, "freeze", tuple(self.freeze))
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.type, descriptions(TrainOptions)[field.name].low)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainOptions":
        """From names and values; an unknown name is an error that lists the known ones."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name in descriptions(Hyperparameters):
                raise ValueError(
                    f"{name} is a hyperparameter and no option of the run: give it in hyp=, as "
                    f"hyp={{{name!r}: {values[name]!r}}}, in the shell as --set {name}={values[name]}"
                )
            if name not in known:
                raise ValueError(f"unknown training option {name!r}; the known ones are {', '.join(known)}")
        if values.get("names") is not None:  # which JSON keeps as a list
            values = {**values, "names": tuple(values["names"])}
        return cls(**values)

    def replace(self, **changes: Any) -> "TrainOptions":
        """A copy with some values changed."""
        return self.from_dict(dataclasses.asdict(self) | changes)

    @property
    def loss_options(self) -> dict[str, Any]:
        """The arguments of ``model.criterion`` besides hyperparameters; faithful is Darknet's, the others YOLOv5's."""
        return {name: getattr(self, name) for name in LOSS_OPTIONS}


def _check(name: str, value: Any, kind: Any, low: float) -> None:
    """Raises ValueError for a value that is not one of the choices, not a whole number, or too small."""
    if type(None) in get_args(kind):
        if value is not None:
            _check(name, value, next(part for part in get_args(kind) if part is not type(None)), low)
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(get_args(kind))}")
    elif kind is bool:
        if value not in (True, False):
            raise ValueError(f"{name} must be True or False, not {value!r}")
    elif kind == int | tuple[int, ...]:
        for number in value if isinstance(value, tuple) else (value,):
            _check(name, number, int, low)
    elif kind in (int, float):
        wrong_type = isinstance(value, bool) or not isinstance(value, int if kind is int else int | float)
        if wrong_type or not low <= value < math.inf:
            number = "whole number" if kind is int else "finite number"
            raise ValueError(f"{name} must be a {number}, at least {low:g}, not {value!r}")


class Preset(NamedTuple):
    """A starting point: hyperparameters and options that go together."""

    hyp: Hyperparameters
    options: TrainOptions


def preset(name: str) -> Preset:
    """The settings of that name: "scratch" and "finetune" are YOLOv5's; "small-data" is for a few hundred steps.

    A short run would spend most of YOLOv5's settings on preparation: 100 iterations of warm-up, gradients of 64 images
    before each step, an EMA of the weights that after 2000 updates averages over 10,000. "small-data" shortens all of
    them (the EMA averages over 100 steps) and takes AdamW, whose steps do not depend on the size of the gradients. Its
    higher gains undo what ``Hyperparameters.scaled`` takes away at small images and few classes; mosaics, which make
    small objects smaller, are made for half of the images. What no preset changes: BatchNorm's momentum of .03, with
    which 100 steps pass until its running statistics have left 95 % of their start behind.

    In Python: ``hyp, options = preset("small-data")``, then ``Trainer(model, train, val, hyp, **asdict(options))``.

    Raises:
        ValueError: another name.

    >>> preset("small-data").options.optimizer
    'AdamW'
    """
    if name in ("scratch", "finetune"):  # YOLOv5 fine-tunes with the settings it trains from scratch with
        return Preset(Hyperparameters(), TrainOptions())
    if name == "small-data":
        hyp = Hyperparameters(
            lr0=0.002, lrf=0.02, momentum=0.9, warmup_epochs=1.0, box=0.1, obj=5.0, cls=4.0, mosaic=0.5
        )  # fmt: skip
        options = TrainOptions(
            optimizer="AdamW", nominal_batch=16, cosine=True, least_warmup=10, ema_decay=0.99, ema_tau=50.0
        )
        return Preset(hyp, options)
    raise ValueError(f"unknown preset {name!r}: choose scratch, finetune or small-data")
