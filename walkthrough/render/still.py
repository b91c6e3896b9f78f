"""Words and tables of an explorer under its picture, where there is no kernel: reopened, exported, on GitHub.

JupyterLab shows one kind of an output, the picture, and gives it no alternative text. The settings are in no picture
at all, and tables are to be read and copied. So both are an output of their own, which the live view before it makes
needless.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape

from walkthrough.scene import PanelRows, Scene, Table
from walkthrough.tables import Words, tables_html

# What stands before the words is the live view, or about to be it, if it is not a picture, not hidden and not an error.
# The rule comes with the words, so that they are not seen for the moment that the live view takes to load.
LIVE = ".jp-OutputArea-output:not(.jp-RenderedImage, .lm-mod-hidden, .jupyter-widgets)"
WORDS = ".jp-OutputArea-child:has(> .jp-OutputArea-output > .wt-words)"
STYLE = f"<style>.jp-OutputArea-child:has(> {LIVE}) + {WORDS} {{ display: none }}</style>"


CELL = re.compile(r"(?<=>)[^<>]+(?=</)")
DECIMALS = re.compile(r"[-+]?\d*\.\d+(e[-+]?\d+)?%?")


def words_html(words: str, tables: Sequence[Sequence[Words]] = ()) -> str:
    """Lines of words, and rows of tables, as HTML.

    Decimals of tables stand in <data>: they may be what a network computed, whose last digits differ from machine to
    machine, so that comparisons of notebooks leave them out (tests/nbval_sanitize.cfg).

    >>> words_html("Stepper: step 0\\n  anchor_t < 4").removeprefix(STYLE)
    '<div class="wt-words">Stepper: step 0<br>&emsp;anchor_t &lt; 4</div>'
    """
    lines = [line.replace("  ", "&emsp;") for line in escape(words, quote=False).split("\n")]
    return f'{STYLE}<div class="wt-words">{"<br>".join(lines)}{_marked(tables) if tables else ""}</div>'


def _marked(tables: Sequence[Sequence[Words]]) -> str:
    style, rows = tables_html(tables).split("</style>", 1)
    marked = CELL.sub(lambda cell: DECIMALS.sub(r"<data>\g<0></data>", cell[0]), rows)
    return f"{style}</style>{marked}"


def picture_and_tables(scene: Scene) -> tuple[Scene, list[list[Words]]]:
    """What of a scene is drawn, and its tables by rows; a scene of tables alone is drawn as well.

    >>> from walkthrough.scene import Chart, Code
    >>> table, code = Table(("kind",), (("Conv",),)), Code(("x = 1",))
    >>> picture, tables = picture_and_tables(Scene(((code, table), (table,))))
    >>> [len(row) for row in picture.rows], [len(row) for row in tables]
    ([1], [1, 1])
    """
    tables = [
        [Words(t.columns, t.rows, t.title, t.caption, t.marked) for t in _tables_of(row)] for row in scene.all_rows
    ]
    drawn: PanelRows = tuple(tuple(panel for panel in row if not _is_read(panel)) for row in scene.all_rows)
    kept = tuple(row for row in drawn if row)
    return (replace(scene, rows=kept, legend=scene.all_keys, more=()) if kept else scene), [
        row for row in tables if row
    ]


def _tables_of(row: Sequence[object]) -> list[Table]:
    return [panel for panel in row if isinstance(panel, Table) and _is_read(panel)]


def _is_read(panel: object) -> bool:
    """Whether it is a table with columns: sentences that stand in place of a picture have none."""
    return isinstance(panel, Table) and bool(panel.columns)
