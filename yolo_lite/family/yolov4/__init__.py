"""YOLOv4 and Scaled-YOLOv4: several anchors for each object, boxes trained by their overlap.

Sources: Bochkovskiy et al. 2020 (arXiv 2004.10934); Wang et al. 2020, Scaled-YOLOv4 (arXiv 2011.08036).

The rules of AlexeyAB's Darknet, by the numbers that comments here use (s: logistic function; t: class target):

1. Objectness is background unless the box overlaps an object by more than ignore_thresh and some class score is above
   .25: then ignored, or with objectness_smooth trained to that IoU.
2. An object is matched to (a) its best anchor of all, if it is this level's, and (b), if iou_thresh is below 1, to
   every other anchor of the level whose shape overlaps it by more than that; in the cell of its centre.
3. Boxes of several objects on one prediction add up; objectness goes to 1, but hardly ever with objectness_smooth.
4. Boxes: squared errors times 2 - w h, or Darknet's step for an overlap (``overlap_step``), clipped for each object.
5. Classes: s - t of all classes for the first object on a prediction; each further object changes its own class alone.
   Label smoothing, or a focal weight for the first object.
6. If iou_thresh is below 1, the box part is divided by the number of classes pushed up: so two objects of one class
   are added up, and two of two classes averaged.
7. The printed cost: sum of squares of the gradient; with overlaps a mean of 1 - IoU stands for the box part.

A description of YOLOv3 read by this layer (origin "alexeyab") is Yolov4Loss with the settings' defaults: squared errors
times .75, one anchor for each object, and the condition of rule 1 on class scores.
"""

from yolo_lite.family.yolov4.loss import Yolov4Assignment, Yolov4Loss
from yolo_lite.family.yolov4.overlap_step import overlap_step
from yolo_lite.family.yolov4.settings import BoxLoss, Yolov4Settings

__all__ = ["BoxLoss", "Yolov4Assignment", "Yolov4Loss", "Yolov4Settings", "overlap_step"]
