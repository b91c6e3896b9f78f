"""Whatever holds an image, as an RGB array."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch


def to_numpy(values: Any) -> np.ndarray:
    """A tensor on any device, of any type, with gradient or without; or anything numpy takes."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return np.asarray(values)


def to_rgb(image: Any) -> np.ndarray:
    """A path, PIL image, array or tensor as RGB (H, W, 3) uint8.

    Arrays and tensors may be (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels; floats lie in [0, 1], or in
    [0, 255] where something is above 1; whole numbers above 255 are of 16 bits.

    Raises ValueError for other shapes, FileNotFoundError for a missing file.

    >>> to_rgb(np.zeros((3, 20, 30), np.float32)).shape
    (20, 30, 3)
    """
    if isinstance(image, str | Path):
        return _read(Path(image))
    if callable(getattr(image, "convert", None)) and not str(image.mode).startswith(("I", "F")):
        image = image.convert("RGB")  # PIL: palettes, CMYK and the like are no RGB values
    array = to_numpy(image)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ValueError(f"an image has the shape (H, W), (H, W, 3) or (3, H, W), got {np.shape(image)}")
    array = np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array[..., :3]
    return np.ascontiguousarray(_to_uint8(array))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "iu" and array.max() > 255:
        return (np.clip(array, 0, 65535) // 256).astype(np.uint8)  # as OpenCV reads files of 16 bits
    fraction = array.dtype.kind == "b" or (array.dtype.kind == "f" and np.nanmax(array) <= 1)
    array = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
    scale = 255.0 if fraction else 1.0
    return np.clip(np.round(array * scale), 0, 255).astype(np.uint8)


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"no image file {path}")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)  # imread cannot open every Windows path
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can read")
    return np.ascontiguousarray(image[..., ::-1])


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
