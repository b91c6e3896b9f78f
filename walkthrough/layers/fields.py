"""Receptive fields: which pixels of the image a cell of a layer can see at most.

A pass through the network leaves a graph of nodes, one for each operation that moves or mixes cells (see
walkthrough.layers.follow); what has no rule is measured (walkthrough.layers.measure). A field is read off backwards:
from an interval of cells, the interval of cells that each operation before it read, down to the pixels. Rows and
columns go their own ways.

The numbers are those of Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks"
(Distill, doi 10.23915/distill.00021), extended to several paths: the field of a sum or a concatenation is the smallest
rectangle around the fields of its parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

FAR = 2**40  # beyond every pixel: an axis that is seen as a whole reaches from -FAR to FAR
Interval = tuple[np.ndarray, np.ndarray]  # first and last index, both included, of each of m cells: (m,) and (m,)
Rule = Callable[[np.ndarray, np.ndarray], Interval]  # an interval of output cells -> of the input cells they read


def window(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Rule:
    """Of a convolution or a pool: cell j reads kernel cells, dilation apart, from j * stride - padding on."""
    return lambda first, last: (first * stride - padding, last * stride - padding + dilation * (kernel - 1))


def transposed(kernel: int, stride: int, padding: int, dilation: int) -> Rule:
    """Of a transposed convolution: cell i writes to i * stride - padding + dilation * tap."""
    reach = padding - dilation * (kernel - 1)
    return lambda first, last: (-(-(first + reach) // stride), (last + padding) // stride)


def nearest(cells_in: int, cells_out: int, scale: float | None = None) -> Rule:
    """Of nearest-neighbour resizing: cell j reads cell floor(j * in / out); floor(j / scale) where a scale is given."""
    if scale and cells_out not in (cells_in, 2 * cells_in):
        step = np.float32(1 / scale)  # PyTorch counts in single precision here, whatever the precision of the map
        read = lambda cells: np.floor(cells.astype(np.float32) * step).astype(np.int64)  # noqa: E731
        return lambda first, last: (read(first), read(last))
    return lambda first, last: (first * cells_in // cells_out, last * cells_in // cells_out)


def interpolated(cells_in: int, cells_out: int, corners: bool, taps: int, scale: float | None = None) -> Rule:
    """Of bilinear (taps 1) and bicubic (taps 2) resizing: this many cells on either side of where cell j lies.

    Where it lies upon a cell, that one alone, though single precision may give a neighbour a weight of some 1e-7.
    """
    if scale and not corners and cells_out != scale * cells_in:  # then the grids do not end at the same place
        place = lambda cells: (cells + 0.5) / scale - 0.5  # noqa: E731
        return lambda first, last: (
            np.floor(place(first)).astype(np.int64) - (taps - 1),
            np.ceil(place(last)).astype(np.int64) + (taps - 1),
        )
    if corners:  # the corner cells of both grids lie upon each other
        above, below, shift = cells_in - 1, max(cells_out - 1, 1), 0
    else:
        above, below, shift = 2 * cells_in, 2 * cells_out, cells_in - cells_out  # (j + 1/2) in / out - 1/2

    def rule(first: np.ndarray, last: np.ndarray) -> Interval:
        low, high = first * above + shift, last * above + shift
        return low // below - (taps - 1), -(-high // below) + (taps - 1)

    return rule


def pooled_to(cells_in: int, cells_out: int) -> Rule:
    """Of adaptive pooling: cell j reads from floor(j * in / out) to ceil((j + 1) * in / out) - 1."""
    return lambda first, last: (first * cells_in // cells_out, -(-(last + 1) * cells_in // cells_out) - 1)


def shuffled(factor: int) -> Rule:
    """Of a pixel shuffle: factor x factor cells stood behind one another in one cell."""
    return lambda first, last: (first // factor, last // factor)


def unshuffled(factor: int) -> Rule:
    """Of the way back from a pixel shuffle."""
    return lambda first, last: (first * factor, last * factor + factor - 1)


def whole(first: np.ndarray, last: np.ndarray) -> Interval:
    """Every cell, wherever it is: global pooling, attention, normalisation over the map, flattening."""
    return np.full_like(first, -FAR), np.full_like(last, FAR)


SAME = window(1)
REPEATED = window(1, stride=0)  # one cell for all: an axis of size 1 that was broadcast


@dataclass(frozen=True, eq=False)
class Node:
    """What one operation made: how many cells, and from what. The image is the node without sources."""

    size: tuple[int, int]  # rows, columns
    sources: tuple[tuple["Node", Rule, Rule], ...] = ()  # what it read, by which rule for rows and for columns
    because: str = ""  # the operation that could not be followed, nor measured: the whole image is but a bound
    order: int = 0  # higher than that of every source


@dataclass(frozen=True)
class ReceptiveField:
    """What the cells of one output can see. ``print`` it for a line of words.

    Attributes:
        dims: which dimensions of the output are rows and columns; the same one twice where it holds both, row by row,
            as tokens do; None where they are not to be found.

    >>> from torch import nn, zeros
    >>> from walkthrough import record_layers
    >>> records = record_layers(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)), zeros(1, 3, 32, 32))
    >>> records[1].receptive_field
    7 x 7 pixels, every 2 pixels
    >>> records[1].receptive_field.of(0, 5)  # half of it lies outside of the picture
    (7, 0, 14, 4)
    """

    node: Node = field(repr=False)
    image: Node = field(repr=False)
    dims: tuple[int, int] | None = None

    @cached_property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width in pixels, borders left out of account; None: the whole image, however large.

        Where ``because`` is not empty they are unknown, and these are bounds.
        """
        return self._axis(0)[0], self._axis(1)[0]

    @cached_property
    def stride(self) -> tuple[float, float]:
        """By how many pixels the field moves from one cell to the next, down and to the right; 0: not at all."""
        return self._axis(0)[1], self._axis(1)[1]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.node.size

    @property
    def because(self) -> str:
        """The operations that could be neither followed nor measured; "" where the field is known."""
        return ", ".join(sorted({node.because for node in unknown_in(self.node)}))

    def of(self, row: int, col: int) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in pixels of the image: what lies outside is zero padding and cannot be seen.

        All zeros for a cell that sees nothing but padding. Raises ValueError for a cell that is not there.
        """
        rows, cols = self.grid
        if not (0 <= row < rows and 0 <= col < cols):
            raise ValueError(f"there is no cell ({row}, {col}) in {rows} rows and {cols} columns")
        (y1, y2), (x1, x2) = (self.seen(axis, np.array([cell])) for axis, cell in ((0, row), (1, col)))
        if y1[0] > y2[0] or x1[0] > x2[0]:
            return 0, 0, 0, 0
        return int(x1[0]), int(y1[0]), int(x2[0]) + 1, int(y2[0]) + 1

    def seen(self, axis: int, cells: np.ndarray, borders: bool = True) -> Interval:
        """First and last pixel (m,) that each of m cells sees along an axis: 0 for rows, 1 for columns.

        Args:
            borders: as in this image. Without: as in an endless one, where there is no padding.
        """
        found = {id(self.node): (self.node, cells.astype(np.int64), cells.astype(np.int64))}
        while self.image is not (latest := max(found.values(), key=lambda entry: entry[0].order))[0]:
            node, first, last = found.pop(id(latest[0]))
            for source, *rules in node.sources:
                rule: Rule = rules[axis] if borders else getattr(rules[axis], "endless", rules[axis])
                low, high = _met(*rule(first, last), first, last, source.size[axis] if borders else None)
                if id(source) in found:
                    _, other_low, other_high = found[id(source)]
                    low, high = np.minimum(low, other_low), np.maximum(high, other_high)
                found[id(source)] = (source, low, high)
            if not found:
                return np.full_like(cells, FAR), np.full_like(cells, -FAR)
        return latest[1], latest[2]

    def _axis(self, axis: int) -> tuple[int | None, float]:
        """Size and stride along one axis."""
        far = 2**20 * 315  # cells: a multiple of every pattern that upsampling and windows of up to 10 cells leave
        cells = np.array([*range(min(self.grid[axis], 64)), far])  # after upsampling neighbours may see unlike much
        first, last = self.seen(axis, cells, borders=False)
        size = int((last - first)[:-1].max()) + 1
        if size <= 0:
            return 0, 0.0
        return (None, 0.0) if size > FAR // 2**10 else (size, float(first[-1] - first[0]) / far)

    def __repr__(self) -> str:
        height, width = self.size
        if self.because:
            return f"unknown: at most the whole image ({self.because} could not be followed)"
        if height is None and width is None:
            return "the whole image"
        if height == 0 or width == 0:
            return "nothing of the image"
        size = " x ".join("all" if side is None else str(side) for side in (height, width)) + " pixels"
        steps = [f"{step:g}" for step in dict.fromkeys(self.stride)]
        return f"{size}, every {' x '.join(steps)} pixels"


def _met(low: np.ndarray, high: np.ndarray, first: np.ndarray, last: np.ndarray, cells: int | None) -> Interval:
    """The intervals within 0 to cells - 1; what is empty, or came from nothing, as FAR to -FAR."""
    if cells is not None:
        low, high = np.maximum(low, 0), np.minimum(high, cells - 1)
    empty = (low > high) | (first > last)
    return np.where(empty, FAR, low), np.where(empty, -FAR, high)


def whole_of(sources: list[Node], size: tuple[int, int], because: str) -> Node:
    """A node whose cells see everything that any cell of the sources sees."""

    def every(cells: int) -> Rule:
        return REPEATED if cells == 1 else whole

    parts = tuple((source, every(source.size[0]), every(source.size[1])) for source in sources)
    return Node(size, parts, because, order_after(sources))


def order_after(sources: list[Node]) -> int:
    """An order above that of all sources."""
    return max((source.order for source in sources), default=0) + 1


def unknown_in(node: Node) -> set[Node]:
    """The nodes that could not be followed, among all that one was made from."""
    found, open_nodes, seen = set(), [node], set()
    while open_nodes:
        node = open_nodes.pop()
        if node not in seen:
            seen.add(node)
            found |= {node} if node.because else set()
            open_nodes += [source for source, _, _ in node.sources]
    return found
