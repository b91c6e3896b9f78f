"""Pictures whose objects can be found again by their colour, without the formula that moved them."""

import numpy as np

from yolo_lite.augment.objects import PADDING_VALUE, Objects

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)], np.uint8)


def picture(height: int, width: int, boxes=(), first: int = 0) -> np.ndarray:
    """A gray image with one filled rectangle per box (whole pixels, xyxy); box i has COLOURS[first + i]."""
    image = np.full((height, width, 3), PADDING_VALUE, np.uint8)
    for i, (left, top, right, bottom) in enumerate(boxes):
        image[top:bottom, left:right] = COLOURS[first + i]
    return image


def labelled(boxes, first: int = 0, outlined: bool = False) -> Objects:
    """Objects of such a picture; the class is the number of the colour."""
    polygons = [rectangle(box) for box in boxes] if outlined else None
    return Objects.build(np.arange(len(boxes)) + first, boxes, polygons)


def rectangle(box) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def find(image: np.ndarray, colour: int, tolerance: int = 60) -> np.ndarray | None:
    """xyxy extent of the pixels within ``tolerance`` of COLOURS[colour]; None where there are none."""
    off = np.abs(image.astype(int) - COLOURS[colour].astype(int)).max(-1)
    rows, cols = np.nonzero(off <= tolerance)
    if len(rows) == 0:
        return None
    return np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1], float)
