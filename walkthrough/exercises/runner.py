"""Checks one exercise of one file, in a process of its own.

It runs what strangers wrote. It has the rights of whoever starts it: ``marking`` gives it limits of time and memory and
an empty folder to work in, and docs/exercises.md says what to do against code that means harm.
"""

import ast
import json
import linecache
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from walkthrough.exercises.checking import check
from walkthrough.exercises.exercise import PREFIX
from walkthrough.exercises.memory import OUT_OF_MEMORY, is_out_of_memory, memory_limit
from walkthrough.exercises.running import error_sentence
from walkthrough.exercises.slicing import Slice, slice_for


def names_of(exercise: str) -> tuple[str, str]:
    """What the function of an exercise may be called.

    >>> names_of("nms")
    ('my_nms', 'nms')
    """
    return PREFIX + exercise, exercise


def serve(exercise: str, cells: Sequence[str], answer: str, folder: str, megabytes: float) -> None:
    """What the process does: checks the exercise, and writes what was found into the file named by answer.

    The process leads a group of its own, so that whatever it starts is ended with it. Nothing is read from or written
    to the terminal. megabytes: of memory that it may take besides what the library has taken already.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.chdir(folder)
    torch.set_num_threads(1)  # several of these run side by side
    here = os.getpid()
    found = _within(megabytes, exercise, cells)
    if os.getpid() == here:  # and not a copy of this process, which the notebook's code made
        Path(answer).write_text(json.dumps(found), encoding="utf-8")


def _within(megabytes: float, exercise: str, cells: Sequence[str]) -> dict[str, str]:
    """What checked says, or that it takes more memory: in the notebook's code, or by what that code keeps."""
    try:
        with memory_limit(megabytes):
            found = checked(exercise, cells, slice_for(cells, names_of(exercise)))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = {"result": "broken", "message": OUT_OF_MEMORY}
    if OUT_OF_MEMORY not in found["message"]:
        return found
    message = f"it takes more than {megabytes:g} megabytes of memory ({found['message']})"
    return {"result": "stopped", "message": message}


def checked(exercise: str, cells: Sequence[str], needed: Slice) -> dict[str, str]:
    """Runs the statements, and then check on the function.

    Args:
        exercise: its name. cells: of the notebook, code. needed: the statements of them to run.
    Returns:
        result and message of a ``Mark``.
    """
    space: dict[str, Any] = {"__name__": "submission"}
    for statement in needed.statements:
        file = f"cell {statement.cell}"
        text = cells[statement.cell]
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for lines in messages
        try:
            exec(compile(ast.Module([statement.node], []), file, "exec"), space)  # running it is what is asked for
        except (Exception, SystemExit) as error:
            line = f"line {statement.node.lineno} of code cell {statement.cell + 1}"
            return {"result": "broken", "message": f"{line}, which it needs: {error_sentence(check, error)}"}
    name = next(name for name in names_of(exercise) if any(name in each.binds for each in needed.statements))
    function = space.get(name)
    if not callable(function):
        return {"result": "broken", "message": f"{name} is {shorten(_shown(function), 60)} and not a function"}
    verdict = check(function, exercise)
    result = "passed" if verdict.passed else "wrong" if verdict.written else "not written"
    message = f"{verdict.mistake} ({verdict.message})" if verdict.mistake else verdict.message
    return {"result": result, "message": message}


def _shown(value: Any) -> str:
    """A value as Python writes it; what strangers made may fail even at that."""
    try:
        return repr(value)
    except Exception:
        return f"something of the type {type(value).__name__}"
