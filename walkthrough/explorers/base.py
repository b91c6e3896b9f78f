"""What all explorers share: settings that are checked, results in words, a live page, undo, code to copy.

An explorer is a frozen State with declared controls (walkthrough.explorers.controls) and two functions:
compute(state) -> result, pure, calling yolo_lite; and scene(result) -> Scene. It needs no kernel messages and no
browser to be used from Python: w.anchor_t = 2 computes at once, w.result is what came out.
"""

import warnings
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, is_dataclass, replace
from inspect import Parameter, Signature, getattr_static, signature
from pathlib import Path
from textwrap import wrap
from typing import Any, ClassVar, Generic, TypeVar, get_args

from walkthrough.explorers.controls import Control, Setting, checked, controls_of, defaults_of
from walkthrough.explorers.copying import cell_of
from walkthrough.explorers.freezing import controls_to_freeze, start_of
from walkthrough.explorers.history import History
from walkthrough.explorers.inputs import refuse_address
from walkthrough.explorers.nesting import Nestable
from walkthrough.explorers.page import control_on_page, moved_settings, stage_on_page, used_controls, value_on_page
from walkthrough.explorers.stage import Story, check_stage, first_sentence, primary_of, settings_of, story_of
from walkthrough.frozen import Frozen, FrozenStory
from walkthrough.render.page import ActionOnPage, PageState
from walkthrough.render.still import picture_and_tables, words_html
from walkthrough.scene import Scene, Table

LINE = 110  # characters of a sentence that stands in place of a picture
StateT = TypeVar("StateT")
ResultT = TypeVar("ResultT")


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


class Explorer(Nestable, Generic[StateT, ResultT]):
    """Base class: a subclass is an Explorer[State, Result] with compute and scene; see IouPlayground for a short one.

    Every field of State is an attribute of the explorer, to be read and set: ``w.anchor_t = 2`` does what dragging its
    slider does. Setting anything else is an AttributeError that lists the settings.

    Attributes:
        message: a sentence for the reader, "" where all is well.
    """

    State: ClassVar[type[Any]]  # of the settings: a frozen dataclass with declared controls
    title: ClassVar[str] = ""
    part_of: ClassVar[str] = ""  # which of walkthrough.explorers.stage.PARTS it is about; "": none in particular
    primary: ClassVar[str | tuple[str, ...]] = ()  # the controls right below the picture; the others are folded
    stories: ClassVar[tuple[Story, ...]] = ()  # settings worth looking at
    brought: ClassVar[tuple[str, ...]] = ()  # fields of pictures and boxes: reset() keeps what the reader made of them
    session: ClassVar[tuple[str, ...]] = ()  # fields that undo() leaves as they are
    actions: ClassVar[tuple[Action, ...]] = ()
    uploads: bool = False  # the reader may bring a picture: add_picture is called with it
    message: str = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in vars(cls).get("__orig_bases__", ()):  # Explorer[State, Result]
            if "State" not in vars(cls) and get_args(base) and is_dataclass(get_args(base)[0]):
                cls.State = get_args(base)[0]
        if "State" in vars(cls):
            for name, control in controls_of(cls.State).items():
                if not isinstance(getattr_static(cls, name, None), Setting | None):
                    raise TypeError(f"a field of State called {name} would hide {cls.__name__}.{name}: rename it")
                setattr(cls, name, Setting(name, control))
        if hasattr(cls, "State"):
            check_stage(cls, controls_of(cls.State))
            cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]  # inspect looks for it

    def __init__(self, **settings: Any) -> None:
        unknown = sorted(set(settings) - {*controls_of(self.State), *self._inputs()})
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no {unknown[0]!r}; it takes {self._names()}")
        self._watchers: list[Callable[[dict[str, Any]], None]] = []
        self._live: Any = None
        self._refused = ""  # why the inputs cannot be used, if they cannot
        self._refusals: dict[str, str] = {}  # setting -> why the value that was last given stays out
        self._history: History[StateT] = History()
        self._gesture = ""  # what the reader is doing on the page
        self._given = {name: value for name, value in settings.items() if name in self._inputs() and value is not None}
        self._state: StateT = self.State()
        self._computed: ResultT | None = None
        self._is_finished = False
        try:
            for name in self._given.keys() - {"names"}:
                refuse_address(name, self._given[name])
            inputs = self.prepare(**{name: settings.pop(name) for name in self._inputs() if name in settings})
        except Exception as problem:  # of whatever kind: what the reader gave cannot be used
            self.message = self._refused = sentence(problem)
        else:
            self._state = replace(self._state, **inputs)
            self.set(**settings)
        self._start: StateT = self._state
        self._history = History()

    @classmethod
    def prepare(cls, *_: Any, **inputs: Any) -> dict[str, Any]:
        """What the reader gave (images, a model ...) as values of State's fields; the defaults where nothing was given.

        Raises ValueError with a sentence where it cannot be used: the explorer then shows it in its place.
        """
        return inputs

    @staticmethod
    def compute(state: Any) -> Any:
        """What the settings lead to. Pure: plain data that nothing changes any more.

        Raises ValueError with a sentence where there is no answer.
        """
        raise TypeError("an explorer defines compute(state)")

    @staticmethod
    def scene(result: Any) -> Scene:
        """The result as a picture."""
        raise TypeError("an explorer defines scene(result)")

    @staticmethod
    def takeaway(result: Any) -> str:
        """What the result shows, in one sentence that changes with the settings; "": the first sentence of words()."""
        return ""

    @staticmethod
    def finish(state: Any, result: Any) -> Any:
        """The result with what takes long, where compute leaves that out: called when it is first looked at."""
        return result

    @staticmethod
    def draft(result: Any) -> Scene | None:
        """What the live page shows at once of a result that is not finished; None: scene(result) is there at once.

        Parts that are not of this result are marked as late; scene(result) takes the place of all a moment later.
        An explorer with drafts has words() of its own, which need only ``computed``.
        """
        return None

    # -- settings and results ---------------------------------------------------------------------------------------

    @property
    def state(self) -> StateT:
        """The settings now, frozen."""
        return self._state

    @property
    def beginning(self) -> StateT:
        """The settings of the beginning, to which reset goes back."""
        return self._start

    @property
    def computed(self) -> ResultT | None:
        """What compute made of the settings; None where message says why there is nothing."""
        return self._computed

    def require(self) -> ResultT:
        """What compute made of the settings. Raises ValueError with the message where there is nothing."""
        if self._computed is None:
            raise ValueError(self.message)
        return self._computed

    @property
    def result(self) -> ResultT | None:
        """The same, finished: what takes long is computed when it is first asked for."""
        if self._computed is not None and not self._is_finished:
            self._computed, self._is_finished = self.finish(self._state, self._computed), True
        return self._computed

    def set(self, **settings: Any) -> None:
        """Change settings together, as dragging would. One that is not allowed stays, and message says why."""
        controls, state, problems = controls_of(self.State), self._state, dict[str, str]()
        unknown = next((name for name in settings if name not in controls), None)
        if unknown is not None:
            raise AttributeError(self._no_setting(unknown))
        if self._refused:
            return  # there is nothing that the settings could be about
        for name, value in settings.items():
            try:
                state = replace(state, **{name: checked(name, value, controls[name], state)})  # type: ignore[type-var]
            except ValueError as problem:
                problems[name] = str(problem)
        try:
            state = self.settle(self._state, state)
        except Exception as problem:  # inputs are the reader's: whatever they lead to becomes a sentence
            problems[""] = sentence(problem)
            state = self._state
        self._adopt(state, problems)

    def _adopt(self, state: StateT, problems: Mapping[str, str] | None = None, keeps: bool = True) -> None:
        """Compute from a state, show it, and notify who watches; keeps: the one before can be gone back to."""
        before, self._refusals = self._state, dict(problems or {})
        try:
            self._computed, self.message = self._compute(state)
        except Exception as problem:  # what was given cannot be worked with: all stays as it was
            state, self.message = before, sentence(problem)
        else:
            self._is_finished = False
        self._state = state
        self.message = " ".join(filter(None, [*self._refusals.values(), self.message]))
        changed = {name: getattr(state, name) for name in controls_of(state) if differs(before, state, name)}
        if keeps and not changed.keys() <= set(self.session):
            self._history.keep(self.remembered(before), self._gesture)
        self.refresh()
        for watcher in tuple(self._watchers):
            watcher(changed)

    def _compute(self, state: StateT) -> tuple[ResultT | None, str]:
        """The result, or None, and the message."""
        try:
            result, message = self.compute(state), ""
        except ValueError as problem:
            result, message = None, str(problem)
        return result, " ".join(filter(None, (message, self.note(state))))

    def note(self, state: StateT) -> str:
        """What the message also says in this state: here, nothing."""
        return ""

    def settle(self, before: StateT, after: StateT) -> StateT:
        """The state after a change, for settings that depend on each other: here, as it is.

        Raises ValueError with a sentence where they do not go together: then all stay as they were.
        """
        return after

    def reset(self) -> None:
        """Back to the settings of the beginning; pictures that were brought and boxes that were drawn stay."""
        if self._refused:
            return
        state, problems = self._start, dict[str, str]()
        if self._has_brought():
            own = {name: getattr(self._state, name) for name in self.brought}
            try:
                state = self.settle(state, replace(state, **own))  # type: ignore[type-var]
            except Exception as problem:  # as in set
                problems[""] = sentence(problem)
        self._adopt(state, problems)

    def clear(self) -> None:
        """Back to the pictures and boxes of the beginning; settings stay."""
        controls = controls_of(self.State)
        self.set(**{name: getattr(self._start, name) for name in self.brought if controls[name].kind != "boxes"})

    def _has_brought(self) -> bool:
        """Whether there are pictures or boxes that clear() would take away."""
        given = [name for name in self.brought if controls_of(self.State)[name].kind == "given"]
        return any(differs(self._start, self._state, name) for name in given)

    def undo(self) -> None:
        """Take back the last change of settings, boxes or pictures; as often as there are any."""
        self._recall(self._history.back(self.remembered(self._state)))

    def redo(self) -> None:
        """Do again what undo() took back."""
        self._recall(self._history.forward(self.remembered(self._state)))

    def _recall(self, state: StateT | None) -> None:
        if state is not None:
            self._adopt(self.recalled(state), keeps=False)

    def remembered(self, state: StateT) -> StateT:
        """A state as it is kept for undo(): here, as it is; without what is large and can be computed again."""
        return state

    def recalled(self, state: StateT) -> StateT:
        """The state that undo() goes to from a remembered one: here, that one, with what belongs to the session."""
        kept = {name: getattr(self._state, name) for name in self.session}
        return replace(state, **kept) if kept else state  # type: ignore[type-var]

    def show_story(self, label: str) -> None:
        """Set what a story sets; the others go back to the beginning. Raises ValueError that lists the stories."""
        story = story_of(self.stories, label, type(self).__name__)
        self.set(**settings_of(story, controls_of(self.State), self._start, self._state))

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call watcher({name: value}) after each change, with what changed; returns what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr_static(type(self), name, None)
        if isinstance(attribute, property) and attribute.fget is not None:
            return attribute.fget(self)  # it raised AttributeError, and does so again, in words of its own
        raise AttributeError(self._no_setting(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(self._no_setting(name))
        object.__setattr__(self, name, value)  # of a setting: what its property does

    def _no_setting(self, name: str) -> str:
        settings = ", ".join(controls_of(self.State)) if hasattr(type(self), "State") else "none"
        return f"{type(self).__name__} has no setting {name!r}; it has {settings}"

    @classmethod
    def _inputs(cls) -> tuple[str, ...]:
        """The inputs of prepare: the names in its signature, or the given fields of State."""
        parameters = signature(cls.prepare).parameters.values()
        named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        return tuple(named) or tuple(name for name, c in controls_of(cls.State).items() if c.kind == "given")

    def _names(self) -> str:
        return ", ".join(dict.fromkeys((*self._inputs(), *controls_of(self.State))))

    # -- results ----------------------------------------------------------------------------------------------------

    def words(self) -> str:
        """The result in words, without digits that differ from machine to machine: for screen readers and nbval."""
        return repr(self.scene(self.result))

    @property
    def headline(self) -> str:
        """The takeaway as the page shows it in large type; "" where there is no result."""
        if self._computed is None:
            return ""
        return self.takeaway(self._computed) or first_sentence(self.words())

    def as_scene(self) -> Scene:
        """The result as a Scene; a sentence where there is none."""
        result = self.result
        if result is not None:
            return self.scene(result)
        lines = tuple((line,) for line in wrap(self.message, LINE))
        return Scene(((Table((self.title or type(self).__name__,), lines),),), words=self.message)

    def as_code(self) -> str:
        """The settings that differ from the start, as a line of Python."""
        controls = {name: control for name, control in controls_of(self.State).items() if control.kind != "given"}
        changed = {name: getattr(self._state, name) for name in controls if differs(self.State(), self._state, name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def as_cell(self) -> str:
        """The code that "copy as code" copies: as_code with its imports and what it needs, for a cell of its own.

        What the reader gave stays a name, which a comment explains.
        """
        return cell_of(self.cell_code(), self.cell_names(), type(self))

    def cell_code(self) -> str:
        """What the cell does: as_code, and more where that leaves out boxes or anchors."""
        return self.as_code()

    def cell_names(self) -> dict[str, str]:
        """What names in that code stand for: each with the lines that make it, or with a comment alone."""
        return {name: f"# {name}: what was given to {type(self).__name__} as {name}=" for name in self._given}

    def save(self, path: str | Path, theme: str = "light", width: int = 880) -> None:
        """Write the picture as a file in the format of its ending; see Scene.save."""
        self.as_scene().save(path, theme, width)

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
        other._live, other._watchers = None, []
        other.set(**settings)
        scene = other.page_scene()  # first: it finishes what takes long
        return other.page_state(), scene

    def __repr__(self) -> str:
        lines = [f"{self.title or type(self).__name__}: {self._settings_in_words()}"]
        lines += [self.message] if self.message else []
        lines += [self.words()] if self._computed is not None else []
        return "\n".join(lines)

    def _settings_in_words(self) -> str:
        controls = {n: c for n, c in controls_of(self.State).items() if c.kind not in ("given", "boxes", "point")}
        default = self.State()
        shown = [
            name
            for name, control in controls.items()
            if control.of_use(self._state) and not (control.quiet and not differs(default, self._state, name))
        ]
        return ", ".join(f"{name} {_word(getattr(self._state, name))}" for name in shown)

    # -- the live page ----------------------------------------------------------------------------------------------

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


def _signature(cls: type[Explorer[Any, Any]]) -> Signature:
    """What cls(...) takes: its inputs, then the settings that have a control."""
    own = [p for p in list(signature(cls.__init__).parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
    named = signature(cls.prepare).parameters
    inputs = [named.get(name, Parameter(name, Parameter.KEYWORD_ONLY)) for name in cls._inputs()]
    controls = {name for name, control in controls_of(cls.State).items() if control.kind != "given"}
    settings = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default)
        for name, default in defaults_of(cls.State).items()
        if name in controls
    ]
    found = {p.name: p for p in own}
    for parameter in (*inputs, *settings):
        found.setdefault(parameter.name, parameter.replace(kind=Parameter.KEYWORD_ONLY))
    return Signature(list(found.values()))


def sentence(problem: Exception) -> str:
    """What a reader reads of a problem: its words, after its kind where they were not written for readers."""
    is_for_readers = isinstance(problem, ValueError | OSError | ModuleNotFoundError)
    return str(problem) if is_for_readers else f"{type(problem).__name__}: {problem}"


def differs(before: Any, after: Any, name: str) -> bool:
    """Whether a field changed; inputs, which may be tensors, are compared by identity."""
    old, new = getattr(before, name), getattr(after, name)
    if old is new:
        return False
    control: Control = controls_of(after)[name]
    return control.kind == "given" or old != new


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
