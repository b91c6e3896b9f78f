"""SSD300: default boxes, matches, losses and gradients of recordings tv_ssd*."""

from collections.abc import Iterator
from pathlib import Path

import torch

from tests.golden.family.compare import Comparison, Recording, exact, floats, pixels, read_recording, relative
from tests.golden.family.layout import Layout, layout_of
from tests.golden.family.torchvision_layout import by_cells, case_layout, cases, joined, split, targets_of
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.family.anchored import Shapes
from yolo_lite.family.ssd.loss import SsdLoss, SsdSettings, default_boxes

SIZE = (300, 300)
GRIDS = (38, 19, 10, 5, 3, 1)
WHOLE = ("base", "image_without_boxes")  # cases with losses; any other may have them


def shapes_of(settings: SsdSettings) -> Shapes:
    return [(count, grid, grid) for count, grid in zip(settings.anchors_per_cell(), GRIDS, strict=True)]


def layout(recorded: Recording, name: str) -> Layout:
    found = layout_of("", "default_boxes default_boxes_per_level default_boxes_sum default_boxes_sumsq")
    inputs, outputs = "bbox_regression cls_logits", "loss_reg loss_cls grad_reg grad_cls"
    for case in cases(recorded) or ["base"]:
        found |= case_layout(recorded, case, inputs, outputs, case in WHOLE)
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    shapes = shapes_of(SsdSettings())
    boxes = by_cells(xywh_to_xyxy(default_boxes(shapes, SIZE, SsdSettings()))[None], shapes)[0]
    yield pixels("default_boxes", boxes, recorded["default_boxes"])
    counts = [anchors * rows * cols for anchors, rows, cols in shapes]
    yield exact("default_boxes_per_level", counts, recorded["default_boxes_per_level"])
    yield relative("default_boxes_sum", boxes.double().sum(0), recorded["default_boxes_sum"])
    yield relative("default_boxes_sumsq", boxes.double().square().sum(0), recorded["default_boxes_sumsq"])
    for case in cases(recorded):
        yield from losses(recorded, case, shapes)


def losses(recorded: Recording, case: str, shapes: Shapes) -> Iterator[Comparison]:
    """Matches, and what is recorded of losses and gradients."""
    matched, targets = recorded[f"{case}/matched"], targets_of(recorded, case, SIZE, first_class=1)
    if f"{case}/cls_logits" in recorded:
        names = ("bbox_regression", "cls_logits")
        flat = torch.cat([torch.from_numpy(recorded[f"{case}/{name}"]) for name in names], -1)
    else:
        flat = torch.zeros(*matched.shape, 6 + int(targets[:, 1].max()))
    leaves = [level.clone().requires_grad_() for level in split(flat, shapes)]
    loss = SsdLoss(SIZE, flat.shape[-1] - 5)
    target = loss.assign(leaves, targets).target
    first = torch.tensor([int((targets[:, 0] < index).sum()) for index in range(len(target))])[:, None]
    yield exact(f"{case}/matched", by_cells(torch.where(target >= 0, target - first, -1), shapes), matched)
    if f"{case}/cls_logits" not in recorded:
        return
    parts = loss(leaves, targets)
    gradient = joined(torch.autograd.grad(parts.total, leaves))
    for name, part, columns in (("reg", parts.box, slice(0, 4)), ("cls", parts.cls, slice(4, None))):
        yield floats(f"{case}/loss_{name}", part, recorded[f"{case}/loss_{name}"])
        yield floats(f"{case}/grad_{name}", gradient[..., columns], recorded[f"{case}/grad_{name}"])
