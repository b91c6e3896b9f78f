"""The frame that an image's annotations count in: its size, and whether the picture is turned when it is read.

A photograph may say in its EXIF data how it is to be turned, and every reader of this library turns it. Some labelling
tools draw the boxes on the turned picture, some on the stored one; which of them it was shows in the width and height
that they wrote down.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite.data.report import Problem
from yolo_lite.images.headers import Size, image_size, read_header
from yolo_lite.images.reading import ImageError

SLACK = 2.0  # pixels that boxes may reach over the border of the size they were drawn in
RATIO = 0.02  # how far the proportions of a resized picture may be off
ROTATED, RESIZED = "images with an EXIF rotation", "images of another size than stated"


class Frame(NamedTuple):
    """Where an image's annotations count from, and in what.

    >>> Frame(Size(60, 100), 6).fractions(np.array([[0.0, 0.0], [50.0, 60.0]])).tolist()  # turned right by 90 degrees
    [[1.0, 0.0], [0.0, 0.5]]
    """

    size: Size  # of the picture as it was annotated
    orientation: int = 1  # EXIF's, of what is still to be done to it; 1: nothing
    upright: Size | None = None  # of the picture as it is read; None where there is no file

    def fractions(self, points: np.ndarray) -> np.ndarray:
        """Points in pixels of the annotated picture -> fractions of the upright one's width and height.

        Args:
            points: (k, 2) xy.
        Returns:
            (k, 2) xy, in [0, 1] for points inside.
        """
        x, y = (points / (self.size.width, self.size.height)).T
        turned = {
            1: (x, y),
            2: (1 - x, y),  # mirrored
            3: (1 - x, 1 - y),  # by 180 degrees
            4: (x, 1 - y),  # upside down and mirrored
            5: (y, x),  # mirrored along the diagonal
            6: (1 - y, x),  # clockwise by 90 degrees
            7: (1 - y, 1 - x),  # mirrored along the other diagonal
            8: (y, 1 - x),  # counterclockwise by 90 degrees
        }
        return np.stack(turned[self.orientation], axis=1)

    @property
    def picture(self) -> Size:
        """The size of the picture as it is read, or as it is stated where there is no file."""
        return self.upright or self.size

    @property
    def is_picture(self) -> bool:
        """Whether annotations count in the very pixels of the picture as it is read."""
        return self.orientation == 1 and self.size == self.picture


def annotated_frame(
    path: Path | None, stated: Size | None, extent: tuple[float, float], where: str
) -> tuple[Frame, list[Problem]]:
    """The frame that an image's annotations count in.

    Args:
        path: the image file; None where there is none.
        stated: the size that the annotation file gives; None where it gives none.
        extent: how far to the right and down the annotations reach, in pixels.
        where: the annotation file, for the notes.
    Returns:
        The frame, and a note on what was decided where there was something to decide.
    Raises:
        ValueError: the file cannot be read, its size is unknown, or the boxes can belong to no reading of it.
    """
    if path is None:
        if stated is None:
            raise ValueError("neither width and height nor the image file are known")
        return Frame(stated), []
    try:
        upright = image_size(path)
        orientation = _orientation_of(path, upright)
    except (ImageError, OSError) as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from None
    if orientation != 1:
        frame, reason = _turned(upright, orientation, stated, extent)
    elif stated is None or stated == upright:
        return Frame(upright, upright=upright), []
    else:
        frame, reason = _resized(upright, stated, extent)
    frame = frame._replace(upright=upright)
    kind = ROTATED if orientation != 1 else RESIZED
    return frame, [Problem(where, None, f"{path}: {reason}", kind, note=True)]


def _orientation_of(path: Path, upright: Size) -> int:
    """EXIF's orientation; 0 for a picture turned by 90 degrees in a format whose EXIF data are not read here."""
    orientation = read_header(path).orientation
    if orientation is not None:
        return orientation if 1 <= orientation <= 8 else 1
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    stored = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    return 1 if stored is None or stored.shape[:2] == upright else 0


def _turned(upright: Size, orientation: int, stated: Size | None, extent: tuple[float, float]) -> tuple[Frame, str]:
    """A picture with an EXIF rotation: annotated as it is seen, or as it is stored?"""
    if orientation in (2, 3, 4) or upright.width == upright.height:
        assumed = "the recorded size does not say whether the boxes were drawn before or after it; taken as drawn after"
        return Frame(stated or upright), f"it has an EXIF rotation (orientation {orientation}), and {assumed}"
    stored = Size(upright.width, upright.height)
    if stated is None:
        drawn_after = _fits(extent, upright) or not _fits(extent, stored)
        reason = "no size is recorded; " + ("taken as drawn after it" if drawn_after else "they fit only before it")
    else:
        drawn_after = stated == upright or (stated != stored and _alike(stated, upright))
        if not drawn_after and not _alike(stated, stored):
            raise ValueError(
                f"it has an EXIF rotation and is {_words(upright)}, stated is {_words(stated)}: which of "
                "them the boxes belong to is not known"
            )
        when = "after" if drawn_after else "before"
        reason = f"the recorded size ({_words(stated)}) says that the boxes were drawn {when} it"
    if drawn_after:
        return Frame(stated or upright), f"it has an EXIF rotation; {reason}"
    if not orientation:
        raise ValueError(
            "the boxes were drawn before its EXIF rotation, which is not read in this format: "
            "save the picture as JPEG or PNG with its EXIF data"
        )
    return Frame(stated or stored, orientation), f"it has an EXIF rotation; {reason}; they are turned with the picture"


def _resized(found: Size, stated: Size, extent: tuple[float, float]) -> tuple[Frame, str]:
    """A picture of another size than its annotations state."""
    sizes = f"{_words(found)}, stated is {_words(stated)}"
    if stated == (found.width, found.height):  # width and height exchanged
        if not _fits(extent, found):
            raise ValueError(f"{sizes}, and boxes reach beyond the picture: it was turned after it was annotated")
        return Frame(found), f"{sizes}, exchanged; the boxes fit the picture, so its own size is used"
    if not _fits(extent, stated) and _fits(extent, found):
        return Frame(found), f"{sizes}; the boxes fit only the picture, so its own size is used"
    if _alike(found, stated):
        return Frame(stated), f"{sizes}; the same proportions, so the boxes are scaled to the picture"
    return Frame(stated), f"{sizes}; the boxes are stretched to the picture and may be off"


def _fits(extent: tuple[float, float], size: Size) -> bool:
    """Whether boxes that reach that far lie inside this size."""
    return extent[0] <= size.width + SLACK and extent[1] <= size.height + SLACK


def _alike(one: Size, other: Size) -> bool:
    """Whether two sizes have the same proportions."""
    return abs(one.width * other.height / (one.height * other.width) - 1) < RATIO


def _words(size: Size) -> str:
    return f"{size.width} x {size.height}"
