"""Frozen explorers: one control or two stay alive without a kernel, because every scene was computed beforehand.

``explorer.freeze(anchor_t=[2, 4, 8])`` makes one (walkthrough.explorers.freezing says of which values); what it holds
is drawn by the page's own scripts, those of walkthrough/render, in an exported notebook, on a site, from a file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from walkthrough.frozen.page import data_script, fragment_html, host_html, page_html, script_html, script_text
from walkthrough.frozen.parts import Parts, squeezed
from walkthrough.frozen.pictures import Pictures
from walkthrough.frozen.private import without_folders
from walkthrough.render.page import PageState, StoryOnPage
from walkthrough.scene import Scene, counted
from walkthrough.serialise import to_json

TOUCHED = ("pick", "drag", "draw")  # what a reader may do to a picture: kept where it sets a frozen control
OF_KERNELS = ("controls", "values", "actions", "uploads")  # of what is on a page: only a kernel can do something for it
Settings = Mapping[str, Any]
At = Callable[[Settings], tuple[PageState, Scene]]
OF_A_KERNEL = ("controls", "values", "actions", "uploads", "refusals", "history", "advice")


@dataclass(frozen=True)
class FrozenControl:
    """A control that stays alive, and the n values that it has."""

    name: str
    kind: str  # "stops": a slider over the values; "choice" or "toggle", as on the live page
    label: str
    help: str
    unit: str
    settings: tuple[Any, ...]  # n, as Python has them
    values: tuple[Any, ...]  # n, as the page has them
    words: tuple[str, ...]  # n, as they are read
    plays: float = 0.0  # seconds from one value to the next when it is played; 0: it has no play button

    def on_page(self) -> dict[str, Any]:
        """The control in JSON."""
        shown = {"name": self.name, "kind": self.kind, "label": self.label, "help": self.help, "unit": self.unit}
        indices = [value if isinstance(value, int) else None for value in self.settings]  # a click gives (index,)
        return {
            **shown,
            "group": "",
            "plays": self.plays,
            "values": self.values,
            "options": self.words,
            "indices": indices,
        }


@dataclass(frozen=True)
class FrozenStory:
    """A chip that shows one scene: its words, what to look for there, and the settings that make it."""

    label: str
    look_for: str
    settings: Settings

    def on_page(self) -> StoryOnPage:
        """The chip in JSON."""
        return {"label": self.label, "look_for": self.look_for}


class Frozen:
    """Scenes of an explorer, with the controls that lead from one to the next; made by Explorer.freeze.

    Shows itself in a notebook, and in what is exported from one. ``fragment()`` is for pages with several: they have
    the script once, ``frozen_script()``.

    Attributes:
        title: of the explorer. controls: those that are alive. stories: the chips. scenes: how many there are.

    >>> from walkthrough import IouPlayground
    >>> IouPlayground().freeze(steps=[1, 20, 100])
    IoU playground, frozen: 3 scenes; steps 1, 20, 100
    """

    def __init__(
        self, at: At, controls: Sequence[FrozenControl], start: Sequence[int], stories: Sequence[FrozenStory] = ()
    ) -> None:
        self.controls, self.stories = tuple(controls), tuple(stories)
        places = product(*(range(len(control.settings)) for control in controls)) if controls else iter(())
        wanted = [{c.name: c.settings[k] for c, k in zip(controls, place, strict=True)} for place in places]
        self.scenes = len(wanted) + len(stories)
        parts, pictures = Parts(), Pictures()
        settings: list[Settings] = [*wanted, *(story.settings for story in stories)]
        shown = [self._shown(*at(each), pictures) for each in settings]
        first = shown[_flat(start, controls)]
        self.title, self._words = first["title"], f"{first['title']}\n{first['words'] or first['message']}"
        self._data = {
            "controls": [control.on_page() for control in controls],
            "start": list(start),
            "stories": [story.on_page() for story in stories],
            "scenes": squeezed(parts.written([parts.add(each) for each in shown])),
            "pictures": pictures.encoded(),
        }

    def _shown(self, state: PageState, scene: Scene, pictures: Pictures) -> dict[str, Any]:
        """What the page needs of one scene."""
        names = tuple(control.name for control in self.controls)
        told = {name: value for name, value in state.items() if name not in OF_A_KERNEL}
        chips = [story.on_page() for story in self.stories]
        stage = {**state["stage"], "primary": names, "stories": chips, "start": {}}
        values = {name: state["values"][name] for name in names}
        shown = {**told, "values": values, "stage": stage, "scene": to_json(scene, pictures.key)}
        return {name: _passed_on(part, names) for name, part in shown.items()}

    def fragment(self) -> str:
        """The explorer as HTML, for a page that has frozen_script() once, before or after it."""
        return fragment_html(self._data, self._words)

    def script_text(self) -> str:
        """What the explorer is made of as JavaScript, for a file beside a page that has host(address) in its place."""
        return data_script(self._data)

    def host(self, address: str) -> str:
        """The place of the explorer as HTML: the file at that address is fetched when the place comes near."""
        return host_html(address, self._words)

    def save(self, path: str | Path) -> None:
        """Write a page of its own, that works from a file and without a network.

        Raises:
            ValueError: the ending is not .html. FileNotFoundError: there is no such folder.
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise ValueError(f"{path.name}: a frozen explorer is a page; give a name that ends in .html")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {path.parent}: make it first")
        path.write_text(page_html(self.title, self.fragment()), encoding="utf-8")

    @property
    def size(self) -> int:
        """Bytes of the fragment; the script comes on top of it, once a page."""
        return len(self.fragment().encode())

    def __repr__(self) -> str:
        said = [f"{self.title}, frozen: {counted(self.scenes, 'scene')}"]
        said += [f"{control.label} {', '.join(control.words)}" for control in self.controls]
        said += [f"stories {', '.join(story.label for story in self.stories)}"] if self.stories else []
        return "; ".join(said)

    def _repr_html_(self) -> str:
        return self.fragment() + script_html()


def frozen_script() -> str:
    """The script that all frozen explorers of a page share, as HTML: about 0.1 MB, once."""
    return script_html()


def frozen_script_text() -> str:
    """The same as JavaScript, for a file beside the pages of a site."""
    return script_text()


def _flat(start: Sequence[int], controls: Sequence[FrozenControl]) -> int:
    """The number of the scene at a place."""
    number = 0
    for place, control in zip(start, controls, strict=True):
        number = number * len(control.settings) + place
    return number


def _passed_on(value: Any, names: tuple[str, ...]) -> Any:
    """A scene's JSON without folders of this machine, in which a reader can touch what sets a frozen control alone."""
    if isinstance(value, dict):
        kept = {key: _passed_on(part, names) for key, part in value.items()}
        alive = ("drag",) if kept.get("kind") == "Chart" else ("pick",)  # a line of a chart, and no box
        return kept | {key: "" for key in TOUCHED if key in kept and (key not in alive or kept[key] not in names)}
    if isinstance(value, list | tuple):
        return [_passed_on(part, names) for part in value]
    return without_folders(value) if isinstance(value, str) else value
