"""COCO JSON -> a YOLO folder.

The format: https://cocodataset.org/#format-data. Boxes are x, y, width, height in pixels from the top left corner;
outlines are lists of x, y; category ids may be any numbers.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.augment.polygons import clip_polygon
from yolo_lite.data.convert.converted import (
    SPLITS,
    ConvertedImage,
    ImageFinder,
    Placing,
    actual_size,
    below,
    box_row,
    check_output,
    clipped_box,
    numbers,
    positive_size,
    reaches_over,
    write_dataset,
)
from yolo_lite.data.images import Size
from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.data.yolo_folder import label_row

AGREEMENT = 0.5  # IoU of an annotation's box with its outline's extent; below that the box is believed
LEFT_OUT = "annotations left out"


def convert_coco(
    json_path: str | Path | Mapping[str, str | Path],
    out_dir: str | Path,
    images: str | Path | None = None,
    *,
    placing: Placing = "link",
    polygons: bool = True,
    progress: bool = False,
) -> Report:
    """Converts COCO annotations into a YOLO folder: images/, labels/, data.yaml.

    Classes are the categories in the order of their ids, numbered from 0. An outline of several parts is joined into
    one line by seams without width, so that its extent is that of all parts. Regions marked ``iscrowd`` are left out,
    masks (RLE) become boxes; both are counted. A bad annotation is left out and reported with its id.

    Args:
        json_path: one file, which becomes the split "train"; or a mapping of train, val, test to files.
        out_dir: a new or empty folder.
        images: the folder that the JSON's file names start at; None looks at the usual places around the JSON file.
        placing: "link" (hard links, or copies where the disk cannot link), "copy", or "none" (labels only).
        polygons: write outlines where there are any; otherwise boxes only.
        progress: a bar on stderr, where that is a terminal.
    Returns:
        What was written, and all problems.
    Raises:
        FileExistsError: out_dir is not empty. FileNotFoundError: no such file or folder.
        DatasetError: not a COCO file, or two files with different categories.

    Example::

        report = convert_coco({"train": "train.json", "val": "val.json"}, "my-dataset", images="photos")
    """
    out_dir = Path(out_dir)
    check_output(out_dir, placing)
    paths = json_path if isinstance(json_path, Mapping) else {"train": json_path}
    if not paths or set(paths) - set(SPLITS):
        raise ValueError(f"the splits are {', '.join(SPLITS)}, not {', '.join(map(repr, paths)) or 'none at all'}")
    if images is not None and not Path(images).is_dir():
        raise FileNotFoundError(f"{images}: there is no such folder of images")
    files = {split: CocoFile.read(Path(path)) for split, path in paths.items()}
    categories = _merged_categories(files.values())
    problems: list[Problem] = []
    splits = {
        split: _converted(file, split, categories, images, placing, polygons, problems) for split, file in files.items()
    }
    return write_dataset(out_dir, list(categories.values()), splits, problems, placing, progress)


class CocoFile(NamedTuple):
    """What a COCO JSON file holds."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: dict[int, str]

    @classmethod
    def read(cls, path: Path) -> "CocoFile":
        """Reads the file and checks that it has the three lists."""
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such annotation file") from None
        except ValueError as error:
            raise DatasetError(f"{path}: not valid JSON: {error}") from None
        for key in ("images", "annotations", "categories"):
            entries = content.get(key) if isinstance(content, dict) else None
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise DatasetError(f"{path}: not a COCO detection file, it has no list {key!r}")
        try:
            categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        except (KeyError, TypeError, ValueError):
            raise DatasetError(f"{path}: each of the categories needs an id, a number, and a name") from None
        if not categories:
            raise DatasetError(f"{path}: the list of categories is empty")
        return cls(path, content["images"], content["annotations"], categories)


def _merged_categories(files: Any) -> dict[int, str]:
    """All categories, sorted by id."""
    merged: dict[int, str] = {}
    for file in files:
        for number, name in file.categories.items():
            if merged.setdefault(number, name) != name:
                raise DatasetError(f"{file.path}: category {number} is {name!r} here and {merged[number]!r} elsewhere")
    return dict(sorted(merged.items()))


# ---- images ---------------------------------------------------------------------------------------------------------


def _converted(
    file: CocoFile,
    split: str,
    categories: Mapping[int, str],
    folder: str | Path | None,
    placing: Placing,
    polygons: bool,
    problems: list[Problem],
) -> Iterator[ConvertedImage]:
    """The images of one file, one after the other; adds what is wrong to ``problems``."""
    classes = {number: index for index, number in enumerate(categories)}
    grouped = _by_image(file, problems)
    finder = ImageFinder(file.path, split, folder)
    where = str(file.path)
    for entry in file.images:
        label = f"image {entry.get('id')!r} ({entry.get('file_name')})"
        annotations = grouped.pop(_key(entry.get("id")), [])  # a second image of this id finds none
        try:
            source = finder.find(str(entry["file_name"])) if entry.get("file_name") else None
            if not entry.get("file_name"):
                raise ValueError("it has no file_name")
            if source is None and placing != "none":
                raise ValueError(f"no such file in {finder.places}; give the folder of the images")
            size, notes = actual_size(source, positive_size(entry.get("width"), entry.get("height")), where)
        except ValueError as reason:
            count = f" with its {len(annotations)} annotations" if annotations else ""
            problems.append(Problem(where, None, f"{label}: {reason}; left out{count}", "images left out"))
            continue
        problems += notes
        rows = _rows(annotations, size, classes, polygons, where, problems)
        yield ConvertedImage(source, below(entry["file_name"]), rows)


def _by_image(file: CocoFile, problems: list[Problem]) -> dict[str, list[dict[str, Any]]]:
    known = {_key(entry.get("id")) for entry in file.images}
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for annotation in file.annotations:
        key = _key(annotation.get("image_id"))
        if key in known:
            grouped[key].append(annotation)
        else:
            message = f"annotation {annotation.get('id')!r}: there is no image {annotation.get('image_id')!r}; left out"
            problems.append(Problem(str(file.path), None, message, LEFT_OUT))
    return grouped


def _key(number: Any) -> str:
    return str(number)  # some tools write ids as text in one list and as numbers in the other


# ---- annotations ----------------------------------------------------------------------------------------------------


def _rows(
    annotations: list[dict[str, Any]],
    size: Size,
    classes: Mapping[int, int],
    polygons: bool,
    where: str,
    problems: list[Problem],
) -> tuple[str, ...]:
    """The label rows of one image."""
    rows = []
    for annotation in annotations:
        label = f"annotation {annotation.get('id')!r}"
        if annotation.get("iscrowd"):
            problems.append(Problem(where, None, f"{label}: a crowd; left out", "crowd regions left out", note=True))
            continue
        try:
            row, note = _row(annotation, size, classes, polygons)
        except ValueError as reason:
            problems.append(Problem(where, None, f"{label}: {reason}; left out", LEFT_OUT))
            continue
        rows.append(row)
        if note:
            problems.append(Problem(where, None, f"{label}: {note}", "annotations changed", note=True))
    return tuple(rows)


def _row(annotation: dict[str, Any], size: Size, classes: Mapping[int, int], polygons: bool) -> tuple[str, str]:
    """One annotation as a label row, and what was done to it ('' = nothing worth a word)."""
    category = annotation.get("category_id")
    try:
        cls = classes[int(category)]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"there is no category {category!r}") from None
    box = _box(annotation)
    outline, note = _outline(annotation.get("segmentation"), size)
    if box is None and outline is None:
        raise ValueError("it has neither a bbox nor an outline")
    if box is None:
        box = np.concatenate([outline.min(0), outline.max(0)])
    inside = clipped_box(box, size)
    if reaches_over(box, size):
        note = note or "it reached over the border; clipped to the image"
    if outline is not None and _overlap(inside, outline) < AGREEMENT:
        outline, note = None, "the outline lies elsewhere than the box; the box is written"
    if outline is None or not polygons:
        return box_row(cls, inside, size), note if polygons else ""
    return label_row(cls, (outline / (size.width, size.height)).ravel()), note


def _box(annotation: dict[str, Any]) -> np.ndarray | None:
    """(4,) xyxy pixels; None where there is none."""
    if not annotation.get("bbox"):
        return None
    xywh = numbers(annotation["bbox"], "bbox")
    if len(xywh) != 4:
        raise ValueError(f"bbox {annotation['bbox']!r} is not x, y, width, height")
    return np.concatenate([xywh[:2], xywh[:2] + xywh[2:]])


def _outline(segmentation: Any, size: Size) -> tuple[np.ndarray | None, str]:
    """The parts of an outline, clipped to the image and joined, (k, 2) pixels; or None, and why."""
    if not segmentation:
        return None, ""
    if isinstance(segmentation, dict):
        return None, "a mask (RLE); its box is written"
    try:
        flat = isinstance(segmentation[0], int | float)  # one part that is not wrapped in a list of its own
        parts = [numbers(part, "outline") for part in ([segmentation] if flat else segmentation)]
    except (ValueError, TypeError, KeyError) as reason:
        return None, f"{reason}; the box is written"
    whole = [clip_polygon(part.reshape(-1, 2), size.width, size.height) for part in parts if _is_outline(part)]
    whole = [part for part in whole if len(part) and (np.ptp(part, 0) / (size.width, size.height) > 1e-6).all()]
    if not whole:
        return None, "the outline encloses nothing inside the image; the box is written"
    return join_parts(whole), ""


def _is_outline(part: np.ndarray) -> bool:
    return len(part) >= 6 and len(part) % 2 == 0


def _overlap(box: np.ndarray, outline: np.ndarray) -> float:
    """IoU of a box (4,) with the extent of an outline (k, 2)."""
    low, high = outline.min(0), outline.max(0)
    sides = np.clip(np.minimum(box[2:], high) - np.maximum(box[:2], low), 0, None)
    shared = sides.prod()
    return float(shared / ((box[2:] - box[:2]).prod() + (high - low).prod() - shared))


def join_parts(parts: list[np.ndarray]) -> np.ndarray:
    """Several outlines as one closed line: each hangs on the nearest point of those before, by a seam without width.

    Args:
        parts: (k, 2) each.
    Returns:
        (k, 2), with the same extent, and the area of all parts together.

    >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    >>> join_parts([square, square + [2, 0]]).tolist()[:4]
    [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    """
    line = parts[0]
    for part in parts[1:]:
        if _signed_area(part) * _signed_area(parts[0]) < 0:  # all the same way round, so that areas add up
            part = part[::-1]
        distances = np.linalg.norm(line[:, None] - part[None], axis=-1)  # (k, j)
        at, start = np.unravel_index(distances.argmin(), distances.shape)
        around = np.roll(part, -start, axis=0)
        line = np.concatenate([line[: at + 1], around, around[:1], line[at:]])
    return line


def _signed_area(outline: np.ndarray) -> float:
    following = np.roll(outline, -1, axis=0)
    return float((outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum()) / 2
