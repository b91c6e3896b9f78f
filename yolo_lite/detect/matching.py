"""Which detections found which labels: for average precision, and for the confusion matrix.

Shape letters: n detections of one image, m labels of it, T IoU thresholds, C classes.
"""

import numpy as np
import torch
from torch import Tensor

from yolo_lite.boxes import box_iou
from yolo_lite.detect.average_precision import IOU_THRESHOLDS

Array = Tensor | np.ndarray


def match_detections(detections: Array, labels: Array, iou_thresholds: Array = IOU_THRESHOLDS) -> np.ndarray:
    """Whether each detection counts as correct, by YOLOv5's greedy matching (``process_batch``).

    At each threshold a detection asks for the label of its class that it overlaps most, if by at least the threshold;
    of several that ask for one label, the first gets it. (COCO's rule instead serves the detections in turn, each with
    the best label that is still free.)

    Args:
        detections: (n, 6) xyxy, confidence, class; best first, as NMS gives them.
        labels: (m, 5) class, xyxy; same units.
        iou_thresholds: (T,).
    Returns:
        (n, T) bool.

    >>> detections = np.array([[0, 0, 10, 9, 0.9, 1], [0, 0, 10, 10, 0.8, 1], [0, 0, 10, 10, 0.7, 0]])
    >>> match_detections(detections, np.array([[1, 0, 0, 10, 10]]), np.array([0.5, 0.95]))
    array([[ True, False],
           [False,  True],
           [False, False]])
    """
    found, wanted = _as_float32(detections), _as_float32(labels)
    thresholds = _as_float32(iou_thresholds)
    correct = np.zeros((len(found), len(thresholds)), bool)
    if not len(found) or not len(wanted):
        return correct
    overlaps = box_iou(wanted[:, 1:5], found[:, :4])  # (m, n)
    overlaps[wanted[:, :1] != found[None, :, 5]] = -1
    best_overlap, best_label = overlaps.max(0)  # (n,)
    asks = (best_overlap[:, None] >= thresholds).numpy()  # (n, T)
    for column in range(asks.shape[1]):
        rows = asks[:, column].nonzero()[0]
        first = np.unique(best_label.numpy()[rows], return_index=True)[1]
        correct[rows[first], column] = True
    return correct


def confusion_matrix(
    detections: Array, labels: Array, num_classes: int, conf_thres: float = 0.25, iou_thres: float = 0.45
) -> np.ndarray:
    """How often each class was confused with each other, or with background, in one image. YOLOv5: ``ConfusionMatrix``.

    Detections and labels are paired whatever their class: each detection with the label it overlaps most, each label
    with the detection that overlaps it most.

    Args:
        detections: (n, 6) xyxy, confidence, class. labels: (m, 5) class, xyxy; same units.
        conf_thres: only detections above it count. iou_thres: pairs overlap by more than this.
    Returns:
        (C + 1, C + 1) int64, row = detected class, column = true class, the last of each = background: the last row
        holds missed objects, the last column false alarms.

    >>> detections = np.array([[0, 0, 10, 10, 0.9, 1], [50, 50, 60, 60, 0.8, 0]])
    >>> confusion_matrix(detections, np.array([[0, 0, 0, 10, 10]]), num_classes=2)
    array([[0, 0, 1],
           [1, 0, 0],
           [0, 0, 0]])
    """
    found, wanted = _as_float32(detections), _as_float32(labels)
    found = found[found[:, 4] > conf_thres]
    detection, label = _one_to_one(box_iou(found[:, :4], wanted[:, 1:5]).numpy(), iou_thres)
    detected = np.full(len(found) + len(wanted) - len(label), num_classes)
    true = np.full(len(detected), num_classes)
    # One row per detection, then one per label that nothing found.
    detected[: len(found)] = found[:, 5].numpy()
    true[detection] = wanted[label, 0].numpy()
    true[len(found) :] = np.delete(wanted[:, 0].numpy(), label)
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(matrix, (detected, true), 1)
    return matrix


def _one_to_one(overlaps: np.ndarray, iou_thres: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (detection, label) from (n, m): each detection's best label, of these each label's best detection."""
    if not overlaps.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    label, overlap = overlaps.argmax(1), overlaps.max(1)  # (n,)
    by_overlap = np.argsort(-overlap, kind="stable")
    by_overlap = by_overlap[overlap[by_overlap] > iou_thres]
    labels, first = np.unique(label[by_overlap], return_index=True)
    return by_overlap[first], labels


def _as_float32(values: Array) -> Tensor:
    return values.float().cpu() if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float32)
