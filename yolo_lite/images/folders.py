"""What lies in a folder: pictures, pictures of kinds that are not read, other files."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from yolo_lite.images.kinds import (
    ARRAY_SUFFIX,
    IMAGE_SUFFIXES,
    UNFINISHED_SUFFIXES,
    UNREAD_SUFFIXES,
    VIDEO_SUFFIXES,
    advice,
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


class FoundFile(NamedTuple):
    """A picture or video."""

    path: str
    folder: str = ""  # in which it was found; empty where it was named itself, or by a pattern


class FoundFiles(NamedTuple):
    """What a file, a folder or a pattern stands for."""

    files: list[FoundFile]  # pictures and videos, sorted by path
    passed_over: list[str]  # pictures of kinds that are not read


def find_files(pattern: str) -> FoundFiles:
    """The pictures and videos that a file (whatever its name), a folder (with those in it) or a pattern stands for.

    Raises:
        FileNotFoundError: no such file, a pattern that nothing matches, or a folder without pictures.
    """
    if not pattern.strip():  # Path("") would be the working folder
        raise FileNotFoundError(
            f"{pattern!r} is not the name of a file: give a file, a folder (. for this one) or a pattern"
        )
    matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
    found: dict[str, FoundFile] = {}  # by path: a folder may match, and what is in it
    arrays: list[str] = []
    unread: list[str] = []
    for match in matches:
        if os.path.isdir(match):
            below = pictures_below(match)
            videos = [path for path in below.passed_over if path.lower().endswith(VIDEO_SUFFIXES)]
            found |= {path: FoundFile(path, match) for path in below.images + videos if path not in found}
            unread += [path for path in below.passed_over if path not in videos]
        elif match == pattern or match.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)):
            found.setdefault(match, FoundFile(match))
        elif match.lower().endswith(ARRAY_SUFFIX):
            arrays.append(match)
        elif is_passed_over(match):
            unread.append(match)
    pictures = [path for path in found if not path.lower().endswith((*VIDEO_SUFFIXES, ARRAY_SUFFIX))]
    if pictures and not pattern.lower().endswith(ARRAY_SUFFIX):
        unread += _no_copies(arrays, pictures)
    else:  # as in a folder: see pictures_below
        found |= {path: FoundFile(path) for path in arrays if path not in found}
    if not found:
        reason = "no images in it" if matches else "no such file or folder, and no file matches it"
        raise FileNotFoundError(f"{pattern}: {reason}" + (f", but {describe_passed_over(unread)}" if unread else ""))
    return FoundFiles([found[path] for path in _sorted(found)], list(dict.fromkeys(unread)))


def describe_passed_over(paths: Sequence[str], shown: int = 5) -> str:
    """The sentence about pictures of kinds that are not read.

    >>> describe_passed_over(["a.HEIC", "b.heic"])
    '2 pictures passed over (2 .heic): a.HEIC, b.heic; convert it to JPEG'
    """
    kinds = Counter(PurePath(path).suffix.lower() or "no suffix" for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    number = f"{len(paths)} picture{'s' * (len(paths) > 1)}"
    named = ", ".join(paths[:shown]) + " ..." * (len(paths) > shown)
    return f"{number} passed over ({counts}): {named}; {', '.join(dict.fromkeys(map(advice, paths)))}"


def pictures_below(folder: str | Path) -> Pictures:
    """All pictures in a folder and those below it; hidden files and folders are left out, linked folders followed.

    ``.npy`` files are pictures where there are no others. Beside others, those of a picture's name are copies that
    programs keep there; the rest is passed over.
    """
    images: list[str] = []
    arrays: list[str] = []
    passed_over: list[str] = []
    for path in _walk(folder):
        suffix = os.path.splitext(path)[1].lower()
        if suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif suffix == ARRAY_SUFFIX:
            arrays.append(path)
        elif is_passed_over(path):
            passed_over.append(path)
    if images:
        passed_over += _no_copies(arrays, images)
    return Pictures(_sorted(images or arrays), _sorted(passed_over))


def _no_copies(arrays: Iterable[str], images: Iterable[str]) -> list[str]:
    """The ``.npy`` files that do not have the name of a picture beside them."""
    stems = {os.path.splitext(path)[0] for path in images}
    return [path for path in arrays if os.path.splitext(path)[0] not in stems]


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


def _sorted(paths: Iterable[str]) -> list[str]:
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
