"""What NmsExplorer and WhyExplorer share: the thresholds of prediction, and the rule by which an object is found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from walkthrough.explorers.controls import slider, toggle
from walkthrough.explorers.nms.suppression import Rule
from walkthrough.explorers.pictures import Annotated, Annotations, PictureState
from walkthrough.scene import counted
from yolo_lite.analysis.errors import FOREGROUND

USUAL = Rule()
MOST_NAMED = 5  # classes


@dataclass(frozen=True)
class ThresholdState(PictureState):
    """Pictures, and the thresholds that predictions on them have to pass."""

    conf_thres: float = slider(
        USUAL.conf_thres,
        0,
        1,
        0.005,
        help="boxes with less objectness or score are left out: lower finds more, and more that is wrong",
    )
    iou_thres: float = slider(
        USUAL.iou_thres,
        0,
        1,
        0.005,
        help="a box that overlaps a better one by more is suppressed: higher keeps neighbours, and duplicates",
    )
    agnostic: bool = toggle(
        USUAL.agnostic,
        label="across classes",
        help="boxes of different classes suppress each other, too: one box for each place",
    )

    @property
    def rule(self) -> Rule:
        """The arguments of non_max_suppression."""
        return Rule(self.conf_thres, self.iou_thres, self.agnostic)


def found_in_words(found: int, labels: int, foreground: float = FOREGROUND) -> str:
    """How many objects were found, and what counts as found: ``match_detections`` decides.

    >>> found_in_words(8, 10)
    '8 of 10 objects found (its class, IoU ≥ 0.5)'
    """
    return f"{found} of {counted(labels, 'object')} found (its class, IoU ≥ {foreground:g})"


def labels_of(picture: Annotated) -> np.ndarray:
    """The objects of a picture in the form of match_detections, (m, 5): class, xyxy."""
    return np.array([(box[4], *box[:4]) for box in picture.boxes], np.float32).reshape(-1, 5)


def with_usable_labels(pictures: Annotations, classes: int) -> tuple[Annotations, str]:
    """The pictures without the labels that no detection can find, and a sentence about those; "" where there are none.

    Such are labels of a class that the model does not have, and labels without area.

    >>> blank = np.zeros((64, 64, 3), np.uint8)
    >>> boxes = ((8, 8, 24, 24, 1), (8, 8, 8, 24, 0), (8, 8, 24, 24, 7))
    >>> (kept,), words = with_usable_labels((Annotated(blank, boxes, "one"),), 2)
    >>> kept.boxes
    ((8, 8, 24, 24, 1),)
    >>> words.split(": ")[0]
    'left out'
    """
    labels = [(picture.name, box) for picture in pictures for box in picture.boxes]
    strange = [box for _, box in labels if int(box[4]) >= classes]
    empty = [(name, box) for name, box in labels if int(box[4]) < classes and not _has_area(box)]
    told = []
    if strange:
        unknown = sorted({int(box[4]) for box in strange})
        which = ", ".join(map(str, unknown[:MOST_NAMED])) + (" ..." if len(unknown) > MOST_NAMED else "")
        known = (
            f"the model has the classes 0 to {classes - 1}; correct it, or make the explorer with a model that has it"
        )
        told.append(f"{counted(len(strange), 'label')} of class {which}: {known}")
    if empty:
        name, box = empty[0]
        first = f"{box[2] - box[0]:g} x {box[3] - box[1]:g} px at x {box[0]:g}, y {box[1]:g} of picture {name}"
        told.append(f"{counted(len(empty), 'label')} without area: {first}; give it a width and a height, or delete it")
    if not told:
        return pictures, ""
    usable = [tuple(box for box in p.boxes if int(box[4]) < classes and _has_area(box)) for p in pictures]
    kept = tuple(replace(picture, boxes=boxes) for picture, boxes in zip(pictures, usable, strict=True))
    return kept, f"left out: {'. And '.join(told)}"


def _has_area(box: Sequence[float]) -> bool:
    """Whether it has one in float32, as overlaps are computed."""
    x1, y1, x2, y2 = np.array(box[:4], np.float32).tolist()
    return x2 > x1 and y2 > y1
