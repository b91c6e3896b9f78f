"""Where to go from a step: over, out, the next time this line runs, the next change of a name, the next breakpoint."""

from collections.abc import Callable, Iterable

from walkthrough.trace import Step, Trace

Stops = tuple[tuple[int, int], ...]  # (index of the source, line number)


def over(recording: Trace, at: int) -> int | None:
    """The next step that is not inside a call made from here."""
    depth = recording.steps[at].depth
    return _first(recording.steps[at + 1 :], lambda step: step.depth <= depth)


def out(recording: Trace, at: int) -> int | None:
    """The step at which this call is over."""
    depth = recording.steps[at].depth
    return _first(recording.steps[at + 1 :], lambda step: step.depth < depth)


def next_time(recording: Trace, at: int) -> int | None:
    """The next time that this line runs: the next iteration of a loop, or the next call."""
    here = recording.steps[at]
    source = recording.calls[here.call].source
    again = lambda step: step.line == here.line and recording.calls[step.call].source == source  # noqa: E731
    return _first(recording.steps[at + 1 :], lambda step: step.kind == here.kind and again(step))


def variable_of(recording: Trace, name: str) -> str:
    """The variable that a name is of, or of which it is a part: "self.x" of "self.x.0", "x" of "x.fc.weight"."""
    known = {change.name for step in recording.steps for change in step.changes}
    return max((key for key in known if name == key or name.startswith(f"{key}.")), key=len, default=name)


def next_change(recording: Trace, at: int, name: str) -> int | None:
    """The next step that gives a name a value."""
    return _first(recording.steps[at + 1 :], lambda step: step.change(name) is not None)


def previous_change(recording: Trace, at: int, name: str) -> int | None:
    """The last step before that gave a name a value."""
    return _first(reversed(recording.steps[:at]), lambda step: step.change(name) is not None)


def next_stop(recording: Trace, at: int, stops: Stops) -> int | None:
    """The next step at a line with a breakpoint."""
    place = lambda step: (recording.calls[step.call].source, step.line)  # noqa: E731
    return _first(recording.steps[at + 1 :], lambda step: step.kind == "line" and place(step) in stops)


def same_place(before: Trace, at: int, after: Trace) -> int:
    """The step of another recording of the same function that corresponds to one of this, or one as far along."""

    def key(recording: Trace, step: Step) -> tuple[object, ...]:
        call = recording.calls[step.call]
        return call.name, call.number, step.kind, step.line, step.iteration

    if not before.steps:
        return 0
    here = key(before, before.steps[min(at, len(before) - 1)])
    found = _first(after.steps, lambda step: key(after, step) == here)
    return found if found is not None else min(at, max(len(after) - 1, 0))


def _first(steps: Iterable[Step], fits: Callable[[Step], bool]) -> int | None:
    return next((step.index for step in steps if fits(step)), None)
