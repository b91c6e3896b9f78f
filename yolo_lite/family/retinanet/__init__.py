"""RetinaNet: nine anchors per cell of a feature pyramid, focal loss."""

from yolo_lite.family.retinanet.loss import RetinaNetLoss, RetinaNetSettings, decode_retinanet, retinanet_anchors

__all__ = ["RetinaNetLoss", "RetinaNetSettings", "decode_retinanet", "retinanet_anchors"]
