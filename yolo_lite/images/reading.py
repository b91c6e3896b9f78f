"""Image files as RGB arrays. YOLOv5: `load_image`, `imread`.

Every format OpenCV decodes is accepted, whatever the file's name ends in. Gray becomes three equal channels, alpha is
dropped, 16 bits are scaled to 8, CMYK is converted, the EXIF rotation is applied (once). The first picture of several
in a file is taken.
"""

import re
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from yolo_lite._moved import moved_name
from yolo_lite.augment.objects import Image
from yolo_lite.images.decoder_words import caught_words
from yolo_lite.images.tiff import is_lab, is_premultiplied, undo_premultiplied, without_alpha

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # inside coded data, 0xff is followed by one of these instead
JPEG_NO_LENGTH = (0x01, 0xD8)  # markers without a segment: TEM, SOI
PNG_START = b"\x89PNG\r\n\x1a\n"
LFS_START = b"version https://git-lfs.github.com/spec/"
GIF_STARTS = (b"GIF87a", b"GIF89a")


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
        return Path(path).read_bytes()  # OpenCV's own reading fails on Windows for names beyond ASCII
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image file") from None


def decode_image(data: bytes, name: str = "image") -> Image:
    """Decodes the bytes of an image file; ``name`` is what errors call it. See read_image."""
    if not data.strip(b"\0"):
        raise ImageError(f"{name}: the file is empty ({len(data)} bytes)")
    if is_lab(data):
        raise ImageError(f"{name}: a TIFF in L*a*b*, whose colours cannot be read correctly: convert it to RGB")
    # OpenCV 5 refuses a JPEG without its end; OpenCV 4 paints what is missing gray.
    is_jpeg, words = data.startswith(JPEG_START), ""
    image = None if is_jpeg and not _has_end_marker(data) else _decode(data)
    if is_jpeg and image is None:
        with caught_words() as caught:
            image = _decode_without_end(data)
        words = f" (the decoder: {caught[0]})" if caught else ""
    if image is None:
        raise ImageError(f"{name}: {why_unreadable(data)}{words}")
    return image


def _decode(data: bytes) -> Image | None:
    is_multiplied = is_premultiplied(data)
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"  # whose rotation OpenCV 4 passes over
    how = cv2.IMREAD_UNCHANGED if is_multiplied else cv2.IMREAD_COLOR
    how = how | cv2.IMREAD_IGNORE_ORIENTATION if is_webp else how
    try:
        bgr = cv2.imdecode(np.frombuffer(without_alpha(data), np.uint8), how)
    except cv2.error:  # more pixels than OpenCV allows, for example
        return None
    if bgr is None:
        return None
    if is_multiplied and bgr.ndim == 3 and bgr.shape[2] == 4:
        bgr = undo_premultiplied(bgr)
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(upright(image, webp_orientation(data) or 1)) if is_webp else image


def webp_orientation(data: bytes) -> int | None:
    """The EXIF orientation of a WebP image; see exif_orientation. Source: RFC 9649, chunks of kind, size and body."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            return exif_orientation(data[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0"))
        place += 8 + size + size % 2
    return 1


def _has_end_marker(data: bytes) -> bool:
    """Whether a JPEG goes on to its end marker, those of previews inside its headers aside.

    Source: ITU-T T.81, B.1.1.
    """
    place = len(JPEG_END)
    while found := JPEG_MARKER.search(data, place):
        kind, place = found[1][0], found.end()
        if kind == JPEG_END[1]:
            return True
        if kind not in JPEG_NO_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")
    return False


def _decode_without_end(data: bytes) -> Image | None:
    """A JPEG without its end marker: some cameras forget to write it, but mostly a download broke off.

    To tell one from the other, it is decoded with two different continuations. All pixels are there if neither of
    them changes anything.
    """
    stem = data[:-1] if data.endswith(b"\xff") else data  # half of the end marker
    image = _decode(stem + JPEG_END)
    for continuation in (b"\x55" * 64, b"\xaa\x31\x13\xe6" * 16):
        other = _decode(stem + continuation + JPEG_END)
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
