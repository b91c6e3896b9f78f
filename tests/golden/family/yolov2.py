"""YOLOv2: gradients, cost, decoded boxes and roles of recordings v2_* (pjreddie) and v2ab_* (AlexeyAB)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, darknet, exact, read_recording, relative
from tests.golden.family.darknet_layout import letterbox_layout, settings_of
from tests.golden.family.layout import Layout, layout_of, optional
from yolo_lite.coding import YOLOV3, decode_level
from yolo_lite.family.common import from_letterbox
from yolo_lite.family.yolov2 import Yolov2Loss, Yolov2Settings
from yolo_lite.loss.criterion import AssignedPredictions


def loss_of(recorded: Recording, given: dict[str, Any]) -> Yolov2Loss:
    """The loss with the settings of a recording."""
    settings = Yolov2Settings(
        thresh=given["thresh"],
        softmax=bool(given["softmax"]),
        rescore=bool(given["rescore"]),
        bias_match=bool(given["bias_match"]),
        object_scale=given["object_scale"],
        noobject_scale=given["noobject_scale"],
        class_scale=given["class_scale"],
        coord_scale=given["coord_scale"],
        origin=given["library"].lower(),
        max_boxes=given["max_truths"],
    )
    return Yolov2Loss(torch.from_numpy(recorded["anchors"]), int(recorded["stride"]), given["classes"], settings)


def layout(recorded: Recording, name: str) -> Layout:
    """AlexeyAB's recordings, v2ab_*, may be without decoded boxes and a second gradient."""
    always = layout_of("raw targets anchors net_size stride settings", "grad cost obj_state assigned anchors_cells")
    original = not name.startswith("v2ab_")
    return (
        always
        | letterbox_layout(recorded, name)
        | optional(recorded, layout_of("", "grad_layer"), original)
        | optional(recorded, layout_of("", "decoded"), original)
    )


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    given = settings_of(recorded)
    loss = loss_of(recorded, given)
    raw, targets = torch.from_numpy(recorded["raw"]).requires_grad_(), torch.from_numpy(recorded["targets"])
    loss.seen.fill_(given["seen"] - len(raw))  # the loss counts this batch, too
    (gradient,) = torch.autograd.grad(loss([raw], targets).total, [raw])
    yield darknet("grad", gradient, recorded["grad"])
    stored = "grad_layer" if "grad_layer" in recorded else "grad"
    yield darknet(stored, loss.layer_gradient([raw], targets)[0], recorded[stored])
    yield relative("cost", loss.cost([raw], targets), recorded["cost"])
    assigned = loss.assign([raw], targets)
    yield exact("obj_state", assigned.role.view(raw.shape[:4]), recorded["obj_state"])
    yield exact("assigned", assigned_rows(assigned), recorded["assigned"])
    yield darknet("anchors_cells", loss.anchors / loss.stride, recorded["anchors_cells"])
    height, width = recorded["net_size"].tolist()
    decoded = decode_level(raw.detach(), loss.anchors, loss.stride, YOLOV3, loss.settings.softmax).view(raw.shape)
    decoded[..., :4] /= decoded.new_tensor([width, height, width, height])
    if "decoded" in recorded:
        yield darknet("decoded", decoded, recorded["decoded"])
    if "letterbox_boxes" in recorded:
        image_size = tuple(recorded["letterbox_image"].tolist())
        boxes = from_letterbox(decoded[..., :4], (height, width), image_size)
        yield darknet("letterbox_boxes", boxes, recorded["letterbox_boxes"])


def assigned_rows(assigned: AssignedPredictions) -> Tensor:
    """(m, 5) target, image, anchor, row, column; image by image, as Darknet goes."""
    matches = assigned.matches
    rows = torch.cat((torch.stack((matches.target, matches.image), 1), assigned.cells[matches.prediction, 1:]), 1)
    return rows[matches.image.argsort(stable=True)]
