"""What an operation or a module without a rule reads, measured: it is called again with noise in some rows or columns.

A derivative says the same in theory. In practice it is zero at a unit that a ReLU has shut, at all inputs but one of
a maximum, and behind everything that has no derivative (rounding, indices, code of others); a whole row of noise in all
channels gets through wherever anything does. What changes by less than rounding does not count.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from walkthrough.layers.calls import Dims, Seen
from walkthrough.layers.cells import found_in, tabulated
from walkthrough.layers.fields import REPEATED, Node, Rule, order_after, whole

ROUNDING = 16  # times the precision of the numbers, of the largest one
Again = Callable[[list[Tensor]], list[Tensor]]  # other tensors in place of those that are read -> the outputs


class Target(NamedTuple):
    """An output whose cells are asked for."""

    number: int
    dims: tuple[int, int]
    size: tuple[int, int]


def target_of(number: int, made: Tensor, dims: Dims, grid: Seen) -> Target | None:
    """An output whose rows and columns are at these dimensions; None where they cannot be there."""
    if dims is None or made.ndim <= max(dims) or not made.numel():
        return None
    if dims[0] != dims[1]:
        return Target(number, dims, (made.shape[dims[0]], made.shape[dims[1]]))
    size = grid.node.size
    return Target(number, dims, size) if made.shape[dims[0]] % (size[0] * size[1]) == 0 else None


def measured(again: Again, given: list[tuple[Tensor, Seen]], targets: list[Target]) -> list[Node | None] | None:
    """See ``_Probe.nodes``; None where the call does not work with other numbers, or gives other shapes.

    Args:
        again: makes the call. given: the tensors that it reads and that come from the image, each once.
    """
    if not targets or not any(seen.dims is not None for _, seen in given):
        return None
    try:
        with _same_chance(given[0][0]), torch.no_grad():
            return _Probe(again, given, targets).nodes()
    except Exception:  # whatever the code of others does with numbers that it did not expect
        return None


@contextlib.contextmanager
def _same_chance(tensor: Tensor) -> Iterator[None]:
    """Random numbers as before, afterwards."""
    devices = [tensor.device] if tensor.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


class _Probe:
    def __init__(self, again: Again, given: list[tuple[Tensor, Seen]], targets: list[Target]) -> None:
        self._again, self._given, self._targets = again, given, targets
        generator = torch.Generator().manual_seed(0)
        self._base = [_noise(tensor, generator) for tensor, _ in given]
        self._other = [_noise(tensor, generator) for tensor, _ in given]
        self._before = self._outputs(self._base)
        if any(_differs(*pair).any() for pair in zip(self._before, self._outputs(self._base), strict=True)):
            raise ValueError("it gives something else each time")

    def nodes(self) -> list[Node | None]:
        """What each target reads of each tensor; None where rows and columns do not go their own ways."""
        sources: list[list[tuple[Node, Rule, Rule]]] = [[] for _ in self._targets]
        mixed: set[int] = set()
        for index, (_, seen) in enumerate(self._given):
            axes = [self._rules(index, axis) for axis in (0, 1)]
            for k, (rows, cols) in enumerate(zip(*axes, strict=True)):
                sources[k].append((seen.node, rows, cols))
            both = {k for k, pair in enumerate(zip(*axes, strict=True)) if pair == (whole, whole)}
            mixed |= self._read_in_part(index, both) if both and seen.dims is not None else set()
        order = order_after([seen.node for _, seen in self._given])
        nodes = [Node(t.size, tuple(own), "", order) for t, own in zip(self._targets, sources, strict=True)]
        return [None if k in mixed else node for k, node in enumerate(nodes)]

    def _read_in_part(self, index: int, asked: set[int]) -> set[int]:
        """Which of these targets have a cell that a quarter of a tensor does not change, as after a shuffle."""
        _, seen = self._given[index]
        if seen.dims is None:
            return set()
        found = set()
        for quarter in itertools.product(*map(_halves, seen.node.size)):
            tensors = [tensor.clone() for tensor in self._base]
            noise = on_grid(self._other[index], seen.dims, seen.node.size)[quarter]
            on_grid(tensors[index], seen.dims, seen.node.size)[quarter] = noise
            outputs = self._outputs(tensors)
            for k in asked:
                target, differs = self._targets[k], _differs(self._before[k], outputs[k])
                cells = on_grid(differs, target.dims, target.size)
                found |= set() if bool(cells.reshape(*cells.shape[:2], -1).any(2).all()) else {k}
        return found

    def _rules(self, index: int, axis: int) -> list[Rule]:
        """Of each target, what it reads of one tensor along one axis."""
        _, seen = self._given[index]
        cells = seen.node.size[axis]
        everywhere = [REPEATED if cells == 1 else whole] * len(self._targets)
        if seen.dims is None:
            return everywhere
        ends = [self._changed(index, axis, [cell]) for cell in {0, cells - 1}]
        if all(changed.all() for found in ends for changed in found):
            return everywhere
        found = self._each(index, axis, cells)
        return [tabulated(*found_in(changed), cells) for changed in found]

    def _each(self, index: int, axis: int, cells: int) -> list[np.ndarray]:
        """(cells out, cells in) bool of each target: whether it changes with each cell.

        First blocks of cells, one after another; then single cells, in all blocks at once that no output cell reads
        two of.
        """
        size = int(np.ceil(np.sqrt(cells)))
        blocks = [range(start, min(start + size, cells)) for start in range(0, cells, size)]
        coarse = [self._changed(index, axis, list(block)) for block in blocks]  # [block][target] (cells out,)
        found = [np.zeros((target.size[axis], cells), bool) for target in self._targets]
        for group in _apart([np.concatenate(changed) for changed in coarse]):
            for offset in range(size):
                at = {number: blocks[number][offset] for number in group if offset < len(blocks[number])}
                for k, changed in enumerate(self._changed(index, axis, list(at.values())) if at else ()):
                    for number, cell in at.items():
                        found[k][:, cell] = changed & coarse[number][k]
        return found

    def _changed(self, index: int, axis: int, cells: list[int]) -> list[np.ndarray]:
        """Which cells (cells out,) of each target along the axis change with these cells of a tensor."""
        (_, seen), tensors = self._given[index], [tensor.clone() for tensor in self._base]
        if seen.dims is not None:  # _rules asks for no other
            noise = along(self._other[index], seen.dims, seen.node.size, axis)[cells]
            along(tensors[index], seen.dims, seen.node.size, axis)[cells] = noise
        found = []
        for target, before, after in zip(self._targets, self._before, self._outputs(tensors), strict=True):
            differs = along(_differs(before, after), target.dims, target.size, axis)
            found.append(differs.flatten(1).any(1).cpu().numpy())
        return found

    def _outputs(self, tensors: list[Tensor]) -> list[Tensor]:
        torch.manual_seed(0)
        made = self._again([tensor.clone() for tensor in tensors])  # it may write into them
        return [made[target.number].detach().clone() for target in self._targets]


def along(tensor: Tensor, dims: tuple[int, int], size: tuple[int, int], axis: int) -> Tensor:
    """A view with the rows, or the columns, as its first dimension; also where both are in one, row by row."""
    return on_grid(tensor, dims, size).movedim(axis, 0)


def on_grid(tensor: Tensor, dims: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """A view with the rows as its first dimension and the columns as its second."""
    if dims[0] != dims[1]:
        return tensor.movedim(dims, (0, 1))
    return tensor.unflatten(dims[0], (-1, *size)).movedim((dims[0] + 1, dims[0] + 2), (0, 1))


def _halves(cells: int) -> list[slice]:
    return [slice(0, -(-cells // 2)), slice(cells // 2, cells)]


def _apart(reached: Sequence[np.ndarray]) -> list[list[int]]:
    """The numbers of blocks in groups: no output cell is reached by two of a group."""
    groups: list[tuple[list[int], np.ndarray]] = []
    for number, cells in enumerate(reached):
        for members, taken in groups:
            if not (taken & cells).any():
                members.append(number)
                taken |= cells
                break
        else:
            groups.append(([number], cells.copy()))
    return [members for members, _ in groups]


def _noise(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers of the same kind and range."""
    if tensor.is_floating_point():
        finite = tensor[tensor.isfinite()].double()
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
        span = high - low if high > low else 1.0
        return (low + span * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)).to(tensor)
    chosen = torch.randint(tensor.numel(), tensor.shape, generator=generator)
    return tensor.flatten()[chosen.to(tensor.device)]  # numbers, complex or not, of which each may be an index


def _differs(before: Tensor, after: Tensor) -> Tensor:
    if before.shape != after.shape:
        raise ValueError(f"{tuple(before.shape)} became {tuple(after.shape)}")
    if not (before.is_floating_point() or before.is_complex()):
        return before != after
    both_nan = before.isnan() & after.isnan()
    finite = before[before.isfinite()].abs()
    rounding = ROUNDING * torch.finfo(before.dtype).eps * float(finite.max() if finite.numel() else 0.0)
    return ~both_nan & ~((before - after).abs() <= rounding)  # NaN or infinite: it differs


def put(value: Any, mapping: dict[int, Tensor]) -> Any:
    """Arguments with other tensors in them, by the id of those that they take the place of."""
    if isinstance(value, Tensor):
        return mapping.get(id(value), value)
    if isinstance(value, dict):
        return {key: put(part, mapping) for key, part in value.items()}
    if isinstance(value, list):
        return [put(part, mapping) for part in value]
    if isinstance(value, tuple):
        parts = [put(part, mapping) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
