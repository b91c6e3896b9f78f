"""Checks for labels that are doubtful although each file and row is fine by itself, so that a person can look."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.files.class_lists import folders_above
from yolo_lite.datasets.files.image_lists import list_images
from yolo_lite.datasets.files.label_files import match_label_files
from yolo_lite.datasets.files.label_rows import image_to_label_path
from yolo_lite.images.folders import pictures_below

CONVERTERS = {".xml": "voc", ".json": "coco"}  # suffix of annotations -> what `yolo-lite convert` calls them
FEW_ROWS = 3  # of the highest class: a slip of the pen is rare


def labels_of_two_splits(
    images: Sequence[str], labels: Sequence[str | None], other_places: Iterable[Path]
) -> list[Problem]:
    """A problem for each label file that also serves a picture of another split, of the same name.

    One folder of labels for images/train and images/val: labels/0.txt can be right for one 0.jpg only.
    """
    mirrored: dict[str, str] = {}  # folder of images -> where its labels are expected
    flat: dict[str, str] = {}
    for image, path in zip(images, labels, strict=True):
        folder = os.path.dirname(image)
        if folder not in mirrored:
            mirrored[folder] = os.path.dirname(image_to_label_path(image))
        if path and os.path.dirname(path) != mirrored[folder]:
            flat[path] = image
    problems: list[Problem] = []
    for place in other_places if flat else ():
        with contextlib.suppress(DatasetError, OSError):
            others = [image.path for image in list_images(place).images]
            for other, label in zip(others, match_label_files(others).paths, strict=True):
                found = flat.pop(label, None) if label else None
                if found and label and os.path.realpath(found) != os.path.realpath(other):
                    message = f"is the label file of {found} and, in another split, of {other}: give each its own"
                    problems.append(Problem(label, None, message, "label files of two splits"))
    return problems


def rare_highest_class(classes: Mapping[str, np.ndarray]) -> list[Problem]:
    """A problem where the highest class is in few rows, far above the others, and no names confirm it.

    Args:
        classes: the classes (n,) in each label file.
    """
    every = Counter(cls for found in classes.values() for cls in found.tolist())
    if not every:
        return []
    highest = max(every)
    empty = highest + 1 - len(every)
    if every[highest] > FEW_ROWS or empty <= 2 * len(every):
        return []
    path = next(path for path, found in classes.items() if highest in found)
    rows = "1 row" if every[highest] == 1 else f"{every[highest]} rows"
    message = (
        f"the highest class {highest} occurs in {rows}: {empty} classes without an object; correct it, or give names"
    )
    return [Problem(path, None, message, "classes without an object")]


def other_annotations(unlabelled: Sequence[str], num_images: int) -> list[Problem]:
    """A problem where half of the pictures have annotations of another kind beside them, and no label file."""
    problems = []
    for suffix, converter in CONVERTERS.items():
        beside = [
            path for path in (f"{os.path.splitext(image)[0]}{suffix}" for image in unlabelled) if os.path.isfile(path)
        ]
        if beside and 2 * len(beside) >= num_images:
            message = (
                f"{len(beside)} of {num_images} pictures have {suffix} files beside them and no label file; such files "
                f"are not read: `yolo-lite convert {converter}` makes label files of them"
            )
            problems.append(Problem(beside[0], None, message, "annotations of another kind"))
    return problems


def label_files_elsewhere(images: Sequence[str]) -> str:
    """A sentence about the folder that has .txt files of the images' names, but not a name that is looked for."""
    stems = {Path(image).stem for image in images}
    for base in folders_above(Path(images[0]).parent):
        for folder in _folders_below(base, depth=2):
            count = sum(path.suffix.lower() == ".txt" and path.stem in stems for path in _entries(folder))
            if count:
                meant = os.path.dirname(image_to_label_path(images[0]))
                return f"; {folder} has {count} .txt files of these names: if they are YOLO labels, call it {meant}"
    return ""


def _folders_below(base: Path, depth: int) -> list[Path]:
    inside = [path for path in _entries(base) if path.is_dir() and not path.name.startswith(".")] if depth else []
    return [*inside, *(below for path in inside for below in _folders_below(path, depth - 1))]


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def pictures_in_no_list(folder: Path, lists: Iterable[Path], not_searched: Sequence[str] = ()) -> list[Problem]:
    """A note that counts the pictures of a folder whose splits are lists, which none of these names."""
    listed = {os.path.realpath(image.path) for place in lists for image in list_images(place).images}
    below = [
        path for path in pictures_below(folder).images if Path(path).relative_to(folder).parts[0] not in not_searched
    ]
    rest = [path for path in below if os.path.realpath(path) not in listed]
    if not rest:
        return []
    message = f"{len(rest)} of {len(below)} pictures are in none of its lists, {rest[0]} for one; not used"
    return [Problem(str(folder), None, message, "pictures in no list", note=True)]
