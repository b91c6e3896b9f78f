"""Networks to export: each kind of block of a generation once, in few layers, as an export takes time by the layer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from yolo_lite.family.backbones import Backbone

STEM = ([-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]])  # 0, 1: stride 4
NO_ANCHORS: Mapping[str, Any] = MappingProxyType({"family": "yolov8", "nc": 3, "reg_max": 8})
UP = ([-1, 1, "nn.Upsample", [None, 2, "nearest"]], [[-1, 2], 1, "Concat", [1]])

# YOLOv5's own, with all that an export may stumble over: stem, C3, SPPF, upsampling, two levels
V5: Mapping[str, Any] = MappingProxyType(
    {
        "nc": 3,
        "anchors": [[4, 6, 8, 5], [12, 10, 9, 16]],
        "backbone": [*STEM, [-1, 1, "C3", [8]], [-1, 1, "Conv", [16, 3, 2]]],
        "head": [
            *([-1, 1, "SPPF", [16, 5]], *UP, [-1, 1, "C3", [8, False]]),
            [[7, 4], 1, "Detect", ["nc", "anchors"]],
        ],
    }
)
V7: Mapping[str, Any] = MappingProxyType(
    {
        "family": "yolov7",
        "nc": 3,
        "anchors": V5["anchors"],
        "backbone": [*STEM, [-1, 1, "ELAN", [16, 8, 8, 2, 1]], [-1, 1, "MPConv", [16]]],
        "head": [
            *([-1, 1, "EELAN", [16, 8, 8, 2, 1]], [2, 1, "RepConv", [16, 3, 1]], [4, 1, "RepConv", [24, 3, 1]]),
            [[5, 6], 1, "Detect", ["nc", "anchors"]],
        ],
    }
)
V8: Mapping[str, Any] = MappingProxyType(
    {
        **NO_ANCHORS,
        "backbone": [*STEM, [-1, 1, "C2f", [8, True]], [-1, 1, "Conv", [16, 3, 2]]],
        "head": [[-1, 1, "SPPF", [16, 5]], *UP, [-1, 1, "C2f", [8]], [[7, 4], 1, "Detect", ["nc"]]],
    }
)
V11: Mapping[str, Any] = MappingProxyType(
    {
        **NO_ANCHORS,
        "backbone": [*STEM, [-1, 1, "C3k2", [16, False, 0.5]], [-1, 1, "Conv", [128, 3, 2]]],
        # attention: two heads of 64 channels each
        "head": [[-1, 1, "C2PSA", [128]], *UP, [-1, 1, "C3k2", [8, True]], [[7, 4], 1, "Detect", ["nc"]]],
        "depthwise": True,
    }
)
V9: Mapping[str, Any] = MappingProxyType(
    {
        **NO_ANCHORS,
        "backbone": [*STEM, [-1, 1, "ELAN1", [16, 16, 8]], [-1, 1, "AConv", [16]], [-1, 1, "SPPELAN", [16, 8]]],
        "head": [
            *([4, 1, "CBLinear", [[8, 16]]], [2, 1, "ADown", [16]], [[5, -1], 1, "CBFuse", [[1]]]),
            *([-1, 1, "RepNCSPELAN4", [16, 16, 8, 1]], [[2, 8], 1, "Detect", ["nc"]]),
        ],
    }
)
# The branch of PGI: it starts from the image again, and has a head of its own
PGI: Mapping[str, Any] = MappingProxyType(
    {
        **V9,
        "auxiliary": [
            *(["image", 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]),
            *([[5, -1], 1, "CBFuse", [[1]]], [[11, 13], 1, "Detect", ["nc"]]),
        ],
    }
)
WORLD: Mapping[str, Any] = MappingProxyType(
    {
        "family": "yolo-world",
        "words": [],
        "reg_max": 8,
        "contrast": [1.5, -5.0],
        "backbone": [*STEM, [-1, 1, "C2f", [8, True]], [-1, 1, "Conv", [16, 3, 2]]],
        "head": [[-1, 1, "C2fAttn", [16, 16, 2]], [[2, 4], 1, "WorldDetect", ["nc", 32, True]]],
    }
)
# Whose texts look at the images as well, and are compared by their cosine
WORLD_V1: Mapping[str, Any] = MappingProxyType(
    {
        **WORLD,
        "head": [
            *([[2, 3], 1, "ImagePoolingAttn", [16]], [3, 1, "C2fAttn", [16, 16, 2]]),
            [[2, 5], 1, "WorldDetect", ["nc", 32, False]],
        ],
    }
)
DIALS = Backbone(
    width=0.125, depth=0.33, repeats=(1, 1, 1), taps=("P3", "P4"), norm="GroupNorm", neck="BiFPN", neck_repeats=1,
    neck_channels=64, blocks=("residual", "residual", "RepConv"), head="v8",
).spec(3)  # fmt: skip

SMALL: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "v5": V5,
        "v7": V7,
        "yolov8": V8,
        "yolo11": V11,
        "yolov9": V9,
        "yolov9-pgi": PGI,
        "world": WORLD,
        "world-v1": WORLD_V1,
        "dials": DIALS,
    }
)
