"""What a file says about the training of its weights: about this one, and about an earlier one under "parent"."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from yolo_lite.model.layered import LayeredDetector

SIMPLE = (str, int, float, bool)


def of_parent(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entries that are numbers and text, without those of the parent's own parent.

    >>> of_parent({"epoch": 3, "parent": {"epoch": 9}})
    {'epoch': 3}
    """
    if not isinstance(metadata, Mapping):
        return {}
    return {str(name): value for name, value in metadata.items() if isinstance(value, SIMPLE)}


def trained_on(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What may still be said of weights that were trained on since, in a loop that told nothing: their image size.

    >>> trained_on({"epoch": 3, "img_size": 64})
    {'img_size': 64, 'parent': {'epoch': 3, 'img_size': 64}}
    """
    kept = {name: metadata[name] for name in ("img_size",) if name in metadata}
    return kept | {"parent": described} if (described := of_parent(metadata)) else kept


class Loaded(NamedTuple):
    """What a model was when it was loaded."""

    metadata: dict[str, Any]
    weights: float  # their sum
    numbers: int  # number of weights


@torch.no_grad()
def _as_it_is(model: LayeredDetector) -> Loaded:
    weights = list(model.parameters())
    total = sum(float(weight.sum(dtype=torch.float64)) for weight in weights)
    return Loaded(dict(model.metadata), total, sum(weight.numel() for weight in weights))


def remember(model: LayeredDetector) -> None:
    """Notes what a model is now, so that ``own_metadata`` knows whether it was trained since."""
    model.loaded = _as_it_is(model)


def own_metadata(model: LayeredDetector) -> dict[str, Any]:
    """What a model says of itself; weights that were trained since they were loaded are no longer those of the file.

    Metadata that somebody has set since, as a Trainer does, stay. So do those of a fused copy, or of one in half
    precision: other numbers, but the same training.
    """
    before = model.loaded
    coarse = any(weight.dtype in (torch.float16, torch.bfloat16) for weight in model.parameters())
    if not isinstance(before, Loaded) or coarse or model.metadata != before.metadata:
        return model.metadata
    now = _as_it_is(model)
    same = now.numbers != before.numbers or math.isclose(now.weights, before.weights, rel_tol=1e-9, abs_tol=1e-9)
    return model.metadata if same else trained_on(model.metadata)
