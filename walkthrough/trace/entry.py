"""trace(): runs a function and gives the Trace of it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from walkthrough.trace.frames import error_text
from walkthrough.trace.functions import code_to_trace, codes_of, qualified
from walkthrough.trace.observer import words_of
from walkthrough.trace.recorder import Recorder, hidden
from walkthrough.trace.replay import Trace

MEMORY, MOST_STEPS = 64, 20_000


def trace(
    fn: Callable[..., Any], into: Any | Sequence[Any] = (), memory: float = MEMORY, most_steps: int = MOST_STEPS
) -> Callable[..., Trace]:
    """Records a function: ``trace(fn)(*args)`` calls ``fn(*args)`` and gives a Trace of each line that ran.

    The function computes what it always does: gradients, chance, errors and in-place counters are as without recording.
    Comprehensions, lambdas and functions written inside the function are recorded with it. A generator is run to its
    end, and its result is the list of what it yielded; where the steps do not suffice, it is closed there. An error
    ends up in trace.error; KeyboardInterrupt and SystemExit pass through. Tensors on a GPU are copied, which waits
    for it.

    What can differ, and what is not seen:
        Values live until the end of the line that lets go of them, and one reference more is held: ndarray.resize,
        which counts them, raises (resize(..., refcheck=False) does not).
        Before Python 3.13, where Python itself copies the variables of traced functions to and fro, a dict that
        locals() gave goes on being filled, and assignments of other threads to a nonlocal variable may be lost (a note
        says so where threads were started).
        Another call draws other random numbers, unless all generators begin in the same state: a note names those of
        the function's own (random.Random, np.random.Generator, torch.Generator), and not the global ones.
        What runs in other threads is not recorded. Changes of large values past PyTorch's counter (.data, NumPy on
        the same memory) are seen when a line names the value (up to 16 MB), and when it gets another name or is
        returned; those in lists beyond the first 32 members, or more than three levels deep, are not looked for.

    Args:
        fn: function, method, lambda, functools.partial, decorated function, nn.Module, class, or anything with
            __call__, from a library, a file or a notebook.
        into: functions, methods, classes, torch modules or Python modules whose calls are recorded too.
        memory: MB that copies of tensors and arrays, and what lists and the like hold, may take; beyond, the oldest
            large ones are dropped first and leave their statistics. One copy takes a quarter at most: of larger
            tensors, the beginning is kept.
        most_steps: after this many the function goes on unrecorded, and a note says so.
    Raises:
        ValueError: fn has no lines of Python: it is compiled, TorchScript, or made by torch.compile; or it is
            async. memory or most_steps is not
            a number above 0.

    >>> def countdown(n):
    ...     return n if n == 0 else countdown(n - 1)
    >>> trace(countdown)(2)
    trace of walkthrough.trace.entry.countdown: 8 steps in 3 calls
    countdown
             n = 2
        2  return n if n == 0 else countdown(n - 1)
      countdown (2nd call)
               n = 1
          2  return n if n == 0 else countdown(n - 1)
        countdown (3rd call)
                 n = 0
            2  return n if n == 0 else countdown(n - 1)
                 returns 0
          2  back in: return n if n == 0 else countdown(n - 1)
               returns 0
        2  back in: return n if n == 0 else countdown(n - 1)
             returns 0
    returned 0
    """
    numbers = all(isinstance(value, int | float | np.number) for value in (memory, most_steps))
    if not numbers or not (0 < memory < float("inf") and 1 <= most_steps < float("inf")):
        raise ValueError(
            f"memory (in MB) and most_steps must be numbers above 0, not {words_of(memory)} and {words_of(most_steps)}"
        )
    root = code_to_trace(fn)
    codes = codes_of(root, into)
    name = ".".join(part for part in (root.module, qualified(root.code)) if part)

    def recorded(*args: Any, **kwargs: Any) -> Trace:
        recorder = Recorder(codes, int(memory * 2**20), int(most_steps))
        result, error = recorder.run(fn, args, kwargs, root)
        returned = recorder.value(result) if error is None else None
        steps = recorder.steps(error)
        notes = _notes(recorder, most_steps, name, result, error)
        if error is not None:
            _forget_frames(error)
        return Trace(name, steps, tuple(recorder.calls), tuple(recorder.sources), result, returned, error, notes)

    return recorded


def _forget_frames(error: BaseException) -> None:
    """Tracebacks hold every variable of the function, at any size: those of an error and of what it came from go."""
    seen = {id(each) for each in _chain(sys.exc_info()[1], set())}  # what the caller is handling is the caller's
    for each in _chain(error, seen):
        each.__traceback__ = None


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def _notes(recorder: Recorder, most_steps: int, name: str, result: Any, error: BaseException | None) -> tuple[str, ...]:
    notes = []
    if not recorder.drafts:
        notes.append(f"no line of {name} ran: {_why_nothing(result, error)}")
    if recorder.full:
        notes.append(f"recorded until step {most_steps:,}; the function went on (most_steps= sets how far)")
    if recorder.broken:
        notes.append("recording was switched off on the way, by the function or at Python's recursion limit")
    if recorder.lost:
        notes.append(f"{recorder.lost:,} events could not be recorded, above all near Python's recursion limit")
    if recorder.threads_share:
        notes.append(
            "threads were started that share nonlocal variables with what was recorded: before Python 3.13 some of "
            "their assignments may be lost while it is recorded"
        )
    with hidden():
        notes += recorder.chance.notes()
    if recorder.copies.gave_way:
        notes.append("copies that were dropped for later ones: memory= sets how many MB they may take")
    return tuple(notes)


def _why_nothing(result: Any, error: BaseException | None) -> str:
    if error is not None:
        return f"the call itself raised {error_text(error)}"
    if isinstance(result, AbstractContextManager):
        return (
            "it gave a context manager: its lines run where it is entered. Trace what enters it, and name it in into="
        )
    return "a cache or a compiled version may have answered in its place"
