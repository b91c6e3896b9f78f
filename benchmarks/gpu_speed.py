"""Images per second, in training and in inference: the last part of benchmarks/gpu.py."""

import gc
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from gpu_checks import PRECISIONS, Finding, Machine, cut_after, first_batch, in_time, new_trainer, small_model
from gpu_limits import arithmetic, seconds
from torch import Tensor

from yolo_lite.data.dataset import Batch
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.support.summary import summarise
from yolo_lite.train.options import DTYPES
from yolo_lite.train.trainer import Trainer

PASSES = {"train": 3, "infer": 1, "graph": 1}  # backward costs twice as much as forward
SECONDS_EACH = 6.0  # what one line may take at most; with less time left it is not begun


class Load(NamedTuple):
    """What a line of the table measures."""

    work: str  # train, infer, or graph: infer without the host between its kernels
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
    *(Load("train", f"yolov5{scale}", 640, 64, "bfloat16") for scale in "nsm"),
    Load("graph", "yolov5n", 640, 1, "float32"),
    Load("graph", "yolov5n", 640, 1, "float16"),
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
    rows = [("work", "model", "size", "batch", "precision", "images/s", "ms per batch", "of the peak", "GiB")]
    loads, same = SMALL if machine.small else LOADS, True
    peaks = {precision: arithmetic(machine, precision) for precision in PRECISIONS}
    for load in in_time(loads, machine, SECONDS_EACH):
        try:
            rows.append(_line(load, machine, peaks))
        except Exception as error:  # a graph that cannot be recorded, a batch too large: the other lines are not its
            same = False
            rows.append((*load.cells, f"{type(error).__name__}: {error}"[:120], "", "", ""))
    words = (
        "the median of three rounds of five, waited for; one batch again and again, loading aside; infer: with NMS; "
    )
    words += "of the peak: of the operations a second that 'limits' names"
    return Finding(same if len(rows) > 1 else None, words, rows, cut_after(len(rows) - 1, loads))


def _line(load: Load, machine: Machine, peaks: Mapping[str, float]) -> tuple[str, ...]:
    empty_memory(machine)
    once = seconds(WORKS[load.work](load, machine), machine)
    rate = load.batch_size / once
    share = rate * PASSES[load.work] * summarise(_model(load), load.img_size).flops / peaks[load.precision]
    return (*load.cells, f"{rate:.0f}", f"{1000 * once:.2f}", f"{share:.1%}", _memory(machine))


def empty_memory(machine: Machine) -> None:
    """Lets go of what the line before took, and counts from here."""
    gc.collect()
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(machine.device)


def _memory(machine: Machine) -> str:
    if machine.device.type != "cuda":
        return ""
    return f"{torch.cuda.max_memory_allocated(machine.device) / 2**30:.1f}"


def _model(load: Load) -> Yolo:
    return small_model() if load.model == "small" else create_model(load.model, names=Shapes.names, seed=0)


def _training(load: Load, machine: Machine) -> Callable[[], object]:
    """One batch through forward, loss, backward, the optimiser's step and the average of the weights."""
    trainer = trainer_of(load, machine)
    batch: Batch = first_batch(trainer)
    return lambda: trainer.train_batch(batch)


def trainer_of(load: Load, machine: Machine) -> Trainer:
    """A run whose batches are as the line says; the layout in memory is the one that the library chooses."""
    options = {"img_size": load.img_size, "batch_size": load.batch_size, "nominal_batch": load.batch_size}
    return new_trainer(
        machine, machine.device, model=_model(load), count=load.batch_size, precision=load.precision, **options
    )


def _inference(load: Load, machine: Machine) -> Callable[[], object]:
    """Images that are on the device already -> detections."""
    decode, images = _decoder(load, machine)

    @torch.inference_mode()
    def work() -> object:
        return non_max_suppression(decode(images))

    return work


def _graph(load: Load, machine: Machine) -> Callable[[], object]:
    """``_inference`` where a CUDA graph of the network is replayed: one launch instead of some hundred.

    A graph holds for one shape and for one place in memory: images are copied there, which is part of what is measured.
    """
    decode, images = _decoder(load, machine)
    place = images.clone()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(machine.device)
    with torch.inference_mode():
        stream.wait_stream(torch.cuda.current_stream(machine.device))
        with torch.cuda.stream(stream):  # kernels are chosen and memory is taken before the recording
            for _ in range(3):
                decode(place)
        torch.cuda.current_stream(machine.device).wait_stream(stream)
        with torch.cuda.graph(graph):
            decoded = decode(place)
        graph.replay()
        expected = decode(images)
    off = 1e-2 if load.precision == "float32" else 2.0  # px; float16 counts in halves from 512 on
    if not torch.allclose(decoded, expected, rtol=1e-2, atol=off):
        raise RuntimeError(f"the graph's boxes are {(decoded - expected).abs().max():.1e} from the network's")

    @torch.inference_mode()
    def work() -> object:
        place.copy_(images)
        graph.replay()
        return non_max_suppression(decoded)

    return work


def _decoder(load: Load, machine: Machine) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Images (N, 3, H, W) -> decoded boxes, and a batch for it on the device."""
    dtype = DTYPES[load.precision]
    layout = torch.contiguous_format if load.precision == "float32" else torch.channels_last
    model = _model(load).fuse().eval().to(machine.device, dtype, memory_format=layout)
    shape = (load.batch_size, 3, load.img_size, load.img_size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(machine.device, dtype)
    return lambda batch: model.decode(model(batch)), images.contiguous(memory_format=layout)


WORKS: dict[str, Callable[[Load, Machine], Callable[[], object]]] = {
    "train": _training,
    "infer": _inference,
    "graph": _graph,
}
