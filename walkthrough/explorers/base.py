"""What all explorers share: settings that are checked, results in words, a live page, code to take along, links.

An explorer is a frozen State with declared controls (walkthrough.explorers.controls) and two functions:
compute(state) -> result, pure, calling yolo_lite; and scene(result) -> Scene. It needs no kernel messages and no
browser to be used from Python: w.anchor_t = 2 computes at once, w.result is what came out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from inspect import getattr_static, signature
from textwrap import wrap
from typing import Any, ClassVar

from walkthrough.explorers.controls import Control, checked, controls_of
from walkthrough.explorers.page import control_on_page, moved_settings, used_controls, value_on_page
from walkthrough.render.page import PageState
from walkthrough.scene import Scene, Table

LINE = 110  # characters of a sentence that stands in place of a picture


@dataclass(frozen=True)
class Action:
    """A button that calls a method of the explorer; key is a key of the keyboard that does the same."""

    method: str
    label: str
    key: str = ""
    help: str = ""


class Explorer:
    """Base class. A subclass sets State, compute and scene; see IouPlayground for a short one.

    Attributes:
        state: the settings now, frozen; each is an attribute of the explorer too, to be read and set.
        result: what compute made of them; None where message says why there is none.
        message: a sentence for the reader, "" where all is well.
    """

    State: ClassVar[type]
    title: ClassVar[str] = ""
    actions: ClassVar[tuple[Action, ...]] = ()
    uploads: ClassVar[bool] = False  # the reader may bring a picture: add_picture is called with it

    def __init__(self, **settings: Any) -> None:
        unknown = sorted(set(settings) - {*controls_of(self.State), *self._inputs()})
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no {unknown[0]!r}; it takes {self._names()}")
        object.__setattr__(self, "_watchers", [])
        object.__setattr__(self, "_live", None)
        object.__setattr__(self, "_refused", "")  # why the inputs cannot be used, if they cannot
        self.state, self.result, self.message = self.State(), None, ""
        try:
            inputs = self.prepare(**{name: settings.pop(name) for name in self._inputs() if name in settings})
        except Exception as problem:  # of whatever kind: what the reader gave cannot be used
            self.message = self._refused = sentence(problem)
        else:
            self.state = replace(self.state, **inputs)
            self.set(**settings)
        self._start = self.state

    @classmethod
    def prepare(cls, **inputs: Any) -> dict[str, Any]:
        """What the reader gave (images, a model ...) as values of State's fields; the defaults where nothing was given.

        Raises ValueError with a sentence where it cannot be used: the explorer then shows it in its place.
        """
        return inputs

    @staticmethod
    def compute(state: Any) -> Any:
        """What the settings lead to. Pure. Raises ValueError with a sentence where there is no answer."""
        raise TypeError("an explorer defines compute(state)")

    @staticmethod
    def scene(result: Any) -> Scene:
        """The result as a picture."""
        raise TypeError("an explorer defines scene(result)")

    @staticmethod
    def draft(result: Any) -> Scene | None:
        """What the live page shows at once, where scene(result) takes long; None: scene(result) is there at once.

        Parts that are not of this result are marked as late; scene(result) takes the place of all a moment later.
        An explorer with drafts has words() of its own, which do not need the scene.
        """
        return None

    # -- settings ---------------------------------------------------------------------------------------------------

    def set(self, **settings: Any) -> None:
        """Change settings together, as dragging would. One that is not allowed stays, and message says why."""
        controls, state, problems = controls_of(self.State), self.state, []
        unknown = next((name for name in settings if name not in controls), None)
        if unknown is not None:
            raise AttributeError(f"{type(self).__name__} has no setting {unknown!r}; it has {self._settings()}")
        if self._refused:
            return  # there is nothing that the settings could be about
        for name, value in settings.items():
            try:
                state = replace(state, **{name: checked(name, value, controls[name], state)})
            except ValueError as problem:
                problems.append(str(problem))
        try:
            state = self.settle(self.state, state)
        except Exception as problem:  # inputs are the reader's: whatever they lead to becomes a sentence
            problems.append(sentence(problem))
            state = self.state
        self._adopt(state, problems)

    def _adopt(self, state: Any, problems: Sequence[str] = ()) -> None:
        """Compute from a state, show it, and tell who watches."""
        before = self.state
        try:
            self._compute(state)
        except Exception as problem:  # what was given cannot be worked with: all stays as it was
            state, self.message = before, sentence(problem)
        self.state = state
        self.message = " ".join(filter(None, [*problems, self.message]))
        self.refresh()
        changed = {name: getattr(state, name) for name in controls_of(state) if differs(before, state, name)}
        for watcher in tuple(self._watchers):
            watcher(changed)

    def settle(self, before: Any, after: Any) -> Any:
        """The state after a change, for settings that depend on each other: here, as it is.

        Raises ValueError with a sentence where they do not go together: then all stay as they were.
        """
        return after

    def reset(self) -> None:
        """Back to the settings of the beginning."""
        if not self._refused:
            self._adopt(self._start)

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call watcher({name: value}) after each change, with what changed; returns what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__.get("state")
        if not name.startswith("_") and state is not None and name in controls_of(state):
            return getattr(state, name)
        attribute = getattr_static(type(self), name, None)
        if isinstance(attribute, property):  # it raised AttributeError, and does so again, in words of its own
            return attribute.fget(self)
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}; it has {self._settings()}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_start" in self.__dict__ and name in controls_of(self.State):
            self.set(**{name: value})
        elif name.startswith("_") or name in ("state", "result", "message") or "_start" not in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}; it has {self._settings()}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *controls_of(self.State)})

    @classmethod
    def _inputs(cls) -> tuple[str, ...]:
        """What prepare takes: the names in its signature, or the given fields of State."""
        named = [p.name for p in signature(cls.prepare).parameters.values() if p.kind is not p.VAR_KEYWORD]
        return tuple(named) or tuple(name for name, c in controls_of(cls.State).items() if c.kind == "given")

    def _names(self) -> str:
        return ", ".join(dict.fromkeys((*self._inputs(), *controls_of(self.State))))

    def _settings(self) -> str:
        return ", ".join(controls_of(self.State))

    # -- results ----------------------------------------------------------------------------------------------------

    def _compute(self, state: Any) -> None:
        try:
            result, message = self.compute(state), ""
        except ValueError as problem:
            result, message = None, str(problem)
        self.result, self.message = result, message

    def words(self) -> str:
        """The result in words, without digits that differ from machine to machine: for screen readers and nbval."""
        return repr(self.scene(self.result))

    def as_scene(self) -> Scene:
        """The result as a Scene; a sentence where there is none."""
        if self.result is not None:
            return self.scene(self.result)
        lines = tuple((line,) for line in wrap(self.message, LINE))
        return Scene(((Table((self.title or type(self).__name__,), lines),),), words=self.message)

    def as_code(self) -> str:
        """The settings that differ from the start, as a line of Python."""
        controls = {name: control for name, control in controls_of(self.State).items() if control.kind != "given"}
        changed = {name: getattr(self.state, name) for name in controls if differs(self.State(), self.state, name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def save(self, path: Any, theme: str = "light", width: int = 880) -> None:
        """Write the picture as a PNG file."""
        self.as_scene().save(path, theme, width)

    def __repr__(self) -> str:
        lines = [f"{self.title or type(self).__name__}: {self._settings_in_words()}"]
        lines += [self.message] if self.message else []
        lines += [self.words()] if self.result is not None else []
        return "\n".join(lines)

    def _settings_in_words(self) -> str:
        controls = {n: c for n, c in controls_of(self.State).items() if c.kind not in ("given", "boxes", "point")}
        shown = [name for name, control in controls.items() if control.of_use(self.state)]
        return ", ".join(f"{name} {_word(getattr(self.state, name))}" for name in shown)

    # -- the live page ----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw again on the page, if there is one."""
        if self._live is not None:
            self._live.show()

    @property
    def widget(self) -> Any:
        """The live page as an ipywidgets widget, to be put into boxes and layouts of one's own."""
        if self._live is None:
            from walkthrough.render.live import Live

            self._live = Live(self)
        return self._live

    def page_state(self) -> PageState:
        """What is on the page besides the scene: see walkthrough.render.page."""
        controls, is_refused = used_controls(self.state), bool(self.__dict__.get("_refused"))
        return {
            "title": self.title or type(self).__name__,
            "controls": [] if is_refused else [control_on_page(n, c, self.state) for n, c in controls.items()],
            "values": {name: value_on_page(name, control, self.state) for name, control in controls.items()},
            "actions": [] if is_refused else [asdict(action) for action in self.actions],
            "uploads": self.uploads and not is_refused,
            "message": self.message,
            "words": self.words() if self.result is not None else "",
            "code": self.as_code(),
        }

    def page_scene(self) -> Scene:
        """The picture; without panels where there is no result."""
        return self.as_scene() if self.result is not None else Scene(())

    def page_draft(self) -> Scene | None:
        """What is shown at once where the picture takes long; None where it does not."""
        return self.draft(self.result) if self.result is not None else None

    def page_moved(self, values: Mapping[str, Any]) -> None:
        """The reader changed controls on the page."""
        if changed := moved_settings(values, self.state):
            self.set(**changed)

    def page_pressed(self, method: str) -> None:
        """The reader pressed a button: only what the explorer offers is called."""
        if method in {"reset", *(action.method for action in self.actions)}:
            getattr(self, method)()

    def report(self, problem: Exception) -> None:
        """Set message to what the reader is told of a problem."""
        self.message = sentence(problem)

    def tell(self, problem: Exception) -> None:
        """Say on the page what is wrong with something that was brought; all stays as it is."""
        self.report(problem)
        self.refresh()

    def add_picture(self, pixels: Any, name: str) -> None:
        """Take a picture (H, W, 3) uint8 that the reader brought; explorers with uploads = True say what happens."""
        raise TypeError(f"{type(self).__name__} takes no pictures")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view, its picture for where it cannot be, its words. The metadata name the view: see still.js."""
        data, metadata = self.as_scene()._repr_mimebundle_()
        view = self.widget.view()
        return view | data | {"text/plain": repr(self)}, metadata | view

    def _ipython_display_(self) -> None:
        """In a notebook: the live view or its picture, and the words in an output of their own: see still.py."""
        from IPython.display import publish_display_data

        from walkthrough.render.still import words_html

        publish_display_data(*self._repr_mimebundle_())
        publish_display_data({"text/html": words_html(repr(self))})


def link(*explorers: Explorer, names: tuple[str, ...] = ()) -> Callable[[], None]:
    """Settings of the same name move together in all explorers; returns what ends it.

    Args:
        names: only these, pictures and objects among them if wanted; without names, all but an explorer's own pictures.

    >>> from walkthrough import AnchorExplorer, LossExplorer              # doctest: +SKIP
    >>> unlink = link(anchors := AnchorExplorer(), losses := LossExplorer())  # doctest: +SKIP
    """
    ends = [explorer.watch(_passing_on(explorer, explorers, names)) for explorer in explorers]

    def unlink() -> None:
        for end in ends:
            end()

    return unlink


def _passing_on(
    source: Explorer, explorers: tuple[Explorer, ...], names: tuple[str, ...]
) -> Callable[[dict[str, Any]], None]:
    def pass_on(changed: dict[str, Any]) -> None:
        for other in explorers:
            shared = {
                name: value
                for name, value in changed.items()
                if other is not source
                and name in controls_of(other.State)
                and (name in names or (not names and controls_of(other.State)[name].linked))
                and differs(source.state, other.state, name)
            }
            if shared:
                other.set(**shared)

    return pass_on


def sentence(problem: Exception) -> str:
    """What a reader is told of a problem: its words, after its kind where they were not written for readers."""
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
