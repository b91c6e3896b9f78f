"""What a run keeps in its folder, and how it comes back from there: RunSettings, RunState and the Learner's tensors."""

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model
from yolo_lite.running import folder
from yolo_lite.running.diagnose import TrainingError, require_finite
from yolo_lite.running.distributed import World
from yolo_lite.support.class_names import listed, match_names
from yolo_lite.support.metadata import of_parent
from yolo_lite.train.given import ARGUMENTS, require_same
from yolo_lite.train.messages import Note
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.sources import Source
from yolo_lite.train.state import Learner, RunState


@dataclass(frozen=True)
class RunSettings:
    """What was decided when the run began, and stays so; the contents of run.json."""

    metadata: dict[str, Any]  # of its checkpoints
    options: TrainOptions
    hyp: Hyperparameters  # of the beginning, before any change
    sources: list[str | None]  # of train and val; None for what was given as an object
    names: list[str]  # of the classes
    world_size: int  # processes
    images: int  # to train on
    validates: bool
    own: dict[str, str] | None  # the loss, and what was given as objects; None: the run is older than this entry
    data: str | None  # digest of the training images' names and labels; None: the run is older than this entry
    classes: list[str] | None  # of the training images; None: the run is older than this entry
    val_data: str | None  # digest like data, of the images to validate on; None: there are none, or the run is older

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSettings":
        """From the header of a state; other names beside its own are passed over."""
        found = {entry.name: values[entry.name] for entry in dataclasses.fields(cls)}
        found["options"] = TrainOptions.from_dict(found["options"])
        found["hyp"] = Hyperparameters.from_dict(found["hyp"])
        return cls(**found)


def describe(
    options: TrainOptions, more: Mapping[str, Any] | None = None, parent: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What every checkpoint of a run says about it, instead of what the model said about its own training.

    Args:
        more: whatever else is worth knowing, the preset for example. parent: what the model said of its own training,
            which stands under the key "parent".
    Raises:
        ValueError: what JSON cannot say.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    metadata = {**(more or {}), "img_size": options.img_size, "rule": options.rule, "date": now}
    metadata |= {"parent": described} if (described := of_parent(parent)) else {}
    try:
        json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be what JSON can say: {error}") from None
    return metadata


def save_run(out_dir: Path, settings: RunSettings, state: RunState, learner: Learner, best: bool) -> None:
    """Saves a run as it is between two batches: its state, and the EMA weights as last and, where they are, best.

    Raises:
        TrainingError: it cannot be written; weights of NaN are not.
    """
    model, average = learner.model, learner.ema.model
    require_finite(model.named_parameters(), average.named_parameters(prefix="average"))
    spec = {"spec": getattr(model, "spec", None)}
    header = dataclasses.asdict(settings) | state.to_json() | learner.numbers() | spec
    fitness = state.best_fitness if math.isfinite(state.best_fitness) else None  # JSON has no infinity
    metadata = settings.metadata | {"epoch": state.epoch, "iteration": state.iteration, "fitness": fitness}
    names = (folder.LAST, folder.BEST) if best else (folder.LAST,)
    folder.write(out_dir, header, learner.tensors(), average, metadata, names if state.iteration else ())


LATER = ("own", "data", "classes", "val_data")  # fields of RunSettings that runs of 0.1.0 do not have
NEEDED = ("spec", "ema_updates", "scaler", "optimizer_numbers")  # of a header, besides the fields of settings and state


class SavedRun:
    """A run as its last checkpoint left it.

    Args:
        out_dir: the folder of the run, or one of the checkpoints in it.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.folder = folder.run_folder(out_dir)
        self.header = folder.read_header(self.folder)
        self.notes: list[str] = []  # what has changed since; what may be a mistake is not a Note
        try:
            self.settings = RunSettings.from_json(dict.fromkeys(LATER) | {"metadata": {}} | self.header)
            later = {"changes": {}, "unreadable": (), "dropped": 0, "stopped_by": None}  # these too
            self.state = RunState.from_json(later | self.header)
            missing = [name for name in NEEDED if name not in self.header]
            if missing:
                raise KeyError(*missing)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TrainingError(
                f"{self.folder / folder.STATE}: damaged, or not the state of a run: {error!r}"
            ) from None
        changes = folder.read_changes(self.folder)
        if changes is not None:
            self.state.changes = changes

    def options(self, **changes: Any) -> TrainOptions:
        """The options of the run, some of them as they are to be now."""
        before = self.settings.options
        options = before.replace(**changes)
        if options.epochs < self.state.epoch:
            raise ValueError(f"epochs={options.epochs}: the run has done {self.state.epoch} already")
        if self.state.stopped_by is not None:
            self.notes.append(Note(f"resumed: the run was stopped: {self.state.stopped_by}"))
        for name, value in changes.items():
            if value != getattr(before, name):
                self.notes.append(Note(f"resumed: {name} was {getattr(before, name)} and is {value} now"))
        return options

    def sources(self, train: Source | None, val: Source | None) -> tuple[Source, Source | None]:
        """What the run learns from: what is given now, else what it was given as text or path."""
        named_train, named_val = self.settings.sources
        source = named_train if train is None else train
        if source is None:
            raise ValueError("the run was given datasets, not sources: pass train= (and val=) again")
        if val is None and named_val is None and named_train is None and self.settings.validates:
            raise ValueError("the run was given a dataset for validation: pass val= again")
        return source, (named_val if val is None else val)

    def create_model(self) -> LayeredDetector:
        """The network of the run, with other weights."""
        if self.header["spec"] is None:
            raise ValueError(
                "the run trains a model of your own, which its folder does not describe: pass model= again"
            )
        return create_model(self.header["spec"], names=self.settings.names)

    def require_same(self, now: RunSettings) -> None:
        """Raises an error unless the batches to come, and what is made of them, are those that would have come.

        A torch scheduler may have other arguments where the run is to have another number of epochs.
        """
        before = self.settings
        if before.world_size != now.world_size:
            raise TrainingError(
                f"{self.folder}: the run used {before.world_size} processes, this one has {now.world_size}: start as "
                "many, or the batches would be others"
            )
        self._require_same_data(now)
        if before.names != now.names:
            raise ValueError(
                f"the run has the classes {listed(before.names)}, model= has {listed(now.names)}: give a model with "
                "the names of the run"
            )
        if before.own is None or now.own is None:
            return
        own, arguments = dict(now.own), "schedule" + ARGUMENTS
        if before.options.epochs != now.options.epochs and {arguments} <= before.own.keys() & own.keys():
            own[arguments] = before.own[arguments]
        require_same(before.own, own)

    def _require_same_data(self, now: RunSettings) -> None:
        """Raises an error for other training images or classes; notes a warning for other images to validate on."""
        before, way = self.settings, f"put the dataset back, or start a new run from {self.folder / folder.LAST}"
        if before.images != now.images:
            raise TrainingError(
                f"{self.folder}: the run has {before.images} training images, now there are {now.images}: {way}"
            )
        if before.classes and not match_names(before.classes, now.classes or ()).same:
            raise ValueError(
                f"the run learnt the classes {listed(before.classes)}, and the training data now have "
                f"{listed(now.classes or ())}: give YoloDataset(..., names=...) those of the run, or start a new run"
            )
        if before.data not in (None, now.data):
            raise TrainingError(
                f"{self.folder}: the run began with training images of other names or labels than these {now.images}: "
                f"{way}"
            )
        if before.validates != now.validates or before.val_data not in (None, now.val_data):
            self.notes.append(
                f"resumed: the run was validated on {'other images' if before.validates else 'no images'} before, so "
                "its best result so far cannot be compared with what follows: give val= as it was"
            )

    def load_into(self, learner: Learner, world: World) -> None:
        """Puts the tensors of the run where they belong."""
        with folder.read_tensors(self.folder) as tensors:
            learner.load(tensors, self.header)
        if world.is_main:
            folder.clean(self.folder)
