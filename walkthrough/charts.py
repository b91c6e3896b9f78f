"""show_series, show_bars, show_histogram, show_table: numbers as a Scene."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from walkthrough.images import to_numpy
from walkthrough.scene import Bars, Chart, Histogram, Scene, Series, Table


def show_series(
    series: Mapping[str, Any] | Any,
    x: Any = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
) -> Scene:
    """Lines over a common x (0, 1, 2 ... where none is given).

    >>> show_series({"box": [3, 2, 1], "cls": [2, 2, 1]}, title="loss")
    loss: chart with line 'box' through 3 points, from ≈ 3 to ≈ 1; line 'cls' through 3 points, from ≈ 2 to ≈ 1
    """
    named = series if isinstance(series, Mapping) else {"": series}
    marks = []
    for name, values in named.items():
        ys = numbers(values)
        xs = tuple(float(k) for k in range(len(ys))) if x is None else numbers(x)
        if len(xs) != len(ys):
            raise ValueError(f"series {name!r} has {len(ys)} values, but there are {len(xs)} in x")
        marks.append(Series(name, xs, ys))
    return Scene(((Chart(tuple(marks), title, "", x_label, y_label, "log" if log else "linear"),),))


def show_bars(values: Mapping[str, Any], title: str = "", y_label: str = "") -> Scene:
    """A bar for each name. A NamedTuple of scalars, such as LossParts, is taken as it is.

    >>> show_bars({"box": 0.1, "obj": 0.7}, title="loss")
    loss: chart with bars box ≈ 0.1, obj ≈ 0.7
    """
    named = values._asdict() if hasattr(values, "_asdict") else values
    return Scene(((Chart((Bars(tuple(named), numbers(list(named.values()))),), title, "", "", y_label),),))


def show_histogram(values: Any, bins: int = 30, title: str = "", x_label: str = "") -> Scene:
    """How often each value occurs.

    >>> show_histogram([1, 2, 2, 3], bins=3, title="widths")
    widths: chart with histogram of values in 3 bins, from ≈ 1 to ≈ 3
    """
    array = to_numpy(values).astype(np.float64).ravel()
    counts, edges = np.histogram(array[np.isfinite(array)], bins)
    return Scene(((Chart((Histogram(numbers(edges), numbers(counts)),), title, "", x_label, "count"),),))


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", marked: Sequence[int] = ()
) -> Scene:
    """Rows of anything under column names; floats with four significant digits.

    In a notebook it is an HTML table, whose words can be selected and searched; beside pictures it is drawn with them.

    Args:
        columns: their names. rows: as many values each. title: above them.
        marked: indices of rows that stand out.
    Raises:
        ValueError: a row of another length, or a marked row that is not there.

    >>> show_table(["layer", "parameters"], [[0, 1760], [1, 4672]], marked=[1])
      layer  parameters
      -----  ----------
          0        1760
    >     1        4672
    """
    words = tuple(tuple(_word(value) for value in row) for row in rows)
    for number, row in enumerate(words):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} values, but there are {len(columns)} columns")
    for number in marked:
        if not 0 <= number < len(words):
            raise ValueError(f"row {number} cannot be marked: there are {len(words)} rows, counted from 0")
    return Scene(((Table(tuple(map(str, columns)), words, title, marked=tuple(marked)),),))


def numbers(values: Any) -> tuple[float, ...]:
    """Tensors, arrays or a list of scalars (tensors among them) as a tuple of floats."""
    if isinstance(values, list | tuple):
        return tuple(float(v if isinstance(v, int | float) else to_numpy(v)) for v in values)
    return tuple(float(value) for value in to_numpy(values).ravel())


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    array = to_numpy(value) if hasattr(value, "__array__") else value
    array = array.item() if isinstance(array, np.ndarray | np.generic) and array.size == 1 else array
    if isinstance(array, int) and not isinstance(array, bool):
        return f"{array:,}" if abs(array) >= 10_000 else str(array)
    return f"{array:.4g}" if isinstance(array, float) else str(array)
