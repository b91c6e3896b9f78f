"""The network: blocks, the detection head, specs, checkpoints."""

from yolo_lite.model.checkpoint import CheckpointError, load, read_header, save
from yolo_lite.model.detect import Detect, decode
from yolo_lite.model.registry import known_layers, register_layer
from yolo_lite.model.spec import MODELS, SpecError
from yolo_lite.model.summary import LayerSummary, Summary
from yolo_lite.model.yolo import Yolo, create_model

__all__ = [
    "MODELS",
    "CheckpointError",
    "Detect",
    "LayerSummary",
    "SpecError",
    "Summary",
    "Yolo",
    "create_model",
    "decode",
    "known_layers",
    "load",
    "read_header",
    "register_layer",
    "save",
]
