"""What every exported file holds: the fused network, its decoding on request, and a description of both.

Shape letters: N batch, H rows and W columns of the images, n boxes, C classes.
"""

import json
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yolo_lite.detect.inference import input_size
from yolo_lite.model.layered import LayeredDetector

INPUT = "images"
BOXES = "boxes"  # the output with decode
DETECTIONS = "detections"  # the output with nms
MAP = "map_{}"  # the outputs without either
EXAMPLE_MULTIPLES = 2, 3  # sides of the example, in multiples: different, and none of them 1


class Thresholds(NamedTuple):
    """The options of non-maximum suppression that a file has; see ``non_max_suppression``."""

    conf_thres: float = 0.25
    iou_thres: float = 0.45
    max_det: int = 300


class ExportedNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> the raw maps; with ``decode`` the boxes (N, n, 5 + C) before them."""

    def __init__(self, model: LayeredDetector, decode: bool) -> None:
        super().__init__()
        self.model, self.decodes = model, decode

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.model(images)
        return (self.model.decode(maps), *maps) if self.decodes else tuple(maps)


def for_export(model: LayeredDetector) -> LayeredDetector:
    """A copy on the CPU, float32, fused, without gradients."""
    if not isinstance(model, LayeredDetector):
        raise ValueError(f"export takes a network of this library, not {type(model).__name__}: yl.load(path) gives one")
    return model.fuse().cpu().float().requires_grad_(False)


def is_dynamic(model: LayeredDetector) -> bool:
    """Whether images of several sizes will do; not for YOLOv1 (a fully connected layer) and SSD (its default boxes)."""
    return model.fixed_size is None


def example_images(model: LayeredDetector) -> Tensor:
    """(2, 3, H, W): images to trace the network with. No side is 1, which a tracer takes for a constant.

    >>> from yolo_lite.model.yolo import create_model
    >>> example_images(create_model("yolov5n")).shape
    torch.Size([2, 3, 64, 96])
    """
    size = model.fixed_size
    if size is None:
        # the coarsest map has at least two cells, also where it is coarser than the multiple (P7 of RetinaNet)
        unit = model.size_multiple * math.ceil(max(model.strides) / model.size_multiple)
        size = EXAMPLE_MULTIPLES[0] * unit, EXAMPLE_MULTIPLES[1] * unit
    return torch.rand(2, model.channels, *size, generator=torch.Generator().manual_seed(0))


def description(model: LayeredDetector, decode: bool, nms: bool) -> dict[str, str]:
    """What whoever runs the file has to know, as texts; all but sentences are JSON.

    >>> from yolo_lite.model.yolo import create_model
    >>> described = description(create_model("yolov5n", names=["cat", "dog"]), decode=True, nms=False)
    >>> described["names"], described["strides"], described["img_size"]
    ('["cat", "dog"]', '[8, 16, 32]', '[640, 640]')
    """
    size = input_size(model)
    values: dict[str, Any] = {
        "names": list(model.names),
        "strides": [int(stride) for stride in model.strides],
        "img_size": list(model.fixed_size or (size, size)),  # height, width: that of training
        "size_multiple": model.size_multiple,
        "dynamic_size": is_dynamic(model),
    }
    if not nms:
        output = "N, n, 5 + C: x, y, w, h (centre and size in pixels), objectness, class scores" if decode else "maps"
    else:
        output = "k, 7: image, left, top, right, bottom (pixels), confidence, class; of each image best first"
        values["thresholds"] = ["conf_thres", "iou_thres", "max_det"]  # inputs after the images, with defaults
    texts = {
        "input": "images (N, 3, H, W): RGB in [0, 1], letterboxed; H and W are multiples of size_multiple",
        "output": output,
        "author": "yolo-lite",
    }
    return {key: json.dumps(value) for key, value in values.items()} | texts
