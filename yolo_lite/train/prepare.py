"""Names of 0.1.0: what prepares a run is divided by subject now. Goes in 0.3.0."""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import moved_name

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)
