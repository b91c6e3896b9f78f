"""Where a Stepper stands: the settings, and what follows from them when one of them changes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor

from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.pictures import CLASS_OF_DRAWN, WHICH_PICTURE, PictureState
from walkthrough.explorers.stepper.landmarks import Landmarks
from walkthrough.explorers.stepper.moves import Stops
from walkthrough.explorers.stepper.reading import AUTOMATIC, NOTHING, READINGS, Overlay, Place, overlay
from walkthrough.explorers.stepper.value import HISTOGRAM, IMAGE, MOST_ROWS, TABLE, planes, printable, rows_of
from walkthrough.show import class_name
from walkthrough.trace import Change, Step, Trace, Value

MOST_OPTIONS, ON_PICTURE = 200, "on the picture"


class Heads(NamedTuple):
    """What build_targets needs besides the objects: recorded again whenever they or anchor_t change."""

    anchors: Tensor  # (L, A, 2) pixels
    strides: tuple[int, ...]


def _has_pictures(state: "State") -> bool:
    return bool(state.pictures)


def _is_live(state: "State") -> bool:
    return state.live is not None


def _calls(state: "State") -> dict[str, int]:
    """The calls under way, the running one first, with a place for each depth that the recording reaches."""
    if state.recording is None or not state.recording.steps:
        return {"none": 0}
    stack = [f"{c.name}" + (f" (call {c.number})" if c.number > 1 else "") for c in state.recording.stack(state.step)]
    deepest = max(call.depth for call in state.recording.calls)
    words = {f"the running call: {stack[-1]}": 0}
    words |= {f"called from: {name}" if up == 1 else f"{up} up: {name}": up for up, name in enumerate(stack[-2::-1], 1)}
    return words | {f"{up} up: none": up for up in range(len(stack), deepest + 1)}


def openable(recording: Trace) -> tuple[str, ...]:
    """All that may be opened: variables, and what is in them, in the order in which they appear."""
    names: dict[str, None] = {"": None}
    for step in recording:
        for change in step.changes:
            names[change.name] = None
            for part, inside in _named(change.value.parts if change.value else ()):
                names[f"{change.name}.{part}"] = None
                names |= {f"{change.name}.{part}.{inner}": None for inner, _ in _named(inside.parts)}
        if len(names) > MOST_OPTIONS:
            break
    return tuple(names)


def _named(parts: Iterable[tuple[str, Value]]) -> Iterator[tuple[str, Value]]:
    """Parts by names of their own: the key 1 beside the key "1" becomes "1 (2)"."""
    counts: Counter[str] = Counter()
    for key, part in parts:
        counts[key] += 1
        yield (key if counts[key] == 1 else f"{key} ({counts[key]})"), part


def _names(state: "State") -> dict[str, str]:
    """What may be opened, and what is open; and the words for it."""
    known = dict.fromkeys((*state.openable, *variables_of(state), state.name))
    return {printable(name): name for name in known}


def variables_of(state: "State") -> dict[str, Value]:
    """The variables of the shown call, after the step."""
    if state.recording is None or not state.recording.steps:
        return {}
    return state.recording.state(state.step, call_of(state))


def call_of(state: "State") -> int:
    """Index of the call whose variables are shown."""
    stack = state.recorded.stack(state.step)
    return stack[-1 - min(state.frame, len(stack) - 1)].index


def opened_of(state: "State") -> Value | None:
    """The value that is shown in full, None where it does not exist (yet)."""
    return value_in(variables_of(state), state.name)


@dataclass(frozen=True)
class Steps:
    """Where the reader stands, and what is looked at."""

    recording: Trace | None = given()
    openable: tuple[str, ...] = given(("",))
    landmarks: Landmarks = given(Landmarks())  # of the recording
    live: Heads | None = given()
    breakpoints: Stops = given(())  # (source, line); a plain line number is one of the shown source
    step: int = slider(
        0,
        0,
        lambda state: max(len(state.recording or ()) - 1, 0),
        help="which moment of the recording is shown: a line that ran, and what the variables were then",
    )
    frame: int = choice(
        0,
        _calls,
        label="call",
        help="whose variables are shown: of the function that runs, or one that called it",
        linked=False,
    )
    name: str = choice(
        "",
        _names,
        label="open",
        help="the variable whose numbers are shown in full; a click on its row does the same",
        linked=False,
    )
    view: str = choice(
        TABLE,
        (TABLE, HISTOGRAM, IMAGE),
        label="as",
        help="the open value as numbers, as a count of them, or as an image",
        linked=False,
    )
    follow: bool = toggle(True, label="open what a step changed", help="each step opens the variable that it changed")
    plane: int = slider(
        0, 0, lambda state: planes(opened_of(state)) - 1, help="which table of a value of more than two dimensions"
    )
    first_row: int = slider(
        0, 0, lambda state: max(rows_of(opened_of(state)) - MOST_ROWS, 0),
        label="from row", help="where the table of a long value begins: only a part of its rows is shown",
    )  # fmt: skip
    picked: tuple[float, float] | None = point(help="click a line of the source to set or remove a breakpoint")
    row: tuple[float, float] | None = point(help="click a variable to open it")

    @property
    def recorded(self) -> Trace:
        """The recording. Raises ValueError where there is none."""
        if self.recording is None:
            raise ValueError("there is nothing to step through")
        return self.recording


@dataclass(frozen=True)
class State(PictureState, Steps):
    """The same, and the picture that values are drawn on."""

    picture: int = choice(
        0, lambda state: {picture.name: index for index, picture in enumerate(state.pictures)} or {"none": 0},
        help=WHICH_PICTURE, linked=False, shown=_has_pictures, group=ON_PICTURE,
    )  # fmt: skip
    new_class: int = choice(
        0, lambda state: {class_name(cls, state.names): cls for cls in range(max(len(state.names), 1))},
        label="class of a drawn box", help=CLASS_OF_DRAWN, linked=False, shown=_is_live, group=ON_PICTURE,
    )  # fmt: skip
    read_as: str = choice(
        AUTOMATIC, READINGS, label="draw the value as", linked=False,
        help="whether its numbers are boxes, points or cells of the picture, or nothing of it",
        shown=_has_pictures, group=ON_PICTURE,
    )  # fmt: skip
    stride: int = choice(
        0, {"from the grid": 0} | {f"{size} px": size for size in (1, 2, 4, 8, 16, 32, 64, 128)},
        label="size of a cell", linked=False, help="how many pixels of the picture a cell of the value stands for",
        shown=_has_pictures, group=ON_PICTURE,
    )  # fmt: skip
    anchor_t: float = slider(
        4.0,
        1.1,
        10,
        0.1,
        shown=_is_live,
        group=ON_PICTURE,
        help="an anchor matches an object when no side differs by this factor or more",
    )


def with_stops(state: State) -> State:
    """Breakpoints in full, and the one that was clicked set or removed."""
    source = state.recorded.calls[call_of(state)].source
    given = state.breakpoints if isinstance(state.breakpoints, list | tuple | set | frozenset) else None
    found = [_stop(stop, source) for stop in given] if given is not None else [None]
    stops: Stops = tuple(stop for stop in found if stop is not None)
    if len(stops) < len(found):
        raise ValueError(
            f"breakpoints are line numbers, or (source, line), such as (12, 15), not {state.breakpoints!r}"
        )
    if state.picked is not None:
        stop = (source, int(state.picked[0]))
        stops = tuple(other for other in stops if other != stop) if stop in stops else (*stops, stop)
    return (
        state if stops == state.breakpoints and state.picked is None else replace(state, breakpoints=stops, picked=None)
    )


def _stop(stop: object, source: int) -> tuple[int, int] | None:
    """A breakpoint as (source, line); None of what is none."""
    pair = stop if isinstance(stop, list | tuple) else (source, stop)
    if len(pair) != 2 or not all(isinstance(number, Real) and number == number // 1 for number in pair):
        return None
    return int(pair[0]), int(pair[1])


def name_to_open(state: State) -> str:
    """The most interesting name that a step changed; where it changed none, the one that is open, if it is known.

    Without follow, the name that is open stays open.
    """
    step = state.recorded.steps[state.step]
    changed = [(change, change.value) for change in step.changes if change.value is not None]
    if state.follow and changed:
        best, _ = max(changed, key=lambda found: (_interest(found[1]), found[0].kind not in ("argument", "outer")))
        return best.name
    if opened_of(state) is not None or not state.follow:
        return state.name
    variables = variables_of(state)
    return max(reversed(variables), key=lambda name: _interest(variables[name]), default="")


def _interest(value: Value) -> int:
    if value.kind in ("tensor", "array"):
        return 3 if len(value.shape) > 1 else 2
    return 1 if value.parts else 0


def value_in(variables: dict[str, Value], name: str) -> Value | None:
    """A variable, or a part of one, by its name; keys and variables such as "self.x" may hold dots themselves."""
    return _found(variables.items(), name)


def _found(parts: Iterable[tuple[str, Value]], path: str) -> Value | None:
    """Of parts, or parts of them, the one that is named in openable(); the longest key first."""
    for key, part in sorted(_named(parts), key=lambda part: -len(part[0])):
        if path == key:
            return part
        if path.startswith(f"{key}.") and (found := _found(part.parts, path[len(key) + 1 :])) is not None:
            return found
    return None


def within(before: State, after: State) -> State:
    """Plane and row of another value begin at its beginning."""
    opened = opened_of(after)
    if after.name != before.name:
        return replace(after, plane=0, first_row=0)
    plane, row = min(after.plane, planes(opened) - 1), min(after.first_row, max(rows_of(opened) - MOST_ROWS, 0))
    return replace(after, plane=plane, first_row=row) if (plane, row) != (after.plane, after.first_row) else after


class Result(NamedTuple):
    """One moment of a recording, and what is looked at."""

    recording: Trace
    step: Step
    call: int  # the call whose variables are shown
    variables: dict[str, Value]
    changed: dict[str, Change]  # of these variables, by this step
    name: str  # of the opened value; "": none is open
    opened: Value | None
    before: Value | None  # what the name held before this step
    overlay: Overlay
    state: Any


def compute(state: State) -> Result:
    """The recording at a step."""
    if state.recording is None:
        raise ValueError("there is nothing to step through")
    recording, step = state.recording, state.recording.steps[state.step]
    call, opened = call_of(state), opened_of(state)
    variables = variables_of(state)
    changed = {change.name: change for change in step.changes} if call == step.call else {}
    before, path = None, f"{state.name}."
    related = any(path.startswith(f"{name}.") or name.startswith(path) for name in changed)
    if state.step and opened is not None and related:
        before = value_in(recording.state(state.step - 1, call), state.name)
    drawn = Overlay(NOTHING)
    if state.pictures and opened is not None:
        stack = [recording.state(state.step, c.index) for c in reversed(recording.stack(state.step)) if c.index <= call]
        place = Place(state.name.split(".")[-1], tuple(stack), state.shown.size, state.picture, state.stride)
        drawn = overlay(opened, state.read_as, place, state.shown.pixels)
    return Result(recording, step, call, variables, changed, state.name, opened, before, drawn, state)
