"""The project's side: each function prepares a piece of work. python -m benchmarks.speed.ours, started by turns.py."""

import inspect
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import yolo_lite as yl
from benchmarks.speed import inputs
from benchmarks.speed.passes import steady_seconds
from benchmarks.speed.worker import Make, Skipped, Work, serve
from yolo_lite.augment.letterbox import resize_longest
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import inference, network_input
from yolo_lite.loss.matching import match_levels
from yolo_lite.train.options import DTYPES

DATA = Path(os.environ.get("BENCH_DATA", "build/bench/data"))  # data.py wrote it
SCRATCH = Path(os.environ.get("BENCH_SCRATCH", "build/bench"))
SAMPLES, LOADER_BATCH, VAL_BATCH = 24, 16, 16
CANDIDATES = 1000  # of an image, before NMS
# The peer runs these only where the package albumentations is installed.
SAME_AUGMENTATION = {"blur": 0.0, "median_blur": 0.0, "to_gray": 0.0, "clahe": 0.0}


def samples(
    size: int = 640, cache: str | None = None, workers: int = 0, decoding_threads: bool = False, images: int = SAMPLES
) -> Work:
    """Mosaic, warp, HSV and flip, decoding included."""
    options: dict[str, Any] = _decoding_threads() if decoding_threads else {}
    hyp = yl.Hyperparameters(**SAME_AUGMENTATION)
    dataset = yl.YoloDataset(DATA / "data.yaml", size, hyp, augment=True, cache=cache, **options.get("dataset", {}))
    if workers or options.get("loader"):
        loader = yl.create_dataloader(dataset, LOADER_BATCH, shuffle=True, workers=workers, **options.get("loader", {}))
        return Work(lambda: steady_seconds(loader, LOADER_BATCH), 1, lambda: _stop(loader))
    keys = cycle((epoch, index) for epoch in range(50) for index in range(len(dataset)))
    return Work(lambda: _exhaust(dataset[key] for key in islice(keys, images)), images)


def _decoding_threads() -> dict[str, dict[str, int]]:
    """The argument with which this version decodes in threads of the one process."""
    for place, function in (("dataset", yl.YoloDataset.__init__), ("loader", yl.create_dataloader)):
        for name in inspect.signature(function).parameters:
            if "threads" in name:
                return {place: {name: torch.get_num_threads()}}
    raise Skipped("this version of yolo_lite decodes in one thread")


def _stop(loader: Any) -> None:
    """Ends the worker processes."""
    loader._iterator = None


def _exhaust(values: Iterator[Any]) -> None:
    for _ in values:
        pass


def decoding() -> Work:
    """What a mosaic's four pictures take to be decoded and resized, and nothing else."""
    dataset = yl.YoloDataset(DATA / "data.yaml", 640, augment=True)
    numbers = cycle(range(len(dataset)))
    resized = (resize_longest(dataset.image(index), 640, True) for index in numbers)
    return Work(lambda: _exhaust(islice(resized, 4 * SAMPLES)), SAMPLES)


def targets(objects: int, batch: int, size: int, classes: int) -> Work:
    """The form that the loss calls on the CPU; build_targets, which reads better, gives the same."""
    model = yl.create_model("yolov5n", classes)
    grids = [(size // stride, size // stride) for stride in inputs.STRIDES]
    rows = inputs.targets(objects, batch, classes)
    return Work(lambda: _nothing(match_levels(rows, grids, model.anchors, model.strides)))


def loss(objects: int, batch: int, size: int, classes: int) -> Work:
    """The gradients are let go of before each call, as they are in a step of training."""
    criterion = yl.create_model("yolov5n", classes).criterion(yl.Hyperparameters(), size)
    maps = [raw.requires_grad_() for raw in inputs.raw_maps(batch, size, classes)]
    rows = inputs.targets(objects, batch, classes)

    def call() -> None:
        for raw in maps:
            raw.grad = None
        criterion(maps, rows).total.backward()

    return Work(call)


def train(size: int, batch: int, precision: str = "float32", classes: int = 80) -> Work:
    """A step of the Trainer on one batch: uint8 to floats, forward, loss, backward, clipping, SGD, EMA.

    With the channels last, which float32 has only where it is asked for.
    """
    model = yl.create_model("yolov5n", classes)
    dataset = yl.YoloDataset("shapes", 64).subset(range(batch))
    dataset.names = tuple(model.names)  # its six classes are the first of the model's
    trainer = yl.Trainer(
        model,
        dataset,
        None,
        batch_size=batch,
        nominal_batch=batch,
        precision=precision,
        channels_last=True,
        auto_anchors=False,
        device="cpu",
        ema_decay=0.9999,
    )
    trainer.model.train()
    pixels = (inputs.images(batch, size) * 255).to(torch.uint8)
    given = yl.Batch(pixels, inputs.targets(8 * batch, batch, classes), ("",) * batch, (None,) * batch)
    return Work(lambda: _nothing(trainer.train_batch(given)), batch)


def infer(size: int, batch: int, precision: str = "float32", classes: int = 80) -> Work:
    """Fused, decoding of the boxes included."""
    model = yl.create_model("yolov5n", classes).fuse().eval()
    pixels = inputs.images(batch, size).to(DTYPES[precision], memory_format=torch.channels_last)  # as predict does
    if precision != "float32":
        model = model.to(DTYPES[precision], memory_format=torch.channels_last)

    def call() -> None:
        with inference(model):
            model.decode(model(pixels))

    return Work(call, batch)


def nms(count: int, limit: int | None = 300, classes: int = 80) -> Work:
    """Within each class, as non_max_suppression calls it."""
    from yolo_lite.detect.nms import nms as suppressed
    from yolo_lite.detect.nms import separate_classes

    boxes, scores, cls = inputs.boxes_to_suppress(count, classes)
    return Work(lambda: _nothing(suppressed(separate_classes(boxes, cls), scores, 0.45, limit)))


def average_precision(count: int, classes: int = 80) -> Work:
    given = inputs.scored_detections(count, classes)
    return Work(lambda: _nothing(yl.average_precision(*given, rule="yolov5")))


def val_network() -> Work:
    """Loading in rectangles, and the fused network."""
    model = _val_model().fuse().eval()
    loader = _val_loader(model)

    def call() -> None:
        with inference(model):
            for batch in loader:
                model.decode(model(network_input(batch.images, model)))

    return Work(call, len(loader.dataset))


def val() -> Work:
    model = _val_model().fuse().eval()
    loader = _val_loader(model)
    return Work(lambda: _nothing(yl.evaluate(model, loader, "yolov5")), len(loader.dataset))


def _val_model() -> Any:
    """Trained weights where the pictures are the drawn scenes, else random ones that find as many boxes.

    The peer's process loads the same weights: both have the same boxes to suppress.
    """
    dataset = yl.YoloDataset(DATA / "data.yaml", 640, split="val")
    if dataset.names == Shapes.names:
        model = yl.load("shapes-n")
    else:
        model = yl.create_model("yolov5n", names=dataset.names, seed=0)
        _find_boxes(model, dataset.sample(0).image)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    torch.save({name: value.clone() for name, value in model.state_dict().items()}, SCRATCH / "val_weights.pt")
    return model


def _find_boxes(model: Any, image: torch.Tensor) -> None:
    """Moves the objectness, until about CANDIDATES of the picture's scores are above evaluation's threshold of .001."""
    with inference(model):
        boxes = model.decode(model(network_input(image[None], model)))[0]
        scores = (boxes[:, 4:5] * boxes[:, 5:]).flatten()
        factor = 0.001 / scores.topk(CANDIDATES).values[-1].item()
    with torch.no_grad():
        for conv in model.detect.m:  # of small probabilities, the logarithm is the logit
            conv.bias.view(inputs.ANCHORS_PER_LEVEL, -1)[:, 4] += math.log(factor)


def _val_loader(model: Any) -> Any:
    dataset = yl.YoloDataset(DATA / "data.yaml", 640, split="val", rect=True, batch_size=VAL_BATCH)
    return yl.create_dataloader(dataset, VAL_BATCH)


OPEN = """
import sys, time
from pathlib import Path
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.files import label_cache
label_cache.user_cache_dir = lambda: Path(sys.argv[2])
start = time.perf_counter()
dataset = YoloDataset(sys.argv[1], img_size=640)
seconds = time.perf_counter() - start
print(seconds, dataset.labels.num_objects)
"""


def opening(images: int) -> Work:
    """In a new process each time; of that, the opening alone. What the first opening kept lies in build/bench."""
    from benchmarks.speed.many_files import many_images

    data = many_images(SCRATCH, images)
    command = [sys.executable, "-c", OPEN, str(data), str(SCRATCH / "cache")]

    def call() -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout.split()[0])

    return Work(call)


def importing(module: str) -> Work:
    """In a new process each time, its own start left out."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", code]
    return Work(lambda: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def recorder(lines: int) -> Work:
    """A function that runs this many lines, recorded."""
    from walkthrough import trace

    def work(rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += number
        return total

    return Work(lambda: _nothing(trace(work, most_steps=4 * lines + 100)(lines // 2)))


def explorer(name: str, size: int) -> Work:
    """A control is moved; measured until what goes to the page is ready, images encoded."""
    import walkthrough

    settings: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
        "AugmentationLab": ("degrees", (5.0, 10.0), {"size": size}),
        "LossExplorer": ("anchor_t", (3.0, 4.0), _pictures(size)),
        "NmsExplorer": ("iou_thres", (0.4, 0.5), _pictures(size)),
    }
    control, values, given = settings[name]
    shown = getattr(walkthrough, name)(**given)
    _ = shown.widget
    moves = cycle(values)
    return Work(lambda: shown.set(**{control: next(moves)}))


def _pictures(size: int) -> dict[str, Any]:
    scene = yl.YoloDataset("shapes", size).sample(0)
    return {"images": scene.image[None], "targets": scene.labels}


def _nothing(_: Any) -> None:
    """A call whose result is not the seconds."""


def facts() -> dict[str, Any]:
    """Of this process, for the report."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "yolo_lite": yl.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads if threads > 1 else 0)  # 0: this thread does it


FIGURES: dict[str, Make] = {
    function.__name__: function
    for function in (
        *(samples, decoding, targets, loss, train, infer, nms, average_precision),
        *(val, val_network, opening, importing, recorder, explorer),
    )
}

if __name__ == "__main__":
    serve(FIGURES, set_threads, facts)
