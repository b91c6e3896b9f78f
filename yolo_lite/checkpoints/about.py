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
    if not isinstance(before, Loaded) or model.metadata != before.metadata or is_as_loaded(model):
        return model.metadata
    return trained_on(model.metadata)


def is_as_loaded(model: LayeredDetector) -> bool:
    """Whether a model came from a file and was not trained since, as far as its weights show."""
    before = model.loaded
    if not isinstance(before, Loaded):
        return False
    if any(weight.dtype in (torch.float16, torch.bfloat16) for weight in model.parameters()):
        return True
    now = _as_it_is(model)
    return now.numbers != before.numbers or math.isclose(now.weights, before.weights, rel_tol=1e-9, abs_tol=1e-9)
