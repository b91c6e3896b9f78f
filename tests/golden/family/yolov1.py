"""YOLOv1: gradient, cost, decoded boxes and responsible boxes of recordings v1_*."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tests.golden.family.compare import Comparison, Recording, darknet, exact, read_recording, relative
from tests.golden.family.darknet_layout import settings_of
from tests.golden.family.layout import Layout, layout_of
from yolo_lite.family.yolov1 import Yolov1Loss, Yolov1Settings, decode_yolov1, split_output


def loss_settings(recorded: Recording) -> tuple[int, Yolov1Settings]:
    """Number of classes and settings of a recording."""
    given = settings_of(recorded)
    settings = Yolov1Settings(
        grid=given["side"],
        boxes=given["num"],
        square_root=bool(given["sqrt"]),
        rescore=bool(given["rescore"]),
        softmax=bool(given["softmax"]),
        object_scale=given["object_scale"],
        noobject_scale=given["noobject_scale"],
        class_scale=given["class_scale"],
        coord_scale=given["coord_scale"],
    )
    return given["classes"], settings


def layout(recorded: Recording, name: str) -> Layout:
    return layout_of("out targets settings", "grad cost activated decoded responsible dropped_targets")


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    num_classes, settings = loss_settings(recorded)
    loss = Yolov1Loss(num_classes, settings)
    out, targets = torch.from_numpy(recorded["out"]).requires_grad_(), torch.from_numpy(recorded["targets"])
    (gradient,) = torch.autograd.grad(loss([out], targets).total, [out])
    yield darknet("grad", gradient, recorded["grad"])
    yield darknet("grad", loss.layer_gradient([out], targets)[0], recorded["grad"])
    yield relative("cost", loss.cost([out], targets), recorded["cost"])
    assignment = loss.assignments([out], targets)
    responsible = torch.full((len(out), settings.grid, settings.grid), -1)
    responsible[assignment.image, assignment.row, assignment.col] = assignment.box
    yield exact("responsible", responsible, recorded["responsible"])
    dropped = [row for row in range(len(targets)) if row not in assignment.target]
    yield exact("dropped_targets", dropped, np.sort(recorded["dropped_targets"]))
    yield exact("dropped_targets", loss.dropped, len(recorded["dropped_targets"]))
    grid, boxes = settings.grid, settings.boxes
    decoded = decode_yolov1(out, num_classes, settings, 1).view(len(out), boxes, grid, grid, -1)
    yield darknet("decoded", decoded.permute(0, 2, 3, 1, 4), recorded["decoded"])
    activated = out.detach().clone()  # classes after the optional softmax, all else as it is
    split_output(activated, num_classes, settings).classes.copy_(decoded[:, 0, :, :, 5:].detach())
    yield darknet("activated", activated, recorded["activated"])
