"""Image files: reading them, and their size without reading all of them.

Every format OpenCV decodes is accepted, whatever the file's name ends in. Gray becomes three equal channels, alpha is
dropped, 16 bits are scaled to 8, CMYK is converted, the EXIF rotation is applied (once). The first picture of several
in a file is taken.
"""

import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.data.tiff import is_lab, is_premultiplied, undo_premultiplied, without_alpha

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".mpo"),
    *(".jpe", ".jfif", ".pjpeg", ".pjp", ".dib", ".pbm", ".pgm", ".pnm", ".ppm"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".wmv", ".mpg", ".mpeg", ".3gp", ".mts", ".m2ts", ".flv"),
)
UNFINISHED_SUFFIXES = (".crdownload", ".part", ".partial", ".download", ".opdownload")  # of browsers' downloads
# Pictures by their names that are not read: passed over, but counted and named.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".psd", ".psb", ".xcf", ".svg", ".tga", ".exr", ".hdr", ".dcm"),
    *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
    *(".pef", ".srw", ".x3f", ".3fr", ".erf", ".kdc", ".mrw", ".rwl", ".iiq", ".j2k", ".jpx", ".jpf", ".ico"),
    *VIDEO_SUFFIXES,
)
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # inside coded data, 0xff is followed by one of these instead
JPEG_NO_LENGTH = (0x01, 0xD8)  # markers without a segment: TEM, SOI
PNG_START = b"\x89PNG\r\n\x1a\n"
LFS_START = b"version https://git-lfs.github.com/spec/"
GIF_STARTS = (b"GIF87a", b"GIF89a")


class ImageError(ValueError):
    """A file that is no image, or not a whole one."""


def read_image(path: str | Path) -> Image:
    """Reads an image file.

    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        FileNotFoundError: no such file. ImageError: it cannot be decoded, or breaks off before its end.
    """
    try:
        data = Path(path).read_bytes()  # OpenCV's own reading fails on Windows for names beyond ASCII
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image file") from None
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str = "image") -> Image:
    """Decodes the bytes of an image file; ``name`` is what errors call it. See read_image."""
    if not data.strip(b"\0"):
        raise ImageError(f"{name}: the file is empty ({len(data)} bytes)")
    if is_lab(data):
        raise ImageError(f"{name}: a TIFF in L*a*b*, whose colours are not read rightly: convert it to RGB")
    image = _decode(data)
    # OpenCV 5 refuses a JPEG without its end; OpenCV 4 paints what is missing gray.
    if data.startswith(JPEG_START) and (image is None or not _has_end_marker(data)):
        image = _decode_without_end(data)
    if image is None:
        raise ImageError(f"{name}: {_why_unreadable(data)}")
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
    return np.ascontiguousarray(upright(image, _webp_orientation(data) or 1)) if is_webp else image


def _webp_orientation(data: bytes) -> int | None:
    """The EXIF orientation of a WebP image; see _orientation. Source: RFC 9649, chunks of kind, size and body."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            return _orientation(data[place + 8 : place + 8 + size].removeprefix(b"Exif\0\0"))
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


def _why_unreadable(data: bytes) -> str:
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
        return "this kind of TIFF or raw photograph is not read: save it with 8 or 16 bits a channel"
    start = data[:16].decode("ascii", "replace").replace("\ufffd", "?")
    return f"not an image that can be read (it begins with {start!r})"


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


def image_size(path: str | Path) -> Size:
    """Height and width as ``read_image`` would give them, and a check that the file is whole.

    JPEG and PNG, upright and undamaged, are answered from their headers; anything else is decoded.

    Raises:
        OSError: the file cannot be opened. ImageError: see read_image.
    """
    with open(path, "rb") as file:
        start = file.read(8)
        size = None
        if start.startswith(JPEG_START):
            size = _jpeg_size(file)
        elif start == PNG_START:
            size = _png_size(file)
    return size or Size(*read_image(path).shape[:2])


def advice(path: str | Path) -> str:
    """What to do with a file of a kind that is not read, by its name.

    >>> advice("a.heic"), advice("a.MP4"), advice("a.jpg.crdownload")
    ('convert it to JPEG', 'a video: save its frames as pictures', 'a download that was not finished: fetch it again')
    """
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "a video: save its frames as pictures"
    if suffix in UNFINISHED_SUFFIXES:
        return "a download that was not finished: fetch it again"
    return "convert it to JPEG" if suffix else "a picture without a suffix: give it one"


def looks_like_image(path: str | Path) -> bool:
    """Whether a file begins as pictures do, whatever its name ends in; False where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return (
        start.startswith((JPEG_START, PNG_START, b"GIF8", b"II*\0", b"MM\0*"))
        or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"))
    )


def _jpeg_size(file: BinaryIO) -> Size | None:
    """From the frame header; None where only decoding tells: rotated, unusual, or without an end marker."""
    file.seek(2)
    while True:
        marker = file.read(4)  # 0xff, kind, length (2 bytes, big endian, counting themselves)
        if len(marker) < 4 or marker[0] != 0xFF:
            return None
        kind, length = marker[1], int.from_bytes(marker[2:], "big")
        if kind == 0xE1 and not _is_upright(file.read(length - 2)):
            return None
        if kind in (0xC0, 0xC1, 0xC2):  # baseline, extended, progressive
            precision, height, width = struct.unpack(">BHH", file.read(5).ljust(5, b"\0"))
            whole = precision == 8 and height > 0 and width > 0 and _ends_with(file, JPEG_END)
            return Size(height, width) if whole else None
        if (0xC3 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC)) or kind == 0xDA:
            return None  # rare ways of coding, or data before any frame header
        if kind != 0xE1:
            file.seek(length - 2, 1)


def _ends_with(file: BinaryIO, end: bytes, tail: int = 4096) -> bool:
    """Whether a file ends with these bytes, zeros and line ends behind them aside."""
    file.seek(0, 2)
    file.seek(max(file.tell() - tail, 0))
    return file.read().rstrip(b"\0\r\n").endswith(end)


def _is_upright(segment: bytes) -> bool:
    """Whether an APP1 segment of a JPEG leaves the picture as it is: EXIF orientation 1, or none."""
    return not segment.startswith(b"Exif\0\0") or _orientation(segment[6:]) == 1


def _orientation(tiff: bytes) -> int | None:
    """The EXIF orientation, 1 where there is none; None where the directory cannot be read.

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
                return value
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


def _png_size(file: BinaryIO) -> Size | None:
    """From the header chunk; None where a chunk is damaged or missing, or may rotate the picture."""
    file.seek(len(PNG_START))
    size = None
    while True:
        head = file.read(8)  # length (big endian), kind
        if len(head) < 8:
            return None
        length, kind = struct.unpack(">I4s", head)
        body, checksum = file.read(length), file.read(4)
        if kind == b"eXIf" or len(checksum) < 4:
            return None
        is_critical = kind[:1].isupper()
        if is_critical and zlib.crc32(kind + body) != int.from_bytes(checksum, "big"):
            return None
        if kind == b"IHDR" and length == 13:
            width, height = struct.unpack_from(">II", body)
            size = Size(height, width)
        if kind == b"IEND":
            return size if size and min(size) > 0 else None


def exif_orientation(path: str | Path) -> int | None:
    """How a JPEG or PNG says that it is to be turned: 1 to 8 as EXIF counts, 1 where it does not say.

    Returns:
        None for other formats, and where the EXIF data cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(8)
        if start == PNG_START:
            return _png_orientation(file)
        return _jpeg_orientation(file) if start.startswith(JPEG_START) else None


def _jpeg_orientation(file: BinaryIO) -> int | None:
    file.seek(2)
    while True:
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] == 0xDA:
            return 1  # the picture begins, and nothing was said
        body = file.read(int.from_bytes(marker[2:], "big") - 2)
        if marker[1] == 0xE1 and body.startswith(b"Exif\0\0"):
            return _orientation(body[6:])


def _png_orientation(file: BinaryIO) -> int | None:
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return _orientation(file.read(length))
        file.seek(length + 4, 1)
    return 1
