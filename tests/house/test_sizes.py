"""The lines of code that make sizes prints are the lines that hold code."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.imports import PROJECT, chapters
from tests.house.sizes import AROUND, BOOK, LARGEST_BOOK, book_size, lines_of_code, sizes


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("\n\n# a comment\n", 0),
        ('"""A docstring\n\nof three lines."""\n', 0),
        ("x = 1  # a comment\n", 1),
        ('"""A docstring."""\nx = (\n    1,\n\n    # a comment\n    2,\n)\n', 4),
        ('def f(a: int) -> int:\n    """A docstring.\n\n    >>> f(1)\n    1\n    """\n    return a\n', 2),
        ('class A:\n    "A docstring."\n\n    x: int = 1\n', 2),
        ('async def f():\n    """A docstring."""\n    await g()\n', 2),
        ('def f(): "A docstring on a line that holds code."\n', 1),
        ('text = """two\nlines"""\n', 2),  # a string that is not a docstring
        ('x = 1\n"""Not a docstring: it does not come first."""\n', 2),
        ("x = 1; y = 2\n", 1),
        ("x = 1 + \\\n    2\n", 2),
        ("value = f'{x}'\n", 1),
        ("größe = 1\n", 1),
    ],
)
def test_lines_of_code(source: str, lines: int) -> None:
    assert lines_of_code(source) == lines


def test_every_file_counts_once_in_its_chapter(tmp_path: Path) -> None:
    for name, text in {
        "__init__.py": "x = 1\n",
        "boxes.py": "x = 1\ny = 2\n",
        "loss/__init__.py": "x = 1\n",
        "loss/deep/targets.py": "x = 1\n\ny = 2\n",
        "loss/notes.txt": "x = 1\n",
    }.items():
        (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / name).write_text(text)
    assert sizes("package", tmp_path) == {"__init__": 1, "boxes": 2, "loss": 3}


def test_the_book_is_made_of_chapters_that_exist() -> None:
    found = sizes("yolo_lite")
    assert set(BOOK) <= set(found)
    assert 0 < book_size() < sum(found.values())


def test_the_command_prints_both_packages_and_the_book() -> None:
    command = [sys.executable, "-m", "tests.house.sizes"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    rows = {line[:20].strip(): line[20:].split() for line in printed.splitlines()}
    for package in ("yolo_lite", "walkthrough"):
        assert rows[package][0] == f"{sum(sizes(package).values()):,}"
    assert rows["the book"][0] == f"{book_size():,}"


def test_the_book_is_no_longer_than_it_may_be() -> None:
    assert book_size() <= LARGEST_BOOK


def test_what_the_book_imports_besides_itself_is_named() -> None:
    plain = {"_moved", "writing"}  # names of the version before; whole files
    imported = {target for name, targets in chapters("yolo_lite").items() if name in BOOK for target in targets}
    assert imported - {*BOOK, *plain} == set(AROUND)
