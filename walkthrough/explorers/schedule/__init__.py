"""ScheduleExplorer: learning rate, momentum and accumulation over a run, by the settings of the schedule."""

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from walkthrough._moved import moved_name
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.copying import model_lines
from walkthrough.explorers.hyp import checked_hyp, hyp_code, hyp_settings, with_hyp
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.schedule.scene import moment_in_words, scene_of, steps_in_words, takeaway_of, warmup_in_words
from walkthrough.explorers.schedule.state import Result, State, compute
from walkthrough.explorers.stage import Story
from walkthrough.scene import counted
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.schedule import Schedule

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0


class ScheduleExplorer(Explorer[State, Result]):
    """Learning rates, momentum and accumulation of each parameter group over a run.

    Args:
        hyp: hyperparameters to start from. schedule: a run's, ``trainer.schedule``.
        num_images: of the training set. model: whose parameters are grouped; left out: yolov5n.

    >>> w = ScheduleExplorer(num_images=400, epochs=10)
    >>> w.iteration = 101
    >>> w.result.rates
    Rates(bias_lr=0.00604, other_lr=0.00604, momentum=0.937, accumulate=4)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Schedule"
    part_of = "step"
    primary = "iteration"
    stories = (
        Story(
            "COCO from scratch",
            {"num_images": 118_287, "epochs": 300, "batch_size": 64},
            "warm-up is a thin edge at the left: three epochs of 300.",
        ),
        Story(
            "fine-tuning",
            {"num_images": 2000, "epochs": 30, "batch_size": 16, "lr0": 0.001, "cosine": True},
            "a tenth of the learning rate: what was learnt before is to stay.",
        ),
        Story(
            "tiny data",
            {"num_images": 40, "epochs": 30, "batch_size": 16},
            "least_warmup iterations, more than three epochs: the run may be over before warm-up is.",
        ),
    )

    @classmethod
    def prepare(
        cls, hyp: Hyperparameters | None = None, schedule: Schedule | None = None, model: Any = None
    ) -> dict[str, Any]:
        """See the class."""
        model = opened_model(model) if model is not None else create_model("yolov5n")
        if not isinstance(model, nn.Module):
            raise ValueError(f"model is a torch module, not {type(model).__name__}")
        if schedule is None:
            hyp = checked_hyp(hyp)
            return {"hyp": hyp, "model": model, **hyp_settings(hyp, State)}
        if not isinstance(schedule, Schedule):
            raise ValueError(f"schedule is a Schedule, as trainer.schedule is, not {type(schedule).__name__}")
        hyp = checked_hyp(hyp or schedule.hyp)
        named = {field.name for field in fields(State)} - {"hyp"}
        options = {name: value for name, value in vars(schedule).items() if name in named}
        run = {"num_images": schedule.batches * schedule.batch_size, **options}
        return {"hyp": hyp, "model": model, **run, **hyp_settings(hyp, State)}

    def settle(self, before: State, after: State) -> State:
        """A shorter run ends before the chosen iteration: its last one is shown."""
        if after.hyp is not before.hyp:
            after = with_hyp(before, after)
        return replace(after, iteration=min(after.iteration, after.schedule.iterations - 1))

    def words(self) -> str:
        """The moment and the whole, in words."""
        result = self.require()
        rates = ", ".join(f"{group.name} {group.lr:.4g}" for group in result.groups)
        moment = f"{moment_in_words(result)}: learning rates {rates}; momentum {result.groups[0].momentum:.4g}"
        batches = counted(result.rates.accumulate, "batch", "batches")
        return f"{moment}; a step after {batches}.\n{warmup_in_words(result.schedule)}; {steps_in_words(result)}"

    def cell_names(self) -> dict[str, str]:
        """Something to be trained, where the reader gave nothing."""
        known = self._given.get("model")
        untrained = 'model = yl.create_model("yolov5n", names=train.names)  # or your own'
        return super().cell_names() | {
            "model": untrained if known is None else model_lines(known, type(self).__name__),
            "train": 'train = yl.YoloDataset("shapes", img_size=160, augment=True)  # or your own',
            "val": 'val = yl.YoloDataset("shapes", img_size=160, split="val")  # or your own',
        }

    def as_code(self) -> str:
        """The hyperparameters, and the options of the Trainer."""
        options = {name: getattr(self.state, name) for name in ("epochs", "batch_size")}
        for name in ("optimizer", "cosine", "nominal_batch", "least_warmup"):
            if getattr(self.state, name) != getattr(TrainOptions, name):
                options[name] = getattr(self.state, name)
        named_options = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"{hyp_code(self.state.schedule.hyp)}\ntrainer = yl.Trainer(model, train, val, hyp, {named_options})"
