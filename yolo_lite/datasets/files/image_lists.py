"""The images of a folder, or of a list of files: one path a line."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.files.declared import FOUND_ELSEWHERE
from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES, Finder, is_there, may_drop, path_parts, spellings
from yolo_lite.datasets.files.text import UNREADABLE, decode_text, read_lines, split_lines
from yolo_lite.images.folders import contents, pictures_below
from yolo_lite.images.kinds import ARRAY_SUFFIX, IMAGE_SUFFIXES, advice

OTHER_ENCODINGS = ("gbk", "cp1252", "cp1251", "shift_jis", "euc_kr")  # of lists of files: the right one names files
FIRST_LINES = 50


class ListedImage(NamedTuple):
    """An image that a source names, and where it does."""

    path: str
    listed_in: str | None = None  # the .txt list that names it, and its line there
    line: int | None = None


class Images(NamedTuple):
    """The images of a folder or list."""

    images: list[ListedImage]
    passed_over: list[str]  # pictures of kinds that are not read
    notes: list[Problem]


def list_images(place: Path) -> Images:
    """The images of a folder (with those below it, sorted by path) or of a list (in its order).

    Raises:
        DatasetError: there are none; it says what was found instead.
    """
    if place.is_dir():
        images, passed_over = pictures_below(place)
        found = Images([ListedImage(path) for path in images], passed_over, [])
    elif place.suffix.lower() in (*IMAGE_SUFFIXES, ARRAY_SUFFIX):
        found = Images([ListedImage(str(place))], [], [])
    else:
        found = listed_images(place)
    if not found.images:
        kinds = ", ".join(sorted(set(map(advice, found.passed_over))))
        unread = f"; {len(found.passed_over)} of them pictures that are not read: {kinds}"
        raise DatasetError(f"{place}: no images there, but {contents(place)}{unread if found.passed_over else ''}")
    return found


def split_list(folder: Path, split: str) -> Path | None:
    """A train.txt with paths of images in it, and not the labels of train.jpg."""
    finder = Finder([folder])
    for name in SPLIT_NAMES[split]:
        path = finder.child(folder, f"{name}.txt")
        if path and path.is_file():
            lines = [text.strip().strip("\"'") for text in read_lines(path)[:FIRST_LINES] if text.strip()]
            if lines and all(_names_image(path, text) for text in lines):
                return path
    return None


def _names_image(list_file: Path, text: str) -> bool:
    return text.lower().endswith((*IMAGE_SUFFIXES, ARRAY_SUFFIX)) or any(
        map(_is_file, _written_places(list_file, text)[2:])
    )


def listed_images(list_file: Path, most: int | None = None) -> Images:
    """The lines of a list; relative ones start at the list's folder, or at the working folder.

    Where a line names a file of another machine, its end is looked for beside the list.
    """
    finder = Finder([list_file.parent, list_file.parent.parent])
    images: list[ListedImage] = []
    elsewhere: list[tuple[int, str, Path]] = []
    for line, texts in enumerate(_readings(list_file.read_bytes()), start=1):
        texts = [text.strip().strip("\"'") for text in texts]
        if not texts[0] or len(images) == most:
            continue
        written = [place for text in texts for place in _written_places(list_file, text)]
        path = next(filter(_is_file, written), None)
        if path is None:
            tails = (finder.tail(path_parts(text), may_drop(text, ())) for text in texts if path_parts(text))
            path = next((tail for tail in tails if tail and tail.is_file()), None)
            elsewhere += [(line, texts[0], path)] if path else []
        images.append(ListedImage(str(path or written[0]), str(list_file), line))
    return Images(images, [], _elsewhere_note(list_file, elsewhere))


def _written_places(list_file: Path, text: str) -> list[Path]:
    """What a line may mean: a path, from the list's folder or the working folder; a name in images; one without end."""
    written = [place for base in (list_file.parent, Path()) for place in spellings(base, text)]
    if Path(text).suffix.lower() not in (*IMAGE_SUFFIXES, ARRAY_SUFFIX):
        ends = [text + suffix for suffix in IMAGE_SUFFIXES[:3]]
        written += [place for end in ends for place in _written_places(list_file, end)]
    elif len(path_parts(text)) == 1:
        written.append(list_file.parent / "images" / text)
    return written


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()


def _elsewhere_note(list_file: Path, found: Sequence[tuple[int, str, Path]]) -> list[Problem]:
    if not found:
        return []
    line, text, path = found[0]
    more = f" ({len(found)} lines of this kind)" if len(found) > 1 else ""
    message = f"{text} is not on this machine; {path} is used instead{more}"
    return [Problem(str(list_file), line, message, FOUND_ELSEWHERE, note=True)]


def _readings(data: bytes) -> list[list[str]]:
    """Each line of a list, in each of the ways it can be read: names of files may be in the encoding of any system."""
    text = decode_text(data)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        if UNREADABLE in text:
            return [_guesses(line) for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")]
    return [[line] for line in split_lines(text)]


def _guesses(line: bytes) -> list[str]:
    texts = [os.fsdecode(line)]
    for encoding in OTHER_ENCODINGS:
        with contextlib.suppress(UnicodeDecodeError):
            texts.append(line.decode(encoding))
    return list(dict.fromkeys(texts))
