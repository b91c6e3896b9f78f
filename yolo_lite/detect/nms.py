"""Non-maximum suppression (NMS): of many boxes around one object, keep the best.

The greedy rule: the box of the highest score stays and removes every box that overlaps it by more than the threshold;
then the best of what is left does the same, until none is left. ``suppress`` is that rule exactly, block by block, so
that it is quick on a GPU too and needs little memory; ``sweep.py`` has a form for the CPU that keeps the same boxes and
compares fewer. Neither stops by the clock, so nothing depends on the machine's speed.

Shape letters: N images, n boxes of one image, C classes, c candidates, k kept boxes.
"""

from collections.abc import Collection
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite.boxes import box_iou, xywh_to_xyxy
from yolo_lite.detect.sweep import kept_ranks

KEPT = -1  # in Suppression.by: nothing suppressed this box
UNDECIDED = -2  # in Suppression.by: never reached, since enough were kept before; or not a number
CLASS_OFFSET = 7680  # px; larger than an image, so that boxes of different classes cannot meet
BLOCK = 256  # boxes decided together: bounds the memory at kept boxes x BLOCK


class Suppression(NamedTuple):
    """What greedy NMS decided, and why."""

    kept: Tensor  # (k,) int64, indices of the boxes that stay, best first
    by: Tensor  # (n,) int64, for each box the index of the one that suppressed it, or KEPT, or UNDECIDED


class Candidates(NamedTuple):
    """The boxes of one image that may become detections, best first."""

    xyxy: Tensor  # (c, 4) float32, pixels
    conf: Tensor  # (c,) float32, objectness * class score
    cls: Tensor  # (c,) int64
    row: Tensor  # (c,) int64, the row of the decoded output that each comes from


def nms(boxes: Tensor, scores: Tensor, iou_thres: float, limit: int | None = None) -> Tensor:
    """Indices of the boxes that survive greedy non-maximum suppression, best first.

    Args:
        boxes: (n, 4) xyxy, any unit. scores: (n,); equal ones keep the order in which they came.
        iou_thres: a box goes when its IoU with a better kept one is above this, strictly.
        limit: stop once this many are kept.
    Returns:
        (k,) int64. Boxes or scores that are not numbers are never among them.
    Raises:
        ValueError: the threshold is outside [0, 1], or the shapes do not fit.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    >>> nms(boxes, torch.tensor([0.7, 0.9, 0.8]), iou_thres=0.5)
    tensor([1, 2])
    """
    if boxes.device.type != "cpu":
        return suppress(boxes, scores, iou_thres, limit).kept
    boxes, order = _ranking(boxes, scores, iou_thres)
    return order[torch.from_numpy(kept_ranks(boxes[order].numpy(), float(iou_thres), limit))]


def suppressed_by(boxes: Tensor, scores: Tensor, iou_thres: float, limit: int | None = None) -> Tensor:
    """For each box the index of the one that suppressed it: -1 where it stays, -2 where it was never reached.

    The suppressor is the best kept box that overlaps it by more than the threshold. Arguments as for ``nms``.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    >>> suppressed_by(boxes, torch.tensor([0.7, 0.9, 0.8]), iou_thres=0.5)
    tensor([ 1, -1, -1])
    """
    return suppress(boxes, scores, iou_thres, limit).by


@torch.no_grad()
def suppress(boxes: Tensor, scores: Tensor, iou_thres: float, limit: int | None = None) -> Suppression:
    """Greedy non-maximum suppression with its reasons: what ``nms`` and ``suppressed_by`` return parts of."""
    boxes, order = _ranking(boxes, scores, iou_thres)
    limit = len(order) if limit is None else limit

    ranked = boxes[order]
    by = order.new_full((len(order),), UNDECIDED)  # ranks
    kept = order[:0]  # ranks
    for start in range(0, len(order), BLOCK):
        if len(kept) >= limit:
            break
        block = torch.arange(start, min(start + BLOCK, len(order)), device=order.device)
        by[block] = _first_true(box_iou(ranked[kept], ranked[block]) > iou_thres, kept)
        block = block[by[block] == KEPT]
        rivals = box_iou(ranked[block], ranked[block]) > iou_thres
        stays = _decide_block(rivals)
        by[block[~stays]] = _first_true(rivals[stays][:, ~stays], block[stays])
        kept = torch.cat((kept, block[stays]))

    if len(kept) > limit:  # the last block found more than were asked for
        beyond = kept[limit]
        by[beyond:] = torch.where((by[beyond:] == KEPT) | (by[beyond:] >= beyond), UNDECIDED, by[beyond:])
        kept = kept[:limit]
    return _by_input_index(kept, by, order, len(boxes))


def _ranking(boxes: Tensor, scores: Tensor, iou_thres: float) -> tuple[Tensor, Tensor]:
    """The boxes in float32, and the indices of those that are numbers, best first; a ValueError where nms has one."""
    _check_threshold("iou_thres", iou_thres)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(f"boxes must be (n, 4) and scores (n,), not {tuple(boxes.shape)} and {tuple(scores.shape)}")
    boxes, scores = boxes.detach().float(), scores.detach().float()
    usable = boxes.isfinite().all(1) & ~scores.isnan()
    order = torch.sort(torch.where(usable, scores, -torch.inf), descending=True, stable=True).indices
    return boxes, order[usable[order]]


def _decide_block(rivals: Tensor) -> Tensor:
    """Which of b boxes, best first, stay; ``rivals`` (b, b): which pairs overlap too much.

    A box stays when no better box that stays is its rival. Starting from "all stay" and applying that sentence to all
    boxes at once makes at least one more box final in each round, so the rounds end in the greedy answer.
    """
    above = rivals.triu(diagonal=1).float()  # (better, worse)
    stays = above.new_ones(len(above))
    while True:
        update = (stays @ above == 0).float()
        if torch.equal(update, stays):
            return stays.bool()
        stays = update


def _first_true(hits: Tensor, names: Tensor) -> Tensor:
    """For each column of (a, b) the name of the first row that is true, KEPT where none is -> (b,)."""
    if not len(names):
        return names.new_full((hits.shape[1],), KEPT)
    first = hits.to(torch.uint8).argmax(0)  # the first of equal maxima
    return torch.where(hits.any(0), names[first], KEPT)


def _by_input_index(kept: Tensor, by: Tensor, order: Tensor, count: int) -> Suppression:
    """Ranks -> indices of the boxes as they came."""
    suppressor = torch.where(by >= 0, order[by.clamp(min=0)], by) if len(order) else by
    by_index = order.new_full((count,), UNDECIDED)
    by_index[order] = suppressor
    return Suppression(order[kept], by_index)


@torch.no_grad()
def find_candidates(
    boxes: Tensor,
    conf_thres: float = 0.25,
    classes: Collection[int] | None = None,
    multi_label: bool = False,
    max_candidates: int = 30_000,
) -> Candidates:
    """The boxes of one image whose objectness and score exceed the threshold, best first.

    Args:
        boxes: (n, 5 + C) decoded rows: x, y, w, h in pixels, objectness, class scores.
        conf_thres: objectness, and objectness * class score, must be above it.
        classes: keep only these. multi_label: every class above the threshold counts, not the best one alone.
        max_candidates: at most this many, the best.

    >>> row = torch.tensor([[50.0, 50, 20, 20, 0.9, 0.8, 0.6]])
    >>> find_candidates(row, conf_thres=0.5, multi_label=True).conf
    tensor([0.7200, 0.5400])
    """
    row = (boxes[:, 4].float() > conf_thres).nonzero().squeeze(1)
    scores = boxes[row, 4:5].float() * boxes[row, 5:].float()  # (c, C)
    if multi_label and scores.shape[1] > 1:
        which, cls = (scores > conf_thres).nonzero(as_tuple=True)
        conf = scores[which, cls]
    else:
        conf, cls = scores.max(1)
        which = (conf > conf_thres).nonzero().squeeze(1)
        conf, cls = conf[which], cls[which]
    row = row[which]
    if classes is not None:
        allowed = torch.isin(cls, torch.tensor(sorted(classes), dtype=cls.dtype, device=cls.device))
        row, conf, cls = row[allowed], conf[allowed], cls[allowed]
    best = torch.sort(conf, descending=True, stable=True).indices[:max_candidates]
    row, conf, cls = row[best], conf[best], cls[best]
    return Candidates(xywh_to_xyxy(boxes[row, :4].float()), conf, cls, row)


def separate_classes(xyxy: Tensor, cls: Tensor) -> Tensor:
    """Boxes moved apart by their class, (c, 4): afterwards only boxes of one class can overlap.

    The reference's method (YOLOv5: ``max_wh``), and its rounding: at class 79 a float32 pixel is known to 1/16.
    """
    return xyxy + cls[:, None].to(xyxy.dtype) * CLASS_OFFSET


def non_max_suppression(
    boxes: Tensor | np.ndarray,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    classes: Collection[int] | int | None = None,
    agnostic: bool = False,
    multi_label: bool = False,
    max_det: int = 300,
    max_candidates: int = 30_000,
) -> list[Tensor]:
    """Decoded boxes -> the detections of each image. YOLOv5: ``non_max_suppression``.

    Args:
        boxes: (N, n, 5 + C) from ``model.decode``: x, y, w, h in pixels, objectness, class scores; a tensor of any
            float type, or an array.
        conf_thres: objectness, and objectness * class score, must be above it.
        iou_thres: a box goes when its IoU with a better one of its class is above this.
        classes: keep only these, or this one; None = all.
        agnostic: suppress across classes.
        multi_label: one box may be a detection of several classes (what evaluation uses); only with C > 1.
        max_det: detections per image at most. max_candidates: boxes per image that enter suppression at most.
    Returns:
        N tensors (k, 6) float32: xyxy in pixels, confidence, class; best first.
    Raises:
        ValueError: a threshold outside [0, 1], a class that does not exist, a negative limit, or another shape.

    >>> boxes = torch.tensor([[[50.0, 50, 20, 20, 0.9, 0.8, 0.1], [51, 50, 20, 20, 0.8, 0.8, 0.1]]])
    >>> non_max_suppression(boxes)
    [tensor([[40.0000, 40.0000, 60.0000, 60.0000,  0.7200,  0.0000]])]
    """
    _check_threshold("conf_thres", conf_thres)
    _check_threshold("iou_thres", iou_thres)
    boxes = _checked_boxes(boxes)
    num_classes = boxes.shape[2] - 5
    classes = None if classes is None else _checked_classes(classes, num_classes)
    _check_limit("max_det", max_det)
    _check_limit("max_candidates", max_candidates)
    detections = []
    for image_boxes in boxes.detach():
        found = find_candidates(image_boxes, conf_thres, classes, multi_label, max_candidates)
        apart = found.xyxy if agnostic else separate_classes(found.xyxy, found.cls)
        kept = nms(apart, found.conf, iou_thres, limit=max_det)
        detections.append(torch.cat((found.xyxy, found.conf[:, None], found.cls[:, None].float()), 1)[kept])
    return detections


def _checked_boxes(boxes: Any) -> Tensor:
    """Decoded boxes as a tensor; a ValueError for raw maps and for other shapes."""
    right = "boxes must be (N, n, 5 + C), as model.decode gives them"
    several = isinstance(boxes, list | tuple) and len(boxes) > 0 and isinstance(boxes[0], Tensor | np.ndarray)
    if several or (isinstance(boxes, Tensor | np.ndarray) and boxes.ndim > 3):
        found = f"{len(boxes)} maps" if several else f"a map {tuple(boxes.shape)}"
        raise ValueError(f"{right}, not {found}: pass model.decode(maps)")
    if not isinstance(boxes, Tensor | np.ndarray):
        raise ValueError(f"{right}, a tensor or array, not {type(boxes).__name__}")
    if boxes.ndim != 3 or boxes.shape[2] < 6:
        hint = "; of one image pass boxes[None]" if boxes.ndim == 2 and boxes.shape[1] >= 6 else ""
        raise ValueError(f"{right}, not {tuple(boxes.shape)}{hint}")
    return boxes if isinstance(boxes, Tensor) else torch.from_numpy(np.ascontiguousarray(boxes))


def _check_threshold(name: str, value: float) -> None:
    try:
        is_fraction = bool(0 <= value <= 1)
    except (TypeError, ValueError, RuntimeError):  # a text, a pair, a tensor of several
        is_fraction = False
    if not is_fraction:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")


def _checked_classes(classes: Collection[int] | int, num_classes: int) -> list[int]:
    """Class numbers as a list; a ValueError for names, and for classes that are not there."""
    right = f"classes is a list of class numbers from 0 to {num_classes - 1}, [0] for example"
    try:
        is_one = isinstance(classes, Integral) and not isinstance(classes, bool)
        given: list[Any] = [classes] if is_one else list(classes)  # type: ignore[arg-type]  # the except finds it out
        numbers = [int(cls) for cls in given]
        known = all(number == cls and 0 <= number < num_classes for number, cls in zip(numbers, given, strict=True))
    except (TypeError, ValueError):
        known = False
    if not known or isinstance(classes, str | bytes):
        raise ValueError(f"{right}, not {classes!r}; of names, the number is model.names.index(name)")
    return numbers


def _check_limit(name: str, value: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number, not negative, got {value!r}")
