"""Others on the same device: YOLOv5 7.0.14 in turns, torchvision's detectors and its NMS. Parts of gpu.py."""

import importlib
import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_checks import Finding, Machine, cut_after, in_time
from gpu_limits import seconds
from gpu_speed import Load, empty_memory, trainer_of
from torch import Tensor

from benchmarks.speed import inputs
from benchmarks.speed.turns import ROOT, Side
from yolo_lite.data.dataset import Batch
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.nms import nms

GPU_PEER = "YOLOv5 on the device"
GOAL = 1.5  # our images per second to theirs
TURNS, STEPS = 5, 5  # turns of each side, and steps in a turn
OBJECTS = 8  # of an image
SECONDS_A_MODEL = 18.0  # with less left, none is begun
LOADS = tuple(Load("train", f"yolov5{scale}", 640, 64, "float16") for scale in "nsm")
SMALL = (Load("train", "yolov5n", 64, 2, "bfloat16"),)

# ---- YOLOv5 ---------------------------------------------------------------------------------------------------------


def measure_peer(machine: Machine) -> Finding:
    """Training images per second of both, alternately, on the same batch; theirs in a process of its own."""
    if why := no_peer(machine.peer):
        return Finding(None, why)
    rows = [("model", "size", "batch", "precision", "ours images/s", "theirs", "ours to theirs", "spread")]
    loads = SMALL if machine.small else LOADS
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        side = Side(GPU_PEER, Path(machine.peer or sys.executable), peer_environment(Path(folder)), Path(folder, "log"))
        try:
            for load in in_time(loads, machine, SECONDS_A_MODEL):
                empty_memory(machine)
                found = in_turns(load, side, machine)
                problems += [found] if isinstance(found, str) else []
                rows.append((*load.cells[1:], *([found, "", "", ""] if isinstance(found, str) else found)))
                side.ask(do="forget")
            side.end()
        finally:
            side.kill()
    words = f"goal: {GOAL} times their images per second; cudnn.benchmark is on for them and off for us"
    if problems:
        return Finding(None, f"{problems[0]}; {words}", rows)
    return Finding(True if len(rows) > 1 else None, words, rows, cut_after(len(rows) - 1, loads))


def no_peer(python: str | None) -> str:
    """Why it cannot be asked; empty where it can be tried."""
    if python is None and importlib.util.find_spec("yolov5") is None:
        return "YOLOv5 7.0.14 is not installed here; carry its wheels, or name a Python that has it: --peer PYTHON"
    if python is not None and not Path(python).is_file():
        return f"--peer {python}: there is no such file"
    return ""


def peer_environment(folder: Path) -> dict[str, str]:
    """This process's paths stay: wheels may have been carried there."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true", "PYTHONWARNINGS": "ignore"}
    return {"PYTHONPATH": os.pathsep.join(paths), "BENCH_SCRATCH": str(folder), **settings}


def in_turns(load: Load, side: Side, machine: Machine) -> tuple[str, str, str, str] | str:
    """Ours, theirs, the ratio and its spread over the turns; or why there is none."""
    options = {
        "scale": load.model.removeprefix("yolov5"),
        "size": load.img_size,
        "batch": load.batch_size,
        "precision": load.precision,
        "device": str(machine.device),
        "classes": len(Shapes.names),
    }
    given = {"slot": "theirs", "figure": "train", "options": options, "threads": 1, "seconds": 0.0}
    if why := _problem(side.ask(do="prepare", **given)):
        return why
    step = our_step(load, machine)
    ours, theirs = [], []
    for _ in in_time(range(TURNS), machine):
        ours.append(load.batch_size / seconds(step, machine, calls=STEPS, rounds=1))
        answer = side.ask(do="turn", slot="theirs")
        if why := _problem(answer):
            return why
        theirs.append(answer["units"] / answer["wall"])
    if not ours:
        return "there was no time for a turn"
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    figures = (f"{statistics.median(values):.1f}" for values in (ours, theirs))
    return (*figures, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}")  # type: ignore[return-value]


def our_step(load: Load, machine: Machine) -> Callable[[], object]:
    """One step of the Trainer on the batch that the peer has."""
    trainer = trainer_of(load, machine)
    trainer.model.train()
    count = load.batch_size
    pixels = (inputs.images(count, load.img_size) * 255).to(torch.uint8)
    if machine.device.type == "cuda":
        pixels = pixels.pin_memory()
    rows = inputs.targets(OBJECTS * count, count, len(Shapes.names))
    batch = Batch(pixels, rows, ("",) * count, (None,) * count)
    return lambda: trainer.train_batch(batch)


def _problem(answer: dict[str, Any]) -> str:
    return str(answer.get("error") or answer.get("skipped") or "")


# ---- torchvision ----------------------------------------------------------------------------------------------------


def measure_torchvision(machine: Machine) -> Finding:
    """Its NMS against ours, box for box; images per second of its detectors in training beside yolov5n's."""
    try:
        vision = importlib.import_module("torchvision")
        operations = importlib.import_module("torchvision.ops")
        operations.nms(torch.zeros(1, 4, device=machine.device), torch.zeros(1, device=machine.device), 0.5)
    except (ImportError, RuntimeError, OSError, AttributeError, NotImplementedError) as error:
        return Finding(None, f"torchvision does not load here ({type(error).__name__}), so it was left out")
    rows = [("what", "ours", "theirs", "ours to theirs", "differ")]
    same = True
    for count in in_time((500,) if machine.small else (1000, 10_000, 30_000), machine, 2.0):
        row = compare_nms(count, operations.nms, machine)
        same &= row[-1] == "0"
        rows.append(row)
    nets = detectors(machine)
    trained = 0
    for name, size, batch in in_time(nets, machine, 5.0):
        trained += 1
        empty_memory(machine)
        precision = "bfloat16"
        ours = batch / seconds(our_step(Load("train", "yolov5n", size, batch, precision), machine), machine, 3, 1)
        theirs = batch / seconds(_their_step(name, size, batch, machine), machine, 3, 1)
        what = f"training images/s at {size}, batch {batch}, {precision}: yolov5n, {name}"
        rows.append((what, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}", ""))
    words = f"torchvision {vision.__version__}; its networks are larger than yolov5n: for the record, no goal"
    return Finding(same, words, rows, cut_after(trained, nets))


def compare_nms(count: int, theirs: Callable[[Tensor, Tensor, float], Tensor], machine: Machine) -> tuple[str, ...]:
    """Milliseconds of both for boxes of whole pixels, whose overlaps are exact, and how many kept ones differ."""
    boxes, scores, _ = inputs.boxes_to_suppress(count)
    boxes, scores = boxes.round().to(machine.device), scores.to(machine.device)
    ours_kept, theirs_kept = nms(boxes, scores, 0.5), theirs(boxes, scores, 0.5)
    differ = len(set(ours_kept.tolist()) ^ set(theirs_kept.tolist()))
    times = [
        1000 * seconds(lambda: function(boxes, scores, 0.5), machine, 1, 3)  # noqa: B023  (called at once)
        for function in (nms, theirs)
    ]
    ratio = f"{times[0] / times[1]:.2f}"
    return f"ms, NMS of {count} boxes, no limit", f"{times[0]:.2f}", f"{times[1]:.2f}", ratio, str(differ)


def detectors(machine: Machine) -> tuple[tuple[str, int, int], ...]:
    """Names in torchvision.models.detection, the image size and the batch that they are trained with here."""
    if machine.small:
        return (("ssdlite320_mobilenet_v3_large", 320, 2),)
    return (("ssdlite320_mobilenet_v3_large", 320, 64), ("retinanet_resnet50_fpn", 640, 16))


def _their_step(name: str, size: int, batch: int, machine: Machine) -> Callable[[], object]:
    """One step as torchvision's reference recipes take it: SGD in mixed precision, its own transforms inside."""
    detection = importlib.import_module("torchvision.models.detection")
    classes = len(Shapes.names) + 1  # and the background
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=classes)
    model = model.to(machine.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    images = list(inputs.images(batch, size).to(machine.device))
    rows = inputs.targets(OBJECTS * batch, batch, len(Shapes.names))
    targets = [_their_target(rows[rows[:, 0] == number], size, machine.device) for number in range(batch)]

    def step() -> None:
        with torch.autocast(machine.device.type, torch.bfloat16):
            total = sum(model(images, targets).values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _their_target(rows: Tensor, size: int, device: torch.device) -> dict[str, Tensor]:
    """Label rows of one image -> boxes xyxy in pixels, classes from 1 on."""
    centre, sides = rows[:, 2:4] * size, rows[:, 4:6] * size
    boxes = torch.cat((centre - sides / 2, centre + sides / 2), 1).clamp(0, size)
    return {"boxes": boxes.to(device), "labels": rows[:, 1].long().to(device) + 1}
