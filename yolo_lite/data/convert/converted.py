"""What every conversion into a YOLO folder needs: boxes checked against their image, and a folder written in one go."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from tqdm import tqdm

from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.images import ImageError, Size, image_size
from yolo_lite.data.report import Problem, Report
from yolo_lite.data.yolo_folder import label_row, write_data_yaml

Placing = Literal["link", "copy", "none"]
SPLITS = ("train", "val", "test")
SMALLEST = 1e-6  # share of the image; a thinner box would be written as 0
ROUNDING = 1.0  # pixels that a box may reach over the border without a word


class ConvertedImage(NamedTuple):
    """One image, ready to be written."""

    source: Path | None  # None: it is not placed
    name: PurePosixPath  # below images/<split>
    rows: tuple[str, ...]  # of its label file


def numbers(values: Any, what: str) -> np.ndarray:
    """A list from a file as float64.

    Raises:
        ValueError: it is no list, or not all of it finite numbers.
    """
    try:
        array = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise ValueError(f"{what} {values!r} is not a list of numbers") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{what} {values!r} is not finite")
    return array


def clipped_box(xyxy: np.ndarray, size: Size) -> np.ndarray:
    """The part of a box inside its image, (4,) xyxy pixels.

    Raises:
        ValueError: it has no area, there or anywhere.
    """
    left, top, right, bottom = xyxy
    if right <= left or bottom <= top:
        raise ValueError(f"a box without area (width {right - left:g}, height {bottom - top:g})")
    inside = np.clip(xyxy, 0, [size.width, size.height] * 2)
    shares = (inside[2:] - inside[:2]) / (size.width, size.height)
    if (shares < SMALLEST).any():
        where = f"from {left:g}, {top:g} to {right:g}, {bottom:g}"
        raise ValueError(f"a box {where}, outside the image ({size.width} x {size.height})")
    return inside


def reaches_over(xyxy: np.ndarray, size: Size) -> bool:
    """Whether a box lies partly outside its image, by more than rounding."""
    return bool((xyxy[:2] < -ROUNDING).any() or (xyxy[2:] > np.array([size.width, size.height]) + ROUNDING).any())


def box_row(cls: int, xyxy: np.ndarray, size: Size) -> str:
    """A box in pixels as a line of a label file."""
    return label_row(cls, xyxy_to_xywh(xyxy) / ([size.width, size.height] * 2))


def actual_size(path: Path | None, stated: Size | None, where: str) -> tuple[Size, list[Problem]]:
    """The size that an image's annotations count in: the stated one, or the file's where none is stated.

    Returns:
        The size, and a note where the file has another one.
    Raises:
        ValueError: the file is no image, or there is neither a stated size nor a file.
    """
    if path is None:
        if stated is None:
            raise ValueError("neither width and height nor the image file are known")
        return stated, []
    try:
        found = image_size(path)
    except ImageError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from None
    if stated is None or stated == found:
        return found, []
    message = f"{path} is {found.width} x {found.height}, stated is {stated.width} x {stated.height}; boxes may be off"
    return stated, [Problem(where, None, message, "images of another size than stated", note=True)]


def check_output(out_dir: Path, placing: str) -> None:
    """Raises FileExistsError where something is there already, ValueError for an unknown way of placing images."""
    if placing not in get_args(Placing):
        raise ValueError(f"images can be placed by {', '.join(get_args(Placing))}, not {placing!r}")
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(f"{out_dir} is not an empty folder: give the name of a new one, or empty it")


def write_dataset(
    out_dir: Path,
    names: Sequence[str],
    splits: Mapping[str, Iterable[ConvertedImage]],
    problems: list[Problem],
    placing: Placing,
    progress: bool = False,
) -> Report:
    """Writes the folder: images, labels, data.yaml. It appears when it is complete, or not at all.

    Args:
        splits: the images of each split; a generator may add to ``problems`` while it is consumed.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    content = temporary / "content"  # made by mkdir, with the usual permissions
    content.mkdir()
    try:
        counts: list[int] = []
        for split, images in splits.items():
            bar = tqdm(images, f"converting {split}", unit="image", disable=None if progress else True)
            counts += _write_split(content, split, bar, problems, placing)
        write_data_yaml(content, names, {split: f"images/{split}" for split in splits}, final=out_dir)
        if out_dir.exists():
            out_dir.rmdir()
        os.replace(content, out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Report.of(counts, problems)


def _write_split(
    folder: Path, split: str, images: Iterable[ConvertedImage], problems: list[Problem], placing: Placing
) -> list[int]:
    """Writes the images and label files of a split; returns the number of objects in each image."""
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True)
    counts, taken = [], set()
    for image in images:
        label_file = folder / "labels" / split / image.name.with_suffix(".txt")
        key = str(label_file).lower()  # some file systems do not tell A.txt from a.txt
        if key in taken:
            message = "an image before it has the same name but for the ending; left out"
            problems.append(Problem(str(image.source or image.name), None, message, "images left out"))
            continue
        taken.add(key)
        label_file.parent.mkdir(parents=True, exist_ok=True)
        label_file.write_text("".join(f"{row}\n" for row in image.rows), encoding="utf-8", newline="\n")
        if image.source is not None and placing != "none":
            _place(image.source, folder / "images" / split / image.name, placing)
        counts.append(len(image.rows))
    return counts


def _place(source: Path, target: Path, placing: Placing) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if placing == "link":
        try:
            os.link(source.resolve(), target)
            return
        except OSError:  # another disk, or a file system without links
            pass
    shutil.copyfile(source, target)


def positive_size(width: Any, height: Any) -> Size | None:
    """Width and height as a file states them; None where they are missing or make no sense."""
    try:
        size = Size(round(float(height)), round(float(width)))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None


def below(name: str) -> PurePosixPath:
    """A file name from a dataset, as a path that stays below a folder; subfolders are kept.

    >>> below("images/a.jpg"), below("C:\\\\data\\\\b.jpg"), below("../../c.jpg")
    (PurePosixPath('images/a.jpg'), PurePosixPath('b.jpg'), PurePosixPath('c.jpg'))
    """
    path = PurePosixPath(name.replace("\\", "/"))
    is_local = not path.is_absolute() and ".." not in path.parts and ":" not in name.partition("/")[0]
    return path if is_local else PurePosixPath(path.name)


class ImageFinder:
    """Finds image files by the names that an annotation file gives them."""

    def __init__(self, annotations: Path, split: str, folder: str | Path | None) -> None:
        bases = [Path(folder)] if folder is not None else [annotations.parent, annotations.parent.parent]
        year_split = annotations.stem.rsplit("_", 1)[-1]  # instances_val2017.json goes with a folder val2017
        inner = dict.fromkeys(["", year_split, split, f"images/{year_split}", f"images/{split}", "images"])
        self.roots = [base / name for base in bases for name in inner if (base / name).is_dir()]
        self.places = " or ".join(str(base) for base in bases)

    def find(self, name: str) -> Path | None:
        """The file, or None; the folder that has it is asked first next time."""
        spellings = dict.fromkeys([name, name.replace("\\", "/"), below(name).as_posix()])
        for position, root in enumerate(self.roots):
            for spelling in spellings:
                if (root / spelling).is_file():
                    self.roots.insert(0, self.roots.pop(position))
                    return root / spelling
        return None
