"""Whether a value was changed in place since it was last looked at.

Tensors count their in-place changes (_version). What goes past the counter (.data, NumPy arrays on the same memory)
and NumPy arrays, which count nothing, are compared::

    tensors up to 4 KB on the CPU, arrays up to 64 KB      all bytes, after each line
    tensors and arrays up to 16 MB, together where they    all bytes after lines that name them; of arrays, 1,024
    are in one container                                   places spread over them after the others
    larger ones                                            arrays: 1,024 places spread over them
    lists, dicts, dataclasses and the like                 their first 1,000 members by identity, and as above the
                                                           first 32, those in them and in those; where that is more
                                                           than 256 containers, after lines that name them
    other objects                                          their repr, where it is short, after lines that name them

Whatever is given another name, or is returned, is compared in full or described anew.
"""

import zlib
from collections.abc import Callable
from operator import is_
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from walkthrough.trace.arrays import readable, same_content, tensor_pieces
from walkthrough.trace.containers import raw_members, size_of
from walkthrough.trace.values import LONGEST, Value

SMALL_TENSOR, SMALL_ARRAY, COMPARED, PLACES, WIDE = 4 * 2**10, 64 * 2**10, 16 * 2**20, 1024, 256
PLAIN = {torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
FIXED = (
    *(type(None), bool, int, float, complex, str, bytes, type, np.generic),
    *(ModuleType, FunctionType, BuiltinFunctionType),
)


class Watched:
    """A value of a recorded frame. Holds the object, so that no other can get its id, and its look at the time."""

    __slots__ = ("heavy", "look", "obj", "value")

    def __init__(self, obj: Any, value: Value | None = None, look: Any = None) -> None:
        self.obj, self.value, self.look = obj, value, look
        self.heavy = look is not None and look.heavy  # whether it matters if a line names it

    @property
    def described(self) -> Value:
        """Its value. What was only glanced at has none, and is never asked."""
        assert self.value is not None
        return self.value

    def changed(self, named: bool = True, bound: bool = False) -> bool:
        """Whether the object looks different now.

        named: the line that ran names it. bound: it gets a name, or is returned; what cannot be compared counts
            as changed.
        """
        if bound and self.value is not None and self.value.gone:
            return True
        look = self.look
        return look is not None and look.differs(self.obj, self.value, named, bound)


class TensorLook:
    """How a tensor looked: its version counter, place and shape, and, where it is small, its content."""

    __slots__ = ("content", "heavy", "mark", "mass", "plain")

    def __init__(self, tensor: Tensor) -> None:
        numbers = readable(tensor)
        self.plain = tensor.dtype in PLAIN and numbers
        self.mark, self.content = self._mark(tensor), self._content(tensor) if numbers else b""
        self.heavy = self.content is None and tensor.is_cpu and tensor.nbytes <= COMPARED
        self.mass = tensor.nbytes if self.heavy else 0

    def differs(self, tensor: Tensor, value: Value | None, named: bool, bound: bool) -> bool:
        if self.mark != self._mark(tensor):
            return True
        if self.content is not None:
            return self.content != b"" and self.content != self._content(tensor)
        return _copy_differs(tensor, value, bound) if bound or (named and self.heavy) else False

    def _mark(self, tensor: Tensor) -> tuple[Any, ...]:
        version = 0 if tensor.is_inference() else tensor._version
        shape = () if tensor.is_nested else tensor.shape
        return version, tensor.data_ptr() if self.plain else 0, shape, tensor.requires_grad

    def _content(self, tensor: Tensor) -> bytes | None:
        if not tensor.is_cpu or tensor.nbytes > SMALL_TENSOR:
            return None
        if self.plain:
            return tensor.detach().clone().numpy().tobytes()
        return b"".join(piece.tobytes() for piece in tensor_pieces(tensor))


class ArrayLook:
    """How an array looked: its content where it is small, otherwise some places of it, and a checksum where there is no
    Value to compare with.
    """

    __slots__ = ("checksum", "content", "form", "heavy", "mass", "small")

    def __init__(self, array: np.ndarray, described: bool) -> None:
        array = np.asarray(array)
        self.form, self.content = (array.shape, array.dtype), self._content(array)
        self.small = array.nbytes <= SMALL_ARRAY
        self.heavy = SMALL_ARRAY < array.nbytes <= COMPARED and not array.dtype.hasobject
        self.mass = array.nbytes if self.heavy else 0
        self.checksum = self._checksum(array) if self.heavy and not described else None

    def differs(self, array: np.ndarray, value: Value | None, named: bool, bound: bool) -> bool:
        array = np.asarray(array)
        if self.form != (array.shape, array.dtype) or self.content != self._content(array):
            return True
        if self.small or array.dtype.hasobject:
            return False
        if not bound and not (named and self.heavy):
            return False
        return _copy_differs(array, value, bound) if value is not None else self.checksum != self._checksum(array)

    @staticmethod
    def _checksum(array: np.ndarray) -> int:
        return zlib.adler32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    @staticmethod
    def _content(array: np.ndarray) -> bytes:
        if array.nbytes <= SMALL_ARRAY:
            return array.tobytes()
        return np.asarray(array.flat[:: -(-array.size // PLACES)]).tobytes()


def _copy_differs(obj: Any, value: Value | None, bound: bool) -> bool:
    same = same_content(obj, value) if value is not None else None
    return bound if same is None else not same


class Shown(NamedTuple):
    """A member of a container that is shown: its name and Value, and how it looked."""

    part: tuple[str, Value] | None
    watched: Watched


class MembersLook:
    """How a container looked: which members it had, and how each of those that are shown looked."""

    __slots__ = ("heavy", "inside", "mass", "members", "shown", "size", "weight", "wide")

    def __init__(self, members: list[Any], size: int, shown: list[Shown]) -> None:
        self.members, self.size, self.shown = members, size, shown
        self.inside = [each.watched for each in shown if each.watched.look is not None]
        looks = [watched.look for watched in self.inside]
        self.weight: int = 1 + sum(look.weight for look in looks if isinstance(look, MembersLook))
        self.wide = self.weight > WIDE
        self.mass = sum(look.mass for look in looks)  # bytes that a line which names it has compared
        self.heavy = self.wide or any(look.heavy for look in looks)

    def differs(self, obj: Any, value: Value | None, named: bool, bound: bool) -> bool:
        members = raw_members(obj) or []
        if size_of(obj, members) != self.size:
            return True
        if self.members and not (len(members) == len(self.members) and all(map(is_, members, self.members))):
            return True
        if self.wide and not (named or bound):
            return False
        named = named and self.mass <= COMPARED
        return any(watched.changed(named, bound) for watched in self.inside)


class WordsLook:
    """How an object looked of which only its words are known."""

    __slots__ = ("heavy", "text", "words_of")
    mass = 0

    def __init__(self, words_of: Callable[[Any], str], text: str, quick: bool = True) -> None:
        self.words_of, self.text = words_of, text
        self.heavy = quick and len(text) <= LONGEST  # a long repr may take long: not after lines that name it

    def differs(self, obj: Any, value: Value | None, named: bool, bound: bool) -> bool:
        return (bound or (named and self.heavy)) and self.words_of(obj) != self.text
