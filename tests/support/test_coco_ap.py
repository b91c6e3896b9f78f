"""COCO's figures, against pycocotools on the same detections."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.detect.test_matching import random_image
from tests.support.coco_worlds import pycocotools_evaluation, random_detections, random_objects
from yolo_lite.detect.average_precision import average_precision
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.matching import match_detections
from yolo_lite.model.yolo import create_model
from yolo_lite.support.coco_ap import coco_average_precision, coco_scores, result_entry
from yolo_lite.support.coco_truth import CocoTruth, ImageTruth, boxes_as_objects


def pycocotools_precision(detections: list[np.ndarray], labels: list[np.ndarray], num_classes: int) -> np.ndarray:
    """(T, 101, C), from pycocotools itself."""
    truth, results = coco_files(detections, [boxes_as_objects(rows) for rows in labels], num_classes)
    return pycocotools_evaluation(truth, results).eval["precision"][:, :, :, 0, -1]


def coco_files(
    detections: list[np.ndarray], objects: list[np.ndarray], num_classes: int, ids: Sequence[int] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An annotation file and results."""
    ids = range(len(objects)) if ids is None else ids
    images = tuple(ImageTruth(number, f"{number}", (300, 300), rows) for number, rows in zip(ids, objects, strict=True))
    names = tuple(map(str, range(num_classes)))
    results = [
        {"image_id": number, **result_entry(row)}
        for number, rows in zip(ids, detections, strict=True)
        for row in rows.astype(float).tolist()
    ]
    return CocoTruth(names, tuple(range(num_classes)), images).to_dict(), results


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_sets_with_crowds_and_areas_equal_pycocotools(seed: int) -> None:
    generator = np.random.default_rng(seed)
    objects = [random_objects(generator) for _ in range(int(generator.integers(1, 12)))]
    detections = [random_detections(generator, rows) for rows in objects]
    assume(sum(map(len, detections)))
    ids = generator.permutation(1000)[: len(objects)].tolist()  # equal confidences: the lower id comes first
    expected = pycocotools_evaluation(*coco_files(detections, objects, 3, ids))
    found = coco_scores(detections, objects, 3, ids)
    summary = [-1 if value is None else value for value in found.summary]
    np.testing.assert_allclose(summary, expected.stats, rtol=0, atol=1e-15)
    precision = expected.eval["precision"][:, :, :, 0, -1].mean(1).T  # (C, T)
    np.testing.assert_allclose(np.nan_to_num(found.ap, nan=-1), precision, rtol=0, atol=1e-15)


def test_numbers_that_a_float_cannot_tell_apart_are_images_of_their_own() -> None:
    generator = np.random.default_rng(1)
    objects = [random_objects(generator) for _ in range(8)]
    detections = [random_detections(generator, rows) for rows in objects]
    ids = [2**54 + int(place) for place in generator.permutation(8)]
    found = coco_scores(detections, objects, 3, ids)
    summary = [-1 if value is None else value for value in found.summary]
    expected = pycocotools_evaluation(*coco_files(detections, objects, 3, ids)).stats
    np.testing.assert_allclose(summary, expected, rtol=0, atol=1e-15)


def test_a_crowd_forgives_what_is_found_in_it_and_is_not_missed() -> None:
    found = np.array([[0, 0, 10, 10, 0.5, 0], [100, 100, 120, 120, 0.9, 0], [200, 200, 220, 220, 0.8, 0]], np.float32)
    single, crowd = [0, 0, 0, 10, 10, 100, 0], [0, 90, 90, 200, 200, 20000, 1]
    with_crowd = coco_scores([found], [np.array([single, crowd])], 1).summary
    without = coco_scores([found], [np.array([single])], 1).summary
    assert with_crowd.ap == 1
    assert without.ap == pytest.approx(1 / 3)
    assert (with_crowd.ar_100, with_crowd.ap_medium) == (1, None)


def test_areas_and_not_boxes_say_what_is_small() -> None:
    found = np.array([[0, 0, 40, 40, 0.9, 0]], np.float32)
    thin, full = np.array([[0, 0, 0, 40, 40, 500, 0]]), boxes_as_objects(np.array([[0, 0, 0, 40, 40]]))
    assert [coco_scores([found], [thin], 1).summary[place] for place in (3, 4)] == [1, None]
    assert [coco_scores([found], [full], 1).summary[place] for place in (3, 4)] == [None, 1]


@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools(seed: int) -> None:
    images = [random_image(1000 * seed + image) for image in range(40)]
    detections, labels = [image[0] for image in images], [image[1] for image in images]
    labels = [rows[rows[:, 0] != 2] for rows in labels]  # a class that is detected but has no labels
    found = coco_average_precision(detections, labels, num_classes=4)
    precision = pycocotools_precision(detections, labels, num_classes=4)
    assert np.isnan(found[2:]).all()
    np.testing.assert_allclose(found[:2].T, precision.mean(1)[:, :2], rtol=0, atol=1e-6)
    assert np.nanmean(found) == pytest.approx(precision[precision > -1].mean(), abs=1e-6)
    assert 0.05 < np.nanmean(found) < 0.95  # the comparison is about something


def test_no_more_than_a_hundred_detections_of_a_class_count() -> None:
    label = np.array([[0, 0, 0, 10, 10]], np.float32)
    wrong = np.tile(np.array([[50, 50, 60, 60, 0.9, 0]], np.float32), (100, 1))
    right = np.array([[0, 0, 10, 10, 0.1, 0]], np.float32)
    assert coco_average_precision([np.vstack((wrong, right))], [label], 1).max() == 0
    assert coco_average_precision([np.vstack((wrong[1:], right))], [label], 1)[0, 0] == pytest.approx(0.01)


def test_differs_from_the_own_rule_in_the_matching_alone() -> None:
    """Where every detection overlaps one label at most, the two ways to COCO's rule agree."""
    generator = np.random.default_rng(0)
    labels = np.array([[cls, 100 * k, 100 * cls, 100 * k + 50, 100 * cls + 50] for cls in range(3) for k in range(30)])
    boxes = labels[:, 1:] + generator.normal(0, 4, (90, 4))
    conf = np.sort(generator.random(90))[::-1]
    detections = np.column_stack((boxes, conf, labels[:, 0])).astype(np.float32)
    correct = match_detections(detections, labels.astype(np.float32))
    own = average_precision(correct, detections[:, 4], detections[:, 5], labels[:, 0], "coco").ap
    np.testing.assert_allclose(coco_average_precision([detections], [labels], 3), own, atol=1e-9)


def test_no_detections_at_all() -> None:
    found = coco_average_precision([np.zeros((0, 6))], [np.array([[0, 0, 0, 10, 10]])], 2)
    assert found[0].tolist() == [0] * 10


def test_nothing_is_printed(capfd) -> None:
    coco_average_precision([np.array([[0, 0, 10, 10, 0.9, 0]])], [np.array([[0, 0, 0, 10, 10]])], 1)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_without_the_package_the_rule_says_so_before_it_looks_at_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="faster-coco-eval"):
        evaluate(create_model("yolov5n", num_classes=1), iter(()))
    with pytest.raises(ModuleNotFoundError, match="yolov5"):
        coco_average_precision([np.zeros((0, 6))], [np.zeros((0, 5))], 1)
    with pytest.raises(ValueError, match="no images"):
        evaluate(create_model("yolov5n", num_classes=1), iter(()), rule="yolov5")
