"""Image files with label files beside them, as an ImageSource: found, checked and reported.

YOLOv5: `LoadImagesAndLabels.__init__`, `cache_labels`, `verify_image_label`.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from yolo_lite.augment.objects import Image
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import UNLABELLED, DatasetError, Problem, Report
from yolo_lite.data.source import PathStore
from yolo_lite.datasets.files.class_lists import folders_above
from yolo_lite.datasets.files.doubts import (
    label_files_elsewhere,
    labels_of_two_splits,
    other_annotations,
    pictures_in_no_list,
    rare_highest_class,
)
from yolo_lite.datasets.files.find_dataset import NOT_SEARCHED, FoundDataset, find_dataset
from yolo_lite.datasets.files.image_lists import Images, ListedImage, list_images
from yolo_lite.datasets.files.label_cache import LabelCache
from yolo_lite.datasets.files.label_files import (
    Matched,
    label_files_without_an_image,
    match_label_files,
    shared_label_files,
)
from yolo_lite.datasets.files.label_rows import image_to_label_path, parse_label_file
from yolo_lite.datasets.files.opened import Before, Opened, depends_on_its_folders
from yolo_lite.images.bands import read_channels
from yolo_lite.images.folders import contents, pictures_below
from yolo_lite.images.headers import Size
from yolo_lite.images.kinds import ARRAY_SUFFIX, advice
from yolo_lite.images.reading import ImageError

THREADS = min(8, os.cpu_count() or 1)  # reading headers waits for the disk more than it computes
AT_ONCE = 64  # images to a task of a thread: handing out single ones takes longer than checking them
LEFT_OUT = "images left out"
PASSED_OVER = "pictures passed over"


class CheckedImage(NamedTuple):
    """An image file and its labels, checked."""

    path: str
    size: Size | None  # None: the image is left out
    labels: ImageLabels
    problems: tuple[Problem, ...]


class FileSource:
    """The images and labels of a data.yaml, folder or list (an ImageSource).

    Images that cannot be read are left out, and so are bad rows of label files; ``report`` names them all.
    """

    def __init__(
        self,
        paths: Sequence[str],
        sizes: np.ndarray,  # (n, 2) int64 height, width
        labels: LabelStore,
        names: tuple[str, ...],
        report: Report,
        channels: int = 3,
    ) -> None:
        self.channels = channels  # of each image: 1 gray, 3 RGB, else as the files have them
        self.paths = PathStore(paths)
        self.sizes = sizes
        self.labels = labels
        self.names = names
        self.report = report

    @classmethod
    def open(
        cls,
        source: str | Path | Sequence[str | Path],
        split: str = "train",
        names: Sequence[str] | None = None,
        progress: bool = False,
        channels: int | None = None,
    ) -> "FileSource":
        """Finds and checks all files; see open_source.

        Without names, neither given nor in the source, the classes are "0", "1" ... up to the highest in the labels of
        all splits.
        """
        dataset = find_dataset(source, split, names)
        channels = _agreed_channels(source, dataset.channels, channels)
        num_classes = len(dataset.names) if dataset.names else None
        roots, label_folders = _roots(source, dataset.places), _label_folders(dataset.places)
        before = Before(dataset.places, label_folders, roots, (num_classes, dataset.keypoints, channels))
        if opened := before.opened():
            report = Report.of(opened.labels.objects_per_image, [*dataset.notes, *opened.problems])
            return cls(opened.paths, opened.sizes, opened.labels, dataset.names or (), report, channels)
        listed = [list_images(place) for place in dataset.places]
        images = [image for part in listed for image in part.images]
        paths = [image.path for image in images]
        labels = match_label_files(paths, label_folders, roots)
        cache = LabelCache(dataset.places, num_classes, dataset.keypoints, len(images), channels)
        with cache.open(paths):
            checked = check_images(images, labels.paths, cache, progress)
        used = [image for image in checked if image.size is not None]
        problems = [problem for image in checked for problem in image.problems]
        problems += _left_aside(dataset, listed, images, labels)
        problems += shared_label_files(paths, labels.paths)
        problems += labels_of_two_splits(paths, labels.paths, dataset.others)
        problems += _no_labels_at_all(used)
        problems += other_annotations([image.path for image in used if _is_unlabelled(image)], len(used))
        if isinstance(source, str | Path) and Path(source).is_dir() and all(map(_is_list, dataset.places)):
            lists = [*dataset.places, *filter(_is_list, dataset.others)]
            problems += pictures_in_no_list(Path(source), lists, NOT_SEARCHED)
        report = Report.of([len(image.labels.cls) for image in used], [*dataset.notes, *problems])
        if not used:
            raise DatasetError(f"{dataset.places[0]}: not one of {len(images)} images can be used\n{report}", report)
        store = LabelStore.build([image.labels for image in used])
        if dataset.names is None:
            classes = {label: image.labels.cls for image, label in zip(checked, labels.paths, strict=True) if label}
            classes |= _classes_of_others(dataset, roots)
            highest = max((int(found.max(initial=0)) for found in classes.values()), default=0)
            dataset = dataset._replace(names=tuple(str(index) for index in range(highest + 1)))
            report = replace(report, problems=(*report.problems, *rare_highest_class(classes)))
        sizes = np.array([image.size for image in used], np.int64)
        if len(used) == len(images) and depends_on_its_folders(paths, labels):
            before.keep(Opened(paths, sizes, store, problems))
        return cls([image.path for image in used], sizes, store, dataset.names or (), report, channels)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Image:
        """The image, (H, W, channels) uint8, three of them RGB, EXIF rotation applied.

        Raises:
            FileNotFoundError, ImageError: the file was deleted or changed since the dataset was opened.
        """
        image = read_channels(self.paths[index], self.channels)
        if image.shape[:2] != tuple(self.sizes[index]):
            was, now = (f"{height} x {width}" for height, width in (self.sizes[index], image.shape[:2]))
            raise ImageError(f"{self.paths[index]}: {was} pixels when the dataset was opened, now {now}: open it again")
        return image

    def __repr__(self) -> str:
        return f"FileSource({len(self)} images, {self.labels.num_objects} objects, {len(self.names)} classes)"


def open_files(
    source: str | Path | Sequence[str | Path],
    split: str = "train",
    names: Sequence[str] | None = None,
    progress: bool = False,
    draw_size: int = 0,
    channels: int | None = None,
) -> FileSource:
    """What ``open_source`` opens for a path: files have sizes of their own."""
    return FileSource.open(source, split, names, progress, channels)


def _agreed_channels(source: Any, declared: int | None, asked: int | None) -> int:
    """Of the images: as data.yaml says, as asked for, or 3."""
    if declared is not None and asked is not None and declared != asked:
        raise DatasetError(
            f"{source}: says `channels: {declared}`, but {asked} are asked for, by the model or by channels=: "
            "make them the same, or leave the line out, and files are converted where that is possible"
        )
    return declared or asked or 3


def channels_of_files(source: str | Path | Sequence[str | Path], split: str = "train") -> int | None:
    """The channels that a data.yaml says its images have; None where it does not."""
    return find_dataset(source, split, names=("any",)).channels  # whatever the classes are called


def class_names_of_files(source: str | Path | Sequence[str | Path], split: str = "train") -> tuple[str, ...] | None:
    """The names that a source has for its classes, without a look at its images; None where it has none."""
    return find_dataset(source, split).names


def check_images(
    images: Sequence[ListedImage], labels: Sequence[str | None], cache: LabelCache, progress: bool = False
) -> list[CheckedImage]:
    """Checks the header and the labels of each image, several at a time, in the order given.

    Args:
        labels: the label file of each image, None where it has none. cache: reads them.
    """

    def check(first: int) -> list[CheckedImage]:
        some = slice(first, first + AT_ONCE)
        return [check_image(*pair, cache) for pair in zip(images[some], labels[some], strict=True)]

    checked: list[CheckedImage] = []
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(desc="checking images", total=len(images), unit="image", disable=not progress) as bar,
    ):
        for some in pool.map(check, range(0, len(images), AT_ONCE)):
            checked += some
            bar.update(len(some))
    return checked


def check_image(image: ListedImage, label_path: str | None, cache: LabelCache) -> CheckedImage:
    """Size and labels of one image, or what is wrong with it."""
    try:
        size = cache.size(image.path)
    except (OSError, ValueError) as error:  # ValueError: an ImageError, or a name that no file can have
        return CheckedImage(image.path, None, ImageLabels.empty(), (_unusable(image, error),))
    if label_path is None:
        message = f"no label file {image_to_label_path(image.path)}; a background image"
        problem = Problem(image.path, None, message, UNLABELLED, note=True)
        return CheckedImage(image.path, size, ImageLabels.empty(), (problem,))
    try:
        labels, problems = cache.labels(label_path)
    except OSError as error:
        problem = Problem(label_path, None, f"{error.strerror}; image left out", LEFT_OUT)
        return CheckedImage(image.path, None, ImageLabels.empty(), (problem,))
    return CheckedImage(image.path, size, labels, problems)


def _unusable(image: ListedImage, error: Exception) -> Problem:
    if image.listed_in and isinstance(error, FileNotFoundError):
        return Problem(image.listed_in, image.line, f"there is no {image.path}; left out", LEFT_OUT)
    reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{image.path}: ")
    return Problem(image.path, None, f"{reason}; image left out", LEFT_OUT)


def _roots(source: str | Path | Sequence[str | Path], places: Iterable[Path]) -> list[Path]:
    """The dataset's own folders: what the user named, and where its images lie."""
    sources = [source] if isinstance(source, str | Path) else source
    named = [Path(each).expanduser() for each in (*sources, *places)]
    return [folders_above(path if path.is_dir() else path.parent)[-1] for path in named]


def _is_list(place: Path) -> bool:
    return place.suffix.lower() == ".txt" and place.is_file()


def _label_folders(places: Iterable[Path]) -> list[Path]:
    """The folders whose label files should each belong to an image: those of folders, which hold all their images."""
    folders = [place for place in places if place.is_dir()]
    return [Path(image_to_label_path(place / "any.jpg")).parent for place in folders] + folders


def _left_aside(
    dataset: FoundDataset, listed: Sequence[Images], images: Sequence[ListedImage], labels: Matched
) -> list[Problem]:
    """What lies beside the images and is not used: pictures of other kinds, label files; and images named twice."""
    passed_over = [path for part in listed for path in part.passed_over]
    problems = [note for part in listed for note in part.notes]
    problems += [Problem(path, None, f"{_kind(path)}; not used", PASSED_OVER) for path in passed_over]
    folders = [place for place in dataset.others if place.is_dir()]
    others = [path for place in folders for part in pictures_below(place) for path in part] if labels.unused else []
    matched = dict(zip((image.path for image in images), labels.paths, strict=True))
    problems += label_files_without_an_image(labels.unused, matched, [*passed_over, *others])
    seen: set[str] = set()
    for image in images:
        if image.path in seen:
            place = (image.listed_in, image.line) if image.listed_in else (image.path, None)
            problems.append(
                Problem(*place, f"{image.path} was named before; used again", "images named twice", note=True)
            )
        seen.add(image.path)
    return problems


def _kind(path: str) -> str:
    suffix = os.path.splitext(path)[1]
    is_read = suffix.lower() in ("", ARRAY_SUFFIX)  # in another place, or under another name
    return advice(path) if is_read else f"{suffix} files are not read ({advice(path)})"


def _is_unlabelled(image: CheckedImage) -> bool:
    return any(problem.kind == UNLABELLED for problem in image.problems)


def _no_labels_at_all(images: Sequence[CheckedImage]) -> list[Problem]:
    """A few images without a label file are background; all of them are more likely a folder in the wrong place."""
    if sum(map(_is_unlabelled, images)) < max(len(images), 1):
        return []
    example = Path(images[0].path)
    message = f"not one of {len(images)} images has a label file such as {image_to_label_path(example)}"
    elsewhere = label_files_elsewhere([image.path for image in images])
    there = elsewhere or f"; {example.parent} has {contents(example.parent)}"
    return [Problem(str(example), None, f"{message}{there}", "labels not found")]


def _classes_of_others(dataset: FoundDataset, roots: Sequence[Path]) -> dict[str, np.ndarray]:
    """The classes (n,) in each label file of the other splits."""
    classes = {}
    for place in dataset.others:
        with contextlib.suppress(DatasetError, OSError):
            images = [image.path for image in list_images(place).images]
            for path in filter(None, match_label_files(images, roots=roots).paths):
                classes[path] = parse_label_file(path, None, dataset.keypoints)[0].cls
    return classes
