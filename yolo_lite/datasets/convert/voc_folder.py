"""Where things are in a Pascal VOC folder: annotation files, their images, and the splits they belong to."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.convert.finding import IMAGE_FOLDERS, ImageIndex, distinct, folded, nearest, readings, split_of
from yolo_lite.datasets.convert.voc_file import VocFile
from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES
from yolo_lite.images.folders import files_below
from yolo_lite.images.headers import Size, image_size
from yolo_lite.images.kinds import IMAGE_SUFFIXES
from yolo_lite.images.reading import ImageError

ANNOTATION_FOLDERS = ("annotations", "annotation", "xml", "xmls", "labels")  # in lower case
NEAR = 3  # levels below a folder that VOC's own may be


class Annotation(NamedTuple):
    """An annotation file and where it belongs."""

    path: Path
    split: str | None  # None: its folders do not say
    below: str  # its folder below the one for its split and kind; '' in most datasets


class Choice(NamedTuple):
    """The image of an annotation file."""

    path: Path
    note: str = ""  # what was decided, where there was something to decide


class VocFolder(NamedTuple):
    """The annotation files of a folder and what was found beside them."""

    root: Path
    annotations: tuple[Annotation, ...]
    listed: frozenset[str]  # the splits that ImageSets lists
    indices: tuple[ImageIndex, ...]  # where images are, the likeliest place first
    places: str  # the same in words
    claims: Mapping[Path, tuple[Path, ...]]  # of each image, the annotation files that are called as it is
    problems: tuple[Problem, ...]

    @classmethod
    def find(cls, folder: Path, images: Path | None) -> "VocFolder":
        """Looks through a folder.

        Raises:
            FileNotFoundError: no XML file there, or no such folder. DatasetError: several VOC folders in one.
        """
        for place, what in ((folder, "folder"), (images, "folder of images")):
            if place is not None and not place.is_dir():
                raise FileNotFoundError(f"{place}: there is no such {what}")
        if not (paths := [Path(path) for path in files_below(folder, (".xml",))]):
            raise FileNotFoundError(f"{folder}: no .xml file there, nor in the folders below it")
        root, main = _image_sets(folder)
        listed = {} if main is None else _lists(main, {path.stem for path in paths})
        annotations = _listed(listed, paths, root) if listed else _placed(paths, folder)
        problems = _unlisted(paths, annotations, main) if main and listed else []
        indices = _indices(folder if main is None else root, images)
        places = " or ".join(str(index.folder) for index in indices)
        claims = _claims(indices, paths)
        return cls(root, tuple(annotations), frozenset(listed), tuple(indices), places, claims, tuple(problems))

    def image_of(self, annotation: Annotation, content: VocFile) -> Choice | None:
        """The image of an annotation file: of its own name, or of the one that it gives.

        Where there are both, and they differ, the recorded size decides, or another annotation file that is called as
        the one that is named: then the name was left behind when the files were renamed.

        Raises:
            ValueError: several files could be meant, or the file that is named belongs to another annotation file.
        """
        given = [reading for name in content.image_names for reading in readings(name)]
        for number, index in enumerate(self.indices):
            own = _called_as(index, annotation.path)
            agreeing = [path for path in own if any(folded(path.name) == folded(reading.name) for reading in given)]
            own = distinct(agreeing or own)
            if agreeing and len(own) == 1:
                return Choice(own[0])
            later = self.indices[number:] if own else (index,)
            named = next((found for place in later if (found := _named(place, given, annotation.path))), [])
            if own and named:
                return self._of_both(annotation, content.size, own, named)
            if len(own or named) > 1:
                raise ValueError(f"several files may be its image: {', '.join(map(str, (own or named)[:4]))}")
            if named and (other := self._claimed(named[0], annotation)):
                raise ValueError(f"it names {named[0]}, which {other} belongs to by its own name")
            if own or named:
                return Choice((own or named)[0])
        return None

    def _of_both(self, annotation: Annotation, size: Size | None, own: list[Path], named: list[Path]) -> Choice:
        """Of the files called as the annotation file and those that it names, the one that is meant."""
        files = distinct([*own, *named])
        words = f"its own name is that of {own[0]}, and its <filename> names {named[0]}"
        fitting = [path for path in files if _has_size(path, size)]
        other = self._claimed(named[0], annotation)
        if len(files) == 1:  # copies
            return Choice(own[0] if other else named[0])
        if len(fitting) == 1 and not (other and fitting[0] in named):
            return Choice(fitting[0], f"{words}; {fitting[0].name} is used, the only one with the recorded size")
        if len(own) == 1 and other and fitting != named:
            return Choice(own[0], f"{words}, the image of {other.name}; {own[0].name} is used")
        raise ValueError(f"which image is meant? {words}: rename one of the files, or correct the <filename>")

    def _claimed(self, image: Path, annotation: Annotation) -> Path | None:
        """Another annotation file that is called as an image."""
        return next((path for path in self.claims.get(image, ()) if path != annotation.path), None)

    def split_of(self, annotation: Annotation, image: Path | None) -> str:
        """The split of an annotation file, from its own folders or those of its image; otherwise "train"."""
        if annotation.split is None and image is not None and not self.listed:
            for index in self.indices:
                if index.folder in image.parents:
                    return split_of(image.relative_to(index.folder).parent.parts) or "train"
        return annotation.split or "train"

    def unused(self, used: set[Path]) -> list[Problem]:
        """A note for each image that is not converted: no annotation file belongs to it, or one that is left out."""
        return [self._unused(path) for path in self.indices[0].files if path not in used]

    def _unused(self, image: Path) -> Problem:
        if not (claims := self.claims.get(image)):
            kind, message = "images without an annotation file", "no annotation file belongs to it; not converted"
        elif any(annotation.path in claims for annotation in self.annotations):
            kind, message = "images of annotation files left out", f"{claims[0]} is left out or has another image"
        else:
            kind, message = "images of annotation files in no list", f"{claims[0]} is in no list; not converted"
        return Problem(str(image), None, message, kind, note=True)


def nearest_to(paths: list[Path], annotation: Path) -> list[Path]:
    """Of several images, those in the annotation's folder, or else in folders that share most names with its own."""
    if len(paths) < 2:
        return paths
    beside = [path for path in paths if path.parent == annotation.parent]
    if beside:
        return beside
    own = {folded(part) for part in annotation.parent.parts}
    shared = [len(own & {folded(part) for part in path.parent.parts}) for path in paths]
    return [path for path, count in zip(paths, shared, strict=True) if count == max(shared)]


def _called_as(index: ImageIndex, annotation: Path) -> list[Path]:
    """The images that have an annotation file's own name."""
    return nearest_to(index.with_stem(annotation.stem) or index.named(annotation.stem), annotation)  # a.jpg.xml


def _named(index: ImageIndex, given: Iterable[PurePosixPath], annotation: Path) -> list[Path]:
    """The images that an annotation file names, by the first of its names that there is."""
    found = (nearest_to(nearest(index.named(reading.name), reading.parent), annotation) for reading in given)
    return distinct(next(filter(None, found), []))


def _claims(indices: Iterable[ImageIndex], annotations: Iterable[Path]) -> dict[Path, tuple[Path, ...]]:
    claims: dict[Path, tuple[Path, ...]] = defaultdict(tuple)
    for annotation in annotations:
        found = next(filter(None, (_called_as(index, annotation) for index in indices)), [])
        for image in found:
            claims[image] += (annotation,)
    return dict(claims)


def _has_size(image: Path, size: Size | None) -> bool:
    """Whether an image has a size, as it is or turned by its EXIF data; True for an unknown one."""
    try:
        return size is None or sorted(image_size(image)) == sorted(size)
    except (ImageError, OSError):
        return False


# ---- splits ---------------------------------------------------------------------------------------------------------


def _image_sets(folder: Path) -> tuple[Path, Path | None]:
    """The folder that has ImageSets, and the folder of its lists; (folder, None) where there is none."""
    above = [folder.parent] if folder.name.lower() in ANNOTATION_FOLDERS else []
    below = [Path(parent) for parent, folders, _ in os.walk(folder) if _depth(parent, folder, folders) < NEAR]
    found = {root: main for root in [*above, *below] if (main := _lists_in(root / "ImageSets"))}
    if len(found) > 1:
        raise DatasetError(f"{folder}: several VOC folders, give one of them: {', '.join(map(str, found))}")
    return next(iter(found.items()), (folder, None))


def _lists_in(image_sets: Path) -> Path | None:
    """The folder with the lists: Main, or where there is none ImageSets itself."""
    if (image_sets / "Main").is_dir():
        return image_sets / "Main"
    return image_sets if any(image_sets.glob("*.txt")) else None


def _depth(parent: str, folder: Path, folders: list[str]) -> int:
    """How far below a folder another one is; cuts a walk short where it is far enough."""
    depth = len(Path(parent).relative_to(folder).parts)
    if depth + 1 >= NEAR:
        folders.clear()
    return depth


def _lists(main: Path, known: Container[str]) -> dict[str, list[str]]:
    """The stems of the files in each split, whose list may be spelled as its folder may: val.txt, valid.txt ..."""
    found: dict[str, dict[str, None]] = defaultdict(dict)  # an ordered set
    for path in sorted(main.iterdir()):
        if path.suffix.lower() == ".txt" and path.is_file():
            split = "trainval" if path.stem.lower() == "trainval" else split_of([path.stem])
            found[split or ""].update(dict.fromkeys(_stems(path, known) if split else ()))
    together = found.pop("trainval", None)
    if together and not (found["train"] or found["val"]):
        found["train"] = together
    return {split: list(found[split]) for split in SPLIT_NAMES if found[split]}


def _stems(path: Path, known: Container[str]) -> list[str]:
    """What each line names, without an image suffix: all of it where a file is called so, otherwise its first word."""
    stems = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8, save it as UTF-8 ({error})") from None
    for line in lines:
        if line.strip():
            whole, first = _without_suffix(line.strip()), _without_suffix(line.split()[0])
            stems.append(whole if whole in known else first)
    return stems


def _without_suffix(name: str) -> str:
    suffix = Path(name).suffix
    return name[: -len(suffix)] if suffix.lower() in IMAGE_SUFFIXES else name


def _listed(lists: dict[str, list[str]], paths: list[Path], root: Path) -> list[Annotation]:
    """An annotation for each line; the path of one that is missing is where VOC would have it."""
    by_stem = {path.stem: path for path in reversed(paths)}
    missing = next((path.parent for path in paths), root / "Annotations")
    return [
        Annotation(by_stem.get(Path(f"{stem}.xml").stem, missing / f"{stem}.xml"), split, "")
        for split, stems in lists.items()
        for stem in stems
    ]


def _unlisted(paths: list[Path], annotations: list[Annotation], main: Path) -> list[Problem]:
    """A problem for each file in no list; a note where it is in one for another task, as many of VOC's own are."""
    listed = {annotation.path for annotation in annotations}
    left = [path for path in paths if path not in listed]
    known = {path.stem for path in left}
    others = (main if main.name == "ImageSets" else main.parent).glob("*/*.txt") if left else ()
    elsewhere: set[str] = set()
    for path in others:
        with contextlib.suppress(DatasetError):  # not UTF-8: nothing is converted by it
            elsewhere.update(_stems(path, known) if path.parent != main else ())
    kind, message = "annotation files in no list", f"no list for train, val or test in {main} names it; not converted"
    return [Problem(str(path), None, message, kind, note=path.stem in elsewhere) for path in left]


def _placed(paths: list[Path], folder: Path) -> list[Annotation]:
    """The annotation files with the splits that their folders name."""
    kinds = (*ANNOTATION_FOLDERS, *IMAGE_FOLDERS)
    folders = [path.relative_to(folder).parent.parts for path in paths]
    below = [[part for part in parts if split_of([part]) is None and part.lower() not in kinds] for parts in folders]
    levels = enumerate(zip(*below, strict=False))  # folders that all of them are in say nothing
    shared = next((level for level, names in levels if len(set(names)) > 1), min(map(len, below)))
    return [
        Annotation(path, split_of(reversed(parts)), "/".join(own[shared:]))
        for path, parts, own in zip(paths, folders, below, strict=True)
    ]


# ---- images ---------------------------------------------------------------------------------------------------------


def _indices(folder: Path, images: Path | None) -> list[ImageIndex]:
    """Where images may be: the folder that is given; the annotations' own; those of the usual names beside it."""
    if images is not None:
        return [ImageIndex(images)]
    if files_below(folder, IMAGE_SUFFIXES):
        return [
            ImageIndex(place) for place in (*_usual(folder), folder)
        ]  # VOC has masks, too, called as the images are
    above = [folder.parent, *([folder.parent.parent] if folder.parent.name.lower() in ANNOTATION_FOLDERS else [])]
    beside = [ImageIndex(place) for parent in above for place in _usual(parent)]
    return beside or [ImageIndex(folder.parent, deep=False)]  # all that is below it may be of other datasets


def _usual(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.name.lower() in IMAGE_FOLDERS and entry.is_dir()]
