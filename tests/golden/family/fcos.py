"""FCOS: points, matches, their targets, losses and gradients of recordings tv_fcos*."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, exact, floats, read_recording
from tests.golden.family.torchvision_layout import cases, grids, joined, matched_of, split, targets_of
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.coding import encode_distances
from yolo_lite.family.anchored import Shapes, boxes_in_pixels
from yolo_lite.family.fcos.loss import FcosLoss, FcosSettings, centreness, fcos_points

STRIDES = (8, 16, 32, 64, 128)


def shapes_of(size: tuple[int, int]) -> Shapes:
    return [(1, rows, cols) for rows, cols in grids(size, STRIDES)]


def sizes_of(recorded: Recording) -> dict[int, tuple[int, int]]:
    """Number of points of an image -> its height and width: all sizes whose points are recorded."""
    names = [key.split("/")[1].removesuffix("_anchors") for key in recorded if key.startswith("points/")]
    sizes = [tuple(map(int, name.split("x"))) for name in names if not name.endswith("_per_level")]
    return {sum(rows * cols for _, rows, cols in shapes_of(size)): size for size in sizes}


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    sizes = sizes_of(recorded)
    for height, width in sizes.values():
        name, shapes = f"points/{height}x{width}", shapes_of((height, width))
        points = fcos_points(shapes, STRIDES, FcosSettings())
        anchors = torch.cat((points.xy - points.stride / 2, points.xy + points.stride / 2), 1)
        yield exact(f"{name}_anchors", anchors, recorded[f"{name}_anchors"])
        yield exact(f"{name}_per_level", [rows * cols for _, rows, cols in shapes], recorded[f"{name}_per_level"])
    for case in cases(recorded):
        yield from losses(recorded, case, sizes[recorded[f"{case}/matched"].shape[1]])


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
