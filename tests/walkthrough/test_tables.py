"""Tables as HTML and as text: everything is in them, nothing is taken for markup, and what differs between machines
changes nothing but itself.
"""

import configparser
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from walkthrough import approx, column, row, show_bars, show_image, show_table, tables
from walkthrough.tables import Words, table_html, table_text

HARD = ("<b>bold</b> & more", "a\nb", "two  spaces", "$x^2$", "x" * 200, "猫", "\x1b[31m", "", "'quoted\"", "-")


class Read(HTMLParser):
    """What a browser makes of a table: its cells' words, its headers' scopes, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.sides: list[str | None] = []
        self.caption, self.scopes, self.tags = "", [], []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("th", "td", "caption"):
            self._inside = tag
        if tag in ("th", "td"):
            self.cells.append("")
            self.sides.append(dict(attrs)["align"])
        if tag == "th":
            self.scopes.append(dict(attrs)["scope"])
        if tag == "br" and self._inside in ("th", "td"):
            self.cells[-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self.caption += data
        elif self._inside:
            self.cells[-1] += data.replace("\u00a0", " ")


def sanitized(text: str) -> str:
    """As nbval compares it."""
    config = configparser.RawConfigParser()
    config.read(Path(__file__).parents[1] / "nbval_sanitize.cfg", encoding="utf-8")
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    return text


def test_a_table_alone_is_html_with_text_beside_it() -> None:
    data, metadata = show_table(["name", "count"], [["cat", 3], ["dog", 12]], "found")._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"}
    assert metadata == {}
    read = Read(data["text/html"])
    assert read.caption == "found"
    assert read.cells == ["name", "count", "cat", "3", "dog", "12"]
    assert read.scopes == ["col", "col"]
    assert read.sides == ["left", "right"] * 3
    assert "script" not in read.tags
    assert data["text/plain"] == "found\nname  count\n----  -----\ncat       3\ndog      12"


def test_tables_together_are_html_and_beside_a_picture_they_are_drawn() -> None:
    one, other = show_table(["a"], [[1]]), show_table(["b"], [[2]], "second")
    for scene in (row(one, other), column(one, other)):
        data, _ = scene._repr_mimebundle_()
        assert Read(data["text/html"]).cells == ["a", "1", "b", "2"]
        assert data["text/plain"] == "a\n-\n1\n\nsecond\nb\n-\n2"
    for scene in (row(one, show_image(np.zeros((4, 4)))), column(show_bars({"x": 1}), one), show_table([], [])):
        assert set(scene._repr_mimebundle_()[0]) == {"text/plain", "image/png"}


def test_a_table_is_saved_as_a_picture_as_before(tmp_path: Path) -> None:
    show_table(["a"], [[1]]).save(tmp_path / "table.png")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("word", HARD)
def test_words_are_words_and_never_markup(word: str) -> None:
    read = Read(table_html(Words([word], [[word]], word, word)))
    assert read.cells == [word.replace("\x1b", "\\x1b")] * 2
    assert set(read.tags) <= {"div", "table", "caption", "b", "thead", "tbody", "tr", "th", "td", "br", "wbr", "p"}
    lines = table_text(Words(["name", "next"], [[word, "n"], ["cat", "n"]])).split("\n")
    assert len(lines) == 4  # line breaks are written, not made
    assert not any(letter in line for line in lines for letter in "\x1b\t")


def test_columns_are_aligned_whatever_the_script() -> None:
    lines = table_text(Words(["name", "n"], [["猫と犬", "x"], ["e\u0301", "y"], ["w" * 70, "z"]])).split("\n")
    assert lines[2] == "猫と犬" + " " * (60 - 6 + 2) + "x"  # each takes two columns of a terminal
    assert lines[3] == "e\u0301" + " " * (60 - 1 + 2) + "y"
    assert lines[4] == "w" * 70 + "  z"  # nothing is cut


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (["1", "-2.5", "1,234", "3e-05", "12%", "≈ 0.5", "nan", "", "-"], True),
        (["0.52 ms", "12 px"], True),
        (["1", "cat"], False),
        (["1 x 2"], False),
        (["", ""], False),
        (["\u00a0\u00a01"], False),  # moved in: see show_layers
        ([], False),
    ],
)
def test_columns_of_numbers_stand_right(cells: list[str], right: bool) -> None:
    read = Read(table_html(Words(["name"], [[cell] for cell in cells])))
    assert set(read.sides) == {"right" if right else "left"}


def test_marked_rows_are_seen_without_colour_and_without_style() -> None:
    data, _ = show_table(["name", "n"], [["cat", 1], ["dog", 2]], marked=[1])._repr_mimebundle_()
    assert data["text/plain"].split("\n")[2:] == ["  cat   1", "> dog   2"]
    assert "<b>▸ dog</b>" in data["text/html"]
    assert "<b>cat" not in data["text/html"]
    with pytest.raises(ValueError, match=r"\b2\b.*\b2\b"):
        show_table(["name"], [["cat"], ["dog"]], marked=[2])


@pytest.mark.parametrize("others", [(9.99, 1e-7, "0.98 ms"), (12345.678, -250.0, "1234.56 ms"), (0.5, 1.0, "9 s")])
def test_another_machines_numbers_change_nothing_that_is_compared(others: tuple[float, float, str]) -> None:
    def compared(first: float, second: float, time: str) -> tuple[str, str]:
        rows = [
            ["cat", approx(first), 1, f"{approx(second, '.3g')} of {approx(first)}", time],
            ["dog", 3, 2, "4", time],
        ]
        data, _ = show_table(["name", "mean", "exact", "words", "time"], rows)._repr_mimebundle_()
        return sanitized(data["text/plain"]), sanitized(data["text/html"])

    assert compared(*others) == compared(1.0, 2.0, "3.00 ms")


def test_exact_numbers_and_words_are_compared() -> None:
    def compared(exact: float, word: str) -> list[str]:
        data, _ = show_table(["n", "mean", "word"], [[exact, approx(0.5), word]])._repr_mimebundle_()
        return [sanitized(data[kind]) for kind in ("text/plain", "text/html")]

    for other in (compared(1.25, "cat"), compared(1.5, "dog")):
        assert all(one != two for one, two in zip(compared(1.5, "cat"), other, strict=True))


def test_no_rule_of_the_explorers_page_is_about_a_class_of_tables() -> None:
    """Both live on one page of JupyterLab: a rule of the one must not reach the other."""
    page = resources.files("walkthrough.render").joinpath("live.css").read_text(encoding="utf-8")
    of_page = set(re.findall(r"\.(wt-[\w-]+)", page))
    of_tables = set(re.findall(r'class="([\w -]+)"', Path(tables.__file__).read_text(encoding="utf-8")))
    own = {name for names in of_tables for name in names.split() if name.startswith("wt-")}
    assert own
    assert own & of_page == set()
