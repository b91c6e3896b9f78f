"""Which label file belongs to which image, and which label files belong to none."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from yolo_lite.data.report import Problem
from yolo_lite.datasets.files.class_lists import CLASS_FILES, LATER_FILES
from yolo_lite.datasets.files.elsewhere import Finder, same_letters
from yolo_lite.datasets.files.label_rows import image_to_label_path
from yolo_lite.datasets.files.text import read_lines
from yolo_lite.images.folders import files_below
from yolo_lite.images.kinds import ARRAY_SUFFIX, IMAGE_SUFFIXES, UNREAD_SUFFIXES

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
SHARED = "images that share a label file"
STRAY = "label files without an image"


class Matched(NamedTuple):
    """The label file of each image, and what else there is."""

    paths: list[str | None]  # one per image, None where it has no label file
    unused: list[str]  # label files in the same folders that belong to none of them


def match_label_files(
    images: Sequence[str], folders: Iterable[str | Path] = (), roots: Iterable[str | Path] = ()
) -> Matched:
    """Finds the label file of each image: where image_to_label_path says, else beside the image, else in places nearby.

    Names are compared as they are; images that are left over then take files whose names differ in capital letters or
    in how an accent is stored, or that are called ``a.jpg.txt``.

    Args:
        folders: where label files would lie that belong to none of the images, besides the folders of those that do.
        roots: the dataset's own folders: label files outside them come last, and are not missed where they belong to
            none.
    """
    places = LabelFolders(roots)
    exact = [places.exact(image) for image in images]
    taken = {path for path in exact if path}
    paths = [path or places.alike(image, taken) for path, image in zip(exact, images, strict=True)]
    taken.update(path for path in paths if path)
    there = {path for folder in {os.path.dirname(path) for path in taken} for path in places.files(folder)}
    for folder in filter(places.is_inside, map(str, folders)):
        actual = places.actual(folder)
        there.update(files_below(actual, (".txt",)) if actual else [])
    return Matched(paths, sorted(there - taken))


class LabelFolders:
    """Folders of label files, each listed once."""

    def __init__(self, roots: Iterable[str | Path] = ()) -> None:
        self._roots = [Path(os.path.abspath(root)) for root in roots]
        self._files: dict[str, list[str]] = {}  # folder -> names of its label files
        self._stems: dict[str, dict[str, str]] = {}  # folder -> stem -> path; .txt before .TXT
        self._alike: dict[str, dict[str, list[str]]] = {}  # folder -> same_letters of the stem -> paths
        self._folders: dict[str, list[str]] = {}  # folder of images -> folders of labels, the likeliest first

    def exact(self, image: str) -> str | None:
        """The label file of exactly the image's name."""
        stem = os.path.splitext(os.path.basename(image))[0]
        return next((found for folder in self.folders(image) if (found := self._listed(folder).get(stem))), None)

    def alike(self, image: str, taken: set[str]) -> str | None:
        """The one label file that is not taken and whose name means the same."""
        name = Path(image)
        for folder in self.folders(image):
            for meant in (name.stem, name.name):
                found = [path for path in self._alike[folder].get(same_letters(meant), []) if path not in taken]
                if len(found) == 1:
                    return found[0]
        return None

    def files(self, folder: str) -> list[str]:
        """All label files of a folder."""
        self._listed(folder)
        return [os.path.join(folder, name) for name in self._files[folder]]

    def _listed(self, folder: str) -> dict[str, str]:
        if folder not in self._files:
            names = [name for name in _names(folder) if name.lower().endswith(".txt") and not name.startswith(".")]
            self._files[folder], self._alike[folder] = names, {}
            self._stems[folder] = {name[:-4]: os.path.join(folder, name) for name in names}  # small letters come last
            for name in names:
                self._alike[folder].setdefault(same_letters(name[:-4]), []).append(os.path.join(folder, name))
        return self._stems[folder]

    def folders(self, image: str) -> list[str]:
        """Where the label file of an image may lie: folders that exist."""
        parent = os.path.dirname(image)
        if parent not in self._folders:
            mirrored, *others = (self.actual(folder) for folder in label_folders(parent))
            flat = self.actual(flat_label_folder(parent)) if mirrored is None else None
            found = dict.fromkeys(folder for folder in (mirrored, *others, flat) if folder)
            # below /home/me/images/pets, labels lie beside the pictures rather than in /home/me/labels/pets
            self._folders[parent] = sorted(found, key=lambda folder: self.is_inside(parent) > self.is_inside(folder))
        return self._folders[parent]

    def is_inside(self, folder: str) -> bool:
        """Whether a folder belongs to the dataset; True where nothing is known of that."""
        path = Path(os.path.abspath(folder))
        return not self._roots or any(path.is_relative_to(root) for root in self._roots)

    def actual(self, folder: str) -> str | None:
        """The folder, in whatever letters its name is written; None where there is none."""
        if os.path.isdir(folder):
            return folder
        path = Path(folder)
        anchor = next(parent for parent in path.parents if parent.is_dir() or parent == parent.parent)
        found = Finder([anchor]).tail(path.relative_to(anchor).parts, 0)
        return str(found) if found and found.is_dir() else None


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


def flat_label_folder(folder: str) -> str:
    """Where all labels lie together while the images have a folder for each split.

    >>> flat_label_folder("pets/images/train")
    'pets/labels'
    """
    parts = Path(folder).parts
    images = [place for place, part in enumerate(parts) if part.lower() == "images"]
    return str(Path(*parts[: images[-1]], "labels") if images else Path(folder, "labels"))


def label_folders(folder: str) -> list[str]:
    """Where the labels of the images in a folder may lie, the likeliest first.

    >>> label_folders("pets/images/train")
    ['pets/labels/train', 'pets/images/train', 'pets/images/train/labels', 'pets/images/labels/train']
    """
    here = Path(folder)
    parts = list(here.parts)
    found = [Path(image_to_label_path(here / "any.jpg")).parent, here]
    for place, part in reversed(list(enumerate(parts))):
        if part.lower() == "images":  # ``images`` twice in a path: each of them
            found.append(Path(*parts[:place], "labels", *parts[place + 1 :]))
    found += [here / "labels", here.parent / "labels" / here.name]
    if "images" not in [part.lower() for part in parts]:
        found.append(here.parent / "labels")
    return list(dict.fromkeys(map(str, found)))


def label_files_without_an_image(
    unused: Iterable[str], labels: Mapping[str, str | None], known: Iterable[str]
) -> list[Problem]:
    """A problem for each unused label file: an image that was renamed or removed, perhaps.

    Left alone are lists, class names and other texts, and label files of pictures that are there all the same.

    Args:
        labels: the label file of each image of the dataset.
        known: other pictures: of other splits, or of kinds that are not read.
    """
    used = {os.path.abspath(image): label for image, label in labels.items()}
    others = {same_letters(Path(path).stem) for path in known}
    folders: dict[str, dict[str, list[str]]] = {}
    problems = []
    for path in unused:
        rows = count_rows(path)
        if rows is None or same_letters(Path(path).stem) in others:
            continue
        pictures = _pictures_of(path, folders)
        here = [picture for picture in pictures if picture in used]
        if pictures and not here:
            continue  # the label file of a picture that this list does not name
        another = next((f", {used[picture]}" for picture in here if used[picture]), "")
        reason = f"its image has another label file{another}" if here else "no image belongs to it"
        message = f"{reason}; not used ({rows} {'row' if rows == 1 else 'rows'})"
        problems.append(Problem(path, None, message, STRAY, note=not rows))
    return problems


def _pictures_of(path: str, folders: dict[str, dict[str, list[str]]]) -> list[str]:
    """The pictures that a label file may belong to: beside it, or in the folder that mirrors its own."""
    here = Path(path).parent
    parts = list(here.parts)
    places = [here]
    for place, part in enumerate(parts):
        if part.lower() == "labels":
            places += [Path(*parts[:place], images, *parts[place + 1 :]) for images in ("images", "Images", "IMAGES")]
            places.append(Path(*parts[:place], *parts[place + 1 :]))
    found = []
    for folder in map(os.path.abspath, places):
        if folder not in folders:
            folders[folder] = {}
            for name in _names(folder):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES, ARRAY_SUFFIX):
                    folders[folder].setdefault(same_letters(stem), []).append(os.path.join(folder, name))
        found += folders[folder].get(same_letters(Path(path).stem), [])
    return found


def count_rows(path: str) -> int | None:
    """Rows in a label file; None for another kind of text: a list, class names, a README."""
    if os.path.basename(path).lower() in (*CLASS_FILES, *LATER_FILES):
        return None
    try:
        lines = [text.split() for text in read_lines(path)]
    except OSError:
        return 0
    rows = [fields for fields in lines if sum(NUMBER.fullmatch(field) is not None for field in fields) >= 4]
    return len(rows) if rows or not any(lines) else None


def shared_label_files(images: Sequence[str], labels: Sequence[str | None]) -> list[Problem]:
    """A note for each image whose label file is another image's too: a.jpg and a.png have one a.txt."""
    first: dict[str, str] = {}
    notes = []
    for image, label in zip(images, labels, strict=True):
        if label is not None and first.setdefault(label, image) != image:
            message = f"{label} is the label file of {first[label]} too; both have its objects"
            notes.append(Problem(image, None, message, SHARED, note=True))
    return notes
