"""Image files as RGB arrays. YOLOv5: `load_image`, `imread`.

Every format OpenCV decodes is accepted, whatever the file's name ends in. Gray becomes three equal channels, alpha is
dropped, 16 bits give their upper 8, floats are in [0, 1] (``stored_as_uint8``), CMYK is converted, the EXIF rotation is
applied (once). The first picture of several in a file is taken.
"""

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from yolo_lite._moved import moved_name
from yolo_lite.augment.objects import Image
from yolo_lite.images.arrays import stored_as_uint8
from yolo_lite.images.decoder_words import caught_words
from yolo_lite.images.tiff import PREMULTIPLIED, Page, read_tiff, undo_premultiplied, without_alpha
from yolo_lite.images.whole import GIF_STARTS, JPEG_END, JPEG_START, PNG_START, is_whole

READ_RGB: int = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # OpenCV knows it since 4.11
BGRA = (2, 1, 0, 3)  # where OpenCV has red, green, blue and alpha
LFS_START = b"version https://git-lfs.github.com/spec/"


class ImageError(ValueError):
    """A file that is not an image, or not a whole one."""


def read_image(path: str | Path) -> Image:
    """Reads an image file.

    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        FileNotFoundError: no such file. ImageError: it cannot be decoded, or breaks off before its end.
    """
    return decode_image(read_bytes(path), str(path))


def read_bytes(path: str | Path) -> bytes:
    """The bytes of an image file.

    Raises:
        FileNotFoundError: no such file.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # OpenCV's own reading fails on Windows for names beyond ASCII
            return file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image file") from None


def decode_image(data: bytes, name: str = "image") -> Image:
    """Decodes the bytes of an image file; ``name`` is what errors call it. See read_image."""
    require_content(data, read_tiff(data).pages[:1], name)
    if is_whole(data):
        image, words = _decode(data, name), ""
    else:
        with caught_words() as caught:
            image = (_decode_without_end if data.startswith(JPEG_START) else _decode)(data, name)
        words = f" (the decoder: {caught[0]})" if caught else ""
    if image is None:
        raise ImageError(f"{name}: {why_unreadable(data)}{words}")
    return image


def require_content(data: bytes, pages: Sequence[Page], name: str) -> None:
    """Raises ImageError for an empty file, and for pages of a TIFF whose colours would be wrong."""
    if not data.strip(b"\0"):
        raise ImageError(f"{name}: the file is empty ({len(data)} bytes)")
    if any(page.is_lab for page in pages):
        raise ImageError(f"{name}: a TIFF in L*a*b*, whose colours cannot be read correctly: convert it to RGB")


def _decode(data: bytes, name: str) -> Image | None:
    page = next(iter(read_tiff(data).pages), None)
    as_stored = page is not None and (page.alpha == PREMULTIPLIED or not page.is_usual)
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"  # whose rotation OpenCV 4 passes over
    how = cv2.IMREAD_UNCHANGED if as_stored else READ_RGB or cv2.IMREAD_COLOR
    how = how | cv2.IMREAD_IGNORE_ORIENTATION if is_webp else how
    try:
        bgr = cv2.imdecode(np.frombuffer(without_alpha(data), np.uint8), how)
    except cv2.error:  # more pixels than OpenCV allows, for example
        return None
    if bgr is None:
        return None
    if as_stored:
        bands = stored_bands(bgr, page.alpha if page else None, name)
        return np.ascontiguousarray(bands[..., :3] if bands.shape[2] > 2 else np.repeat(bands[..., :1], 3, axis=2))
    image = bgr if READ_RGB else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(upright(image, webp_orientation(data) or 1)) if is_webp else image


def stored_bands(page: np.ndarray, alpha: int | None, name: str) -> Image:
    """What OpenCV decodes as it is stored, gray, BGR or BGRA of any type -> (H, W, K) uint8: gray, RGB or RGBA.

    Args:
        alpha: its kind where the file says one, see tiff.Page.
    Raises:
        ImageError: numbers that are not pixels, see stored_as_uint8.
    """
    try:
        pixels = stored_as_uint8(page, name)
    except ValueError as error:
        raise ImageError(str(error)) from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if alpha == PREMULTIPLIED and pixels.shape[2] == 4:
        pixels = np.concatenate((undo_premultiplied(pixels), pixels[..., 3:]), axis=2)
    return pixels[..., BGRA[: pixels.shape[2]]] if pixels.shape[2] > 2 else pixels


def webp_orientation(data: bytes) -> int | None:
    """The EXIF orientation of a WebP image; see exif_orientation. Source: RFC 9649, chunks of kind, size and body."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            return exif_orientation(data[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0"))
        place += 8 + size + size % 2
    return 1


def _decode_without_end(data: bytes, name: str) -> Image | None:
    """A JPEG without its end marker: some cameras forget to write it, but mostly a download broke off.

    To tell one from the other, it is decoded with two different continuations. All pixels are there if neither of
    them changes anything.
    """
    stem = data[:-1] if data.endswith(b"\xff") else data  # half of the end marker
    image = _decode(stem + JPEG_END, name)
    for continuation in (b"\x55" * 64, b"\xaa\x31\x13\xe6" * 16):
        other = _decode(stem + continuation + JPEG_END, name)
        if image is None or other is None or not np.array_equal(image, other):
            return None
    return image


def why_unreadable(data: bytes) -> str:
    """Why OpenCV does not decode the bytes of an image file."""
    if data.startswith((JPEG_START, PNG_START)):
        return "the image is damaged or breaks off before its end: fetch or export it again"
    if data.startswith(GIF_STARTS):
        if cv2.haveImageWriter(".gif"):  # OpenCV reads and writes GIF since 4.11, where it was built with it
            return "the GIF is damaged: export it again"
        return f"a GIF, which OpenCV {cv2.__version__} does not read: convert it to PNG, or install a newer OpenCV"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "a HEIC photograph, which OpenCV does not read: convert it to JPEG"
    if data.startswith(LFS_START):
        return "a Git LFS pointer, not the picture itself: fetch it with `git lfs pull`"
    if data[:2] in (b"II", b"MM"):
        return (
            "this kind of TIFF or raw photograph is not read: save it with 8 or 16 bits a channel, and more than four "
            "channels as pages, or as .npy"
        )
    start = data[:16].decode("ascii", "replace").replace("\ufffd", "?")
    return f"not an image that can be read (it begins with {start!r})"


def exif_orientation(tiff: bytes) -> int | None:
    """The orientation in EXIF data, 1 where there is none; None where the directory cannot be read.

    YOLOv5: `exif_size`, `exif_transpose`.

    Source: EXIF 2.3, a TIFF header and a directory of 12-byte entries (tag, type, count, value); orientation is 0x0112.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "4xI", tiff)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value)
    except struct.error:  # a directory that breaks off: let the decoder judge
        return None
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, 3) as it is meant to be seen. Source: EXIF 2.3, tag 0x0112."""
    if orientation in (5, 6, 7, 8):  # the sides change places
        pixels = pixels.transpose(1, 0, 2)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::down, ::across]


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
