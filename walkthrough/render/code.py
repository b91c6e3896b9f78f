"""Lines of source as a panel of a picture."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple
from unicodedata import east_asian_width

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from walkthrough.render.text import FALLBACKS, Look, font, installed
from walkthrough.scene import Code
from walkthrough.style import VERMILLION, Theme

LINE, SIZE, GUTTER, EDGE = 19, 12, 26, 7  # CSS pixels
MOST_LINES = 20
HANGING = 4  # characters by which the rest of a long line is indented
CHARACTER = 0.602 * SIZE  # the width of a column: of any character, but for wide letters, which fill two


@cache
def mono(weight: str = "normal") -> FontProperties:
    """A font whose characters are all equally wide; DejaVu comes with matplotlib."""
    families = ["DejaVu Sans Mono", *(name for name in FALLBACKS if name in installed())]
    return FontProperties(family=families, size=SIZE * 0.72, weight=weight)


class CodeRow(NamedTuple):
    """One row of what is drawn: a line or a part of one, or what stands for folded lines."""

    number: int  # of the line
    text: str
    goes_on: bool = False  # with the line of the row above
    folds: bool = False


def code_rows(code: Code, longest: int) -> list[CodeRow]:
    """What is drawn, row by row, in at most that many columns each.

    >>> [row.text for row in code_rows(Code(("total = first + second",)), 16)]
    ['total = first +', '    second']
    """
    starts = dict(code.hidden)
    rows, number = list[CodeRow](), code.first
    while number < code.first + len(code.lines):
        if number in starts:
            count = starts[number] - number + 1
            rows.append(CodeRow(number, f"⋯ {count} {'line' if count == 1 else 'lines'} of the docstring", folds=True))
            number += count
            continue
        parts = broken(code.lines[number - code.first], longest)
        rows += [CodeRow(number, part, goes_on=k > 0) for k, part in enumerate(parts)]
        number += 1
    return rows


def broken(line: str, longest: int) -> list[str]:
    """A line in parts of at most that many columns, cut at spaces where there are any; later ones are indented.

    >>> broken("  total = first + second", 16)
    ['  total = first', '      + second']
    """
    line = line.expandtabs(4).rstrip()
    indent = len(line) - len(line.lstrip()) + HANGING
    indent = indent if indent <= longest // 2 else 0
    parts, rest = list[str](), line
    while (fits := fitting(rest, max(longest, 2))) < len(rest):  # 2: room for any letter
        start = len(rest) - len(rest.lstrip())
        space = rest.rfind(" ", start + 1, fits + 1)
        cut = space if space > start else max(fits, start + 1)
        parts.append(rest[:cut].rstrip())
        rest = " " * indent + rest[cut:].lstrip()
    return [*parts, rest]


def fitting(text: str, columns: int) -> int:
    """How many characters of a text fit into so many columns: letters of East Asia and emoji fill two.

    >>> fitting("x = 2", 4), fitting("x日本語", 4)
    (4, 2)
    """
    ends = accumulate(2 if east_asian_width(letter) in ("W", "F") else 1 for letter in text)
    return sum(end <= columns for end in ends)


def window(code: Code, rows: Sequence[CodeRow]) -> tuple[int, int]:
    """First and last row to be seen, as indices: those around the lit line, which stands in the lower half.

    >>> code = Code(("",) * 100, first=11, lit=61)
    >>> window(code, code_rows(code, 80))
    (37, 57)
    """
    lit = next((place for place, row in enumerate(rows) if row.number == code.lit), 0)
    begin = max(0, min(lit - MOST_LINES * 3 // 5 - 1, len(rows) - MOST_LINES))
    return begin, min(begin + MOST_LINES, len(rows))


def longest_in(code: Code, width: float) -> int:
    """How many columns of a line fit into a panel of that width, in CSS pixels."""
    return max(int((width - GUTTER - _digits(code) * CHARACTER) / CHARACTER - 2.5), 1)


def code_height(code: Code, width: float) -> float:
    """The height of source in CSS pixels in a panel of that width."""
    begin, end = window(code, code_rows(code, longest_in(code, width)))
    return max(end - begin, 1) * LINE + 2 * EDGE


def _digits(code: Code) -> int:
    return len(str(code.first + len(code.lines)))


def draw_code(axes: Axes, code: Code, size: tuple[float, float], theme: Theme) -> None:
    """Numbered lines; the lit one on a ground of its own with a sign before it, breakpoints as dots."""
    width, height = size
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.add_patch(Rectangle((1, 1), width - 2, height - 2, fill=False, edgecolor=theme.rule, linewidth=0.7))
    rows = code_rows(code, longest_in(code, width))
    begin, end = window(code, rows)
    for place, row in enumerate(rows[begin:end]):
        _draw_row(axes, code, row, EDGE + place * LINE, width, theme)


def _draw_row(axes: Axes, code: Code, row: CodeRow, top: float, width: float, theme: Theme) -> None:
    """One row at a height: sign, number, text."""
    lit, stop = row.number == code.lit, row.number in code.marked and not row.folds
    paint = VERMILLION if code.failed else theme.series[0]
    if lit:
        draw_ground(axes, (1.5, top, width - 3, LINE), paint)
    middle, numbers = top + LINE / 2, GUTTER + _digits(code) * CHARACTER
    look: Look = {"va": "center_baseline", "parse_math": False, "clip_on": True}
    weight: Look = {"fontproperties": mono("bold" if lit else "normal")}
    if not row.goes_on:
        sign = "●" if stop else ("✕" if code.failed else "▸") if lit else ""
        mark: Look = {"color": VERMILLION if stop or code.failed else paint, "fontproperties": font(SIZE)}
        axes.text(GUTTER / 2 + 1, middle, sign, ha="center", **mark, **look)
        number = "" if row.folds else str(row.number)
        axes.text(numbers, middle, number, ha="right", color=theme.text if lit else theme.muted, **weight, **look)
    paint = theme.muted if row.folds else theme.text
    axes.text(numbers + 1.6 * CHARACTER, middle, row.text, color=paint, **weight, **look)


def draw_ground(axes: Axes, rect: tuple[float, float, float, float], paint: str) -> None:
    """The ground of a row that stands out, with a bar at its left: seen without colour, too."""
    x, y, width, height = rect
    axes.add_patch(Rectangle((x, y), width, height, facecolor=paint + "38", linewidth=0, zorder=0.5))
    axes.add_patch(Rectangle((x, y), 3, height, facecolor=paint, linewidth=0, zorder=0.6))
