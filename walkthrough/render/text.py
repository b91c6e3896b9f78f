"""Words in pictures: fonts, widths, and labels that find a free place."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager

# DejaVu comes with matplotlib; for scripts it lacks, the usual fonts of Linux, macOS and Windows.
FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC", "Arial Unicode MS"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari", "Nirmala UI"),
)
Look = dict[str, Any]  # keyword arguments of matplotlib's artists, whose kinds are many
Rect = tuple[float, float, float, float]  # x, y, width, height in pixels, y downwards


@cache
def installed() -> frozenset[str]:
    """The names of all fonts there are."""
    return frozenset(entry.name for entry in fontManager.ttflist)


@cache
def font(size: float, weight: str = "normal") -> FontProperties:
    """A font of a size in CSS pixels."""
    families = ["DejaVu Sans", *(name for name in FALLBACKS if name in installed())]
    return FontProperties(family=families, size=size * 0.72, weight=weight)


@cache
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """The width of a text in CSS pixels."""
    canvas = FigureCanvasAgg(Figure(dpi=100))
    with quiet():
        return canvas.get_renderer().get_text_width_height_descent(text, font(size, weight), False)[0]


def shortened(text: str, room: float, size: float, weight: str = "normal") -> str:
    """The text, or as much of it as fits into room pixels, ending in an ellipsis."""
    if width_of(text, size, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        fits = width_of(text[:middle].rstrip() + "…", size, weight) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""


@cache
def wrapped(text: str, room: float, size: float, weight: str = "normal") -> tuple[str, ...]:
    """The text in lines that fit into room pixels, broken between words as a browser does; a longer word is cut."""
    room -= 0.5  # a browser measures a little more
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or width_of(longer, size, weight) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(shortened(line, room, size, weight) for line in lines)


@contextmanager
def quiet() -> Iterator[None]:
    """Without matplotlib's remarks on a first font cache or a missing glyph: a saved notebook would keep them.

    And without hinting, which makes words up to 5 % wider at one density than at another: the page has none.
    """
    log = logging.getLogger("matplotlib.font_manager")
    before = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings(), matplotlib.rc_context({"text.hinting": "none"}):
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        log.disabled = before


def place_label(box: Rect, size: tuple[float, float], room: Rect, taken: list[Rect]) -> Rect:
    """Where a label of a size goes: over the box, in its upper corners, under it, beside it; the first that is free."""
    x, y, w, h = box
    width, height = size
    right, bottom = x + w - width, y + h
    candidates = [(x, y - height), (x, y), (right, y - height), (right, y), (x, bottom), (x, bottom - height)]
    candidates += [(x, y + k * height) for k in range(1, 6)]
    candidates += [(side, y + k * height) for k in range(4) for side in (x + w, x - width)]
    candidates += [(x, over) for k in range(2, 5) for over in (y - k * height, bottom + (k - 1) * height)]
    left, top, room_width, room_height = room
    inside = [
        (min(max(px, left), left + room_width - width), py, width, height)
        for px, py in candidates
        if top <= py <= top + room_height - height
    ]
    inside = inside or [(max(left, min(x, left + room_width - width)), top, width, height)]
    return next((rect for rect in inside if not any(_overlap(rect, other) for other in taken)), inside[0])


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
