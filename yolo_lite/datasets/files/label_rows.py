"""Rows of label files -> checked labels. YOLOv5: `verify_image_label`, `segments2boxes`.

A label file has one row per object, ``class xc yc w h``, all but the class as fractions of the image's sides.
A row of 7 or more values (an odd number) is a polygon, ``class x1 y1 x2 y2 ...``; its box is the polygon's extent.
Where the data.yaml has ``kpt_shape: [n, d]``, a row of 5 + n d values is a box and its keypoints; the box is read.
Each row is judged by itself: a bad one is left out and reported, and those beside it stay.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolo_lite.data.labels import ImageLabels
from yolo_lite.data.report import Problem
from yolo_lite.datasets.files.text import decode_text, split_lines

TOLERANCE = 1e-3  # a coordinate this far outside [0, 1] is rounding: it is clipped, anything further is a mistake
MAX_CLASSES = 10_000  # where no names are given, a class beyond this is a slip of the pen
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)  # float() reads 0_5 and letters of any script
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
BOX_VALUES = ("x centre", "y centre", "width", "height")


def image_to_label_path(path: str | Path) -> str:
    """Where the labels of an image are (YOLOv5: `img2label_paths`): the last folder
    ``images`` becomes ``labels``, the suffix ``.txt``.

    Where no folder is called ``images``, the label file lies beside the image.

    >>> image_to_label_path("/data/images/coco/images/train/0001.jpg")
    '/data/images/coco/labels/train/0001.txt'
    >>> image_to_label_path("pictures/0001.tar.png"), image_to_label_path("Images/a.png")
    ('pictures/0001.tar.txt', 'Labels/a.txt')
    """
    image = Path(path)
    folders = list(image.parent.parts)
    places = [place for place, folder in enumerate(folders) if folder.lower() == "images"]
    if places:
        last = folders[places[-1]]
        folders[places[-1]] = "labels" if last.islower() else "LABELS" if last.isupper() else "Labels"
    return str(Path(*folders) / f"{image.stem}.txt")


class LabelRow(NamedTuple):
    """One row of a label file, read."""

    cls: int
    box: tuple[float, float, float, float]  # xywh normalised
    polygon: np.ndarray | None  # (k, 2) float32 normalised
    clipped: bool  # a coordinate lay outside the image by no more than rounding


def parse_label_file(
    path: str | Path, num_classes: int | None = None, keypoints: tuple[int, int] | None = None
) -> tuple[ImageLabels, list[Problem]]:
    """Reads one label file; an empty one is a background image.

    Args:
        num_classes: classes from here on are mistakes; None where the number is not known.
        keypoints: data.yaml's ``kpt_shape``, see parse_row.
    Returns:
        The good rows in the order of the file, and a Problem for each of the others. A line that begins with # is a
        comment, and noted.
    Raises:
        OSError: the file cannot be read.
    """
    lines = split_lines(decode_text(Path(path).read_bytes()))
    rows: list[LabelRow] = []
    problems: list[Problem] = []
    first_line: dict[tuple[float, ...], int] = {}  # the values of a row -> the line they were first seen on
    for line, text in enumerate(lines, start=1):
        fields = text.lstrip("\ufeff").split()  # files that were joined have byte order marks inside
        if not fields:
            continue
        if fields[0].startswith("#"):
            problems.append(Problem(str(path), line, "begins with #; not read", "comment lines", note=True))
            continue
        try:
            fields = _box_fields(fields, keypoints)
            values = _numbers(fields)
            row = parse_row(values, num_classes)
        except ValueError as mistake:
            problems.append(Problem(str(path), line, f"{mistake}; row left out"))
            continue
        earlier = first_line.setdefault(tuple(values), line)
        if earlier != line:
            message = f"the same object as line {earlier}; counted once"
            problems.append(Problem(str(path), line, message, "duplicate rows", note=True))
            continue
        if row.clipped:
            message = "a coordinate lies just outside 0 to 1, as rounding leaves it; clipped"
            problems.append(Problem(str(path), line, message, "rows clipped to the image", note=True))
        rows.append(row)
    return _stacked(rows), problems


def _box_fields(fields: list[str], keypoints: tuple[int, int] | None) -> list[str]:
    """The fields of a row that are read: all of them, or class and box where keypoints follow.

    Raises:
        ValueError: a row that is neither a box nor a box with this many keypoints.
    """
    if keypoints is None:
        return fields
    count, size = keypoints
    expected = 5 + count * size
    if len(fields) not in (5, expected):
        raise ValueError(
            f"{len(fields)} values, expected {expected} (class, box, {count} keypoints of {size} values, as kpt_shape "
            "says) or 5 (class, box)"
        )
    return fields[:5]


def parse_row(values: Sequence[float], num_classes: int | None = None) -> LabelRow:
    """One row of a label file, as numbers: a box or a polygon.

    Raises:
        ValueError: what is wrong with the row, and what to do about it.

    >>> parse_row([2, 0.5, 0.5, 0.2, 0.1]).box
    (0.5, 0.5, 0.2, 0.1)
    >>> parse_row([2, 0.4, 0.4, 0.6, 0.4, 0.6, 0.5]).polygon.shape
    (3, 2)
    >>> parse_row([7, 0.5, 0.5, 0.2, 0.1], num_classes=3)
    Traceback (most recent call last):
    ValueError: class 7, but there are 3 classes (0 to 2): correct the row, or add the class to names
    """
    is_polygon = len(values) >= 7 and len(values) % 2 == 1
    if len(values) != 5 and not is_polygon:
        hint = "; a confidence in sixth place does not belong in labels" if len(values) == 6 else ""
        raise ValueError(
            f"{len(values)} values, expected 5 (class, x centre, y centre, width, height), "
            f"or for a polygon an odd number from 7 on (class, x1, y1, x2, y2, ...){hint}{_keypoint_hint(values)}"
        )
    cls = _checked_class(values[0], num_classes)
    coordinates = [_checked_coordinate(values, place, is_polygon) for place in range(1, len(values))]
    clipped = coordinates != list(values[1:])
    if is_polygon:
        polygon = np.array(coordinates, np.float64).reshape(-1, 2)  # (k, 2)
        low, high = polygon.min(0), polygon.max(0)
        box = (*((low + high) / 2).tolist(), *(high - low).tolist())
        points = polygon.astype(np.float32)
    else:
        box, points = tuple(coordinates), None
    if min(np.float32(box[2]), np.float32(box[3])) <= 0:  # as they are stored
        raise ValueError(f"{'polygon' if is_polygon else 'box'} without area (width {box[2]:g}, height {box[3]:g})")
    return LabelRow(cls, box, points, clipped)


def _numbers(fields: Sequence[str]) -> list[float]:
    values = []
    for place, field in enumerate(fields, start=1):
        shown = ascii(field if len(field) <= 40 else field[:37] + "...")
        if not NUMBER.fullmatch(field):
            if field.lower().lstrip("+-") in ("nan", "inf", "infinity"):
                raise ValueError(f"value {place} is {field}, not a finite number")
            raise ValueError(f"value {place} is {shown}, not a number{_hint(field)}")
        value = float(field)
        if not math.isfinite(value):
            raise ValueError(f"value {place} is {shown}, not a finite number")
        if value == 0 and re.search("[1-9]", re.split("[eE]", field)[0]):  # 1e-400
            raise ValueError(f"value {place} is {shown}, which is too close to 0 to be stored")
        values.append(value)
    return values


def _hint(field: str) -> str:
    """What to do about a field that is not a number."""
    if DECIMAL_COMMA.fullmatch(field):
        return f" (write the decimal comma as a point, {field.replace(',', '.')})"
    if "," in field or ";" in field:
        return " (values are separated by blanks)"
    if "\0" in field:
        return " (zero bytes: the file is damaged, or in another encoding than UTF-8 or UTF-16)"
    return ""


def _keypoint_hint(values: Sequence[float]) -> str:
    """What to do about a box with keypoints x, y and visibility (0, 1 or 2), where no kpt_shape announces them."""
    count, rest = divmod(len(values) - 5, 3)
    if count < 1 or rest or not set(values[7::3]) <= {0, 1, 2}:
        return ""
    return f"; a box and {count} keypoints? then give `kpt_shape: [{count}, 3]` in the data.yaml, and the box is read"


def _checked_class(value: float, num_classes: int | None) -> int:
    if value != int(value) or value < 0:
        raise ValueError(f"class {value:g} is not a whole number from 0 on")
    if num_classes is None and value >= MAX_CLASSES:
        raise ValueError(
            f"class {value:.0f}, beyond {MAX_CLASSES:,}: correct the row, or give names for this many classes"
        )
    if num_classes is not None and value >= num_classes:
        known = (
            "the only class is 0" if num_classes == 1 else f"there are {num_classes} classes (0 to {num_classes - 1})"
        )
        raise ValueError(f"class {value:.0f}, but {known}: correct the row, or add the class to names")
    return int(value)


def _checked_coordinate(values: Sequence[float], place: int, is_polygon: bool) -> float:
    """The value at a place of the row, clipped to [0, 1] where it is outside by no more than rounding."""
    value = values[place]
    if -TOLERANCE <= value <= 1 + TOLERANCE:
        return min(max(value, 0.0), 1.0)
    name = f"{'xy'[(place - 1) % 2]}{(place + 1) // 2}" if is_polygon else BOX_VALUES[place - 1]
    hint = ", so divide pixels by that" if value > 1 + TOLERANCE else ""
    hint = _keypoint_hint(values) if is_polygon and _keypoint_hint(values) else hint
    raise ValueError(
        f"{name} {value:g} is outside 0 to 1: coordinates are fractions of the image's width and height{hint}"
    )


def _stacked(rows: Sequence[LabelRow]) -> ImageLabels:
    return ImageLabels(
        np.array([row.cls for row in rows], np.int64).reshape(-1),
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        tuple(row.polygon for row in rows),
    )
