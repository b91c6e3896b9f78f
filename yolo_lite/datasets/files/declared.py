"""Files that say what a dataset consists of: data.yaml, and Darknet's obj.data.

Every value stays the text it is: a class called ``no`` or ``1.0`` keeps its name.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from yolo_lite._moved import moved_name
from yolo_lite.data.report import READ_ELSEWHERE, DatasetError, Problem
from yolo_lite.datasets.files.class_lists import ClassList, read_class_list
from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES, Finder, is_there, may_drop, not_found, path_parts, spellings
from yolo_lite.datasets.files.text import UNREADABLE, decode_text, not_utf8, split_lines

FOUND_ELSEWHERE = "paths found elsewhere"
TWO_PLACES = "paths with two meanings"
USUAL_STEMS = ("data", "dataset", "obj")  # of a data.yaml or obj.data that is looked for in a folder
DATA_KEYS = ("classes", "train", "val", "valid", "validation", "test", "names")  # of an obj.data, that are read
LARGEST = 1_000_000  # bytes of a .data file: larger ones are something else
NO_PATH = re.compile(
    r"true|false|yes|no|on|off|[-+.\d]+", re.IGNORECASE
)  # `val: true`, `train: 0.8` of other yaml files


class Declared(NamedTuple):
    """What such a file says."""

    path: Path
    splits: dict[str, list[str]]  # of "train", "val", "test" those that it has: paths as they are written
    names: tuple[str, ...] | None
    keypoints: tuple[int, int] | None = None  # kpt_shape: number of keypoints, values of each
    root: str = "."
    hint: str = ""  # goes behind the error about a path that is not there
    notes: tuple[Problem, ...] = ()
    channels: int | None = None  # of the images


class DeclaredPlaces(NamedTuple):
    """Folders of images and lists, and notes about where they were found."""

    places: tuple[Path, ...]
    notes: tuple[Problem, ...]


# ---- reading --------------------------------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """The entries of a data.yaml that have a value, as text.

    Raises:
        DatasetError: not YAML, or not entries with names.
    """
    text = decode_text(path.read_bytes())
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DatasetError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected `train:`, `val:` and `names:`, found {type(content).__name__}")
    return {str(key): value for key, value in content.items() if value not in ("", "null", "~", [], {})}


def from_yaml(path: Path) -> Declared:
    """What a data.yaml says.

    Raises:
        DatasetError: it contradicts itself.
    """
    content = read_yaml(path)
    _require_each_key_once(path)
    hint = " (it names a download; nothing is fetched unasked)" if "download" in content else ""
    named, listed = content.get("names"), None
    if isinstance(named, str):
        listed = _names_file(path, named)
        content["names"] = list(listed.names) if listed else named
    names, root = _names(path, content), str(content.get("path", "."))
    notes = listed.notes if listed else ()
    settled = _splits(path, content), names, _keypoints(path, content)
    return Declared(path, *settled, root, hint, notes, _channels(path, content))


def _require_each_key_once(path: Path) -> None:
    """Raises where YAML would silently take the last of two values: of the entries, and of the numbered names."""
    document = yaml.compose(decode_text(path.read_bytes()), Loader=yaml.BaseLoader)
    if document is None:  # an empty file
        return
    names = [value for key, value in document.value if key.value == "names" and isinstance(value, yaml.MappingNode)]
    for node in (document, *names):
        first: dict[str, int] = {}  # key -> the line it was first seen on
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in first and key.value != "<<":
                where = "`names` has the class" if node is not document else "has"
                raise DatasetError(f"{path}:{line}: {where} `{key.value}:` twice, first on line {first[key.value]}")
            first[str(key.value)] = line


def from_data_file(path: Path) -> Declared:
    """What Darknet's obj.data says: ``train = data/train.txt``, ``valid = ...``, ``names = data/obj.names``."""
    content: dict[str, str] = {}
    for line, text in enumerate(split_lines(decode_text(path.read_bytes())), start=1):
        key, equals, value = (part.strip() for part in text.partition("#")[0].partition("="))
        key = key.lower()
        if key in DATA_KEYS and content.get(key, value) != value:
            raise DatasetError(f"{path}:{line}: `{key} = {value}`, but `{content[key]}` above: leave one of them")
        if equals and value:
            content[key] = value
    listed = _names_file(path, content["names"]) if "names" in content else None
    message = f"`names = {content.get('names')}` is not there, or has no names in it"
    missing = [Problem(str(path), None, message, "class names not found")] if "names" in content and not listed else []
    names, count = listed.names if listed else None, content.get("classes", "")
    if listed and names and count.isdigit() and int(count) != len(names):
        where = f"{len(names)} {'name' if len(names) == 1 else 'names'} in {listed.path}"
        raise DatasetError(f"{path}: `classes = {count}` but {where}: correct one of them")
    return Declared(path, _splits(path, content), names, notes=(*missing, *(listed.notes if listed else ())))


def looks_declared(path: Path) -> bool:
    """Whether a .yaml or .data file is about a dataset: it names splits or classes, and no network.

    Raises:
        DatasetError: a data.yaml, or one that mentions splits, which is not valid YAML.
    """
    if path.suffix.lower() == ".data":
        return path.stat().st_size < LARGEST and bool(from_data_file(path).splits)
    is_usual = path.stem.lower() in USUAL_STEMS
    try:
        content = read_yaml(path)
    except DatasetError:
        text = decode_text(path.read_bytes())
        if text.strip() and (is_usual or re.search(r"^(train|val|names):", text, re.MULTILINE)):
            raise
        return False
    if "backbone" in content or "head" in content:  # a network
        return False
    names, splits = content.get("names"), _paths(content)
    has_names = isinstance(names, list) or (isinstance(names, dict) and all(str(key).isdigit() for key in names))
    if is_usual or (has_names and len(splits) == len(_given(content))):
        return has_names or bool(splits)
    return any(is_there(path.parent / text) for texts in splits.values() for text in texts)


def _paths(content: dict[str, Any]) -> dict[str, list[str]]:
    """Those of train, val and test that may be paths."""
    found = {}
    for split, value in _given(content).items():
        parts = value if isinstance(value, list) else [value]
        if all(isinstance(part, str) and not NO_PATH.fullmatch(part) for part in parts):
            found[split] = parts
    return found


def _given(content: dict[str, Any]) -> dict[str, Any]:
    """Those of train, val and test that have a value of whatever kind."""
    return {
        split: next(content[key] for key in keys if key in content)
        for split, keys in SPLIT_NAMES.items()
        if any(key in content for key in keys)
    }


def _splits(path: Path, content: dict[str, Any]) -> dict[str, list[str]]:
    found = _paths(content)
    for split, value in _given(content).items():
        if split not in found:
            raise DatasetError(f"{path}: `{split}: {value}` is not a path, nor a list of them")
    return found


def _names(path: Path, content: dict[str, Any]) -> tuple[str, ...] | None:
    """The class names, or class0, class1 ... where only their number ``nc`` is given."""
    names, count = content.get("names"), content.get("nc")
    if count is not None and not (str(count).isdigit() and int(count) > 0):
        raise DatasetError(f"{path}: `nc: {count}` must be the number of classes")
    if not names:
        return None if count is None else tuple(f"class{index}" for index in range(int(count)))
    if isinstance(names, dict):
        missing = [index for index in range(len(names)) if str(index) not in names]
        if missing:
            raise DatasetError(
                f"{path}: `names` has {len(names)} entries but none for class {missing[0]}: count from 0, without gaps"
            )
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: `names` must be a list, [cat, dog], or numbered, {{0: cat, 1: dog}}")
    if count is not None and int(count) != len(names):
        raise DatasetError(f"{path}: `nc: {count}` but {len(names)} names: correct one of them, or leave nc out")
    _require_utf8(path, names)
    return tuple(names)


def _require_utf8(path: Path, names: Sequence[str]) -> None:
    if not any(UNREADABLE in name for name in names):
        return
    lines = split_lines(decode_text(path.read_bytes()))
    line, text = next(((number, text) for number, text in enumerate(lines, 1) if UNREADABLE in text), (1, ""))
    raise DatasetError(not_utf8(path, line, text))


def _names_file(path: Path, text: str) -> ClassList | None:
    """The names in a file that another one refers to, ``data/obj.names``; None where there is no such file.

    It is looked for beside the file that refers to it, also by its end, and last in the working folder.
    """
    beside = [*spellings(path.parent, text), Finder([path.parent]).tail(path_parts(text), len(path_parts(text)))]
    near = next((place for place in beside if place and _is_file(place)), None)
    file = near or next((place for place in spellings(Path.cwd(), text) if _is_file(place)), None)
    entry = read_class_list(file) if file else None
    if entry and not near:
        entry = entry._replace(notes=(_working_folder_note(path, f"names: {text}", entry.path), *entry.notes))
    return entry


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()


def _keypoints(path: Path, content: dict[str, Any]) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    numbers = re.findall(r"\d+", str(shape)) if isinstance(shape, list | str) else []
    if len(numbers) != 2 or numbers[1] not in ("2", "3") or int(numbers[0]) < 1:
        raise DatasetError(f"{path}: `kpt_shape: {shape}` must be [number of keypoints, 2 or 3]")
    return int(numbers[0]), int(numbers[1])


def _channels(path: Path, content: dict[str, Any]) -> int | None:
    text = content.get("channels")
    if text is not None and not (str(text).isdigit() and int(text) > 0):
        raise DatasetError(f"{path}: `channels: {text}` must be the number of channels of the images, 1 for gray ones")
    return None if text is None else int(text)


# ---- finding --------------------------------------------------------------------------------------------------------


def declared_places(declared: Declared, split: str) -> DeclaredPlaces:
    """The folders and lists of a split.

    Raises:
        DatasetError: no such split in it. FileNotFoundError: a path that is not there; names all that were tried.
    """
    if split not in declared.splits:
        has = ", ".join(declared.splits) or "neither train, val nor test"
        raise DatasetError(f"{declared.path}: no `{split}:` in it; it has {has}")
    places: list[Path] = []
    notes: list[Problem] = []
    for text in declared.splits[split]:
        found, note = _find(declared, split, text)
        places += found
        notes += note
    return DeclaredPlaces(tuple(places), (*declared.notes, *notes))


def _find(declared: Declared, split: str, text: str) -> tuple[list[Path], list[Problem]]:
    """What a path stands for: as it is written, as a pattern, or its end, beside the file; last in the working folder.

    A note says where something else than what is written was taken.
    """
    folder = declared.path.parent
    roots = spellings(folder, declared.root)
    root = next(filter(is_there, roots), None)
    base = folder if root is None else root  # a folder that was moved, and its data.yaml with it
    here = [place for place in _written(declared, base, text) if is_there(place)]
    if here:
        moved = root is None and not Path(text).is_absolute()
        notes = [_note(declared, f"path: {declared.root}", folder)] if moved else _copied(declared, here[0], text)
        return here[:1], notes + _two_places(declared, f"{split}: {text}", here)
    matches = _matches(base, text)
    if matches:
        return matches, []
    tail = _tail(declared, split, text, root)
    working = [Path.cwd(), *(() if root else filter(is_there, spellings(Path.cwd(), declared.root)))][::-1]
    away = [place for each in working for place in spellings(each, text) if is_there(place)]
    if tail is not None:
        other = f", not {away[0]} of the working folder" if away and not _same(tail, away[0]) else ""
        return [tail], [_note(declared, f"{split}: {text}", tail, other)]
    away = away[:1] or next(filter(None, (_matches(each, text) for each in working)), [])
    if away:
        return away, [_working_folder_note(declared.path, f"{split}: {text}", away[0])]
    if root is None:
        tried = [*roots, *spellings(Path.cwd(), declared.root)]
        raise not_found(tried, f"{declared.path}: `path: {declared.root}`", declared.hint, folder)
    tried = [*_written(declared, base, text), *spellings(Path.cwd(), text)]
    raise not_found(tried, f"{declared.path}: `{split}: {text}`", declared.hint, folder)


def _written(declared: Declared, base: Path, text: str) -> list[Path]:
    """What a path may mean as it is written, the likeliest first."""
    outside = spellings(base, text)
    if not text.startswith(("../", "..\\")):
        return outside
    # Roboflow writes ../train/images, and means the folder of its data.yaml: beside it may lie another export
    inside = spellings(base, text[3:])
    return inside + outside if declared.root in (".", "./") else outside + inside


def _two_places(declared: Declared, written: str, found: Sequence[Path]) -> list[Problem]:
    """A note where a path can mean two folders that are both there."""
    others = [place for place in found[1:] if not _same(place, found[0])]
    if not others:
        return []
    taken, other = (os.path.normpath(place) for place in (found[0], others[0]))
    message = f"`{written}` may mean {taken} or {other}, and both are there; {taken} is used"
    return [Problem(str(declared.path), None, message, TWO_PLACES, note=True)]


def _copied(declared: Declared, found: Path, text: str) -> list[Problem]:
    """A note where a full path leads away from images beside this file: those of a copy, whose original is read."""
    beside = declared.path.parent / text
    if not Path(declared.root).is_absolute() or not is_there(beside) or _same(beside, found):
        return []
    message = f"`path: {declared.root}` leads to {found}, which is used, and not to {os.path.normpath(beside)}: for "
    return [Problem(str(declared.path), None, f"{message}that, write `path: .`", READ_ELSEWHERE, note=True)]


def _same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


def _tail(declared: Declared, split: str, text: str, root: Path | None) -> Path | None:
    """The end of a path that another machine has, of ``path:`` and the split together and of the split alone."""
    folder = declared.path.parent
    others = [other for name, texts in declared.splits.items() if name != split for other in texts]
    bases = [folder, *([root] if root else [])]
    whole, whole_others = f"{declared.root}/{text}", [f"{declared.root}/{other}" for other in others]
    for written, rest in ((text, others), (whole, whole_others)):
        parts = path_parts(written)
        found = Finder(bases).tail(parts, may_drop(written, rest)) if parts else None
        if found is not None:
            return found
    return None


def _matches(root: Path, text: str) -> list[Path]:
    """What a pattern such as ``images/*/train`` stands for."""
    pattern = text.replace("\\", "/")
    if not re.search(r"[*?\[]", pattern) or pattern.startswith("/") or re.match(r"[A-Za-z]:", pattern):
        return []
    return sorted(root.glob(pattern))


def _note(declared: Declared, written: str, found: Path, other: str = "") -> Problem:
    message = f"`{written}` is not on this machine; {found} is used instead{other}"
    return Problem(str(declared.path), None, message, FOUND_ELSEWHERE, note=True)


def _working_folder_note(path: Path, written: str, found: Path) -> Problem:
    message = f"`{written}` is not beside this file; {found}, in the working folder, is used"
    return Problem(str(path), None, message, FOUND_ELSEWHERE, note=True)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
