"""show_block: what happens inside one block, as a graph of its modules and of the operations between them.

The graph is torch.fx's: it runs the block's forward with a stand-in for the input and writes down every call.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from walkthrough.graphs import CHOSEN, FILLS, FLOW, LABEL, LEGEND, SKIP, ground
from walkthrough.layers.follow import tensors_in
from walkthrough.layers.hooks import untouched
from walkthrough.layers.table import shape_in_words
from walkthrough.scene import Arrows, Boxes, Layer, Line, Panel, Scene, Text

WIDTH, COLUMN, GAP, NODE_HEIGHT, ROW, MARGIN, DIP = 872, 128, 26, 50, 70, 12, 11
LETTER = 5.6  # pixels of a letter, about
SHAPE = "walkthrough shape"  # under which a node's shape is noted
OPERATIONS = {"cat": "concat", "add": "add", "iadd": "add", "mul": "multiply", "getitem": "slice"}


@dataclass(frozen=True)
class Step:
    """A module or an operation of a block, or its input; what it reads are the numbers of earlier steps."""

    name: str  # "cv1", or "" where it is not a module
    what: str  # "Conv 1x1", "concat"
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    module: bool
    learns: bool  # it has parameters


def show_block(block: nn.Module, x: Tensor, title: str = "") -> Scene:
    """The inside of a block: its modules, the sums and concatenations between them, and the shapes.

    Sequentials are opened, other modules are one box each. The block is left as it was.

    Args:
        block: any module whose way does not depend on the values. x: its input.
    Raises:
        ValueError: a block that cannot be drawn, and why; an input that it cannot take.

    >>> from torch import zeros
    >>> from yolo_lite.model.blocks import Bottleneck
    >>> show_block(Bottleneck(16, 16), zeros(1, 16, 8, 8))
    Bottleneck: input (16 x 8 x 8) -> cv1 Conv 1x1 (8 x 8 x 8) -> cv2 Conv 3x3 (16 x 8 x 8) -> add (16 x 8 x 8)
    """
    steps = steps_of(block, x)
    panel = _panel(steps, title or type(block).__name__)
    skips = any(isinstance(layer, Line) and layer.colour == SKIP for layer in panel.layers)
    words = " -> ".join(f"{step.name} {step.what} ({shape_in_words(step.shape)})".strip() for step in steps)
    return Scene(((panel,),), LEGEND if skips else (), f"{panel.title}: {words}")


def steps_of(block: nn.Module, x: Tensor) -> list[Step]:
    """Every call of a block's forward, in order; the first is the input. See ``show_block``."""
    name = type(block).__name__
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is drawn with a tensor as its input, not {type(x).__name__}")
    with untouched(block):
        try:
            graph = _Calls().trace(block)
        except Exception as problem:  # the block is the reader's: whatever it raises becomes a sentence
            words = str(problem).split("\n")[0]
            raise ValueError(f"{name} cannot be drawn, as its way depends on its input: {words}") from problem
        try:
            _Shapes(fx.GraphModule(block, graph)).run(x.detach().clone())  # a block may write into what it is given
        except Exception as problem:
            reason = str(problem.__cause__ or problem).split("\n")[0]
            raise ValueError(f"{name} cannot take an input of shape {tuple(x.shape)}: {reason}") from problem
    nodes = [node for node in graph.nodes if SHAPE in node.meta and node.op not in ("output", "get_attr")]
    numbers = {node: index for index, node in enumerate(nodes)}
    return [_step(node, block, numbers) for node in nodes]


class _Calls(fx.Tracer):
    """Writes down calls of modules, without looking into any but Sequentials."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return not isinstance(module, nn.Sequential)


class _Shapes(fx.Interpreter):
    """Runs a graph and notes at each node the shape of the first tensor in what it gave, if there is one."""

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        first = next(tensors_in(result), None)
        if first is not None:
            node.meta[SHAPE] = tuple(first.shape)
        return result


def _step(node: fx.Node, block: nn.Module, numbers: dict[fx.Node, int]) -> Step:
    shape = node.meta[SHAPE]
    inputs = tuple(numbers[source] for source in node.all_input_nodes if source in numbers)
    if node.op == "call_module":
        module = block.get_submodule(str(node.target))
        return Step(
            str(node.target),
            f"{type(module).__name__}{_kernel(module)}",
            shape,
            inputs,
            True,
            any(True for _ in module.parameters()),
        )
    if node.op == "placeholder":
        return Step("", "input", shape, inputs, False, False)
    what = node.target if isinstance(node.target, str) else node.target.__name__
    return Step("", OPERATIONS.get(what, what), shape, inputs, False, False)


def _kernel(module: nn.Module) -> str:
    """The window of a convolution or a pool, or of the one convolution in a Conv."""
    size = getattr(getattr(module, "conv", module), "kernel_size", None)
    if size is None:
        return ""
    if isinstance(size, int):
        dims = re.search(r"(\d)d$", type(module).__name__)  # MaxPool1d
        size = (size,) * (int(dims[1]) if dims else 2)
    return f" {'x'.join(map(str, size))}"


# ---- drawing ---------------------------------------------------------------------------------------------------------


def _panel(steps: Sequence[Step], title: str) -> Panel:
    """Steps from left to right, as far as the longest way to them; branches below one another."""
    slots = _slots(steps)
    column = min(COLUMN, WIDTH / (max(col for col, _ in slots) + 1))
    gap = GAP * column / COLUMN
    places = [
        (col * column + gap / 2, MARGIN + row * ROW, (col + 1) * column - gap / 2, MARGIN + row * ROW + NODE_HEIGHT)
        for col, row in slots
    ]
    edges = [(source, target) for target, step in enumerate(steps) for source in step.inputs]
    bottom = max(place[3] for place in places)
    layers: list[Layer] = []
    dips = 0
    for source, target in sorted(edges, key=lambda edge: slots[edge[1]][0] - slots[edge[0]][0]):
        points = _route(source, target, slots, places)
        if not points:  # below everything, the longest way lowest
            dips += 1
            points = _dip(places[source], places[target], bottom + DIP * dips, dips)
        layers += _edge(points, slots[target][0] - slots[source][0] > 1)
    height = bottom + DIP * dips + MARGIN
    layers += [Boxes(tuple(places), (), (), tuple(map(_fill, steps)), width=1.0, fill=1.0)]
    for step, place in zip(steps, places, strict=True):
        layers += _label(step, place)
    return Panel((ground(WIDTH, height), *layers), WIDTH, height, title)


def _fill(step: Step) -> str:
    """One colour each for the input, operations, modules that learn, and the others, such as pools."""
    return FILLS["" if not step.inputs else "head" if not step.module else "backbone" if step.learns else "neck"]


def _slots(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Column and row of each step: right of all that it reads, in the row of the first of them where that is free."""
    slots: list[tuple[int, int]] = []
    for step in steps:
        col = max((slots[source][0] + 1 for source in step.inputs), default=0)
        row = min((slots[source][1] for source in step.inputs), default=0)
        while (col, row) in slots:
            row += 1
        slots.append((col, row))
    return slots


def _route(
    source: int, target: int, slots: Sequence[tuple[int, int]], places: Sequence[tuple[float, ...]]
) -> list[tuple[float, float]]:
    """Straight, or round one corner; nothing where another step stands in the way."""
    (col, row), (end, end_row) = slots[source], slots[target]
    (x1, y1), (x2, y2) = (((p[0] + p[2]) / 2, (p[1] + p[3]) / 2) for p in (places[source], places[target]))
    if row >= end_row and not any((between, row) in slots for between in range(col + 1, end)):
        if row == end_row:
            return [(places[source][2], y1), (places[target][0], y2)]
        if not any((end, between) in slots for between in range(end_row + 1, row + 1)):
            return [(places[source][2], y1), (x2, y1), (x2, places[target][3])]
    if row < end_row and not any((between, end_row) in slots for between in range(col, end)):
        return [(x1, places[source][3]), (x1, y2), (places[target][0], y2)]
    return []


def _dip(source: tuple[float, ...], target: tuple[float, ...], y: float, number: int) -> list[tuple[float, float]]:
    """Down, below all steps, and up; each further one enters a little to the right of the one before."""
    x1, x2 = (source[0] + source[2]) / 2, (target[0] + target[2]) / 2 + 10 * (number - 2)
    return [(x1, source[3]), (x1, y), (x2, y), (x2, target[3])]


def _edge(points: Sequence[tuple[float, float]], skip: bool) -> list[Layer]:
    colour = SKIP if skip else FLOW
    line = [Line(tuple(points[:-1]), colour, "dashed" if skip else "solid", 1.5)] if len(points) > 2 else []
    return [*line, Arrows(((*points[-2], *points[-1]),), colour, 1.5)]


def _label(step: Step, place: tuple[float, ...]) -> list[Layer]:
    """Name, kind and shape."""
    x1, y1, x2, _ = place
    middle, letters = (x1 + x2) / 2, int((x2 - x1) / LETTER)
    lines = [step.what, shape_in_words(step.shape)]
    lines = [step.name, *lines] if step.name else lines
    top = y1 + (NODE_HEIGHT - 15 * len(lines)) / 2 + 2
    cut = [line if len(line) <= letters else line[: max(letters - 1, 1)] + "…" for line in lines]
    return [
        Text(middle, top + 15 * number, line, LABEL if number + 1 == len(lines) else CHOSEN, "center", 10)
        for number, line in enumerate(cut)
    ]
