"""Where images and labels come from: files, or a generator of scenes."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from yolo_lite.data.labels import LabelStore, Report


class ImageSource(Protocol):
    """What YoloDataset asks of "shapes", "photos" or a folder: nothing else is known of where an image comes from."""

    names: tuple[str, ...]  # class names
    paths: Sequence[str]  # one per image; "shapes/train/000012" where there is no file
    sizes: np.ndarray  # (n, 2) int64, height and width of each image, without reading it again
    labels: LabelStore
    report: Report

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB, EXIF rotation applied."""
        ...


def open_source(source: str, split: str = "train", names: Sequence[str] | None = None) -> ImageSource:
    """data.yaml, folder, .txt list, "shapes" or "photos" -> an ImageSource."""
    raise NotImplementedError
