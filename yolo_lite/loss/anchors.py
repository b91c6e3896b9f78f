"""Anchors: how well they fit the objects of a dataset, and how to find better ones. YOLOv5: autoanchor.

An object that no anchor is matched to adds nothing to the box loss. ``anchor_fit`` counts those, by the ratio test
that training runs; ``suggest_anchors`` looks for anchors that miss fewer: k-means for a start, evolution to refine it.

Shape letters: n objects, L levels, A anchors per level, K = L * A anchors in all.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from yolo_lite.data.labels import LabelStore
from yolo_lite.loss.targets import ratio_test

KEEP_ABOVE = 0.98  # anchors that reach this recall are good enough to stay
JITTER = (0.9, 1.1)  # training scales its images: anchors must fit sizes near those of the labels too
MIN_SIDE = 2.0  # pixels; no anchor gets smaller, and objects smaller both ways are left out of the search
MUTATION_FRACTION = 0.9  # of the sides that a mutation changes
MUTATION_STRENGTH = 0.1  # standard deviation of a change, before its random fraction of it
MUTATION_RANGE = (0.3, 3.0)  # factor by which a side may change at once
KMEANS_ROUNDS = 300  # at most; it settles long before


class AnchorFit(NamedTuple):
    """How well K anchors fit n objects."""

    best_possible_recall: float  # fraction of the objects that at least one anchor is matched to (``bpr``)
    matches_per_object: float  # anchors matched to an object, mean over the objects (``aat``)
    mean_best_ratio: float  # best_ratio, mean over the objects
    fitness: float  # the same, with 0 for objects without a match: what evolution raises. YOLOv5: ``anchor_fitness``
    best_ratio: Tensor  # (n,) in (0, 1]: the worse side's ratio to the best anchor; 1 = the same size
    best_anchor: Tensor  # (n,) int64, the best anchor of each object, in 0 .. K - 1

    def __str__(self) -> str:
        return (
            f"best possible recall {self.best_possible_recall:.4f}, {self.matches_per_object:.2f} anchors per object, "
            f"mean best ratio {self.mean_best_ratio:.3f}"
        )


class Evolution(NamedTuple):
    """Anchors that were refined, and how they got better."""

    anchors: Tensor  # (K, 2) pixels, small to large
    fitness: Tensor  # (generations + 1,) of the best so far, from the start on


class AnchorSuggestion(NamedTuple):
    """Which anchors to use; ``str()`` says why."""

    anchors: Tensor  # (L, A, 2) pixels, small to large over the levels; the ones in use where those are to stay
    before: AnchorFit  # of the anchors in use
    after: AnchorFit  # of ``anchors``
    replace: bool  # whether ``anchors`` are new
    num_too_small: int  # objects of less than 2 x 2 pixels, which were left out of the search
    no_search: str = ""  # why no other anchors could be looked for, where they should have been

    def __str__(self) -> str:
        verdict = f"replace: {self.after}" if self.replace else "keep the anchors in use"
        reasons = [self.no_search] if self.no_search else []
        reasons += [f"{self.num_too_small} objects are smaller than {MIN_SIDE:g} pixels"] if self.num_too_small else []
        return f"in use: {self.before}; {verdict}" + (f" ({'; '.join(reasons)})" if reasons else "")


class LabelledSizes(Protocol):
    """What is asked of a dataset: a YoloDataset or an ImageSource, for example."""

    sizes: np.ndarray  # (images, 2) height, width
    labels: LabelStore


def anchor_fit(wh: Tensor | np.ndarray, anchors: Tensor | np.ndarray, anchor_t: float = 4.0) -> AnchorFit:
    """Measures anchors on objects. YOLOv5: ``metric``, with ``bpr`` and ``aat``.

    Args:
        wh: (n, 2) widths and heights of the objects. anchors: (L, A, 2) or (K, 2), same unit.
        anchor_t: largest factor between an object's side and an anchor's, as in the loss.
    Raises:
        ValueError: no objects, or sizes that are not positive.

    >>> fit = anchor_fit(np.array([[10.0, 20.0], [100.0, 10.0]]), np.array([[10.0, 10.0], [40.0, 40.0]]))
    >>> fit.best_possible_recall, fit.best_ratio.tolist()
    (0.5, [0.5, 0.25])
    """
    return fit_of_ratios(ratio_test(_checked(wh, "wh"), _checked(anchors, "anchors").reshape(-1, 2)).worst, anchor_t)


def fit_of_ratios(worst: Tensor, anchor_t: float = 4.0) -> AnchorFit:
    """The same, of ratios that are known. worst: (K, n), what ratio_test says of K anchors and n objects."""
    best, best_anchor = worst.min(0)  # (n,)
    ratio, matched = 1 / best, best < anchor_t
    return AnchorFit(
        best_possible_recall=matched.float().mean().item(),
        matches_per_object=(worst < anchor_t).sum(0).float().mean().item(),
        mean_best_ratio=ratio.mean().item(),
        fitness=(ratio * matched).mean().item(),
        best_ratio=ratio,
        best_anchor=best_anchor,
    )


def object_sizes(dataset: LabelledSizes, img_size: int) -> Tensor:
    """Widths and heights of all objects, (n, 2) float32, in pixels of images whose longest side is ``img_size``."""
    labels = dataset.labels
    image_size = torch.from_numpy(np.asarray(dataset.sizes)[:, ::-1].astype(np.float32))  # (images, 2) width, height
    image_size = image_size * (img_size / image_size.amax(1, keepdim=True))
    wh: Tensor = labels.boxes[:, 2:4].float()  # (n, 2)
    return wh * image_size.repeat_interleave(labels.image_start.diff(), 0)


def searchable(wh: Tensor) -> Tensor:
    """The sizes that anchors are looked for with, of (n, 2): those of at least 2 pixels one way and more than 0 both.

    >>> searchable(torch.tensor([[1.0, 1], [1, 3], [0, 9]]))
    tensor([[1., 3.]])
    """
    return wh[(wh >= MIN_SIDE).any(1) & (wh > 0).all(1) & wh.isfinite().all(1)]


def too_few_sizes(wh: Tensor, count: int) -> str:
    """Why ``count`` anchors cannot be found for these sizes, (n, 2); "" where they can be.

    >>> too_few_sizes(torch.tensor([[10.0, 20], [10, 20]]), count=9)
    '9 anchors need as many objects of different sizes, found 1 among 2'
    """
    sizes = searchable(wh)
    different = len(sizes.unique(dim=0)) if len(sizes) else 0
    if different >= count:
        return ""
    least = f" of {MIN_SIDE:g} pixels or more" if len(sizes) < len(wh) else ""
    return f"{count} anchors need as many objects of different sizes{least}, found {different} among {len(wh)}"


def kmeans_anchors(wh: Tensor | np.ndarray, count: int, seed: int = 0) -> Tensor:
    """The centres of ``count`` clusters of sizes, small to large: (count, 2). YOLOv5: ``kmean_anchors``.

    Lloyd's algorithm from a k-means++ start (Arthur and Vassilvitskii 2007), on sizes divided by their standard
    deviation, so that width and height weigh the same.

    Raises:
        ValueError: fewer different sizes than clusters.

    >>> kmeans_anchors(np.array([[10.0, 10], [12, 10], [80, 40], [80, 44]]), count=2)
    tensor([[11., 10.],
            [80., 42.]])
    """
    sizes = _checked(wh, "wh").numpy().astype(np.float64)
    if count < 1 or len(np.unique(sizes, axis=0)) < count:
        raise ValueError(
            f"{count} anchors need as many objects of different sizes, found {len(np.unique(sizes, axis=0))}"
        )
    spread = sizes.std(0)
    spread[spread == 0] = 1  # all as wide, or as high: nothing to divide by
    points = sizes / spread
    generator = np.random.default_rng(seed)
    centres = _spread_out_start(points, count, generator)
    for _ in range(KMEANS_ROUNDS):
        nearest = _distances_squared(points, centres).argmin(1)  # (n,)
        members = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, points[:, side], minlength=count) for side in (0, 1)], 1)
        moved = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _small_to_large(torch.from_numpy(centres * spread).float())


def evolve_anchors(
    wh: Tensor | np.ndarray,
    anchors: Tensor | np.ndarray,
    generations: int = 1000,
    seed: int = 0,
    anchor_t: float = 4.0,
) -> Evolution:
    """Refines anchors by chance: in each generation the sides change a little, and what fits better stays.

    Args:
        wh: (n, 2). anchors: (K, 2) or (L, A, 2) to start from, same unit. generations: attempts.
    """
    sizes = _checked(wh, "wh")
    best = _checked(anchors, "anchors").reshape(-1, 2).clamp(min=MIN_SIDE)
    generator = np.random.default_rng(seed)
    fitness = [anchor_fit(sizes, best, anchor_t).fitness]
    for _ in range(generations):
        changed = generator.random(best.shape) < MUTATION_FRACTION
        step = changed * generator.random() * generator.normal(0, MUTATION_STRENGTH, best.shape)
        factor = torch.from_numpy((1 + step).clip(*MUTATION_RANGE)).float()
        child = (best * factor).clamp(min=MIN_SIDE)
        child_fitness = anchor_fit(sizes, child, anchor_t).fitness
        if child_fitness > fitness[-1]:
            best = child
        fitness.append(max(child_fitness, fitness[-1]))
    return Evolution(_small_to_large(best), torch.tensor(fitness))


def suggest_anchors(
    dataset_or_wh: LabelledSizes | Tensor | np.ndarray,
    anchors: Tensor | np.ndarray,
    img_size: int = 640,
    anchor_t: float = 4.0,
    generations: int = 1000,
    seed: int = 0,
    keep_above: float = KEEP_ABOVE,
) -> AnchorSuggestion:
    """The check before training (YOLOv5: ``check_anchors``): do the anchors fit, and are there any that fit better?

    Args:
        dataset_or_wh: a dataset, or (n, 2) widths and heights of objects in pixels of the network input.
        anchors: (L, A, 2) pixels, the ones in use; as many are looked for.
        img_size: longest side of the network input, which the sizes of a dataset are scaled to.
        keep_above: a best possible recall above this is good enough, and no search is made; 1 = always search.
    Returns:
        AnchorSuggestion. Both fits are measured on sizes jittered by 10 %; new anchors come only with a higher recall.
        The ones in use stay where there are fewer different sizes than anchors; ``no_search`` says so.
    Raises:
        ValueError: no objects, or sizes given that are not positive. A dataset's boxes without area are left out.

    >>> wh = np.random.default_rng(0).uniform(200, 220, (50, 2))
    >>> suggestion = suggest_anchors(wh, np.array([[[10.0, 13]], [[33, 23]]]), generations=20)
    >>> suggestion.replace, suggestion.before.best_possible_recall, suggestion.after.best_possible_recall
    (True, 0.0, 1.0)
    """
    in_use = _checked(anchors, "anchors")
    if in_use.ndim != 3:
        raise ValueError(f"anchors must be (levels, anchors, 2), not {tuple(in_use.shape)}")
    if isinstance(dataset_or_wh, Tensor | np.ndarray):
        given = _checked(dataset_or_wh, "wh")
    else:
        given = object_sizes(dataset_or_wh, img_size)
    wh = _checked(given[(given > 0).all(1) & given.isfinite().all(1)], "wh")
    large_enough = searchable(wh)
    num_too_small = len(given) - len(large_enough)

    jitter = np.random.default_rng(seed).uniform(*JITTER, (len(wh), 1))
    jittered = wh * torch.from_numpy(jitter).float()
    before = anchor_fit(jittered, in_use, anchor_t)
    if before.best_possible_recall > keep_above:
        return AnchorSuggestion(in_use, before, before, False, num_too_small)
    count = in_use[..., 0].numel()
    no_search = too_few_sizes(wh, count)
    if no_search:
        return AnchorSuggestion(in_use, before, before, False, num_too_small, no_search)
    start = kmeans_anchors(large_enough, count, seed)
    found = evolve_anchors(large_enough, start, generations, seed, anchor_t).anchors.reshape(in_use.shape)
    after = anchor_fit(jittered, found, anchor_t)
    if after.best_possible_recall > before.best_possible_recall:
        return AnchorSuggestion(found, before, after, True, num_too_small)
    return AnchorSuggestion(in_use, before, before, False, num_too_small)


def _spread_out_start(points: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """k-means++: each next centre is a point drawn in proportion to its squared distance from those before."""
    chosen = [int(generator.integers(len(points)))]
    while len(chosen) < count:
        squared = _distances_squared(points, points[chosen]).min(1)
        chosen.append(int(generator.choice(len(points), p=squared / squared.sum())))
    return points[chosen]


def _distances_squared(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances, (n, 2) and (k, 2) -> (n, k)."""
    distances: np.ndarray = ((points[:, None] - centres[None]) ** 2).sum(2)
    return distances


def _small_to_large(anchors: Tensor) -> Tensor:
    return anchors[anchors.prod(1).argsort(stable=True)]


def _checked(sizes: Tensor | np.ndarray, name: str) -> Tensor:
    """(..., 2) float32 on the CPU; every number positive."""
    tensor = torch.as_tensor(sizes, dtype=torch.float32, device="cpu")
    if tensor.ndim < 2 or tensor.shape[-1] != 2 or not tensor.numel():
        raise ValueError(f"{name} must be widths and heights, (n, 2) with n at least 1, not {tuple(tensor.shape)}")
    bad = ~((tensor > 0) & tensor.isfinite()).all(-1)
    if bad.any():
        raise ValueError(f"{name} must be positive: {int(bad.sum())} are not, the first is {tensor[bad][0].tolist()}")
    return tensor
