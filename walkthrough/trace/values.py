"""What a value was at one moment: words, shape, statistics, and a bounded copy that nothing can change any more.

How it is made of an object is in observer.py (all of them), arrays.py (tensors and arrays) and containers.py.
"""

import re
from array import array
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

LARGE = 64 * 2**10  # bytes from which a copy is a large one: those are dropped first
MOST_SHOWN, LONGEST = 6, 60
ADDRESS = re.compile(r" (object )?at 0x[0-9a-fA-F]+|(?<= )\d{12,}\b")  # and what threads are numbered by


@dataclass(frozen=True)
class Stats:
    """Lowest, mean and highest of the finite values (of a complex tensor: of their magnitudes), and what is not so."""

    low: float
    mean: float
    high: float
    nan: int = 0
    inf: int = 0


class Copy:
    """A NumPy copy of a value, or of its beginning; array is None once it was dropped for later ones."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray | None) -> None:
        self.array = array


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """A value as it was.

    Attributes:
        kind: tensor, array, number, text, sequence, mapping, fields, module or other.
        type: the name of its class.
        text: one line of words, without addresses.
        shape, dtype, device: of tensors and arrays; shape is () for all others.
        stats: None where there is nothing to count.
        parts: what a container holds, by name, as far as it was looked into.
        copy: of tensors and arrays.
    """

    kind: str
    type: str
    text: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    stats: Stats | None = None
    parts: tuple[tuple[str, "Value"], ...] = ()
    copy: Copy | None = None

    @property
    def array(self) -> np.ndarray | None:
        """The copy: smaller than shape where the value was too large, None where there is none (any more)."""
        return self.copy.array if self.copy else None

    @property
    def complete(self) -> bool:
        """Whether the copy holds all of the value."""
        return self.array is not None and self.array.shape == self.shape

    @property
    def gone(self) -> bool:
        """Whether the copy, or the parts, were dropped for later ones."""
        return self.copy is not None and self.copy.array is None

    @property
    def remark(self) -> str:
        """What is missing from the copy, in words."""
        if self.copy is None or self.complete:
            return ""
        if self.array is None:
            return "the copy was dropped for later ones"
        return f"copied: the first {' x '.join(map(str, self.array.shape))} of {' x '.join(map(str, self.shape))}"

    def part(self, path: str) -> "Value | None":
        """The part of a container under a name such as "row", "0.row" or, of a key with dots, "0.fc.weight".

        None where there is none; the container itself under "", unless that is a key of it.
        """
        for key, part in sorted(self.parts, key=lambda part: -len(part[0])):  # "fc.weight" before "fc"
            if path == key:
                return part
            if path.startswith(f"{key}.") and (found := part.part(path[len(key) + 1 :])) is not None:
                return found
        return None if path else self

    def __repr__(self) -> str:
        return self.text


class Copies:
    """Keeps copies, and what containers hold, within a budget of bytes: the oldest large ones are dropped first, the
    oldest small ones where those take more than half of it.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.used, self.small, self.gave_way = budget, 0, 0, 0  # bytes; small: of used
        self._large: deque[tuple[Copy | Value, int]] = deque()
        self._small: deque[tuple[Copy | Value, int]] = deque()

    @property
    def largest(self) -> int:
        """Bytes of one copy: four of them always fit."""
        return self.budget // 4

    def keep(self, array: np.ndarray) -> Copy:
        """A copy of a tensor or array."""
        copy = Copy(array)
        self.keep_any(copy, array.nbytes)
        return copy

    def keep_any(self, kept: "Copy | Value", size: int) -> None:
        """A copy, or the Value of a container; size: bytes of what is new in it."""
        if size >= LARGE:
            self._large.append((kept, size))
        else:
            self._small.append((kept, size))
            self.small += size
        self.used += size
        while self.used > self.budget and len(self._large) + len(self._small) > 1:
            self._give_way()

    def _give_way(self) -> None:
        few = self.small <= self.budget // 2
        oldest, freed = (self._large if self._large and (few or not self._small) else self._small).popleft()
        self.used -= freed
        self.small -= freed if freed < LARGE else 0
        self.gave_way += 1
        if isinstance(oldest, Copy):
            oldest.array = None
        else:  # nobody but the recorder ever changes a Value
            object.__setattr__(oldest, "parts", ())
            object.__setattr__(oldest, "copy", Copy(None))


def number_text(value: Any) -> str:
    """
    >>> number_text(0.1 + 0.2), number_text(True), number_text(10**1000)
    ('0.3', 'True', 'int of 3322 bits')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"int of {value.bit_length()} bits"
    return f"{value:.6g}" if isinstance(value, float) else bounded(repr(value))


def key_text(key: Any) -> str:
    """The key of a mapping as the name of its part."""
    return bounded(key) if isinstance(key, str) else quoted(key)


def quoted(value: Any) -> str:
    """The repr of a value, a long one of words without building it in full."""
    cut = isinstance(value, str | bytes | bytearray | array) and len(value) > LONGEST
    return bounded(repr(value[:LONGEST])) + (" ..." if cut else "") if cut else bounded(repr(value))


def bounded(words: str, longest: int = LONGEST) -> str:
    """One line, without addresses, of bounded length.

    >>> bounded("<Thing object at 0x7f0011223344>")
    '<Thing>'
    """
    line = " ".join(ADDRESS.sub("", words[: 4 * longest]).split())
    return line if len(line) <= longest + 20 else line[: longest + 16].rstrip() + " ..."
