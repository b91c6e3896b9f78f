"""GradientExplorer: after one backward pass, the gradient of each loss term on each layer and on each cell."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from walkthrough._moved import moved_name
from walkthrough.explorers.detector import DetectorExplorer, check_maps, training_size
from walkthrough.explorers.gradient.scene import BY_LAYER, scene_of, takeaway_of, words_of
from walkthrough.explorers.gradient.state import (
    ALL_LEVELS,
    Backward,
    Result,
    State,
    cells_of,
    compute,
    finish,
    shown_levels,
    shown_terms,
)
from walkthrough.explorers.hyp import hyp_code, hyp_of
from walkthrough.explorers.own_settings import is_hyp_used, own_settings, settings_code
from walkthrough.explorers.pictures import Annotations, images_of, taking, targets_of
from walkthrough.explorers.stage import Story
from walkthrough.explorers.unfolding import Unfolding
from walkthrough.gradients import Pass, map_gradients
from walkthrough.scene import Scene

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0


def _story(term: str, look_for: str) -> Story:
    """A story about one term, for the losses that have it."""
    return Story(term, lambda state: {"term": term} if term in shown_terms(state) else {}, look_for)


class GradientExplorer(Unfolding[State, Result], DetectorExplorer[State, Result]):
    """Gradient norms by layer and loss term, and on the picture: the gradient of each term on each cell.

    The shown picture is the batch. The model runs in the mode it is in, and comes out as it went in. The gradients by
    layer, a backward pass for each term, are computed where they are seen: see Unfolding.

    Args:
        images, targets, names, img_size, hyp: see DetectorExplorer.
        model: a detector that is a torch module; left out: the weights "shapes-n".

    >>> w = GradientExplorer()  # doctest: +SKIP
    >>> w.term, w.level = "box", 1  # doctest: +SKIP
    >>> w.result.strongest[0].norms["box"] == w.result.maps.cells("box", 1).max()  # doctest: +SKIP
    tensor(True)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    finish = staticmethod(finish)
    takeaway = staticmethod(takeaway_of)
    unfolded = (BY_LAYER,)
    title = "Gradients"
    part_of = "step"
    primary = ("term", "level", "step")
    stories = (
        _story("box", "only matched cells are coloured: no other box is trained."),
        _story("obj background", "nearly every cell is coloured, each a little: together they are many."),
        _story("obj positive", "few cells, and each of them strongly."),
        _story("cls", "as for box, only matched cells learn a class."),
    )

    @classmethod
    def first_pass(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """One pass through the network and back."""
        size, state = training_size(inputs["pictures"]), State(**inputs)
        backward = _backward(state)
        maps = [raw.detach() for raw in backward.through.maps]
        uses_hyp = is_hyp_used(state.model, maps, size)
        return {"backward": backward, "uses_hyp": uses_hyp} | own_settings(state.model, size)

    def settle(self, before: State, after: State) -> State:
        """Passes through the model where the picture, its objects or the loss changed."""
        after = super().settle(before, after)
        if not after.pictures:
            return after
        if after.level not in shown_levels(after).values():
            after = replace(after, level=ALL_LEVELS)
        if after.model is not before.model:
            after = replace(after, **own_settings(after.model, training_size(after.pictures)))
        backward = _backward(after)
        if after.model is not before.model:
            maps = [raw.detach() for raw in backward.through.maps]
            after = replace(after, uses_hyp=is_hyp_used(after.model, maps, training_size(after.pictures)))
        if backward is not after.backward:
            after = replace(after, backward=backward)
            after = replace(after, term=after.term if after.term in shown_terms(after) else "total")
            after = replace(after, step=0 if after.step == before.step else after.step)  # its box is another one
        shown = ("term", "level", "picture")
        if any(getattr(before, name) != getattr(after, name) for name in shown) and after.chosen == before.chosen:
            after = replace(after, chosen=None)  # the rows are others now
        return after

    def remembered(self, state: State) -> State:
        """Without the passes through the model, whose maps are large."""
        return replace(state, backward=None)

    def recalled(self, state: State) -> State:
        """With the passes that belong to it."""
        state = replace(state, backward=self.state.backward)
        return replace(state, backward=_backward(state))

    @staticmethod
    def draft(result: Result) -> Scene | None:
        """The cells at once; the layers, a backward pass for each term, a moment later."""
        return None if result.layers is not None else scene_of(result)

    def words(self) -> str:
        """Which gradients are large, as far as it is the same on every machine."""
        return words_of(self.require())

    def cell_pictures(self) -> Annotations:
        """The shown one is the batch."""
        return (self.state.shown,) if self.state.pictures else ()

    def as_code(self) -> str:
        """The same gradients, for any images and targets."""
        size = training_size(self.state.pictures) if self.state.pictures else 640
        return (
            "from walkthrough.gradients import maps_of, layer_gradients, map_gradients\n"
            f"{hyp_code(hyp_of(self.state, self.state.hyp))}\n"
            f"{settings_code(self.state, size)}\n"
            "layers = layer_gradients(model, loss, images, targets)\n"
            "cells = map_gradients(loss, maps_of(model, images), targets, model.decode)"
        )


def _backward(state: State) -> Backward:
    """The passes that belong to a state; those it has already, where they still do."""
    known = previous = state.backward
    hyp, shown = hyp_of(state, state.hyp), state.shown
    options = state.criterion_options
    if known is not None and (known.model is not state.model or known.pixels is not shown.pixels):
        earlier, known = known.last_known if known.model is state.model else None, None  # another pass
    else:
        earlier = known.last_known if known is not None else None
    if known is not None and (known.hyp, known.options, known.objects) == (hyp, options, shown.boxes):
        return known
    with taking(shown):
        through = known.through if known is not None else Pass(state.model, images_of((shown,), state.model))
    check_maps(state.model, through.maps)
    loss = state.model.criterion(hyp, training_size((shown,)), **options)
    targets = targets_of((shown,))
    same = previous if _same_grid(previous, state, through) else None
    maps = map_gradients(loss, through.maps, targets, state.model.decode, same.maps.numbers if same else None)
    cells = same.cells if same else cells_of(loss, through.maps, targets)
    asked = (hyp, options, shown.boxes)
    return Backward(state.model, shown.pixels, through, *asked, maps, cells, earlier, loss, targets)


def _same_grid(previous: Backward | None, state: State, through: Pass) -> bool:
    """Whether cells and numbers are those of the pass before: they depend on the model and the maps' shapes alone."""
    if previous is None or previous.model is not state.model:
        return False
    return [raw.shape for raw in previous.through.maps] == [raw.shape for raw in through.maps]
