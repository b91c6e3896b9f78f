"""Any kind of picture as an RGB array, or one of C channels: that which reading its path gives. The place that decides.

A path, the bytes of a file, an open file, a PIL image, an array or a tensor: EXIF rotation is applied, alpha dropped,
gray becomes three equal channels, a palette, CMYK and 16 bits are converted as ``read_image`` does. A TIFF of several
gray pages gives them as channels where they are as many as are asked for, as ``read_channels`` does.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from yolo_lite.augment.objects import Image
from yolo_lite.images.arrays import as_uint8, stored_as_uint8
from yolo_lite.images.bands import as_channels, decode_channels, read_channels, wrong_channels
from yolo_lite.images.kinds import ADDRESS, require_file
from yolo_lite.images.reading import ImageError, exif_orientation, upright

EXIF_ORIENTATION = 0x0112
KINDS = "a path, the bytes of a file, an open file, a PIL image, an array or a tensor"


def to_channels(image: Any, channels: int, name: str = "image") -> Image:
    """Any picture as (H, W, C) uint8, as ``read_channels`` would give its file; see to_rgb.

    Args:
        image: as for ``to_rgb``; an array (H, W, C) or (C, H, W), a tensor (C, H, W) or (H, W, C) besides.
        channels: C. 1: gray, the luma of colours; 3: RGB; other pictures have these channels themselves.
    Raises:
        ImageError (a ValueError): another number of channels, with both. Others: see to_rgb.

    >>> to_channels(np.zeros((20, 30, 3), np.uint8), 1).shape, to_channels(np.zeros((6, 20, 30), np.uint8), 6).shape
    ((20, 30, 1), (20, 30, 6))
    """
    if isinstance(image, str | os.PathLike):
        require_file(image)
        return read_channels(_checked_path(Path(os.fsdecode(image))), channels)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_channels(bytes(image), channels, name)
    if _is_pil(image):
        file = _tiff_file(image)
        if file is not None:
            return decode_channels(file, channels, getattr(image, "filename", None) or name)
        return _from_pil(image, name) if channels == 3 else _channels_of_pil(image, channels, name)
    if callable(getattr(image, "read", None)):
        return decode_channels(*_read_file(image, channels, name))
    if isinstance(image, Tensor):
        values = image.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
        return _from_array(values.numpy(), name, channels_first=True, channels=channels)
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image), name, channels_first=False, channels=channels)
    hint = "; of a batch pass batch.images" if hasattr(image, "images") else ""
    raise ValueError(f"{name}: must be {KINDS}, not {type(image).__name__}{hint}")


def to_rgb(image: Any, name: str = "image") -> Image:
    """Any picture as (H, W, 3) uint8 RGB.

    Args:
        image: a path; ``bytes`` or an open binary file in a format that OpenCV decodes; a PIL image; an array
            (H, W), (H, W, C) or (C, H, W); a tensor (H, W), (C, H, W) or (H, W, C); C is 1 (gray), 3 (RGB) or
            4 (RGBA), in arrays (H, W, 2) also gray with alpha. uint8; floats in [0, 1], or in [0, 255] where
            something is above 1; bool; whole numbers up to 255, or of 16 bits, whose upper 8 are taken. What a file
            holds, also that of a PIL image, becomes uint8 by its type alone: see ``yolo_lite.images.bands``.
        name: what errors call a picture that has no path.
    Returns:
        (H, W, 3) uint8; an array that already is that, itself.
    Raises:
        FileNotFoundError: no such file. ImageError (a ValueError): a file or PIL image that cannot be read, or only in
            part. ValueError: a folder, an address, another shape or other numbers; the sentence says what to do.

    >>> to_rgb(np.zeros((3, 20, 30), np.float32)).shape
    (20, 30, 3)
    """
    return to_channels(image, 3, name)


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


def _checked_path(path: Path) -> Path:
    if path.is_dir():
        raise ValueError(
            f"{path}: a folder; pass the images in it, for example Path({str(path)!r}).glob('*.jpg'); "
            "predict(..., stream=True) takes folders"
        )
    if ADDRESS.match(str(path)) and not path.exists():
        address = path.as_posix().replace(":/", "://", 1)  # pathlib has made one stroke of two
        shown = address[:60] + ("..." if len(address) > 60 else "")
        raise ValueError(f"{shown}: an address, not a file. Nothing is fetched here: download it, then pass the path")
    return path


def _read_file(file: Any, channels: int, name: str) -> tuple[bytes, int, str]:
    """What an open file holds, from its beginning, wherever it was read to; and its name where it has one."""
    named = getattr(file, "name", None)
    name = named if isinstance(named, str) else name
    if callable(getattr(file, "seek", None)):
        with contextlib.suppress(OSError):  # a pipe
            file.seek(0)
    data = file.read()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"{name}: reading it gives {type(data).__name__}, not bytes: open the file with mode 'rb'")
    return bytes(data), channels, name


# ---- PIL ------------------------------------------------------------------------------------------------------------


def _is_pil(image: Any) -> bool:
    """Without importing PIL, which need not be installed."""
    return callable(getattr(image, "convert", None)) and isinstance(getattr(image, "mode", None), str)


def _tiff_file(image: Any) -> bytes | None:
    """The file of a TIFF of several pages, opened and not moved on, as its pages may be channels; else None.

    The image itself is left alone: going to its other pages would undo what was changed in this one. So is one that is
    turned and not decoded yet: Pillow 13 mixes up the sides of some.
    """
    if image.format != "TIFF" or image.tell() != 0 or getattr(image, "fp", None) is None or image.fp.closed:
        return None
    is_turned = bool(image.tile) and image.getexif().get(EXIF_ORIENTATION, 1) != 1
    if getattr(image, "n_frames", 1) < 2 and not is_turned:
        return None
    place = image.fp.tell()
    try:
        image.fp.seek(0)
        return bytes(image.fp.read())
    finally:
        image.fp.seek(place)


def _from_pil(image: Any, name: str) -> Image:
    name = getattr(image, "filename", None) or name
    if image.mode == "LAB":
        raise ImageError(f"{name}: a PIL image of mode LAB, whose colours cannot be read correctly: convert it to RGB")
    try:
        image.load()
        if image.mode.startswith(("I", "F")):
            pixels = np.repeat(_numbers_of_pil(image, name)[..., None], 3, axis=2)
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


def _numbers_of_pil(image: Any, name: str) -> np.ndarray:
    """(H, W) uint8 of a gray image of more than 8 bits."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2 or (image.format == "PNG" and image.mode == "I"):  # I: of older Pillows
        return (values >> 8).astype(np.uint8)  # as OpenCV does
    rule = stored_as_uint8 if image.format else as_uint8  # of a file; made in a program
    try:
        return rule(values, name)
    except ValueError as error:
        raise ImageError(str(error)) from None


def _channels_of_pil(image: Any, channels: int, name: str) -> Image:
    """One channel, or RGB with alpha; Pillow has no others."""
    if channels == 1:
        return as_channels(_from_pil(image, name), 1, name)
    is_keyed = image.mode in ("P", "RGB") and "transparency" in image.info  # by colours; of gray, OpenCV passes it over
    if channels == 4 and (is_keyed or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")):
        colours = _from_pil(image, name)
        layer = image.convert("RGBA") if is_keyed else image
        alpha = np.asarray(layer.getchannel("A" if "A" in layer.getbands() else "a"))[..., None]
        return np.dstack((colours, upright(alpha, _orientation(image))))
    raise wrong_channels(getattr(image, "filename", None) or name, len(image.getbands()), channels)


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


def _from_array(array: np.ndarray, name: str, channels_first: bool, channels: int = 3) -> Image:
    """channels_first: how to read a shape that can be read both ways, (3, 20, 3)."""
    shape = array.shape
    if array.ndim == 3 and channels in (shape[0], shape[2]) and channels != 3:
        is_first = shape[0] == channels and (channels_first or shape[2] != channels)
        bands = array.transpose(1, 2, 0) if is_first else array
        if bands.size:
            return np.ascontiguousarray(as_uint8(bands, name))
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3:
        first, last = shape[0] in (1, 3, 4), shape[2] in (1, 2, 3, 4)
        if first and (channels_first or not last):
            array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        form = "(H, W), (3, H, W) or (H, W, 3)" if channels_first else "(H, W), (H, W, 3) or (3, H, W)"
        several = "; several, (N, ...), by themselves" if array.ndim == 4 else ""
        counts = "1, 3 or 4" if channels in (1, 3) else str(channels)
        raise ValueError(f"{name}: a picture has the shape {form}, with {counts} channels, not {shape}{several}")
    if channels not in (1, 3):
        raise wrong_channels(name, array.shape[2], channels)
    colours = array[..., :3] if array.shape[2] > 2 else array[..., :1]  # without alpha
    return np.ascontiguousarray(as_channels(as_uint8(colours, name), channels, name))
