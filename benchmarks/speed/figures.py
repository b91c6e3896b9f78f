"""What make bench measures: a row of the table each, with its goal. How each side does it: ours.py, peer.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PEER, TORCHVISION, OURS = "peer", "torchvision", "ours"
WHOLE_PEER = "peer with torchvision"  # suppresses with the compiled NMS, as its users have it


@dataclass(frozen=True)
class Figure:
    """One row: the project's value, the other's, and what their ratio is to be."""

    name: str  # what ONLY= asks for
    part: str
    unit: str  # "ms" and "s": less is better; "images/s": more
    goal: float | None  # of the ratio ours to theirs; without another side, of ours
    ours: str  # the name of the function in ours.py
    theirs: tuple[str, str] | None = None  # the process, and the name of the function there
    options: Mapping[str, Any] = field(default_factory=dict)
    their_options: Mapping[str, Any] | None = None  # where they differ
    threads: int | None = None  # None: as many as THREADS says
    wall_only: bool = False  # other processes do the work: the CPU time of this one says nothing
    bfloat16: bool = False  # only on processors that have instructions for it

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def value(self, seconds: float, units: float) -> float:
        """In the unit, of the seconds that a call took."""
        if self.more_is_better:
            return units / seconds
        return seconds * {"ms": 1e3, "s": 1.0}[self.unit] / units

    def met(self, ratio: float) -> bool | None:
        if self.goal is None:
            return None
        return ratio >= self.goal if self.more_is_better else ratio <= self.goal


def _network(work: str, size: int, batch: int, goal: float, precision: str = "float32") -> Figure:
    """Training or inference of yolov5n; the peer is always in float32."""
    options = {"size": size, "batch": batch}
    words = {"train": "training, yolov5n", "infer": "inference, yolov5n fused"}[work]
    short = "" if precision == "float32" else "-bfloat16"
    tail = "" if precision == "float32" else ", bfloat16 against the peer's float32"
    return Figure(
        name=f"{work}-{size}{short}",
        part=f"{words}, {size} px, batch {batch}{tail}",
        unit="images/s",
        goal=goal,
        ours=work,
        theirs=(PEER, work),
        options=options | {"precision": precision},
        their_options=options,
        bfloat16=precision != "float32",
    )


def _samples(name: str, part: str, goal: float | None, threads: int | None = None, **options: Any) -> Figure:
    theirs = {key: value for key, value in options.items() if key != "decoding_threads"}
    return Figure(
        name=f"samples{name}",
        part=f"augmented training samples, {part}",
        unit="samples/s",
        goal=goal,
        ours="samples",
        theirs=(PEER, "samples"),
        options=options,
        their_options=theirs,
        threads=threads,
        wall_only=bool(options.get("workers")),
    )


def _nms(count: int, limit: int | None, goal: float) -> Figure:
    kept = "without a limit" if limit is None else f"at most {limit} kept"
    return Figure(
        name=f"nms-{count // 1000}k" + ("-all" if limit is None else ""),
        part=f"NMS of {count:,} boxes of 80 classes, {kept}",
        unit="ms",
        goal=goal,
        ours="nms",
        theirs=(TORCHVISION, "nms"),
        options={"count": count, "limit": limit},
    )


FIGURES: tuple[Figure, ...] = (
    _samples("", "one process, one thread", 1.2, threads=1),
    _samples("-threads", "one process, decoding in threads", 1.5, decoding_threads=True),
    Figure(
        "samples-floor",
        "of these, the time that decoding alone takes (ours to the pictures decoded alone)",
        "samples/s",
        None,
        "samples",
        (OURS, "decoding"),
        threads=1,
    ),
    _samples("-ram", "RAM cache, one process", 1.3, cache="ram"),
    _samples("-workers", "2 workers", 1.3, workers=2),
    _samples("-workers-ram", "2 workers, RAM cache", 1.3, workers=2, cache="ram"),
    Figure(
        "targets",
        "build_targets, 120 objects, batch 16 at 640",
        "ms",
        0.5,
        "targets",
        (PEER, "targets"),
        {"objects": 120, "batch": 16, "size": 640, "classes": 80},
    ),
    Figure(
        "loss",
        "loss forward + backward, 80 classes, 120 objects, batch 16 at 640",
        "ms",
        0.6,
        "loss",
        (PEER, "loss"),
        {"objects": 120, "batch": 16, "size": 640, "classes": 80},
    ),
    _network("train", 320, 8, 1.15),
    _network("train", 640, 4, 1.15),
    _network("train", 320, 8, 1.8, "bfloat16"),
    _network("train", 640, 4, 2.0, "bfloat16"),
    _network("infer", 320, 1, 1.3),
    _network("infer", 640, 8, 1.3),
    _network("infer", 320, 1, 1.8, "bfloat16"),
    _network("infer", 640, 8, 1.8, "bfloat16"),
    _nms(1_000, 300, 1.5),
    _nms(10_000, 300, 0.5),
    _nms(30_000, 300, 0.5),
    _nms(30_000, None, 1.0),
    Figure(
        "ap",
        "average precision, 50,000 detections, 80 classes",
        "ms",
        0.4,
        "average_precision",
        (PEER, "average_precision"),
        {"count": 50_000, "classes": 80},
    ),
    Figure("val", "validation end to end: loading, network, NMS, mAP", "images/s", 1.3, "val", (WHOLE_PEER, "val")),
    Figure(
        "val-network", "validation: loading and network alone", "images/s", 1.3, "val_network", (PEER, "val_network")
    ),
    Figure(
        "opening",
        "opening 100,000 images, the second time",
        "s",
        1.5,
        "opening",
        options={"images": 100_000},
        wall_only=True,
    ),
    Figure(
        "import",
        "start: import yolo_lite against import torch",
        "s",
        1.15,
        "importing",
        (OURS, "importing"),
        {"module": "yolo_lite"},
        {"module": "torch"},
        threads=1,
        wall_only=True,
    ),
)
BY_NAME: Mapping[str, Figure] = {figure.name: figure for figure in FIGURES}
