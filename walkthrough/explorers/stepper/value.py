"""A recorded value opened: as a table, a histogram or an image."""

import re
import unicodedata

import numpy as np

from walkthrough.images import heat, to_rgb
from walkthrough.scene import Chart, Histogram, Panel, Picture, Table
from walkthrough.seen import map_in_words
from walkthrough.trace import Value

TABLE, HISTOGRAM, IMAGE = "table", "histogram", "image"
MOST_ROWS, MOST_COLUMNS, BINS, WORD, SMALLEST_PHOTO, LARGEST_SIDE = 18, 8, 30, 34, 16, 4096
HUGE = 1e300  # larger values are drawn as multiples of this: axes are computed with sums of what is on them
EXACT = 2**52  # whole numbers up to here, and halves between them, are exact in double precision
PHOTO = re.compile("image|img|photo|picture|pixel")
TARGET_COLUMNS = ("image", "class", "xc", "yc", "w", "h")


def open_value(
    name: str, value: Value, before: Value | None, view: str, plane: int, first_row: int
) -> Table | Chart | Panel:
    """A value as a panel; before: what the name held until now, to see what changed."""
    array, name = value.array, printable(name)
    if array is None or array.dtype.kind not in "biufc":
        return _parts(name, value, first_row) if array is None else _table(name, value, array, before, plane, first_row)
    if view == HISTOGRAM:
        return _histogram(name, value, array)
    if view == IMAGE:
        return _image(name, value, array, plane)
    return _table(name, value, array, before, plane, first_row)


def planes(value: Value | None) -> int:
    """How many tables a value of more than two dimensions consists of."""
    array = value.array if value is not None else None
    return max(int(np.prod(array.shape[:-2])), 1) if array is not None and array.ndim > 2 else 1


def rows_of(value: Value | None) -> int:
    """How many rows there are to be seen in the table of a value."""
    if value is None:
        return 0
    if value.array is None:
        return len(_columns_of_parts(value)[1])
    return len(_plane(value.array, 0))


def _plane(array: np.ndarray, plane: int) -> np.ndarray:
    """One table (rows, columns) of an array: of vectors, each value is a row."""
    if array.ndim > 2:
        index = _index(array, plane)
        return array[index] if index is not None else np.empty((0, array.shape[-1]), array.dtype)
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _index(array: np.ndarray, plane: int) -> tuple[int, ...] | None:
    """Of one table among those of an array: its place along the leading dimensions; None where there is no table."""
    count = int(np.prod(array.shape[:-2]))
    return tuple(map(int, np.unravel_index(min(plane, count - 1), array.shape[:-2]))) if count else None


def _title(name: str, array: np.ndarray, plane: int) -> str:
    index = _index(array, plane) if array.ndim > 2 else None
    return name if index is None else f"{name}[{', '.join(map(str, index))}]"


def _table(name: str, value: Value, array: np.ndarray, before: Value | None, plane: int, first_row: int) -> Table:
    table = _plane(array, plane)
    first = min(first_row, max(len(table) - MOST_ROWS, 0))
    shown = table[first : first + MOST_ROWS, :MOST_COLUMNS]
    named = name.split(".")[-1] == "targets" and array.ndim == 2 and array.shape[1] == 6
    columns = (
        TARGET_COLUMNS if named else tuple(str(k) for k in range(shown.shape[1])) if array.ndim > 1 else ("value",)
    )
    rows = tuple((str(first + k), *(_word(item) for item in row)) for k, row in enumerate(shown.tolist()))
    notes = [f"rows {first} to {first + len(shown) - 1} of {len(table):,}"] if len(shown) < len(table) else []
    notes += [f"{shown.shape[1]} of {table.shape[1]:,} columns"] if shown.shape[1] < table.shape[1] else []
    notes += [value.remark] if value.remark else []
    caption = "; ".join(notes)
    return Table(("", *columns), rows, _title(name, array, plane), caption, _different(table, before, plane, first))


def _different(table: np.ndarray, before: Value | None, plane: int, first: int) -> tuple[int, ...]:
    """The shown rows that are others than before."""
    if before is None or before.array is None or before.array.dtype.kind not in "biuf":
        return ()
    old = _plane(before.array, plane)
    if old.shape != table.shape:
        return ()
    same = (old == table) | ((old != old) & (table != table))
    changed = np.flatnonzero(~same.all(1)) - first
    return tuple(int(row) for row in changed if 0 <= row < MOST_ROWS)


def _columns_of_parts(value: Value) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The parts of a container as rows of words; vectors of one length side by side, as columns."""
    found = [(name, part.array) for name, part in value.parts if part.complete and part.shape]
    arrays = [(name, array) for name, array in found if array is not None]
    if value.kind == "fields" and len(arrays) == len(value.parts) > 1 and len({len(a) for _, a in arrays}) == 1:
        columns, words = [], []
        for name, array in arrays:
            flat = array.reshape(len(array), int(np.prod(array.shape[1:])))[:, :4]
            columns += [name] if flat.shape[1] == 1 else [f"{name} {k}" for k in range(flat.shape[1])]
            words += [[_word(item) for item in column] for column in flat.T.tolist()]
        return ("", *columns), tuple((str(k), *row) for k, row in enumerate(zip(*words, strict=True)))
    rows = tuple((shortened(name), part.type, shortened(part.text)) for name, part in value.parts)
    return ("part", "type", "value"), rows or (("", value.type, shortened(value.text)),)


def _parts(name: str, value: Value, first_row: int) -> Table:
    columns, rows = _columns_of_parts(value)
    first, most = min(first_row, max(len(rows) - MOST_ROWS, 0)), MOST_COLUMNS + 1
    notes = [value.remark] if value.remark else []
    notes += [f"rows {first} to {first + MOST_ROWS - 1} of {len(rows):,}"] if len(rows) > MOST_ROWS else []
    notes += (
        [f"{MOST_COLUMNS} of {len(columns) - 1} columns: open a part to see the others"] if len(columns) > most else []
    )
    shown = tuple(row[:most] for row in rows[first : first + MOST_ROWS])
    return Table(columns[:most], shown, name, "; ".join(notes))


def _histogram(name: str, value: Value, array: np.ndarray) -> Chart:
    values = np.abs(array) if array.dtype.kind == "c" else array
    values = values.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    huge = values.size and np.abs(values).max() > HUGE
    values = values / HUGE if huge else values
    edges = _edges(values, array.dtype.kind in "biu")
    counts, _ = np.histogram(values, edges)
    mark = Histogram(tuple(map(float, edges)), tuple(map(float, counts)))
    return Chart((mark,), name, value.remark, f"{name} / {HUGE:g}" if huge else name, "count")


def _edges(values: np.ndarray, whole: bool) -> np.ndarray:
    """Bounds of the bars: one for each whole number where they are few, one for a constant, otherwise 30 of one width.

    Fewer where the values are so close together, for their size, that no number lies between two bounds.
    """
    if not values.size:
        return np.linspace(0, 1, BINS + 1)
    low, high = float(values.min()), float(values.max())
    if whole and high - low < BINS and max(-low, high) < EXACT:
        return np.arange(low, high + 2) - 0.5
    if low == high:
        half = max(0.5, 0.01 * abs(low))
        return np.array([low - half, high + half])
    return np.unique(np.linspace(low, high, BINS + 1))


def _image(name: str, value: Value, array: np.ndarray, plane: int) -> Panel:
    """Three planes of colour as a photograph, everything else as a map from blue (lowest) to yellow (highest)."""
    photo = _photo(name, array, plane)
    if photo is not None:
        rows, columns = photo.shape[:2]
        shown, every = _thinned(photo)
        return Panel((Picture(shown, (0, 0, columns, rows)),), columns, rows, name, f"{rows} x {columns} pixels{every}")
    array = np.abs(array) if array.dtype.kind == "c" else array
    table = _plane(array, plane)
    if not table.size:
        return Panel((), 160, 90, name, "nothing in it")
    low, high = (float(np.nanmin(table)), float(np.nanmax(table))) if np.isfinite(table).any() else (0.0, 0.0)
    rows, columns = table.shape
    width, height = max(columns, rows / 2.5), max(rows, columns / 5)  # a row of numbers gets a height to be seen in
    shown, every = _thinned(table)
    caption = f"{rows} x {columns}{every}, blue {low:.4g} to yellow {high:.4g}"
    caption += f"; {value.remark}" if value.remark else ""
    picture = Picture(heat(shown), (0, 0, width, height), map_in_words(table, name))
    return Panel((picture,), width, height, _title(name, array, plane), caption)


def _thinned(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """What is too large for a page with rows and columns left out, and the words that say so."""
    down, across = (-(-side // LARGEST_SIDE) for side in pixels.shape[:2])
    words = [f"one of {step} {what}" for step, what in ((down, "rows"), (across, "columns")) if step > 1]
    return np.ascontiguousarray(pixels[::down, ::across]), f", shown: {' and '.join(words)}" if words else ""


def _photo(name: str, array: np.ndarray, plane: int) -> np.ndarray | None:
    """The photograph that a plane belongs to: (..., 3, H, W) or (..., H, W, 3), bytes or named so; None of others."""
    if array.ndim < 3 or not array.size or not (array.dtype == np.uint8 or PHOTO.search(name)):
        return None
    if array.shape[-3] == 3 and min(array.shape[-2:]) >= SMALLEST_PHOTO:
        return to_rgb(array.reshape(-1, *array.shape[-3:])[plane // 3])
    if array.shape[-1] == 3 and min(array.shape[-3:-1]) >= SMALLEST_PHOTO:
        return to_rgb(array.reshape(-1, *array.shape[-3:])[plane // array.shape[-3]])
    return None


def _word(item: object) -> str:
    return f"{item:.4g}" if isinstance(item, float) else shortened(str(item), 16)


def shortened(words: str, most: int = WORD) -> str:
    """
    >>> shortened("a long line of words", 10)
    'a long ...'
    """
    words = printable(words)
    return words if len(words) <= most else words[: most - 4].rstrip() + " ..."


def printable(words: str) -> str:
    """Words without control characters and halves of surrogate pairs, which no picture and no page can hold.

    >>> printable("a\\x00b")
    'a\ufffdb'
    """
    return "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in words)
