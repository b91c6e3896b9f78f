"""Follows every tensor of a forward pass from the image on: what it sees, and which modules it came from.

It listens to PyTorch's operations (a TorchDispatchMode, as torch.utils.flop_counter does), not to kinds of modules. So
blocks that it does not know are followed as well as YOLO's own. What an operation without a rule reads is measured,
and what a module reads in which rows and columns are lost on the way, as in windows of attention.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from walkthrough.layers.aliases import Aliases, overwritten, written_by
from walkthrough.layers.calls import Seen
from walkthrough.layers.cells import wrapped
from walkthrough.layers.fields import SAME, Node, ReceptiveField, unknown_in, whole_of
from walkthrough.layers.measure import measured, put, target_of
from walkthrough.layers.operations import FORM_ALONE, followed, reads_first, unknown
from yolo_lite.support.summary import flop_counter

BY_CHANCE = "numbers drawn by chance"
aten = torch.ops.aten
CHOOSING = (aten.index, aten.index_select, aten.gather)  # cells, by numbers


class Follow(TorchDispatchMode):
    """While it is on, remembers what each tensor that comes from the image can see, and where it came from.

    ``enter`` and ``leave`` mark a module's call: within it, tensors carry the numbers of the calls that made them.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.image = Node((images.shape[-2], images.shape[-1]))
        self._seen = WeakIdKeyDictionary()
        self._seen[images] = Seen(self.image, (images.ndim - 2, images.ndim - 1))
        self.flops = 0  # so far, by the rules of Yolo.summary
        self._flops_of = flop_counter().flop_registry
        self._scopes = [WeakIdKeyDictionary()]
        self._scopes[0][images] = (-1,)
        self._aliases = Aliases()
        self._aliases.add(images)
        self.lost = 0  # so far, tensors of which it is unknown what they see
        self._circular = _Circular(self)
        self._drawn = WeakIdKeyDictionary()  # tensors of random numbers, and what was computed of them alone
        self.drawn_numbers = 0  # so far, random numbers that went from a tensor to Python

    def field(self, tensor: Tensor) -> ReceptiveField:
        """What the cells of a tensor that a module made can see."""
        seen = self._seen[tensor]
        return ReceptiveField(seen.node, self.image, seen.dims)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        """The calls that tensors came from, in order; -1: what the module around them was given."""
        return tuple(dict.fromkeys(s for tensor in tensors for s in self._scopes[-1].get(tensor, ())))

    def __enter__(self) -> "Follow":
        self._circular.__enter__()
        return super().__enter__()

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        self._circular.__exit__(*problem)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside is not part of the pass: it is neither followed nor counted."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def enter(self, given: Sequence[Tensor]) -> None:
        """A module was called with these tensors."""
        self._scopes.append(WeakIdKeyDictionary())
        for tensor in given:
            self._scopes[-1][tensor] = (-1,)

    def leave(self, number: int, made: Sequence[Tensor]) -> None:
        """The call of that number made these tensors."""
        self._scopes.pop()
        for tensor in made:
            self._scopes[-1][tensor] = (number,)

    def knows(self, tensor: Tensor) -> bool:
        """Whether a tensor was followed: it was not made by another library, or of parameters alone."""
        return tensor in self._seen

    def check(
        self, call: Callable[[dict[int, Tensor]], list[Tensor]] | None, given: Sequence[Tensor], made: Sequence[Tensor]
    ) -> None:
        """A module made these of those: what could not be followed inside it is measured from outside, if possible.

        Args:
            call: calls it again with others in place of tensors of these ids; None: it is not to be measured.
        """
        read = self._known(given) if call is not None else []
        grid = next((seen for _, seen in read if seen.dims is not None), None)

        def again(tensors: list[Tensor]) -> list[Tensor]:
            return call({id(old): new for (old, _), new in zip(read, tensors, strict=True)}) if call else []

        before = {node for _, seen in read for node in unknown_in(seen.node)}
        targets = []
        for k, tensor in enumerate(made):
            seen = self._seen.get(tensor)
            unknown_nodes = unknown_in(seen.node) if seen is not None else set()
            if seen is not None and unknown_nodes <= before:
                continue
            if any(node.because == BY_CHANCE for node in unknown_nodes):
                continue  # measuring would show one draw
            if grid is None or tensor.layout is not torch.strided:
                continue
            dims = seen.dims if seen is not None else None
            dims = grid.dims if dims is None and tensor.ndim == _ndim_of(read) else dims
            if target := target_of(k, tensor, dims, grid):
                targets.append(target)
        for target, node in zip(targets, measured(again, read, targets) or (), strict=False):
            if node is not None:
                self._seen[made[target.number]] = Seen(node, target.dims)
        for tensor in made:
            if tensor not in self._seen:
                size = (tensor.shape[-2], tensor.shape[-1]) if tensor.ndim >= 2 else (1, 1)
                self._seen[tensor] = Seen(whole_of([self.image], size, "what was not followed"), None)
                self.lost += 1

    def doubt(self, tensors: Sequence[Tensor]) -> None:
        """What these see was decided by random numbers, and may be otherwise the next time."""
        for tensor, seen in self._known(tensors):
            self._seen[tensor] = Seen(whole_of([seen.node], seen.node.size, BY_CHANCE), seen.dims)

    def _note_drawn(self, func: Any, read: list[Tensor], made: list[Tensor]) -> None:
        """An operation that does not read the image: whether its numbers are random."""
        if torch.Tag.nondeterministic_seeded in func.tags or any(tensor in self._drawn for tensor in read):
            self._drawn.update(dict.fromkeys(made))
            self.drawn_numbers += func.overloadpacket is aten._local_scalar_dense

    def _known(self, tensors: Sequence[Tensor]) -> list[tuple[Tensor, Seen]]:
        """Those that come from the image, each once."""
        distinct = {id(tensor): tensor for tensor in tensors if tensor in self._seen}
        return [(tensor, self._seen[tensor]) for tensor in distinct.values()]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [tensor for tensor in tensors_in((args, kwargs)) if tensor in self._seen]
        before = {id(tensor): self._seen[tensor] for tensor in given}  # the call may be in place
        sources = self.sources(given)
        out = func(*args, **kwargs)
        if func.overloadpacket in self._flops_of:
            self.flops += self._flops_of[func.overloadpacket](*args, **kwargs, out_val=out)
        for tensor in tensors_in((args, kwargs, out)):
            self._aliases.add(tensor)
        if not given:
            self._note_drawn(func, list(tensors_in((args, kwargs))), list(tensors_in(out)))
        if given and func.overloadpacket not in FORM_ALONE:
            written = list(tensors_in(list(written_by(func, args, kwargs))))
            self._see(func, args, kwargs, given, [*tensors_in(out), *written])
            for made in [*tensors_in(out), *written]:
                self._scopes[-1][made] = sources
            in_place = (
                torch.Tag.pointwise in func.tags and len(given) == 1
            )  # an activation: nothing comes from elsewhere
            for tensor in written:
                if not (in_place and id(tensor) in before):
                    self._spread(tensor, before.get(id(tensor)), sources)
        return out

    def _see(self, func: Any, args: tuple, kwargs: Mapping, given: list[Tensor], made: list[Tensor]) -> None:
        """What the tensors that an operation made can see: by its rule, or measured, or unknown."""
        known = [(self._seen[tensor], tuple(tensor.shape)) for tensor in given]
        first, read = reads_first(func, args, given[0]), self._known(given)
        left = []
        for number, tensor in enumerate(made):
            seen = followed(func, args, kwargs, tensor, known, first)
            if seen is None:
                left.append(number)
            self._seen[tensor] = seen or unknown(tensor, known, func.overloadpacket.__name__)
        left = [number for number in left if unknown_in(self._seen[made[number]].node)]
        grid = next((seen for _, seen in read if seen.dims is not None), None)
        if not left or grid is None or func.overloadpacket is aten.as_strided:
            self.lost += len(left)
            return

        def again(tensors: list[Tensor]) -> list[Tensor]:
            others = {id(old): new for (old, _), new in zip(read, tensors, strict=True)}
            arguments, named = put(args, others), put(dict(kwargs), others)
            return [*tensors_in(func(*arguments, **named)), *tensors_in(list(written_by(func, arguments, named)))]

        targets = [target_of(k, made[k], grid.dims, grid) for k in left if made[k].ndim == _ndim_of(read)]
        asked = [target for target in targets if target is not None]
        nodes = measured(again, read, asked) or []
        for target, node in zip(asked, nodes, strict=False):
            if node is not None:
                self._seen[made[target.number]] = Seen(node, target.dims)
        self.lost += len(left) - sum(node is not None for node in nodes)
        if func.overloadpacket in CHOOSING and any(tensor in self._drawn for tensor in tensors_in((args, kwargs))):
            self.doubt(made)

    def padded_around(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """Circular padding of a map by left, right, top, bottom."""
        given = args[0] if args else kwargs["input"]
        amounts = [*(args[1] if len(args) > 1 else kwargs["pad"]), 0, 0, 0, 0]
        seen = self._seen.get(given)
        if seen is None or seen.dims != (given.ndim - 2, given.ndim - 1):
            return func(*args, **kwargs)
        super().__exit__(None, None, None)  # _Circular is off while it is at work
        try:
            out = func(*args, **kwargs)
        finally:
            super().__enter__()
        left, right, top, bottom = amounts[:4]
        rows, cols = seen.node.size
        rules = (wrapped(rows, top, bottom) if top or bottom else SAME, wrapped(cols, left, right))
        size = (out.shape[-2], out.shape[-1])
        self._seen[out] = Seen(Node(size, ((seen.node, *rules),), "", seen.node.order + 1), seen.dims)
        self._scopes[-1][out] = self.sources([given])
        self._aliases.add(out)
        return out

    def _spread(self, written: Tensor, before: Seen | None, sources: tuple[int, ...]) -> None:
        """What was written in place is seen through every tensor that shares the memory."""
        seen = self._seen[written]
        if before is not None and seen.dims is not None and seen == before:
            return  # nothing that was not there before
        together = self._aliases.of(written)
        for other in together:
            if other is not written:
                self._seen[other] = overwritten(other, self._seen.get(other), written, seen, together)
                self.lost += bool(self._seen[other].node.because)
                self._scopes[-1][other] = tuple(dict.fromkeys((*self._scopes[-1].get(other, ()), *sources)))


def _ndim_of(read: list[tuple[Tensor, Seen]]) -> int:
    """Dimensions of the first tensor with rows and columns."""
    return next(tensor.ndim for tensor, seen in read if seen.dims is not None)


class _Circular(TorchFunctionMode):
    """Sees circular padding as a whole: below, it is an empty map and copies into parts of that."""

    def __init__(self, follow: Follow) -> None:
        super().__init__()
        self._follow = follow

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.pad or "circular" not in (*args[2:3], kwargs.get("mode")):
            return func(*args, **kwargs)
        return self._follow.padded_around(func, args, kwargs)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples, mappings and dataclasses, in order.

    >>> from torch import zeros
    >>> [tuple(tensor.shape) for tensor in tensors_in({"maps": [zeros(2), (zeros(3), "word")]})]
    [(2,), (3,)]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for member in fields(value):
            yield from tensors_in(getattr(value, member.name, None))
