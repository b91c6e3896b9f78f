"""A Scene as PNG: matplotlib's object interface and its Agg canvas, without pyplot and its global state.

All lengths are CSS pixels, y downwards, until _axes turns them into matplotlib's shares of a figure. The file holds
more pixels than the page shows, for sharp screens, as long as it stays small.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from walkthrough import style
from walkthrough.render.layers import DASH, PX, draw_panel
from walkthrough.render.marks import NARROWEST, draw_chart, draw_table, table_size
from walkthrough.render.png import encode
from walkthrough.render.text import Rect, font, quiet, shortened, width_of
from walkthrough.scene import AnyPanel, Chart, Key, Panel, Scene, Table

GAP, TITLE, CAPTION, LEGEND, MARGIN = 14, 22, 18, 26, 4
TALLEST, TALLEST_CHART = 440, 300
CHART_ASPECT, CHART_MARGINS = 1.6, (58, 10, 14, 42)  # left, top, right, bottom
LARGEST_FILE = 150_000  # bytes; what is bigger is drawn with fewer pixels
QUALITIES = ((2.0, 256), (1.5, 256), (1.25, 256), (1.0, 256), (1.0, 128), (1.0, 64))  # pixels per CSS pixel, colours


class Png(NamedTuple):
    """A drawn scene; width and height are those on the page."""

    data: bytes
    width: int
    height: int


class Placed(NamedTuple):
    """A panel and the room for its drawing, title and caption left out."""

    panel: AnyPanel
    rect: Rect


def render_png(scene: Scene, theme: str = "any", width: int = 880) -> Png:
    """Draw a scene, at most width CSS pixels wide; the densest picture whose file stays small."""
    placed, size = layout(scene, width)
    look = style.theme(theme)
    for density, colours in QUALITIES:
        data = encode(_paint(scene, placed, size, look, density), colours)
        if len(data) <= LARGEST_FILE:
            break
    return Png(data, *size)


def layout(scene: Scene, width: int) -> tuple[list[Placed], tuple[int, int]]:
    """Where each panel goes, and the size of the whole."""
    heights = _row_heights(scene, width)
    placed: list[Placed] = []
    y, widest = float(MARGIN), 0.0
    for row, height in zip(scene.rows, heights, strict=True):
        y += TITLE if any(panel.title for panel in row) else 0
        x, deepest = float(MARGIN), 0.0
        for panel in row:
            room = table_size(panel) if isinstance(panel, Table) else (_aspect(panel) * height, height)
            placed.append(Placed(panel, (x, y, *room)))
            x += max(room[0], NARROWEST) + GAP
            deepest = max(deepest, room[1])
        widest = max(widest, x - GAP)
        y += deepest + (CAPTION if any(panel.caption for panel in row) else 0) + GAP
    y += LEGEND if scene.legend else 0
    widest = (
        max(widest, *(right for *_, right in _legend_places(scene.legend)), 60) if scene.legend else max(widest, 60)
    )
    return placed, (round(widest + MARGIN), round(max(y - GAP, 20) + MARGIN))


def _row_heights(scene: Scene, width: int) -> list[float]:
    """Each row fills the width; pictures of one size are drawn at one scale in every row."""
    heights: list[float] = []
    smallest: dict[tuple[float, float], float] = {}
    for row in scene.rows:
        tables = sum(table_size(panel)[0] for panel in row if isinstance(panel, Table))
        aspects = sum(_aspect(panel) for panel in row if not isinstance(panel, Table))
        room = max(width - 2 * MARGIN - GAP * (len(row) - 1) - tables, 0.25 * width)
        tallest = TALLEST if any(isinstance(panel, Panel) for panel in row) else TALLEST_CHART
        height = min(room / aspects, tallest) if aspects else 0.0
        if len({isinstance(panel, Panel) for panel in row}) == 1 and row and isinstance(row[0], Panel):
            height = smallest.setdefault((row[0].width, row[0].height), height)
        heights.append(height)
    return heights


def _aspect(panel: Panel | Chart) -> float:
    return panel.width / panel.height if isinstance(panel, Panel) else CHART_ASPECT


def _paint(scene: Scene, placed: list[Placed], size: tuple[int, int], theme: style.Theme, density: float) -> np.ndarray:
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100 * density)
    figure.patch.set_facecolor(theme.background or "none")
    canvas = FigureCanvasAgg(figure)
    with quiet():
        for panel, rect in placed:
            _draw(figure, panel, rect, size, theme)
        _draw_legend(figure, scene.legend, size, theme)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _draw(figure: Figure, panel: AnyPanel, rect: Rect, size: tuple[int, int], theme: style.Theme) -> None:
    x, y, width, height = rect
    match panel:
        case Panel():
            draw_panel(_axes(figure, rect, size), panel, width / panel.width)
        case Chart():
            left, top, right, bottom = CHART_MARGINS
            inner = (x + left, y + top, width - left - right, height - top - bottom)
            draw_chart(_axes(figure, inner, size), panel, theme)
        case Table():
            draw_table(_axes(figure, rect, size), panel, theme)
    room = max(width, NARROWEST) + GAP / 2
    _write(figure, (x, y - 7), shortened(panel.title, room, 13, "bold"), size, theme.text, 13, "bold")
    _write(figure, (x, y + height + 14), shortened(panel.caption, room, 11), size, theme.muted, 11)


def _axes(figure: Figure, rect: Rect, size: tuple[int, int]) -> Axes:
    x, y, width, height = rect
    return figure.add_axes((x / size[0], 1 - (y + height) / size[1], width / size[0], height / size[1]))


def _write(
    figure: Figure,
    at: tuple[float, float],
    text: str,
    size: tuple[int, int],
    paint: str,
    pixels: int,
    weight: str = "normal",
) -> None:
    if text:
        x, y = at[0] / size[0], 1 - at[1] / size[1]
        figure.text(x, y, text, color=paint, fontproperties=font(pixels, weight), va="baseline", parse_math=False)


def _legend_places(legend: tuple[Key, ...]) -> list[tuple[float, float]]:
    """Left and right end of each entry."""
    places, x = [], float(MARGIN)
    for key in legend:
        right = x + 22 + width_of(key.text, 11)
        places.append((x, right))
        x = right + 18
    return places


def _draw_legend(figure: Figure, legend: tuple[Key, ...], size: tuple[int, int], theme: style.Theme) -> None:
    if not legend:
        return
    axes = _axes(figure, (0, size[1] - LEGEND, size[0], LEGEND), size)
    axes.set_xlim(0, size[0])
    axes.set_ylim(LEGEND, 0)
    axes.set_axis_off()
    for key, (x, _) in zip(legend, _legend_places(legend), strict=True):
        paint = style.colour(key.colour)
        if key.dash:  # a line, on a dark ground as it lies on a photograph
            axes.add_patch(Rectangle((x - 2, 6), 20, 12, facecolor="#4A4A4A", linewidth=0))
            axes.plot((x, x + 16), (12, 12), color=paint, linestyle=DASH[key.dash], linewidth=2 * PX)
        else:
            axes.add_patch(Rectangle((x, 6), 16, 12, facecolor=paint, linewidth=0))
            hatch = {"hatch": key.hatch * 4, "edgecolor": "#000000B0", "linewidth": 0}
            axes.add_patch(Rectangle((x, 6), 16, 12, fill=False, **hatch))
        style_of = {"color": theme.text, "fontproperties": font(11), "parse_math": False}
        axes.text(x + 22, 16, key.text, va="baseline", **style_of)
