"""LossExplorer: what each setting of the loss does to its three terms and to their gradients on the maps."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from walkthrough._moved import moved_name
from walkthrough.explorers.controls import controls_of
from walkthrough.explorers.detector import DetectorExplorer, check_maps, same_pixels, training_size
from walkthrough.explorers.hyp import hyp_code, hyp_of
from walkthrough.explorers.loss.scene import scene_of, takeaway_of, words_of
from walkthrough.explorers.loss.state import Result, State, compute, default_gradients
from walkthrough.explorers.own_settings import is_hyp_used, own_settings, settings_code, takes_option
from walkthrough.explorers.pictures import Annotations, images_of, taking
from walkthrough.explorers.stage import Story
from walkthrough.gradients import maps_of
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import BALANCE

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0


def _story(label: str, settings: Mapping[str, Any], look_for: str) -> Story:
    """A story for detectors whose loss has these settings."""

    def known(state: State) -> Mapping[str, Any]:
        has_all = all(controls_of(State)[name].of_use(state) for name in settings)
        return settings if has_all else {}

    return Story(label, known, look_for)


class LossExplorer(DetectorExplorer[State, Result]):
    """The three losses on a batch, their fractions of the total and of the gradient, beside the default settings.

    The batch is all pictures; the objects of the shown one can be dragged. The model runs once for the pictures, in
    the mode it is in; its loss is ``model.criterion``, the one that training calls.

    Args:
        images, targets, names, img_size: see DetectorExplorer. model: any detector; left out: the weights "shapes-n".
        hyp: settings to start from, and to go back to with reset(); they are compared with yl.Hyperparameters().

    >>> w = LossExplorer()  # doctest: +SKIP
    >>> w.box = 0.2  # doctest: +SKIP
    >>> w.result.now.parts.box / w.result.default.parts.box  # doctest: +SKIP
    tensor(4.)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Loss"
    part_of = "loss"
    primary = ("box", "obj", "cls")
    stories = (
        _story("obj x 4", {"obj": 4.0}, "obj takes over the loss; in the gradient by level, see what becomes of box."),
        _story("no balance", {f"balance_{k}": 1.0 for k in range(3)}, "stride 8, with the most cells, counts less."),
        _story("focal loss", {"fl_gamma": 1.5}, "easy cells count less: obj gets smaller, and so does its gradient."),
        _story("anchor_t 1.2", {"anchor_t": 1.2}, "few anchors are matched: box and cls are about those alone."),
    )

    @classmethod
    def first_pass(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """The maps, computed once, what the default settings make of them, and a balance for each level."""
        model, pictures = inputs["model"], inputs["pictures"]
        maps = _maps(model, pictures)
        default = default_gradients(model, maps, pictures)
        passed = {"maps": maps, "decoded": _decoded(model, maps), "default": default}
        return passed | _settings_of(model, maps, pictures)

    def settle(self, before: State, after: State) -> State:
        """Other pictures or another model: other maps."""
        after = super().settle(before, after)
        if not after.pictures:
            return after
        if after.model is not before.model or not same_pixels(before.pictures, after.pictures):
            maps = _maps(after.model, after.pictures)
            after = replace(after, maps=maps, decoded=_decoded(after.model, maps))
        if after.model is not before.model:
            after = replace(after, **_settings_of(after.model, after.maps, after.pictures))
        if after.maps is not before.maps or after.pictures is not before.pictures:
            after = replace(after, default=default_gradients(after.model, after.maps, after.pictures))
        return after

    def words(self) -> str:
        """The matches, and which terms are the largest."""
        return words_of(self.require())

    def as_code(self) -> str:
        """The loss with these settings."""
        state = self.state
        size = training_size(state.pictures) if state.pictures else 640
        balance = f", balance={state.balance}" if state.balance != state.default_balance else ""
        return f"{hyp_code(hyp_of(state, state.hyp))}\n{settings_code(state, size, balance)}"

    def cell_code(self) -> str:
        """as_code, and the losses of the batch with its boxes as they are now."""
        return f"{self.as_code()}\nparts = loss(model(images), targets)"


def _maps(model: Any, pictures: Annotations) -> tuple[Tensor, ...]:
    with taking(pictures[0]):
        maps = tuple(maps_of(model, images_of(pictures, model)))
        check_maps(model, maps)
        return maps


def _decoded(model: Any, maps: tuple[Tensor, ...]) -> Tensor | None:
    """(N, n, 5 + C) what the maps stand for."""
    with torch.no_grad():
        decoded = model.decode([level.detach().clone() for level in maps])
    return decoded if isinstance(decoded, Tensor) and decoded.ndim == 3 else None


def _settings_of(model: Any, maps: tuple[Tensor, ...], pictures: Annotations) -> dict[str, Any]:
    """The settings that this model's loss has: those of Hyperparameters or its own, and the balance of its levels."""
    size = training_size(pictures)
    return {"uses_hyp": is_hyp_used(model, maps, size)} | own_settings(model, size) | _balance_settings(model)


def _balance_settings(model: Any) -> dict[str, Any]:
    """The balance of the model's loss, level by level, where criterion accepts one."""
    balance = getattr(model.criterion(Hyperparameters(), 640), "balance", None)
    settable = takes_option(model, "balance")
    if not settable or not isinstance(balance, Tensor) or balance.ndim != 1 or len(balance) > len(BALANCE):
        return {"default_balance": ()}
    values = tuple(round(value, 6) for value in balance.tolist())
    return {"default_balance": values} | {f"balance_{level}": value for level, value in enumerate(values)}
