"""What NmsExplorer computes: non-maximum suppression of one picture with its reasons, and the figures of several.

Shape letters: n predictions of a picture, C classes, c candidates, k kept boxes, m objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite.analysis.errors import FOREGROUND
from yolo_lite.boxes import box_iou
from yolo_lite.detect.average_precision import RECALLS, average_precision
from yolo_lite.detect.matching import match_detections
from yolo_lite.detect.nms import KEPT, UNDECIDED, Candidates, find_candidates, separate_classes, suppress

AT_IOU = np.array([FOREGROUND])  # from which overlap on a detection counts as correct
THRESHOLDS = np.linspace(0.01, 0.99, 99).round(2)  # of confidence
NEAR, MOST_NEAR = 0.05, 50  # IoU from which on two boxes are listed together; this many pairs at most


class Decided(NamedTuple):
    """What non_max_suppression decided about one picture, with its reasons; candidates are counted from the best, 0."""

    predictions: int
    found: Candidates  # (c,)
    apart: Tensor  # (c, 4) as compared: moved apart by class, or not
    kept: Tensor  # (k,) candidates
    by: Tensor  # (c,) the candidate that suppressed each, or KEPT, or UNDECIDED
    rule: "Rule"

    @property
    def rows(self) -> Tensor:
        """(c, 6) xyxy, confidence, class: what there would be without suppression."""
        return torch.cat((self.found.xyxy, self.found.conf[:, None], self.found.cls[:, None].float()), 1)

    @property
    def detections(self) -> Tensor:
        """(k, 6): what non_max_suppression returns."""
        return self.rows[self.kept]

    @property
    def largest(self) -> int | None:
        """The kept candidate that covers most; None where none is kept."""
        sides = self.found.xyxy[self.kept, 2:] - self.found.xyxy[self.kept, :2]  # (k, 2)
        return int(self.kept[sides.prod(1).argmax()]) if len(sides) else None


class Pair(NamedTuple):
    """Another candidate beside the chosen one."""

    other: int  # candidate
    iou: float
    verdict: str


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, what became of it, and those around it."""

    index: int  # candidate
    verdict: str
    suppressor: int  # candidate, or KEPT where none
    suppressed: tuple[int, ...]  # by it
    near: tuple[Pair, ...]  # others that overlap it: first its suppressor, then those whose IoU was a close call
    around: int  # how many there are


class Figures(NamedTuple):
    """How well boxes find the objects of all pictures, at IoU .5."""

    boxes: int
    correct: int
    objects: int
    ap: float  # mean over the classes that have objects
    curve: np.ndarray  # (101,) precision at the recalls 0, .01, ..., 1, likewise

    @property
    def precision(self) -> float:
        """Fraction of the boxes that are correct; 0 without boxes."""
        return self.correct / max(self.boxes, 1)

    @property
    def recall(self) -> float:
        """Fraction of the objects that were found; 0 without objects."""
        return self.correct / max(self.objects, 1)


class Rule(NamedTuple):
    """The arguments of non_max_suppression; names and defaults are its own."""

    conf_thres: float = 0.25
    iou_thres: float = 0.45
    agnostic: bool = False
    multi_label: bool = False
    max_det: int = 300


@lru_cache(maxsize=64)  # the same picture is asked for at every step, and under every threshold
def decide(boxes: Tensor, rule: Rule) -> Decided:
    """The steps of non_max_suppression for the predictions (n, 5 + C) of one picture."""
    found = find_candidates(boxes, rule.conf_thres, multi_label=rule.multi_label)
    apart = found.xyxy if rule.agnostic else separate_classes(found.xyxy, found.cls)
    kept, by = suppress(apart, found.conf, rule.iou_thres, limit=rule.max_det)
    return Decided(len(boxes), found, apart, kept, by, rule)


def decide_until(boxes: Tensor, rule: Rule, step: int) -> Decided:
    """The same when this many boxes are kept; what is not decided by then is UNDECIDED."""
    return decide(boxes, rule._replace(max_det=step))._replace(rule=rule)


def recalls(decoded: Sequence[Tensor], labels: Sequence[np.ndarray], rule: Rule) -> list[tuple[float, float]]:
    """(recall, the highest of THRESHOLDS as conf_thres that reaches it), rising; over the pictures together.

    One suppression at the lowest threshold tells all: a box is suppressed by better ones, and matched before worse
    ones, so that those above a threshold are the same as if the others had never been candidates.
    """
    kept = [decide(boxes, rule._replace(conf_thres=float(THRESHOLDS[0]))).detections for boxes in decoded]
    pairs = zip(kept, labels, strict=True)
    correct = np.concatenate([match_detections(found, objects, AT_IOU)[:, 0] for found, objects in pairs])  # (n,)
    hits = torch.cat(kept)[:, 4].numpy()[correct]  # confidences of those that found an object
    objects = sum(map(len, labels))
    places: dict[float, float] = {}
    for threshold in THRESHOLDS[::-1].tolist():
        places.setdefault(float((hits > threshold).sum()) / max(objects, 1), threshold)
    return sorted(places.items())


def figures(detections: Sequence[Tensor], labels: Sequence[np.ndarray]) -> Figures:
    """How well detections (n, 6) find labels (m, 5), picture by picture, by the functions that evaluate calls."""
    pairs = zip(detections, labels, strict=True)
    correct = np.concatenate([match_detections(found, objects, AT_IOU) for found, objects in pairs])  # (n, 1)
    rows, objects = torch.cat(list(detections)).numpy(), np.concatenate(labels)
    scores = average_precision(correct, rows[:, 4], rows[:, 5], objects[:, 0])
    if not len(scores.classes):
        return Figures(len(rows), 0, len(objects), 0.0, np.zeros_like(RECALLS))
    curve = scores.curves.precision_at_recall.mean(0)  # (101,)
    return Figures(len(rows), int(correct.sum()), len(objects), float(scores.ap.mean()), curve)


def choose(decided: Decided, index: int) -> Choice:
    """What became of a candidate, and of those around it."""
    found, by = decided.found, int(decided.by[index])
    box, same = slice(index, index + 1), found.cls == found.cls[index]  # (c,)
    overlap = torch.where(same, box_iou(decided.apart[box], decided.apart)[0], box_iou(found.xyxy[box], found.xyxy)[0])
    involved = decided.by == index  # (c,)
    away = (overlap - decided.rule.iou_thres).abs()  # from the threshold: close calls come first
    away = torch.where(involved | (decided.by == KEPT), away, away + 1)
    suppressed = tuple(involved.nonzero().squeeze(1).tolist())
    if by >= 0:
        involved[by], away[by] = True, -1  # its suppressor before all others
    listed = (overlap > NEAR) | involved
    listed[index] = False
    order = torch.argsort(torch.where(listed, away, torch.inf))[: int(listed.sum())]
    near = [Pair(j, iou, _verdict(decided, index, j, iou)) for j, iou in _first(order, overlap)]
    fate = _fate(decided, by, float(overlap[max(by, 0)]))
    return Choice(index, fate, max(by, KEPT), suppressed, tuple(near), len(order))


def _first(order: Tensor, overlap: Tensor) -> list[tuple[int, float]]:
    first = order[:MOST_NEAR]
    return list(zip(first.tolist(), overlap[first].tolist(), strict=True))


def _fate(decided: Decided, by: int, iou: float) -> str:
    """What became of the chosen candidate."""
    threshold = decided.rule.iou_thres
    if by >= 0:
        return f"suppressed by {by}: IoU {iou_word(iou, threshold)} > {threshold:g}"
    return "kept" if by == KEPT else f"never reached: {decided.rule.max_det} better ones were kept before (max_det)"


def _verdict(decided: Decided, index: int, other: int, iou: float) -> str:
    """What became of the other candidate, and whether the chosen one had to do with it."""
    by, threshold = int(decided.by[other]), decided.rule.iou_thres
    word, limit = iou_word(iou, threshold), f"{threshold:g}"
    if by == index:
        return f"suppressed by it: {word} > {limit}"
    if by == UNDECIDED:
        return "never reached"
    if by >= 0:
        return f"suppressed by {by}"
    if int(decided.by[index]) == other:
        return f"kept, suppresses it: {word} > {limit}"
    if not decided.rule.agnostic and decided.found.cls[index] != decided.found.cls[other]:
        return "kept: another class"
    return f"kept: {word} is not above {limit}" if iou <= threshold else "kept"


def iou_word(iou: float, threshold: float) -> str:
    """Two digits, or as many as are needed to differ from the threshold.

    >>> iou_word(0.4503, 0.45), iou_word(0.61234, 0.45)
    ('0.4503', '0.61')
    """
    words = [f"{iou:.{digits}f}" for digits in (2, 3, 4, 5, 6)]
    return next((word for word in words if float(word) != round(threshold, 6)), words[0])
