"""Arguments of the wrong kind: one sentence with their name, before anything is done with them."""

import operator
import os
from collections.abc import Collection
from functools import partial
from typing import Any

DETECTOR = ("names", "num_classes", "strides", "decode")  # what running one needs


def require_whole(low: int | None = None, **values: Any) -> None:
    """Raises ValueError for what is not a whole number, of Python's or NumPy's, from ``low`` on.

    >>> require_whole(1, batch_size=2.0)
    Traceback (most recent call last):
    ValueError: batch_size must be a whole number, at least 1, not 2.0
    """
    for name, value in values.items():
        if not _is_whole(value) or (low is not None and value < low):
            limit = "" if low is None else f", at least {low}"
            raise ValueError(f"{name} must be a whole number{limit}, not {shown(value)}")


def _is_whole(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def require_listed(what: str, **values: Any) -> None:
    """Raises ValueError for what is not None, and not several of something: a number, or a text, of letters.

    >>> require_listed("class names", names="cat")
    Traceback (most recent call last):
    ValueError: names must be a list of class names, not 'cat'
    """
    for name, value in values.items():
        if value is not None and (isinstance(value, str | bytes) or not isinstance(value, Collection)):
            raise ValueError(f"{name} must be a list of {what}, not {shown(value)}")


def require_model(model: object) -> None:
    """Raises TypeError for what is not a detector: a name or path, None, another network, with what that lacks.

    >>> require_model("yolov5n")
    Traceback (most recent call last):
    TypeError: model is 'yolov5n', a name or path: pass yl.load('yolov5n')
    """
    if isinstance(model, str | os.PathLike):
        name = os.fspath(model)
        raise TypeError(f"model is {name!r}, a name or path: pass yl.load({name!r})")
    if lacking := [name for name in DETECTOR if not hasattr(model, name)]:
        raise TypeError(
            f"model is {'None' if model is None else type(model).__name__}, not a detector: it lacks "
            f"{', '.join(lacking)}. Give what create_model or load returns, or a class of your own with these"
        )


def name_of(value: Any) -> str:
    """The name of a class or function, or of the class of an object.

    >>> name_of(partial(sorted, reverse=True)), name_of(dict.fromkeys), name_of(3.5)
    ('sorted', 'dict.fromkeys', 'float')
    """
    if isinstance(value, partial):
        return name_of(value.func)
    if isinstance(owner := getattr(value, "__self__", None), type):  # a classmethod
        return f"{owner.__qualname__}.{value.__name__}"
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def shown(value: Any) -> str:
    """A value in a sentence: not longer than that."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
