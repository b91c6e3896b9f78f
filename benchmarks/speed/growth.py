"""How times and memory grow: with images, objects, batch, image size, classes, recorded lines. One curve each.

A curve of the project's side alone. The slope is that of a straight line through the logarithms, over the upper half
of the sizes: 1 is proportional, 2 is quadratic, 0 does not grow.
"""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.figures import OURS, Figure
from benchmarks.speed.many_files import many_images
from benchmarks.speed.turns import ROOT, Side, measure

Points = list[tuple[float, float]]


@dataclass
class Curve:
    """What was measured: for each line, values at sizes."""

    name: str
    title: str
    x: str  # what grows
    y: str  # what was measured, with its unit
    lines: dict[str, Points] = field(default_factory=dict)
    is_log: bool = True
    missing: str = ""

    def sentences(self) -> str:
        """What each line does, in words."""
        return " ".join(self._sentence(label, points) for label, points in self.lines.items() if len(points) > 1)

    def _sentence(self, label: str, points: Points) -> str:
        (first, least), (last, most) = points[0], points[-1]
        words = f"{label}: {least:.3g} at {first:,.0f}, {most:.3g} at {last:,.0f}"
        if not self.is_log:
            return f"{words}, {slope(points, of_logarithms=False):.2g} for each more."
        exponent = slope(points[(len(points) - 1) // 2 :])
        return f"{words}; slope {exponent:.2f}, {kind_of_growth(exponent)}."

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self), sentences=self.sentences())


def slope(points: Points, of_logarithms: bool = True) -> float:
    """Of the straight line through (x, y), or through their logarithms: least squares.

    >>> round(slope([(1, 3), (2, 12), (4, 48)]), 3)
    2.0
    """
    change: Callable[[float], float] = math.log if of_logarithms else float
    xs, ys = ([change(value) for value in column] for column in zip(*points, strict=True))
    return statistics.linear_regression(xs, ys).slope


def kind_of_growth(exponent: float) -> str:
    """In words."""
    for limit, words in ((0.15, "it hardly grows"), (0.9, "less than proportional"), (1.15, "proportional")):
        if exponent < limit:
            return words
    return (
        "more than proportional" if exponent < 1.8 else "about quadratic" if exponent < 2.2 else "more than quadratic"
    )


@dataclass(frozen=True)
class Line:
    """A function of ours.py with one option that grows."""

    label: str
    function: str
    option: str
    sizes: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    per: float = 1  # the option is this many times the size on the axis


OBJECTS, BATCHES = (1, 5, 20, 50, 100, 200, 500), (1, 2, 4, 8, 16, 32, 64)
SIZES, CLASSES = (160, 320, 480, 640, 960, 1280), (1, 3, 10, 30, 100, 300, 1000)
LINES_RECORDED, EXPLORER_SIZES = (100, 300, 1000, 3000, 10_000, 20_000), (160, 320, 640, 1280)
BATCH = {"batch": 16, "size": 640, "classes": 80}
PLANS: Mapping[str, tuple[str, str, Sequence[Line]]] = {
    "objects": (
        "Objects in an image, batch 16 at 640 px, 80 classes; NMS of one image with 20 boxes an object",
        "objects in an image",
        (
            Line("build_targets", "targets", "objects", OBJECTS, BATCH, per=16),
            Line("loss, forward and backward", "loss", "objects", OBJECTS, BATCH, per=16),
            Line("NMS", "nms", "count", OBJECTS, per=20),
        ),
    ),
    "batch": (
        "Batch of yolov5n",
        "images in a batch",
        (
            Line("training, 160 px", "train", "batch", BATCHES, {"size": 160}),
            Line("inference, fused, 320 px", "infer", "batch", BATCHES, {"size": 320}),
        ),
    ),
    "size": (
        "Image size of yolov5n",
        "side of the network input, pixels",
        (
            Line("training, batch 2", "train", "size", SIZES, {"batch": 2}),
            Line("inference, fused, batch 1", "infer", "size", SIZES, {"batch": 1}),
            Line("one augmented sample, RAM cache", "samples", "size", SIZES, {"cache": "ram", "images": 1}),
        ),
    ),
    "classes": (
        "Classes; batch 4 at 320 px, 50,000 detections",
        "classes",
        (
            Line("loss, forward and backward", "loss", "classes", CLASSES, {"objects": 32, "batch": 4, "size": 320}),
            Line("inference, fused", "infer", "classes", CLASSES, {"batch": 4, "size": 320}),
            Line("average precision", "average_precision", "classes", CLASSES, {"count": 50_000}),
        ),
    ),
    "recorder": (
        "Recording of a function",
        "lines that ran",
        (Line("trace(fn)", "recorder", "lines", LINES_RECORDED),),
    ),
    "explorers": (
        "Explorers: from a control that moves to a page that is ready to be sent",
        "side of the picture, pixels",
        tuple(
            Line(name, "explorer", "size", EXPLORER_SIZES, {"name": name})
            for name in ("AugmentationLab", "LossExplorer", "NmsExplorer")
        ),
    ),
}
NAMES = ("opening", "opening-memory", "label-store", *PLANS)


def grow(
    side: Side, scratch: Path, quick: bool = False, threads: int = 1, only: Sequence[str] = NAMES
) -> Iterator[Curve]:
    """Measures the curves of these names, one after the other."""
    if {"opening", "opening-memory"} & {*only}:
        yield from opening_curves(side, scratch, quick)
    if "label-store" in only:
        yield store_curve(side, scratch, quick)
    for name, (title, x, lines) in PLANS.items():
        if name in only:
            yield _measured(Curve(name, title, x, "milliseconds"), side, lines, threads, quick)


def _measured(curve: Curve, side: Side, lines: Sequence[Line], threads: int, quick: bool) -> Curve:
    for line in lines:
        sizes = line.sizes[::3] if quick else line.sizes
        for size in sizes:
            options = {**line.options, line.option: round(size * line.per)}
            figure = Figure(f"{curve.name} {size}", line.label, "ms", None, line.function, options=options)
            found = measure(figure, {OURS: side}, threads, turns=3 if quick else 5, seconds=0.05 if quick else 0.15)
            if found.ours:
                milliseconds = 1000 * statistics.median(turn["wall"] for turn in found.ours)
                curve.lines.setdefault(line.label, []).append((size, milliseconds))
            curve.missing = curve.missing or found.missing
    return curve


OPENINGS, FEW = (1000, 10_000, 50_000, 100_000, 200_000), (1000, 4000)
OPEN = """
import json, re, sys, time
from pathlib import Path
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.files import label_cache

def mebibytes(name):
    found = re.search(name + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024

label_cache.user_cache_dir = lambda: Path(sys.argv[2])
is_linux = Path("/proc/self/clear_refs").exists()
if is_linux:
    Path("/proc/self/clear_refs").write_text("5")  # the largest size so far starts anew
before, start = mebibytes("VmRSS") if is_linux else 0, time.perf_counter()
dataset = YoloDataset(sys.argv[1], img_size=640)
seconds = time.perf_counter() - start
print(json.dumps([seconds, mebibytes("VmHWM") - before if is_linux else 0]))
"""


def opening_curves(side: Side, scratch: Path, quick: bool) -> list[Curve]:
    """Seconds and memory of opening, the first time and the second."""
    seconds = Curve("opening", "Opening a dataset; its files lie in the system's memory", "images", "seconds")
    memory = Curve("opening-memory", "Memory that opening takes at most", "images", "MiB")
    cache = scratch / "growing-cache"
    for images in FEW if quick else OPENINGS:
        data = many_images(scratch, images)
        shutil.rmtree(cache, ignore_errors=True)
        for label in ("the first time", "the second time"):
            took, mebibytes = _run(side, OPEN, data, cache)
            seconds.lines.setdefault(label, []).append((images, took))
            if mebibytes > 0:
                memory.lines.setdefault(label, []).append((images, mebibytes))
    return [seconds, memory]


STORE = """
import json, os, sys
from pathlib import Path
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.files import label_cache

def mebibytes():
    "Of this process and those below it, memory that several share counted once."
    children = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(place.parent.name))
        except OSError:
            pass
    todo, total = [os.getpid()], 0
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024

if __name__ == "__main__":
    label_cache.user_cache_dir = lambda: Path(sys.argv[2])
    dataset = YoloDataset(sys.argv[1], img_size=64)
    found = []
    for workers in map(int, sys.argv[3:]):
        loader = create_dataloader(dataset, 1, workers=workers)
        batches = iter(loader)
        for _ in range(2 * workers + 1):
            next(batches)
        found.append(mebibytes())
        del batches, loader
    print(json.dumps(found))
"""
WORKERS = (0, 1, 2, 4, 8)


def store_curve(side: Side, scratch: Path, quick: bool) -> Curve:
    """What a large dataset takes more than one of 1,000 images, in all processes together."""
    title = "Labels and paths that all workers share: memory beyond that of a dataset of 1,000 images"
    curve = Curve("label-store", title, "worker processes", "MiB in all processes", is_log=False)
    if not Path("/proc/self/smaps_rollup").exists():
        curve.missing = "only Linux says how much memory several processes share"
        return curve
    workers = WORKERS[:2] if quick else WORKERS
    few, many = FEW if quick else (1000, OPENINGS[-1])
    script = scratch / "label_store.py"  # a file: worker processes import it
    script.write_text(STORE, encoding="utf-8")
    small, large = (
        _run(side, script, many_images(scratch, images), scratch / "growing-cache", *map(str, workers))
        for images in (few, many)
    )
    extra = [one - other for one, other in zip(large, small, strict=True)]
    curve.lines[f"{many:,} images"] = list(zip(workers, extra, strict=True))
    return curve


def _run(side: Side, code: str | Path, *arguments: str | Path) -> list[float]:
    """What a program prints, in a process of its own with the environment of ours."""
    program = ["-c", code] if isinstance(code, str) else [str(code)]
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **side.environment},
    )
    values: list[float] = json.loads(done.stdout)
    return values
