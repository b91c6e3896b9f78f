"""The picture of AnchorExplorer: cells, boxes and anchors; ratios with their verdicts; the fit to a dataset."""

from typing import NamedTuple

import torch

from walkthrough import scene as draw
from walkthrough.explorers.anchors.fit import THRESHOLDS, DatasetFit
from walkthrough.explorers.anchors.state import Result, State
from walkthrough.images import faded
from walkthrough.scene import (
    AnyPanel,
    Cells,
    Chart,
    Grid,
    Key,
    Line,
    More,
    Panel,
    Picture,
    Points,
    Scene,
    Series,
    Table,
    Text,
    counted,
)
from walkthrough.show import anchors_of, cell_layers, class_name, of_image
from walkthrough.style import THEMES
from yolo_lite.loss.targets import Assignment, ratio_test

OFFSETS = ("own", "left", "up", "right", "down")  # as in yolo_lite.loss.targets.NEIGHBOURS
CELLS_SHOWN = 5  # side of the close-up
MOST_MISSED = 6  # rows of the table of objects that no anchor matches
CURVE = THEMES["any"].series[0]  # a middle tone: any ground


class Verdict(NamedTuple):
    """Whether an anchor matches an object, and why."""

    width_ratio: float  # object / anchor
    height_ratio: float
    worst: float
    passed: bool
    reason: str  # "w 5.6 cells / anchor 1.25 = 4.48 > 4"
    sentence: str  # the reason with all names


def verdict(result: Result, level: int, anchor: int, index: int) -> Verdict:
    """What the ratio test says of one anchor of a level and one object, in words."""
    state, test = result.state, result.tests[level]
    ratios, worst = test.ratio[anchor, index].tolist(), test.worst[anchor, index].item()
    passed = bool(test.passed[anchor, index])
    stride, sides = state.strides[level], result.boxes[level][index, 2:].tolist()
    side = deciding(ratios)
    reason = reason_of("wh"[side], sides[side], state.anchors[level][anchor][side] / stride, worst, state.anchor_t)
    which = f"anchor {anchor} of stride {stride} ({size_of(state.anchors[level][anchor])} px)"
    verb = "matches" if passed else "does not match"
    sentence = f"{which} {verb} object {index} ({name_of(result, index)}): {reason}"
    return Verdict(ratios[0], ratios[1], worst, passed, reason, sentence)


def deciding(ratios: list[float]) -> int:
    """Which side, 0 width or 1 height, is further from the anchor's.

    >>> deciding([2.0, 0.25])
    1
    """
    return int(max(ratios[1], 1 / ratios[1]) > max(ratios[0], 1 / ratios[0]))


def reason_of(side: str, of_object: float, of_anchor: float, worst: float, limit: float, unit: str = " cells") -> str:
    """The division that decides, the larger side over the smaller one.

    >>> reason_of("w", 5.6, 1.25, 4.48, 4.0), reason_of("h", 1.0, 1.6, 1.6, 4.0)
    ('w 5.6 cells / anchor 1.25 = 4.48 > 4', 'anchor 1.6 / h 1 cells = 1.6 < 4')
    """
    ours, theirs = f"{side} {of_object:.4g}{unit}", f"anchor {of_anchor:.4g}"
    division = f"{ours} / {theirs}" if of_object >= of_anchor else f"{theirs} / {ours}"
    if worst == limit:
        return f"{division} = {limit:g}, not below {limit:g}"
    return f"{division} = {worst:.{digits_beside(worst, limit)}g} {'<' if worst < limit else '>'} {limit:g}"


def digits_beside(value: float, limit: float) -> int:
    """Digits with which a value looks unlike a limit: 4.0003 is not 4."""
    return next((k for k in (3, 4, 6) if f"{value:.{k}g}" != f"{limit:.{k}g}"), 9)


def size_of(wh: tuple[float, float]) -> str:
    """
    >>> size_of((10.0, 13.25))
    '10 x 13.2'
    """
    return f"{wh[0]:.3g} x {wh[1]:.3g}"


def name_of(result: Result, index: int) -> str:
    """The class of an object."""
    return class_name(int(result.state.objects[index][4]), result.state.names)


def scene_of(result: Result) -> Scene:
    """Picture and close-up; to be unfolded: the verdicts, all objects of the picture, the fit to a dataset."""
    background, dataset = Picture(faded(result.state.shown.pixels)), result.dataset
    stage: tuple[AnyPanel, ...] = (_picture(result, background),)
    more: list[More] = []
    if result.candidates is not None:
        stage = (*stage, _close_up(result, result.candidates, background))
        more += [More("every anchor", lambda: ((_verdicts(result),),)), More("objects", lambda: ((_objects(result),),))]
    if dataset is not None:
        more += [More("fit to a dataset", lambda: _fit_rows(result, dataset))]
    legend = (
        Key("object", "object", dash="solid"),
        *((Key("its centre", "accent"),) if result.candidates is not None else ()),
        Key("own cell", "own"),
        Key("neighbour", "neighbour", hatch="/"),
        Key("chosen anchor", "anchor", dash="dashed"),
        Key("matched", "anchor", dash="solid"),
        Key("unmatched", "anchor", dash="dotted"),
        Key("unmatched object", "accent", dash="dotted"),
    )
    return Scene((stage,), legend, more=tuple(more))


def _fit_rows(result: Result, dataset: DatasetFit) -> tuple[tuple[AnyPanel, ...], ...]:
    charts = _charts(dataset, result.state.anchor_t)
    return (charts, (_missed(dataset, result.state),)) if len(dataset.missed) else (charts,)


def takeaway_of(result: Result) -> str:
    """Whether the chosen anchor is matched to the chosen object, why, and how many others are."""
    state = result.state
    if result.candidates is None:
        return "There is no object here, so nothing is matched: draw one."
    found = verdict(result, state.level, state.anchor, state.object)
    size, name = size_of(state.anchors[state.level][state.anchor]), name_of(result, state.object)
    passed = torch.stack([test.passed[:, state.object] for test in result.tests])  # (L, A)
    worst = f"{found.worst:.{digits_beside(found.worst, state.anchor_t)}g}"
    return (
        f"Anchor {size} is {'' if found.passed else 'not '}matched to the {name}: largest side ratio {worst}, "
        f"{state.anchor_t:g} allowed. {int(passed.sum())} of {passed.numel()} anchors are matched to it."
    )


def _picture(result: Result, background: Picture) -> Panel:
    """All objects, and the cells responsible for them on the chosen level."""
    state, shown = result.state, result.state.shown
    height, width = shown.size
    stride, match = state.strides[state.level], of_image(result.matches[state.level], 0)
    unmatched = result.unmatched.tolist()
    labels = [
        name_of(result, k) + (": no anchor" if alone else "") if alone or k == state.object else ""
        for k, alone in enumerate(unmatched)
    ]
    left_out = [_inset(box, 4) for box, alone in zip(state.objects, unmatched, strict=True) if alone]
    layers = (
        background,
        *cell_layers(match, stride, width, height),
        draw.Boxes(tuple(left_out), colours=("accent",), dash="dotted", width=4),
        *_outlines(result),
        *_anchor_boxes(result, named=True),
        draw.Boxes(
            tuple(box[:4] for box in state.objects), tuple(labels), (), ("object",), drag="objects", pick="object"
        ),
        *_chosen(result),
    )
    counts = ", ".join(f"{len(m.row)} at {s}" for m, s in zip(result.matches, state.strides, strict=True))
    drawn = (float(state.new_class),)
    title = f"Stride {stride}: {counted(len(match.row), 'match', 'matches')}"
    return Panel(layers, width, height, title, f"matches by stride: {counts}", draw="objects", drawn=drawn)


def _chosen(result: Result) -> tuple[draw.Boxes | Points, ...]:
    """The chosen object in thicker lines, with a mark in its centre."""
    if result.candidates is None:
        return ()
    box = x1, y1, x2, y2 = result.state.objects[result.state.object][:4]
    return (draw.Boxes((box,), width=4), Points((((x1 + x2) / 2, (y1 + y2) / 2),), "accent", "D", 7))


def _inset(box: tuple[float, ...], by: float) -> tuple[float, ...]:
    """A box smaller by this many pixels on each side, so that its outline lies beside the box's own."""
    x1, y1, x2, y2 = box[:4]
    by = min(by, (x2 - x1) / 4, (y2 - y1) / 4)
    return x1 + by, y1 + by, x2 - by, y2 - by


def _anchor_boxes(result: Result, named: bool) -> tuple[draw.Boxes, ...]:
    """The chosen anchor in the own cell of the chosen object, where it lies when all logits are 0."""
    if result.candidates is None:
        return ()
    state = result.state
    stride = state.strides[state.level]
    wh = result.candidates.anchor_wh.new_tensor(state.anchors[state.level][state.anchor]) / stride
    candidates = result.candidates._replace(anchor_wh=wh.expand_as(result.candidates.anchor_wh))
    labels = (f"anchor {state.anchor}: {size_of(state.anchors[state.level][state.anchor])}",) if named else ()
    boxes = draw.table_of(anchors_of(candidates, stride), 4, "anchors")
    return (draw.Boxes(boxes, labels, colours=("anchor",), dash="dashed"),)


def _outlines(result: Result) -> list[draw.Boxes]:
    """Every anchor around the centre of the chosen object: solid where it is matched, dotted where it is not."""
    state = result.state
    if result.candidates is None:
        return []
    x1, y1, x2, y2 = state.objects[state.object][:4]
    x, y, outlines = (x1 + x2) / 2, (y1 + y2) / 2, []
    sizes = [size for level in state.anchors for size in level]
    passed = [bool(ok) for test in result.tests for ok in test.passed[:, state.object]]
    for is_matched, dash in ((True, "solid"), (False, "dotted")):
        chosen = [k for k, ok in enumerate(passed) if ok == is_matched]
        boxes = tuple((x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in (sizes[k] for k in chosen))
        refs = tuple(f"pair {k}" for k in chosen)
        outlines.append(draw.Boxes(boxes, colours=("anchor",), dash=dash, width=1, refs=refs))
    return outlines


def _close_up(result: Result, candidates: Assignment, background: Picture) -> Panel:
    """The cells around the centre of the chosen object: its own, the neighbours matched too, the halves that decide."""
    state = result.state
    height, width = state.shown.size
    stride = state.strides[state.level]
    mine = of_image(result.matches[state.level], 0)
    mine = Assignment(*(field[mine.target == state.object] for field in mine))
    row, col = int(candidates.row[0]), int(candidates.col[0])
    side = CELLS_SHOWN * stride
    left = min(max((col - CELLS_SHOWN // 2) * stride, 0), max(width - side, 0))
    top = min(max((row - CELLS_SHOWN // 2) * stride, 0), max(height - side, 0))
    middle_x, middle_y = (col + 0.5) * stride, (row + 0.5) * stride
    halves = (
        ((middle_x, row * stride), (middle_x, (row + 1) * stride)),
        ((col * stride, middle_y), ((col + 1) * stride, middle_y)),
    )
    cells = torch.stack((candidates.row, candidates.col), 1)  # (m, 2)
    matched, own = len(mine.row) > 0, candidates.offset == 0
    strength = 0.6 if matched else 0.15
    layers = (
        background,
        Cells(cells[~own].unique(dim=0), stride, "neighbour", "/" if matched else "", strength),
        Cells(draw.table_of(cells[own], 2, "cells"), stride, "own", "", strength),
        Grid(stride, width, height, opacity=0.6),
        *(Line(half, "object", "dotted", 1) for half in halves),
        *_anchor_boxes(result, named=False),
        draw.Boxes((state.objects[state.object][:4],), (name_of(result, state.object),)),
        *_chosen(result),
        *_cell_names(candidates, stride),
    )
    x, y = result.boxes[state.level][state.object, :2].tolist()
    pairs = int(result.tests[state.level].passed[:, state.object].sum())
    places = len(cells.unique(dim=0))
    chosen = counted(places, "cell") if places == len(cells) else f"{len(cells)} choices of {counted(places, 'cell')}"
    caption = f"{counted(pairs, 'anchor')} x {chosen} = {counted(len(mine.row), 'match', 'matches')}"
    if not matched:
        caption = "no anchor of this level matches it, so no cell is responsible for it"
    title = f"Its centre lies at cell x {x:.2f}, y {y:.2f}"
    return Panel(layers, min(side, width), min(side, height), title, caption, float(left), float(top))


def _cell_names(candidates: Assignment, stride: float) -> list[Text]:
    """own, left, up, right, down in their cells; a cell that is listed twice has both names (a centre on a line)."""
    names: dict[tuple[int, int], list[str]] = {}
    for row, col, offset in zip(
        candidates.row.tolist(), candidates.col.tolist(), candidates.offset.tolist(), strict=True
    ):
        names.setdefault((row, col), []).append(OFFSETS[offset])
    for words in names.values():
        words += [f"listed {len(words)} times"] if len(words) > 1 else []
    return [
        Text((col + 0.06) * stride, (row + 0.06 + 0.2 * line) * stride, word)
        for (row, col), words in names.items()
        for line, word in enumerate(words)
    ]


def _verdicts(result: Result) -> Table:
    """Every anchor of every level on the chosen object."""
    state, rows = result.state, list[tuple[str, ...]]()
    marked: tuple[int, ...] = ()
    for level, stride in enumerate(state.strides):
        for anchor, size in enumerate(state.anchors[level]):
            found = verdict(result, level, anchor, state.object)
            marked = (len(rows),) if (level, anchor) == (state.level, state.anchor) else marked
            ratios = (f"{found.width_ratio:.2f}", f"{found.height_ratio:.2f}")
            verb = "matches" if found.passed else "no"
            rows.append((str(stride), f"{anchor}: {size_of(size)}", *ratios, verb, found.reason))
    x1, y1, x2, y2 = state.objects[state.object][:4]
    title = f"Object {state.object}, {name_of(result, state.object)}, {x2 - x1:.0f} x {y2 - y1:.0f} px"
    columns = ("stride", "anchor (px)", "w ratio", "h ratio", "verdict", f"because (anchor_t {state.anchor_t:g})")
    return Table(columns, tuple(rows), title, "a click on a row chooses its anchor", marked, pick="pair")


def _objects(result: Result) -> Table:
    """Every object of the picture by the anchors of the chosen level."""
    state, test = result.state, result.tests[result.state.level]
    counts = torch.stack([torch.bincount(m.target, minlength=len(state.objects)) for m in result.matches])  # (L, n)
    here, total = counts[state.level].tolist(), counts.sum(0).tolist()
    sizes, worst, passed = result.boxes[state.level][:, 2:].tolist(), test.worst.T.tolist(), test.passed.T.tolist()
    rows = []
    for k, (w, h) in enumerate(sizes):
        verdicts = [f"{value:.2f} {'matches' if ok else 'no'}" for value, ok in zip(worst[k], passed[k], strict=True)]
        alone = "" if total[k] else ": no anchor"
        size = f"{w:.2f} x {h:.2f}"
        rows.append((f"{k} {name_of(result, k)}{alone}", size, *verdicts, str(here[k]), str(total[k])))
    anchors = [f"{k}: {size_of(size)}" for k, size in enumerate(state.anchors[state.level])]
    title = f"Every object at stride {state.strides[state.level]}: its worse side against each anchor"
    columns = ("object", "size in cells", *anchors, "matches", "all strides")
    return Table(columns, tuple(rows), title, marked=(state.object,), pick="object")


def _charts(dataset: DatasetFit, anchor_t: float) -> tuple[Chart, Chart]:
    """Best possible recall and matches over anchor_t, with the present one marked."""
    recall, matches = dataset.fit.best_possible_recall, dataset.fit.matches_per_object
    t, most = tuple(THRESHOLDS.tolist()), float(dataset.curves.matches[-1])

    def chart(values: torch.Tensor, top: float, title: str, y_label: str, caption: str) -> Chart:
        curve = Series("", t, tuple(values.tolist()), CURVE, "solid")
        ends = (1.0, 10.1), (0.0, top)
        return Chart(
            (curve,), title, caption, "anchor_t", y_label, "linear", *ends, upright=(anchor_t,), drag="anchor_t"
        )

    about = f"{len(dataset.sizes):,} objects of {dataset.sizes.name}"
    each = f"dotted: anchor_t {anchor_t:g}; an anchor is matched in the own cell and in up to two neighbours"
    missed = f"unmatched: {len(dataset.missed):,} of them"
    return (
        chart(dataset.curves.recall, 1.05, f"Best possible recall {recall:.4f}", "recall", f"{about}; {missed}"),
        chart(
            dataset.curves.matches, most * 1.1 or 1.0, f"{matches:.2f} anchors per object", "anchors per object", each
        ),
    )


def _missed(dataset: DatasetFit, state: State) -> Table:
    """The objects of the dataset that no anchor matches, the furthest first."""
    sizes, missed, rows = dataset.sizes, dataset.missed, []
    anchors = [anchor for level in state.anchors for anchor in level]
    for index in missed[:MOST_MISSED].tolist():
        wh, anchor = sizes.wh[index], anchors[int(dataset.fit.best_anchor[index])]
        test = ratio_test(wh[None], wh.new_tensor([anchor]), state.anchor_t)
        side = deciding(test.ratio[0, 0].tolist())
        reason = reason_of("wh"[side], wh[side].item(), anchor[side], test.worst.item(), state.anchor_t, " px")
        rows.append((sizes.image_of(index), size_of((wh[0].item(), wh[1].item())), size_of(anchor), reason))
    title = f"No anchor matches {len(missed):,} of {len(sizes):,} objects of {sizes.name}"
    more = len(missed) - len(rows)
    caption = f"those furthest from any anchor; {more:,} more are not shown" if more else ""
    return Table(("image", "size (px)", "nearest anchor", "because"), tuple(rows), title, caption)
