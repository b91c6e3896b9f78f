"""YOLO-World: a detector whose classes are texts, given at run time."""

from yolo_lite.family.yolo_world.head import WorldDetect
from yolo_lite.family.yolo_world.text import TextEncoder

__all__ = ["TextEncoder", "WorldDetect"]
