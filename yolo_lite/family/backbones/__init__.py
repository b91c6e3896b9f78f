"""Backbones as dials: every choice a field of ``Backbone``, from which rows are written; and what a backbone sees."""

from yolo_lite.family.backbones.dials import Backbone
from yolo_lite.family.backbones.features import Classifier, backbone_of, features
from yolo_lite.family.backbones.stages import Stage

__all__ = ["Backbone", "Classifier", "Stage", "backbone_of", "features"]
