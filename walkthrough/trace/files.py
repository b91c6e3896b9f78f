"""Writes a Trace to one file: a zip of trace.json and one .npy for each copy; reading.py reads it."""

import json
import os
import secrets
import zipfile
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np

from walkthrough.trace.steps import RecordedError, Recording, Step
from walkthrough.trace.values import Value

FORMAT, VERSION = "walkthrough trace", 1


def save_trace(recording: Recording, path: str | Path) -> None:
    """Write a Trace, or any Recording; see Trace.save."""
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
    _write(Path(path), content, list(copies.values()))


def _write(path: Path, content: dict[str, Any], copies: list[tuple[int, np.ndarray]]) -> None:
    """To a file beside it first: where something goes wrong, what was there before stays."""
    path = path.resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to save {path.name} in")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(beside, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            words = json.dumps(content, ensure_ascii=False)
            file.writestr("trace.json", words.encode("utf-8", "backslashreplace"))  # half a surrogate pair as \udc80
            for number, array in copies:
                with file.open(f"{number}.npy", "w") as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
