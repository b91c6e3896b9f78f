"""Run: all that the training loop works with, made from what the Trainer is given, and what can be asked of it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from yolo_lite._moved import warn_renamed
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import YoloLoader, as_dataset
from yolo_lite.data.report import Problem
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.running import folder
from yolo_lite.running.distributed import World, mean_over_processes, require_joined, wrapped
from yolo_lite.support.arguments import name_of, shown
from yolo_lite.support.class_names import class_order
from yolo_lite.train import checks, given, sources
from yolo_lite.train.auto_anchors import fit_anchors
from yolo_lite.train.devices import best_device, memory_layout, weights_dtype
from yolo_lite.train.ema import ModelEma
from yolo_lite.train.messages import log
from yolo_lite.train.optim import apply_rates, create_optimizer, freeze_layers, set_decay
from yolo_lite.train.saved_run import RunSettings, SavedRun, describe, save_run
from yolo_lite.train.schedule import Rates, Schedule
from yolo_lite.train.state import Learner, OfState, RunState
from yolo_lite.train.validation import ValidationLoss

OF_A_PROCESS = ("device", "workers", "multiprocessing_context")  # options that processes may have each their own of


def _require_kinds(**given: tuple[Any, Any]) -> None:
    """Raises ValueError for what is of another kind; None is of any."""
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            kinds = "a path" if name == "out_dir" else "a list" if name == "callbacks" else "a dict"
            raise ValueError(f"{name} must be {kinds}, not {value!r}")


class Run:
    """What a run consists of. Its subclass ``Trainer``, which says what the arguments are, has the loop.

    Attributes:
        state: where the run is between two batches. model, ema, optimizer, scaler, loss: what training changes.
        schedule: of the learning rates. hyp: as changed so far; first_hyp: as given.
        options, metadata, sources, given: what was decided when the run began.
        train_set, val_set, loader, val_loader: the data. device, dtype, layout: where and how numbers are computed.
        world: the processes. messages: what was noticed, most of it before the first batch; it is logged too.
        val_losses: the parts of the loss at the last validation.
    """

    # What the run is between two batches is in ``state``; these are its fields.
    epoch = OfState[int]()
    batch = OfState[int]()
    iteration = OfState[int]()
    last_step = OfState[int]()
    best_fitness = OfState[float]()
    best_epoch = OfState[int]()
    history = OfState[list[dict[str, float]]]()
    sums = OfState[dict[str, float]]()
    changes = OfState[dict[int, dict[str, float]]]()
    class_maps = OfState[list[float] | None]()
    dropped = OfState[int]()
    stopped_by = OfState[str | None]()

    def __init__(
        self,
        model: nn.Module,
        train: sources.Given,
        val: sources.Given | None = None,
        hyp: Hyperparameters | Mapping[str, Any] | str | Path | None = None,
        *,
        out_dir: str | Path | None = None,
        callbacks: Iterable[object] = (),
        metadata: Mapping[str, Any] | None = None,
        preset: str | None = None,
        criterion: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        saved: SavedRun | None = None,
        **options: Any,
    ) -> None:
        self.detector = checks.require_detector(model)  # the same object as self.model
        _require_kinds(out_dir=(out_dir, str | PathLike), callbacks=(callbacks, Iterable), metadata=(metadata, Mapping))
        train, val = sources.as_source(train), None if val is None else sources.as_source(val)
        self.out_dir = None if out_dir is None else Path(out_dir)
        if saved is None:
            folder.require_free(self.out_dir)
        if isinstance(optimizer, str):
            options["optimizer"], optimizer = optimizer, None
        self.given = given.Given(criterion, optimizer, schedule)
        asked = sources.options_asked(options, preset)
        self.options = sources.settle_options(asked, train, resumed=saved is not None)
        parent = getattr(model, "metadata", None)
        more = (metadata or {}) if preset is None else {"preset": preset, **(metadata or {})}
        self.metadata = (saved and saved.settings.metadata) or describe(self.options, more, parent)
        hyp = Hyperparameters.of(hyp) if isinstance(hyp, str | Path) else hyp
        first = sources.settle_hyp(hyp, preset, train, resumed=saved is not None and saved.settings.own is not None)
        self.hyp = self.first_hyp = first
        lr0_is_given = saved is not None or sources.is_asked("lr0", hyp)
        require_joined()
        self.world, self.callbacks = World.current(), list(callbacks)
        self.state = RunState() if saved is None else saved.state
        self.val_losses: dict[str, float] = {}
        self._stop_asked: str | None = None  # why the run that goes on, or else the next one, is to end
        self.device, self.dtype = best_device(self.options.device, self.world), weights_dtype(model)
        network_messages = checks.check_network(self.detector, self.hyp, self.options)
        # Data
        self.sources = [sources.source_name(source) for source in (train, val)]
        self.train_set, self.val_set = sources.open_datasets(train, val, self.detector, self.hyp, self.options)
        sources.settle_transforms(self.train_set, self.val_set, self.metadata, resumed=saved is not None)
        self._given_set = self.train_set  # without the changes of its augmentation
        self._digest = sources.data_digest(self.train_set)
        self._val_digest = None if self.val_set is None else sources.data_digest(self.val_set)
        alike = {name: value for name, value in asdict(self.options).items() if name not in OF_A_PROCESS}
        checks.require_alike(self.world, alike | asdict(self.hyp) | {"the training data": self._digest})
        self.messages = checks.check_datasets(self.detector, self.train_set, self.val_set, self.options, self.world)
        self.messages += network_messages
        if self.options.auto_anchors is not False and saved is None:
            self.messages += fit_anchors(model, self.train_set, self.hyp, self.options)
        self.loader = self._create_loader(self.train_set)
        self.val_loader = sources.val_loader(self.val_set, self.options) if self.world.is_main else None
        # Model
        self.layout = memory_layout(self.device, self.options.precision, self.options.channels_last)
        self.model = model.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]  # not in PyTorch's
        if hasattr(self.model, "metadata"):
            self.model.metadata = dict(self.metadata)
        freeze_layers(self.model.train(), self.options.freeze)
        self.network = wrapped(self.model, self.world, self.options.sync_bn)  # what the loop calls
        self.ema = ModelEma(self.model, self.options.ema_decay, self.options.ema_tau)
        self.least_size = checks.least_size(self.model, self.loader, self.options)  # that multi_scale draws
        # What moves the weights
        self._set_loss()
        self.messages += checks.check_loss(self.loss, self.model)
        if saved is not None:
            saved.require_same(self.settings)
        self.optimizer = self._create_optimizer(lr0_is_given)
        self.schedule = self._create_schedule()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.options.precision == "float16")
        self.model.zero_grad()  # what a notebook may have left there
        self._asked = time.perf_counter()  # for the batch that is to come
        if saved is None:
            self.messages += checks.check_schedule(self.schedule, self.model)
            if self.out_dir is not None and self.world.is_main:
                folder.start(self.out_dir, asdict(self.settings))
        else:
            self._go_on(saved)
        if self.world.is_main:
            log(self.messages)

    @classmethod
    def resume(
        cls,
        out_dir: str | Path,
        *,
        model: nn.Module | None = None,
        train: sources.Given | None = None,
        val: sources.Given | None = None,
        callbacks: Iterable[object] = (),
        criterion: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        epochs: int | None = None,
        workers: int | None = None,
        device: str | None = None,
    ) -> Self:
        """A run as its last checkpoint left it. What the run was given as objects must be given again.

        Args:
            out_dir: the folder of the run, or one of the checkpoints in it.
            epochs: of the whole run, where it is to be longer or shorter: the learning rate follows the schedule of so
                many from here on. workers, device: of this machine. None: as before.
        Raises:
            ValueError: another loss, optimiser, schedule or dataset than the run had; fewer epochs than are done.
                FileNotFoundError, TrainingError: no run, or one that cannot go on with what there is.
        """
        saved = SavedRun(out_dir)
        trained_with = saved.settings.options.optimizer
        if isinstance(optimizer, str) and optimizer != trained_with:
            raise ValueError(
                f"optimizer={optimizer!r}: the run began with {trained_with}: leave it out, or start a new run"
            )
        train, val = saved.sources(as_dataset(train), as_dataset(val))
        model = saved.create_model() if model is None else model
        changed = {"epochs": epochs, "workers": workers, "device": device}
        options = saved.options(**{name: value for name, value in changed.items() if value is not None})
        own = {"criterion": criterion, "optimizer": optimizer, "schedule": schedule}
        fields = asdict(options) | {name: value for name, value in own.items() if value is not None}
        return cls(
            model, train, val, saved.settings.hyp, out_dir=saved.folder, callbacks=callbacks, saved=saved, **fields
        )

    def stop(self, why: str = "asked to stop") -> None:
        """Ends the run after this batch, from a callback or from within the loop over ``steps()``; says why.

        The run is validated and saved, so that ``resume``, or ``fit`` once more, goes on from there.
        With several processes the run ends after the epoch, whichever of them asks. ``ended`` has the reason. Where
        nothing runs, before ``fit`` for example, the next ``fit`` ends before its first batch; the one after it goes
        on.

        Raises:
            TypeError: a reason that is not a text.
        """
        if not isinstance(why, str):
            raise TypeError(f"why must be a text, which the run keeps, not {shown(why)}")
        self.stopped_by = self._stop_asked = why

    def validate(self) -> Metrics:
        """Figures of the EMA weights on the validation images; for the main process. Fills ``val_losses``."""
        if self.val_loader is None or self.val_set is None:
            raise ValueError("nothing to validate on: the trainer was given no val, or this is not the main process")
        names = self.train_set.names  # the model learnt these, in this order, whatever it calls them
        order = class_order(names, self.val_set.names).order or range(len(names))
        loss = ValidationLoss(self.loss, order)
        with loss.over(self.ema.model, self.val_loader) as loader:
            model = checks.require_detector(self.ema.model)
            metrics = evaluate(model, loader, rule=self.options.rule, class_order=order)
        self.val_losses = loss.means
        return metrics

    def change(self, **values: float) -> None:
        """Changes hyperparameters from the next batch on, those of the augmentation from the next epoch on.

        Several processes change all of them at the next epoch. Kept with the run: a resumed one changes them there too.
        """
        self.hyp.replace(**values)  # an unknown name is an error now, not at the next batch
        start = self.iteration
        if self.world.size > 1 and self.batch:
            start += len(self.loader) - self.batch
        self.changes[start] = self.changes.get(start, {}) | values
        if self.out_dir is not None and self.world.is_main:
            folder.write_changes(self.out_dir, self.changes)

    def changed_by(self, iteration: int) -> dict[str, float]:
        """All hyperparameters changed before the batch of that iteration, the last value of each."""
        return self.state.changed_by(iteration)

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, if there is an out_dir: all that is needed to go on from here."""
        if self.out_dir is not None and self.world.is_main:
            save_run(self.out_dir, self.settings, self.state, self.learner, best)

    @property
    def settings(self) -> RunSettings:
        """What was decided when the run began; saved with it."""
        begun = self.metadata, self.options, self.first_hyp, self.sources, list(self.detector.names)
        counts = self.world.size, len(self.train_set), self.val_set is not None
        own = self.given.names(self.model) | {"loss": name_of(self.loss)}
        if self.loss is not self._made_loss:
            own["trainer.loss"] = name_of(self.loss)
        data = self._digest, list(self.train_set.names), self._val_digest
        return RunSettings(*begun, *counts, own, *data)

    @property
    def learner(self) -> Learner:
        """What training changes in place; saved beside the state."""
        return Learner(self.model, self.ema, self.optimizer, self.scaler, self.loss, self.layout)

    @property
    def unreadable(self) -> tuple[Problem, ...]:
        """Training images that could not be read when their turn came; others took their places."""
        return tuple(self.state.unreadable.values())

    @property
    def finished(self) -> bool:
        """True after the last epoch, or when the run has stopped early."""
        return self.epoch >= self.options.epochs or self.stopped

    @property
    def stopped(self) -> bool:
        """True when nothing has improved for ``patience`` validations. YOLOv5: `EarlyStopping`."""
        every = self.options.validate_every
        validations = self.epoch // every - (self.best_epoch + 1) // every  # since the best
        return self.best_epoch >= 0 and validations >= self.options.patience

    @property
    def ended(self) -> str:
        """Why no batch follows, as text; empty while the run can go on."""
        done = f"after {self.epoch} of {self.options.epochs} epochs"
        if self.stopped_by is not None:
            place = f"in epoch {self.epoch + 1}, after {self.batch} batches" if self.batch else done
            return f"the run was stopped {place}: {self.stopped_by}"
        if not self.finished:
            return ""
        early = f", as nothing improved for {self.options.patience}" if self.epoch < self.options.epochs else ""
        return f"the run is finished, {done}{early}"

    def notify(self, event: str, *what: Any) -> None:
        """Calls the method of that name of every callback that has it, in the main process. YOLOv5: `callbacks.run`."""
        if self.world.is_main:
            for callback in self.callbacks:
                if hasattr(callback, event):
                    getattr(callback, event)(self, *what)

    def tell(self, event: str, *what: Any) -> None:
        """``notify``, by its old name."""
        warn_renamed("Trainer.tell", "Trainer.notify")
        self.notify(event, *what)

    def say(self, message: str) -> None:
        """Notes what was noticed on the way, and logs it."""
        self.messages.append(message)
        self._warn(message)

    def _warn(self, message: str) -> None:
        if self.world.is_main:
            log([message])

    def _go_on(self, saved: SavedRun) -> None:
        """From where a run was saved."""
        saved.load_into(self.learner, self.world)
        self._use_hyp(self.hyp.replace(**self.changed_by(self.iteration - 1)))
        self.messages += saved.notes
        if saved.notes and self.out_dir is not None and self.world.is_main:
            folder.write_settings(self.out_dir, asdict(self.settings))

    def _use_hyp(self, hyp: Hyperparameters) -> None:
        """From now on these hyperparameters; the loss keeps its state."""
        self.hyp = hyp
        self.schedule = self._create_schedule()
        if self.given.optimizer is None:
            set_decay(self.optimizer, hyp, self.schedule)
        if self.loss is not self._made_loss:
            return  # somebody put another there, and knows what it needs
        state = self.loss.state_dict() if isinstance(self.loss, nn.Module) else None
        self._set_loss()
        if isinstance(self.loss, nn.Module) and state is not None:
            self.loss.load_state_dict(state)

    def _apply(self, rates: Rates) -> None:
        """Writes learning rates and momentum into the optimiser."""
        (apply_rates if self.given.optimizer is None else given.apply_to_given)(self.optimizer, rates)

    def _create_loader(self, dataset: YoloDataset) -> YoloLoader:
        loader = sources.train_loader(dataset, self.options, self.world, self.device)
        loader.unreadable = self.state.unreadable  # what it meets is part of the state
        loader.warn = self._warn
        return loader

    def _create_schedule(self) -> Schedule:
        images = self.options.batch_size * self.world.size
        return given.create_schedule(self.given.schedule, self.hyp, self.options, len(self.loader), images)

    def _create_optimizer(self, lr0_is_given: bool) -> torch.optim.Optimizer:
        """The optimiser; one that was given has its own learning rate, which becomes lr0."""
        decay = self._create_schedule().scaled_weight_decay
        if self.given.optimizer is None:
            return create_optimizer(self.model, self.hyp, self.options.optimizer, decay)
        optimizer = given.create_given_optimizer(self.given.optimizer, self.model, decay)
        lr = given.own_lr(optimizer)
        if lr0_is_given and lr != self.hyp.lr0:
            raise ValueError(
                f"the optimiser has the learning rate {lr:g}, but lr0={self.hyp.lr0:g} was given too: leave one "
                "out, or make them the same"
            )
        self.hyp = self.first_hyp = self.hyp.replace(lr0=lr)
        self.messages += given.check_decay(optimizer, self.given.optimizer)
        return optimizer

    def _set_loss(self) -> None:
        """The loss of the hyperparameters as they are now."""
        loss = given.create_loss(self.detector, self.hyp, self.options, self.given.criterion)
        if hasattr(loss, "over_processes"):
            loss.over_processes = mean_over_processes
        self.loss = self._made_loss = loss.to(self.device) if isinstance(loss, nn.Module) else loss
        self._dropped_before = 0  # of the objects that self.loss has dropped, those that are in the state
