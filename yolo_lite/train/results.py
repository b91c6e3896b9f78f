"""What is reported of a run: after each batch, after each epoch, and as results.csv."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from yolo_lite.detect.metrics import Metrics
from yolo_lite.loss.criterion import LossTerms
from yolo_lite.running.diagnose import TrainingError
from yolo_lite.writing import atomic_write

RESULTS = "results.csv"


class StepState(NamedTuple):
    """One batch, after it was trained on."""

    epoch: int
    iteration: int  # over all epochs, from 0
    parts: LossTerms  # the loss's NamedTuple (total, box, obj, cls), detached
    lr: float  # of weights and norms
    bias_lr: float
    momentum: float
    stepped: bool  # False: the gradients wait for those of the next batches
    images_per_s: float  # over all processes, loading included


class EpochResult(NamedTuple):
    """One epoch, after validation."""

    epoch: int
    losses: dict[str, float]  # mean of each part over the batches
    metrics: Metrics | None  # None where nothing was validated
    lr: float
    seconds: float  # since it began, or since it was resumed
    fitness: float  # 0.1 mAP50 + 0.9 mAP, YOLOv5: `compute_fitness`; -inf where nothing was validated
    best: bool
    dropped: int = 0  # objects that the loss matched to no prediction, as two in a cell of YOLOv1; over all processes
    val_losses: Mapping[str, float] | None = None  # the same of the EMA weights over the validation batches

    def row(self) -> dict[str, float]:
        """The epoch as a row of results.csv, where epochs count from 0, as in YOLOv5; the screen counts from 1."""
        row = {"epoch": self.epoch, **{f"train/{name}": value for name, value in self.losses.items()}}
        row |= {f"val/{name}": value for name, value in (self.val_losses or {}).items()}
        row |= {"dropped": self.dropped} if self.dropped else {}
        if self.metrics is not None:
            metrics = self.metrics
            row |= {"precision": metrics.precision, "recall": metrics.recall}
            row |= {"mAP50": metrics.map50, "mAP": metrics.map}
        return row | {"lr": self.lr, "seconds": round(self.seconds, 3), "best": float(self.best)}


def write_results(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Writes results.csv, a row per epoch, from the run's whole history, so that a resumed run has no gap.

    Raises:
        TrainingError: the file cannot be written; the run's checkpoint is.
    """
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    try:
        atomic_write(path, text.getvalue().encode())
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error
