"""What OpenCV does not do with TIFF files: alpha is left out as it is of other files, and Lab is known for what it is.

OpenCV multiplies the colours of a TIFF with its alpha channel; of a PNG it drops the channel. The directory of each
page says which kind of alpha there is. Source: TIFF 6.0 (Adobe, 1992), sections 2 and 18; BigTIFF for files beyond
4 GB.
"""

import struct
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, EXTRA_SAMPLES, FORMAT = 256, 257, 258, 262, 277, 338, 339  # tags
DATA = ((273, 279), (324, 325))  # tags: where strips or tiles stand, and how long they are
LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # whole numbers by their type, as struct calls them
RGB, PALETTE, LABS = 2, 3, (8, 9, 10)  # values of PHOTOMETRIC; CIE, ICC and ITU L*a*b*
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # values of EXTRA_SAMPLES
UNSIGNED = 1  # value of FORMAT


class Page(NamedTuple):
    """What the directory of a page says."""

    size: tuple[int, int]  # height, width as stored
    is_gray: bool  # one channel that is not a palette
    is_lab: bool  # in L*a*b*, whose colours OpenCV gets wrong
    is_usual: bool  # unsigned whole numbers of at most 16 bits, of which OpenCV makes 8
    alpha: int | None  # the kind of alpha of a page in RGB, a value of EXTRA_SAMPLES; None where there is none
    alpha_place: int  # where that stands in the file


class Tiff(NamedTuple):
    """What the directories of a file say."""

    pages: tuple[Page, ...]  # none of other files
    is_whole: bool  # no directory breaks off, and what they name lies inside the file


class _Field(NamedTuple):
    kind: int
    length: int  # how many values
    place: int  # of the first value


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF or BigTIFF does.

    >>> is_tiff(bytes([77, 77, 0, 42])), is_tiff(b"not one")
    (True, False)
    """
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(data: bytes) -> Tiff:
    """The pages of a TIFF, as far as its directories can be read.

    >>> read_tiff(b"not a TIFF")
    Tiff(pages=(), is_whole=False)
    """
    directories, ends = _directories(data) if is_tiff(data) else ([], False)
    pages = tuple(_page(data, fields) for fields in directories)
    return Tiff(pages, ends and all(_is_inside(data, fields) for fields in directories))


def without_alpha(data: bytes) -> bytes:
    """The same file; of a TIFF with RGB and alpha one whose fourth channel is not called alpha, but just another.

    >>> without_alpha(b"not a TIFF")
    b'not a TIFF'
    """
    places = [page.alpha_place for page in read_tiff(data).pages if page.alpha == STRAIGHT]
    if not places:
        return data
    changed = bytearray(data)
    for place in places:
        struct.pack_into("H", changed, place, UNSPECIFIED)  # 0: the same in either byte order
    return bytes(changed)


def undo_premultiplied(pixels: np.ndarray) -> np.ndarray:
    """Colours as they were before alpha was multiplied in, black where nothing is left of them.

    Args:
        pixels: (H, W, 4) uint8, alpha last.
    Returns:
        (H, W, 3) uint8.

    >>> undo_premultiplied(np.array([[[20, 0, 40, 102]]], np.uint8))
    array([[[ 50,   0, 100]]], dtype=uint8)
    """
    values = pixels.astype(np.int64)
    colours, alpha = values[..., :3], values[..., 3:]
    straight = np.where(alpha > 0, colours * 255 // np.maximum(alpha, 1), 0)
    return straight.clip(0, 255).astype(np.uint8)


def _directories(data: bytes) -> tuple[list[dict[int, _Field]], bool]:
    """The fields of each page by their tags, and whether the last directory is reached."""
    order, is_big = _order(data), b"+" in data[2:4]
    offset, number, head = ("Q", "Q", "HHQ") if is_big else ("I", "H", "HHI")
    room = struct.calcsize(offset)  # bytes of values that stand in their entry
    places: set[int] = set()
    pages: list[dict[int, _Field]] = []
    try:
        (start,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
        while start and start not in places:
            places.add(start)
            pages.append({})
            (count,) = struct.unpack_from(order + number, data, start)
            entry = start + struct.calcsize(order + number)
            for _ in range(count):
                tag, kind, length = struct.unpack_from(order + head, data, entry)
                place = entry + struct.calcsize(order + head)
                entry = place + room
                if kind in LETTERS and length * struct.calcsize(order + LETTERS[kind]) > room:
                    (place,) = struct.unpack_from(order + offset, data, place)
                pages[-1][tag] = _Field(kind, length, place)
            (start,) = struct.unpack_from(order + offset, data, entry)
    except (struct.error, OverflowError):  # it breaks off: let the decoder judge
        return pages, False
    return pages, bool(pages)


def _page(data: bytes, fields: dict[int, _Field]) -> Page:
    def first(tag: int, default: int) -> int:
        return next(iter(_values(data, fields.get(tag), most=1)), default)

    photometric, extra = first(PHOTOMETRIC, -1), fields.get(EXTRA_SAMPLES)
    has_alpha = photometric == RGB and extra is not None and extra.length == 1
    return Page(
        size=(first(HEIGHT, 0), first(WIDTH, 0)),
        is_gray=first(SAMPLES, 1) == 1 and photometric != PALETTE,
        is_lab=photometric in LABS,
        is_usual=first(FORMAT, UNSIGNED) == UNSIGNED and first(BITS, 1) <= 16,
        alpha=first(EXTRA_SAMPLES, UNSPECIFIED) if has_alpha else None,
        alpha_place=extra.place if extra else 0,
    )


def _is_inside(data: bytes, fields: dict[int, _Field]) -> bool:
    """Whether all strips or tiles of a page lie inside the file."""
    for starts, lengths in DATA:
        if starts in fields and lengths in fields:
            places = zip(_values(data, fields[starts]), _values(data, fields[lengths]), strict=False)
            ends = [place + length for place, length in places]
            return len(ends) == fields[starts].length and max(ends, default=0) <= len(data)
    return False


def _values(data: bytes, field: _Field | None, most: int | None = None) -> tuple[int, ...]:
    """Whole numbers; none where they are of another type, or lie outside of the file."""
    if field is None or field.kind not in LETTERS:
        return ()
    count = field.length if most is None else min(field.length, most)
    layout = f"{_order(data)}{count}{LETTERS[field.kind]}"
    is_inside = count <= len(data) and field.place + struct.calcsize(layout) <= len(data)
    return struct.unpack_from(layout, data, field.place) if is_inside else ()


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"
