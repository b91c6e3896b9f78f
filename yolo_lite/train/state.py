"""A run on disk: everything that a killed process needs to go on as if nothing had happened.

``state.safetensors`` holds weights, their average, the optimiser, gradients that wait for a step, the scaler, the
loss's balance and, as JSON in its header, where the run is. ``last.safetensors`` and ``best.safetensors`` are plain
checkpoints of the averaged weights for ``yl.load``. The state is written last: a run killed between two files repeats
what came since the state before, and writes both again. Chance needs no state: every draw is a function of seed, epoch
and index.
"""

import dataclasses
import datetime
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from yolo_lite.checkpoints.own import save
from yolo_lite.data.report import Problem
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.train.diagnose import NonFiniteLossError, TrainingError, require_finite
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.prepare import Source
from yolo_lite.writing import atomic_write, remove_leftovers

if TYPE_CHECKING:
    from yolo_lite.train.trainer import Trainer

STATE, LAST, BEST = "state.safetensors", "last.safetensors", "best.safetensors"
CHANGES, SETTINGS = "changes.json", "run.json"
VERSION = 1
# What Trainer holds besides tensors; JSON keeps it.
COUNTERS = ("epoch", "batch", "iteration", "last_step", "best_fitness", "best_epoch", "history", "class_maps", "sums")


# Beginning


def exists(out_dir: Path | None) -> bool:
    """Whether a run lies there that can be gone on with."""
    return out_dir is not None and (out_dir / STATE).exists()


def require_free(out_dir: Path | None) -> None:
    """Raises FileExistsError where a run lies already."""
    if exists(out_dir):
        raise FileExistsError(f"{out_dir} already holds a run: {_how_to_go_on(out_dir)}, or choose another folder")


def start(trainer: "Trainer", out_dir: Path) -> None:
    """A folder for a new run; run.json says what runs."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(out_dir / SETTINGS, json.dumps(_settings(trainer), indent=1).encode())
        (out_dir / CHANGES).unlink(missing_ok=True)  # of a run whose state somebody deleted
    except OSError as error:
        raise TrainingError(f"cannot write to {out_dir}: {error.strerror}; choose another out_dir") from error


def describe(options: TrainOptions, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What every checkpoint of a run says about it, in place of what the model said about its own training.

    Args:
        more: whatever else is worth knowing, the preset for example.
    Raises:
        ValueError: what JSON cannot say.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    metadata = {**(more or {}), "img_size": options.img_size, "rule": options.rule, "date": now}
    try:
        json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be what JSON can say: {error}") from None
    return metadata


def _settings(trainer: "Trainer") -> dict[str, Any]:
    return {
        "metadata": trainer.metadata,
        "options": dataclasses.asdict(trainer.options),
        "hyp": dataclasses.asdict(trainer.first_hyp),
        "sources": trainer.sources,
        "names": list(trainer.model.names),
        "world_size": trainer.world.size,
        "images": len(trainer.train_set),
        "validates": trainer.val_set is not None,
    }


# Writing


def write(trainer: "Trainer", best: bool) -> None:
    """Saves a run as it stands between two batches.

    Raises:
        TrainingError: the disk is full, or what else keeps it from being written; weights of NaN are not.
    """
    require_finite(dict(trainer.model.named_parameters()) | dict(trainer.ema.model.named_parameters(prefix="average")))
    try:
        if trainer.iteration:
            for name in (LAST, BEST) if best else (LAST,):
                _write_average(trainer, trainer.out_dir / name)
        atomic_write(trainer.out_dir / STATE, _serialised(trainer))
    except OSError as error:
        raise TrainingError(
            f"cannot save to {trainer.out_dir}: {error.strerror or error}. The last good checkpoint is whole: make "
            f"room, then {_how_to_go_on(trainer.out_dir)}"
        ) from error


def _write_average(trainer: "Trainer", path: Path) -> None:
    model = trainer.ema.model
    if isinstance(model, Yolo):
        fitness = trainer.best_fitness if math.isfinite(trainer.best_fitness) else None  # JSON has no infinity
        where = {"epoch": trainer.epoch, "iteration": trainer.iteration, "fitness": fitness}
        save(model, path, trainer.metadata | where)
    else:  # for model.load_state_dict
        atomic_write(path, safetensors.torch.save(_stored(model.state_dict())))


def _serialised(trainer: "Trainer") -> bytes:
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in trainer.optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    for prefix, module in _modules(trainer).items():
        tensors |= {f"{prefix}/{name}": value for name, value in module.state_dict().items()}
    for name, parameter in trainer.model.named_parameters():
        if parameter.grad is not None:
            tensors[f"gradient/{name}"] = parameter.grad
    header = {
        "version": VERSION,
        **_settings(trainer),
        **{name: getattr(trainer, name) for name in COUNTERS},
        "spec": getattr(trainer.model, "spec", None),
        "ema_updates": trainer.ema.updates,
        "scaler": trainer.scaler.state_dict(),
        "optimizer_numbers": numbers,
        "unreadable": trainer.unreadable,
    }
    return safetensors.torch.save(_stored(tensors), {"run": json.dumps(header)})


def _modules(trainer: "Trainer") -> dict[str, nn.Module]:
    modules = {"model": trainer.model, "ema": trainer.ema.model, "loss": trainer.loss}
    return {name: module for name, module in modules.items() if isinstance(module, nn.Module)}


def _stored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, none sharing its memory with another."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def write_changes(out_dir: Path, changes: dict[int, dict[str, float]]) -> None:
    """Hyperparameters changed while running, at once: a killed run makes the same changes again."""
    try:
        atomic_write(out_dir / CHANGES, json.dumps(changes).encode())
    except OSError as error:
        raise TrainingError(f"cannot write {out_dir / CHANGES}: {error.strerror or error}") from error


# Going on


def run_folder(place: str | Path) -> Path:
    """The folder of a run, given as itself or as one of its checkpoints."""
    path = Path(place)
    if not path.is_file():
        return path
    if path.name not in (STATE, LAST, BEST):
        raise ValueError(f"{path} is not the folder of a run, nor its {LAST}: give the folder, which holds {STATE}")
    return path.parent


def read_header(out_dir: str | Path) -> dict[str, Any]:
    """Where a run is, without its tensors."""
    path = Path(out_dir) / STATE
    try:
        with safetensors.safe_open(path, "pt") as stored:
            header = json.loads(stored.metadata()["run"])
    except FileNotFoundError:
        hint = ": it was stopped before its first batch, so start it anew" if (path.parent / SETTINGS).exists() else ""
        raise FileNotFoundError(f"{out_dir}: no run to resume, {STATE} is not there{hint}") from None
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: damaged, or not the state of a run: {error}") from None
    if header["version"] > VERSION:
        raise TrainingError(f"{path}: written by a newer yolo-lite: update this one")
    return header


def sources(header: dict[str, Any], train: Source | None, val: Source | None) -> tuple[Source, Source | None]:
    """What the run learns from: what is given now, else what it was given as text or path."""
    named_train, named_val = header["sources"]
    if train is None and named_train is None:
        raise ValueError("the run was given datasets, not sources: pass train= (and val=) again")
    if val is None and named_val is None and named_train is None and header["validates"]:
        raise ValueError("the run was given a dataset for validation: pass val= again")
    return (named_train if train is None else train), (named_val if val is None else val)


def model(header: dict[str, Any]) -> Yolo:
    """The network of a run, with other weights."""
    if header["spec"] is None:
        raise ValueError("the run trains a model of your own, which its folder does not describe: pass model= again")
    return create_model(header["spec"], names=header["names"])


def restore(trainer: "Trainer", out_dir: Path) -> None:
    """Puts a trainer where the run stopped."""
    header = read_header(out_dir)
    _require_same(header, trainer, out_dir)
    try:
        tensors = safetensors.torch.load_file(out_dir / STATE)
        for prefix, module in _modules(trainer).items():
            module.load_state_dict(_part(tensors, prefix))
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        first = [line.strip() for line in str(error).splitlines()][:2][-1]  # load_state_dict names every tensor
        raise TrainingError(f"{out_dir / STATE}: damaged, or of another model: {first}") from None
    _restore_optimizer(trainer, header["optimizer_numbers"], _part(tensors, "optimizer"))
    gradients = _part(tensors, "gradient")
    for name, parameter in trainer.model.named_parameters():
        if name in gradients:
            parameter.grad = _laid_out(gradients[name], trainer.layout).to(parameter.device)
    trainer.scaler.load_state_dict(header["scaler"])
    trainer.ema.updates = header["ema_updates"]
    for name in COUNTERS:
        setattr(trainer, name, header[name])
    found = [Problem(*entry) for entry in header.get("unreadable", ())]  # named already, by the run that met them
    trainer.loader.unreadable = {problem.path: problem for problem in found}
    trainer.changes = _read_changes(out_dir)
    if trainer.world.is_main:
        remove_leftovers(*(out_dir / name for name in (STATE, LAST, BEST, CHANGES, SETTINGS)))


def _require_same(header: dict[str, Any], trainer: "Trainer", out_dir: Path) -> None:
    """The batches to come must be those that would have come."""
    if header["world_size"] != trainer.world.size:
        raise TrainingError(
            f"{out_dir}: the run used {header['world_size']} processes, this one has {trainer.world.size}: "
            "start as many, or the batches would be others"
        )
    if header["images"] != len(trainer.train_set):
        raise TrainingError(
            f"{out_dir}: the run has {header['images']} training images, now there are {len(trainer.train_set)}: "
            f"put the dataset back, or start a new run from {out_dir / LAST}"
        )


def _restore_optimizer(trainer: "Trainer", numbers: dict[str, dict[str, Any]], tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers.items()}
    for name, value in tensors.items():
        index, key = name.split("/")
        entries.setdefault(int(index), {})[key] = _laid_out(value, trainer.layout)
    groups = trainer.optimizer.state_dict()["param_groups"]  # rates are set anew before each step
    trainer.optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def _laid_out(value: Tensor, layout: torch.memory_format) -> Tensor:
    """As the run keeps it in memory: channels_last is for what has four axes."""
    return value.contiguous(memory_format=layout) if value.ndim == 4 else value


def _read_changes(out_dir: Path) -> dict[int, dict[str, float]]:
    """Iteration -> the hyperparameters changed before it."""
    path = out_dir / CHANGES
    if not path.exists():
        return {}
    try:
        return {int(iteration): dict(values) for iteration, values in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: damaged ({error}): it tells which hyperparameters were changed when") from None


# Breaking off


@contextmanager
def explained(trainer: "Trainer") -> Iterator[None]:
    """Tells the callbacks when a run breaks off inside, and its user how it goes on."""
    try:
        yield
    except BaseException as error:
        trainer.tell("on_break", error)
        kept = exists(trainer.out_dir)
        if isinstance(error, KeyboardInterrupt):
            where = f"interrupted in epoch {trainer.epoch + 1}, after {trainer.batch} of {len(trainer.loader)} batches"
            way = _how_to_go_on(trainer.out_dir) if kept else "nothing is kept, as the run has no out_dir"
            raise KeyboardInterrupt(f"{where}. {way[0].upper()}{way[1:]}") from None
        if isinstance(error, NonFiniteLossError) and kept:
            error.args = (
                f"{error}. The last checkpoint in {trainer.out_dir} is whole; another rate may get past this: "
                f"trainer = Trainer.resume({str(trainer.out_dir)!r}); trainer.change(lr0=...); trainer.fit()",
            )
        raise


def how_it_ended(trainer: "Trainer") -> str:
    """That a run is finished, and how to train its network further."""
    early = f", as nothing improved for {trainer.options.patience}" if trainer.epoch < trainer.options.epochs else ""
    ended = f"the run is finished, after {trainer.epoch} of {trainer.options.epochs} epochs{early}"
    if not exists(trainer.out_dir):
        return ended
    last = str(trainer.out_dir / LAST)
    return f"{ended}. A new run can start from its weights: yl.load({last!r}) or `yolo-lite train --weights {last}`"


def _how_to_go_on(out_dir: Path) -> str:
    return f"go on with Trainer.resume({str(out_dir)!r}).fit() or `yolo-lite train --resume {out_dir}`"
