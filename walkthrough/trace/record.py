"""What a recording consists of: steps, the calls they belong to, and the source they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from walkthrough.trace.values import Value

RETURNED, YIELDED = "return", "yield"  # names no variable can have
WORDS_OF = {"argument": "", "outer": " (from outside)", "new": "", "changed": "", "in place": " (in place)"}


class RecordedError(Exception):
    """The error of a recording that was read from a file, in its words."""


@dataclass(frozen=True)
class Change:
    """One name that a line gave a value.

    Attributes:
        name: a local, "self.x", or "return" or "yield".
        kind: argument, outer (a variable of an enclosing function), new, changed (another object), in place, deleted,
            return or yield.
        value: what it was afterwards; None where it was deleted.
        note: how much of it changed in place, where that is known.
    """

    name: str
    kind: str
    value: Value | None
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name} deleted"
        if self.kind in (RETURNED, YIELDED):
            return f"{self.name}s {self.value.text}"
        words = f" (in place: {self.note})" if self.note else WORDS_OF[self.kind]
        return f"{self.name} = {self.value.text}{words}"


@dataclass(frozen=True)
class Source:
    """The text of a function, as it was when it was recorded; no lines where it is nowhere to be found."""

    name: str  # with its module
    first: int
    lines: tuple[str, ...]

    def line(self, number: int) -> str:
        """The text of a line; "" of one that is not there."""
        index = number - self.first
        return self.lines[index] if 0 <= index < len(self.lines) else ""


@dataclass(frozen=True)
class Call:
    """One call of a recorded function: what a debugger names a frame."""

    index: int
    name: str  # such as "encode" or "ComputeLoss.level"
    source: int  # index of its Source
    depth: int  # 0 of the function that was traced
    parent: int | None  # index of the call it was made from
    number: int  # the how manieth call of this function, from 1


@dataclass(frozen=True)
class Step:
    """One moment: a line that ran.

    Attributes:
        index: its place in the recording.
        kind: "call": the function begins, changes are its arguments. "line": a line ran. "back": a line that called
            recorded functions is finished; what it changed stands here. "resume": a generator goes on.
        call: index of the Call.
        line: its number in the file or cell.
        iteration: the how manieth time that this line runs in this call, from 1.
        changes: every name that the line gave another value, or changed in place.
        error: what the line raised, as "ValueError: words"; "" of nothing.
    """

    index: int
    kind: str
    call: int
    depth: int
    line: int
    iteration: int
    changes: tuple[Change, ...] = ()
    error: str = ""
    failed: bool = False  # the error that ended the recording was raised here

    def change(self, name: str) -> Change | None:
        """What became of a name here, None where nothing did."""
        return next((change for change in self.changes if change.name == name), None)


class Excerpt(Sequence[Step]):
    """Some steps of a trace, in order: what trace.at(name), trace.lines[n] and trace[a:b] give."""

    def __init__(self, trace: Any, steps: Sequence[Step], name: str = "") -> None:
        self._trace, self.steps, self.name = trace, tuple(steps), name

    @property
    def values(self) -> tuple[Value | None, ...]:
        """Of trace.at(name): the values that the name took, None where it was deleted."""
        return tuple(change.value for step in self.steps for change in step.changes if change.name == self.name)

    @property
    def value(self) -> Value | None:
        """The last of them; None where there are none."""
        return self.values[-1] if self.values else None

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> "Excerpt": ...
    def __getitem__(self, index: Any) -> Any:
        return Excerpt(self._trace, self.steps[index], self.name) if isinstance(index, slice) else self.steps[index]

    def __repr__(self) -> str:
        return self._trace.listing(self.steps, only=self.name) or "no step"
