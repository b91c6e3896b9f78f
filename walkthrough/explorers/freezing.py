"""Which scenes a frozen explorer has: the values of its controls, chosen by the reader or spread over a range."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from walkthrough.explorers.controls import Control, bounds_of, checked, controls_of, options_of
from walkthrough.explorers.page import control_on_page
from walkthrough.frozen import FrozenControl

MOST_SCENES = 144
MOST_CONTROLS = 2
ONE, TWO = 13, 7  # values of a slider that is named alone, of two that are
SPREAD = ("slider", "number", "choice", "toggle")  # what has values without being given any


def controls_to_freeze(names: Sequence[str], values: Mapping[str, Any], state: Any) -> list[FrozenControl]:
    """The controls that stay alive, with their values.

    Args:
        names: controls whose values are spread over their range. values: control -> a number of such values, or a list.
        state: of the explorer; its own value is one of those that are spread.
    Raises:
        ValueError: a control or a value that the explorer does not have, more than two controls, too many scenes.
    """
    wanted: dict[str, Any] = dict.fromkeys(names) | dict(values)
    known = {name: c for name, c in controls_of(state).items() if c.kind != "given" and c.of_use(state)}
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no control {name!r} to freeze; it has {', '.join(known)}")
    if len(wanted) > MOST_CONTROLS:
        raise ValueError(f"{', '.join(wanted)}: {len(wanted)} controls; at most {MOST_CONTROLS} are frozen together")
    count = ONE if len(wanted) == 1 else TWO
    found = [_frozen(name, known[name], value, state, count) for name, value in wanted.items()]
    scenes = int(np.prod([len(control.settings) for control in found]))
    if scenes > MOST_SCENES:
        each = " x ".join(f"{len(control.settings)} of {control.name}" for control in found)
        raise ValueError(f"{each} make {scenes} scenes; a frozen explorer has at most {MOST_SCENES}: give fewer values")
    return found


def start_of(controls: Sequence[FrozenControl], state: Any) -> list[int]:
    """Where the explorer stands, as the place in each control's values; the nearest number where it is none of them."""
    return [_nearest(control.settings, getattr(state, control.name)) for control in controls]


def spread(control: Control, state: Any, now: Any, count: int) -> list[Any]:
    """That many values from one end of a control's range to the other, the present one among them.

    >>> spread(Control("slider", low=1, high=9, step=1), None, 4, 5)
    [1, 4, 5, 7, 9]
    """
    if control.kind == "toggle":
        return [False, True]
    if control.kind == "choice":
        return list(options_of(control, state).values())
    low, high = bounds_of(control, state)
    now = high if now is None else now
    if control.kind == "number":  # of seeds and indices the first ones, not one in a million
        return list(range(int(low), int(min(high, low + count - 1)) + 1))
    places = np.geomspace(low, high, count) if control.log and low > 0 else np.linspace(low, high, count)
    if isinstance(control.step, int):
        found = [round(value) for value in places.tolist()]
    else:
        steps = [low + round((value - low) / control.step) * control.step for value in places.tolist()]
        found = [float(f"{value:.3g}") for value in (places.tolist() if control.log else steps)]
    found = [min(max(value, low), high) for value in found]
    inner = range(1, len(found) - 1) if now not in (low, high) and count > 2 else ()
    nearest = min(inner, key=lambda place: abs(places[place] - now), default=None)
    if nearest is not None:
        found[nearest] = now
    return sorted(dict.fromkeys(found))


def _frozen(name: str, control: Control, given: Any, state: Any, count: int) -> FrozenControl:
    """A control with the values that were asked for."""
    now = getattr(state, name)
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        if control.kind not in SPREAD:
            raise ValueError(f"{name} is a place or boxes: give a list of them, freeze({name}=[...])")
        if given is not None and control.kind in ("choice", "toggle"):
            raise ValueError(f"{name} has no range: give a list of its values, or its name alone for all of them")
        if given is not None and not 2 <= given <= MOST_SCENES:
            raise ValueError(f"{name}={given}: a frozen control has 2 to {MOST_SCENES} values")
        chosen = spread(control, state, now, given or count)
        if given is not None and len(chosen) < given:
            raise ValueError(
                f"{name}={given}: its range has {len(chosen)} values that differ: give that many, or a list"
            )
    elif isinstance(given, str | bool | float) or not hasattr(given, "__iter__"):
        raise ValueError(f"{name}={given!r}: give a list of values, or how many there are to be")
    else:
        chosen = list(given)
    settings = [checked(name, value, control, state) for value in chosen]
    if any(one == other for one, other in pairwise(settings)) or len(settings) < 2:
        raise ValueError(f"{name}={chosen!r}: a frozen control has at least 2 values, each another than the one before")
    return _on_page(name, control, settings, state)


def _on_page(name: str, control: Control, settings: list[Any], state: Any) -> FrozenControl:
    shown = control_on_page(name, control, state)
    if control.kind == "choice":
        words = options_of(control, state).items()
        values: list[Any] = [next(word for word, option in words if option == value) for value in settings]
        kind, said = "choice", values
    elif control.kind == "toggle" and len(settings) == 2:
        kind, values, said = "toggle", settings, ["yes" if value else "no" for value in settings]
    else:
        kind, values = "stops", [shown["high"] if value is None else _plain(value) for value in settings]
        said = [_word(value, place, len(settings)) for place, value in enumerate(values)]
    texts = (shown["label"], shown["help"], shown["unit"])
    return FrozenControl(name, kind, *texts, tuple(settings), tuple(values), tuple(said), shown["plays"])


def _plain(value: Any) -> Any:
    """A point or boxes as the page holds them."""
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _word(value: Any, place: int, count: int) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else f"{place + 1} of {count}"


def _nearest(values: Sequence[Any], now: Any) -> int:
    if now in values:
        return values.index(now)
    if isinstance(now, int | float) and all(isinstance(value, int | float) for value in values):
        return min(range(len(values)), key=lambda place: abs(values[place] - now))
    return 0
