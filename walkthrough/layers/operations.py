"""What each of PyTorch's operations does to the cells of a map: which cells of its input an output cell reads.

An operation without a rule here counts as seeing the whole image: never too little, and named in
ReceptiveField.because. Names are those of the ATen operations that a pass through any module comes down to.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.layers.fields import (
    REPEATED,
    SAME,
    Node,
    Rule,
    interpolated,
    nearest,
    order_after,
    pooled_to,
    shuffled,
    transposed,
    unshuffled,
    whole,
    whole_of,
    window,
)

aten = torch.ops.aten
Dims = tuple[int, int] | None


class Seen(NamedTuple):
    """What is known of a tensor."""

    node: Node
    dims: Dims  # which of its dimensions are rows and columns; None: they were flattened away


class Call(NamedTuple):
    """One operation: its arguments, what it made, and what is known of the first tensor among its arguments."""

    args: tuple
    kwargs: Mapping[str, Any]
    out: Tensor
    seen: Seen
    dims: tuple[int, int]  # of seen, which has some

    def get(self, index: int, name: str, default: Any = None) -> Any:
        """An argument by position or by name."""
        return self.args[index] if len(self.args) > index else self.kwargs.get(name, default)

    def axis_of(self, dim: int) -> int:
        """A dimension of the first tensor, counted from the front."""
        return dim % max(self.args[0].ndim, 1)


def followed(func: Any, args: tuple, kwargs: Mapping, out: Tensor, known: list[tuple[Seen, tuple]]) -> Seen:
    """What the output of an operation sees."""
    name, rule = func.overloadpacket.__name__, _RULES.get(func.overloadpacket)
    if torch.Tag.pointwise in func.tags or func.overloadpacket in _JOINED:
        return _pointwise(out, known, name)
    if rule is not None and len(known) == 1 and (dims := known[0][0].dims) is not None:
        found = rule(Call(args, kwargs, out, known[0][0], dims))
        if found is not None:
            return found
    if func.overloadpacket in (aten.cat, aten.stack):
        return _joined(func, args, kwargs, out, known)
    return _unknown(out, known, name)


def _unknown(out: Tensor, known: list[tuple[Seen, tuple]], name: str) -> Seen:
    """Everything that any of the tensors saw. The name is given where that was less than the whole before."""
    nodes = list({id(seen.node): seen.node for seen, _ in known}.values())
    (first, shape), *_ = known
    if first.dims is None and len(nodes) == 1:
        return first
    dims = first.dims if out.ndim == len(shape) else None  # where they are does not matter: each cell sees everything
    size = (1, 1) if dims is None else (out.shape[dims[0]], out.shape[dims[1]])
    mixed = any(seen.dims is not None and seen.node.size != (1, 1) for seen, _ in known)
    because = name if mixed else ""
    return Seen(whole_of(nodes, size, because), dims)


def _made(call: Call, rows: Rule, cols: Rule, *, dims: Dims = None) -> Seen:
    """What a map becomes through a rule for its rows and one for its columns."""
    dims = dims or call.dims
    if rows is SAME and cols is SAME:
        return Seen(call.seen.node, dims)
    size = call.out.shape[dims[0]], call.out.shape[dims[1]]
    return Seen(Node(size, ((call.seen.node, rows, cols),), "", call.seen.node.order + 1), dims)


def _each(dims: tuple[int, int], moved: Callable[[int], int]) -> tuple[int, int]:
    """Where rows and columns are, each moved."""
    return moved(dims[0]), moved(dims[1])


# ---- several tensors of one grid -----------------------------------------------------------------------------------


def _pointwise(out: Tensor, known: list[tuple[Seen, tuple]], name: str) -> Seen:
    """Sums, products, activations: each cell reads the same cell of every tensor; axes of size 1 are repeated."""
    leading = [(seen.dims, out.ndim - len(shape)) for seen, shape in known if seen.dims is not None]
    places = {(dims[0] + more, dims[1] + more) for dims, more in leading}
    if len(places) != 1:  # none has rows and columns, or they stand in different places
        return _unknown(out, known, name)
    (dims,) = places
    size = out.shape[dims[0]], out.shape[dims[1]]
    return Seen(_merged([(seen, _broadcast(seen, shape, size)) for seen, shape in known], size), dims)


def _broadcast(seen: Seen, shape: tuple, size: tuple[int, int]) -> tuple[Rule, Rule]:
    if seen.dims is None:
        return whole, whole
    rows, cols = (REPEATED if shape[dim] == 1 < cells else SAME for dim, cells in zip(seen.dims, size, strict=True))
    return rows, cols


def _merged(parts: list[tuple[Seen, tuple[Rule, Rule]]], size: tuple[int, int]) -> Node:
    """One node for several paths; the node itself where there is but one and nothing moves."""
    distinct = {(id(seen.node), *map(id, rules)): (seen.node, *rules) for seen, rules in parts}
    sources = tuple(distinct.values())
    if len(sources) == 1 and sources[0][1] is SAME and sources[0][2] is SAME:
        return sources[0][0]
    return Node(size, sources, "", order_after([source for source, _, _ in sources]))


def _joined(func: Any, args: tuple, kwargs: Mapping, out: Tensor, known: list[tuple[Seen, tuple]]) -> Seen:
    """Concatenation along the channels, or any dimension but rows and columns; stacking along a new dimension."""
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.ndim
    places = {seen.dims for seen, _ in known}
    dims = known[0][0].dims
    if len(places) != 1 or dims is None or (func.overloadpacket is aten.cat and dim in dims):
        return _unknown(out, known, func.overloadpacket.__name__)
    if func.overloadpacket is aten.stack:
        dims = _each(dims, lambda d: d + (d >= dim))
    size = out.shape[dims[0]], out.shape[dims[1]]
    return Seen(_merged([(seen, (SAME, SAME)) for seen, _ in known], size), dims)


# ---- one map -------------------------------------------------------------------------------------------------------


def _pair(values: Any, default: int = 1) -> tuple[int, int]:
    values = [values] if isinstance(values, int) else list(values or [default])
    return (values[0], values[-1])


def _window(kernel: int, stride: int, padding: int, dilation: int) -> Rule:
    return SAME if (kernel, stride, padding) == (1, 1, 0) else window(kernel, stride, padding, dilation)


def _convolution(call: Call) -> Seen | None:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, ...)."""
    weight, settings = call.args[1], [_pair(call.args[index]) for index in (3, 4, 5)]
    if weight.ndim != 4:
        return None
    make = transposed if call.args[6] else _window
    return _made(call, *(make(weight.shape[2 + axis], *(setting[axis] for setting in settings)) for axis in (0, 1)))


def _pool(call: Call) -> Seen:
    """max_pool2d_with_indices(input, kernel, stride, padding, dilation, ...); avg_pool2d has no dilation."""
    kernel = _pair(call.args[1])
    stride = _pair(call.get(2, "stride") or kernel)
    padding = _pair(call.get(3, "padding", 0), 0)
    dilation = call.get(4, "dilation", 1)
    dilation = (1, 1) if isinstance(dilation, bool) else _pair(dilation)  # avg_pool2d's fifth is ceil_mode
    return _made(call, *(window(*axis) for axis in zip(kernel, stride, padding, dilation, strict=True)))


def _between(rule: Callable[..., Rule], scales: int | None = None) -> Callable[[Call], Seen]:
    """A rule that needs the number of cells before and after; and the scale, where the call gives one from there on."""

    def made(call: Call) -> Seen:
        before = call.seen.node.size
        after = [call.out.shape[dim] for dim in call.dims]
        if scales is None:
            return _made(call, *(rule(*axis) for axis in zip(before, after, strict=True)))
        factors = call.get(scales, "scales_h"), call.get(scales + 1, "scales_w")
        return _made(call, *(rule(*axis) for axis in zip(before, after, factors, strict=True)))

    return made


def _smooth(taps: int) -> Callable[[Call], Seen]:
    return lambda call: _between(lambda a, b, scale: interpolated(a, b, bool(call.args[2]), taps, scale), 3)(call)


def _shuffle(call: Call) -> Seen:
    return _made(call, shuffled(call.args[1]), shuffled(call.args[1]))


def _unshuffle(call: Call) -> Seen:
    return _made(call, unshuffled(call.args[1]), unshuffled(call.args[1]))


def _slice(call: Call) -> Seen:
    dim, start, step = call.axis_of(call.get(1, "dim", 0)), call.get(2, "start") or 0, call.get(4, "step", 1)
    if dim not in call.dims:
        return _made(call, SAME, SAME)
    cells = call.args[0].shape[dim]
    start = min(max(start + cells if start < 0 else start, 0), cells)
    rule = SAME if (start, step, call.out.shape[dim]) == (0, 1, cells) else window(1, step, -start)
    return _made(call, *(rule if axis == dim else SAME for axis in call.dims))


def _padded(call: Call) -> Seen:
    amounts = list(call.args[1])  # from the last dimension on: before, after, before, after ...
    before = {call.args[0].ndim - 1 - k // 2: amounts[k] for k in range(0, len(amounts), 2)}
    return _made(call, *(window(1, 1, before[dim]) if before.get(dim) else SAME for dim in call.dims))


def _reduced(call: Call) -> Seen | None:
    """mean, sum, amax ... over some dimensions."""
    dims = call.get(1, "dim")
    over = range(call.args[0].ndim) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    over = {call.axis_of(dim) for dim in over}
    keep = call.out.ndim == call.args[0].ndim
    if not keep:
        if over & set(call.dims):
            return None
        return _made(call, SAME, SAME, dims=_each(call.dims, lambda dim: dim - sum(other < dim for other in over)))
    return _made(call, *(whole if dim in over else SAME for dim in call.dims))


def _norm(call: Call) -> Seen | None:
    """linalg_vector_norm(input, order, dimensions, ...)."""
    return _reduced(call._replace(args=(call.args[0], *call.args[2:])))


def _along(call: Call) -> Seen | None:
    """softmax, cumsum ... along one dimension: cells do not mix unless it is that of rows or columns."""
    return None if call.axis_of(call.args[1]) in call.dims else _made(call, SAME, SAME)


def _layer_norm(call: Call) -> Seen | None:
    normalised = range(call.args[0].ndim - len(call.args[1]), call.args[0].ndim)
    return None if set(normalised) & set(call.dims) else _made(call, SAME, SAME)


def _same(call: Call) -> Seen | None:
    return _made(call, SAME, SAME) if call.out.shape == call.args[0].shape else None


def _batch_norm(call: Call) -> Seen | None:
    """(input, weight, bias, running mean, running variance, training, ...); training: by the statistics of the map."""
    return None if call.get(5, "training") else _same(call)


def _strided(call: Call) -> Seen | None:
    """as_strided_ after pooling to one cell, which only changes the order in memory."""
    return _made(call, SAME, SAME) if call.seen.node.size == (1, 1) and call.out.ndim == 4 else None


# ---- the same cells, other dimensions --------------------------------------------------------------------------------


def _reshaped(call: Call) -> Seen | None:
    """view: rows and columns are found again where as many elements stand before them."""
    old, new, places = call.args[0].shape, call.out.shape, []
    for dim in call.dims:
        before = math.prod(old[:dim])
        places += [k for k in range(len(new)) if new[k] == old[dim] and math.prod(new[:k]) == before][:1]
    return _made(call, SAME, SAME, dims=(places[0], places[1])) if len(set(places)) == 2 else None


def _permuted(call: Call) -> Seen:
    order = [call.axis_of(dim) for dim in call.args[1]]
    return _made(call, SAME, SAME, dims=_each(call.dims, order.index))


def _swapped(call: Call) -> Seen:
    one, other = (call.axis_of(dim) for dim in (call.args[1:] or (0, 1)))
    return _made(call, SAME, SAME, dims=_each(call.dims, lambda dim: {one: other, other: one}.get(dim, dim)))


def _unsqueezed(call: Call) -> Seen:
    at = call.args[1] % call.out.ndim
    return _made(call, SAME, SAME, dims=_each(call.dims, lambda dim: dim + (dim >= at)))


def _selected(call: Call) -> Seen | None:
    at = call.axis_of(call.args[1])
    return None if at in call.dims else _made(call, SAME, SAME, dims=_each(call.dims, lambda dim: dim - (dim > at)))


def _expanded(call: Call) -> Seen:
    dims = _each(call.dims, lambda dim: dim + call.out.ndim - call.args[0].ndim)
    size = call.out.shape[dims[0]], call.out.shape[dims[1]]
    return _made(call, *_broadcast(call.seen, tuple(call.args[0].shape), size), dims=dims)


def _split(call: Call) -> Seen | None:
    """split, chunk: pieces along the channels, or any dimension but rows and columns."""
    same = all(call.out.shape[dim] == call.args[0].shape[dim] for dim in call.dims)
    return _made(call, SAME, SAME) if same and call.out.ndim == call.args[0].ndim else None


_JOINED = {aten.copy_}  # in place, so that pointwise rules hold
_RULES: dict[Any, Callable[[Call], Seen | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _pool,
    aten._adaptive_avg_pool2d: _between(pooled_to),
    aten.adaptive_max_pool2d: _between(pooled_to),
    aten.upsample_nearest2d: _between(nearest, 2),
    aten.upsample_bilinear2d: _smooth(1),
    aten.upsample_bicubic2d: _smooth(2),
    aten.pixel_shuffle: _shuffle,
    aten.pixel_unshuffle: _unshuffle,
    aten.slice: _slice,
    aten.constant_pad_nd: _padded,
    aten.native_layer_norm: _layer_norm,
    aten.as_strided_: _strided,
    aten.permute: _permuted,
    aten.transpose: _swapped,
    aten.unsqueeze: _unsqueezed,
    aten.select: _selected,
    aten.expand: _expanded,
    aten.split: _split,
    aten.split_with_sizes: _split,
    **dict.fromkeys((aten.mean, aten.sum, aten.amax, aten.amin, aten.var, aten.std, aten.max, aten.min), _reduced),
    aten.linalg_vector_norm: _norm,
    **dict.fromkeys((aten._softmax, aten._log_softmax, aten.cumsum), _along),
    **dict.fromkeys((aten.view, aten._unsafe_view, aten._reshape_alias, aten.reshape, aten.squeeze), _reshaped),
    **dict.fromkeys((aten.clone, aten.detach, aten.alias, aten._to_copy, aten.lift_fresh), _same),
    **dict.fromkeys((aten.fill_, aten.zero_), _same),  # less than before: never too little
    **dict.fromkeys((aten.native_batch_norm, aten.cudnn_batch_norm, aten.miopen_batch_norm), _batch_norm),
    **dict.fromkeys((aten._native_batch_norm_legit_no_training, aten.native_dropout, aten.prelu), _same),
}
