"""What watches a run: progress, a CSV file, TensorBoard. A callback has any of the methods of ``Callback``."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from yolo_lite.model.checkpoint import atomic_write

if TYPE_CHECKING:
    from yolo_lite.train.trainer import EpochResult, StepState, Trainer


class Callback:
    """Does nothing; override what you need. Callbacks run in the main process, in the order they were given."""

    def on_start(self, trainer: "Trainer") -> None:
        """Before the first batch, also of a resumed run."""

    def on_batch_end(self, trainer: "Trainer", step: "StepState") -> None:
        """After each batch."""

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        """After each epoch's validation and checkpoint."""

    def on_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or when the run stops early."""


class ProgressBar(Callback):
    """A bar per epoch with losses, rate and images/s, and a line with the figures after it."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def on_start(self, trainer: "Trainer") -> None:
        for message in trainer.messages:
            tqdm.write(message)

    def on_batch_end(self, trainer: "Trainer", step: "StepState") -> None:
        if self.bar is None:
            total, done = len(trainer.loader), trainer.batch - 1
            self.bar = tqdm(total=total, initial=done, desc=f"epoch {step.epoch + 1}/{trainer.options.epochs}")
        parts = {name: f"{float(value):.4f}" for name, value in _parts(step).items()}
        self.bar.set_postfix(parts | {"lr": f"{step.lr:.5f}", "img/s": f"{step.images_per_s:.0f}"}, refresh=False)
        self.bar.update()

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if result.metrics is not None:
            best = "  (best)" if result.best else ""
            tqdm.write(f"  mAP50 {result.metrics.map50:.3f}  mAP {result.metrics.map:.3f}{best}")


class CsvLog(Callback):
    """results.csv: a row per epoch, written from the run's whole history, so that a resumed run has no gap."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        columns = list(dict.fromkeys(name for row in trainer.history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trainer.history)
        atomic_write(self.path, text.getvalue().encode())


class TensorBoardLog(Callback):
    """The same numbers for TensorBoard (``pip install tensorboard``)."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError("TensorBoard is not installed: pip install tensorboard") from None
        self.writer = SummaryWriter(str(folder))

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        for name, value in trainer.history[-1].items():
            self.writer.add_scalar(name, value, result.epoch)

    def on_end(self, trainer: "Trainer") -> None:
        self.writer.close()


def _parts(step: "StepState") -> dict[str, Any]:
    return {name: value for name, value in step.parts._asdict().items() if name != "total"}
