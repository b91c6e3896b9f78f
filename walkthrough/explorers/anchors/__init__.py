"""AnchorExplorer: which anchors and cells are matched to which object, and why the others are not."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from walkthrough._moved import moved_name
from walkthrough.explorers.anchors.fit import Anchor, Sizes, sizes_of
from walkthrough.explorers.anchors.guess import guess_scene, is_guessed, question_of
from walkthrough.explorers.anchors.other_rule import OtherMatches, OtherRule
from walkthrough.explorers.anchors.other_scene import other_scene, other_words
from walkthrough.explorers.anchors.scene import scene_of, takeaway_of, verdict
from walkthrough.explorers.anchors.state import LARGEST, Anchors, Result, State, compute
from walkthrough.explorers.anchors.stories import STORIES, clear_objects, clearest_picture, opening_pair
from walkthrough.explorers.copying import model_lines
from walkthrough.explorers.detector import fit_pictures, network_size
from walkthrough.explorers.inputs import is_dataset, opened_model
from walkthrough.explorers.pictures import IMAGE_SIZE, Annotations, PictureExplorer
from walkthrough.scene import Scene
from yolo_lite.detect.inference import trained_size
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.model.spec import read_anchors, read_spec

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0

STRIDES = (8, 16, 32)  # of the default anchors, YOLOv5's for 640 pixels


def _scene_of(result: Result | OtherMatches) -> Scene:
    if isinstance(result, OtherMatches):
        return other_scene(result)
    return guess_scene(result) if is_guessed(result) else scene_of(result)


def _takeaway_of(result: Result | OtherMatches) -> str:
    if isinstance(result, OtherMatches):
        return ""
    return f"{question_of(result)} Choose them, then reveal." if is_guessed(result) else takeaway_of(result)


class AnchorExplorer(PictureExplorer[State, Result | OtherMatches]):
    """Which anchors are matched to an object and why, the cells responsible for it, and how well anchors fit a dataset.

    Args:
        images, targets, names: pictures and their objects, see annotate; without them the tour's four.
        model: a model with anchors and strides; one of another generation is shown with its own rule of matching, as
            the assign of its loss gives it. anchors, strides: (L, A, 2) pixels and pixels per cell,
            instead of a model's; without either YOLOv5's.
        guess: True asks first: which anchors are matched? The reader chooses, then reveals.
        dataset: whose objects the curves are about: a YoloDataset, a source of one ("shapes", a data.yaml),
            or (n, 2) widths and heights in pixels; without it the objects of the pictures.

    >>> import torch
    >>> one = [[0, 7, 0.781094, 0.986248, 0.0703293, 0.0275012]]
    >>> w = AnchorExplorer(images=torch.zeros(1, 3, 640, 640), targets=one)
    >>> [len(match.row) for match in w.result.matches]
    [6, 6, 0]
    >>> w.anchor_t = 2
    >>> [len(match.row) for match in w.result.matches]
    [3, 0, 0]
    """

    compute = staticmethod(compute)
    scene = staticmethod(_scene_of)
    takeaway = staticmethod(_takeaway_of)
    title = "Anchors and targets"
    part_of = "targets"
    primary = ("anchor_t", "object")
    stories = STORIES

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
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
        size: int | tuple[int, int] = trained_size(model) or IMAGE_SIZE
        other = anchors is None and has_another_rule(model)
        if other:
            size = network_size(model, None, IMAGE_SIZE)
        pictures = super().prepare(images, targets, names, size)
        if other:
            return pictures | _other_rule(model, pictures, size, dataset)
        strides, anchors = _heads(model, anchors, strides)
        img_size = max(pictures["pictures"][0].size)
        picture = clearest_picture(pictures["pictures"])
        shown = pictures["pictures"][picture]
        level, anchor, chosen = opening_pair(anchors, shown.boxes, shown.size)
        width, height = anchors[level][anchor]
        return pictures | {
            "anchors": anchors,
            "strides": strides,
            "first_anchors": anchors,
            "dataset": None if dataset is None else sizes_of(dataset, img_size),
            "picture": picture,
            "objects": shown.boxes,
            "level": level,
            "anchor": anchor,
            "object": chosen,
            "anchor_w": width,
            "anchor_h": height,
        }

    def settle(self, before: State, after: State) -> State:
        """Another level or anchor brings its own size; a size that is changed replaces that anchor."""
        after = super().settle(before, after)
        if not after.strides:
            return after
        if after.other is not None:
            return _settle_other(after)
        if after.anchors is not before.anchors:
            after = replace(after, anchors=_checked_anchors(after.anchors, after.strides))
        if after.dataset is not before.dataset and not isinstance(after.dataset, Sizes | None):
            after = replace(after, dataset=sizes_of(after.dataset, max(after.shown.size)))
        if after.pair is not None:  # a click on a row: the level and the anchor of it
            level, anchor = divmod(int(after.pair[0]), len(after.anchors[0]))
            after = replace(after, level=level, anchor=anchor, pair=None)
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

    def words(self) -> str:
        """The chosen object's verdict, the matches of the picture, and the fit."""
        result, state = self.require(), self.state
        if isinstance(result, OtherMatches):
            return other_words(result)
        if is_guessed(result):
            return question_of(result)
        matches = ", ".join(str(len(match.row)) for match in result.matches)
        lines = [f"{verdict(result, state.level, state.anchor, state.object).sentence}"] if state.objects else []
        lines += [f"{len(state.objects)} objects, matches by level: {matches}; unmatched: {result.unmatched.sum()}"]
        if (dataset := result.dataset) is not None:
            about = f"over {len(dataset.sizes)} objects of {dataset.sizes.name}"
            recall, matched = dataset.fit.best_possible_recall, dataset.fit.matches_per_object
            lines += [f"best possible recall {recall:.3f}, {matched:.2f} anchors per object, {about}"]
        return "\n".join(lines)

    def as_code(self) -> str:
        """The settings for training: anchor_t and, where they were changed, the anchors."""
        state = self.state
        if state.other is not None:
            size = max(state.shown.size)
            return f"loss = model.criterion(yl.Hyperparameters(), img_size={size})\nloss.assign(model(images), targets)"
        code = f"hyp = yl.Hyperparameters(anchor_t={state.anchor_t:.10g})"
        if state.anchors == state.first_anchors:
            return code
        rows = [[round(side, 6) for anchor in level for side in anchor] for level in state.anchors]
        return f"{code}\nmodel.set_anchors({rows})"

    def cell_pictures(self) -> Annotations:
        """Of the shown one."""
        return (self.state.shown,) if self.state.pictures else ()

    def cell_names(self) -> dict[str, str]:
        """The shown picture's boxes, and the anchors as they are now."""
        state = self.state
        names = super().cell_names()
        if state.other is not None:
            return names | {"model": model_lines(self._given.get("model"), type(self).__name__)}
        rows = ",\n".join(f"    {[list(anchor) for anchor in level]}" for level in state.anchors)
        return names | {
            "anchors": f"anchors = torch.tensor([  # width and height in pixels, level by level\n{rows},\n])"
        }

    def cell_code(self) -> str:
        """The matches of the shown picture, with its boxes and the anchors as they are now."""
        state = self.state
        if state.other is not None or not state.pictures:
            return self.as_code()
        height, width = state.shown.size
        grids = [(height // stride, width // stride) for stride in state.strides]
        options = f"{grids}, anchors, {list(state.strides)}, anchor_t={state.anchor_t:.10g}"
        return f"matches = yl.build_targets(targets, {options})"


def has_another_rule(model: Any) -> bool:
    """Whether a model is a detector whose loss gives its matches by another rule than YOLOv5's."""
    if not all(hasattr(model, name) for name in ("criterion", "decode", "strides", "num_classes")):
        return False
    loss = model.criterion(Hyperparameters(), IMAGE_SIZE)
    is_yolov5s = isinstance(loss, ComputeLoss) and type(loss).matches is ComputeLoss.matches
    return hasattr(loss, "assign") and not is_yolov5s


def _other_rule(model: Any, pictures: dict[str, Any], size: Any, dataset: Any) -> dict[str, Any]:
    """The fields of State for a model with a rule of its own."""
    fitted = fit_pictures(pictures["pictures"], size if size else pictures["pictures"][0].size)
    picture = clearest_picture(fitted)
    shown = fitted[picture]
    chosen = next(iter(clear_objects(shown.boxes, shown.size)), 0)
    rule = OtherRule(model, shown)
    first = rule.matches(shown, chosen, 0, 0, (), 0)
    best = int(first.overlaps.argmax())  # opens with the anchor that overlaps the object most
    level, anchor = first.cells[best, :2].tolist()
    left_out = "" if dataset is None else "left out: dataset, whose fit is to YOLOv5's rule"
    return {
        "pictures": fitted,
        "picture": picture,
        "objects": shown.boxes,
        "object": chosen,
        "other": rule,
        "strides": rule.strides,
        "level": level,
        "anchor": anchor,
        "left_out": left_out,
    }


def _settle_other(after: State) -> State:
    assert after.other is not None
    level = min(after.level, len(after.strides) - 1)
    anchor = min(after.anchor, after.other.anchors_of_level(level) - 1)
    return replace(after, level=level, anchor=anchor, object=min(after.object, max(len(after.objects) - 1, 0)))


def _heads(model: Any, anchors: Any, strides: Any) -> tuple[tuple[int, ...], Anchors]:
    """Strides and anchors: those given, the model's, or YOLOv5's."""
    if strides is None:
        strides = STRIDES if model is None else getattr(model, "strides", None)
    if anchors is None:
        anchors = read_spec("yolov5n")[0]["anchors"] if model is None else getattr(model, "anchors", None)
    if anchors is None or strides is None:
        raise ValueError(
            f"this explorer shows how objects are matched to anchors, by YOLOv5's rule or that of the assign of the "
            f"model's loss; {type(model).__name__} has no anchors and "
            "strides: give anchors= (L, A, 2) and strides= (L,), or look at it with LossExplorer and GradientExplorer"
        )
    strides = tuple(int(stride) for stride in strides)
    if not strides or min(strides) < 1:
        raise ValueError(f"strides are pixels per cell, one for each level, not {list(strides)}")
    return strides, _checked_anchors(anchors, strides)


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
