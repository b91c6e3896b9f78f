"""The network: blocks, the detection head, specs.

>>> create_model("yolov5n").num_classes
80
"""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import moved_name
from yolo_lite.model.head import Detect
from yolo_lite.model.registry import known_layers, register_layer
from yolo_lite.model.spec import MODELS, SpecError
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.support.summary import LayerSummary, Summary

__all__ = [
    "MODELS",
    "Detect",
    "LayerSummary",
    "SpecError",
    "Summary",
    "Yolo",
    "create_model",
    "known_layers",
    "register_layer",
]


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
