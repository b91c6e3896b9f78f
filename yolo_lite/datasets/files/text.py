"""Text files as they are found: with or without a byte order mark, with the line ends of any system."""

import re
from pathlib import Path

LINE_END = re.compile(r"\r\n|\n|\r")  # and no other: str.splitlines also cuts at form feeds and the like
UNREADABLE = "\ufffd"  # what stands for a byte that is not UTF-8
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),  # before UTF-16, whose mark it begins with
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def decode_text(data: bytes) -> str:
    """Bytes of a text file -> text: UTF-8, UTF-16 or UTF-32, by its byte order mark or by what it looks like.

    Bytes that are neither become U+FFFD each: where they stand, the caller knows what is lost.

    >>> decode_text("0 .5".encode("utf-16")), decode_text("0 .5".encode("utf-16-le")), decode_text(b"gr\\xf6n")
    ('0 .5', '0 .5', 'gr\\ufffdn')
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        # UTF-16 of lines, digits or blanks has zeros: without any, what looks like a mark is something else
        if data.startswith(mark) and (encoding == "utf-8-sig" or b"\0" in data) and _may_be(data, encoding):
            return data.decode(encoding, errors="replace")
    return data.decode(_without_mark(data), errors="replace")


def _may_be(data: bytes, encoding: str) -> bool:
    """The mark of UTF-32 is also that of UTF-16 before a zero, but hardly anything else is valid UTF-32."""
    if encoding != "utf-32":
        return True
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _without_mark(data: bytes) -> str:
    """UTF-16 of Latin letters and digits has a zero in every second byte, UTF-8 has none."""
    first, second = data[0::2].count(0), data[1::2].count(0)
    half = len(data) // 2
    if half and second > 0.6 * half and first <= 0.5 * second:
        return "utf-16-le"
    if half and first > 0.6 * half and second <= 0.5 * first:
        return "utf-16-be"
    return "utf-8"


def split_lines(text: str) -> list[str]:
    """The lines of a text, whichever system ended them.

    >>> split_lines("a\\r\\nb\\rc\\n")
    ['a', 'b', 'c']
    """
    lines = LINE_END.split(text)
    return lines[:-1] if lines[-1] == "" else lines


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file; see decode_text."""
    return split_lines(decode_text(Path(path).read_bytes()))


def not_utf8(path: str | Path, line: int, text: str) -> str:
    """The sentence about a line with bytes that are not UTF-8."""
    return (
        f"{path}:{line}: {text.strip()!r} is not UTF-8 (GBK or cp1252, perhaps, which cannot be distinguished): "
        "save the file as UTF-8"
    )
