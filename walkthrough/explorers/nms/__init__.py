"""NmsExplorer: of many boxes around one object, which stay, who removed whom, and what that does to the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from walkthrough._moved import moved_name
from walkthrough.explorers.copying import model_lines
from walkthrough.explorers.detector import drawn_scenes, fit_pictures, network_size
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.nms.scene import scene_of, takeaway_of
from walkthrough.explorers.nms.state import Result, State, compute, finish
from walkthrough.explorers.nms.suppression import Rule, decide
from walkthrough.explorers.nms.thresholds import with_usable_labels
from walkthrough.explorers.pictures import (
    IMAGE_SIZE,
    Annotations,
    PictureExplorer,
    annotate,
    listed_names,
    pictured,
    taking,
)
from walkthrough.explorers.stage import Story
from walkthrough.images import to_numpy
from walkthrough.scene import Scene, counted
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import image_channels, inference, input_size, network_input, size_multiple
from yolo_lite.images.bands import as_channels
from yolo_lite.model.protocol import Detector

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0

SCENES = (15, 2, 17, 10, 8, 4)  # crowded ones of the validation images


class NmsExplorer(PictureExplorer[State, Result]):
    """Non-maximum suppression of a model's predictions: before, after, who suppressed whom, precision and recall.

    Args:
        images, targets: see annotate; left out: drawn scenes, of which the weights shapes-n know the objects.
        model: a detector, or the name or path of weights; left out: shapes-n, unless boxes are given. Lists and
            datasets are resized to what it was trained at.
        boxes: decoded predictions (N, n, 5 + C) in pixels of the images, from anything: no model is needed then.
        names: class names; left out: the model's.

    >>> w = NmsExplorer(iou_thres=0.6)
    >>> w.chosen = (0,)  # the best of all candidates
    >>> w.result.choice.verdict
    'kept'
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    finish = staticmethod(finish)
    title = "Non-maximum suppression"
    part_of = "grids"
    primary = ("conf_thres", "iou_thres", "step")
    stories = (
        Story(
            "as usual", {"conf_thres": 0.25, "iou_thres": 0.45}, "many dashed boxes around an object, one that stays."
        ),
        Story(
            "duplicates stay", {"iou_thres": 0.95}, "several boxes on one object: a better one must overlap by 95 %."
        ),
        Story(
            "neighbours go", {"iou_thres": 0.05}, "objects side by side: the box of one is suppressed by the other's."
        ),
        Story("everything", {"conf_thres": 0.001}, "what validation starts from: boxes without a thing under them."),
    )

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        images: Any = None,
        targets: Any = None,
        model: Detector | None = None,
        boxes: Any = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
    ) -> dict[str, Any]:
        """See the class. The model runs here, once for each picture."""
        if boxes is not None and images is None:
            raise ValueError("boxes= are predictions for pictures: give those too, as images=")
        model = opened_model("shapes-n" if model is None and boxes is None else model)
        size, known = IMAGE_SIZE, ()
        if model is not None:
            _check_model(model)
            size, known = getattr(model, "fixed_size", None) or input_size(model), getattr(model, "names", None) or ()
        left_out: list[str] = []
        if images is None and targets is None:
            pictures = _default_pictures(model)
        else:
            pictures = annotate(images, targets, size, known, left_out)
        decoded = _run(model, pictures, ()) if boxes is None else _checked_boxes(boxes, pictures)
        pictures, unusable = with_usable_labels(pictures, _classes(decoded))
        left_out += [unusable] if unusable else []
        names = _names(getattr(model, "names", None) if names is None else names, decoded)
        first = decide(decoded[0][1], Rule()).largest
        chosen = None if first is None else (float(first),)
        looked_at = {"model": model, "decoded": decoded, "chosen": chosen, "left_out": " ".join(left_out)}
        return pictured(pictures, names) | looked_at

    def settle(self, before: State, after: State) -> State:
        """New pictures get their predictions; a click on a kept box chooses its candidate."""
        after = super().settle(before, after)
        if not after.pictures:
            return after
        if after.model is not before.model and after.model is not None:
            after = replace(after, model=opened_model(after.model))
            _check_model(after.model)
            decoded = _run(after.model, after.pictures, ())
            names = _names(getattr(after.model, "names", None), decoded)
            after = replace(after, decoded=decoded, names=names, chosen=None, detection=None)
        known = [pixels for pixels, _ in after.decoded]
        if after.model is not None and any(all(p.pixels is not k for k in known) for p in after.pictures):
            after = replace(after, decoded=_run(after.model, after.pictures, after.decoded))
        _check_classes(after.pictures, after.decoded)
        is_asked = (after.chosen, after.detection) != (before.chosen, None)  # about a box: of all steps
        if after.step is not None and (is_asked or after.picture != before.picture or after.step >= after.steps):
            after = replace(after, step=None)
        another = (after.picture, after.multi_label) != (before.picture, before.multi_label)
        if another and after.chosen == before.chosen:  # candidates have other numbers now
            after = replace(after, chosen=None)
        if after.detection is not None:
            boxes, place = after.boxes_of(after.shown), int(after.detection[0])
            kept = () if boxes is None else decide(boxes, after.rule).kept
            chosen: Any = (float(kept[place]),) if 0 <= place < len(kept) else None
            after = replace(after, chosen=chosen, detection=None)
        return after

    @staticmethod
    def draft(result: Result) -> Scene | None:
        """The shown picture at once; precision and recall over all pictures a moment later."""
        return None if result.figures is not None else scene_of(result)

    def words(self) -> str:
        """What is kept, and what became of the chosen box."""
        result = self.require()
        cls = result.decided.detections[:, 5].int().tolist()
        kept = ", ".join(counted(cls.count(k), result.names[k], result.names[k]) for k in sorted(set(cls)))
        kept_words = f"{result.picture.name}: kept {kept or 'nothing'}"
        if result.choice is None:
            return kept_words
        chosen = result.names[int(result.decided.found.cls[result.choice.index])]
        return f"{kept_words}; chosen: {chosen}" + (
            ", suppressed by a better box" if result.choice.suppressor >= 0 else ""
        )

    def cell_names(self) -> dict[str, str]:
        """The model, and a batch of the pictures."""
        return super().cell_names() | {"model": model_lines(self._given.get("model"), type(self).__name__, "shapes-n")}

    def cell_code(self) -> str:
        """as_code; boxes that were given are not computed again."""
        code = self.as_code()
        return code if self.state.model is not None else code.split("\n", 1)[1]

    def as_code(self) -> str:
        """The call that decides the same."""
        options = [f"conf_thres={self.state.conf_thres:.10g}", f"iou_thres={self.state.iou_thres:.10g}"]
        options += [f"{name}=True" for name in ("agnostic", "multi_label") if getattr(self.state, name)]
        options += [f"max_det={self.state.max_det}"] if self.state.max_det != State.max_det else []
        return f"boxes = model.decode(model(images))\nfound = yl.non_max_suppression(boxes, {', '.join(options)})"


def _check_model(model: Any) -> None:
    if not hasattr(model, "decode"):
        raise ValueError(f"a detector has model(images) and model.decode(maps); {type(model).__name__} has no decode")


def _check_classes(pictures: Annotations, decoded: Sequence[tuple[np.ndarray, Tensor]]) -> None:
    """A ValueError for an object of a class that no prediction can have."""
    classes = _classes(decoded)
    highest = max((int(box[4]) for picture in pictures for box in picture.boxes), default=0)
    if highest >= classes:
        raise ValueError(f"a target has class {highest}, but predictions are of the classes 0 to {classes - 1}")


def _classes(decoded: Sequence[tuple[np.ndarray, Tensor]]) -> int:
    """How many classes predictions have."""
    return decoded[0][1].shape[1] - 5


def _names(names: Any, decoded: Sequence[tuple[np.ndarray, Tensor]]) -> tuple[str, ...]:
    """The class names; numbers for classes beyond them."""
    known = () if names is None else listed_names(names)
    return (*known, *(f"class {cls}" for cls in range(len(known), _classes(decoded))))


def _default_pictures(model: Any) -> Annotations:
    """Scenes for a model of their classes; otherwise the tour's photographs, with objects where the classes fit."""
    fixed = getattr(model, "fixed_size", None)
    if tuple(getattr(model, "names", None) or ()) == Shapes.names:
        size = network_size(model)
        return fit_pictures(annotate(drawn_scenes(SCENES, model, size)), size)
    pictures = annotate() if fixed is None else fit_pictures(annotate(), fixed)
    highest = max(int(box[4]) for picture in pictures for box in picture.boxes)
    return pictures if highest < model.num_classes else tuple(replace(picture, boxes=()) for picture in pictures)


def _run(model: Any, pictures: Annotations, known: Sequence[tuple[np.ndarray, Tensor]]) -> tuple:
    """The model's decoded boxes of each picture, those that are known already reused."""
    stride = 1 if getattr(model, "fixed_size", None) is not None else size_multiple(model)
    decoded = []
    for picture in pictures:
        found = next((boxes for pixels, boxes in known if pixels is picture.pixels), None)
        if found is None:
            if any(side % stride for side in picture.size):
                size = f"{picture.size[1]} x {picture.size[0]}"
                raise ValueError(
                    f"{picture.name} is {size} px: the model needs multiples of {stride}; a list of images is resized"
                )
            pixels = as_channels(picture.pixels, image_channels(model) or 3, picture.name)
            image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()  # (1, 3, H, W)
            with taking(picture), inference(model):
                found = model.decode(model(network_input(image, model)))[0].float().cpu()  # (n, 5 + C)
        decoded.append((picture.pixels, found))
    return tuple(decoded)


def _checked_boxes(boxes: Any, pictures: Annotations) -> tuple[tuple[np.ndarray, Tensor], ...]:
    """Predictions that the reader gave, beside their pictures."""
    boxes = boxes if isinstance(boxes, list | tuple) else to_numpy(boxes)
    rows = [torch.from_numpy(np.array(to_numpy(image_boxes), np.float32)) for image_boxes in boxes]
    if len(rows) != len(pictures):
        raise ValueError(f"boxes are of {counted(len(rows), 'picture')}, but there are {len(pictures)}")
    wrong = next(
        (tuple(image_boxes.shape) for image_boxes in rows if image_boxes.ndim != 2 or image_boxes.shape[1] < 6), None
    )
    if wrong is not None:
        raise ValueError(f"boxes have the shape (N, n, 5 + C), as model.decode gives them; a picture has {wrong}")
    if len({image_boxes.shape[1] for image_boxes in rows}) > 1:
        counts = [image_boxes.shape[1] - 5 for image_boxes in rows]
        raise ValueError(f"boxes are of as many classes in one picture as in another, not of {counts}")
    return tuple((picture.pixels, image_boxes) for picture, image_boxes in zip(pictures, rows, strict=True))
