"""Finds image files by the names that annotation files give them, on this machine or on another.

Exports name pictures as they were called where they were annotated: with folders of another machine, as an address
with a query, with encoded spaces, with Windows' backslashes, in other letter case. The name as it is written comes
first; where nothing is called so, its last part is looked for.
"""

import filecmp
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES
from yolo_lite.images.folders import files_below
from yolo_lite.images.kinds import IMAGE_SUFFIXES

IMAGE_FOLDERS = ("images", "jpegimages", "image", "imgs", "img", "pictures", "photos", "data")  # in lower case


class Match(NamedTuple):
    """An image file that was found."""

    path: Path
    name: PurePosixPath  # what it will be called, below images/<split>
    exact: bool  # False: only the last part of its name was found


class ImageIndex:
    """The image files of a folder, and unless ``deep`` is False those below it, by name with and without suffix."""

    def __init__(self, folder: Path, deep: bool = True) -> None:
        self.folder = folder
        self.files = [Path(path) for path in files_below(folder, IMAGE_SUFFIXES)] if deep else _images_in(folder)
        self._names: dict[str, list[Path]] = defaultdict(list)
        self._stems: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            self._names[folded(path.name)].append(path)
            self._stems[folded(path.stem)].append(path)

    def named(self, name: str) -> list[Path]:
        """Files of this name, whatever its letter case; better those in the same case."""
        found = self._names.get(folded(name), [])
        return [path for path in found if path.name == name] or found

    def with_stem(self, stem: str) -> list[Path]:
        """Files of this name, whatever their suffix and letter case."""
        found = self._stems.get(folded(stem), [])
        return [path for path in found if path.stem == stem] or found


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


class ImageFinder:
    """Finds the images of an annotation file that names them.

    Args:
        annotations: the annotation file.
        split: what it becomes; folders of that name are searched first.
        folder: where to look; None: the usual places around the annotation file.
    """

    def __init__(self, annotations: Path, split: str, folder: str | Path | None) -> None:
        bases = [Path(folder)] if folder is not None else [annotations.parent, annotations.parent.parent]
        of_split = dict.fromkeys([annotations.stem.rsplit("_", 1)[-1], *SPLIT_NAMES[split]])  # instances_val2017.json
        inner = dict.fromkeys(["", *of_split, *(f"images/{name}" for name in of_split), "images"])
        self.roots = [base / name for base in bases for name in inner if (base / name).is_dir()]
        self.places = " or ".join(str(base) for base in bases)
        # Everything below these, but not below the folder around the annotation file's: that may be anything.
        narrow_first = sorted((name for name in inner if name), key=lambda name: name == "images")
        searched = [base / name for name in narrow_first for base in bases] + bases[:1]
        self._searched = [place for place in dict.fromkeys(searched) if place.is_dir()]
        self._indices: dict[Path, ImageIndex] = {}

    def find(self, name: str) -> Match | None:
        """The image file of that name; None where there is none.

        Raises:
            ValueError: several files have it.
        """
        spellings = dict.fromkeys([name, name.replace("\\", "/")])
        for position, root in enumerate(self.roots):
            for spelling in spellings:
                if os.path.isfile(root / spelling):  # False, too, for a name that no file can have
                    self.roots.insert(0, self.roots.pop(position))  # it is asked first next time
                    return Match(root / spelling, below(name), True)
        return self._by_last_part(name)

    def _by_last_part(self, name: str) -> Match | None:
        for reading in readings(name):
            for place in self._searched:
                index = self._indices.get(place) or self._indices.setdefault(place, ImageIndex(place))
                named = index.named(reading.name) or ([] if reading.suffix else index.with_stem(reading.name))
                found = distinct(nearest(named, reading.parent))
                if len(found) > 1:
                    raise ValueError(f"several files are called {reading.name}: {', '.join(map(str, found[:4]))}")
                if found:
                    return Match(found[0], PurePosixPath(found[0].relative_to(place).as_posix()), False)
        return None


def readings(name: str) -> list[PurePosixPath]:
    """What a name from another machine may mean, the likeliest first; each ends in the name of a file.

    >>> [str(path) for path in readings("https://host/a%20b.jpg?size=9")]
    ['https:/host/a%20b.jpg', 'https:/host/a b.jpg', 'https:/host/a%20b.jpg?size=9']
    >>> [str(path) for path in readings("/data/local-files/?d=cats/1.jpg")]
    ['cats/1.jpg', '/data/local-files/?d=cats/1.jpg']
    """
    address, _, query = name.replace("\\", "/").partition("?")
    values = [unquote_plus(part.partition("=")[2]).replace("\\", "/") for part in query.split("&")]
    texts = [] if address.endswith("/") else [address, unquote(address), unquote(unquote(address))]
    texts += [value for value in values if value.lower().endswith(IMAGE_SUFFIXES)]
    texts.append(name.replace("\\", "/"))
    return [path for path in map(PurePosixPath, dict.fromkeys(texts)) if path.name]


def nearest(paths: Sequence[Path], folder: PurePosixPath | Path) -> list[Path]:
    """Of several files of one name, those whose folders agree best with the ones wanted, from the last one upwards."""
    if len(paths) < 2:
        return list(paths)
    agreeing = [_shared_end(path.parent.parts, folder.parts) for path in paths]
    return [path for path, count in zip(paths, agreeing, strict=True) if count == max(agreeing)]


def distinct(paths: Sequence[Path]) -> list[Path]:
    """Those of some files that differ: of copies and links, the first, as it does not matter which is taken."""
    kept: list[Path] = []
    for path in paths:
        if not any(filecmp.cmp(path, other, shallow=False) for other in kept):
            kept.append(path)
    return kept


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for first, second in zip(reversed(one), reversed(other), strict=False):
        if folded(first) != folded(second):
            break
        count += 1
    return count


def folded(text: str) -> str:
    """A file name as disks compare that do not tell A from a, nor a letter with an accent from the two together."""
    return unicodedata.normalize("NFC", text).casefold()


def below(name: str) -> PurePosixPath:
    """A file name from a dataset, as a path that stays below a folder; subfolders are kept.

    >>> below("images/a.jpg"), below("C:\\\\data\\\\b.jpg"), below("../../c.jpg")
    (PurePosixPath('images/a.jpg'), PurePosixPath('b.jpg'), PurePosixPath('c.jpg'))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    is_local = not path.is_absolute() and ".." not in path.parts and ":" not in name.partition("/")[0]
    return path if is_local else PurePosixPath(path.name)


def split_of(folders: Iterable[str]) -> str | None:
    """The split that a folder on the way to a file is named for: train, valid, val2017, testing ...

    >>> split_of(["VOC", "valid", "labels"]), split_of(["training2017"]), split_of(["photos"])
    ('val', 'train', None)
    """
    for folder in folders:
        word = folder.lower().rstrip("0123456789")
        for split, names in SPLIT_NAMES.items():
            if word in names:
                return split
    return None
