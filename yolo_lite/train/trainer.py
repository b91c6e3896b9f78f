"""Trainer: the loop that turns a random network into a detector, for any detector and any dataset::

    for epoch in range(epochs):
        for batch in loader:
            maps = model(batch.images)              # forward: what does the network say?
            parts = loss(maps, batch.targets)       # compare: how wrong is it?
            parts.total.backward()                  # backward: how does it depend on each weight?
            optimizer.step()                        # every weight a little better
        evaluate(the average of the weights)

``Trainer.steps`` and ``train_batch`` are that loop. What it works with (``self.model``, ``ema`` ...) is made in run.py;
the other modules prepare that, save it, or explain why a run stopped.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, isfinite

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch
from yolo_lite.detect.inference import size_multiple
from yolo_lite.loss.criterion import LossTerms
from yolo_lite.loss.targets import sent
from yolo_lite.running import diagnose, folder
from yolo_lite.support.device_colour import apply_hsv_tables
from yolo_lite.train import checks, multi_scale
from yolo_lite.train.dropout import repeatable_dropout
from yolo_lite.train.image_weights import class_maps, image_weights
from yolo_lite.train.optim import freeze_layers
from yolo_lite.train.options import DTYPES
from yolo_lite.train.progress import progress_callbacks
from yolo_lite.train.results import RESULTS, EpochResult, StepState, write_results
from yolo_lite.train.run import Run
from yolo_lite.train.sources import with_hyp


class Trainer(Run):
    """Trains a detector.

    Args:
        model: anything that follows the detector protocol; it is moved to the device and trained in place, in the
            number format of its weights.
        train, val: datasets (or PyTorch's Subset of one), or sources of such (data.yaml, folder, "shapes" ...); val
            None = the split "val" of the source of train, and no validation where train is a dataset.
        hyp: hyperparameters, a dict of some, or the path of a YAML file; ``model.criterion`` scales the gains to the
            model.
        out_dir: where checkpoints and results.csv go; None keeps nothing.
        callbacks: see ``callbacks.Callback``.
        metadata: what else the checkpoints say about the run, besides img_size, rule and date; what the model's own
            metadata say of an earlier training stands under "parent".
        preset: settings that go together, see ``preset``; hyp as a dict, and options, change some of them.
        criterion: a loss of your own in place of ``model.criterion``: an object, called as loss(maps, targets), which
            returns a NamedTuple that begins with ``total``; or a function (model, hyp, img_size) that makes it, such
            as ``Mine.of`` of a subclass of ComputeLoss.
        optimizer: "SGD", "Adam" ...; or one of your own, or a function that makes it, see ``train.given``.
        schedule: a function (epoch) -> fraction of lr0, a function (optimizer) -> torch scheduler, or a subclass of
            ``Schedule``, see ``train.given``.
        options: the fields of ``TrainOptions``: epochs, batch_size, img_size, seed, device, precision ... What a
            dataset has decided already (img_size, augment, rect, seed, and what of hyp is augmentation) need not be
            given again.
    Raises:
        ValueError: what cannot be trained together, before anything is. FileExistsError: out_dir holds a run already.
        TrainingError: a run that cannot go on: a full disk, a loss that is not finite, a batch too large.

    An image that turns out to be damaged when it is read gives its place to the next (a warning names it once, and
    ``unreadable`` keeps it); one for validation is left out, and ``Metrics.left_out`` names it. With strict=True
    either ends the run. Messages go to ``logging``, see ``train.messages``. Under ``torchrun``, make the trainer
    inside ``with yl.distributed():``.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=6)
    >>> trainer = Trainer(model, "shapes", epochs=1, batch_size=2, img_size=64, auto_anchors=False)
    >>> step = next(trainer.steps())
    >>> step.iteration, step.stepped, step.parts._fields
    (0, True, ('total', 'box', 'obj', 'cls'))
    """

    def fit(self, progress: bool = False) -> "Trainer":
        """Runs to the end, or until nothing has improved for ``patience`` validations, or until ``stop`` is called.

        Args:
            progress: shows what the command ``yolo-lite train`` shows: notes, epochs, and at the end a table of the
                best and the last one.
        """
        shown = progress_callbacks() if progress else []
        self.callbacks += shown
        try:
            for _ in self.steps():
                pass
        finally:
            self.callbacks = [callback for callback in self.callbacks if callback not in shown]
        return self

    def steps(self) -> Iterator[StepState]:
        """The run as a generator, a batch each time it is asked: stop asking to pause, ask again to go on.

        After an error or Ctrl-C, a batch may be half done: continue with ``resume``, from before that batch.
        """
        self.stopped_by = None
        if self.finished:
            self._stop_asked = None
            self.say(f"nothing is left to train: {self.ended}{folder.how_to_train_on(self.out_dir)}")
        with self._breaks_explained():
            self.notify("on_start")
            self._stop_together(self._stop_asked)
            saved_at = time.monotonic()
            if self.iteration == 0 and not folder.exists(self.out_dir):
                self.save()  # a run killed in its first epoch can be resumed too
            self._write_results()  # of a run killed between its checkpoint and this file
            while not self.finished and self.stopped_by is None:
                started = self._begin_epoch()
                for batch in self.loader:
                    step = self.train_batch(batch)
                    self.notify("on_batch_end", step)
                    if step.stepped and time.monotonic() - saved_at > self.options.save_every:
                        self.save()
                        saved_at = time.monotonic()
                    yield step
                    self._asked = time.perf_counter()
                    if self.stopped_by is not None and self.world.size == 1 and self.batch < len(self.loader):
                        break
                else:
                    self._end_epoch(time.monotonic() - started)
            if self.stopped_by is not None:
                self._end_early()
            else:
                self._warn_of_nothing()
            self.notify("on_end")

    def train_batch(self, batch: Batch) -> StepState:
        """Forward, loss, backward and, once enough gradients are added up, a step of the optimiser."""
        state = self.state
        if state.iteration in state.changes:
            self._use_hyp(self.hyp.replace(**state.changes[state.iteration]))
        rates = self.schedule.at(state.iteration)  # learning rates, momentum; warm-up is part of the schedule
        self._apply(rates)
        images = self._network_input(batch)  # (N, 3, H, W) in [0, 1]
        parts = diagnose.within_memory(self._forward_backward, images, batch.targets)
        stepped = state.iteration - state.last_step >= rates.accumulate
        norm = self._gradient_norm() if stepped else torch.zeros((), device=self.device)
        on_device = [part.detach().reshape(()).to(self.device) for part in (*parts, norm)]
        *numbers, norm_read = torch.stack(on_device).tolist()  # waits for a GPU, once for all of them
        if not all(map(isfinite, numbers)):
            raise diagnose.explain_non_finite(self.model, images, parts, batch)
        self._count_dropped()
        if stepped:
            if not isfinite(norm_read) and not self.scaler.is_enabled():
                raise diagnose.explain_gradient(self.model, batch)
            self._optimizer_step(norm)
        for name, number in zip(parts._fields, numbers, strict=True):
            if name != "total":
                state.sums[name] = state.sums.get(name, 0.0) + number
        now = time.perf_counter()
        images_per_s, self._asked = len(images) * self.world.size / (now - self._asked), now
        detached = type(parts)(*(part.detach() for part in parts))
        lrs = rates.other_lr, rates.bias_lr
        step = StepState(state.epoch, state.iteration, detached, *lrs, rates.momentum, stepped, images_per_s)
        state.batch += 1
        state.iteration += 1
        return step

    def _network_input(self, batch: Batch) -> Tensor:
        """uint8 on the CPU -> floats in [0, 1] on the device; at a random size where asked."""
        pixels = sent(batch.images, self.device)  # bytes: a quarter of what floats would take
        if batch.hsv is not None:
            pixels = apply_hsv_tables(pixels, sent(batch.hsv, self.device))
        images = pixels.to(self.dtype) / 255
        if self.options.multi_scale:
            stride = size_multiple(self.detector)
            draw = self.options.seed, self.epoch, self.batch
            size = multi_scale.random_size(self.options.img_size, stride, *draw, self.least_size)
            images = multi_scale.resized(images, size, stride)
        return images.contiguous(memory_format=self.layout)

    def _forward_backward(self, images: Tensor, targets: Tensor) -> LossTerms:
        """Adds to the gradients; returns the parts of the loss."""
        precision = self.options.precision
        draw = self.options.seed, self.epoch, self.batch, self.world.rank
        with (
            torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32"),
            repeatable_dropout(self.model, self.device, *draw),
        ):
            maps = self.network(images)
        parts = checks.require_parts(self.loss(maps, targets), self.loss)
        # gradients are averaged over the processes, YOLOv5's loss is a sum over the batch
        self.scaler.scale(parts.total * self.world.size).backward()
        return parts

    def _gradient_norm(self) -> Tensor:
        """Of all weights together, () on the device; with the scale of float16 taken out of the gradients."""
        self.scaler.unscale_(self.optimizer)
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        return nn.utils.get_total_norm(gradients)

    def _optimizer_step(self, norm: Tensor) -> None:
        """Clips the gradients, moves the weights, and takes them into the EMA."""
        self.state.last_step = self.iteration
        nn.utils.clip_grads_with_norm_(self.model.parameters(), self.options.clip_norm, norm)
        self.scaler.step(self.optimizer)  # in float16, steps of infinite gradients are left out: the scale is lowered
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)

    def _count_dropped(self) -> None:
        """Adds the objects that the loss has just dropped to the state, which is kept in checkpoints."""
        dropped = getattr(self.loss, "dropped", 0)
        self.state.dropped += dropped - self._dropped_before
        self._dropped_before = dropped

    def _begin_epoch(self) -> float:
        """Everything back in training mode, the loader at the batch to come; returns the time."""
        state = self.state
        freeze_layers(self.model.train(), self.options.freeze)  # train() woke their BatchNorm
        state.changes = self.world.broadcast(state.changes)
        train_set = with_hyp(self._given_set, self.changed_by(state.epoch * len(self.loader)))
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
        dropped = sum(self.world.gathered(state.dropped))
        val_losses = None if metrics is None else self.val_losses
        result = EpochResult(state.epoch, losses, metrics, lr, seconds, fitness, best, dropped, val_losses)
        if dropped and not any("dropped" in row for row in state.history):
            self.say(
                f"objects: {dropped} of those in the batches of epoch {state.epoch + 1} could not be matched to any "
                f"prediction by {type(self.loss).__name__}, so nothing was learnt from them; the history counts those "
                "of later epochs (YOLOv1 has one object in a cell)"
            )
        state.history.append(result.row())
        state.epoch, state.batch, state.sums, state.dropped = state.epoch + 1, 0, {}, 0
        self.save(best)
        self._write_results()
        self.notify("on_epoch_end", result)
        self._stop_together(self.stopped_by)

    def _stop_together(self, why: str | None) -> None:
        """Ends the run in all processes where one of them was asked to."""
        self.stopped_by = next((why for why in self.world.gathered(why) if why is not None), None)

    def _end_early(self) -> None:
        """Saves a run that was asked to stop; inside an epoch, its weights are validated first."""
        state = self.state
        best = False
        if self.val_loader is not None and state.batch:
            fitness = self.validate().fitness
            if best := fitness >= max(state.best_fitness, 0.0):
                state.best_fitness, state.best_epoch = fitness, state.epoch
        self.save(best)

    def _write_results(self) -> None:
        if self.out_dir is not None and self.world.is_main and self.history:
            write_results(self.history, self.out_dir / RESULTS)

    @contextmanager
    def _breaks_explained(self) -> Iterator[None]:
        """Notifies the callbacks when the run breaks off inside, and says how it goes on."""
        try:
            yield
        except BaseException as error:
            self.notify("on_break", error)
            place = f"epoch {self.epoch + 1}, after {self.batch} of {len(self.loader)} batches"
            folder.explain_break(error, place, self.out_dir)
            raise
        finally:
            self._stop_asked = None

    def _warn_of_nothing(self) -> None:
        """Where no validation found anything, and the run was short."""
        scores = [row["mAP50"] for row in self.history if "mAP50" in row]
        for message in checks.few_steps(self.schedule, self.model) if scores and not any(scores) else []:
            self.say(f"the run has ended, and mAP50 was 0 in every validation. {message}")
