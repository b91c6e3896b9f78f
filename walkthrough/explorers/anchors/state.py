"""What AnchorExplorer computes: the steps of build_targets on the shown picture, and how well anchors fit a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from walkthrough.explorers.anchors.fit import Anchor, Curves, DatasetFit, Sizes
from walkthrough.explorers.anchors.other_rule import OtherMatches, OtherRule
from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.own_settings import level_name
from walkthrough.explorers.pictures import PictureState, targets_of
from walkthrough.show import class_name
from yolo_lite._moved import renamed_field
from yolo_lite.loss.anchors import AnchorFit
from yolo_lite.loss.targets import (
    Assignment,
    RatioTest,
    build_targets,
    make_assignment,
    neighbour_cells,
    ratio_test,
    to_grid_units,
)

LARGEST = 2048.0  # pixels, of an anchor's side
Anchors = tuple[tuple[Anchor, ...], ...]  # (L, A, 2) in pixels


def _objects(state: "State") -> dict[str, int]:
    """The objects by number and class; of a picture that is chosen together with its object too."""
    boxes = state.objects
    if state.pictures and len(state.shown.boxes) > len(boxes):
        boxes = state.shown.boxes
    return {f"{k} {class_name(int(box[4]), state.names)}": k for k, box in enumerate(boxes)} or {"none": 0}


def _anchors_of_level(state: "State") -> int:
    if state.other is not None:
        return state.other.anchors_of_level(state.level)
    return len(state.anchors[0]) if state.anchors else 0


def _side(what: str, default: float) -> Any:
    return slider(
        default,
        1,
        LARGEST,
        1.0,
        log=True,
        unit="px",
        help=f"gives the chosen anchor another {what}: the matches follow it",
        linked=False,
        shown=lambda state: state.other is None,
    )


@dataclass(frozen=True)
class State(PictureState):
    """Settings of the explorer."""

    anchors: Anchors = given(())
    strides: tuple[int, ...] = given(())
    first_anchors: Anchors = given(())  # those of the beginning, to see what the reader changed
    dataset: Sizes | None = given()  # None: the objects of the pictures
    other: OtherRule | None = given()  # a detector of another generation; None: YOLOv5's rule
    anchor_t: float = slider(
        4.0,
        1.1,
        10,
        0.1,
        help="an anchor matches an object when no side differs by this factor or more: larger gives more matches",
        shown=lambda state: state.other is None,
    )
    object: int = choice(0, _objects, help="the object that is explained; a click on it does the same", linked=False)
    level: int = choice(
        0,
        lambda state: {level_name(stride): k for k, stride in enumerate(state.strides)},
        help="whose grid and anchors are shown: coarser grids have larger anchors, for larger objects",
    )
    anchor: int = choice(
        0,
        lambda state: {f"anchor {k}": k for k in range(_anchors_of_level(state))},
        help="which anchor of this level is laid over the object, and can be given other sides",
    )
    guess: bool = toggle(
        False,
        label="guess first",
        help="choose the anchors that you think are matched to the object; then reveal which are, and why",
        shown=lambda state: state.other is None,
        quiet=True,
    )
    pair: tuple[float, ...] | None = point(help='unfold "every anchor" and click a row to choose its anchor')
    anchor_w: float = _side("width", 10.0)
    anchor_h: float = _side("height", 13.0)


@dataclass(frozen=True, eq=False)
class Result:
    """What build_targets makes of the shown picture, and its steps. L levels, A anchors each, n objects."""

    state: State
    targets: Tensor  # (n, 6) of the shown picture
    grids: tuple[tuple[int, int], ...]  # (rows, cols) of each level
    boxes: list[Tensor]  # of each level: (n, 4) xc yc w h in its cells
    tests: list[RatioTest]  # of each level: (A, n)
    matches: list[Assignment]  # of each level: what training uses
    candidates: Assignment | None  # cells of the chosen level responsible for the chosen object if an anchor matches it
    dataset: DatasetFit | None  # how well the anchors fit the dataset; None: there is no object

    @property
    def sizes(self) -> Sizes | None:
        """The objects that the fit is about."""
        return self.dataset.sizes if self.dataset is not None else None

    @property
    def fit(self) -> AnchorFit | None:
        """What anchor_fit says of them."""
        return self.dataset.fit if self.dataset is not None else None

    @property
    def curves(self) -> Curves | None:
        """The same for every anchor_t."""
        return self.dataset.curves if self.dataset is not None else None

    @property
    def missed(self) -> Tensor | None:
        """(m,) those of sizes that no anchor matches, the furthest first."""
        return self.dataset.missed if self.dataset is not None else None

    @property
    def unmatched(self) -> Tensor:
        """(n,) bool: no anchor of any level matches the object."""
        return ~torch.stack([test.passed.any(0) for test in self.tests]).any(0)

    @property
    def untaken(self) -> Tensor:
        """The name of unmatched in 0.1.0."""
        found: Tensor = renamed_field(self, "untaken", "unmatched")
        return found

    @property
    def claimed(self) -> Assignment | None:
        """The name of candidates in 0.1.0."""
        found: Assignment | None = renamed_field(self, "claimed", "candidates")
        return found


def compute(state: State) -> Result | OtherMatches:
    """The steps of build_targets on every level, the matches, and the fit to the dataset; or another rule's matches."""
    if state.other is not None:
        return state.other.matches(state.shown, state.object, state.level, state.anchor, state.names, state.new_class)
    targets = targets_of((state.shown,))  # (n, 6)
    grids = _grids(state.shown.size, state.strides)
    anchors = targets.new_tensor(state.anchors)  # (L, A, 2)
    matches = build_targets(targets, grids, anchors, state.strides, state.anchor_t)
    boxes = [to_grid_units(targets, grid) for grid in grids]  # (n, 4) each
    anchors_in_cells = anchors / targets.new_tensor(state.strides)[:, None, None]
    tests = [ratio_test(box[:, 2:], wh, state.anchor_t) for box, wh in zip(boxes, anchors_in_cells, strict=True)]
    sizes = state.dataset or _sizes_of_pictures(state)
    every_anchor = tuple(anchor for level in state.anchors for anchor in level)
    return Result(
        state=state,
        targets=targets,
        grids=grids,
        boxes=boxes,
        tests=tests,
        matches=matches,
        candidates=_candidates(targets, boxes[state.level], grids[state.level], state.object),
        dataset=None if sizes is None else _fit(sizes, every_anchor, state.anchor_t),
    )


def _fit(sizes: Sizes, anchors: tuple[Anchor, ...], anchor_t: float) -> DatasetFit:
    """How well K anchors fit the objects of a dataset."""
    return DatasetFit(sizes, sizes.fit(anchors, anchor_t), sizes.curves(anchors), sizes.missed(anchors, anchor_t))


def _grids(size: tuple[int, int], strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(rows, cols) of each level."""
    height, width = size
    if any(height % stride or width % stride for stride in strides):
        raise ValueError(
            f"a picture of {width} x {height} has no whole number of cells at the strides {list(strides)}: "
            "letterbox it to multiples of the largest"
        )
    return tuple((height // stride, width // stride) for stride in strides)


def _candidates(targets: Tensor, boxes: Tensor, grid: tuple[int, int], index: int) -> Assignment | None:
    """The cells responsible for one object if an anchor matches it: build_targets after the ratio test."""
    if not len(targets):
        return None
    one = slice(index, index + 1)
    passed = boxes.new_ones(1, 1).bool()  # one anchor, which matches it
    cells = neighbour_cells(boxes[one, :2], grid)  # (5, 1)
    return make_assignment(targets[one], boxes[one], passed, cells, boxes[one, 2:], grid)


def _sizes_of_pictures(state: State) -> Sizes | None:
    sides = [(x2 - x1, y2 - y1) for picture in state.pictures for x1, y1, x2, y2, *_ in picture.boxes]
    images = [picture.name for picture in state.pictures for _ in picture.boxes]
    return Sizes(sides, "these pictures", images.__getitem__) if sides else None
