"""YOLOv4 and Scaled-YOLOv4: several anchors for each object, boxes trained by their overlap.

Sources: Bochkovskiy et al. 2020 (arXiv 2004.10934); Wang et al. 2020, Scaled-YOLOv4 (arXiv 2011.08036).
"""

from yolo_lite.family.yolov4.loss import Yolov4Assignment, Yolov4Loss
from yolo_lite.family.yolov4.overlap_step import overlap_step
from yolo_lite.family.yolov4.settings import BoxLoss, Yolov4Settings

__all__ = ["BoxLoss", "Yolov4Assignment", "Yolov4Loss", "Yolov4Settings", "overlap_step"]
