"""Trainer: the loop that turns a random network into a detector, for any detector and any dataset::

    for epoch in range(epochs):
        for batch in loader:
            maps = model(batch.images)              # forward: what does the network say?
            parts = loss(maps, batch.targets)       # compare: how wrong is it?
            parts.total.backward()                  # backward: which weight is to blame?
            optimizer.step()                        # every weight a little better
        evaluate(the average of the weights)

``Trainer.steps`` and ``train_batch`` are that loop; all else prepares it, saves it, or explains why it stopped.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite._moved import warn_renamed
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import YoloLoader
from yolo_lite.data.report import Problem
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.targets import sent
from yolo_lite.model.names import class_order
from yolo_lite.train import checks, diagnose, multi_scale, run_folder, sources
from yolo_lite.train.auto_anchors import fit_anchors
from yolo_lite.train.devices import best_device, weights_dtype
from yolo_lite.train.distributed import World, mean_over_processes, require_joined, wrapped
from yolo_lite.train.ema import ModelEma
from yolo_lite.train.image_weights import class_maps, image_weights
from yolo_lite.train.optim import apply_rates, create_optimizer, freeze_layers, set_decay
from yolo_lite.train.options import DTYPES, TrainOptions
from yolo_lite.train.results import EpochResult, StepState
from yolo_lite.train.run_folder import RunSettings, SavedRun
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.sources import Source
from yolo_lite.train.state import Learner, OfState, RunState


class Trainer:
    """Trains a detector.

    Args:
        model: anything that follows the detector protocol; it is moved to the device and trained in place, in the
            number format of its weights.
        train, val: datasets, or sources of such (data.yaml, folder, "shapes" ...); val None = the split "val" of the
            source of train, and no validation where train is a dataset.
        hyp: hyperparameters, a dict of some, or the path of a YAML file; ``model.criterion`` scales the gains to the
            model.
        out_dir: where checkpoints go; None keeps nothing.
        callbacks: see ``callbacks.Callback``.
        metadata: what else the checkpoints say about the run, besides img_size, rule and date, which replace what the
            model's own metadata said about an earlier training.
        options: the fields of ``TrainOptions``: epochs, batch_size, img_size, seed, device, precision ... What a
            dataset has decided already (img_size, augment, rect, seed) need not be said again.
    Raises:
        ValueError: what cannot be trained together, before anything is. FileExistsError: a run lies in out_dir.
        TrainingError: a run that cannot go on: a full disk, a loss that is no number, a batch too large.

    An image that turns out to be damaged when it is read gives its place to the next (a warning names it once, and
    ``unreadable`` keeps it); one for validation is left out, and ``Metrics.left_out`` names it. With strict=True
    either ends the run. Under ``torchrun``, make the trainer inside ``with yl.distributed():``.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=6)
    >>> trainer = Trainer(model, "shapes", epochs=1, batch_size=2, img_size=64, auto_anchors=False)
    >>> step = next(trainer.steps())
    >>> step.iteration, step.stepped, step.parts._fields
    (0, True, ('total', 'box', 'obj', 'cls'))
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
            run_folder.require_free(self.out_dir)
        self.options = sources.settle_options(TrainOptions.from_dict(options), train, resumed=saved is not None)
        self.metadata = (saved and saved.settings.metadata) or run_folder.describe(self.options, metadata)
        self.hyp = self.first_hyp = Hyperparameters.of(hyp)
        require_joined()
        self.world, self.callbacks = World.current(), list(callbacks)
        self.state = RunState() if saved is None else saved.state
        self.device, self.dtype = best_device(self.options.device, self.world), weights_dtype(model)
        self.detector = checks.require_detector(model)  # the same object as self.model
        # Data
        self.sources = [sources.source_name(source) for source in (train, val)]
        self.train_set, self.val_set = sources.open_datasets(train, val, self.detector, self.hyp, self.options)
        self._given_set = self.train_set  # without the changes of its augmentation
        self.messages = checks.check_datasets(self.detector, self.train_set, self.val_set, self.options, self.world)
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
        self.schedule = self._create_schedule()
        decay = self.schedule.scaled_weight_decay
        self.optimizer = create_optimizer(self.model, self.hyp, self.options.optimizer, decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.options.precision == "float16")
        self.model.zero_grad()  # what a notebook may have left there
        self._asked = time.perf_counter()  # for the batch that is to come
        if saved is not None:
            saved.load_into(self.learner, self.world, len(self.train_set))
            self._use_hyp(self.hyp.replace(**self.changed_by(self.iteration - 1)))
        elif self.out_dir is not None and self.world.is_main:
            run_folder.start(self.out_dir, self.settings)

    @classmethod
    def resume(
        cls,
        out_dir: str | Path,
        *,
        model: nn.Module | None = None,
        train: Source | None = None,
        val: Source | None = None,
        callbacks: Iterable[object] = (),
    ) -> "Trainer":
        """A run as its last checkpoint left it. What the run was given as objects must be given again.

        Args:
            out_dir: the folder of the run, or one of the checkpoints in it.
        """
        saved = SavedRun(out_dir)
        train, val = saved.sources(train, val)
        model = saved.create_model() if model is None else model
        hyp, options = saved.settings.hyp, asdict(saved.settings.options)
        return cls(model, train, val, hyp, out_dir=saved.folder, callbacks=callbacks, saved=saved, **options)

    # The loop

    def fit(self) -> "Trainer":
        """Runs to the end, or until nothing has improved for ``patience`` epochs."""
        for _ in self.steps():
            pass
        return self

    def steps(self) -> Iterator[StepState]:
        """The run as a generator, a batch each time it is asked: stop asking to pause, ask again to go on.

        After an error or Ctrl-C, a batch may be half done: go on with ``resume``, which knows none of it.
        """
        if self.finished:
            ended = run_folder.how_it_ended(self.state, self.options, self.out_dir)
            warnings.warn(f"nothing is left to train: {ended}", stacklevel=2)
        with self._breaks_explained():
            self.notify("on_start")
            saved = time.monotonic()
            if self.iteration == 0 and not run_folder.exists(self.out_dir):
                self.save()  # a run killed in its first epoch can be resumed too
            while not self.finished:
                started = self._begin_epoch()
                for batch in self.loader:
                    step = self.train_batch(batch)
                    self.notify("on_batch_end", step)
                    if step.stepped and time.monotonic() - saved > self.options.save_every:
                        self.save()
                        saved = time.monotonic()
                    yield step
                    self._asked = time.perf_counter()
                self._end_epoch(time.monotonic() - started)
            self.notify("on_end")

    def train_batch(self, batch: Batch) -> StepState:
        """Forward, loss, backward and, once enough gradients are added up, a step of the optimiser."""
        state = self.state
        if state.iteration in state.changes:
            self._use_hyp(self.hyp.replace(**state.changes[state.iteration]))
        rates = self.schedule.at(state.iteration)  # learning rates, momentum; warm-up is part of the schedule
        apply_rates(self.optimizer, rates)
        images = self._network_input(batch.images)  # (N, 3, H, W) in [0, 1]
        parts = diagnose.within_memory(self._forward_backward, images, batch.targets)
        on_device = [part.detach().reshape(()).to(self.device) for part in parts]
        numbers = torch.stack(on_device).tolist()  # waits for a GPU, once for all parts
        if not all(map(isfinite, numbers)):
            raise diagnose.explain_non_finite(self.model, images, parts, batch)
        stepped = state.iteration - state.last_step >= rates.accumulate
        if stepped:
            self._optimizer_step(batch)
        for name, number in zip(parts._fields, numbers, strict=True):
            if name != "total":
                state.sums[name] = state.sums.get(name, 0.0) + number
        now = time.perf_counter()
        images_per_s, self._asked = len(images) * self.world.size / (now - self._asked), now
        parts, lrs = type(parts)(*(part.detach() for part in parts)), (rates.other_lr, rates.bias_lr)
        step = StepState(state.epoch, state.iteration, parts, *lrs, rates.momentum, stepped, images_per_s)
        state.batch += 1
        state.iteration += 1
        return step

    def _network_input(self, images: Tensor) -> Tensor:
        """uint8 on the CPU -> floats in [0, 1] on the device; at a random size where asked."""
        images = sent(images, self.device).to(self.dtype) / 255
        if self.options.multi_scale:
            stride = max(int(stride) for stride in self.detector.strides)
            draw = self.options.seed, self.epoch, self.batch
            size = multi_scale.random_size(self.options.img_size, stride, *draw, self.least_size)
            images = multi_scale.resized(images, size, stride)
        return images.contiguous(memory_format=self.layout)

    def _forward_backward(self, images: Tensor, targets: Tensor) -> Any:
        """Adds to the gradients; returns the parts of the loss."""
        precision = self.options.precision
        with torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32"):
            maps = self.network(images)
        parts = self.loss(maps, targets)
        # gradients are averaged over the processes, YOLOv5's loss is a sum over the batch
        self.scaler.scale(parts.total * self.world.size).backward()
        return parts

    def _optimizer_step(self, batch: Batch) -> None:
        """Clips the gradients, moves the weights, and takes them into the EMA."""
        self.state.last_step = self.iteration
        self.scaler.unscale_(self.optimizer)
        scaled = self.scaler.is_enabled()  # then steps of infinite gradients are left out, and the scale comes down
        try:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm, error_if_nonfinite=not scaled)
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise diagnose.explain_gradient(self.model, batch) from error
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)

    def _begin_epoch(self) -> float:
        """Everything back in training mode, the loader at the batch to come; returns the time."""
        state = self.state
        freeze_layers(self.model.train(), self.options.freeze)  # train() woke their BatchNorm
        state.changes = self.world.broadcast(state.changes)
        train_set = sources.with_hyp(self._given_set, self.changed_by(state.epoch * len(self.loader)))
        if train_set.hyp != self.train_set.hyp:
            self.train_set, self.loader = train_set, self._create_loader(train_set)
        if self.options.image_weights and state.class_maps is not None:
            self.loader.batch_sampler.weights = image_weights(self.train_set, state.class_maps)
        self.loader.set_epoch(state.epoch, start_batch=state.batch)
        self._asked = time.perf_counter()
        return time.monotonic()

    def _end_epoch(self, seconds: float) -> None:
        """Validates the EMA weights, notes the epoch, and saves."""
        state, options = self.state, self.options
        self.optimizer.zero_grad()  # gradients without a step are dropped, as YOLOv5 does
        for found in self.world.gathered(state.unreadable):
            self.loader.note_unreadable(found.values())
        due = (state.epoch + 1) % options.validate_every == 0 or state.epoch + 1 == options.epochs
        metrics = self.validate() if self.val_loader is not None and due else None
        fitness, maps = (-inf, state.class_maps) if metrics is None else (metrics.fitness, class_maps(metrics))
        fitness, state.class_maps = self.world.broadcast((fitness, maps))
        best = self.val_set is None or fitness >= max(state.best_fitness, 0.0)  # as long as nothing is found, go on
        if best:
            state.best_fitness, state.best_epoch = fitness, state.epoch
        losses = {name: total / state.batch for name, total in state.sums.items()}
        lr = self.schedule.at(state.iteration - 1).other_lr
        result = EpochResult(state.epoch, losses, metrics, lr, seconds, fitness, best)
        state.history.append(result.row())
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}
        self.save(best)
        self.notify("on_epoch_end", result)

    # Around the loop

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
            run_folder.write_changes(self.out_dir, self.changes)

    def changed_by(self, iteration: int) -> dict[str, float]:
        """All hyperparameters changed before the batch of that iteration, the last value of each."""
        return self.state.changed_by(iteration)

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, if there is an out_dir: all that is needed to go on from here."""
        if self.out_dir is not None and self.world.is_main:
            run_folder.write(self.out_dir, self.settings, self.state, self.learner, best)

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

    @contextmanager
    def _breaks_explained(self) -> Iterator[None]:
        """Notifies the callbacks when the run breaks off inside, and says how it goes on."""
        try:
            yield
        except BaseException as error:
            self.notify("on_break", error)
            place = f"epoch {self.epoch + 1}, after {self.batch} of {len(self.loader)} batches"
            run_folder.explain_break(error, place, self.out_dir)
            raise

    def _use_hyp(self, hyp: Hyperparameters) -> None:
        """From now on these hyperparameters; the loss keeps its state."""
        self.hyp = hyp
        self.schedule = self._create_schedule()
        set_decay(self.optimizer, hyp, self.schedule)
        loss = self._create_loss()
        if isinstance(loss, nn.Module):
            loss.load_state_dict(self.loss.state_dict())
        self.loss = loss

    def _create_loader(self, dataset: YoloDataset) -> YoloLoader:
        loader = sources.train_loader(dataset, self.options, self.world, self.device)
        loader.unreadable = self.state.unreadable  # what it meets is part of the state
        return loader

    def _create_schedule(self) -> Schedule:
        options, images = self.options, self.options.batch_size * self.world.size
        settings = (options.nominal_batch, options.cosine, options.least_warmup)
        return Schedule(self.hyp, options.epochs, len(self.loader), images, *settings)

    def _create_loss(self) -> Any:
        """The model's. It is given only what differs from the defaults: losses of your own need not know the rest."""
        defaults = TrainOptions().loss_options
        given = {name: value for name, value in self.options.loss_options.items() if value != defaults[name]}
        criterion: Callable[..., Any] = self.detector.criterion
        loss = criterion(self.hyp, self.options.img_size, **given)
        if hasattr(loss, "over_processes"):
            loss.over_processes = mean_over_processes
        return loss.to(self.device) if isinstance(loss, nn.Module) else loss
