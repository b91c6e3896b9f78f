"""Reads a Trace from the file that Trace.save wrote. It executes nothing, and every field and index is looked at: what
loads can be printed and stepped through.
"""

import json
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from walkthrough._moved import moved_name
from walkthrough.trace.files import FORMAT, VERSION
from walkthrough.trace.steps import Call, Change, RecordedError, Recording, Source, Step
from walkthrough.trace.values import Copy, Stats, Value

STEPS = ("call", "line", "back", "resume")
CHANGES = ("argument", "outer", "new", "changed", "in place", "return", "yield")
VALUES = ("tensor", "array", "number", "text", "sequence", "mapping", "fields", "module", "other")


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)


def read_recording(path: str | Path) -> Recording:
    """What is in a file that Trace.save wrote; see load_trace."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; load_trace takes one file that Trace.save wrote")
    try:
        with zipfile.ZipFile(path) as file:
            content = json.loads(file.read("trace.json"))
            if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
                raise ValueError(_other_format(content))
            return _recording(content, file)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as problem:  # whatever zip, JSON and NumPy may raise for bytes that nobody wrote on purpose
        words = str(problem) if isinstance(problem, ValueError) else f"{type(problem).__name__}: {problem}"
        raise ValueError(f"{path} is not a trace that this version can read ({words})") from problem


def _other_format(content: Any) -> str:
    if not isinstance(content, dict):
        return "trace.json holds no object"
    return f"format {content.get('format')!r}, version {content.get('version')!r}"


def _recording(content: dict[str, Any], file: zipfile.ZipFile) -> Recording:
    values = _values(content["values"], file)
    sources = tuple(
        Source(_words(entry["name"]), _number(entry["first"]), tuple(map(_words, entry["lines"])))
        for entry in content["sources"]
    )
    calls = _calls(content["calls"], len(sources))
    steps = tuple(_step(index, entry, calls, values) for index, entry in enumerate(content["steps"]))
    error = None if content["error"] is None else RecordedError(_words(content["error"]))
    name, notes = _words(content["name"]), tuple(map(_words, content["notes"]))
    return Recording(name, steps, calls, sources, None, _found(content["returned"], values), error, notes)


def _calls(entries: Any, sources: int) -> tuple[Call, ...]:
    calls: list[Call] = []
    for index, entry in enumerate(entries):
        call = Call(**entry)
        parent = call.parent
        if parent is not None:  # made earlier: so a stack of calls always ends
            _number(parent, index)
        _same(call.index, index)
        _words(call.name), _number(call.source, sources), _number(call.number), _number(call.depth)
        calls.append(call)
    return tuple(calls)


def _step(index: int, entry: dict[str, Any], calls: Sequence[Call], values: Sequence[Value]) -> Step:
    step = Step(**entry | {"changes": tuple(_change(change, values) for change in entry["changes"])})
    _same(step.index, index)
    _same(step.depth, calls[_number(step.call, len(calls))].depth)
    _one_of(step.kind, STEPS), _number(step.line), _number(step.iteration), _words(step.error)
    _one_of(step.failed, (True, False))
    return step


def _change(entry: Any, values: Sequence[Value]) -> Change:
    name, kind, place, note = entry
    return Change(
        *(_words(name), _one_of(kind, ("deleted",) if place is None else CHANGES)),
        *(_found(place, values), _words(note)),
    )


def _values(entries: Any, file: zipfile.ZipFile) -> list[Value]:
    copies: dict[int, Copy] = {-1: Copy(None)}
    values: list[Value] = []
    for entry in entries:  # parts come before what they are parts of
        number = entry["copy"]
        if number is not None and _number(number, low=-1) not in copies:
            with file.open(f"{number}.npy") as array:
                copies[number] = Copy(np.lib.format.read_array(array, allow_pickle=False))
        kind = _one_of(entry["kind"], VALUES)
        parts = tuple((_words(name), values[_number(place, len(values))]) for name, place in entry["parts"])
        shape = tuple(_number(size) for size in entry["shape"])
        kind_name, text, dtype, device = (_words(entry[name]) for name in ("type", "text", "dtype", "device"))
        stats = None if entry["stats"] is None else _stats(entry["stats"])
        copy = None if number is None else copies[number]
        if copy is not None and copy.array is not None and copy.array.ndim != len(shape):
            raise ValueError(f"a copy of shape {copy.array.shape} belongs to a value of shape {shape}")
        values.append(Value(kind, kind_name, text, shape, dtype, device, stats, parts, copy))
    return values


def _stats(entry: Any) -> Stats:
    low, mean, high, nan, inf = entry
    if not all(isinstance(value, int | float) for value in (low, mean, high)):
        raise ValueError(f"statistics {entry}")
    return Stats(low, mean, high, _number(nan), _number(inf))


# -- fields --------------------------------------------------------------------------------------------------------


def _found(place: Any, values: Sequence[Value]) -> Value | None:
    return None if place is None else values[_number(place, len(values))]


def _number(value: Any, below: float = float("inf"), low: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < below:
        raise ValueError(f"{value!r:.40} where a number from {low} below {below} belongs")
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} where words belong")
    return value


def _one_of(value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        raise ValueError(f"{value!r:.40} where one of {', '.join(map(str, known))} belongs")
    return value


def _same(value: Any, expected: int) -> None:
    if value != expected:
        raise ValueError(f"{value!r:.40} where {expected} belongs")
