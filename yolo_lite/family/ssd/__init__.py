"""SSD: default boxes on maps of six sizes, a class for the background, hard negatives."""

from yolo_lite.family.ssd.loss import SsdLoss, SsdSettings, decode_ssd, default_boxes

__all__ = ["SsdLoss", "SsdSettings", "decode_ssd", "default_boxes"]
