"""YOLOv8: assignments, losses with their gradients, distances and decoded boxes of recordings v8_*."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.family.compare import Comparison, Recording, exact, floats, pixels, read_recording
from tests.golden.family.layout import Layout, layout_of
from tests.golden.family.torchvision_layout import cases
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.coding import decode_distances, decode_distribution, encode_distances, encode_distribution
from yolo_lite.family.yolov8.assignment import PaddedObjects, assign_task_aligned
from yolo_lite.family.yolov8.loss import Yolov8Loss, decode_yolov8, distribution_focal_loss

BINS, STRIDES = 16, (8, 16, 32)
MAPS, GRADIENTS = "map8 map16 map32", "grad8 grad16 grad32"
GIVEN = "pd_scores pd_bboxes anc_points anc_stride gt_labels gt_bboxes mask_gt"
STEPS = "candidates overlaps metric selected_topk assigned"  # not recorded where no slot for an object is
FOUND = "target_labels target_bboxes target_scores fg_mask target_gt_idx"
# All candidates have metric 0. Which of them are taken has no effect, and is left open.
OPEN = {
    "zero_metric": {"selected_topk", "assigned", "target_labels", "target_bboxes", "fg_mask", "target_gt_idx"},
    "no_fg_weight": {"fg_mask", "target_bboxes"},
}


def layout(recorded: Recording, name: str) -> Layout:
    found = layout_of("", "")
    if name.startswith("v8_dfl_decode"):
        found |= layout_of("logits", "distance", "dfl_decode") | layout_of(
            "logits target", "loss grad_of_sum", "dfl_loss"
        )
        found |= layout_of("points boxes_xyxy dist_in", "dist_free dist_clamped15 xyxy xywh", "coder")
        for case in sorted({"decode", *(each for each in cases(recorded) if each.startswith("decode"))}):
            found |= layout_of(MAPS, "out", case)
        return found
    for case in cases(recorded) or ["base"]:
        inputs, outputs = f"{MAPS} targets", f"loss_box_cls_dfl total {GRADIENTS}"
        outputs += " target_scores fg_mask target_bboxes target_scores_sum"
        if name.startswith("v8_tal"):
            objects = recorded.get(f"{case}/gt_bboxes")
            inputs, outputs = GIVEN, FOUND if objects is not None and not objects.shape[1] else f"{FOUND} {STEPS}"
        left_open = " ".join(sorted(OPEN.get(case, set()) & set(outputs.split())))
        compared = " ".join(sorted(set(outputs.split()) - set(left_open.split())))
        found |= layout_of(f"{inputs} {left_open}", compared, case)
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    if file.name.startswith("v8_dfl_decode"):
        yield from distributions(recorded)
        yield from decoded(recorded)
        return
    check_case = assignment if file.name.startswith("v8_tal") else losses
    for case in cases(recorded):
        for comparison in check_case(recorded, case):
            if comparison.key.rpartition("/")[2] not in OPEN.get(case, ()):
                yield comparison


def assignment(recorded: Recording, case: str) -> Iterator[Comparison]:
    """What is matched, and each step on the way."""
    given = {name: torch.from_numpy(recorded[f"{case}/{name}"]) for name in GIVEN.split()}
    boxes, cls, mask = given["gt_bboxes"], given["gt_labels"][..., 0].long(), given["mask_gt"][..., 0]
    slots = boxes.shape[1]
    row = torch.where(mask, torch.arange(slots), -1)
    if not slots:  # one slot, and no object in it
        boxes, cls, row = boxes.new_zeros(len(boxes), 1, 4), cls.new_zeros(len(cls), 1), row.new_full((len(row), 1), -1)
    objects = PaddedObjects(row, cls, boxes)
    ours = assign_task_aligned(given["pd_scores"], given["pd_bboxes"], given["anc_points"], objects)
    index = ours.slot.clamp(min=0)
    labels = cls.gather(1, index) if slots else torch.full_like(index, given["pd_scores"].shape[-1])
    if slots:
        for name, ours_of in zip(STEPS.split(), ours, strict=False):
            compare = floats if name in ("overlaps", "metric") else exact
            yield compare(f"{case}/{name}", ours_of, recorded[f"{case}/{name}"])
    yield exact(f"{case}/target_labels", labels, recorded[f"{case}/target_labels"])
    yield exact(f"{case}/target_gt_idx", index, recorded[f"{case}/target_gt_idx"])
    yield from targets_of(recorded, case, ours.slot, ours.target_scores, boxes)


def targets_of(recorded: Recording, case: str, slot: Tensor, scores: Tensor, boxes: Tensor) -> Iterator[Comparison]:
    """What points are trained towards; a point without an object has the box of the first slot."""
    box = boxes.gather(1, slot.clamp(min=0)[..., None].expand(-1, -1, 4))
    yield exact(f"{case}/fg_mask", slot >= 0, recorded[f"{case}/fg_mask"])
    yield pixels(f"{case}/target_bboxes", box, recorded[f"{case}/target_bboxes"])
    yield floats(f"{case}/target_scores", scores, recorded[f"{case}/target_scores"])


def maps_of(recorded: Recording, case: str) -> list[Tensor]:
    """(N, 4 R + C, H, W) -> (N, 1, H, W, 4 R + C), level by level."""
    return [torch.from_numpy(recorded[f"{case}/{name}"]).permute(0, 2, 3, 1)[:, None] for name in MAPS.split()]


def losses(recorded: Recording, case: str) -> Iterator[Comparison]:
    """The loss of a batch, its gradients and what it asks for."""
    maps = [raw.clone().requires_grad_() for raw in maps_of(recorded, case)]
    targets = torch.from_numpy(recorded[f"{case}/targets"])
    loss = Yolov8Loss(STRIDES, maps[0].shape[-1] - 4 * BINS)
    parts = loss(maps, targets)
    yield floats(f"{case}/loss_box_cls_dfl", torch.stack(parts[1:]), recorded[f"{case}/loss_box_cls_dfl"])
    yield floats(f"{case}/total", parts.total, recorded[f"{case}/total"])
    gradients = torch.autograd.grad(parts.total, maps)
    for name, gradient in zip(GRADIENTS.split(), gradients, strict=True):
        yield floats(f"{case}/{name}", gradient[:, 0].permute(0, 3, 1, 2), recorded[f"{case}/{name}"])
    asked = loss.ask(maps, targets)
    scores = asked.aligned.target_scores
    yield floats(f"{case}/target_scores_sum", scores.sum(), recorded[f"{case}/target_scores_sum"])
    yield from targets_of(recorded, case, asked.aligned.slot, scores, asked.objects.xyxy)


def distributions(recorded: Recording) -> Iterator[Comparison]:
    """Distances from distributions and back, corners from distances and back, and the loss of distributions."""
    data = {key: torch.from_numpy(array) for key, array in recorded.items()}
    logits = data["dfl_decode/logits"].unflatten(1, (4, -1)).movedim(2, -1)  # (N, 4, n, R)
    yield floats("dfl_decode/distance", decode_distribution(logits), recorded["dfl_decode/distance"])
    points = data["coder/points"]
    distances = encode_distances(data["coder/boxes_xyxy"], points)
    yield floats("coder/dist_free", distances, recorded["coder/dist_free"])
    clamped = decode_distribution(encode_distribution(distances, BINS).log())
    yield floats("coder/dist_clamped15", clamped, recorded["coder/dist_clamped15"])
    corners = decode_distances(data["coder/dist_in"], points)
    yield floats("coder/xyxy", corners, recorded["coder/xyxy"])
    yield floats("coder/xywh", xyxy_to_xywh(corners), recorded["coder/xywh"])
    logits = data["dfl_loss/logits"].requires_grad_()
    loss = distribution_focal_loss(logits, data["dfl_loss/target"]).mean(-1, keepdim=True)
    yield floats("dfl_loss/loss", loss, recorded["dfl_loss/loss"])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    yield floats("dfl_loss/grad_of_sum", gradient, recorded["dfl_loss/grad_of_sum"])


def decoded(recorded: Recording) -> Iterator[Comparison]:
    """Boxes in pixels and scores, from raw maps."""
    for case in cases(recorded):
        if case.startswith("decode"):
            maps, out = maps_of(recorded, case), recorded[f"{case}/out"]
            ours = decode_yolov8(maps, STRIDES, maps[0].shape[-1] - 4 * BINS).transpose(1, 2)  # (N, 5 + C, P)
            ours = torch.cat((ours[:, :4], ours[:, 5:]), 1)  # there is no objectness in the recording
            yield pixels(f"{case}/out", ours, out)
            yield floats(f"{case}/out", ours[:, 4:], out[:, 4:])
