"""Augmentations: each is a `draw` (samples its random numbers) and an `apply` (uses them, without randomness).

``draw_x(hyp, size, generator) -> XDraw`` needs no image; ``apply_x(image, ..., drawn)`` never writes into its inputs,
and may return one of them where there was nothing to do. The modules, in the order of reading:

    objects.py    Objects: classes, boxes and outlines in pixels; polygons.py clips the outlines
    letterbox.py  any image into a network input (YOLOv5: `letterbox`), and boxes back (YOLOv5: `scale_boxes`)
    warp.py       one matrix for rotation, scale, shear, translation and perspective (YOLOv5: `random_perspective`)
    box_filter.py which boxes are still worth learning from afterwards (YOLOv5: `box_candidates`)
    geometry.py   flips and the random resized crop
    mixing.py     mosaic and the labels on it (YOLOv5: `load_mosaic`), mixup, copy-paste
    colour.py     HSV (YOLOv5: `augment_hsv`) and the photometric set (YOLOv5: `Albumentations`)

The order in training: mosaic, copy-paste, warp (or letterbox, warp without a mosaic); mixup of two of these; crop,
photometric set, HSV, flips.
"""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import moved_name

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
