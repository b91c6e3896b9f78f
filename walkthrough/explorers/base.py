"""The base class of all explorers, and their live page: controls, buttons, stories, messages; alive without a kernel.

An explorer is a frozen State with declared controls (walkthrough.explorers.controls) and two functions:
compute(state) -> result, pure, calling yolo_lite; and scene(result) -> Scene. It needs no kernel messages and no
browser to be used from Python: w.anchor_t = 2 computes at once, w.result is what came out. What it does with its
settings is in walkthrough.explorers.adjusting, how it says and draws its result in walkthrough.explorers.describing.
"""

import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from walkthrough._moved import moved_name
from walkthrough.explorers.adjusting import ResultT, StateT, sentence
from walkthrough.explorers.controls import controls_of
from walkthrough.explorers.describing import Describable
from walkthrough.explorers.freezing import controls_to_freeze, start_of
from walkthrough.explorers.history import History
from walkthrough.explorers.nesting import Nestable
from walkthrough.explorers.page import control_on_page, moved_settings, stage_on_page, used_controls, value_on_page
from walkthrough.explorers.stage import check_stage, primary_of, settings_of
from walkthrough.frozen import Frozen, FrozenStory
from walkthrough.render.page import ActionOnPage, PageState
from walkthrough.render.still import picture_and_tables, words_html
from walkthrough.scene import Scene

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)


@dataclass(frozen=True)
class Action:
    """A button that calls a method of the explorer; key is a key of the keyboard that does the same."""

    method: str
    label: str
    key: str = ""
    help: str = ""
    large: bool = False  # what a reader presses again and again

    def on_page(self) -> ActionOnPage:
        """The button as the page needs it."""
        return {"method": self.method, "label": self.label, "key": self.key, "help": self.help, "large": self.large}


class Explorer(Nestable, Describable[StateT, ResultT]):
    """Base class: a subclass is an Explorer[State, Result] with compute and scene; see IouPlayground for a short one.

    Every field of State is an attribute of the explorer, to be read and set: ``w.anchor_t = 2`` does what dragging its
    slider does. Setting anything else is an AttributeError that lists the settings.
    """

    part_of: ClassVar[str] = ""  # which of walkthrough.explorers.stage.PARTS it is about; "": none in particular
    primary: ClassVar[str | tuple[str, ...]] = ()  # the controls right below the picture; the others are folded
    actions: ClassVar[tuple[Action, ...]] = ()
    uploads: bool = False  # the reader may bring a picture: add_picture is called with it
    _live: Any = None  # the widget, from when it is first asked for

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "State"):
            check_stage(cls, controls_of(cls.State))

    @staticmethod
    def draft(result: Any) -> Scene | None:
        """What the live page shows at once of a result that is not finished; None: scene(result) is there at once.

        Parts that are not of this result are marked as late; scene(result) takes the place of all a moment later.
        An explorer with drafts has words() of its own, which need only ``computed``.
        """
        return None

    def refresh(self) -> None:
        """Draw again on the page, if there is one."""
        if self._live is not None:
            self._live.show()

    @property
    def widget(self) -> Any:
        """The live page as an ipywidgets widget; boxes and layouts take the explorer itself, too."""
        if self._live is None:
            from walkthrough.render.live import Live

            self._live = Live(self)
        return self._live

    # -- what the page shows ----------------------------------------------------------------------------------------

    def page_state(self) -> PageState:
        """What is on the page besides the scene: see walkthrough.render.page."""
        controls, is_refused = used_controls(self.state), bool(self._refused)
        return {
            "title": self.title or type(self).__name__,
            "controls": [] if is_refused else [control_on_page(n, c, self.state) for n, c in controls.items()],
            "values": {name: value_on_page(name, control, self.state) for name, control in controls.items()},
            "actions": [] if is_refused else [action.on_page() for action in self.page_actions()],
            "uploads": self.uploads and not is_refused,
            "headline": self.headline,
            "stage": stage_on_page(self, controls),
            "message": self._message_on_page(),
            "refusals": self._refusals_on_page(),
            "history": {
                "undo": self._history.has_past,
                "redo": self._history.has_future,
                "clear": self._has_brought() if self.brought and not is_refused else None,
            },
            "advice": self.page_advice(),
            "words": self.words() if self._computed is not None else "",
            "code": self.as_code(),
            "cell": self.as_cell(),
        }

    def page_advice(self) -> dict[str, Any]:
        """What would help the reader here, and names of what the page offers: {"text", "offers"}, or {}."""
        return {}

    def page_actions(self) -> tuple[Action, ...]:
        """The buttons that can be pressed now: here, all of them."""
        return self.actions

    def present_part(self) -> str:
        """Which part of training is lit above the picture; "" none: here, part_of."""
        return self.part_of

    def page_scene(self) -> Scene:
        """The picture; without panels where there is no result."""
        return self.as_scene() if self._computed is not None else Scene(())

    def page_draft(self) -> Scene | None:
        """What is shown at once where the picture takes long; None where it does not."""
        return self.draft(self._computed) if self._computed is not None else None

    def _refusals_on_page(self) -> dict[str, str]:
        """What the page says at the controls: why their last values are refused."""
        controls = used_controls(self.state)
        return {name: words for name, words in self._refusals.items() if name in controls and words in self.message}

    def _message_on_page(self) -> str:
        """The message without what the page says at the controls."""
        message = self.message
        for words in self._refusals_on_page().values():
            message = message.replace(words, "", 1)
        return " ".join(message.split())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, its picture for where it cannot be, its words. The metadata name the view: see still.js."""
        picture, _ = picture_and_tables(self.as_scene())
        data, metadata = picture._repr_mimebundle_()
        view = self.widget.view()
        return view | data | {"text/plain": repr(self)}, metadata | view

    def _ipython_display_(self) -> None:
        """In a notebook: the live view or its picture, and words and tables in an output of their own: see still.py."""
        from IPython.display import publish_display_data

        publish_display_data(*self._repr_mimebundle_())
        _, tables = picture_and_tables(self.page_scene())  # a sentence in place of a picture is in the words
        publish_display_data({"text/html": words_html(repr(self), tables)})

    # -- what the page hears ----------------------------------------------------------------------------------------

    def page_moved(self, values: Mapping[str, Any], gesture: str = "") -> None:
        """The reader changed controls on the page; changes of one gesture are undone together."""
        changed = moved_settings(values, self.state)
        self._gesture = gesture
        try:
            if changed or self._refusals.keys() & values.keys():  # the value that stands there ends a refusal
                self.set(**changed)
        finally:
            self._gesture = ""

    def page_pressed(self, method: str) -> None:
        """The reader pressed a button: only what the explorer offers is called."""
        if method in {"reset", "clear", "undo", "redo", *(action.method for action in self.actions)}:
            getattr(self, method)()
        elif method.removeprefix("use ") in self.page_advice().get("offers", ()):
            self.use(method.removeprefix("use "))

    def use(self, name: str) -> None:
        """Take what page_advice offers by this name."""
        raise TypeError(f"{type(self).__name__} offers nothing to use")

    def page_unseen(self) -> None:
        """The last view of it is gone from the page, as where its cell was run again: here, nothing follows."""

    def page_story(self, label: str) -> None:
        """The reader pressed the button of a story."""
        self.show_story(label)

    def report(self, problem: Exception) -> None:
        """Set message to what is wrong, in words."""
        self.message = sentence(problem)

    def notify(self, problem: Exception) -> None:
        """Say on the page what is wrong with something that was brought; all stays as it is."""
        self.report(problem)
        self.refresh()

    def tell(self, problem: Exception) -> None:
        """The name of notify in 0.1.0."""
        warnings.warn("tell is notify now; the old name goes in 0.3.0", DeprecationWarning, stacklevel=2)
        self.notify(problem)

    def add_picture(self, pixels: Any, name: str) -> None:
        """Take a picture (H, W, 3) uint8 that the reader brought; explorers with uploads = True say what happens."""
        raise TypeError(f"{type(self).__name__} takes no pictures")

    # -- without a kernel -------------------------------------------------------------------------------------------

    def freeze(self, *names: str, stories: bool = False, **values: Any) -> Frozen:
        """One control or two, alive without a kernel: every scene of theirs is computed now.

        The result shows itself in a notebook, which can then be exported; ``save("x.html")`` makes a page of it that
        works from a file and offline, ``fragment()`` a part for a page of your own. The explorer stays as it is.

        Args:
            names: controls whose values are spread over their range, 13 of one, 7 of each of two; of choices all.
            stories: freeze the explorer's stories too, as chips.
            values: controls with how many values there are to be, or the list of them.
        Raises:
            ValueError: there is no such control or value, or there would be more than 144 scenes.

        >>> from walkthrough import ScheduleExplorer
        >>> frozen = ScheduleExplorer().freeze("lr0", cosine=[False, True])
        >>> frozen.scenes
        14
        """
        if self._refused:
            raise ValueError(self._refused)
        controls = controls_to_freeze(names, values, self._state)
        if stories and not self.stories:
            raise ValueError(f"{type(self).__name__} has no stories to freeze")
        if not controls and not stories:
            first = primary_of(self.primary, used_controls(self._state))[:1]
            raise ValueError(f"name a control that stays alive, as in freeze({', '.join(map(repr, first))})")
        known = controls_of(self.State)
        told = [
            FrozenStory(story.label, story.look_for, settings_of(story, known, self._start, self._state))
            for story in (self.stories if stories else ())
        ]
        return Frozen(self._at, controls, start_of(controls, self._state), told)

    def _at(self, settings: Mapping[str, Any]) -> tuple[PageState, Scene]:
        """What the page would show under these settings; the explorer itself, and who watches it, see nothing of it."""
        other = copy(self)
        other._live, other._watchers, other._history = None, [], History()
        other.set(**settings)
        scene = other.page_scene()  # first: it finishes what takes long
        return other.page_state(), scene
