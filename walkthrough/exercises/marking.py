"""Marks the exercises of many files: each one in a process of its own, with limits of time and memory."""

import contextlib
import csv
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from walkthrough.exercises import runner
from walkthrough.exercises.files import Submission, read_submission
from walkthrough.exercises.slicing import slice_for
from walkthrough.tables import Words, table_text

SECONDS = 60.0
MEGABYTES = 4000.0
LONGEST = 100  # letters of a message in the table
RESULTS = {
    "passed": "equal to the library's",
    "wrong": "differs from it",
    "not written": "there is only ...",
    "missing": "the function is gone",
    "broken": "its cell, or one that it needs, does not run",
    "stopped": "it took too long, or too much memory",
    "unreadable": "no notebook",
}


class Mark(NamedTuple):
    """One row of the table."""

    file: str
    exercise: str
    result: str  # one of RESULTS
    message: str


def mark(
    files: Sequence[Path], seconds: float = SECONDS, jobs: int | None = None, megabytes: float = MEGABYTES
) -> list[Mark]:
    """Marks of all exercises in all files, in order.

    Args:
        files: notebooks and programs. seconds: each exercise may take. jobs: exercises at a time; None: one a core.
        megabytes: of memory that each exercise may take besides the library, where the system can limit it (Linux).
    """
    submissions = [read_submission(path) for path in files]
    asked = [(each, name) for each in submissions for name in each.exercises or (() if each.asks_nothing else ("",))]
    processes = _processes()
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:  # threads wait, processes work
        return list(pool.map(lambda pair: _mark_one(processes, pair[0], pair[1], seconds, megabytes), asked))


def _mark_one(processes: BaseContext, submission: Submission, name: str, seconds: float, megabytes: float) -> Mark:
    file = str(submission.path)
    if submission.problem:
        return Mark(file, "-", "unreadable", submission.problem)
    if not name:
        return Mark(file, "-", "missing", "no exercise is in it: neither a function my_... nor a section Your turn")
    problem = slice_for(submission.cells, runner.names_of(name)).problem
    if problem:
        return Mark(file, name, "missing" if problem.startswith("there is no") else "broken", problem)
    with tempfile.TemporaryDirectory() as folder:
        answer, work = Path(folder, "answer.json"), Path(folder, "work")
        work.mkdir()
        process = processes.Process(  # type: ignore[attr-defined]  # every context has it
            target=runner.serve, args=(name, submission.cells, str(answer), str(work), megabytes), daemon=True
        )
        if not _run(process, seconds):
            return Mark(file, name, "stopped", f"it did not come to an end within {seconds:g} seconds")
        try:
            found = json.loads(answer.read_text(encoding="utf-8"))
            return Mark(file, name, found["result"], found["message"])
        except (OSError, ValueError, TypeError, KeyError):
            # There is no answer, or the notebook's code wrote something in its place.
            return Mark(file, name, "broken", "it ended the process that runs it, before there was a result")


def _processes() -> BaseContext:
    """Processes that begin with the library loaded: copies of one that has done nothing yet, where the system can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")  # Windows: each of them loads it anew, some seconds
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([runner.__name__])
    return processes


def _run(process: BaseProcess, seconds: float) -> bool:
    """Starts a process and waits for it; whether it came to an end by itself."""
    process.start()
    process.join(seconds)
    ended = not process.is_alive()
    if hasattr(os, "killpg") and process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what it has started, too
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    return ended


def table_of_marks(marks: Sequence[Mark]) -> str:
    """The table, and a line that counts. Messages are cut off; the CSV file has them whole.

    >>> print(table_of_marks([Mark("a.ipynb", "nms", "passed", "my_nms: equal on 7 inputs")]))
    file     exercise  result  what was found
    -------  --------  ------  -------------------------
    a.ipynb  nms       passed  my_nms: equal on 7 inputs
    1 of 1 passed
    """
    rows = [[*each[:3], shorten(each.message, LONGEST, placeholder=" ...")] for each in marks]
    passed = sum(each.result == "passed" for each in marks)
    return f"{table_text(Words(HEADINGS, rows))}\n{passed} of {len(marks)} passed"


HEADINGS = ("file", "exercise", "result", "what was found")


def write_csv(marks: Sequence[Mark], path: Path) -> None:
    """The table as a file for a spreadsheet."""
    # the mark at its start tells Excel the encoding; names of files need not be UTF-8
    with path.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        writer.writerows(_harmless(each) for each in marks)


def _harmless(row: Mark) -> list[str]:
    """A cell that begins like a formula would be run by a spreadsheet: file names and messages come from strangers."""
    return [f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and cell != "-" else cell for cell in row]
