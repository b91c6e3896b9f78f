"""A model as a TorchScript file, which ``torch.jit.load`` reads in Python and C++.

Shape letters: N batch, n boxes of an image, C classes, k detections.
"""

import json
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from yolo_lite.boxes import box_iou
from yolo_lite.detect.nms import CLASS_OFFSET
from yolo_lite.exporting.network import ExportedNetwork, Thresholds, description, example_images
from yolo_lite.model.layered import LayeredDetector

DESCRIPTION = "description.json"  # in the file, see torch.jit.load's _extra_files


class FirstOutput(nn.Module):
    """The boxes alone, of a network that gives its raw maps, too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        boxes: Tensor = self.network(images)[0]
        return boxes


class Overlap(nn.Module):
    """``box_iou``."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return box_iou(a, b)


class ScriptedDetections(nn.Module):
    """Images -> detections (k, 7): image, left, top, right, bottom in pixels, confidence, class.

    The greedy rule of ``non_max_suppression`` once more, box by box: in sentences that TorchScript understands.
    """

    def __init__(self, network: nn.Module, thresholds: Thresholds) -> None:
        super().__init__()
        self.network = network
        self.overlap: Any = torch.jit.trace(Overlap(), (torch.zeros(2, 4), torch.zeros(3, 4)))
        self.conf_thres, self.iou_thres, self.max_det = thresholds
        self.class_offset = float(CLASS_OFFSET)

    def forward(
        self,
        images: Tensor,
        conf_thres: float | None = None,
        iou_thres: float | None = None,
        max_det: int | None = None,
    ) -> Tensor:
        """Thresholds that are not given are those of the file."""
        conf = self.conf_thres if conf_thres is None else conf_thres
        iou = self.iou_thres if iou_thres is None else iou_thres
        limit = self.max_det if max_det is None else max_det
        boxes = self.network(images)[0]  # (N, n, 5 + C)
        found = [torch.zeros(0, 7)]
        for image in range(boxes.shape[0]):
            rows = self.of_image(boxes[image], conf, iou, limit)  # (k, 6)
            found.append(torch.cat((torch.full_like(rows[:, :1], float(image)), rows), 1))
        return torch.cat(found)

    def of_image(self, boxes: Tensor, conf_thres: float, iou_thres: float, max_det: int) -> Tensor:
        """Boxes (n, 5 + C) of one image -> (k, 6), best first."""
        conf, cls = (boxes[:, 4:5] * boxes[:, 5:]).max(1)
        order = conf.argsort(descending=True, stable=True)
        order = order[((boxes[:, 4] > conf_thres) & (conf > conf_thres))[order]]
        centre, half = boxes[:, :2], boxes[:, 2:4] / 2
        xyxy = torch.cat((centre - half, centre + half), 1)
        rows = torch.cat((xyxy, conf[:, None], cls[:, None].to(xyxy.dtype)), 1)[order]
        apart = rows[:, :4] + rows[:, 5:] * self.class_offset
        left = torch.arange(rows.shape[0])
        kept = torch.zeros(0, dtype=torch.long)
        while left.shape[0] > 0 and kept.shape[0] < max_det:
            kept = torch.cat((kept, left[:1]))
            others = left[1:]
            left = others[self.overlap(apart[left[:1]], apart[others])[0] <= iou_thres]
        return rows[kept]


def write_torchscript(model: LayeredDetector, path: Path, decode: bool, nms: Thresholds | None) -> None:
    """Writes a model that ``for_export`` made; arguments as in ``write_onnx``."""
    decode = decode or nms is not None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each size that Python looks at: none becomes a constant, which is checked
        module: Any = torch.jit.trace(ExportedNetwork(model, decode), (example_images(model),), check_trace=False)
        if decode:
            module = torch.jit.script(FirstOutput(module) if nms is None else ScriptedDetections(module, nms))
        extra = {DESCRIPTION: json.dumps(description(model, decode, nms is not None))}
        torch.jit.save(module, str(path), _extra_files=extra)


def read_torchscript(path: Path) -> torch.jit.ScriptModule:
    """The module in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast(torch.jit.ScriptModule, torch.jit.load(str(path), map_location="cpu"))
