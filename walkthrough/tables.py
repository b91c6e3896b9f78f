"""A table of words as HTML, and as aligned text beside it: for terminals, screen readers, and comparisons of notebooks.

The HTML reads well where a page strips its style (GitHub), and takes the colours of the page it stands on: JupyterLab's
where there are any, otherwise none of its own but a translucent grey. It has no script; what a cell must have where
JupyterLab does not trust a notebook, and leaves the style out, stands in the cell. Approximate numbers
(walkthrough.approx) and times differ from machine to machine: their length changes nothing else in the text, so that
notebooks can be compared.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from unicodedata import category, combining, east_asian_width

LONGEST = 60  # letters of a cell that others are aligned with; longer ones stand as they are
ROOM = 9  # letters for an approximate number or a time, however long it is
APPROXIMATE = re.compile(r"≈ *([-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?%?)")  # as tests/nbval_sanitize.cfg has them
TIME = re.compile(r"\b\d+(\.\d+)?(e-?\d+)? ?(ns|µs|us|ms|s)\b")
NUMBER = re.compile(r"(≈ *)?[-+]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?%?|[-+]?(inf|nan)|None|[-–—]")
LONG = re.compile(r"\S{40}(?=\S)")
UNIT = re.compile(r" (ns|µs|us|ms|s|px|B|kB|MB|GB)$")
NUMBERS = 'class="wt-figures" align="right"'
WORDS = 'align="left" style="text-align:left;max-width:36em"'
STYLE = """<style>
.wt-tables { display: flex; flex-wrap: wrap; gap: 0 2.5em; align-items: flex-start; overflow-x: auto }
.wt-tables .wt-one-table { max-width: 100%; overflow-x: auto }
@supports (animation-timeline: scroll()) { /* what is wider than the page fades out, until it is scrolled to its end */
  @keyframes wt-cut { from, 99% { mask-image: linear-gradient(to left, #0000, #000 3em) } to { mask-image: none } }
  .wt-tables .wt-one-table { animation: wt-cut linear; animation-timeline: scroll(self inline) } }
.wt-tables .wt-one-table table { margin: 0 0 .6em; border-collapse: collapse; table-layout: auto;
  width: max-content; font-variant-numeric: tabular-nums }
.wt-tables .wt-one-table caption { caption-side: top; padding: .3em .6em;
  white-space: nowrap; color: inherit }
.wt-tables .wt-one-table :is(th, td) { padding: .3em .8em; vertical-align: top; overflow-wrap: anywhere }
.wt-tables .wt-one-table th { vertical-align: bottom; font-weight: bold }
.wt-tables .wt-one-table :is(th, td).wt-figures { text-align: right }
.wt-tables .wt-one-table td.wt-figures { white-space: nowrap }
.wt-tables .wt-one-table th.wt-figures { max-width: 9em }
.wt-tables .wt-one-table thead tr { border-bottom: 1px solid var(--jp-border-color0, #8888) }
.wt-tables .wt-one-table tbody tr { border-bottom: 1px solid var(--jp-border-color2, #8883) }
.wt-tables .wt-one-table tr.wt-marked-row { box-shadow: inset 3px 0 var(--jp-brand-color1, currentColor) }
.wt-tables .wt-one-table p { margin: 0 0 .6em; padding: 0 .6em; color: var(--jp-ui-font-color2, inherit) }
</style>"""


class Words(NamedTuple):
    """What stands in a table: names of the columns, and rows of as many words."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""  # above
    caption: str = ""  # below
    marked: Sequence[int] = ()  # rows that stand out


# ---- HTML -----------------------------------------------------------------------------------------------------------


def tables_html(rows: Sequence[Sequence[Words]]) -> str:
    """Rows of tables, those of a row side by side where there is room, with their style."""
    lines = (
        f'<div class="wt-tables mathjax_ignore tex2jax_ignore">{"".join(map(table_html, row))}</div>' for row in rows
    )
    return "\n".join((STYLE, *lines))


def table_html(table: Words) -> str:
    """One table, without style.

    >>> print(table_html(Words(["kind"], [["<Conv>"]], "layers", marked=[0])))
    <div class="wt-one-table"><table>
    <caption align="left" style="text-align:left;max-width:36em"><b>layers</b></caption>
    <thead><tr><th scope="col" align="left" style="text-align:left;max-width:36em">kind</th></tr></thead>
    <tbody>
    <tr class="wt-marked-row"><td align="left" style="text-align:left;max-width:36em"><b>▸ &lt;Conv&gt;</b></td></tr>
    </tbody>
    </table></div>
    """
    sides = [NUMBERS if right else WORDS for right in _numeric(table, units=True)]
    heads = "".join(
        f'<th scope="col" {side}>{_html(name)}</th>' for name, side in zip(table.columns, sides, strict=True)
    )
    body = [_row_html(row, sides, number in table.marked) for number, row in enumerate(table.rows)]
    body = body or [f'<tr><td colspan="{max(len(sides), 1)}" {WORDS}>no rows</td></tr>']
    title = [f"<caption {WORDS}><b>{_html(table.title)}</b></caption>"] if table.title else []
    caption = f"<p>{_html(table.caption)}</p>" if table.caption else ""
    head = f"<thead><tr>{heads}</tr></thead>"
    return "\n".join(
        ['<div class="wt-one-table"><table>', *title, head, "<tbody>", *body, "</tbody>", f"</table>{caption}</div>"]
    )


def _row_html(row: Sequence[str], sides: Sequence[str], marked: bool) -> str:
    cells = list(map(_html, row))
    if marked and cells:  # by a sign and by weight, so that it is seen without colour, and without style
        cells = [f"<b>{cell}</b>" for cell in (f"▸ {cells[0]}", *cells[1:])]
    inside = "".join(f"<td {side}>{cell}</td>" for cell, side in zip(cells, sides, strict=True))
    return f'<tr class="wt-marked-row">{inside}</tr>' if marked else f"<tr>{inside}</tr>"


def _html(word: str) -> str:
    """Escaped, with its line breaks, all of several spaces, and places where a long word may be broken."""
    lines = (
        LONG.sub("\\g<0>\0", _visible(line)) for line in word.split("\n")
    )  # \0 cannot be in it: it is made visible
    broken = (escape(line, quote=False).replace("\0", "<wbr>") for line in lines)
    return "<br>".join(re.sub("(?<= ) ", "\u00a0", line) for line in broken)


# ---- text -----------------------------------------------------------------------------------------------------------


def table_text(table: Words) -> str:
    """The table with its columns aligned, numbers on the right; marked rows begin with ">".

    >>> print(table_text(Words(["layer", "kind", "mean"], [["0", "Conv", "≈ 0.5"], ["10", "SPPF", "≈ -12.25"]])))
    layer  kind        mean
    -----  ----  ----------
        0  Conv  ≈      0.5
       10  SPPF  ≈   -12.25
    """
    rows = [[_line(word) for word in row] for row in (table.columns, *table.rows)]
    widths = [min(max(map(_width, column)), LONGEST) for column in zip(*rows, strict=True)]
    right = _numeric(table)
    lines = ["  ".join(map(_justified, row, widths, right)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    if table.marked:
        lines = [f"{'>' if number - 2 in table.marked else ' '} {line}" for number, line in enumerate(lines)]
    lines += [] if table.rows else ["no rows"]
    return "\n".join(line for line in (_line(table.title), *lines, _line(table.caption)) if line)


def _line(word: str) -> str:
    """One line, each approximate number in its room."""
    line = " ↵ ".join(_visible(line) for line in word.split("\n"))
    return APPROXIMATE.sub(lambda found: f"≈{found[1]:>{ROOM}}", line)


def _justified(word: str, width: int, right: bool) -> str:
    space = " " * (width - _width(word))
    return space + word if right else word + space


def _width(line: str) -> int:
    """Columns of a terminal that a line takes; an approximate number and a time as if they filled their room."""
    line = TIME.sub("0" * ROOM, APPROXIMATE.sub("≈" + "0" * ROOM, line))
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in line)


# ---- both -----------------------------------------------------------------------------------------------------------


def _numeric(table: Words, units: bool = False) -> list[bool]:
    """Whether a column holds only numbers, or nothing; in text not times, whose length is not counted on."""
    cells = [[UNIT.sub("", row[k]) if units else row[k] for row in table.rows] for k in range(len(table.columns))]
    return [any(column) and all(not cell or NUMBER.fullmatch(cell) for cell in column) for column in cells]


def _visible(line: str) -> str:
    """Control characters as what they are written as in Python."""
    return "".join(repr(letter)[1:-1] if category(letter) == "Cc" else letter for letter in line)
