"""Lines of source as a panel of a picture."""

from functools import cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from walkthrough.render.text import FALLBACKS, Look, font, installed
from walkthrough.scene import Code
from walkthrough.style import VERMILLION, Theme

LINE, SIZE, GUTTER, EDGE = 19, 12, 26, 7  # CSS pixels
MOST_LINES = 20
CHARACTER = 0.602 * SIZE  # the width of any character


@cache
def mono(weight: str = "normal") -> FontProperties:
    """A font whose characters are all equally wide; DejaVu comes with matplotlib."""
    families = ["DejaVu Sans Mono", *(name for name in FALLBACKS if name in installed())]
    return FontProperties(family=families, size=SIZE * 0.72, weight=weight)


def window(code: Code) -> tuple[int, int]:
    """First and last line to be seen, as indices: those around the lit one, which stands in the lower half.

    >>> window(Code(("",) * 100, first=11, lit=61))
    (37, 57)
    """
    lit = code.lit - code.first if code.lit is not None else 0
    begin = max(0, min(lit - MOST_LINES * 3 // 5 - 1, len(code.lines) - MOST_LINES))
    return begin, min(begin + MOST_LINES, len(code.lines))


def code_height(code: Code) -> float:
    """The height of source in CSS pixels; it is as wide as there is room."""
    begin, end = window(code)
    return max(end - begin, 1) * LINE + 2 * EDGE


def clipped(line: str, longest: int) -> str:
    """A line as far as there is room for it: for that many characters."""
    line = line.expandtabs(4)
    return line if len(line) <= longest else line[: max(longest - 2, 0)].rstrip() + " …"


def _digits(code: Code) -> int:
    return len(str(code.first + len(code.lines)))


def draw_code(axes: Axes, code: Code, size: tuple[float, float], theme: Theme) -> None:
    """Numbered lines; the lit one on a ground of its own with a sign before it, breakpoints as dots."""
    width, height = size
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.add_patch(Rectangle((1, 1), width - 2, height - 2, fill=False, edgecolor=theme.rule, linewidth=0.7))
    numbers = GUTTER + _digits(code) * CHARACTER
    longest = int((width - numbers) / CHARACTER - 2.5)
    begin, end = window(code)
    for place, index in enumerate(range(begin, end)):
        number, top = code.first + index, EDGE + place * LINE
        lit, stop = number == code.lit, number in code.marked
        paint = VERMILLION if code.failed else theme.series[0]
        if lit:
            draw_ground(axes, (1.5, top, width - 3, LINE), paint)
        sign = "●" if stop else ("✕" if code.failed else "▸") if lit else ""
        middle = top + LINE / 2
        look: Look = {"va": "center_baseline", "parse_math": False, "clip_on": True}
        mark: Look = {"color": VERMILLION if stop or code.failed else paint, "fontproperties": font(SIZE)}
        axes.text(GUTTER / 2 + 1, middle, sign, ha="center", **mark, **look)
        weight: Look = {"fontproperties": mono("bold" if lit else "normal")}
        axes.text(numbers, middle, str(number), ha="right", color=theme.text if lit else theme.muted, **weight, **look)
        axes.text(
            numbers + 1.6 * CHARACTER, middle, clipped(code.lines[index], longest), color=theme.text, **weight, **look
        )


def draw_ground(axes: Axes, rect: tuple[float, float, float, float], paint: str) -> None:
    """The ground of a row that stands out, with a bar at its left: seen without colour, too."""
    x, y, width, height = rect
    axes.add_patch(Rectangle((x, y), width, height, facecolor=paint + "38", linewidth=0, zorder=0.5))
    axes.add_patch(Rectangle((x, y), 3, height, facecolor=paint, linewidth=0, zorder=0.6))
