"""The options of Darknet's yolo layer that YOLOv4 and Scaled-YOLOv4 use."""

from dataclasses import dataclass
from typing import Literal, get_args

from yolo_lite.coding import AnchorCoding
from yolo_lite.family.common import check_setting
from yolo_lite.family.yolov3.loss import check_ranges
from yolo_lite.hyperparameters import described, probability

BoxLoss = Literal["mse", "iou", "giou", "diou", "ciou"]


@dataclass(frozen=True)
class Yolov4Settings:
    """The options of one yolo layer, mostly by the names of AlexeyAB's descriptions.

    Defaults are the layer's own, of a description that is silent. YOLOv4's description has ciou, iou_normalizer .07,
    iou_thresh .213, ignore_thresh .7, max_delta 5, scale_x_y 1.2, 1.1, 1.05; Scaled-YOLOv4's ciou, .05, .2, .7,
    new_coords, scale_x_y 2, obj_normalizer 4, 1, .4, max_delta 5, 5, 2, objectness_smooth off, on, on; for strides 8,
    16, 32.

    Raises:
        ValueError: a number outside its range, an unknown iou_kind, a truth_thresh other than 1.
    """

    iou_kind: BoxLoss = "mse"  # iou_loss; how boxes are compared: squared errors, or 1 - an overlap
    iou_normalizer: float = described(0.75, "factor of the box loss")
    obj_normalizer: float = described(1.0, "factor of the objectness loss")
    cls_normalizer: float = described(1.0, "without effect: Darknet reads it, and uses it only with class multipliers")
    iou_thresh: float = probability(1.0, "IoU in shape above which further anchors are matched to an object; 1: none")
    ignore_thresh: float = probability(0.5, "IoU with an object above which a prediction may be no background")
    truth_thresh: float = described(1.0, "only 1, which is without effect, is here", low=1.0, high=1.0)
    label_smooth_eps: float = probability(0.0, "class targets are 1 - e/2 and e/2")
    focal: bool = False  # focal_loss: class losses weigh less where the object's class is already likely
    max_delta: float | None = described(None, "each number of a box's step is clipped to +- this; not with mse")
    scale_x_y: float = described(1.0, "grid sensitivity: how far centres reach", low=1.0)
    new_coords: bool = False  # the layer gets logistic values; sizes are (2 a)^2 anchors, as in Scaled-YOLOv4
    objectness_smooth: bool = False  # predictions that would be ignored are trained towards their IoU
    max_boxes: int = described(200, "objects of an image that are seen, in their order", low=1)

    def __post_init__(self) -> None:
        if self.iou_kind not in get_args(BoxLoss):
            raise ValueError(f"unknown iou_kind {self.iou_kind!r}: choose one of {', '.join(get_args(BoxLoss))}")
        check_ranges(self)
        given = self.max_delta is None or self.max_delta > 0  # Darknet's 0 would be None
        check_setting(self, "max_delta", given, "above 0, or None where nothing is clipped")

    @property
    def coding(self) -> AnchorCoding:
        """How the layer's boxes are written."""
        return AnchorCoding(self.scale_x_y, "square" if self.new_coords else "exponential")
