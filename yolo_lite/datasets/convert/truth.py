"""What COCO's rule needs of an annotation and a label file does not hold: its area, whether it is a crowd, and ids."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from yolo_lite.datasets.convert.converted import numbers as numbers_of
from yolo_lite.datasets.convert.frame import Frame


def truth_row(
    annotation: dict[str, Any], cls: int, box: np.ndarray, frame: Frame, exact: bool, crowd: bool = False
) -> tuple[float, ...]:
    """An annotation as a row of ``ImageTruth.objects``, in pixels of the picture as it is read.

    Args:
        box: (4,) xyxy in the frame. exact: it is the annotation's bbox, whose numbers are kept to the last digit.
        crowd: a region of many objects.
    """
    xywh = numbers_of(annotation["bbox"], "bbox") if exact else np.concatenate([box[:2], box[2:] - box[:2]])
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
