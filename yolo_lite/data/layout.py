"""Where a dataset's images are: data.yaml, a folder, or a list of files.

Nothing is read here but the data.yaml, the lists and the class names; nothing is written or fetched.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from yolo_lite.data.images import IMAGE_SUFFIXES
from yolo_lite.data.report import DatasetError

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
CLASS_FILES = ("classes.txt", "obj.names")


class ListedImage(NamedTuple):
    """An image that a source names, and where it does."""

    path: str
    listed_in: str | None = None  # the .txt list that names it, and its line there
    line: int | None = None


class Layout(NamedTuple):
    """What was found under a source."""

    places: tuple[Path, ...]  # folders of images, and .txt lists
    names: tuple[str, ...] | None  # None: the source does not say


def find_layout(source: str | Path | Sequence[str | Path], split: str) -> Layout:
    """A source (see open_source) -> its folders and lists for one split, and its class names.

    Raises:
        FileNotFoundError: a path that is not there. DatasetError: a data.yaml or folder without what is needed.
    """
    if split not in SPLIT_NAMES:
        raise DatasetError(f"split {split!r} is unknown: choose one of {', '.join(SPLIT_NAMES)}")
    if not isinstance(source, str | Path):
        parts = [find_layout(part, split) for part in source]
        names = {part.names for part in parts if part.names}
        if len(names) > 1:
            raise DatasetError(f"the sources disagree about the class names: {' and '.join(map(str, names))}")
        return Layout(tuple(place for part in parts for place in part.places), names.pop() if names else None)
    path = _existing([Path(source).expanduser()], "dataset")
    if path.is_dir():
        return _from_folder(path, split)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _from_yaml(path, split)
    if path.suffix.lower() == ".txt":
        return Layout((path,), None)
    raise DatasetError(f"{path}: a dataset is a data.yaml, a folder, a .txt list of images, 'shapes' or 'photos'")


def list_images(place: Path) -> list[ListedImage]:
    """The images of a folder (with those below it, sorted by path) or of a list (in its order).

    Raises:
        DatasetError: there are none; it says what was found instead.
    """
    images = _listed(place) if place.is_file() else [ListedImage(path) for path in files_below(place, IMAGE_SUFFIXES)]
    if not images:
        raise DatasetError(f"{place}: no images there, but {_contents(place)}")
    return images


def files_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """All files with one of these suffixes, sorted; hidden ones are left out, linked folders are followed."""
    found: list[str] = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                found.append(os.path.join(parent, name))
    return sorted(found, key=lambda path: Path(path).parts)


def _listed(list_file: Path) -> list[ListedImage]:
    """The lines of a list; relative ones start at the list's folder, or else at the working folder."""
    images = []
    for line, text in enumerate(list_file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not text.strip():
            continue
        candidates = [path for base in (list_file.parent, Path()) for path in _spellings(base, text.strip())]
        path = next((path for path in candidates if path.is_file()), candidates[0])
        images.append(ListedImage(str(path), str(list_file), line))
    return images


def _spellings(base: Path, text: str) -> list[Path]:
    """A path as it is written, and with Windows' backslashes turned."""
    return [base / Path(spelling).expanduser() for spelling in dict.fromkeys((text, text.replace("\\", "/")))]


def _from_yaml(path: Path, split: str) -> Layout:
    content = _read_yaml(path)
    names = _names(path, content)
    if names is None:
        raise DatasetError(f"{path}: no class names; add a line such as `names: [cat, dog]`, in the order of the ids")
    value = _split_value(content, split)
    if value is None:
        given = [key for key in SPLIT_NAMES if _split_value(content, key) is not None]
        raise DatasetError(f"{path}: no `{split}:` in it; it has {', '.join(given) or 'neither train, val nor test'}")
    root = _root(path, content)
    parts = value if isinstance(value, list) else [value]
    places = []
    for part in parts:
        candidates = _spellings(root, str(part))
        if str(part).startswith("../"):  # exported with paths that leave the folder of the data.yaml by mistake
            candidates += _spellings(root, str(part)[3:])
        candidates += _spellings(Path.cwd(), str(part))
        hint = " (it names a download; nothing is fetched unasked)" if "download" in content else ""
        places.append(_existing(candidates, f"{path}: `{split}: {part}`", hint))
    return Layout(tuple(places), names)


def _read_yaml(path: Path) -> dict[str, Any]:
    """Every value stays the text it is: a class called `no` or `1.0` keeps its name."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected `train:`, `val:` and `names:`, found {type(content).__name__}")
    return {key: value for key, value in content.items() if value not in ("", "null", "~", [], {})}


def _split_value(content: dict[str, Any], split: str) -> str | list[str] | None:
    for key in SPLIT_NAMES[split]:
        if key in content:
            return content[key]
    return None


def _root(path: Path, content: dict[str, Any]) -> Path:
    text = str(content.get("path", "."))
    candidates = [place for base in (path.parent, Path.cwd()) for place in _spellings(base, text)]
    if Path(text).is_absolute():
        candidates.append(path.parent)  # the folder was moved, and its data.yaml with it
    return _existing(candidates, f"{path}: `path: {text}`")


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
                f"{path}: `names` has {len(names)} entries but none for class {missing[0]}: count from 0"
            )
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: `names` must be a list, [cat, dog], or numbered, {{0: cat, 1: dog}}")
    if count is not None and int(count) != len(names):
        raise DatasetError(f"{path}: `nc: {count}` but {len(names)} names: correct one of them, or leave nc out")
    return tuple(names)


def _from_folder(folder: Path, split: str) -> Layout:
    """A folder: its data.yaml if that names the split, else images/train, train/images, train, images or itself."""
    names = _names_in(folder)
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")], key=lambda path: path.stem != "data"):
        content = _read_yaml(path)
        if _split_value(content, split) is not None:
            return _from_yaml(path, split)
        names = names or _names(path, content)
    given = {key: _split_folder(folder, key) for key in SPLIT_NAMES}
    place = given[split]
    if place is None and any(given.values()):
        found = ", ".join(f"{key} ({path})" for key, path in given.items() if path)
        raise DatasetError(f"{folder}: no folder for the split {split!r}; found {found}")
    if place is None:
        place = folder / "images" if (folder / "images").is_dir() else folder
    return Layout((place,), names)


def _split_folder(folder: Path, split: str) -> Path | None:
    for name in SPLIT_NAMES[split]:
        for place in (folder / "images" / name, folder / name / "images", folder / name):
            if place.is_dir():
                return place
    return None


def _names_in(folder: Path) -> tuple[str, ...] | None:
    for path in (base / name for base in (folder, folder / "labels") for name in CLASS_FILES):
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            return tuple(line.strip() for line in lines if line.strip()) or None
    return None


def _existing(candidates: Iterable[Path], what: str, hint: str = "") -> Path:
    """The first path that exists.

    Raises:
        FileNotFoundError: none does; names all of them, and what is in the nearest folder above the first.
    """
    candidates = list(candidates)
    for path in candidates:
        if path.exists():
            return path
    tried = list(dict.fromkeys(os.path.normpath(path) for path in candidates))
    above = next(parent for parent in Path(tried[0]).absolute().parents if parent.is_dir())
    raise FileNotFoundError(f"{what}: there is no {' and no '.join(tried)}; {above} has {_contents(above)}{hint}")


def _contents(place: Path, shown: int = 8) -> str:
    """What a folder holds, in words."""
    if place.is_file():
        return f"only blank lines ({place.stat().st_size} bytes)"
    entries = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
    folders = [entry.name for entry in entries if entry.is_dir()]
    suffixes = Counter(entry.suffix or "(no suffix)" for entry in entries if entry.is_file())
    parts = [f"{count} {suffix} file{'s' * (count > 1)}" for suffix, count in suffixes.most_common(shown)]
    if folders:
        parts.append(f"the folders {', '.join(folders[:shown])}{' ...' * (len(folders) > shown)}")
    return ", ".join(parts) or "nothing in it"
