"""Are two results the same? If not: a sentence that says what differs, and the first number that does."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from walkthrough.exercises.exercise import Difference, Exercise

NUMBER = (bool, int, float, np.number, np.bool_)


class Finding(NamedTuple):
    """What is wrong with a result."""

    sentence: str
    difference: Difference | None = None  # None: it is not a number that differs, but a shape, a type, an error


class Distance(NamedTuple):
    """How far two results that agree are apart."""

    largest: float  # of all numbers that are finite
    numbers: int  # how many were compared


def compare(exercise: Exercise, yours: Any, library: Any) -> Finding | None:
    """The first thing that differs, None where nothing does.

    Args:
        yours, library: a tensor, an array or a number each; tuples of them where the exercise has several outputs.
    """
    if yours is None:
        return Finding("it returns None. Is a return missing?")
    if yours is Ellipsis:
        return Finding("it returns ... : one way through it is not written yet.")
    for name, mine, theirs in _pairs(exercise, yours, library):
        if mine is _MISSING:
            return Finding(f"it returns {_kind(yours)}; {_expected(exercise)} are asked for, as a tuple.")
        finding = _compare_one(exercise, name, mine, theirs)
        if finding is not None:
            return finding
    return None


def distance(exercise: Exercise, yours: Any, library: Any) -> Distance:
    """How far results that ``compare`` found equal are apart."""
    largest, numbers = 0.0, 0
    for _, mine, theirs in _pairs(exercise, yours, library):
        a, b = _numbers(mine).astype(np.float64), _numbers(theirs).astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        largest = max(largest, float(np.abs(a[both] - b[both]).max(initial=0.0)))
        numbers += a.size
    return Distance(largest, numbers)


class _Missing:
    pass


_MISSING = _Missing()


def _pairs(exercise: Exercise, yours: Any, library: Any) -> list[tuple[str, Any, Any]]:
    if not exercise.outputs:
        return [("", yours, library)]
    if not isinstance(yours, tuple | list) or len(yours) != len(library):
        return [("", _MISSING, library)]
    return list(zip(exercise.outputs, yours, library, strict=True))


def _expected(exercise: Exercise) -> str:
    return f"{len(exercise.outputs)} values ({', '.join(exercise.outputs)})"


def _compare_one(exercise: Exercise, name: str, yours: Any, library: Any) -> Finding | None:
    what = f"its {name}" if name else "its result"
    problem = _type_problem(what, yours, library)
    if problem:
        return Finding(problem)
    try:
        mine = _numbers(yours)
    except Exception as error:  # sparse, without memory, of objects: its values cannot be read
        return Finding(f"{what} cannot be compared: {_unreadable(yours, error)}")
    theirs = _numbers(library)
    if mine.shape != theirs.shape:
        return Finding(_shape_problem(exercise, what, mine, theirs))
    differs = ~_close(mine, theirs, exercise.rtol, exercise.atol)
    if not differs.any():
        return None
    index = tuple(int(k) for k in np.argwhere(differs)[0]) if differs.ndim else ()
    first = Difference(
        name, index, mine[index].item(), theirs[index].item(), int(differs.sum()), int(np.prod(differs.shape))
    )
    return Finding(_number_problem(exercise, first), first)


def _close(mine: np.ndarray, theirs: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Which numbers agree; infinite ones and nan agree with their own kind."""
    if mine.dtype == bool:
        return np.asarray(mine == theirs)
    return np.asarray(np.isclose(mine, theirs, rtol=rtol, atol=atol, equal_nan=True))


def _numbers(value: Any) -> np.ndarray:
    """As an array: decisions as bool, all else as float64."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array if array.dtype == bool else array.astype(np.float64)


def _type_problem(what: str, yours: Any, library: Any) -> str:
    """Why the two cannot be compared, or "" where they can."""
    if isinstance(library, NUMBER):
        single = isinstance(yours, NUMBER) or (isinstance(yours, Tensor | np.ndarray) and yours.ndim == 0)
        if not single:
            return f"{what} is {_kind(yours)}; a single number is asked for."
        whole = isinstance(library, int | np.integer) and not isinstance(library, bool)
        return f"{what} is {yours}; a whole number is asked for, an int." if whole and _is_float(yours) else ""
    wanted = Tensor if isinstance(library, Tensor) else np.ndarray
    if not isinstance(yours, wanted):
        return f"{what} is {_kind(yours)}; {_kind(library)} is asked for."
    if yours.dtype == library.dtype:
        return ""
    hint = {
        torch.bool: " Decisions come from a comparison, such as x < 4.",
        torch.int64: " torch.tensor(kept, dtype=torch.int64): a list that is empty is float32 without it.",
    }.get(library.dtype, "")
    return f"{what} has the dtype {_dtype(yours)}; the library's has {_dtype(library)}.{hint}"


def _is_float(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, float) or (hasattr(value, "dtype") and value.dtype.kind == "f")


def _unreadable(value: Any, error: Exception) -> str:
    """Why there are no numbers to read in a result."""
    if isinstance(value, Tensor) and value.is_meta:
        return "it is a tensor on the device meta, which has a shape and no numbers."
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.is_nested):
        return "it is a sparse or nested tensor. An ordinary one is asked for: return result.to_dense()."
    return f"its numbers cannot be read: {type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def _shape_problem(exercise: Exercise, what: str, mine: np.ndarray, theirs: np.ndarray) -> str:
    axes = [axis if isinstance(axis, str) else "/".join(axis) for axis in exercise.axes]
    meaning = f" ({', '.join(axes)})" if len(axes) == theirs.ndim and axes else ""
    hint = ""
    if mine.ndim == theirs.ndim == 2 and mine.T.shape == theirs.shape:
        fits = _close(mine.T, theirs, exercise.rtol, exercise.atol).all()
        hint = " Transposed, it is right." if fits else " The two axes seem to be exchanged."
    elif mine.size == theirs.size == 0:
        hint = " Where nothing goes in, nothing comes out, but it keeps its axes: reshape it to them."
    elif mine.size == theirs.size:
        hint = " It has as many numbers: reshape, or sum over another axis."
    return f"{what} has the shape {mine.shape}; the library's has {theirs.shape}{meaning}.{hint}"


def _number_problem(exercise: Exercise, first: Difference) -> str:
    place = exercise.place(first.index)
    where = (f" in {first.output}" if first.output else "") + (f" at {place}" if place else "")
    yours, library = _pair_of_numbers(first.yours, first.library)
    many = f" ({first.count:,} of {first.total:,} numbers differ)" if first.total > 1 else ""
    return f"first difference{where}: yours {yours}, the library's {library}{many}."


def _pair_of_numbers(yours: float, library: float) -> tuple[str, str]:
    """Both with so many digits that one sees them differ."""
    if isinstance(yours, bool):
        return str(yours), str(library)
    for digits in (5, 7, 9, 17):
        one, other = f"{yours:.{digits}g}", f"{library:.{digits}g}"
        if one != other:
            break
    return one, other


def _kind(value: Any) -> str:
    """A value by its type: "a float32 tensor of shape (3, 2)"."""
    if isinstance(value, Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, Tensor) else "NumPy array"
        return f"a {_dtype(value)} {kind} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _dtype(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")
