"""Which COCO annotation file belongs to the images of an evaluation, and whether it fits their labels.

Shape letters: m labels and k annotations of one image.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.support.arguments import shown
from yolo_lite.support.class_names import match_names
from yolo_lite.support.coco_truth import (
    BOX,
    CLASS,
    CROWD,
    CocoTruth,
    ImageTruth,
    boxes_as_objects,
    find_truth,
    read_truth,
)

# How far a label's side may be from that of its annotation: pixels, and a fraction of the box. A label may be the
# extent of an outline, which agrees with its bbox up to this.
PIXELS, FRACTION = 3.0, 0.03
SMALLEST = 1e-6  # fraction of the image; no label is written for a thinner box


class Labelled(NamedTuple):
    """An image as the dataset has it."""

    path: str
    size: tuple[int, int]  # (height, width)
    labels: np.ndarray  # (m, 5) class, xyxy in its pixels


class GroundTruth(NamedTuple):
    """What COCO's rule compares with, from an annotation file."""

    path: str  # of the file
    category_ids: tuple[int, ...]  # of each class of the model
    images: dict[str, ImageTruth]  # by the dataset's path; their classes are the model's

    def of(self, images: Sequence[Labelled]) -> list[ImageTruth]:
        """Of these images, in this order."""
        return [self.images[image.path] for image in images]


def annotation_file(paths: Sequence[str], given: str | Path | bool | None) -> Path | None:
    """The file to use: the one that is given; None: the one that lies where ``convert`` puts it, if any; False: none.

    Raises:
        FileNotFoundError: the given one is not there.
    """
    if given is None:
        return find_truth(paths)
    if given is False:
        return None
    if not isinstance(given, str | os.PathLike):
        raise ValueError(
            f"annotations is the path of a COCO annotation file, None to look for one, or False, not {shown(given)}"
        )
    if not Path(given).is_file():
        raise FileNotFoundError(f"{given}: no such annotation file")
    return Path(given)


def knows_labels(dataset: Any) -> bool:
    """Whether a dataset has paths, sizes and objects without reading its images, as a YoloDataset has."""
    return all(hasattr(dataset, name) for name in ("paths", "sizes", "objects", "names"))


def paths_of_all(dataset: Any) -> Sequence[str]:
    """The paths of the whole that a YoloDataset may be a part of; none of another dataset."""
    return list(getattr(getattr(dataset, "source", None), "paths", ()))


def truth_of_dataset(dataset: Any, given: str | Path | bool | None, order: Sequence[int] | None) -> GroundTruth | None:
    """The annotation file of a YoloDataset, checked before its images are read; None of another dataset.

    Args:
        given: see ``annotation_file``. order: the model's class for each of the dataset's.
    """
    if not knows_labels(dataset):
        annotation_file([], given)  # so that a path that is wrong is an error at once
        return None
    file = annotation_file(dataset.paths, given)
    if file is None:
        return None
    images = []
    for index, path in enumerate(dataset.paths):
        objects = dataset.objects(index)
        height, width = map(int, dataset.sizes[index])
        images.append(Labelled(path, (height, width), np.column_stack((objects.cls, objects.boxes))))
    return ground_truth(file, images, dataset.names, order, required=given is not None)


def ground_truth(
    file: Path | None,
    images: Sequence[Labelled],
    names: Sequence[str],
    order: Sequence[int] | None = None,
    required: bool = False,
) -> GroundTruth | None:
    """The objects in an annotation file, for these images; None where there is no file, or one that does not fit.

    Args:
        names: of the classes of the labels. order: the model's class for each of them.
        required: the file was asked for: it is used although labels differ from it.
    Raises:
        ValueError: a required file that does not have all images, or has other sizes or categories.
    Warns:
        A file that does not fit the dataset, or lists more images than it has.
    """
    if file is None:
        return None
    try:
        truth = _renumbered(read_truth(file), names, file)
        by_path = _by_path(truth.images, images, file)
        differing = _with_other_labels(by_path, images, file)
        if differing and not required:
            raise ValueError(differing)
    except ValueError as reason:
        if required:
            raise
        warnings.warn(
            f"{reason}; so the file is not used. Average precision is that of the labels, without crowd regions and "
            "with the areas of the boxes. Convert the dataset again, if it was not opened with classes or names of its "
            "own here; annotations=False, in a shell --no-annotations, silences this",
            stacklevel=4,
        )
        return None
    if differing:
        warnings.warn(f"{differing}: average precision is that of the file, all else that of the labels", stacklevel=4)
    if lost := [path for path, image in by_path.items() if image.never_found is not None]:
        numbered = f"{file} has an annotation with the id 0, of {lost[0]}"
        warnings.warn(
            f"{numbered}, by which pycocotools marks what is not found: it counts no detection of that object as "
            "right, and so do these figures. Number the annotations from 1",
            stacklevel=4,
        )
    if len(by_path) < len(truth.images):
        counts = f"{file} lists {len(truth.images)} images, and {len(by_path)} of them are in the dataset"
        warnings.warn(f"{counts}: pycocotools gives these figures where its params.imgIds are these", stacklevel=4)
    return _of_model(file, truth.category_ids, by_path, order)


def truth_of_labels(images: Sequence[Labelled], every: Sequence[str] = ()) -> list[ImageTruth]:
    """The labels as COCO's objects, none of them a crowd, with the areas of their boxes.

    The id of an image is the number that it is called by (000012.jpg: 12), if all are; otherwise they are numbered
    from 1, sorted by path.

    Args:
        every: the paths of the whole dataset that these are a part of, so that an image has one id in all its parts.
    """
    paths = [image.path for image in images]
    of_all = dict(zip(every, image_ids(every), strict=True))
    are_known = all(path in of_all for path in paths) and len(set(paths)) == len(paths)
    ids = [of_all[path] for path in paths] if are_known else image_ids(paths)
    return [
        ImageTruth(number, image.path, image.size, boxes_as_objects(image.labels))
        for number, image in zip(ids, images, strict=True)
    ]


def image_ids(paths: Sequence[str]) -> list[int]:
    """A number for each image.

    >>> image_ids(["val/000012.jpg", "val/000007.jpg"]), image_ids(["b.jpg", "a.jpg", "7.jpg"])
    ([12, 7], [3, 2, 1])
    """
    stems = [Path(path).stem for path in paths]
    if all(stem.isdecimal() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    rank = np.argsort(np.argsort(np.array(paths, object), kind="stable"), kind="stable")
    return [int(place) + 1 for place in rank]


def _renumbered(truth: CocoTruth, names: Sequence[str], file: Path) -> CocoTruth:
    """The annotations under the numbers of the dataset's classes: by name where all are known, otherwise by number."""
    truth = _of_these(truth, names)
    if len(truth.names) != len(names):
        raise ValueError(f"{file} has {len(truth.names)} categories, the dataset {len(names)} classes")
    order = match_names(names, truth.names).order
    if order is None:
        return truth
    known = [place for place in order if place is not None]
    if len(known) < len(order):
        unknown = truth.names[order.index(None)]
        raise ValueError(f"{file} has a category {unknown!r}, which is not a class of the dataset")
    back = np.argsort(known)  # the category of each class
    images = tuple(image._replace(objects=_with_classes(image.objects, known)) for image in truth.images)
    ids = tuple(truth.category_ids[place] for place in back)
    return CocoTruth(tuple(truth.names[place] for place in back), ids, images)


def _of_these(truth: CocoTruth, names: Sequence[str]) -> CocoTruth:
    """Without the categories that are not classes of the dataset, where all of its classes are categories."""
    order = match_names(names, truth.names).order
    if order is None or len(set(order) - {None}) < len(names) or None not in order:
        return truth
    kept = [place for place, cls in enumerate(order) if cls is not None]
    number = {place: cls for cls, place in enumerate(kept)}
    images = []
    for image in truth.images:
        is_kept = np.isin(image.objects[:, CLASS], kept)
        objects, ids = image.objects[is_kept], tuple(np.array(image.ids, object)[is_kept])
        numbers = [number[int(cls)] for cls in objects[:, CLASS]]
        images.append(image._replace(objects=np.column_stack((numbers, objects[:, 1:])), ids=ids))
    left = tuple(truth.names[place] for place in kept), tuple(truth.category_ids[place] for place in kept)
    return CocoTruth(*left, tuple(images))


def _with_classes(objects: np.ndarray, order: Sequence[int]) -> np.ndarray:
    changed = objects.copy()
    changed[:, CLASS] = np.asarray(order)[objects[:, CLASS].astype(int)] if len(objects) else 0
    return changed


def _by_path(truths: Iterable[ImageTruth], images: Sequence[Labelled], file: Path) -> dict[str, ImageTruth]:
    """The annotations of each image, by its path: the longest end of it that the file names."""
    by_name = {truth.name.replace("\\", "/"): truth for truth in truths}
    by_last_part: dict[str, list[ImageTruth]] = {}
    for name, listed in by_name.items():
        by_last_part.setdefault(name.rsplit("/", 1)[-1], []).append(listed)
    found: dict[str, ImageTruth] = {}
    missing = []
    for image in images:
        parts = Path(image.path).as_posix().split("/")
        ends = ("/".join(parts[place:]) for place in range(len(parts)))
        truth = next((by_name[end] for end in ends if end in by_name), None)
        if truth is None and len(same := by_last_part.get(parts[-1], [])) == 1:
            truth = same[0]
        if truth is None:
            missing.append(image.path)
        elif image.path in found:
            raise ValueError(f"{image.path} is in the dataset twice, and once in {file}")
        else:
            found[image.path] = truth
    if missing:
        raise ValueError(f"{len(missing)} of {len(images)} images are not in {file}, {missing[0]} for example")
    if len({truth.image_id for truth in found.values()}) < len(found):
        raise ValueError(f"{file} has one entry for several images of the dataset")
    return found


def _with_other_labels(by_path: dict[str, ImageTruth], images: Sequence[Labelled], file: Path) -> str:
    """Which images have labels that are not in the file, in words; "" where none has.

    Raises:
        ValueError: an image has another size than the file says.
    """
    found = []
    for image in images:
        truth = by_path[image.path]
        if truth.size != image.size:
            (height, width), (stated_height, stated_width) = image.size, truth.size
            here, there = f"{width} x {height}", f"{stated_width} x {stated_height}"
            raise ValueError(f"{image.path} is {here} pixels, and {there} in {file}")
        if not _same_labels(image, truth):
            found.append(image.path)
    return f"the labels of {len(found)} images differ from {file}, those of {found[0]} for example" if found else ""


def _same_labels(image: Labelled, truth: ImageTruth) -> bool:
    """Whether each label has its annotation, and each annotation its label; rows may stand twice.

    Crowds may have a label. What has no area in the image has none.
    """
    objects, (height, width) = truth.objects, image.size
    boxes = np.concatenate((objects[:, BOX][:, :2], objects[:, BOX][:, :2] + objects[:, BOX][:, 2:]), 1)  # (k, 4) xyxy
    boxes = boxes.clip(0, (width, height, width, height))
    needed = (objects[:, CROWD] == 0) & (boxes[:, 2:] - boxes[:, :2] > SMALLEST * np.array([width, height])).all(1)
    if not len(image.labels) or not len(boxes):
        return not len(image.labels) and not needed.any()
    allowed = np.maximum(PIXELS, FRACTION * np.tile(boxes[:, 2:] - boxes[:, :2], 2))  # (k, 4)
    near = (np.abs(image.labels[:, None, 1:] - boxes) <= allowed).all(2)  # (m, k)
    same = near & (image.labels[:, :1] == objects[:, CLASS])
    return bool(same.any(0)[needed].all() and same.any(1).all())


def _of_model(
    file: Path, category_ids: Sequence[int], by_path: dict[str, ImageTruth], order: Sequence[int] | None
) -> GroundTruth:
    """The annotations under the model's class numbers."""
    if order is None:
        return GroundTruth(str(file), tuple(category_ids), by_path)
    ids = dict(zip(order, category_ids, strict=True))
    images = {path: truth._replace(objects=_with_classes(truth.objects, order)) for path, truth in by_path.items()}
    return GroundTruth(str(file), tuple(ids[cls] for cls in sorted(ids)), images)
