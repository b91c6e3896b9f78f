"""What NmsExplorer computes: the steps of non_max_suppression for the shown picture, and the figures of all."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from walkthrough.explorers.controls import given, point, slider, toggle
from walkthrough.explorers.nms.suppression import (
    AT_IOU,
    Choice,
    Decided,
    Figures,
    Rule,
    choose,
    decide,
    decide_until,
    figures,
    recalls,
)
from walkthrough.explorers.nms.thresholds import ThresholdState, labels_of
from walkthrough.explorers.pictures import Annotated
from yolo_lite.detect.matching import match_detections


@dataclass(frozen=True)
class State(ThresholdState):
    """The arguments of non_max_suppression, and the box that is asked about."""

    multi_label: bool = toggle(
        False,
        label="several classes per box",
        help="a box counts once for each class above conf_thres, as in validation; off: for its best class",
    )
    max_det: int = slider(300, 1, 1000, help="of what is left, at most this many boxes are kept, the best first")
    step: int | None = slider(
        None,
        0,
        lambda state: state.steps,
        label="boxes kept",
        help="the best box that is left stays and removes those that overlap it, then the next: one after another",
        linked=False,
        plays=1.0,
    )
    chosen: tuple[float, float] | None = point(help="click a candidate: who suppressed it, or whom it did")
    detection: tuple[float, float] | None = point(help="click a kept box: whom it suppressed")
    model: Any = given()
    decoded: tuple[tuple[np.ndarray, Tensor], ...] = given(())  # pixels and boxes (n, 5 + C) of each picture

    @property
    def rule(self) -> Rule:
        """The arguments of non_max_suppression."""
        return Rule(self.conf_thres, self.iou_thres, self.agnostic, self.multi_label, self.max_det)

    @property
    def steps(self) -> int:
        """How many boxes of the shown picture are kept in the end."""
        boxes = self.boxes_of(self.shown) if self.pictures else None
        return 0 if boxes is None else len(decide(boxes, self.rule).kept)

    def boxes_of(self, picture: Annotated) -> Tensor | None:
        """The predictions (n, 5 + C) for a picture; None where there are none."""
        return next((boxes for pixels, boxes in self.decoded if pixels is picture.pixels), None)


@dataclass(frozen=True, eq=False)
class Result:
    """The shown picture, what was decided there, and the figures over all pictures before and after."""

    picture: Annotated
    names: tuple[str, ...]
    decided: Decided  # at the chosen step
    whole: Decided  # in the end
    step: int | None  # how many boxes are kept by then; None: all that ever will be
    correct: np.ndarray  # (k,) bool: which kept boxes found an object of the picture
    choice: Choice | None
    best: float  # highest score of all predictions, where there is no candidate
    pictures: int  # how many the figures are about
    new_class: int
    figures: tuple[Figures, Figures] | None = None  # of all candidates, of the kept boxes; None: not computed yet
    recalls: tuple[tuple[float, float], ...] = ()  # (recall, conf_thres) over all pictures, with the figures

    @property
    def before(self) -> Figures:
        """How well all candidates find the objects."""
        return _known(self.figures)[0]

    @property
    def after(self) -> Figures:
        """How well the kept boxes find the objects."""
        return _known(self.figures)[1]


def _known(figures: tuple[Figures, Figures] | None) -> tuple[Figures, Figures]:
    if figures is None:
        raise ValueError("the figures over all pictures are not computed yet: finish(state, result) adds them")
    return figures


def compute(state: State) -> Result:
    """The steps of non_max_suppression for the shown picture."""
    if not state.pictures:
        raise ValueError("there is no picture")
    boxes = state.boxes_of(state.shown)
    if boxes is None:
        raise ValueError(f"there are no predictions for {state.shown.name}: boxes= came without it, and no model")
    whole, labels = decide(boxes, state.rule), labels_of(state.shown)
    shown = whole if state.step is None else decide_until(boxes, state.rule, state.step)
    chosen = -1 if state.chosen is None else int(state.chosen[0])
    if state.step is not None:
        chosen = int(shown.kept[-1]) if len(shown.kept) else -1
    return Result(
        state.shown,
        state.names,
        shown,
        whole,
        state.step,
        match_detections(shown.detections, labels, AT_IOU)[:, 0],
        choose(shown, chosen) if 0 <= chosen < len(shown.by) else None,
        float((boxes[:, 4:5] * boxes[:, 5:]).max()) if len(boxes) and not len(shown.by) else 0.0,
        sum(state.boxes_of(picture) is not None for picture in state.pictures),
        state.new_class,
    )


def finish(state: State, result: Result) -> Result:
    """The figures over all pictures added, before and after suppression: pictures may be many."""
    pairs = [(boxes, picture) for picture in state.pictures if (boxes := state.boxes_of(picture)) is not None]
    decoded, labels = [boxes for boxes, _ in pairs], [labels_of(picture) for _, picture in pairs]
    decided = [decide(boxes, state.rule) for boxes in decoded]
    before, after = ([of.rows for of in decided], [of.detections for of in decided])
    found = (figures(before, labels), figures(after, labels))
    return replace(result, figures=found, recalls=tuple(recalls(decoded, labels, state.rule)))
