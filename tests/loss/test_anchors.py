"""Anchors: their fit against a count by hand, and the search on real and made-up sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.loss.anchors import (
    MIN_SIDE,
    anchor_fit,
    evolve_anchors,
    kmeans_anchors,
    object_sizes,
    suggest_anchors,
)

COCO_ANCHORS = torch.tensor(
    [
        [[10.0, 13], [16, 30], [33, 23]],
        [[30, 61], [62, 45], [59, 119]],
        [[116, 90], [156, 198], [373, 326]],
    ]
)


def random_sizes(seed: int, count: int = 200) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(3.5, 1.0, (count, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def blood_cells(shared) -> torch.Tensor:
    """Sizes in pixels at 640 of the training objects; the images are 640 x 480."""
    rows = [np.loadtxt(path, ndmin=2) for path in sorted((shared / "data" / "bccd" / "labels" / "train").glob("*.txt"))]
    sizes = np.concatenate([row[:, 3:5] for row in rows if row.size]) * (640, 480)
    return torch.from_numpy(sizes).float()


class Images:
    """A dataset as far as anchors ask for one: three images, the second without objects."""

    sizes = np.array([[480, 640], [100, 100], [1000, 500]])
    labels = LabelStore.build(
        [
            ImageLabels(np.array([0, 1]), np.array([[0.5, 0.5, 0.1, 0.2], [0.5, 0.5, 1, 1]], np.float32), (None, None)),
            ImageLabels.empty(),
            ImageLabels(np.array([0]), np.array([[0.5, 0.5, 0.5, 0.25]], np.float32), (None,)),
        ]
    )


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), anchor_t=st.floats(1.1, 8))
def test_fit_equals_a_count_by_hand(seed: int, anchor_t: float) -> None:
    wh = random_sizes(seed, 40)
    fit = anchor_fit(wh, COCO_ANCHORS, anchor_t)
    matches, best = [], []
    for width, height in wh.tolist():
        ratios = [min(width / w, w / width, height / h, h / height) for w, h in COCO_ANCHORS.reshape(-1, 2).tolist()]
        matches.append(sum(ratio > 1 / anchor_t for ratio in ratios))
        best.append(max(ratios))
    assert fit.best_possible_recall == pytest.approx(np.mean([count > 0 for count in matches]))
    assert fit.matches_per_object == pytest.approx(np.mean(matches))
    assert fit.mean_best_ratio == pytest.approx(np.mean(best), rel=1e-5)
    assert fit.fitness == pytest.approx(np.mean([b * (b > 1 / anchor_t) for b in best]), rel=1e-5)
    assert fit.best_ratio.tolist() == pytest.approx(best, rel=1e-5)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.1, 10))
def test_fit_does_not_depend_on_the_unit(seed: int, scale: float) -> None:
    wh = random_sizes(seed)
    one, other = anchor_fit(wh, COCO_ANCHORS), anchor_fit(wh * np.float32(scale), COCO_ANCHORS * scale)
    torch.testing.assert_close(one.best_ratio, other.best_ratio, rtol=1e-5, atol=0)


def test_sizes_of_a_dataset_are_scaled_by_the_longest_side() -> None:
    expected = torch.tensor([[64.0, 96], [640, 480], [160, 160]])
    torch.testing.assert_close(object_sizes(Images(), 640), expected)
    torch.testing.assert_close(object_sizes(Images(), 320), expected / 2)


def test_kmeans_finds_clusters_that_are_there() -> None:
    centres = np.array([[20.0, 30], [60, 60], [200, 90], [90, 250]])
    generator = np.random.default_rng(0)
    wh = np.concatenate([centre + generator.normal(0, 2, (100, 2)) for centre in centres])
    for seed in range(5):
        torch.testing.assert_close(
            kmeans_anchors(wh, 4, seed), torch.from_numpy(centres[[0, 1, 2, 3]]).float(), rtol=0, atol=1
        )


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 9))
def test_kmeans_is_settled_sorted_and_repeatable(seed: int, count: int) -> None:
    wh = random_sizes(seed)
    centres = kmeans_anchors(wh, count, seed)
    assert centres.shape == (count, 2)
    assert (centres.prod(1).diff() >= 0).all()
    assert torch.equal(centres, kmeans_anchors(wh, count, seed))
    spread = wh.astype(np.float64).std(0)
    nearest = (((wh / spread)[:, None] - centres.numpy() / spread) ** 2).sum(2).argmin(1)
    means = np.stack([wh[nearest == k].mean(0) for k in range(count)])
    np.testing.assert_allclose(centres.numpy(), means, rtol=1e-3)


@pytest.mark.parametrize("wh", [[[10, 10], [10, 20], [10, 30]], [[10, 10]] * 5 + [[20, 20], [30, 30]]])
def test_kmeans_on_sizes_that_hardly_differ(wh: list) -> None:
    expected = torch.tensor(sorted({tuple(size) for size in wh}), dtype=torch.float32)
    torch.testing.assert_close(kmeans_anchors(np.array(wh, float), 3), expected)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_evolution_only_ever_gains(seed: int) -> None:
    wh = random_sizes(seed)
    evolved = evolve_anchors(wh, COCO_ANCHORS, generations=30, seed=seed)
    assert (evolved.fitness.diff() >= 0).all()
    assert evolved.fitness[-1] >= evolved.fitness[0]
    assert anchor_fit(wh, evolved.anchors).fitness == pytest.approx(evolved.fitness[-1].item(), abs=1e-6)
    assert (evolved.anchors >= MIN_SIDE).all()
    assert torch.equal(evolved.anchors, evolve_anchors(wh, COCO_ANCHORS, generations=30, seed=seed).anchors)


def test_good_anchors_stay(blood_cells) -> None:
    suggestion = suggest_anchors(blood_cells, COCO_ANCHORS)
    assert suggestion.before.best_possible_recall > 0.98
    assert not suggestion.replace
    assert torch.equal(suggestion.anchors, COCO_ANCHORS)
    assert "keep" in str(suggestion)


def test_a_search_on_blood_cells_fits_them_better(blood_cells) -> None:
    found = evolve_anchors(blood_cells, kmeans_anchors(blood_cells, 9), generations=300)
    default, own = anchor_fit(blood_cells, COCO_ANCHORS), anchor_fit(blood_cells, found.anchors)
    assert own.best_possible_recall >= default.best_possible_recall
    assert own.mean_best_ratio > default.mean_best_ratio + 0.05


def test_anchors_of_another_scale_are_replaced(blood_cells) -> None:
    suggestion = suggest_anchors(blood_cells, COCO_ANCHORS / 16, generations=200)
    assert suggestion.replace
    assert suggestion.before.best_possible_recall < 0.9
    assert suggestion.after.best_possible_recall > 0.98
    assert suggestion.anchors.shape == (3, 3, 2)
    assert (suggestion.anchors.reshape(-1, 2).prod(1).diff() >= 0).all()
    again = suggest_anchors(blood_cells, COCO_ANCHORS / 16, generations=200)
    assert torch.equal(suggestion.anchors, again.anchors)


def test_anchors_that_cannot_be_beaten_stay_though_they_miss_objects() -> None:
    wh = np.concatenate((np.full((60, 2), 50.0), np.full((40, 2), 1.0)))  # 40 objects of one pixel
    wh[0], wh[1] = 51, 52
    suggestion = suggest_anchors(wh, np.array([[[50.0, 50]], [[52, 52]]]), generations=10)
    assert suggestion.before.best_possible_recall == pytest.approx(0.6)
    assert not suggestion.replace
    assert suggestion.num_too_small == 40


def test_suggestion_from_a_dataset() -> None:
    kept = suggest_anchors(Images(), COCO_ANCHORS, keep_above=1)
    assert "9 anchors need as many objects of different sizes, found 3 among 3" in kept.no_search
    suggestion = suggest_anchors(Images(), COCO_ANCHORS[:, :1] / 100, generations=10)
    assert suggestion.anchors.shape == (3, 1, 2)
    assert suggestion.replace


@pytest.mark.parametrize(
    ("wh", "too_small"),
    [
        ([[100, 3]], 0),  # one object
        ([[100, 3]] * 50, 0),  # all the same
        ([[100 + i, 3] for i in range(8)], 0),  # one less than anchors
        ([[1.5, 1], [1, 1.9]], 2),
        ([[100 + i, 3] for i in range(8)] + [[1 + i / 20, 1] for i in range(9)], 9),  # enough, but too small
    ],
)
def test_anchors_stay_where_fewer_shapes_are_known(wh: list, too_small: int) -> None:
    wh = np.array(wh, float)
    suggestion = suggest_anchors(wh, COCO_ANCHORS)
    assert not suggestion.replace
    assert torch.equal(suggestion.anchors, COCO_ANCHORS)
    assert suggestion.num_too_small == too_small
    different = len({tuple(size) for size in wh.tolist() if max(size) >= MIN_SIDE})
    assert "9 anchors need as many" in suggestion.no_search
    assert f"found {different} among {len(wh)}" in str(suggestion)
    with pytest.raises(ValueError, match=r"different sizes|at least 1"):
        kmeans_anchors(wh[(wh >= MIN_SIDE).any(1)], 9)


def test_as_many_shapes_as_anchors_are_searched() -> None:
    suggestion = suggest_anchors(np.array([[100.0 + i, 3] for i in range(9)]), COCO_ANCHORS, generations=5)
    assert suggestion.replace
    assert suggestion.no_search == ""


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_other_numbers_of_anchors(levels: int) -> None:
    wh = np.array([[100.0 + i, 3] for i in range(2 * levels - 1)])
    suggestion = suggest_anchors(wh, np.full((levels, 2, 2), 7.0) + np.arange(2), generations=5)
    assert f"{2 * levels} anchors need" in str(suggestion)


def test_boxes_of_a_dataset_without_area_are_passed_over() -> None:
    images = Images()
    images.labels = LabelStore.build([images.labels.of(0), images.labels.of(1), images.labels.of(2)])
    images.labels.boxes[0, 2] = 1e-46
    images.labels.boxes[1, 3] = float("nan")
    suggestion = suggest_anchors(images, COCO_ANCHORS / 100)
    assert (suggestion.replace, suggestion.num_too_small) == (False, 2)
    assert len(suggestion.before.best_ratio) == 1


@pytest.mark.parametrize(
    ("wh", "words"),
    [
        (np.zeros((0, 2)), "n at least 1"),
        (np.array([[3.0, 0], [1, 1]]), r"must be positive: 1 are not, the first is \[3.0, 0.0\]"),
        (np.array([[3.0, np.nan]]), "must be positive"),
        (np.ones((4, 3)), r"\(4, 3\)"),
    ],
)
def test_bad_sizes_get_a_sentence(wh: np.ndarray, words: str) -> None:
    for measure in (lambda: anchor_fit(wh, COCO_ANCHORS), lambda: suggest_anchors(wh, COCO_ANCHORS)):
        with pytest.raises(ValueError, match=words):
            measure()
