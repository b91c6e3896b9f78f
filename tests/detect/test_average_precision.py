"""Average precision: recorded numbers, hand-made curves, and what must hold for any detections."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.detect.average_precision import RULES, average_precision

PERFECT = {"coco": 1.0, "yolov5": 0.995}


def random_detections(seed: int, count: int = 200, num_classes: int = 4) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    correct = generator.random((count, 1)) < np.linspace(0.8, 0.1, 10)
    pred_cls = generator.integers(0, num_classes, count)
    missed_cls = generator.integers(0, num_classes, 50)
    return correct, generator.random(count), pred_cls, np.concatenate((pred_cls, missed_cls))


def test_equals_the_recorded_numbers(golden) -> None:
    recorded = np.load(golden / "ap_per_class.npz")
    found = average_precision(*(recorded[name] for name in ("correct", "conf", "pred_cls", "target_cls")), "yolov5")
    for name in ("ap", "precision", "recall", "f1", "classes"):
        np.testing.assert_allclose(getattr(found, name), recorded[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rule", "expected"), [("coco", 0.4587), ("yolov5", 0.5713)])
def test_true_false_true_false_true_over_five_objects(rule, expected: float) -> None:
    correct = np.array([[1], [0], [1], [0], [1]], bool)
    found = average_precision(correct, np.linspace(0.9, 0.5, 5), np.zeros(5), np.zeros(5), rule)
    assert found.ap[0, 0] == pytest.approx(expected, abs=5e-5)
    assert found.num_labels.tolist() == [5]


@pytest.mark.parametrize("rule", RULES)
def test_a_perfect_detector(rule) -> None:
    cls = np.repeat([2, 5], 30)
    found = average_precision(np.ones((60, 10), bool), np.linspace(0.99, 0.5, 60), cls, cls, rule)
    np.testing.assert_allclose(found.ap, PERFECT[rule], atol=1e-9)
    assert found.classes.tolist() == [2, 5]
    np.testing.assert_allclose([found.precision, found.recall, found.f1], 1, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_classes_without_labels_or_without_detections(rule) -> None:
    correct = np.array([[True], [True], [False]])
    found = average_precision(correct, [0.9, 0.8, 0.7], [0, 0, 7], [0, 0, 3], rule)
    assert found.classes.tolist() == [0, 3]  # class 7 has no label
    np.testing.assert_allclose(found.ap[:, 0], [PERFECT[rule], 0], atol=1e-9)
    assert found.recall[1] == 0


@pytest.mark.parametrize("rule", RULES)
def test_nothing_at_all(rule) -> None:
    found = average_precision(np.zeros((0, 10), bool), [], [], [0, 1], rule)
    assert found.ap.shape == (2, 10)
    assert not found.ap.any()
    assert average_precision(np.zeros((0, 10), bool), [], [], [], rule).ap.shape == (0, 10)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), rule=st.sampled_from(RULES))
def test_the_order_of_the_detections_changes_nothing(seed: int, rule) -> None:
    correct, conf, pred_cls, target_cls = random_detections(seed)
    shuffled = np.random.default_rng(seed).permutation(len(conf))
    one = average_precision(correct, conf, pred_cls, target_cls, rule)
    other = average_precision(correct[shuffled], conf[shuffled], pred_cls[shuffled], target_cls[::-1], rule)
    np.testing.assert_array_equal(one.ap, other.ap)
    np.testing.assert_array_equal(one.curves.f1, other.curves.f1)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), rule=st.sampled_from(RULES))
def test_only_the_order_of_the_confidences_matters_to_ap(seed: int, rule) -> None:
    correct, conf, pred_cls, target_cls = random_detections(seed)
    one = average_precision(correct, conf, pred_cls, target_cls, rule)
    other = average_precision(correct, conf**3, pred_cls, target_cls, rule)
    np.testing.assert_array_equal(one.ap, other.ap)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), rule=st.sampled_from(RULES))
def test_values_lie_between_zero_and_one_and_curves_run_the_right_way(seed: int, rule) -> None:
    found = average_precision(*random_detections(seed), rule)
    curves = found.curves
    for values in (found.ap, found.precision, found.recall, found.f1, curves.precision, curves.recall, curves.f1):
        assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(curves.recall, axis=1) <= 1e-12).all()  # a higher confidence finds no more
    assert (np.diff(curves.precision_at_recall, axis=1) <= 1e-12).all()  # an envelope only falls
    assert found.best_confidence in curves.confidence


@pytest.mark.parametrize("kind", [int, np.float32])
def test_classes_may_have_any_numbers(kind) -> None:
    correct, conf, pred_cls, target_cls = random_detections(0)
    one = average_precision(correct, conf, pred_cls, target_cls)
    other = average_precision(correct, conf, (pred_cls + 70_000).astype(kind), target_cls + 70_000)
    np.testing.assert_array_equal(one.ap, other.ap)
    assert other.classes.tolist() == [70_000, 70_001, 70_002, 70_003]


def test_tensors_are_welcome() -> None:
    arrays = random_detections(0)
    np.testing.assert_array_equal(
        average_precision(*(torch.from_numpy(values) for values in arrays)).ap, average_precision(*arrays).ap
    )


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="coco, yolov5"):
        average_precision(np.zeros((1, 1)), [1], [1], [1], "voc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"correct must be \(n, T\)"):
        average_precision(np.zeros((2, 1)), [1], [1], [1])
