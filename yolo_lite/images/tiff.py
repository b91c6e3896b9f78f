"""What OpenCV does not do with TIFF files: alpha is left out as it is of other files, and Lab is known for what it is.

OpenCV multiplies the colours of a TIFF with its alpha channel; of a PNG it drops the channel. The header says which
kind of alpha there is. Source: TIFF 6.0 (Adobe, 1992), sections 2 and 18; BigTIFF for files beyond 4 GB.
"""

import contextlib
import struct
from collections.abc import Iterator

import numpy as np

PHOTOMETRIC, EXTRA_SAMPLES = 262, 338  # tags
RGB, LABS = 2, (8, 9, 10)  # values of PHOTOMETRIC; CIE, ICC and ITU L*a*b*
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # values of EXTRA_SAMPLES
SHORT = 3  # the type of both


def is_lab(data: bytes) -> bool:
    """Whether the bytes are a TIFF in L*a*b*, whose colours OpenCV gets wrong.

    >>> is_lab(b"II*")
    False
    """
    places = _places(data)
    return PHOTOMETRIC in places and _value(data, places[PHOTOMETRIC]) in LABS


def is_premultiplied(data: bytes) -> bool:
    """Whether the bytes are a TIFF whose colours have been multiplied by alpha before they were saved.

    >>> is_premultiplied(b"II*")
    False
    """
    return _alpha(data) == PREMULTIPLIED


def without_alpha(data: bytes) -> bytes:
    """The same file; of a TIFF with RGB and alpha one whose fourth channel is not called alpha, but just another.

    >>> without_alpha(b"not a TIFF")
    b'not a TIFF'
    """
    if _alpha(data) != STRAIGHT:
        return data
    place = _places(data)[EXTRA_SAMPLES]
    return data[:place] + struct.pack("H", UNSPECIFIED) + data[place + 2 :]  # 0: the same in either byte order


def undo_premultiplied(pixels: np.ndarray) -> np.ndarray:
    """Colours as they were before alpha was multiplied in, black where nothing is left of them.

    Args:
        pixels: (H, W, 4) uint8 or uint16, alpha last.
    Returns:
        (H, W, 3) uint8.

    >>> undo_premultiplied(np.array([[[20, 0, 40, 102]]], np.uint8))
    array([[[ 50,   0, 100]]], dtype=uint8)
    """
    values = (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.int64)
    colours, alpha = values[..., :3], values[..., 3:]
    straight = np.where(alpha > 0, colours * 255 // np.maximum(alpha, 1), 0)
    return straight.clip(0, 255).astype(np.uint8)


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF or BigTIFF does.

    >>> is_tiff(bytes([77, 77, 0, 42])), is_tiff(b"not one")
    (True, False)
    """
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def count_pages(data: bytes) -> int:
    """The number of pages of a TIFF; 0 of other files.

    >>> count_pages(b"not a TIFF")
    0
    """
    if not is_tiff(data):
        return 0
    pointer, number, entry, order = (8, "Q", 20, _order(data)) if b"+" in data[2:4] else (4, "H", 12, _order(data))
    places: list[int] = []
    with contextlib.suppress(struct.error):  # it breaks off: let the decoder judge
        (place,) = struct.unpack_from(order + ("Q" if entry == 20 else "I"), data, pointer)
        while place and place not in places:
            (count,) = struct.unpack_from(order + number, data, place)
            places.append(place)
            after = place + struct.calcsize(order + number) + count * entry
            (place,) = struct.unpack_from(order + ("Q" if entry == 20 else "I"), data, after)
    return len(places)


def _alpha(data: bytes) -> int | None:
    """The kind of alpha of a TIFF in RGB; None where there is none."""
    places = _places(data)
    if PHOTOMETRIC not in places or EXTRA_SAMPLES not in places or _value(data, places[PHOTOMETRIC]) != RGB:
        return None
    return _value(data, places[EXTRA_SAMPLES])


def _places(data: bytes) -> dict[int, int]:
    """Where the values of the two tags stand in the first directory; empty for other files."""
    return dict(_entries(data)) if is_tiff(data) else {}


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Tag and place of the value, of the two tags where they hold one number."""
    order = _order(data)
    is_big = b"+" in data[2:4]
    pointer, number, head, step = (8, "Q", "HHQ", 20) if is_big else (4, "H", "HHI", 12)
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, pointer)
        (count,) = struct.unpack_from(order + number, data, start)
        start += struct.calcsize(order + number)
        for entry in range(start, start + count * step, step):
            tag, kind, length = struct.unpack_from(order + head, data, entry)
            if tag in (PHOTOMETRIC, EXTRA_SAMPLES) and kind == SHORT and length == 1:
                yield tag, entry + struct.calcsize(order + head)
    except (struct.error, OverflowError):  # a directory that breaks off: let the decoder judge
        return


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _value(data: bytes, place: int) -> int | None:
    return struct.unpack_from(_order(data) + "H", data, place)[0] if place + 2 <= len(data) else None
