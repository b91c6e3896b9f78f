"""Kinds of errors and their costs: examples worked by hand, and what holds for any detections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yolo_lite as yl
from yolo_lite.analysis.costs import REMOVED, corrected_ap, error_costs
from yolo_lite.analysis.errors import CORRECT, KINDS, find_errors
from yolo_lite.detect.matching import match_detections
from yolo_lite.detect.metrics import ImageDetections

SQUARE = (0, 0, 10, 10)
THIRD = (5, 0, 15, 10)  # IoU 1 / 3 with SQUARE
TWENTIETH = (0, 9, 10, 20)  # IoU 10 / 200 with SQUARE


def image(detections: list, labels: list) -> ImageDetections:
    """Detections (box, confidence, class) and labels (class, box) of one image."""
    rows = np.float32([[*box, conf, cls] for box, conf, cls in detections]).reshape(-1, 6)
    truth = np.float32([[cls, *box] for cls, box in labels]).reshape(-1, 5)
    return ImageDetections("a.jpg", rows[:, :4], rows[:, 4], rows[:, 5].astype(int), (64, 64), truth, 1)


def found(picture: ImageDetections, **thresholds: float) -> yl.ImageErrors:
    rows = np.column_stack((picture.xyxy, picture.conf, picture.cls))
    return find_errors(rows, picture.labels, **thresholds)


@pytest.mark.parametrize(
    ("box", "cls", "kind", "missed"),
    [
        (SQUARE, 0, CORRECT, False),
        (SQUARE, 1, "classification", False),
        (THIRD, 0, "localization", False),
        (THIRD, 1, "both", True),  # which label it was meant for is not known, so the label counts as missed
        (TWENTIETH, 0, "background", True),
        (TWENTIETH, 1, "background", True),
    ],
)
def test_each_kind_by_hand(box: tuple, cls: int, kind: str, missed: bool) -> None:
    errors = found(image([(box, 0.9, cls)], [(0, SQUARE)]))
    assert errors.kinds.tolist() == [kind]
    assert errors.missed.tolist() == [missed]
    assert errors.label.tolist() == [-1 if kind == "background" else 0]
    assert errors.found_by.tolist() == [0 if kind == CORRECT else -1]
    assert errors.iou[0] == pytest.approx({SQUARE: 1, THIRD: 1 / 3, TWENTIETH: 0.05}[box])
    costs = error_costs([image([(box, 0.9, cls)], [(0, SQUARE)])]).costs
    repaired = {"classification": ("classification",), "localization": ("localization",)}.get(kind, ("missed",))
    expected = {name: 1.0 if kind != CORRECT and name in repaired else 0.0 for name in KINDS}
    assert costs == expected  # removing the only detection finds nothing; without the label nothing is left to find


def test_of_two_that_find_a_label_the_second_is_a_duplicate() -> None:
    picture = image(
        [(SQUARE, 0.9, 0), ((0, 0, 10, 9), 0.8, 0), ((40, 0, 50, 10), 0.7, 0)], [(0, SQUARE), (0, (40, 0, 50, 10))]
    )
    errors = found(picture)
    assert errors.kinds.tolist() == [CORRECT, "duplicate", CORRECT]
    assert errors.found_by[errors.label[1]] == 0
    costs = error_costs([picture])
    # precision is 1 up to recall .5, then 2 of 3: 51 and 50 of the 101 recalls
    assert costs.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert costs.costs["duplicate"] == pytest.approx(1 - costs.ap)
    assert costs.false_positives == pytest.approx(1 - costs.ap)
    assert costs.false_negatives == 0


def test_the_higher_threshold_comes_first_and_at_the_same_the_own_class() -> None:
    labels = [(0, SQUARE), (1, THIRD)]
    assert found(image([(SQUARE, 0.9, 1)], labels)).kinds.tolist() == ["classification"]  # 1 / 3 with its own class
    assert found(image([((2, 0, 17, 10), 0.9, 0)], labels)).kinds.tolist() == ["classification"]
    both = [(0, SQUARE), (1, SQUARE)]
    assert found(image([(SQUARE, 0.9, 1), (SQUARE, 0.8, 1)], both)).kinds.tolist() == [CORRECT, "duplicate"]
    third = [(0, THIRD), (1, THIRD)]
    assert found(image([(SQUARE, 0.9, 0)], third)).kinds.tolist() == ["localization"]


def test_the_right_class_given_to_a_label_that_was_found_removes_the_less_sure() -> None:
    labels = [(0, SQUARE), (1, (40, 0, 50, 10))]
    surer = image([(SQUARE, 0.9, 1), (SQUARE, 0.6, 0), ((40, 0, 50, 10), 0.5, 1)], labels)
    assert found(surer).kinds.tolist() == ["classification", CORRECT, CORRECT]
    costs = error_costs([surer])
    assert costs.ap == pytest.approx((1 + 0.5) / 2)  # of class 1 the second is right
    assert costs.costs["classification"] == pytest.approx(1 - costs.ap)


def test_what_is_missed_stretches_the_recall() -> None:
    picture = image([(SQUARE, 0.9, 0)], [(0, SQUARE), (0, (40, 0, 50, 10))])
    costs = error_costs([picture])
    assert costs.ap == pytest.approx(51 / 101)
    assert costs.costs["missed"] == costs.false_negatives == pytest.approx(50 / 101)
    assert costs.counts == dict.fromkeys(KINDS, 0) | {"missed": 1}


def test_thresholds_move_the_kinds() -> None:
    picture = image([(THIRD, 0.9, 0)], [(0, SQUARE)])
    assert found(picture, foreground=0.3).kinds.tolist() == [CORRECT]
    assert found(picture, background=0.4).kinds.tolist() == ["background"]


def test_nothing_found_and_nothing_there() -> None:
    assert found(image([], [(0, SQUARE)])).of("missed").tolist() == [0]
    assert found(image([(SQUARE, 0.5, 3)], [])).kinds.tolist() == ["background"]
    empty = found(image([], []))
    assert (len(empty.kinds), len(empty.missed)) == (0, 0)
    assert error_costs([image([], [(0, SQUARE)])]).costs["missed"] == 1


def test_what_cannot_be_sorted_is_said() -> None:
    picture = image([(SQUARE, 0.5, 0), (SQUARE, 0.9, 0)], [(0, SQUARE)])
    for call, facts in (
        (lambda: found(picture), ["sorted"]),
        (lambda: found(image([], []), foreground=0.1, background=0.5), ["0.1", "0.5"]),
        (lambda: find_errors(np.zeros((2, 5)), np.zeros((1, 5))), ["detections", "(2, 5)"]),
        (lambda: find_errors(np.zeros((2, 6)), np.zeros((1, 6))), ["labels", "(1, 6)"]),
        (lambda: found(image([], [])).of("wrong"), ["wrong", "classification"]),
        (lambda: error_costs([image([], [])]), ["label"]),
        (lambda: corrected_ap([image([], [(0, SQUARE)])], ["loc"]), ["loc", "localization"]),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert all(fact in str(caught.value) for fact in facts), caught.value


def some_images(seed: int) -> list[ImageDetections]:
    """Labels, and detections that lie around them more or less, of their class or another."""
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(generator.integers(1, 4)):
        labels = [
            (generator.integers(0, 3), (*corner, *(corner + generator.uniform(8, 30, 2))))
            for corner in generator.uniform(0, 60, (generator.integers(1, 8), 2))
        ]
        detections = []
        for conf in np.sort(generator.choice([0.2, 0.5, 0.9, *generator.random(9)], generator.integers(0, 20)))[::-1]:
            cls, box = labels[generator.integers(0, len(labels))]
            moved = np.array(box) + generator.normal(0, generator.choice([0.5, 3, 10]), 4)
            low, high = np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])
            other = generator.random() < 0.3
            detections.append(((*low, *high), conf, generator.integers(0, 4) if other else cls))
        images.append(image(detections, labels))
    return images


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_kinds_part_all_that_is_wrong(seed: int) -> None:
    for picture in some_images(seed):
        errors = found(picture)
        rows = np.column_stack((picture.xyxy, picture.conf, picture.cls))
        correct = match_detections(rows, picture.labels, np.array([0.5]))[:, 0]
        assert (errors.kinds == CORRECT).tolist() == correct.tolist()
        wrong = np.sort(np.concatenate([errors.of(kind) for kind in KINDS if kind != "missed"]))
        assert wrong.tolist() == np.flatnonzero(~correct).tolist()  # each once
        is_found = errors.found_by >= 0
        assert sorted(errors.found_by[is_found]) == np.flatnonzero(correct).tolist()
        about = set(errors.label[np.isin(errors.kinds, ("classification", "localization"))].tolist())
        for label in np.flatnonzero(~is_found).tolist():
            assert errors.missed[label] == (label not in about)
        assert not errors.missed[is_found].any()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31))
def test_no_correction_costs_and_all_of_them_leave_nothing_wrong(seed: int) -> None:
    images = some_images(seed)
    costs = error_costs(images)
    assert min(*costs.costs.values(), costs.false_positives, costs.false_negatives) >= -1e-12
    assert corrected_ap(images, KINDS) == pytest.approx(1)
    assert corrected_ap(images, ()) == costs.ap
    assert all((costs.counts[kind] > 0) or (costs.costs[kind] == 0) for kind in KINDS)
    removed = corrected_ap(images, REMOVED) - costs.ap
    assert removed >= max(costs.costs[kind] for kind in REMOVED) - 1e-12
    assert sum(costs.counts.values()) == sum(image.counts[kind] for image in costs.images for kind in KINDS)


def test_the_table_has_a_line_for_each_kind() -> None:
    lines = str(error_costs([image([(SQUARE, 0.9, 1)], [(0, SQUARE)])])).splitlines()
    assert [line.split()[0] for line in lines[1:7]] == list(KINDS)
    assert next(line for line in lines if "classification" in line).split()[1:] == ["1", "1.000"]
