"""FCOS: points, matches, their targets, losses and gradients of recordings tv_fcos*."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, exact, floats, read_recording
from tests.golden.family.layout import Layout, layout_of
from tests.golden.family.torchvision_layout import (
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
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.coding import encode_distances
from yolo_lite.family.anchored import Shapes, boxes_in_pixels
from yolo_lite.family.fcos.loss import FcosLoss, FcosSettings, centreness, fcos_points

STRIDES = (8, 16, 32, 64, 128)
POINTS = ("_anchors", "_per_level")  # what is recorded of the points of an image, behind its size
# Cases with losses; any other may have them
WHOLE = ("base", "grid_96x128", "large_256x320", "image_without_boxes", "all_empty", "one_class", "area_tie")


def shapes_of(size: tuple[int, int]) -> Shapes:
    return [(1, rows, cols) for rows, cols in grids(size, STRIDES)]


def layout(recorded: Recording, name: str) -> Layout:
    sizes = [f"{height}x{width}" for height, width in recorded_sizes(recorded, "points", POINTS)] or ["HEIGHTxWIDTH"]
    found = layout_of("", " ".join(size + behind for size in sizes for behind in POINTS), "points")
    inputs = "bbox_regression bbox_ctrness cls_logits"
    outputs = "target_ltrb_in_sizes target_centerness loss_cls loss_giou loss_ctr grad_cls grad_reg grad_ctr"
    for case in cases(recorded, ["points"]) or ["base"]:
        found |= case_layout(recorded, case, inputs, outputs, case in WHOLE)
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    counts: dict[tuple[int, int], int] = {}  # of the points of an image of each size
    for height, width in recorded_sizes(recorded, "points", POINTS):
        name, shapes = f"points/{height}x{width}", shapes_of((height, width))
        counts[height, width] = sum(rows * cols for _, rows, cols in shapes)
        points = fcos_points(shapes, STRIDES, FcosSettings())
        anchors = torch.cat((points.xy - points.stride / 2, points.xy + points.stride / 2), 1)
        yield exact(f"{name}_anchors", anchors, recorded[f"{name}_anchors"])
        yield exact(f"{name}_per_level", [rows * cols for _, rows, cols in shapes], recorded[f"{name}_per_level"])
    for case in cases(recorded, ["points"]):
        yield from losses(recorded, case, size_of(recorded, case, counts, "points"))


def losses(recorded: Recording, case: str, size: tuple[int, int]) -> Iterator[Comparison]:
    """Matches, and what is recorded of targets, losses and gradients."""
    matched, shapes, targets = recorded[f"{case}/matched"], shapes_of(size), targets_of(recorded, case, size)
    if f"{case}/cls_logits" not in recorded:
        classes = 1 + int(targets[:, 1].max())
        maps = split(torch.zeros(*matched.shape, 5 + classes), shapes)
        assigned = FcosLoss(STRIDES, classes).assign(maps, targets)
        yield exact(f"{case}/matched", matched_of(assigned, targets, shapes, ignored=-2), matched)
        return
    names = ("bbox_regression", "bbox_ctrness", "cls_logits")
    flat = torch.cat([torch.from_numpy(recorded[f"{case}/{name}"]) for name in names], -1)
    leaves = [level.clone().requires_grad_() for level in split(flat, shapes)]
    loss = FcosLoss(STRIDES, flat.shape[-1] - 5)
    parts = loss(leaves, targets)
    gradient = joined(torch.autograd.grad(parts.total, leaves))
    for name, part in (("cls", parts.cls), ("giou", parts.box), ("ctr", parts.centreness)):
        yield floats(f"{case}/loss_{name}", part, recorded[f"{case}/loss_{name}"])
    # the recorded regression is what the ReLU has let through, and no 0 is among the positives: its slope is 1 there
    for name, columns in (("reg", slice(0, 4)), ("ctr", slice(4, 5)), ("cls", slice(5, None))):
        yield floats(f"{case}/grad_{name}", gradient[..., columns], recorded[f"{case}/grad_{name}"])
    assigned = loss.assign(leaves, targets)
    yield exact(f"{case}/matched", matched_of(assigned, targets, shapes, ignored=-2), matched)
    yield from targets_of_positives(recorded, case, targets, shapes, size)


def targets_of_positives(
    recorded: Recording, case: str, targets: Tensor, shapes: Shapes, size: tuple[int, int]
) -> Iterator[Comparison]:
    """Targets of the positives, which the recorded matches name; nan on background."""
    points = fcos_points(shapes, STRIDES, FcosSettings())
    matched = torch.from_numpy(recorded[f"{case}/matched"]).long()
    image, prediction = (matched >= 0).nonzero(as_tuple=True)
    first = torch.tensor([int((targets[:, 0] < index).sum()) for index in range(len(matched))])
    row = matched[image, prediction] + first[image]
    corners = xywh_to_xyxy(boxes_in_pixels(targets, size)).float()[row]
    sides = encode_distances(corners, points.xy[prediction])  # with one point a cell, both orders are one
    in_sizes, central = torch.full((*matched.shape, 4), torch.nan), torch.full(matched.shape, torch.nan)
    in_sizes[image, prediction] = sides / points.stride[prediction]
    central[image, prediction] = centreness(sides)
    yield floats(f"{case}/target_ltrb_in_sizes", in_sizes, recorded[f"{case}/target_ltrb_in_sizes"])
    yield floats(f"{case}/target_centerness", central, recorded[f"{case}/target_centerness"])
