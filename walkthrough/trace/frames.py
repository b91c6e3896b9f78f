"""The variables of one call while it runs, and what each line changed in them."""

import dis
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor, nn

from walkthrough.trace import containers
from walkthrough.trace.functions import names_by_line
from walkthrough.trace.steps import Call, Change
from walkthrough.trace.values import bounded
from walkthrough.trace.watch import Watched

MOST_ATTRIBUTES, MOST_WORDS = 64, 240
ENDED_BY_STOP = {"FOR_ITER", "SEND", "END_SEND"}  # the last from Python 3.12 on
SIMPLE = (type(None), bool, int, float, complex, str, bytes)
See = Callable[[Any, Watched | None], Watched]


class Draft:
    """A step that is not finished yet."""

    __slots__ = ("call", "changes", "error", "index", "iteration", "kind", "line", "problem")

    def __init__(self, index: int, kind: str, call: int, line: int, iteration: int) -> None:
        self.index, self.kind, self.call, self.line, self.iteration = index, kind, call, line, iteration
        self.changes: list[Change] = []
        self.error, self.problem = "", 0  # words, and the id of the exception


class Kind:
    """What is the same in all calls of a piece of code."""

    def __init__(self, code: CodeType, source: int, shares: bool) -> None:
        self.code, self.source, self.number = code, source, 0
        self.shares = shares  # variables, with other threads that may assign to them
        self.instructions = code.co_code  # made anew at each access
        stars = bool(code.co_flags & 4) + bool(code.co_flags & 8)  # *args, **kwargs
        self.arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars]

    def left_by(self, place: int) -> str:
        """The instruction by which a call was left at this place, "YIELD_VALUE" for example."""
        name = self._instruction(place)
        # Python 3.13 has gone on by then to what follows a yield.
        return "YIELD_VALUE" if name == "RESUME" and self._instruction(place - 2) == "YIELD_VALUE" else name

    def ends_by_stop(self, place: int, error: type[BaseException]) -> bool:
        """Whether an error at this place is how Python says that a loop, an await or a "yield from" has ended."""
        name = self._instruction(place)
        if issubclass(error, StopAsyncIteration):  # of an "async for", which waits for the next one by SEND
            return name == "SEND" and self._instruction(place - 4) == "GET_ANEXT"
        return issubclass(error, StopIteration) and name in ENDED_BY_STOP

    def _instruction(self, place: int) -> str:
        return dis.opname[self.instructions[place]] if place >= 0 else ""

    def named_in(self, line: int) -> set[str]:
        """The variables that a line names."""
        return self._named.get(line, set())

    @cached_property
    def _named(self) -> dict[int, set[str]]:
        return names_by_line(self.code)


class Frame:
    """A call that is being recorded."""

    __slots__ = ("attributes", "call", "kind", "owner", "pending", "see", "step", "visits", "watched")

    def __init__(
        self, call: Call, kind: Kind, found: dict[str, Any], see: See, glance: Callable[[Any], Watched]
    ) -> None:
        self.call, self.kind, self.see = call, kind, see
        self.watched: dict[str, Watched] = {}
        self.visits: Counter[int] = Counter()
        self.step: Draft | None = None
        self.pending: BaseException | None = None  # raised by the line that runs
        self.owner = found.get("self") if kind.arguments[:1] == ("self",) else None
        self.attributes = {name: glance(obj) for name, obj in attributes_of(self.owner)[:MOST_ATTRIBUTES]}

    def changes(self, found: dict[str, Any], line: int) -> list[Change]:
        """What is different from the last time."""
        changes: list[Change] = []
        for name, obj in found.items():
            old = self.watched.get(name)
            if old is None:
                if name[0] != ".":  # the iterator of a comprehension
                    changes.append(self._bind(name, obj, "new"))
            elif old.obj is not obj:
                if not _same_number(obj, old.obj):
                    changes.append(self._bind(name, obj, "changed"))
            elif old.changed(not old.heavy or name in self.kind.named_in(line)):
                changes.append(self._bind(name, obj, "in place"))
        if len(self.watched) > len(found):
            gone = [name for name in self.watched if name not in found]
            changes += [Change(name, "deleted", None) for name in gone]
            for name in gone:
                del self.watched[name]
        return (
            changes + self._attribute_changes("self" in self.kind.named_in(line)) if self.owner is not None else changes
        )

    def bound(self, changes: list[Change]) -> Iterator[tuple[str, Any]]:
        """The names that got another object, and these."""
        for change in changes:
            watched = self.watched.get(change.name) or self.attributes.get(change.name.removeprefix("self."))
            if watched is not None and change.kind != "in place":
                yield change.name, watched.obj

    def arguments(self, found: dict[str, Any]) -> list[Change]:
        """What the call begins with."""
        named = [(name, obj) for name, obj in found.items() if name[0] != "."]
        return [self._bind(name, obj, "argument" if name in self.kind.arguments else "outer") for name, obj in named]

    def let_go(self) -> None:
        """Hold nothing of a call that has ended."""
        self.watched.clear()
        self.attributes.clear()
        self.owner = self.pending = None

    def _bind(self, name: str, obj: Any, kind: str) -> Change:
        old = self.watched.get(name)
        self.watched[name] = new = self.see(obj, old)
        return Change(name, kind, new.value, difference(old, new) if kind == "in place" else "")

    def _attribute_changes(self, named: bool) -> list[Change]:
        found = dict(attributes_of(self.owner))
        gone = [name for name in self.attributes if name not in found]
        changes = [Change(f"self.{name}", "deleted", None) for name in gone]
        for name in gone:
            del self.attributes[name]
        for name, obj in islice(found.items(), MOST_ATTRIBUTES):
            old = self.attributes.get(name)
            if old is not None and old.obj is obj and not old.changed(named):
                continue
            kind = "new" if old is None else "changed" if old.obj is not obj else "in place"
            self.attributes[name] = new = self.see(obj, old)
            changes.append(Change(f"self.{name}", kind, new.value, difference(old, new) if kind == "in place" else ""))
        return changes


def _same_number(new: Any, old: Any) -> bool:
    """Whether two objects are the same number or word; 0.0 and -0.0 are not, and of a subclass nothing is known."""
    kind = type(new)
    if kind not in SIMPLE or kind is not type(old):
        return False
    return repr(new) == repr(old) if kind in (float, complex) else new == old


def attributes_of(owner: Any) -> list[tuple[str, Any]]:
    """The attributes of self that are watched: those in its __dict__ and __slots__; of a torch
    module also parameters and buffers.
    """
    if not isinstance(owner, nn.Module):
        return containers.attributes_of(owner) or []
    own = vars(owner)
    plain = [(name, obj) for name, obj in own.items() if not name.startswith("_")]
    tensors = [*own.get("_parameters", {}).items(), *own.get("_buffers", {}).items()]
    return plain + tensors


def difference(old: Watched | None, new: Watched) -> str:
    """How much of a tensor or array changed in place, where both copies are whole."""
    before, after = old.value if old is not None else None, new.value
    if before is None or after is None or not isinstance(new.obj, Tensor | np.ndarray):
        return ""
    if not (before.complete and after.complete) or before.shape != after.shape or before.dtype != after.dtype:
        return ""
    same = (before.array == after.array) | ((before.array != before.array) & (after.array != after.array))
    return f"{np.size(same) - np.count_nonzero(same):,} of {np.size(same):,} changed"


def error_text(problem: BaseException) -> str:
    """Type and first line of an exception."""
    try:
        words = str(problem).split("\n", 1)[0]
    except Exception:
        words = ""
    return f"{type(problem).__name__}: {bounded(words, MOST_WORDS)}" if words else type(problem).__name__
