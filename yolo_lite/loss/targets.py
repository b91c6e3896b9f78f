"""build_targets: which cells and anchors answer for which object."""

from typing import NamedTuple

from torch import Tensor


class Assignment(NamedTuple):
    """The m matches of one detection level, in the reference's order (offsets, then anchors, then targets)."""

    image: Tensor  # (m,) int64
    anchor: Tensor  # (m,) int64, which of the level's A anchors
    row: Tensor  # (m,) int64
    col: Tensor  # (m,) int64
    cls: Tensor  # (m,) int64
    target: Tensor  # (m,) int64, the row of targets that this match comes from
    offset: Tensor  # (m,) int64: 0 own cell, 1 left, 2 up, 3 right, 4 down
    box: Tensor  # (m, 4) float: x, y from the cell's corner, w, h, in grid cells
    anchor_wh: Tensor  # (m, 2) float, in grid cells
