"""The objects of one image while it is being augmented: classes, boxes and, where known, outlines."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Image = np.ndarray  # (H, W, 3) uint8 RGB
Polygon = np.ndarray | None  # (k, 2) float32 xy in pixels; None where only a box is known


class Objects(NamedTuple):
    """n objects in the pixels of their image."""

    cls: np.ndarray  # (n,) int64
    boxes: np.ndarray  # (n, 4) float32 xyxy
    polygons: tuple[Polygon, ...]  # one per object

    @classmethod
    def empty(cls) -> "Objects":
        raise NotImplementedError

    def select(self, which: np.ndarray) -> "Objects":
        """The objects of a mask (n,) bool or of indices (m,) int."""
        raise NotImplementedError

    def moved(self, dx: float, dy: float) -> "Objects": raise NotImplementedError
    def scaled(self, fx: float, fy: float) -> "Objects": raise NotImplementedError
    def clipped(self, width: float, height: float) -> "Objects": raise NotImplementedError


def concatenate(parts: Sequence[Objects]) -> Objects:
    raise NotImplementedError
