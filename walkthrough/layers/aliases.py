"""Tensors that share memory: what is written into one of them in place is seen through all of them.

``out[:, :, 2:] += x`` reaches PyTorch as a slice and a sum written into it, and the tensor that was
sliced does not learn of it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.weak import WeakIdKeyDictionary

from walkthrough.layers.calls import Seen
from walkthrough.layers.fields import SAME, Interval, Node, Rule, order_after, whole, whole_of

THROUGH_A_VIEW = "a write into a part of a tensor"


class Axis(NamedTuple):
    """Where the cells of a tensor lie along one dimension of the tensor that it is a part of."""

    dim: int  # of the whole
    start: int
    step: int


class Aliases:
    """All tensors of a pass, by the memory that they share. Keeps none of them alive."""

    def __init__(self) -> None:
        self._by_memory: dict[StorageWeakRef, WeakIdKeyDictionary] = {}

    def add(self, tensor: Tensor) -> None:
        """A tensor of the pass. Sparse and other tensors without memory of their own are left out."""
        try:
            memory = StorageWeakRef(tensor.untyped_storage())
        except (NotImplementedError, RuntimeError):
            return
        self._by_memory.setdefault(memory, WeakIdKeyDictionary())[tensor] = None

    def of(self, tensor: Tensor) -> list[Tensor]:
        """The tensors that share the memory of this one, and it itself."""
        self.add(tensor)
        try:
            return list(self._by_memory[StorageWeakRef(tensor.untyped_storage())])
        except (NotImplementedError, RuntimeError):
            return [tensor]


def written_by(func: Any, args: tuple, kwargs: Mapping[str, Any]) -> Iterator[Any]:
    """The arguments that an operation writes into."""
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[index] if index < len(args) else kwargs.get(argument.name)


def overwritten(other: Tensor, old: Seen | None, written: Tensor, seen: Seen, together: list[Tensor]) -> Seen:
    """What a tensor sees after another one that shares its memory was written into.

    Args:
        old: what it saw before, None: nothing of the image. seen: what the written one sees now.
        together: all tensors of that memory; the largest is taken for what the others are parts of.
    """
    dims = old.dims if old is not None else seen.dims if other.ndim == written.ndim else None
    nodes = [seen.node] if old is None else [old.node, seen.node]
    if dims is None or seen.dims is None or dims[0] == dims[1] or seen.flat:
        dims = None if dims is None or dims[0] == dims[1] else dims
        size = (1, 1) if dims is None else (other.shape[dims[0]], other.shape[dims[1]])
        return Seen(whole_of(nodes, size, THROUGH_A_VIEW), dims)
    size = (other.shape[dims[0]], other.shape[dims[1]])
    frame = max(together, key=lambda tensor: (tensor.numel(), tensor.ndim))
    rows, cols = (_rule(other, mine, written, its, frame) for mine, its in zip(dims, seen.dims, strict=True))
    if rows is SAME and cols is SAME and (old is None or old.node is seen.node):
        return Seen(seen.node, dims)
    sources = [] if old is None else [(old.node, SAME, SAME)]
    because = "" if rows is not whole and cols is not whole else THROUGH_A_VIEW
    return Seen(Node(size, (*sources, (seen.node, rows, cols)), because, order_after(nodes)), dims)


def _rule(other: Tensor, mine: int, written: Tensor, its: int, frame: Tensor) -> Rule:
    """Along one axis: which cells of the written tensor lie in the same memory as a cell of the other."""
    one, two = _axis(other, mine, frame), _axis(written, its, frame)
    if one is None or two is None or one.dim != two.dim or {other.dtype, written.dtype} != {frame.dtype}:
        return whole
    if one == two and other.shape[mine] == written.shape[its]:
        return SAME

    def rule(first: np.ndarray, last: np.ndarray) -> Interval:
        low, high = first * one.step + one.start - two.start, last * one.step + one.start - two.start
        return -(-low // two.step), high // two.step

    return rule


def _axis(tensor: Tensor, dim: int, frame: Tensor) -> Axis | None:
    """A dimension of a part, in steps of a dimension of the whole; None where it does not run along one."""
    left, found = int(tensor.storage_offset()) - int(frame.storage_offset()), None
    if left < 0:
        return None
    order = sorted((k for k in range(frame.ndim) if frame.shape[k] > 1), key=frame.stride, reverse=True)
    for k in order:
        stride = frame.stride(k)
        if not stride:
            return None
        start, left = divmod(left, stride)
        step, rest = divmod(tensor.stride(dim), stride)
        if found is None and step and not rest and start + step * (tensor.shape[dim] - 1) < frame.shape[k]:
            found = Axis(k, start, step)
    return found if not left else None
