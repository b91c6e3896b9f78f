"""The tools that show YOLO computing. Imports yolo_lite; never the other way round.

>>> from walkthrough import show_image
>>> show_image([[0, 128], [128, 255]], [[0, 0, 1, 2]], ["left half"])
picture 2 x 2, 1 box: left half
"""

from walkthrough._moved import find_moved_modules
from walkthrough.blocks import show_block
from walkthrough.charts import show_bars, show_histogram, show_series, show_table
from walkthrough.compose import column, row
from walkthrough.drawings import show_anchor_reach, show_convolution, show_decoding, show_prediction_cube
from walkthrough.exercises import Exercise, Verdict, check
from walkthrough.explorers.anchors import AnchorExplorer
from walkthrough.explorers.augmentation import AugmentationLab
from walkthrough.explorers.backbone import BackboneExplorer
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.distribution import DistributionExplorer
from walkthrough.explorers.family import FamilyExplorer
from walkthrough.explorers.gradient import GradientExplorer
from walkthrough.explorers.iou import IouPlayground
from walkthrough.explorers.layer import LayerExplorer
from walkthrough.explorers.linking import link
from walkthrough.explorers.loss import LossExplorer
from walkthrough.explorers.nms import NmsExplorer
from walkthrough.explorers.schedule import ScheduleExplorer
from walkthrough.explorers.stepper import Stepper
from walkthrough.explorers.training import LiveTraining
from walkthrough.explorers.why import WhyExplorer
from walkthrough.frozen import Frozen, frozen_script
from walkthrough.layers import effective_field, feature_statistics, record_layers, show_layers
from walkthrough.numbers import approx
from walkthrough.run import (
    show_confusion,
    show_f1,
    show_history,
    show_precision_recall,
    show_predictions,
    show_schedule,
)
from walkthrough.scene import Scene
from walkthrough.show import show_assignment, show_batch, show_feature_maps, show_grid, show_image, show_roles
from walkthrough.trace import Trace, load_trace, trace

__all__ = [
    "AnchorExplorer",
    "AugmentationLab",
    "BackboneExplorer",
    "DistributionExplorer",
    "Exercise",
    "Explorer",
    "FamilyExplorer",
    "Frozen",
    "GradientExplorer",
    "IouPlayground",
    "LayerExplorer",
    "LiveTraining",
    "LossExplorer",
    "NmsExplorer",
    "Scene",
    "ScheduleExplorer",
    "Stepper",
    "Trace",
    "Verdict",
    "WhyExplorer",
    "approx",
    "check",
    "column",
    "effective_field",
    "feature_statistics",
    "frozen_script",
    "link",
    "load_trace",
    "record_layers",
    "row",
    "show_anchor_reach",
    "show_assignment",
    "show_bars",
    "show_batch",
    "show_block",
    "show_confusion",
    "show_convolution",
    "show_decoding",
    "show_f1",
    "show_feature_maps",
    "show_grid",
    "show_histogram",
    "show_history",
    "show_image",
    "show_layers",
    "show_precision_recall",
    "show_prediction_cube",
    "show_predictions",
    "show_roles",
    "show_schedule",
    "show_series",
    "show_table",
    "trace",
]

find_moved_modules()
