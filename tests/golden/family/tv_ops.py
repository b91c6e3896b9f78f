"""Overlaps, box losses, suppression and focal loss of recordings tv_ops*."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from tests.golden.family.compare import Comparison, Recording, exact, floats, read_recording
from tests.golden.family.layout import Layout, layout_of
from yolo_lite.boxes import bbox_iou, box_iou
from yolo_lite.detect.nms import nms
from yolo_lite.loss.focal import bce_with_focal

KINDS: tuple[Literal["giou", "diou", "ciou"], ...] = ("giou", "diou", "ciou")
IDENTICAL = 80  # the pair of two equal boxes, whose gradients are not unique
# Key, alpha, gamma, factor: without alpha both kinds weigh 1, which is twice what alpha 0.5 gives.
FOCAL = (("a025_g2", 0.25, 2.0, 1), ("a05_g15", 0.5, 1.5, 1), ("noalpha_g2", 0.5, 2.0, 2))


def layout(recorded: Recording, name: str) -> Layout:
    found = layout_of("a b", "iou", "box_iou")
    found |= layout_of("a b", " ".join(f"{kind} {kind}_grad_a {kind}_grad_b" for kind in KINDS), "iou_losses")
    for case in suppressed(recorded):
        found |= layout_of("boxes scores threshold classes", "keep keep_batched", case)
    values = [f"{key} {key}_grad" for key, *_ in FOCAL]
    return found | layout_of("logits targets", " ".join(values), "focal")


def suppressed(recorded: Recording) -> list[str]:
    """The parts of the file with suppression: nms0 to nms2, and any other that begins so."""
    return sorted({"nms0", "nms1", "nms2"} | {key.split("/")[0] for key in recorded if key.startswith("nms")})


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    a, b = (torch.from_numpy(recorded[f"box_iou/{name}"]) for name in "ab")
    yield floats("box_iou/iou", box_iou(a, b), recorded["box_iou/iou"])
    yield from box_losses(recorded)
    yield from suppression(recorded)
    yield from focal(recorded)


def box_losses(recorded: Recording) -> Iterator[Comparison]:
    """1 - GIoU, DIoU, CIoU of pairs, and the gradients of their sums."""
    a, b = (torch.from_numpy(recorded[f"iou_losses/{name}"]).requires_grad_() for name in "ab")
    rows = torch.arange(len(a)) != IDENTICAL
    for kind in KINDS:
        values = 1 - bbox_iou(a, b, kind, "xyxy")
        yield floats(f"iou_losses/{kind}", values, recorded[f"iou_losses/{kind}"])
        for name, gradient in zip("ab", torch.autograd.grad(values.sum(), [a, b]), strict=True):
            key = f"iou_losses/{kind}_grad_{name}"
            yield floats(key, gradient[rows], recorded[key][rows.numpy()])


def suppression(recorded: Recording) -> Iterator[Comparison]:
    """Greedy suppression, of all boxes and within their classes."""
    for case in suppressed(recorded):
        names = ("boxes", "scores", "classes")
        boxes, scores, classes = (torch.from_numpy(recorded[f"{case}/{name}"]) for name in names)
        threshold = float(recorded[f"{case}/threshold"])
        yield exact(f"{case}/keep", nms(boxes, scores, threshold), recorded[f"{case}/keep"])
        kept = [
            index[nms(boxes[index], scores[index], threshold)]
            for index in ((classes == cls).nonzero().squeeze(1) for cls in classes.unique())
        ]
        together = torch.cat(kept)
        order = scores[together].argsort(descending=True)
        yield exact(f"{case}/keep_batched", together[order], recorded[f"{case}/keep_batched"])


def focal(recorded: Recording) -> Iterator[Comparison]:
    """Values and gradients of focal loss."""
    targets = torch.from_numpy(recorded["focal/targets"])
    for key, alpha, gamma, factor in FOCAL:
        logits = torch.from_numpy(recorded["focal/logits"]).requires_grad_()
        values = factor * bce_with_focal(logits, targets, gamma=gamma, alpha=alpha)
        (gradient,) = torch.autograd.grad(values.sum(), [logits])
        yield floats(f"focal/{key}", values, recorded[f"focal/{key}"])
        yield floats(f"focal/{key}_grad", gradient, recorded[f"focal/{key}_grad"])
