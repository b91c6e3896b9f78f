"""A Trainer on its way: one iteration at a time, and pictures of how far it has come.

Training changes a network in place, so something has to hold it: a LiveRun. What is drawn is its Progress, a frozen
copy of what is known at a moment.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, cast

from torch import nn

from walkthrough.explorers.inputs import refuse_address
from walkthrough.explorers.pictures import Annotations
from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.predict import Detections, predict
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.protocol import Detector
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.running.diagnose import TrainingError
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.results import StepState
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.sources import OF_THE_DATASET, Source, settle_hyp
from yolo_lite.train.trainer import Trainer

LEAST_CONF = 0.01  # predictions below are not kept
SHAPES_SIZE, SHAPES_TRAIN, SHAPES_VAL, SHAPES_SEED = 160, 32, 16, 1  # seed 0 is what shapes-n has learnt from
SHAPES_HYP = Hyperparameters(box=0.1, obj=5.0, cls=4.0, mosaic=0.0, scale=0.2)  # gains for small images, few classes
SHAPES_OPTIONS = TrainOptions(
    epochs=20,
    batch_size=8,
    img_size=SHAPES_SIZE,
    nominal_batch=8,
    least_warmup=20,
    ema_decay=0.99,
    ema_tau=20.0,
    auto_anchors=False,
)


class Progress(NamedTuple):
    """What is known of a run at a moment. Plain numbers, and nothing that training still changes."""

    steps: tuple[StepState, ...]  # an entry per iteration; the parts of the loss as floats
    history: tuple[dict[str, float], ...]  # Trainer.history: a row per epoch
    changes: tuple[tuple[int, dict[str, float]], ...]  # iteration, and the hyperparameters changed before it
    schedule: Schedule
    found: tuple[Detections, ...]  # in each fixed image, by the averaged weights, from LEAST_CONF on
    running: bool
    over: bool  # nothing more is to come
    trouble: str  # why it cannot go on, where that is the reason

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the loss's parts, without the total."""
        return self.steps[0].parts._fields[1:] if self.steps else ()


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a run is made of, so that the same one can begin again."""

    model: nn.Module  # as it was given; each run trains a copy
    train: Source
    val: Source | None
    hyp: Hyperparameters
    options: TrainOptions

    def begin(self) -> "LiveRun":
        """A run that has not begun."""
        options = asdict(self.options)
        if isinstance(self.train, YoloDataset):  # it has decided these already
            options = {name: value for name, value in options.items() if name not in OF_THE_DATASET}
        return LiveRun(Trainer(copy.deepcopy(self.model), self.train, self.val, self.hyp, **options))


class LiveRun:
    """Drives a Trainer, and keeps the StepState of each iteration.

    >>> run = shapes_recipe(epochs=1).begin()
    >>> run.advance(), run.trainer.iteration, run.over
    (True, 1, False)
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.steps: list[StepState] = []
        self.over, self.trouble = False, ""
        self._iterations = trainer.steps()

    def advance(self) -> bool:
        """One iteration; False where none is left, or where the run cannot go on: trouble says why."""
        if self.over:
            return False
        try:
            step = next(self._iterations, None)
            self.over = step is None  # the Trainer saw no improvement for long
            if step is not None:
                self._keep(step)
                if len(self.steps) == self.trainer.schedule.iterations:
                    self.over = next(self._iterations, None) is None  # the last epoch's validation comes with it
        except TrainingError as problem:
            self.stop(str(problem))
        except BaseException:
            self.stop("The run was interrupted within an iteration, and cannot go on from there")
            raise
        return not self.trouble and step is not None

    def stop(self, trouble: str) -> None:
        """It cannot go on, and why."""
        self.over, self.trouble = True, trouble

    def change(self, hyp: Hyperparameters) -> None:
        """From the next iteration on, these hyperparameters: Trainer.change with what differs from those planned."""
        planned = asdict(self.trainer.first_hyp) | self.trainer.changed_by(self.trainer.iteration)
        changed = {name: value for name, value in asdict(hyp).items() if value != planned[name]}
        if changed:
            self.trainer.change(**changed)

    def progress(self, pictures: Annotations, running: bool = False) -> Progress:
        """How far it has come, and what the averaged weights find in the pictures."""
        trainer = self.trainer
        found: Sequence[Detections] = ()
        if all(tensor.isfinite().all() for tensor in trainer.ema.model.state_dict().values()):
            pixels = [picture.pixels for picture in pictures]
            found = predict(cast(Detector, trainer.ema.model), pixels, LEAST_CONF, img_size=trainer.options.img_size)
        changes = tuple((iteration, dict(values)) for iteration, values in sorted(trainer.changes.items()))
        history = tuple(dict(row) for row in trainer.history)
        shown = tuple(self.steps), history, changes, trainer.schedule, tuple(found)
        return Progress(*shown, running, self.over, self.trouble)

    def _keep(self, step: StepState) -> None:
        self.steps.append(step._replace(parts=type(step.parts)(*(part.item() for part in step.parts))))


def recipe_of(
    model: nn.Module | None = None,
    train: Source | None = None,
    val: Source | None = None,
    hyp: Hyperparameters | None = None,
    **options: Any,
) -> Recipe:
    """What the reader gave, completed; without data, the embedded shapes. The fields of TrainOptions are options.

    Raises:
        ValueError: what cannot be trained together, in a sentence.
    """
    refuse_address("train", train)
    refuse_address("val", val)
    if train is None:
        return shapes_recipe(model, val, hyp, **options)
    settled = TrainOptions(epochs=SHAPES_OPTIONS.epochs, batch_size=SHAPES_OPTIONS.batch_size).replace(**options)
    if model is None:
        known = train if isinstance(train, YoloDataset) else YoloDataset(train, img_size=settled.img_size)
        model = create_model("yolov5n", names=known.names, seed=settled.seed)
    return Recipe(copy.deepcopy(model), train, val, settle_hyp(hyp, None, train), settled)


def shapes_recipe(
    model: nn.Module | None = None, val: Source | None = None, hyp: Hyperparameters | None = None, **options: Any
) -> Recipe:
    """A few small scenes, and the network "shapes-n" without its last layer, which has to be learnt again.

    So there is something to see after seconds: its other layers know already what a shape looks like.
    """
    settled, hyp = SHAPES_OPTIONS.replace(**options), hyp or SHAPES_HYP
    if model is None:
        model = cast(Yolo, load("shapes-n"))
        fresh = cast(Yolo, create_model("yolov5n", names=model.names, seed=settled.seed))
        model.detect.load_state_dict(fresh.detect.state_dict())
    size, seed = settled.img_size, settled.seed
    scenes = Shapes("train", size, SHAPES_TRAIN, SHAPES_SEED)
    train = YoloDataset(scenes, size, hyp, augment=settled.augment, seed=seed, cache="ram")
    if val is None:
        val = YoloDataset(Shapes("val", size, SHAPES_VAL, SHAPES_SEED), size, hyp, seed=seed, cache="ram")
    return Recipe(copy.deepcopy(model), train, val, hyp, settled)
