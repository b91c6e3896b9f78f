"""Pascal VOC -> a YOLO folder.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. One XML file per image; a box names its first and its last
pixel, counted from 1: in coordinates that count from 0 at the pixel's edge it spans xmin - 1 to xmax.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from yolo_lite.data.convert.converted import (
    SPLITS,
    ConvertedImage,
    Placing,
    actual_size,
    box_row,
    check_output,
    clipped_box,
    numbers,
    positive_size,
    reaches_over,
    write_dataset,
)
from yolo_lite.data.images import IMAGE_SUFFIXES, Size
from yolo_lite.data.report import DatasetError, Problem, Report

LEFT_OUT = "objects left out"


def convert_voc(
    folder: str | Path,
    out_dir: str | Path,
    names: Sequence[str] | None = None,
    *,
    placing: Placing = "link",
    difficult: bool = True,
    one_based: bool = True,
    progress: bool = False,
) -> Report:
    """Converts Pascal VOC annotations into a YOLO folder: images/, labels/, data.yaml.

    ``folder`` has ``Annotations/*.xml``, JPEGImages/ and ImageSets/Main/train.txt, val.txt, test.txt (trainval.txt
    where the first two are missing). Without ImageSets everything is "train"; XML files beside their images will do
    too.
    A bad object is left out and reported with its file and line.

    Args:
        names: the classes, in the order of their numbers; None takes all that occur, sorted by name. With names given,
            objects of other classes are left out and reported.
        out_dir: a new or empty folder.
        placing: "link" (hard links, or copies where the disk cannot link), "copy", or "none" (labels only).
        difficult: keep objects marked as difficult.
        one_based: coordinates count pixels from 1, as in VOC itself. Some labelling tools write them from 0: False.
        progress: a bar on stderr, where that is a terminal.
    Returns:
        What was written, and all problems.
    Raises:
        FileExistsError: out_dir is not empty. FileNotFoundError: no annotations in the folder.
        DatasetError: no object of any class.

    Example::

        report = convert_voc("VOCdevkit/VOC2012", "voc2012")
    """
    folder, out_dir = Path(folder), Path(out_dir)
    check_output(out_dir, placing)
    annotation_dir = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    if not annotation_dir.is_dir() or not any(annotation_dir.glob("*.xml")):
        raise FileNotFoundError(f"{folder}: no Annotations/*.xml there, which a Pascal VOC folder has")
    problems: list[Problem] = []
    splits = {
        split: _read_split(annotation_dir, stems, problems) for split, stems in _splits(folder, annotation_dir).items()
    }
    found = sorted({found.name for files in splits.values() for file in files for found in file.objects})
    names = list(names) if names else found
    if not names:
        raise DatasetError(f"{annotation_dir}: not one object in the annotations, so there are no classes")
    converter = _Converter(_image_files(folder), names, placing, difficult, one_based, problems)
    images = {split: converter.images(files) for split, files in splits.items()}
    return write_dataset(out_dir, names, images, problems, placing, progress)


# ---- reading --------------------------------------------------------------------------------------------------------


class VocObject(NamedTuple):
    """One object of an XML file, as it is written there."""

    name: str
    box: tuple[str | None, ...]  # xmin, ymin, xmax, ymax as they are written
    difficult: bool
    line: int


class VocFile(NamedTuple):
    """What a Pascal VOC XML file holds."""

    path: Path
    image_name: str  # as the file has it, '' where it does not
    size: Size | None
    objects: tuple[VocObject, ...]


def _splits(folder: Path, annotation_dir: Path) -> dict[str, list[str]]:
    """The stems of the files in each split."""
    lists = {split: folder / "ImageSets" / "Main" / f"{split}.txt" for split in (*SPLITS, "trainval")}
    found = {split: _stems(path) for split, path in lists.items() if path.is_file()}
    together = found.pop("trainval", None)
    if together and not {"train", "val"} & set(found):
        found = {"train": together, **found}
    return found or {"train": sorted(path.stem for path in annotation_dir.glob("*.xml"))}


def _stems(path: Path) -> list[str]:
    """The first word of each line, with or without an image suffix."""
    words = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return [word[: -len(Path(word).suffix)] if Path(word).suffix.lower() in IMAGE_SUFFIXES else word for word in words]


def _read_split(annotation_dir: Path, stems: Sequence[str], problems: list[Problem]) -> list[VocFile]:
    files = []
    for stem in stems:
        path = annotation_dir / f"{stem}.xml"
        try:
            files.append(_read_file(path))
        except FileNotFoundError:
            problems.append(Problem(str(path), None, "no such annotation file; image left out", "images left out"))
        except (ValueError, expat.ExpatError) as reason:
            problems.append(Problem(str(path), None, f"{reason}; image left out", "images left out"))
    return files


def _read_file(path: Path) -> VocFile:
    root = parse_xml(path.read_bytes())
    size = positive_size(root.findtext("size/width"), root.findtext("size/height"))
    objects = []
    for entry in root.findall("object"):
        box = entry.find("bndbox")
        corners = tuple(box.findtext(key) if box is not None else None for key in ("xmin", "ymin", "xmax", "ymax"))
        is_difficult = (entry.findtext("difficult") or "0").strip() not in ("0", "")
        objects.append(
            VocObject((entry.findtext("name") or "").strip(), corners, is_difficult, int(entry.get(LINE, 0)))
        )
    return VocFile(path, _text(root, "filename"), size, tuple(objects))


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


LINE = "{yolo-lite}line"  # the attribute that parse_xml adds; no file can have it, a name has no braces


def parse_xml(data: bytes) -> Element:
    """Parses XML that may come from anywhere: a DTD, and with it every entity, is refused.

    Each element gets the line it starts on as its attribute ``LINE``.

    Raises:
        ValueError: the file declares a DTD. expat.ExpatError: it is not well-formed.
    """

    def refuse(*_: object) -> None:
        raise ValueError("it declares a DTD or entities, which annotations do not need; not read")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: builder.start(
        tag, {**attributes, LINE: str(parser.CurrentLineNumber)}
    )
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()


def _image_files(folder: Path) -> dict[str, Path]:
    """Image files by their names, and by their names without the suffix."""
    files: dict[str, Path] = {}
    for place in (folder / "JPEGImages", folder / "images", folder):
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                files.setdefault(path.name, path)
                files.setdefault(path.stem, path)
    return files


# ---- converting -----------------------------------------------------------------------------------------------------


class _Converter(NamedTuple):
    files: dict[str, Path]
    names: Sequence[str]
    placing: Placing
    difficult: bool
    one_based: bool
    problems: list[Problem]

    def images(self, annotated: Sequence[VocFile]) -> Iterator[ConvertedImage]:
        """One image after the other; adds what is wrong to the problems."""
        for file in annotated:
            source = self.files.get(file.path.stem) or self.files.get(file.image_name)
            try:
                if source is None and self.placing != "none":
                    raise ValueError(f"no image {file.path.stem}.jpg (or another suffix) in JPEGImages")
                size, notes = actual_size(source, file.size, str(file.path))
            except ValueError as reason:
                message = f"{reason}; left out with its {len(file.objects)} objects"
                self.problems.append(Problem(str(file.path), None, message, "images left out"))
                continue
            self.problems.extend(notes)
            yield ConvertedImage(source, self._name(file, source), tuple(self._rows(file, size)))

    def _name(self, file: VocFile, source: Path | None) -> PurePosixPath:
        return PurePosixPath(source.name if source else f"{file.path.stem}.jpg")

    def _rows(self, file: VocFile, size: Size) -> Iterator[str]:
        for found in file.objects:
            if found.difficult and not self.difficult:
                self._note(file, found, "marked as difficult; left out", "difficult objects left out")
                continue
            try:
                if found.name not in self.names:
                    raise ValueError(f"class {found.name!r} is not one of those asked for")
                box = self._box(found)
                row = box_row(self.names.index(found.name), clipped_box(box, size), size)
            except ValueError as reason:
                self.problems.append(Problem(str(file.path), found.line, f"{reason}; left out", LEFT_OUT))
                continue
            if reaches_over(box, size):
                self._note(file, found, "reached over the border; clipped to the image", "objects changed")
            yield row

    def _box(self, found: VocObject) -> np.ndarray:
        """(4,) xyxy pixels from the image's corner."""
        first = 1.0 if self.one_based else 0.0
        return numbers(found.box, "bndbox") - (first, first, 0.0, 0.0)

    def _note(self, file: VocFile, found: VocObject, message: str, kind: str) -> None:
        self.problems.append(Problem(str(file.path), found.line, message, kind, note=True))
