"""Matching and confusion, against the rules written out pair by pair."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.boxes import box_iou
from yolo_lite.detect.average_precision import IOU_THRESHOLDS
from yolo_lite.detect.matching import confusion_matrix, match_detections


def random_image(seed: int, num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Detections, best first, that lie around some of the labels."""
    generator = np.random.default_rng(seed)
    num_labels, num_detections = generator.integers(0, 12), generator.integers(0, 30)
    top_left = generator.random((num_labels, 2)) * 60
    truth = np.hstack((top_left, top_left + 10 + generator.random((num_labels, 2)) * 30))
    labels = np.hstack((generator.integers(0, num_classes, (num_labels, 1)), truth))
    boxes, cls = np.zeros((num_detections, 4)), generator.integers(0, num_classes, (num_detections, 1))
    if num_labels:
        around = generator.integers(0, num_labels, num_detections)
        boxes = truth[around] + generator.normal(0, 2, (num_detections, 4))
        cls = np.where(generator.random((num_detections, 1)) < 0.8, labels[around, :1], cls)
    conf = np.sort(generator.random((num_detections, 1)), 0)[::-1]
    detections = np.hstack((boxes, conf, cls))
    return detections.astype(np.float32), labels.astype(np.float32)


def overlaps_of(detections: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return box_iou(torch.from_numpy(detections[:, :4]), torch.from_numpy(labels[:, 1:])).numpy()


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_matching_equals_the_rule_written_out(seed: int) -> None:
    detections, labels = random_image(seed)
    overlaps = overlaps_of(detections, labels)
    correct = match_detections(detections, labels)
    for column, threshold in enumerate(IOU_THRESHOLDS.astype(np.float32)):
        expected, taken = set(), set()
        pairs = [
            (overlaps[i, j], i, j)
            for i in range(len(detections))
            for j in range(len(labels))
            if overlaps[i, j] >= threshold and detections[i, 5] == labels[j, 0]
        ]
        choice: dict[int, int] = {}
        for _, detection, label in sorted(pairs, reverse=True):  # each detection takes the label it overlaps most
            choice.setdefault(detection, label)
        for detection in sorted(choice):  # then each label takes the first detection
            if choice[detection] not in taken:
                taken.add(choice[detection])
                expected.add(detection)
        assert set(correct[:, column].nonzero()[0]) == expected


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_label_is_found_once_and_stricter_thresholds_find_no_more(seed: int) -> None:
    detections, labels = random_image(seed)
    correct = match_detections(detections, labels)
    assert correct.shape == (len(detections), 10)
    assert (correct.sum(0) <= len(labels)).all()
    assert (np.diff(correct.sum(0)) <= 0).all()


def test_the_label_of_another_class_or_of_too_little_overlap_is_not_found() -> None:
    labels = torch.tensor([[0.0, 0, 0, 10, 10]])
    detections = torch.tensor([[0.0, 0, 10, 10, 0.9, 1], [0, 0, 10, 5, 0.8, 0]])
    assert match_detections(detections, labels, torch.tensor([0.5, 0.51])).tolist() == [[False, False], [True, False]]


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_confusion_counts_every_label_and_every_detection_once(seed: int) -> None:
    detections, labels = random_image(seed)
    matrix = confusion_matrix(detections, labels, num_classes=3)
    confident = detections[detections[:, 4] > 0.25]
    assert matrix.shape == (4, 4)
    assert matrix[:, :3].sum(0).tolist() == np.bincount(labels[:, 0].astype(int), minlength=3).tolist()
    assert matrix[:3].sum(1).tolist() == np.bincount(confident[:, 5].astype(int), minlength=3).tolist()
    assert matrix[3, 3] == 0


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_confusion_equals_the_rule_written_out(seed: int) -> None:
    detections, labels = random_image(seed)
    detections = detections[detections[:, 4] > 0.25]
    overlaps = overlaps_of(detections, labels)
    best: dict[int, tuple[float, int]] = {}  # label -> its best detection among those that prefer it
    for i in range(len(detections)):
        if len(labels) and overlaps[i].max() > 0.45:
            label = int(overlaps[i].argmax())
            if label not in best or overlaps[i, label] > best[label][0]:
                best[label] = (overlaps[i, label], i)
    expected = np.zeros((4, 4), int)
    for label in range(len(labels)):
        expected[int(detections[best[label][1], 5]) if label in best else 3, int(labels[label, 0])] += 1
    for i in set(range(len(detections))) - {detection for _, detection in best.values()}:
        expected[int(detections[i, 5]), 3] += 1
    assert confusion_matrix(detections, labels, num_classes=3).tolist() == expected.tolist()


def test_false_alarms_count_in_images_without_labels() -> None:
    matrix = confusion_matrix(np.array([[0, 0, 9, 9, 0.9, 1]]), np.zeros((0, 5)), num_classes=2)
    assert matrix.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
