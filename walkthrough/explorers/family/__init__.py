"""FamilyExplorer: the same picture and object through any two generations, from who is positive to the gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from walkthrough.explorers.detector import fit_pictures, pictures_for
from walkthrough.explorers.family.generations import GENERATIONS, SIZE, Detectors, named_models
from walkthrough.explorers.family.scene import GRADIENTS, PREDICTIONS, scene_of, takeaway_of, words_of
from walkthrough.explorers.family.state import AUTOMATIC, SIDES, Result, State, compute, finish, has_forms
from walkthrough.explorers.hyp import checked_hyp, hyp_code
from walkthrough.explorers.pictures import Annotations, PictureExplorer, listed_names, pictured
from walkthrough.explorers.stage import Story
from walkthrough.explorers.unfolding import Unfolding
from walkthrough.scene import Scene
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import input_size
from yolo_lite.hyperparameters import Hyperparameters


def _pair(label: str, left: str, right: str, look_for: str) -> Story:
    """A story of two generations, where both are offered."""

    def settings(state: State) -> Mapping[str, Any]:
        names = state.detectors.names if state.detectors is not None else ()
        return {"left": left, "right": right} if {left, right} <= set(names) else {}

    return Story(label, settings, look_for)


class FamilyExplorer(Unfolding[State, Result], PictureExplorer[State, Result]):
    """The same picture and object through any two generations: who is positive, the loss, where gradients go.

    Each generation is shown by a small untrained network at 224 pixels, made at once and the same each time; beside
    them, any detector of the reader's. All numbers come from ``model(images)``, ``decode``, ``criterion`` and its
    ``assign``.

    Args:
        images, targets, names: see annotate; left out: drawn scenes. All pictures are letterboxed to a square.
        models: the reader's detectors: {name: model}, a list or one, each also as a name or path of weights. They take
            a loss that has ``assign``; their number of classes is that of the small networks, too.
        hyp: of the losses that use Hyperparameters, as YOLOv5's.
        img_size: side of the pictures; left out: what the first of the reader's models takes, or 224.

    >>> w = FamilyExplorer(left="YOLOv1", right="YOLOv3")
    >>> w.result.left.counts["positive"] == len(w.objects)  # one prediction for an object
    True
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    finish = staticmethod(finish)
    takeaway = staticmethod(takeaway_of)
    unfolded = (GRADIENTS, PREDICTIONS)
    title = "Generations side by side"
    part_of = "targets"
    primary = ("left", "right", "object")
    stories = (
        _pair("one cell or several", "YOLOv3", "YOLOv5", "YOLOv3: one positive for an object; YOLOv5: neighbours too."),
        _pair("boxes or points", "RetinaNet", "FCOS", "anchors that overlap enough, or points inside of the box."),
        _pair("fixed or asked", "YOLOv5", "YOLOv8", "YOLOv8 asks the network which of its predictions fit best."),
    )

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        images: Any = None,
        targets: Any = None,
        models: Any = None,
        hyp: Hyperparameters | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        img_size: int | None = None,
    ) -> dict[str, Any]:
        """See the class."""
        given, hyp = named_models(models), checked_hyp(hyp)
        first = next(iter(given.values()), None)
        size = img_size or (SIZE if first is None else input_size(first))
        known = names if names is not None else getattr(first, "names", None) or ()
        pictures = fit_pictures(pictures_for(_Classes(first), images, targets, size, listed_names(known)), size)
        known = known or getattr(images, "names", None) or ()
        if first is None and images is None and names is None:
            known = default_names()
        highest = max((int(box[4]) for picture in pictures for box in picture.boxes), default=0)
        counts = {name: model.num_classes for name, model in given.items()}
        classes = max((*counts.values(), len(known) if first is None else 1, 1 if counts else highest + 1))
        _check_classes(counts, highest)
        detectors = Detectors(given, classes, size)
        shown = [*given, *(name for name in ("YOLOv1", "YOLOv5") if name not in given)][:2]
        for name in shown:
            detectors.model(name)  # one that cannot be made at this size is a sentence here
        return pictured(pictures, listed_names(known)) | {
            "detectors": detectors,
            "hyp": hyp,
            "left": shown[0],
            "right": shown[1],
        }

    def settle(self, before: State, after: State) -> State:
        """Another generation, object or picture: its own grid and predictions."""
        if after.hyp is not before.hyp:
            after = replace(after, hyp=checked_hyp(after.hyp))
        after = super().settle(before, after)
        if not after.pictures:
            return after
        after = replace(after, object=min(after.object, max(len(after.objects) - 1, 0)))
        another = after.object != before.object or after.picture != before.picture
        for side in SIDES:
            fields: dict[str, Any] = {f"{side}_level": AUTOMATIC, f"{side}_prediction": AUTOMATIC, f"{side}_row": None}
            changed = getattr(after, side) != getattr(before, side)
            if changed and after.detectors is not None:
                after.detectors.model(getattr(after, side))
            if changed or another:
                kept = {name for name in fields if getattr(after, name) != getattr(before, name)}
                after = replace(after, **{name: value for name, value in fields.items() if name not in kept})
            elif getattr(after, f"{side}_prediction") != getattr(before, f"{side}_prediction"):
                after = replace(after, **_settings((f"{side}_row", None)))
            elif getattr(after, f"{side}_row") != getattr(before, f"{side}_row"):
                after = replace(after, **_settings((f"{side}_prediction", AUTOMATIC), (f"{side}_level", AUTOMATIC)))
        return after

    @staticmethod
    def draft(result: Result) -> Scene | None:
        """Who is positive and the losses at once; the gradients a moment later."""
        return None if result.left.gradients is not None else scene_of(result)

    def words(self) -> str:
        """Who is positive on both sides, as far as it is the same on every machine."""
        return words_of(self.require())

    def cell_pictures(self) -> Annotations:
        """Of the shown one."""
        return (self.state.shown,) if self.state.pictures else ()

    def cell_names(self) -> dict[str, str]:
        """A batch of the pictures, and the models that were given."""
        explained = f"# models: those that were given to {type(self).__name__} as models="
        return super().cell_names() | {"models": explained}

    def as_code(self) -> str:
        """The same numbers without an explorer."""
        state = self.state
        if state.detectors is None:
            return super().as_code()
        size, classes = state.detectors.size, state.detectors.num_classes
        lines = ["from walkthrough.explorers.family.generations import small_model", hyp_code(state.hyp)]
        for side in SIDES:
            name = getattr(state, side)
            form = f", faithful={state.faithful!r}" if has_forms(state.detectors.model(name)) else ""
            is_small = name in GENERATIONS and name not in state.detectors.given
            model = f"small_model({name!r}, {classes}, {size})" if is_small else f"models[{name!r}]"
            lines += [
                f"{side} = {model}",
                f"loss, maps = {side}.criterion(hyp, img_size={size}{form}), {side}(images)",
                f"{side}_parts, {side}_assigned = loss(maps, targets), loss.assign(maps, targets)",
            ]
        return "\n".join(lines)


def _settings(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return dict(pairs)


class _Classes:
    """What pictures_for needs to know where there is no model: the scenes' six classes."""

    num_classes, strides, size_multiple = 6, (32,), 32

    def __init__(self, model: Any) -> None:
        self.num_classes = 6 if model is None else model.num_classes


def default_names() -> tuple[str, ...]:
    """The classes of the drawn scenes."""
    return tuple(Shapes("val", 64, 1).names)


def _check_classes(counts: Mapping[str, int], highest: int) -> None:
    """A ValueError for an object of a class that a model lacks."""
    for name, count in counts.items():
        if highest >= count:
            raise ValueError(f"a target has class {highest}, but the model {name} has the classes 0 to {count - 1}")
