"""Polygons: clipping an outline to a canvas, and the box of what is left of it.

YOLOv5: `segments`, `segment2box`, `resample_segments`; here corners are kept exactly, so nothing is resampled.
A polygon is closed: its last point joins its first. Shape letters: k number of points.
Source of the clipping: Sutherland and Hodgman, "Reentrant polygon clipping", 1974.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Cut(NamedTuple):
    """What a cut leaves of an outline."""

    points: np.ndarray  # (k + crossings, d)
    signed: np.ndarray  # (k + crossings,), 0 at the crossings


def cut_polygon(points: np.ndarray, signed: np.ndarray) -> Cut:
    """Adds a point wherever an edge of the polygon crosses from negative to positive ``signed``.

    Args:
        points: (k, d), in any number of dimensions.
        signed: (k,), a linear function of the points: the distance to a line, for example.

    >>> triangle = np.array([[0.0, 0], [4, 0], [0, 4]])
    >>> cut_polygon(triangle, triangle[:, 0] - 1).points.tolist()
    [[0.0, 0.0], [1.0, 0.0], [4.0, 0.0], [1.0, 3.0], [0.0, 4.0]]
    """
    if signed.min(initial=0) >= 0 or signed.max(initial=0) <= 0:  # nothing crosses: most polygons, most of the time
        return Cut(points, signed)
    following, signed_following = np.roll(points, -1, axis=0), np.roll(signed, -1)
    crossing = np.flatnonzero((signed < 0) & (signed_following > 0) | (signed > 0) & (signed_following < 0))
    fraction = signed[crossing] / (signed[crossing] - signed_following[crossing])
    new: np.ndarray = points[crossing] + fraction[:, None] * (following[crossing] - points[crossing])
    return Cut(np.insert(points, crossing + 1, new, axis=0), np.insert(signed, crossing + 1, 0.0))


def clip_polygon(points: np.ndarray, width: float, height: float) -> np.ndarray:
    """The part of a polygon inside [0, width] x [0, height].

    Pieces that the clipping parts stay joined by lines along the canvas border, which enclose no area.

    Args:
        points: (k, 2) xy.
    Returns:
        (j, 2) float32; (0, 2) where no area is inside.

    >>> clip_polygon(np.array([[-2.0, 1], [2, 1], [2, 3], [-2, 3]]), width=10, height=10).tolist()
    [[0.0, 1.0], [2.0, 1.0], [2.0, 3.0], [0.0, 3.0]]
    """
    if _all_inside(points, width, height):
        return points.astype(np.float32, copy=False)
    for axis, level, side in _sides(width, height):
        points, signed = cut_polygon(points, (points[:, axis] - level) * side)
        points = points[signed >= 0]
        if len(points) < 3:
            return np.zeros((0, 2), np.float32)
    clipped: np.ndarray = np.clip(points, 0, (width, height)).astype(np.float32)  # a crossing may be off by a rounding
    return clipped


def visible_extent(points: np.ndarray, width: float, height: float) -> np.ndarray:
    """The box around the part of a polygon inside [0, width] x [0, height].

    It spans the points inside, the crossings of the border and the corners of the canvas that the polygon covers.
    (Not the extent of ``clip_polygon``: the lines along the border that join parted pieces do not count.)

    Args:
        points: (k, 2) xy.
    Returns:
        (4,) float32 xyxy; zeros where nothing is inside.

    >>> visible_extent(np.array([[-2.0, 1], [2, 1], [2, 3], [-2, 3]]), width=10, height=10).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    if not _all_inside(points, width, height):
        outline = points.astype(np.float32)[:, None]  # (k, 1, 2), as OpenCV needs it
        corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
        covered = [len(points) > 2 and cv2.pointPolygonTest(outline, tuple(c), False) > 0 for c in corners]
        for axis, level, _ in _sides(width, height):
            points, _ = cut_polygon(points, points[:, axis] - level)
        near = 1e-6 * max(width, height)  # a crossing may be off by a rounding
        inside = ((points >= -near) & (points <= (width + near, height + near))).all(1)
        points = np.concatenate((points[inside], corners[covered])).clip(0, (width, height))
    if len(points) == 0:
        return np.zeros(4, np.float32)
    return np.concatenate((points.min(0), points.max(0))).astype(np.float32)


def _all_inside(points: np.ndarray, width: float, height: float) -> bool:
    return bool(len(points) == 0 or ((points >= 0).all() and (points <= (width, height)).all()))


def _sides(width: float, height: float) -> tuple[tuple[int, float, int], ...]:
    """(axis, level, sign) of the canvas borders: inside is where (point[axis] - level) * sign >= 0."""
    return (0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)
