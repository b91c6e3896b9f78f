"""Looks at objects: what each was (a Value), and how to tell later whether it still is that. What did not change is not
described again: a list that got one other member shares all its other parts with what it was before.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from walkthrough.trace.arrays import describe_array, describe_tensor
from walkthrough.trace.containers import container_value, raw_members, shown_members, size_of
from walkthrough.trace.values import Copies, Value, number_text, quoted
from walkthrough.trace.watch import FIXED, ArrayLook, MembersLook, Shown, TensorLook, Watched, WordsLook

DEEPEST, MOST_REMEMBERED = 3, 4096
VALUE_SIZE, PART_SIZE, PLACE_SIZE = 250, 60, 8  # bytes in memory, about
NUMBER = (type(None), bool, int, float, complex, np.generic)


class Observer:
    """Makes what a recording keeps of objects.

    Args:
        copies: where copies are kept.
        known: a tensor or array that was seen before and did not change since, or None.
    """

    def __init__(self, copies: Copies, known: Callable[[Any], Watched | None]) -> None:
        self.copies, self.known = copies, known
        self._numbers: dict[tuple[type, str], Value] = {}  # many steps share one
        self._new = 0  # bytes that a container took which are not shared with others

    def see(self, obj: Any, before: Watched | None = None) -> Watched:
        """An object as it is now. Never raises. before: what stood in its place, whose parts may still be good."""
        self._new = 0
        seen = self._see(obj, before, 0)
        if seen.described.parts:
            self.copies.keep_any(seen.described, self._new)
        return seen

    def glance(self, obj: Any) -> Watched:
        """What see gives, without a value: only to tell later whether it changed."""
        return self._guarded(obj, None, 0, described=False)

    def _see(self, obj: Any, before: Watched | None, depth: int) -> Watched:
        if isinstance(obj, NUMBER):
            return Watched(obj, self._number(obj))
        return self._guarded(obj, before, depth, described=True)

    def _guarded(self, obj: Any, before: Watched | None, depth: int, described: bool) -> Watched:
        try:
            return self._looked(obj, before, depth, described)
        except Exception as problem:  # a value that cannot be looked at must not stop the function it belongs to
            kind = type(obj).__name__
            text = f"{kind}, which raises {type(problem).__name__}"
            return Watched(obj, Value("other", kind, text) if described else None)

    def _looked(self, obj: Any, before: Watched | None, depth: int, described: bool) -> Watched:
        if isinstance(obj, Tensor):
            return Watched(obj, describe_tensor(obj, self.copies) if described else None, TensorLook(obj))
        if isinstance(obj, np.ndarray):
            return Watched(obj, describe_array(obj, self.copies) if described else None, ArrayLook(obj, described))
        if isinstance(obj, FIXED):
            return Watched(obj, _plain(obj) if described else None)
        if isinstance(obj, nn.Module):
            value = Value("module", type(obj).__name__, _module_words(obj)) if described else None
            return Watched(obj, value, WordsLook(_module_words, value.text, quick=False) if value else None)
        members = raw_members(obj)
        if members is not None:
            return self._container(obj, members, before, depth, described)
        if not described:
            return Watched(obj, None)
        value = Value("other", type(obj).__name__, words_of(obj))
        return Watched(obj, value, WordsLook(words_of, value.text))

    def _container(self, obj: Any, members: list[Any], before: Watched | None, depth: int, described: bool) -> Watched:
        count = size_of(obj, members)
        named = (shown_members(obj) or []) if depth < DEEPEST else []
        old = before.look.shown if before is not None and isinstance(before.look, MembersLook) else ()
        reusable = {id(shown.watched.obj): shown for shown in old if shown.part is not None}
        shown = [self._member(name, item, reusable.get(id(item)), depth, described) for name, item in named]
        look = MembersLook(members if depth < DEEPEST else [], count, shown)
        if not described:
            return Watched(obj, None, look)
        value = container_value(obj, tuple(each.part for each in shown if each.part is not None), count)
        self._new += VALUE_SIZE + PLACE_SIZE * len(shown)
        return Watched(obj, value, look)

    def _member(self, name: str, item: Any, old: Shown | None, depth: int, described: bool) -> Shown:
        if not described:
            return Shown(None, self._guarded(item, None, depth + 1, described=False))
        if old is not None and not old.watched.changed(bound=True):
            if old.part is not None and old.part[0] == name:
                return old
            watched = old.watched
        else:
            known = self.known(item) if isinstance(item, Tensor | np.ndarray) else None
            watched = known or self._see(item, old.watched if old is not None else None, depth + 1)
        self._new += PART_SIZE
        return Shown((name, watched.described), watched)

    def _number(self, obj: Any) -> Value:
        key = type(obj), number_text(obj)
        found = self._numbers.get(key)
        if found is None:
            if len(self._numbers) >= MOST_REMEMBERED:
                self._numbers.clear()
            found = self._numbers[key] = Value("number", type(obj).__name__, key[1])
            self._new += VALUE_SIZE
        return found


def nothing_known(obj: Any) -> None:
    """Of an object that was not seen before."""


def _plain(obj: Any) -> Value:
    """Of what cannot change, or only in ways that are not shown."""
    kind = type(obj).__name__
    if isinstance(obj, str | bytes):
        return Value("text", kind, quoted(obj))
    if isinstance(obj, ModuleType):
        return Value("other", kind, f"module {obj.__name__}")
    return Value("other", kind, words_of(obj))


def _module_words(module: nn.Module) -> str:
    return f"{type(module).__name__}, {sum(parameter.numel() for parameter in module.parameters()):,} parameters"


def words_of(obj: Any) -> str:
    """The repr of an object, or what it raises."""
    try:
        return quoted(obj)
    except Exception as problem:
        return f"{type(obj).__name__}, which raises {type(problem).__name__}"
