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
from collections.abc import Iterable, Iterator, Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch
from yolo_lite.data.report import Problem
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.targets import sent
from yolo_lite.model.names import class_order
from yolo_lite.train import checks, diagnose, prepare, state
from yolo_lite.train.callbacks import Callback
from yolo_lite.train.distributed import World, require_joined, wrapped
from yolo_lite.train.optim import ModelEma, Rates, Schedule, apply_rates, create_optimizer
from yolo_lite.train.options import DTYPES, TrainOptions
from yolo_lite.train.prepare import Source
from yolo_lite.train.results import EpochResult, StepState


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

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        val: Source | None = None,
        hyp: Hyperparameters | Mapping[str, Any] | str | Path | None = None,
        *,
        out_dir: str | Path | None = None,
        callbacks: Iterable[Callback] = (),
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.out_dir = Path(out_dir) if out_dir is not None else None
        state.require_free(self.out_dir)
        settled = prepare.settle_options(TrainOptions.from_dict(options), train)
        self.metadata = state.describe(settled, metadata)
        self._prepare(model, train, val, Hyperparameters.of(hyp), settled, callbacks, settled.auto_anchors)
        if self.out_dir is not None and self.world.is_main:
            state.start(self, self.out_dir)

    @classmethod
    def resume(
        cls,
        out_dir: str | Path,
        *,
        model: nn.Module | None = None,
        train: Source | None = None,
        val: Source | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> "Trainer":
        """A run as its last checkpoint left it. What the run was given as objects must be given again.

        Args:
            out_dir: the folder of the run, or one of the checkpoints in it.
        """
        out_dir = state.run_folder(out_dir)
        header = state.read_header(out_dir)
        train, val = state.sources(header, train, val)
        model = state.model(header) if model is None else model
        hyp, options = Hyperparameters.from_dict(header["hyp"]), TrainOptions.from_dict(header["options"])
        trainer = cls.__new__(cls)
        trainer.out_dir = out_dir
        settled = prepare.settle_options(options, train, resumed=True)
        trainer.metadata = header.get("metadata") or state.describe(settled)  # 0.1.0 wrote none
        trainer._prepare(model, train, val, hyp, settled, callbacks, auto_anchors=False)
        state.restore(trainer, trainer.out_dir)
        trainer._set_hyp(hyp.replace(**trainer.changed_by(trainer.iteration - 1)))
        return trainer

    def _prepare(
        self,
        model: nn.Module,
        train: Source,
        val: Source | None,
        hyp: Hyperparameters,
        options: TrainOptions,
        callbacks: Iterable[Callback],
        auto_anchors: bool,
    ) -> None:
        require_joined()
        self.options, self.hyp, self.first_hyp, self.callbacks = options, hyp, hyp, list(callbacks)
        self.world = World.current()
        self.device = prepare.best_device(options.device, self.world)
        self.dtype = prepare.weights_dtype(model)
        self.sources = [prepare.source_name(source) for source in (train, val)]
        self.train_set, self.val_set = prepare.open_datasets(train, val, model, hyp, options)
        self.messages = prepare.check_datasets(model, self.train_set, self.val_set, options, self.world)
        if auto_anchors:
            self.messages += prepare.fit_anchors(model, self.train_set, hyp, options)
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.model = model.to(self.device, memory_format=self.layout)
        if hasattr(self.model, "metadata"):
            self.model.metadata = dict(self.metadata)
        prepare.freeze_layers(self.model.train(), options.freeze)
        self.network = wrapped(self.model, self.world, options.sync_bn)  # what the loop calls
        self.ema = ModelEma(self.model, options.ema_decay, options.ema_tau)
        self.loader = prepare.train_loader(self.train_set, options, self.world, self.device)
        self.val_loader = prepare.val_loader(self.val_set, options) if self.world.is_main else None
        self.least_size = checks.least_size(self.model, self.loader, options)  # that multi_scale draws
        self.loss = prepare.criterion(self.model, hyp, options)
        self.schedule = self._schedule()
        self.optimizer = create_optimizer(self.model, hyp, options.optimizer, self.schedule.scaled_weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "float16")
        self.model.zero_grad()  # what a notebook may have left there
        self._begin_run()

    def _begin_run(self) -> None:
        """Where the run is, which ``state`` keeps: batch counts within the epoch, iteration over all of them."""
        self.epoch = self.batch = self.iteration = 0
        self.last_step, self.best_fitness, self.best_epoch = -1, -inf, -1
        self.history: list[dict[str, float]] = []  # a row per epoch
        self.sums: dict[str, float] = {}  # of the loss's parts over this epoch
        self.changes: dict[int, dict[str, float]] = {}  # iteration -> hyperparameters changed before it
        self.class_maps: list[float] | None = None  # of the last validation
        self._train_set, self._augmented_by = self.train_set, {}  # as given, and the changes that train_set has taken
        self._asked = time.perf_counter()  # for the batch that is to come

    def _schedule(self) -> Schedule:
        options, images = self.options, self.options.batch_size * self.world.size
        settings = (options.nominal_batch, options.cosine, options.least_warmup)
        return Schedule(self.hyp, options.epochs, len(self.loader), images, *settings)

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
            warnings.warn(f"nothing is left to train: {state.how_it_ended(self)}", stacklevel=2)
        with state.explained(self):
            self.tell("on_start")
            saved = time.monotonic()
            if self.iteration == 0 and not state.exists(self.out_dir):
                self.save()  # a run killed in its first epoch can be resumed too
            while not self.finished:
                started = self._begin_epoch()
                for batch in self.loader:
                    step = self.train_batch(batch)
                    self.tell("on_batch_end", step)
                    if step.stepped and time.monotonic() - saved > self.options.save_every:
                        self.save()
                        saved = time.monotonic()
                    yield step
                    self._asked = time.perf_counter()
                self._end_epoch(time.monotonic() - started)
            self.tell("on_end")

    def train_batch(self, batch: Batch) -> StepState:
        """Forward, loss, backward and, once enough gradients came together, a step of the optimiser."""
        if self.iteration in self.changes:
            self._set_hyp(self.hyp.replace(**self.changes[self.iteration]))
        rates = self.schedule.at(self.iteration)
        apply_rates(self.optimizer, rates)
        images = self._prepared(batch.images)  # (N, 3, H, W) in [0, 1]
        parts = diagnose.within_memory(self._gradients, images, batch.targets)
        together = [part.detach().reshape(()).to(self.device) for part in parts]
        numbers = torch.stack(together).tolist()  # waits for a GPU, once for all parts
        if not all(map(isfinite, numbers)):
            raise diagnose.explain_non_finite(self.model, images, parts, batch)
        stepped = self.iteration - self.last_step >= rates.accumulate
        if stepped:
            self._step(batch)
        return self._advance(parts, numbers, rates, stepped, len(images))

    def _prepared(self, images: Tensor) -> Tensor:
        """uint8 on the CPU -> floats in [0, 1] on the device; at a random size where asked."""
        images = sent(images, self.device).to(self.dtype) / 255
        if self.options.multi_scale:
            stride = int(max(self.model.strides))
            when = self.options.seed, self.epoch, self.batch
            size = prepare.random_size(self.options.img_size, stride, *when, self.least_size)
            images = prepare.resized(images, size, stride)
        return images.contiguous(memory_format=self.layout)

    def _gradients(self, images: Tensor, targets: Tensor) -> Any:
        """Forward and backward; returns the parts of the loss."""
        precision = self.options.precision
        with torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32"):
            maps = self.network(images)
        parts = self.loss(maps, targets)
        # gradients are averaged over the processes, the reference's loss is a sum over the batch
        self.scaler.scale(parts.total * self.world.size).backward()
        return parts

    def _step(self, batch: Batch) -> None:
        self.last_step = self.iteration
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

    def _advance(self, parts: Any, numbers: list[float], rates: Rates, stepped: bool, images: int) -> StepState:
        for name, number in zip(parts._fields, numbers, strict=True):
            if name != "total":
                self.sums[name] = self.sums.get(name, 0.0) + number
        now = time.perf_counter()
        images_per_s, self._asked = images * self.world.size / (now - self._asked), now
        parts = type(parts)(*(part.detach() for part in parts))
        lrs = rates.other_lr, rates.bias_lr
        step = StepState(self.epoch, self.iteration, parts, *lrs, rates.momentum, stepped, images_per_s)
        self.batch += 1
        self.iteration += 1
        return step

    def _begin_epoch(self) -> float:
        self.model.train()
        prepare.freeze_layers(self.model, self.options.freeze)  # train() woke their BatchNorm
        self.changes = self.world.from_main(self.changes)
        changes = self.changed_by(self.epoch * len(self.loader))
        if changes != self._augmented_by:
            self.train_set, self._augmented_by = prepare.with_hyp(self._train_set, changes), changes
            unreadable = self.loader.unreadable
            self.loader = prepare.train_loader(self.train_set, self.options, self.world, self.device)
            self.loader.unreadable = unreadable
        if self.options.image_weights and self.class_maps is not None:
            self.loader.batch_sampler.weights = prepare.image_weights(self.train_set, self.class_maps)
        self.loader.set_epoch(self.epoch, start_batch=self.batch)
        self._asked = time.perf_counter()
        return time.monotonic()

    def _end_epoch(self, seconds: float) -> None:
        self.optimizer.zero_grad()  # gradients without a step are dropped, as the reference does
        for found in self.world.gathered(self.loader.unreadable):
            self.loader.note_unreadable(found.values())
        due = (self.epoch + 1) % self.options.validate_every == 0 or self.epoch + 1 == self.options.epochs
        metrics = self.validate() if self.val_loader is not None and due else None
        maps = prepare.class_maps(metrics) if metrics else self.class_maps
        fit, self.class_maps = self.world.from_main((metrics.fitness if metrics else -inf, maps))
        best = self.val_set is None or fit >= max(self.best_fitness, 0.0)  # as long as nothing is found, go on
        if best:
            self.best_fitness, self.best_epoch = fit, self.epoch
        losses = {name: total / self.batch for name, total in self.sums.items()}
        lr = self.schedule.at(self.iteration - 1).other_lr
        result = EpochResult(self.epoch, losses, metrics, lr, seconds, fit, best)
        self.history.append(result.row())
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}
        self.save(best)
        self.tell("on_epoch_end", result)

    # Around the loop

    def validate(self) -> Metrics:
        """Figures of the averaged weights on the validation images; for the main process."""
        if self.val_loader is None:
            raise ValueError("nothing to validate on: the trainer was given no val, or this is not the main process")
        names = self.train_set.names  # the model learnt these, in this order, whatever it calls them
        order = class_order(names, self.val_set.names).order or range(len(names))
        return evaluate(self.ema.model, self.val_loader, rule=self.options.rule, class_order=order)

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
            state.write_changes(self.out_dir, self.changes)

    def changed_by(self, iteration: int) -> dict[str, float]:
        """All hyperparameters changed before the batch of that iteration, the last value of each."""
        changes = [self.changes[key] for key in sorted(self.changes) if key <= iteration]
        return {name: value for values in changes for name, value in values.items()}

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, if there is an out_dir: anything that is needed to go on from here."""
        if self.out_dir is not None and self.world.is_main:
            state.write(self, best)

    @property
    def unreadable(self) -> tuple[Problem, ...]:
        """Training images that could not be read when their turn came; others took their places."""
        return tuple(self.loader.unreadable.values())

    @property
    def finished(self) -> bool:
        """True after the last epoch, or when the run has stopped early."""
        return self.epoch >= self.options.epochs or self.stopped

    @property
    def stopped(self) -> bool:
        """True when nothing has improved for ``patience`` epochs."""
        return self.best_epoch >= 0 and self.epoch - 1 - self.best_epoch >= self.options.patience

    def _set_hyp(self, hyp: Hyperparameters) -> None:
        self.hyp = hyp
        self.schedule = self._schedule()
        prepare.set_decay(self.optimizer, hyp, self.schedule)
        loss = prepare.criterion(self.model, hyp, self.options)
        if isinstance(loss, nn.Module):
            loss.load_state_dict(self.loss.state_dict())
        self.loss = loss

    def tell(self, event: str, *what: Any) -> None:
        """Calls a method of every callback that has it, in the main process."""
        if self.world.is_main:
            for callback in self.callbacks:
                if hasattr(callback, event):
                    getattr(callback, event)(self, *what)
