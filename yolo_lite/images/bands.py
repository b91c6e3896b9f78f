"""Image files as arrays of as many channels as a network takes: 1 (gray), 3 (RGB), 4 (RGBA) or any number of bands.

A file is one channel after the other: gray, RGB, RGBA, the pages of a TIFF, the last axis of an ``.npy`` file. Gray
becomes three equal channels where three are asked for, alpha is dropped, colour becomes its luma where one is asked
for (BT.601, as OpenCV computes it). No other number of channels becomes another. Pages and the last axis of an ``.npy``
file are bands, not colours: none is dropped, and no luma is computed of them; a single one becomes three. Where three
channels are asked for, three gray pages of one size are these; of other TIFFs of several pages it is the first page.

Numbers become bytes by their type alone, so that a number is the same byte in every page and file: uint8 as they are;
uint16 their upper 8 bits (12 bits are to be multiplied by 16 before they are saved); bool 0 or 255; floats in [0, 1]
times 255; other whole numbers, which lie in [0, 255], as they are. Anything else is an error with what was found.

Shape letters: H W height and width of the image, K its channels in the file, C those asked for.
"""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.images.arrays import NPY_START, decode_npy, npy_header
from yolo_lite.images.decoder_words import caught_words
from yolo_lite.images.headers import Size, header_of, image_size
from yolo_lite.images.reading import (
    ImageError,
    decode_image,
    read_bytes,
    require_content,
    stored_bands,
    upright,
    webp_orientation,
    why_unreadable,
)
from yolo_lite.images.tiff import Page, is_tiff, read_tiff, without_alpha
from yolo_lite.images.whole import is_whole

RGB = 3  # channels of a colour picture


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
            return _unmixed(decode_npy(data, name), channels, name)
        except ImageError:
            raise
        except ValueError as error:
            raise ImageError(str(error)) from None
    pages = read_tiff(data).pages
    if (channels == 1 and len(pages) < 2) or (channels == RGB and not _are_three_bands(pages)):
        return as_channels(decode_image(data, name), channels, name)  # of equal channels, the luma is any of them
    bands = _decode_bands(data, pages, name)
    joined = np.ascontiguousarray(np.concatenate(bands, axis=2))
    return (_unmixed if len(bands) > 1 else as_channels)(joined, channels, name)


def _are_three_bands(pages: Sequence[Page]) -> bool:
    """Whether a TIFF has three gray pages of one size, besides pages of other sizes: previews."""
    same = [page for page in pages if page.size == pages[0].size]
    return len(same) == RGB and all(page.is_gray for page in same)


def _unmixed(bands: Image, channels: int, name: str) -> Image:
    """Bands, which are not colours: as many as are asked for, or one that becomes three."""
    if bands.shape[2] not in (1, channels):
        raise wrong_channels(name, bands.shape[2], channels)
    return as_channels(bands, channels, name)


def channels_size(path: str | Path, channels: int = RGB) -> Size:
    """Height and width as ``read_channels`` would give them, and a check that the file is whole; see image_size.

    JPEG, PNG and ``.npy`` are answered from their headers, which have the channels and the type of an ``.npy``, too.

    Raises:
        OSError: the file cannot be opened. ImageError: see read_channels.
    """
    with open(path, "rb") as file:
        start = file.read(len(NPY_START))
    if start == NPY_START:
        try:
            header = npy_header(path)
        except ValueError as error:
            raise ImageError(str(error)) from None
        _unmixed(np.zeros((1, 1, header.channels), np.uint8), channels, str(path))
        return Size(*header.shape[:2])
    if channels in (1, RGB) and not is_tiff(start):
        return image_size(path)
    return Size(*read_channels(path, channels).shape[:2])


def _decode_bands(data: bytes, pages: Sequence[Page], name: str) -> list[Image]:
    """All that a picture file holds, alpha too: of each page (H, W, K) uint8. Not pages of another size: previews.

    Args:
        pages: of a TIFF, as its directories say; none of other files.
    """
    require_content(data, pages, name)
    words: list[str] = []
    with contextlib.nullcontext(words) if is_whole(data) else caught_words() as words:
        decoded = _decode_pages(data)
    if not decoded or (pages and len(pages) != len(decoded)):
        raise ImageError(f"{name}: {why_unreadable(data)}" + (f" (the decoder: {words[0]})" if words else ""))
    alphas = [page.alpha for page in pages] or [None]
    bands = [
        stored_bands(page, alpha, name)
        for page, alpha in zip(decoded, alphas, strict=True)
        if page.shape[:2] == decoded[0].shape[:2]
    ]
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


def _orientation(data: bytes) -> int | None:
    """EXIF's, which OpenCV passes over where it keeps alpha; but not that of a TIFF, which it applies."""
    return webp_orientation(data) if data[:4] == b"RIFF" else header_of(io.BytesIO(data)).orientation
