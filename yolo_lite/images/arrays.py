"""Numbers of any type as uint8, as pictures have them, and ``.npy`` files. C channels."""

import io

import numpy as np

NPY_START = b"\x93NUMPY"
OVERSHOOT = 1e-3  # beyond [0, 1]: what resizing in floats leaves


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
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name}: pixels must be whole numbers or floats, not {values.dtype}")
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


def decode_npy(data: bytes, name: str) -> np.ndarray:
    """The bytes of an ``.npy`` file with (H, W) or (H, W, C) numbers -> (H, W, C) uint8.

    Raises:
        ValueError: another shape, other numbers, Python objects, or a file that breaks off.

    >>> file = io.BytesIO()
    >>> np.save(file, np.ones((4, 6), bool))
    >>> decode_npy(file.getvalue(), "a.npy").shape
    (4, 6, 1)
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{name}: an .npy file that cannot be read: {error}") from None
    require_shape(array.shape, name)
    pixels = as_uint8(array, name)
    return pixels[..., None] if array.ndim == 2 else pixels


def require_shape(shape: tuple[int, ...], name: str) -> None:
    """Raises ValueError where an array in a file is not (H, W) or (H, W, C)."""
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"{name}: an array {shape}, but an .npy file has one picture, (H, W) or (H, W, C)")
