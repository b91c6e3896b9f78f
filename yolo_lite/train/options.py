"""What a run is told besides its hyperparameters, and the presets that set both."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args, get_origin

import torch

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.optim import OptimizerName

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TrainOptions:
    """The settings of a run that are no hyperparameters. Frozen; stored with the run."""

    epochs: int = 100  # passes over the training images
    batch_size: int = 16  # images per process and batch
    img_size: int = 640  # pixels, longest side of the network input
    seed: int = 0  # same seed, same run
    # Optimiser
    optimizer: OptimizerName = "SGD"  # Adam and AdamW take momentum as beta1
    nominal_batch: int = 64  # gradients of so many images are added up before a step
    cosine: bool = False  # schedule: half a cosine instead of a line
    least_warmup: int = 100  # iterations of warm-up, however short the epochs are
    clip_norm: float = 10.0  # largest norm of the gradient of all weights together
    ema_decay: float = 0.9999  # share of the old in the moving average of the weights
    ema_tau: float = 2000.0  # updates after which the average has become slow
    freeze: int | tuple[int, ...] = 0  # one number: the first so many layers keep their weights; several: these layers
    # Numbers and machine
    precision: Precision = "float32"  # of the forward pass; weights stay float32
    channels_last: bool = False  # memory layout that convolutions on GPUs like
    device: str | None = None  # None = CUDA, else MPS, else CPU
    workers: int = 0  # processes that load images; 0 = the one that trains
    sync_bn: bool = False  # BatchNorm over all processes (CUDA only)
    # Data
    augment: bool = True  # mosaic, warp, colours and flips
    rect: bool = False  # rectangles by shape of the images instead of squares; no mosaic
    multi_scale: bool = False  # each batch at a random size within +- 50 %
    single_cls: bool = False  # all objects are of one class
    names: tuple[str, ...] | None = None  # class names in place of those of the data: dog,person,cat
    image_weights: bool = False  # images of classes that do badly are drawn more often
    cache: Literal["ram", "disk"] | None = None  # keep resized images, so that each is decoded once
    auto_anchors: bool = True  # replace the anchors where they do not fit; reported
    strict: bool = False  # an error where anything of the data would have to be left out or replaced
    # Validation and saving
    rule: Literal["coco", "yolov5"] = "yolov5"  # of average precision
    validate_every: int = 1  # epochs
    patience: int = 100  # epochs without a better result, then the run stops
    save_every: float = 300.0  # seconds between checkpoints inside an epoch
    # Loss
    box_loss: str = "ciou"  # iou, giou, diou or ciou
    focal: str = "focal"  # focal or quality, where fl_gamma > 0
    collisions: str = "last"  # of objects that claim one cell, the last or the best counts
    autobalance: bool = False  # weights of the levels' objectness follow their losses

    def __post_init__(self) -> None:
        if isinstance(self.freeze, list):  # as JSON and the shell give it
            object.__setattr__(self, "freeze", tuple(self.freeze))
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field.type)
        for name in ("epochs", "batch_size", "img_size", "nominal_batch", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainOptions":
        """From names and values; an unknown name is an error that lists the known ones."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
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
        """What ``ComputeLoss`` is told besides the hyperparameters."""
        return {name: getattr(self, name) for name in ("box_loss", "focal", "collisions", "autobalance")}


def _check(name: str, value: Any, kind: Any) -> None:
    """One sentence for a value that is none of the choices, no whole number, or negative."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(get_args(kind))}")
    elif kind == int | tuple[int, ...]:
        for number in value if isinstance(value, tuple) else (value,):
            _check(name, number, int)
    elif kind in (int, float):
        wrong_type = isinstance(value, bool) or not isinstance(value, int if kind is int else int | float)
        if wrong_type or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number from 0 on, not {value!r}")


class Preset(NamedTuple):
    """A starting point: hyperparameters and options that go together."""

    hyp: Hyperparameters
    options: TrainOptions


def preset(name: str) -> Preset:
    """ "scratch" and "finetune" are the reference's settings; "small-data" suits runs of a few hundred steps.

    A short run spends most of the reference's settings on preparation: 100 iterations of warm-up, gradients of 64
    images before each step, an average of the weights that after 2000 updates looks back over 10,000. "small-data"
    shortens all of them (the average looks back over 100 steps), and takes AdamW, whose steps do not wait for
    gradients to grow. Its higher gains undo what the reference's scaling takes from small images and few classes;
    mosaics, which make small objects smaller, come for half of the images.
    """
    if name in ("scratch", "finetune"):  # the reference fine-tunes with the settings it trains from scratch with
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
