"""What a value was at one moment: words, shape, statistics, and a bounded copy that nothing can change any more.

Nothing here touches the value itself: tensors are detached and cloned before NumPy sees them (numpy() would forbid the
owner to resize), containers are read past whatever their classes override, and a repr that raises is a value like any
other.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from inspect import isroutine
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PIECE = 64 * 2**20  # bytes that are looked at together
LARGE = 64 * 2**10  # bytes from which a copy is a large one: those give way first
DEEPEST, MOST_PARTS, MOST_SHOWN, MOST_MEMBERS, LONGEST, SHORT = 3, 32, 6, 1000, 60, 20
ADDRESS = re.compile(r" (object )?at 0x[0-9a-fA-F]+|(?<= )\d{12,}\b")  # and what threads are numbered by
Known = Callable[[Any], "Value | None"]


@dataclass(frozen=True)
class Stats:
    """Lowest, mean and highest of the finite values (of a complex tensor: of their magnitudes), and what is not so."""

    low: float
    mean: float
    high: float
    nan: int = 0
    inf: int = 0


class Copy:
    """A NumPy copy of a value, or of its beginning; array is None once it has given way to later ones."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray | None) -> None:
        self.array = array


@dataclass(frozen=True, eq=False)
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
    def remark(self) -> str:
        """What is missing from the copy, in words."""
        if self.copy is None or self.complete:
            return ""
        if self.array is None:
            return "the copy gave way to later ones"
        return f"copied: the first {' x '.join(map(str, self.array.shape))} of {' x '.join(map(str, self.shape))}"

    def part(self, path: str) -> "Value | None":
        """The part of a container under a name such as "row" or "0.row"; None where there is none."""
        found: Value | None = self
        for name in filter(None, path.split(".")):
            found = dict(found.parts).get(name) if found else None
        return found

    def __repr__(self) -> str:
        return self.text


class Copies:
    """Keeps copies within a budget of bytes: the oldest large ones give way first, then the oldest small ones."""

    def __init__(self, budget: int) -> None:
        self.budget, self.used, self.gave_way = budget, 0, 0
        self._large: deque[Copy] = deque()
        self._small: deque[Copy] = deque()

    @property
    def largest(self) -> int:
        """Bytes of one copy: four of them always fit."""
        return self.budget // 4

    def keep(self, array: np.ndarray) -> Copy:
        copy = Copy(array)
        (self._large if array.nbytes >= LARGE else self._small).append(copy)
        self.used += array.nbytes
        while self.used > self.budget:
            oldest = (
                self._large if len(self._large) > (array.nbytes >= LARGE) else self._small or self._large
            ).popleft()
            self.used -= oldest.array.nbytes if oldest.array is not None else 0
            oldest.array = None
            self.gave_way += 1
        return copy


def describe(value: Any, copies: Copies, known: Known = lambda _: None, depth: int = 0) -> Value:
    """A value in words and numbers, as it is now. Never raises.

    known: what has been described already and did not change since: parts of containers are looked up there first.
    """
    try:
        return _describe(value, copies, known, depth)
    except Exception as problem:  # a value that cannot be looked at must not stop the function it belongs to
        return Value("other", type(value).__name__, f"{type(value).__name__}, which raises {type(problem).__name__}")


def _describe(value: Any, copies: Copies, known: Known, depth: int) -> Value:
    kind = type(value).__name__
    match value:
        case Tensor():
            return _tensor(value, copies)
        case np.ndarray():
            return _array(kind, np.asarray(value), copies)
        case None | bool() | int() | float() | complex() | np.generic():
            return Value("number", kind, number_text(value))
        case ModuleType():
            return Value("other", kind, f"module {value.__name__}")
        case str() | bytes():
            return Value("text", kind, quoted(value))
        case nn.Module():
            count = sum(parameter.numel() for parameter in value.parameters())
            return Value("module", kind, f"{kind}, {count:,} parameters")
    members = members_of(value)
    if members is None:
        return Value("other", kind, bounded(repr(value)))
    return _container(value, members, copies, known, depth)


# -- tensors and arrays --------------------------------------------------------------------------------------------


def tensor_pieces(tensor: Tensor) -> Iterator[np.ndarray]:
    """A tensor's values as NumPy copies of bounded size, on the CPU; nothing where there is nothing to see."""
    if not readable(tensor):
        return
    tensor = tensor.detach()
    for piece in _pieces(tensor):
        piece = piece.resolve_conj().resolve_neg()
        small = piece.is_floating_point() and piece.dtype not in (torch.float64, torch.float32, torch.float16)
        yield (piece.float() if small else piece).clone().cpu().numpy()


def readable(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers of its own: no sparse or meta tensor, no stand-in of vmap, fake or quantized."""
    plain = tensor.layout is torch.strided and not tensor.is_quantized and tensor.device.type != "meta"
    stands_in = type(tensor).__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl  # FakeTensor and others
    if not plain or (stands_in and type(tensor) not in (Tensor, nn.Parameter)):
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.device.type != "cuda" or not torch.cuda.is_current_stream_capturing()  # a copy would end the capture


def _pieces(values: Any) -> Iterator[Any]:
    """Parts along the leading dimensions, each of at most PIECE bytes."""
    if values.nbytes <= PIECE or not len(values.shape):
        yield values
    elif len(values) == 1:
        yield from _pieces(values[0])
    else:
        step = max(1, len(values) * PIECE // values.nbytes)
        for start in range(0, len(values), step):
            yield from _pieces(values[start : start + step])


def _tensor(tensor: Tensor, copies: Copies) -> Value:
    dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    device, kind = str(tensor.device), type(tensor).__name__
    stats = array = None
    if not readable(tensor) or tensor.nbytes <= min(PIECE, copies.largest):
        for piece in tensor_pieces(tensor):  # one, or none
            stats, array = stats_of([piece]), piece
    else:
        stats = stats_of(tensor_pieces(tensor))
        for piece in tensor_pieces(beginning(tensor, copies.largest)):
            array = piece
    words = _array_text(shape, dtype, stats, array)
    words += "" if device == "cpu" else f", on {device}"
    words += ", carries gradient" if tensor.requires_grad else ""
    copy = copies.keep(array) if array is not None else None
    return Value("tensor", kind, words, shape, dtype, device, stats, copy=copy)


def _array(kind: str, array: np.ndarray, copies: Copies) -> Value:
    copy, stats = None, stats_of(_pieces(array))
    if not array.dtype.hasobject:
        kept = array if array.nbytes <= copies.largest else beginning(array, copies.largest)
        copy = copies.keep(np.array(kept))
    words = _array_text(array.shape, str(array.dtype), stats, copy.array if copy else None)
    return Value("array", kind, words, array.shape, str(array.dtype), "", stats, copy=copy)


def beginning(values: Any, room: int) -> Any:
    """The first entries along the leading dimensions, as many as fit into room bytes; all dimensions stay."""
    size = values.nbytes
    for dim, length in enumerate(values.shape):
        if size <= room:
            break
        fits = max(1, length * room // size)
        values = values[(slice(None),) * dim + (slice(0, fits),)]
        size = size // length * fits
    return values


def stats_of(pieces: Any) -> Stats | None:
    """Of all pieces together; None of nothing, of words and of what has no order."""
    low, high, total, count, nan, inf = np.inf, -np.inf, 0.0, 0, 0, 0
    for piece in pieces:
        if piece.dtype.kind not in "biufc" or not piece.size:
            continue
        values = np.abs(piece) if piece.dtype.kind == "c" else piece
        with np.errstate(all="ignore"):
            piece_low, piece_high = np.minimum.reduce(values, axis=None), np.maximum.reduce(values, axis=None)
            if not (np.isfinite(piece_low) and np.isfinite(piece_high)):
                nan, inf = nan + int(np.isnan(values).sum()), inf + int(np.isinf(values).sum())
                values = values[np.isfinite(values)]
                if not values.size:
                    continue
                piece_low, piece_high = values.min(), values.max()
            low, high = min(low, float(piece_low)), max(high, float(piece_high))
            total, count = total + float(np.add.reduce(values, axis=None, dtype=np.float64)), count + values.size
    if not count:
        return Stats(0.0, 0.0, 0.0, nan, inf) if nan or inf else None
    return Stats(low, total / count, high, nan, inf)


def _array_text(shape: tuple[int, ...], dtype: str, stats: Stats | None, array: np.ndarray | None) -> str:
    """Shape, type and range; the values themselves where they are few."""
    words = f"{shape} {dtype}"
    if array is not None and array.shape == shape and array.size <= MOST_SHOWN and array.ndim <= 1:
        shown = [number_text(value) for value in array.ravel().tolist()]
        return f"{dtype} {shown[0]}" if not shape else f"{words} [{', '.join(shown)}]"
    if stats is None:
        return words
    if dtype == "bool":
        return f"{words}, {round(stats.mean * int(np.prod(shape)))} True"
    unusual = "".join(f", {count} {name}" for count, name in ((stats.nan, "NaN"), (stats.inf, "inf")) if count)
    if stats.nan + stats.inf == int(np.prod(shape)):
        return words + unusual
    return f"{words}, {stats.low:.3g} to {stats.high:.3g}, mean {stats.mean:.3g}{unusual}"


# -- everything else -----------------------------------------------------------------------------------------------


def members_of(value: Any) -> list[tuple[str, Any]] | None:
    """What a container holds, by name, past what its class may override, as far as 1,000; None of what is none."""
    match value:
        case tuple() if hasattr(value, "_fields"):
            return list(zip(map(str, value._fields), tuple.__iter__(value), strict=False))
        case tuple() | list() | deque() | set() | frozenset():
            base = next(kind for kind in (tuple, list, deque, set, frozenset) if isinstance(value, kind))
            return [(str(index), item) for index, item in enumerate(islice(base.__iter__(value), MOST_MEMBERS))]
        case dict():
            return [(key_text(key), item) for key, item in islice(dict.items(value), MOST_MEMBERS)]
    if isinstance(value, type) or isroutine(value):
        return None
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name, None)) for f in fields(value)]
    if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):
        return [(name, item) for name, item in vars(value).items() if not name.startswith("_")]
    return None


def size_of(value: Any, members: list[tuple[str, Any]]) -> int:
    """How many members there are in all."""
    base = next((kind for kind in (tuple, list, deque, set, frozenset, dict) if isinstance(value, kind)), None)
    return base.__len__(value) if base else len(members)


def _container(value: Any, members: list[tuple[str, Any]], copies: Copies, known: Known, depth: int) -> Value:
    name = type(value).__name__
    count, most = size_of(value, members), MOST_PARTS if depth < DEEPEST else 0
    if isinstance(value, set | frozenset):  # they have no order of their own
        members = sorted(members, key=lambda member: quoted(member[1]))
    parts = tuple((key, known(item) or describe(item, copies, known, depth + 1)) for key, item in members[:most])
    kind = "mapping" if isinstance(value, dict) else "fields"
    if isinstance(value, list | tuple | deque | set | frozenset) and not hasattr(value, "_fields"):
        kind = "sequence"
    return Value(kind, name, _container_text(name, kind, parts, count), parts=parts)


def _container_text(name: str, kind: str, parts: tuple[tuple[str, Value], ...], count: int) -> str:
    few = parts[:MOST_SHOWN]
    short = [part.text if len(part.text) <= SHORT else _short(part) for _, part in few]
    more = ", ..." if count > len(few) else ""
    if kind == "sequence":
        same = {_short(part) for _, part in parts}
        if len(same) == 1 and 1 < count == len(parts) and any(len(part.text) > SHORT for _, part in parts):
            return f"{name} of {count} {same.pop()}"
        opening, closing = {"list": "[]", "tuple": "()", "set": "{}"}.get(name, (f"{name}(", ")"))
        return bounded(f"{opening}{', '.join(short)}{more}{',' if name == 'tuple' and count == 1 else ''}{closing}")
    between = ": " if kind == "mapping" else "="
    named = [f"{key}{between}{word}" for (key, _), word in zip(few, short, strict=True)]
    words = f"{', '.join(named)}{more}"
    return bounded(f"{{{words}}}" if name == "dict" else f"{name}({words})")


def _short(part: Value) -> str:
    return f"{part.shape} {part.dtype}" if part.kind in ("tensor", "array") else part.type


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
    cut = isinstance(value, str | bytes) and len(value) > LONGEST
    return bounded(repr(value[:LONGEST])) + (" ..." if cut else "") if cut else bounded(repr(value))


def bounded(words: str) -> str:
    """One line, without addresses, of bounded length.

    >>> bounded("<Thing object at 0x7f0011223344>")
    '<Thing>'
    """
    line = " ".join(ADDRESS.sub("", words[: 4 * LONGEST]).split())
    return line if len(line) <= LONGEST + 20 else line[: LONGEST + 16].rstrip() + " ..."
