"""The result of an evaluation, as data and as a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.data.report import Problem
from yolo_lite.detect.average_precision import Curves, Rule
from yolo_lite.support.coco_ap import CocoSummary, result_entry
from yolo_lite.support.coco_truth import CocoTruth, ImageTruth, boxes_as_objects
from yolo_lite.writing import atomic_write

SHOWN = 5  # images left out that str() names
LONG = ("curves", "detections", "category_ids")  # what to_dict() leaves out


class Seconds(NamedTuple):
    """Time per image."""

    preprocess: float  # to the device, and into [0, 1]
    inference: float  # maps and decode
    nms: float


class ImageDetections(NamedTuple):
    """What was found in an image, and what is there, in pixels of the original image. n detections, m labels."""

    path: str
    xyxy: np.ndarray  # (n, 4) float32, best first
    conf: np.ndarray  # (n,) float32
    cls: np.ndarray  # (n,) int64, the model's classes
    size: tuple[int, int]  # (height, width)
    labels: np.ndarray  # (m, 5) float32 class, xyxy
    image_id: int  # in COCO's results


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
    coco: CocoSummary | None = None  # by size, and recall; under the rule "coco" alone
    annotations: str = ""  # the COCO file that ``coco`` compares with; "": the labels, boxes' own areas, no crowds
    num_objects: int = 0  # that ``coco`` counts: of that file, boxes without area among them
    num_crowds: int = 0  # regions of that file in which no detection is wrong
    detections: tuple[ImageDetections, ...] | None = None  # as the loader gave the images; with keep_detections=True
    category_ids: tuple[int, ...] = ()  # of the C classes, in COCO's results

    @property
    def fitness(self) -> float:
        """One number to compare models by: 0.1 mAP50 + 0.9 mAP. YOLOv5: ``fitness``."""
        return 0.1 * self.map50 + 0.9 * self.map

    def to_dict(self, with_curves: bool = False) -> dict[str, Any]:
        """Plain numbers, lists and strings; the curves are long, and left out unless asked for."""
        values = {name: value for name, value in vars(self).items() if name not in LONG}
        values |= {
            "per_class": [asdict(cls) for cls in self.per_class],
            "confusion": self.confusion.tolist(),
            "names": list(self.names),
            "seconds": self.seconds._asdict(),
            "left_out": [{"path": problem.path, "message": problem.message} for problem in self.left_out],
            "coco": self.coco and self.coco._asdict(),
        }
        if with_curves:
            values["curves"] = {name: curve.tolist() for name, curve in self.curves._asdict().items()}
        return values

    def coco_results(self) -> list[dict[str, Any]]:
        """The detections as COCO's results: what ``pycocotools.coco.COCO.loadRes`` takes.

        ``image_id`` and ``category_id`` are those of the annotation file (``annotations``). Without one, an image is
        known by its number (000012.jpg is 12; unless all are called so, from 1, sorted by path), in a part of a dataset
        as in the whole, and a category by that of its class. No number is rounded.

        Scores are the network's to the last bit or two: another ``batch_size``, or number of threads, sums in another
        order, and the seventh digit may differ.

        Raises:
            ValueError: the detections were not kept.
        """
        return [
            {"image_id": image.image_id, **entry, "category_id": self.category_ids[entry["category_id"]]}
            for image in self._kept
            for entry in map(result_entry, _rows(image))
        ]

    def save_json(self, path: str | Path, annotations: str | Path | None = None) -> None:
        """Writes the detections as COCO's results JSON, which pycocotools scores as ``coco`` has it.

        Args:
            annotations: where to write the labels as a COCO annotation file with the same ids, for pycocotools to
                compare with. Without crowd regions, and with the areas of the boxes: where ``annotations`` names a
                file already, that one says more.
        Raises:
            ValueError: the detections were not kept, or ``annotations`` is asked for where there is a file of them.
        """
        results = json.dumps(self.coco_results(), separators=(",", ":"))
        if annotations is not None:
            if self.annotations:
                raise ValueError(f"the ids are those of {self.annotations}: compare with that file")
            truths = [_truth(image) for image in self._kept]
            atomic_write(annotations, CocoTruth(self.names, self.category_ids, tuple(truths)).to_json())
        atomic_write(path, results.encode())

    @property
    def _kept(self) -> tuple[ImageDetections, ...]:
        if self.detections is None:
            raise ValueError("the detections were not kept: evaluate(..., keep_detections=True) keeps them")
        return self.detections

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
        if self.coco is not None:
            truth = f"{self.num_objects} objects, their areas and {self.num_crowds} crowd regions of {self.annotations}"
            lines += _by_size(self.coco, truth if self.annotations else "areas of the boxes")
        stages = ", ".join(f"{name} {1000 * value:.1f}" for name, value in self.seconds._asdict().items())
        lines.append(f"{self.num_images} images, {self.rule} rule; ms per image: {stages}")
        if self.left_out:
            more = f" and {len(self.left_out) - SHOWN} more" if len(self.left_out) > SHOWN else ""
            which = ", ".join(problem.path for problem in self.left_out[:SHOWN])
            lines.append(f"{len(self.left_out)} left out, as not every image can be read: {which}{more}")
        return "\n".join(lines)


def _truth(image: ImageDetections) -> ImageTruth:
    return ImageTruth(image.image_id, image.path, image.size, boxes_as_objects(image.labels))


def _rows(image: ImageDetections) -> list[list[float]]:
    """The detections of an image, (n, 6) xyxy, confidence, class."""
    rows: list[list[float]] = np.column_stack((image.xyxy.astype(float), image.conf, image.cls)).tolist()
    return rows


def _by_size(coco: CocoSummary, areas: str) -> list[str]:
    """Two lines: average precision by size, and recall."""
    precision, recall = (_listed(coco, ("small", "medium", "large"), prefix) for prefix in ("ap", "ar"))
    limits = _listed(coco, ("1", "10", "100"), "ar")
    return [f"AP: {precision} ({areas})", f"AR: {limits} detections; {recall}"]


def _listed(coco: CocoSummary, names: Sequence[str], prefix: str) -> str:
    values = [(name, getattr(coco, f"{prefix}_{name}")) for name in names]
    return ", ".join(f"{name} {'-' if value is None else format(value, '.3f')}" for name, value in values)
