"""What is seen in a picture or chart, in words: for readers who do not see it, and for pages that show none.

Everything is computed from what is drawn, so it holds for any picture. A number that may differ in its last digits from
machine to machine stands behind a ``≈``: see walkthrough.numbers.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from walkthrough.numbers import approx
from walkthrough.scene import (
    Arrows,
    Bars,
    Boxes,
    Cells,
    Chart,
    Colour,
    Grid,
    Histogram,
    Key,
    Layer,
    Line,
    Panel,
    Picture,
    Points,
    Series,
    Text,
    counted,
)

MOST = 12  # names, bars, maps or texts that are listed; of more, how many
LEAST_BORDER = 0.02  # of a side: a plain border that is narrower is not told
Window = tuple[float, float, float, float]  # xyxy: what of the plane is seen


def panel_in_words(panel: Panel, legend: Sequence[Key] = ()) -> str:
    """A picture in words: its size, then what is drawn in its window, named as the legend names it.

    >>> cells = Cells(((0, 1), (2, 1)), 8, "own")
    >>> boxes = Boxes(((1, 1, 9, 9), (4, 4, 9, 9)), ("cat", "cat"))
    >>> panel_in_words(Panel((cells, boxes), 32, 24), (Key("own cell", "own"),))
    'picture 32 x 24, 2 boxes: cat x 2; 2 cells (own cell)'
    """
    window = (panel.left, panel.top, panel.left + panel.width, panel.top + panel.height)
    pictures = [layer for layer in panel.layers if isinstance(layer, Picture)]
    boxes = [layer for layer in panel.layers if isinstance(layer, Boxes)]
    parts = [_boxes_in_words(boxes, window), *_others_in_words(panel.layers, window, legend)]
    parts.append(_listed((layer.shows for layer in pictures if layer.shows), "; "))
    if len(panel.layers) == len(pictures) == 1 and not pictures[0].shows:
        parts = [pixels_in_words(pictures[0].pixels)]
    unnamed = _unnamed_boxes(boxes, window, legend)
    maps = [layer for layer in pictures if layer.shows]
    height, width = maps[0].pixels.shape[:2] if maps else (0, 0)
    size = f"{len(maps)} maps of {width} x {height}" if len(maps) > 1 else f"picture {panel.width:g} x {panel.height:g}"
    first, *others = [size, *filter(None, [parts[0], *unnamed, *parts[1:]])]
    return ", ".join((first, "; ".join(others))) if others else first


def chart_in_words(chart: Chart) -> str:
    """A chart in words: what it compares, where lines begin and end, how high bars are.

    >>> chart_in_words(Chart((Series("loss", (0.0, 1.0, 2.0), (4.0, 3.0, 1.0)),), x_label="step"))
    "chart with line 'loss' through 3 points, from ≈ 4 to ≈ 1"
    """
    words = []
    for mark in chart.marks:
        match mark:
            case Series():
                name = f" {mark.name!r}" if mark.name else ""
                words.append(f"line{name} through {counted(len(mark.x), 'point')}{_ends_in_words(mark.y)}")
            case Bars():
                heights = zip(mark.names, mark.values, strict=True)
                bars = _listed((f"{name} {_about(value)}".strip() for name, value in heights), ", ")
                words.append(f"bars {bars}{f' ({mark.name})' if mark.name else ''}")
            case Histogram():
                bins = counted(len(mark.counts), "bin")
                words.append(f"histogram of {mark.name or 'values'} in {bins}{_ends_in_words(mark.edges)}")
    words += [f"a line at {chart.x_label} {x:g}" for x in chart.upright]
    return f"chart with {'; '.join(words) or 'nothing in it'}"


def pixels_in_words(pixels: np.ndarray) -> str:
    """An image on which nothing is drawn: how bright and colourful it is, and borders of one colour.

    Args:
        pixels: RGB (H, W, 3) uint8.

    >>> pixels_in_words(np.full((4, 4, 3), 51, np.uint8))
    'all of one colour, brightness ≈ 20%'
    """
    if not pixels.size:
        return "empty"
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HSV)
    brightness = f"brightness {approx(hsv[..., 2].mean() / 255, '.0%')}"
    if (pixels == pixels[0, 0]).all():
        return f"all of one colour, {brightness}"
    is_grey = not hsv[..., 1].any()
    colour = "in shades of gray" if is_grey else f"saturation {approx(hsv[..., 1].mean() / 255, '.0%')}"
    borders = _borders(pixels)
    plain = f"; plain border: {', '.join(borders)}" if borders else ""
    return f"{brightness}, {colour}{plain}"


def map_in_words(values: np.ndarray, name: str = "map") -> str:
    """A map (H, W) that is drawn in shades: its name and its range.

    >>> map_in_words(np.eye(3), "channel 2")
    'channel 2 from ≈ 0 to ≈ 1'
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"{name} without a number"
    return f"{name} from {_about(float(finite.min()))} to {_about(float(finite.max()))}"


def names_in_words(names: Iterable[str]) -> str:
    """
    >>> names_in_words(["cup", "cat", "cup"])
    'cup x 2, cat'
    """
    counts = Counter(names)
    return _listed((f"{name} x {count}" if count > 1 else name for name, count in counts.items()), ", ")


def _borders(pixels: np.ndarray) -> list[str]:
    """The borders of one colour, each with its width."""
    is_corner = (pixels == pixels[0, 0]).all(-1), (pixels == pixels[-1, -1]).all(-1)  # (H, W) each
    found = []
    for axis, (first, last) in enumerate((("above", "below"), ("left", "right"))):
        sides = ((first, is_corner[0].all(1 - axis)), (last, is_corner[1].all(1 - axis)[::-1]))
        for side, is_plain in sides:
            width = int(np.argmin(is_plain)) if not is_plain.all() else len(is_plain)
            if width >= max(LEAST_BORDER * len(is_plain), 1):
                found.append(f"{width} px {side}")
    return found


def _boxes_in_words(boxes: Sequence[Boxes], window: Window) -> str:
    """The boxes with labels, and how often each label is there; "" where there are none."""
    labels, count = Counter[str](), 0
    for layer in boxes:
        seen = _seen(layer, window)
        if layer.labels or not layer.xyxy:
            given = layer.labels * len(layer.xyxy) if len(layer.labels) == 1 else layer.labels
            labels.update(given[index] for index in seen if given[index])
            count += len(seen)
    if not count and any(layer.xyxy for layer in boxes):
        return ""
    named = f": {names_in_words(labels.elements())}" if labels else ""
    return f"{counted(count, 'box', 'boxes')}{named}" if boxes else ""


def _unnamed_boxes(boxes: Sequence[Boxes], window: Window, legend: Sequence[Key]) -> list[str]:
    """The boxes without labels, by what the legend or their colour says they are."""
    found = Counter[str]()
    for layer in boxes:
        for index in _seen(layer, window) if not layer.labels else ():
            colour = layer.colours[index if len(layer.colours) > 1 else 0] if layer.colours else "object"
            found[_meaning(colour, layer.dash, legend)] += 1
    return [f"{counted(count, 'box', 'boxes')}{meaning}" for meaning, count in found.items()]


def _seen(layer: Boxes, window: Window) -> list[int]:
    """The boxes that are drawn and reach into the window; of width 0 are those that a reader has to light."""
    if not layer.width and not layer.fill:
        return []
    left, top, right, bottom = window
    return [k for k, (x1, y1, x2, y2) in enumerate(layer.xyxy) if x1 < right and x2 > left and y1 < bottom and y2 > top]


def _others_in_words(layers: Sequence[Layer], window: Window, legend: Sequence[Key]) -> list[str]:
    """Cells, lines, points, arrows and grids, counted by what they mean, and the texts."""
    found, texts = Counter[tuple[str, str, str]](), list[str]()
    left, top, right, bottom = window
    grids = dict.fromkeys(f"grid of stride {layer.stride:g}" for layer in layers if isinstance(layer, Grid))
    for layer in layers:
        match layer:
            case Cells():
                corners = tuple((c, r, c + 1, r + 1) for r, c in layer.cells)
                scaled = Boxes(tuple(tuple(side * layer.stride for side in corner) for corner in corners))
                found["cell", "cells", _meaning(layer.colour, layer.hatch, legend)] += len(_seen(scaled, window))
            case Points():
                count = sum(left <= x <= right and top <= y <= bottom for x, y in layer.xy)
                found["point", "points", _meaning(layer.colour, "", legend)] += count
            case Arrows():
                found["arrow", "arrows", _meaning(layer.colour, "", legend)] += len(layer.ends)
            case Line():
                found["line", "lines", _meaning(layer.colour, layer.dash, legend)] += bool(layer.points)
            case Text() if not layer.text.isdigit():  # numbers in cells and at maps are counted with these
                texts.append(layer.text)
    counts = [f"{counted(count, one, many)}{meaning}" for (one, many, meaning), count in found.items() if count]
    return [*counts, *grids, f"words: {_listed(texts, ', ')}" if texts else ""]


def _meaning(colour: Colour, look: str, legend: Sequence[Key]) -> str:
    """What the legend says of a colour, with this dash or hatch if it can, in brackets; "" nothing."""
    keys = [key for key in legend if key.colour == colour]
    exact = [key for key in keys if look in (key.dash, key.hatch) and look]
    text = (exact or keys)[0].text if keys else colour if colour in ("object", "prediction", "anchor") else ""
    return f" ({text})" if text else ""


def _ends_in_words(values: Sequence[float]) -> str:
    """Where a line begins and ends, as far as there are numbers."""
    finite = [value for value in values if math.isfinite(value)]
    return f", from {_about(finite[0])} to {_about(finite[-1])}" if len(finite) > 1 else ""


def _about(value: float) -> str:
    return approx(round(value, 12) + 0.0, ".3g") if math.isfinite(value) else ""


def _listed(words: Iterable[str], between: str) -> str:
    every = list(words)
    return between.join(every[:MOST]) + (f"{between}and {len(every) - MOST} more" if len(every) > MOST else "")
