"""What LiveTraining computes: losses, learning rates and detections of a run's progress, as they are drawn."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from walkthrough.explorers.controls import Boxes, boxes, choice, given, slider
from walkthrough.explorers.hyp import hyp_of
from walkthrough.explorers.pictures import CLASS_OF_DRAWN, HOW_TO_DRAW, Annotations
from walkthrough.explorers.training.live_run import LEAST_CONF, SHAPES_HYP, LiveRun, Progress, Recipe
from walkthrough.show import class_name
from yolo_lite.detect.predict import Detections
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.schedule import Rates

MOST_PLANNED = 200  # iterations to come whose learning rates are asked for
MEMORY = 0.8  # of the smoothed line: the weight of what was before


@dataclass(frozen=True)
class State:
    """The settings that a run accepts while it runs, and what is looked at."""

    box: float = slider(
        SHAPES_HYP.box,
        0,
        lambda s: max(20.0, s.hyp.box),
        0.01,
        group="loss",
        help="factor of the box loss: places and sizes are learned faster",
    )
    obj: float = slider(
        SHAPES_HYP.obj,
        0,
        lambda s: max(50.0, s.hyp.obj),
        0.01,
        group="loss",
        help="factor of the objectness loss: whether there is an object",
    )
    cls: float = slider(
        SHAPES_HYP.cls,
        0,
        lambda s: max(50.0, s.hyp.cls),
        0.01,
        group="loss",
        help="factor of the class loss: which class it is",
    )
    lr0: float = slider(
        SHAPES_HYP.lr0,
        1e-5,
        10,
        1e-5,
        log=True,
        group="steps",
        help="how far a step goes after the warm-up: too far, and the loss explodes",
    )
    momentum: float = slider(
        SHAPES_HYP.momentum, 0, 0.999, 0.001, group="steps", help="how much of the last step goes on in the next one"
    )
    warmup_epochs: float = slider(
        SHAPES_HYP.warmup_epochs,
        0,
        20,
        0.5,
        group="steps",
        help="epochs in which the learning rate rises to lr0; 0: it is there at once",
    )
    conf_thres: float = slider(
        0.25,
        LEAST_CONF,
        0.95,
        0.01,
        group="look",
        help="boxes with a lower confidence are not drawn; training does not change",
    )
    redraw_every: int = slider(
        5, 1, 50, group="look", help="a new picture after this many iterations: fewer show more and take longer"
    )
    new_class: int = choice(
        0,
        lambda s: {class_name(cls, s.names): cls for cls in range(max(len(s.names), 1))},
        label="class of a drawn box",
        help=CLASS_OF_DRAWN,
        group="look",
        linked=False,
    )
    objects: Boxes = boxes(help=f"labels of the last image: {HOW_TO_DRAW}")
    hyp: Hyperparameters = given(SHAPES_HYP)  # of the start; what no slider stands for stays as it is
    pictures: Annotations = given(())
    names: tuple[str, ...] = given(())
    recipe: Recipe | None = given()
    run: LiveRun | None = given()
    progress: Progress | None = given()


def moving_mean(values: np.ndarray, memory: float = MEMORY) -> np.ndarray:
    """Exponential moving mean, each value with the same weight at the start (bias-corrected as in Adam).

    >>> moving_mean(np.array([2.0, 2.0, 2.0]))
    array([2., 2., 2.])
    """
    mean, weight, means = 0.0, 0.0, np.empty(len(values))
    for place, value in enumerate(values):
        mean, weight = memory * mean + (1 - memory) * value, memory * weight + (1 - memory)
        means[place] = mean / weight
    return means


def above(detections: Detections, conf_thres: float) -> Detections:
    """What predict would have returned with this threshold: boxes below it have suppressed none above it."""
    kept = detections.conf > conf_thres
    return Detections(detections.xyxy[kept], detections.conf[kept], detections.cls[kept], detections.names)


class Result(NamedTuple):
    """A run so far, as it is drawn."""

    progress: Progress
    losses: dict[str, np.ndarray]  # (iterations,) each part
    smoothed: dict[str, np.ndarray]  # the same as a moving mean
    ahead: tuple[tuple[int, Rates], ...]  # what the schedule plans for iterations to come
    pictures: Annotations
    found: tuple[Detections, ...]  # in each picture, from conf_thres on
    names: tuple[str, ...]
    new_class: int  # of a box that is drawn on the last picture


def compute(state: State) -> Result:
    """What is drawn of a run's progress. Pure: the run itself is not asked."""
    progress = state.progress
    if progress is None:
        raise ValueError("there is no run")
    rows = np.array([tuple(step.parts)[1:] for step in progress.steps]).reshape(
        len(progress.steps), len(progress.parts)
    )
    losses = dict(zip(progress.parts, rows.T, strict=True))
    smoothed = {name: moving_mean(values) for name, values in losses.items()}
    schedule = replace(progress.schedule, hyp=hyp_of(state, progress.schedule.hyp))
    places = np.linspace(len(progress.steps), schedule.iterations - 1, MOST_PLANNED)
    coming = sorted({int(place) for place in places if place >= len(progress.steps)})
    ahead = tuple((place, schedule.at(place)) for place in coming)
    found = tuple(above(detections, state.conf_thres) for detections in progress.found)
    return Result(progress, losses, smoothed, ahead, state.pictures, found, state.names, state.new_class)
