"""LiveTraining: a training run that can be paused, stepped, and changed while it runs."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from walkthrough._moved import moved_name
from walkthrough.explorers.base import Action, Explorer
from walkthrough.explorers.controls import controls_of
from walkthrough.explorers.hyp import checked_hyp, hyp_code, hyp_of, hyp_settings
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.pictures import Annotations, annotate, fitted, with_objects
from walkthrough.explorers.stage import Story
from walkthrough.explorers.training.live_run import LiveRun, recipe_of
from walkthrough.explorers.training.scene import scene_of, takeaway_of
from walkthrough.explorers.training.state import Result, State, compute
from walkthrough.scene import counted
from walkthrough.seen import names_in_words
from walkthrough.show import class_name
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.sources import Source
from yolo_lite.train.trainer import Trainer

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0

BREATH = 0.01  # seconds between two iterations in which the kernel hears from the page, and runs other cells
READABLE = 8.0  # seconds that a sentence about a refused setting stays while the run goes on
MOST_PICTURES, DEFAULT_PICTURES = 4, 3


def _of_start(state: State, *names: str) -> dict[str, Any]:
    return {name: getattr(state.hyp, name) for name in names}


def _fast(state: State) -> dict[str, Any]:
    """A thousand times the learning rate of the start, as far as the slider goes."""
    return {"lr0": min(1000 * state.hyp.lr0, 10.0)}


class LiveTraining(Explorer[State, Result]):
    """Trains for real, by yl.Trainer, and shows losses, learning rates and predictions on a few fixed images.

    start() trains in the background of a notebook, one iteration after the other, so that other cells and the controls
    work meanwhile; pause() stops after an iteration; step(n) trains n iterations at once and returns, in any program.
    What is moved holds from the next iteration on (Trainer.change). reset() begins the same run again. Nothing is
    written to disk, and a model that is given stays as it is: a copy is trained, which ``trainer.model`` is.

    Unlike other explorers this one has a session, state.run, that holds the Trainer: a network changes as it is
    trained, and nobody needs every version of it. compute never asks the session. It reads state.progress, a frozen
    copy of what is known.

    Args:
        model: left out: for shapes, "shapes-n" with a new last layer; for data of your own, a new yolov5n.
        train, val: datasets or sources, as yl.Trainer accepts them; left out: 32 and 16 scenes of "shapes".
        hyp: hyperparameters of the start. epochs, batch_size: of the run.
        images, targets: up to four fixed images and their objects, see annotate; left out: the first of val.
        options: further options of yl.Trainer, such as {"img_size": 320, "optimizer": "AdamW"}.

    >>> w = LiveTraining(epochs=2)
    >>> w.step(3)
    >>> w.lr0 = 0.02
    >>> w.step()
    >>> w.trainer.iteration, w.trainer.hyp.lr0
    (4, 0.02)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Live training"
    part_of = "step"
    primary = "lr0"
    stories = (
        Story(
            "as usual", lambda state: _of_start(state, "lr0", "warmup_epochs"), "start: the loss falls, boxes appear."
        ),
        Story("rate x 1000", _fast, "the loss: it rises, or is not a number any more, within a few iterations."),
        Story("warm-up off", {"warmup_epochs": 0.0}, "the first iterations: full steps on weights that know nothing."),
        Story(
            "see every guess", {"conf_thres": 0.01}, "boxes with little confidence, which training removes one by one."
        ),
    )
    uploads = True
    brought = ("pictures", "objects")
    session = ("run", "progress")
    actions = (
        Action("start", "start", "s", "train until paused", large=True),
        Action("pause", "pause", "p", "stop after this iteration", large=True),  # takes the place of start meanwhile
        Action("step", "step", "n", "one iteration"),
    )

    def __init__(self, **settings: Any) -> None:
        self._task: asyncio.Task[None] | None = None
        self._refusal = (dict[str, str](), 0.0)  # of the settings that the reader changed last, and when
        super().__init__(**settings)

    @classmethod
    def prepare(
        cls,
        model: nn.Module | None = None,
        train: Source | None = None,
        val: Source | None = None,
        hyp: Hyperparameters | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        images: Any = None,
        targets: Any = None,
        options: Mapping[str, Any] | TrainOptions | None = None,
    ) -> dict[str, Any]:
        """See the class."""
        if not isinstance(options, Mapping | TrainOptions | None):
            raise ValueError(f'options are those of yl.Trainer, such as {{"img_size": 320}}, not {options!r}')
        named = dict(vars(options) if isinstance(options, TrainOptions) else options or {})
        named |= {k: v for k, v in {"epochs": epochs, "batch_size": batch_size}.items() if v is not None}
        try:
            recipe = recipe_of(opened_model(model), train, val, hyp if hyp is None else checked_hyp(hyp), **named)
            run = recipe.begin()
        except (OSError, TypeError, AttributeError) as problem:
            raise ValueError(f"This cannot be trained: {problem}") from problem
        trainer = run.trainer
        recipe = replace(recipe, train=trainer.train_set, val=trainer.val_set, options=trainer.options)  # opened once
        size, known = trainer.options.img_size, tuple(trainer.model.names)
        shown = annotate(images, targets, size, known) if images is not None else fixed_images(trainer)
        pictures, names = shown[:MOST_PICTURES], tuple(trainer.model.names)
        fields = {"hyp": recipe.hyp, "pictures": pictures, "names": names, "recipe": recipe, "run": run}
        fields["objects"] = pictures[-1].boxes if pictures else ()
        return {**fields, "progress": run.progress(pictures), **hyp_settings(recipe.hyp, State)}

    # -- the run ----------------------------------------------------------------------------------------------------

    @property
    def trainer(self) -> Trainer:
        """The Trainer that is driven; its ema.model makes the predictions."""
        return self._run().trainer

    @property
    def running(self) -> bool:
        """Whether it trains in the background now."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Train in the background until pause(), or the end.

        Raises:
            RuntimeError: there is no background: a plain script has no event loop.
        """
        run = self._run()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "start() trains in the background of a notebook, and there is none here: step(n) trains n iterations"
            ) from None
        if not self.running and not run.over:
            self._task = loop.create_task(self._keep_going(run))
        self._look(asked=True)

    def pause(self) -> None:
        """Stop; start() goes on from there."""
        self._stop()
        self._look()

    def step(self, n: int = 1) -> None:
        """Train n iterations now."""
        if n < 1:
            raise ValueError(f"step(n) trains n iterations, at least 1, not {n}")
        run = self._run()
        over = run.over
        try:
            for _ in range(n):
                if not run.advance():
                    break
        finally:
            self._look(asked=over)

    def reset(self) -> None:
        """Begin the same run again, with the settings of the beginning."""
        if self._refused:
            return
        self._stop()
        self._run()
        if self.state.recipe is None:
            return
        own = self.state if self._has_brought() else self._start
        fields = {name: getattr(self._start, name) for name in controls_of(self.State)}
        fields |= {name: getattr(own, name) for name in self.brought}
        run = self.state.recipe.begin()
        self.set(**fields | {"run": run, "progress": run.progress(fields["pictures"])})

    def clear(self) -> None:
        """Back to the fixed images and labels of the beginning; settings and the run stay."""
        fields = {name: getattr(self._start, name) for name in self.brought}
        self.set(**fields, progress=self._run().progress(fields["pictures"], self.running))

    def recalled(self, state: State) -> State:
        """The settings, images and labels of before; the run is where it is."""
        progress = self._run().progress(state.pictures, self.running)
        return replace(super().recalled(state), progress=progress)

    def settle(self, before: State, after: State) -> State:
        """Labels that are moved or drawn belong to the last image."""
        if after.objects == before.objects or after.pictures is not before.pictures or not after.pictures:
            return after
        changed = with_objects(after.pictures[-1], after.objects)
        return replace(after, pictures=(*after.pictures[:-1], changed), objects=changed.boxes)

    def add_picture(self, pixels: Any, name: str = "my picture") -> None:
        """Predict on a picture of the reader's too; it becomes the last image, and boxes can be drawn on it."""
        if self._refused:
            return None
        run, kept = self._run(), self.state.pictures[: MOST_PICTURES - 1]
        size = run.trainer.options.img_size
        try:
            pictures = (*kept, fitted(pixels, (size, size), f"{len(kept)} {Path(name).name}"))
        except (ValueError, OSError) as problem:
            return self.notify(problem)
        return self.set(pictures=pictures, objects=(), progress=run.progress(pictures, self.running))

    def set(self, **settings: Any) -> None:
        """Change settings together, as dragging would; what the run accepts holds from its next iteration on."""
        super().set(**settings)
        if "progress" not in settings:
            self._refusal = (self._refusals, monotonic())

    def _adopt(self, state: State, problems: Mapping[str, str] | None = None, keeps: bool = True) -> None:
        super()._adopt(state, problems, keeps)
        if self.state.run is not None:
            self.state.run.change(hyp_of(self.state, self.state.hyp))

    async def _keep_going(self, run: LiveRun) -> None:
        try:
            while run.advance() and not run.over:
                if len(run.steps) % self.state.redraw_every == 0:
                    self._look()
                await asyncio.sleep(BREATH)
        except Exception as problem:  # nobody awaits the task: the page says it
            run.stop(f"{type(problem).__name__}: {problem}")
        self._task = None
        self._look()

    def _run(self) -> LiveRun:
        if self.state.run is None:
            raise ValueError(self.message)
        return self.state.run

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    def page_unseen(self) -> None:
        """Training that nobody sees any more pauses: its cell was run again, or its notebook closed."""
        if self.running:
            self.pause()
            self.message = "Paused, as no page showed this run any more: start goes on"
            self.refresh()

    def _look(self, asked: bool = False) -> None:
        """Take down how far the run has come, and draw it; asked for more than there is, say so."""
        progress = self._run().progress(self.state.pictures, self.running)
        self.set(progress=progress)
        refusals, when = self._refusal
        if refusals and self.running and monotonic() - when < READABLE:
            self._refusals = refusals  # the run goes on meanwhile
            self.message = " ".join(filter(None, [*refusals.values(), self.message]))
            self.refresh()
        if asked and progress.over and not progress.trouble:
            epochs = counted(len(progress.history), "epoch")
            self.message = f"The run is over, after {epochs}: reset begins it again"
            self.refresh()

    # -- the picture ------------------------------------------------------------------------------------------------

    def page_actions(self) -> tuple[Action, ...]:
        """Start, or pause while it trains, and step."""
        other = "start" if self.running else "pause"
        return tuple(action for action in self.actions if action.method != other)

    def note(self, state: State) -> str:
        """Why the run cannot go on, where it cannot."""
        return state.progress.trouble if state.progress is not None else ""

    def words(self) -> str:
        """How far the run has come; no number that training made."""
        result = self.require()
        progress = result.progress
        done, schedule = len(progress.steps), progress.schedule
        epoch = min(done // schedule.batches + 1, schedule.epochs)
        doing = "over" if progress.over else "running" if progress.running else "paused"
        changes = [
            f"{name} {value:g} from iteration {place}" for place, row in progress.changes for name, value in row.items()
        ]
        lines = [f"{doing}: {done} of {schedule.iterations} iterations done, epoch {epoch} of {schedule.epochs}"]
        lines += [f"changed: {', '.join(changes)}"] if changes else []
        lines += [f"losses {', '.join(result.losses)} by iteration, raw and smoothed"] if done else []
        labels = [class_name(int(box[4]), result.names) for picture in result.pictures for box in picture.boxes]
        named = f"; labelled: {names_in_words(labels)}" if labels else ""
        return "\n".join([*lines, f"{counted(len(result.pictures), 'picture')} with labels and predictions{named}"])

    def cell_names(self) -> dict[str, str]:
        """The model and the data of the run, where the reader gave none of them."""
        names = super().cell_names()
        if self._given.keys() & {"model", "train", "val"}:
            return names
        made = "recipe = shapes_recipe()\nmodel, train, val = recipe.model, recipe.train, recipe.val"
        lines = f"from walkthrough.explorers.training.live_run import shapes_recipe\n{made}"
        return names | dict.fromkeys(("model", "train", "val"), lines)

    def as_code(self) -> str:
        """The same run without pictures: Trainer, and its later changes."""
        if self.state.run is None:
            return ""
        trainer = self.trainer
        default = TrainOptions()
        options = {name: value for name, value in vars(trainer.options).items() if value != getattr(default, name)}
        named_options = "".join(f", {name}={value!r}" for name, value in options.items())
        lines = [hyp_code(trainer.first_hyp), f"trainer = yl.Trainer(model, train, val, hyp{named_options})"]
        if not trainer.changes:
            return "\n".join([*lines, "trainer.fit()"])
        changes = {place: dict(row) for place, row in sorted(trainer.changes.items())}
        lines += [f"changes = {changes!r}  # before the iteration", "trainer.changes.update(changes)", "trainer.fit()"]
        return "\n".join(lines)


def fixed_images(trainer: Trainer, count: int = DEFAULT_PICTURES) -> Annotations:
    """The first images of the validation set, or of the training set where there is none, with their objects."""
    dataset: YoloDataset = trainer.val_set if trainer.val_set is not None else trainer.train_set
    images, rows = [], []
    for index in range(min(count, len(dataset))):
        image, objects = dataset.image(index), dataset.objects(index)
        size = np.tile(image.shape[1::-1], 2)  # width, height, width, height
        images.append(image)
        rows += [(index, cls, *box) for cls, box in zip(objects.cls, xyxy_to_xywh(objects.boxes / size), strict=True)]
    return annotate(images, np.array(rows).reshape(-1, 6), trainer.options.img_size)
