"""What is shown of a run: time and result, as ``fit(progress=True)`` and ``yolo-lite train`` print them."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from yolo_lite.support.tables import table
from yolo_lite.train.callbacks import Callback, LineLog, ProgressBar

if TYPE_CHECKING:
    from yolo_lite.train.results import EpochResult, StepState
    from yolo_lite.train.trainer import Trainer

FIGURES = {"mAP50": "map50", "mAP": "map", "precision": "precision", "recall": "recall"}  # as printed, and in JSON


class Clock(Callback):
    """Seconds since this start, training and validation apart; saving after an epoch counts as validation."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.preparation = self.training = self.validation = 0.0
        self.iterations = 0

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self._last = self._last, time.monotonic()
        return self._last - before

    def on_start(self, trainer: "Trainer") -> None:
        self.preparation += self.lap()

    def on_batch_end(self, trainer: "Trainer", step: "StepState") -> None:
        self.training += self.lap()
        self.iterations += 1

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        self.validation += self.lap()

    def images_per_s(self, trainer: "Trainer") -> float:
        """Images trained on per second of training, loading included; all processes together."""
        images = self.iterations * len(trainer.train_set) / len(trainer.loader)
        return images / self.training if self.training else 0.0


class ResultTable(Clock):
    """Prints the table of the best and the last epoch and the time, once the run ends."""

    def on_end(self, trainer: "Trainer") -> None:
        figures = [figures_of(row) for row in trainer.history if "mAP" in row]
        best = [row for row in figures if row["epoch"] == trainer.best_epoch + 1]
        print(result_table(best[-1:], figures[-1:], trainer.options.epochs))
        print(time_line(self.training, self.images_per_s(trainer), self.validation, self.preparation))


def figures_of(row: Mapping[str, float]) -> dict[str, float]:
    """Those of a row of the history, the epoch counted from 1."""
    return {"epoch": row["epoch"] + 1, **{name: row[printed] for printed, name in FIGURES.items()}}


def result_table(best: Sequence[Mapping[str, float]], last: Sequence[Mapping[str, float]], epochs: int) -> str:
    """A line each for the best and the last epoch, where there is one.

    >>> row = {"epoch": 2, "map50": 0.5, "map": 0.25, "precision": 0.5, "recall": 0.5}
    >>> print(result_table([row], [], 3))
          epoch  mAP50    mAP  precision  recall
    best    2/3  0.500  0.250      0.500   0.500
    """
    rows = [("", "epoch", *FIGURES)]
    for name, found in (("best", best), ("last", last)):
        for row in found:
            numbers = [f"{row[figure]:.3f}" for figure in FIGURES.values()]
            rows.append((name, f"{row['epoch']:.0f}/{epochs}", *numbers))
    return table(rows)


def time_line(training: float, images_per_s: float, validation: float, preparation: float) -> str:
    """Seconds, in a line."""
    return (
        f"training {training:.1f} s ({images_per_s:.0f} images/s), "
        f"validation {validation:.1f} s, preparation {preparation:.1f} s"
    )


def progress_callbacks() -> list[Callback]:
    """What ``fit(progress=True)`` adds: a bar where stderr is a terminal, else a line per epoch; then the table."""
    return [ProgressBar() if sys.stderr.isatty() else LineLog(), ResultTable()]
