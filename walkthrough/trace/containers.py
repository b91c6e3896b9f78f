"""What lists, dicts, dataclasses and plain objects hold, past what their classes may override."""

from collections import deque
from dataclasses import fields, is_dataclass
from inspect import isroutine
from itertools import islice
from types import MemberDescriptorType, SimpleNamespace
from typing import Any

from walkthrough.trace.values import MOST_SHOWN, Value, bounded, key_text, quoted

MOST_PARTS, MOST_MEMBERS, SHORT = 32, 1000, 20
IN_ORDER = (tuple, list, deque, set, frozenset)
PLAIN_REPR: Any = object.__repr__
INDICES = tuple(map(str, range(MOST_PARTS)))
Members = list[tuple[str, Any]]


def shown_members(value: Any) -> Members | None:
    """The members of a container that are shown, by name: the first 32; None of what is not a container."""
    match value:
        case tuple() if hasattr(value, "_fields"):
            return list(zip(map(str, value._fields), islice(tuple.__iter__(value), MOST_PARTS), strict=False))
        case set() | frozenset():  # they have no order of their own
            return list(zip(INDICES, sorted(raw_members(value) or [], key=quoted), strict=False))
        case tuple() | list() | deque():
            return list(zip(INDICES, _base(value).__iter__(value), strict=False))
        case dict():
            return [(key_text(key), item) for key, item in islice(dict.items(value), MOST_PARTS)]
    named = _fields_of(value)
    return None if named is None else named[:MOST_PARTS]


def raw_members(value: Any) -> list[Any] | None:
    """The members of a container without their names, a mapping's keys before its values, as far as 1,000."""
    match value:
        case tuple() | list() | deque() | set() | frozenset():
            return list(islice(_base(value).__iter__(value), MOST_MEMBERS))
        case dict():
            return [*islice(dict.keys(value), MOST_MEMBERS), *islice(dict.values(value), MOST_MEMBERS)]
    named = _fields_of(value)
    return None if named is None else [part for member in named for part in member]


def _fields_of(value: Any) -> Members | None:
    """Of dataclasses, namespaces, and objects without a repr of their own."""
    if isinstance(value, type) or isroutine(value):
        return None
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    if isinstance(value, SimpleNamespace):
        return list(vars(value).items())
    if type(value).__repr__ is not PLAIN_REPR:
        return None
    own = attributes_of(value)
    return None if own is None else [(name, item) for name, item in own if not name.startswith("_")]


def attributes_of(value: Any) -> Members | None:
    """What is in an object's __dict__ and __slots__; None where it has neither."""
    slots = [
        (name, member)
        for kind in type(value).__mro__
        if "__slots__" in kind.__dict__
        for name, member in kind.__dict__.items()
        if isinstance(member, MemberDescriptorType)
    ]
    try:
        own = list(vars(value).items())
    except TypeError:
        if not slots:
            return None
        own = []
    for name, member in slots:
        try:
            own.append((name, member.__get__(value)))
        except AttributeError:  # not set
            continue
    return own


def _base(value: Any) -> Any:
    return next(kind for kind in IN_ORDER if isinstance(value, kind))


def size_of(value: Any, members: list[Any]) -> int:
    """How many members there are in all; members: what raw_members gave."""
    base = next((kind for kind in (*IN_ORDER, dict) if isinstance(value, kind)), None)
    return base.__len__(value) if base else len(members) // 2


def container_value(value: Any, parts: tuple[tuple[str, Value], ...], count: int) -> Value:
    """A container in words; parts: of those that are shown, count: members in all."""
    name = type(value).__name__
    kind = "mapping" if isinstance(value, dict) else "fields"
    if isinstance(value, IN_ORDER) and not hasattr(value, "_fields"):
        kind = "sequence"
    return Value(kind, name, container_text(name, kind, parts, count), parts=parts)


def container_text(name: str, kind: str, parts: tuple[tuple[str, Value], ...], count: int) -> str:
    """The words for a container of that type's name: its first members, or of equal tensors how many there are."""
    if count and not parts:  # too deep inside others
        return f"{name} of {count}"
    few = parts[:MOST_SHOWN]
    short = [part.text if len(part.text) <= SHORT else _short(part) for _, part in few]
    more = ", ..." if count > len(few) else ""
    if kind == "sequence":
        same = {_short(part) for _, part in parts}
        if len(same) == 1 and 1 < count == len(parts) and any(len(part.text) > SHORT for _, part in parts):
            return f"{name} of {count} {same.pop()}"
        opening, closing = {"list": ("[", "]"), "tuple": ("(", ")"), "set": ("{", "}")}.get(name, (f"{name}(", ")"))
        return bounded(f"{opening}{', '.join(short)}{more}{',' if name == 'tuple' and count == 1 else ''}{closing}")
    between = ": " if kind == "mapping" else "="
    named = [f"{key}{between}{word}" for (key, _), word in zip(few, short, strict=True)]
    words = f"{', '.join(named)}{more}"
    return bounded(f"{{{words}}}" if name == "dict" else f"{name}({words})")


def _short(part: Value) -> str:
    return f"{part.shape} {part.dtype}" if part.kind in ("tensor", "array") else part.type
