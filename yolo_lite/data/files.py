"""Image files with label files beside them, as an ImageSource: found, checked and reported."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from yolo_lite.augment.objects import Image
from yolo_lite.data.images import IMAGE_SUFFIXES, ImageError, Size, image_size, read_image
from yolo_lite.data.labels import ImageLabels, LabelStore, image_to_label_path, parse_label_file
from yolo_lite.data.layout import CLASS_FILES, ListedImage, files_below, find_layout, list_images
from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.data.source import PathStore

THREADS = min(8, os.cpu_count() or 1)  # reading headers waits for the disk more than it computes
UNLABELLED = "images without a label file"


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
    ) -> None:
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
    ) -> "FileSource":
        """Finds and checks all files; see open_source.

        Without names, neither given nor in the source, the classes are "0", "1" ... up to the highest in the labels.
        """
        layout = find_layout(source, split)
        names = tuple(names) if names else layout.names
        images = [image for place in layout.places for image in list_images(place)]
        checked = check_images(images, len(names) if names else None, progress)
        problems = [problem for image in checked for problem in image.problems]
        problems += _stray_label_files([place for place in layout.places if place.is_dir()], images)
        used = [image for image in checked if image.size is not None]
        problems += _no_labels_at_all(used)
        report = Report.of([len(image.labels.cls) for image in used], problems)
        if not used:
            raise DatasetError(f"{layout.places[0]}: not one of {len(images)} images can be used\n{report}", report)
        labels = LabelStore.build([image.labels for image in used])
        if names is None:
            names = tuple(str(index) for index in range(int(labels.cls.max()) + 1 if labels.num_objects else 1))
        sizes = np.array([image.size for image in used], np.int64)
        return cls([image.path for image in used], sizes, labels, names, report)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Image:
        """The image, (H, W, 3) uint8 RGB, EXIF rotation applied.

        Raises:
            FileNotFoundError, ImageError: the file was deleted or changed since the dataset was opened.
        """
        image = read_image(self.paths[index])
        if image.shape[:2] != tuple(self.sizes[index]):
            was, now = (f"{height} x {width}" for height, width in (self.sizes[index], image.shape[:2]))
            raise ImageError(f"{self.paths[index]}: {was} pixels when the dataset was opened, now {now}: open it again")
        return image

    def __repr__(self) -> str:
        return f"FileSource({len(self)} images, {self.labels.num_objects} objects, {len(self.names)} classes)"


def check_images(images: Sequence[ListedImage], num_classes: int | None, progress: bool = False) -> list[CheckedImage]:
    """Checks the header and the labels of each image, several at a time, in the order given."""
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(lambda image: check_image(image, num_classes), images)
        return list(tqdm(results, "checking images", len(images), unit="image", disable=not progress))


def check_image(image: ListedImage, num_classes: int | None) -> CheckedImage:
    """Size and labels of one image, or what is wrong with it."""
    try:
        size = image_size(image.path)
    except (OSError, ImageError) as error:
        return CheckedImage(image.path, None, ImageLabels.empty(), (_unusable(image, error),))
    label_path = image_to_label_path(image.path)
    if not os.path.isfile(label_path):  # some tools save the labels beside the images, whatever the folder is called
        beside = os.path.splitext(image.path)[0] + ".txt"
        if not os.path.isfile(beside):
            message = f"no label file {label_path}; a background image"
            problem = Problem(image.path, None, message, UNLABELLED, note=True)
            return CheckedImage(image.path, size, ImageLabels.empty(), (problem,))
        label_path = beside
    try:
        labels, problems = parse_label_file(label_path, num_classes)
    except OSError as error:
        problem = Problem(label_path, None, f"{error.strerror}; image left out", "images left out")
        return CheckedImage(image.path, None, ImageLabels.empty(), (problem,))
    return CheckedImage(image.path, size, labels, tuple(problems))


def _unusable(image: ListedImage, error: Exception) -> Problem:
    if image.listed_in and isinstance(error, FileNotFoundError):
        return Problem(image.listed_in, image.line, f"there is no {image.path}; left out", "images left out")
    reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{image.path}: ")
    return Problem(image.path, None, f"{reason}; image left out", "images left out")


def _no_labels_at_all(images: Sequence[CheckedImage]) -> list[Problem]:
    """A few images without a label file are background; all of them are more likely a folder in the wrong place."""
    unlabelled = sum(problem.kind == UNLABELLED for image in images for problem in image.problems)
    if unlabelled < max(len(images), 1):
        return []
    example = images[0].path
    message = f"not one of {len(images)} images has a label file such as {image_to_label_path(example)}"
    return [Problem(example, None, message, "labels not found")]


def _stray_label_files(folders: Iterable[Path], images: Sequence[ListedImage]) -> list[Problem]:
    """Label files of these folders that belong to no image: a renamed picture, perhaps."""
    expected = {image_to_label_path(image.path) for image in images}
    expected |= {os.path.splitext(image.path)[0] + ".txt" for image in images}
    problems = []
    for folder in folders:
        label_folder = Path(image_to_label_path(folder / "any.jpg")).parent
        strays = files_below(label_folder, (".txt",)) if label_folder.is_dir() else []
        for path in strays:
            if path not in expected and os.path.basename(path) not in CLASS_FILES:
                message = f"no image belongs to it (looked for {'|'.join(IMAGE_SUFFIXES[:7])} ...); not used"
                problems.append(Problem(path, None, message, "label files without an image", note=True))
    return problems
