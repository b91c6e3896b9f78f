"""AnchorExplorer: which anchors and cells take which object, and why not the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from walkthrough.explorers.anchors_data import Anchor, Curves, Sizes, sizes_of
from walkthrough.explorers.anchors_scene import anchor_scene, verdict
from walkthrough.explorers.controls import Boxes, choice, given, slider
from walkthrough.explorers.inputs import is_dataset, opened_model
from walkthrough.explorers.pictures import IMAGE_SIZE, PictureExplorer, PictureState, targets_of
from walkthrough.show import class_name
from yolo_lite.detect.inference import trained_size
from yolo_lite.loss.anchors import AnchorFit
from yolo_lite.loss.targets import (
    Assignment,
    RatioTest,
    build_targets,
    encode,
    neighbour_cells,
    ratio_test,
    to_grid_units,
)
from yolo_lite.model.spec import read_anchors, read_spec

LARGEST = 2048.0  # pixels, of an anchor's side
STRIDES = (8, 16, 32)  # of the default anchors, YOLOv5's for 640 pixels
Anchors = tuple[tuple[Anchor, ...], ...]  # (L, A, 2) in pixels


def _objects(state: "AnchorState") -> dict[str, int]:
    """The objects by number and class; of a picture that is chosen together with its object too."""
    boxes = state.objects
    if state.pictures and len(state.shown.boxes) > len(boxes):
        boxes = state.shown.boxes
    return {f"{k} {class_name(int(box[4]), state.names)}": k for k, box in enumerate(boxes)} or {"none": 0}


@dataclass(frozen=True)
class AnchorState(PictureState):
    """Settings of the explorer."""

    anchors: Anchors = given(())
    strides: tuple[int, ...] = given(())
    first_anchors: Anchors = given(())  # those of the beginning, to tell what the reader changed
    dataset: Sizes | None = given()  # None: the objects of the pictures
    anchor_t: float = slider(4.0, 1.1, 10, 0.1, help="an anchor takes an object when no side differs by this factor")
    object: int = choice(0, _objects, help="the object that is explained; a click on it does the same", linked=False)
    level: int = choice(0, lambda state: {f"stride {stride}": k for k, stride in enumerate(state.strides)})
    anchor: int = choice(
        0, lambda state: {f"anchor {k}": k for k in range(len(state.anchors[0]) if len(state.anchors) else 0)}
    )
    anchor_w: float = slider(10.0, 1, LARGEST, 1.0, log=True, unit="px", help="width of this anchor", linked=False)
    anchor_h: float = slider(13.0, 1, LARGEST, 1.0, log=True, unit="px", help="height of this anchor", linked=False)


@dataclass(frozen=True, eq=False)
class AnchorResult:
    """What build_targets makes of the shown picture, and its steps. L levels, A anchors each, n objects."""

    state: AnchorState
    targets: Tensor  # (n, 6) of the shown picture
    grids: tuple[tuple[int, int], ...]  # (rows, cols) of each level
    boxes: list[Tensor]  # of each level: (n, 4) xc yc w h in its cells
    tests: list[RatioTest]  # of each level: (A, n)
    matches: list[Assignment]  # of each level: what training uses
    claimed: Assignment | None  # cells that the chosen object claims on the chosen level where an anchor takes it
    sizes: Sizes | None  # the objects that the fit is about; None: there are none
    fit: AnchorFit | None
    curves: Curves | None
    missed: Tensor | None  # (m,) those of sizes that no anchor takes, the furthest first

    @property
    def untaken(self) -> Tensor:
        """(n,) bool: no anchor of any level takes the object."""
        return ~sum(test.passed.any(0) for test in self.tests).bool()


class AnchorExplorer(PictureExplorer):
    """Which anchors take an object and why, the cells that answer for it, and how well anchors fit a dataset.

    Args:
        images, targets, names: pictures and their objects, see annotate; without them the tour's four.
        model: a model whose anchors and strides are taken. anchors, strides: (L, A, 2) pixels and pixels per cell,
            instead of a model's; without either YOLOv5's.
        dataset: whose objects the curves are about: a YoloDataset, what it takes as source ("shapes", a data.yaml),
            or (n, 2) widths and heights in pixels; without it the objects of the pictures.

    >>> one = [[0, 7, 0.781094, 0.986248, 0.0703293, 0.0275012]]
    >>> w = AnchorExplorer(images=torch.zeros(1, 3, 640, 640), targets=one)
    >>> [len(match.row) for match in w.result.matches]
    [6, 6, 0]
    >>> w.anchor_t = 2
    >>> [len(match.row) for match in w.result.matches]
    [3, 0, 0]
    """

    State = AnchorState
    title = "Anchors and targets"

    @classmethod
    def prepare(
        cls,
        images: Any = None,
        targets: Any = None,
        names: Sequence[str] | None = None,
        model: Any = None,
        anchors: Any = None,
        strides: Any = None,
        dataset: Any = None,
    ) -> dict[str, Any]:
        """See the class."""
        model = opened_model(model)
        names = names if names is not None or images is None or is_dataset(images) else getattr(model, "names", None)
        pictures = super().prepare(images, targets, names, trained_size(model) or IMAGE_SIZE)
        strides, anchors = _heads(model, anchors, strides)
        img_size = max(pictures["pictures"][0].size)
        level, anchor, chosen = _best_pair(anchors, pictures["objects"])
        width, height = anchors[level][anchor]
        return pictures | {
            "anchors": anchors,
            "strides": strides,
            "first_anchors": anchors,
            "dataset": None if dataset is None else sizes_of(dataset, img_size),
            "level": level,
            "anchor": anchor,
            "object": chosen,
            "anchor_w": width,
            "anchor_h": height,
        }

    def settle(self, before: AnchorState, after: AnchorState) -> AnchorState:
        """Another level or anchor brings its own size; a size that is changed replaces that anchor."""
        after = super().settle(before, after)
        if not after.strides:
            return after
        if after.anchors is not before.anchors:
            after = replace(after, anchors=_checked_anchors(after.anchors, after.strides))
        if after.dataset is not before.dataset and not isinstance(after.dataset, Sizes | None):
            after = replace(after, dataset=sizes_of(after.dataset, max(after.shown.size)))
        level, anchor = min(after.level, len(after.anchors) - 1), min(after.anchor, len(after.anchors[0]) - 1)
        width, height = after.anchors[level][anchor]
        if after.anchor_w != before.anchor_w:
            width = after.anchor_w
        if after.anchor_h != before.anchor_h:
            height = after.anchor_h
        return replace(
            after,
            level=level,
            anchor=anchor,
            anchors=_with(after.anchors, level, anchor, (width, height)),
            anchor_w=width,
            anchor_h=height,
            object=min(after.object, max(len(after.objects) - 1, 0)),
        )

    @staticmethod
    def compute(state: AnchorState) -> AnchorResult:
        """The steps of build_targets on every level, the matches, and the fit to the dataset."""
        targets = targets_of((state.shown,))  # (n, 6)
        grids = _grids(state.shown.size, state.strides)
        anchors = targets.new_tensor(state.anchors)  # (L, A, 2)
        matches = build_targets(targets, grids, anchors, state.strides, state.anchor_t)
        boxes = [to_grid_units(targets, grid) for grid in grids]  # (n, 4) each
        anchors_in_cells = anchors / targets.new_tensor(state.strides)[:, None, None]
        tests = [ratio_test(box[:, 2:], wh, state.anchor_t) for box, wh in zip(boxes, anchors_in_cells, strict=True)]
        sizes = state.dataset or _sizes_of_pictures(state)
        every_anchor = tuple(anchor for level in state.anchors for anchor in level)
        return AnchorResult(
            state=state,
            targets=targets,
            grids=grids,
            boxes=boxes,
            tests=tests,
            matches=matches,
            claimed=_claimed(targets, boxes[state.level], grids[state.level], state.object),
            sizes=sizes,
            fit=sizes and sizes.fit(every_anchor, state.anchor_t),
            curves=sizes and sizes.curves(every_anchor),
            missed=sizes and sizes.missed(every_anchor, state.anchor_t),
        )

    scene = staticmethod(anchor_scene)

    def words(self) -> str:
        """The chosen object's verdict, the matches of the picture, and the fit."""
        result, state = self.result, self.state
        matches = ", ".join(str(len(match.row)) for match in result.matches)
        lines = [f"{verdict(result, state.level, state.anchor, state.object).sentence}"] if state.objects else []
        lines += [f"{len(state.objects)} objects, matches by level: {matches}; no anchor takes {result.untaken.sum()}"]
        if result.fit is not None:
            about = f"over {len(result.sizes)} objects of {result.sizes.name}"
            recall, taken = result.fit.best_possible_recall, result.fit.matches_per_object
            lines += [f"best possible recall {recall:.3f}, {taken:.2f} anchors per object, {about}"]
        return "\n".join(lines)

    def as_code(self) -> str:
        """The settings for training: anchor_t and, where they were changed, the anchors."""
        state = self.state
        code = f"hyp = yl.Hyperparameters(anchor_t={state.anchor_t:.10g})"
        if state.anchors == state.first_anchors:
            return code
        rows = [[round(side, 6) for anchor in level for side in anchor] for level in state.anchors]
        return f"{code}\nmodel.set_anchors({rows})"


def _heads(model: Any, anchors: Any, strides: Any) -> tuple[tuple[int, ...], Anchors]:
    """Strides and anchors: those given, the model's, or YOLOv5's."""
    if strides is None:
        strides = STRIDES if model is None else getattr(model, "strides", None)
    if anchors is None:
        anchors = read_spec("yolov5n")[0]["anchors"] if model is None else getattr(model, "anchors", None)
    if anchors is None or strides is None:
        raise ValueError(
            f"{type(model).__name__} has no anchors and strides: give anchors= (L, A, 2) and strides= (L,)"
        )
    strides = tuple(int(stride) for stride in strides)
    if not strides or min(strides) < 1:
        raise ValueError(f"strides are pixels per cell, one for each level, not {list(strides)}")
    return strides, _checked_anchors(anchors, strides)


def _best_pair(anchors: Anchors, objects: Boxes) -> tuple[int, int, int]:
    """Level, anchor and object of the pair that fits best: what the explorer opens with."""
    wh = torch.tensor([(x2 - x1, y2 - y1) for x1, y1, x2, y2, *_ in objects])
    if not len(wh) or not (wh > 0).all():
        return 0, 0, 0
    worst = ratio_test(wh, torch.tensor(anchors).flatten(0, 1)).worst  # (L A, n)
    place, chosen = divmod(int(worst.argmin()), len(wh))
    return *divmod(place, len(anchors[0])), chosen


def _checked_anchors(anchors: Any, strides: Sequence[int]) -> Anchors:
    """(L, A, 2) or (L, 2 A) of any kind, as plain tuples."""
    values = read_anchors(anchors, strides)
    if values.min() < 1 or values.max() > LARGEST:
        raise ValueError(
            f"anchors have sides between 1 and {LARGEST:g} pixels, not {values.min():g} to {values.max():g}"
        )
    return tuple(tuple((float(width), float(height)) for width, height in level) for level in values.tolist())


def _with(anchors: Anchors, level: int, anchor: int, size: Anchor) -> Anchors:
    """The anchors with one of them replaced; the same object where nothing changes."""
    if anchors[level][anchor] == size:
        return anchors
    of_level = (*anchors[level][:anchor], size, *anchors[level][anchor + 1 :])
    return (*anchors[:level], of_level, *anchors[level + 1 :])


def _grids(size: tuple[int, int], strides: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(rows, cols) of each level."""
    height, width = size
    if any(height % stride or width % stride for stride in strides):
        raise ValueError(
            f"a picture of {width} x {height} has no whole number of cells at the strides {list(strides)}: "
            "letterbox it to multiples of the largest"
        )
    return tuple((height // stride, width // stride) for stride in strides)


def _claimed(targets: Tensor, boxes: Tensor, grid: tuple[int, int], index: int) -> Assignment | None:
    """The cells that one object claims, by the steps of build_targets after the ratio test, as if an anchor took it."""
    if not len(targets):
        return None
    one = slice(index, index + 1)
    passed = boxes.new_ones(1, 1).bool()  # one anchor, which takes it
    claims = neighbour_cells(boxes[one, :2], grid)  # (5, 1)
    return encode(targets[one], boxes[one], passed, claims, boxes[one, 2:], grid)


def _sizes_of_pictures(state: AnchorState) -> Sizes | None:
    sides = [(x2 - x1, y2 - y1) for picture in state.pictures for x1, y1, x2, y2, *_ in picture.boxes]
    images = [picture.name for picture in state.pictures for _ in picture.boxes]
    return Sizes(sides, "these pictures", images.__getitem__) if sides else None
