"""COCO's annotation file as evaluation needs it: the ids of images and categories, boxes, areas and crowd regions.

Label files hold classes and boxes alone. COCO's rule needs more: the area of an object, which says whether it is
small, medium or large (of its outline, not of its box), and the crowd regions, in which no detection counts as false.
``yolo-lite convert coco`` therefore writes ``annotations/instances_<split>.json`` beside ``images/<split>``, where
COCO itself has it, and ``evaluate`` finds it there. It is a COCO file (https://cocodataset.org/#format-data) with

- images: id, file_name below ``images/<split>``, width, height of the upright picture;
- categories: id, name; in the order of the dataset's classes;
- annotations: id, image_id, category_id, bbox (x, y, width, height in pixels of that picture), area in square
  pixels, iscrowd (1: a region of many objects). Here are also those that no label file has: crowds, and boxes without
  area or outside the image, which pycocotools counts.

Ids are those of the original file where they are whole numbers. Shape letter: k annotations of one image.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER, PREFIX = "annotations", "instances_"
CLASS, BOX, AREA, CROWD = 0, slice(1, 5), 5, 6  # columns of ImageTruth.objects


class ImageTruth(NamedTuple):
    """What is there to be found in one image."""

    image_id: int
    name: str  # file_name: below images/<split>
    size: tuple[int, int]  # (height, width) in pixels
    objects: np.ndarray  # (k, 7) float64: class, x, y, width, height in pixels, area in square pixels, 1 for a crowd
    ids: tuple[int, ...] = ()  # of the k annotations; where an image has none, all are numbered from 1

    @property
    def never_found(self) -> int | None:
        """The row of the annotation of id 0, by which pycocotools marks what has no match; None: there is none."""
        return self.ids.index(0) if 0 in self.ids else None


class CocoTruth(NamedTuple):
    """What an annotation file says; a class is the place of its category in ``names``."""

    names: tuple[str, ...]  # of the categories
    category_ids: tuple[int, ...]  # likewise
    images: tuple[ImageTruth, ...]

    def to_dict(self) -> dict[str, Any]:
        """The file as plain values.

        >>> box = np.array([[0, 1, 2, 3, 4, 12, 0]])
        >>> CocoTruth(("cat",), (7,), (ImageTruth(5, "a.jpg", (60, 100), box),)).to_dict()["annotations"]
        [{'id': 1, 'image_id': 5, 'category_id': 7, 'bbox': [1.0, 2.0, 3.0, 4.0], 'area': 12.0, 'iscrowd': 0}]
        """
        images = [
            {"id": image.image_id, "file_name": image.name, "width": image.size[1], "height": image.size[0]}
            for image in self.images
        ]
        ids_of = np.asarray(self.category_ids)
        rows = [(image.image_id, row) for image in self.images for row in image.objects.astype(float).tolist()]
        ids = [number for image in self.images for number in image.ids]
        numbers = ids if len(ids) == len(rows) else range(1, len(rows) + 1)
        annotations = [
            {
                "id": number,
                "image_id": image_id,
                "category_id": int(ids_of[int(row[CLASS])]),
                "bbox": row[BOX],
                "area": row[AREA],
                "iscrowd": int(row[CROWD]),
            }
            for number, (image_id, row) in zip(numbers, rows, strict=True)
        ]
        pairs = zip(self.category_ids, self.names, strict=True)
        categories = [{"id": number, "name": name} for number, name in pairs]
        return {"info": {}, "images": images, "annotations": annotations, "categories": categories}

    def to_json(self) -> bytes:
        """The file's content."""
        return json.dumps(self.to_dict(), separators=(",", ":")).encode()


def boxes_as_objects(labels: np.ndarray) -> np.ndarray:
    """Labels (k, 5) class, xyxy -> objects (k, 7) whose areas are those of their boxes, none of them a crowd.

    >>> boxes_as_objects(np.array([[2, 10, 10, 30, 20]])).tolist()
    [[2.0, 10.0, 10.0, 20.0, 10.0, 200.0, 0.0]]
    """
    rows = np.asarray(labels, np.float64).reshape(-1, 5)
    sides = rows[:, 3:] - rows[:, 1:3]
    return np.column_stack((rows[:, :3], sides, sides.prod(1), np.zeros(len(rows))))


def read_truth(path: str | Path) -> CocoTruth:
    """Reads an annotation file: one that was written here, or COCO's own.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is not one, with the entry and what is wrong in it.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such annotation file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in _ENTRIES):
        raise ValueError(f"{path}: not a COCO annotation file, which has the lists {', '.join(_ENTRIES)}")
    entries: dict[str, list[Any]] = {}
    for kind, read in _ENTRIES.items():
        entries[kind] = []
        for number, entry in enumerate(content[kind], start=1):
            try:
                entries[kind].append(read(entry))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                raise ValueError(f"{path}: number {number} of {kind}: {reason}") from None
    return _put_together(path, entries)


def _put_together(path: str | Path, entries: Mapping[str, list[Any]]) -> CocoTruth:
    categories = sorted(entries["categories"])
    class_of = {category_id: cls for cls, (category_id, _) in enumerate(categories)}
    rows: dict[int, list[list[float]]] = defaultdict(list)
    ids: dict[int, list[int]] = defaultdict(list)
    for number, (image_id, category_id, row, own_id) in enumerate(entries["annotations"], start=1):
        if category_id not in class_of:
            raise ValueError(f"{path}: number {number} of annotations: there is no category {category_id}")
        rows[image_id].append([class_of[category_id], *row])
        ids[image_id].append(own_id)
    images = tuple(
        image._replace(
            objects=np.array(rows.get(image.image_id, []), np.float64).reshape(-1, 7), ids=tuple(ids[image.image_id])
        )
        for image in entries["images"]
    )
    known = [image.image_id for image in images]
    if len(set(known)) < len(known) or len(class_of) < len(categories):
        raise ValueError(f"{path}: an id stands for several images or several categories")
    if unknown := sorted(rows.keys() - set(known)):
        raise ValueError(f"{path}: annotations of image {unknown[0]}, which the file does not list")
    return CocoTruth(tuple(name for _, name in categories), tuple(class_of), images)


def _image(entry: Mapping[str, Any]) -> ImageTruth:
    size = _whole(entry["height"], "height"), _whole(entry["width"], "width")
    return ImageTruth(_whole(entry["id"], "id"), str(entry["file_name"]), size, np.zeros((0, 7)))


def _category(entry: Mapping[str, Any]) -> tuple[int, str]:
    return _whole(entry["id"], "id"), str(entry["name"])


def _annotation(entry: Mapping[str, Any]) -> tuple[int, int, list[float], int]:
    x, y, width, height = map(float, entry["bbox"])
    area = float(entry.get("area", width * height))
    if not all(map(math.isfinite, (x, y, width, height, area))):
        raise ValueError(f"bbox {entry['bbox']} and area {area} are not finite")
    row = [x, y, width, height, area, float(bool(entry.get("iscrowd", 0)))]
    image_id, category_id = (_whole(entry[name], name) for name in ("image_id", "category_id"))
    return image_id, category_id, row, _own_id(entry)


def _own_id(entry: Mapping[str, Any]) -> int:
    """Of an annotation; -1 where it has none that is a number."""
    found = entry.get("id", -1)
    return found if isinstance(found, int) else -1


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
        raise ValueError(f"{what} {value!r} is not a whole number")
    return int(value)


_ENTRIES = {"images": _image, "annotations": _annotation, "categories": _category}


def find_truth(paths: Sequence[str]) -> Path | None:
    """The annotation file that belongs to images in ``.../images/<split>``: ``.../annotations/instances_<split>.json``.

    None where there is none, or where the images do not have one in common.
    """
    found: set[Path | None] = set()
    folders = {os.path.dirname(path) for path in paths}
    for folder in folders:
        found.add(_beside(Path(folder)))
        if len(found) > 1:
            return None
    return found.pop() if found else None


def _beside(folder: Path) -> Path | None:
    """The annotation file of a folder of images."""
    for place, part in enumerate(folder.parts[:-1]):
        if part.lower() == "images":
            split = folder.parts[place + 1]
            path = Path(*folder.parts[:place]) / FOLDER / f"{PREFIX}{split}.json"
            if path.is_file():
                return path
    return None
