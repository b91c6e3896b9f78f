"""What ``yolo-lite train`` prints: a line per epoch, the time, and the result."""

import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from yolo_lite.cli.options import print_json, table
from yolo_lite.running.folder import BEST, LAST
from yolo_lite.train.callbacks import Callback

if TYPE_CHECKING:
    from yolo_lite.detect.metrics import Metrics
    from yolo_lite.train.results import EpochResult, StepState
    from yolo_lite.train.trainer import Trainer

SHOWN = 5  # images that could not be read
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


class LineLog(Callback):
    """A line per epoch on stderr: for files, and terminals without progress bars."""

    def on_start(self, trainer: "Trainer") -> None:
        for message in trainer.messages:
            self._print(message)
        if trainer.iteration and not trainer.finished:
            self._print(f"resuming in epoch {trainer.epoch + 1}, after {trainer.iteration} batches")

    def on_epoch_end(self, trainer: "Trainer", result: "EpochResult") -> None:
        words = [f"epoch {result.epoch + 1}/{trainer.options.epochs}"]
        words += [f"{name} {value:.4f}" for name, value in result.losses.items()]
        if result.metrics is not None:
            words += [f"mAP50 {result.metrics.map50:.3f}", f"mAP {result.metrics.map:.3f}"]
            if result.metrics.left_out:
                words.append(f"without {len(result.metrics.left_out)} unreadable")
        words += [f"{result.dropped} objects dropped"] if result.dropped else []
        words += [f"{result.seconds:.1f} s", *(["(best)"] if result.best else [])]
        self._print("  ".join(words))

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def cut_here(trainer: "Trainer", clock: Clock) -> "Metrics":
    """Ends a run between two batches: saves it, so that it can be resumed, and validates its weights."""
    trainer.save()
    metrics = trainer.validate()
    if metrics.fitness >= trainer.best_fitness:
        trainer.best_fitness, trainer.best_epoch = metrics.fitness, trainer.epoch
        trainer.save(best=True)
    clock.validation += clock.lap()
    return metrics


def outcome(trainer: "Trainer", clock: Clock, cut: "Metrics | None") -> dict[str, Any]:
    """The result as plain values: the document of --json.

    Args:
        cut: the metrics of a run that was stopped before its end; None: it came to its end.
    """
    if trainer.out_dir is None:
        raise ValueError("the trainer has no out_dir: there is no folder to name")
    figures = [_figures(row) for row in trainer.history if "mAP" in row]
    if cut:
        figures.append({"epoch": trainer.epoch + 1, **{name: getattr(cut, name) for name in FIGURES.values()}})
    best = [row for row in figures if row["epoch"] == trainer.best_epoch + 1]
    seconds = {name: round(getattr(clock, name), 3) for name in ("preparation", "training", "validation")}
    return {
        "out": str(trainer.out_dir),
        "epochs": trainer.options.epochs,
        "epochs_done": trainer.epoch,
        "iterations": trainer.iteration,
        "cut": cut is not None,
        "stopped_early": trainer.stopped and trainer.epoch < trainer.options.epochs,
        "best": best[-1] if best else None,
        "last": figures[-1] if figures else None,
        "seconds": seconds,
        "images_per_s": round(clock.images_per_s(trainer), 2),
        "best_weights": str(trainer.out_dir / BEST),
        "last_weights": str(trainer.out_dir / LAST),
        "messages": list(trainer.messages),
        "dropped": sum(int(row.get("dropped", 0)) for row in trainer.history),
        "unreadable": [problem.path for problem in trainer.unreadable],
        "left_out": list(getattr(trainer.val_loader, "unreadable", {})),  # of the validation images
    }


def _listed(paths: list[str]) -> str:
    return f"{len(paths)} ({', '.join(paths[:SHOWN])}{' ...' if len(paths) > SHOWN else ''})"


def _figures(row: dict[str, float]) -> dict[str, float]:
    return {"epoch": row["epoch"] + 1, **{name: row[printed] for printed, name in FIGURES.items()}}


def report(trainer: "Trainer", clock: Clock, cut: "Metrics | None", as_json: bool) -> None:
    """Prints the result on stdout."""
    result = outcome(trainer, clock, cut)
    if as_json:
        print_json(result)
        return
    rows = [("", "epoch", *FIGURES)]
    for name in ("best", "last"):
        if result[name]:
            numbers = [f"{result[name][figure]:.3f}" for figure in FIGURES.values()]
            rows.append((name, f"{result[name]['epoch']}/{result['epochs']}", *numbers))
    print(table(rows))
    seconds = result["seconds"]
    print(
        f"training {seconds['training']:.1f} s ({result['images_per_s']:.0f} images/s), "
        f"validation {seconds['validation']:.1f} s, preparation {seconds['preparation']:.1f} s"
    )
    out_dir = shlex.quote(result["out"])
    if cut:
        print(
            f"stopped after {result['iterations']} batches, as asked; the learning rate was scheduled for "
            f"{result['epochs']} epochs and is not at its end yet. Resume: yolo-lite train --resume {out_dir}"
        )
    if result["stopped_early"]:
        print(f"early stopping: no better result in {trainer.options.patience} epochs")
    if result["dropped"]:
        print(f"objects that the loss matched to no prediction, over all epochs: {result['dropped']}")
    if result["unreadable"]:
        print(f"images that could not be read and were replaced by others: {_listed(result['unreadable'])}")
    if result["left_out"]:
        print(
            f"validation images that could not be read and are left out of the metrics: {_listed(result['left_out'])}"
        )
    weights = shlex.quote(result["best_weights"])
    print(f"best weights: {weights}")
    print(f"use them: yolo-lite predict IMAGE --weights {weights} --img-size {trainer.options.img_size}")
