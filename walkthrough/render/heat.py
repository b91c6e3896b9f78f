"""A HeatMap on matplotlib axes whose units are CSS pixels."""

from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from walkthrough.heatmap import HeatMap
from walkthrough.render.text import Look, font, shortened, width_of
from walkthrough.style import Theme, readable_on

WIDEST, WIDEST_CELL, TALLEST_CELL = 660, 92, 36  # of all cells together; of one
LONGEST_NAME, WORD, LABEL, SMALLEST = 120, 12, 20, 7  # room for names; sizes of words
SCALE_GAP, SCALE = 18, 12  # the scale of shades at the right
COLOURS = colormaps["viridis"]  # rises in lightness alone, too: seen without colour, and by everybody


class Sizes(NamedTuple):
    """Where the cells begin and how large they are; the rest follows."""

    left: float
    cell: tuple[float, float]  # width, height
    below: float  # room for the names of the columns
    name: float  # size of the names
    step: int  # every step-th name is written
    upright: bool  # names of columns, because they do not fit side by side


def _sizes(panel: HeatMap) -> Sizes:
    width = min(WIDEST_CELL, WIDEST / max(len(panel.columns), len(panel.rows), 1))
    height = min(width, TALLEST_CELL)
    size = float(min(WORD, max(height, SMALLEST)))
    upright = any(width_of(name, size) > width - 6 for name in panel.columns)
    below = _room(panel.columns, size) if upright else size * 1.5
    return Sizes(_room(panel.rows, size) + LABEL, (width, height), below, size, int(-(-size // height)), upright)


def _room(names: tuple[str, ...], size: float) -> float:
    return min(max((width_of(name, size) for name in names), default=0.0), LONGEST_NAME) + 6


def heat_size(panel: HeatMap) -> tuple[float, float]:
    """Width and height of a heat map in CSS pixels."""
    sizes = _sizes(panel)
    cells = len(panel.columns) * sizes.cell[0], len(panel.rows) * sizes.cell[1]
    scale = SCALE_GAP + SCALE + 30 + (LABEL if panel.scale_label else 0)
    return sizes.left + cells[0] + scale, max(cells[1], 60) + sizes.below + LABEL


def draw_heat(axes: Axes, panel: HeatMap, theme: Theme) -> None:
    """Cells, words, names and the scale."""
    sizes, (full_width, full_height) = _sizes(panel), heat_size(panel)
    axes.set_xlim(0, full_width)
    axes.set_ylim(full_height, 0)
    axes.set_axis_off()
    if not panel.rows or not panel.columns:
        return
    right = sizes.left + len(panel.columns) * sizes.cell[0]
    bottom = len(panel.rows) * sizes.cell[1]
    shades = np.clip(np.nan_to_num(np.array(panel.shades, float)), 0, 1)  # (rows, columns)
    look: Look = {"cmap": COLOURS, "vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": "auto"}
    axes.imshow(shades, extent=(sizes.left, right, bottom, 0), **look)
    _write_words(axes, panel, sizes, shades)
    _write_names(axes, panel, sizes, theme)
    ink: Look = {"color": theme.text, "parse_math": False, "fontproperties": font(WORD)}
    axes.text(8, bottom / 2, panel.row_label, rotation=90, ha="center", va="center", **ink)
    middle = (sizes.left + right) / 2
    axes.text(middle, full_height - 4, panel.column_label, ha="center", va="baseline", **ink)
    _draw_scale(axes, panel, right + SCALE_GAP, max(bottom, 60), theme)


def _write_words(axes: Axes, panel: HeatMap, sizes: Sizes, shades: np.ndarray) -> None:
    width, height = sizes.cell
    longest = max((width_of(word, sizes.name) for row in panel.words for word in row), default=0.0)
    if longest > width - 2 or height < SMALLEST + 3:
        return
    for row, words in enumerate(panel.words):
        for column, word in enumerate(words):
            ink = readable_on(to_hex(COLOURS(shades[row, column])).upper())
            place = sizes.left + (column + 0.5) * width, (row + 0.5) * height
            style: Look = {"color": ink, "fontproperties": font(sizes.name), "parse_math": False}
            axes.text(*place, word, ha="center", va="center_baseline", **style)


def _write_names(axes: Axes, panel: HeatMap, sizes: Sizes, theme: Theme) -> None:
    width, height = sizes.cell
    ink: Look = {"color": theme.text, "fontproperties": font(sizes.name), "parse_math": False}
    for row in range(0, len(panel.rows), sizes.step):
        name = shortened(panel.rows[row], LONGEST_NAME, sizes.name)
        axes.text(sizes.left - 4, (row + 0.5) * height, name, ha="right", va="center_baseline", **ink)
    bottom = len(panel.rows) * height + 4
    for column in range(0, len(panel.columns), sizes.step):
        name = shortened(panel.columns[column], LONGEST_NAME, sizes.name)
        turned: Look = {"rotation": 90 if sizes.upright else 0, "rotation_mode": "default"}
        axes.text(sizes.left + (column + 0.5) * width, bottom, name, ha="center", va="top", **turned, **ink)


def _draw_scale(axes: Axes, panel: HeatMap, left: float, height: float, theme: Theme) -> None:
    ramp = np.linspace(1, 0, 64)[:, None]
    axes.imshow(ramp, extent=(left, left + SCALE, height, 0), cmap=COLOURS, vmin=0, vmax=1, aspect="auto")
    ink: Look = {"color": theme.text, "fontproperties": font(WORD - 1), "parse_math": False}
    for shade, place in ((1, "top"), (0, "bottom")):
        axes.text(left + SCALE + 4, height * (1 - shade), f"{shade}", va=place, **ink)
    if panel.scale_label:
        at = left + SCALE + 24, height / 2
        axes.text(*at, panel.scale_label, rotation=90, ha="center", va="center", **ink)
