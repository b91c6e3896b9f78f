"""What WhyExplorer computes: the errors in the shown picture, why the chosen one happened, and what each kind costs."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from walkthrough.explorers.controls import given, point, slider
from walkthrough.explorers.detector import DetectorState
from walkthrough.explorers.nms.thresholds import ThresholdState
from walkthrough.explorers.pictures import Annotated
from walkthrough.explorers.why.reading import Assigned, Box, Judged, Passes
from walkthrough.explorers.why.reasons import Case, Error, Reason, anchors_of, listed_errors, reason_of
from yolo_lite.analysis.costs import ErrorCosts, error_costs
from yolo_lite.analysis.errors import BACKGROUND, FOREGROUND
from yolo_lite.data.dataset import YoloDataset


def _length(state: "State") -> int:
    return len(state.dataset) if state.dataset is not None else 1


@dataclass(frozen=True)
class State(ThresholdState, DetectorState):
    """The thresholds of prediction and of errors, and the error that is asked about."""

    index: int = slider(
        0,
        0,
        lambda state: _length(state) - 1,
        label="image of the dataset",
        help="which image of the dataset is shown; sixteen are in memory at a time",
        heavy=True,
        linked=False,
        shown=lambda state: _length(state) > 1,
    )
    foreground: float = slider(
        FOREGROUND, 0.05, 1, label="well placed from IoU", help="from this IoU with a label on, a box is placed well"
    )
    background: float = slider(
        BACKGROUND,
        0.01,
        lambda state: state.foreground,
        label="background below IoU",
        help="below this IoU with every label, a box lies on background",
    )
    chosen: tuple[float, float] | None = point(help="click an error in the picture or in the table")
    passes: Passes | None = given()
    dataset: YoloDataset | None = given()
    whole: ErrorCosts | None = given()  # of all images of the dataset, at evaluation's thresholds

    def judged(self, picture: Annotated) -> Judged:
        """The errors in a picture."""
        if self.passes is None:
            raise ValueError("there is no model")
        return self.passes.judged(picture, self.rule, self.foreground, min(self.background, self.foreground))


class Seen(NamedTuple):
    """The cell that a prediction comes from, and what it can see."""

    cell: Box  # in pixels
    box: Box | None  # its receptive field; None: not known
    heard: np.ndarray | None  # (H, W) bool, its effective receptive field
    words: str


@dataclass(frozen=True, eq=False)
class Result:
    """The shown picture and its errors."""

    picture: Annotated
    names: tuple[str, ...]
    judged: Judged
    errors: tuple[Error, ...]
    chosen: int  # of the errors; -1 where there is none
    reason: Reason | None
    case: Case
    pictures: int  # how many the costs are about
    new_class: int
    whole: ErrorCosts | None
    seen: Seen | None = None  # of the reason's prediction; None: not computed yet, or not known
    costs: ErrorCosts | None = None  # over the pictures in memory; None: not computed yet, or no labels
    is_finished: bool = False

    @property
    def error(self) -> Error | None:
        """The chosen one."""
        return self.errors[self.chosen] if self.chosen >= 0 else None


def compute(state: State) -> Result:
    """The errors in the shown picture, and why the chosen one happened."""
    if not state.pictures or state.passes is None:
        raise ValueError("there is no picture")
    picture, judged = state.shown, state.judged(state.shown)
    errors = listed_errors(picture, judged)
    chosen = 0 if state.chosen is None else int(state.chosen[0])
    chosen = chosen if 0 <= chosen < len(errors) else len(errors) - 1
    case = Case(
        picture,
        state.names,
        state.passes.decoded(picture),
        judged,
        state.passes.assigned(picture),
        tuple(int(stride) for stride in state.model.strides),
        anchors_of(state.model),
        state.foreground,
    )
    reason = reason_of(case, errors[chosen]) if chosen >= 0 else None
    count = len(state.pictures)
    return Result(picture, state.names, judged, errors, chosen, reason, case, count, state.new_class, state.whole)


def finish(state: State, result: Result) -> Result:
    """What takes longer added: the costs over all pictures in memory, and what the cell can see."""
    found = [state.judged(picture).detections for picture in state.pictures]
    costs = None
    if any(len(image.labels) for image in found):
        costs = error_costs(found, state.foreground, min(state.background, state.foreground))
    return replace(result, costs=costs, seen=_seen(state, result), is_finished=True)


def _seen(state: State, result: Result) -> Seen | None:
    reason, assigned = result.reason, result.case.assigned
    if reason is None or reason.prediction < 0 or not isinstance(assigned, Assigned) or state.passes is None:
        return None
    level, _, row, col = assigned.cells[reason.prediction].tolist()
    rows, cols = assigned.grid(level)
    height, width = result.picture.size
    cell = (col * width / cols, row * height / rows, (col + 1) * width / cols, (row + 1) * height / rows)
    seen = state.passes.seen(result.picture, (rows, cols), row, col)
    if seen is None:
        return Seen(cell, None, None, "not known: the layers of this model could not be followed")
    box, heard = seen
    x1, y1, x2, y2 = box
    words = "the whole picture" if box == (0, 0, width, height) else f"x {x1:g} to {x2:g}, y {y1:g} to {y2:g}"
    side = float(heard.sum()) ** 0.5
    return Seen(cell, box, heard, f"{words}; it listens to about {side:.0f} x {side:.0f} pixels (lit)")


def shown_error(state: State, kind: str) -> dict[str, Any]:
    """The settings that show the first error of a kind among the pictures in memory; {} where there is none."""
    for place, picture in enumerate(state.pictures):
        errors = listed_errors(picture, state.judged(picture))
        chosen = next((number for number, error in enumerate(errors) if error.kind == kind), None)
        if chosen is not None:
            return {"picture": place, "chosen": (float(chosen),)}
    return {}
