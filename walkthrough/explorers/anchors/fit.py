"""How well anchors fit the objects of a whole dataset, remembered anchor by anchor so that it follows a slider."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from walkthrough.explorers.inputs import refuse_address
from walkthrough.images import to_numpy
from yolo_lite.data.source import open_source
from yolo_lite.loss.anchors import AnchorFit, fit_of_ratios, object_sizes
from yolo_lite.loss.targets import ratio_test

THRESHOLDS = torch.arange(11, 101) / 10  # (T,) anchor_t from 1.1 to 10, the range of the slider
REMEMBERED = 128  # anchors: a drag of one slider, back and forth
Anchor = tuple[float, float]  # width, height in pixels


class Curves(NamedTuple):
    """Over THRESHOLDS, (T,) each."""

    recall: Tensor  # fraction of the objects that at least one anchor matches
    matches: Tensor  # anchors matched to an object, mean over the objects


class DatasetFit(NamedTuple):
    """How well K anchors fit the objects of a dataset."""

    sizes: "Sizes"
    fit: AnchorFit
    curves: Curves
    missed: Tensor  # (m,) objects that no anchor matches, the furthest first


class Sizes:
    """The objects of a dataset, n of them, by size alone.

    Args:
        wh: (n, 2) width and height in pixels of the network input.
        name: what the reader calls it. image_of: the image of an object, by its index.
    Raises:
        ValueError: no objects, or sizes that are not positive.
    """

    def __init__(self, wh: Any, name: str = "", image_of: Callable[[int], str] = str) -> None:
        self.wh = torch.from_numpy(to_numpy(wh).astype(np.float32))
        if self.wh.ndim != 2 or self.wh.shape[1] != 2 or not len(self.wh):
            raise ValueError(f"a dataset is widths and heights, (n, 2) with n at least 1, not {tuple(self.wh.shape)}")
        if not ((self.wh > 0) & self.wh.isfinite()).all():
            raise ValueError("the objects of a dataset have widths and heights above 0 pixels")
        self.name, self.image_of = name, image_of
        self.ratios = lru_cache(REMEMBERED)(self._ratios)  # of this object, and gone with it
        self._all_ratios = lru_cache(1)(self._stacked)
        self.curves = lru_cache(REMEMBERED)(self._curves)
        self._counts = lru_cache(REMEMBERED)(lambda anchor: counts_below(self.ratios(anchor)))

    def __len__(self) -> int:
        return len(self.wh)

    def fit(self, anchors: tuple[Anchor, ...], anchor_t: float) -> AnchorFit:
        """What anchor_fit says of these K anchors."""
        return fit_of_ratios(self._all_ratios(anchors), anchor_t)

    def missed(self, anchors: tuple[Anchor, ...], anchor_t: float) -> Tensor:
        """(m,) the objects that none of the anchors matches, the furthest first."""
        best = self._all_ratios(anchors).amin(0)  # (n,)
        missed = (best >= anchor_t).nonzero()[:, 0]
        return missed[best[missed].argsort(descending=True, stable=True)]

    def _ratios(self, anchor: Anchor) -> Tensor:
        """(n,) the worst ratio of each object to one anchor."""
        return ratio_test(self.wh, self.wh.new_tensor([anchor])).worst[0]

    def _stacked(self, anchors: tuple[Anchor, ...]) -> Tensor:
        return torch.stack([self.ratios(anchor) for anchor in anchors])  # (K, n)

    def _curves(self, anchors: tuple[Anchor, ...]) -> Curves:
        """Recall and matches for every threshold at once."""
        best = self._all_ratios(anchors).amin(0)  # (n,)
        matches = torch.stack([self._counts(anchor) for anchor in anchors]).sum(0)  # (T,)
        return Curves(counts_below(best) / len(self), matches / len(self))


def counts_below(ratios: Tensor) -> Tensor:
    """How many ratios lie below each threshold, (T,): what sum(ratios < t) gives for each t."""
    first = torch.bucketize(ratios, THRESHOLDS, right=True)  # the first threshold that lies above
    return first.bincount(minlength=len(THRESHOLDS) + 1)[:-1].cumsum(0)


def sizes_of(dataset: Any, img_size: int) -> Sizes:
    """What the reader gave as dataset=.

    Args:
        dataset: a YoloDataset or an ImageSource; a source ("shapes", a data.yaml, a folder); or (n, 2)
            widths and heights in pixels.
        img_size: longest side of the network input, to which a dataset's images are scaled.
    Raises:
        ValueError: no objects. FileNotFoundError, DatasetError: as open_source.
    """
    if isinstance(dataset, Sizes):
        return dataset
    name = Path(dataset).name if isinstance(dataset, str | Path) else "the dataset"
    refuse_address("dataset", dataset)
    if isinstance(dataset, str | Path):
        dataset = open_source(dataset)
    if not hasattr(dataset, "labels"):
        return Sizes(dataset, "the sizes given")
    if not dataset.labels.num_objects:
        raise ValueError(f"{name} has no objects: there is nothing to fit anchors to")
    starts, paths = dataset.labels.image_start, getattr(dataset, "paths", ())

    def image_of(index: int) -> str:
        image = int(torch.searchsorted(starts, index, right=True)) - 1
        return Path(paths[image]).name if len(paths) else f"image {image}"

    return Sizes(object_sizes(dataset, img_size), name, image_of)
