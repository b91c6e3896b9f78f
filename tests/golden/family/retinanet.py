"""RetinaNet: anchors, matches, losses, gradients and the coding of offsets of recordings tv_retinanet*."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, exact, floats, read_recording
from tests.golden.family.layout import Layout, layout_of, optional
from tests.golden.family.torchvision_layout import (
    by_cells,
    case_layout,
    cases,
    grids,
    joined,
    matched_of,
    recorded_sizes,
    size_of,
    split,
    targets_of,
)
from yolo_lite.boxes import xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.coding import decode_offsets, encode_offsets
from yolo_lite.family.anchored import Shapes, level_steps
from yolo_lite.family.retinanet.loss import RetinaNetLoss, RetinaNetSettings, retinanet_anchors

STRIDES = (8, 16, 32, 64, 128)
ANCHORS = ("", "_grids", "_strides_yx")  # what is recorded of the anchors of an image, behind its size
WHOLE = ("base", "image_without_boxes", "one_class", "all_empty")  # cases with losses; any other may have them
PARTS = ("anchors", "coder")  # of a file, besides the cases


def shapes_of(size: tuple[int, int]) -> Shapes:
    return [(9, rows, cols) for rows, cols in grids(size, STRIDES)]


def layout(recorded: Recording, name: str) -> Layout:
    sizes = [f"{height}x{width}" for height, width in recorded_sizes(recorded, "anchors", ANCHORS)] or ["HEIGHTxWIDTH"]
    found = layout_of("", "cell_p3_to_p7 count_640 count_800x1344", "anchors")
    found |= layout_of("", " ".join(size + behind for size in sizes for behind in ANCHORS), "anchors")
    coded = "w1111_encoded w1111_decoded w10_10_5_5_encoded w10_10_5_5_decoded"
    found |= layout_of("anchors boxes deltas", coded, "coder")
    inputs, outputs = "bbox_regression cls_logits", "loss_cls loss_reg_l1 grad_cls grad_reg_l1"
    for case in cases(recorded, PARTS) or ["base"]:
        giou = optional(recorded, layout_of("", "loss_reg_giou grad_reg_giou", case), required=case == "base")
        found |= case_layout(recorded, case, inputs, outputs, case in WHOLE or bool(giou.outputs)) | giou
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    settings = RetinaNetSettings()
    counts: dict[tuple[int, int], int] = {}  # of the anchors in an image of each size
    for size in recorded_sizes(recorded, "anchors", ANCHORS):
        name, shapes = f"anchors/{size[0]}x{size[1]}", shapes_of(size)
        counts[size] = sum(anchors * rows * cols for anchors, rows, cols in shapes)
        yield exact(f"{name}_grids", [shape[1:] for shape in shapes], recorded[f"{name}_grids"])
        yield exact(f"{name}_strides_yx", level_steps(shapes, size), recorded[f"{name}_strides_yx"])
        anchors = by_cells(retinanet_anchors(shapes, size, settings)[None], shapes)[0]
        yield exact(name, anchors, recorded[name])
    yield exact("anchors/cell_p3_to_p7", settings.cell_anchors(), recorded["anchors/cell_p3_to_p7"])
    for name, size in (("640", (640, 640)), ("800x1344", (800, 1344))):
        count = len(retinanet_anchors(shapes_of(size), size, settings))
        yield exact(f"anchors/count_{name}", count, recorded[f"anchors/count_{name}"])
    yield from coder(recorded)
    for case in cases(recorded, PARTS):
        yield from losses(recorded, case, size_of(recorded, case, counts, "anchors"))


def coder(recorded: Recording) -> Iterator[Comparison]:
    """Offsets with both sets of weights."""
    names = ("anchors", "boxes", "deltas")
    anchors, boxes, deltas = (torch.from_numpy(recorded[f"coder/{name}"]) for name in names)
    anchors, boxes = xyxy_to_xywh(anchors), xyxy_to_xywh(boxes)
    for key, weights in (("w1111", (1, 1, 1, 1)), ("w10_10_5_5", (10, 10, 5, 5))):
        encoded = encode_offsets(boxes, anchors, weights)
        decoded = xywh_to_xyxy(decode_offsets(deltas, anchors, weights))
        yield floats(f"coder/{key}_encoded", encoded, recorded[f"coder/{key}_encoded"])
        yield floats(f"coder/{key}_decoded", decoded, recorded[f"coder/{key}_decoded"])


def losses(recorded: Recording, case: str, size: tuple[int, int]) -> Iterator[Comparison]:
    """Matches, and what is recorded of losses and gradients, with both kinds of box loss."""
    matched = recorded[f"{case}/matched"]
    shapes, targets = shapes_of(size), targets_of(recorded, case, size)
    if f"{case}/cls_logits" not in recorded:
        maps = split(torch.zeros(*matched.shape, 4 + 5), shapes)
        yield exact(f"{case}/matched", ours_matched(RetinaNetLoss(STRIDES, 5), maps, targets, shapes), matched)
        return
    flat = torch.from_numpy(recorded[f"{case}/bbox_regression"]), torch.from_numpy(recorded[f"{case}/cls_logits"])
    maps = split(torch.cat(flat, -1), shapes)
    for kind in ("l1", "giou"):
        if f"{case}/loss_reg_{kind}" not in recorded:
            continue
        leaves = [level.clone().requires_grad_() for level in maps]
        loss = RetinaNetLoss(STRIDES, flat[1].shape[-1], RetinaNetSettings(box_loss=kind))
        parts = loss(leaves, targets)
        gradient = joined(torch.autograd.grad(parts.total, leaves))
        yield floats(f"{case}/loss_reg_{kind}", parts.box, recorded[f"{case}/loss_reg_{kind}"])
        yield floats(f"{case}/grad_reg_{kind}", gradient[..., :4], recorded[f"{case}/grad_reg_{kind}"])
        yield floats(f"{case}/loss_cls", parts.cls, recorded[f"{case}/loss_cls"])
        yield floats(f"{case}/grad_cls", gradient[..., 4:], recorded[f"{case}/grad_cls"])
        yield exact(f"{case}/matched", ours_matched(loss, maps, targets, shapes), matched)


def ours_matched(loss: RetinaNetLoss, maps: list[Tensor], targets: Tensor, shapes: Shapes) -> Tensor:
    return matched_of(loss.assign(maps, targets), targets, shapes, ignored=-2)
