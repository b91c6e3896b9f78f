"""From matched detections to precision, recall and average precision (AP), by COCO's rule or YOLOv5's.

Sorted by falling confidence, detections give a precision and a recall at every place where one may stop; average
precision is the area under the curve that joins them, after every precision was raised to the best one further right.

- "coco": the mean of that envelope at the recalls 0, 0.01, ..., 1 (pycocotools); a perfect detector has 1.
- "yolov5": interpolated at the same recalls, between end points of precision 1 and 0, and integrated by trapezoids;
  the drop at the right end costs a perfect detector 0.005.

Shape letters: n detections, m labels, T IoU thresholds, C classes that have labels.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

Rule = Literal["coco", "yolov5"]
RULES: tuple[Rule, ...] = get_args(Rule)

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # (T,)
RECALLS = np.linspace(0, 1, 101)  # where the precision-recall curve is read
CONFIDENCES = np.linspace(0, 1, 1000)  # where the curves against confidence are read
for _axis in (IOU_THRESHOLDS, RECALLS, CONFIDENCES):
    _axis.setflags(write=False)  # results share them
SMOOTHING = 0.1  # width of the box filter over the mean F1 curve, as a fraction of the curve
EPS = 1e-16


class Curves(NamedTuple):
    """Curves at the first IoU threshold, as data with their x axes."""

    confidence: np.ndarray  # (1000,) x axis of the next three
    precision: np.ndarray  # (C, 1000)
    recall: np.ndarray  # (C, 1000)
    f1: np.ndarray  # (C, 1000)
    recall_axis: np.ndarray  # (101,) x axis of the next
    precision_at_recall: np.ndarray  # (C, 101), the envelope that average precision measures


class AveragePrecision(NamedTuple):
    """How good the detections of each class are."""

    ap: np.ndarray  # (C, T) average precision at each IoU threshold
    precision: np.ndarray  # (C,) at the first IoU threshold and at best_confidence
    recall: np.ndarray  # (C,) likewise
    f1: np.ndarray  # (C,) likewise
    classes: np.ndarray  # (C,) int64, the classes that have labels, rising
    num_labels: np.ndarray  # (C,) int64
    best_confidence: float  # where the smoothed mean F1 over the classes is highest
    curves: Curves


def average_precision(
    correct: ArrayLike | Tensor,
    conf: ArrayLike | Tensor,
    pred_cls: ArrayLike | Tensor,
    target_cls: ArrayLike | Tensor,
    rule: Rule = "coco",
) -> AveragePrecision:
    """Average precision, precision, recall and F1 of every class that has labels. YOLOv5: ``ap_per_class``.

    YOLOv5: ``ap_per_class``, ``compute_ap``.

    Args:
        correct: (n, T) bool, whether each detection found a label at each IoU threshold (see ``match_detections``).
        conf: (n,) confidences. pred_cls: (n,) class of each detection. target_cls: (m,) class of each label.
        rule: "coco" or "yolov5".
    Returns:
        AveragePrecision. Detections of classes without labels count nowhere.
    Raises:
        ValueError: an unknown rule, or lengths that do not fit.

    >>> correct = np.array([[True], [False], [True], [False], [True]])
    >>> conf, cls = [0.9, 0.8, 0.7, 0.6, 0.5], [0] * 5
    >>> [average_precision(correct, conf, cls, cls, rule).ap.round(4).item() for rule in RULES]
    [0.4587, 0.5713]
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    correct, conf, pred_cls = np.asarray(correct, bool), np.asarray(conf), np.asarray(pred_cls)
    if correct.ndim != 2 or not len(correct) == len(conf) == len(pred_cls):
        shapes = correct.shape, conf.shape, pred_cls.shape
        raise ValueError(f"correct must be (n, T), conf (n,) and pred_cls (n,), not {', '.join(map(str, shapes))}")
    classes, num_labels = np.unique(np.asarray(target_cls).astype(np.int64), return_counts=True)
    precision, recall = np.zeros((2, len(classes), len(CONFIDENCES)))
    envelope = np.zeros((len(classes), correct.shape[1], len(RECALLS)))
    for row, (of_class, labels) in enumerate(zip(_by_class(pred_cls, classes), num_labels, strict=True)):
        if not len(of_class):
            continue
        best_first = of_class[np.argsort(-conf[of_class], kind="stable")]  # (n',)
        found = np.ascontiguousarray(correct.take(best_first, 0).T).cumsum(1)  # (T, n')
        right, reached = found / np.arange(1, len(best_first) + 1), found / labels  # precision and recall so far
        envelope[row] = _envelope(right, reached, rule)
        precision[row] = _against_confidence(conf[best_first], right[0], left=1)
        recall[row] = _against_confidence(conf[best_first], reached[0], left=0)
    ap = envelope.mean(2) if rule == "coco" else _trapezoids(envelope)
    return _at_best_confidence(ap, precision, recall, envelope[:, 0], classes, num_labels)


def _by_class(pred_cls: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
    """For each of the classes, rising, the indices of its detections, rising."""
    counted = np.isin(pred_cls, classes).nonzero()[0]
    numbers = pred_cls[counted].astype(np.int64)
    small = numbers.astype(np.int16)  # which NumPy sorts by counting, many times as fast
    order = (small if np.array_equal(small, numbers) else numbers).argsort(kind="stable")
    return np.split(counted[order], numbers[order].searchsorted(classes[1:])) if len(classes) else []


def _envelope(precision: np.ndarray, recall: np.ndarray, rule: Rule) -> np.ndarray:
    """Curves of one class, (T, n), n at least 1 -> the envelope at RECALLS, (T, 101). YOLOv5: ``compute_ap``."""
    ends = np.ones((len(precision), 1))
    if rule == "yolov5":  # the curve starts at precision 1 and ends at 0
        precision = np.concatenate((ends, precision, 0 * ends), 1)
        recall = np.concatenate((0 * ends, recall, ends), 1)
    else:  # beyond the last recall lies precision 0
        precision = np.concatenate((precision, 0 * ends), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    read = _read_steps if rule == "coco" else np.interp
    return np.stack([read(RECALLS, *curve) for curve in zip(recall, envelope, strict=True)])


def _trapezoids(curves: np.ndarray) -> np.ndarray:
    """Areas under curves (C, T, 101) over RECALLS -> (C, T). YOLOv5: ``compute_ap``."""
    areas: np.ndarray = (curves[..., 1:] + curves[..., :-1]) / 2 @ np.diff(RECALLS)
    return areas


def _read_steps(at: np.ndarray, recall: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """The envelope, one longer than the recalls, at the first recall that is not below the one asked for."""
    steps: np.ndarray = envelope[recall.searchsorted(at)]
    return steps


def _against_confidence(conf: np.ndarray, values: np.ndarray, left: float) -> np.ndarray:
    """Values at falling confidences, read at CONFIDENCES; ``left`` above the highest confidence."""
    curve: np.ndarray = np.interp(-CONFIDENCES, -conf, values, left=left)
    return curve


def _at_best_confidence(
    ap: np.ndarray,
    precision: np.ndarray,
    recall: np.ndarray,
    envelope: np.ndarray,
    classes: np.ndarray,
    num_labels: np.ndarray,
) -> AveragePrecision:
    """Reads all classes at the one confidence where their mean F1, smoothed, is highest."""
    f1 = 2 * precision * recall / (precision + recall + EPS)
    best = int(_smooth(f1.mean(0)).argmax()) if len(classes) else 0
    curves = Curves(CONFIDENCES, precision, recall, f1, RECALLS, envelope)
    at_best = precision[:, best], recall[:, best], f1[:, best]
    return AveragePrecision(ap, *at_best, classes, num_labels, float(CONFIDENCES[best]), curves)


def _smooth(values: np.ndarray) -> np.ndarray:
    """A box filter over SMOOTHING of the curve, whose end values go on outside of it."""
    width = round(2 * SMOOTHING * len(values)) // 2 + 1  # odd, so that nothing shifts
    return np.convolve(np.pad(values, width // 2, mode="edge"), np.full(width, 1 / width), mode="valid")
