"""What GradientExplorer computes: the cells with the largest gradients, and where a step moves their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.detector import up_to
from walkthrough.explorers.own_settings import OwnSettingsState, level_name
from walkthrough.gradients import CellGradient, LayerGradients, MapGradients, Pass, map_gradients, strongest_cells
from yolo_lite.hyperparameters import Hyperparameters

ALL_LEVELS = -1
LISTED = 8  # cells in the table
DOWN, STEP_DOWN = 10, 0.05  # steps down the loss of one box, and the most that the first changes its cell's numbers by
STEP = 0.1  # of gradient descent on the maps: the most that any of their numbers changes by


@dataclass(frozen=True, eq=False)
class Backward:
    """One picture through the model, and back from each term of its loss."""

    model: Any
    pixels: Any  # of the picture
    through: Pass
    hyp: Hyperparameters
    options: dict[str, Any]  # of criterion: settings of the detector's own
    objects: tuple
    maps: MapGradients
    cells: Tensor | None  # (n, 4) int64: level, anchor, row, column of each decoded box; None: the loss does not say
    earlier: LayerGradients | None  # of the settings before, as far as they were looked at
    loss: Any
    targets: Tensor  # (n, 6)
    ways: dict[tuple[int, ...], Tensor] = field(default_factory=dict)  # cell -> descend(...), once it was asked for

    @cached_property
    def layers(self) -> LayerGradients:
        """The gradients carried back through the network; computed when first asked for, as it takes long."""
        return self.through.layer_gradients(self.maps)

    @property
    def last_known(self) -> LayerGradients | None:
        """The layers as far as they are computed: these, or those of the settings before."""
        return vars(self).get("layers", self.earlier)


def shown_terms(state: "State") -> list[str]:
    """What may be shown: a term, all together, or where the loss knows its positives, objectness of them and others.

    Without objectness, as in SSD, RetinaNet and FCOS, it is the classes that distinguish background.
    """
    if state.backward is None:
        return ["total"]
    terms = state.backward.maps.terms
    of_both = "obj" if "obj" in terms else "cls"  # the term that positives and background have
    is_told = state.backward.maps.matches is not None and of_both in terms
    parts = [f"{of_both} positive", f"{of_both} background"] if is_told else []
    return ["total", *terms, *parts]


def shown_levels(state: "State") -> dict[str, int]:
    """The choices of a level: all, then each by its stride; -> index of the level, or ALL_LEVELS."""
    strides = state.model.strides if state.model is not None else ()
    return {"all": ALL_LEVELS} | {level_name(int(stride)): level for level, stride in enumerate(strides)}


def _gain(name: str, high: float, step: float, help: str) -> Any:
    default = getattr(Hyperparameters, name)
    return slider(
        default, 0, up_to(name, high), step, group="loss", help=help, shown=lambda state: bool(state.uses_hyp)
    )


@dataclass(frozen=True)
class State(OwnSettingsState):
    """What is looked at, and the settings of the loss."""

    term: str = choice("total", shown_terms, help="the loss term whose gradient colours the cells", linked=False)
    level: int = choice(ALL_LEVELS, shown_levels, help="the gradient on all grids side by side, or one of them large")
    log: bool = toggle(
        True,
        label="logarithmic",
        help="each step of the shades is a factor: small gradients are seen beside large ones",
    )
    chosen: tuple[float, float] | None = point(
        help='unfold "cells with the largest gradient" and click a row: its box and where a step down its loss moves it'
    )
    step: int = slider(
        0,
        0,
        DOWN,
        label="step",
        help="down the loss: where the box of the chosen cell is after this many steps against the gradient",
        linked=False,
        shown=lambda state: state.backward is not None and state.backward.cells is not None,
        plays=0.5,
    )
    box: float = _gain(
        "box", 0.5, 0.005, "factor of the box loss in the sum: more of the gradient goes into places and sizes"
    )
    obj: float = _gain(
        "obj", 4, 0.01, "factor of the objectness loss in the sum: more of it goes into whether there is an object"
    )
    cls: float = _gain("cls", 4, 0.01, "factor of the class loss in the sum: more of it goes into which class it is")
    anchor_t: float = slider(
        Hyperparameters.anchor_t,
        1.1,
        up_to("anchor_t", 10),
        group="loss",
        help="an anchor matches an object when no side differs by this factor or more: other cells get a gradient",
        shown=lambda state: state.uses_hyp,
    )
    backward: Backward | None = given()

    @property
    def term_and_part(self) -> tuple[str, Any]:
        """The term, and which of the cells: "" for all of them."""
        term, _, part = self.term.partition(" ")
        return term, part


class Moved(NamedTuple):
    """Boxes that a cell predicts, in pixels, before and after a step of gradient descent on the raw maps."""

    before: Tensor  # (n, 4) xywh
    after: Tensor


class Result(NamedTuple):
    """What is known after one backward pass."""

    maps: MapGradients
    strongest: tuple[CellGradient, ...]  # of the chosen term and level, largest gradient first
    moved: Moved | None  # of these cells; None where the loss does not say which box is of which cell
    strides: tuple[int, ...]  # of the model's levels
    state: State  # the settings; without the model, and without the passes through it
    layers: LayerGradients | None  # the gradients of each layer's parameters; None: not computed yet, as it takes long
    earlier: LayerGradients | None = None  # those of the settings before, until then
    way: Tensor | None = None  # (DOWN + 1, 4) xywh: the chosen cell's box down its loss; None: at step 0 nobody asked

    @property
    def chosen(self) -> int:
        """The row of strongest that is looked at."""
        row = int(self.state.chosen[0]) if self.state.chosen else 0
        return row if 0 <= row < len(self.strongest) else 0


def compute(state: State) -> Result:
    """The cells with the largest gradients, and where a step moves their boxes."""
    if state.backward is None:
        raise ValueError("there is no picture, so there is no gradient")
    term, part = state.term_and_part
    level = None if state.level == ALL_LEVELS else state.level
    maps = state.backward.maps
    if not maps.norms.isfinite().all():
        raise ValueError("the gradient is not finite: the model's maps, or its loss, hold values that are not")
    strongest = tuple(strongest_cells(maps, term, level, 0, LISTED, part))
    result = Result(
        maps,
        strongest,
        move_boxes(state.backward, strongest),
        tuple(int(stride) for stride in state.model.strides),
        replace(state, model=None, backward=None),
        vars(state.backward).get("layers"),
        state.backward.last_known,
    )
    is_asked = state.step and strongest and state.backward.cells is not None
    return result._replace(way=descend(state.backward, strongest[result.chosen])) if is_asked else result


def finish(state: State, result: Result) -> Result:
    """The gradients of the layers' parameters added: a backward pass for each term."""
    return result if state.backward is None else result._replace(layers=state.backward.layers)


def cells_of(loss: Any, maps: Sequence[Tensor], targets: Tensor) -> Tensor | None:
    """(n, 4) level, anchor, row and column of each box that ``decode`` gives; None where the loss does not say."""
    return loss.assign([raw.detach() for raw in maps], targets).cells if hasattr(loss, "assign") else None


def descend(backward: Backward, cell: CellGradient) -> Tensor:
    """(DOWN + 1, 4) xywh: the box of a cell, in pixels, after each of DOWN steps of gradient descent on the raw maps.

    Down the box loss where the loss has one, else the total. The learning rate is such that the first step changes none
    of the cell's numbers by more than STEP_DOWN, and falls to 0. A cell without a gradient keeps its box.
    """
    place = (cell.level, cell.anchor, cell.row, cell.col)
    if place not in backward.ways:
        backward.ways[place] = _descend(backward, cell)
    return backward.ways[place]


def _descend(backward: Backward, cell: CellGradient) -> Tensor:
    maps, way, rate = [raw.detach() for raw in backward.through.maps], list[Tensor](), 0.0
    (row,) = _places(backward, [cell])
    for step in range(DOWN + 1):
        with torch.no_grad():
            way.append(backward.model.decode(maps)[0][row, :4].cpu())
        if step == DOWN:
            break
        found = map_gradients(backward.loss, maps, backward.targets, backward.model.decode, backward.maps.numbers)
        term = "box" if "box" in found.terms else "total"
        if not step:
            steepest = float(found.cells(term, cell.level)[0, cell.anchor, cell.row, cell.col])
            rate = STEP_DOWN / steepest if steepest else 0.0
        slower = rate * (1 - step / DOWN)
        maps = [raw - slower * gradient for raw, gradient in zip(maps, found.of(term), strict=True)]
    return torch.stack(way)


def move_boxes(backward: Backward, cells: Sequence[CellGradient]) -> Moved | None:
    """Decode the maps before and after a small step against the gradient of the total.

    The step changes no number of the maps by more than STEP. None where the loss does not say whose box
    is whose.
    """
    if backward.cells is None:
        return None
    maps, gradients = [raw.detach() for raw in backward.through.maps], backward.maps.of("total")
    steepest = max(gradient.abs().max() for gradient in gradients).clamp(min=torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        before = backward.model.decode(maps)[0]  # (n, 5 + C)
        after = backward.model.decode([raw - STEP / steepest * g for raw, g in zip(maps, gradients, strict=True)])[0]
    places = _places(backward, cells)
    return Moved(before[places, :4].cpu(), after[places, :4].cpu())


def _places(backward: Backward, cells: Sequence[CellGradient]) -> list[int]:
    """The rows of ``decode`` that hold the boxes of cells."""
    assert backward.cells is not None
    marked = [backward.cells.new_tensor([cell.level, cell.anchor, cell.row, cell.col]) for cell in cells]
    return [int((backward.cells == cell).all(1).nonzero()[0]) for cell in marked]
