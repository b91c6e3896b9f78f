"""Trainer: the loop that turns a random network into a detector, for any detector and any dataset.

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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import YoloLoader, create_dataloader
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train import state
from yolo_lite.train.callbacks import Callback
from yolo_lite.train.diagnose import explain_non_finite, explain_out_of_memory
from yolo_lite.train.distributed import World, mean_over_processes, wrapped
from yolo_lite.train.optim import ModelEma, Rates, Schedule, apply_rates, create_optimizer
from yolo_lite.train.options import DTYPES, TrainOptions
from yolo_lite.train.prepare import best_device, fit_anchors, freeze_layers, image_weights, random_size, resized

Source = YoloDataset | str | Path


class StepState(NamedTuple):
    """One batch, after it was trained on."""

    epoch: int
    iteration: int  # over all epochs, from 0
    parts: Any  # the loss's NamedTuple (total, box, obj, cls), detached
    lr: float  # of weights and norms
    bias_lr: float
    momentum: float
    stepped: bool  # False: the gradients wait for those of the next batches
    images_per_s: float


class EpochResult(NamedTuple):
    """One epoch, after validation."""

    epoch: int
    losses: dict[str, float]  # mean of each part over the batches
    metrics: Metrics | None  # None where nothing was validated
    lr: float
    seconds: float
    fitness: float  # 0.1 mAP50 + 0.9 mAP
    best: bool


class Trainer:
    """Trains a detector.

    Args:
        model: anything that follows the detector protocol; it is moved to the device and trained in place.
        train, val: datasets, or sources of such (data.yaml, folder, "shapes" ...); val None = the split "val" of the
            source of train.
        hyp: hyperparameters; ``model.criterion`` scales the gains to the model.
        out_dir: where checkpoints go; None keeps nothing.
        callbacks: see ``callbacks.Callback``.
        options: the fields of ``TrainOptions``: epochs, batch_size, img_size, seed, device, precision ...

    >>> model = create_model("yolov5n", num_classes=8)
    >>> trainer = Trainer(model, "shapes", epochs=1, batch_size=2, img_size=64)  # doctest: +SKIP
    >>> step = next(trainer.steps())  # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        val: Source | None = None,
        hyp: Hyperparameters | None = None,
        *,
        out_dir: str | Path | None = None,
        callbacks: Iterable[Callback] = (),
        **options: Any,
    ) -> None:
        self._prepare(model, train, val, hyp or Hyperparameters(), TrainOptions.from_dict(options), callbacks)
        self.out_dir = Path(out_dir) if out_dir is not None else None
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
        """A run as its last checkpoint left it. What the run was given as objects must be given again."""
        out_dir = Path(out_dir)
        header = state.read_header(out_dir)
        train, val = train or header["sources"][0], val or header["sources"][1]
        if train is None:
            raise ValueError(f"{out_dir}: the run was given datasets, not sources: pass train= (and val=) again")
        if model is None:
            model = create_model(header["spec"], names=header["names"])
        hyp, options = Hyperparameters.from_dict(header["hyp"]), TrainOptions.from_dict(header["options"])
        trainer = cls.__new__(cls)
        trainer._prepare(model, train, val, hyp, options.replace(auto_anchors=False), callbacks)
        trainer.options = options
        trainer.out_dir = out_dir
        state.restore(trainer, out_dir)
        trainer.changes = state.read_changes(out_dir)
        for iteration in sorted(trainer.changes):
            if iteration < trainer.iteration:
                trainer._set_hyp(trainer.hyp.replace(**trainer.changes[iteration]))
        return trainer

    def _prepare(
        self,
        model: nn.Module,
        train: Source,
        val: Source | None,
        hyp: Hyperparameters,
        options: TrainOptions,
        callbacks: Iterable[Callback],
    ) -> None:
        self.options, self.hyp, self.first_hyp, self.callbacks = options, hyp, hyp, list(callbacks)
        self.world = World.current()
        self.device = best_device(options.device, self.world)
        self.train_set, self.val_set = self._datasets(train, val)
        if model.num_classes != self.train_set.num_classes:
            raise ValueError(
                f"the model has {model.num_classes} classes, the dataset {self.train_set.num_classes}: "
                f"create the model with num_classes={self.train_set.num_classes}"
            )
        self.messages = fit_anchors(model, self.train_set, hyp, options) if options.auto_anchors else []
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.model = model.to(self.device, memory_format=self.layout)
        self.network = wrapped(self.model, self.world, options.sync_bn)
        self.ema = ModelEma(self.model, options.ema_decay, options.ema_tau)
        self.loader = create_dataloader(
            self.train_set,
            options.batch_size,
            shuffle=not options.rect,
            workers=options.workers,
            rank=self.world.rank,
            world_size=self.world.size,
            pin_memory=self.device.type == "cuda",
        )
        self.val_loader = self._val_loader()
        freeze_layers(self.model, options.freeze)
        self.loss = self._criterion()
        self.schedule = self._schedule()
        decay = self.schedule.scaled_weight_decay
        self.optimizer = create_optimizer(self.model, hyp, options.optimizer, decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "float16")
        # Where the run is: batch counts within the epoch, iteration over all of them.
        self.epoch = self.batch = self.iteration = 0
        self.last_step, self.best_fitness, self.best_epoch = -1, float("-inf"), -1
        self.history: list[dict[str, float]] = []  # a row per epoch
        self.sums: dict[str, float] = {}  # of the loss's parts over this epoch
        self.changes: dict[int, dict[str, float]] = {}  # iteration -> hyperparameters changed before it
        self.class_maps: list[float] | None = None  # of the last validation

    def _datasets(self, train: Source, val: Source | None) -> tuple[YoloDataset, YoloDataset | None]:
        options = self.options
        common = {"img_size": options.img_size, "hyp": self.hyp, "seed": options.seed, "single_cls": options.single_cls}
        self.sources = [str(source) if isinstance(source, str | Path) else None for source in (train, val)]
        if not isinstance(train, YoloDataset):
            val = train if val is None else val
            train = YoloDataset(
                train,
                augment=options.augment,
                rect=options.rect,
                batch_size=options.batch_size,
                cache=options.cache,
                **common,
            )
        if val is not None and not isinstance(val, YoloDataset):
            val = YoloDataset(val, split="val", cache=options.cache, **common)
        return train, val

    def _val_loader(self) -> YoloLoader | None:
        if self.val_set is None or not self.world.is_main:
            return None
        return create_dataloader(self.val_set, self.options.batch_size, workers=self.options.workers)

    def _schedule(self) -> Schedule:
        options, images = self.options, self.options.batch_size * self.world.size
        return Schedule(
            self.hyp,
            options.epochs,
            len(self.loader),
            images,
            options.nominal_batch,
            options.cosine,
            options.least_warmup,
        )

    # The loop

    def fit(self) -> "Trainer":
        """Runs to the end, or until nothing has improved for ``patience`` epochs."""
        for _ in self.steps():
            pass
        return self

    def steps(self) -> Iterator[StepState]:
        """The run as a generator, a batch each time it is asked: stop asking to pause, ask again to go on."""
        self._tell("on_start")
        saved = time.monotonic()
        while self.epoch < self.options.epochs and not self.stopped:
            started = self._begin_epoch()
            for batch in self.loader:
                step = self.train_batch(batch)
                self._tell("on_batch_end", step)
                if step.stepped and time.monotonic() - saved > self.options.save_every:
                    self.save()
                    saved = time.monotonic()
                yield step
            self._end_epoch(time.monotonic() - started)
        self._tell("on_end")

    def train_batch(self, batch: Batch) -> StepState:
        """Forward, loss, backward and, once enough gradients came together, a step of the optimiser."""
        start = time.perf_counter()
        if self.iteration in self.changes:
            self._set_hyp(self.hyp.replace(**self.changes[self.iteration]))
        rates = self.schedule.at(self.iteration)
        apply_rates(self.optimizer, rates)
        images = self._prepared(batch.images)  # (N, 3, H, W) in [0, 1]
        try:
            with torch.autocast(self.device.type, DTYPES[self.options.precision], enabled=self.mixed):
                maps = self.network(images)
            parts = self.loss(maps, batch.targets)
            if not parts.total.isfinite():
                raise explain_non_finite(self.model, images, parts, batch)
            # gradients are averaged over the processes, the reference's loss is a sum over the batch
            self.scaler.scale(parts.total * self.world.size).backward()
        except torch.OutOfMemoryError as error:
            raise explain_out_of_memory(self.options.batch_size, images) from error
        stepped = self.iteration - self.last_step >= rates.accumulate
        if stepped:
            self._step()
        images_per_s = len(images) * self.world.size / (time.perf_counter() - start)
        return self._advance(parts, rates, stepped, images_per_s)

    def _prepared(self, images: Tensor) -> Tensor:
        """uint8 on the CPU -> floats in [0, 1] on the device; at a random size where asked."""
        images = images.to(self.device, non_blocking=True).float() / 255
        if self.options.multi_scale:
            stride = int(max(self.model.strides))
            size = random_size(self.options.img_size, stride, self.options.seed, self.epoch, self.batch)
            images = resized(images, size, stride)
        return images.contiguous(memory_format=self.layout)

    def _step(self) -> None:
        self.last_step = self.iteration
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)

    def _advance(self, parts: Any, rates: Rates, stepped: bool, images_per_s: float) -> StepState:
        parts = type(parts)(*(part.detach() for part in parts))
        for name, value in parts._asdict().items():
            if name != "total":
                self.sums[name] = self.sums.get(name, 0.0) + float(value)
        step = StepState(
            self.epoch, self.iteration, parts, rates.other_lr, rates.bias_lr, rates.momentum, stepped, images_per_s
        )
        self.batch += 1
        self.iteration += 1
        return step

    def _begin_epoch(self) -> float:
        self.model.train()
        freeze_layers(self.model, self.options.freeze)  # train() woke their BatchNorm
        if self.batch == 0:
            self.optimizer.zero_grad()  # gradients without a step are dropped at the end of an epoch, as the reference
            self.sums = {}
        if self.options.image_weights and self.class_maps is not None:
            self.loader.batch_sampler.weights = image_weights(self.train_set, self.class_maps)
        self.loader.set_epoch(self.epoch, start_batch=self.batch)
        return time.monotonic()

    def _end_epoch(self, seconds: float) -> None:
        options = self.options
        due = (self.epoch + 1) % options.validate_every == 0 or self.epoch + 1 == options.epochs
        metrics = self.validate() if self.val_set is not None and due and self.world.is_main else None
        fitness = 0.1 * metrics.map50 + 0.9 * metrics.map if metrics else float("-inf")
        fitness, self.class_maps = self.world.from_main((fitness, self.class_maps))
        best = fitness > self.best_fitness or self.val_set is None
        if best:
            self.best_fitness, self.best_epoch = fitness, self.epoch
        losses = {name: total / self.batch for name, total in self.sums.items()}
        lr = self.schedule.at(self.iteration - 1).other_lr
        result = EpochResult(self.epoch, losses, metrics, lr, seconds, fitness, best)
        self.history.append(state.history_row(result))
        self.epoch, self.batch = self.epoch + 1, 0
        self.save(best)
        self._tell("on_epoch_end", result)

    # Around the loop

    def validate(self) -> Metrics:
        """Figures of the averaged weights on the validation images."""
        metrics = evaluate(self.ema.model, self.val_loader, rule=self.options.rule)
        self.class_maps = [entry.map for entry in metrics.per_class]
        return metrics

    def change(self, **values: float) -> None:
        """Changes hyperparameters from the next batch on. Kept with the run: a resumed one changes them there too."""
        self.hyp.replace(**values)  # an unknown name is an error now, not at the next batch
        self.changes[self.iteration] = self.changes.get(self.iteration, {}) | values
        if self.out_dir is not None and self.world.is_main:
            state.write_changes(self.out_dir, self.changes)

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint, if there is an out_dir; only where no gradients wait for a step."""
        if self.out_dir is not None and self.world.is_main:
            state.write(self, best)

    @property
    def stopped(self) -> bool:
        """True when nothing has improved for ``patience`` epochs."""
        return self.best_epoch >= 0 and self.epoch - 1 - self.best_epoch >= self.options.patience

    @property
    def mixed(self) -> bool:
        """Whether the forward pass runs in 16 bits."""
        return self.options.precision != "float32"

    def _set_hyp(self, hyp: Hyperparameters) -> None:
        self.hyp = hyp
        self.schedule = self._schedule()
        balance = self.loss.state_dict()
        self.loss = self._criterion()
        self.loss.load_state_dict(balance)

    def _criterion(self) -> nn.Module:
        loss = self.model.criterion(self.hyp, self.options.img_size, **self.options.loss_options).to(self.device)
        loss.over_processes = mean_over_processes
        return loss

    def _tell(self, event: str, *what: Any) -> None:
        if self.world.is_main:
            for callback in self.callbacks:
                getattr(callback, event)(self, *what)
