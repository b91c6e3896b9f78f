"""Where a dataset's images are: data.yaml, obj.data, a folder, or a list of files. YOLOv5: `check_dataset`.

Nothing is read here but these files, the lists and the class names; nothing is written or fetched.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from yolo_lite._moved import moved_name
from yolo_lite.data.report import DatasetError, Problem
from yolo_lite.datasets.files.class_lists import ClassList, agreed, class_lists, disagreement, folders_above
from yolo_lite.datasets.files.declared import (
    FOUND_ELSEWHERE,
    USUAL_STEMS,
    Declared,
    declared_places,
    from_data_file,
    from_yaml,
    looks_declared,
)
from yolo_lite.datasets.files.elsewhere import SPLIT_NAMES, SPLIT_WORD, Finder, existing
from yolo_lite.datasets.files.image_lists import FIRST_LINES, ListedImage, listed_images, split_list
from yolo_lite.datasets.files.label_rows import image_to_label_path
from yolo_lite.images.kinds import ARRAY_SUFFIX, IMAGE_SUFFIXES

NOT_SEARCHED = ("runs", "wandb", "mlruns")  # what a training leaves beside its data has folders called train, too
NESTED_DEPTH = 3
OUTSIDE = "folders outside the splits"


class FoundDataset(NamedTuple):
    """What was found under a source."""

    places: tuple[Path, ...]  # folders of images, .txt lists, and single images
    names: tuple[str, ...] | None  # None: the source does not say
    keypoints: tuple[int, int] | None = None  # of data.yaml's kpt_shape
    notes: tuple[Problem, ...] = ()
    others: tuple[Path, ...] = ()  # the places of the other splits
    channels: int | None = None  # of the images, where data.yaml says it


class _FoundSplit(NamedTuple):
    """The places of one split, and the file that declares them."""

    places: tuple[Path, ...]
    notes: tuple[Problem, ...] = ()
    declared: Declared | None = None


def find_dataset(
    source: str | Path | Sequence[str | Path], split: str, names: Sequence[str] | None = None
) -> FoundDataset:
    """A source (see open_source) -> its folders and lists for one split, and the class names of all its splits.

    Args:
        names: class names that replace those of the source, which then need not agree.
    Raises:
        FileNotFoundError: a path that is not there. DatasetError: a data.yaml or folder without what is needed, or
        lists of class names that contradict each other.
    """
    if split not in SPLIT_NAMES:
        raise DatasetError(f"split {split!r} is unknown: choose one of {', '.join(SPLIT_NAMES)}")
    if not isinstance(source, str | Path):
        return _joined(source, split, names)
    path = existing([Path(source).expanduser()], "dataset")
    found = _find(path, split)
    others = []
    for other in SPLIT_NAMES:
        with contextlib.suppress(DatasetError, OSError):
            others += [place for place in _find(path, other).places if place not in found.places]
    declared = found.declared
    notes = [*found.notes, *_keypoint_note(declared)]
    named, problems = (tuple(names), []) if names else _class_names(path, declared, [*found.places, *others])
    twice = [name for name, count in Counter(named or ()).items() if count > 1]
    if twice:
        message = f"{', '.join(twice)}: a name of several classes, which only their numbers tell apart"
        problems = [*problems, Problem(str(path), None, message, "class names given twice", note=True)]
    keypoints, channels = (declared.keypoints, declared.channels) if declared else (None, None)
    return FoundDataset(found.places, named, keypoints, (*notes, *problems), tuple(others), channels)


def _keypoint_note(declared: Declared | None) -> list[Problem]:
    if declared is None or declared.keypoints is None:
        return []
    count, size = declared.keypoints
    message = f"kpt_shape [{count}, {size}]: of rows with {5 + count * size} values the box is read, not the keypoints"
    return [Problem(str(declared.path), None, message, "keypoints not read", note=True)]


def _joined(sources: Sequence[str | Path], split: str, names: Sequence[str] | None) -> FoundDataset:
    """Several sources as one; those that name classes must agree."""
    if not sources:
        raise DatasetError("an empty list of sources: a dataset needs at least one folder, list or image")
    paths = [Path(source).expanduser() for source in sources]
    first_in = {path.parent: path for path in reversed(paths)}  # class lists are looked for once in each folder
    parts = [
        FoundDataset((existing([path], "image"),), None)
        if path.suffix.lower() in (*IMAGE_SUFFIXES, ARRAY_SUFFIX) and first_in[path.parent] != path
        else find_dataset(path, split, names)
        for path in paths
    ]
    named = agreed(ClassList(part.names, path) for part, path in zip(parts, paths, strict=True) if part.names)
    keypoints = {part.keypoints for part in parts}
    if len(keypoints) > 1:
        raise DatasetError(f"the sources disagree about kpt_shape: {' and '.join(map(str, keypoints))}")
    channels = {part.channels for part in parts if part.channels is not None}
    if len(channels) > 1:
        raise DatasetError(f"the sources disagree about channels: {' and '.join(map(str, sorted(channels)))}")
    return FoundDataset(
        tuple(place for part in parts for place in part.places),
        named.names if named else None,
        keypoints.pop(),
        tuple(note for part in parts for note in part.notes),
        tuple(place for part in parts for place in part.others),
        next(iter(channels), None),
    )


def _find(path: Path, split: str) -> _FoundSplit:
    if path.is_dir():
        return _in_folder(path, split)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml", ".data"):
        declared = from_data_file(path) if suffix == ".data" else from_yaml(path)
        return _FoundSplit(*declared_places(declared, split), declared)
    if suffix == ".txt" or suffix in (*IMAGE_SUFFIXES, ARRAY_SUFFIX):
        return _FoundSplit((path,))
    raise DatasetError(f"{path}: a dataset is a data.yaml, a folder, a .txt list of images, 'shapes' or 'photos'")


# ---- class names ----------------------------------------------------------------------------------------------------


def _class_names(
    path: Path, declared: Declared | None, places: Sequence[Path]
) -> tuple[tuple[str, ...] | None, list[Problem]]:
    """The names that the declaring file gives, else those of the one list that all splits agree on."""
    folders = _class_folders(path, places)
    if declared and declared.names:
        lists: list[ClassList] = []
        with contextlib.suppress(DatasetError):  # a list that cannot be read cannot contradict
            lists = class_lists(folders)
        if all(re.fullmatch(r"class\d+", name) for name in declared.names):  # only their number was given
            same = [entry for entry in lists if len(entry.names) == len(declared.names)]
            return (same[0].names if same else declared.names), list(same[0].notes if same else ())
        return declared.names, disagreement(declared.names, declared.path, lists)
    lists = class_lists(folders)
    one = agreed(lists)
    if one is None and declared and declared.path.suffix.lower() in (".yaml", ".yml") and declared.splits:
        raise DatasetError(
            f"{declared.path}: no class names; add a line such as `names: [cat, dog]`, in the order of the ids"
        )
    return (one.names if one else None), [note for entry in lists for note in entry.notes]


def _class_folders(path: Path, places: Sequence[Path]) -> list[Path]:
    """Where class lists may lie: in the dataset's own folder, those of the images, of the labels, and between."""
    root = path if path.is_dir() else path.parent
    starts = [root, root / "labels"]
    for place in places:
        inside = [place] if place.is_dir() else [Path(image.path).parent for image in _first_images(place)]
        for folder in dict.fromkeys(inside):
            starts += [Path(image_to_label_path(folder / "any.jpg")).parent, folder, folder / "labels"]
    return [root, *(folder for start in starts for folder in folders_above(start))]


def _first_images(place: Path) -> list[ListedImage]:
    return (
        [ListedImage(str(place))]
        if place.suffix.lower() in (*IMAGE_SUFFIXES, ARRAY_SUFFIX)
        else listed_images(place, FIRST_LINES).images
    )


# ---- folders --------------------------------------------------------------------------------------------------------


def _in_folder(folder: Path, split: str) -> _FoundSplit:
    """A folder: what its data.yaml or obj.data declares, else images/train, train/images, train, else train.txt.

    A folder that has none of these, nor anything below it that has, is one split: all of its images.
    """
    declared = _declared_in(folder)
    given = {key: _split_folders(folder, key) for key in SPLIT_NAMES}
    if declared and declared.splits:
        if split not in declared.splits and given[split]:
            place = given[split][0]
            message = f"has no `{split}:`; the folder {place} is used"
            return _FoundSplit(
                (place,), (Problem(str(declared.path), None, message, FOUND_ELSEWHERE, note=True),), declared
            )
        return _FoundSplit(*declared_places(declared, split), declared)
    if not any(_has_pictures(place) for places in given.values() for place in places):
        return _without_split_folders(folder, split, declared)
    if not given[split]:
        found = ", ".join(f"{key} ({places[0]})" for key, places in given.items() if places)
        raise DatasetError(f"{folder}: no folder for the split {split!r}; found {found}")
    place, *rest = given[split]
    message = f"not used: {place} is the split {split}; give both as a list, or in a data.yaml, to use both"
    if place.name.lower() == "images" and place.parent != folder and _has_pictures(place.parent, below=False):
        rest.append(place.parent)
    unused = [Problem(str(other), None, message, "folders left out") for other in rest]
    every = [each for places in given.values() for each in places]
    ignored = split_list(folder, split)
    if ignored:
        message = f"a list that is not used: the folder {place} is the split {split}; name the list itself to use it"
        unused.append(Problem(str(ignored), None, message, "lists not used", note=True))
    return _FoundSplit((place,), (*unused, *_outside(folder, every)), declared)


def _without_split_folders(folder: Path, split: str, declared: Declared | None) -> _FoundSplit:
    lists = {key: found for key in SPLIT_NAMES if (found := split_list(folder, key))}
    if lists and split not in lists:
        has = ", ".join(str(path) for path in lists.values())
        raise DatasetError(f"{folder}: no list for the split {split!r}; found {has}")
    if lists:
        return _FoundSplit((lists[split],), (), declared)
    images = Finder([folder]).tail(["images"], 0)
    place = images if images and images.is_dir() else folder
    nested = _nested(folder)
    if nested and any(_has_pictures(each, below=False) for each in (folder, place)):
        raise DatasetError(f"{folder}: has images of its own and holds the dataset {nested[0]}: choose one of them")
    if len(nested) > 1:
        raise DatasetError(f"{folder}: several datasets below it, {', '.join(map(str, nested[:5]))}: choose one")
    if nested:
        inner = _in_folder(nested[0], split)
        note = Problem(str(folder), None, f"holds one dataset, {nested[0]}, which is used", FOUND_ELSEWHERE, note=True)
        return _FoundSplit(inner.places, (note, *inner.notes), inner.declared or declared)
    notes = [] if split == "train" or SPLIT_WORD.fullmatch(folder.name.lower()) else [_no_splits(folder, split)]
    return _FoundSplit((place,), (*notes, *_outside(folder, [place])), declared)


def _no_splits(folder: Path, split: str) -> Problem:
    return Problem(str(folder), None, f"has no splits: all of its images are used as {split}", "no splits", note=True)


def _outside(folder: Path, places: Sequence[Path]) -> tuple[Problem, ...]:
    """Notes about images that are in none of these folders: in the dataset's own folder, or in others beside them."""
    images = Finder([folder]).child(folder, "images")
    beside = [path for base in (folder, images) if base and base.is_dir() for path in sorted(base.iterdir())]
    others = [path for path in beside if path.is_dir() and not path.name.startswith(".") and path != images]
    unused = [path for path in _apart([*places, *others])[len(_apart(places)) :] if path.name not in NOT_SEARCHED]
    notes = [
        Problem(str(path), None, "has images, and is not a split; not used", OUTSIDE, note=True)
        for path in [*([] if folder in places else [folder]), *unused]
        if _has_pictures(path, below=path != folder)
    ]
    return tuple(notes)


def _declared_in(folder: Path) -> Declared | None:
    """What the data.yaml or obj.data of a folder says, whatever it is called; other .yaml files are ignored.

    Raises:
        DatasetError: a data.yaml that cannot be used, or several that declare splits.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for suffixes in ((".yaml", ".yml"), (".data",)):
        found = [path for path in files if path.suffix.lower() in suffixes and looks_declared(path)]
        found = sorted(found, key=lambda path: path.stem.lower() not in USUAL_STEMS)
        found = found[:1] if found and found[0].stem.lower() in USUAL_STEMS else found
        every = [from_data_file(path) if ".data" in suffixes else from_yaml(path) for path in found]
        with_splits = [declared for declared in every if declared.splits] or every
        if len(with_splits) > 1:
            raise DatasetError(f"{with_splits[0].path} and {with_splits[1].path} both describe a dataset: choose one")
        if with_splits:
            return with_splits[0]
    return None


def _split_folders(folder: Path, split: str) -> list[Path]:
    """The folders that are a split by their name: those called so exactly first, then train2017, obj_train_data."""
    finder = Finder([folder])
    images = finder.child(folder, "images")
    exact: list[Path] = []
    for name in SPLIT_NAMES[split]:
        inside = finder.child(folder, name)
        places = [finder.child(images, name)] if images else []
        places += [finder.child(inside, "images"), inside] if inside else []
        exact += [place for place in places if place and place.is_dir()]
    pattern = re.compile(rf"obj_({'|'.join(SPLIT_NAMES[split])})_data|({'|'.join(SPLIT_NAMES[split])})[-_ ]?\d{{4}}")
    alike: list[Path] = []
    for base in [images, folder] if images and images.is_dir() else [folder]:
        alike += [path for path in sorted(base.iterdir()) if path.is_dir() and pattern.fullmatch(path.name.lower())]
    return _apart(place for place in [*exact, *alike] if _has_pictures(place)) or exact[:1]


def _apart(places: Iterable[Path]) -> list[Path]:
    """Those of the folders that do not lie in, or hold, an earlier one."""
    kept: list[Path] = []
    for place in places:
        if not any(place == other or place in other.parents or other in place.parents for other in kept):
            kept.append(place)
    return kept


def _has_pictures(folder: Path, below: bool = True) -> bool:
    """Whether a picture lies in a folder, or below it."""
    for _, folders, files in os.walk(folder, followlinks=False):
        if any(name.lower().endswith((*IMAGE_SUFFIXES, ARRAY_SUFFIX)) and not name.startswith(".") for name in files):
            return True
        linked = [name for name in folders if below and os.path.islink(os.path.join(folder, name))]
        if linked:  # to pictures, as far as can be seen without following circles
            return True
        if not below:
            return False
    return False


def _nested(folder: Path) -> list[Path]:
    """The datasets below a folder that is not a dataset itself: an archive often holds its dataset in a folder."""
    found: list[Path] = []
    for parent, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_SEARCHED)
        place = Path(parent)
        if place == folder:
            continue
        declared = _declared_in(place)
        has_splits = (declared and declared.splits) or any(split_list(place, key) for key in SPLIT_NAMES)
        if has_splits or any(_has_pictures(path) for key in SPLIT_NAMES for path in _split_folders(place, key)):
            found.append(place)
            folders.clear()
        elif len(place.relative_to(folder).parts) >= NESTED_DEPTH:
            folders.clear()
    return found


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
