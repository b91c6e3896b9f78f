"""Whatever holds an image, as an RGB array."""

from typing import Any

import cv2
import numpy as np
import torch

from yolo_lite.images import rgb


def to_numpy(values: Any) -> np.ndarray:
    """A tensor on any device, of any type, with gradient or without; or anything numpy takes."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return np.asarray(values)


def to_rgb(image: Any) -> np.ndarray:
    """Anything as a picture to be shown: RGB (H, W, 3) uint8, the first three of many channels; see ``images.rgb``.

    It takes more than prediction does: nested lists of numbers too, and floats that an operation left outside of their
    range are clipped, NaN is black.

    Raises ValueError for other shapes, FileNotFoundError for a missing file.

    >>> to_rgb(np.zeros((3, 20, 30), np.float32)).shape
    (20, 30, 3)
    """
    if isinstance(image, list | tuple):
        image = _numbers(image)
    if isinstance(image, torch.Tensor | np.ndarray):
        image = _first_three(_tidy(image))
    return rgb.to_rgb(image)


def _first_three(values: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Of (C, H, W) tensors and (H, W, C) arrays with more channels than a picture has."""
    if values.ndim != 3 or min(values.shape[0], values.shape[2]) < 5:
        return values
    return values[:3] if isinstance(values, torch.Tensor) else values[..., :3]


def _numbers(nested: list | tuple) -> np.ndarray:
    try:
        array = np.asarray(nested)
    except ValueError:  # rows of different lengths
        array = np.asarray(nested, dtype=object)
    if array.dtype.kind not in "buif":
        raise ValueError("an image as nested lists has numbers in rows of one length, (H, W) or (H, W, 3)")
    is_8_bit = array.dtype.kind in "iu" and array.size and 0 <= array.min() <= array.max() < 256
    return array.astype(np.uint8) if is_8_bit else array


def _tidy(values: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
    """Numbers clipped to the range that their largest is in: [0, 1], [0, 255] or, whole ones, 16 bits."""
    array = to_numpy(values)
    if array.dtype.kind == "f" and array.size:
        array = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
        array = array.clip(0, 1) if array.max() <= 1 else array.clip(0, 255).round().astype(np.uint8)
    elif array.dtype.kind in "iu" and array.dtype.itemsize > 1:
        array = array.astype(np.int64).clip(0, 65535)  # dark ones stay what they are
    return torch.from_numpy(array) if isinstance(values, torch.Tensor) else array


def heat(values: Any) -> np.ndarray:
    """A map (H, W) as RGB (H, W, 3) uint8: its lowest value dark blue, its highest yellow (viridis).

    >>> heat(np.eye(4)).shape
    (4, 4, 3)
    """
    array = np.nan_to_num(to_numpy(values).astype(np.float64))
    span = array.max() - array.min()
    grey = (array - array.min()) / span if span > 0 else np.zeros_like(array)
    return np.ascontiguousarray(
        cv2.applyColorMap((grey * 255).round().astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    )


def faded(pixels: np.ndarray) -> np.ndarray:
    """An RGB image in half its colour and two thirds of its contrast: a background for what is drawn over it."""
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.round(0.33 * pixels + 0.33 * grey + 0.34 * 112).astype(np.uint8)
