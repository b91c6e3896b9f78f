"""Source lines in pictures: what of them is seen, the lit line, breakpoints, marked rows of a table."""

import io
from unicodedata import east_asian_width

import numpy as np
import pytest
from PIL import Image

from walkthrough.render.code import MOST_LINES, code_height, code_rows, window
from walkthrough.render.layout import layout
from walkthrough.scene import Code, Scene, Table
from walkthrough.style import THEMES

LINES = tuple(f"x{k} = {k}" for k in range(100))


def drawn(panel: Code | Table, theme: str = "light") -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(Scene(((panel,),)).png(theme))).convert("RGBA").convert("RGB")).astype(int)


def columns(text: str) -> int:
    """Wide letters, as those of East Asia, fill two."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


@pytest.mark.parametrize("lit", [None, 1, 2, 50, 99, 100])
def test_the_lit_line_is_always_among_those_that_are_seen(lit):
    code = Code(LINES, 1, lit)
    begin, end = window(code, code_rows(code, 80))
    assert end - begin == MOST_LINES
    assert lit is None or begin <= lit - 1 < end


def test_short_source_is_seen_in_full_and_gets_no_more_room_than_it_needs():
    code = Code(("def f():", "    return 1"), 7, 8)
    assert window(code, code_rows(code, 80)) == (0, 2)
    assert code_height(code, 500) < code_height(Code(LINES), 500)
    placed, _ = layout(Scene(((code, Table(("a",), (("1",),))),)), 880)
    assert placed[1].rect[0] > placed[0].rect[0] + placed[0].rect[2]


def test_no_letter_of_a_long_line_is_lost():
    line = "    " + " + ".join(f"number_{k}" for k in range(40))
    wide = "  名前 = " + "日本語、" * 30 + "🚲" * 20
    code = Code((line, "x" * 300, "\ty", wide), 7)
    rows = code_rows(code, 56)
    assert max(columns(row.text) for row in rows) <= 56
    parts = {number: [row.text for row in rows if row.number == number] for number in (7, 8, 9, 10)}
    assert "".join(parts[7]).replace(" ", "") == line.replace(" ", "")
    assert all(part.startswith(" " * 8) for part in parts[7][1:])  # the rest is indented
    assert "".join(parts[8]).replace(" ", "") == "x" * 300
    assert parts[9] == ["    y"]
    assert "".join(parts[10]).replace(" ", "") == wide.replace(" ", "")
    assert min(columns(part) for part in parts[10][1:-1]) >= 55  # rows are full
    assert code_height(Code((line,)), 300) > code_height(Code((line,)), 900) > code_height(Code(("y",)), 900)


def test_folded_lines_are_one_row_unless_one_of_them_is_lit():
    code = Code(LINES[:8], 1, 8, folded=((3, 6),))
    assert [row.text for row in code_rows(code, 80)] == [
        *("x0 = 0", "x1 = 1"),
        "⋯ 4 lines of the docstring",
        *("x6 = 6", "x7 = 7"),
    ]
    assert len(code_rows(Code(LINES[:8], 1, 4, folded=((3, 6),)), 80)) == 8


@pytest.mark.parametrize("theme", THEMES)
def test_a_lit_line_a_breakpoint_and_a_failure_look_different(theme):
    pictures = [
        drawn(Code(LINES[:5], 1, lit, marked, failed=failed), theme)
        for lit, marked, failed in [(None, (), False), (3, (), False), (None, (3,), False), (3, (), True)]
    ]
    for index, picture in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert (np.abs(picture - other).max(2) > 40).sum() > 50


def test_marked_rows_stand_out_in_more_than_colour():
    rows = (("a", "1"), ("b", "2"))
    plain, marked = drawn(Table(("name", "value"), rows)), drawn(Table(("name", "value"), rows, marked=(1,)))
    assert plain.shape[0] == marked.shape[0]
    dark = [(picture.sum(2) < 150).sum() for picture in (plain, marked)]
    assert dark[1] > dark[0]  # bold words


@pytest.mark.parametrize("code", [Code(()), Code(("",), 5, 9), Code(("日本 $x$ \\frac", "\t🚲"), 999, 1000)])
def test_odd_source_is_drawn(code):
    assert drawn(code).size
