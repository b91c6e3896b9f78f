"""Stepper: a recorded function forwards and back, line by line, with every tensor on the way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from walkthrough.explorers.adjusting import differs
from walkthrough.explorers.base import Action
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.pictures import Annotated, PictureExplorer, targets_of
from walkthrough.explorers.stage import part_of_module
from walkthrough.explorers.stepper import moves
from walkthrough.explorers.stepper.landmarks import STORIES, landmarks_of
from walkthrough.explorers.stepper.scene import scene_of, step_in_words, takeaway_of
from walkthrough.explorers.stepper.state import (
    Heads,
    Result,
    State,
    compute,
    name_to_open,
    openable,
    opened_of,
    variables_of,
    with_stops,
    within,
)
from walkthrough.explorers.stepper.value import shortened
from walkthrough.trace import Trace, load_trace, trace
from yolo_lite.loss import targets as steps_of_matching
from yolo_lite.loss.targets import build_targets
from yolo_lite.model.spec import read_anchors, read_spec

STRIDES = (8, 16, 32)  # of the default anchors
IN_CODE = ("picture", "anchor_t", "step", "frame", "name", "view", "plane", "first_row", "read_as", "stride")


class Stepper(PictureExplorer[State, Result]):
    """A recording, step by step: source with the current line lit, variables, one value in full, boxes on a picture.

    Args:
        trace: what trace(fn)(...) gave, or a file that its save wrote; left out: build_targets on the pictures,
            recorded again when an object is moved or anchor_t changes.
        images, targets, names: pictures to draw boxes and cells on, see annotate; without a trace the tour's.
        model: without a trace, with anchors and strides; left out: YOLOv5's.

    It opens at the first step that changes a tensor.

    Keys: n next, p previous, o over calls, u out of this call, i the next time this line runs, c and x the next and the
    last change of the opened name, b the next breakpoint (click a line to set one), f first, l last.

    >>> def mean(values):
    ...     total = 0
    ...     for value in values:
    ...         total += value
    ...     return total / len(values)
    >>> w = Stepper(trace(mean)([1, 2, 6]))
    >>> w.name = "total"
    >>> w.next_change(), w.next_change(), w.next_change()
    (None, None, None)
    >>> w.result.opened.text, w.result.step.iteration
    ('3', 2)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Stepper"
    part_of = "targets"  # what it records by itself
    primary = "step"
    stories = STORIES
    actions = (
        Action("back", "back", "p", "one step back", large=True),
        Action("next", "next", "n", "one step on, into calls", large=True),
        Action("first", "|<", "f", "to the first step"),
        Action("over", "over", "o", "to the next step that is not inside a call made from here"),
        Action("out", "out", "u", "until this call is over"),
        Action("next_time", "next time here", "i", "the next time that this line runs"),
        Action("previous_change", "last change", "x", "back to the step that changed the opened name before"),
        Action("next_change", "next change", "c", "on to the next step that changes the opened name"),
        Action("next_stop", "to breakpoint", "b", "to the next line with a breakpoint: click a line to set one"),
        Action("last", ">|", "l", "to the last step"),
    )

    def __init__(self, trace: Trace | str | Path | None = None, **settings: Any) -> None:
        super().__init__(**settings if trace is None else {"trace": trace, **settings})

    @property
    def uploads(self) -> bool:  # type: ignore[override]  # nobody sets it
        """Pictures can be brought where their objects are what is recorded."""
        return self.state.live is not None

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        trace: Any = None,
        images: Any = None,
        targets: Any = None,
        names: Sequence[str] | None = None,
        model: Any = None,
    ) -> dict[str, Any]:
        """See the class."""
        recording = load_trace(trace) if isinstance(trace, str | Path) else trace
        if recording is not None and not isinstance(recording, Trace):
            raise ValueError(
                "a Stepper shows what trace(fn)(its arguments) gives, or the path of a saved one, "
                f"not {type(trace).__name__}"
            )
        inputs = super().prepare(images, targets, names) if recording is None or images is not None else {}
        if recording is None:
            live = _heads(model)
            recording = _matching(inputs["pictures"], live, 4.0)
            inputs["live"] = live
        if not recording.steps:
            raise ValueError(f"nothing was recorded: {' '.join(recording.notes)}")
        landmarks = landmarks_of(recording)
        inputs |= {"recording": recording, "openable": openable(recording), "landmarks": landmarks, **landmarks.tensor}
        return inputs if landmarks.tensor else inputs | {"name": name_to_open(State(**inputs))}

    def settle(self, before: State, after: State) -> State:
        """Moved objects are recorded again; clicks open variables and set breakpoints; a step opens what it changed."""
        if after.recording is None:
            return after
        if not isinstance(after.recording, Trace) or not after.recording.steps:
            raise ValueError(f"recording is what trace(fn)(its arguments) gave, not {_in_words(after.recording)}")
        if not isinstance(after.pictures, tuple) or not all(isinstance(p, Annotated) for p in after.pictures):
            raise ValueError(f"pictures are what annotate(images, targets) gave, not {_in_words(after.pictures)}")
        after = super().settle(before, after)
        if after.live is not None and (after.pictures is not before.pictures or after.anchor_t != before.anchor_t):
            recording = _matching(after.pictures, after.live, after.anchor_t)
            step = after.step if before.recording is None else moves.same_place(after.recorded, after.step, recording)
            after = replace(after, recording=recording, step=step)
        if after.recording is not before.recording or after.openable is not before.openable:
            after = replace(after, openable=openable(after.recorded), landmarks=landmarks_of(after.recorded))
        after = replace(after, step=min(after.step, len(after.recorded) - 1))
        moved = after.step != before.step or after.recording is not before.recording
        if moved and after.frame == before.frame:
            after = replace(after, frame=0)
        after = replace(after, frame=min(after.frame, len(after.recorded.stack(after.step)) - 1))
        after = with_stops(after)
        if after.row is not None:
            names = list(variables_of(after))
            row = int(after.row[0])
            after = replace(after, row=None, name=names[row] if 0 <= row < len(names) else after.name)
        elif moved and after.name == before.name:
            after = replace(after, name=name_to_open(after))
        elif opened_of(after) is None and after.frame != before.frame:
            after = replace(after, name=name_to_open(replace(after, name="")))
        return within(before, after)

    def present_part(self) -> str:
        """The part of training that the running function belongs to; "" of a function of the reader's own."""
        if self.computed is None:
            return self.part_of
        recording, call = self.computed.recording, self.computed.call
        return part_of_module(recording.sources[recording.calls[call].source].name)

    def words(self) -> str:
        """Where the function is and what changed."""
        return step_in_words(self.computed) if self.computed is not None else self.message

    def cell_names(self) -> dict[str, str]:
        """The recording, where it was given."""
        return super().cell_names() | {"recording": "# recording: the trace that was given to Stepper"}

    def cell_code(self) -> str:
        """as_code, with the pictures and boxes as they are now where they are what is recorded."""
        is_own = self.state.live is not None and (self._has_brought() or self._given.keys() & {"images", "targets"})
        own = "Stepper(images=images, targets=targets, " if is_own else "Stepper("
        return self.as_code().replace("Stepper(", own, 1)

    def as_code(self) -> str:
        """The place and what is open, as a line of Python."""
        first = () if self.state.live is not None else ("recording",)
        opened = replace(self.State(), **self.state.landmarks.tensor)  # what it opens with
        shown = {name: getattr(self.state, name) for name in IN_CODE if differs(opened, self.state, name)}
        return f"Stepper({', '.join([*first, *(f'{name}={value!r}' for name, value in shown.items())])})"

    # -- moves --------------------------------------------------------------------------------------------------------

    def first(self) -> None:
        """To the first step."""
        self.set(step=0)

    def last(self) -> None:
        """To the last step."""
        self.set(step=len(self.state.recording or (0,)) - 1)

    def next(self) -> None:
        """One step on, into calls."""
        self._go(lambda recording, at: at + 1 if at + 1 < len(recording) else None, "this is the last step")

    def back(self) -> None:
        """One step back."""
        self._go(lambda recording, at: at - 1 if at else None, "this is the first step")

    def over(self) -> None:
        """To the next step that is not inside a call made from here."""
        self._go(moves.over, "nothing follows outside of what is called here")

    def out(self) -> None:
        """To the step at which this call is over."""
        self._go(moves.out, "this call is the first one: nothing comes after it")

    def next_time(self) -> None:
        """To the next time that this line runs."""
        self._go(moves.next_time, "this line does not run again")

    def next_change(self) -> None:
        """To the next step that changes the opened name."""
        self._to_change(moves.next_change, "does not change any more")

    def previous_change(self) -> None:
        """Back to the step that changed the opened name before."""
        self._to_change(moves.previous_change, "was not changed before")

    def next_stop(self) -> None:
        """To the next step at a line with a breakpoint."""
        stops = self.state.breakpoints
        none = "no line with a breakpoint follows" if stops else "there is no breakpoint: click a line of the source"
        self._go(lambda recording, at: moves.next_stop(recording, at, stops), none)

    def _to_change(self, find: Callable[[Trace, int, str], int | None], otherwise: str) -> None:
        name = self.state.name
        if not name or self.state.recording is None:
            self._say("open a variable first: then this goes to its changes")
            return
        root = moves.variable_of(self.state.recording, name)
        if self._go(lambda recording, at: find(recording, at, root), f"{root} {otherwise}") and self.state.name != name:
            self.set(name=name)

    def _go(self, find: Callable[[Trace, int], int | None], otherwise: str) -> bool:
        recording = self.state.recording
        found = find(recording, self.state.step) if recording is not None and recording.steps else None
        if found is None:
            self._say(f"{otherwise[0].upper()}{otherwise[1:]}.")
        else:
            self.set(step=found)
        return found is not None

    def _say(self, sentence: str) -> None:
        self.message = sentence
        self.refresh()


def _in_words(value: Any) -> str:
    return "one in which nothing was recorded" if isinstance(value, Trace) else shortened(repr(value))


def _heads(model: Any) -> Heads:
    """Anchors and strides of a model, of one in a checkpoint, or YOLOv5's."""
    model = opened_model(model)
    if model is None:
        return Heads(torch.as_tensor(read_anchors(read_spec("yolov5n")[0]["anchors"], STRIDES)), STRIDES)
    if getattr(model, "anchors", None) is None or getattr(model, "strides", None) is None:
        raise ValueError(
            f"{type(model).__name__} has no anchors and strides: this shows YOLOv5's build_targets, which needs them"
        )
    return Heads(torch.as_tensor(model.anchors).detach().cpu(), tuple(int(stride) for stride in model.strides))


def _matching(pictures: Any, heads: Heads, anchor_t: float) -> Trace:
    """build_targets and its steps, recorded on the objects of all pictures."""
    height, width = pictures[0].size
    grids = [(height // stride, width // stride) for stride in heads.strides]
    recorded = trace(build_targets, into=steps_of_matching)
    return recorded(targets_of(pictures), grids, heads.anchors, heads.strides, anchor_t)
