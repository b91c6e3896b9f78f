"""What FamilyExplorer computes: of two detectors, what each asks of every prediction, and the gradients of that.

Shape letters: n predictions per image in the order of ``decode``, L levels, K raw numbers of a prediction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.controls import choice, given, number, point, toggle
from walkthrough.explorers.family.generations import Detectors
from walkthrough.explorers.own_settings import level_name
from walkthrough.explorers.pictures import PictureState, targets_of
from walkthrough.gradients import map_gradients
from walkthrough.show import class_name
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

SIDES = ("left", "right")
ROLES = {POSITIVE: "positive", IGNORED: "ignored", NEGATIVE: "negative"}
LISTED, OF_OBJECT = 7, 4  # predictions in a table; how many of them at most are matched to the chosen object
AUTOMATIC = -1  # in place of a level or a prediction: what shows most of the chosen object


def _detectors(state: "State") -> tuple[str, ...]:
    return state.detectors.names if state.detectors is not None else ("YOLOv1", "YOLOv5")


def _levels(side: str) -> Any:
    def levels(state: "State") -> dict[str, int]:
        strides = () if state.detectors is None else state.detectors.model(getattr(state, side)).strides
        return {"of the prediction": AUTOMATIC} | {level_name(int(s)): level for level, s in enumerate(strides)}

    return levels


def _objects(state: "State") -> Mapping[str, int]:
    boxes = state.objects
    if state.pictures and len(state.shown.boxes) > len(boxes):
        boxes = state.shown.boxes
    return {f"{k} {class_name(int(box[4]), state.names)}": k for k, box in enumerate(boxes)} or {"none": 0}


def _has_forms(state: "State") -> bool:
    return state.detectors is not None and any(has_forms(state.detectors.model(getattr(state, side))) for side in SIDES)


OF_GRID = "whose cells are drawn: the level of the chosen prediction, or another one"


@dataclass(frozen=True)
class State(PictureState):
    """Which two, which object, which prediction of each."""

    left: str = choice(
        "YOLOv1",
        _detectors,
        help="the detector on the left: its grid, its matches and its loss on the same picture",
        linked=False,
    )
    right: str = choice("YOLOv5", _detectors, help="the detector that it is compared with, on the right", linked=False)
    object: int = choice(0, _objects, help="whose predictions come first in the tables; a click on it does the same")
    faithful: str = choice(
        "darknet",
        {"Darknet's": "darknet", "the paper's": "paper"},
        label="loss of YOLOv3 and v4",
        help="YOLOv3 and v4 by the program of their authors (Darknet), or by their papers, which differ from it",
        shown=_has_forms,
    )
    left_level: int = choice(AUTOMATIC, _levels("left"), label="grid, left", help=OF_GRID, linked=False)
    right_level: int = choice(AUTOMATIC, _levels("right"), label="grid, right", help=OF_GRID, linked=False)
    log: bool = toggle(
        True,
        label="logarithmic",
        help="each step of the shades is a factor: small gradients are seen beside large ones",
    )
    left_prediction: int = number(
        AUTOMATIC,
        AUTOMATIC,
        label="prediction, left",
        help="which of the left one's predictions is looked at; -1: the first of the table",
    )
    right_prediction: int = number(
        AUTOMATIC,
        AUTOMATIC,
        label="prediction, right",
        help="which of the right one's predictions is looked at; -1: the first of the table",
    )
    left_row: tuple[float, float] | None = point(
        help='unfold "predictions" and click a row of the left table: that prediction is looked at'
    )
    right_row: tuple[float, float] | None = point(help="the same in the right table")
    detectors: Detectors | None = given()
    hyp: Hyperparameters = given(Hyperparameters())


class Gradients(NamedTuple):
    """The gradient of the total on the raw numbers."""

    strength: Tensor  # (n,) norm over the numbers of each prediction
    names: tuple[str, ...]  # K, of the numbers of the chosen prediction
    values: tuple[float, ...]  # K


@dataclass(frozen=True, eq=False)
class Side:
    """What one detector's loss asks of its predictions for the shown picture."""

    name: str
    strides: tuple[int, ...]  # of the L levels
    grids: tuple[tuple[int, int], ...]  # rows and columns of each
    cells: Tensor  # (n, 4) level, anchor, row, column
    role: Tensor  # (n,) POSITIVE, IGNORED or NEGATIVE
    target: Tensor  # (n,) object of a positive, else -1
    matched: Tensor  # (objects,) how many predictions are matched to each
    parts: dict[str, float]  # the loss and its terms
    losses: dict[str, Tensor]  # term -> (n,) of each prediction
    kind: str  # the class of the loss
    boxes: Tensor  # (n, 4) xywh in pixels, as decoded now
    listed: tuple[int, ...]  # predictions of the table
    chosen: int  # the prediction that is looked at; -1: there is none
    level: int  # whose grid is drawn
    gradients: Gradients | None = None  # None: not computed yet

    @property
    def counts(self) -> dict[str, int]:
        """How many predictions have each role."""
        return {word: int((self.role == role).sum()) for role, word in ROLES.items()}

    @property
    def dropped(self) -> list[int]:
        """The objects that no prediction is matched to."""
        return (self.matched == 0).nonzero()[:, 0].tolist()


@dataclass(frozen=True, eq=False)
class Result:
    """The two sides; state: the settings, without the detectors."""

    state: State
    left: Side
    right: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right


def has_forms(model: Any) -> bool:
    """Whether criterion has Darknet's form and the paper's."""
    return "faithful" in signature(model.criterion).parameters


def criterion_of(state: State, name: str) -> Any:
    """The loss of a detector under these settings."""
    if state.detectors is None:
        raise ValueError("there is no detector")
    model = state.detectors.model(name)
    options = {"faithful": state.faithful} if has_forms(model) else {}
    return model.criterion(state.hyp, state.detectors.size, **options)


def compute(state: State) -> Result:
    """What both losses ask of every prediction; without gradients, which take longer."""
    if not state.pictures or state.detectors is None:
        raise ValueError("there is no picture")
    left, right = (_side(state, side) for side in SIDES)
    return Result(replace(state, detectors=None), left, right)


def finish(state: State, result: Result) -> Result:
    """The gradients added."""
    return replace(result, left=_with_gradients(state, result.left), right=_with_gradients(state, result.right))


def _side(state: State, side: str) -> Side:
    name, detectors = getattr(state, side), state.detectors
    assert detectors is not None
    maps, decoded = detectors.passed(name, state.shown)
    loss, targets = criterion_of(state, name), targets_of((state.shown,))
    if not hasattr(loss, "assign"):
        raise ValueError(f"the loss of {name} has no assign(maps, targets), which says which predictions are positive")
    with torch.no_grad():
        raw = [level.clone() for level in maps]
        parts, assigned = loss(raw, targets), loss.assign(raw, targets)
    cells, role, target = assigned.cells.cpu(), assigned.role[0].cpu(), assigned.target[0].cpu()
    losses = {term: values[0].float().cpu() for term, values in assigned.losses._asdict().items()}
    listed = _listed(state, role, target, losses["total"])
    wanted, row = getattr(state, f"{side}_prediction"), getattr(state, f"{side}_row")
    if row is not None and 0 <= int(row[0]) < len(listed):
        chosen = listed[int(row[0])]
    else:
        chosen = wanted if 0 <= wanted < len(role) else next(iter(listed), -1)
    level = getattr(state, f"{side}_level")
    strides = tuple(int(stride) for stride in detectors.model(name).strides)
    return Side(
        name=name,
        strides=strides,
        grids=_grids(cells, len(strides)),
        cells=cells,
        role=role,
        target=target,
        matched=torch.bincount(assigned.matches.target.cpu(), minlength=len(targets)),
        parts={term: float(value) for term, value in parts._asdict().items() if isinstance(value, Tensor)},
        losses=losses,
        kind=type(loss).__name__,
        boxes=decoded[:, :4],
        listed=listed,
        chosen=chosen,
        level=level if level != AUTOMATIC else (int(cells[chosen, 0]) if chosen >= 0 else 0),
    )


def _grids(cells: Tensor, levels: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of each level."""
    found = [cells[cells[:, 0] == level, 2:].amax(0).add(1).tolist() for level in range(levels)]
    return tuple((int(rows), int(cols)) for rows, cols in found)


def _listed(state: State, role: Tensor, target: Tensor, total: Tensor) -> tuple[int, ...]:
    """Those matched to the chosen object, then others; the largest loss first in both."""
    order = total.argsort(descending=True, stable=True)
    is_own = (target == state.object) & (role == POSITIVE)
    own = order[is_own[order]][:OF_OBJECT].tolist()
    others = order[(~is_own & (total > 0))[order]][: LISTED - len(own)].tolist()
    return (*own, *others)


def _with_gradients(state: State, side: Side) -> Side:
    detectors = state.detectors
    assert detectors is not None
    maps = detectors.passed(side.name, state.shown).maps
    found = map_gradients(criterion_of(state, side.name), maps, targets_of((state.shown,)))
    numbers = detectors.numbers(side.name, maps, side.cells)
    if numbers is None:
        raise ValueError(f"the maps of {side.name} do not say which numbers belong to which prediction")
    strength, values = torch.zeros(len(side.cells)), ()
    for level, (raw, of_level) in enumerate(zip(found.of("total"), numbers, strict=True)):
        gradient = of_level.of(raw.cpu())[0].float()  # (A, H, W, K)
        own = side.cells[:, 0] == level
        place = tuple(side.cells[own, 1:].T)
        strength[own] = gradient[place].norm(dim=1)
        if side.chosen >= 0 and int(side.cells[side.chosen, 0]) == level:
            values = tuple(gradient[tuple(side.cells[side.chosen, 1:])].tolist())
    names = numbers[int(side.cells[side.chosen, 0])].names if side.chosen >= 0 else ()
    return replace(side, gradients=Gradients(strength, names, values))
