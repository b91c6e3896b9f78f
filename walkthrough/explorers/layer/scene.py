"""The picture of LayerExplorer: graph, what a cell sees, feature maps, what a skip brings, numbers, modules."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from walkthrough.explorers.layer.detail import Joined
from walkthrough.explorers.layer.graph import graph_panel
from walkthrough.explorers.layer.state import Result
from walkthrough.graphs import LEGEND
from walkthrough.images import faded, heat, to_numpy
from walkthrough.layers.record import LayerRecord
from walkthrough.layers.table import came_from, field_in_words, shape_in_words
from walkthrough.scene import Bars, Boxes, Chart, Key, Layer, More, Panel, Picture, Scene, Series, Table, Text
from walkthrough.seen import map_in_words
from walkthrough.show import class_name, show_feature_maps

PAGE, GAP, MAP_WIDTH = 16, 0.06, 160  # channels at a time; room between them, in widths of a map; that width
MOST_MODULES = 30
MOST_OBJECTS = 8
FIELD, CELL = "anchor", "own"


def takeaway_of(result: Result) -> str:
    """What the layer gives out, how much of the picture its cell sees, and which object counts most for it."""
    record, field = result.record, result.field
    gives = f"Layer {record.index} {record.kind} gives {shape_in_words(record.output_shapes[result.output])}"
    if field.dims is None or field.because:
        return f"{gives}."
    sees = f"its cell at row {result.cell[0]}, column {result.cell[1]} can see {_pixels(field_in_words(field))}"
    heard = [(reach.heard, number) for number, reach in enumerate(result.reach) if reach.heard]
    if not heard:
        return f"{gives}; {sees}."
    most, number = max(heard)
    name = class_name(int(result.picture.boxes[number][4]), result.names)
    return f"{gives}; {sees}, and {most:.0%} of what reaches it comes from the {name}."


def _pixels(size: str) -> str:
    """A size with its unit: 682 x 682 px, the whole image."""
    return f"{size} px" if size[0].isdigit() else f"the {size}"


def scene_of(result: Result) -> Scene:
    """All of it as data."""
    maps = _maps(result)
    stage = (_photograph(result), maps if maps is not None else _values(result))
    more = [More("the network", lambda: ((_network(result),),), LEGEND)]
    if result.reach:
        more.append(More("objects", lambda: ((_objects(result),),)))
    if (joined := result.joined) is not None:
        more.append(More("what is joined", lambda: (_joined(result, joined),)))
    more.append(More("numbers, modules", lambda: ((_numbers(result), _modules(result)),)))
    legend = (
        Key("the cell", CELL, dash="solid"),
        Key("what it can see", FIELD, dash="dashed"),
        *((Key("object", "object", dash="solid"),) if result.reach else ()),
    )
    return Scene((stage,), legend, more=tuple(more))


def _network(result: Result) -> Panel:
    """The graph; the layers that the chosen one reads are lit by their row among its numbers."""
    index, sources = result.record.index, [source for source in result.record.inputs if source >= 0]
    return graph_panel(result.records, index, result.picture.size, {"inputs": sources})


def _photograph(result: Result) -> Panel:
    height, width = result.picture.size
    sees, size = result.field.of(*result.cell), field_in_words(result.field)
    objects = tuple(box[:4] for box in result.picture.boxes)
    numbers = tuple(map(str, range(len(objects))))
    layers: list[Layer] = [
        Picture(_overlaid(result), shows=_overlaid_in_words(result)),
        Boxes((sees,), ("can see",), (), (FIELD,), "dashed", 2.0, refs=("field",)),
        Boxes(objects, numbers, width=1.2, drag="objects", refs=tuple(f"object {number}" for number in numbers)),
        _cell(result),
    ]
    caption = f"can see {size}"
    if result.effective is not None:
        heard = result.effective.size
        caption += f", effective field about {heard:.0f} x {heard:.0f} (orange)"
    title, drawn = f"what cell {result.cell} sees", (float(result.new_class),)
    return Panel(tuple(layers), width, height, title, caption, pick="place", draw="objects", drawn=drawn)


def _objects(result: Result) -> Table:
    """How much of each object the cell sees."""
    rows = []
    for index, (box, (seen, heard)) in enumerate(zip(result.picture.boxes, result.reach, strict=True)):
        x1, y1, x2, y2, cls = box
        name = f"{index} {class_name(int(cls), result.names)}"
        rows.append((name, f"{x2 - x1:.0f} x {y2 - y1:.0f}", f"{seen:.0%}", "" if heard is None else f"{heard:.0%}"))
    columns = ("object", "pixels", "in the receptive field", "of the gradient")
    caption = f"{len(rows) - MOST_OBJECTS} more are not shown" if len(rows) > MOST_OBJECTS else ""
    refs = tuple(f"object {index}" for index in range(min(len(rows), MOST_OBJECTS)))
    return Table(columns, tuple(rows[:MOST_OBJECTS]), f"the objects, and cell {result.cell}", caption, refs=refs)


def _overlaid(result: Result) -> np.ndarray:
    """The picture, pale where the cell cannot see, and orange where its gradient is large."""
    pixels = result.picture.pixels
    x1, y1, x2, y2 = result.field.of(*result.cell)
    shown = faded(pixels) * 0.7
    shown[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
    if result.effective is not None:
        gradient = to_numpy(result.effective.gradient)
        fraction = np.sqrt(gradient / max(float(gradient.max()), 1e-30))[..., None]  # roots: else only peaks are seen
        shown = shown * (0.85 - 0.75 * fraction) + fraction * np.array([255, 160, 0])
    return np.clip(np.round(shown), 0, 255).astype(np.uint8)


def _overlaid_in_words(result: Result) -> str:
    (x1, y1, x2, y2), heard = result.field.of(*result.cell), result.effective
    orange = "" if heard is None else f"; orange where its gradient is large, about {heard.size:.0f} px wide"
    return f"bright where the cell can see, x {x1} to {x2} and y {y1} to {y2}{orange}"


def _cell(result: Result) -> Boxes:
    """The cell at its place in the picture."""
    (height, width), (rows, cols) = result.picture.size, _grid(result)
    row, col = result.cell
    xyxy = (col * width / cols, row * height / rows, (col + 1) * width / cols, (row + 1) * height / rows)
    return Boxes((xyxy,), (), (), (CELL,), width=2.0)


def _grid(result: Result) -> tuple[int, int]:
    return result.field.grid if result.field.dims is not None else (1, 1)


def _maps(result: Result) -> Panel | None:
    """A page of the output's channels, the cell marked on each; None where there is no grid."""
    output, grid = result.record.outputs[result.output], result.field.grid
    if not is_map(result.record, result.output):
        return None
    first = max(result.channel, 0) // PAGE * PAGE if output.ndim == 4 else 0
    count, unit = min(PAGE, output.shape[1] - first), _unit(grid)
    shown = show_feature_maps(output, PAGE, 0, _columns(count), first).rows[0][0]
    if not isinstance(shown, Panel):
        return None
    panel = _enlarged(shown, unit)
    tiles = [_tile(index, count, grid) for index in range(count)]
    y, x = (place * unit for place in result.cell)
    cells = tuple((left + x, top + y, left + x + unit, top + y + unit) for left, top in tiles)
    layers: list[Layer] = [*panel.layers, Boxes(cells, (), (), (CELL,), width=1.0)]
    if output.ndim == 4 and first <= result.channel < first + count:
        left, top = tiles[result.channel - first]
        layers.append(Boxes(((left, top, left + grid[1] * unit, top + grid[0] * unit),), (), (), ("own",), width=3.0))
    title = f"layer {result.record.index}: {'feature maps' if output.ndim == 4 else 'objectness, by anchor'}"
    return replace(panel, layers=tuple(layers), title=title, pick="map_place")


def _unit(grid: tuple[int, int]) -> float:
    """The side of a cell on the page: a page reports clicks in whole pixels, so maps are drawn large."""
    return max(MAP_WIDTH / grid[1], 1.0)


def _enlarged(panel: Panel, unit: float) -> Panel:
    """Pictures and words of a panel on a larger plane."""
    layers: list[Layer] = []
    for layer in panel.layers:
        match layer:
            case Picture(extent=(x1, y1, x2, y2)):
                layers.append(replace(layer, extent=(x1 * unit, y1 * unit, x2 * unit, y2 * unit)))
            case Text():
                layers.append(replace(layer, x=layer.x * unit, y=layer.y * unit))
            case _:
                layers.append(layer)
    return replace(panel, layers=tuple(layers), width=panel.width * unit, height=panel.height * unit)


def is_map(record: LayerRecord, output: int) -> bool:
    """Whether an output is (N, C, H, W), or (N, A, H, W, 5 + C) as of a detection head."""
    return record.receptive_fields[output].dims == (2, 3) and len(record.output_shapes[output]) in (4, 5)


def _columns(count: int) -> int:
    """Maps side by side: as many as make the page about as wide as it is high."""
    return math.ceil(math.sqrt(count))


def _tile(index: int, count: int, grid: tuple[int, int]) -> tuple[float, float]:
    """The upper left corner of a map on its page, as show_feature_maps lays them out."""
    gap, unit = GAP * grid[1], _unit(grid)
    row, col = divmod(index, _columns(count))
    return col * (grid[1] + gap) * unit, row * (grid[0] + gap) * unit


def place_in_maps(
    record: LayerRecord, output: int, first: int, place: tuple[float, float]
) -> tuple[int, int, int] | None:
    """Channel, row and column that a click on the page of maps means; None beside them."""
    if not is_map(record, output):
        return None
    shape, (rows, cols) = record.output_shapes[output], record.receptive_fields[output].grid
    count = min(PAGE, shape[1] - first) if len(shape) == 4 else shape[1]
    for index in range(count):
        left, top = _tile(index, count, (rows, cols))
        x, y = (place[0] - left) / _unit((rows, cols)), (place[1] - top) / _unit((rows, cols))
        if 0 <= x < cols and 0 <= y < rows:
            return (first + index if len(shape) == 4 else index * shape[4] + 4), int(y), int(x)
    return None


def _values(result: Result) -> Chart:
    """An output without a grid: its values for the picture."""
    values = tuple(to_numpy(result.record.outputs[result.output])[0].ravel()[:2000].tolist())
    few = len(values) <= PAGE
    names = tuple(map(str, range(len(values))))
    mark = Bars(names, values) if few else Series("", tuple(map(float, range(len(values)))), values)
    return Chart((mark,), f"layer {result.record.index}: its values", "", "channel", "value")


def _joined(result: Result, found: Joined) -> tuple[Panel, ...]:
    """Before and after the upsampling, the skip's map, and what only that one knows."""
    block = f"{found.factor} x {found.factor}"
    parts = (
        (found.before, f"layer {found.coarse}, coarse", f"{_size(found.before)} cells"),
        (found.after, f"layer {found.up}, upsampled", f"in {block} blocks {found.share_up:.0%} of its variance"),
        (found.fine, f"layer {found.skip}, the skip", f"in {block} blocks {found.share_fine:.0%} of its variance"),
        (found.detail, "what only the skip knows", f"layer {found.skip} less its {block} means"),
    )
    return tuple(_strength(result, *part) for part in parts)


def _size(maps: Tensor) -> str:
    return " x ".join(map(str, maps.shape))


def _strength(result: Result, maps: Tensor, title: str, caption: str) -> Panel:
    height, width = result.picture.size
    picture = Picture(heat(maps), (0, 0, width, height), map_in_words(to_numpy(maps)))
    return Panel((picture, _cell(result)), width, height, title, caption, pick="place")


def _numbers(result: Result) -> Table:
    record, statistics = result.record, result.record.statistics[result.output]
    total = [sum(getattr(r, name) for r in result.records) or 1 for name in ("parameters", "flops", "seconds")]
    shapes = ", ".join(map(shape_in_words, record.input_shapes))
    rows = (
        ("from", came_from(record)),
        ("input", shapes),
        ("output", shape_in_words(record.output_shapes[result.output])),
        ("parameters", f"{record.parameters:,} ({record.parameters / total[0]:.1%} of all)"),
        ("MFLOPs", f"{record.flops / 1e6:,.1f} ({record.flops / total[1]:.1%})"),
        ("time", f"{record.seconds * 1e3:.2f} ms ({record.seconds / total[2]:.1%})"),
        ("a cell can see", repr(result.field)),
        ("values", f"mean {statistics.mean:.3g}, std {statistics.std:.3g}"),
        ("range", f"{statistics.min:.3g} to {statistics.max:.3g}"),
        ("zero, negative, NaN", f"{statistics.zeros:.1%}, {statistics.negatives:.1%}, {statistics.nans:.1%}"),
    )
    about = {"from": "inputs", "input": "inputs", "a cell can see": "field"}  # the others: the layer itself
    refs = tuple(about.get(name, f"layer {record.index}") for name, _ in rows)
    return Table(("", f"layer {record.index} {record.kind}"), rows, refs=refs)


def _modules(result: Result) -> Table:
    """The modules that the layer calls, in that order."""
    rows = [row for module in result.record.inside for row in _module_rows(module, result, 0)]
    caption = f"{len(rows) - MOST_MODULES} more are not shown" if len(rows) > MOST_MODULES else ""
    if not rows:
        rows = [("none", "", "", "")]
    columns, rows = ("modules in it", "output", "parameters", "MFLOPs"), rows[:MOST_MODULES]
    return Table(columns, tuple(rows), "", caption, refs=(f"layer {result.record.index}",) * len(rows))


def _module_rows(module: LayerRecord, result: Result, depth: int) -> Iterator[tuple[str, ...]]:
    name = module.name.removeprefix(result.record.name + ".")
    shapes = "  ".join(map(shape_in_words, module.output_shapes))
    yield f"{name} {module.kind}", shapes, f"{module.parameters:,}", f"{module.flops / 1e6:,.1f}"
    for inner in module.inside if result.every_module else ():
        yield from _module_rows(inner, result, depth + 1)
