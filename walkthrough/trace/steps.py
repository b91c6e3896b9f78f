"""What a recording consists of: steps, the calls they belong to, and the source they come from."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from walkthrough._moved import moved_name
from walkthrough.trace.values import Value

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)

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
    name: str  # such as "make_assignment" or "ComputeLoss.level"
    source: int  # index of its Source
    depth: int  # 0 of the function that was traced
    parent: int | None  # index of the call it was made from
    number: int  # which call of this function it is, from 1


@dataclass(frozen=True)
class Step:
    """One moment: a line that ran.

    Attributes:
        index: its place in the recording.
        kind: "call": the function begins, changes are its arguments. "line": a line ran. "back": a line that called
            recorded functions is finished; what it changed stands here. "resume": a generator goes on.
        call: index of the Call.
        line: its number in the file or cell.
        iteration: which time it is that this line runs in this call, from 1.
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


@dataclass(frozen=True, eq=False)
class Recording:
    """All that was recorded of a function.

    Attributes:
        name: of the function, with its module.
        steps, calls, sources: what happened, in which calls, of which functions.
        result: what the function returned, the object itself; of a generator the list of what it yielded. None when
            read from a file.
        returned: the result in words and numbers; None where there was an error.
        error: what the function raised, without its traceback (steps tell where); None where it returned.
        notes: sentences about what is not in the recording.
    """

    name: str
    steps: tuple[Step, ...]
    calls: tuple[Call, ...]
    sources: tuple[Source, ...]
    result: Any = None
    returned: Value | None = None
    error: Exception | None = None
    notes: tuple[str, ...] = ()
