"""What ``yolo-lite train`` prints at the end: the result, the time, and what to do next."""

import shlex
from typing import TYPE_CHECKING, Any

from yolo_lite.cli.options import print_json
from yolo_lite.running.folder import BEST, LAST
from yolo_lite.train.progress import FIGURES, Clock, figures_of, result_table, time_line

if TYPE_CHECKING:
    from yolo_lite.detect.metrics import Metrics
    from yolo_lite.train.trainer import Trainer

SHOWN = 5  # images that could not be read


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
    figures = [figures_of(row) for row in trainer.history if "mAP" in row]
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


def report(trainer: "Trainer", clock: Clock, cut: "Metrics | None", as_json: bool) -> None:
    """Prints the result on stdout."""
    result = outcome(trainer, clock, cut)
    if as_json:
        print_json(result)
        return
    best, last = ([result[name]] if result[name] else [] for name in ("best", "last"))
    print(result_table(best, last, result["epochs"]))
    seconds = result["seconds"]
    print(time_line(seconds["training"], result["images_per_s"], seconds["validation"], seconds["preparation"]))
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
