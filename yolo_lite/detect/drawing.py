"""Detections drawn into an image: boxes with names that can be read, whatever lies below."""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
from torch import Tensor

from yolo_lite.augment.objects import Image

# Okabe and Ito's palette, whose colours everybody can distinguish, without its black.
# Source: https://jfly.uni-koeln.de/color/
ORANGE, SKY_BLUE, GREEN, YELLOW = (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)
BLUE, VERMILION, PURPLE = (0, 114, 178), (213, 94, 0), (204, 121, 167)
PALETTE = (ORANGE, SKY_BLUE, GREEN, YELLOW, BLUE, VERMILION, PURPLE)  # RGB
FONT = cv2.FONT_HERSHEY_SIMPLEX
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
FAR = 2**15  # pixels; OpenCV takes no more than 32 bits
BRIGHT = 110  # from this luminance on, black is easier to read than white


class NamedBox(Protocol):
    """A box with its name, as ``Detection`` is."""

    @property
    def name(self) -> str: ...
    @property
    def conf(self) -> float: ...
    @property
    def xyxy(self) -> tuple[float, float, float, float]: ...


class NamedBoxes(Protocol):
    """Boxes with their names, best first, as ``Detections`` are."""

    @property
    def cls(self) -> Tensor: ...
    def named(self) -> Sequence[NamedBox]: ...


def draw_detections(image: Image, found: NamedBoxes) -> Image:
    """The image with a box and a label for each detection, the surest one on top.

    Args:
        image: (H, W, 3) uint8 RGB, left as it is. found: the ``Detections`` in it.
    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        ValueError: a box that is not finite.
    """
    drawn = np.ascontiguousarray(image).copy()
    boxes = [detection.xyxy for detection in found.named()]
    if wrong := [box for box in boxes if not np.isfinite(box).all()]:
        raise ValueError(f"a box of {wrong[0]} cannot be drawn: its sides must be finite")
    line = max(round(sum(image.shape[:2]) / 600), 2)  # pixels: as thick in proportion on every image
    for cls, detection in reversed(list(zip(found.cls.tolist(), found.named(), strict=True))):
        colour = PALETTE[cls % len(PALETTE)]
        left, top, right, bottom = (round(min(max(side, -FAR), FAR)) for side in detection.xyxy)
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        _label(drawn, f"{detection.name} {detection.conf:.2f}", (left, top), colour, line)
    return drawn


def _label(image: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int], line: int) -> None:
    """Writes on a filled rectangle above the corner, moved so that it stays inside the image. In place."""
    scale, weight = max(line / 4, 0.4), max(line // 2, 1)
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, weight)
    box_height = height + baseline + line
    left = min(max(corner[0] - line // 2, 0), max(image.shape[1] - width - 2 * line, 0))
    bottom = min(max(corner[1], box_height), image.shape[0])
    cv2.rectangle(image, (left, bottom - box_height), (left + width + 2 * line, bottom), colour, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(colour, LUMINANCE) > BRIGHT else (255, 255, 255)
    cv2.putText(image, text, (left + line, bottom - baseline), FONT, scale, ink, weight, cv2.LINE_AA)
