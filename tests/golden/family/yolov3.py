"""YOLOv3: gradient, cost, decoded boxes, roles and matches of recordings v3_*, one head of a network each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, darknet, exact, read_recording, relative
from tests.golden.family.darknet_layout import head_layout, settings_of
from tests.golden.family.layout import Layout
from yolo_lite.coding import YOLOV3, AnchorCoding, decode_level
from yolo_lite.family.common import from_letterbox
from yolo_lite.family.yolov3 import Yolov3Loss, Yolov3Settings
from yolo_lite.family.yolov3.heads import AnchorHeadLoss
from yolo_lite.family.yolov3.matching import OVER_THRESHOLD
from yolo_lite.loss.targets import Assignment


def head_of(recorded: Recording) -> tuple[Tensor, list[list[int]], list[int], int]:
    """What a loss needs to know about the head of a recording: all anchors, one mask, one stride, classes."""
    anchors = torch.from_numpy(recorded["all_anchors"])
    return anchors, [recorded["mask"].tolist()], [int(recorded["stride"])], settings_of(recorded)["classes"]


def loss_of(recorded: Recording, **options: Any) -> Yolov3Loss:
    """The loss with the settings of a recording."""
    given = settings_of(recorded)
    settings = Yolov3Settings(given["ignore_thresh"], given["truth_thresh"], given["max_truths"])
    return Yolov3Loss(*head_of(recorded), settings, **options)


def layout(recorded: Recording, name: str) -> Layout:
    return head_layout(recorded, name)


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    loss = loss_of(recorded)
    yield from compare_loss(recorded, loss)
    (level,) = loss.assignments(*inputs_of(recorded))
    # The recording lists what follows from anchors, without those matched by truth_thresh
    yield exact(
        "assigned", match_rows(level.matches)[in_order(level.matches, skip=OVER_THRESHOLD)], recorded["assigned"]
    )
    yield from compare_boxes(recorded, YOLOV3)


def inputs_of(recorded: Recording) -> tuple[list[Tensor], Tensor]:
    """maps and targets."""
    return [torch.from_numpy(recorded["raw"])], torch.from_numpy(recorded["targets"])


def compare_loss(recorded: Recording, loss: AnchorHeadLoss[Any]) -> Iterator[Comparison]:
    """Both gradients, the cost and the roles; of YOLOv4, too."""
    (raw,), targets = inputs_of(recorded)
    leaf = raw.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss([leaf], targets).total, [leaf])
    yield darknet("grad", gradient, recorded["grad"])
    stored = "grad_layer" if "grad_layer" in recorded else "grad"
    yield darknet(stored, loss.layer_gradient([raw], targets)[0], recorded[stored])
    yield relative("cost", loss.cost([raw], targets), recorded["cost"])
    yield exact("obj_state", loss.assign([raw], targets).role.view(raw.shape[:4]), recorded["obj_state"])


def compare_boxes(recorded: Recording, coding: AnchorCoding) -> Iterator[Comparison]:
    """Anchors of the mask, decoded boxes, and these in an image that had been letterboxed; of YOLOv4, too."""
    (raw,), _ = inputs_of(recorded)
    all_anchors, (mask,), (stride,), _ = head_of(recorded)
    yield exact("anchors", all_anchors[mask], recorded["anchors"])
    height, width = recorded["net_size"].tolist()
    boxes = decode_level(raw, all_anchors[mask], stride, coding)
    boxes[..., :4] /= boxes.new_tensor([width, height, width, height])
    yield darknet("decoded", boxes.view(raw.shape), recorded["decoded"])
    if "letterbox_boxes" in recorded:
        original = from_letterbox(boxes[..., :4], (height, width), tuple(recorded["letterbox_image"].tolist()))
        yield darknet("letterbox_boxes", original.view(*raw.shape[:4], 4), recorded["letterbox_boxes"])


def match_rows(matches: Assignment) -> Tensor:
    """(m, 5) target, image, anchor, row, column."""
    return torch.stack((matches.target, matches.image, matches.anchor, matches.row, matches.col), 1)


def in_order(matches: Assignment, skip: int | None = None) -> Tensor:
    """(m,) indices of matches image by image, as Darknet goes; without those of that offset."""
    order = matches.image.argsort(stable=True)
    return order if skip is None else order[matches.offset[order] != skip]
