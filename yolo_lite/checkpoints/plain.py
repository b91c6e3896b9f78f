"""Plain values out of a pickle's records: what a checkpoint says about its network in numbers and words."""

import re
from typing import Any

import numpy as np

from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject

MAX_VALUES = 100_000  # in a description
MAX_INT = 100_000  # of a number of pixels, classes ...


def as_int(value: Any) -> int:
    """A number or NumPy's of it; 0 for anything else, or one that is too large."""
    value = numpy_scalar(value) if isinstance(value, PickledObject) else value
    return int(value) if isinstance(value, int | float) and abs(value) < MAX_INT + 1 else 0


def is_simple(value: Any) -> bool:
    """A text or a number of Python's own."""
    return isinstance(value, str | int | float)


def plain(value: Any, left: list[int]) -> Any:
    """Dicts, lists, numbers (NumPy's too) and texts, not endlessly many of them; anything else is an error."""
    left[0] -= 1
    if left[0] < 0:
        raise CheckpointError("its description of the architecture has no end")
    if value is None or is_simple(value):
        return value
    if isinstance(value, PickledObject):
        scalar = numpy_scalar(value)
        if scalar is not None:
            return scalar
        value = dict(value.entries) or value
    if isinstance(value, dict):
        return {key: plain(entry, left) for key, entry in value.items() if is_simple(key)}
    if isinstance(value, list | tuple):
        return [plain(entry, left) for entry in value]
    kind = f"{value.module}.{value.name}" if isinstance(value, PickledObject) else type(value).__name__
    raise CheckpointError(f"its description of the architecture holds a {kind}")


def numpy_scalar(record: PickledObject) -> int | float | str | None:
    """The value of a NumPy scalar, pickled as scalar(dtype(text), bytes); None for any other record."""
    if record.name != "scalar" or "multiarray" not in record.module or len(record.arguments) != 2:
        return None
    kind, data = record.arguments
    if (
        isinstance(data, PickledObject)
        and data.name == "encode"
        and data.arguments
        and isinstance(data.arguments[0], str)
    ):
        data = data.arguments[0].encode("latin1", "replace")  # how protocol 2 writes bytes
    text = kind.arguments[0] if isinstance(kind, PickledObject) and kind.name == "dtype" and kind.arguments else None
    if (
        not isinstance(text, str)
        or not re.fullmatch(r"b1|[iu][1248]|f[248]|U[1-9]\d{0,3}", text)
        or not isinstance(data, bytes)
    ):
        return None
    dtype = np.dtype(text)
    return np.frombuffer(data, dtype)[0].item() if len(data) == dtype.itemsize else None
