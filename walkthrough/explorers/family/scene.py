"""The picture of FamilyExplorer: two generations side by side, from the grid to the gradients."""

import numpy as np
import torch

from walkthrough.explorers.family.state import ROLES, Result, Side
from walkthrough.explorers.family.words import RULES, TERMS
from walkthrough.explorers.gradient.scene import DECADES, GREEN, YELLOW, shaded, shades
from walkthrough.explorers.own_settings import level_name
from walkthrough.images import faded
from walkthrough.scene import (
    Bars,
    Boxes,
    Cells,
    Chart,
    Grid,
    Key,
    Layer,
    More,
    Panel,
    Picture,
    Points,
    Scene,
    Table,
    counted,
    table_of,
)
from walkthrough.seen import map_in_words
from walkthrough.show import class_name
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

GRADIENTS, PREDICTIONS = "gradients", "predictions"  # titles of what shows gradients, which take long
MOST_CLASSES = 3  # with a bar each; of more, the object's own and the others together
SHORT = {"objectness": "obj", "confidence": "conf", "background": "bg", "centre-ness": "ctr"}
BIN = " bin "  # in the names of the bins of a distance
FINE = 12.0  # pixels: dots in smaller cells would hide the picture
GREY = "#8A8A8A"
HOLD = 360  # CSS pixels of the two pictures: the captions have two lines


def takeaway_of(result: Result) -> str:
    """How many predictions of each generation are positive, and which objects have none."""
    told = []
    for side in result.sides:
        counts = side.counts
        lost = f", and none for {len(side.dropped)} of the objects" if side.dropped else ""
        positives = counted(counts["positive"], "positive")
        told.append(f"{side.name} has {positives} among {counted(len(side.role), 'prediction')}{lost}")
    return f"{told[0]}; {told[1]}."


def scene_of(result: Result) -> Scene:
    """Roles on the grid, gradients on the grid, the losses by term, the gradient by raw number, both tables."""
    sides, ground = result.sides, faded(result.state.shown.pixels)
    stage = (
        tuple(_roles_panel(result, side, name, ground) for side, name in zip(sides, ("left", "right"), strict=True)),
    )
    named = (("left_row", sides[0]), ("right_row", sides[1]))
    middle = f"{10 ** (DECADES / 2):.0f} times smaller" if result.state.log else "half as large"
    more = (
        More("losses", lambda: (tuple(_losses_chart(side) for side in sides),)),
        More(
            GRADIENTS,
            lambda: (
                tuple(_gradients_panel(result, side, ground) for side in sides),
                tuple(_numbers_chart(result, side) for side in sides),
            ),
            legend=(Key("largest gradient", YELLOW), Key(middle, GREEN)),
        ),
        More(PREDICTIONS, lambda: (tuple(_predictions_table(result, side, name) for name, side in named),)),
        More("terms", lambda: (tuple(_terms_table(side) for side in sides),)),
    )
    legend = (
        Key("object", "object", dash="solid"),
        Key("positive", "own"),
        Key("ignored", "neighbour", hatch="/"),
        Key("negative: a dot, or plain", GREY, hatch="."),
        Key("chosen prediction: cell", "accent", dash="solid"),
        Key("its box now", "prediction", dash="dashed"),
    )
    return Scene(stage, legend, words_of(result), more, hold=HOLD)


def _stride(result: Result, side: Side) -> float:
    """Pixels per cell of the drawn grid: of a coarse one the last cells may reach beyond the picture."""
    return result.state.shown.size[1] / side.grids[side.level][1]


def _cells_with(side: Side, role: int) -> set[tuple[int, int]]:
    found = side.cells[(side.cells[:, 0] == side.level) & (side.role == role), 2:]
    return {(int(row), int(col)) for row, col in found.unique(dim=0).tolist()}


def _roles_panel(result: Result, side: Side, name: str, ground: np.ndarray) -> Panel:
    state, (height, width), stride = result.state, result.state.shown.size, _stride(result, side)
    positive = _cells_with(side, POSITIVE)
    ignored = _cells_with(side, IGNORED) - positive
    negative = _cells_with(side, NEGATIVE) - positive - ignored
    is_fine = stride < FINE
    dots = () if is_fine else tuple(((col + 0.5) * stride, (row + 0.5) * stride) for row, col in sorted(negative))
    labels = tuple(
        f"{index} {class_name(int(box[4]), state.names)}" + (": not matched" if not side.matched[index] else "")
        for index, box in enumerate(state.objects)
    )
    layers: list[Layer] = [Picture(ground)]
    layers += [Cells(tuple(sorted(ignored)), stride, "neighbour", "/", 0.3)] if ignored else []
    layers += [Cells(tuple(sorted(positive)), stride, "own", "", 0.75)] if positive else []
    layers += [Grid(stride, width, height, opacity=0.3), Points(dots, "grid", "o", 3.0)]
    layers += [*_listed(result, side, name), *_chosen(result, side)]
    objects = tuple(box[:4] for box in state.objects)
    layers.append(Boxes(objects, labels, (), ("object",), drag="objects", pick="object"))
    if state.objects:
        layers.append(Boxes((objects[state.object],), width=4))
    rows, cols = side.grids[side.level]
    anchors = int(side.cells[side.cells[:, 0] == side.level, 1].max()) + 1
    of_all = ", ".join(f"{count:,} {role}" for role, count in side.counts.items())
    caption = (
        f"{rows} x {cols} cells, {counted(anchors, 'prediction')} in each;\n{'all levels: ' * (len(side.grids) > 1)}"
    )
    title, drawn = f"{side.name}, {level_name(side.strides[side.level])}", (float(state.new_class),)
    return Panel(tuple(layers), width, height, title, caption + of_all, draw="objects", drawn=drawn)


def _listed(result: Result, side: Side, name: str) -> list[Layer]:
    """Boxes of the table's predictions, and their cells where their level is drawn: seen when they are lit."""
    rows, cells, refs = list[int](), list[tuple[float, ...]](), list[str]()
    stride = _stride(result, side)
    for row, index in enumerate(side.listed):
        level, _, y, x = side.cells[index].tolist()
        if level == side.level:
            cells.append((x * stride, y * stride, (x + 1) * stride, (y + 1) * stride))
            refs.append(f"{name}_row {row}")
        if bool(side.boxes[index].isfinite().all()):
            rows.append(row)
    boxes = xywh_to_xyxy(side.boxes[[side.listed[row] for row in rows]])
    own = tuple(f"{name}_row {row}" for row in rows)
    return [
        Boxes(tuple(cells), width=0, pick=f"{name}_row", refs=tuple(refs)),
        Boxes(table_of(boxes, 4, "boxes"), width=0, refs=own),
    ]


def _chosen(result: Result, side: Side) -> list[Layer]:
    """The cell of the chosen prediction, where its level is drawn, and its box."""
    if side.chosen < 0:
        return []
    level, _, row, col = side.cells[side.chosen].tolist()
    layers: list[Layer] = []
    if level == side.level:
        stride = _stride(result, side)
        cell = (col * stride, row * stride, (col + 1) * stride, (row + 1) * stride)
        layers.append(Boxes((cell,), colours=("accent",), width=3))
    box = xywh_to_xyxy(side.boxes[side.chosen][None])
    if bool(box.isfinite().all()):
        layers.append(Boxes(table_of(box, 4, "boxes"), colours=("prediction",), dash="dashed"))
    return layers


def _gradients_panel(result: Result, side: Side, ground: np.ndarray) -> Panel:
    height, width = result.state.shown.size
    title = f"{side.name}: norm of the gradient by cell"
    if side.gradients is None:
        return Panel((Picture(ground),), width, height, title, "a backward pass through the loss", late=True)
    rows, cols = side.grids[side.level]
    own = side.cells[:, 0] == side.level
    strength = torch.zeros(rows, cols)
    strength.index_put_(
        tuple(side.cells[own, 2:].T), side.gradients.strength[own].square(), accumulate=True
    )  # over the predictions of a cell
    cells = strength.sqrt().numpy()
    largest = float(cells.max())
    shows = map_in_words(cells, "cells shaded by the gradient,")
    layers: list[Layer] = [Picture(shaded(ground, shades(cells, largest, result.state.log)), shows=shows)]
    layers += _chosen(result, side)
    layers.append(Boxes(tuple(box[:4] for box in result.state.objects), drag="objects", pick="object"))
    squares = side.gradients.strength.double().square()
    of_positives = float(squares[side.role == POSITIVE].sum() / squares.sum().clamp(min=1e-30))
    caption = f"largest {largest:.2g}; positives have {of_positives:.0%} of the squared norm of all levels"
    return Panel(tuple(layers), width, height, title, caption)


def _terms(side: Side) -> tuple[str, ...]:
    return tuple(side.parts)[1:]


def _losses_chart(side: Side) -> Chart:
    terms = _terms(side)
    refs = tuple(f"{side.name} {term}" for term in terms)
    marks = tuple(
        Bars(terms, tuple(float(side.losses[term][side.role == role].sum()) for term in terms), None, name, hatch, refs)
        for role, name, hatch in ((POSITIVE, "of positives", ""), (NEGATIVE, "of negatives", "/"))
    )
    total = next(iter(side.parts.values()))
    return Chart(marks, f"{side.name}: the loss by term", f"total {total:.4g}", y_label="loss")


def _numbers_chart(result: Result, side: Side) -> Chart:
    title = f"{side.name}: gradient on the chosen prediction"
    if side.gradients is None or side.chosen < 0:
        caption = "" if side.chosen >= 0 else "no prediction has a loss"
        return Chart((), title, caption, late=side.gradients is None)
    names, values = _bars(result, side, dict(zip(side.gradients.names, side.gradients.values, strict=True)))
    merged = "; others, classes: a norm" if {"others", "classes"} & set(names) else ""
    merged += "; l, t, r, b: a norm over the bins" if any(BIN in name for name in side.gradients.names) else ""
    caption = f"{_place(side, side.chosen)}; training steps against it{merged}"
    return Chart((Bars(names, values),), title, caption, "raw number", "gradient", legend="none")


def _bars(result: Result, side: Side, numbers: dict[str, float]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and heights of the bars: of many classes, the object's own and the norm of the others."""
    apart_from_classes = {name: value for name, value in numbers.items() if not name.startswith("class ")}
    bars = {SHORT.get(name, name): value for name, value in _over_bins(apart_from_classes).items()}
    classes = {int(name.split()[1]): value for name, value in numbers.items() if name.startswith("class ")}
    target = int(side.target[side.chosen])
    own = int(result.state.objects[target][4]) if target >= 0 else None
    apart = [cls for cls in classes if cls == own or len(classes) <= MOST_CLASSES]
    bars |= {class_name(cls, result.state.names): classes[cls] for cls in apart}
    if others := [value for cls, value in classes.items() if cls not in apart]:
        bars["others" if apart else "classes"] = float(np.linalg.norm(others))
    return tuple(bars), tuple(bars.values())


def _over_bins(numbers: dict[str, float]) -> dict[str, float]:
    """Of the bins of a side's distance one number, their norm."""
    merged: dict[str, float] = {}
    for name, value in numbers.items():
        side = name.partition(BIN)[0]
        merged[side] = float(np.hypot(merged.get(side, 0.0), value)) if BIN in name else value
    return merged


def _place(side: Side, index: int) -> str:
    level, anchor, row, col = side.cells[index].tolist()
    several = bool((side.cells[:, 1] > 0).any())
    return f"stride {side.strides[level]}, row {row}, column {col}" + (f", number {anchor}" if several else "")


def _predictions_table(result: Result, side: Side, pick: str) -> Table:
    rows = []
    for index in side.listed:
        level, anchor, row, col = side.cells[index].tolist()
        role, target = ROLES[int(side.role[index])], int(side.target[index])
        if target >= 0:
            role += f": {target} {class_name(int(result.state.objects[target][4]), result.state.names)}"
        gradient = "..." if side.gradients is None else f"{float(side.gradients.strength[index]):.3g}"
        place = (str(side.strides[level]), str(row), str(col), str(anchor))
        loss = f"{float(side.losses['total'][index]):.3g}"
        rows.append((*place, role, loss, gradient))
    columns = ("stride", "row", "col", "no.", "asked to be", "loss", "gradient")
    marked = (side.listed.index(side.chosen),) if side.chosen in side.listed else ()
    caption = "those of the object first, then the largest losses; click one to look at it"
    return Table(columns, tuple(rows), f"{side.name}: predictions", caption, marked, pick=pick)


def _terms_table(side: Side) -> Table:
    words = TERMS.get(side.kind, {})
    rows = []
    for term in _terms(side):
        chosen = f"{float(side.losses[term][side.chosen]):.3g}" if side.chosen >= 0 else ""
        rows.append((term, f"{side.parts[term]:.4g}", chosen, words.get(term, "")))
    rule = f"positive: {RULES[side.kind]}" if side.kind in RULES else ""
    refs = tuple(f"{side.name} {term}" for term in _terms(side))
    return Table(
        ("term", "loss", "of the chosen", "what it is"), tuple(rows), f"{side.name}: the terms", rule, refs=refs
    )


def words_of(result: Result) -> str:
    """Who is positive, without figures that differ from machine to machine."""
    state = result.state
    lines = [f"{state.shown.name}: {counted(len(state.objects), 'object')}"]
    for side in result.sides:
        counts = side.counts
        others = "some of the others ignored" if counts["ignored"] else "no other is ignored"
        line = f"{side.name}: {len(side.role):,} predictions, {counts['positive']:,} positive, {others}"
        if state.objects:
            name = class_name(int(state.objects[state.object][4]), state.names)
            matched = int(side.matched[state.object])
            line += f"; object {state.object} ({name}) is matched to {counted(matched, 'prediction')}"
        if side.dropped:
            line += f"; no prediction for {', '.join(f'object {index}' for index in side.dropped)}"
        lines.append(f"{line}; terms of the loss: {', '.join(_terms(side))}")
    return "\n".join(lines)
