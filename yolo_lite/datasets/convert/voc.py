"""Pascal VOC -> a YOLO folder.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. One XML file per image; a box names its first and its last
pixel, counted from 1: in coordinates that count from 0 at the pixel's edge it spans xmin - 1 to xmax.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.datasets.convert.converted import (
    ROTATED,
    SPLITS,
    ConvertedImage,
    Placing,
    box_row,
    check_output,
    check_pixels,
    clipped_box,
    numbers,
    reaches_over,
    turned_extent,
    write_dataset,
)
from yolo_lite.datasets.convert.frame import Frame, annotated_frame
from yolo_lite.datasets.convert.voc_file import VocFile, VocObject, read_voc_file
from yolo_lite.datasets.convert.voc_folder import Annotation, Choice, VocFolder

LEFT_OUT, IMAGES_OUT = "objects left out", "images left out"


def convert_voc(
    folder: str | Path,
    out_dir: str | Path,
    names: Sequence[str] | None = None,
    *,
    images: str | Path | None = None,
    placing: Placing = "link",
    difficult: bool = True,
    one_based: bool = True,
    progress: bool = False,
) -> Report:
    """Converts Pascal VOC annotations into a YOLO folder: images/, labels/, data.yaml.

    Read are VOC's own folder (Annotations, JPEGImages, and ImageSets/Main/train.txt, val.txt, test.txt, or what else
    splits are called, or trainval.txt where the first two are missing), its variants (annotations and images, in
    small letters), XML files beside their images, and each of them inside train, valid and test, as Roboflow writes
    it; also a folder of XML files whose images are beside it. What belongs to no split is "train"; where there are
    lists, an annotation file in none of them is left out as a problem (as a note where ImageSets lists it for another
    task). A bad object is left out and reported with its file and line.

    Args:
        folder: the folder that all of it is in, or the one of the XML files.
        out_dir: a new or empty folder.
        names: the classes, in the order of their numbers; None: all that occur, sorted by name. With names given,
            objects of other classes are left out and reported.
        images: the folder of the images, which may be in folders below it; None looks at the usual places.
        placing: "link" (hard links, or copies where the disk cannot link), "copy", or "none" (labels only).
        difficult: keep objects marked as difficult.
        one_based: coordinates count pixels from 1, as in VOC itself. Some labelling tools write them from 0: False.
        progress: a bar on stderr, where that is a terminal.
    Returns:
        What was written, and all problems.
    Raises:
        FileExistsError: out_dir is not empty. FileNotFoundError: no annotations in the folder.
        DatasetError: no object of any class, a split of which no image can be used, or not one object that can be.

    Example::

        report = convert_voc("VOCdevkit/VOC2012", "voc2012")
    """
    out_dir = Path(out_dir)
    check_output(out_dir, placing)
    place = VocFolder.find(Path(folder), None if images is None else Path(images))
    names = [name.strip() for name in names or ()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"names has {repeated[0]!r} more than once: each class needs a name of its own")
    problems: list[Problem] = list(place.problems)
    files = [file for annotation in place.annotations if (file := _read(annotation, problems))]
    objects = [found for file in files for found in file.content.objects]
    names = names or sorted({found.name for found in objects if found.name})
    if not names:
        report = Report.of([], problems)
        message = f"{folder}: not one object with a name in the annotations, so there are no classes"
        raise DatasetError(f"{message}\n{report}", report)
    conversion = _Conversion(place, names, placing, difficult, one_based, problems)
    splits = conversion.splits(files)
    if one_based:
        problems += _from_zero(files)
    return write_dataset(out_dir, names, splits, problems, placing, progress, len(objects))


class _Read(NamedTuple):
    """An annotation file and its content."""

    annotation: Annotation
    content: VocFile


def _read(annotation: Annotation, problems: list[Problem]) -> _Read | None:
    """The file; None, and a problem, where it cannot be read."""
    try:
        return _Read(annotation, read_voc_file(annotation.path))
    except FileNotFoundError:
        reason = "no such annotation file"
    except (ValueError, expat.ExpatError, OSError) as error:
        reason = str(error)
    problems.append(Problem(str(annotation.path), None, f"{reason}; image left out", IMAGES_OUT))
    return None


def _from_zero(files: Sequence[_Read]) -> list[Problem]:
    """A note where boxes begin at 0, which VOC's own cannot."""
    places = [(file, found) for file in files for found in file.content.objects if _begins_at_zero(found)]
    if not places:
        return []
    file, found = places[0]
    total = sum(len(file.content.objects) for file in files)
    message = (
        f"{len(places)} of {total} objects begin at pixel 0, where VOC counts from 1. If your tool counts from 0, "
        "one_based=False (in a shell: --zero-based) keeps boxes from being 1 pixel off"
    )
    return [Problem(str(file.content.path), found.line, message, "coordinates that count from 0", note=True)]


def _begins_at_zero(found: VocObject) -> bool:
    try:
        return found.box is not None and 0.0 in numbers(found.box, "bndbox")[:2]
    except ValueError:
        return False


# ---- converting -----------------------------------------------------------------------------------------------------


class _Conversion(NamedTuple):
    """Turns files into images with rows; adds what is wrong to ``problems``."""

    place: VocFolder
    names: Sequence[str]
    placing: Placing
    difficult: bool
    one_based: bool
    problems: list[Problem]

    def splits(self, files: Sequence[_Read]) -> dict[str, Iterator[ConvertedImage]]:
        """The images of each split, one after the other."""
        grouped: dict[str, list[tuple[_Read, Path | None]]] = {}
        used: dict[Path, dict[str, Path]] = defaultdict(dict)  # of images, the annotation file in each split
        for file in files:
            try:
                choice = self._choice(file)
                source = choice.path if choice else None
                split = self.place.split_of(file.annotation, source)
                first = used[source or file.content.path].setdefault(split, file.content.path)
                if first != file.content.path:
                    raise ValueError(f"its image {source} has the annotations of {first} already")
            except ValueError as reason:
                self._leave_out(file.content, str(reason))
                continue
            if choice and choice.note:
                kind = "annotation files that name another image"
                self.problems.append(Problem(str(file.content.path), None, choice.note, kind, note=True))
            grouped.setdefault(split, []).append((file, source))
        self.problems.extend(_repeated(used))
        self.problems.extend(self.place.unused(set(used)))
        for split in sorted(self.place.listed - set(grouped)):
            message = f"not one image of the list for {split} can be used; there is no split {split}"
            self.problems.append(Problem(str(self.place.root), None, message, "splits left out"))
        return {split: self._images(grouped.get(split, [])) for split in SPLITS if split in grouped or not grouped}

    def _choice(self, file: _Read) -> Choice | None:
        """The image of a file; None where none is needed, and none is there."""
        choice = self.place.image_of(file.annotation, file.content)
        if choice is None and self.placing != "none":
            names = dict.fromkeys([f"{file.annotation.path.stem}.jpg", *file.content.image_names])
            where = f"in {self.place.places}; give the folder of the images"
            raise ValueError(f"no image {' or '.join(names)} {where}")
        return choice

    def _images(self, files: Sequence[tuple[_Read, Path | None]]) -> Iterator[ConvertedImage]:
        for file, source in files:
            content = file.content
            extent = _extent(content.objects)
            try:
                frame, notes = annotated_frame(source, content.size, extent, str(content.path))
            except ValueError as reason:
                self._leave_out(content, str(reason))
                continue
            self.problems.extend(notes)
            name = source.name if source else f"{content.path.stem}.jpg"
            yield ConvertedImage(source, PurePosixPath(file.annotation.below, name), tuple(self._rows(content, frame)))

    def _leave_out(self, file: VocFile, reason: str) -> None:
        message = f"{reason}; left out with its {len(file.objects)} objects"
        self.problems.append(Problem(str(file.path), None, message, IMAGES_OUT))

    def _rows(self, file: VocFile, frame: Frame) -> Iterator[str]:
        for found in file.objects:
            if found.difficult and not self.difficult:
                self._note(file, found, "marked as difficult; left out", "difficult objects left out")
                continue
            try:
                if not found.name:
                    raise ValueError("an object without a name")
                if found.name not in self.names:
                    raise ValueError(f"class {found.name!r} is not one of those asked for")
                box = self._box(found)
                row = box_row(self.names.index(found.name), clipped_box(box, frame.size), frame)
            except ValueError as reason:
                self.problems.append(Problem(str(file.path), found.line, f"{reason}; left out", LEFT_OUT))
                continue
            if found.turn:
                self._note(file, found, f"turned by {found.turn:g} degrees; the extent of it is written", ROTATED)
            if reaches_over(box, frame.size):
                self._note(file, found, "reached over the border; clipped to the image", "objects changed")
            yield row

    def _box(self, found: VocObject) -> np.ndarray:
        """(4,) xyxy pixels from the image's corner."""
        if found.box is None:
            raise ValueError(f"an object ({found.name}) without a bndbox")
        corners = numbers(found.box, "bndbox")
        check_pixels(corners)
        first = 1.0 if self.one_based else 0.0
        return turned_extent(corners - (first, first, 0.0, 0.0), found.turn)

    def _note(self, file: VocFile, found: VocObject, message: str, kind: str) -> None:
        self.problems.append(Problem(str(file.path), found.line, message, kind, note=True))


def _repeated(used: Mapping[Path, Mapping[str, Path]]) -> list[Problem]:
    """A note for each image in several splits."""
    kind = "images in several splits"
    several = [(path, files) for path, files in used.items() if len(files) > 1]
    return [
        Problem(str(path), None, f"it belongs to {' and '.join(files)}: written to each of them", kind, note=True)
        for path, files in several
    ]


def _extent(objects: Sequence[VocObject]) -> tuple[float, float]:
    """How far to the right and down the boxes reach, in pixels; 0 without any."""
    corners = [np.zeros(4)]
    for found in objects:
        try:
            corners.append(numbers(found.box, "bndbox"))
        except ValueError:  # reported where it is left out
            continue
    return tuple(np.max(corners, axis=0)[2:].tolist())
