"""What operations on one map do to its cells: convolutions, pools, resizing, padding, slices, sums over dimensions.

Names are those of the ATen operations that a pass through any module comes down to. A rule gives None where it does not
know the call; ``walkthrough.layers.measure`` then finds out.
"""

from collections.abc import Callable
from typing import Any

import torch

from walkthrough.layers.calls import Call, Seen, each, map_of
from walkthrough.layers.cells import reflected, repeated, reversed_in
from walkthrough.layers.fields import (
    SAME,
    Rule,
    interpolated,
    nearest,
    pooled_to,
    shuffled,
    transposed,
    unshuffled,
    whole,
    whole_of,
    window,
)

aten = torch.ops.aten


def _pair(values: Any, default: int = 1) -> tuple[int, int]:
    """Of rows and columns, which are the last two of three."""
    values = [values] if isinstance(values, int) else list(values or [default])
    return (values[-2:][0], values[-1])


def _window(kernel: int, stride: int, padding: int, dilation: int) -> Rule:
    return SAME if (kernel, stride, padding) == (1, 1, 0) else window(kernel, stride, padding, dilation)


def _convolution(call: Call) -> Seen | None:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, ...)."""
    weight, settings = call.args[1], [_pair(call.args[index]) for index in (3, 4, 5)]
    if weight.ndim != 4:
        return None
    make = transposed if call.args[6] else _window
    return map_of(call, *(make(weight.shape[2 + axis], *(setting[axis] for setting in settings)) for axis in (0, 1)))


def _pool(call: Call) -> Seen:
    """max_pool2d_with_indices(input, kernel, stride, padding, dilation, ...); avg_pool2d has no dilation."""
    kernel = _pair(call.args[1])
    stride = _pair(call.get(2, "stride") or kernel)
    padding = _pair(call.get(3, "padding", 0), 0)
    dilation = call.get(4, "dilation", 1)
    dilation = (1, 1) if isinstance(dilation, bool) else _pair(dilation)  # avg_pool2d's fifth is ceil_mode
    return map_of(call, *(window(*axis) for axis in zip(kernel, stride, padding, dilation, strict=True)))


def _between(rule: Callable[..., Rule], scales: int | None = None) -> Callable[[Call], Seen]:
    """A rule that needs the number of cells before and after; and the scale, where the call gives one from there on."""

    def made(call: Call) -> Seen:
        before = call.seen.node.size
        after = [call.out.shape[dim] for dim in call.dims]
        if scales is None:
            return map_of(call, *(rule(*axis) for axis in zip(before, after, strict=True)))
        factors = call.get(scales, "scales_h"), call.get(scales + 1, "scales_w")
        return map_of(call, *(rule(*axis) for axis in zip(before, after, factors, strict=True)))

    return made


def _smooth(taps: int) -> Callable[[Call], Seen]:
    return lambda call: _between(lambda a, b, scale: interpolated(a, b, bool(call.args[2]), taps, scale), 3)(call)


def _shuffle(call: Call) -> Seen:
    return map_of(call, shuffled(call.args[1]), shuffled(call.args[1]))


def _unshuffle(call: Call) -> Seen:
    return map_of(call, unshuffled(call.args[1]), unshuffled(call.args[1]))


def _slice(call: Call) -> Seen:
    dim, start, step = call.axis_of(call.get(1, "dim", 0)), call.get(2, "start") or 0, call.get(4, "step", 1)
    if dim not in call.dims:
        return map_of(call, SAME, SAME)
    cells = call.args[0].shape[dim]
    start = min(max(start + cells if start < 0 else start, 0), cells)
    rule = SAME if (start, step, call.out.shape[dim]) == (0, 1, cells) else window(1, step, -start)
    return map_of(call, *(rule if axis == dim else SAME for axis in call.dims))


def _padded(call: Call) -> Seen:
    amounts = list(call.args[1])  # from the last dimension on: before, after, before, after ...
    before = {call.args[0].ndim - 1 - k // 2: amounts[k] for k in range(0, len(amounts), 2)}
    return map_of(call, *(window(1, 1, before[dim]) if before.get(dim) else SAME for dim in call.dims))


def _reduced(call: Call) -> Seen | None:
    """mean, sum, amax ... over some dimensions."""
    dims = call.get(1, "dim")
    over = range(call.args[0].ndim) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    over = {call.axis_of(dim) for dim in over}
    keep = call.out.ndim == call.args[0].ndim
    if not keep and over >= set(call.dims):
        return Seen(whole_of([call.seen.node], (1, 1), ""), None)
    if not keep:
        rows, cols = each(call.dims, lambda dim: dim - sum(other < dim for other in over))
        if call.dims[0] in over:  # one row of columns is left, which stands in one dimension
            return map_of(call, whole, SAME, dims=(cols, cols), size=(1, call.seen.node.size[1]))
        if call.dims[1] in over:
            return map_of(call, SAME, whole, dims=(rows, rows), size=(call.seen.node.size[0], 1))
        return map_of(call, SAME, SAME, dims=(rows, cols))
    return map_of(call, *(whole if dim in over else SAME for dim in call.dims))


def _norm(call: Call) -> Seen | None:
    """linalg_vector_norm(input, order, dimensions, ...)."""
    return _reduced(call._replace(args=(call.args[0], *call.args[2:])))


def _along(call: Call) -> Seen | None:
    """softmax, cumsum ... along one dimension: cells do not mix unless it is that of rows or columns."""
    return None if call.axis_of(call.get(1, "dim", -1)) in call.dims else map_of(call, SAME, SAME)


def _layer_norm(call: Call) -> Seen | None:
    normalised = range(call.args[0].ndim - len(call.args[1]), call.args[0].ndim)
    return None if set(normalised) & set(call.dims) else map_of(call, SAME, SAME)


def _same(call: Call) -> Seen | None:
    return map_of(call, SAME, SAME) if call.out.shape == call.args[0].shape else None


def _batch_norm(call: Call) -> Seen | None:
    """(input, weight, bias, running mean, running variance, training, ...); training: by the statistics of the map."""
    return None if call.get(5, "training") else _same(call)


def _strided(call: Call) -> Seen | None:
    """as_strided_ after pooling to one cell, which only changes the order in memory."""
    return map_of(call, SAME, SAME) if call.seen.node.size == (1, 1) and call.out.ndim == 4 else None


def _pool_3d(call: Call) -> Seen | None:
    """Of a map that stands in the last two of the dimensions, as in LocalResponseNorm."""
    return _pool(call) if call.dims == (call.out.ndim - 2, call.out.ndim - 1) else None


def _padded_by(rule: Callable[[int, int, int], Rule]) -> Callable[[Call], Seen | None]:
    """reflection_pad2d, replication_pad2d (input, [left, right, top, bottom])."""

    def made(call: Call) -> Seen | None:
        left, right, top, bottom = call.args[1]
        if call.dims != (call.out.ndim - 2, call.out.ndim - 1):
            return None
        rows, cols = call.seen.node.size
        return map_of(call, rule(rows, top, bottom), rule(cols, left, right))

    return made


def _turned(call: Call) -> Seen:
    """rot90(input, times, (one, other)): dimensions run the other way, and an odd turn swaps the two."""
    times, (one, other) = call.get(1, "k", 1) % 4, map(call.axis_of, call.get(2, "dims", (0, 1)))
    backwards = ((), (other,), (one, other), (one,))[times]
    size = call.seen.node.size
    rules = (reversed_in(cells) if dim in backwards else SAME for dim, cells in zip(call.dims, size, strict=True))
    swapped = {one: other, other: one} if times % 2 else {}
    return map_of(call, *rules, dims=each(call.dims, lambda dim: swapped.get(dim, dim)))


def _unfolded(call: Call) -> Seen:
    """im2col(input, kernel, dilation, padding, stride): the windows stand one behind another, row by row."""
    kernel, dilation, padding, stride = (_pair(values) for values in call.args[1:5])
    rules, size = [], []
    for k, cells in enumerate(call.seen.node.size):
        rules.append(_window(kernel[k], stride[k], padding[k], dilation[k]))
        size.append((cells + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1)
    last = call.out.ndim - 1
    return map_of(call, *rules, dims=(last, last), size=(size[0], size[1]))


def _folded(call: Call) -> Seen | None:
    """col2im(windows, size, kernel, dilation, padding, stride): each cell is the sum of the windows that hold it."""
    kernel, dilation, padding, stride = (_pair(values) for values in call.args[2:6])
    dims = (call.out.ndim - 2, call.out.ndim - 1)
    if call.dims != (call.args[0].ndim - 1,) * 2:
        return None
    rows, cols = (transposed(kernel[k], stride[k], padding[k], dilation[k]) for k in (0, 1))
    return map_of(call, rows, cols, dims=dims)


def _windows(call: Call) -> Seen | None:
    """unfold(input, dimension, size, step): the cells of each window go into a new last dimension."""
    dim, size, step = call.axis_of(call.args[1]), call.args[2], call.args[3]
    return map_of(call, *(_window(size, step, 0, 1) if axis == dim else SAME for axis in call.dims))


def _product(call: Call) -> Seen | None:
    """mm, bmm (input, weights): sums over the last dimension."""
    if call.args[0].ndim - 1 not in call.dims:
        return _unchanged(call)
    return Seen(whole_of([call.seen.node], (1, 1), ""), None) if call.seen.flat else None


def _unchanged(call: Call) -> Seen:
    return map_of(call, SAME, SAME)


_SAME_PLACES = (aten.clone, aten.detach, aten.alias, aten._to_copy, aten.lift_fresh, aten.channel_shuffle)
MAPS: dict[Any, Callable[[Call], Seen | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _pool,
    aten.avg_pool3d: _pool_3d,
    aten._adaptive_avg_pool2d: _between(pooled_to),
    aten.adaptive_max_pool2d: _between(pooled_to),
    aten.upsample_nearest2d: _between(nearest, 2),
    aten.upsample_bilinear2d: _smooth(1),
    aten.upsample_bicubic2d: _smooth(2),
    aten.pixel_shuffle: _shuffle,
    aten.pixel_unshuffle: _unshuffle,
    aten.constant_pad_nd: _padded,
    aten.reflection_pad2d: _padded_by(reflected),
    aten.replication_pad2d: _padded_by(repeated),
    aten.rot90: _turned,
    aten.im2col: _unfolded,
    aten.unfold: _windows,
    **dict.fromkeys((aten.native_batch_norm, aten.cudnn_batch_norm, aten.miopen_batch_norm), _batch_norm),
}
# Those that hold where rows and columns are in one dimension, too.
TOKENS: dict[Any, Callable[[Call], Seen | None]] = {
    aten.slice: _slice,
    aten.col2im: _folded,
    aten.native_layer_norm: _layer_norm,
    aten.as_strided_: _strided,
    **dict.fromkeys((aten.mm, aten.bmm, aten.addmm), _product),
    **dict.fromkeys((aten.mean, aten.sum, aten.amax, aten.amin, aten.var, aten.std, aten.max, aten.min), _reduced),
    aten.linalg_vector_norm: _norm,
    **dict.fromkeys((aten._softmax, aten._log_softmax, aten.cumsum, aten.glu), _along),
    **dict.fromkeys(_SAME_PLACES, _same),
    **dict.fromkeys((aten.fill_, aten.zero_), _same),  # less than before: never too little
    **dict.fromkeys((aten._native_batch_norm_legit_no_training, aten.native_dropout), _same),
}
