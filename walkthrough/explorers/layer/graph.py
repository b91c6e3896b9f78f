"""The layers of a model as a drawn graph: finer grids above, coarser ones below, so that a detector's U is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from walkthrough.graphs import CHOSEN, FILLS, FLOW, LABEL, SKIP, ground
from walkthrough.layers.record import LayerRecord
from walkthrough.layers.table import shape_in_words
from walkthrough.scene import Arrows, Boxes, Layer, Line, Panel, Text

WIDTH, LEFT, TOP, NODE_HEIGHT, GAP, ROW_GAP, ABREAST = 872, 64, 22, 32, 10, 22, 4
WIDEST_NODE, LETTER, EDGE = 92, 0.56, 2  # pixels of a node; of a letter, about, beside its size; beside the words
SIZES = ((10, 9, 8), (9, 8))  # of both lines of words: the first that fits
LEGIBLE = 820.0  # CSS pixels: in less room the words of a layer, which stay 9 to 12 px high, run into its neighbour's
SHIFTS = (-5, 0, 5)  # of edges in one lane
Place = tuple[float, float, float, float]  # x1, y1, x2, y2
Edge = tuple[int, int]  # the layer that gives, the one that reads
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Slot:
    """Where a layer stands: which run of layers, which row of one stride, which place in them."""

    leg: int
    row: int
    line: int  # rows of one stride that are too long go on in a line below
    place: int


def graph_panel(
    records: Sequence[LayerRecord],
    chosen: int,
    image: tuple[int, int],
    groups: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Panel:
    """The graph, one layer chosen; a click on a layer sets the field ``layer``.

    Args:
        records: of all layers. image: rows and columns of the image, which give the strides.
        groups: layers that stand together for what a row of a table is about, by the row's ref.
    """
    strides = [stride_of(record, image[0]) for record in records]
    slots = _slots(records, strides)
    places, height, tops = _places(slots)
    if records[-1].part == "head":
        places[-1] = _head(places, records[-1])
    edges = [(source, record.index) for record in records for source in record.inputs if source >= 0]
    layers: list[Layer] = [ground(WIDTH, height), *_names(records, strides, slots, places, tops)]
    routes = _routes(edges, places)
    for edge in sorted(edges, key=lambda edge: chosen in edge):  # those of the chosen layer lie on top
        layers += _edge(*edge, routes[edge], chosen in edge)
    colours = tuple(FILLS[record.part] for record in records)
    names = tuple(_name(record) for record in records)
    layers += [Boxes(tuple(places), (), (), colours, width=1.0, pick="layer", fill=1.0, names=names)]
    layers += [Boxes((places[chosen],), (), (), (CHOSEN,), width=3.0)]
    lit = [(places[index], ref) for ref, indices in groups.items() for index in indices]
    layers += [Boxes(tuple(place for place, _ in lit), width=0, refs=tuple(ref for _, ref in lit))]
    for record, place in zip(records, places, strict=True):
        layers += _label(record, place)
    title = f"{len(records)} layers, layer {chosen} chosen" if len(records) > 1 else "one layer"
    return Panel(tuple(layers), WIDTH, height, title, least_width=LEGIBLE)


def stride_of(record: LayerRecord, rows: int) -> float:
    """Pixels of the image per row of a layer's grid; infinite where rows and columns were flattened away."""
    if not record.output_shapes:
        return float("inf")
    field = record.receptive_field
    return rows / field.grid[0] if field.dims is not None and field.grid[0] else float("inf")


def _slots(records: Sequence[LayerRecord], strides: Sequence[float]) -> list[Slot]:
    """A new run begins where the grid turns from coarser to finer or back, and where the neck begins."""
    order = {stride: row for row, stride in enumerate(sorted(set(strides)))}
    slots: list[Slot] = []
    leg, way = 0, 0
    counts: dict[tuple[int, int], int] = {}  # layers so far, by leg and row
    for record, stride in zip(records, strides, strict=True):
        row = order[stride]
        if slots:
            step = (row > slots[-1].row) - (row < slots[-1].row)
            if (step and way and step != way) or record.part != records[record.index - 1].part:
                leg, way = leg + 1, 0
            way = step or way
        count = counts.get((leg, row), 0)
        counts[leg, row] = count + 1
        slots.append(Slot(leg, row, count // ABREAST, count % ABREAST))
    return slots


def _places(slots: Sequence[Slot]) -> tuple[list[Place], float, list[float]]:
    """The box of each slot, the height of the whole, and where the row of each stride begins."""
    legs, rows = max(slot.leg for slot in slots) + 1, max(slot.row for slot in slots) + 1
    widths = [max(slot.place for slot in slots if slot.leg == leg) + 1 for leg in range(legs)]
    lines = [max(slot.line for slot in slots if slot.row == row) + 1 for row in range(rows)]
    column = min((WIDTH - LEFT) / sum(widths), WIDEST_NODE + GAP)
    tops = [float(TOP + ROW_GAP) + sum(lines[:row]) * (NODE_HEIGHT + ROW_GAP) for row in range(rows)]
    places: list[Place] = []
    for slot in slots:
        x = LEFT + (sum(widths[: slot.leg]) + slot.place) * column
        y = tops[slot.row] + slot.line * (NODE_HEIGHT + ROW_GAP)
        places.append((x, y, x + column - GAP, y + NODE_HEIGHT))
    return places, TOP + ROW_GAP + sum(lines) * (NODE_HEIGHT + ROW_GAP), tops


def _head(places: Sequence[Place], head: LayerRecord) -> Place:
    """The head stands beside all that it reads."""
    read = [places[source] for source in head.inputs if source >= 0]
    x1, y1, x2, y2 = places[-1]
    return x1, min([y1, *(place[1] for place in read)]), x2, max([y2, *(place[3] for place in read)])


def _names(
    records: Sequence[LayerRecord],
    strides: Sequence[float],
    slots: Sequence[Slot],
    places: Sequence[Place],
    tops: Sequence[float],
) -> list[Layer]:
    """The names of the parts above, the strides at the left."""
    names: list[Layer] = []
    for stride, top in zip(sorted(set(strides)), tops, strict=True):
        words = f"stride {stride:g}" if stride != float("inf") else "no grid"
        names.append(Text(6, top + NODE_HEIGHT / 2 - 6, words, LABEL, size=10))
    for part in dict.fromkeys(record.part for record in records if record.part):
        left = min(place[0] for record, place in zip(records, places, strict=True) if record.part == part)
        names.append(Text(left, 8, part, LABEL, size=12))
    return names


def _words(record: LayerRecord) -> tuple[str, str]:
    """Number and kind; what it gives out."""
    shapes = record.output_shapes
    shape = shape_in_words(shapes[0]) if shapes else "no tensor"
    return f"{record.index} {record.kind}", f"{len(shapes)} maps" if len(shapes) > 1 else shape


def _name(record: LayerRecord) -> str:
    words, gives = _words(record)
    return f"layer {words}, gives {gives}"


def _label(record: LayerRecord, place: Place) -> list[Layer]:
    """Number and kind, and below it the shape, as far as there is room."""
    x1, y1, x2, _ = place
    words, gives = _words(record)
    middle, room = (x1 + x2) / 2, (x2 - x1 - 2 * EDGE) * LEGIBLE / WIDTH  # where the graph is smallest
    (top, large), (below, small) = (
        _fitted(line, room, sizes) for line, sizes in zip((words, gives.replace(" x ", "x")), SIZES, strict=True)
    )
    return [
        Text(middle, y1 + 4, top, CHOSEN, "center", large),
        Text(middle, y1 + 17, below, LABEL, "center", small),
    ]


def _fitted(words: str, room: float, sizes: Sequence[int]) -> tuple[str, int]:
    """The words in the first of some sizes in which they fit, or cut in the last."""
    fits = [size for size in sizes if len(words) * LETTER * size <= room]
    return (words, fits[0]) if fits else (_cut(words, int(room / (LETTER * sizes[-1]))), sizes[-1])


def _cut(words: str, letters: int) -> str:
    return words if len(words) <= letters else words[: max(letters - 1, 1)] + "…"


def _routes(edges: Sequence[Edge], places: Sequence[Place]) -> dict[Edge, Points]:
    """The line of each edge: in the lane of its own, or in another one beside it where that is taken."""
    routes: dict[Edge, Points] = {}
    for source, target in edges:
        others = [place for index, place in enumerate(places) if index not in (source, target)]
        strangers = [points for edge, points in routes.items() if {source, target}.isdisjoint(edge)]
        lanes = [SHIFTS[(target + k) % len(SHIFTS)] for k in range(len(SHIFTS))]
        ways = [_route(places[source], places[target], others, lane) for lane in lanes]
        free = [points for points in ways if not any(_overlaps(points, stranger) for stranger in strangers)]
        routes[source, target] = free[0] if free else ways[0]
    return routes


def _overlaps(points: Points, others: Points) -> bool:
    """Whether two lines of level and upright parts run along each other for a while."""
    for (xa, ya), (xb, yb) in pairwise(points):
        for (xc, yc), (xd, yd) in pairwise(others):
            together = min(max(xa, xb), max(xc, xd)) - max(min(xa, xb), min(xc, xd))
            abreast = min(max(ya, yb), max(yc, yd)) - max(min(ya, yb), min(yc, yd))
            if (ya == yb == yc == yd and together > 0) or (xa == xb == xc == xd and abreast > 0):
                return True
    return False


def _edge(source: int, target: int, points: Points, lit: bool) -> list[Layer]:
    """A line of two or three parts, and an arrow at its end."""
    skip = target != source + 1
    colour = CHOSEN if lit else SKIP if skip else FLOW
    width = 2.2 if lit else 1.3
    *_, before, end = points
    line = Line(tuple(points), colour, "dashed" if skip else "solid", width)
    return [line, Arrows(((*_towards(end, before, 9), *end),), colour, width)]


def _route(source: Place, target: Place, others: Sequence[Place], shift: float) -> Points:
    """The first of the usual ways that crosses no other layer. shift: keeps edges of one lane apart."""
    x1, y1 = (source[0] + source[2]) / 2, (source[1] + source[3]) / 2
    x2, y2 = (target[0] + target[2]) / 2, (target[1] + target[3]) / 2
    near, far = (source[2], target[0]) if x2 > x1 else (source[0], target[2])
    if target[1] <= y1 <= target[3]:  # side by side, or the head, which is as high as all that it reads
        lane, under = source[1] - ROW_GAP / 2 + shift, source[3] + ROW_GAP / 2 + shift
        wishes = [
            [(near, y1), (far, y1)],
            [(x1, source[3]), (x1, under), (far, under)] if target[1] < under < target[3] else [],
            [(x1, source[1]), (x1, lane), (x2, lane), (x2, target[1])],
        ]
    else:
        leave, entry, side = (source[3], target[1], -1) if y2 > y1 else (source[1], target[3], 1)
        lane = entry + side * ROW_GAP / 2 + shift
        wishes = [
            [(x1, leave), (x2, entry)] if abs(x1 - x2) < 1 else [],
            [(near, y1), (x2, y1), (x2, entry)],
            [(x1, leave), (x1, lane), (x2, lane), (x2, entry)],
        ]
    free = [points for points in wishes if points and not any(_crosses(points, other) for other in others)]
    return free[0] if free else wishes[-1]


def _crosses(points: Points, place: Place) -> bool:
    """Whether a line of level and upright parts runs through a layer."""
    left, top, right, bottom = place
    return any(
        min(xa, xb) < right and left <= max(xa, xb) and min(ya, yb) < bottom and top <= max(ya, yb)
        for (xa, ya), (xb, yb) in pairwise(points)
    )


def _towards(end: tuple[float, float], before: tuple[float, float], length: float) -> tuple[float, float]:
    """A point so far before the end of a line."""
    dx, dy = before[0] - end[0], before[1] - end[1]
    part = min(length / max((dx * dx + dy * dy) ** 0.5, 1e-9), 1.0)
    return end[0] + part * dx, end[1] + part * dy
