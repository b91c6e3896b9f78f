"""From a source of images and labels to batches. YOLOv5: `utils/dataloaders.py`."""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import moved_name

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
