"""What an explorer puts on its stage: its place in the whole, the control that matters most, stories, a takeaway.

The page shows, from top to bottom: title and stories; the takeaway, one sentence in large type; the picture; the
primary control; and, folded, all settings and what a scene holds as more (walkthrough.scene.More).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from walkthrough.explorers.controls import Control

PARTS = ("photograph", "layers", "grids", "targets", "loss", "step")  # the way of a picture through training
MODULES = {  # which part each chapter of the library is about; the first that fits
    "yolo_lite.loss.targets": "targets",
    "yolo_lite.loss.anchors": "targets",
    "yolo_lite.loss.assignment": "targets",
    "yolo_lite.loss": "loss",
    "yolo_lite.boxes": "loss",
    "yolo_lite.overlap_gradients": "loss",
    "yolo_lite.coding": "grids",
    "yolo_lite.detect": "grids",
    "yolo_lite.model": "layers",
    "yolo_lite.family": "layers",
    "yolo_lite.train": "step",
    "yolo_lite.augment": "photograph",
    "yolo_lite.data": "photograph",
    "yolo_lite.datasets": "photograph",
    "yolo_lite.images": "photograph",
}
FEW = 3  # controls up to which an explorer that names no primary one shows all of them
FIRST_SENTENCE = re.compile(r"(.+?)(?:\n|; |\. |$)")


@dataclass(frozen=True)
class Story:
    """Settings worth looking at: a button sets them and says what to look for.

    What a story does not name goes back to where it was at the beginning, but for pictures and boxes.
    """

    label: str
    # by name; or made for a state, its pictures and model: {} where it has nothing to show there
    settings: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]] = field(hash=False)
    look_for: str

    def settings_in(self, state: Any) -> Mapping[str, Any]:
        """The settings of the story, for the pictures or the model of a state."""
        return self.settings(state) if callable(self.settings) else self.settings

    def held_by(self, state: Any) -> int:
        """How many settings the story sets, if a state has them all; otherwise 0."""
        settings = self.settings_in(state)
        return len(settings) if all(getattr(state, name) == value for name, value in settings.items()) else 0


def story_of(stories: tuple[Story, ...], label: str, who: str) -> Story:
    """The story of a label. Raises ValueError with a sentence that lists the stories."""
    found = next((story for story in stories if story.label == label), None)
    if found is None:
        there = ", ".join(repr(story.label) for story in stories) or "none"
        raise ValueError(f"{who} has no story {label!r}; its stories are {there}")
    return found


def story_shown(stories: Sequence[Story], state: Any) -> str:
    """The label of the story that a state shows, the one with the most settings; "" where it shows none."""
    best = max(stories, key=lambda story: story.held_by(state), default=None)
    return best.label if best is not None and best.held_by(state) else ""


def settings_of(story: Story, controls: Mapping[str, Control], start: Any, now: Any) -> dict[str, Any]:
    """What a story sets: its own settings, and those of the beginning where others are now."""
    kinds = ("slider", "number", "choice", "toggle")
    linked = [name for name, control in controls.items() if control.linked and control.kind in kinds]
    ways = [name for name, control in controls.items() if control.plays and control.kind == "slider"]
    own = list(dict.fromkeys(linked + ways))
    first = {name: getattr(start, name) for name in own if controls[name].of_use(now)}
    return {n: v for n, v in first.items() if v != getattr(now, n)} | dict(story.settings_in(replace(now, **first)))


def primary_of(declared: str | tuple[str, ...], controls: Mapping[str, Control]) -> list[str]:
    """The controls below the picture, of those on the page: the declared ones, all of few, or the first."""
    names = (declared,) if isinstance(declared, str) and declared else tuple(declared)
    shown = [name for name, control in controls.items() if control.kind in ("slider", "number", "choice", "toggle")]
    return [name for name in names if name in shown] or (shown if len(shown) <= FEW else shown[:1])


def check_stage(explorer: Any, controls: Mapping[str, Control]) -> None:
    """Raises TypeError where an explorer declares a part, a primary control or a story's setting that is not there."""
    who, primary = explorer.__name__, explorer.primary
    if explorer.part_of not in ("", *PARTS):
        raise TypeError(f"{who}.part_of is {explorer.part_of!r}; it is one of {', '.join(PARTS)}")
    named = [("primary", name) for name in ((primary,) if isinstance(primary, str) else primary)]
    fixed = [story for story in explorer.stories if not callable(story.settings)]
    named += [(f"the story {story.label!r}", name) for story in fixed for name in story.settings_in(None)]
    for where, name in named:
        if name and name not in controls:
            raise TypeError(f"{who}: {where} names {name!r}, which is not a setting; it has {', '.join(controls)}")


def part_of_module(name: str) -> str:
    """The part of training that a function of the library is about, by the name of its module; "" of others.

    >>> part_of_module("yolo_lite.loss.targets.ratio_test"), part_of_module("my_model.forward")
    ('targets', '')
    """
    return next((part for module, part in MODULES.items() if f"{name}.".startswith(f"{module}.")), "")


def first_sentence(words: str) -> str:
    """The first sentence of what an explorer says.

    >>> first_sentence("iou 0.1, giou 0.2; the gradient agrees")
    'iou 0.1, giou 0.2'
    """
    found = FIRST_SENTENCE.match(words)
    return found[1].rstrip(".") if found else ""
