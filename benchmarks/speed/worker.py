"""The loop of a process that measures: a request comes in as a line of JSON, an answer goes out as one.

Requests: {"do": "prepare", "slot", "figure", "options", "threads", "seconds"}: makes what is needed, warms up, decides
how many calls a turn has; {"do": "turn", "slot"}: one turn; {"do": "forget"}: lets go of it all; {"do": "facts"}: what
this process runs on. Imports nothing of the project.
"""

import gc
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MOST_CALLS = 2000  # in a turn
ANSWER = "answer: "  # before each: libraries print on the same stream when they are imported
Make = Callable[..., "Work"]


class Skipped(Exception):
    """This cannot be measured here; the text says why."""


class Work(NamedTuple):
    """What a turn calls."""

    call: Callable[[], float | None]  # returns the seconds where it measures them itself
    units: float = 1  # images, samples ... in a call
    close: Callable[[], object] = lambda: None


class Turn(NamedTuple):
    """Seconds of one call, medians over the calls of a turn."""

    wall: float
    cpu: float  # of all threads of this process; of processes that it started, nothing
    calls: int
    units: float


def timed(call: Callable[[], float | None]) -> tuple[float, float]:
    """(wall, CPU) seconds of a call."""
    start, cpu = time.perf_counter(), time.process_time()
    own = call()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return (wall if own is None else own), cpu


def calls_in_a_turn(work: Work, seconds: float) -> int:
    """Warms up, and says how often the work fits into the seconds of a turn."""
    first = _lasts(work)
    once = min(_lasts(work) for _ in range(2)) if first < max(1.0, seconds) else first
    return max(1, min(MOST_CALLS, round(seconds / max(once, 1e-9))))


def _lasts(work: Work) -> float:
    """Seconds of a whole call, which may be more than what it measures: a pass returns those of one sample."""
    start = time.perf_counter()
    work.call()
    return time.perf_counter() - start


def turn(work: Work, calls: int) -> Turn:
    """Measures one turn."""
    gc.collect()
    times = [timed(work.call) for _ in range(calls)]
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return Turn(wall, cpu, calls, work.units)


def serve(
    figures: Mapping[str, Make], set_threads: Callable[[int], object], facts: Callable[[], dict[str, Any]]
) -> None:
    """Answers until the requests end. What the libraries print goes to stderr, so that answers stay lines of JSON."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    prepared: dict[str, tuple[Work, int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "facts":
                answer = facts()
            elif request["do"] == "prepare":
                set_threads(request["threads"])
                work = figures[request["figure"]](**request["options"])
                prepared[request["slot"]] = work, calls_in_a_turn(work, request["seconds"])
                answer = {}
            elif request["do"] == "turn":
                answer = turn(*prepared[request["slot"]])._asdict()
            else:
                for work, _ in prepared.values():
                    work.close()
                prepared.clear()
                gc.collect()
                answer = {}
        except Skipped as why:
            answer = {"skipped": str(why)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(ANSWER + json.dumps(answer), file=answers, flush=True)
