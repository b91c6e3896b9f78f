"""LossExplorer: what each setting of the loss does to its three terms and to their pull on the maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.charts import numbers
from walkthrough.explorers.controls import given, slider
from walkthrough.explorers.detector import DetectorExplorer, DetectorState, same_pixels, training_size, up_to
from walkthrough.explorers.hyp import hyp_code, hyp_of
from walkthrough.explorers.pictures import Annotations, images_of, taking, targets_of
from walkthrough.gradients import MapPulls, maps_of, pull_on_maps
from walkthrough.scene import Bars, Boxes, Chart, Panel, Picture, Scene, Table, counted
from walkthrough.show import class_name
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import BALANCE

CLEARLY = 1.5  # times the next: what is said in words has to hold on every machine
NOW, DEFAULT, DEFAULT_COLOUR = "these settings", "default", "#8A8A8A"


def _balance(level: int) -> Any:
    return slider(
        BALANCE[level],
        0,
        lambda state: max((8.0, *(2 * value for value in state.default_balance))),
        group="balance of objectness",
        label=f"level {level}",
        help="weight of this level's objectness: finer levels have more cells, and fewer objects in each",
        shown=lambda state: level < len(state.default_balance),
    )


@dataclass(frozen=True)
class State(DetectorState):
    """The settings of the loss, by their names in Hyperparameters, and the maps they are applied to."""

    box: float = slider(Hyperparameters.box, 0, up_to("box", 0.5), 0.005, group="gains", help="of the box loss")
    obj: float = slider(Hyperparameters.obj, 0, up_to("obj", 4), 0.01, group="gains", help="of objectness")
    cls: float = slider(Hyperparameters.cls, 0, up_to("cls", 4), 0.01, group="gains", help="of the class loss")
    balance_0: float = _balance(0)
    balance_1: float = _balance(1)
    balance_2: float = _balance(2)
    balance_3: float = _balance(3)
    balance_4: float = _balance(4)
    anchor_t: float = slider(
        Hyperparameters.anchor_t, 1.1, up_to("anchor_t", 10), group="terms", help="largest ratio of sides for a match"
    )
    fl_gamma: float = slider(
        Hyperparameters.fl_gamma, 0, up_to("fl_gamma", 5), 0.05, group="terms", help="focal loss; 0: plain BCE"
    )
    label_smoothing: float = slider(Hyperparameters.label_smoothing, 0, 1, 0.01, group="terms", help="of the classes")
    obj_pw: float = slider(
        Hyperparameters.obj_pw, 0, up_to("obj_pw", 10), 0.05, group="terms", help="weight of positives in objectness"
    )
    cls_pw: float = slider(
        Hyperparameters.cls_pw, 0, up_to("cls_pw", 10), 0.05, group="terms", help="weight of positives in the classes"
    )
    maps: tuple[Tensor, ...] = given(())  # of the model, for all pictures
    default: MapPulls | None = given()  # who pulls on them under the default settings
    default_balance: tuple[float, ...] = given(())  # of the model's loss; () where it has none that can be set

    @property
    def balance(self) -> tuple[float, ...]:
        """One weight for each level of the model."""
        return tuple(getattr(self, f"balance_{level}") for level in range(len(self.default_balance)))


class Losses(NamedTuple):
    """The loss of the batch and who pulls, under these settings and under the default ones."""

    now: MapPulls  # now.parts: what the loss returned
    default: MapPulls
    hyp: Hyperparameters  # the settings, gains as given
    scaled: Hyperparameters | None  # gains as the loss uses them; None where the loss does not say
    state: State


class LossExplorer(DetectorExplorer):
    """The three losses on a batch, their shares of the total and of the gradient, beside the default settings.

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

    State = State
    title = "Loss"

    @classmethod
    def first_pass(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """The maps, computed once, what the default settings make of them, and a balance for each level."""
        model, pictures = inputs["model"], inputs["pictures"]
        maps = _maps(model, pictures)
        return {"maps": maps, "default": default_pulls(model, maps, pictures)} | _balance_settings(model)

    def settle(self, before: State, after: State) -> State:
        """Other pictures or another model: other maps."""
        after = super().settle(before, after)
        if not after.pictures:
            return after
        if after.model is not before.model:
            after = replace(after, **_balance_settings(after.model))
        if after.model is not before.model or not same_pixels(before.pictures, after.pictures):
            after = replace(after, maps=_maps(after.model, after.pictures))
        if after.maps is not before.maps or after.pictures is not before.pictures:
            after = replace(after, default=default_pulls(after.model, after.maps, after.pictures))
        return after

    @staticmethod
    def compute(state: State) -> Losses:
        """The loss and its gradients with respect to the maps, beside those of the default settings."""
        if not state.pictures:
            raise ValueError("there is no picture, so there is no loss")
        hyp, targets, size = hyp_of(state, state.hyp), targets_of(state.pictures), training_size(state.pictures)
        changed = {} if state.balance == state.default_balance else {"balance": state.balance}
        loss = state.model.criterion(hyp, size, **changed)
        now = pull_on_maps(loss, state.maps, targets)
        return Losses(now, state.default, hyp, getattr(loss, "hyp", None), state)

    @staticmethod
    def scene(result: Losses) -> Scene:
        """The picture and the losses; the shares of the gradient by term and level; the numbers."""
        rows = ((_panel(result), _losses_chart(result)), (_pulls_chart(result),), (_table(result),))
        return Scene(rows, words=_words(result))

    def words(self) -> str:
        """Who answers for the objects, and which term is clearly the largest."""
        return _words(self.result)

    def as_code(self) -> str:
        """The loss with these settings."""
        state = self.state
        size = training_size(state.pictures) if state.pictures else 640
        balance = f", balance={state.balance}" if state.balance != state.default_balance else ""
        return f"{hyp_code(hyp_of(state, state.hyp))}\nloss = model.criterion(hyp, img_size={size}{balance})"


def _maps(model: Any, pictures: Annotations) -> tuple[Tensor, ...]:
    with taking(pictures[0]):
        return tuple(maps_of(model, images_of(pictures)))


def default_pulls(model: Any, maps: Sequence[Tensor], pictures: Annotations) -> MapPulls:
    """Who pulls on the maps under the default settings."""
    loss = model.criterion(Hyperparameters(), training_size(pictures))
    return pull_on_maps(loss, maps, targets_of(pictures))


def shares_of_terms(pulls: MapPulls) -> Tensor:
    """(T,) each term's share of the terms' sum; 0 where all are 0."""
    values = torch.stack([getattr(pulls.parts, term) for term in pulls.terms]).double().cpu()
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _balance_settings(model: Any) -> dict[str, Any]:
    """The balance of the model's loss, level by level, where it has one that criterion takes."""
    balance = getattr(model.criterion(Hyperparameters(), 640), "balance", None)
    options = signature(model.criterion).parameters
    settable = "balance" in options or any(option.kind is Parameter.VAR_KEYWORD for option in options.values())
    if not settable or not isinstance(balance, Tensor) or balance.ndim != 1 or len(balance) > len(BALANCE):
        return {"default_balance": ()}
    values = tuple(round(value, 6) for value in balance.tolist())
    return {"default_balance": values} | {f"balance_{level}": value for level, value in enumerate(values)}


def _beside(result: Losses, values: Any, names: tuple[str, ...] | None = None) -> tuple[Bars, Bars]:
    """What values(pulls) gives for these settings, and beside it for the default ones."""
    names = names or result.now.terms
    return (
        Bars(names, values(result.now), name=NOW),
        Bars(names, values(result.default), DEFAULT_COLOUR, DEFAULT, "/"),
    )


def _panel(result: Losses) -> Panel:
    state = result.state
    shown, (height, width) = state.shown, state.shown.size
    classes = tuple(int(box[4]) for box in state.objects)
    labels = tuple(class_name(cls, state.names) for cls in classes)
    boxes = Boxes(tuple(box[:4] for box in state.objects), labels, (), classes or (0,), drag="objects")
    title = f"{shown.name}, one of {counted(len(state.pictures), 'picture')}"
    drawn = (float(state.new_class),)
    return Panel((Picture(shown.pixels), boxes), width, height, title, _empty(result), draw="objects", drawn=drawn)


def _losses_chart(result: Losses) -> Chart:
    marks = _beside(result, lambda pulls: numbers([getattr(pulls.parts, term) for term in pulls.terms]))
    return Chart(marks, "losses, gains included", _clearly(result), y_label="loss")


def _pulls_chart(result: Losses) -> Chart:
    strides = [int(stride) for stride in result.state.model.strides]
    names = tuple(f"{term} {stride}" for term in result.now.terms for stride in strides)
    marks = _beside(result, lambda pulls: _percent(pulls.shares), names)
    caption = "norm of the gradient with respect to the raw maps of a level, as a share of the sum of all these norms"
    return Chart(marks, "share of the gradient by term and level", caption, "term, and stride of the level", "%")


def _table(result: Losses) -> Table:
    rows, shares, usual_shares = [], shares_of_terms(result.now), shares_of_terms(result.default)
    for index, term in enumerate(result.now.terms):
        gain, scaled = getattr(result.hyp, term, None), getattr(result.scaled, term, None)
        loss, usual = (getattr(pulls.parts, term).item() for pulls in (result.now, result.default))
        pull = result.now.norms[index].norm().item()
        share, usual_share = (f"{of[index]:.1%}" for of in (shares, usual_shares))
        losses = (f"{loss:.4f}", share, f"{usual:.4f}", usual_share)
        rows.append((term, _digits(gain), _digits(scaled), *losses, f"{pull:.3g}"))
    total, usual = (pulls.parts[0].item() for pulls in (result.now, result.default))
    columns = ("", "gain", "scaled", "loss", "share", "default", "share", "pull")
    caption = f"total {total:.4f}, default {usual:.4f}; scaled: the gain as criterion fits it; pull: on the raw maps"
    return Table(columns, tuple(rows), "losses and their shares of the total", caption)


def _percent(shares: Tensor) -> tuple[float, ...]:
    return tuple(round(100 * share, 1) for share in numbers(shares))


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _empty(result: Losses) -> str:
    """What is special about this batch; "" where nothing is."""
    matches = result.now.matches
    if not bool(result.now.parts[0].isfinite()):
        return "The loss is not finite: the model's maps hold values that are not."
    if not any(picture.boxes for picture in result.state.pictures):
        return "No objects: box and class loss are 0, objectness is trained towards 0 in every cell."
    if matches is not None and not sum(len(match.image) for match in matches):
        return f"No anchor takes any object at anchor_t {result.hyp.anchor_t:g}: only objectness is left."
    return "One class: there is no class loss." if result.state.model.num_classes == 1 else ""


def _clearly(result: Losses) -> str:
    """The term with the largest loss and the one that pulls hardest, where they stand out."""
    losses = {term: getattr(result.now.parts, term).item() for term in result.now.terms}
    pulls = dict(zip(result.now.terms, result.now.norms.norm(dim=1).tolist(), strict=True))
    largest, hardest = _outstanding(losses), _outstanding(pulls)
    first = f"largest loss: {largest}" if largest else "no loss is clearly the largest"
    return f"{first}; {f'hardest pull: {hardest}' if hardest else 'no pull is clearly the hardest'}"


def _outstanding(values: dict[str, float]) -> str | None:
    (name, most), *others = sorted(values.items(), key=lambda item: -item[1])
    return name if most > CLEARLY * max((value for _, value in others), default=0.0) else None


def _words(result: Losses) -> str:
    pictures, matches = result.state.pictures, result.now.matches
    objects = sum(len(picture.boxes) for picture in pictures)
    words = f"{counted(len(pictures), 'picture')}, {counted(objects, 'object')}"
    if matches is not None:
        strides = [int(stride) for stride in result.state.model.strides]
        each = (f"{len(match.image)} at stride {stride}" for match, stride in zip(matches, strides, strict=True))
        words += f", matches: {', '.join(each)}"
    return "\n".join(filter(None, (words, _clearly(result), _empty(result))))
