"""A run on disk: everything that a killed process needs to go on as if nothing had happened.

``state.safetensors`` holds weights, their average, the optimiser, the scaler, the loss's balance and, as JSON in its
header, where the run is. ``last.safetensors`` and ``best.safetensors`` are plain checkpoints of the averaged weights
for ``yl.load``. The state is written last: a run killed between two files repeats the epoch and writes both again.
Chance needs no state: every draw is a function of seed, epoch and index.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
from torch import Tensor

from yolo_lite.model.checkpoint import atomic_write, save
from yolo_lite.train.diagnose import TrainingError

if TYPE_CHECKING:
    from yolo_lite.train.trainer import EpochResult, Trainer

STATE, LAST, BEST, CHANGES = "state.safetensors", "last.safetensors", "best.safetensors", "changes.json"
VERSION = 1
# What Trainer holds besides tensors; JSON keeps it.
COUNTERS = ("epoch", "batch", "iteration", "last_step", "best_fitness", "best_epoch", "history", "class_maps", "sums")


def start(trainer: "Trainer", out_dir: Path) -> None:
    """A folder for a new run: made where it is missing, refused where a run lies in it; run.json says what runs."""
    if (out_dir / STATE).exists():
        raise FileExistsError(
            f"{out_dir} already holds a run: go on with Trainer.resume({str(out_dir)!r}) "
            "(yolo-lite train --resume), or choose another folder"
        )
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(out_dir / "run.json", json.dumps(_settings(trainer), indent=1).encode())
    except OSError as error:
        raise TrainingError(f"cannot write to {out_dir}: {error.strerror}; choose another out_dir") from error


def _settings(trainer: "Trainer") -> dict[str, Any]:
    return {
        "options": dataclasses.asdict(trainer.options),
        "hyp": dataclasses.asdict(trainer.first_hyp),
        "sources": trainer.sources,
        "names": list(trainer.model.names),
        "world_size": trainer.world.size,
    }


def write(trainer: "Trainer", best: bool) -> None:
    """Saves a run. Only between two steps of the optimiser, when no gradients are waiting."""
    out_dir = trainer.out_dir
    try:
        if hasattr(trainer.ema.model, "spec"):
            metadata = {"epoch": trainer.epoch, "iteration": trainer.iteration, "fitness": trainer.best_fitness}
            for name in (LAST, BEST) if best else (LAST,):
                save(trainer.ema.model, out_dir / name, metadata)
        atomic_write(out_dir / STATE, _serialised(trainer))
    except OSError as error:
        raise TrainingError(
            f"cannot save to {out_dir}: {error.strerror or error}. The last good checkpoint is whole: make room, then "
            f"go on with Trainer.resume({str(out_dir)!r}) or `yolo-lite train --resume {out_dir}`"
        ) from error


def _serialised(trainer: "Trainer") -> bytes:
    optimizer = trainer.optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in optimizer["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    for prefix, module in (("model", trainer.model), ("ema", trainer.ema.model), ("loss", trainer.loss)):
        tensors |= {f"{prefix}/{name}": value for name, value in module.state_dict().items()}
    header = (
        {name: getattr(trainer, name) for name in COUNTERS}
        | _settings(trainer)
        | {
            "version": VERSION,
            "spec": getattr(trainer.model, "spec", None),
            "ema_updates": trainer.ema.updates,
            "scaler": trainer.scaler.state_dict(),
            "optimizer_numbers": numbers,
        }
    )
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return safetensors.torch.save(stored, {"run": json.dumps(header)})


def read_header(out_dir: str | Path) -> dict[str, Any]:
    """Where a run is, without its tensors."""
    path = Path(out_dir) / STATE
    try:
        with safetensors.safe_open(path, "pt") as stored:
            header = json.loads(stored.metadata()["run"])
    except FileNotFoundError:
        raise FileNotFoundError(f"{out_dir}: no run to resume: {STATE} is not there") from None
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: damaged, or not the state of a run: {error}") from None
    if header["version"] > VERSION:
        raise TrainingError(f"{path}: written by a newer yolo-lite: update this one")
    return header


def restore(trainer: "Trainer", out_dir: Path) -> None:
    """Puts a trainer where the run stopped."""
    header = read_header(out_dir)
    if header["world_size"] != trainer.world.size:
        raise TrainingError(
            f"{out_dir}: the run used {header['world_size']} processes, this one has {trainer.world.size}: "
            "start as many, or the batches would be others"
        )
    tensors = safetensors.torch.load_file(out_dir / STATE)
    for prefix, module in (("model", trainer.model), ("ema", trainer.ema.model), ("loss", trainer.loss)):
        module.load_state_dict(_part(tensors, prefix))
    entries: dict[int, dict[str, Any]] = {int(index): dict(v) for index, v in header["optimizer_numbers"].items()}
    for name, value in _part(tensors, "optimizer").items():
        index, key = name.split("/")
        entries.setdefault(int(index), {})[key] = value
    groups = trainer.optimizer.state_dict()["param_groups"]  # rates are set anew before each step
    trainer.optimizer.load_state_dict({"state": entries, "param_groups": groups})
    trainer.scaler.load_state_dict(header["scaler"])
    trainer.ema.updates = header["ema_updates"]
    for name in COUNTERS:
        setattr(trainer, name, header[name])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def write_changes(out_dir: Path, changes: dict[int, dict[str, float]]) -> None:
    """Hyperparameters changed while running, at once: a killed run makes the same changes again."""
    atomic_write(out_dir / CHANGES, json.dumps(changes).encode())


def read_changes(out_dir: Path) -> dict[int, dict[str, float]]:
    """Iteration -> the hyperparameters changed before it."""
    path = out_dir / CHANGES
    if not path.exists():
        return {}
    return {int(iteration): values for iteration, values in json.loads(path.read_text()).items()}


def history_row(result: "EpochResult") -> dict[str, float]:
    """One epoch as a row of results.csv."""
    row = {"epoch": result.epoch, **{f"train/{name}": value for name, value in result.losses.items()}}
    if result.metrics is not None:
        metrics = result.metrics
        row |= {"precision": metrics.precision, "recall": metrics.recall, "mAP50": metrics.map50, "mAP": metrics.map}
    return row | {"lr": result.lr, "seconds": round(result.seconds, 3), "best": float(result.best)}
