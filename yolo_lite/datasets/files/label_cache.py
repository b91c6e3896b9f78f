"""What was read of the files of a large dataset, kept in the user's cache folder: opening it again is much quicker.

An entry is used while its file has the size and the times of change (content and status, in nanoseconds) that it had
before it was read; a file that changed less than two seconds before is not kept, as another change may have the same
time. One file of tensors for each set of folders and lists, with its own checksum: what is torn, foreign or implausible
is passed over, and replaced. YOLOv5: `labels.cache`, a pickle in the user's folder.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import safetensors.numpy

from yolo_lite.data.cache import user_cache_dir
from yolo_lite.data.labels import ImageLabels
from yolo_lite.data.report import Problem
from yolo_lite.datasets.files import label_rows, text
from yolo_lite.datasets.files.file_lock import file_lock
from yolo_lite.datasets.files.label_rows import MAX_CLASSES, parse_label_file
from yolo_lite.images import arrays, bands, headers, reading, tiff, whole
from yolo_lite.images.bands import channels_size
from yolo_lite.images.headers import Size
from yolo_lite.writing import atomic_write

LEAST = 1000  # images; fewer are read in no time
YOUNG = 2 * 10**9  # ns: coarse clocks of file systems give later changes the same time
RULES = (label_rows, text, headers, reading, bands, arrays, tiff, whole)  # what was read by other rules is read again
FIELDS = {  # name -> type of the values, and how many to a row
    "images": (np.uint8, 0),  # paths, with zeros between
    "image_stamps": (np.int64, 4),  # size in bytes, time of change, time of change of the status, number of the file
    "sizes": (np.int64, 2),  # height, width
    "labels": (np.uint8, 0),
    "label_stamps": (np.int64, 4),
    "objects": (np.int64, 0),  # how many each label file has
    "cls": (np.int64, 0),
    "boxes": (np.float32, 4),
    "points": (np.int64, 0),  # of each object's polygon
    "polygons": (np.float32, 2),
    "problems": (np.uint8, 0),  # JSON: [place of the label file, line, message, kind, note] of each
}
Stamp = tuple[int, int, int, int]
LARGEST = 2**63 - 1  # that an int64 holds
Value = TypeVar("Value")


class Labels(NamedTuple):
    """A label file, read."""

    labels: ImageLabels
    problems: tuple[Problem, ...]


class LabelCache:
    """Reads sizes and label files, each once as long as it stays the same.

    Args:
        places: the folders and lists of the dataset. num_classes, keypoints: see parse_label_file.
        num_images: a small dataset is not kept. channels: of the images, see channels_size.
    """

    def __init__(
        self,
        places: Iterable[Path],
        num_classes: int | None = None,
        keypoints: tuple[int, int] | None = None,
        num_images: int = 0,
        channels: int = 3,
    ) -> None:
        self.num_classes, self.keypoints, self.channels = num_classes, keypoints, channels
        settings = [num_classes, keypoints, channels]
        self._file = cache_file(places, settings) if num_images >= LEAST else None
        self._folder = os.getcwd()
        self._sizes: dict[str, tuple[Stamp, Size]] = {}
        self._labels: dict[str, tuple[Stamp, Labels]] = {}
        self._has_news = False

    @contextlib.contextmanager
    def open(self, images: Sequence[str]) -> Iterator[None]:
        """What is known of these images is used inside, and what was read anew is kept afterwards.

        Of several processes that would read the same files, one does; the others wait for it and use what it has read.
        """
        if self._file is None:
            yield
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
        self._load()
        sample = images[:: len(images) // 500 + 1]
        known = sum(self._known(self._sizes, path, self._stamp(path)) is not None for path in sample)
        is_old = known < 0.98 * len(sample)
        with file_lock(self._file.with_suffix(".lock")) if is_old else contextlib.nullcontext():
            if is_old:
                self._load()  # what another process has read in the meantime
            yield
            if self._has_news:
                with contextlib.suppress(OSError):  # a full or read-only disk: without it, then
                    atomic_write(self._file, _packed(self._sizes, self._labels), flush=False)

    def size(self, path: str) -> Size:
        """See channels_size."""
        stamp = self._stamp(path)
        known = self._known(self._sizes, path, stamp)
        if known is None:
            known = channels_size(path, self.channels)
            self._keep(self._sizes, path, stamp, known)
        return known

    def labels(self, path: str) -> Labels:
        """See parse_label_file."""
        stamp = self._stamp(path)
        known = self._known(self._labels, path, stamp)
        if known is None:
            labels, found = parse_label_file(path, self.num_classes, self.keypoints)
            known = Labels(labels, tuple(found))
            self._keep(self._labels, path, stamp, known)
        if not known.problems:
            return known
        return known._replace(problems=tuple(problem._replace(path=path) for problem in known.problems))

    def _known(self, entries: dict[str, tuple[Stamp, Value]], path: str, stamp: Stamp | None) -> Value | None:
        """The entry of a file that is as it was; None where there is none."""
        found = entries.get(self._key(path))
        return found[1] if found and found[0] == stamp else None

    def _keep(self, entries: dict[str, tuple[Stamp, Value]], path: str, stamp: Stamp | None, value: Value) -> None:
        if stamp is not None and stamp[1] < time.time_ns() - YOUNG:
            entries[self._key(path)] = stamp, value
            self._has_news = True

    def _key(self, path: str) -> str:
        return path if os.path.isabs(path) else os.path.join(self._folder, path)

    def _stamp(self, path: str) -> Stamp | None:
        """None where nothing is kept, or the file is not there."""
        if self._file is None:
            return None
        try:
            stat = os.stat(path)
        except (OSError, ValueError):  # reading it says what is wrong
            return None
        return stamp_of(stat)

    def _load(self) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            if self._file is not None:
                self._sizes, self._labels = _unpacked(self._file.read_bytes(), self.num_classes or MAX_CLASSES)


def cache_file(places: Iterable[Path], settings: Sequence[Any]) -> Path | None:
    """The file for these folders and lists, read so; None where the user has no cache folder."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for place in places:
        digest.update(os.fsencode(os.path.abspath(place)) + b"\0")
    try:
        for rules in RULES:
            digest.update(Path(str(rules.__file__)).read_bytes())
        folder = user_cache_dir() / "labels"
    except (OSError, RuntimeError):
        return None
    return folder / f"{digest.hexdigest()[:32]}.labels"


def _packed(sizes: dict[str, tuple[Stamp, Size]], labels: dict[str, tuple[Stamp, Labels]]) -> bytes:
    """The entries as safetensors, their SHA-256 before them."""
    read = [value.labels for _, value in labels.values()]
    polygons = [polygon for image in read for polygon in image.polygons]
    problems = [
        [place, problem.line, problem.message, problem.kind, problem.note]
        for place, (_, value) in enumerate(labels.values())
        for problem in value.problems
    ]
    columns: dict[str, Any] = {
        "images": np.frombuffer(b"\0".join(map(_encoded, sizes)), np.uint8),
        "image_stamps": [stamp for stamp, _ in sizes.values()],
        "sizes": [size for _, size in sizes.values()],
        "labels": np.frombuffer(b"\0".join(map(_encoded, labels)), np.uint8),
        "label_stamps": [stamp for stamp, _ in labels.values()],
        "objects": [len(image.cls) for image in read],
        "cls": np.concatenate([np.zeros(0, np.int64), *(image.cls for image in read)]),
        "boxes": np.concatenate([np.zeros((0, 4), np.float32), *(image.boxes for image in read)]),
        "points": [0 if polygon is None else len(polygon) for polygon in polygons],
        "polygons": np.concatenate([np.zeros((0, 2), np.float32), *(p for p in polygons if p is not None)]),
        "problems": np.frombuffer(json.dumps(problems).encode(), np.uint8),
    }
    tensors = {
        name: np.ascontiguousarray(np.asarray(columns[name], kind).reshape(-1, *([width] if width else [])))
        for name, (kind, width) in FIELDS.items()
    }
    body = safetensors.numpy.save(tensors)
    return hashlib.sha256(body).digest() + body


def _unpacked(data: bytes, num_classes: int) -> tuple[dict[str, tuple[Stamp, Size]], dict[str, tuple[Stamp, Labels]]]:
    """What _packed gave.

    Raises:
        ValueError, KeyError, TypeError: something else.
    """
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError("not a file of labels, or damaged")
    tensors = checked_tensors(data[32:], tuple(FIELDS), num_classes)
    images, labels = _paths(tensors["images"]), _paths(tensors["labels"])
    sizes = map(Size._make, tensors["sizes"].tolist())
    problems: dict[int, list[Problem]] = {}
    for place, line, message, kind, note in json.loads(tensors["problems"].tobytes()):
        problem = Problem("", None if line is None else int(line), str(message), str(kind), bool(note))
        problems.setdefault(int(place), []).append(problem)
    read = (Labels(of_image, tuple(problems.get(place, ()))) for place, of_image in enumerate(_image_labels(tensors)))
    return (
        dict(zip(images, zip(map(_stamp, tensors["image_stamps"].tolist()), sizes, strict=True), strict=True)),
        dict(zip(labels, zip(map(_stamp, tensors["label_stamps"].tolist()), read, strict=True), strict=True)),
    )


def checked_tensors(body: bytes, names: Sequence[str], num_classes: int) -> dict[str, np.ndarray]:
    """The tensors of a file, each as FIELDS says.

    Raises:
        ValueError, KeyError: they are not, or implausible.
    """
    try:
        tensors = safetensors.numpy.load(body)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    for name in names:
        kind, width = FIELDS[name]
        if tensors[name].dtype != kind or tensors[name].shape[1:] != ((width,) if width else ()):
            raise ValueError(f"{name} is {tensors[name].shape} {tensors[name].dtype}")
    _require_plausible(tensors, num_classes)
    return tensors


def _require_plausible(tensors: dict[str, np.ndarray], num_classes: int) -> None:
    """Raises ValueError for counts that contradict each other, and values that no label file can give."""
    counts = [(tensors[name].min(initial=0), tensors[name].sum()) for name in ("objects", "points")]
    rows = [len(tensors["cls"]), len(tensors["polygons"])]
    agree = len(tensors["cls"]) == len(tensors["boxes"]) == len(tensors["points"])
    fractions = np.concatenate((tensors["boxes"].ravel(), tensors["polygons"].ravel()))
    if not agree or [total for _, total in counts] != rows or min(least for least, _ in counts) < 0:
        raise ValueError("the numbers of objects and points contradict each other")
    if not ((fractions >= 0) & (fractions <= 1)).all() or (tensors["boxes"][:, 2:] <= 0).any():
        raise ValueError("a coordinate is not a fraction, or a box has no area")
    if tensors["sizes"].min(initial=1) < 1 or not 0 <= tensors["cls"].min(initial=0) <= tensors["cls"].max(initial=0):
        raise ValueError("an image without a pixel, or a negative class")
    if tensors["cls"].max(initial=0) >= num_classes:
        raise ValueError("a class beyond the last")


def _image_labels(tensors: dict[str, np.ndarray]) -> Iterator[ImageLabels]:
    """The objects of each label file."""
    cls, boxes, polygons = tensors["cls"], tensors["boxes"], tensors["polygons"]
    points, first, point = tensors["points"].tolist(), 0, 0
    for count in tensors["objects"].tolist():
        last, outlines = first + count, []
        for length in points[first:last]:
            outlines.append(polygons[point : point + length] if length else None)
            point += length
        yield ImageLabels(cls[first:last], boxes[first:last], tuple(outlines))
        first = last


def stamp_of(stat: os.stat_result) -> Stamp:
    """What tells a file from what it was before, or from the one that a link led to."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & LARGEST


def _stamp(values: list[int]) -> Stamp:
    size, changed, status, number = values
    return size, changed, status, number


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _paths(joined: np.ndarray) -> list[str]:
    return joined.tobytes().decode("utf-8", "surrogateescape").split("\0") if len(joined) else []
