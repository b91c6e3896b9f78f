"""A large dataset as it was opened before, kept beside the label cache: opening it again looks at each file once.

A digest says what opening looks at: the folders of images and labels, the names in them, and of each file its size and
times of change in nanoseconds. While it is the same, so is the dataset, and its flat arrays are used as they are; where
anything differs, all files are matched and checked by the usual way. Kept is only what depends on nothing else: folders
with class names, whose images can all be read, with label files in the folders that mirror theirs.
"""

import contextlib
import hashlib
import json
import os
import time
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import torch

from yolo_lite.data.labels import LabelStore
from yolo_lite.data.report import Problem
from yolo_lite.datasets.files import label_cache
from yolo_lite.datasets.files.class_lists import CLASS_FILES
from yolo_lite.datasets.files.label_files import LabelFolders, Matched
from yolo_lite.datasets.files.label_rows import MAX_CLASSES, image_to_label_path
from yolo_lite.images import folders, kinds
from yolo_lite.writing import atomic_write

HEAD = 64  # bytes: digest of what opening looked at, digest of the rest
KEPT = ("images", "sizes", "objects", "cls", "boxes", "points", "polygons", "problems")  # of label_cache.FIELDS


class Opened(NamedTuple):
    """What opening the files of a dataset gives."""

    paths: list[str]
    sizes: np.ndarray  # (n, 2) int64 height, width
    labels: LabelStore
    problems: list[Problem]


class Before:
    """The dataset as it was opened before, if it is still the same.

    Args:
        places: its folders of images. label_folders: those of label files that should all belong to an image. roots:
            see match_label_files. settings: number of classes, keypoints and channels, as of the label cache.
    """

    def __init__(
        self, places: Sequence[Path], label_folders: Iterable[Path], roots: Sequence[Path], settings: Sequence[Any]
    ) -> None:
        self._started = time.time_ns()
        self._youngest = 0
        self._scanned: dict[str, list[str]] = {}  # real path of a folder -> names of the folders in it
        self._num_classes = settings[0] or MAX_CLASSES
        self._labels_file = label_cache.cache_file(places, settings)
        self._file: Path | None = None
        with contextlib.suppress(OSError, RuntimeError, ValueError, OverflowError):
            if settings[0] and self._labels_file and all(map(os.path.isdir, places)):
                self._digest = hashlib.sha256(json.dumps([settings, *map(str, places)]).encode())
                self._look(places, label_folders, LabelFolders(roots))
                self._file = self._labels_file.with_name(f"{_key([*places, *roots], settings)}.opened")

    def opened(self) -> Opened | None:
        """None where it was not opened before, or anything is different now."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            if self._file is not None:
                data = self._file.read_bytes()
                if data[:32] == self._seen() and data[32:HEAD] == hashlib.sha256(data[HEAD:]).digest():
                    return _unpacked(data[HEAD:], self._num_classes)
        return None

    def keep(self, opened: Opened) -> None:
        """For the next time. A file that has just changed may change again at the same time: then nothing is kept."""
        is_small = len(opened.paths) < label_cache.LEAST
        if is_small or self._file is None or self._youngest >= self._started - label_cache.YOUNG:
            return
        body = _packed(opened)
        with contextlib.suppress(OSError):  # no label cache, a full or read-only disk
            atomic_write(self._file, self._seen() + hashlib.sha256(body).digest() + body, flush=False)

    def _seen(self) -> bytes:
        """What opening looked at, and the file of the label cache: where that is damaged or gone, all is read again."""
        if self._labels_file is None:
            raise FileNotFoundError("no folder for caches")
        stat, digest = self._labels_file.stat(), self._digest.copy()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}".encode())
        return digest.digest()

    def _look(self, places: Sequence[Path], label_folders: Iterable[Path], finder: LabelFolders) -> None:
        for parent in [parent for place in places for parent in self._walk(str(place))]:
            beside = finder.folders(os.path.join(parent, "any.jpg"))  # where labels may lie, and are there
            self._note(parent, *beside)
            for folder in beside:
                self._scan(os.path.realpath(folder))
        for folder in map(str, label_folders):
            actual = finder.actual(folder) if finder.is_inside(folder) else None
            self._note(folder, actual or "")
            for parent in self._walk(actual) if actual else ():
                self._note(parent)

    def _walk(self, top: str) -> list[str]:
        """The folders that images.folders walks through, each scanned."""
        waiting, seen, found = [top], set(), []
        while waiting:
            parent = waiting.pop()
            real = os.path.realpath(parent)
            self._note(parent, real)
            if real not in seen:
                seen.add(real)
                found.append(parent)
                waiting += [os.path.join(parent, name) for name in self._scan(real) if not name.startswith(".")]
        return found

    def _scan(self, real: str) -> list[str]:
        """Notes the names in a folder and what its files are like, once; returns the names of the folders in it."""
        if real in self._scanned:
            return self._scanned[real]
        inside: list[str] = []
        files: list[tuple[str, *label_cache.Stamp]] = []
        with os.scandir(real) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        inside.append(entry.name)
                        continue
                    stat = os.stat(entry.path) if os.name == "nt" else entry.stat()  # Windows' may be of before
                    files.append((entry.name, *label_cache.stamp_of(stat)))
                except OSError:  # a link to nothing
                    files.append((entry.name, -1, 0, 0, 0))
        inside.sort()
        files.sort()
        names, *stamps = zip(*files, strict=True) if files else ((), (), (), ())
        self._note(real, *inside)
        self._note(*names)
        for values in stamps:
            self._digest.update(array("q", values))
        self._youngest = max(self._youngest, *stamps[1], 0)
        self._scanned[real] = inside
        return inside

    def _note(self, *texts: str) -> None:
        joined = "\0".join((str(len(texts)), *texts, ""))
        self._digest.update(joined.encode("utf-8", "surrogateescape"))


def depends_on_its_folders(images: Sequence[str], labels: Matched) -> bool:
    """Whether no other file has a say in what opening gives: no label files without an image, none of other folders."""
    if not any(labels.paths) or any(os.path.basename(path).lower() not in CLASS_FILES for path in labels.unused):
        return False
    pairs = zip(images, labels.paths, strict=True)
    together = {(os.path.dirname(image), os.path.dirname(label)) for image, label in pairs if label}
    return all(
        os.path.dirname(image_to_label_path(os.path.join(image, "any.jpg"))) == label for image, label in together
    )


def _key(places: Sequence[Path], settings: Sequence[Any]) -> str:
    """Of these folders as they are written, opened by these rules."""
    digest = hashlib.sha256(json.dumps([settings, os.getcwd(), *map(str, places)]).encode())
    rules = [Path(str(module.__file__)) for module in (*label_cache.RULES, folders, kinds)]
    for path in (*rules, *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _packed(opened: Opened) -> bytes:
    labels = opened.labels
    columns = {
        "images": np.frombuffer("\0".join(opened.paths).encode("utf-8", "surrogateescape"), np.uint8),
        "sizes": np.ascontiguousarray(opened.sizes),
        "objects": labels.objects_per_image,
        "cls": labels.cls.numpy(),
        "boxes": labels.boxes.numpy(),
        "points": np.diff(labels.polygon_start.numpy()),
        "polygons": labels.polygon_points.numpy(),
        "problems": np.frombuffer(json.dumps(opened.problems).encode(), np.uint8),
    }
    return safetensors.numpy.save(columns)


def _unpacked(data: bytes, num_classes: int) -> Opened:
    """What _packed gave.

    Raises:
        ValueError, KeyError, TypeError: something else.
    """
    tensors = label_cache.checked_tensors(data, KEPT, num_classes)
    paths = tensors["images"].tobytes().decode("utf-8", "surrogateescape").split("\0")
    if not len(paths) == len(tensors["sizes"]) == len(tensors["objects"]):
        raise ValueError("the numbers of images contradict each other")
    problems = [Problem(*problem) for problem in json.loads(tensors["problems"].tobytes())]
    starts = [torch.from_numpy(np.append(0, np.cumsum(tensors[name]))) for name in ("objects", "points")]
    cls, boxes, polygons = (torch.from_numpy(tensors[name]) for name in ("cls", "boxes", "polygons"))
    return Opened(paths, tensors["sizes"], LabelStore(starts[0], cls, boxes, starts[1], polygons), problems)
