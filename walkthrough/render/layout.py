"""Where the panels of a scene go. All lengths are CSS pixels, y downwards."""

from typing import NamedTuple

from walkthrough.heatmap import HeatMap
from walkthrough.render.code import code_size
from walkthrough.render.heat import heat_size
from walkthrough.render.marks import NARROWEST, table_size
from walkthrough.render.text import Rect, width_of
from walkthrough.scene import AnyPanel, Bars, Chart, Code, Key, Panel, Scene, Table

GAP, TITLE, CAPTION, LEGEND, MARGIN = 14, 22, 18, 26, 4
TALLEST_PICTURE, TALLEST_OF_SEVERAL, TALLEST_CHART = 440, 300, 300
CHART_ASPECT, ASPECT_WITH_LEGEND, WIDE_CHART_ASPECT, MANY_BARS = 1.6, 2.1, 2.9, 10
Size = tuple[int, int]
Row = tuple[AnyPanel, ...]


class Placed(NamedTuple):
    """A panel and the room for its drawing, title and caption left out."""

    panel: AnyPanel
    rect: Rect


def layout(scene: Scene, width: int) -> tuple[list[Placed], Size]:
    """Where each panel goes, and the width and height of the whole."""
    placed: list[Placed] = []
    y, widest = float(MARGIN), 60.0
    for row, height in zip(scene.rows, _row_heights(scene.rows, width), strict=True):
        y += TITLE if any(panel.title for panel in row) else 0
        x, deepest = float(MARGIN), 0.0
        for panel in row:
            room = _own_size(panel) or (_aspect(panel) * height, height)
            placed.append(Placed(panel, (x, y, *room)))
            x += max(room[0], NARROWEST) + GAP
            deepest = max(deepest, room[1])
        widest = max(widest, x - GAP)
        y += deepest + (CAPTION if any(panel.caption for panel in row) else 0) + GAP
    y += LEGEND if scene.legend else 0
    widest = max([widest, *(right for _, right in legend_places(scene.legend))])
    return placed, (round(widest + MARGIN), round(max(y - GAP, 20) + MARGIN))


def _row_heights(rows: tuple[Row, ...], width: int) -> list[float]:
    """Each row fills the width, but for limits; rows of pictures of one size, such as a batch, share one scale."""
    heights = [_height_that_fits(row, width) for row in rows]
    sizes = [_picture_size(row) for row in rows]
    together = {size: [h for h, other in zip(heights, sizes, strict=True) if other == size] for size in sizes}
    return [
        height if size is None or len(together[size]) == 1 else min(*together[size], TALLEST_OF_SEVERAL)
        for height, size in zip(heights, sizes, strict=True)
    ]


def _height_that_fits(row: Row, width: int) -> float:
    own_sizes = [size for size in map(_own_size, row) if size]
    aspects = sum(_aspect(panel) for panel in row if not _own_size(panel))
    room = max(width - 2 * MARGIN - GAP * (len(row) - 1) - sum(size[0] for size in own_sizes), 0.25 * width)
    tallest = TALLEST_PICTURE if any(isinstance(panel, Panel) for panel in row) else TALLEST_CHART
    return min(room / aspects, tallest) if aspects else 0.0


def _own_size(panel: AnyPanel) -> tuple[float, float] | None:
    """Of panels that words make as large as they are; None: as large as there is room."""
    match panel:
        case Table():
            return table_size(panel)
        case HeatMap():
            return heat_size(panel)
        case Code():
            return code_size(panel)
    return None


def _picture_size(row: Row) -> tuple[float, float] | None:
    """The size that all panels of a row have in common, if they are pictures."""
    sizes = {(panel.width, panel.height) if isinstance(panel, Panel) else None for panel in row}
    return sizes.pop() if len(sizes) == 1 else None


def _aspect(panel: Panel | Chart) -> float:
    if isinstance(panel, Panel):
        return panel.width / panel.height
    if panel.legend == "beside":
        return ASPECT_WITH_LEGEND
    bars = sum(len(mark.names) for mark in panel.marks if isinstance(mark, Bars))
    return CHART_ASPECT if bars <= MANY_BARS else WIDE_CHART_ASPECT


def legend_places(legend: tuple[Key, ...]) -> list[tuple[float, float]]:
    """Left and right end of each entry."""
    places, x = [], float(MARGIN)
    for key in legend:
        right = x + 22 + width_of(key.text, 11)
        places.append((x, right))
        x = right + 18
    return places
