"""find_errors: every wrong detection and every object that was not found, sorted into the six kinds of TIDE.

Bolya, Foley, Hays and Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors" (arXiv
2008.08115), section 2.2. A wrong detection overlaps labels of its own class by at most ``own``, labels of other classes
by at most ``other`` (IoU); the first line that is true is its kind:

- duplicate: own is at least the foreground threshold; a better detection found that label already.
- classification: other is at least the foreground threshold; the class is wrong.
- localization: own is at least the background threshold; the box is badly placed.
- both: other is at least the background threshold; class and box are wrong.
- background: there is nothing.

- missed: a label that no detection found, and that is not the one a classification or localization error is about.

The paper leaves open what comes first where several lines are true; here the higher threshold does, and at the same
threshold a detection's own class.

Shape letters: n detections and m labels of one image.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from yolo_lite.boxes import box_iou
from yolo_lite.detect.matching import Array, match_detections

Kind = Literal["classification", "localization", "both", "duplicate", "background", "missed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CORRECT = "correct"  # in ImageErrors.kinds
FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU thresholds of the paper: t_f, t_b


@dataclass(frozen=True, eq=False)
class ImageErrors:
    """What each detection of an image is, and which label it is about."""

    kinds: np.ndarray  # (n,) str: "correct", or one of KINDS but "missed"
    label: np.ndarray  # (n,) int64, the label that was found, or that the error is about; -1 of background
    iou: np.ndarray  # (n,) float32 with that label; of background with the label that overlaps most, 0 without labels
    found_by: np.ndarray  # (m,) int64, the detection that found each label; -1: none did
    missed: np.ndarray  # (m,) bool; a label that is neither found nor missed has an error of another kind beside it

    @property
    def counts(self) -> dict[Kind, int]:
        """How many errors of each kind there are."""
        return {kind: len(self.of(kind)) for kind in KINDS}

    def of(self, kind: Kind) -> np.ndarray:
        """(k,) int64, the detections that are errors of a kind; of "missed" the labels.

        Raises:
            ValueError: no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of error {kind!r}: choose one of {', '.join(KINDS)}")
        return np.flatnonzero(self.missed if kind == "missed" else self.kinds == kind)


def find_errors(
    detections: Array, labels: Array, foreground: float = FOREGROUND, background: float = BACKGROUND
) -> ImageErrors:
    """Sorts the detections of one image, and the labels that they did not find, into TIDE's kinds of errors.

    Which detection is correct is decided by ``match_detections`` at the foreground threshold, as in ``evaluate``: each
    detection is compared with the label of its class that it overlaps most, and with no other.

    Args:
        detections: (n, 6) xyxy, confidence, class; best first, as NMS gives them.
        labels: (m, 5) class, xyxy; same units.
        foreground, background: IoU thresholds, 0 < background <= foreground <= 1. From the first on a box is well
            placed, below the second there is nothing.
    Raises:
        ValueError: other shapes or thresholds, or detections that are not sorted by confidence.

    >>> labels = np.array([[0, 0, 0, 10, 10], [1, 50, 50, 60, 60], [1, 80, 80, 90, 90]])
    >>> detections = np.array([
    ...     [0, 0, 10, 10, 0.9, 0],  # finds the first label
    ...     [0, 0, 10, 9, 0.8, 0],  # finds it again
    ...     [50, 50, 60, 60, 0.7, 0],  # the second label has class 1
    ...     [20, 20, 30, 30, 0.6, 1],
    ... ])
    >>> errors = find_errors(detections, labels)
    >>> errors.kinds.tolist(), errors.of("missed").tolist()
    (['correct', 'duplicate', 'classification', 'background'], [2])
    """
    check_thresholds(foreground, background)
    found, truth = _rows(detections, 6, "detections"), _rows(labels, 5, "labels")
    if bool((found[1:, 4] > found[:-1, 4]).any()):
        raise ValueError("detections must be sorted by confidence, the best first")
    correct = match_detections(found, truth, np.array([foreground]))[:, 0]
    same, own, other = _overlaps(found, truth)  # labels are (n,) rows of truth
    own_iou, other_iou = own.numpy(), other.numpy()

    well, near = np.float32(foreground), np.float32(background)
    cases = [correct, own_iou >= well, other_iou >= well, own_iou >= near, other_iou >= near]
    names = [CORRECT, "duplicate", "classification", "localization", "both"]
    kinds = np.select(cases, names, "background")
    with_own = np.isin(kinds, (CORRECT, "duplicate", "localization"))
    label = np.where(with_own, same[0], np.where(kinds == "background", -1, same[1]))
    iou = np.where(with_own, own_iou, np.where(kinds == "background", np.maximum(own_iou, other_iou), other_iou))

    found_by = np.full(len(truth), -1)
    found_by[label[correct]] = np.flatnonzero(correct)
    missed = found_by < 0
    missed[label[np.isin(kinds, ("classification", "localization"))]] = False
    return ImageErrors(kinds, label, np.maximum(iou, 0), found_by, missed)


def _overlaps(found: Tensor, truth: Tensor) -> tuple[tuple[np.ndarray, np.ndarray], Tensor, Tensor]:
    """The label that each detection overlaps most, of its class and of the others, and both IoU (n,); -1 of none."""
    if not len(truth):
        nothing = np.full(len(found), -1)
        return (nothing, nothing), torch.full((len(found),), -1.0), torch.full((len(found),), -1.0)
    overlaps = box_iou(truth[:, 1:5], found[:, :4])  # (m, n)
    is_own = truth[:, :1] == found[None, :, 5]  # (m, n)
    own, own_label = torch.where(is_own, overlaps, -1.0).max(0)  # (n,)
    other, other_label = torch.where(is_own, -1.0, overlaps).max(0)
    return (own_label.numpy(), other_label.numpy()), own, other


def _rows(values: Array, columns: int, name: str) -> Tensor:
    """(k, columns) float32 on the CPU."""
    rows = torch.as_tensor(values).detach().cpu().float()
    if rows.numel() == 0:
        return torch.zeros(0, columns)
    if rows.ndim != 2 or rows.shape[1] != columns:
        form = "(n, 6) xyxy, confidence, class" if columns == 6 else "(m, 5) class, xyxy"
        raise ValueError(f"{name} must be {form}, not {tuple(rows.shape)}")
    return rows


def check_thresholds(foreground: float, background: float) -> None:
    """Raises a ValueError for thresholds that are not in order."""
    if not 0 < background <= foreground <= 1:
        raise ValueError(f"0 < background <= foreground <= 1, but foreground is {foreground}, background {background}")
