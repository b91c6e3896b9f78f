"""Why an error happened, in the terms of the model: who predicted it, what it said, and where the right box was lost.

Shape letters: n predictions of a picture in the order of ``decode``, C classes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.nms.suppression import iou_word
from walkthrough.explorers.own_settings import level_name
from walkthrough.explorers.pictures import Annotated
from walkthrough.explorers.why.reading import Assigned, Box, Judged, as_box, class_scores, says_objectness
from walkthrough.scene import counted
from walkthrough.show import class_name
from yolo_lite.analysis.errors import CORRECT, KINDS, Kind
from yolo_lite.boxes import box_iou, xywh_to_xyxy
from yolo_lite.detect.nms import KEPT
from yolo_lite.loss.criterion import IGNORED, POSITIVE

CELL, FIELD, LABEL, BEST, OTHER = "cell", "field", "label", "best", "other"  # marks that facts are about
WORDS: dict[str, str] = {  # what the page calls TIDE's kinds
    "classification": "wrong class",
    "localization": "badly placed",
    "both": "class and place",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed",
}


class Error(NamedTuple):
    """A row of the table of errors."""

    kind: Kind
    detection: int  # -1 of a miss
    label: int  # -1 of background
    box: Box
    cls: int


class Told(NamedTuple):
    """What one prediction said about an object of a class, and what became of it."""

    prediction: int
    box: Box
    objectness: float
    score: float  # of the class: objectness * class score
    iou: float  # with the label
    stage: str  # where it was lost: "confidence", "class", "suppressed", "never reached" or "kept"
    by: int  # the detection that suppressed it; -1
    words: str


class Fact(NamedTuple):
    """A line of the reason; ref: of the mark in the picture that it is about."""

    what: str
    value: str
    ref: str = ""


@dataclass(frozen=True, eq=False)
class Reason:
    """Why one error happened."""

    sentence: str
    facts: tuple[Fact, ...]
    best: Told | None  # the best prediction of the label's class for it
    responsible: tuple[Told, ...]  # the predictions that are matched to the label
    prediction: int  # the one that the error, or the best box of a miss, comes from; -1 of none
    other: Box | None  # the box that suppressed it, or that found the label before
    unknown: str  # why it is not known which cells are responsible


class Case(NamedTuple):
    """A picture as the reasons need it."""

    picture: Annotated
    names: tuple[str, ...]
    decoded: Tensor  # (n, 5 + C)
    judged: Judged
    assigned: Assigned | str
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]  # width and height of each level's; () of none
    foreground: float

    def name(self, cls: int) -> str:
        return class_name(cls, self.names)

    def label_box(self, label: int) -> Box:
        return as_box(self.picture.boxes[label][:4])

    def label_cls(self, label: int) -> int:
        return int(self.picture.boxes[label][4])

    def prediction_of(self, detection: int) -> int:
        """The row of decode that a detection comes from."""
        return int(self.judged.decided.found.row[self.judged.decided.kept[detection]])


def listed_errors(picture: Annotated, judged: Judged) -> tuple[Error, ...]:
    """The errors of a picture: those of detections, the surest first, then what was missed."""
    errors, rows, listed = judged.errors, judged.detections, []
    for detection, kind in enumerate(errors.kinds.tolist()):
        if kind != CORRECT:
            box, cls = as_box(rows.xyxy[detection]), int(rows.cls[detection])
            listed.append(Error(kind, detection, int(errors.label[detection]), box, cls))
    for label in errors.of(KINDS[-1]).tolist():
        listed.append(Error("missed", -1, label, as_box(picture.boxes[label][:4]), int(picture.boxes[label][4])))
    return tuple(listed)


def told(case: Case, prediction: int, label: int, iou: float) -> Told:
    """What a prediction says of a label's class, and at which stage of non_max_suppression it was lost."""
    decided, cls = case.judged.decided, case.label_cls(label)
    scores, conf = class_scores(case.decoded[prediction, None])[0], decided.rule.conf_thres
    objectness, score, box = float(case.decoded[prediction, 4]), float(scores[cls]), _box_of(case, prediction)
    place = (decided.found.row == prediction).nonzero()[:, 0].tolist()
    if not place:
        low = "objectness" if objectness <= conf else "score"
        said = objectness if objectness <= conf else score
        words = f"{low} {_number(said, conf)} is not above conf_thres {conf:g}"
        return Told(prediction, box, objectness, score, iou, "confidence", -1, words)
    candidate = place[0]
    won, by = int(decided.found.cls[candidate]), int(decided.by[candidate])
    if won != cls:
        words = f"{case.name(won)} {float(scores[won]):.2f} won over {case.name(cls)} {score:.2f}"
        return Told(prediction, box, objectness, score, iou, "class", -1, words)
    if by == KEPT:
        return Told(prediction, box, objectness, score, iou, "kept", -1, "kept")
    if by < 0:
        words = f"never reached: {decided.rule.max_det} better ones were kept before"
        return Told(prediction, box, objectness, score, iou, "never reached", -1, words)
    limit = decided.rule.iou_thres
    overlap = float(box_iou(decided.found.xyxy[[candidate]], decided.found.xyxy[[by]]))
    winner = int((decided.kept == by).nonzero()[0, 0])
    words = (
        f"suppressed by the {case.name(int(decided.found.cls[by]))} of {float(decided.found.conf[by]):.2f}: "
        f"IoU {iou_word(overlap, limit)} > {limit:g}"
    )
    return Told(prediction, box, objectness, score, iou, "suppressed", winner, words)


def best_of(case: Case, label: int) -> tuple[Told | None, int]:
    """The surest prediction of a label's class among those that are placed well, and how many those are.

    Where none is placed well, the best placed one. None where there is no prediction.
    """
    if not len(case.decoded):
        return None, 0
    overlaps = box_iou(xywh_to_xyxy(case.decoded[:, :4]), torch.tensor([case.label_box(label)]))[:, 0]  # (n,)
    well = overlaps >= case.foreground
    scores = class_scores(case.decoded)[:, case.label_cls(label)]
    best = int(torch.where(well, scores, -1).argmax()) if well.any() else int(overlaps.argmax())
    return told(case, best, label, float(overlaps[best])), int(well.sum())


def reason_of(case: Case, error: Error) -> Reason:
    """Why an error happened."""
    best, well = best_of(case, error.label) if error.label >= 0 else (None, 0)
    prediction = case.prediction_of(error.detection) if error.detection >= 0 else best.prediction if best else -1
    other = _other_box(case, error, best)
    facts = [*_origin(case, prediction, error), *_verdict(case, error, best, well)]
    responsible: tuple[Told, ...] = ()
    if error.label >= 0 and isinstance(case.assigned, Assigned):
        rows = case.assigned.responsible_for(error.label)
        overlaps = box_iou(xywh_to_xyxy(case.decoded[rows, :4]), torch.tensor([case.label_box(error.label)]))[:, 0]
        responsible = tuple(told(case, row, error.label, iou) for row, iou in zip(rows, overlaps.tolist(), strict=True))
    unknown = case.assigned if isinstance(case.assigned, str) else ""
    return Reason(_sentence(case, error, best, well), tuple(facts), best, responsible, prediction, other, unknown)


def cell_ref(case: Case, prediction: int) -> str:
    """What a prediction's cell is called in the picture and in tables."""
    if isinstance(case.assigned, str):
        return ""
    level, _, row, col = case.assigned.cells[prediction].tolist()
    return f"cell {level} {row} {col}"


def level_words(case: Case, prediction: int) -> str:
    """The level of a prediction; "" where it is not known."""
    if isinstance(case.assigned, str) or prediction < 0:
        return ""
    return level_name(case.strides[int(case.assigned.cells[prediction, 0])])


def place_words(case: Case, prediction: int) -> str:
    """Level, cell and anchor of a prediction; "" where they are not known."""
    if isinstance(case.assigned, str) or prediction < 0:
        return ""
    level, anchor, row, col = case.assigned.cells[prediction].tolist()
    size = ""
    if level < len(case.anchors) and anchor < len(case.anchors[level]):
        size = ", anchor {:g} x {:g}".format(*case.anchors[level][anchor])
    return f"{level_words(case, prediction)}, row {row}, column {col}{size}"


def _origin(case: Case, prediction: int, error: Error) -> list[Fact]:
    """Who predicted it, what it said, and what training would ask of it."""
    if prediction < 0:
        return []
    scores = case.decoded[prediction, 5:]  # (C,)
    first = scores.argsort(descending=True, stable=True)[:2].tolist()
    said = ", ".join(f"{case.name(cls)} {float(scores[cls]):.2f}" for cls in first)
    if says_objectness(case.decoded):
        said = f"objectness {float(case.decoded[prediction, 4]):.2f}; {said}"
    whose = "predicted by" if error.detection >= 0 else "best prediction from"
    facts = [Fact(whose, place_words(case, prediction) or "not known", CELL), Fact("it said", said, CELL)]
    if isinstance(case.assigned, Assigned):
        facts.append(Fact("training asks of it", _asked(case, prediction), LABEL))
    return facts


def _asked(case: Case, prediction: int) -> str:
    assert isinstance(case.assigned, Assigned)
    role, target = int(case.assigned.role[prediction]), int(case.assigned.target[prediction])
    if role == POSITIVE:
        return f"{case.name(case.label_cls(target))}: it is matched to label {target}"
    return "nothing: it is ignored" if role == IGNORED else "no object: it is matched to no label"


def _verdict(case: Case, error: Error, best: Told | None, well: int) -> list[Fact]:
    """How it compares with the labels, which threshold would have removed it, and the best box of its label."""
    facts, errors = list[Fact](), case.judged.errors
    if error.detection >= 0:
        conf, iou = float(case.judged.detections.conf[error.detection]), float(errors.iou[error.detection])
        against = f"label {error.label}, {case.name(case.label_cls(error.label))}" if error.label >= 0 else "any label"
        facts.append(Fact("largest IoU" if error.label < 0 else "IoU", f"{iou:.2f} with {against}", LABEL))
        facts.append(Fact("removed by", f"conf_thres from {conf:.2f} on"))
    if error.kind == "localization":
        facts.append(Fact("off by", _offset(error.box, case.label_box(error.label)), LABEL))
    if best is not None and error.kind != "duplicate":
        count = f"{well} placed well; the surest of its class" if well else "none placed well; the best placed"
        facts.append(Fact(f"for label {error.label}", f"{count}: IoU {best.iou:.2f}, score {best.score:.2g}", BEST))
        facts.append(Fact("where it was lost", _lost(case, error, best), OTHER if best.by >= 0 else BEST))
    return facts


def _lost(case: Case, error: Error, best: Told) -> str:
    if best.stage != "kept":
        return best.words
    detection = int((case.judged.decided.found.row[case.judged.decided.kept] == best.prediction).nonzero()[0, 0])
    if detection == error.detection:
        return "it is this box"
    other = int(case.judged.errors.label[detection])
    about = f"it counts for label {other}, which it overlaps more" if other not in (-1, error.label) else "kept"
    return f"kept, and {about}" if about != "kept" else "kept: it is another of the errors"


def _offset(box: Box, label: Box) -> str:
    """How far the centre is off, in pixels, and the sides as fractions of the label's."""
    (x1, y1, x2, y2), (tx1, ty1, tx2, ty2) = box, label
    right, down = (x1 + x2 - tx1 - tx2) / 2, (y1 + y2 - ty1 - ty2) / 2
    return (
        f"{abs(right):.0f} px {'right' if right >= 0 else 'left'}, {abs(down):.0f} px {'down' if down >= 0 else 'up'}; "
        f"{(x2 - x1) / max(tx2 - tx1, 1e-6):.2f} x as wide, {(y2 - y1) / max(ty2 - ty1, 1e-6):.2f} x as high"
    )


def _other_box(case: Case, error: Error, best: Told | None) -> Box | None:
    rows = case.judged.detections.xyxy
    if error.kind == "duplicate":
        return as_box(rows[int(case.judged.errors.found_by[error.label])])
    return as_box(rows[best.by]) if best is not None and best.by >= 0 else None


def _sentence(case: Case, error: Error, best: Told | None, well: int) -> str:
    """The reason in one sentence."""
    rule, name = case.judged.decided.rule, case.name(error.cls)
    iou = float(case.judged.errors.iou[error.detection]) if error.detection >= 0 else 0.0
    if error.kind == "missed":
        if best is None:
            return f"Missed {name}: there is no prediction at all."
        if not well:
            return f"Missed {name}: no prediction overlaps it by {case.foreground:g}, the best by {best.iou:.2f}."
        placed, lost = counted(well, "well-placed prediction"), _lost(case, error, best)
        return f"Missed {name}: of {placed} the surest was lost: {lost}."
    if error.kind == "duplicate":
        first = int(case.judged.errors.found_by[error.label])
        both = torch.from_numpy(case.judged.detections.xyxy[[first, error.detection]])
        overlap = iou_word(float(box_iou(both[:1], both[1:])), rule.iou_thres)
        return (
            f"Duplicate {name}: a surer box found label {error.label} already, and as the two overlap by {overlap}, "
            f"not above iou_thres {rule.iou_thres:g}, suppression kept both."
        )
    if error.kind == "classification":
        right = case.label_cls(error.label)
        said = case.decoded[case.prediction_of(error.detection), 5:]
        return (
            f"Wrong class: placed on a {case.name(right)} (IoU {iou:.2f}), it says {name} {float(said[error.cls]):.2f} "
            f"over {case.name(right)} {float(said[right]):.2f}."
        )
    if error.kind == "localization":
        placed = f"Badly placed {name}: IoU {iou:.2f} with its label, {case.foreground:g} needed"
        if best is None or not well or best.stage == "kept":
            return f"{placed}."
        return f"{placed}; a box with IoU {best.iou:.2f} was lost: {best.words}."
    if error.kind == "both":
        return f"Class and place are wrong: it says {name}, and overlaps a {_near(case, error)} by {iou:.2f}."
    overlap = f"no label by more than {iou:.2f}" if iou >= 0.005 else "no label"
    return f"Background: it says {name}, and overlaps {overlap}."


def _near(case: Case, error: Error) -> str:
    return case.name(case.label_cls(error.label))


def _box_of(case: Case, prediction: int) -> Box:
    return as_box(xywh_to_xyxy(case.decoded[prediction, :4][None])[0])


def _number(value: float, limit: float) -> str:
    """Two digits, or more where those would equal the limit.

    >>> _number(0.2496, 0.25), _number(0.0004, 0.25)
    ('0.2496', '0.0004')
    """
    return f"{value:.2g}" if value < 0.1 else iou_word(value, limit)


def anchors_of(model: Any) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Width and height of the anchors of each level, in pixels; () of a model without."""
    anchors = getattr(model, "anchors", None)
    if not isinstance(anchors, Tensor) or anchors.ndim != 3 or anchors.shape[2] != 2:
        return ()
    return tuple(tuple((float(width), float(height)) for width, height in level) for level in anchors.tolist())
