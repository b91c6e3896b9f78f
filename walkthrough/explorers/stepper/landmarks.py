"""Places of a recording that are worth looking at: where the Stepper opens, and what its stories go to."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

from walkthrough.explorers.stage import Story
from walkthrough.trace import Change, Step, Trace, Value

GIVEN = ("argument", "outer")  # kinds of changes that the recorded function did not make itself
GIVEN_BACK = ("return", "yield")  # and kinds that change no variable
Landmark = Mapping[str, Any]  # settings of the Stepper; empty where the recording has no such place
NOWHERE: Landmark = MappingProxyType({})


class Landmarks(NamedTuple):
    """Settings that go to each place."""

    tensor: Landmark = NOWHERE  # the first step that changes a tensor
    shape: Landmark = NOWHERE  # the first step that gives a tensor a shape that none had before
    call: Landmark = NOWHERE  # the first function that is entered from the recorded one
    largest: Landmark = NOWHERE  # the step that makes the largest tensor
    error: Landmark = NOWHERE  # the step that raises


def landmarks_of(recording: Trace) -> Landmarks:
    """The places of a recording.

    >>> from walkthrough import trace
    >>> import torch
    >>> def summed(x):
    ...     x = x * 2
    ...     return x.sum(0)
    >>> found = landmarks_of(trace(summed)(torch.ones(2, 3)))
    >>> found.tensor, found.shape, found.call
    ({'step': 1, 'name': 'x'}, {'step': 2, 'name': 'return'}, {})
    """
    steps = recording.steps
    made = [(step, change) for step in steps for change in step.changes if change.kind not in GIVEN]
    tensors = [(step, change) for step, change in made if any(is_tensor(value) for value in _inside(change))]
    largest = max(tensors, key=lambda found: max(map(_size, _inside(found[1]))), default=None)
    return Landmarks(
        tensor=_place(next((found for found in tensors if found[1].kind not in GIVEN_BACK), None)),
        shape=_place(next(_new_shapes(steps), None)),
        call=_step(steps, lambda step: step.kind == "call" and step.depth > 0),
        largest=_place(largest),
        error=_step(steps, lambda step: bool(step.error)),
    )


def is_tensor(value: Value) -> bool:
    """Whether a value is a tensor or an array, of whatever shape."""
    return value.kind in ("tensor", "array")


def _inside(change: Change) -> Iterator[Value]:
    """A value and its parts."""
    if change.value is not None:
        yield change.value
        yield from (part for _, part in change.value.parts)


def _size(value: Value) -> int:
    return prod(value.shape) if is_tensor(value) else 0


def _new_shapes(steps: Iterable[Step]) -> Iterator[tuple[Step, Change]]:
    """Steps that give a tensor a shape that none had before; arguments have shapes, and are not made."""
    known = set[tuple[int, ...]]()
    for step in steps:
        for change in step.changes:
            shapes = {value.shape for value in _inside(change) if is_tensor(value)} - known
            if shapes and change.kind not in GIVEN:
                yield step, change
            known |= shapes


def _place(found: tuple[Step, Change] | None) -> Landmark:
    return {"step": found[0].index, "name": found[1].name} if found is not None else {}


def _step(steps: Iterable[Step], fits: Callable[[Step], bool]) -> Landmark:
    return next(({"step": step.index} for step in steps if fits(step)), {})


STORIES = (
    Story(
        "first change of shape",
        lambda state: state.landmarks.shape,
        "the bold row: a shape that no tensor had before, and the line that made it.",
    ),
    Story(
        "a function is entered",
        lambda state: state.landmarks.call,
        "source and variables are those of the function that is called: bold are its arguments.",
    ),
    Story(
        "the largest tensor",
        lambda state: state.landmarks.largest,
        "its shape: the product of its numbers is what it costs in memory.",
    ),
    Story(
        "an error",
        lambda state: state.landmarks.error,
        "the line that raises, and what its variables were at that moment.",
    ),
)
