"""The network: blocks, the detection head, specs, checkpoints."""

from .checkpoint import CheckpointError, load, read_header, save
from .detect import Detect, decode
from .registry import known_layers, register_layer
from .spec import MODELS, SpecError
from .summary import LayerSummary, Summary
from .yolo import Yolo, create_model

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
