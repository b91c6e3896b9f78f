"""Whether the bytes of a picture go on to their end, by its format's own marks, before a decoder looks at them.

Decoders print about what is damaged, to the terminal and without the file's name. Where this is known beforehand, what
they print is caught: see decoder_words.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from yolo_lite.images.tiff import is_tiff, read_tiff

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # inside coded data, 0xff is followed by one of these instead
JPEG_NO_LENGTH = (0x01, 0xD8)  # markers without a segment: TEM, SOI
PNG_START = b"\x89PNG\r\n\x1a\n"
GIF_STARTS, GIF_END = (b"GIF87a", b"GIF89a"), b";"
PNM = re.compile(rb"P([56])\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s")  # kind, width, height, maximum
BOXES = (b"ftyp", b"jP  ")  # the first box of AVIF and HEIC, and of JPEG 2000


def is_whole(data: bytes) -> bool:
    """Whether a picture has all that its format announces; True for formats that announce nothing.

    Marks and lengths only, and the checksums of a PNG: data that are wrong inside of the others are not seen.

    >>> is_whole(PNG_START), is_whole(b"P5 2 2 255 ....")
    (False, True)
    """
    if data.startswith(JPEG_START):
        return data.endswith(JPEG_END) or _has_end_marker(data)
    if data.startswith(PNG_START):
        return any(kind == b"IEND" for kind, _ in png_chunks(io.BytesIO(data)))
    if is_tiff(data):
        return read_tiff(data).is_whole
    if data.startswith(GIF_STARTS):
        return data.rstrip(b"\0").endswith(GIF_END)
    if data[:4] == b"RIFF":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if data[:2] == b"BM" and data[6:10] == bytes(4):  # four bytes that are reserved
        return len(data) >= max(int.from_bytes(data[2:6], "little"), 54)
    if head := PNM.match(data):
        kind, width, height, most = map(int, head.groups())
        return len(data) - head.end() >= width * height * (3 if kind == 6 else 1) * (2 if most > 255 else 1)
    return _has_all_boxes(data) if data[4:8] in BOXES else True


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk of a PNG, up to one that breaks off, or that matters and has a wrong checksum.

    Source: W3C PNG, third edition, 5.3.
    """
    file.seek(len(PNG_START))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        body, checksum = file.read(length), file.read(4)
        is_critical = kind[:1].isupper()
        if len(checksum) < 4 or (is_critical and zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big")):
            return
        yield kind, body


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


def _has_all_boxes(data: bytes) -> bool:
    """Source: ISO/IEC 14496-12, 4.2: a box begins with its length; 0: to the end of the file, 1: a long one follows."""
    place = 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length == 0:
            return True
        place += int.from_bytes(data[place + 8 : place + 16], "big") if length == 1 else length
        if length != 1 and length < 8:
            return False
    return place == len(data)
