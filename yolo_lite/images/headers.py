"""Size and EXIF rotation of image files from their headers, and a check that the files are whole.

Written by hand, and not with Pillow, whose headers say less than is needed here: it accepts lossless
JPEG, which OpenCV may not decode, believes a rotation that only XMP gives (OpenCV applies EXIF's), and warns of damaged
EXIF data without the file's name.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from yolo_lite.images.reading import exif_orientation, read_image
from yolo_lite.images.whole import JPEG_END, JPEG_START, PNG_START, png_chunks

EXIF_START = b"Exif\0\0"
APP1, START_OF_SCAN = 0xE1, 0xDA  # JPEG markers
USUAL_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; others are rare, and for the decoder to judge


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


class Header(NamedTuple):
    """What the header of an image file says."""

    size: Size | None  # None: the file is not whole, or only decoding shows it
    orientation: int | None  # EXIF's, 1 to 8, 1 where there is none; None: cannot be read, or another format


def image_size(path: str | Path) -> Size:
    """Height and width as ``read_image`` would give them, and a check that the file is whole.

    JPEG and PNG, upright and undamaged, are answered from their headers; anything else is decoded.
    YOLOv5: `verify_image_label`, `exif_size`.

    Raises:
        OSError: the file cannot be opened. ImageError: see read_image.
    """
    header = read_header(path)
    return header.size if header.size and header.orientation == 1 else Size(*read_image(path).shape[:2])


def read_header(path: str | Path) -> Header:
    """The header of a JPEG or PNG file; of another format, nothing is known.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        return header_of(file)


def header_of(file: BinaryIO) -> Header:
    """See read_header; of an open file, from its beginning."""
    start = file.read(len(PNG_START))
    if start == PNG_START:
        return _png_header(file)
    return _jpeg_header(file) if start.startswith(JPEG_START) else Header(None, None)


def _jpeg_header(file: BinaryIO) -> Header:
    """Segments up to the coded data. Source: ITU-T T.81, B.1.1 and B.2.2."""
    size: Size | None = None
    orientation: int | None = 1
    has_exif = False
    file.seek(2)
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF and marker[1] != START_OF_SCAN:
        length = int.from_bytes(marker[2:], "big")  # counts its own two bytes
        body = file.read(max(length - 2, 0))
        if marker[1] == APP1 and body.startswith(EXIF_START) and not has_exif:
            orientation, has_exif = exif_orientation(body.removeprefix(EXIF_START)), True
        elif marker[1] in USUAL_FRAMES:
            precision, height, width = struct.unpack(">BHH", body[:5].ljust(5, b"\0"))
            size = Size(height, width) if precision == 8 and height and width else None
    return Header(size if size and _ends_with(file, JPEG_END) else None, orientation)


def _ends_with(file: BinaryIO, end: bytes, tail: int = 4096) -> bool:
    """Whether a file ends with these bytes, zeros and line ends behind them aside."""
    file.seek(0, 2)
    file.seek(max(file.tell() - tail, 0))
    return file.read().rstrip(b"\0\r\n").endswith(end)


def _png_header(file: BinaryIO) -> Header:
    """All chunks, with the checksums of those that matter. Source: W3C PNG, third edition, 5.3."""
    size: Size | None = None
    orientation: int | None = 1
    for kind, body in png_chunks(file):
        if kind == b"IHDR" and len(body) == 13:
            width, height = struct.unpack_from(">II", body)
            size = Size(height, width) if height and width else None
        elif kind == b"eXIf":
            orientation = exif_orientation(body)
        elif kind == b"IEND":
            return Header(size, orientation)
    return Header(None, orientation)
