"""The controls of a state as the live page holds them, in JSON, and back."""

from collections.abc import Mapping
from typing import Any

from walkthrough.explorers.controls import Control, bounds_of, controls_of, options_of
from walkthrough.explorers.hyp import hyp_help
from walkthrough.explorers.stage import PARTS, primary_of, story_shown
from walkthrough.render.page import ControlOnPage, StageOnPage


def used_controls(state: Any) -> dict[str, Control]:
    """The controls that the page has for a state."""
    return {name: c for name, c in controls_of(state).items() if c.kind != "given" and c.of_use(state)}


def control_on_page(name: str, control: Control, state: Any) -> ControlOnPage:
    """A control as the page needs it."""
    low, high = bounds_of(control, state)
    return {
        "name": name,
        "kind": control.kind,
        "label": control.label_in(state) or name,
        "help": control.help or hyp_help(state, name),
        "group": control.group,
        "low": low,
        "high": high,
        "step": control.step,
        "unit": control.unit,
        "log": control.log,
        "heavy": control.heavy,
        "plays": control.plays,
        "options": list(options_of(control, state)) if control.kind == "choice" else [],
    }


def value_on_page(name: str, control: Control, state: Any) -> Any:
    """A setting as the page holds it: the words of a choice, lists for boxes and points."""
    value = getattr(state, name)
    if control.ends and value is None:
        return bounds_of(control, state)[1]
    match control.kind:
        case "choice":
            return next((word for word, option in options_of(control, state).items() if option == value), "")
        case "boxes":
            return [list(box) for box in value]
        case "point":
            return None if value is None else list(value)
    return value


def stage_on_page(explorer: Any, controls: Mapping[str, Control]) -> StageOnPage:
    """Place, stories and primary controls of an explorer, and the values of the beginning, as the page needs them."""
    start, state = explorer.beginning, explorer.state
    stories = [story for story in explorer.stories if story.settings_in(state)]  # those that this state has
    return {
        "parts": list(PARTS) if explorer.part_of else [],
        "part": explorer.present_part(),
        "primary": primary_of(explorer.primary, controls),
        "stories": [{"label": story.label, "look_for": story.look_for} for story in stories],
        "story": story_shown(stories, state),
        "start": {n: value_on_page(n, c, start) for n, c in controls.items() if c.kind not in ("boxes", "point")},
    }


def moved_settings(values: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """Of what the page sends, the settings that differ from a state; what is not a control of the page is left out."""
    controls = {name: control for name, control in controls_of(state).items() if control.kind != "given"}
    return {n: v for n, v in values.items() if n in controls and v != value_on_page(n, controls[n], state)}
