"""How far a computed array is from a recorded one, within the tolerances that the recordings come with."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

Recording = dict[str, np.ndarray]

REAL = "biuf"  # kinds of numpy's types: bool, integers, floats
TEXT = "U"


class NeedsMoreFiles(Exception):
    """Raised by a check that cannot run, for a file that the recording needs is not there; says which."""


class Comparison(NamedTuple):
    """One recorded array beside what the library computes."""

    key: str  # of the recorded array in its file
    worst: float  # the largest difference, on the scale of its tolerance; inf if shapes or nan differ
    allowed: float  # up to and including this, both are equal

    @property
    def equal(self) -> bool:
        return self.worst <= self.allowed  # False for nan

    @property
    def severity(self) -> float:
        """``worst`` in units of ``allowed``, to compare different tolerances."""
        if self.equal:
            return self.worst / self.allowed if self.allowed else 0.0
        return self.worst / self.allowed if self.allowed and not math.isnan(self.worst) else math.inf


def read_recording(file: Path) -> Recording:
    """All arrays of a recording: real numbers, or text; pickles are refused.

    Raises:
        ValueError: Names the array of another kind, or says that the file is not an archive of arrays.
    """
    arrays = np.load(file, allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        raise ValueError("holds one array without a name; save it with np.savez")
    with arrays:
        return {key: _read(arrays, key) for key in arrays.files}


def _read(arrays: Mapping[str, Any], key: str) -> np.ndarray:
    try:
        array = arrays[key]
    except ValueError as error:  # of objects
        raise ValueError(f"{key} cannot be read: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in REAL + TEXT:
        raise ValueError(f"{key} holds {getattr(array, 'dtype', 'no array')}, and has to hold real numbers or text")
    return array


def darknet(key: str, ours: Any, recorded: Any, allowed: float = 1e-5) -> Comparison:
    """|ours - recorded| <= 1e-5 (1 + |recorded|): gradients and decoded boxes of Darknet.

    >>> darknet("grad", [1.0, 3.001], [1.0, 3.0], 1e-3).equal
    True
    """
    expected = as_array(recorded)
    return Comparison(key, _worst(as_array(ours), expected, 1 + np.abs(expected)), allowed)


def relative(key: str, ours: Any, recorded: Any, allowed: float = 1e-5) -> Comparison:
    """|ours - recorded| <= 1e-5 |recorded|: Darknet's costs."""
    expected = as_array(recorded)
    return Comparison(key, _worst(as_array(ours), expected, np.abs(expected)), allowed)


def floats(key: str, ours: Any, recorded: Any, allowed: float = 1e-5) -> Comparison:
    """|ours - recorded| <= 1e-5 of the largest magnitude in the array: floats of the newer detectors."""
    expected = as_array(recorded)
    finite = expected[np.isfinite(expected)]
    largest = np.abs(finite).max() if finite.size else 0.0
    return Comparison(key, _worst(as_array(ours), expected, np.full(expected.shape, largest)), allowed)


def pixels(key: str, ours: Any, recorded: Any, allowed: float = 1e-3) -> Comparison:
    """|ours - recorded| <= 1e-3 pixels: decoded boxes of the newer detectors."""
    expected = as_array(recorded)
    return Comparison(key, _worst(as_array(ours), expected, np.ones(expected.shape)), allowed)


def exact(key: str, ours: Any, recorded: Any) -> Comparison:
    """No difference at all: indices and masks."""
    expected = as_array(recorded)
    return Comparison(key, _worst(as_array(ours), expected, np.ones(expected.shape)), 0.0)


def as_array(values: Any) -> np.ndarray:
    """Numbers of any kind as float64, in which float32 and the indices here are exact."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in REAL:
        raise TypeError(f"{array.dtype} cannot be compared, only real numbers can")
    return array.astype(np.float64)


def _worst(ours: np.ndarray, recorded: np.ndarray, scale: np.ndarray) -> float:
    """The largest |ours - recorded| / scale; nan and infinities have to be the same on both sides."""
    if ours.shape != recorded.shape:
        return math.inf
    finite = np.isfinite(recorded)
    if not np.array_equal(finite, np.isfinite(ours)):
        return math.inf
    if not np.array_equal(ours[~finite], recorded[~finite], equal_nan=True):
        return math.inf
    difference, scale = np.abs(ours[finite] - recorded[finite]), scale[finite]
    apart = difference > 0  # where there is no difference, the scale may be 0
    with np.errstate(divide="ignore"):  # a scale of 0 allows no difference: infinite
        return float((difference[apart] / scale[apart]).max(initial=0.0))
