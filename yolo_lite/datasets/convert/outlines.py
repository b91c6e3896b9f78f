"""Outlines of COCO annotations: several parts, clipped to the image, as the one line that a label file can hold."""

from typing import Any

import numpy as np

from yolo_lite.augment.polygons import clip_polygon
from yolo_lite.datasets.convert.converted import numbers
from yolo_lite.images.headers import Size

# How far an outline's extent may be from the box. A side may be off by two pixels: whole numbers for x and width take
# up to two away, pixel centres in place of edges one; or by a fraction of a large box, as simplified outlines are.
ROUNDED, SHARE = 2.0, 0.02
OVERLAP = 0.5  # IoU; for boxes of a few pixels, where two are much


def outline_of(segmentation: Any, size: Size) -> tuple[np.ndarray | None, str]:
    """The parts of an outline, clipped to the image and joined, (k, 2) pixels; or None, and why."""
    if not segmentation:
        return None, ""
    if isinstance(segmentation, dict):
        return None, "a mask (RLE); its box is written"
    try:
        flat = isinstance(segmentation[0], int | float)  # one part that is not wrapped in a list of its own
        parts = [numbers(part, "outline") for part in ([segmentation] if flat else segmentation)]
    except (ValueError, TypeError, KeyError) as reason:
        return None, f"{reason}; the box is written"
    whole = [clip_polygon(part.reshape(-1, 2), size.width, size.height) for part in parts if _is_outline(part)]
    whole = [part for part in whole if len(part) and (np.ptp(part, 0) / (size.width, size.height) > 1e-6).all()]
    if not whole:
        return None, "the outline encloses nothing inside the image; the box is written"
    return join_parts(whole), ""


def _is_outline(part: np.ndarray) -> bool:
    return len(part) >= 6 and len(part) % 2 == 0


def agrees(box: np.ndarray, outline: np.ndarray) -> bool:
    """Whether an outline (k, 2) has the extent of its box (4,), up to rounding.

    >>> square = np.array([[0.0, 0], [50, 0], [50, 50], [0, 50]])
    >>> agrees(np.array([0, 0, 51, 50.5]), square), agrees(np.array([0.0, 0, 60, 50]), square)
    (True, False)
    """
    low, high = outline.min(0), outline.max(0)
    sides = box[2:] - box[:2]
    allowed = np.tile(np.maximum(ROUNDED, SHARE * sides), 2)
    shared = np.clip(np.minimum(box[2:], high) - np.maximum(box[:2], low), 0, None).prod()
    overlap = shared / (sides.prod() + (high - low).prod() - shared)
    return bool((np.abs(np.concatenate([low, high]) - box) <= allowed).all() and overlap >= OVERLAP)


def join_parts(parts: list[np.ndarray]) -> np.ndarray:
    """Several outlines as one closed line: each hangs on the nearest point of those before, by a seam without width.

    Args:
        parts: (k, 2) each.
    Returns:
        (k, 2), with the same extent, and the area of all parts together.

    >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    >>> join_parts([square, square + [2, 0]]).tolist()[:4]
    [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    """
    line = parts[0]
    for part in parts[1:]:
        if _signed_area(part) * _signed_area(parts[0]) < 0:  # all the same way round, so that areas add up
            part = part[::-1]
        distances = np.linalg.norm(line[:, None] - part[None], axis=-1)  # (k, j)
        at, start = np.unravel_index(distances.argmin(), distances.shape)
        around = np.roll(part, -start, axis=0)
        line = np.concatenate([line[: at + 1], around, around[:1], line[at:]])
    return line


def _signed_area(outline: np.ndarray) -> float:
    following = np.roll(outline, -1, axis=0)
    return float((outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum()) / 2
