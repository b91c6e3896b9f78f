"""What each of PyTorch's operations does to the cells of a map: which cells of its input an output cell reads.

An operation without a rule is measured; where that cannot be done, it counts as seeing the whole image: never too
little, and named in ReceptiveField.because.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from walkthrough.layers.calls import Call, Seen, broadcast, each, size_in
from walkthrough.layers.dimensions import DIMENSIONS
from walkthrough.layers.fields import SAME, Node, Rule, order_after, whole, whole_of
from walkthrough.layers.maps import MAPS, TOKENS

aten = torch.ops.aten


def followed(
    func: Any, args: tuple, kwargs: Mapping, out: Tensor, known: list[tuple[Seen, tuple]], first: bool
) -> Seen | None:
    """What the output of an operation sees; None where no rule says so.

    Args:
        first: whether the first of the known tensors is what the operation is about, not its weights.
    """
    packet = func.overloadpacket
    if torch.Tag.pointwise in func.tags or packet in _CELL_BY_CELL:
        return _pointwise(out, known)
    if packet in (aten.cat, aten.stack):
        return _joined(func, args, kwargs, out, known)
    if packet is aten.bmm and len(known) == 2:
        return _attended(known[0][0], known[1][0])
    seen = known[0][0]
    if len(known) != 1 or seen.dims is None or not first:
        return _seen_before(known)
    rule = TOKENS.get(packet) or DIMENSIONS.get(packet) or (None if seen.flat else MAPS.get(packet))
    arguments = (args[1], args[2]) if packet is aten.addmm else args
    return rule(Call(arguments, kwargs, out, seen, seen.dims)) if rule else None


def _seen_before(known: list[tuple[Seen, tuple]]) -> Seen | None:
    """Where rows and columns are not to be found and there is but one source, it stays the whole of that."""
    (first, _), *_ = known
    alone = all(seen.dims is None and seen.node is first.node for seen, _ in known)
    return first if alone else None


def unknown(out: Tensor, known: list[tuple[Seen, tuple]], name: str) -> Seen:
    """Everything that any of the tensors saw. The name is given where that was less than the whole before."""
    nodes = list({id(seen.node): seen.node for seen, _ in known}.values())
    (first, shape), *_ = known
    dims = first.dims if out.ndim == len(shape) and not first.flat else None
    size = (1, 1) if dims is None else (out.shape[dims[0]], out.shape[dims[1]])
    mixed = any(seen.dims is not None and seen.node.size != (1, 1) for seen, _ in known)
    return Seen(whole_of(nodes, size, name if mixed else ""), dims)


def reads_first(func: Any, args: tuple, tensor: Tensor) -> bool:
    """Whether a tensor is what an operation is about: its first argument, of addmm its second."""
    place = 1 if func.overloadpacket is aten.addmm else 0
    return len(args) > place and args[place] is tensor


# ---- several tensors of one grid -----------------------------------------------------------------------------------


def _pointwise(out: Tensor, known: list[tuple[Seen, tuple]]) -> Seen | None:
    """Sums, products, activations: each cell reads the same cell of every tensor; axes of size 1 are repeated."""
    leading = [(seen.dims, out.ndim - len(shape)) for seen, shape in known if seen.dims is not None]
    places = {(dims[0] + more, dims[1] + more) for dims, more in leading}
    if len(places) != 1:  # none has rows and columns, or they stand in different places
        return _seen_before(known)
    (dims,) = places
    if max(dims) >= out.ndim:  # log_sigmoid_forward keeps a buffer of no size
        return None
    largest = max((seen for seen, _ in known if seen.dims is not None), key=lambda seen: seen.node.size)
    size = size_in(tuple(out.shape), largest, dims)
    return Seen(_merged([(seen, broadcast(seen, shape, size)) for seen, shape in known], size), dims)


def _merged(parts: list[tuple[Seen, tuple[Rule, Rule]]], size: tuple[int, int]) -> Node:
    """One node for several paths; the node itself where there is but one and nothing moves."""
    distinct = {(id(seen.node), *map(id, rules)): (seen.node, *rules) for seen, rules in parts}
    sources = tuple(distinct.values())
    if len(sources) == 1 and sources[0][1] is SAME and sources[0][2] is SAME:
        return sources[0][0]
    return Node(size, sources, "", order_after([source for source, _, _ in sources]))


def _joined(func: Any, args: tuple, kwargs: Mapping, out: Tensor, known: list[tuple[Seen, tuple]]) -> Seen | None:
    """Concatenation along the channels, or any dimension but rows and columns; stacking along a new dimension."""
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.ndim
    places = {seen.dims for seen, _ in known}
    dims = known[0][0].dims
    if len(places) != 1 or dims is None or (func.overloadpacket is aten.cat and dim in dims):
        return _seen_before(known)
    if func.overloadpacket is aten.stack:
        dims = each(dims, lambda d: d + (d >= dim))
    size = size_in(tuple(out.shape), known[0][0], dims)
    return Seen(_merged([(seen, (SAME, SAME)) for seen, _ in known], size), dims)


def _attended(left: Seen, right: Seen) -> Seen | None:
    """bmm of two maps of tokens, (B, M, K) and (B, K, P): scores of attention, or means of values by weights.

    Rows of the left one stay apart, or else columns of the right one, and each reads all of the other map.
    """
    if not {left.dims, right.dims} <= {(1, 1), (2, 2)}:
        return None
    same: tuple[Rule, Rule] = (SAME, SAME)
    every: tuple[Rule, Rule] = (whole, whole)
    if left.dims == (1, 1):
        kept, dims, rules = left, (1, 1), (same, every)
    elif right.dims == (2, 2):
        kept, dims, rules = right, (2, 2), (every, same)
    else:  # linear attention: sums over all places
        return None
    sources = tuple((seen.node, *axes) for seen, axes in zip((left, right), rules, strict=True))
    return Seen(Node(kept.node.size, sources, "", order_after([left.node, right.node])), dims)


# Those that PyTorch does not mark as pointwise; copy_ is in place, so that the rules for sums hold.
_CELL_BY_CELL = {
    *(aten.copy_, aten.hardswish, aten.hardswish_, aten.mish_, aten.threshold_, aten.prelu, aten._prelu_kernel),
    *(aten.rrelu_with_noise, aten.rrelu_with_noise_, aten.log_sigmoid_forward),
}
# What takes from a tensor its form alone.
FORM_ALONE = {
    *(aten.empty_like, aten.zeros_like, aten.ones_like, aten.full_like, aten.rand_like, aten.randn_like),
    *(aten.new_empty, aten.new_empty_strided, aten.new_zeros, aten.new_ones, aten.new_full, aten.randint_like),
}
