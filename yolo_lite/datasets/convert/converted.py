"""What every conversion into a YOLO folder needs: boxes checked against their image, and a folder written in one go."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from tqdm import tqdm

from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.datasets.convert.frame import Frame
from yolo_lite.datasets.yolo_folder import label_row, write_data_yaml
from yolo_lite.images.headers import Size
from yolo_lite.support.coco_truth import FOLDER, PREFIX, CocoTruth, ImageTruth

Placing = Literal["link", "copy", "none"]
ROTATED = "rotated boxes became their extent"
SPLITS = ("train", "val", "test")
SMALLEST = 1e-6  # fraction of the image; a thinner box would be written as 0
ROUNDING = 1.0  # pixels that a box may reach over the border without a word


class ConvertedImage(NamedTuple):
    """One image, ready to be written."""

    source: Path | None  # None: it is not placed
    name: PurePosixPath  # below images/<split>
    rows: tuple[str, ...]  # of its label file
    truth: ImageTruth | None = None  # for the annotation file of its split


def numbers(values: Any, what: str) -> np.ndarray:
    """A list from a file as float64.

    Raises:
        ValueError: it is not a list, or not all of it finite numbers.
    """
    try:
        if isinstance(values, str):
            raise ValueError
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
    inside: np.ndarray = np.clip(xyxy, 0, [size.width, size.height] * 2)
    fractions = (inside[2:] - inside[:2]) / (size.width, size.height)
    if (fractions < SMALLEST).any():
        where = f"from {left:g}, {top:g} to {right:g}, {bottom:g}"
        raise ValueError(f"a box {where}, outside the image ({size.width} x {size.height})")
    return inside


def check_pixels(values: np.ndarray) -> None:
    """Raises ValueError for a box whose numbers lie from 0 to 1, and not all whole: they are fractions, not pixels."""
    if (values >= 0).all() and (values <= 1).all() and (values % 1).any():
        listed = ", ".join(f"{value:g}" for value in values)
        raise ValueError(f"the box {listed} lies between 0 and 1: fractions of the image, where pixels are expected")


def reaches_over(xyxy: np.ndarray, size: Size) -> bool:
    """Whether a box lies partly outside its image, by more than rounding."""
    return bool((xyxy[:2] < -ROUNDING).any() or (xyxy[2:] > np.array([size.width, size.height]) + ROUNDING).any())


def turn_of(given: Any) -> float:
    """An angle in degrees as a labelling tool writes it; 0 where it leaves a box as it is, or means something else."""
    try:
        angle = 0.0 if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        return 0.0
    return angle if math.isfinite(angle) and angle % 180 else 0.0


def turned_extent(xyxy: np.ndarray, angle: float) -> np.ndarray:
    """The extent of a box that is turned about its centre by an angle in degrees, (4,) xyxy.

    >>> turned_extent(np.array([0.0, 0, 20, 10]), 90).round(9).tolist()
    [5.0, -5.0, 15.0, 15.0]
    """
    width, height = sides = xyxy[2:] - xyxy[:2]
    if not angle or (sides <= 0).any():
        return xyxy
    turn = np.abs([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    half, centre = np.array([[width, height], [height, width]]) @ turn / 2, (xyxy[:2] + xyxy[2:]) / 2
    return np.concatenate([centre - half, centre + half])


def box_row(cls: int, xyxy: np.ndarray, frame: Frame) -> str:
    """A box in pixels as a line of a label file."""
    corners = frame.fractions(xyxy.reshape(2, 2))  # in any order: the picture may be turned
    return label_row(cls, xyxy_to_xywh(np.concatenate([corners.min(0), corners.max(0)])))


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
    annotated: int = 0,
    category_ids: Sequence[int] = (),
) -> Report:
    """Writes the folder: images, labels, data.yaml. It appears when it is complete, or not at all.

    Args:
        splits: the images of each split; a generator may add to ``problems`` while it is consumed.
        annotated: how many annotations there are to convert.
        category_ids: of the classes, in COCO's annotation files; such files are written for images that have a truth.
    Raises:
        DatasetError: a split without an image, or not one of the annotations could be written.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    content = temporary / "content"  # made by mkdir, with the usual permissions
    content.mkdir()
    try:
        counts: list[int] = []
        for split, images in splits.items():
            bar = tqdm(images, f"converting {split}", unit="image", disable=None if progress else True)
            truths: list[ImageTruth] = []
            written = _write_split(content, split, bar, problems, placing, truths)
            if not written:
                report = Report.of(counts, problems)
                raise DatasetError(f"not one image for the split {split}, so nothing is written\n{report}", report)
            counts += written
            if truths:
                _write_truth(
                    content / FOLDER / f"{PREFIX}{split}.json",
                    CocoTruth(tuple(names), tuple(category_ids), tuple(truths)),
                )
        if annotated and not sum(counts):
            report = Report.of(counts, problems)
            message = f"not one of {annotated} annotations could be converted, so nothing is written"
            raise DatasetError(f"{message}\n{report}", report)
        write_data_yaml(content, names, {split: f"images/{split}" for split in splits})
        if out_dir.exists():
            out_dir.rmdir()
        os.replace(content, out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Report.of(counts, problems)


def _write_split(
    folder: Path,
    split: str,
    images: Iterable[ConvertedImage],
    problems: list[Problem],
    placing: Placing,
    truths: list[ImageTruth],
) -> list[int]:
    """Writes the images and label files of a split; returns the number of objects in each image. Fills ``truths``."""
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
        if image.truth is not None:
            truths.append(image.truth)
    return counts


def _write_truth(path: Path, truth: CocoTruth) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(truth.to_json())


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
