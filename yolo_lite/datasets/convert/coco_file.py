"""Reads COCO JSON files: images, annotations, categories; and a folder of them.

The format: https://cocodataset.org/#format-data. Ids may be any numbers, or text.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES

LISTS = ("images", "annotations", "categories")
DROPPED = "categories dropped"
HINTS = {  # what else a JSON file may be, by a key that it has and COCO has not
    "shapes": "LabelMe's format: export the dataset as COCO (labelme2coco)",
    "_via_img_metadata": "a project of VIA: export annotations as COCO",
    "regions": "VIA's format: export annotations as COCO",
    "data": "Label Studio's own format: export as COCO",
    "segments_info": "panoptic segmentation: take the file of instances (instances_*.json)",
    "caption": "captions: take the file of instances (instances_*.json)",
    "score": "detections of a model (results), which name no images: take the file of annotations",
}


class Category(NamedTuple):
    """One of a file's categories."""

    key: str  # its id, see id_key
    name: str
    supercategory: str  # '' where there is none


class CocoFile(NamedTuple):
    """What a COCO JSON file holds."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[Category]
    malformed: list[tuple[str, str]]  # of "images" or "annotations", and what is there in place of an object

    @property
    def is_crowds_alone(self) -> bool:
        """Whether every annotation is marked as a crowd, which then says nothing."""
        return all(is_set(annotation.get("iscrowd")) for annotation in self.annotations)

    @classmethod
    def read(cls, path: Path) -> "CocoFile":
        """Reads the file, in UTF-8, UTF-16 or UTF-32, and checks that it has the three lists."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such annotation file") from None
        if not data.strip(b"\0 \r\n\t\xef\xbb\xbf"):
            raise DatasetError(f"{path}: the file is empty ({len(data)} bytes)")
        try:
            content = json.loads(data)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path}: neither UTF-8 nor UTF-16, save it as UTF-8 ({error})") from None
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}: not valid JSON: {error}") from None
        for key in LISTS:
            entries = content.get(key) if isinstance(content, dict) else None
            if not isinstance(entries, list) or (entries and not any(isinstance(entry, dict) for entry in entries)):
                raise DatasetError(f"{path}: not a COCO detection file, it has no list {key!r}{_hint(content)}")
        images, annotations = ([entry for entry in content[key] if isinstance(entry, dict)] for key in LISTS[:2])
        if annotations and "segments_info" in annotations[0]:
            raise DatasetError(f"{path}: not a COCO detection file{_hint(content)}")
        categories = [_category(path, index, entry) for index, entry in enumerate(content["categories"])]
        if not categories:
            raise DatasetError(f"{path}: the list of categories is empty")
        malformed = [
            (key, f"number {index + 1} of {key} is {entry!r:.40}, not an object with fields")
            for key in LISTS[:2]
            for index, entry in enumerate(content[key])
            if not isinstance(entry, dict)
        ]
        return cls(path, images, annotations, categories, malformed)


def _hint(content: Any) -> str:
    """What a file is that is not COCO, where that can be seen."""
    entries = content if isinstance(content, list) else list(content.values()) if isinstance(content, dict) else []
    first = content.get("annotations") if isinstance(content, dict) else None
    samples = [content, *entries[:1], *(first[:1] if isinstance(first, list) else [])]
    for key, hint in HINTS.items():
        if any(isinstance(sample, dict) and key in sample for sample in samples):
            return f"; it looks like {hint}"
    return ""


def _category(path: Path, index: int, entry: Any) -> Category:
    fields = entry if isinstance(entry, dict) else {}
    key, name = id_key(fields.get("id")), fields.get("name")
    if key is None or name is None or not str(name).strip():
        raise DatasetError(f"{path}: each of the categories needs an id and a name, but number {index + 1} is {entry}")
    return Category(key, str(name).strip(), str(fields.get("supercategory") or "").strip())


def id_key(number: Any) -> str | None:
    """An id as it is compared: some tools write it as text in one list and as a number in the other.

    >>> id_key(7), id_key("7"), id_key(7.0), id_key("a-7"), id_key(None)
    ('7', '7', '7', 'a-7', None)
    """
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return None if number is None or isinstance(number, list | dict) else str(number).strip() or None


def is_set(flag: Any) -> bool:
    """Whether a flag is raised: 1, true, or either of them as text."""
    return str(flag).strip().lower() in ("1", "1.0", "true")


# ---- classes --------------------------------------------------------------------------------------------------------


class Classes(NamedTuple):
    """The classes that the categories of some files become."""

    names: list[str]
    index: dict[str, int]  # type: ignore[assignment]  # hides tuple.index; of each category that is kept, by its key


def classes_of(files: Sequence[CocoFile], merge_names: bool, problems: list[Problem]) -> Classes:
    """Numbers the categories of all files from 0, in the order of their ids; reports those that are dropped.

    Dropped is a category that only groups others, as Roboflow's number 0 does: no annotation has it, and another
    category names it as its supercategory.

    Args:
        merge_names: several categories of one name become one class.
    Raises:
        DatasetError: one id with two names, or two ids with one name.
    """
    merged: dict[str, Category] = {}
    origin: dict[str, Path] = {}
    for file in files:
        for category in file.categories:
            known, first = merged.setdefault(category.key, category), origin.setdefault(category.key, file.path)
            if known.name != category.name:
                message = f"category {category.key} is {category.name!r} here and {known.name!r} "
                raise DatasetError(f"{file.path}: {message}{_way_out(file.path, first)}")
    numeric = all(key.lstrip("-").isdecimal() for key in merged)
    categories = sorted(merged.values(), key=lambda category: int(category.key)) if numeric else list(merged.values())
    kept = _without_groups(files, categories, problems)
    names = list(dict.fromkeys(category.name for category in kept))
    if len(names) < len(kept) and not merge_names:
        name, count = Counter(category.name for category in kept).most_common(1)[0]
        keys = ", ".join(category.key for category in kept if category.name == name)
        raise DatasetError(
            f"{files[0].path}: {count} categories are called {name!r} (ids {keys}). If they are the same, make them "
            f"one class: merge_names=True (in a shell: --merge-names); otherwise rename one of them in the file"
        )
    return Classes(names, {category.key: names.index(category.name) for category in kept})


def _way_out(path: Path, first: Path) -> str:
    """Where the other of two categories with one id is, and what to do about it."""
    if path == first:
        return "elsewhere: give one of them another id, in categories and in the annotations of it"
    return (
        f"in {first}: number the categories of both files alike (a name has one id in all of them, in categories and "
        "annotations), or convert each file into a dataset of its own"
    )


def _without_groups(files: Sequence[CocoFile], categories: list[Category], problems: list[Problem]) -> list[Category]:
    used = {id_key(annotation.get("category_id")) for file in files for annotation in file.annotations}
    kept = []
    for category in categories:
        members = [other.name for other in categories if other is not category and other.supercategory == category.name]
        if category.key in used or not members:
            kept.append(category)
            continue
        shown = ", ".join(members[:5]) + (" ..." if len(members) > 5 else "")
        message = f"category {category.key} ({category.name!r}) only groups others ({shown}); no annotation has it"
        problems.append(Problem(str(files[0].path), None, f"{message}; dropped", DROPPED, note=True))
    return kept or categories  # categories that group each other are not groups


# ---- a folder of files ----------------------------------------------------------------------------------------------


def find_coco_files(folder: Path) -> dict[str, Path]:
    """The annotation file of each split in a folder: train/_annotations.coco.json, annotations/instances_val.json ...

    Raises:
        DatasetError: there is none, or more than one for a split.
    """
    paths = [*folder.glob("*.json"), *folder.glob("*/*.json"), *folder.glob("*/*/*.json")]
    paths = sorted(path for path in paths if not path.name.startswith("."))
    by_split: dict[str | None, list[Path]] = defaultdict(list)
    for path in paths:
        by_split[_split_in(path.relative_to(folder))].append(path)
    named = {split: _preferred(by_split[split]) for split in SPLIT_NAMES if by_split[split]}
    found = named or ({"train": _preferred(by_split[None])} if by_split[None] else {})
    if not found or any(len(candidates) > 1 for candidates in found.values()):
        names = ", ".join(str(path.relative_to(folder)) for path in paths[:9]) or "none"
        raise DatasetError(
            f"{folder}: which JSON file belongs to which split? Give the files themselves; there: {names}"
        )
    return {split: candidates[0] for split, candidates in found.items()}


def _split_in(path: Path) -> str | None:
    """The split that a file is named for, or else the nearest folder above it."""
    for part in reversed(path.with_suffix("").parts):
        words = re.split("[^a-z]+", part.lower())
        for split, names in SPLIT_NAMES.items():
            if set(names) & set(words):
                return split
    return None


def _preferred(paths: list[Path]) -> list[Path]:
    """COCO's own folder has captions and keypoints beside the instances."""
    return [path for path in paths if "instances" in path.name.lower()] or paths
