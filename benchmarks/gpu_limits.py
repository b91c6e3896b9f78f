"""What the machine itself can do, several processes, and mAP after training: parts of benchmarks/gpu.py."""

import copy
import socket
import statistics
import time
from collections.abc import Callable

import torch
from gpu_checks import (
    PRECISIONS,
    Finding,
    Machine,
    cut_after,
    exact_float32,
    furthest,
    in_time,
    new_trainer,
    run_steps,
    small_model,
)
from torch import Tensor, distributed, nn

from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.train.options import DTYPES

MAP_STEPS = 400
MAP_SPREAD = 0.1  # between precisions, of runs that learn from nothing; two seeds are that far apart


# ---- ceilings -------------------------------------------------------------------------------------------------------


def measure_ceilings(machine: Machine) -> Finding:
    """How many bytes and how many operations a second the machine reaches where nothing but that is asked of it."""
    rows = [("what", "reached", "unit")]
    rows.append(("copying a tensor, bytes read and written", f"{bandwidth(machine) / 1e9:.0f}", "GB/s"))
    for precision in PRECISIONS:
        rows.append((f"a square product in {precision}", f"{arithmetic(machine, precision) / 1e12:.2f}", "TFLOP/s"))
    return Finding(True, "of the machine; what a network reaches of it is a column of 'speed'", rows)


def bandwidth(machine: Machine) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.zeros(2**20 if machine.small else 2**28, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source), machine)


def arithmetic(machine: Machine, precision: str) -> float:
    """Floating-point operations a second of a product of two square matrices, as PyTorch is set (TF32 or not)."""
    side = 256 if machine.small else 8192
    matrix = torch.rand(side, side, device=machine.device).to(DTYPES[precision])  # ones would take less power
    return 2 * side**3 / seconds(lambda: matrix @ matrix, machine)


def seconds(work: Callable[[], object], machine: Machine, calls: int = 5, rounds: int = 3) -> float:
    """Of one call, the host's part included: the median of some rounds of some calls each, after three to warm up."""
    for _ in range(3):
        work()
    found = []
    for _ in range(rounds):
        machine.wait()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        machine.wait()
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)


# ---- several processes ----------------------------------------------------------------------------------------------


def check_processes(machine: Machine) -> Finding:
    """A group of one process, by NCCL where there is a GPU: a sum, a message, and gradients through DDP."""
    backend = "cpu:gloo,cuda:nccl" if machine.device.type == "cuda" else "gloo"
    if distributed.is_initialized():
        return Finding(None, "this process has joined others already")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    distributed.init_process_group(backend, init_method=address, rank=0, world_size=1)
    try:
        values = torch.arange(3.0, device=machine.device)
        distributed.all_reduce(values)
        message = [{"map50": 0.5}]
        distributed.broadcast_object_list(message)
        off = _gradients_apart(machine)
    finally:
        distributed.destroy_process_group()
    same = values.tolist() == [0, 1, 2] and message == [{"map50": 0.5}] and off <= 1e-6
    return Finding(same, f"{backend}; gradients through DDP and without it are {off:.1e} apart")


def _gradients_apart(machine: Machine) -> float:
    """The largest difference between the gradients of a network and of the same one in DistributedDataParallel."""
    alone = small_model().to(machine.device)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(machine.device)
    wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(alone))
    found = []
    for model in (alone, wrapped):
        with exact_float32():  # two passes through convolutions that sum in any order differ by more
            sum(level.square().mean() for level in model(images)).backward()
        found.append([parameter.grad for parameter in model.parameters()])
    return max(furthest(_on_cpu(one), _on_cpu(other)) for one, other in zip(*found, strict=True))


def _on_cpu(gradient: Tensor | None) -> Tensor:
    return torch.zeros(()) if gradient is None else gradient.detach().cpu()


# ---- mAP ------------------------------------------------------------------------------------------------------------


def check_map(machine: Machine) -> Finding:
    """Training in every precision comes to the same mAP, whose noise is that of two seeds."""
    rows, figures = [("precision", "steps", "mAP50", "mAP")], []
    size = 128 if machine.small else 160
    scenes = YoloDataset(Shapes("val", size, 4 if machine.small else 64), size)
    steps = 1 if machine.small else MAP_STEPS
    for precision in in_time(PRECISIONS, machine, each=0.0 if machine.small else 12.0):
        # In small, weights that know the shapes stay good; otherwise the network begins with random ones.
        start = {"model": load("shapes-n"), "img_size": size} if machine.small else {"epochs": MAP_STEPS // 8}
        trainer = new_trainer(machine, machine.device, precision=precision, **start)
        run_steps(trainer, steps)
        metrics = evaluate(trainer.ema.model, create_dataloader(scenes, batch_size=8))
        figures.append(metrics.map)
        rows.append((precision, str(steps), f"{metrics.map50:.3f}", f"{metrics.map:.3f}"))
    cut = cut_after(len(figures), PRECISIONS)
    if not figures:
        return Finding(None, "there was no time for one precision", rows, cut)
    same = min(figures) > 0.1 and max(figures) - min(figures) <= MAP_SPREAD
    return Finding(same, f"on {len(scenes)} scenes that training does not see; at most {MAP_SPREAD} apart", rows, cut)
