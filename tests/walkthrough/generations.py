"""The small networks of all generations, once each."""

from functools import cache
from typing import Any

from walkthrough.explorers.family.generations import GENERATIONS, small_model

__all__ = ["GENERATIONS", "model_of"]

OF_DARKNET = ("YOLOv1", "YOLOv2", "YOLOv3", "YOLOv4")
TASK_ALIGNED = ("YOLOv8", "YOLOv9", "YOLO11", "YOLO-World")
WITHOUT_ANCHORS = ("YOLOv1", "FCOS", *TASK_ALIGNED)


@cache
def model_of(generation: str) -> Any:
    """The small network of a generation."""
    return small_model(generation)
