"""Images per second, in training and in inference: the last part of benchmarks/gpu.py."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from gpu_checks import Finding, Machine, first_batch, new_trainer, small_model

from yolo_lite.data.dataset import Batch
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.train.options import DTYPES
from yolo_lite.train.trainer import Trainer

WARM_UP, REPEATS, ROUNDS = 3, 5, 3  # the median of 3 rounds of 5 calls each, after 3 calls that do not count
SECONDS_EACH = 12.0  # what one line may take at most; with less time left it is not begun


class Load(NamedTuple):
    """What a line of the table measures."""

    work: str  # train or infer
    model: str
    img_size: int
    batch_size: int
    precision: str

    @property
    def cells(self) -> tuple[str, ...]:
        return self.work, self.model, str(self.img_size), str(self.batch_size), self.precision


LOADS = (
    *(Load("train", "yolov5n", 640, 16, precision) for precision in ("float32", "float16", "bfloat16")),
    Load("infer", "yolov5n", 640, 1, "float32"),
    *(Load("infer", "yolov5n", 640, 32, precision) for precision in ("float32", "float16", "bfloat16")),
    Load("train", "yolov5s", 640, 16, "bfloat16"),
    Load("train", "yolov5s", 640, 64, "bfloat16"),
    Load("infer", "yolov5s", 640, 1, "float16"),
    Load("infer", "yolov5s", 640, 32, "float16"),
    Load("train", "yolov5n", 320, 64, "float32"),
    Load("train", "yolov5n", 320, 64, "bfloat16"),
    Load("infer", "yolov5n", 320, 128, "float16"),
    Load("train", "yolov5n", 160, 32, "float32"),
)
SMALL = (Load("train", "small", 64, 2, "float32"), Load("infer", "small", 64, 2, "float32"))


def measure_speed(machine: Machine) -> Finding:
    """A line for each load, as long as there is time."""
    rows = [("work", "model", "size", "batch", "precision", "images/s", "ms per batch", "GiB")]
    loads, left_out = SMALL if machine.small else LOADS, 0
    for load in loads:
        if machine.seconds_left() < SECONDS_EACH:
            left_out += 1
            continue
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(machine.device)
        seconds = _seconds(_training(load, machine) if load.work == "train" else _inference(load, machine), machine)
        rows.append((*load.cells, f"{load.batch_size / seconds:.0f}", f"{1000 * seconds:.2f}", _memory(machine)))
    missing = f"; {left_out} lines were left out for want of time" if left_out else ""
    words = "the median of three rounds of five, waited for; one batch again and again, loading aside; infer: with NMS"
    return Finding(True if len(rows) > 1 else None, f"{words}{missing}", rows)


def _seconds(work: Callable[[], object], machine: Machine) -> float:
    """Of one call, the host's part included."""
    for _ in range(WARM_UP):
        work()
    rounds = []
    for _ in range(ROUNDS):
        machine.wait()
        start = time.perf_counter()
        for _ in range(REPEATS):
            work()
        machine.wait()
        rounds.append((time.perf_counter() - start) / REPEATS)
    return statistics.median(rounds)


def _memory(machine: Machine) -> str:
    if machine.device.type != "cuda":
        return ""
    return f"{torch.cuda.max_memory_allocated(machine.device) / 2**30:.1f}"


def _model(load: Load) -> Yolo:
    return small_model() if load.model == "small" else create_model(load.model, names=Shapes.names, seed=0)


def _training(load: Load, machine: Machine) -> Callable[[], object]:
    """One batch through forward, loss, backward, the optimiser's step and the average of the weights."""
    options = {"img_size": load.img_size, "batch_size": load.batch_size, "nominal_batch": load.batch_size}
    trainer: Trainer = new_trainer(
        machine,
        machine.device,
        model=_model(load),
        count=load.batch_size,
        precision=load.precision,
        channels_last=load.precision != "float32",
        **options,
    )
    batch: Batch = first_batch(trainer)
    return lambda: trainer.train_batch(batch)


def _inference(load: Load, machine: Machine) -> Callable[[], object]:
    """Images that are on the device already -> detections."""
    dtype = DTYPES[load.precision]
    layout = torch.contiguous_format if load.precision == "float32" else torch.channels_last
    model = _model(load).fuse().eval().to(machine.device, dtype, memory_format=layout)
    shape = (load.batch_size, 3, load.img_size, load.img_size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(machine.device, dtype)
    images = images.contiguous(memory_format=layout)

    @torch.inference_mode()
    def work() -> object:
        return non_max_suppression(model.decode(model(images)))

    return work
