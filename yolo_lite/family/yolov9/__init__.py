"""YOLOv9's programmable gradient information: a branch that training has and inference drops.

``gradients.compare_gradients`` shows what it changes. The network itself is ``family.yolov8.network``, from other rows.
"""

from yolo_lite.family.yolov9.auxiliary import Column, auxiliary_rows, with_auxiliary

__all__ = ["Column", "auxiliary_rows", "with_auxiliary"]
