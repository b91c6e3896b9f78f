"""Any kind of picture as an RGB array, the one that reading its path would give. The one place that decides.

A path, the bytes of a file, an open file, a PIL image, an array or a tensor: EXIF rotation is applied, alpha dropped,
gray becomes three equal channels, a palette, CMYK and 16 bits are converted as ``read_image`` does.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from yolo_lite.augment.objects import Image
from yolo_lite.images.reading import ImageError, decode_image, exif_orientation, read_image, upright

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:image")  # "C:/" is a drive
EXIF_ORIENTATION = 0x0112
OVERSHOOT = 1e-3  # beyond [0, 1]: what resizing in floats leaves
KINDS = "a path, the bytes of a file, an open file, a PIL image, an array or a tensor"


def to_rgb(image: Any, name: str = "image") -> Image:
    """Any picture as (H, W, 3) uint8 RGB.

    Args:
        image: a path; ``bytes`` or an open binary file in a format that OpenCV decodes; a PIL image; an array
            (H, W), (H, W, C) or (C, H, W); a tensor (H, W), (C, H, W) or (H, W, C); C is 1 (gray), 3 (RGB) or
            4 (RGBA), in arrays (H, W, 2) also gray with alpha. uint8; floats in [0, 1], or in [0, 255] where
            something is above 1; bool; whole numbers up to 255, or of 16 bits, whose upper 8 are taken.
        name: what errors call a picture that has no path.
    Returns:
        (H, W, 3) uint8; an array that already is that, itself.
    Raises:
        FileNotFoundError: no such file. ImageError (a ValueError): a file or PIL image that cannot be read, or only in
            part. ValueError: a folder, an address, another shape or other numbers; the sentence says what to do.

    >>> to_rgb(np.zeros((3, 20, 30), np.float32)).shape
    (20, 30, 3)
    """
    if isinstance(image, str | os.PathLike):
        return _from_path(Path(os.fsdecode(image)))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image), name)
    if _is_pil(image):
        return _from_pil(image, name)
    if callable(getattr(image, "read", None)):
        return _from_file(image, name)
    if isinstance(image, Tensor):
        values = image.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
        return _from_array(values.numpy(), name, channels_first=True)
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image), name, channels_first=False)
    hint = "; of a batch pass batch.images" if hasattr(image, "images") else ""
    raise ValueError(f"{name}: must be {KINDS}, not {type(image).__name__}{hint}")


def each_image(images: Any) -> Iterable[Any]:
    """One picture or several, as several: each is one that ``to_rgb`` reads.

    Args:
        images: a picture; an iterable of pictures of any kinds; an array or tensor of four axes; a Batch or Sample.
    Raises:
        ValueError: anything else, a dataset for example.

    >>> len(each_image(np.zeros((2, 20, 30, 3))))
    2
    """
    if hasattr(images, "targets") and hasattr(images, "images"):  # a Batch
        images = images.images
    if isinstance(getattr(images, "image", None), Tensor):  # a Sample
        images = images.image
    if isinstance(images, Tensor | np.ndarray) and images.ndim == 4:
        return images
    is_file = callable(getattr(images, "read", None)) and not hasattr(images, "paths")
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or _is_pil(images) or is_file:
        return [images]
    if hasattr(images, "__array__"):  # tensors, too
        return [images]
    if hasattr(images, "paths") and hasattr(images, "labels"):
        raise ValueError(
            f"images: a {type(images).__name__}, not pictures: pass dataset.paths, or "
            "[dataset.image(i) for i in range(len(dataset))]"
        )
    if not isinstance(images, Iterable) or isinstance(images, Mapping):
        raise ValueError(f"images must be {KINDS}, or an iterable of them, not {type(images).__name__}")
    return images


def _from_path(path: Path) -> Image:
    if path.is_dir():
        raise ValueError(
            f"{path}: a folder; pass the images in it, for example Path({str(path)!r}).glob('*.jpg'); "
            "predict(..., stream=True) takes folders"
        )
    if ADDRESS.match(str(path)) and not path.exists():
        address = path.as_posix().replace(":/", "://", 1)  # pathlib has made one stroke of two
        shown = address[:60] + ("..." if len(address) > 60 else "")
        raise ValueError(f"{shown}: an address, not a file. Nothing is fetched here: download it, then pass the path")
    return read_image(path)


def _from_file(file: Any, name: str) -> Image:
    """The picture in an open file, from its beginning, wherever it was read to."""
    named = getattr(file, "name", None)
    name = named if isinstance(named, str) else name
    if callable(getattr(file, "seek", None)):
        with contextlib.suppress(OSError):  # a pipe
            file.seek(0)
    data = file.read()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"{name}: reading it gives {type(data).__name__}, not bytes: open the file with mode 'rb'")
    return decode_image(bytes(data), name)


# ---- PIL ------------------------------------------------------------------------------------------------------------


def _is_pil(image: Any) -> bool:
    """Without importing PIL, which need not be installed."""
    return callable(getattr(image, "convert", None)) and isinstance(getattr(image, "mode", None), str)


def _from_pil(image: Any, name: str) -> Image:
    name = getattr(image, "filename", None) or name
    if image.mode == "LAB":
        raise ImageError(f"{name}: a PIL image of mode LAB, whose colours cannot be read correctly: convert it to RGB")
    try:
        image.load()
        if image.mode.startswith(("I", "F")):
            values = np.asarray(image)
            pixels = values >> 8 if values.dtype.itemsize == 2 else _as_uint8(values, name)  # I;16: as OpenCV does
            pixels = np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2)
        else:
            premultiplied = {"RGBa": "RGBA", "La": "LA"}.get(image.mode)
            straight = image.convert(premultiplied) if premultiplied else image
            pixels = np.asarray(straight.convert("RGB"))
    except OSError as error:
        raise ImageError(f"{name}: the image is damaged or breaks off before its end ({error})") from None
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(f"{name}: a PIL image of mode {image.mode} ({error}): pass image.convert('RGB')") from None
    if 0 in pixels.shape:
        raise ImageError(f"{name}: an image without pixels, {pixels.shape}")
    return np.ascontiguousarray(upright(pixels, _orientation(image)))


def _orientation(image: Any) -> int:
    """The EXIF orientation that has not been applied yet; 1 where there is none.

    Pillow also believes XMP data, which OpenCV passes over: of files that may have both, EXIF's alone counts.
    """
    if image.format not in ("TIFF", "AVIF"):
        block = getattr(image, "info", {}).get("exif", b"")
        if not isinstance(block, bytes) or not block or exif_orientation(block.removeprefix(b"Exif\0\0")) == 1:
            return 1
    with contextlib.suppress(Exception):  # a damaged EXIF block: OpenCV passes it over as well
        return int(image.getexif().get(EXIF_ORIENTATION, 1))
    return 1


# ---- arrays ---------------------------------------------------------------------------------------------------------


def _from_array(array: np.ndarray, name: str, channels_first: bool) -> Image:
    """channels_first: how to read a shape that can be read both ways, (3, 20, 3)."""
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3:
        first, last = shape[0] in (1, 3, 4), shape[2] in (1, 2, 3, 4)
        if first and (channels_first or not last):
            array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        form = "(H, W), (3, H, W) or (H, W, 3)" if channels_first else "(H, W), (H, W, 3) or (3, H, W)"
        several = "; several, (N, ...), by themselves" if array.ndim == 4 else ""
        raise ValueError(f"{name}: a picture has the shape {form}, with 1, 3 or 4 channels, not {shape}{several}")
    colours = array[..., :3] if array.shape[2] > 2 else array[..., :1]  # without alpha
    pixels = _as_uint8(colours, name)
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))


def _as_uint8(values: np.ndarray, name: str) -> np.ndarray:
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
