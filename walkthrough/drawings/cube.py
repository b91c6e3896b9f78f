"""The raw predictions of a level as cubes of numbers, one of them cut open.

Shape letters: A anchors per level, C classes, H rows and W columns of the grid, K = 5 + C numbers of a prediction.
"""

from typing import Any

import numpy as np

from walkthrough.graphs import GROUND, LABEL, ground
from walkthrough.images import to_numpy
from walkthrough.scene import Boxes, Layer, Line, Panel, Picture, Scene, Text
from walkthrough.style import GREEN, ORANGE, SKY

WIDTH, FACE, DEPTH, GAP, MARGIN, BARS = 872, 176, 88, 26, 30, 64  # pixels: FACE and DEPTH of a cube, BARS: height
PARTS = ((4, SKY, "box: x y w h"), (1, ORANGE, "objectness"), (0, GREEN, "classes"))  # 0: all that is left


def show_prediction_cube(level: Any, cell: tuple[int, int], anchor: int = 0, image_index: int = 0) -> Scene:
    """One level's raw predictions as A cubes of H x W x K numbers, that of one anchor cut open at a cell.

    Number 0 of the K lies in front. A colour stands for what a number is about; the brighter, the higher it is among
    those of its kind in that map. Below, the K numbers of the cell, taken out.

    Args:
        level: (N, A, H, W, K), as a model gives it. cell: row and column.
        anchor, image_index: which of the A, of the N.
    Raises:
        ValueError: another shape; a cell, anchor or image that is not there.

    >>> from torch import zeros
    >>> show_prediction_cube(zeros(1, 3, 20, 20, 85), (4, 7))
    3 cubes of 20 x 20 x 85 numbers; that of anchor 0 cut open at row 4, column 7, with its 85 numbers below
    """
    values = to_numpy(level)
    if values.ndim != 5 or values.shape[-1] < 6:
        raise ValueError(f"raw predictions of a level have the shape (N, A, H, W, 5 + C), not {values.shape}")
    row, col = cell
    for what, number, count in zip(
        ("image", "anchor", "row", "column"), (image_index, anchor, row, col), values.shape, strict=False
    ):
        if not 0 <= number < count:
            raise ValueError(f"there is no {what} {number}: choose 0 to {count - 1}")
    cubes = values[image_index]  # (A, H, W, K)
    count, height, width, numbers = cubes.shape
    place = min((WIDTH - MARGIN) / count, FACE + DEPTH + GAP + 40)
    scale, deep = (place - GAP) / (FACE + DEPTH), max(1, DEPTH // numbers)  # pixels of a slice
    tall = (FACE * height / width if height < width else FACE) + deep * numbers
    layers: list[Layer] = []
    for index, cube in enumerate(cubes):
        x, opened = MARGIN / 2 + index * place, index == anchor
        kept = col + 1 if opened else width
        layers += _cube(cube, kept, (x, 2 * MARGIN), scale, deep)
        words = f"anchor {index}, cut open at column {col}" if opened else f"anchor {index}"
        layers.append(Text(x, 12, words, LABEL, size=12))
        if opened:
            layers += _marked_cell(cube.shape, row, col, (x, 2 * MARGIN), scale, deep)
    bottom = 2 * MARGIN + tall * scale + 22
    layers += _bars(cubes[anchor, row, col], bottom)
    words = f"{count} cubes of {height} x {width} x {numbers} numbers; that of anchor {anchor} cut open "
    words += f"at row {row}, column {col}, with its {numbers} numbers below"
    high = bottom + BARS + 42
    caption = f"each cube: {height} rows, {width} columns, {numbers} numbers deep; "
    caption += f"below, the {numbers} numbers of the marked cell"
    return Scene(((Panel((ground(WIDTH, high), *layers), WIDTH, high, caption=caption),),), (), words)


def _cube(cube: np.ndarray, kept: int, corner: tuple[float, float], scale: float, deep: int) -> list[Layer]:
    """(H, W, K) numbers as a body: each map a slice, the last at the back; only the first columns are left."""
    height, width, numbers = cube.shape
    pixels = max(1, round(FACE / max(height, width)))  # of a cell, in the picture
    depth = deep * numbers
    ground = [int(GROUND[k : k + 2], 16) for k in (1, 3, 5)]
    solid = np.full((height * pixels + depth, width * pixels + depth, 3), ground, np.uint8)
    maps = _tinted(cube)[:, :, :kept].repeat(pixels, 1).repeat(pixels, 2)  # (K, H px, kept px, 3)
    for back in range(depth - 1, -1, -1):
        face = maps[back // deep]
        solid[depth - back : depth - back + face.shape[0], back : back + face.shape[1]] = face
    x, y = corner
    size = FACE / (max(height, width) * pixels) * scale
    whole = Picture(solid, (x, y, x + solid.shape[1] * size, y + solid.shape[0] * size))
    return [whole]


def _tinted(cube: np.ndarray) -> np.ndarray:
    """(H, W, K) -> (K, H, W, 3): each map in the colour of its part, stretched from its lowest to its highest value."""
    maps = np.moveaxis(np.nan_to_num(cube.astype(np.float64)), -1, 0)  # (K, H, W)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    bright = 0.25 + 0.75 * (maps - low) / np.maximum(high - low, 1e-12)
    return np.round(bright[..., None] * _part_colours(len(maps))[:, None, None]).astype(np.uint8)


def _part_colours(numbers: int) -> np.ndarray:
    """(K, 3) RGB."""
    named = [tint for count, tint, _ in PARTS for _ in range(count or numbers - 5)]
    return np.array([[int(tint[k : k + 2], 16) for k in (1, 3, 5)] for tint in named], np.float64)


def _marked_cell(
    shape: tuple[int, ...], row: int, col: int, corner: tuple[float, float], scale: float, deep: int
) -> list[Layer]:
    """The cell on the cut: its rod from the front to the back; and, dashed, what was cut away."""
    height, width, numbers = shape
    side, depth = FACE / max(height, width) * scale, deep * numbers * scale
    x, y = corner[0], corner[1] + depth  # of the front's upper left corner
    right, end, low = x + (col + 1) * side, x + width * side, y + height * side
    top, bottom = y + row * side, y + (row + 1) * side
    front = Boxes(((right - side, top, right, bottom),), colours=("#FFFFFF",), width=1.5)
    rod = Line(
        ((right, top), (right + depth, top - depth), (right + depth, bottom - depth), (right, bottom)), "#FFFFFF"
    )
    away = [((right, y), (end, y), (end, low), (right, low)), ((end, y), (end + depth, y - depth))]
    away += [((right + depth, y - depth), (end + depth, y - depth), (end + depth, low - depth), (end, low))]
    return [*(Line(points, LABEL, "dashed", 1.0) for points in away), front, rod]


def _bars(numbers: np.ndarray, top: float) -> list[Layer]:
    """The K numbers of a cell as bars, up or down from 0, in the colours of the cube, with what they are about."""
    values = np.nan_to_num(numbers.astype(np.float64))
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    unit, step = BARS / max(high - low, 1e-12), (WIDTH - 2 * MARGIN) / len(values)
    zero, left = top + high * unit, 1.5 * MARGIN
    layers: list[Layer] = [Line(((left, zero), (WIDTH - MARGIN / 2, zero)), LABEL, width=0.8)]
    layers.append(Text(left - 4, zero - 7, "0", LABEL, "right", 10))
    if low * unit < -20:
        layers.append(Text(left - 4, top + BARS - 10, f"{low:.1f}", LABEL, "right", 10))
    start = 0
    for place, (many, tint, words) in enumerate(PARTS):
        many = many or len(values) - 5
        ends = [(left + (start + k) * step, zero - values[start + k] * unit) for k in range(many)]
        boxes = [(x + 1, min(y, zero), x + step - 1, max(y, zero)) for x, y in ends]
        layers.append(Boxes(tuple(boxes), colours=(tint,), width=0.5, fill=0.9))
        x, anchor = (left + start * step, "left") if place < 2 else (WIDTH - MARGIN / 2, "right")
        layers.append(
            Text(
                x, top + BARS + (20 if place == 1 else 4), f"{many} {words}" if place == 2 else words, tint, anchor, 12
            )
        )
        start += many
    return layers
