"""The folder of a run: what is written there, and how a run goes on from it.

``state.safetensors`` holds the tensors of a run and, as JSON in its header, its RunState and RunSettings.
``last.safetensors`` and ``best.safetensors`` are plain checkpoints of the EMA weights for ``yl.load``. The state is
written last: a run killed between two files repeats what came since the state before, and writes both again.
``changes.json`` and ``run.json`` are two entries of that header again: the first is written at once, so that a killed
run makes the same changes again, the second says what runs to whoever looks.
"""

import dataclasses
import datetime
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from yolo_lite.checkpoints.own import save
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.train.diagnose import NonFiniteLossError, TrainingError, require_finite
from yolo_lite.train.distributed import World
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.sources import Source
from yolo_lite.train.state import Learner, RunState, on_cpu, read_changes
from yolo_lite.writing import atomic_write, remove_leftovers

STATE, LAST, BEST = "state.safetensors", "last.safetensors", "best.safetensors"
CHANGES, SETTINGS = "changes.json", "run.json"
VERSION = 1


@dataclass(frozen=True)
class RunSettings:
    """What was decided when the run began, and stays so."""

    metadata: dict[str, Any]  # of its checkpoints
    options: TrainOptions
    hyp: Hyperparameters  # of the beginning, before any change
    sources: list[str | None]  # of train and val; None for what was given as an object
    names: list[str]  # of the classes
    world_size: int  # processes
    images: int  # to train on
    validates: bool

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSettings":
        """From the header of a state; other names beside its own are passed over."""
        found = {entry.name: values[entry.name] for entry in dataclasses.fields(cls)}
        found["options"] = TrainOptions.from_dict(found["options"])
        found["hyp"] = Hyperparameters.from_dict(found["hyp"])
        return cls(**found)


# Beginning


def exists(out_dir: Path | None) -> bool:
    """Whether there is a run in that folder that can be resumed."""
    return out_dir is not None and (out_dir / STATE).exists()


def require_free(out_dir: Path | None) -> None:
    """Raises FileExistsError where there is a run already."""
    if out_dir is not None and exists(out_dir):
        raise FileExistsError(f"{out_dir} already holds a run: {_how_to_go_on(out_dir)}, or choose another folder")


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


def start(out_dir: Path, settings: RunSettings) -> None:
    """Makes the folder of a new run; run.json says what runs."""
    with _explained(f"cannot write to {out_dir}", "Choose another out_dir"):
        out_dir.mkdir(parents=True, exist_ok=True)
        atomic_write(out_dir / SETTINGS, json.dumps(dataclasses.asdict(settings), indent=1).encode())
        (out_dir / CHANGES).unlink(missing_ok=True)  # of a run whose state somebody deleted


# Writing


def write(out_dir: Path, settings: RunSettings, state: RunState, learner: Learner, best: bool) -> None:
    """Saves a run as it is between two batches.

    Raises:
        TrainingError: the disk is full, or what else keeps it from being written; weights of NaN are not.
    """
    model, average = learner.model, learner.ema.model
    require_finite(model.named_parameters(), average.named_parameters(prefix="average"))
    header = {
        "version": VERSION,
        **dataclasses.asdict(settings),
        **state.to_json(),
        **learner.numbers(),
        "spec": getattr(model, "spec", None),
    }
    way = f"The last good checkpoint is whole: make room, then {_how_to_go_on(out_dir)}"
    with _explained(f"cannot save to {out_dir}", way):
        if state.iteration:
            for name in (LAST, BEST) if best else (LAST,):
                _write_average(average, out_dir / name, settings.metadata, state)
        atomic_write(out_dir / STATE, safetensors.torch.save(learner.tensors(), {"run": json.dumps(header)}))


def _write_average(model: nn.Module, path: Path, metadata: dict[str, Any], state: RunState) -> None:
    if isinstance(model, Yolo):
        fitness = state.best_fitness if math.isfinite(state.best_fitness) else None  # JSON has no infinity
        save(model, path, metadata | {"epoch": state.epoch, "iteration": state.iteration, "fitness": fitness})
    else:  # for model.load_state_dict
        atomic_write(path, safetensors.torch.save(on_cpu(model.state_dict())))


def write_changes(out_dir: Path, changes: dict[int, dict[str, float]]) -> None:
    """Hyperparameters changed while running, at once."""
    with _explained(f"cannot write {out_dir / CHANGES}", "Make room; the run itself has changed them"):
        atomic_write(out_dir / CHANGES, json.dumps(changes).encode())


@contextmanager
def _explained(what: str, way: str) -> Iterator[None]:
    """What the system refuses inside becomes a TrainingError that says what to do."""
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{what}: {error.strerror or error}. {way}") from error


# Going on


class SavedRun:
    """A run as its last checkpoint left it.

    Args:
        out_dir: the folder of the run, or one of the checkpoints in it.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.folder = run_folder(out_dir)
        self.header = read_header(self.folder)
        try:
            self.settings = RunSettings.from_json({"metadata": {}} | self.header)  # early ones have no metadata
            self.state = RunState.from_json({"changes": {}, "unreadable": ()} | self.header)  # nor 0.1.0 the changes
        except (KeyError, TypeError) as error:
            raise TrainingError(f"{self.folder / STATE}: damaged, or not the state of a run: {error!r}") from None
        if (self.folder / CHANGES).exists():
            self.state.changes = _changes_of(self.folder / CHANGES)

    def sources(self, train: Source | None, val: Source | None) -> tuple[Source, Source | None]:
        """What the run learns from: what is given now, else what it was given as text or path."""
        named_train, named_val = self.settings.sources
        source = named_train if train is None else train
        if source is None:
            raise ValueError("the run was given datasets, not sources: pass train= (and val=) again")
        if val is None and named_val is None and named_train is None and self.settings.validates:
            raise ValueError("the run was given a dataset for validation: pass val= again")
        return source, (named_val if val is None else val)

    def create_model(self) -> Yolo:
        """The network of the run, with other weights."""
        if self.header["spec"] is None:
            raise ValueError(
                "the run trains a model of your own, which its folder does not describe: pass model= again"
            )
        return create_model(self.header["spec"], names=self.settings.names)

    def load_into(self, learner: Learner, world: World, images: int) -> None:
        """Puts the tensors of the run where they belong, if the batches to come are those that would have come."""
        settings = self.settings
        if settings.world_size != world.size:
            raise TrainingError(
                f"{self.folder}: the run used {settings.world_size} processes, this one has {world.size}: start as "
                "many, or the batches would be others"
            )
        if settings.images != images:
            raise TrainingError(
                f"{self.folder}: the run has {settings.images} training images, now there are {images}: put the "
                f"dataset back, or start a new run from {self.folder / LAST}"
            )
        try:
            learner.load(safetensors.torch.load_file(self.folder / STATE), self.header)
        except (safetensors.SafetensorError, OSError, RuntimeError) as error:
            first = [line.strip() for line in str(error).splitlines()][:2][-1]  # load_state_dict names every tensor
            raise TrainingError(f"{self.folder / STATE}: damaged, or of another model: {first}") from None
        if world.is_main:
            remove_leftovers(*(self.folder / name for name in (STATE, LAST, BEST, CHANGES, SETTINGS)))


def run_folder(place: str | Path) -> Path:
    """The folder of a run, given as itself or as one of its checkpoints."""
    path = Path(place)
    if not path.is_file():
        return path
    if path.name not in (STATE, LAST, BEST):
        raise ValueError(f"{path} is not the folder of a run, nor its {LAST}: give the folder, which holds {STATE}")
    return path.parent


def read_header(out_dir: str | Path) -> dict[str, Any]:
    """The RunState and the RunSettings of a run, as JSON has them; no tensors are read."""
    path = Path(out_dir) / STATE
    try:
        with safetensors.safe_open(path, "pt") as stored:
            header: dict[str, Any] = json.loads(stored.metadata()["run"])
    except FileNotFoundError:
        hint = ": it was stopped before its first batch, so start it anew" if (path.parent / SETTINGS).exists() else ""
        raise FileNotFoundError(f"{out_dir}: no run to resume, {STATE} is not there{hint}") from None
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: damaged, or not the state of a run: {error}") from None
    if header["version"] > VERSION:
        raise TrainingError(f"{path}: written by a newer yolo-lite: update this one")
    return header


def _changes_of(path: Path) -> dict[int, dict[str, float]]:
    try:
        return read_changes(json.loads(path.read_text()))
    except (ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: damaged ({error}): it says which hyperparameters were changed when") from None


# Breaking off


def explain_break(error: BaseException, place: str, out_dir: Path | None) -> None:
    """Adds to an error how the run goes on; Ctrl-C becomes one sentence.

    Args:
        place: how far the run has come.
    """
    kept = out_dir if exists(out_dir) else None
    if isinstance(error, KeyboardInterrupt):
        way = _how_to_go_on(kept) if kept else "nothing is kept, as the run has no out_dir"
        raise KeyboardInterrupt(f"interrupted in {place}. {way[0].upper()}{way[1:]}") from None
    if isinstance(error, NonFiniteLossError) and kept:
        error.args = (
            f"{error}. The last checkpoint in {kept} is whole; another learning rate may get past this: "
            f"trainer = Trainer.resume({str(kept)!r}); trainer.change(lr0=...); trainer.fit()",
        )


def how_it_ended(state: RunState, options: TrainOptions, out_dir: Path | None) -> str:
    """That a run is finished, and how to train its network further."""
    early = f", as nothing improved for {options.patience}" if state.epoch < options.epochs else ""
    ended = f"the run is finished, after {state.epoch} of {options.epochs} epochs{early}"
    if out_dir is None or not exists(out_dir):
        return ended
    last = str(out_dir / LAST)
    return f"{ended}. A new run can start from its weights: yl.load({last!r}) or `yolo-lite train --weights {last}`"


def _how_to_go_on(out_dir: Path) -> str:
    return f"go on with Trainer.resume({str(out_dir)!r}).fit() or `yolo-lite train --resume {out_dir}`"
