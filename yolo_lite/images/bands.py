"""Image files as arrays of as many channels as a network takes: 1 (gray), 3 (RGB), 4 (RGBA) or any number of bands.

A file is one channel after the other: gray, RGB, RGBA, the pages of a TIFF, the last axis of an ``.npy`` file. Gray
becomes three equal channels where three are asked for, alpha is dropped, colour becomes its luma where one is asked
for (BT.601, as OpenCV computes it). No other number of channels becomes another. Shape letters: H W height and width
of the image, K its channels in the file, C those asked for.
"""

import io
from pathlib import Path

import cv2
import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.images.arrays import NPY_START, as_uint8, decode_npy, require_shape
from yolo_lite.images.headers import Size, header_of, image_size
from yolo_lite.images.reading import (
    ImageError,
    decode_image,
    read_bytes,
    upright,
    webp_orientation,
    why_unreadable,
)
from yolo_lite.images.tiff import count_pages, is_lab, is_premultiplied, is_tiff, undo_premultiplied, without_alpha

RGB, BGRA = 3, (2, 1, 0, 3)  # channels of a colour picture; where OpenCV has red, green, blue and alpha


def as_channels(pixels: np.ndarray, channels: int, name: str = "image") -> Image:
    """An image of K channels as one of C.

    Args:
        pixels: (H, W) or (H, W, K) uint8. channels: C. name: what the error calls it.
    Returns:
        (H, W, C) uint8; the array itself where it already is that.
    Raises:
        ImageError: K channels do not become C.

    >>> as_channels(np.full((1, 1, 3), (255, 0, 0), np.uint8), 1).tolist()
    [[[76]]]
    """
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    found = pixels.shape[2]
    if found == channels:
        return pixels
    if channels == 1 and found in (3, 4):
        return cv2.cvtColor(np.ascontiguousarray(pixels[..., :RGB]), cv2.COLOR_RGB2GRAY)[..., None]
    if channels == RGB and found == 1:
        return np.repeat(pixels, RGB, axis=2)
    if channels == RGB and found == 4:
        return np.ascontiguousarray(pixels[..., :RGB])
    raise wrong_channels(name, found, channels)


def wrong_channels(name: str, found: int, channels: int) -> ImageError:
    """The error about an image of another number of channels than the network takes."""
    return ImageError(f"{name}: has {found} channel{'s' * (found != 1)}, and {channels} are needed")


def as_picture(pixels: Image) -> Image:
    """An image of any number of channels as RGB, to be looked at: gray, or the first three of more.

    >>> as_picture(np.zeros((4, 6, 8), np.uint8)).shape
    (4, 6, 3)
    """
    return np.repeat(pixels[..., :1], RGB, axis=2) if pixels.shape[2] < RGB else pixels[..., :RGB]


def read_channels(path: str | Path, channels: int = RGB) -> Image:
    """Reads an image file: as ``read_image`` does, and ``.npy``, as (H, W, C) uint8.

    Raises:
        FileNotFoundError: no such file. ImageError: it cannot be decoded, or has another number of channels.
    """
    return decode_channels(read_bytes(path), channels, str(path))


def decode_channels(data: bytes, channels: int = RGB, name: str = "image") -> Image:
    """Decodes the bytes of an image file; ``name`` is what errors call it. See read_channels."""
    if data.startswith(NPY_START):
        try:
            return as_channels(decode_npy(data, name), channels, name)
        except ValueError as error:
            raise ImageError(str(error)) from None
    if channels == RGB or (channels == 1 and count_pages(data) < 2):
        return as_channels(decode_image(data, name), channels, name)  # of equal channels, the luma is any of them
    pages = _decode_bands(data, name)
    bands = np.ascontiguousarray(np.concatenate(pages, axis=2))
    if len(pages) > 1 and bands.shape[2] != channels:  # pages are no colours, of which a luma could be computed
        raise wrong_channels(name, bands.shape[2], channels)
    return as_channels(bands, channels, name)


def channels_size(path: str | Path, channels: int = RGB) -> Size:
    """Height and width as ``read_channels`` would give them, and a check that the file is whole; see image_size.

    Raises:
        OSError: the file cannot be opened. ImageError: see read_channels.
    """
    with open(path, "rb") as file:
        start = file.read(len(NPY_START))
    if start == NPY_START:
        return _npy_size(path, channels)
    is_plain = channels == RGB or (channels == 1 and not is_tiff(start))
    return image_size(path) if is_plain else Size(*read_channels(path, channels).shape[:2])


def _npy_size(path: str | Path, channels: int) -> Size:
    """From the header; the file has as many numbers as it says."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        require_shape(shape, str(path))
    except (ValueError, EOFError) as error:
        text = str(error)
        raise ImageError(text if text.startswith(str(path)) else f"{path}: an .npy file: {error}") from None
    as_channels(np.zeros((1, 1, *shape[2:]), np.uint8), channels, str(path))
    return Size(*shape[:2])


def _decode_bands(data: bytes, name: str) -> list[Image]:
    """All that a picture file holds, alpha too: of each page (H, W, K) uint8. Not pages of another size: previews."""
    if not data.strip(b"\0"):
        raise ImageError(f"{name}: the file is empty ({len(data)} bytes)")
    if is_lab(data):
        raise ImageError(f"{name}: a TIFF in L*a*b*, whose colours cannot be read correctly: convert it to RGB")
    pages = _decode_pages(data)
    if not pages:
        raise ImageError(f"{name}: {why_unreadable(data)}")
    if is_premultiplied(data) and len(pages) == 1 and pages[0].ndim == 3 and pages[0].shape[2] == 4:
        alpha = as_uint8(pages[0][..., 3:], name)
        pages = [np.concatenate((undo_premultiplied(pages[0]), alpha), axis=2)]
    try:
        bands = [_in_order(page, name) for page in pages if page.shape[:2] == pages[0].shape[:2]]
    except ValueError as error:
        raise ImageError(str(error)) from None
    return [upright(page, _orientation(data) or 1) for page in bands]


def _decode_pages(data: bytes) -> list[np.ndarray]:
    """As OpenCV decodes them, of 8 or more bits; none where it cannot."""
    try:
        if is_tiff(data):
            whole, pages = cv2.imdecodemulti(np.frombuffer(without_alpha(data), np.uint8), cv2.IMREAD_UNCHANGED)
            return list(pages) if whole else []
        page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return []
    return [] if page is None else [page]


def _in_order(page: np.ndarray, name: str) -> Image:
    """OpenCV's gray, BGR or BGRA of any depth -> (H, W, K) uint8: gray, RGB or RGBA."""
    page = page[..., None] if page.ndim == 2 else page
    page = page[..., BGRA[: page.shape[2]]] if page.shape[2] >= RGB else page
    return (page >> 8).astype(np.uint8) if page.dtype == np.uint16 else as_uint8(page, name)


def _orientation(data: bytes) -> int | None:
    """EXIF's, which OpenCV passes over where it keeps alpha; but not that of a TIFF, which it applies."""
    return webp_orientation(data) if data[:4] == b"RIFF" else header_of(io.BytesIO(data)).orientation
