"""The class names of a dataset, from the files that labelling tools write them to.

labelImg writes a classes.txt into each folder of labels, Label Studio one beside ``images`` and a notes.json, CVAT an
obj.names, Roboflow a _darknet.labels into each split. All of one dataset must agree.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.files.elsewhere import SPLIT_WORD
from yolo_lite.datasets.files.text import UNREADABLE, decode_text, not_utf8, read_lines

CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels", "class_names.txt", "names.txt")
LATER_FILES = ("labels.txt", "predefined_classes.txt", "notes.json")  # called so for other reasons too
NUMBERED = re.compile(r"(\d+)(?:\s*[:=]\s*|\s*,\s*|\s+)(\S.*)", re.ASCII)  # `0: cat`, `0 cat`
STRUCTURE = re.compile(  # folders that every dataset has, whose parents belong to it too
    rf"images?|labels?|obj_\w+_data|{SPLIT_WORD.pattern}"
)


class ClassList(NamedTuple):
    """Class names, and the file that has them."""

    names: tuple[str, ...]
    path: Path
    notes: tuple[Problem, ...] = ()  # lines that are not read as they are written


def folders_above(place: Path) -> list[Path]:
    """A folder of images or labels, and those above it up to the dataset's own.

    >>> [str(folder) for folder in folders_above(Path("pets/labels/train"))]
    ['pets/labels/train', 'pets/labels', 'pets']
    """
    folders = [place]
    while STRUCTURE.fullmatch(folders[-1].name.lower()) and folders[-1].parent != folders[-1]:
        folders.append(folders[-1].parent)
    return folders


def class_lists(folders: Iterable[Path]) -> list[ClassList]:
    """The class lists that lie in these folders, those of the first folder first.

    Raises:
        DatasetError: a list with bytes that are not UTF-8.
    """
    lists = []
    for folder in dict.fromkeys(folders):
        here = {path.name.lower(): path for path in _entries(folder)}
        others = sorted(name for name in here if name.endswith(".names") and name not in CLASS_FILES)
        found = [read_class_list(here[name]) for name in (*CLASS_FILES, *others) if name in here]
        if not any(found):
            found = [read_class_list(here[name]) for name in LATER_FILES if name in here]
        lists += [entry for entry in found if entry]
    return lists


def _entries(folder: Path) -> list[Path]:
    """The files of a folder that class names may stand in."""
    names = {*CLASS_FILES, *LATER_FILES}
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if (path.name.lower() in names or path.suffix == ".names") and path.is_file()
    )


def read_class_list(path: Path) -> ClassList | None:
    """The names in a file, one a line; None where it holds something else, or nothing.

    Raises:
        DatasetError: a name with bytes that are not UTF-8.
    """
    if path.suffix == ".json":
        return _from_notes(path)
    lines = read_lines(path)
    for line, text in enumerate(lines, start=1):
        if UNREADABLE in text:
            raise DatasetError(f"{not_utf8(path, line, text)}, or give the names: names=, in the shell --names")
    names = [text.strip() for text in lines if text.strip() and not text.strip().startswith("#")]
    if not names or all(_is_row(name) for name in names):  # labels.txt may belong to labels.jpg
        return None
    comments = [line for line, text in enumerate(lines, start=1) if text.strip().startswith("#")]
    notes = [Problem(str(path), line, "begins with #; not read", "comment lines", note=True) for line in comments]
    bare, reading = _bare_names(names)
    if reading:
        notes.append(Problem(str(path), None, reading, "class lists read another way", note=True))
    return ClassList(tuple(bare), path, tuple(notes))


def _bare_names(lines: Sequence[str]) -> tuple[list[str], str]:
    """The names of a list that has them numbered, in quotes or all in one line; and what was made of it.

    >>> _bare_names(["0: cat", "1: traffic light"])[0], _bare_names(["cat, dog"])[0], _bare_names(["'cat'", "'dog'"])[0]
    (['cat', 'traffic light'], ['cat', 'dog'], ['cat', 'dog'])
    """
    numbered = [NUMBERED.fullmatch(text) for text in lines]
    if all(numbered) and [int(match[1]) for match in numbered if match] == list(range(len(lines))):
        return [_unquoted(match[2]) for match in numbered if match], "each line is read as a number and a name"
    parts = re.split(r"[,;]", lines[0].strip("[]")) if len(lines) == 1 else []
    if len(parts) > 1 and all(part.strip() for part in parts):
        return [_unquoted(part.strip()) for part in parts], f"its only line is read as {len(parts)} names, one a line"
    return [_unquoted(text) for text in lines], ""


def _unquoted(name: str) -> str:
    quoted = re.fullmatch(r"""(["'])(.+)\1,?""", name)
    return quoted[2].strip() if quoted else name


def _is_row(text: str) -> bool:
    """Whether a line is a row of a label file."""
    fields = text.split()
    return len(fields) >= 5 and all(re.fullmatch(r"[-+.\deE]+", field) for field in fields)


def _from_notes(path: Path) -> ClassList | None:
    """Label Studio's notes.json: ``{"categories": [{"id": 0, "name": "cat"}, ...]}``."""
    try:
        categories = json.loads(decode_text(path.read_bytes()))["categories"]
        names = {int(category["id"]): str(category["name"]) for category in categories}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (
        ClassList(tuple(names[index] for index in range(len(names))), path)
        if set(names) == set(range(len(names))) and names
        else None
    )


def agreed(lists: Iterable[ClassList]) -> ClassList | None:
    """The one list of a dataset. labelImg's lists grow as classes come up: one that begins with another is longer.

    Raises:
        DatasetError: two lists that contradict each other; names both.
    """
    longest: ClassList | None = None
    for entry in lists:
        if longest is None:
            longest = entry
            continue
        short, long = sorted((longest, entry), key=lambda each: len(each.names))
        if long.names[: len(short.names)] != short.names:
            raise DatasetError(
                f"{longest.path} and {entry.path} disagree about the class names: {_shown(longest.names)} and "
                f"{_shown(entry.names)}. Labels mean one or the other: delete the wrong file, or give the names "
                "(names=, in the shell --names)"
            )
        longest = long if len(long.names) > len(longest.names) else longest
    return longest


def disagreement(names: tuple[str, ...], path: Path, lists: Iterable[ClassList]) -> list[Problem]:
    """A problem for each list that contradicts the names that a data.yaml gives."""
    problems = []
    for entry in lists:
        common = min(len(names), len(entry.names))
        if names[:common] != entry.names[:common]:
            message = (
                f"its class names are {_shown(names)}, those in {entry.path} {_shown(entry.names)}; the first are used"
            )
            problems.append(Problem(str(path), None, message, "class lists that disagree"))
    return problems


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
