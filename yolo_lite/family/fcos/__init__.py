"""FCOS: points instead of anchors, centre-ness."""

from yolo_lite.family.fcos.loss import FcosLoss, FcosParts, FcosSettings, decode_fcos, fcos_points

__all__ = ["FcosLoss", "FcosParts", "FcosSettings", "decode_fcos", "fcos_points"]
