"""Trace: what trace() gives, to be sliced, printed, saved, and stepped through."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, overload

from walkthrough.trace.files import save_trace
from walkthrough.trace.frames import error_text
from walkthrough.trace.reading import read_recording
from walkthrough.trace.steps import Call, RecordedError, Recording, Step
from walkthrough.trace.values import Value

MOST_PRINTED, REMEMBERED = 60, 16
STEPPER = "walkthrough.explorers.stepper:Stepper"  # which is made for a Trace: a Trace knows of it by name alone


class Excerpt(Sequence[Step]):
    """Some steps of a trace, in order: what trace.at(name), trace.lines[n] and trace[a:b] give."""

    def __init__(self, trace: "Trace", steps: Sequence[Step], name: str = "") -> None:
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
    def __getitem__(self, index: int | slice) -> "Step | Excerpt":
        return Excerpt(self._trace, self.steps[index], self.name) if isinstance(index, slice) else self.steps[index]

    def __repr__(self) -> str:
        return self._trace.listing(self.steps, only=self.name) or "no step"


@dataclass(frozen=True, eq=False)
class Trace(Recording):
    """What a function did, step by step: see Recording for what it holds."""

    # -- slices -------------------------------------------------------------------------------------------------------

    def at(self, name: str) -> Excerpt:
        """The steps that gave a name a value: a local, "self.x", "return" or "yield".

        Raises ValueError where there are none.
        """
        found = [step for step in self.steps if step.change(name)]
        if not found:
            names = list(dict.fromkeys(change.name for step in self.steps for change in step.changes))
            raise ValueError(f"nothing named {name!r} was recorded; there are {', '.join(names) or 'no names at all'}")
        return Excerpt(self, found, name)

    def line(self, number: int, function: str = "") -> Excerpt:
        """The steps at a line of the source; function: only in calls of that name."""
        calls = {call.index for call in self.calls if function in ("", call.name)}
        return Excerpt(self, [step for step in self.steps if step.line == number and step.call in calls])

    @property
    def lines(self) -> "Lines":
        """trace.lines[12]: the steps at line 12; trace.lines[12:20]: those at lines 12 to 19."""
        return Lines(self)

    def of(self, function: str) -> Excerpt:
        """The steps in calls of a function, such as "make_assignment". Raises ValueError where it was not recorded."""
        calls = {call.index for call in self.calls if call.name == function}
        if not calls:
            names = ", ".join(dict.fromkeys(call.name for call in self.calls))
            raise ValueError(f"no call of {function!r} was recorded; there are calls of {names}. Name it in into=")
        return Excerpt(self, [step for step in self.steps if step.call in calls])

    @property
    def failed(self) -> Step | None:
        """The step that raised the error, None where there was none, or where it was raised out of sight."""
        return next((step for step in self.steps if step.failed), None)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Excerpt: ...
    def __getitem__(self, index: int | slice) -> Step | Excerpt:
        return Excerpt(self, self.steps[index]) if isinstance(index, slice) else self.steps[index]

    # -- replay -------------------------------------------------------------------------------------------------------

    def state(self, step: int, call: int | None = None) -> dict[str, Value]:
        """All variables after a step: of the call that it belongs to, or of another one."""
        at, call = self.steps[step].index, self.steps[step].call if call is None else call
        known = self._states.get((at, call))
        if known is None:
            while len(self._states) >= REMEMBERED:
                del self._states[next(iter(self._states))]
            known = self._states[at, call] = self._folded(at, call)
        return dict(known)

    def _folded(self, at: int, call: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for step in self._steps_of.get(call, ()):
            if step.index > at:
                break
            for change in step.changes:
                if change.value is None:
                    values.pop(change.name, None)
                else:
                    values[change.name] = change.value
        return values

    @cached_property
    def _states(self) -> dict[tuple[int, int], dict[str, Value]]:
        """Those asked for last: stepping asks for the same few again and again."""
        return {}

    def stack(self, step: int) -> tuple[Call, ...]:
        """The calls that are under way at a step, the traced function first."""
        found = [self.calls[self.steps[step].call]]
        while found[-1].parent is not None:
            found.append(self.calls[found[-1].parent])
        return tuple(reversed(found))

    def text(self, step: Step) -> str:
        """The source of a step's line; "" where there is none."""
        return self.sources[self.calls[step.call].source].line(step.line)

    @cached_property
    def _steps_of(self) -> dict[int, list[Step]]:
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.call, []).append(step)
        return found

    def show(self, **inputs: Any) -> Any:
        """Step through it forwards and back, in a Stepper; images= brings a picture for boxes and cells."""
        return resolve_name(STEPPER)(self, **inputs)

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write all of it but result to one file (a zip of JSON and NumPy arrays; nothing in it is ever executed)."""
        save_trace(self, path)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read what save wrote. Raises ValueError for other files."""
        return load_trace(path)

    # -- words --------------------------------------------------------------------------------------------------------

    def listing(self, steps: Iterable[Step] | None = None, only: str = "", most: int | None = None) -> str:
        """Lines with their source, and below each what it changed.

        Args:
            steps: some of them; None: all. only: one name's changes. most: this many steps; None: all.
        """
        chosen = list(self.steps if steps is None else steps)
        words = [self._listed(step, only) for step in chosen[:most]]
        if most is not None and len(chosen) > most:
            words.append(f"... {len(chosen) - most:,} more steps: print(trace.listing()) has them all")
        return "\n".join(words)

    def _listed(self, step: Step, only: str) -> str:
        call, indent = self.calls[step.call], "  " * step.depth
        changes = [change for change in step.changes if only in ("", change.name)]
        source = self.text(step).strip() or "(no source)"
        times = f" ({ordinal(step.iteration)} time)" if step.iteration > 1 else ""
        head = {
            "call": f"{indent}{call.name}" + (f" ({ordinal(call.number)} call)" if call.number > 1 else ""),
            "line": f"{indent}{step.line:>5}  {source}{times}",
            "back": f"{indent}{step.line:>5}  back in: {source}{times}",
            "resume": f"{indent}{call.name} goes on\n{indent}{step.line:>5}  {source}",
        }[step.kind]
        below = [f"{indent}         {change}" for change in changes]
        below += [f"{indent}         raises {step.error}"] if step.error else []
        return "\n".join([head, *below])

    def __repr__(self) -> str:
        calls = f"{len(self.calls):,} call{'' if len(self.calls) == 1 else 's'}"
        head = f"trace of {self.name}: {len(self.steps):,} steps in {calls}"
        end = f"returned {self.returned.text}" if self.returned else ""
        if self.error is not None:
            words = str(self.error) if isinstance(self.error, RecordedError) else error_text(self.error)
            end = f"raised {self.failed.error if self.failed else words}"
        return "\n".join(filter(None, [head, self.listing(most=MOST_PRINTED), end, *self.notes]))


class Lines:
    """trace.lines: steps by line number."""

    def __init__(self, recording: Trace) -> None:
        self._trace = recording

    def __getitem__(self, number: int | slice) -> Excerpt:
        if isinstance(number, slice):
            first, last = number.start or 0, number.stop if number.stop is not None else float("inf")
            return Excerpt(self._trace, [step for step in self._trace.steps if first <= step.line < last])
        return self._trace.line(number)

    def __repr__(self) -> str:
        return f"lines {', '.join(map(str, sorted({step.line for step in self._trace.steps})))}"


def ordinal(number: int) -> str:
    """
    >>> ordinal(1), ordinal(2), ordinal(11), ordinal(23)
    ('1st', '2nd', '11th', '23rd')
    """
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def load_trace(path: str | Path) -> Trace:
    """Read a Trace that Trace.save wrote. Its result is None, its error a RecordedError with the words of the original.

    Raises:
        ValueError: the file is none of these, or damaged, or a folder. FileNotFoundError, PermissionError: it cannot be
            read.
    """
    return Trace(**vars(read_recording(path)))
