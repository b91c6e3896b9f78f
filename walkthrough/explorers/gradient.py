"""GradientExplorer: after one backward pass, who pulls on which layer and on which cell, and how hard."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.detector import DetectorExplorer, DetectorState, training_size, up_to
from walkthrough.explorers.gradient_scene import scene_of, words_of
from walkthrough.explorers.hyp import hyp_code, hyp_of
from walkthrough.explorers.pictures import images_of, taking, targets_of
from walkthrough.gradients import CellPull, LayerPulls, MapPulls, Pass, pull_on_maps, strongest_cells
from walkthrough.scene import Scene
from yolo_lite.hyperparameters import Hyperparameters

ALL_LEVELS = -1
LISTED = 8  # cells in the table
STEP = 0.1  # of gradient descent on the maps: the most that any of their numbers changes by


@dataclass(frozen=True, eq=False)
class Backward:
    """One picture through the model, and back from each term of its loss."""

    model: Any
    pixels: Any  # of the picture
    through: Pass
    hyp: Hyperparameters
    objects: tuple
    maps: MapPulls
    earlier: LayerPulls | None  # of the settings before, as far as they were looked at

    @cached_property
    def layers(self) -> LayerPulls:
        """The pulls carried back through the network; computed when first asked for, as it takes long."""
        return self.through.pull_on_layers(self.maps)

    @property
    def last_known(self) -> LayerPulls | None:
        """The layers as far as they are computed: these, or those of the settings before."""
        return vars(self).get("layers", self.earlier)


def _terms(state: "State") -> list[str]:
    """What may be shown: a term, all together, or where the loss knows its positives, objectness of them and others."""
    if state.backward is None:
        return ["total"]
    terms = state.backward.maps.terms
    parts = ["obj positive", "obj background"] if state.backward.maps.matches is not None else []
    return ["total", *terms, *parts]


def _levels(state: "State") -> dict[str, int]:
    strides = state.model.strides if state.model is not None else ()
    return {"all": ALL_LEVELS} | {f"stride {int(stride)}": level for level, stride in enumerate(strides)}


@dataclass(frozen=True)
class State(DetectorState):
    """What is looked at, and the settings of the loss."""

    term: str = choice("total", _terms, help="the pull that the cells are coloured by", linked=False)
    level: int = choice(ALL_LEVELS, _levels)
    log: bool = toggle(True, label="logarithmic", help="shades and norms by factors instead of differences")
    chosen: tuple[float, float] | None = point(help="click a row of the table: that cell's box, and where it is pulled")
    box: float = slider(Hyperparameters.box, 0, up_to("box", 0.5), 0.005, group="loss", help="gain of the box loss")
    obj: float = slider(Hyperparameters.obj, 0, up_to("obj", 4), 0.01, group="loss", help="gain of objectness")
    cls: float = slider(Hyperparameters.cls, 0, up_to("cls", 4), 0.01, group="loss", help="gain of the class loss")
    anchor_t: float = slider(Hyperparameters.anchor_t, 1.1, up_to("anchor_t", 10), group="loss", help="for a match")
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


class Pulled(NamedTuple):
    """What is known after one backward pass."""

    maps: MapPulls
    strongest: tuple[CellPull, ...]  # of the chosen term and level, hardest first
    moved: Moved | None  # of these cells; None where the detector's boxes cannot be told from its maps
    state: State

    @property
    def layers(self) -> LayerPulls:
        """Who pulls on the parameters of each layer."""
        return self.state.backward.layers

    @property
    def chosen(self) -> int:
        """The row of strongest that is looked at."""
        row = int(self.state.chosen[0]) if self.state.chosen else 0
        return row if 0 <= row < len(self.strongest) else 0


class GradientExplorer(DetectorExplorer):
    """Gradient norms by layer and loss term, and on the picture: which cells are pulled, by which term, how hard.

    The shown picture is the batch. The model runs in the mode it is in, and comes out as it went in; one backward pass
    for each term follows another picture, moved objects, and changed settings of the loss.

    Args:
        images, targets, names, img_size, hyp: see DetectorExplorer.
        model: a detector that is a torch module; left out: the weights "shapes-n".

    >>> w = GradientExplorer()  # doctest: +SKIP
    >>> w.term, w.level = "box", 1  # doctest: +SKIP
    >>> w.result.strongest[0].norms["box"] == w.result.maps.cells("box", 1).max()  # doctest: +SKIP
    tensor(True)
    """

    State = State
    title = "Gradients"

    @classmethod
    def first_pass(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """One pass through the network and back."""
        return {"backward": _backward(State(**inputs))}

    def settle(self, before: State, after: State) -> State:
        """Passes through the model where the picture, its objects or the loss changed."""
        after = super().settle(before, after)
        if not after.pictures:
            return after
        if after.level not in _levels(after).values():
            after = replace(after, level=ALL_LEVELS)
        backward = _backward(after)
        if backward is not after.backward:
            after = replace(after, backward=backward)
            after = replace(after, term=after.term if after.term in _terms(after) else "total")
        shown = ("term", "level", "picture")
        if any(getattr(before, name) != getattr(after, name) for name in shown) and after.chosen == before.chosen:
            after = replace(after, chosen=None)  # the rows are others now
        return after

    @staticmethod
    def compute(state: State) -> Pulled:
        """The cells that are pulled hardest, and where their boxes are pulled to."""
        if state.backward is None:
            raise ValueError("there is no picture, so there is no gradient")
        term, part = state.term_and_part
        level = None if state.level == ALL_LEVELS else state.level
        maps = state.backward.maps
        if not maps.norms.isfinite().all():
            raise ValueError("the gradient is not finite: the model's maps, or its loss, hold values that are not")
        strongest = tuple(strongest_cells(maps, term, level, 0, LISTED, part))
        return Pulled(maps, strongest, move_boxes(state.backward, strongest), state)

    @staticmethod
    def scene(result: Pulled) -> Scene:
        """The cells of each level, the layers, the strongest cells."""
        return scene_of(result, result.layers)

    @staticmethod
    def draft(result: Pulled) -> Scene | None:
        """The cells at once; the layers, a backward pass for each term, a moment later."""
        backward = result.state.backward
        if backward.last_known is None or "layers" in vars(backward):
            return None
        return scene_of(result, backward.last_known, late=True)

    def words(self) -> str:
        """Who is pulled, as far as it is the same on every machine."""
        return words_of(self.result)

    def as_code(self) -> str:
        """The same gradients, for any images and targets."""
        size = training_size(self.state.pictures) if self.state.pictures else 640
        return (
            "from walkthrough.gradients import maps_of, pull_on_layers, pull_on_maps\n"
            f"{hyp_code(hyp_of(self.state, self.state.hyp))}\n"
            f"loss = model.criterion(hyp, img_size={size})\n"
            "layers = pull_on_layers(model, loss, images, targets)\n"
            "cells = pull_on_maps(loss, maps_of(model, images), targets)"
        )


def move_boxes(backward: Backward, cells: Sequence[CellPull]) -> Moved | None:
    """Decode the maps before and after a small step against the gradient of the total.

    The step changes no number of the maps by more than STEP. None where the boxes are not the maps' cells in order.
    """
    maps, gradients = [raw.detach() for raw in backward.through.maps], backward.maps.of("total")
    if any(raw.ndim != 5 for raw in maps):
        return None
    counts = [raw[0, ..., 0].numel() for raw in maps]
    steepest = max(gradient.abs().max() for gradient in gradients).clamp(min=torch.finfo(torch.float32).tiny)
    with torch.no_grad():
        before = backward.model.decode(maps)[0]  # (n, 5 + C)
        after = backward.model.decode([raw - STEP / steepest * g for raw, g in zip(maps, gradients, strict=True)])[0]
    if len(before) != sum(counts):
        return None
    places = [
        sum(counts[: cell.level]) + (cell.anchor * maps[cell.level].shape[2] + cell.row) * maps[cell.level].shape[3]
        + cell.col
        for cell in cells
    ]  # fmt: skip
    return Moved(before[places, :4].cpu(), after[places, :4].cpu())


def _backward(state: State) -> Backward:
    """The passes that belong to a state; those it has already, where they still do."""
    known, hyp, shown = state.backward, hyp_of(state, state.hyp), state.shown
    same_pass = known is not None and known.model is state.model and known.pixels is shown.pixels
    if same_pass and known.hyp == hyp and known.objects == shown.boxes:
        return known
    with taking(shown):
        through = known.through if same_pass else Pass(state.model, images_of((shown,)))
    loss = state.model.criterion(hyp, training_size((shown,)))
    maps = pull_on_maps(loss, through.maps, targets_of((shown,)))
    earlier = known.last_known if known is not None and known.model is state.model else None
    return Backward(state.model, shown.pixels, through, hyp, shown.boxes, maps, earlier)
