"""Run: all that the training loop works with, made from what the Trainer is given, and what can be asked of it."""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from yolo_lite._moved import warn_renamed
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import YoloLoader
from yolo_lite.data.report import Problem
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import Criterion
from yolo_lite.running import folder
from yolo_lite.running.distributed import World, mean_over_processes, require_joined, wrapped
from yolo_lite.support.class_names import class_order
from yolo_lite.train import checks, sources
from yolo_lite.train.auto_anchors import fit_anchors
from yolo_lite.train.devices import best_device, weights_dtype
from yolo_lite.train.ema import ModelEma
from yolo_lite.train.optim import create_optimizer, freeze_layers, set_decay
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.saved_run import RunSettings, SavedRun, describe, save_run
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.sources import Source
from yolo_lite.train.state import Learner, OfState, RunState


class Run:
    """What a run consists of. Its subclass ``Trainer``, which says what the arguments are, has the loop.

    Attributes:
        state: where the run is between two batches. model, ema, optimizer, scaler, loss: what training changes.
        schedule: of the learning rates. hyp: as changed so far; first_hyp: as given.
        options, metadata, sources: what was decided when the run began.
        train_set, val_set, loader, val_loader: the data. device, dtype, layout: where and how numbers are computed.
        world: the processes. messages: what was noticed, most of it before the first batch.
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

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        val: Source | None = None,
        hyp: Hyperparameters | Mapping[str, Any] | str | Path | None = None,
        *,
        out_dir: str | Path | None = None,
        callbacks: Iterable[object] = (),
        metadata: Mapping[str, Any] | None = None,
        saved: SavedRun | None = None,
        **options: Any,
    ) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir)
        if saved is None:
            folder.require_free(self.out_dir)
        self.options = sources.settle_options(TrainOptions.from_dict(options), train, resumed=saved is not None)
        self.metadata = (saved and saved.settings.metadata) or describe(self.options, metadata)
        self.hyp = self.first_hyp = Hyperparameters.of(hyp)
        require_joined()
        self.world, self.callbacks = World.current(), list(callbacks)
        self.state = RunState() if saved is None else saved.state
        self.device, self.dtype = best_device(self.options.device, self.world), weights_dtype(model)
        self.detector = checks.require_detector(model)  # the same object as self.model
        network_messages = checks.check_network(self.detector, self.hyp, self.options)
        # Data
        self.sources = [sources.source_name(source) for source in (train, val)]
        self.train_set, self.val_set = sources.open_datasets(train, val, self.detector, self.hyp, self.options)
        self._given_set = self.train_set  # without the changes of its augmentation
        self.messages = checks.check_datasets(self.detector, self.train_set, self.val_set, self.options, self.world)
        self.messages += network_messages
        if self.options.auto_anchors and saved is None:
            self.messages += fit_anchors(model, self.train_set, self.hyp, self.options)
        self.loader = self._create_loader(self.train_set)
        self.val_loader = sources.val_loader(self.val_set, self.options) if self.world.is_main else None
        # Model
        self.layout = torch.channels_last if self.options.channels_last else torch.contiguous_format
        self.model = model.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]  # not in PyTorch's
        if hasattr(self.model, "metadata"):
            self.model.metadata = dict(self.metadata)
        freeze_layers(self.model.train(), self.options.freeze)
        self.network = wrapped(self.model, self.world, self.options.sync_bn)  # what the loop calls
        self.ema = ModelEma(self.model, self.options.ema_decay, self.options.ema_tau)
        self.least_size = checks.least_size(self.model, self.loader, self.options)  # that multi_scale draws
        # What moves the weights
        self.loss = self._create_loss()
        self._dropped_before = 0  # of the objects that self.loss has dropped, those that are in the state
        self.schedule = self._create_schedule()
        if saved is None:
            self.messages += checks.few_steps(self.schedule, self.model)
        decay = self.schedule.scaled_weight_decay
        self.optimizer = create_optimizer(self.model, self.hyp, self.options.optimizer, decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.options.precision == "float16")
        self.model.zero_grad()  # what a notebook may have left there
        self._asked = time.perf_counter()  # for the batch that is to come
        if saved is not None:
            saved.load_into(self.learner, self.world, len(self.train_set))
            self._use_hyp(self.hyp.replace(**self.changed_by(self.iteration - 1)))
        elif self.out_dir is not None and self.world.is_main:
            folder.start(self.out_dir, asdict(self.settings))

    @classmethod
    def resume(
        cls,
        out_dir: str | Path,
        *,
        model: nn.Module | None = None,
        train: Source | None = None,
        val: Source | None = None,
        callbacks: Iterable[object] = (),
    ) -> Self:
        """A run as its last checkpoint left it. What the run was given as objects must be given again.

        Args:
            out_dir: the folder of the run, or one of the checkpoints in it.
        """
        saved = SavedRun(out_dir)
        train, val = saved.sources(train, val)
        model = saved.create_model() if model is None else model
        hyp, options = saved.settings.hyp, asdict(saved.settings.options)
        return cls(model, train, val, hyp, out_dir=saved.folder, callbacks=callbacks, saved=saved, **options)

    def validate(self) -> Metrics:
        """Figures of the EMA weights on the validation images; for the main process."""
        if self.val_loader is None or self.val_set is None:
            raise ValueError("nothing to validate on: the trainer was given no val, or this is not the main process")
        names = self.train_set.names  # the model learnt these, in this order, whatever it calls them
        order = class_order(names, self.val_set.names).order or range(len(names))
        model = checks.require_detector(self.ema.model)
        return evaluate(model, self.val_loader, rule=self.options.rule, class_order=order)

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
        given = self.metadata, self.options, self.first_hyp, self.sources, list(self.detector.names)
        return RunSettings(*given, self.world.size, len(self.train_set), self.val_set is not None)

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
        """True when nothing has improved for ``patience`` epochs. YOLOv5: `EarlyStopping`."""
        return self.best_epoch >= 0 and self.epoch - 1 - self.best_epoch >= self.options.patience

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

    def _use_hyp(self, hyp: Hyperparameters) -> None:
        """From now on these hyperparameters; the loss keeps its state."""
        self.hyp = hyp
        self.schedule = self._create_schedule()
        set_decay(self.optimizer, hyp, self.schedule)
        loss = self._create_loss()
        if isinstance(loss, nn.Module) and isinstance(self.loss, nn.Module):
            loss.load_state_dict(self.loss.state_dict())
        self.loss, self._dropped_before = loss, 0

    def _create_loader(self, dataset: YoloDataset) -> YoloLoader:
        loader = sources.train_loader(dataset, self.options, self.world, self.device)
        loader.unreadable = self.state.unreadable  # what it meets is part of the state
        return loader

    def _create_schedule(self) -> Schedule:
        options, images = self.options, self.options.batch_size * self.world.size
        settings = (options.nominal_batch, options.cosine, options.least_warmup)
        return Schedule(self.hyp, options.epochs, len(self.loader), images, *settings)

    def _create_loss(self) -> Criterion:
        """The model's. It is given only what differs from the defaults: losses of your own need not know the rest.

        The settings of a generation are not options of a run: they belong to the model, and are saved with it.
        """
        defaults = TrainOptions().loss_options
        given = {name: value for name, value in self.options.loss_options.items() if value != defaults[name]}
        criterion: Callable[..., Criterion] = self.detector.criterion
        known = inspect.signature(criterion).parameters
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        if unknown := [name for name in given if name not in known and not takes_all]:
            raise ValueError(
                f"the loss of {type(self.model).__name__} does not know the option {unknown[0]}: leave it out"
            )
        try:
            loss = criterion(self.hyp, self.options.img_size, **given)
        except TypeError as error:
            if not given or "unexpected keyword argument" not in str(error):
                raise
            option = str(error).rsplit("'", 2)[-2]
            message = f"the loss of {type(self.model).__name__} does not know the option {option}: leave it out"
            raise ValueError(message) from None
        if hasattr(loss, "over_processes"):
            loss.over_processes = mean_over_processes
        return loss.to(self.device) if isinstance(loss, nn.Module) else loss
