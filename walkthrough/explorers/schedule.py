"""ScheduleExplorer: what the optimiser is told over a run, and what each setting of the schedule does to it."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

from torch import nn

from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import choice, given, number, slider, toggle
from walkthrough.explorers.hyp import checked_hyp, hyp_code, hyp_of, hyp_settings, with_hyp
from walkthrough.explorers.inputs import opened_model
from walkthrough.run import show_schedule
from walkthrough.scene import Chart, Scene, Table, counted
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train.optim import Rates, Schedule, apply_rates, create_optimizer
from yolo_lite.train.options import TrainOptions

LONGEST_COUNT = 200_000  # iterations of warm-up in which steps are counted one by one: that takes 0.2 s
BEYOND = 1.25  # the zoom shows the warm-up and a quarter of it more


@dataclass(frozen=True)
class State:
    """A run and its schedule; names and defaults are those of TrainOptions and Hyperparameters."""

    iteration: int = slider(
        0, 0, lambda state: state.schedule.iterations - 1, group="look", help="what the table tells"
    )
    zoom: bool = toggle(False, label="warm-up only", group="look")
    num_images: int = number(2000, 1, 2_000_000, label="training images", group="run")
    epochs: int = slider(30, 1, 1000, log=True, group="run")
    batch_size: int = slider(16, 1, 512, log=True, group="run")
    nominal_batch: int = slider(
        TrainOptions.nominal_batch, 1, 1024, log=True, group="run", help="images whose gradients make one step"
    )
    optimizer: str = choice("SGD", ("SGD", "Adam", "AdamW", "RMSprop"), group="run")
    cosine: bool = choice(False, {"linear": False, "cosine": True}, label="falls", group="rate")
    lr0: float = slider(Hyperparameters.lr0, 1e-5, 0.2, 1e-5, log=True, group="rate", help="rate after warm-up")
    lrf: float = slider(Hyperparameters.lrf, 0, 1, 0.005, group="rate", help="last rate, as a share of lr0")
    momentum: float = slider(Hyperparameters.momentum, 0, 0.999, 0.001, group="rate")
    weight_decay: float = slider(Hyperparameters.weight_decay, 0, 0.01, 1e-5, group="rate")
    warmup_epochs: float = slider(Hyperparameters.warmup_epochs, 0, 20, 0.1, group="warm-up")
    least_warmup: int = slider(
        TrainOptions.least_warmup, 0, 2000, group="warm-up", help="iterations, however short the epochs are"
    )
    warmup_bias_lr: float = slider(Hyperparameters.warmup_bias_lr, 0, 0.5, 0.005, group="warm-up")
    warmup_momentum: float = slider(Hyperparameters.warmup_momentum, 0, 0.999, 0.001, group="warm-up")
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


class Told(NamedTuple):
    """What the optimiser is told."""

    schedule: Schedule
    optimizer: str
    iteration: int
    rates: Rates  # of that iteration
    groups: tuple[Group, ...]
    steps: int | None  # of the optimiser in the whole run; None: too many to count
    zoom: bool


class ScheduleExplorer(Explorer):
    """Rates, momentum and accumulation of each parameter group over a run.

    Args:
        hyp: hyperparameters to start from. schedule: a run's, ``trainer.schedule``.
        num_images: of the training set. model: whose parameters are grouped; left out: yolov5n.

    >>> w = ScheduleExplorer(num_images=400, epochs=10)
    >>> w.iteration = 101
    >>> w.result.rates
    Rates(bias_lr=0.00604, other_lr=0.00604, momentum=0.937, accumulate=4)
    """

    State = State
    title = "Schedule"

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

    @staticmethod
    def compute(state: State) -> Told:
        """Makes the optimiser that training would make, and tells it what training would tell it."""
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
        steps = count_steps(pace)  # without the rates, on which it does not depend: they are what is dragged
        return Told(schedule, state.optimizer, state.iteration, rates, groups, steps, state.zoom)

    @staticmethod
    def scene(result: Told) -> Scene:
        """The three charts of show_schedule with the chosen iteration marked, and a table of that moment."""
        schedule = result.schedule
        until = round(BEYOND * schedule.warmup_iterations) + 2 if result.zoom else None
        (lr,), (momentum, accumulation) = show_schedule(schedule, until).rows
        lr = replace(lr, title=f"learning rate, {result.optimizer}", caption=_warmup(schedule))
        accumulation = replace(accumulation, title="batches per step", caption=_steps(result))
        if result.groups[0].momentum != result.rates.momentum or result.optimizer.startswith("Adam"):
            momentum = _beta(momentum, result.groups[0].momentum)
        charts = [_marked(chart, result.iteration) for chart in (lr, momentum, accumulation)]
        return Scene((tuple(charts[:2]), (charts[2], _table(result))))

    def words(self) -> str:
        """The moment and the whole, in words."""
        told: Told = self.result
        rates = ", ".join(f"{group.name} {group.lr:.4g}" for group in told.groups)
        moment = f"{_moment(told)}: rates {rates}; momentum {told.groups[0].momentum:.4g}"
        batches = counted(told.rates.accumulate, "batch", "batches")
        return f"{moment}; a step after {batches}.\n{_warmup(told.schedule)}; {_steps(told)}"

    def as_code(self) -> str:
        """The hyperparameters, and the options of the Trainer."""
        options = {name: getattr(self.state, name) for name in ("epochs", "batch_size")}
        for name in ("optimizer", "cosine", "nominal_batch", "least_warmup"):
            if getattr(self.state, name) != getattr(TrainOptions, name):
                options[name] = getattr(self.state, name)
        told = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"{hyp_code(self.state.schedule.hyp)}\ntrainer = yl.Trainer(model, train, val, hyp, {told})"


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


def _warmup(schedule: Schedule) -> str:
    warm, batches = schedule.warmup_iterations, schedule.batches
    if not warm:
        return "no warm-up"
    if warm >= schedule.iterations:
        return f"warm-up takes {warm:,} iterations: the run is over after {schedule.iterations:,}, before it ends"
    return f"warm-up ends at iteration {warm:,} of {schedule.iterations:,}, in epoch {warm // batches + 1}"


def _steps(result: Told) -> str:
    schedule = result.schedule
    after = " after warm-up" if schedule.warmup_iterations else ""
    images = f"{schedule.batch_size * schedule.accumulate} images a step{after}"
    if result.steps is None:
        return f"{images}; the warm-up is too long to count the steps"
    return f"{result.steps:,} {'step' if result.steps == 1 else 'steps'} in all; {images}"


def _moment(result: Told) -> str:
    schedule = result.schedule
    epoch = result.iteration // schedule.batches + 1
    return f"iteration {result.iteration} of {schedule.iterations}, epoch {epoch} of {schedule.epochs}"


def _marked(chart: Chart, iteration: int) -> Chart:
    """The chart with an upright line at the iteration, if it lies within."""
    first, last = chart.marks[0].x[0], chart.marks[0].x[-1]
    chart = replace(chart, x_range=(first, last) if last > first else None)
    if not first <= iteration <= last:
        return chart
    caption = "; ".join(filter(None, (chart.caption, f"dotted: iteration {iteration}")))
    return replace(chart, upright=(float(iteration),), caption=caption)


def _beta(chart: Chart, beta: float) -> Chart:
    """Adam has no momentum to warm up: its beta1 stays."""
    (mark,) = chart.marks
    flat = replace(mark, name="beta1", y=(beta,) * len(mark.x))
    return replace(chart, marks=(flat,), title="beta1", caption="Adam's momentum: no warm-up", y_range=(0.0, 1.0))


def _table(result: Told) -> Table:
    momentum = "beta1" if result.optimizer.startswith("Adam") else "momentum"
    rows = tuple(
        (g.name, f"{g.parameters:,}", f"{g.lr:.4g}", f"{g.momentum:.4g}", f"{g.weight_decay:.3g}")
        for g in result.groups
    )
    batches = counted(result.rates.accumulate, "batch", "batches")
    columns = ("group", "parameters", "rate", momentum, "decay")
    return Table(columns, rows, _moment(result), f"a step after {batches}")
