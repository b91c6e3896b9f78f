"""The picture of NmsExplorer: boxes before and after, the relation as a table, precision against recall."""

from dataclasses import replace

import torch
from torch import Tensor

from walkthrough.charts import numbers
from walkthrough.explorers.nms.state import Result
from walkthrough.explorers.nms.suppression import Figures
from walkthrough.explorers.nms.thresholds import found_in_words
from walkthrough.images import faded
from walkthrough.scene import (
    Boxes,
    Chart,
    Key,
    Layer,
    More,
    Panel,
    Picture,
    Rows,
    Scene,
    Series,
    Table,
    counted,
    table_of,
)
from walkthrough.show import class_name
from walkthrough.style import colour, faint
from yolo_lite.detect.average_precision import RECALLS
from yolo_lite.detect.nms import UNDECIDED

MOST_DRAWN, MOST_ROWS, MOST_LABELS, MOST_NAMES = 300, 9, 1, 24
MOST_SAID = 3  # boxes that a step names
FRACTIONS = (-0.02, 1.05)  # the range of an axis that runs from 0 to 1
LEGEND = (
    Key("kept (colour: class)", 0, dash="solid"),
    Key("before: candidate; strong: suppressed by the chosen box", 0, dash="dashed"),
    Key("object", "object", dash="dotted"),
)


def scene_of(result: Result) -> Scene:
    """All of it as data; without the figures over all pictures, as long as they are not computed."""
    words = f"before: {counted(len(result.decided.by), 'candidate')}; after: {len(result.decided.kept)} kept"
    more = (
        More("box by box", lambda: ((_table(result),),)),
        More("precision and recall", lambda: ((Chart((), late=True) if result.figures is None else _curves(result),),)),
    )
    return Scene(((_before(result), _after(result)),), LEGEND, words, more)


def takeaway_of(result: Result) -> str:
    """How many candidates stay, what they find, and what the chosen box has to do with it."""
    count, hits = len(result.decided.kept), int(result.correct.sum())
    found = f", which find {hits} of {counted(len(result.picture.boxes), 'object')}" if result.picture.boxes else ""
    kept = f"{counted(len(result.decided.by), 'candidate')} become {counted(count, 'box', 'boxes')}{found}"
    choice = result.choice
    if result.step is not None:
        return _step_in_words(result)
    if choice is None:
        return f"{kept}."
    name = f"box {choice.index} ({class_name(int(result.decided.found.cls[choice.index]), result.names)})"
    if choice.suppressor >= 0:
        return f"{kept}. Chosen: {name}, {choice.verdict}."
    return f"{kept}. Chosen: {name}, {choice.verdict}; it suppresses {counted(len(choice.suppressed), 'other')}."


def _step_in_words(result: Result) -> str:
    """Which box is kept at this step, and which it removes at which IoU."""
    count, choice = len(result.decided.by), result.choice
    way = f"Step {result.step} of {len(result.whole.kept)}"
    if choice is None:
        return f"{way}: {counted(count, 'candidate')}, the best first; none is decided yet."
    overlaps = {pair.other: pair.iou for pair in choice.near if pair.other in choice.suppressed}
    named = [f"{k} (IoU {iou:.2f})" for k, iou in sorted(overlaps.items(), key=lambda pair: -pair[1])[:MOST_SAID]]
    others = len(choice.suppressed) - len(named)
    words = ", ".join(named) + (f" and {counted(others, 'other')}" if others else "")
    removes = (
        f"it removes {words}"
        if words
        else f"no other is left that overlaps it by more than {result.whole.rule.iou_thres:g}"
    )
    left = int((result.decided.by == UNDECIDED).sum())
    name = class_name(int(result.decided.found.cls[choice.index]), result.names)
    return f"{way}: box {choice.index} ({name}) is the best that is left, and stays; {removes}. {left} are left."


def _before(result: Result) -> Panel:
    """All candidates; on the way, those that are not decided yet."""
    decided, choice = result.decided, result.choice
    is_shown = torch.ones_like(decided.by, dtype=torch.bool) if result.step is None else decided.by == UNDECIDED
    drawn = is_shown.nonzero().squeeze(1)[:MOST_DRAWN].tolist()
    cls = decided.found.cls[drawn].tolist()
    colours = tuple(faint(k) if choice else colour(k) for k in cls)
    names = tuple(f"candidate {k}, {class_name(int(c), result.names)}" for k, c in zip(drawn, cls, strict=True))
    xyxy, refs = _rows(decided.found.xyxy[drawn]), _refs(drawn)
    boxes = Boxes(xyxy, (), (), colours, "dashed", 1.0, pick="chosen", refs=refs, names=names)
    layers: list[Layer] = [boxes, *_chosen(result)]
    if result.step is None:
        return _panel(result, layers, "before", _candidates(result))
    caption = f"{int(is_shown.sum()):,} of {counted(len(decided.by), 'candidate')} are not decided yet"
    return _panel(result, layers, "what is left", caption)


def _candidates(result: Result) -> str:
    """How many of the predictions are candidates, and how many of those are drawn."""
    count, state = len(result.decided.by), result.decided.rule
    total = f"{result.decided.predictions:,} predictions"
    if not count:
        return f"none of {total} is above {state.conf_thres:g}: the best has {result.best:.3g}"
    drawn = f", the best {MOST_DRAWN} drawn" if count > MOST_DRAWN else ""
    return f"{total}, {count:,} above {state.conf_thres:g}{drawn}"


def _chosen(result: Result) -> list[Boxes]:
    """The chosen box and those that it has to do with; the box that stays is solid, the others are dashed."""
    decided, choice = result.decided, result.choice
    if choice is None:
        return []
    cls = decided.found.cls
    close = {pair.other: f"IoU {pair.iou:.2f}" for pair in choice.near if pair.other in choice.suppressed}
    words = list(close.values())[:MOST_LABELS]
    gone = [*close, *(k for k in choice.suppressed if k not in close)][:MOST_DRAWN]
    words += [""] * (len(gone) - len(words))
    stays, label = choice.index, f"{class_name(int(cls[choice.index]), result.names)}: {choice.verdict}"
    if choice.suppressor >= 0:
        gone, words, label = [choice.index], [choice.verdict], "its suppressor"
        stays = choice.suppressor
    elif choice.index not in decided.kept:
        return [Boxes(_rows(decided.found.xyxy[[stays]]), (label,), (), (int(cls[stays]),), "dashed", 2.5)]
    return [
        Boxes(_rows(decided.found.xyxy[gone]), tuple(words), (), tuple(cls[gone].tolist()), "dashed", 1.3),
        Boxes(_rows(decided.found.xyxy[[stays]]), (label,), (), (int(cls[stays]),), "solid", 3.0),
    ]


def _after(result: Result) -> Panel:
    detections = result.decided.detections[:MOST_DRAWN]  # (k, 6)
    cls, objects = detections[:, 5].int().tolist(), result.picture.boxes
    wrong = ["" if right or not objects else " wrong" for right in result.correct[:MOST_DRAWN]]
    scores = detections[:, 4].tolist()
    labels = [
        f"{class_name(k, result.names)}{word} {conf:.2f}" for k, word, conf in zip(cls, wrong, scores, strict=True)
    ]
    kept = result.decided.kept[:MOST_DRAWN].tolist()
    labels[MOST_NAMES:] = [""] * len(labels[MOST_NAMES:])  # more would cover the picture
    layers: list[Layer] = [
        Boxes(tuple(box[:4] for box in objects), dash="dotted", width=1.5, drag="objects"),
        Boxes(_rows(detections[:, :4]), tuple(labels), (), tuple(cls), pick="detection", refs=_refs(kept)),
    ]
    return _panel(result, layers, "after" if result.step is None else "kept so far", _found(result), draw=True)


def _found(result: Result) -> str:
    """The verdict on the kept boxes, in words."""
    count, hits, objects = len(result.correct), int(result.correct.sum()), len(result.picture.boxes)
    drawn = f", the best {MOST_DRAWN} drawn" if count > MOST_DRAWN else ""
    if not objects:
        return f"{count} kept{drawn}; the picture has no objects to compare with"
    return f"{count} kept{drawn}, {count - hits} wrong: {found_in_words(hits, objects)}"


def _panel(result: Result, layers: list[Layer], title: str, caption: str, draw: bool = False) -> Panel:
    height, width = result.picture.size
    field, drawn = ("objects", (float(result.new_class),)) if draw else ("", ())
    pictured = (Picture(faded(result.picture.pixels)), *layers)
    return Panel(pictured, width, height, title, caption, draw=field, drawn=drawn)


def _refs(candidates: list[int]) -> tuple[str, ...]:
    """What stands for candidates: the boxes before, those after, and rows light each other."""
    return tuple(f"chosen {k}" for k in candidates)


def _rows(xyxy: Tensor) -> Rows:
    return table_of(xyxy, 4, "boxes")


def _table(result: Result) -> Table:
    """What became of the chosen box and those around it; without one, the kept boxes and how many each suppressed."""
    found, by = result.decided.found, result.decided.by
    if result.choice is None:
        kept = result.decided.kept[:MOST_ROWS].tolist()
        suppressed = tuple((*_box(result, k), str(int((by == k).sum()))) for k in kept)
        caption = "click a box in one of the pictures, or a row"
        return Table(
            ("box", "class", "score", "suppressed"), suppressed, "kept", caption, pick="chosen", refs=_refs(kept)
        )
    near = result.choice.near
    rows = tuple((*_box(result, pair.other), f"{pair.iou:.2f}", pair.verdict) for pair in near[:MOST_ROWS])
    name = class_name(int(found.cls[result.choice.index]), result.names)
    title = f"box {result.choice.index}, {name}: {result.choice.verdict}"
    caption = "those around it" + (
        f", close calls first: {MOST_ROWS} of {result.choice.around}" if len(near) > MOST_ROWS else ""
    )
    refs = _refs([pair.other for pair in near[:MOST_ROWS]])
    return Table(("box", "class", "score", "IoU", "what becomes of it"), rows, title, caption, pick="chosen", refs=refs)


def _box(result: Result, index: int) -> tuple[str, str, str]:
    found = result.decided.found
    return str(index), class_name(int(found.cls[index]), result.names), f"{found.conf[index]:.2f}"


def _curves(result: Result) -> Chart:
    """Precision against recall over all pictures, with suppression and without."""
    count = counted(result.pictures, "picture")
    if not result.after.objects:
        return Chart((), "precision against recall", f"no objects on the {count}: nothing to compare with")
    lines = (("all candidates", result.before), ("kept", result.after))
    marks = tuple(Series(f"{name}: AP {f.ap:.2f}", numbers(RECALLS), numbers(f.curve)) for name, f in lines)
    here = Series("kept: all of them", (result.after.recall,), (result.after.precision,))
    title = f"precision against recall, {count}, IoU 0.5"
    caption = f"before {_precision_and_recall(result.before)}; after {_precision_and_recall(result.after)}"
    caption += f"; dotted: conf_thres {result.whole.rule.conf_thres:g}"
    chart = Chart((*marks, here), title, caption, "recall", "precision", x_range=FRACTIONS, y_range=FRACTIONS)
    return replace(chart, upright=(result.after.recall,), drag="conf_thres", places=result.recalls)


def _precision_and_recall(figures: Figures) -> str:
    return f"P {figures.precision:.2f}, R {figures.recall:.2f}"
