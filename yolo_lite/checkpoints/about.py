"""Whether weights were trained since they were loaded: then what their file said is about another training."""

import math
from typing import Any, NamedTuple

import torch

from yolo_lite.model.layered import LayeredDetector
from yolo_lite.support.metadata import trained_on


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
