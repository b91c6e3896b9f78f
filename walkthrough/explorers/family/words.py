"""What the terms of each generation's loss are, in a few words."""

from collections.abc import Mapping
from types import MappingProxyType

# The class of a loss -> its terms. A detector that is not among them has its terms shown without words.
TERMS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Yolov1Loss": {
            "box": "squared errors of x, y and of the square roots of w, h",
            "obj": "squared error of the confidence: IoU, or 0",
            "cls": "squared errors of the class scores",
        },
        "Yolov2Loss": {
            "box": "squared errors of s(t_x), s(t_y), t_w, t_h",
            "obj": "squared error of s(objectness): IoU, or 0",
            "cls": "cross entropy of a softmax",
            "anchor_prior": "early: moves all boxes to their anchors",
        },
        "Yolov3Loss": {
            "box": "BCE of t_x, t_y; squared errors of t_w, t_h",
            "obj": "BCE of objectness: 1, or 0",
            "cls": "BCE of each class alone",
        },
        "Yolov4Loss": {
            "box": "1 - CIoU of the boxes, unless the settings say otherwise",
            "obj": "BCE of objectness: 1, or 0",
            "cls": "BCE of each class alone",
        },
        "ComputeLoss": {
            "box": "1 - CIoU of the boxes, a mean",
            "obj": "BCE of objectness: CIoU, or 0, a mean",
            "cls": "BCE of each class alone, a mean",
        },
        "SsdLoss": {
            "box": "smooth L1 of the four offsets",
            "cls": "cross entropy of a softmax with the background",
        },
        "RetinaNetLoss": {"box": "L1 of the four offsets, or GIoU", "cls": "focal loss of each class alone"},
        "FcosLoss": {
            "box": "1 - GIoU of the boxes",
            "cls": "focal loss of each class alone",
            "centreness": "BCE of the centre-ness",
        },
        "Yolov7Loss": {
            "box": "1 - CIoU of the boxes, a mean",
            "obj": "BCE of objectness: CIoU, or 0, a mean",
            "cls": "BCE of each class alone, a mean",
        },
        "Yolov8Loss": {
            "box": "1 - CIoU of the boxes, weighted by the target scores",
            "cls": "BCE of each class alone: how well aligned, or 0",
            "dfl": "cross entropy of the bins of each side's distance",
        },
    }
)
# In short, who is positive
RULES: Mapping[str, str] = MappingProxyType(
    {
        "Yolov1Loss": "one box of the centre's cell: the one with the best IoU now",
        "Yolov2Loss": "one anchor of the centre's cell: the most similar shape",
        "Yolov3Loss": "one of nine anchors, in the centre's cell of its level",
        "Yolov4Loss": "the best anchor, and others of similar shape",
        "ComputeLoss": "anchors within anchor_t, in up to three cells",
        "SsdLoss": "default boxes with IoU of 0.5 and more, and the best",
        "RetinaNetLoss": "anchors with IoU of 0.5 and more, and the best",
        "FcosLoss": "points near the centre, on the level of its size",
        "Yolov7Loss": "of YOLOv5's matches those that cost least now: as many as the best overlaps add up to",
        "Yolov8Loss": "the ten points inside whose score and overlap agree best now",
    }
)
