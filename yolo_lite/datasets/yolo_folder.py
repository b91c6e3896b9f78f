"""Writes what a YOLO dataset folder consists of: label rows and data.yaml."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml


def label_row(cls: int, values: np.ndarray) -> str:
    """One line of a label file: the class, then a box (xc yc w h) or a polygon (x1 y1 x2 y2 ...), all normalised.

    >>> label_row(2, np.array([0.5, 0.25, 1.0, 0.1234567]))
    '2 0.5 0.25 1 0.123457'
    """
    return " ".join([str(cls), *(np.format_float_positional(value, 6, trim="-") for value in values)])


def write_data_yaml(folder: Path, names: Sequence[str], splits: Mapping[str, str]) -> Path:
    """Writes ``folder/data.yaml``: its splits (name -> images, relative to the folder) and class names.

    ``path: .`` is the folder of the data.yaml, so that a dataset that was moved or copied is read where it is now. A
    library that takes a relative path to start somewhere else needs the folder's full path there, written by hand.
    """
    content = {"path": ".", **splits, "names": dict(enumerate(names))}
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
