"""COCO's figures, against pycocotools on the same detections."""

import contextlib
import io

import numpy as np
import pytest

from tests.detect.test_matching import random_image
from yolo_lite.detect.average_precision import average_precision
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.matching import match_detections
from yolo_lite.model.yolo import create_model
from yolo_lite.support.coco_ap import coco_average_precision


def pycocotools_precision(detections: list[np.ndarray], labels: list[np.ndarray], num_classes: int) -> np.ndarray:
    """(T, 101, C), from pycocotools itself."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is what the figures are compared with")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    annotations = [
        {"image_id": image, "category_id": int(cls), "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        for image, rows in enumerate(labels)
        for cls, x1, y1, x2, y2 in rows.astype(float).tolist()
    ]
    results = [
        [image, x1, y1, x2 - x1, y2 - y1, score, cls]
        for image, rows in enumerate(detections)
        for x1, y1, x2, y2, score, cls in rows.astype(float).tolist()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(labels))],
            "categories": [{"id": cls} for cls in range(num_classes)],
            "annotations": [{"id": k + 1, "iscrowd": 0, **row} for k, row in enumerate(annotations)],
        }
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(np.array(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, -1]


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
