"""Whether a value was changed in place since it was last looked at.

Tensors count their in-place changes (_version). What goes past the counter (.data, NumPy arrays on the same memory)
and NumPy arrays, which count nothing, are compared:

    tensors up to 4 KB on the CPU, arrays up to 64 KB      all bytes, after each line
    arrays up to 16 MB                                     a checksum of all bytes after lines that name them,
                                                           1,024 places spread over them after the others
    larger arrays                                          1,024 places spread over them
    lists, dicts, dataclasses and the like                 their first 1,000 members by identity, and what is in the
                                                           first 16 of them as above
"""

import zlib
from collections import deque
from itertools import islice
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from walkthrough.trace.values import MOST_MEMBERS, Value, members_of, readable, size_of, tensor_pieces

SMALL_TENSOR, SMALL_ARRAY, CHECKED_ARRAY, PLACES = 4 * 2**10, 64 * 2**10, 16 * 2**20, 1024
LOOKED_INTO, DEEPEST = 16, 2
PLAIN = {torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
FIXED = (type(None), bool, int, float, complex, str, bytes, type, np.generic, nn.Module)


class Watched:
    """A value of a recorded frame. Holds the object, so that no other can get its id, and its look at the time."""

    __slots__ = ("heavy", "look", "obj", "value")

    def __init__(self, obj: Any, value: Value | None = None) -> None:
        self.obj, self.value = obj, value
        self.look = look_of(obj)
        self.heavy = self.look is not None and self.look.heavy  # whether it matters if a line names it

    def changed(self, named: bool = True) -> bool:
        """Whether the object looks different now; named: the line that ran names it."""
        look = self.look
        return look is not None and look.differs(self.obj, named)


def look_of(obj: Any, depth: int = 0) -> Any:
    """What a value looks like now; None where it cannot change, or only its attributes can."""
    if isinstance(obj, FIXED):
        return None
    try:
        if isinstance(obj, Tensor):
            return TensorLook(obj)
        if isinstance(obj, np.ndarray):
            return ArrayLook(obj)
        members = raw_members(obj) if depth < DEEPEST else None
        return None if members is None else MembersLook(obj, members, depth)
    except Exception:  # whatever a class of somebody else may do when it is looked at
        return None


class TensorLook:
    """How a tensor looked: its version counter, place and shape, and, where it is small, its content."""

    __slots__ = ("content", "mark", "plain")
    heavy = False

    def __init__(self, tensor: Tensor) -> None:
        self.plain = tensor.dtype in PLAIN and readable(tensor)
        self.mark, self.content = self._mark(tensor), self._content(tensor)

    def differs(self, tensor: Tensor, named: bool) -> bool:
        same = self.mark == self._mark(tensor)
        return not same or (self.content is not None and self.content != self._content(tensor))

    def _mark(self, tensor: Tensor) -> tuple[Any, ...]:
        version = 0 if tensor.is_inference() else tensor._version
        return version, tensor.data_ptr() if self.plain else 0, tensor.shape, tensor.requires_grad

    def _content(self, tensor: Tensor) -> bytes | None:
        if not tensor.is_cpu or tensor.nbytes > SMALL_TENSOR:
            return None
        if self.plain:
            return tensor.detach().clone().numpy().tobytes()
        return b"".join(piece.tobytes() for piece in tensor_pieces(tensor))


class ArrayLook:
    """How an array looked: its content where it is small, otherwise some places of it and a checksum."""

    __slots__ = ("checksum", "content", "form", "heavy")

    def __init__(self, array: np.ndarray) -> None:
        array = np.asarray(array)
        self.form, self.content = (array.shape, array.dtype), self._content(array)
        self.checksum = self._checksum(array) if SMALL_ARRAY < array.nbytes <= CHECKED_ARRAY else None
        self.heavy = self.checksum is not None

    def differs(self, array: np.ndarray, named: bool) -> bool:
        array = np.asarray(array)
        if self.form != (array.shape, array.dtype) or self.content != self._content(array):
            return True
        return named and self.checksum is not None and self.checksum != self._checksum(array)

    @staticmethod
    def _content(array: np.ndarray) -> bytes:
        if array.nbytes <= SMALL_ARRAY:
            return array.tobytes()
        return np.asarray(array.flat[:: -(-array.size // PLACES)]).tobytes()

    @staticmethod
    def _checksum(array: np.ndarray) -> int:
        return zlib.adler32(np.ascontiguousarray(array).reshape(-1).view(np.uint8)) if not array.dtype.hasobject else 0


class MembersLook:
    """How a container looked: which members it had, and how each of the first ones looked."""

    __slots__ = ("heavy", "inside", "members", "size")

    def __init__(self, obj: Any, members: list[Any], depth: int) -> None:
        self.size, self.members = size_of(obj, members), members
        looks = [(item, look_of(item, depth + 1)) for item in members[:LOOKED_INTO]]
        self.inside = [(item, look) for item, look in looks if look is not None]
        self.heavy = any(look.heavy for _, look in self.inside)

    def differs(self, obj: Any, named: bool) -> bool:
        members = raw_members(obj) or []
        if size_of(obj, members) != self.size or len(members) != len(self.members):
            return True
        if not all(map(is_, members, self.members)):
            return True
        return any(look.differs(item, named) for item, look in self.inside)


def raw_members(obj: Any) -> list[Any] | None:
    """The members of a container without their names, a mapping's keys before its values."""
    match obj:
        case tuple() | list() | deque() | set() | frozenset():
            base = next(kind for kind in (tuple, list, deque, set, frozenset) if isinstance(obj, kind))
            return list(islice(base.__iter__(obj), MOST_MEMBERS))
        case dict():
            return [*islice(dict.keys(obj), MOST_MEMBERS), *islice(dict.values(obj), MOST_MEMBERS)]
    named = members_of(obj)
    return None if named is None else [item for _, item in named]
