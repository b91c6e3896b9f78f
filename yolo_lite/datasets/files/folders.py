"""What lies in a folder: pictures, pictures of kinds that are not read, other files."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from yolo_lite.images.kinds import (
    IMAGE_SUFFIXES,
    UNFINISHED_SUFFIXES,
    UNREAD_SUFFIXES,
    looks_like_image,
)

# Files that lie beside pictures and are not pictures: not opened to find out.
OTHER_SUFFIXES = (
    *(".txt", ".xml", ".json", ".yaml", ".yml", ".csv", ".md", ".py", ".ipynb", ".html", ".log", ".pdf", ".ini", ".db"),
    *(".names", ".data", ".cfg", ".labels", ".cache", ".npy", ".npz", ".pkl", ".pt", ".zip", ".gz", ".tar", ".sh"),
)


class Pictures(NamedTuple):
    """The pictures below a folder, sorted by path."""

    images: list[str]
    passed_over: list[str]  # pictures by their name or their first bytes, of kinds that are not read


def pictures_below(folder: str | Path) -> Pictures:
    """All pictures in a folder and those below it; hidden files and folders are left out, linked folders followed."""
    images: list[str] = []
    passed_over: list[str] = []
    for path in _walk(folder):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif is_passed_over(path):
            passed_over.append(path)
    return Pictures(_sorted(images), _sorted(passed_over))


def is_passed_over(path: str | Path) -> bool:
    """Whether a file is a picture of a kind that is not read, by its name or its first bytes."""
    stem, suffix = os.path.splitext(str(path).lower())
    is_unfinished = suffix in UNFINISHED_SUFFIXES and stem.endswith(IMAGE_SUFFIXES)
    return (
        suffix in UNREAD_SUFFIXES
        or is_unfinished
        or (suffix not in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES) and looks_like_image(path))
    )


def files_below(folder: str | Path, suffixes: Sequence[str]) -> list[str]:
    """All files with one of these suffixes, sorted; see pictures_below."""
    return _sorted(path for path in _walk(folder) if path.lower().endswith(tuple(suffixes)))


def _sorted(paths: Iterator[str] | list[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.split(os.sep))  # folder by folder


def _walk(folder: str | Path) -> Iterator[str]:
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in files if not name.startswith("."))


def contents(place: Path, shown: int = 8) -> str:
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
