"""What is notified of a run: progress, a CSV file, TensorBoard. A callback has any of the methods of ``Callback``."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from yolo_lite.train.messages import Note, logger
from yolo_lite.train.results import EpochResult, StepState, write_results

if TYPE_CHECKING:
    from yolo_lite.train.run import Run


class Callback:
    """Does nothing; override what you need. Any object that has some of these methods will do.

    Callbacks run in the main process, in the order they were given. ``trainer.stop("why")`` in one ends the run.
    """

    def on_start(self, trainer: "Run") -> None:
        """Before the first batch, also of a resumed run, and of one that was paused."""

    def on_batch_end(self, trainer: "Run", step: StepState) -> None:
        """After each batch."""

    def on_epoch_end(self, trainer: "Run", result: EpochResult) -> None:
        """After each epoch's validation and checkpoint."""

    def on_end(self, trainer: "Run") -> None:
        """After the last epoch, or when the run stops early."""

    def on_break(self, trainer: "Run", error: BaseException) -> None:
        """Where the run breaks off instead: an error, Ctrl-C, or a loop over ``steps()`` that was left."""


class ProgressBar(Callback):
    """A bar per epoch with losses, learning rate and images/s, and a line with the figures after it."""

    def __init__(self) -> None:
        self.bar: tqdm[NoReturn] | None = None

    def on_start(self, trainer: "Run") -> None:
        if trainer.iteration == 0:
            for message in notes(trainer):
                tqdm.write(message)

    def on_batch_end(self, trainer: "Run", step: StepState) -> None:
        if self.bar is None:
            total, done = len(trainer.loader), trainer.batch - 1
            self.bar = tqdm(total=total, initial=done, desc=f"epoch {step.epoch + 1}/{trainer.options.epochs}")
        parts = {name: f"{float(value):.4f}" for name, value in step.parts._asdict().items() if name != "total"}
        self.bar.set_postfix(parts | {"lr": f"{step.lr:.5f}", "img/s": f"{step.images_per_s:.0f}"}, refresh=False)
        self.bar.update()

    def on_epoch_end(self, trainer: "Run", result: EpochResult) -> None:
        self._close()
        if result.metrics is not None:
            best = "  (best)" if result.best else ""
            tqdm.write(f"  mAP50 {result.metrics.map50:.3f}  mAP {result.metrics.map:.3f}{best}")

    def on_end(self, trainer: "Run") -> None:
        if text := why_it_ended(trainer):
            tqdm.write(text)

    def on_break(self, trainer: "Run", error: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class LineLog(Callback):
    """A line per epoch on stderr: for files, and terminals without progress bars."""

    def on_start(self, trainer: "Run") -> None:
        for message in notes(trainer):
            self._print(message)
        if trainer.iteration and not trainer.finished:
            self._print(
                f"resuming in epoch {trainer.epoch + 1}, after {trainer.batch} of {len(trainer.loader)} batches"
            )

    def on_epoch_end(self, trainer: "Run", result: EpochResult) -> None:
        words = [f"epoch {result.epoch + 1}/{trainer.options.epochs}"]
        words += [f"{name} {value:.4f}" for name, value in result.losses.items()]
        if result.metrics is not None:
            words += [f"mAP50 {result.metrics.map50:.3f}", f"mAP {result.metrics.map:.3f}"]
            if result.metrics.left_out:
                words.append(f"without {len(result.metrics.left_out)} unreadable")
        words += [f"{result.dropped} objects dropped"] if result.dropped else []
        words += [f"{result.seconds:.1f} s", *(["(best)"] if result.best else [])]
        self._print("  ".join(words))

    def on_end(self, trainer: "Run") -> None:
        if trainer.stopped_by is not None:
            self._print(trainer.ended)

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def notes(trainer: "Run") -> list[str]:
    """The messages that nobody has seen: warnings have been logged, and notes too where logging is set up for them."""
    if logger.isEnabledFor(logging.INFO):
        return []
    return [message for message in trainer.messages if isinstance(message, Note)]


def why_it_ended(trainer: "Run") -> str:
    """A sentence for a run that ended before its last epoch; empty for others."""
    if trainer.stopped_by is not None:
        return trainer.ended
    if not trainer.stopped or trainer.epoch >= trainer.options.epochs:
        return ""
    return (
        f"stopped after epoch {trainer.epoch}: epoch {trainer.best_epoch + 1} is the best, and nothing has "
        f"improved for {trainer.options.patience} epochs (patience)"
    )


class CsvLog(Callback):
    """A results.csv elsewhere than in the run's folder, which has one: a row per epoch of the whole history.

    Raises:
        TrainingError: the file cannot be written; the run's checkpoint is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_start(self, trainer: "Run") -> None:
        if trainer.history:
            self._write(trainer)  # a run killed between its checkpoint and this file

    def on_epoch_end(self, trainer: "Run", result: EpochResult) -> None:
        self._write(trainer)

    def _write(self, trainer: "Run") -> None:
        write_results(trainer.history, self.path)


class TensorBoardLog(Callback):
    """The same numbers for TensorBoard (``pip install tensorboard``)."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError("TensorBoard is not installed: pip install tensorboard") from None
        self.writer = SummaryWriter(str(folder))

    def on_epoch_end(self, trainer: "Run", result: EpochResult) -> None:
        for name, value in trainer.history[-1].items():
            self.writer.add_scalar(name, value, result.epoch)
        self.writer.flush()

    def on_end(self, trainer: "Run") -> None:
        self.writer.close()
