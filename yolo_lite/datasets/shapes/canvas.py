"""Which object covers which in a drawn scene, decided on a lattice of points, whatever size the picture has later."""

from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite.datasets.shapes.outlines import Contours, keyhole

RASTER = 640  # the lattice has RASTER + 1 points a side, the first and the last on the borders of the scene
SUBPIXEL_BITS = 4
MOST_HIDDEN = 0.5  # fraction of an object that others may cover
MOST_CUT = 0.4  # fraction of an object that may lie outside the scene
SLIVER = 6  # lattice points by which thin tips may extend what can be seen of a covered object
LEAST_VISIBLE = 0.45  # of the whole object, where it is both covered and cut


class Visible(NamedTuple):
    """What can be seen of an object."""

    polygon: np.ndarray  # (k, 2) float32: the outline of what can be seen
    hidden: float  # fraction of the object within the scene that others cover
    cut: float  # fraction of the object that lies outside the scene


class Placed(NamedTuple):
    """Where an object went, and which others it covers."""

    contours: Contours
    covered: list[int]  # indices of the objects that are now partly covered


class _Stencil(NamedTuple):
    """The lattice points of an object."""

    window: tuple[slice, slice]  # rows and columns of the lattice
    mask: np.ndarray  # uint8 0 or 1, of the window's shape
    inside: int  # points within the scene
    total: float  # points that it would have without the scene's borders


class Canvas:
    """Objects laid one on the other, each admitted only where all of them stay recognisable.

    >>> canvas, square = Canvas(), np.array([[0.1, 0.1], [0.5, 0.1], [0.5, 0.5], [0.1, 0.5]])
    >>> canvas.place((square,)).covered, canvas.place((square + 0.2,)).covered
    ([], [0])
    >>> canvas.place((square,)) is None  # nothing would be left to see of the first
    True
    >>> round(canvas.visible(0).hidden, 2)
    0.25
    """

    def __init__(self) -> None:
        self._top = np.zeros((RASTER + 1, RASTER + 1), np.uint8)  # number of the topmost object, from 1; 0 = paper
        self._contours: list[Contours] = []
        self._stencils: list[_Stencil] = []
        self._seen: list[int] = []  # points of each object that are not covered

    def place(self, contours: Contours) -> Placed | None:
        """Lays an object on top, if enough of it is within the scene and enough is left to see of the others.

        Args:
            contours: the object's outline, then its hole if it has one, 0 to 1 over the scene.
        Returns:
            None, and nothing is changed, where it may not lie here.
        """
        new = _stencil(contours)
        if new.inside < (1 - MOST_CUT) * new.total or (_is_cut(new) and not _is_solid(new.mask)):
            return None
        covered = self._covered(new)
        if not all(self._bears(index, new, lost) for index, lost in covered.items()):
            return None
        for index, lost in covered.items():
            self._seen[index] -= lost
        self._top[new.window][new.mask > 0] = len(self._stencils) + 1
        self._contours.append(contours)
        self._stencils.append(new)
        self._seen.append(new.inside)
        return Placed(contours, list(covered))

    def visible(self, index: int) -> Visible:
        """What can be seen of an object, once everything lies in its place."""
        stencil = self._stencils[index]
        hidden, is_cut = 1 - self._seen[index] / stencil.inside, _is_cut(stencil)
        if hidden or is_cut:
            left, top = stencil.window[1].start, stencil.window[0].start
            outline = _outline(self._region(index)) + np.array([left, top])
            polygon = outline / RASTER
        else:
            polygon = keyhole(self._contours[index])
        cut = max(0.0, 1 - stencil.inside / stencil.total) if is_cut else 0.0
        return Visible(polygon.astype(np.float32), hidden, cut)

    def _covered(self, new: _Stencil) -> dict[int, int]:
        """How many visible points of which objects it would cover."""
        points = np.bincount(self._top[new.window][new.mask > 0])
        return {int(number) - 1: int(points[number]) for number in np.flatnonzero(points) if number > 0}

    def _bears(self, index: int, new: _Stencil, lost: int) -> bool:
        old, seen = self._stencils[index], self._seen[index] - lost
        if seen < (1 - MOST_HIDDEN) * old.inside or seen < LEAST_VISIBLE * old.total:
            return False
        rest = (self._top == index + 1).astype(np.uint8)
        rest[new.window][new.mask > 0] = 0
        return _is_solid(rest[old.window])

    def _region(self, index: int) -> np.ndarray:
        region: np.ndarray = (self._top[self._stencils[index].window] == index + 1).astype(np.uint8)
        return region


def _stencil(contours: Contours) -> _Stencil:
    points = [contour * RASTER for contour in contours]
    left, top = np.clip(np.floor(points[0].min(axis=0)).astype(int), 0, RASTER)
    right, bottom = np.clip(np.ceil(points[0].max(axis=0)).astype(int) + 1, 1, RASTER + 1)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    fixed = [np.round((contour - (left, top)) * 2**SUBPIXEL_BITS).astype(np.int32) for contour in points]
    cv2.fillPoly(mask, fixed, 1, shift=SUBPIXEL_BITS)
    areas = [cv2.contourArea(contour.astype(np.float32)) for contour in points]
    total = areas[0] - sum(areas[1:])
    return _Stencil((slice(top, bottom), slice(left, right)), mask, int(mask.sum()), total)


def _is_cut(stencil: _Stencil) -> bool:
    """Whether the object touches a border of the scene."""
    rows, columns = stencil.window
    return bool(min(rows.start, columns.start) == 0 or max(rows.stop, columns.stop) == RASTER + 1)


def _is_solid(mask: np.ndarray) -> bool:
    """Whether a visible part hangs together, and its extent does not rest on slivers thinner than three points."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    core = cv2.morphologyEx(framed, cv2.MORPH_OPEN, np.ones((3, 3)))[1:-1, 1:-1]
    for part in (mask, core):
        if len(cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]) != 1:
            return False
    left, top, width, height = np.subtract(cv2.boundingRect(mask), cv2.boundingRect(core))
    return bool(max(-left, -top, width, height) <= SLIVER)


def _outline(region: np.ndarray) -> np.ndarray:
    """The outline of a region of the lattice that hangs together, holes hung on seams; (k, 2) lattice points."""
    found, hierarchy = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    smooth = [cv2.approxPolyDP(contour, 0.6, True)[:, 0].astype(np.float64) for contour in found]
    outer = [index for index in range(len(smooth)) if hierarchy[0, index, 3] < 0]
    holes = [contour for index, contour in enumerate(smooth) if hierarchy[0, index, 3] >= 0 and len(contour) > 2]
    largest = max(outer, key=lambda index: cv2.contourArea(found[index]))
    return keyhole((smooth[largest], *holes))
