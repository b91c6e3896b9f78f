"""YOLOv3: one best of nine anchors for each object, over three strides; independent logistic classes.

Source: Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement" (arXiv 1804.02767).
"""

from yolo_lite.family.yolov3.heads import HeadLoss
from yolo_lite.family.yolov3.loss import Yolov3Assignment, Yolov3Loss, Yolov3Settings

__all__ = ["HeadLoss", "Yolov3Assignment", "Yolov3Loss", "Yolov3Settings"]
