"""The peer's side: YOLOv5 7.0.14, called as its users call it. python -m benchmarks.speed.peer, started by turns.py.

Only its public names are used; its code was not read for this.
"""

# ruff: noqa: E402  (the stand-ins have to be there before the peer is imported)
import copy
import logging
import os
from itertools import cycle, islice
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")

import numpy as np
import torch

from benchmarks.speed import inputs, stand_in
from benchmarks.speed.passes import steady_seconds
from benchmarks.speed.worker import Make, Skipped, Work, serve

if not hasattr(np, "trapz"):  # a name that the peer still uses
    np.trapz = np.trapezoid  # noqa: NPY201
HAS_TORCHVISION = stand_in.has_torchvision()
if not HAS_TORCHVISION:
    stand_in.install()

import yaml
import yolov5
from yolov5.models.yolo import Model
from yolov5.utils.dataloaders import create_dataloader
from yolov5.utils.loss import ComputeLoss
from yolov5.utils.metrics import ap_per_class
from yolov5.utils.torch_utils import ModelEMA, smart_optimizer

ROOT = Path(yolov5.__file__).parent
DATA = Path(os.environ.get("BENCH_DATA", "build/bench/data"))
SCRATCH = Path(os.environ.get("BENCH_SCRATCH", "build/bench"))
HYP = yaml.safe_load((ROOT / "data/hyps/hyp.scratch-low.yaml").read_text()) | {"label_smoothing": 0.0}
SAMPLES, LOADER_BATCH, VAL_BATCH = 24, 16, 16


def _model(classes: int) -> Any:
    model = Model(str(ROOT / "models/yolov5n.yaml"), ch=3, nc=classes)
    model.hyp, model.nc = HYP, classes
    return model


def samples(size: int = 640, cache: str | None = None, workers: int = 0) -> Work:
    loader, dataset = create_dataloader(
        str(DATA / "images/train"),
        size,
        LOADER_BATCH,
        32,
        False,
        hyp=HYP,
        augment=True,
        cache=cache or False,
        workers=workers,
        shuffle=True,
    )
    if workers:
        return Work(lambda: steady_seconds(loader, LOADER_BATCH))
    indices = cycle(range(len(dataset)))

    def call() -> None:
        for index in islice(indices, SAMPLES):
            dataset[index]

    return Work(call, SAMPLES)


def targets(objects: int, batch: int, size: int, classes: int) -> Work:
    criterion = ComputeLoss(_model(classes).train())
    maps, rows = inputs.raw_maps(batch, size, classes), inputs.targets(objects, batch, classes)

    def call() -> None:
        criterion.build_targets(maps, rows)

    return Work(call)


def loss(objects: int, batch: int, size: int, classes: int) -> Work:
    criterion = ComputeLoss(_model(classes).train())
    maps = [raw.requires_grad_() for raw in inputs.raw_maps(batch, size, classes)]
    rows = inputs.targets(objects, batch, classes)

    def call() -> None:
        for raw in maps:
            raw.grad = None
        criterion(maps, rows)[0].backward()

    return Work(call)


def train(size: int, batch: int, classes: int = 80) -> Work:
    """What its training does with a batch: uint8 to floats, forward, loss, backward, clipping, SGD, EMA."""
    model = _model(classes).train()
    criterion, average = ComputeLoss(model), ModelEMA(model)
    optimizer = smart_optimizer(model, "SGD", HYP["lr0"], HYP["momentum"], HYP["weight_decay"])
    pixels, rows = (inputs.images(batch, size) * 255).to(torch.uint8), inputs.targets(8 * batch, batch, classes)

    def call() -> None:
        total, _ = criterion(model(pixels.float() / 255), rows)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(model)

    return Work(call, batch)


def infer(size: int, batch: int, classes: int = 80) -> Work:
    model = copy.deepcopy(_model(classes).eval()).fuse().eval()
    pixels = inputs.images(batch, size)

    def call() -> None:
        with torch.inference_mode():
            model(pixels)

    return Work(call, batch)


def average_precision(count: int, classes: int = 80) -> Work:
    given, names = inputs.scored_detections(count, classes), {number: str(number) for number in range(classes)}

    def call() -> None:
        ap_per_class(*given, names=names)

    return Work(call)


def val_network() -> Work:
    model, loader, images = _val()

    def call() -> None:
        with torch.inference_mode():
            for batch in loader:
                model(batch[0].float() / 255)

    return Work(call, images)


def val() -> Work:
    """Its val.run."""
    if not HAS_TORCHVISION:
        raise Skipped("torchvision does not load in the peer's Python, and its stand-in suppresses in a Python loop")
    from yolov5 import val as validation

    model, loader, images = _val()
    stopped = _Stopped()
    for name in list(logging.Logger.manager.loggerDict):
        logging.getLogger(name).addHandler(stopped)
    names = yaml.safe_load((DATA / "data.yaml").read_text())["names"]
    data = {"nc": len(names), "names": dict(names), "val": str(DATA / "images/val")}

    def call() -> None:
        validation.run(data, model=model, dataloader=loader, imgsz=640, half=False, plots=False, save_dir=SCRATCH)
        if stopped.said:
            raise Skipped(f"the peer left out boxes, so its time says nothing: {stopped.said}")

    return Work(call, images)


class _Stopped(logging.Handler):
    """Hears that its NMS was stopped by its clock: a batch has 1.3 seconds, after which images get no boxes."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        if "time limit" in record.getMessage():
            self.said = record.getMessage()


def _val() -> tuple[Any, Any, int]:
    """The fused network with the weights that ours.py has, the loader of the validation images, how many they are."""
    names = yaml.safe_load((DATA / "data.yaml").read_text())["names"]
    model = _model(len(names))
    weights = torch.load(SCRATCH / "val_weights.pt", weights_only=True)
    given = {f"model.{name.removeprefix('layers.')}": value for name, value in weights.items()}
    own = model.state_dict()
    missing = sorted(own.keys() - given.keys())
    if missing:
        raise Skipped(f"the weights have no {missing[0]}")
    detect = model.model[-1]
    for name in [name for name in given if name.endswith("anchors")]:
        given[name] = given[name] / detect.stride.view(-1, 1, 1)  # pixels -> cells
    model.load_state_dict(given)
    model.names = dict(names)
    loader, dataset = create_dataloader(
        str(DATA / "images/val"), 640, VAL_BATCH, 32, False, hyp=HYP, rect=True, pad=0.5, workers=0
    )
    return model.eval().fuse().eval(), loader, len(dataset)


def facts() -> dict[str, Any]:
    return {"peer": "yolov5 7.0.14", "torch": torch.__version__, "torchvision": HAS_TORCHVISION}


FIGURES: dict[str, Make] = {
    function.__name__: function
    for function in (samples, targets, loss, train, infer, average_precision, val, val_network)
}

if __name__ == "__main__":
    serve(FIGURES, torch.set_num_threads, facts)
