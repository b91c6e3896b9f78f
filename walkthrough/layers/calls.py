"""One call of an operation, and what is known of the tensors that it reads."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from walkthrough.layers.fields import REPEATED, SAME, Node, Rule, whole

Dims = tuple[int, int] | None


class Seen(NamedTuple):
    """What is known of a tensor."""

    node: Node
    dims: Dims  # its dimensions of rows and columns; one twice: it holds both, row by row; None: not to be found

    @property
    def flat(self) -> bool:
        """Whether one dimension holds rows and columns."""
        return self.dims is not None and self.dims[0] == self.dims[1]


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


def size_in(shape: tuple[int, ...], seen: Seen, dims: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a tensor of a shape, which has those of another at these dimensions."""
    if dims[0] != dims[1]:
        return shape[dims[0]], shape[dims[1]]
    return (1, 1) if shape[dims[0]] == 1 else seen.node.size


def map_of(call: Call, rows: Rule, cols: Rule, *, dims: Dims = None, size: tuple[int, int] | None = None) -> Seen:
    """What a map becomes through a rule for its rows and one for its columns."""
    dims = dims or call.dims
    if rows is SAME and cols is SAME:
        return Seen(call.seen.node, dims)
    size = size or size_in(tuple(call.out.shape), call.seen, dims)
    return Seen(Node(size, ((call.seen.node, rows, cols),), "", call.seen.node.order + 1), dims)


def each(dims: tuple[int, int], moved: Callable[[int], int]) -> tuple[int, int]:
    """Where rows and columns are, each moved."""
    return moved(dims[0]), moved(dims[1])


def broadcast(seen: Seen, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[Rule, Rule]:
    """The rules by which a tensor of a shape is read as one of more rows or columns."""
    if seen.dims is None:
        return whole, whole
    rows, cols = (REPEATED if shape[dim] == 1 < cells else SAME for dim, cells in zip(seen.dims, size, strict=True))
    return rows, cols
