"""What operations do to the dimensions of a map: where its rows and columns are afterwards. Its cells stay apart."""

import math
from collections.abc import Callable
from typing import Any

import torch

from walkthrough.layers.calls import Call, Dims, Seen, broadcast, each, map_of, size_in
from walkthrough.layers.fields import SAME

aten = torch.ops.aten


def _reshaped(call: Call) -> Seen | None:
    """view: rows and columns are found again where as many elements stand before them, or behind them."""
    old, new = call.args[0].shape, tuple(call.out.shape)
    places: list[int] = []
    for dim in () if call.seen.flat else call.dims:
        before = math.prod(old[:dim])
        places += [k for k in range(len(new)) if new[k] == old[dim] and math.prod(new[:k]) == before][:1]
    dims: Dims = (places[0], places[1]) if len(set(places)) == 2 else None
    if dims is None and call.dims[1] - call.dims[0] in (0, 1):  # in memory the rows stand one behind another
        dims = _together(new, call.seen.node.size, math.prod(old[call.dims[1] + 1 :]))
    return map_of(call, SAME, SAME, dims=dims) if dims is not None else None


def _together(shape: tuple[int, ...], size: tuple[int, int], behind: int) -> Dims:
    """The two dimensions, or the one, that hold rows and columns with this many elements behind each cell."""
    after = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    pairs = [(k, k + 1) for k in range(len(shape) - 1) if shape[k : k + 2] == size and after[k + 1] == behind]
    single = [(k, k) for k in range(len(shape)) if after[k] == behind and shape[k] % math.prod(size) == 0]
    exact = [(k, m) for k, m in single if shape[k] == math.prod(size)]
    return next(iter((*pairs, *exact, *single)), None)


def _permuted(call: Call) -> Seen:
    order = [call.axis_of(dim) for dim in call.args[1]]
    return map_of(call, SAME, SAME, dims=each(call.dims, order.index))


def _swapped(call: Call) -> Seen:
    one, other = (call.axis_of(dim) for dim in (call.args[1:] or (0, 1)))
    return map_of(call, SAME, SAME, dims=each(call.dims, lambda dim: {one: other, other: one}.get(dim, dim)))


def _unsqueezed(call: Call) -> Seen:
    at = call.args[1] % call.out.ndim
    return map_of(call, SAME, SAME, dims=each(call.dims, lambda dim: dim + (dim >= at)))


def _selected(call: Call) -> Seen | None:
    at = call.axis_of(call.args[1])
    return None if at in call.dims else map_of(call, SAME, SAME, dims=each(call.dims, lambda dim: dim - (dim > at)))


def _expanded(call: Call) -> Seen:
    dims = each(call.dims, lambda dim: dim + call.out.ndim - call.args[0].ndim)
    size = size_in(tuple(call.out.shape), call.seen, dims)
    return map_of(call, *broadcast(call.seen, tuple(call.args[0].shape), size), dims=dims)


def _split(call: Call) -> Seen | None:
    """split, chunk: pieces along the channels, or any dimension but rows and columns."""
    same = all(call.out.shape[dim] == call.args[0].shape[dim] for dim in call.dims)
    return map_of(call, SAME, SAME) if same and call.out.ndim == call.args[0].ndim else None


DIMENSIONS: dict[Any, Callable[[Call], Seen | None]] = {
    aten.permute: _permuted,
    aten.transpose: _swapped,
    aten.unsqueeze: _unsqueezed,
    aten.select: _selected,
    aten.expand: _expanded,
    aten.split: _split,
    aten.split_with_sizes: _split,
    **dict.fromkeys((aten.view, aten._unsafe_view, aten._reshape_alias, aten.reshape, aten.squeeze), _reshaped),
}
