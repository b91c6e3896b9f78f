"""Runs a function and writes down, line by line, what changed. sys.settrace says when a line is about to run.

So a line's changes are seen when the next one begins, or when the function returns or raises. Whatever goes wrong
while recording costs steps of the recording, never the function.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, GeneratorType
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from walkthrough.trace.chance import Chance
from walkthrough.trace.frames import SIMPLE, Draft, Frame, Kind, error_text
from walkthrough.trace.functions import Code, Codes, assigns_nonlocals, qualified, source_of
from walkthrough.trace.observer import Observer, nothing_known
from walkthrough.trace.steps import RETURNED, YIELDED, Call, Change, Source, Step
from walkthrough.trace.values import Copies, Value
from walkthrough.trace.watch import Watched

SHARED_FRAMES = 4
RETURNS = {"RETURN_VALUE", "RETURN_CONST", "RETURN_GENERATOR"}
YIELD = "YIELD_VALUE"


class Recorder:
    """One recording. run() may be called once."""

    def __init__(self, codes: Codes, budget: int, most_steps: int) -> None:
        self.codes, self.most_steps = codes, most_steps
        self.copies = Copies(budget)
        self._observer = Observer(self.copies, self._known)
        self.drafts: list[Draft] = []
        self.calls: list[Call] = []
        self.sources: list[Source] = []
        self.full = self.broken = False  # no room for more steps; Python switched recording off
        self.threads_share = False  # variables that are recorded
        self.lost = 0  # events that could not be recorded
        self.chance = Chance()
        self._closed, self._threads = False, 0  # over; how many threads there were
        self._kinds: dict[int, Kind] = {}
        self._source_index: dict[int, int] = {}
        self._call_of: dict[int, tuple[int, CodeType]] = {}  # by id of the frame
        self._open: dict[FrameType, Frame] = {}
        self._suspended: dict[Any, Frame | None] = {object(): None}  # generators; the first key is ours alone
        self._stack: list[Frame] = []
        self._returned: Watched | None = None  # until the line that called ends

    # -- running ------------------------------------------------------------------------------------------------------

    def run(self, fn: Callable[..., Any], args: Any, kwargs: Any, root: Code) -> tuple[Any, Exception | None]:
        """Call the function. Its error is given back; KeyboardInterrupt and SystemExit pass."""
        before, hook = sys.gettrace(), self._on_call
        self._threads = threading.active_count()
        sys.settrace(hook)
        try:
            result = fn(*args, **kwargs)
            if isinstance(result, GeneratorType) and result.gi_code is root.code:
                result = self._drained(result)
            return result, None
        except Exception as error:
            return None, error
        finally:
            self.broken = sys.gettrace() is None and not self.full
            if sys.gettrace() in (hook, None):  # a debugger that was started meanwhile stays
                sys.settrace(before)
            self._closed = True
            self._let_go()

    def _drained(self, generator: GeneratorType) -> list[Any]:
        """All that a generator yields, or as much as there are steps for: it may never end."""
        values = []
        for value in generator:
            values.append(value)
            if self.full:
                break
        generator.close()
        return values

    def steps(self, error: BaseException | None) -> tuple[Step, ...]:
        """The finished steps."""
        deepest = self._raised(error)
        return tuple(
            Step(
                *(draft.index, draft.kind, draft.call, self.calls[draft.call].depth, draft.line, draft.iteration),
                *(tuple(draft.changes), draft.error, draft is deepest),
            )
            for draft in self.drafts
        )

    def _raised(self, error: BaseException | None) -> Draft | None:
        """The step that raised the error: in the deepest call that its traceback knows. Its frames are still alive, so
        that their ids are nobody else's; an error that was handled and freed may have had the same id.
        """
        last = {draft.call: draft for draft in self.drafts if draft.problem == id(error)}
        deepest, entry = None, error.__traceback__ if error is not None else None
        while entry is not None:
            call, code = self._call_of.get(id(entry.tb_frame), (-1, None))
            if code is entry.tb_frame.f_code:
                deepest = last.get(call, deepest)
            entry = entry.tb_next
        return deepest

    def value(self, obj: Any) -> Value:
        """An object in words and numbers, as it is now."""
        with hidden():
            return self._see(obj).described

    # -- events -------------------------------------------------------------------------------------------------------

    def _on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        """A function begins, or a generator goes on."""
        if self.full or self._closed or id(frame.f_code) not in self.codes:
            return None
        try:
            with hidden():
                return Follower(self, self._entered(frame))
        except Exception:
            self.lost += 1
            return None

    def on_event(self, record: Frame, frame: FrameType, event: str, arg: Any) -> bool:
        """A line, an error or the end of a recorded call. False where it is not to be followed any more."""
        if self._closed:
            return False
        if self.full:
            sys.settrace(None)  # the rest runs at full speed
            self._let_go()
            self._returned = None
            return False
        try:
            with hidden():
                self._happened(record, frame, event, arg)
        except Exception:  # RecursionError near the limit, above all
            self.lost += 1
        return True

    def _let_go(self) -> None:
        """Hold no object of the function any more."""
        for record in (*self._open.values(), *self._suspended.values(), *self._stack):
            if record is not None:
                record.let_go()
        self._open.clear()
        self._suspended = {object(): None}
        self._stack.clear()
        self._observer.known = nothing_known

    def _entered(self, frame: FrameType) -> Frame:
        self._forget_closed()
        record = self._suspended.pop(frame, None)
        if record is None:
            record = self._new_frame(frame)
            step = self._begin(record, "call", frame.f_lineno)
            step.changes += record.arguments(found := frame.f_locals)
            self.chance.look_at_call(found, frame)
        else:
            self._open[frame] = record
            self._begin(record, "resume", frame.f_lineno)
        self._stack.append(record)
        return record

    def _new_frame(self, frame: FrameType) -> Frame:
        piece = self.codes[id(frame.f_code)]
        if id(piece.code) not in self._kinds:
            if id(piece.root) not in self._source_index:
                self._source_index[id(piece.root)] = len(self.sources)
                self.sources.append(source_of(piece))
            self._kinds[id(piece.code)] = Kind(
                piece.code,
                self._source_index[id(piece.root)],
                sys.version_info < (3, 13) and assigns_nonlocals(piece.root),
            )
        kind = self._kinds[id(piece.code)]
        kind.number += 1
        parent = self._stack[-1].call.index if self._stack else None
        call = Call(len(self.calls), qualified(piece.code), kind.source, len(self._stack), parent, kind.number)
        self._call_of[id(frame)] = call.index, frame.f_code
        self._open[frame] = record = Frame(call, kind, frame.f_locals, self._see, self._observer.glance)
        self.calls.append(call)
        return record

    def _happened(self, record: Frame, frame: FrameType, event: str, arg: Any) -> None:
        self._forget_closed()
        if record.kind.shares and threading.active_count() > self._threads:
            self.threads_share = True
        if event == "line":
            self._finish(record, frame)
            record.visits[frame.f_lineno] += 1
            self._begin(record, "line", frame.f_lineno)
        elif event == "exception":
            ends = record.kind.ends_by_stop(frame.f_lasti, arg[0])
            record.pending = record.pending if ends else arg[1]
        elif event == "return":
            last = record.kind.left_by(frame.f_lasti)
            leaves = last in RETURNS or (last == YIELD and record.pending is None)  # and is not thrown out
            if arg is None and not leaves:
                self._finish(record, frame)  # it raises
            else:
                self._finish(record, frame, YIELDED if last == YIELD else RETURNED, arg)
            if record in self._stack:
                del self._stack[self._stack.index(record) :]
            self._open.pop(frame, None)
            if last == YIELD and leaves:
                self._suspended[frame] = record
            else:
                record.let_go()

    def _forget_closed(self) -> None:
        """Let go of generators that were closed. From Python 3.12 on no event says so, but then their frames have as
        few references as the first key, which nobody else holds.
        """
        if len(self._suspended) == 1:
            return
        references = [sys.getrefcount(frame) for frame in self._suspended]
        for frame in [
            frame for frame, count in zip(self._suspended, references, strict=True) if count <= references[0]
        ][1:]:
            record = self._suspended.pop(frame)
            if record is not None:  # only the first key has none
                record.let_go()

    def _begin(self, record: Frame, kind: str, line: int) -> Draft:
        record.step = Draft(len(self.drafts), kind, record.call.index, line, max(record.visits[line], 1))
        self.drafts.append(record.step)
        self.full = len(self.drafts) >= self.most_steps
        return record.step

    def _finish(self, record: Frame, frame: FrameType, leaving: str = "", arg: Any = None) -> None:
        """The line is done: what it changed, returned or raised."""
        step = record.step
        if step is None:
            return
        changes = record.changes(frame.f_locals, step.line)
        for name, obj in record.bound(changes):
            self.chance.look(name, obj, is_input=False, depth=0)
        if not leaving:
            self._returned = None  # the line that called has ended: whoever needs it has it
        else:
            self._returned = self._see(arg)
            changes.append(Change(leaving, leaving, self._returned.value))
        problem, record.pending = record.pending, None
        if self.drafts[-1] is not step and (changes or problem is not None):  # recorded functions ran in between
            step = self._begin(record, "back", step.line)
        step.changes += changes
        if problem is not None:
            step.error, step.problem = error_text(problem), id(problem)

    def _see(self, obj: Any, before: Watched | None = None) -> Watched:
        """An object as it is now; not described again where a function on the stack holds it unchanged."""
        known = self._known(obj)
        return known if known is not None else self._observer.see(obj, before)

    def _known(self, obj: Any) -> Watched | None:
        if isinstance(obj, SIMPLE):
            return None
        if self._returned is not None and self._returned.obj is obj and not self._returned.changed(bound=True):
            return self._returned
        for frame in reversed(self._stack[-SHARED_FRAMES:]):
            for watched in frame.watched.values():
                if watched.obj is obj and not watched.changed(bound=True):
                    return watched
        return None


class Follower:
    """What Python calls for each line of a frame. A function that returns itself would hold itself, and with it the
    objects of a finished call, until the garbage collector comes by.
    """

    __slots__ = ("record", "recorder")

    def __init__(self, recorder: Recorder, record: Frame) -> None:
        self.recorder, self.record = recorder, record

    def __call__(self, frame: FrameType, event: str, arg: Any) -> "Follower | None":
        return self if self.recorder.on_event(self.record, frame, event, arg) else None


@contextmanager
def _without_modes() -> Iterator[None]:
    """No mode of torch that counts or replaces operations sees what happens inside, nor does torch.jit.trace."""
    tracing = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]  # not in its stubs
    try:
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            yield
    finally:
        torch._C._set_tracing_state(tracing)  # type: ignore[attr-defined]  # not in its stubs


def hidden() -> Any:
    """What _without_modes is, in the usual case without modes for a tenth of its cost."""
    if torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state():
        return _without_modes()
    return torch._C.DisableTorchFunction()
