"""What an explorer may be given besides pictures and models: datasets and their paths, names and paths of weights.

An address is refused wherever a path may stand: nothing is fetched here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import ImageSource
from yolo_lite.images.bands import as_picture
from yolo_lite.images.kinds import ADDRESS

BUNDLED = ("shapes", "photos")
DATA_SUFFIXES = (".yaml", ".yml", ".txt", ".data")
WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors")
FIRST = 16  # pictures that are shown of a dataset


def refuse_address(name: str, value: Any) -> None:
    """Raises a ValueError for an address in the place of a path, alone or in a list; name: of the input.

    >>> refuse_address("model", "https://example.org/best.pt")
    Traceback (most recent call last):
    ValueError: model: https://example.org/best.pt is an address. Nothing is fetched here: download it, then pass the \
path
    """
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, str | Path) and ADDRESS.match(str(each)) and not Path(each).exists():
            text = (
                str(each) if "://" in str(each) else str(each).replace(":/", "://", 1)
            )  # pathlib made one stroke of two
            shown = text[:60] + ("..." if len(text) > 60 else "")
            raise ValueError(f"{name}: {shown} is an address. Nothing is fetched here: download it, then pass the path")


def is_dataset(value: Any) -> bool:
    """Whether it is a dataset, or the name or path of one.

    >>> is_dataset("shapes"), is_dataset("pets/data.yaml"), is_dataset("cat.jpg")
    (True, True, False)
    """
    if isinstance(value, str | Path):
        path = Path(value)
        return str(value) in BUNDLED or path.suffix.lower() in DATA_SUFFIXES or path.is_dir()
    return isinstance(value, YoloDataset | ImageSource)


def opened_dataset(source: Any) -> YoloDataset:
    """A dataset as it is; of a path, the split "val", or "train" where there is no such.

    Raises:
        ValueError: what is wrong with it, or with its path.
    """
    if isinstance(source, YoloDataset):
        return source
    refuse_address("images", source)
    try:
        return YoloDataset(source, split="val")
    except (OSError, DatasetError):
        try:
            return YoloDataset(source, split="train")
        except OSError as problem:
            raise ValueError(f"images: {problem}") from None


def first_pictures(dataset: YoloDataset, start: int = 0) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Pictures of a dataset as they are in their files, at most FIRST from start on; targets (n, 6); their names."""
    images, rows, names = [], [np.zeros((0, 6))], []
    for place, index in enumerate(range(start, min(len(dataset), start + FIRST))):
        image, objects = as_picture(dataset.image(index)), dataset.objects(index)
        height, width = image.shape[:2]
        boxes = objects.boxes.clip(0, (width, height, width, height))  # (m, 4) xyxy
        xywh = xyxy_to_xywh(boxes) / (width, height, width, height)
        rows.append(np.column_stack((np.full(len(boxes), place), objects.cls, xywh)))
        images.append(image)
        names.append(Path(dataset.paths[index]).stem)
    return images, np.concatenate(rows), names


def opened_model(model: Any) -> Any:
    """The model in a checkpoint, where its name or path is given; anything else as it is.

    Raises:
        ValueError: no such file, or not a checkpoint.

    >>> opened_model("shapes-n").num_classes
    6
    """
    refuse_address("model", model)
    if is_dataset(model):
        raise ValueError(f"model: {_shown(model)} is a dataset: pass it as images=, and the weights as model=")
    if not isinstance(model, str | Path):
        return model
    try:
        return load(model)
    except OSError as problem:
        raise ValueError(f"model: {problem}") from None


def require_pictures(images: Any) -> None:
    """Raises a ValueError for an address, weights or a model in the place of pictures."""
    refuse_address("images", images)
    if isinstance(images, str | Path) and Path(images).suffix.lower() in WEIGHT_SUFFIXES:
        raise ValueError(
            f"images: {images} is a file of weights: pass it as model=, or as model=yl.load({str(images)!r})"
        )
    if hasattr(images, "state_dict") or (callable(images) and hasattr(images, "decode")):
        raise ValueError(f"images: {_shown(images)} is a model: pass it as model=")


def with_classes(boxes: Sequence[tuple], order: Sequence[int] | None) -> tuple[tuple, ...]:
    """Boxes x1 y1 x2 y2 class under other class numbers; order: the new number of each.

    >>> with_classes([(0, 0, 9, 9, 1)], [3, 0])
    ((0, 0, 9, 9, 0),)
    """
    return tuple(boxes) if order is None else tuple((*box[:4], order[int(box[4])]) for box in boxes)


def _shown(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str | Path) else f"a {type(value).__name__}"
