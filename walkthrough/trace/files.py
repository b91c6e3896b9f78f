"""A Trace in one file: a zip of trace.json and one .npy for each copy. Reading it executes nothing."""

import json
import zipfile
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np

from walkthrough.trace.record import Call, Change, RecordedError, Source, Step
from walkthrough.trace.recording import Trace
from walkthrough.trace.values import Copy, Stats, Value

FORMAT, VERSION = "walkthrough trace", 1


def save_trace(recording: Trace, path: str | Path) -> None:
    """Write a Trace; see Trace.save."""
    values: dict[int, int] = {}  # id of a Value -> its place: many steps share one
    listed: list[dict[str, Any]] = []
    copies: dict[int, tuple[int, np.ndarray]] = {}

    def place(value: Value | None) -> int | None:
        if value is None:
            return None
        if id(value) not in values:
            parts = [[name, place(part)] for name, part in value.parts]
            copy = None
            if value.copy is not None:
                copy = -1 if value.array is None else copies.setdefault(id(value.copy), (len(copies), value.array))[0]
            stats = astuple(value.stats) if value.stats else None
            words = {name: getattr(value, name) for name in ("kind", "type", "text", "shape", "dtype", "device")}
            listed.append(words | {"stats": stats, "parts": parts, "copy": copy})
            values[id(value)] = len(listed) - 1
        return values[id(value)]

    def written(step: Step) -> dict[str, Any]:
        changes = [[change.name, change.kind, place(change.value), change.note] for change in step.changes]
        return asdict(step) | {"changes": changes}

    error = f"{type(recording.error).__name__}: {recording.error}" if recording.error is not None else None
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": recording.name,
        "steps": [written(step) for step in recording.steps],
        "calls": [asdict(call) for call in recording.calls],
        "sources": [asdict(source) for source in recording.sources],
        "returned": place(recording.returned),
        "error": str(recording.error) if isinstance(recording.error, RecordedError) else error,
        "notes": recording.notes,
        "values": listed,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("trace.json", json.dumps(content, ensure_ascii=False))
        for number, array in copies.values():
            with file.open(f"{number}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def load_trace(path: str | Path) -> Trace:
    """Read a Trace that Trace.save wrote. Its result is None, its error a RecordedError with the words of the original.

    Raises:
        ValueError: the file is none of these. FileNotFoundError: there is none.
    """
    try:
        with zipfile.ZipFile(path) as file:
            content = json.loads(file.read("trace.json"))
            if content.get("format") != FORMAT or content.get("version") != VERSION:
                raise ValueError(f"format {content.get('format')!r}, version {content.get('version')!r}")
            return _read(content, file)
    except (zipfile.BadZipFile, KeyError, TypeError, IndexError, AttributeError, EOFError, ValueError) as problem:
        raise ValueError(f"{path} is not a trace that this version can read ({problem})") from problem


def _read(content: dict[str, Any], file: zipfile.ZipFile) -> Trace:
    copies: dict[int, Copy] = {-1: Copy(None)}
    values: list[Value] = []

    def found(place: int | None) -> Value | None:
        return None if place is None else values[place]

    for entry in content["values"]:  # parts come before what they are parts of
        number = entry["copy"]
        if number is not None and number not in copies:
            with file.open(f"{number}.npy") as array:
                copies[number] = Copy(np.lib.format.read_array(array, allow_pickle=False))
        words = [entry[name] for name in ("kind", "type", "text")]
        parts = tuple((name, found(place)) for name, place in entry["parts"])
        stats = Stats(*entry["stats"]) if entry["stats"] else None
        copy = None if number is None else copies[number]
        values.append(Value(*words, tuple(entry["shape"]), entry["dtype"], entry["device"], stats, parts, copy))
    steps = tuple(
        Step(**step | {"changes": tuple(Change(name, kind, found(v), note) for name, kind, v, note in step["changes"])})
        for step in content["steps"]
    )
    calls = tuple(Call(**call) for call in content["calls"])
    sources = tuple(Source(**source | {"lines": tuple(source["lines"])}) for source in content["sources"])
    error = RecordedError(content["error"]) if content["error"] else None
    return Trace(
        content["name"], steps, calls, sources, None, found(content["returned"]), error, tuple(content["notes"])
    )
