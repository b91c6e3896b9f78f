"""Notebooks and programs of students: their cells, and the exercises that they are about."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from walkthrough.exercises.exercise import PREFIX
from walkthrough.exercises.registry import EXERCISES

METADATA = "yolo_lite"  # of a hand-out: {"exercises": [names]}
DEFINED = re.compile(rf"^[ \t]*def +{PREFIX}(\w+)|^{PREFIX}(\w+) *(?::[^=\n]+)?=(?!=)", re.MULTILINE)
TITLE = re.compile(r"^## Your turn.*", re.MULTILINE)


class Submission(NamedTuple):
    """A file to be marked."""

    path: Path
    cells: tuple[str, ...]  # code
    exercises: tuple[str, ...]  # those that it was handed out with, and others that it defines
    problem: str = ""  # why it cannot be read
    asks_nothing: bool = False  # it was handed out without an exercise, as the gallery is


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Notebooks in folders, however deep, and files as they are named.

    Raises:
        FileNotFoundError: there is no such file or folder.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*.ipynb"))
            found += [each for each in inside if not any(part.startswith(".") for part in each.relative_to(path).parts)]
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"there is no file or folder {path}")
    return list(dict.fromkeys(found))


def read_submission(path: Path) -> Submission:
    """A notebook, or a program (.py), with the exercises in it."""
    try:
        if path.suffix == ".py":
            text = path.read_text(encoding="utf-8-sig")  # with or without the mark that Windows puts first
            return Submission(path, (text,), tuple(_defined([text])))
        notebook = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4)
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        asks_nothing = notebook.metadata.get(METADATA, {}).get("exercises") == []
        return Submission(path, tuple(cells), exercises_of(notebook), asks_nothing=asks_nothing)
    except Exception as error:  # a file of a stranger: whatever is wrong with it is one row of the table
        reason = (str(error).splitlines() or ["no message"])[0]
        return Submission(path, (), (), f"it cannot be read: {type(error).__name__}: {reason}")


def exercises_of(notebook: NotebookNode) -> tuple[str, ...]:
    """Names of the exercises that a notebook asks for, by its metadata, its titles, and what it defines."""
    metadata: Mapping[str, Any] = notebook.metadata.get(METADATA, {})
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = [title for text in texts for title in TITLE.findall(text)]
    asked = [*metadata.get("exercises", ()), *(name for title in titles for name in _named(title))]
    defined = _defined([cell.source for cell in notebook.cells if cell.cell_type == "code"])
    return tuple(dict.fromkeys(name for name in (*asked, *defined) if name in EXERCISES))


def _defined(cells: Sequence[str]) -> list[str]:
    """Exercises whose functions are defined, with the reader's prefix."""
    names = [found[1] or found[2] for cell in cells for found in DEFINED.finditer(cell)]
    return [name for name in names if name in EXERCISES]


def _named(title: str) -> list[str]:
    return re.findall(rf"\b{PREFIX}(\w+)", title)
