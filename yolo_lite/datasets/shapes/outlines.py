"""The silhouettes of the drawn scenes: six classes that differ in outline and in nothing else.

A contour is a (k, 2) float64 array of corners, x to the right and y down, without the first one repeated.
"""

import math
from collections.abc import Callable

import numpy as np

Contours = tuple[np.ndarray, ...]  # the outline, then the hole where there is one

ARC_POINTS = 60  # corners of a full circle: at 640 px the largest one is a quarter of a pixel off


def fitted_outline(cls: int, turn: float = 0.0, mirrored: bool = False) -> Contours:
    """The silhouette of a class, turned, then stretched into the box from -0.5 to 0.5.

    Stretching comes last, so that the box of an object says nothing about its class.

    Args:
        cls: index into KINDS. turn: degrees. mirrored: left and right exchanged.

    >>> outline, hole = fitted_outline(KINDS.index("ring"), turn=10)
    >>> outline.min(axis=0), outline.max(axis=0)
    (array([-0.5, -0.5]), array([0.5, 0.5]))
    """
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    contours = [contour @ matrix.T for contour in _OUTLINES[KINDS[cls]]()]
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    return tuple((contour - low) / (high - low) - 0.5 for contour in contours)


def keyhole(contours: Contours) -> np.ndarray:
    """An outline and its holes as one closed line, (k, 2): each hole hangs on a seam of no width.

    Label files know no holes; this is how they are written there.
    """
    line = contours[0]
    for hole in contours[1:]:
        distance = np.linalg.norm(line[:, None] - hole[None], axis=-1)  # (k, h)
        at, start = np.unravel_index(distance.argmin(), distance.shape)
        around = np.roll(hole, -start, axis=0)
        if _signed_area(around) * _signed_area(contours[0]) > 0:  # a hole runs the other way round
            around = np.roll(around[::-1], 1, axis=0)
        line = np.concatenate([line[: at + 1], around, around[:1], line[at:]])
    return line


def _signed_area(contour: np.ndarray) -> float:
    following = np.roll(contour, -1, axis=0)
    return float((contour[:, 0] * following[:, 1] - contour[:, 1] * following[:, 0]).sum()) / 2


def _arc(start: float, end: float, radius: float = 1.0, centre_x: float = 0.0) -> np.ndarray:
    """Points of a circle from one angle to another, both included; radians."""
    angles = np.linspace(start, end, max(round(abs(end - start) / (2 * math.pi) * ARC_POINTS), 2) + 1)
    return np.stack([centre_x + radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _rounded(corners: np.ndarray, fraction: float) -> np.ndarray:
    """Each corner replaced by a small curve that begins and ends at `fraction` of its two edges."""
    before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
    start, end = corners + (before - corners) * fraction, corners + (after - corners) * fraction
    steps = [start * (1 - t) ** 2 + corners * 2 * t * (1 - t) + end * t**2 for t in (0.0, 0.33, 0.67, 1.0)]
    return np.stack(steps, axis=1).reshape(-1, 2)


def _ring() -> Contours:
    circle = _arc(0, 2 * math.pi)[:-1]
    return circle, circle * 0.52


def _tile() -> Contours:
    """A square; stretching makes an oblong or a slightly slanting tile of it."""
    return (_rounded(np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]), 0.08),)


def _triangle() -> Contours:
    return (_rounded(np.array([[0.0, -1.0], [1.1, 1.0], [-1.1, 1.0]]), 0.07),)


def _star() -> Contours:
    angles = -math.pi / 2 + np.arange(10) * math.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.46)
    return (_rounded(np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), 0.12),)


def _heart() -> Contours:
    t = np.linspace(0, 2 * math.pi, 3 * ARC_POINTS // 2, endpoint=False)  # its lobes bend more than a circle
    height = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return (np.stack([16 * np.sin(t) ** 3, -height], axis=1),)


def _moon() -> Contours:
    """A disc less another one that is shifted to the right."""
    shift, radius = 0.55, 0.82
    crossing = (1 - radius**2 + shift**2) / (2 * shift)  # x where the two circles meet
    outer, inner = math.acos(crossing), math.acos((crossing - shift) / radius)
    far_side = _arc(outer, 2 * math.pi - outer)
    near_side = _arc(2 * math.pi - inner, inner, radius, shift)
    return (np.concatenate([far_side, near_side[1:-1]]),)


_OUTLINES: dict[str, Callable[[], Contours]] = {
    "ring": _ring,
    "tile": _tile,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
}
KINDS = tuple(_OUTLINES)  # the class names, in the order of their numbers
