"""BoxFilter: which boxes are still worth learning from after a warp or a crop, and why the others are not."""

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from yolo_lite._moved import moved_name

MIN_SIDE = 2  # pixels: a box must be wider and taller than this
MAX_ASPECT = 100  # longer side / shorter side: must be under this
MIN_AREA_BOX = 0.10  # fraction of its area that must be left of a box
MIN_AREA_POLYGON = 0.01  # the same where boxes come from outlines: those hug what is left of the object
EPS = 1e-16  # keeps the divisions finite for boxes without area


class BoxFilter(NamedTuple):
    """Which boxes are usable after a warp, and why the others are not; each (n,)."""

    kept: np.ndarray  # bool
    reasons: tuple[str, ...]  # '' where kept, otherwise a sentence: "1.4 px wide: must be over 2"


def box_candidates(before: np.ndarray, after: np.ndarray, area_threshold: float = MIN_AREA_BOX) -> BoxFilter:
    """Which boxes stay large, compact and visible enough, comparing them before and after. YOLOv5: `box_candidates`.

    width > 2 px, height > 2 px, aspect < 100, and more than ``area_threshold`` of the area before.

    Args:
        before: (n, 4) xyxy, already multiplied by the zoom, so that shrinking alone loses no area.
        after: (n, 4) xyxy, clipped to the new image.
        area_threshold: 0.1 for boxes, 0.01 for boxes around polygons.

    >>> box_candidates(np.array([[0, 0, 40, 40], [0, 0, 40, 40]]), np.array([[0, 0, 40, 40], [0, 0, 40, 1.5]]))
    BoxFilter(kept=array([ True, False]), reasons=('', '1.5 px tall: must be over 2; 3.7 % of its area left: ...'))
    """
    before, after = np.asarray(before, np.float64).reshape(-1, 4), np.asarray(after, np.float64).reshape(-1, 4)
    old_width, old_height = before[:, 2] - before[:, 0], before[:, 3] - before[:, 1]
    width, height = after[:, 2] - after[:, 0], after[:, 3] - after[:, 1]
    aspect = np.maximum(width / (height + EPS), height / (width + EPS))
    left = width * height / (old_width * old_height + EPS)  # fraction of the area

    kept = (width > MIN_SIDE) & (height > MIN_SIDE) & (left > area_threshold) & (aspect < MAX_ASPECT)
    reasons = [""] * len(kept)
    for i in np.flatnonzero(~kept):
        reasons[i] = _reason(width[i], height[i], left[i], aspect[i], area_threshold)
    return BoxFilter(kept, tuple(reasons))


def _reason(width: float, height: float, left: float, aspect: float, threshold: float) -> str:
    if width <= 0 or height <= 0:
        return "outside the image: nothing of it left"
    failures = []
    if width <= MIN_SIDE:
        failures.append(f"{_floor(width)} px wide: must be over {MIN_SIDE}")
    if height <= MIN_SIDE:
        failures.append(f"{_floor(height)} px tall: must be over {MIN_SIDE}")
    if left <= threshold:
        failures.append(f"{_floor(100 * left)} % of its area left: must be over {100 * threshold:g} %")
    if aspect >= MAX_ASPECT:
        failures.append(f"aspect {aspect:.0f}: must be under {MAX_ASPECT}")
    return "; ".join(failures)


def _floor(number: float) -> str:
    """One decimal, rounded down: 1.98 must not read as "2.0, must be over 2"."""
    return f"{math.floor(round(number * 10, 3)) / 10:g}"  # the inner rounding: float32 writes 8.2 as 8.19999


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
