"""What ScheduleExplorer computes: the optimiser's parameter groups at one iteration, and its steps in the whole run."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from torch import nn

from walkthrough.explorers.controls import choice, given, number, slider, toggle
from walkthrough.explorers.hyp import hyp_of
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.optim import OptimizerName, apply_rates, create_optimizer
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.schedule import Rates, Schedule

LONGEST_COUNT = 200_000  # iterations of warm-up in which steps are counted one by one: that takes 0.2 s


@dataclass(frozen=True)
class State:
    """A run and its schedule; names and defaults are those of TrainOptions and Hyperparameters."""

    iteration: int = slider(
        0,
        0,
        lambda state: state.schedule.iterations - 1,
        group="look",
        help="the moment of the run whose learning rates the table shows, and where the dotted line stands",
    )
    zoom: bool = toggle(
        False, label="warm-up only", group="look", help="the charts end where the warm-up ends, so that it is seen"
    )
    num_images: int = number(
        2000,
        1,
        2_000_000,
        label="training images",
        group="run",
        help="how many there are: with the batch size it gives the iterations of an epoch",
    )
    epochs: int = slider(
        30,
        1,
        1000,
        log=True,
        group="run",
        help="how often all images are seen; the learning rate falls over all of them",
    )
    batch_size: int = slider(16, 1, 512, log=True, group="run", help="images that are computed together: one iteration")
    nominal_batch: int = slider(
        TrainOptions.nominal_batch,
        1,
        1024,
        log=True,
        group="run",
        help="gradients of about this many images are added up before a step, however small the batches are",
    )
    optimizer: OptimizerName = choice(
        "SGD", ("SGD", "Adam", "AdamW", "RMSprop"), group="run", help="what makes a step of the gradients"
    )
    cosine: bool = choice(
        False,
        {"linear": False, "cosine": True},
        label="falls",
        group="learning rate",
        help="from lr0 to its end along a line, or along half a cosine: high for longer, then low for longer",
    )
    lr0: float = slider(
        Hyperparameters.lr0,
        1e-5,
        0.2,
        1e-5,
        log=True,
        group="learning rate",
        help="how far a step goes after the warm-up; from there it falls",
    )
    lrf: float = slider(
        Hyperparameters.lrf,
        0,
        1,
        0.005,
        group="learning rate",
        help="where the learning rate ends, as a fraction of lr0",
    )
    momentum: float = slider(
        Hyperparameters.momentum,
        0,
        0.999,
        0.001,
        group="learning rate",
        help="how much of the last step goes on in the next one: beta1 of Adam and AdamW",
    )
    weight_decay: float = slider(
        Hyperparameters.weight_decay,
        0,
        0.01,
        1e-5,
        group="learning rate",
    )
    warmup_epochs: float = slider(
        Hyperparameters.warmup_epochs,
        0,
        20,
        0.1,
        group="warm-up",
        help="how long the learning rates take from their start to lr0",
    )
    least_warmup: int = slider(
        TrainOptions.least_warmup,
        0,
        2000,
        group="warm-up",
        help="the warm-up lasts at least this many iterations, however short the epochs are",
    )
    warmup_bias_lr: float = slider(
        Hyperparameters.warmup_bias_lr,
        0,
        0.5,
        0.005,
        group="warm-up",
        help="where the learning rate of biases begins; that of weights begins at 0",
    )
    warmup_momentum: float = slider(
        Hyperparameters.warmup_momentum,
        0,
        0.999,
        0.001,
        group="warm-up",
    )
    hyp: Hyperparameters = given(Hyperparameters())  # what no slider stands for
    model: nn.Module = given()

    @property
    def schedule(self) -> Schedule:
        """What the Trainer would make of these settings."""
        return Schedule(
            hyp_of(self, self.hyp),
            self.epochs,
            -(-self.num_images // self.batch_size),
            self.batch_size,
            self.nominal_batch,
            self.cosine,
            self.least_warmup,
        )


class Group(NamedTuple):
    """A parameter group of the optimiser at the chosen iteration, as apply_rates left it."""

    name: str
    tensors: int
    parameters: int
    lr: float
    momentum: float  # beta1 of Adam and AdamW
    weight_decay: float


class Result(NamedTuple):
    """The optimiser's settings at an iteration, and the whole schedule."""

    schedule: Schedule
    optimizer: str
    iteration: int
    rates: Rates  # of that iteration
    groups: tuple[Group, ...]
    steps: int | None  # of the optimiser in the whole run; None: too many to count
    zoom: bool


def compute(state: State) -> Result:
    """Makes the optimiser that training would make, and sets it as training would."""
    schedule = state.schedule
    rates = schedule.at(state.iteration)
    optimizer = create_optimizer(state.model, schedule.hyp, state.optimizer, schedule.scaled_weight_decay)
    apply_rates(optimizer, rates)
    groups = tuple(
        Group(
            group["name"],
            len(group["params"]),
            sum(parameter.numel() for parameter in group["params"]),
            group["lr"],
            group["momentum"] if "momentum" in group else group["betas"][0],
            group["weight_decay"],
        )
        for group in optimizer.param_groups
    )
    pace = replace(schedule, hyp=Hyperparameters(warmup_epochs=schedule.hyp.warmup_epochs), cosine=False)
    steps = count_steps(pace)  # without the learning rates, on which it does not depend: they are what is dragged
    return Result(schedule, state.optimizer, state.iteration, rates, groups, steps, state.zoom)


@lru_cache(maxsize=32)
def count_steps(schedule: Schedule) -> int | None:
    """How many of the iterations end in a step of the optimiser; None where counting would take long.

    After warm-up, steps come at equal distances, so that only those before have to be walked through.

    >>> count_steps(Schedule(Hyperparameters(), epochs=10, batches=25, batch_size=16))
    86
    """
    warm = schedule.warmup_iterations
    if min(warm, schedule.iterations) > LONGEST_COUNT:
        return None
    count = 0
    for step in schedule.steps():
        count += 1
        if step > warm:
            return count + (schedule.iterations - 1 - step) // schedule.accumulate
    return count
