"""One annotation of a COCO file: as a label row, and as COCO's rule needs it (area, crowd or not)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.datasets.convert.coco_file import id_key
from yolo_lite.datasets.convert.converted import (
    box_row,
    check_pixels,
    clipped_box,
    numbers,
    reaches_over,
    turn_of,
    turned_extent,
)
from yolo_lite.datasets.convert.frame import Frame
from yolo_lite.datasets.convert.outlines import agrees, outline_of
from yolo_lite.datasets.yolo_folder import label_row


class Written(NamedTuple):
    """What becomes of an annotation."""

    row: str  # of the label file; "" for what it has no place for: a crowd region, a box without area
    truth: tuple[float, ...]  # of the annotation file, see ImageTruth.objects
    note: str  # what was done to it; "" = nothing worth a word
    key: str = ""  # its id, see id_key


def written_annotation(
    annotation: dict[str, Any], frame: Frame, classes: Mapping[str, int], polygons: bool, crowd: bool = False
) -> Written:
    """One annotation as a label row, and as COCO's rule needs it.

    Args:
        crowd: a region of many objects, which is one all the same.
    """
    size = frame.size
    cls = _class_of(annotation, classes)
    given = box = box_of(annotation)
    outline, note = outline_of(annotation.get("segmentation"), size)
    if box is None and outline is not None:
        box = np.concatenate([outline.min(0), outline.max(0)])
        check_pixels(box)
    if box is None:
        reason = note.removesuffix("; its box is written").removesuffix("; the box is written")
        raise ValueError(f"it has no bbox, and {reason}" if reason else "it has neither a bbox nor an outline")
    inside = clipped_box(box, size)
    if reaches_over(box, size):
        note = note or "it reached over the border; clipped to the image"
    if outline is not None and not agrees(inside, outline):
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        spans = f"from {left:g}, {top:g} to {right:g}, {bottom:g}"
        stated = f"from {inside[0]:g}, {inside[1]:g} to {inside[2]:g}, {inside[3]:g}"
        outline, note = None, f"its outline spans {spans}, its box {stated}; the box is written"
    truth = _truth_row(annotation, cls, box, frame, given is not None and not rotation_of(annotation), crowd)
    if outline is None or not polygons:
        return Written(box_row(cls, inside, frame), truth, note if polygons else "")
    return Written(label_row(cls, frame.fractions(outline).ravel()), truth, note)


def without_label(annotation: dict[str, Any], frame: Frame, classes: Mapping[str, int], crowd: bool) -> Written:
    """A crowd region, or a box that no label can be made of, for COCO's rule alone."""
    box = box_of(annotation)
    if box is None:
        raise ValueError("it has no bbox")
    exact = not rotation_of(annotation)
    return Written("", _truth_row(annotation, _class_of(annotation, classes), box, frame, exact, crowd), "")


def _class_of(annotation: dict[str, Any], classes: Mapping[str, int]) -> int:
    category = annotation.get("category_id")
    cls = classes.get(id_key(category) or "")
    if cls is None:
        raise ValueError(f"there is no category {category!r}")
    return cls


def rotation_of(annotation: dict[str, Any]) -> float:
    """The angle in degrees by which a box is turned about its centre, as CVAT exports it; 0 for one that is not.

    An annotation with an outline or a mask has the box of these already.
    """
    attributes = annotation.get("attributes")
    if not isinstance(attributes, dict) or not annotation.get("bbox") or annotation.get("segmentation"):
        return 0.0
    return turn_of(attributes.get("rotation"))


def box_of(annotation: dict[str, Any]) -> np.ndarray | None:
    """(4,) xyxy pixels, of a turned box its extent; None where there is none."""
    if not annotation.get("bbox"):
        return None
    xywh = numbers(annotation["bbox"], "bbox")
    if len(xywh) != 4:
        raise ValueError(f"bbox {annotation['bbox']!r} is not x, y, width, height")
    check_pixels(xywh)
    xyxy = np.concatenate([xywh[:2], xywh[:2] + xywh[2:]])
    return turned_extent(xyxy, rotation_of(annotation))


def _truth_row(
    annotation: dict[str, Any], cls: int, box: np.ndarray, frame: Frame, exact: bool, crowd: bool = False
) -> tuple[float, ...]:
    """An annotation as a row of ``ImageTruth.objects``, in pixels of the picture as it is read.

    Args:
        box: (4,) xyxy in the frame. exact: it is the annotation's bbox, whose numbers are kept to the last digit.
        crowd: a region of many objects.
    """
    xywh = numbers(annotation["bbox"], "bbox") if exact else np.concatenate([box[:2], box[2:] - box[:2]])
    area = _area(annotation.get("area"), xywh)
    if not frame.is_picture:
        picture = np.array([frame.picture.width, frame.picture.height])
        corners = frame.fractions(box.reshape(2, 2)) * picture  # in any order: the picture may be turned
        xywh = np.concatenate([corners.min(0), np.ptp(corners, 0)])
        area *= picture.prod() / (frame.size.width * frame.size.height)
    return (cls, *xywh.tolist(), area, float(crowd))


def _area(given: Any, xywh: np.ndarray) -> float:
    """The area that an annotation states; of its box where it states none."""
    try:
        area = float(given)
    except (TypeError, ValueError):
        area = math.nan
    return area if math.isfinite(area) and area >= 0 else float(xywh[2] * xywh[3])


# ---- ids ------------------------------------------------------------------------------------------------------------


def whole_numbers(keys: Iterable[str]) -> dict[str, int] | None:
    """The number that each id is; None where one of them is text.

    >>> whole_numbers(["7", "12"]), whole_numbers(["7", "a"])
    ({'7': 7, '12': 12}, None)
    """
    found = {key: int(key) if key.lstrip("-").isdecimal() else None for key in keys}
    numbers = {key: number for key, number in found.items() if number is not None}
    return numbers if len(set(numbers.values())) == len(found) else None


def category_ids(names: Sequence[str], classes: dict[str, int]) -> tuple[int, ...]:
    """The category of each class: its own id, the first of several; its number where ids are text.

    Args:
        classes: the class of each category, by its id.

    >>> category_ids(["cat", "dog"], {"7": 0, "9": 1}), category_ids(["cat"], {"c": 0})
    ((7, 9), (0,))
    """
    known = whole_numbers(classes)
    if known is None:
        return tuple(range(len(names)))
    first = {cls: key for key, cls in reversed(classes.items())}
    return tuple(known[first[cls]] for cls in range(len(names)))
