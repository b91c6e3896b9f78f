"""Every generation in a tiny form, and four scenes to learn by heart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import yaml
from torch import nn

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import Report
from yolo_lite.data.source import PathStore
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.family.yolov8.network import Yolov8, named_spec
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

CFG = Path(__file__).parent / "cfg"
SIZE = 96  # pixels
# Scenes of two to four objects, none below 12 pixels at that size and no two in one cell of a 6 x 6 grid: all that
# YOLOv1 can express. Together they have all six classes.
SCENES = (9, 79, 85, 90)


# Of YOLO-World: a text encoder, text-guided attention in the neck, a head with BatchNorm
WORLD = MappingProxyType(
    {
        "family": "yolo-world",
        "words": [],
        "reg_max": 8,
        "contrast": [1.5, -5.0],  # not the published start, which needs more steps than these
        "backbone": [
            *([-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [24, 3, 2]], [-1, 1, "C2f", [24, True]]),
            *([-1, 1, "Conv", [32, 3, 2]], [-1, 1, "C2f", [32, True]]),  # 4, stride 8
            *([-1, 1, "Conv", [48, 3, 2]], [-1, 1, "C2f", [48, True]]),  # 6, stride 16
        ],
        "head": [
            [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
            [[-1, 4], 1, "Concat", [1]],
            [-1, 1, "C2fAttn", [32, 16, 2]],  # 9
            [-1, 1, "Conv", [32, 3, 2]],
            [[-1, 6], 1, "Concat", [1]],
            [-1, 1, "C2fAttn", [48, 24, 3]],  # 12
            [[9, 12], 1, "WorldDetect", ["nc", 32, True]],
        ],
    }
)


class Tiny(NamedTuple):
    """A small network, and how long it takes to learn four scenes by heart."""

    source: Path | Mapping[str, Any]  # of create_model
    epochs: int
    lr: float  # of AdamW


V8: Mapping[str, Any] = MappingProxyType({"family": "yolov8", "reg_max": 8})


def tiny_yolov8() -> dict[str, Any]:
    """YOLOv8's rows, a third as wide as its smallest scale and a sixth as deep."""
    return named_spec("yolov8n") | V8 | {"scales": {"tiny": [0.17, 0.125, 256]}, "scale": "tiny"}


def tiny_yolo11() -> dict[str, Any]:
    return named_spec("yolo11n") | V8 | {"scales": {"tiny": [0.5, 0.125, 256]}, "scale": "tiny"}


def tiny_yolov9() -> dict[str, Any]:
    """YOLOv9-T's rows with a quarter of the channels and one inner block instead of three."""
    spec = named_spec("yolov9t")
    for row in [*spec["backbone"], *spec["head"]]:
        if isinstance(row[3][0], int) and row[2] != "Concat":
            row[3] = [value if value < 4 else value // 4 for value in row[3]]
        if row[2] == "RepNCSPELAN4":
            row[3][3] = 1
        if isinstance(row[3][0], int) and row[2] != "Concat":
            row[3][0] = -(-row[3][0] // 8) * 8
    return spec | V8


def tiny_yolov7_aux() -> dict[str, Any]:
    """tiny-v7.yaml with an auxiliary head on the maps of the top-down path."""
    spec: dict[str, Any] = yaml.safe_load((CFG / "tiny-v7.yaml").read_text(encoding="utf-8"))
    rows = [[13, 1, "Conv", [32, 3, 1]], [10, 1, "Conv", [48, 3, 1]], [[-2, -1], 1, "Detect", ["nc", "anchors"]]]
    return spec | {"auxiliary": rows}


TINY: Mapping[str, Tiny] = MappingProxyType(
    {
        "v1": Tiny(CFG / "tiny-v1.cfg", 80, 0.003),
        # pjreddie's BatchNorm moves its running statistics by 0.01 a step: after fewer they are still the start's
        "v2": Tiny(CFG / "tiny-v2.cfg", 150, 0.004),
        "v3": Tiny(CFG / "tiny-v3.cfg", 300, 0.003),
        "v4-ciou": Tiny(CFG / "tiny-v4.cfg", 120, 0.003),
        "v4-mse": Tiny(CFG / "tiny-v4-mse.cfg", 100, 0.003),
        "csp": Tiny(CFG / "tiny-csp.cfg", 100, 0.005),
        "ssd": Tiny({"family": "ssd", "backbone": "vgg16_bn", "width": 0.0625, "size": SIZE, "levels": 3}, 120, 0.003),
        "retinanet": Tiny({"family": "retinanet", "backbone": "resnet18", "width": 0.125, "channels": 24}, 160, 0.003),
        "fcos": Tiny({"family": "fcos", "backbone": "resnet18", "width": 0.125, "channels": 24}, 100, 0.004),
        # YOLOv5's BatchNorm moves its running statistics by 0.03 a step: after 120 they are still near the start's
        "v7": Tiny(CFG / "tiny-v7.yaml", 250, 0.004),
        "v7-aux": Tiny(tiny_yolov7_aux(), 250, 0.004),
        "yolov8": Tiny(tiny_yolov8(), 110, 0.01),
        "yolo11": Tiny(tiny_yolo11(), 110, 0.01),
        "yolov9": Tiny(tiny_yolov9(), 110, 0.01),
        "yolov9-pgi": Tiny(with_auxiliary(tiny_yolov9()), 110, 0.01),
        "world": Tiny(WORLD, 200, 0.006),
    }
)


def tiny_model(name: str, **options: Any) -> LayeredDetector:
    """A new one, for the classes of "shapes"."""
    model = create_model(TINY[name].source, **{"names": Shapes.names, **options})
    if isinstance(model, Yolov8):  # 0.03 a step through 60 BatchNorms or more: after 120 steps nothing is found yet
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
    return model


class Scenes:
    """Some of the scenes of "shapes", an ImageSource."""

    names = Shapes.names

    def __init__(self, indices: Sequence[int] = SCENES, size: int = SIZE) -> None:
        self.shapes, self.indices = Shapes("train", size), tuple(indices)
        self.paths = PathStore([self.shapes.paths[index] for index in indices])
        self.sizes = self.shapes.sizes[: len(self.indices)]
        self.labels = self.shapes.labels.select(np.array(self.indices))
        self.report = Report.of(self.labels.objects_per_image)

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> np.ndarray:
        return self.shapes.read(self.indices[index])


def scenes(indices: Sequence[int] = SCENES, size: int = SIZE) -> YoloDataset:
    """Those scenes as a dataset, as they are."""
    return YoloDataset(Scenes(indices, size), size)
