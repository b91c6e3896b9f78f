"""Numbers of any type as uint8, as pictures have them, and ``.npy`` files. C channels.

Two rules: of an array in a program, whose author can be asked (``as_uint8``), and of a file, where the type alone
decides, so that a number is the same byte in every page and in every file of a dataset (``stored_as_uint8``).
"""

import io
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

NPY_START = b"\x93NUMPY"
OVERSHOOT = 1e-3  # beyond [0, 1]: what resizing in floats leaves
DAMAGED = (ValueError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, MemoryError)  # of NumPy


class NpyHeader(NamedTuple):
    """What the header of an ``.npy`` file says."""

    shape: tuple[int, ...]  # (H, W) or (H, W, C)
    dtype: np.dtype

    @property
    def channels(self) -> int:
        return 1 if len(self.shape) == 2 else self.shape[2]


def as_uint8(values: np.ndarray, name: str) -> np.ndarray:
    """uint8 as they are; floats in [0, 1] or [0, 255]; bool; whole numbers up to 255, or of 16 bits: the upper 8.

    Raises:
        ValueError: other numbers, with what to do.

    >>> as_uint8(np.array([256, 65535], np.uint16), "image").tolist()
    [1, 255]
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * 255
    if values.dtype.kind == "f":
        return _from_floats(values, name)
    _require_numbers(values.dtype, name)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"{name}: whole numbers must lie in [0, 255], or in [0, 65535], found {low} to {high}")
    if values.dtype.itemsize == 2 and values.dtype.kind == "u" and 0 < high <= 255:
        raise ValueError(
            f"{name}: 16 bits, but no value above {high}: black as a picture of 16 bits. "
            "Pass image.astype('uint8') where these are values of 8 bits"
        )
    return (values >> 8 if high > 255 else values).astype(np.uint8)  # the upper 8 bits, as OpenCV reads files


def _from_floats(values: np.ndarray, name: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return (values.clip(0, 1) * 255).round().astype(np.uint8)
    if low >= -OVERSHOOT and 2 <= high <= 255 + 255 * OVERSHOOT:
        return values.clip(0, 255).round().astype(np.uint8)
    if not np.isfinite([low, high]).all():
        what = "some are NaN or infinite"
    elif low < -OVERSHOOT:
        what = f"found {low:g} to {high:g}; undo what was subtracted from them, a mean for example"
    else:
        what = f"found {low:g} to {high:g}; clip to [0, 1], or pass uint8"
    raise ValueError(f"{name}: float pixels must lie in [0, 1], or in [0, 255], {what}")


def _require_numbers(dtype: np.dtype, name: str) -> None:
    if dtype.kind not in "biuf":
        raise ValueError(f"{name}: pixels must be whole numbers or floats, not {dtype}")


# ---- files ----------------------------------------------------------------------------------------------------------


def stored_as_uint8(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of a file by their type: the same number is the same byte, whatever else the file holds.

    uint8 as they are; uint16: the upper 8 bits; bool: 0 or 255; floats in [0, 1]: times 255; other whole numbers, which
    lie in [0, 255]: as they are.

    Raises:
        ValueError: other numbers, with what to do.

    >>> stored_as_uint8(np.array([0, 0.5, 1], np.float32), "a.npy").tolist()
    [0, 128, 255]
    >>> stored_as_uint8(np.array([0, 300], np.int32), "a.tif")
    Traceback (most recent call last):
    ValueError: a.tif: whole numbers of type int32 must lie in [0, 255], found 0 to 300: save them as uint8, or ...
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * 255
    if kind == "u" and size == 2:
        return (values >> 8).astype(np.uint8)
    _require_numbers(values.dtype, name)
    low, high = values.min(), values.max()
    if kind != "f":
        if low < 0 or high > 255:
            raise ValueError(
                f"{name}: whole numbers of type {values.dtype} must lie in [0, 255], found {low} to {high}: save them "
                "as uint8, or over the whole range of uint16"
            )
        return values.astype(np.uint8)
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        found = f"found {low:g} to {high:g}" if np.isfinite([low, high]).all() else "some are NaN or infinite"
        raise ValueError(
            f"{name}: floats in a file must lie in [0, 1], {found}: divide all files by the same number, or save uint8"
        )
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def decode_npy(data: bytes, name: str) -> np.ndarray:
    """The bytes of an ``.npy`` file with (H, W) or (H, W, C) numbers -> (H, W, C) uint8, see stored_as_uint8.

    Raises:
        ValueError: another shape, other numbers, Python objects, or a file that breaks off.

    >>> file = io.BytesIO()
    >>> np.save(file, np.ones((4, 6), bool))
    >>> decode_npy(file.getvalue(), "a.npy").shape
    (4, 6, 1)
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (*DAMAGED, OSError) as error:
        raise _damaged(error, name) from None
    _checked(array, name)
    pixels = stored_as_uint8(array, name)
    return pixels[..., None] if array.ndim == 2 else pixels


def npy_header(path: str | Path) -> NpyHeader:
    """The header of an ``.npy`` file, checked; the file has as many numbers as it says, which are not read.

    Raises:
        OSError: the file cannot be opened. ValueError: see decode_npy.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        raise _damaged(error, str(path)) from None
    return _checked(array, str(path))


def _checked(array: np.ndarray, name: str) -> NpyHeader:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(f"{name}: an array {array.shape}, but an .npy file has one picture, (H, W) or (H, W, C)")
    _require_numbers(array.dtype, name)
    return NpyHeader(array.shape, array.dtype)


def _damaged(error: Exception, name: str) -> ValueError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(f"{name}: an .npy file that cannot be read: {reason}")
