"""YOLOv3: one best of nine anchors for each object, over three strides; independent logistic classes.

Source: Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement" (arXiv 1804.02767).

The rules of Darknet's layer, by the numbers that comments here use (s: logistic function; t: 0 or 1):

1. Objectness is background, gradient s, unless the predicted box overlaps some object, of whatever level, by more than
   ignore_thresh: then 0.
2. A box that overlaps an object by more than truth_thresh is matched to it (published: 1, never).
3. Each object is matched to the anchor of all levels most like it in shape, in the cell of its centre. Gradients there:
   (2 - w h) (s - target) for x, y and (2 - w h) (t_w - target) for w, h; s - 1 for objectness, s - t for classes. It
   overrides rule 1.
4. Of several objects on one prediction, the last has the box; objectness counts once; the classes of all are positive.
5. Levels without an object's best anchor have rule 1 for it. The printed cost is the sum of squares of the gradient.
"""

from yolo_lite.family.yolov3.heads import HeadLoss
from yolo_lite.family.yolov3.loss import Yolov3Assignment, Yolov3Loss, Yolov3Settings

__all__ = ["HeadLoss", "Yolov3Assignment", "Yolov3Loss", "Yolov3Settings"]
