"""Where the panels of a scene go, in the numbers and the order of walkthrough/render/places.js and live.css.

The PNG and the page put them at the same places. All lengths are CSS pixels, y downwards.
"""

import math
from typing import NamedTuple

from walkthrough.heatmap import HeatMap
from walkthrough.render.code import code_height
from walkthrough.render.heat import heat_size
from walkthrough.render.marks import NARROWEST, table_size
from walkthrough.render.text import Rect, width_of, wrapped
from walkthrough.scene import AnyPanel, Bars, Chart, Code, Key, Panel, Scene, Table

GAP, ROW_GAP, LEGEND, MARGIN = 16, 14, 26, 4
TITLE, TITLE_LINE, CAPTION, CAPTION_LINE, APART = 13, 18, 12, 17, 5  # sizes of words, lines, and the drawing's distance
TALLEST_PICTURE, TALLEST_OF_SEVERAL, TALLEST_CHART = 380, 300, 300
CHART_ASPECT, ASPECT_WITH_LEGEND, WIDE_CHART_ASPECT, MANY_BARS = 1.6, 2.1, 2.9, 10
LEAST_CODE, LEAST_CHART = 300, 320  # widths, of source beside something else and of a chart beside tables
STRETCH = 2.1  # how much wider than usual a chart gets, to fill a row
Size = tuple[int, int]
Row = tuple[AnyPanel, ...]
Own = list[float | None]  # widths of what words fill, for a row; None: as wide as there is room


class Placed(NamedTuple):
    """A panel and the room for its drawing, title and caption left out."""

    panel: AnyPanel
    rect: Rect


def layout(scene: Scene, width: int) -> tuple[list[Placed], Size]:
    """Where each panel goes, and the width and height of the whole."""
    placed: list[Placed] = []
    room = width - 2 * MARGIN
    rows = scene.all_rows
    own = [[_own_width(panel, room) for panel in row] for row in rows]
    y, widest = float(MARGIN), 60.0
    for row, widths, height in zip(rows, own, row_heights(rows, own, room), strict=True):
        is_titled, is_captioned = any(panel.title for panel in row), any(panel.caption for panel in row)
        x, deepest = float(MARGIN), 0.0
        for panel, size in zip(row, row_sizes(row, widths, height, room), strict=True):
            if x > MARGIN and x + size[0] > MARGIN + room + 1:  # too little room: the next one goes below
                x, y, deepest = float(MARGIN), y + deepest + ROW_GAP, 0.0
            above = APART + TITLE_LINE * len(title_lines(panel, size[0])) if is_titled else 0
            below = APART + CAPTION_LINE * len(caption_lines(panel, size[0])) if is_captioned else 0
            placed.append(Placed(panel, (x, y + above, *size)))
            widest = max(widest, x + size[0])
            x += max(size[0], NARROWEST) + GAP
            deepest = max(deepest, above + size[1] + below)
        y += deepest + ROW_GAP
    y += LEGEND if scene.all_keys else 0
    widest = max([widest, *(right for _, right in legend_places(scene.all_keys))])
    return placed, (round(widest + MARGIN), round(max(y - ROW_GAP, 20) + MARGIN))


def title_lines(panel: AnyPanel, width: float) -> tuple[str, ...]:
    """The title as it stands above a drawing of a width; the last line is TITLE_LINE high and APART above it."""
    return wrapped(panel.title, max(width, NARROWEST), TITLE, "bold")


def caption_lines(panel: AnyPanel, width: float) -> tuple[str, ...]:
    """The caption as it stands below a drawing of a width."""
    return wrapped(panel.caption, max(width, NARROWEST), CAPTION)


def row_heights(rows: tuple[Row, ...], own: list[Own], width: float) -> list[float]:
    """Rows fill the width, but for limits; rows of pictures of one size, such as a batch, share one scale."""
    heights = [_height_that_fits(row, widths, width) for row, widths in zip(rows, own, strict=True)]
    sizes = [_picture_size(row) for row in rows]
    together = {size: [h for h, other in zip(heights, sizes, strict=True) if other == size] for size in sizes}
    return [
        height if size is None or len(together[size]) == 1 else min(*together[size], TALLEST_OF_SEVERAL)
        for height, size in zip(heights, sizes, strict=True)
    ]


def _height_that_fits(row: Row, own: Own, width: float) -> float:
    drawn = [panel for panel, wide in zip(row, own, strict=True) if wide is None]
    free = width - GAP * (len(row) - 1) - sum(wide or 0 for wide in own)
    charts = sum(isinstance(panel, Chart) for panel in drawn)
    is_tight = free < max(0.3 * width, charts * LEAST_CHART)
    room = width - GAP * (len(drawn) - 1) if is_tight else free  # too little: tables go below
    aspects = sum(map(_aspect, drawn))
    tallest = TALLEST_PICTURE if any(isinstance(panel, Panel) for panel in row) else TALLEST_CHART
    return min(room / aspects, tallest) if aspects else 0.0


def row_sizes(row: Row, own: Own, height: float, width: float) -> list[tuple[float, float]]:
    """Width and height of each panel of a row."""
    gaps = GAP * (len(row) - 1)
    only_charts = bool(row) and all(isinstance(panel, Chart) for panel in row)
    stretched = (width - gaps) / sum(map(_aspect, row)) if only_charts else 0.0
    widths = [0.0 if isinstance(p, Code) else wide or _aspect(p) * height for p, wide in zip(row, own, strict=True)]
    free = width - sum(widths) - gaps
    sizes: list[tuple[float, float]] = []
    for panel in row:
        match panel:
            case Table():
                sizes.append(table_size(panel))
            case HeatMap():
                sizes.append(heat_size(panel))
            case Code():
                across = math.floor(free if free >= LEAST_CODE else width)
                sizes.append((across, code_height(panel, across)))
            case _:
                wide = _aspect(panel) * max(height, min(stretched, STRETCH * height))
                sizes.append((math.floor(wide), round(height)))
    return sizes


def _own_width(panel: AnyPanel, width: float) -> float | None:
    """Of panels that words make as wide as they are; None: as wide as there is room."""
    match panel:
        case Table():
            return min(table_size(panel)[0], width)
        case HeatMap():
            return min(heat_size(panel)[0], width)
        case Code():
            return min(LEAST_CODE, width)
    return None


def _picture_size(row: Row) -> tuple[float, float] | None:
    """The size that all panels of a row have in common, if they are pictures."""
    sizes = {(panel.width, panel.height) if isinstance(panel, Panel) else None for panel in row}
    return sizes.pop() if len(sizes) == 1 else None


def _aspect(panel: AnyPanel) -> float:
    """Width by height of a picture or a chart; 0 of what words fill."""
    match panel:
        case Panel():
            return panel.width / panel.height
        case Chart(legend="beside"):
            return ASPECT_WITH_LEGEND
        case Chart():
            bars = sum(len(mark.names) for mark in panel.marks if isinstance(mark, Bars))
            return CHART_ASPECT if bars <= MANY_BARS else WIDE_CHART_ASPECT
    return 0.0


def legend_places(legend: tuple[Key, ...]) -> list[tuple[float, float]]:
    """Left and right end of each entry."""
    places, x = [], float(MARGIN)
    for key in legend:
        right = x + 22 + width_of(key.text, 11)
        places.append((x, right))
        x = right + 18
    return places
