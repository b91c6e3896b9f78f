"""Recordings of torchvision's detectors -> the maps and targets of ours.

torchvision flattens its maps to (N, n, K) cell by cell, anchors innermost; ours are (N, A, H, W, K).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from tests.golden.family.compare import Recording
from tests.golden.family.layout import Layout, Missing, layout_of, optional
from yolo_lite.loss.criterion import AssignedPredictions

Shapes = Sequence[tuple[int, int, int]]  # (A, H, W) of each level


def cases(recorded: Recording, other: Sequence[str] = ()) -> list[str]:
    """The names of the recorded batches, in their order: all parts of the file but the ``other`` ones."""
    parts = dict.fromkeys(key.split("/")[0] for key in recorded if "/" in key)
    return [part for part in parts if part not in other]


def case_layout(recorded: Recording, case: str, inputs: str, outputs: str, whole: bool) -> Layout:
    """Objects and matches of a batch; those of the loss, too, if any of them is there or the batch is ``whole``."""
    matched = recorded.get(f"{case}/matched")
    images = range(len(matched)) if matched is not None else _images_with_objects(recorded, case)
    objects = " ".join(f"boxes{image} labels{image}" for image in images)
    return layout_of(objects, "matched", case) | optional(recorded, layout_of(inputs, outputs, case), whole)


def _images_with_objects(recorded: Recording, case: str) -> Iterable[str]:
    found = (re.fullmatch(rf"{re.escape(case)}/(?:boxes|labels)(\d+)", key) for key in recorded)
    return {match[1] for match in found if match}


def recorded_sizes(recorded: Recording, part: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """(height, width) of all images whose anchors are recorded, as PART/HEIGHTxWIDTH and one of ``names``."""
    behind = "|".join(map(re.escape, names))
    found = (re.fullmatch(rf"{part}/(\d+)x(\d+)(?:{behind})", key) for key in recorded)
    return list(dict.fromkeys((int(match[1]), int(match[2])) for match in found if match))


def size_of(recorded: Recording, case: str, counts: Mapping[tuple[int, int], int], part: str) -> tuple[int, int]:
    """The one size whose number of anchors is that of the case."""
    count = recorded[f"{case}/matched"].shape[1]
    fitting = [size for size in counts if counts[size] == count]
    if not fitting:
        known = ", ".join(f"{height}x{width} has {counts[height, width]}" for height, width in counts)
        raise Missing(f"{part} of the size of {case}, which has {count} of them ({known})")
    if len(fitting) > 1:
        raise ValueError(f"{case} has {count} {part}: so have {fitting}, and it cannot be seen which size it is")
    return fitting[0]


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
