"""Controls, declared on the fields of an explorer's state::

    @dataclass(frozen=True)
    class State:
        anchor_t: float = slider(4.0, 1.1, 10, help="largest ratio of sides between object and anchor for a match")
        level: int = choice(0, {"stride 8": 0, "stride 16": 1, "stride 32": 2})
        objects: Boxes = boxes(((10, 10, 50, 50),))
        images: Tensor = given()

The field's name is the name in Python, in the notebook's code and, unless a label is given, on the page. Bounds,
options and a slider's label may be functions of the state, for what depends on the reader's model or picture.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any

Box = tuple[float, ...]  # x1 y1 x2 y2 in pixels of the panel, then whatever travels with the box, such as a class
Boxes = tuple[Box, ...]
Bound = float | Callable[[Any], float]
Label = str | Callable[[Any], str]
Options = Sequence[Any] | Mapping[str, Any] | Callable[[Any], Sequence[Any] | Mapping[str, Any]]
KEY = "control"
PACE = 0.7  # seconds from one value to the next, of a control that plays


@dataclass(frozen=True)
class Control:
    """What the page needs to know about one field of a state."""

    kind: str  # slider, number, choice, toggle, boxes, point or given
    label: Label = ""
    help: str = ""
    low: Bound = 0.0
    high: Bound = 0.0
    step: float = 0.0
    unit: str = ""
    log: bool = False  # the slider moves by factors instead of steps
    heavy: bool = False  # computed when the reader lets go, not on the way
    options: Options = ()
    group: str = ""  # controls of a group stand together under this heading
    linked: bool = True  # link() without names moves it along; not what belongs to one explorer's own pictures
    shown: Callable[[Any], bool] | None = None  # whether this state has a use for it; None: always
    is_place: bool = False  # of a point: x and y, and not the index of a row
    plays: float = 0.0  # seconds from one value to the next when the page plays it; 0: it has no play button
    ends: bool = False  # None stands for the upper end, wherever that is
    quiet: bool = False  # the words name it only where it is not as declared: a way to look, and no setting

    def of_use(self, state: Any) -> bool:
        """Whether the control is on the page: a level that the reader's model lacks has no slider."""
        return self.shown is None or self.shown(state)

    def label_in(self, state: Any) -> str:
        """What it is called in this state; "": by its name."""
        return self.label(state) if callable(self.label) else self.label

    def called(self, name: str, state: Any) -> str:
        """How messages call it: as the page does, and by its name in Python where that is another.

        >>> Control("slider", label="learning rate").called("rate", None)
        'learning rate (rate)'
        """
        label = self.label_in(state)
        return f"{label} ({name})" if label and label != name else name

    def describe(self) -> str:
        """What it sets, in a line, for help().

        >>> Control("slider", help="largest ratio", low=1.1, high=10, unit="px").describe()
        'slider from 1.1 to 10 px: largest ratio'
        """
        bounds = ""
        if not callable(self.low) and not callable(self.high) and self.high > self.low:
            bounds = f" from {self.low:g} to {self.high:g} {self.unit}".rstrip()
        what = "input" if self.kind == "given" else f"{self.kind}{bounds}"
        label = "" if callable(self.label) else self.label
        return ": ".join(filter(None, (what, self.help or label)))


class Setting(property):
    """A field of a State as an attribute of its explorer: reading gives its value, setting does what dragging does."""

    def __init__(self, name: str, control: Control) -> None:
        def get(explorer: Any) -> Any:
            return getattr(explorer.state, name)

        def put(explorer: Any, value: Any) -> None:
            explorer.set(**{name: value})

        super().__init__(get, put, doc=control.describe())


def slider(
    default: float | None,
    low: Bound,
    high: Bound,
    step: float | None = None,
    *,
    label: Label = "",
    help: str = "",
    unit: str = "",
    log: bool = False,
    heavy: bool = False,
    group: str = "",
    linked: bool = True,
    shown: Callable[[Any], bool] | None = None,
    plays: bool | float = False,
) -> Any:
    """A number between two bounds, dragged or typed. Whole numbers where default and step are whole (int).

    default: None stands for the upper end, of whole numbers. plays: a button lets the page move it on by itself; the
    seconds from one value to the next, or True for the usual ones.
    """
    step = step if step is not None else (1 if default is None or isinstance(default, int) else 0.01)
    control = Control("slider", label, help, low, high, step, unit, log, heavy, (), group, linked, shown)
    return _field(default, replace(control, plays=_pace(plays), ends=default is None, quiet=bool(plays)))


def number(
    default: int, low: Bound = 0, high: Bound = 2**31 - 1, *, label: str = "", help: str = "", group: str = ""
) -> Any:
    """A whole number, typed or counted up and down: seeds, indices."""
    return _field(default, Control("number", label, help, low, high, 1, group=group))


def choice(
    default: Any,
    options: Options,
    *,
    label: str = "",
    help: str = "",
    group: str = "",
    linked: bool = True,
    shown: Callable[[Any], bool] | None = None,
    plays: bool | float = False,
) -> Any:
    """One of several values; a mapping gives the words for each. plays: see slider."""
    control = Control("choice", label, help, options=options, group=group, linked=linked, shown=shown)
    return _field(default, replace(control, plays=_pace(plays)))


def toggle(
    default: bool,
    *,
    label: str = "",
    help: str = "",
    group: str = "",
    shown: Callable[[Any], bool] | None = None,
    quiet: bool = False,
) -> Any:
    """Yes or no. quiet: the words name it only where it is not as declared."""
    return _field(default, Control("toggle", label, help, group=group, shown=shown, quiet=quiet))


def boxes(default: Boxes = (), *, label: str = "", help: str = "") -> Any:
    """Boxes that are dragged, drawn and deleted on the panel whose Boxes layer names this field in drag=."""
    return _field(default, Control("boxes", label, help, linked=False))


def point(
    default: tuple[float, float] | None = None, *, label: str = "", help: str = "", is_place: bool = False
) -> Any:
    """A place on the panel, or a row of the table, that names this field in pick=; None: nothing chosen.

    is_place: only a place will do.
    """
    return _field(default, Control("point", label, help, linked=False, is_place=is_place))


def given(default: Any = None) -> Any:
    """An input without a control: images, a model, settings."""
    return field(default=default, metadata={KEY: Control("given", linked=False)}, repr=False, compare=False)


def _pace(plays: bool | float) -> float:
    return PACE if plays is True else float(plays)


def _field(default: Any, control: Control) -> Any:
    return field(default=default, metadata={KEY: control})


def controls_of(state: Any) -> dict[str, Control]:
    """The control of each field of a state or of its class, in order; given() for fields without one.

    >>> @dataclass(frozen=True)
    ... class State:
    ...     anchor_t: float = slider(4.0, 1.1, 10)
    >>> controls_of(State)["anchor_t"].high
    10
    """
    return dict(_controls(state if isinstance(state, type) else type(state)))


@cache
def _controls(kind: type) -> dict[str, Control]:
    """Of a class once: what a page shows asks for them some twenty times a change."""
    return {f.name: f.metadata.get(KEY, Control("given")) for f in fields(kind)}


def defaults_of(state: Any) -> dict[str, Any]:
    """The declared default of each field that has one."""
    return {f.name: f.default for f in fields(state) if f.default is not MISSING}


def options_of(control: Control, state: Any) -> dict[str, Any]:
    """The options of a choice as words -> value."""
    options = control.options(state) if callable(control.options) else control.options
    return dict(options) if isinstance(options, Mapping) else {str(option): option for option in options}


def bounds_of(control: Control, state: Any) -> tuple[float, float]:
    """Lowest and highest value of a slider or number."""
    low, high = (bound(state) if callable(bound) else bound for bound in (control.low, control.high))
    return low, high


def checked(name: str, value: Any, control: Control, state: Any) -> Any:
    """The value as the field takes it. Raises ValueError with a sentence that says what would be allowed."""
    if not control.of_use(state) and not _equal(value, getattr(state, name)):
        raise ValueError(
            f"{control.label_in(state) or name} ({name}) has no meaning here and stays at {getattr(state, name)}"
        )
    name = control.called(name, state)
    if control.kind in ("slider", "number", "choice") and isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]  # a click on a box or a row comes as (index,)
    match control.kind:
        case "slider" | "number":
            if control.ends and value is None:
                return None
            found = _checked_number(name, value, control, state)
            return None if control.ends and found == bounds_of(control, state)[1] else found
        case "choice":
            return _checked_choice(name, value, options_of(control, state))
        case "toggle":
            if not _equal(value, True) and not _equal(value, False):
                raise ValueError(f"{name} is True or False, not {value!r}")
            return bool(value)
        case "boxes":
            return checked_boxes(name, value)
        case "point":
            return None if value is None else _checked_point(name, value, control.is_place)
    return value


def _checked_number(name: str, value: Any, control: Control, state: Any) -> float:
    low, high = bounds_of(control, state)
    try:
        value = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is a number between {low:g} and {high:g}, not {value!r}") from None
    if not low <= value <= high:
        raise ValueError(f"{name} lies between {low:g} and {high:g}, not at {value:g}")
    if isinstance(control.step, int):
        if value != int(value):
            raise ValueError(f"{name} is a whole number, not {value:g}")
        return int(value)
    return value


def _checked_choice(name: str, value: Any, options: dict[str, Any]) -> Any:
    for option in options.values():
        if _equal(option, value):
            return option
    if isinstance(value, str) and value in options:
        return options[value]
    raise ValueError(f"{name} is one of {', '.join(options)}, not {value!r}")


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are equal as a whole; a tensor of several numbers, which gives no such answer, equals none."""
    try:
        return bool(one == other)
    except (RuntimeError, TypeError, ValueError):
        return False


def _checked_point(name: str, value: Any, is_place: bool) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in (value if hasattr(value, "__iter__") else (value,)))
    except (TypeError, ValueError, OverflowError):
        found = ()
    if len(found) not in ((2,) if is_place else (1, 2)) or not all(map(math.isfinite, found)):
        meant = "(x, y)" if is_place else "(x, y), or the index of a row or a box,"
        raise ValueError(f"{name} is {meant} or None, not {value!r}")
    return found


def checked_boxes(name: str, value: Any) -> Boxes:
    """Boxes as tuples of floats with x1 < x2 and y1 < y2, in whatever order the corners came.

    >>> checked_boxes("objects", [[50, 10, 10, 50, 3]])
    ((10.0, 10.0, 50.0, 50.0, 3.0),)
    """
    try:
        found = [tuple(float(part) for part in row) for row in value]
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a list of boxes x1, y1, x2, y2, not {value!r}") from None
    rows = []
    for row in found:
        if len(row) < 4 or not all(map(math.isfinite, row)):
            raise ValueError(f"{name}: a box is x1, y1, x2, y2, all of them finite, not {row}")
        x1, y1, x2, y2, *rest = row
        rows.append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2), *rest))
    return tuple(rows)
