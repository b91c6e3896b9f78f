"""A Scene as PNG: matplotlib's object interface and its Agg canvas, without pyplot and its global state.

All lengths are CSS pixels, y downwards, until _axes turns them into matplotlib's fractions of a figure. The file holds
more pixels than the page shows, for sharp screens, as long as it stays small.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from walkthrough import style
from walkthrough.heatmap import HeatMap
from walkthrough.render.code import draw_code
from walkthrough.render.heat import draw_heat
from walkthrough.render.layers import DASH, PX, draw_panel
from walkthrough.render.layout import (
    CAPTION,
    CAPTION_LINE,
    LEGEND,
    TITLE,
    TITLE_LINE,
    Placed,
    Size,
    caption_lines,
    layout,
    legend_places,
    title_lines,
)
from walkthrough.render.marks import draw_chart, draw_table, legend_room
from walkthrough.render.png import encode
from walkthrough.render.text import Look, Rect, font, quiet
from walkthrough.scene import AnyPanel, Chart, Code, Key, Panel, Scene, Table

CHART_MARGINS = (70, 14, 20, 42)  # left, top, right, bottom: as in charts.js
X_LABEL = 6  # more at the bottom for the name of the x axis
LARGEST_FILE, DENSER_FILE = 140_000, 85_000  # bytes: of a picture, and of one with more pixels than the page shows
DENSITIES = (2.0, 1.5, 1.25)  # pixels of the file per CSS pixel, where the file stays small; otherwise 1
FEWER_COLOURS = (128, 64)  # where even that is large
GROWTH = 1.4  # a file grows about as its density to this power


class Png(NamedTuple):
    """A drawn scene; width and height are those on the page."""

    data: bytes
    width: int
    height: int


def render_png(scene: Scene, theme: str = "any", width: int = 880) -> Png:
    """Draw a scene, at most width CSS pixels wide; the densest picture whose file stays small."""
    placed, size = layout(scene, width)
    look = style.theme(theme)

    def draw(density: float, colours: int = 256) -> bytes:
        return encode(_paint(scene, placed, size, look, density), colours)

    data = draw(1.0)  # the cheapest, and photographs seldom leave room for more
    for density in DENSITIES:
        if len(data) * density**GROWTH < DENSER_FILE and len(denser := draw(density)) <= DENSER_FILE:
            return Png(denser, *size)
    for colours in FEWER_COLOURS:
        data = data if len(data) <= LARGEST_FILE else draw(1.0, colours)
    return Png(data, *size)


def _paint(scene: Scene, placed: list[Placed], size: Size, theme: style.Theme, density: float) -> np.ndarray:
    figure = figure_of(scene, placed, size, theme, density)
    canvas = FigureCanvasAgg(figure)
    with quiet():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def figure_of(scene: Scene, placed: list[Placed], size: Size, theme: style.Theme, density: float = 1.0) -> Figure:
    """A scene as a figure: axes for each panel, in order, and at last those of the legend."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100 * density)
    figure.patch.set_facecolor(theme.background)
    with quiet():
        for panel, rect in placed:
            _draw(figure, panel, rect, size, theme)
        _draw_legend(figure, scene.all_keys, size, theme)
    return figure


def _draw(figure: Figure, panel: AnyPanel, rect: Rect, size: Size, theme: style.Theme) -> None:
    x, y, width, height = rect
    match panel:
        case Panel():
            draw_panel(_axes(figure, rect, size), panel, width / panel.width)
        case Chart():
            left, top, right, bottom = CHART_MARGINS
            bottom += X_LABEL if panel.x_label else 0
            inner = (x + left, y + top, width - left - right - legend_room(panel), height - top - bottom)
            draw_chart(_axes(figure, inner, size), panel, theme)
        case HeatMap():
            draw_heat(_axes(figure, rect, size), panel, theme)
        case Table():
            draw_table(_axes(figure, rect, size), panel, theme)
        case Code():
            draw_code(_axes(figure, rect, size), panel, (width, height), theme)
    for number, line in enumerate(reversed(title_lines(panel, width))):
        _write(figure, (x, y - 9 - number * TITLE_LINE), line, size, theme.text, TITLE, "bold")
    for number, line in enumerate(caption_lines(panel, width)):
        _write(figure, (x, y + height + 17 + number * CAPTION_LINE), line, size, theme.muted, CAPTION)


def _axes(figure: Figure, rect: Rect, size: Size) -> Axes:
    x, y, width, height = rect
    return figure.add_axes((x / size[0], 1 - (y + height) / size[1], width / size[0], height / size[1]))


def _write(
    figure: Figure,
    at: tuple[float, float],
    text: str,
    size: Size,
    paint: str,
    pixels: int,
    weight: str = "normal",
) -> None:
    if text:
        x, y = at[0] / size[0], 1 - at[1] / size[1]
        figure.text(x, y, text, color=paint, fontproperties=font(pixels, weight), va="baseline", parse_math=False)


def _draw_legend(figure: Figure, legend: tuple[Key, ...], size: Size, theme: style.Theme) -> None:
    if not legend:
        return
    axes = _axes(figure, (0, size[1] - LEGEND, size[0], LEGEND), size)
    axes.set_xlim(0, size[0])
    axes.set_ylim(LEGEND, 0)
    axes.set_axis_off()
    for key, (x, _) in zip(legend, legend_places(legend), strict=True):
        paint = style.colour(key.colour)
        if key.dash:  # a line, on a dark ground as it lies on a photograph
            axes.add_patch(Rectangle((x - 2, 6), 20, 12, facecolor="#4A4A4A", linewidth=0))
            axes.plot((x, x + 16), (12, 12), color=paint, linestyle=DASH[key.dash], linewidth=2 * PX)
        else:
            axes.add_patch(Rectangle((x, 6), 16, 12, facecolor=paint, linewidth=0))
            hatch: Look = {"hatch": key.hatch * 4, "edgecolor": "#000000B0", "linewidth": 0}
            axes.add_patch(Rectangle((x, 6), 16, 12, fill=False, **hatch))
        style_of: Look = {"color": theme.text, "fontproperties": font(11), "parse_math": False}
        axes.text(x + 22, 16, key.text, va="baseline", **style_of)
