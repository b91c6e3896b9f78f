"""WhyExplorer: every error of a detector in a picture by its kind, and why it happened, in the model's own terms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from walkthrough.explorers.base import Action
from walkthrough.explorers.detector import DetectorExplorer, checked_detector, drawn_scenes, network_size
from walkthrough.explorers.inputs import FIRST, is_dataset, opened_dataset
from walkthrough.explorers.nms.thresholds import with_usable_labels
from walkthrough.explorers.pictures import annotate, pictured
from walkthrough.explorers.stage import Story
from walkthrough.explorers.why.reading import Passes
from walkthrough.explorers.why.reasons import WORDS
from walkthrough.explorers.why.scene import reason_words, scene_of, takeaway_of
from walkthrough.explorers.why.state import Result, State, compute, finish, shown_error
from walkthrough.scene import Scene, counted
from walkthrough.show import class_name
from yolo_lite.analysis.costs import error_costs
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.inference import input_size, size_multiple
from yolo_lite.hyperparameters import Hyperparameters

SCENES = (15, 42, 39, 41)  # of the validation images: those in which shapes-n is wrong
LOOK_FOR = {
    "missed": "where the best prediction of that class was lost: a threshold, another box, another class.",
    "classification": "what the same prediction says of the right class.",
    "localization": "how far the box is off, and whether a better placed one was there.",
    "duplicate": "how little two boxes on one object overlap when both are kept.",
    "background": "how sure it is, and that training asks of its cell to say there is no object.",
}


def _story(kind: str) -> Story:
    return Story(WORDS[kind], lambda state: shown_error(state, kind), LOOK_FOR[kind])


class WhyExplorer(DetectorExplorer[State, Result]):
    """The errors of a detector, sorted into TIDE's six kinds, and of the chosen one the reason.

    The reason is told in the terms of the model: which level, cell and anchor predicted it, what it said, what training
    asks of it, what its cell can see, and where the right box was lost.

    Args:
        images, targets: pictures and their labels, see annotate: paths, arrays, PIL pictures; or a dataset or the path
            of one (data.yaml, a folder), all of whose images ``index`` pages through. Left out: drawn scenes, or the
            tour's photographs for a model with COCO's classes.
        model: a detector, or the name or path of weights; left out: "shapes-n". names: of the classes, the model's
            where left out. hyp: decides who is responsible for a label (anchor_t).
        img_size: to letterbox listed images to; left out: what the model was trained at.

    >>> w = WhyExplorer()
    >>> w.result.error.kind in w.result.judged.errors.counts
    True
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    finish = staticmethod(finish)
    takeaway = staticmethod(takeaway_of)
    title = "Why is it wrong?"
    part_of = "grids"
    primary = ("picture", "conf_thres")
    stories = tuple(_story(kind) for kind in LOOK_FOR)
    actions = (
        Action("evaluate_all", "whole dataset", help="evaluate every image of the dataset: what each kind costs there"),
    )

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        images: Any = None,
        targets: Any = None,
        model: Any = None,
        hyp: Hyperparameters | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        img_size: int | None = None,
    ) -> dict[str, Any]:
        """See the class. The model runs here, on the first picture."""
        model = checked_detector(model)
        dataset = opened_dataset(images) if is_dataset(images) and targets is None else None
        size = network_size(model, img_size, input_size(model))  # what predict and NmsExplorer take
        if images is None and targets is None and tuple(model.names or ()) == Shapes.names and isinstance(size, int):
            images = drawn_scenes(SCENES, model, size)
        given, img_size = images if dataset is None else dataset, size if isinstance(size, int) else None
        inputs = super().prepare(given, targets, model, hyp, names, img_size)
        pictures, left_out = with_usable_labels(inputs["pictures"], model.num_classes)
        passes = Passes(model, inputs["hyp"])
        passes.decoded(pictures[0])
        every = [class_name(cls, inputs["names"]) for cls in range(model.num_classes)]
        return inputs | pictured(pictures, every) | {"left_out": left_out, "passes": passes, "dataset": dataset}

    def settle(self, before: State, after: State) -> State:
        """Another model passes over the pictures again; another image of the dataset brings those around it."""
        if after.pictures and after.dataset is not None and after.index != before.index:
            after = _at_index(before, after)
        after = super().settle(before, after)
        if not after.pictures or after.passes is None:
            return after
        if after.model is not before.model or after.hyp is not before.hyp:
            after = replace(after, passes=Passes(after.model, after.hyp), whole=None)
        _check_classes(after)
        if after.dataset is not None and after.picture != before.picture and after.index == before.index:
            after = replace(after, index=min(before.index // FIRST * FIRST + after.picture, len(after.dataset) - 1))
        moved = after.picture != before.picture or after.pictures is not before.pictures
        if moved and after.chosen == before.chosen:
            after = replace(after, chosen=None)
        return after

    def evaluate_all(self) -> None:
        """Evaluate every image of the dataset, and show what each kind of error costs there."""
        state = self.state
        if state.dataset is None:
            return self.notify(ValueError("whole dataset: give a dataset as images=, a data.yaml for example"))
        side = max(state.shown.size)
        try:
            every = YoloDataset(state.dataset.source, side, stride=size_multiple(state.model))
            found = evaluate(state.model, every, rule="yolov5", keep_detections=True)
            whole = error_costs(found, state.foreground, min(state.background, state.foreground))
        except (ValueError, OSError) as problem:
            return self.notify(problem)
        return self.set(whole=whole)

    @staticmethod
    def draft(result: Result) -> Scene | None:
        """The errors at once; what they cost, and what the cell can see, a moment later."""
        return None if result.is_finished else scene_of(result)

    def words(self) -> str:
        """How many errors of each kind there are, and what became of the chosen one."""
        result = self.require()
        counts = result.judged.errors.counts
        errors = ", ".join(f"{count} {WORDS[kind]}" for kind, count in counts.items() if count)
        words = f"{result.picture.name}: {counted(len(result.picture.boxes), 'label')}, {errors or 'no error'}"
        if result.error is None or result.reason is None:
            return words
        why = reason_words(result.reason) if result.error.kind == "missed" else ""
        chosen = f"{words}; chosen: {WORDS[result.error.kind]}, {result.case.name(result.error.cls)}"
        return f"{chosen}: {why}" if why else chosen

    def as_code(self) -> str:
        """The same errors without an explorer."""
        state = self.state
        options = f"conf_thres={state.conf_thres:.10g}, iou_thres={state.iou_thres:.10g}"
        options += ", agnostic=True" if state.agnostic else ""
        changed = state.foreground != State.foreground or state.background != State.background
        thresholds = f", foreground={state.foreground:.10g}, background={state.background:.10g}" if changed else ""
        return (
            f"found = yl.non_max_suppression(model.decode(model(images)), {options})[{state.picture}]\n"
            f"own = targets[targets[:, 0] == {state.picture}]\n"
            "width, height = images.shape[3], images.shape[2]\n"
            "xyxy = yl.xywh_to_xyxy(own[:, 2:]) * torch.tensor([width, height, width, height])\n"
            f"errors = yl.find_errors(found, torch.cat((own[:, 1:2], xyxy), 1){thresholds})\n"
            "errors.counts, errors.kinds"
        )


def _check_classes(state: State) -> None:
    highest = max((int(box[4]) for picture in state.pictures for box in picture.boxes), default=0)
    if highest >= state.model.num_classes:
        raise ValueError(
            f"a label has class {highest}, but the model has 0 to {state.model.num_classes - 1}: choose one of those"
        )


def _at_index(before: State, after: State) -> State:
    """The pictures around an image of the dataset, in place of those that were there."""
    start = after.index // FIRST * FIRST
    if start != before.index // FIRST * FIRST:
        known = getattr(after.model, "names", None) or ()
        pictures = annotate(after.dataset, size=before.shown.size, names=known, start=start)
        pictures, left_out = with_usable_labels(pictures, after.model.num_classes)
        after = replace(after, pictures=pictures, left_out=left_out)
    return replace(after, picture=after.index - start)
