"""The picture of WhyExplorer: errors by kind, why the chosen one happened, what each kind costs."""

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np

from walkthrough.explorers.nms.thresholds import found_in_words
from walkthrough.explorers.why.reading import Assigned
from walkthrough.explorers.why.reasons import (
    BEST,
    CELL,
    FIELD,
    LABEL,
    OTHER,
    WORDS,
    Error,
    Fact,
    Reason,
    Told,
    cell_ref,
    level_words,
    place_words,
)
from walkthrough.explorers.why.state import Result
from walkthrough.images import faded
from walkthrough.scene import Bars, Boxes, Cells, Chart, Key, Layer, More, Panel, Picture, Scene, Table, counted
from walkthrough.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, faint
from yolo_lite.analysis.costs import ErrorCosts
from yolo_lite.analysis.errors import CORRECT, KINDS

# Okabe and Ito's, one for each kind; the label of a box says its kind in words too
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "classification": PURPLE,
        "localization": ORANGE,
        "both": YELLOW,
        "duplicate": SKY,
        "background": BLUE,
        "missed": VERMILLION,
        CORRECT: GREEN,
    }
)
MOST_LABELS, MOST_ROWS, MOST_DRAWN, MOST_CELLS = 15, 12, 300, 9
LEGEND = (
    Key("label", "object", dash="dashed"),
    Key("correct", GREEN, dash="solid"),
    *(Key(WORDS[kind], COLOURS[kind], dash="solid") for kind in KINDS),
    Key("cell that predicted it", "own"),
    Key("cell matched to the label", "neighbour", hatch="/"),
    Key("best prediction", GREEN, dash="dotted"),
)
HOLD = 364  # CSS pixels of the two pictures: the legend has two lines
NEAR = 9  # pixels around one that is listened to, lit with it


def scene_of(result: Result) -> Scene:
    """All of it as data."""
    more = (
        More("all errors, and the facts of this one", lambda: ((_table(result), _facts(result)),)),
        More("the cells that are responsible", lambda: ((_responsible(result),),)),
        More("what each kind costs", lambda: ((_costs(result),),)),
    )
    return Scene(((_errors(result), _close_up(result)),), LEGEND, _found(result), more, hold=HOLD)


def _is_lost(reason: Reason) -> bool:
    """Whether the best prediction for the label is not among the boxes that were kept."""
    return reason.best is not None and reason.best.stage != "kept"


def takeaway_of(result: Result) -> str:
    """Why the chosen error happened, in one sentence."""
    return result.reason.sentence if result.reason is not None else _found(result)


def _errors(result: Result) -> Panel:
    """All boxes of the picture; a click on an error asks why."""
    errors, boxes, found = result.errors[:MOST_DRAWN], result.picture.boxes, result.judged.detections
    right = found.xyxy[result.judged.errors.kinds == CORRECT][:MOST_DRAWN]
    labels = [str(number) if number < MOST_LABELS and number != result.chosen else "" for number in range(len(errors))]
    colours = (
        COLOURS[e.kind] if number == result.chosen else faint(COLOURS[e.kind]) for number, e in enumerate(errors)
    )
    layers: list[Layer] = [
        Picture(faded(result.picture.pixels)),
        Boxes(tuple(box[:4] for box in boxes), (), (), ("object",), "dashed", 1.5, drag="objects"),
        Boxes(tuple(map(tuple, right)), (), (), (faint(GREEN),), "solid", 1.5),
        Boxes(
            tuple(error.box for error in errors),
            tuple(labels),
            (),
            tuple(colours),
            width=1.5,
            pick="chosen",
            refs=_refs(errors),
            names=tuple(_called(number, error) for number, error in enumerate(errors)),
        ),
    ]
    if result.error is not None:  # in front of the others, and the only one in words
        label, colour = _called(result.chosen, result.error), COLOURS[result.error.kind]
        layers.append(Boxes((result.error.box,), (label,), (), (colour,), "solid", 3.0))
    height, width = result.picture.size
    drawn = (float(result.new_class),)
    return Panel(tuple(layers), width, height, "errors", _short(result), draw="objects", drawn=drawn)


def _called(number: int, error: Error) -> str:
    return f"{number} {WORDS[error.kind]}"


def _refs(errors: tuple[Error, ...]) -> tuple[str, ...]:
    return tuple(f"error {number}" for number in range(len(errors)))


def _short(result: Result) -> str:
    """The same, in one line under the picture."""
    labels, found = len(result.picture.boxes), int((result.judged.errors.found_by >= 0).sum())
    if not labels:
        return "no labels: draw boxes around the objects"
    of_all = found_in_words(found, labels, result.case.foreground)
    return f"{of_all}, {counted(len(result.errors), 'error')}"


def _found(result: Result) -> str:
    """How many labels were found, and how many errors there are of each kind."""
    labels, counts = len(result.picture.boxes), result.judged.errors.counts
    if not labels:
        return "the picture has no labels, so every box counts as background: draw boxes around its objects"
    wrong = ", ".join(f"{count} {WORDS[kind]}" for kind, count in counts.items() if count)
    found = int((result.judged.errors.found_by >= 0).sum())
    return f"{found_in_words(found, labels, result.case.foreground)}; {wrong or 'no error'}"


def _close_up(result: Result) -> Panel:
    """What the chosen error has to do with: the cell, what it can see, the responsible cells, the other box."""
    height, width = result.picture.size
    error, reason, seen = result.error, result.reason, result.seen
    pixels = faded(result.picture.pixels)
    if error is None or reason is None:
        return Panel((Picture(pixels),), width, height, "why", "no error is chosen")
    if seen is not None and seen.heard is not None:
        lit = cv2.dilate(seen.heard.astype("uint8"), np.ones((NEAR, NEAR), np.uint8))[..., None] > 0  # (H, W, 1)
        pixels = np.where(lit, result.picture.pixels, pixels.round().astype("uint8"))
    layers: list[Layer] = [Picture(pixels), *_responsible_cells(result)]
    if seen is not None and seen.box not in (None, (0, 0, width, height)):
        layers.append(Boxes((seen.box,), ("can see",), (), ("anchor",), "dashed", 1.5, refs=(FIELD,)))
    if error.label >= 0:
        layers.append(
            Boxes((result.case.label_box(error.label),), ("label",), (), ("object",), "dashed", 2.0, refs=(LABEL,))
        )
    if reason.best is not None and _is_lost(reason):
        layers.append(Boxes((reason.best.box,), ("best prediction",), (), (GREEN,), "dotted", 2.0, refs=(BEST,)))
    if reason.other is not None:
        layers.append(Boxes((reason.other,), (_role_of_other(error),), (), ("accent",), "solid", 2.0, refs=(OTHER,)))
    if error.detection >= 0:
        label = f"{result.chosen} {result.case.name(error.cls)}"
        layers.append(
            Boxes((error.box,), (label,), (), (COLOURS[error.kind],), "solid", 3.0, refs=(f"error {result.chosen}",))
        )
    if seen is not None:
        layers.append(Boxes((seen.cell,), (), (), ("own",), "solid", 2.0, fill=0.5, refs=(CELL,)))
    title = f"why: {_called(result.chosen, error)}"
    return Panel(tuple(layers), width, height, title, _caption(result))


def _role_of_other(error: Error) -> str:
    return "found it before" if error.kind == "duplicate" else "suppressed it"


def _caption(result: Result) -> str:
    if result.reason is None or not (where := level_words(result.case, result.reason.prediction)):
        return "which cell predicted it is not known"
    is_heard = result.seen is not None and result.seen.heard is not None
    return f"its cell: {where}" + ("; bright: the pixels that count most" if is_heard else "")


def _responsible_cells(result: Result) -> list[Cells]:
    """The cells of the predictions that training matches to the label, level by level."""
    assigned, reason = result.case.assigned, result.reason
    if reason is None or not isinstance(assigned, Assigned):
        return []
    by_level: dict[int, set[tuple[float, float]]] = {}
    for one in reason.responsible:
        level, _, row, col = assigned.cells[one.prediction].tolist()
        by_level.setdefault(level, set()).add((float(row), float(col)))
    strides = result.case.strides
    return [
        Cells(
            tuple(sorted(cells)),
            strides[level],
            "neighbour",
            "/",
            0.3,
            tuple(f"cell {level} {row:g} {col:g}" for row, col in sorted(cells)),
        )
        for level, cells in by_level.items()
    ]


def _table(result: Result) -> Table:
    """The errors; a row lights its box."""
    rows, shown = [], result.errors[:MOST_ROWS]
    for number, error in enumerate(shown):
        conf = f"{result.judged.detections.conf[error.detection]:.2f}" if error.detection >= 0 else ""
        iou = f"{result.judged.errors.iou[error.detection]:.2f}" if error.detection >= 0 else ""
        rows.append((str(number), WORDS[error.kind], result.case.name(error.cls), conf, iou))
    more = f"the first {MOST_ROWS} of {len(result.errors)}; " if len(result.errors) > MOST_ROWS else ""
    marked = (result.chosen,) if 0 <= result.chosen < len(rows) else ()
    columns = ("error", "kind", "class", "score", "IoU")
    caption = f"{more}click a row or a box: why"
    return Table(columns, tuple(rows), "errors", caption, marked, pick="chosen", refs=_refs(shown))


def _facts(result: Result) -> Table:
    reason = result.reason
    if reason is None:
        return Table(("what", "value"), (), "why", "no error is chosen")
    facts = reason.facts
    if result.seen is not None:
        facts = (*facts[:2], Fact("its cell can see", result.seen.words, FIELD), *facts[2:])
    title, rows = f"why: error {result.chosen}", tuple((fact.what, fact.value) for fact in facts)
    return Table(("what", "value"), rows, title, reason.unknown, refs=tuple(fact.ref for fact in facts))


def _responsible(result: Result) -> Table:
    """What each prediction that training matches to the label said, and where it was lost."""
    reason = result.reason
    if reason is None or result.error is None or result.error.label < 0 or reason.unknown:
        why = reason.unknown if reason is not None else ""
        return Table((), (), "the cells that are responsible", why or "this error is about no label")
    listed = sorted(reason.responsible, key=lambda one: -one.score)
    rows = tuple(_told_row(result, one) for one in listed[:MOST_CELLS])
    count = counted(len(listed), "prediction")
    name = result.case.name(result.case.label_cls(result.error.label))
    title = f"{count} matched to label {result.error.label}, {name}"
    caption = f"the {MOST_CELLS} surest" if len(listed) > MOST_CELLS else ""
    caption = caption or ("" if listed else "no anchor fits this label: nothing is trained to find it")
    columns = ("where", "objectness", f"score of {name}", "IoU", "what became of it")
    refs = tuple(cell_ref(result.case, one.prediction) for one in listed[:MOST_CELLS])
    return Table(columns, rows, title, caption, refs=refs)


def _told_row(result: Result, one: Told) -> tuple[str, ...]:
    where = place_words(result.case, one.prediction)
    return where, f"{one.objectness:.2g}", f"{one.score:.2g}", f"{one.iou:.2f}", one.words


def _costs(result: Result) -> Chart:
    """Errors of each kind and the average precision that they cost, over the pictures and over the dataset."""
    here = f"{counted(result.pictures, 'picture')}, thresholds as set"
    title = "average precision won if the errors of a kind were corrected (dAP)"
    if result.costs is None:
        words = "there are no labels to compare with" if result.is_finished else ""
        return Chart((), title, words, late=not result.is_finished)
    every = [(here, result.costs)]
    if result.whole is not None:
        images = counted(len(result.whole.images), "image")
        every.append((f"whole dataset, {images}, from confidence 0.001 on", result.whole))
    names = (*(f"{WORDS[kind]}: {result.costs.counts[kind]}" for kind in KINDS), "all false boxes", "all not found")
    bars = tuple(
        Bars(names, _heights(costs), name=name, hatch=hatch)
        for (name, costs), hatch in zip(every, ("", "/"), strict=False)
    )
    caption = "; ".join(f"AP {costs.ap:.3f} at IoU {costs.foreground:g} ({name})" for name, costs in every)
    return Chart(bars, title, f"{caption}; one error can hide another: they do not add up", "", "dAP")


def _heights(costs: ErrorCosts) -> tuple[float, ...]:
    kinds = tuple(round(costs.costs[kind], 4) for kind in KINDS)
    return (*kinds, round(costs.false_positives, 4), round(costs.false_negatives, 4))


def reason_words(reason: Reason) -> str:
    """Where the right box of an error was lost, without numbers."""
    stages = {
        "confidence": "the best prediction was below conf_thres",
        "class": "another class won",
        "suppressed": "a better box suppressed it",
        "never reached": "enough better boxes were kept before",
    }
    return stages.get(reason.best.stage, "") if reason.best is not None else ""
