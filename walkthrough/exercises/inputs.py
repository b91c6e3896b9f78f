"""What exercises are tried on: the objects of the tour batch, and boxes drawn at random from a fixed seed."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from walkthrough.exercises.exercise import Case
from walkthrough.images import to_rgb
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data.dataset import Batch
from yolo_lite.datasets.photos import tour_batch
from yolo_lite.loss.targets import Assignment, build_targets
from yolo_lite.model.spec import read_anchors, read_spec

STRIDES = (8, 16, 32)
SIZE = 640


class Tour(NamedTuple):
    """The tour batch, and what YOLOv5 matches to its objects."""

    batch: Batch
    anchors: Tensor  # (3, 3, 2) pixels
    matches: tuple[Assignment, ...]  # of strides 8, 16 and 32

    def objects(self, image: int) -> Tensor:
        """(n, 4) xyxy pixels of the objects of an image."""
        mine = self.batch.targets[self.batch.targets[:, 0] == image]
        return xywh_to_xyxy(mine[:, 2:]) * SIZE

    def classes(self, image: int) -> Tensor:
        """(n,) int64."""
        return self.batch.targets[self.batch.targets[:, 0] == image, 1].long()

    def pixels(self, image: int) -> np.ndarray:
        """(640, 640, 3) uint8."""
        return to_rgb(self.batch.images[image])


@lru_cache(maxsize=1)  # a second; arguments are copied before anybody gets them
def tour() -> Tour:
    """The tour batch, read once."""
    batch = tour_batch(SIZE)
    anchors = torch.as_tensor(read_anchors(read_spec("yolov5n")[0]["anchors"], STRIDES))
    grids = [(SIZE // stride, SIZE // stride) for stride in STRIDES]
    return Tour(batch, anchors, tuple(build_targets(batch.targets, grids, anchors, STRIDES)))


def seeded(number: int) -> torch.Generator:
    """The source of chance of a random input."""
    return torch.Generator().manual_seed(number)


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Numbers between low and high."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def random_boxes(count: int, generator: torch.Generator, size: float = SIZE, smallest: float = 4.0) -> Tensor:
    """(count, 4) xyxy, inside a picture of that size, of all shapes."""
    wh = uniform((count, 2), 0, 1, generator) ** 2 * (size / 2) + smallest
    xy = uniform((count, 2), 0, 1, generator) * (size - wh)
    return torch.cat((xy, xy + wh), 1)


def of_tour(name: str, pixels: np.ndarray | None = None, /, **arguments: Any) -> Case:
    """A case from the tour batch."""
    return Case(f"the tour batch, {name}", arguments, pixels)


def case(name: str, /, **arguments: Any) -> Case:
    """A case with a name of its own, such as "random boxes"."""
    kept: Mapping[str, Any] = arguments
    return Case(name, kept)


def numbers(row: Tensor) -> str:
    """A row of numbers, short.

    >>> numbers(torch.tensor([1.0, 2.5]))
    '(1, 2.5)'
    """
    return f"({', '.join(f'{value:.4g}' for value in row.tolist())})"
