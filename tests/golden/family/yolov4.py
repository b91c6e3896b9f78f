"""YOLOv4 and Scaled-YOLOv4: gradients, cost, decoded boxes, roles and matches of recordings v4_*, one head each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.golden.family.compare import Comparison, Recording, darknet, exact, read_recording
from tests.golden.family.darknet_layout import head_layout, settings_of
from tests.golden.family.layout import Layout, layout_of, optional
from tests.golden.family.yolov3 import (
    compare_boxes,
    compare_loss,
    head_of,
    in_order,
    inputs_of,
    match_rows,
)
from yolo_lite.family.yolov4 import Yolov4Loss, Yolov4Settings


def loss_of(recorded: Recording, **options: Any) -> Yolov4Loss:
    """The loss with the settings of a recording."""
    given = settings_of(recorded)
    settings = Yolov4Settings(
        iou_kind=given["iou_loss"],
        iou_normalizer=given["iou_normalizer"],
        obj_normalizer=given["obj_normalizer"],
        cls_normalizer=given["cls_normalizer"],
        iou_thresh=given["iou_thresh"],
        ignore_thresh=given["ignore_thresh"],
        truth_thresh=given["truth_thresh"],
        label_smooth_eps=given["label_smooth_eps"],
        focal=bool(given["focal_loss"]),
        max_delta=given["max_delta"] or None,  # recorded as 0 where nothing is clipped
        scale_x_y=given["scale_x_y"],
        new_coords=bool(given["new_coords"]),
        objectness_smooth=bool(given["objectness_smooth"]),
        max_boxes=given["max_truths"],
    )
    return Yolov4Loss(*head_of(recorded), settings, **options)


def layout(recorded: Recording, name: str) -> Layout:
    """Where the convolution before the head has a logistic activation, both sides of it are recorded."""
    activated = bool(settings_of(recorded).get("new_coords"))
    return (
        head_layout(recorded, name)
        | optional(recorded, layout_of("", "layer_input"), activated)
        | optional(recorded, layout_of("", "grad_layer"), activated)
    )


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    loss = loss_of(recorded)
    yield from compare_loss(recorded, loss)
    maps, targets = inputs_of(recorded)
    (level,) = loss.assignments(maps, targets)
    rows = torch.cat((match_rows(level.matches), level.additional[:, None]), 1)[in_order(level.matches)]
    yield exact("assigned", rows, recorded["assigned"])
    yield from compare_boxes(recorded, loss.settings[0].coding)
    if "layer_input" in recorded:
        yield darknet("layer_input", loss.numbers(maps[0], 0), recorded["layer_input"])
