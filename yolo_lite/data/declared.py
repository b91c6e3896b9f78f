"""Files that say what a dataset consists of: data.yaml, and Darknet's obj.data.

Every value stays the text it is: a class called ``no`` or ``1.0`` keeps its name.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from yolo_lite.data.class_names import read_class_list
from yolo_lite.data.elsewhere import SPLIT_NAMES, Finder, existing, is_there, may_drop, not_found, path_parts, spellings
from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.data.text import UNREADABLE, decode_text, not_utf8, split_lines

FOUND_ELSEWHERE = "paths found elsewhere"
USUAL_STEMS = ("data", "dataset", "obj")  # of a data.yaml or obj.data that is looked for in a folder
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


class Places(NamedTuple):
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
    hint = " (it names a download; nothing is fetched unasked)" if "download" in content else ""
    names = _names(path, content)
    return Declared(path, _splits(path, content), names, _keypoints(path, content), str(content.get("path", ".")), hint)


def from_data_file(path: Path) -> Declared:
    """What Darknet's obj.data says: ``train = data/train.txt``, ``valid = ...``, ``names = data/obj.names``."""
    content = {}
    for text in split_lines(decode_text(path.read_bytes())):
        key, equals, value = text.partition("#")[0].partition("=")
        if equals and value.strip():
            content[key.strip().lower()] = value.strip()
    names = _names_file(path, content["names"]) if "names" in content else None
    message = f"`names = {content.get('names')}` is not there, or has no names in it"
    missing = [Problem(str(path), None, message, "class names not found")] if "names" in content and not names else []
    return Declared(path, _splits(path, content), names, notes=tuple(missing))


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
    if isinstance(names, str):
        names = list(_names_file(path, names) or ()) or names
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


def _names_file(path: Path, text: str) -> tuple[str, ...] | None:
    """The names in a file that another one refers to, ``data/obj.names``; None where there is no such file."""
    candidates = [place for base in (path.parent, Path.cwd()) for place in spellings(base, text)]
    found = Finder([path.parent]).tail(path_parts(text), len(path_parts(text)))
    file = next((place for place in [candidates[0], *([found] if found else []), *candidates] if _is_file(place)), None)
    entry = read_class_list(file) if file else None
    return entry.names if entry else None


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


# ---- finding --------------------------------------------------------------------------------------------------------


def declared_places(declared: Declared, split: str) -> Places:
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
    return Places(tuple(places), (*declared.notes, *notes))


def _find(declared: Declared, split: str, text: str) -> tuple[list[Path], list[Problem]]:
    """What a path stands for: as it is written, as a pattern, or its end, beside the file; and a note for the last."""
    folder = declared.path.parent
    roots = [place for base in (folder, Path.cwd()) for place in spellings(base, declared.root)]
    root = next((place for place in roots if is_there(place)), None)
    base = folder if root is None else root  # a folder that was moved, and its data.yaml with it
    here, working = spellings(base, text), spellings(Path.cwd(), text)
    if text.startswith(("../", "..\\")):  # exported with paths that leave the folder of the data.yaml by mistake
        here += spellings(base, text[3:])
    is_darknet = declared.path.suffix.lower() == ".data"  # where data/ means the dataset, whatever lies in ./data
    written = next(filter(is_there, here if is_darknet else here + working), None)
    if written is not None:
        return [written], [] if root is not None else [_note(declared, f"path: {declared.root}", folder)]
    matches = _matches(base, text)
    if matches:
        return matches, []
    tail = _tail(declared, split, text, root)
    if tail is not None:
        return [tail], [_note(declared, f"{split}: {text}", tail)]
    if root is None:
        raise not_found(roots, f"{declared.path}: `path: {declared.root}`", declared.hint)
    return [existing(here + working, f"{declared.path}: `{split}: {text}`", declared.hint)], []


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


def _note(declared: Declared, written: str, found: Path) -> Problem:
    message = f"`{written}` is not on this machine; {found} is taken for it"
    return Problem(str(declared.path), None, message, FOUND_ELSEWHERE, note=True)
