"""How a recorded value lies on a picture: as boxes, cells, points or matches. A guess, and the reader's own choice.

The guess goes by shape, range and name, with the grid that the function works on (see Place):

    (n, 6), first two columns whole, the others in [0, 1]    rows of targets
    a named tuple with row and col                           matches, as build_targets gives them
    row or col (m,), both of one length                      cells
    cell, cells, (m, 2) whole numbers                        cells, column first
    xy, centre, centres, (n, 2) within the grid              points in cells
    (n, 4), all in [0, 1]                                    boxes xc yc w h, normalised
    (n, 4) within the grid                                   boxes xc yc w h in cells
    (n, 4), x1 < x2 and y1 < y2, or "xyxy" in its name       boxes x1 y1 x2 y2 in pixels
    other (n, 4) within the picture                          boxes xc yc w h in pixels
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

import numpy as np
import torch

from walkthrough.scene import Boxes, Cells, Grid, Layer, Panel, Points, table_of
from walkthrough.show import show_assignment
from walkthrough.trace import Value
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.loss.targets import Assignment

AUTOMATIC, NOTHING = "automatic", "nothing"
TARGETS, MATCHES, SHARES, BOX_CELLS = "targets", "matches", "boxes xywh, shares", "boxes xywh, cells"
XYWH, XYXY = "boxes xywh, pixels", "boxes xyxy, pixels"
ROW_COL, COL_ROW, POINTS = "cells row, col", "cells col, row", "points xy, cells"
READINGS = (AUTOMATIC, NOTHING, TARGETS, MATCHES, XYXY, XYWH, SHARES, BOX_CELLS, ROW_COL, COL_ROW, POINTS)
MOST_DRAWN, MOST_NUMBERED = 400, 24
Variables = dict[str, Value]


@dataclass(frozen=True)
class Place:
    """Where a value is to be drawn, and what is known around it."""

    name: str  # without the names of what it is a part of
    variables: tuple[Variables, ...]  # of its call, then of those that called it
    size: tuple[int, int]  # (height, width) of the picture
    picture: int  # its index in the batch
    stride: float = 0.0  # pixels per cell; 0: from the grid

    @property
    def grid(self) -> tuple[int, int] | None:
        """(rows, cols) that the function works on, by the nearest variable named grid, or raw maps (N, A, H, W, C)."""
        for variables in self.variables:
            numbers = [part.text for _, part in variables["grid"].parts] if "grid" in variables else []
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                return int(numbers[0]), int(numbers[1])
            maps = next((value for value in variables.values() if len(value.shape) == 5), None)
            if maps is not None:
                return maps.shape[2], maps.shape[3]
        return None

    @property
    def pixels_per_cell(self) -> float | None:
        """What the reader chose, or the picture's width shared out among the grid's columns; None: not known."""
        if self.stride:
            return self.stride
        return self.size[1] / self.grid[1] if self.grid else None

    def pair(self, first: str, second: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Two variables of one length from the value's own call."""
        one, other = (self.variables[0][name].array if name in self.variables[0] else None for name in (first, second))
        return (one, other) if _is_vector(one) and _is_vector(other) and one.shape == other.shape else None


class Overlay(NamedTuple):
    """What is drawn over the picture."""

    reading: str
    layers: tuple[Layer, ...] = ()
    words: str = ""  # what is seen, or why nothing is
    rows: tuple[tuple[int, tuple[float, ...]], ...] = ()  # rows of the value, and the x1 y1 x2 y2 that each lies at


def guess(value: Value, place: Place) -> str:
    """The reading that fits a value best; NOTHING of most values."""
    if is_matches(value):
        return MATCHES
    array = value.array
    if array is None or array.dtype.kind not in "iuf" or not array.size:
        return NOTHING
    if place.name in ("row", "col") and place.pair("row", "col"):
        return ROW_COL
    if array.ndim != 2 or not np.isfinite(array).all():
        return NOTHING
    grid = place.grid
    in_grid = grid is not None and array.min() >= -1 and array.max() <= max(grid) + 1
    if array.shape[1] == 6 and is_targets(array):
        return TARGETS
    if array.shape[1] == 2 and in_grid:
        if array.dtype.kind in "iu":
            return COL_ROW if place.name in ("cell", "cells") else NOTHING
        return POINTS if place.name in ("xy", "centre", "centres", "center", "centers") else NOTHING
    return _guess_boxes(array, place, in_grid) if array.shape[1] == 4 else NOTHING


def _guess_boxes(array: np.ndarray, place: Place, in_grid: bool) -> str:
    ordered = bool((array[:, 2] > array[:, 0]).all() and (array[:, 3] > array[:, 1]).all())
    if "xyxy" in place.name:
        return XYXY
    if array.min() >= 0 and array.max() <= 1:
        return SHARES
    if in_grid and (array[:, 2:] > 0).all():
        return BOX_CELLS
    if array.min() < -max(place.size) or array.max() > 2 * max(place.size) or array.max() < 8:
        return NOTHING
    return XYXY if ordered else XYWH


def is_targets(array: np.ndarray) -> bool:
    """Rows of image, class, xc, yc, w, h."""
    whole, shares = array[:, :2], array[:, 2:]
    return bool((whole == np.round(whole)).all() and whole.min() >= 0 and shares.min() >= 0 and shares.max() <= 1)


def is_matches(value: Value) -> bool:
    """Whether a value has all that an Assignment has."""
    names = {name for name, part in value.parts if part.complete}
    return names >= set(Assignment._fields)


def overlay(value: Value, reading: str, place: Place, pixels: np.ndarray) -> Overlay:
    """A value drawn as the reading says; words say why not, where it cannot be."""
    reading = guess(value, place) if reading == AUTOMATIC else reading
    if reading == NOTHING:
        return Overlay(NOTHING)
    if reading == MATCHES:
        return _matches(value, place, pixels)
    array = value.array
    if array is None:
        return Overlay(reading, words=value.remark or "no numbers to draw")
    if reading in (ROW_COL, COL_ROW, POINTS):
        return _cells(array, reading, place)
    return _boxes(array, reading, place)


def _matches(value: Value, place: Place, pixels: np.ndarray) -> Overlay:
    if not is_matches(value):
        return Overlay(MATCHES, words=f"no matches: these have {', '.join(Assignment._fields)}")
    if place.pixels_per_cell is None:
        return Overlay(MATCHES, words="how many pixels has a cell? choose a stride")
    parts = [value.part(name) for name in Assignment._fields]
    arrays = [part.array for part in parts if part is not None and part.array is not None]
    if len(arrays) < len(parts):
        return Overlay(MATCHES, words="their numbers were not recorded")
    matches = Assignment(*map(torch.from_numpy, arrays))
    panel = show_assignment(pixels, [matches], [round(place.pixels_per_cell)], place.picture).rows[0][0]
    if not isinstance(panel, Panel):
        return Overlay(MATCHES)
    stride = place.pixels_per_cell
    mine = (matches.image == place.picture).nonzero()[:, 0].tolist()
    cells = {row: (float(matches.row[row]), float(matches.col[row])) for row in mine}
    return Overlay(MATCHES, panel.layers[1:], panel.caption, _at_cells(cells, stride))


def _at_cells(cells: Mapping[int, Sequence[float]], stride: float) -> tuple[tuple[int, tuple[float, ...]], ...]:
    """Rows at their cells (row, col)."""
    return tuple((k, (c * stride, r * stride, (c + 1) * stride, (r + 1) * stride)) for k, (r, c) in cells.items())


def _cells(array: np.ndarray, reading: str, place: Place) -> Overlay:
    pair = place.pair("row", "col") if reading == ROW_COL and place.name in ("row", "col") else None
    cells = np.stack(pair, 1) if pair else array  # (m, 2)
    stride = place.pixels_per_cell
    if cells.ndim != 2 or cells.shape[1] != 2:
        return Overlay(reading, words=f"two columns are needed, these are {array.shape}")
    if stride is None:
        return Overlay(reading, words="how many pixels has a cell? choose a stride")
    kept = np.flatnonzero(_of_picture(len(cells), place))
    mine = cells[kept].astype(np.float64)
    ordered = mine if reading == ROW_COL else mine[:, ::-1]  # (m, 2) row, column
    shown = np.unique(ordered, axis=0)[:MOST_DRAWN]
    rows = _at_cells(dict(zip(kept.tolist(), np.floor(ordered).tolist(), strict=True)), stride)
    height, width = place.size
    grid = Grid(stride, width, height, opacity=0.2)
    words = f"{len(mine)} of {len(cells)} lie on this picture"
    if reading == POINTS:
        points = Points(table_of(shown[:, ::-1] * stride, 2, "points"), "own", size=7)
        return Overlay(reading, (grid, points), words, rows)
    return Overlay(reading, (grid, Cells(table_of(shown, 2, "cells"), stride, "own", opacity=0.75)), words, rows)


def _boxes(array: np.ndarray, reading: str, place: Place) -> Overlay:
    columns = 6 if reading == TARGETS else 4
    if array.ndim != 2 or array.shape[1] != columns:
        return Overlay(reading, words=f"{columns} columns are needed, these are {array.shape}")
    stride, (height, width) = place.pixels_per_cell, place.size
    if stride is None and reading == BOX_CELLS:
        return Overlay(reading, words="how many pixels has a cell? choose a stride")
    rows = np.flatnonzero(_of_picture(len(array), place))
    boxes = array[rows, columns - 4 :].astype(np.float64)
    if reading in (TARGETS, SHARES):
        boxes = boxes * (width, height, width, height)
    grid: tuple[Layer, ...] = ()
    if stride is not None and reading == BOX_CELLS:
        boxes, grid = boxes * stride, (Grid(stride, width, height, opacity=0.2),)
    owners: dict[tuple[float, ...], list[int]] = {}  # the same box stands in many rows: once for each match
    for row, box in zip(rows.tolist(), boxes if reading == XYXY else xywh_to_xyxy(boxes), strict=True):
        owners.setdefault(tuple(round(float(side), 2) for side in box), []).append(row)
    xyxy = tuple(owners)[:MOST_DRAWN]
    labels = tuple(_rows_in_words(owners[box]) for box in xyxy) if len(xyxy) <= MOST_NUMBERED else ()
    words = f"{len(rows)} of {len(array)} lie on this picture"
    words += f", {len(xyxy)} different ones" if len(xyxy) < len(rows) else ""
    drawn = Boxes(xyxy, labels, colours=("own",), dash="dashed", width=2.6, fill=0.12)
    places = tuple((row, box) for box, own in owners.items() for row in own)
    return Overlay(reading, (*grid, drawn), words, places)


def _rows_in_words(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    return f"rows {', '.join(map(str, rows[:3]))}{' ...' if len(rows) > 3 else ''}"


def _of_picture(count: int, place: Place) -> np.ndarray:
    """(count,) bool: the rows that belong to the shown picture, by a variable that says whose they are; else all."""
    for image in _owners(count, place.variables):
        return image == place.picture
    return np.ones(count, bool)


def _owners(count: int, calls: Sequence[Variables]) -> Iterable[np.ndarray]:
    """For each of count rows the index of its image: from image (n,), from targets (n, 6), or from target (n,)."""
    arrays = [{name: value.array for name, value in variables.items()} for variables in calls]
    tables = [a for named in arrays for a in named.values() if a is not None and _is_table(a)]
    for named in arrays:
        image = named.get("image")
        if _is_vector(image) and len(image) == count:
            yield image
    for table in tables:
        if len(table) == count:
            yield table[:, 0]
    for named in arrays:
        target = named.get("target")
        for table in tables:
            if _is_vector(target) and len(target) == count and target.max(initial=0) < len(table):
                yield table[target, 0]


def _is_vector(array: np.ndarray | None) -> TypeGuard[np.ndarray]:
    return array is not None and array.ndim == 1 and array.dtype.kind in "iu"


def _is_table(array: np.ndarray) -> bool:
    return array.ndim == 2 and array.shape[1] == 6 and array.size > 0 and array.dtype.kind == "f" and is_targets(array)
