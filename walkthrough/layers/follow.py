"""Follows every tensor of a forward pass from the image on: what it sees, and which modules it came from.

It listens to PyTorch's operations (a TorchDispatchMode, as torch.utils.flop_counter does), not to kinds of modules. So
blocks that it does not know are followed as well as YOLO's own.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from walkthrough.layers.aliases import Aliases, overwritten, written_by
from walkthrough.layers.fields import Node, ReceptiveField, whole_of
from walkthrough.layers.operations import Seen, followed
from yolo_lite.support.summary import flop_counter


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

    def field(self, tensor: Tensor) -> ReceptiveField:
        """What the cells of a tensor that a module made can see."""
        seen = self._seen[tensor]
        return ReceptiveField(seen.node, self.image, seen.dims)

    def sources(self, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        """The calls that tensors came from, in order; -1: what the module around them was given."""
        return tuple(dict.fromkeys(s for tensor in tensors for s in self._scopes[-1].get(tensor, ())))

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
        """The call of that number made these tensors.

        One that was not followed counts as seeing the whole image: made by another library, or of parameters alone;
        the latter sees nothing of it, so that its effective field is empty.
        """
        self._scopes.pop()
        for tensor in made:
            self._scopes[-1][tensor] = (number,)
            if tensor not in self._seen:
                size = (tensor.shape[-2], tensor.shape[-1]) if tensor.ndim >= 2 else (1, 1)
                self._seen[tensor] = Seen(whole_of([self.image], size, "what was not followed"), None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [tensor for tensor in tensors_in((args, kwargs)) if tensor in self._seen]
        known = [(self._seen[tensor], tuple(tensor.shape)) for tensor in given]  # before the call: it may be in place
        before = {id(tensor): seen for tensor, (seen, _) in zip(given, known, strict=True)}
        sources = self.sources(given)
        out = func(*args, **kwargs)
        if func.overloadpacket in self._flops_of:
            self.flops += self._flops_of[func.overloadpacket](*args, **kwargs, out_val=out)
        for tensor in tensors_in((args, kwargs, out)):
            self._aliases.add(tensor)
        if given:
            written = list(tensors_in(list(written_by(func, args, kwargs))))
            for made in [*tensors_in(out), *written]:
                self._seen[made] = followed(func, args, kwargs, made, known)
                self._scopes[-1][made] = sources
            in_place = (
                torch.Tag.pointwise in func.tags and len(given) == 1
            )  # an activation: nothing comes from elsewhere
            for tensor in written:
                if not (in_place and id(tensor) in before):
                    self._spread(tensor, before.get(id(tensor)), sources)
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
                self._scopes[-1][other] = tuple(dict.fromkeys((*self._scopes[-1].get(other, ()), *sources)))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and mappings, in order.

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
