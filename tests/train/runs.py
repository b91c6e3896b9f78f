"""Runs of a few seconds: a network of a few channels on a few small drawn scenes."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import safetensors.torch

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.train.trainer import Trainer

SIZE = 64
ANCHORS = [[8, 8, 16, 12], [24, 24, 40, 40]]
HYP = Hyperparameters(mixup=0.2, degrees=5)
TINY: dict[str, Any] = {
    "nc": 6,
    "anchors": ANCHORS,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "backbone": [[-1, 1, "Conv", [8, 3, 4]], [-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]],
    "head": [[[1, 2], 1, "Detect", ["nc", "anchors"]]],
}
# Nothing in it looks at other images of the batch, so that a batch in two parts gives what it gives whole.
WITHOUT_NORM: dict[str, Any] = TINY | {
    "backbone": [
        [-1, 1, "nn.Conv2d", [8, 5, 4, 2]],
        [-1, 1, "nn.MaxPool2d", [2, 2, 0]],
        [-1, 1, "nn.Conv2d", [8, 3, 2, 1]],
    ]
}
# Everything that a checkpoint must keep: accumulation, moments, balance, weights of images, sizes.
RICH: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "nominal_batch": 8,
    "least_warmup": 3,
    "optimizer": "Adam",
    "autobalance": True,
    "image_weights": True,
    "multi_scale": True,
    "auto_anchors": False,
    "device": "cpu",
}


def tiny(spec: dict[str, Any] = TINY, seed: int = 0) -> Yolo:
    return create_model(copy.deepcopy(spec), names=Shapes.names, seed=seed)


def scenes(
    split: str = "train", count: int = 16, augment: bool | None = None, hyp: Hyperparameters = HYP
) -> YoloDataset:
    augment = split == "train" if augment is None else augment
    return YoloDataset(Shapes(split, SIZE, count), SIZE, hyp, augment=augment)


def new_run(
    out_dir: Path | None = None, callbacks: tuple = (), val: int = 4, hyp: Hyperparameters = HYP, **options: Any
) -> Trainer:
    """A run with all there is to keep, unless told otherwise."""
    validation = scenes("val", val) if val else None
    settings = RICH | options
    return Trainer(tiny(), scenes(hyp=hyp), validation, hyp, out_dir=out_dir, callbacks=callbacks, **settings)


def resumed_run(out_dir: Path, callbacks: tuple = (), val: int = 4) -> Trainer:
    return Trainer.resume(out_dir, train=scenes(), val=scenes("val", val) if val else None, callbacks=callbacks)


def digest(out_dir: Path) -> str:
    """Of all tensors in a run's state: weights, average, moments, balance."""
    tensors = safetensors.torch.load_file(out_dir / "state.safetensors")
    summed = hashlib.sha256()
    for name in sorted(tensors):
        summed.update(name.encode() + tensors[name].numpy().tobytes())
    return summed.hexdigest()
