"""COCO JSON -> a YOLO folder.

The format: https://cocodataset.org/#format-data. Boxes are x, y, width, height in pixels from the top left corner;
outlines are lists of x, y.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from yolo_lite.data.report import Problem, Report
from yolo_lite.datasets.convert.annotation import (
    Written,
    box_of,
    category_ids,
    rotation_of,
    whole_numbers,
    without_label,
    written_annotation,
)
from yolo_lite.datasets.convert.coco_file import CocoFile, classes_of, find_coco_files, id_key, is_set
from yolo_lite.datasets.convert.converted import (
    ROTATED,
    SPLITS,
    ConvertedImage,
    Placing,
    check_output,
    positive_size,
    write_dataset,
)
from yolo_lite.datasets.convert.finding import ImageFinder, ImageIndex, Match, below, folded, readings
from yolo_lite.datasets.convert.frame import Frame, annotated_frame
from yolo_lite.images.headers import Size
from yolo_lite.support.coco_truth import ImageTruth

LEFT_OUT, IMAGES_OUT = "annotations left out", "images left out"
CROWDS = "crowd regions left out"
Crowd = Literal["keep", "drop"]


def convert_coco(
    json_path: str | Path | Mapping[str, str | Path],
    out_dir: str | Path,
    images: str | Path | None = None,
    *,
    placing: Placing = "link",
    polygons: bool = True,
    crowd: Crowd | None = None,
    merge_names: bool = False,
    progress: bool = False,
) -> Report:
    """Converts COCO annotations into a YOLO folder: images/, labels/, data.yaml; and annotations/, for evaluation.

    Classes are the categories in the order of their ids, numbered from 0; a category that only groups others
    (Roboflow's number 0) is dropped. An outline of several parts is joined into one line by seams without width, so
    that its extent is that of all parts; of a mask (RLE) the bbox is written, and without a bbox it is left out. A
    turned box (CVAT's ``attributes.rotation``) becomes its extent. Keypoints are dropped. A bad annotation is left
    out and reported with its id. Where no image has the name that the file gives it, its last part is looked for. All
    of it is counted.

    ``annotations/instances_<split>.json`` keeps the truth as it was, for COCO's rule: areas, crowd regions, boxes of
    which no label can be made (without area, outside the image), and all ids (see ``yolo_lite.support.coco_truth``).

    Args:
        json_path: one file, which becomes the split "train"; a folder with a file for each split; or a mapping of
            train, val, test to files.
        out_dir: a new or empty folder.
        images: the folder that the JSON's file names start at; None looks at the usual places around the JSON file.
        placing: "link" (hard links, or copies where the disk cannot link), "copy", or "none" (labels only).
        polygons: write outlines where there are any; otherwise boxes only.
        crowd: regions marked ``iscrowd`` stand for many objects, and no label file can hold them. None leaves them out
            of the labels as a problem, "drop" as a note; "keep" trains on them as the boxes of objects. Evaluation
            counts them as crowds in any case, but for a file in which every annotation is marked, as some tools do.
        merge_names: several categories of one name become one class, instead of an error.
        progress: a bar on stderr, where that is a terminal.
    Returns:
        What was written, and all problems.
    Raises:
        FileExistsError: out_dir is not empty. FileNotFoundError: no such file or folder.
        DatasetError: not a COCO file, categories that contradict each other, a split of which no image can be used,
            or not one annotation that can be.

    Example::

        report = convert_coco({"train": "train.json", "val": "val.json"}, "my-dataset", images="photos")
    """
    out_dir = Path(out_dir)
    check_output(out_dir, placing)
    if crowd is not None and crowd not in get_args(Crowd):
        raise ValueError(f"crowd is {', '.join(get_args(Crowd))} or None, not {crowd!r}")
    if images is not None and not Path(images).is_dir():
        raise FileNotFoundError(f"{images}: there is no such folder of images")
    files = {split: CocoFile.read(path) for split, path in _paths(json_path).items()}
    problems: list[Problem] = []
    names, index = classes_of(list(files.values()), merge_names, problems)
    conversions = {}
    for split, file in files.items():
        finder, kept_ids = ImageFinder(file.path, split, images), (_image_ids(file), _annotation_ids(file))
        conversions[split] = _Conversion(file, *kept_ids, index, polygons, crowd, placing, finder, problems)
    found = {split: conversion.found() for split, conversion in conversions.items()}
    splits = {split: conversion.images(found[split]) for split, conversion in conversions.items()}
    problems += _repeated(found)
    problems += _unnamed([each for pairs in found.values() for each in pairs], images)
    annotated = sum(len(file.annotations) for file in files.values())
    ids = category_ids(names, index)
    return write_dataset(out_dir, names, splits, problems, placing, progress, annotated, ids)


def _paths(given: str | Path | Mapping[str, str | Path]) -> dict[str, Path]:
    """The annotation file of each split."""
    if isinstance(given, str | Path):
        path = Path(given)
        return find_coco_files(path) if path.is_dir() else {"train": path}
    if not given or set(given) - set(SPLITS):
        raise ValueError(f"the splits are {', '.join(SPLITS)}, not {', '.join(map(repr, given)) or 'none at all'}")
    return {split: Path(path) for split, path in given.items()}


# ---- images ---------------------------------------------------------------------------------------------------------


class _Image(NamedTuple):
    """An entry of the list of images, with what belongs to it."""

    label: str  # what messages call it
    key: str  # its id, see id_key
    name: str  # its file_name
    size: Size | None  # as it is stated
    annotations: list[dict[str, Any]]


class _Conversion(NamedTuple):
    """The conversion of one file; adds what is wrong to ``problems``."""

    file: CocoFile
    image_ids: Mapping[str, int]  # of each image, by its id as text
    annotation_ids: Mapping[str, int]  # likewise; empty where they do not tell annotations apart
    classes: Mapping[str, int]
    polygons: bool
    crowd: Crowd | None
    placing: Placing
    finder: ImageFinder
    problems: list[Problem]

    def found(self) -> list[tuple[_Image, Match | None]]:
        """The images that the file lists, and where they are."""
        for key, reason in self.file.malformed:
            self._problem(f"{reason}; left out", IMAGES_OUT if key == "images" else LEFT_OUT)
        if count := sum(_has_keypoints(annotation) for annotation in self.file.annotations):
            self._note(f"keypoints of {count} annotations are dropped; their boxes are written", "keypoints dropped")
        return [(image, self._found(image)) for image in self._listed()]

    def images(self, found: Sequence[tuple[_Image, Match | None]]) -> Iterator[ConvertedImage]:
        """One image after the other."""
        by_chance = Counter(match.path for _, match in found if match)
        named = {match.path for _, match in found if match and match.exact}
        for image, match in found:
            if match is None and self.placing != "none":
                continue
            if match and not match.exact and (by_chance[match.path] > 1):
                others = "another image" if match.path in named else "several images"
                self._leave_out(image, f"only {match.path} has the last part of its name, as {others} would have")
                continue
            if match and not match.exact:
                message = f"{image.label}: found as {match.path}"
                self._note(message, "images found by the last part of their name")
            yield from self._converted(image, match)

    def _converted(self, image: _Image, match: Match | None) -> Iterator[ConvertedImage]:
        path = match.path if match else None
        try:
            frame, notes = annotated_frame(path, image.size, _extent(image.annotations), str(self.file.path))
        except ValueError as reason:
            self._leave_out(image, str(reason))
            return
        self.problems.extend(notes)
        name = match.name if match else below(_without_query(image.name))
        converted = list(self._rows(image.annotations, frame))
        rows = tuple(each.row for each in converted if each.row)
        objects = np.array([each.truth for each in converted]).reshape(-1, 7)
        ids = tuple(self.annotation_ids[each.key] for each in converted) if self.annotation_ids else ()
        truth = ImageTruth(self.image_ids[image.key], str(name), frame.picture, objects, ids)
        yield ConvertedImage(path, name, rows, truth)

    def _found(self, image: _Image) -> Match | None:
        try:
            match = self.finder.find(image.name)
        except ValueError as reason:  # several
            self._leave_out(image, f"{reason}; give the folder of the images")
            return None
        if match is None and self.placing != "none":
            self._leave_out(image, f"no such file in {self.finder.places}; give the folder of the images")
        return match

    def _listed(self) -> list[_Image]:
        """The images with their annotations. One that is listed several times counts once."""
        grouped = self._by_image()
        names: dict[str, dict[str, Size | None]] = defaultdict(dict)  # of each id: usually one
        for entry in self.file.images:
            key, name = id_key(entry.get("id")), _file_name(entry)
            if key is not None and name:
                names[key].setdefault(name, positive_size(entry.get("width"), entry.get("height")))
        listed: dict[str, _Image] = {}
        seen: set[str] = set()
        for entry in self.file.images:
            key, name = id_key(entry.get("id")), _file_name(entry)
            repeated, label = key in seen, f"image {entry.get('id')!r} ({name})"
            annotations = [] if key is None or repeated else grouped.pop(key, [])
            size = positive_size(entry.get("width"), entry.get("height"))
            image = _Image(label, key or "", name or "", size, annotations)
            if key is None or not name:
                self._leave_out(image, "it has no id" if key is None else "it has no file_name")
                continue
            seen.add(key)
            if len(names[key]) > 1:
                self._leave_out(image, f"its id belongs to {len(names[key])} images, so its annotations are unknown")
            elif name not in listed:
                listed[name] = image
            elif size != listed[name].size:
                self._leave_out(image, "it is listed before with another size")
            else:
                listed[name].annotations.extend(annotations)
                self._note(f"{label}: listed more than once; taken together", "images listed more than once")
        return list(listed.values())

    def _by_image(self) -> dict[str, list[dict[str, Any]]]:
        known = {id_key(entry.get("id")) for entry in self.file.images} - {None}
        grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for annotation in self.file.annotations:
            key = id_key(annotation.get("image_id"))
            if key is not None and key in known:
                grouped[key].append(annotation)
            else:
                reason = f"there is no image {annotation.get('image_id')!r}"
                self._problem(f"annotation {annotation.get('id')!r}: {reason}; left out", LEFT_OUT)
        return grouped

    def _leave_out(self, image: _Image, reason: str) -> None:
        count = f" with its {len(image.annotations)} annotations" if image.annotations else ""
        self._problem(f"{image.label}: {reason}; left out{count}", IMAGES_OUT)

    def _problem(self, message: str, kind: str) -> None:
        self.problems.append(Problem(str(self.file.path), None, message, kind))

    def _note(self, message: str, kind: str) -> None:
        self.problems.append(Problem(str(self.file.path), None, message, kind, note=True))

    def _rows(self, annotations: list[dict[str, Any]], frame: Frame) -> Iterator[Written]:
        """The annotations of one image."""
        for annotation in annotations:
            label = f"annotation {annotation.get('id')!r}"
            is_crowd = is_set(annotation.get("iscrowd"))
            if is_crowd and self.crowd != "keep":
                keep = "" if self.crowd else ", which crowd='keep' (in a shell: --crowd keep) writes as a box"
                message = f"{label}: a crowd{keep}; left out of the labels"
                self.problems.append(Problem(str(self.file.path), None, message, CROWDS, note=self.crowd == "drop"))
                yield from self._without_label(annotation, frame, is_crowd)
                continue
            try:
                outline, counts_as_crowd = self.polygons and not is_crowd, is_crowd and not self.file.is_crowds_alone
                written = written_annotation(annotation, frame, self.classes, outline, counts_as_crowd)
            except ValueError as reason:
                kept = list(self._without_label(annotation, frame, is_crowd))
                self._problem(f"{label}: {reason}; left out{' of the labels' if kept else ''}", LEFT_OUT)
                yield from kept
                continue
            if angle := rotation_of(annotation):
                self._note(f"{label}: turned by {angle:g} degrees; the extent of the turned box is written", ROTATED)
            if is_crowd or written.note:
                crowd = "a crowd; its box is written" + ("" if counts_as_crowd else ", and counts as an object")
                message = f"{label}: {crowd if is_crowd else written.note}"
                self._note(message, "annotations changed")
            yield written._replace(key=id_key(annotation.get("id")) or "")

    def _without_label(self, annotation: dict[str, Any], frame: Frame, is_crowd: bool) -> Iterator[Written]:
        """What the annotation file keeps of an annotation that has no label; nothing where nobody can use it."""
        with contextlib.suppress(ValueError):
            written = without_label(annotation, frame, self.classes, is_crowd)
            yield written._replace(key=id_key(annotation.get("id")) or "")


def _annotation_ids(file: CocoFile) -> dict[str, int]:
    """The number of each annotation, by its id: the same; none where one of them is text or stands twice."""
    keys = {key for entry in file.annotations if (key := id_key(entry.get("id"))) is not None}
    return (whole_numbers(keys) or {}) if len(keys) == len(file.annotations) else {}


def _image_ids(file: CocoFile) -> dict[str, int]:
    """The number of each image, by its id: the same; its place in the list, from 1, where an id is text."""
    keys = dict.fromkeys(key for entry in file.images if (key := id_key(entry.get("id"))) is not None)
    return whole_numbers(keys) or {key: place for place, key in enumerate(keys, start=1)}


def _repeated(found: Mapping[str, Sequence[tuple[_Image, Match | None]]]) -> list[Problem]:
    """A note for each picture that files of several splits list."""
    splits: dict[Path, list[str]] = defaultdict(list)
    for split, pairs in found.items():
        for path in dict.fromkeys(match.path.resolve() for _, match in pairs if match):
            splits[path].append(split)
    kind = "images in several splits"
    several = [(path, " and ".join(names)) for path, names in splits.items() if len(names) > 1]
    return [
        Problem(str(path), None, f"listed for {names}: written to each of them", kind, True) for path, names in several
    ]


def _unnamed(found: Sequence[tuple[_Image, Match | None]], folder: str | Path | None) -> list[Problem]:
    """A note for each picture in the folder of the images, or beside those that were found, that no file names."""
    used = {match.path.resolve() for _, match in found if match}
    lost = {folded(reading.name) for image, match in found if not match for reading in readings(image.name)}
    indices = [ImageIndex(place, deep=False) for place in sorted({match.path.parent for _, match in found if match})]
    if folder is not None:
        indices = [ImageIndex(Path(folder))]
    paths = [path for index in indices for path in index.files]
    kind, message = "images that no annotation file lists", "no annotation file lists it; not converted"
    left = [path for path in paths if path.resolve() not in used and folded(path.name) not in lost]
    return [Problem(str(path), None, message, kind, note=True) for path in left]


def _file_name(entry: Mapping[str, Any]) -> str | None:
    """The name of an image; LVIS gives its address alone."""
    name = entry.get("file_name") or entry.get("coco_url")
    return str(name) if name else None


def _without_query(name: str) -> str:
    """The name of an image that is not at hand: as it is written, or the file that an address leads to."""
    return str(readings(name)[0]) if "?" in name and readings(name) else name


def _has_keypoints(annotation: Mapping[str, Any]) -> bool:
    """Whether there are any; COCO writes zeros where none is visible."""
    keypoints = annotation.get("keypoints")
    return isinstance(keypoints, list) and any(keypoints)


def _extent(annotations: list[dict[str, Any]]) -> tuple[float, float]:
    """How far to the right and down the boxes reach, in pixels; 0 without any."""
    corners = [np.zeros(4)]
    for annotation in annotations:
        try:
            box = box_of(annotation)
        except ValueError:  # reported where it is left out
            continue
        if box is not None:
            corners.append(box)
    return tuple(np.max(corners, axis=0)[2:].tolist())
