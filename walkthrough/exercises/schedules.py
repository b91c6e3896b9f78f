"""The exercise about training: how a run starts."""

from collections.abc import Iterator
from typing import Any

from walkthrough.charts import show_series
from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import case
from walkthrough.scene import Scene
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.schedule import Schedule

Pair = tuple[float, float]


def library_warm_up(iteration: int, last: int, lr: float, bias_start: float) -> Pair:
    """What ``Schedule.at`` says in a run that keeps lr from then on."""
    hyp = Hyperparameters(lr0=lr, lrf=1.0, warmup_epochs=float(last), warmup_bias_lr=bias_start)
    rates = Schedule(hyp, epochs=iteration + 1, batches=1, batch_size=16, least_warmup=1).at(iteration)
    return rates.bias_lr, rates.other_lr


def warm_up_cases() -> Iterator[Case]:
    """The first iterations of a run of YOLOv5: its start, half way, its end, after it; a run without a warm-up."""
    usual = {"last": 100, "lr": 0.01, "bias_start": 0.1}
    names = {0: "the first iteration", 50: "half way", 99: "the last but one", 100: "the last of 100 in the warm-up"}
    for iteration, name in (names | {101: "the first after it", 400: "long after it"}).items():
        yield case(f"iteration {iteration}, {name}", iteration=iteration, **usual)
    yield case("another run, iteration 7 of 30", iteration=7, last=30, lr=0.002, bias_start=0.05)
    yield case("a run without a warm-up", iteration=0, last=0, lr=0.01, bias_start=0.1)


def between(start: float, end: float, done: float) -> float:
    """On the straight line from start to end."""
    return start + (end - start) * done


def explain_warm_up(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """How far the warm-up is."""
    iteration, last, lr, bias_start = of.arguments.values()
    if iteration > last or last == 0:
        return f"The warm-up is over (iteration {iteration}, its last is {last}): both are lr = {lr:g}."
    return (
        f"Iteration {iteration} of {last}: {iteration / last:.0%} of the way. Biases go from {bias_start:g} to {lr:g}, "
        f"weights from 0 to {lr:g}: the library has {library[0]:.4g} and {library[1]:.4g}."
    )


def warm_up_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """Both curves from the first iteration on, yours and the library's."""
    _, last, lr, bias_start = of.arguments.values()
    iterations = list(range(0, max(last, 20) * 3 // 2, max(last // 50, 1)))
    curves: dict[str, list[float]] = {}
    for name, compute in (("the library's", library_warm_up), ("yours", function)):
        pairs = [compute(iteration, last, lr, bias_start) for iteration in iterations]
        for which, group in enumerate(("biases", "weights")):
            curves[f"{group}, {name}"] = [float(pair[which]) for pair in pairs]
    return show_series(curves, iterations, "biases and weights", "iteration", "lr")


def unbounded(iteration: int, last: int, lr: float, bias_start: float) -> Pair:
    """The straight lines go on and on."""
    done = iteration / max(last, 1)
    return between(bias_start, lr, done), between(0.0, lr, done)


def within(iteration: int, last: int, lr: float, bias: float, other: float, late: float = 0.0) -> Pair:
    """Straight lines from other starts, for mistakes that share this part."""
    done = min((iteration + late) / last, 1.0) if last else 1.0
    return between(bias, lr, done), between(other, lr, done)


WARM_UP = Exercise(
    "warm_up",
    "08_training_loop",
    "yolo_lite.train.schedule.Schedule.at",
    library_warm_up,
    warm_up_cases,
    (
        Mistake("the warm-up has no end: after its last iteration both are lr.", unbounded),
        Mistake(
            "both rise from 0: the biases start high, at bias_start, and fall.",
            lambda iteration, last, lr, bias_start: within(iteration, last, lr, 0.0, 0.0),
        ),
        Mistake(
            "both start at bias_start: the weights start at 0.",
            lambda iteration, last, lr, bias_start: within(iteration, last, lr, bias_start, bias_start),
        ),
        Mistake(
            "one iteration too early: iteration 0 is the start, iteration / last of the way is done.",
            lambda iteration, last, lr, bias_start: within(iteration, last, lr, bias_start, 0.0, 1.0),
        ),
        Mistake(
            "the two exchanged: the biases come first.",
            lambda iteration, last, lr, bias_start: within(iteration, last, lr, 0.0, bias_start),
        ),
    ),
    rtol=1e-9,
    atol=1e-12,
    because="a few operations in double precision",
    outputs=("bias_lr", "other_lr"),
    explain=explain_warm_up,
    scene=warm_up_scene,
)

ALL = (WARM_UP,)
