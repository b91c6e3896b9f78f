"""Recordings of torchvision's detectors -> the maps and targets of ours.

torchvision flattens its maps to (N, n, K) cell by cell, anchors innermost; ours are (N, A, H, W, K).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tests.golden.family.compare import Recording
from yolo_lite.loss.criterion import AssignedPredictions

Shapes = Sequence[tuple[int, int, int]]  # (A, H, W) of each level


def cases(recorded: Recording) -> list[str]:
    """The names of the recorded batches, in their order."""
    return list(dict.fromkeys(key.split("/")[0] for key in recorded if key.endswith("/matched")))


def grids(size: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(H, W) of each level: every stride halves the grid before it, rounding up."""
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in strides]


def split(flat: Tensor, shapes: Shapes) -> list[Tensor]:
    """(N, n, K) in torchvision's order -> L maps (N, A, H, W, K)."""
    levels = flat.split([anchors * rows * cols for anchors, rows, cols in shapes], 1)
    return [
        level.unflatten(1, (rows, cols, anchors)).permute(0, 3, 1, 2, 4)
        for level, (anchors, rows, cols) in zip(levels, shapes, strict=True)
    ]


def joined(maps: Sequence[Tensor]) -> Tensor:
    """L maps (N, A, H, W, ...) -> (N, n, ...) in torchvision's order: undoes ``split``."""
    return torch.cat([level.movedim(1, 3).flatten(1, 3) for level in maps], 1)


def by_cells(predictions: Tensor, shapes: Shapes) -> Tensor:
    """(N, n, ...) in the order of ``decode`` -> (N, n, ...) in torchvision's order."""
    levels = predictions.split([anchors * rows * cols for anchors, rows, cols in shapes], 1)
    return joined([level.unflatten(1, shape) for level, shape in zip(levels, shapes, strict=True)])


def targets_of(recorded: Recording, case: str, size: tuple[int, int], first_class: int = 0) -> Tensor:
    """(n, 6) float64 image, class, xc, yc, w, h of a recorded batch; float64 keeps the pixels exact."""
    rows = []
    for image in range(len(recorded[f"{case}/matched"])):
        boxes = recorded[f"{case}/boxes{image}"].astype(np.float64)
        labels = recorded[f"{case}/labels{image}"].astype(np.float64) - first_class
        height, width = size
        xywh = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)
        xywh /= [width, height, width, height]
        rows.append(np.column_stack((np.full(len(boxes), image), labels, xywh)))
    return torch.from_numpy(np.concatenate(rows))


def matched_of(assigned: AssignedPredictions, targets: Tensor, shapes: Shapes, ignored: int) -> Tensor:
    """(N, n) in torchvision's order: which object of its own image, -1 for background, ``ignored`` for ignored ones."""
    image = targets[:, 0]
    first = torch.tensor([(image < index).sum() for index in range(len(assigned.role))])[:, None]  # of each image
    matched = torch.where(assigned.target >= 0, assigned.target - first, -1)
    return by_cells(torch.where(assigned.role == -1, ignored, matched), shapes)
