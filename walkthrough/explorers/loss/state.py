"""What LossExplorer computes: the terms of the loss and their gradients, beside those of the default settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from walkthrough.explorers.controls import given, slider
from walkthrough.explorers.detector import training_size, up_to
from walkthrough.explorers.hyp import hyp_of
from walkthrough.explorers.loss.predictions import Predictions, predictions_of
from walkthrough.explorers.own_settings import OwnSettingsState, level_name
from walkthrough.explorers.pictures import Annotations, targets_of
from walkthrough.gradients import MapGradients, map_gradients
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import BALANCE


def _hyp(name: str, low: float, high: float, step: float | None, group: str, help: str) -> Any:
    """A slider for a hyperparameter, where the detector's loss uses them."""
    default = getattr(Hyperparameters, name)
    return slider(default, low, up_to(name, high), step, group=group, help=help, shown=lambda state: state.uses_hyp)


def _balance(level: int) -> Any:
    return slider(
        BALANCE[level],
        0,
        lambda state: max((8.0, *(2 * value for value in state.default_balance))),
        group="balance of objectness",
        label=lambda state: _level_name(state, level),
        help="weight of this level's objectness: finer levels have more cells, and fewer objects in each",
        shown=lambda state: level < len(state.default_balance),
    )


def _level_name(state: "State", level: int) -> str:
    strides = () if state.model is None else state.model.strides
    return level_name(int(strides[level])) if level < len(strides) else f"level {level}"


@dataclass(frozen=True)
class State(OwnSettingsState):
    """The settings of the loss, by their names in Hyperparameters or the detector's own, and the maps of it."""

    box: float = _hyp(
        "box",
        0,
        0.5,
        0.005,
        "gains",
        "factor of the box loss in the sum: more of the gradient goes into places and sizes",
    )
    obj: float = _hyp(
        "obj",
        0,
        4,
        0.01,
        "gains",
        "factor of the objectness loss in the sum: more of it goes into whether there is an object",
    )
    cls: float = _hyp(
        "cls", 0, 4, 0.01, "gains", "factor of the class loss in the sum: more of it goes into which class it is"
    )
    balance_0: float = _balance(0)
    balance_1: float = _balance(1)
    balance_2: float = _balance(2)
    balance_3: float = _balance(3)
    balance_4: float = _balance(4)
    anchor_t: float = _hyp(
        "anchor_t",
        1.1,
        10,
        None,
        "terms",
        "an anchor matches an object when no side differs by this factor or more: larger, more positives",
    )
    fl_gamma: float = _hyp(
        "fl_gamma",
        0,
        5,
        0.05,
        "terms",
        "gamma of the focal loss: the larger, the less easy predictions count; 0: plain BCE",
    )
    label_smoothing: float = slider(
        Hyperparameters.label_smoothing,
        0,
        1,
        0.01,
        group="terms",
        help="moves the targets 0 and 1 of the classes towards each other, so that no score has to be certain",
        shown=lambda state: state.uses_hyp,
    )
    obj_pw: float = _hyp(
        "obj_pw",
        0,
        10,
        0.05,
        "terms",
        "weight of positive cells in the objectness loss: above 1, missed objects cost more",
    )
    cls_pw: float = _hyp(
        "cls_pw",
        0,
        10,
        0.05,
        "terms",
        "weight of the right class in the class loss: above 1, too low a score costs more",
    )
    maps: tuple[Tensor, ...] = given(())  # of the model, for all pictures
    decoded: Tensor | None = given()  # (N, n, 5 + C) of these maps; None where the model has no such form of them
    default: MapGradients | None = given()  # the gradients on them under the default settings
    default_balance: tuple[float, ...] = given(())  # of the model's loss; () where it has none that can be set

    @property
    def balance(self) -> tuple[float, ...]:
        """One weight for each level of the model."""
        return tuple(getattr(self, f"balance_{level}") for level in range(len(self.default_balance)))


class Result(NamedTuple):
    """The loss of the batch and its gradients, under these settings and under the default ones."""

    now: MapGradients  # now.parts: what the loss returned
    default: MapGradients
    hyp: Hyperparameters  # the settings, gains as given
    scaled: Hyperparameters | None  # gains as the loss uses them; None where the loss does not say
    strides: tuple[int, ...]  # of the model's levels
    num_classes: int
    state: State  # the settings; without the model
    predictions: Predictions | None = None  # of the shown picture; None where the loss does not tell them apart


def compute(state: State) -> Result:
    """The loss and its gradients with respect to the maps, beside those of the default settings."""
    if not state.pictures or state.default is None:
        raise ValueError("there is no picture, so there is no loss")
    hyp, targets, size = hyp_of(state, state.hyp), targets_of(state.pictures), training_size(state.pictures)
    changed = {} if state.balance == state.default_balance else {"balance": state.balance}
    loss = state.model.criterion(hyp, size, **changed, **state.criterion_options)
    now = map_gradients(loss, state.maps, targets)
    strides = tuple(int(stride) for stride in state.model.strides)
    scaled = getattr(loss, "hyp", None)
    shown = predictions_of(loss, state.maps, state.decoded, state.pictures, state.picture, targets, now.levels)
    settings = replace(state, model=None)
    return Result(now, state.default, hyp, scaled, strides, state.model.num_classes, settings, shown)


def default_gradients(model: Any, maps: Sequence[Tensor], pictures: Annotations) -> MapGradients:
    """The gradients on the maps under the default settings."""
    loss = model.criterion(Hyperparameters(), training_size(pictures))
    return map_gradients(loss, maps, targets_of(pictures))
