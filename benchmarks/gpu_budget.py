"""Time for each part of benchmarks/gpu.py, and what is kept of a run that was cut off."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from gpu_checks import Finding, Machine

SECONDS = 450.0  # of all parts together; starting Python and CUDA takes some more of the eight minutes
GRACE = 15.0  # after which a part that does not listen ends the whole command
# What a part may take, besides what those before it have left. Together SECONDS: none can push out another.
BUDGETS = {
    "loss": 25.0,  # the first one loads CUDA, too
    "iou": 5.0,
    "train": 50.0,
    "waits": 20.0,
    "limits": 10.0,
    "peer": 75.0,
    "speed": 85.0,
    "nms": 10.0,
    "nccl": 15.0,
    "augment": 20.0,
    "resume": 30.0,
    "torchvision": 25.0,
    "ap": 20.0,
    "map": 60.0,
}
Item = TypeVar("Item")


class OutOfTime(BaseException):
    """Ends a part at its limit; no Exception, so that nothing on the way catches it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside once the time is over; a part that waits for the device hears it when that is done.

    Only the main thread of a system with SIGALRM can be interrupted; elsewhere a part ends where it looks at the clock.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_part(name: str, check: Callable[[Machine], Finding], machine: Machine, budget: float) -> Finding:
    """A part that breaks is one that differs, one that runs out of time says so; the parts after it still run."""
    if machine.seconds_left() <= 0:
        return Finding(None, "no time was left to begin it", cut="before it began")
    seconds = min(budget, machine.seconds_left())
    given = machine._replace(deadline=time.monotonic() + 0.9 * seconds)  # a tenth to come to an end by itself
    try:
        with limited(seconds):
            return check(given)
    except OutOfTime:
        return Finding(None, f"the {seconds:.0f} s of {name} were over", cut="in the middle")
    except Exception as error:
        return Finding(False, f"{type(error).__name__}: {error}")


class Kept:
    """What has been found so far, in a file that is whole after every part."""

    def __init__(self, path: Path | None, machine: str) -> None:
        self.path = path
        self.document: dict[str, Any] = {"machine": machine}

    def add(self, name: str, found: Finding, seconds: float) -> None:
        self.document[name] = {**found._asdict(), "seconds": round(seconds, 1)}
        if self.path is not None:
            beside = self.path.with_name(f"{self.path.name}.part")
            beside.write_text(json.dumps(self.document, indent=1), encoding="utf-8")
            beside.replace(self.path)


@contextmanager
def ending_by(seconds: float, exit_now: Callable[[int], object] = os._exit) -> Iterator[None]:
    """Ends the process with code 3 where it is still inside after these seconds: a device that hangs is left."""

    def end() -> None:
        print("\nSTOPPED: a part does not come back from the device; what was found before stands above", flush=True)
        sys.stdout.flush()
        exit_now(3)

    timer = threading.Timer(max(seconds, 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def markdown(title: str, parts: Sequence[tuple[str, str, Finding]]) -> str:
    """A section of RESULTS.md: (name, verdict, finding) of each part, with its table."""
    lines = [f"## {title}", ""]
    for name, verdict, found in parts:
        lines += [f"**{name}**: {verdict}. {found.words}", ""]
        if found.rows:
            head, *rows = found.rows
            lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
