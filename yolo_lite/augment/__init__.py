"""Augmentations: each is a draw (all that chance decides) and an apply (no chance left).

``draw_x(hyp, size, generator) -> XDraw`` needs no image; ``apply_x(image, ..., drawn)`` never writes into its inputs,
and may return one of them where there was nothing to do. The modules, in the order of reading:

    objects.py    Objects: classes, boxes and outlines in pixels; polygons.py clips the outlines
    letterbox.py  any image into a network input, and boxes back
    warp.py       one matrix for rotation, scale, shear, translation and perspective; survival.py, who is left
    geometry.py   flips and random resized crop, and the names of the two above
    mixing.py     mosaic, mixup, copy-paste
    colour.py     HSV and the photometric set

The order in training: mosaic, copy-paste, warp (or letterbox, warp without a mosaic); mixup of two of these; crop,
photometric set, HSV, flips.
"""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import moved_name

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
