"""YOLOv8, YOLOv9 and YOLO11: no anchors, distances as distributions, points matched by how well they predict."""

from yolo_lite.family.yolov8.assignment import TaskAligned, assign_task_aligned
from yolo_lite.family.yolov8.head import DetectDFL
from yolo_lite.family.yolov8.loss import (
    Yolov8Loss,
    Yolov8Parts,
    Yolov8Settings,
    decode_yolov8,
    distribution_focal_loss,
)

__all__ = [
    "DetectDFL",
    "TaskAligned",
    "Yolov8Loss",
    "Yolov8Parts",
    "Yolov8Settings",
    "assign_task_aligned",
    "decode_yolov8",
    "distribution_focal_loss",
]
