"""What an explorer gives to its live page and does for it: all that walkthrough.render.live knows of explorers."""

from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

import numpy as np

from walkthrough.scene import Scene


class ControlOnPage(TypedDict):
    """A control in JSON: what walkthrough/render/controls.js builds a slider, a choice ... from."""

    name: str
    kind: str  # "slider", "number", "choice", "toggle", "boxes" or "point"
    label: str
    help: str
    group: str
    low: float
    high: float
    step: float
    unit: str
    log: bool
    heavy: bool
    plays: float  # seconds from one value to the next when it is played; 0: it has no play button
    options: list[str]


class ActionOnPage(TypedDict):
    """A button in JSON."""

    method: str
    label: str
    key: str
    help: str
    large: bool


class StoryOnPage(TypedDict):
    """A story in JSON: its button, and what is said once it is pressed."""

    label: str
    look_for: str


class StageOnPage(TypedDict):
    """What stands around the picture, in JSON."""

    parts: list[str]  # of training, in order; none where the explorer is about none
    part: str  # the one that is lit
    primary: list[str]  # names of the controls right below the picture
    stories: list[StoryOnPage]
    story: str  # the label of the one that is shown now, or ""
    start: dict[str, Any]  # values of the beginning: what differs is shown beside the folded settings


class HistoryOnPage(TypedDict):
    """Which of these buttons can be pressed; clear is None where there are no pictures to bring."""

    undo: bool
    redo: bool
    clear: bool | None


class PageState(TypedDict):
    """All that the page shows of an explorer but its scene; each entry is a trait of the widget."""

    title: str
    controls: list[ControlOnPage]
    values: dict[str, Any]  # of each control: a number, a word, True or False, or lists of numbers
    actions: list[ActionOnPage]
    uploads: bool
    message: str
    headline: str  # the takeaway
    stage: StageOnPage
    refusals: dict[str, str]  # control -> why the value that was last given is refused
    history: HistoryOnPage
    advice: dict[str, Any]  # what would help here: {"text", "offers": what buttons of it use}, or {}
    words: str
    code: str  # what is shown of the code, and
    cell: str  # what is copied: the same with imports


class Shown(Protocol):
    """An explorer as its page sees it; walkthrough.explorers.base.Explorer is one."""

    message: str

    def page_state(self) -> PageState:
        """What is on the page besides the scene."""

    def page_scene(self) -> Scene:
        """The picture; without panels where there is no result."""

    def page_draft(self) -> Scene | None:
        """What is shown at once where the picture takes long; None where it does not."""

    def page_moved(self, values: Mapping[str, Any], gesture: str = "") -> None:
        """The reader changed controls: set what differs, in the form that page_state gives.

        gesture: a name for the drag or the key that did it, whose changes are undone together.
        """

    def page_pressed(self, method: str) -> None:
        """The reader pressed a button."""

    def page_story(self, label: str) -> None:
        """The reader pressed the button of a story."""

    def page_unseen(self) -> None:
        """The last view of it is gone from the page."""

    def add_picture(self, pixels: np.ndarray, name: str) -> None:
        """The reader brought a picture, RGB (H, W, 3) uint8."""

    def report(self, problem: Exception) -> None:
        """Set message to what the reader sees of a problem."""

    def _repr_mimebundle_(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """How the explorer shows itself in a notebook."""
