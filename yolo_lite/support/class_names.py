"""Which class of one list is which of another, by their names."""

import difflib
import re
import shlex
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

SHOWN = 8  # names in a sentence


class NameMatch(NamedTuple):
    """Where the names of one list stand in another."""

    order: tuple[int | None, ...] | None  # for each name of the other list its index among the known; None: unknown.
    # None in place of all: as they stand, because they agree, share no name, or repeat one
    same: bool  # every name at its place, capitals and spaces aside
    shared: int  # names that both lists have


def match_names(known: Sequence[str], others: Sequence[str]) -> NameMatch:
    """Finds each of the other names among the known ones. "Traffic Light", "traffic_light" and "traffic-light" are one.

    >>> match_names(["cat", "dog"], ["Dog", "cat "]).order
    (1, 0)
    >>> match_names(["cat", "dog"], ["cat", "Dog"])
    NameMatch(order=None, same=True, shared=2)
    >>> match_names(["cat", "dog"], ["class0", "class1"])
    NameMatch(order=None, same=False, shared=0)
    """
    if list(known) == list(others):
        return NameMatch(None, True, len(others))
    for spelled in (_spelled_alike, str):  # as they are written, where only capitals tell two classes apart
        here, there = [spelled(name) for name in known], [spelled(name) for name in others]
        if len(set(here)) < len(here) or len(set(there)) < len(there):
            continue
        if here == there:
            return NameMatch(None, True, len(there))
        places = {name: index for index, name in enumerate(here)}
        order = tuple(places.get(name) for name in there)
        shared = len(order) - order.count(None)
        return NameMatch(order if shared else None, False, shared)
    return NameMatch(None, False, 0)  # a name stands twice: which of them is meant is unknown


class ClassOrder(NamedTuple):
    """How the classes of labels become those of a model."""

    order: tuple[int, ...] | None  # the model's class for each class of the labels; None: the same number
    message: str  # worth saying; empty where all agree


def class_order(
    model_names: Sequence[str], label_names: Sequence[str], ours: str = "the model", theirs: str = "the dataset"
) -> ClassOrder:
    """Which class of the model each class of the labels is: by name where all names are known, else by number.

    Args:
        ours, theirs: what a message calls the two.
    Raises:
        ValueError: other numbers of classes, or names of which some are known, but stand at other places: comparing
            by number would be wrong, and by name impossible.

    >>> class_order(["cat", "dog"], ["dog", "cat"]).order
    (1, 0)
    """
    both = f"{ours} has {listed(model_names)}; {theirs} has {listed(label_names)}"
    if len(model_names) != len(label_names):
        counts = f"{ours} has {len(model_names)} classes, {theirs} {len(label_names)}: not the same; {both}"
        raise ValueError(counts + _way_out(model_names, label_names))
    matched = match_names(model_names, label_names)
    order = matched.order
    if matched.same:
        return ClassOrder(None, "")
    if order is None:
        return ClassOrder(None, f"class names differ, so classes are matched by number: {both}")
    known = tuple(index for index in order if index is not None)
    if len(known) == len(order):
        return ClassOrder(
            known, f"class names: {theirs} has them in another order than {ours}: matched by name; {both}"
        )
    unknown = [place for place, index in enumerate(order) if index is None]
    if all(index in (None, place) for place, index in enumerate(order)):
        pairs = [f"{model_names[place]} / {label_names[place]}" for place in unknown]
        return ClassOrder(None, f"class names: treated as the same ({ours} / {theirs}): {listed(pairs)}")
    moved = next(place for place, index in enumerate(order) if index not in (None, place))
    raise ValueError(
        f"{ours} and {theirs} do not have the same classes: {label_names[moved]!r} is class {order[moved]} of the one "
        f"and class {moved} of the other, and {listed([label_names[place] for place in unknown])} only in {theirs}; "
        f"{both}. Correct the names of the data, or train on it first"
    )


def _way_out(model_names: Sequence[str], label_names: Sequence[str]) -> str:
    """What to do about labels of more classes than the model has, where all of the model's are among them."""
    order = match_names(label_names, model_names).order
    if len(label_names) < len(model_names) or order is None or None in order:
        return ""
    wanted = [label_names[place] for place in order if place is not None]
    shell = shlex.join(wanted[:SHOWN]) + (" ..." if len(wanted) > SHOWN else "")
    return (
        f". To leave the objects of the others out: YoloDataset(..., classes=[{', '.join(map(repr, wanted[:SHOWN]))}"
        f"{', ...' if len(wanted) > SHOWN else ''}]), in the shell `yolo-lite val --classes {shell}`"
    )


def class_numbers(classes: Any, names: Sequence[str]) -> list[int]:
    """Classes by name or number, one or several -> their numbers.

    Raises:
        ValueError: a class that is not there, with the names that are like it.

    >>> class_numbers(["dog", 0], ["cat", "dog"]), class_numbers("dog", ["cat", "dog"])
    ([1, 0], [1])
    """
    is_one = isinstance(classes, str | Integral) or getattr(classes, "ndim", 1) == 0
    try:
        wanted = [classes] if is_one else list(classes)
    except TypeError:
        wanted = [classes]
    return [_class_number(each, names, classes) for each in wanted]


def _class_number(wanted: Any, names: Sequence[str], classes: Any) -> int:
    if isinstance(wanted, str) and wanted in names:
        return list(names).index(wanted)
    try:
        number = None if isinstance(wanted, str | bytes | bool) else int(wanted)
    except (TypeError, ValueError):
        number = None
    if number is not None and number == wanted and 0 <= number < len(names):
        return number
    alike = near_names(wanted, names) if isinstance(wanted, str) else []
    hint = f"; did you mean {' or '.join(map(repr, alike))}?" if alike else f": the names are {listed(names)}"
    what = "" if classes is wanted else f"{wanted!r} in "
    raise ValueError(f"classes: {what}{classes!r} is neither a name nor a number from 0 to {len(names) - 1}{hint}")


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """Up to three names that are spelled much like this one.

    >>> near_names("Peson", ["cat", "person"])
    ['person']
    """
    spelled = {_spelled_alike(known): known for known in names}
    return [spelled[near] for near in difflib.get_close_matches(_spelled_alike(name), list(spelled), n=3)]


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    >>> listed(["cat", "dog"])
    'cat, dog'
    """
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _spelled_alike(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", str(name)).strip().casefold()
