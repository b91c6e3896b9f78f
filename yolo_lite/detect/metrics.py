"""What an evaluation says, as data and as a table."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.data.report import Problem
from yolo_lite.detect.average_precision import Curves, Rule

SHOWN = 5  # images left out that str() names


class Seconds(NamedTuple):
    """Time per image."""

    preprocess: float  # to the device, and into [0, 1]
    inference: float  # maps and decode
    nms: float


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is found."""

    name: str
    images: int  # that show it
    labels: int
    precision: float  # at IoU .5 and Metrics.best_confidence
    recall: float  # likewise
    map50: float  # average precision at IoU .5
    map: float  # mean over IoU .5, .55, ..., .95


@dataclass(frozen=True, eq=False)
class Metrics:
    """How well a detector finds the labelled objects; ``str()`` is a table, ``to_dict()`` is ready for JSON."""

    rule: Rule  # of average precision
    map: float  # mean over the classes and IoU .5, .55, ..., .95
    map50: float
    map75: float
    precision: float  # mean over the classes, at IoU .5 and best_confidence
    recall: float  # likewise
    best_confidence: float  # where the smoothed mean F1 is highest
    per_class: tuple[ClassMetrics, ...]  # the classes that have labels
    confusion: np.ndarray  # (C + 1, C + 1) int64, row = detected, column = true, the last = background
    curves: Curves  # one row per entry of per_class
    names: tuple[str, ...]  # of all C classes
    num_images: int  # that were read
    num_labels: int  # in these
    seconds: Seconds
    left_out: tuple[Problem, ...] = ()  # images that could not be read; their labels are not counted as missed

    @property
    def fitness(self) -> float:
        """One number to compare models by: 0.1 mAP50 + 0.9 mAP. YOLOv5: ``fitness``."""
        return 0.1 * self.map50 + 0.9 * self.map

    def to_dict(self, with_curves: bool = False) -> dict[str, Any]:
        """Plain numbers, lists and strings; the curves are long, and left out unless asked for."""
        values = {name: value for name, value in vars(self).items() if name != "curves"}
        values |= {
            "per_class": [asdict(cls) for cls in self.per_class],
            "confusion": self.confusion.tolist(),
            "names": list(self.names),
            "seconds": self.seconds._asdict(),
            "left_out": [{"path": problem.path, "message": problem.message} for problem in self.left_out],
        }
        if with_curves:
            values["curves"] = {name: curve.tolist() for name, curve in self.curves._asdict().items()}
        return values

    def __str__(self) -> str:
        all_classes = ClassMetrics(
            "all", self.num_images, self.num_labels, self.precision, self.recall, self.map50, self.map
        )
        rows = [all_classes, *self.per_class] if len(self.per_class) > 1 else [*self.per_class]
        width = max(len(row.name) for row in rows)
        lines = [f"{'class':>{width}}  images  labels  precision  recall  mAP50    mAP"]
        lines += [
            f"{row.name:>{width}}  {row.images:6}  {row.labels:6}  {row.precision:9.3f}  {row.recall:6.3f}  "
            f"{row.map50:5.3f}  {row.map:5.3f}"
            for row in rows
        ]
        stages = ", ".join(f"{name} {1000 * value:.1f}" for name, value in self.seconds._asdict().items())
        lines.append(f"{self.num_images} images, {self.rule} rule; ms per image: {stages}")
        if self.left_out:
            more = f" and {len(self.left_out) - SHOWN} more" if len(self.left_out) > SHOWN else ""
            which = ", ".join(problem.path for problem in self.left_out[:SHOWN])
            lines.append(f"{len(self.left_out)} left out, as not every image can be read: {which}{more}")
        return "\n".join(lines)
