"""What GradientExplorer shows: cells shaded by their gradient, norms by layer, the largest in a table."""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from walkthrough.charts import numbers
from walkthrough.explorers.gradient.state import Result
from walkthrough.explorers.own_settings import level_name
from walkthrough.images import faded, to_numpy
from walkthrough.scene import (
    Arrows,
    Boxes,
    Chart,
    Key,
    Layer,
    Line,
    More,
    Panel,
    Picture,
    Scene,
    Series,
    Table,
    counted,
    table_of,
)
from walkthrough.seen import map_in_words
from walkthrough.show import class_name
from walkthrough.style import faint
from yolo_lite.boxes import box_iou, xywh_to_xyxy

BY_LAYER = "layer by layer"  # the title of what is seen of the gradients by layer, which take long
DECADES = 3  # from the largest gradient down, of a logarithmic scale
ARROW = 0.12  # length of the longest arrow and of the largest move of a side, as a fraction of the picture's side
TINY = 1e-12
HOLD = 309  # CSS pixels of three pictures side by side: one alone gets no higher
YELLOW, GREEN = "#FDE725", "#21918C"  # the end and the middle of viridis
CLEARLY = 1.5  # times the next: what the words say has to hold on every machine


def takeaway_of(result: Result) -> str:
    """Which term has most of the gradient on the maps and at which stride, and what the cell that has most is about."""
    fractions = result.maps.fractions  # (T, L)
    if not fractions.any():
        return "No cell has a gradient: the loss does not change with the maps."
    term, level = divmod(int(fractions.argmax()), fractions.shape[1])
    most = f"{fractions[term, level]:.0%} of the gradient is that of {result.maps.terms[term]}"
    first = f"{most} at stride {result.strides[level]}"
    if not result.strongest:
        return f"{first}."
    if result.way is not None:
        return _step_in_words(result, result.way)
    cell = result.strongest[0]
    about = "is background" if cell.target is None else f"is matched to object {cell.target}"
    place = f"row {cell.row}, column {cell.col} at stride {result.strides[cell.level]}"
    return f"{first}. The cell with the largest gradient of {result.state.term}, {place}, {about}."


def _step_in_words(result: Result, way: Tensor) -> str:
    """Where this many steps brought the box of the chosen cell."""
    cell, step = result.strongest[result.chosen], result.state.step
    start = f"Step {step} of {len(way) - 1} down the loss, for the cell at row {cell.row}, column {cell.col}"
    if torch.equal(way[0], way[-1]):
        return f"{start}: its box has no gradient, and stays."
    moved = (way[step, :2] - way[0, :2]).norm()
    size = f"its box is {way[step, 2]:.0f} x {way[step, 3]:.0f} px, {moved:.1f} px from where it was"
    if cell.target is None or cell.target >= len(result.state.objects):
        return f"{start}: {size}."
    truth = torch.tensor([result.state.objects[cell.target][:4]])
    before, now = box_iou(truth, xywh_to_xyxy(way[[0, step]]))[0].tolist()
    return f"{start}: {size}; IoU with object {cell.target} goes from {before:.2f} to {now:.2f}."


def scene_of(result: Result) -> Scene:
    """A panel for each level, the layers (late: those of the settings before), the cells with the largest gradients."""
    levels = range(len(result.strides)) if result.state.level < 0 else [result.state.level]
    strengths = {level: cell_strengths(result, level) for level in levels}
    largest = max(float(strength.max()) for strength in strengths.values())
    ground = faded(result.state.shown.pixels)
    panels = tuple(_level_panel(result, level, strengths[level], largest, ground) for level in levels)
    more = (
        More(BY_LAYER, lambda: ((_layers_chart(result),),)),
        More("cells with the largest gradient", lambda: ((_cells_table(result),),)),
    )
    return Scene((panels,), _legend(result), words_of(result), more, hold=HOLD)


def cell_strengths(result: Result, level: int) -> np.ndarray:
    """(H, W) the gradient of the chosen term on each cell: the norm over its anchors."""
    term, part = result.state.term_and_part
    return to_numpy(result.maps.cells(term, level, part)[0].norm(dim=0))


def shades(strength: np.ndarray, largest: float, log: bool) -> np.ndarray:
    """Strengths as fractions of the largest, or on a scale of factors: 1 for it, 0 for a thousandth of it and less.

    >>> shades(np.array([0.0, 0.01, 1.0]), 1.0, log=True).round(2).tolist()
    [0.0, 0.33, 1.0]
    """
    if largest <= 0:
        return np.zeros_like(strength)
    fraction = strength / largest
    return np.clip(1 + np.log10(np.maximum(fraction, 10.0**-DECADES)) / DECADES, 0, 1) if log else fraction


def shaded(pixels: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 3) under cells of viridis; the less a cell is shaded, the more of the picture shows through."""
    heat = cv2.applyColorMap((shade * 255).round().astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    size = pixels.shape[1::-1]  # width, height
    over = cv2.resize(heat, size, interpolation=cv2.INTER_NEAREST)
    opacity = cv2.resize((0.1 + 0.75 * shade).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return cv2.blendLinear(pixels, over, 1 - opacity, opacity)


def _level_panel(result: Result, level: int, strength: np.ndarray, largest: float, ground: np.ndarray) -> Panel:
    state, (height, width) = result.state, result.state.shown.size
    shows = map_in_words(strength, f"cells shaded by the gradient of {state.term},")
    layers: list[Layer] = [Picture(shaded(ground, shades(strength, largest, state.log)), shows=shows)]
    labels = tuple(str(index) for index in range(len(state.objects)))  # as the table numbers them
    layers.append(Boxes(tuple(box[:4] for box in state.objects), labels, drag="objects"))
    layers += _strongest(result, level)
    layers += _moves(result, level)
    stride, rows = result.strides[level], f"{strength.shape[0]} x {strength.shape[1]} cells"
    caption = f"{rows}, largest {strength.max():.2g}"
    drawn = (float(state.new_class),)
    return Panel(
        tuple(layers), width, height, f"{state.term}, {level_name(stride)}", caption, draw="objects", drawn=drawn
    )


def _strongest(result: Result, level: int) -> list[Layer]:
    """The cells of the table, framed, to be clicked as its rows are; the one that the takeaway is about stands out."""
    stride = float(result.strides[level])
    mine = [(index, cell) for index, cell in enumerate(result.strongest) if cell.level == level]
    frames = tuple((c.col * stride, c.row * stride, (c.col + 1) * stride, (c.row + 1) * stride) for _, c in mine)
    refs = tuple(f"chosen {index}" for index, _ in mine)
    names = tuple(f"cell in row {c.row}, column {c.col} at stride {stride:g}" for _, c in mine)
    strongest = Boxes(frames, colours=("accent",), width=0.8, pick="chosen", refs=refs, names=names)
    layers: list[Layer] = [strongest] if mine else []
    is_here = bool(mine) and mine[0][0] == 0
    return [*layers, Boxes(frames[:1], colours=("accent",), width=2.6)] if is_here else layers


def _moves(result: Result, level: int) -> list[Layer]:
    """Arrows for the level's largest gradients, and the chosen cell's box before and after a step."""
    if result.way is not None:
        return _way(result, result.way, level)
    if result.moved is None or result.state.term_and_part[0] not in ("total", "box"):
        return []
    before, step = result.moved.before, result.moved.after - result.moved.before  # (n, 4) xywh
    mine = [index for index, cell in enumerate(result.strongest) if cell.level == level]
    reach = ARROW * max(result.state.shown.size)
    shift = step[:, :2] * reach / step[:, :2].norm(dim=1).max().clamp(min=TINY) if mine else step[:, :2]
    ends = torch.cat((before[:, :2], before[:, :2] + shift), 1)  # (n, 4)
    others = [index for index in mine if index != result.chosen]
    layers: list[Layer] = [_arrows(ends, others, faint("accent"), 1.0)] if others else []
    if result.chosen in mine:
        layers.append(_arrows(ends, [result.chosen], "accent", 2.0))
        box, change = xywh_to_xyxy(torch.stack((before[result.chosen], (before + step)[result.chosen])))
        moved = box + (change - box) * reach / (change - box).abs().max().clamp(min=TINY)
        layers.append(Boxes(table_of(box[None], 4, "boxes"), colours=("prediction",)))
        layers.append(Boxes(table_of(moved[None], 4, "boxes"), colours=("accent",), dash="dashed"))
    return layers


def _arrows(ends: Tensor, cells: list[int], paint: str, width: float) -> Arrows:
    return Arrows(table_of(ends[cells], 4, "arrows"), paint, width, tuple(f"chosen {index}" for index in cells))


def _way(result: Result, way: Tensor, level: int) -> list[Layer]:
    """The chosen cell's box before the first step and at the present one, to scale, and its centre's way."""
    if result.strongest[result.chosen].level != level:
        return []
    before, now = (table_of(xywh_to_xyxy(way[[step]]), 4, "boxes") for step in (0, result.state.step))
    label = f"step {result.state.step} of {len(way) - 1}"
    return [
        Boxes(before, colours=("prediction",)),
        Line(table_of(way[: result.state.step + 1, :2], 2, "points"), "accent"),
        Boxes(now, (label,), (), ("accent",), "dashed"),
    ]


def _legend(result: Result) -> tuple[Key, ...]:
    shown = [Key("object", "object", dash="solid")]
    if result.way is not None:
        shown.append(Key("predicted by the marked cell", "prediction", dash="solid"))
        return (*shown, Key("after this many steps down the loss", "accent", dash="dashed"), *_shades(result))
    if result.moved is not None and result.state.term_and_part[0] in ("total", "box"):
        shown.append(Key("predicted by the marked cell", "prediction", dash="solid"))
        shown.append(Key("after a step down the loss, exaggerated; arrows: centres", "accent", dash="dashed"))
    return (*shown, *_shades(result))


def _shades(result: Result) -> tuple[Key, Key]:
    middle = f"{10 ** (DECADES / 2):.0f} times smaller" if result.state.log else "half as large"
    return Key("largest gradient", YELLOW), Key(middle, GREEN)


def _layers_chart(result: Result) -> Chart:
    layers, log = result.layers or result.earlier, result.state.log
    title = "norm of the gradient of each layer's parameters"
    if layers is None:
        return Chart((), title, "a backward pass for each term", legend="beside", late=True)
    first_words = [name.split(" ", 1)[0] for name in layers.names]
    numbered = all(word.isdigit() for word in first_words)
    places = [float(word) if numbered else float(k) for k, word in enumerate(first_words)]
    marks = []
    for name, norms in (("total", layers.total), *zip(layers.terms, layers.norms, strict=True)):
        if norms.any():  # a term without a gradient has no line, a layer without has a gap where factors are drawn
            ys = (y if y > 0 or not log else math.nan for y in numbers(norms))
            marks.append(Series(name, tuple(places), tuple(ys)))
    caption = f"from {layers.names[0]} to {layers.names[-1]}; layers without parameters are left out"
    scale = "log" if log else "linear"
    return Chart(tuple(marks), title, caption, "layer", "norm", scale, legend="beside", late=result.layers is None)


def _cells_table(result: Result) -> Table:
    terms = ("total", *result.maps.terms)
    rows = []
    for cell in result.strongest:
        place = (str(result.strides[cell.level]), str(cell.row), str(cell.col), str(cell.anchor))
        rows.append((*place, _responsible_for(result, cell.target), *(f"{cell.norms[term]:.3g}" for term in terms)))
    columns = ("stride", "row", "column", "anchor", "responsible for", *terms)
    caption = "norm of each term's gradient on the numbers of one cell and anchor" if rows else "no cell has a gradient"
    title = f"cells with the largest gradient of {result.state.term}"
    marked = (result.chosen,) if rows else ()
    return Table(columns, tuple(rows), title, caption, marked, pick="chosen")


def _responsible_for(result: Result, target: int | None) -> str:
    if result.maps.matches is None:
        return "not known"
    if target is None:
        return "background"
    return f"{target} {class_name(int(result.state.objects[target][4]), result.state.names)}"


def words_of(result: Result) -> str:
    """Where the gradients are, without figures that differ from machine to machine."""
    state, maps = result.state, result.maps
    lines = [
        f"{state.shown.name}: {counted(len(state.objects), 'object')}; cells shaded by the gradient of {state.term}"
    ]
    if maps.matches is not None:
        pairs = zip(maps.matches, result.strides, strict=True)
        each = (f"{len(match.image)} at stride {stride}" for match, stride in pairs)
        lines.append(f"matches: {', '.join(each)}")
    silent = [term for term, norms in zip(maps.terms, maps.norms, strict=True) if not norms.any()]
    if silent:
        lines.append(f"no gradient: {', '.join(silent)}")
    gradients = sorted(zip(maps.norms.norm(dim=1).tolist(), maps.terms, strict=True), reverse=True)
    if len(gradients) == 1 or (gradients[0][0] > CLEARLY * gradients[1][0] and math.isfinite(gradients[0][0])):
        lines.append(f"{gradients[0][1]} has the largest gradient on the maps")
    return "\n".join(lines)
