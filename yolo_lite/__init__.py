"""YOLO you can read: a small library that computes exactly what YOLOv5 computes.

>>> import yolo_lite as yl
>>> model = yl.create_model("yolov5n", num_classes=3)
>>> batch = next(iter(yl.create_dataloader("shapes", batch_size=2, img_size=64)))
>>> maps = model(batch.images / 255)
>>> [tuple(raw.shape) for raw in maps]
[(2, 3, 8, 8, 8), (2, 3, 4, 4, 8), (2, 3, 2, 2, 8)]
"""

from functools import partial
from typing import TYPE_CHECKING

from yolo_lite._moved import find_moved_modules, moved_name
from yolo_lite.analysis.costs import ErrorCosts, corrected_ap, error_costs
from yolo_lite.analysis.errors import ImageErrors, find_errors
from yolo_lite.augment.letterbox import Geometry, Letterboxed, letterbox, to_original
from yolo_lite.boxes import bbox_iou, box_iou, iou_terms, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.checkpoints.backbone import Taken, load_backbone
from yolo_lite.checkpoints.own import load, save
from yolo_lite.checkpoints.partial import TakenWeights, load_weights
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.data.dataset import Batch, Sample, YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.data.report import DatasetError
from yolo_lite.datasets.photos import tour_batch
from yolo_lite.detect.average_precision import average_precision
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.detect.predict import Detections, predict
from yolo_lite.exporting.export import export
from yolo_lite.family.backbones.dials import Backbone
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.anchors import anchor_fit, suggest_anchors
from yolo_lite.loss.criterion import AssignedPredictions, Criterion
from yolo_lite.loss.loss import ComputeLoss, LossParts
from yolo_lite.loss.targets import Assignment, build_targets
from yolo_lite.model.protocol import Detector
from yolo_lite.model.registry import register_layer
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.overlap_gradients import iou_gradient
from yolo_lite.running.distributed import distributed
from yolo_lite.train.results import StepState
from yolo_lite.train.trainer import Trainer

__version__ = "0.2.0"

__all__ = [
    "AssignedPredictions",
    "Assignment",
    "Backbone",
    "Batch",
    "CheckpointError",
    "ComputeLoss",
    "Criterion",
    "DatasetError",
    "Detections",
    "Detector",
    "ErrorCosts",
    "Geometry",
    "Hyperparameters",
    "ImageErrors",
    "Letterboxed",
    "LossParts",
    "Sample",
    "StepState",
    "Taken",
    "TakenWeights",
    "Trainer",
    "Yolo",
    "YoloDataset",
    "anchor_fit",
    "average_precision",
    "bbox_iou",
    "box_iou",
    "build_targets",
    "corrected_ap",
    "create_dataloader",
    "create_model",
    "distributed",
    "error_costs",
    "evaluate",
    "export",
    "find_errors",
    "iou_gradient",
    "iou_terms",
    "letterbox",
    "load",
    "load_backbone",
    "load_weights",
    "non_max_suppression",
    "predict",
    "register_layer",
    "save",
    "suggest_anchors",
    "to_original",
    "tour_batch",
    "xywh_to_xyxy",
    "xyxy_to_xywh",
]

find_moved_modules()
if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
