"""Settings that are checked, what is computed from them, and the way back: reset, undo, stories.

The settings are a frozen State with declared controls (walkthrough.explorers.controls); compute(state) -> result is
pure. No browser is needed: ``w.anchor_t = 2`` computes at once, ``w.result`` is what came out.
"""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from inspect import Parameter, Signature, getattr_static, signature
from typing import Any, ClassVar, Generic, TypeVar, get_args

from walkthrough.explorers.controls import Control, Setting, checked, controls_of, defaults_of
from walkthrough.explorers.history import History
from walkthrough.explorers.inputs import refuse_address
from walkthrough.explorers.stage import Story, settings_of, story_of

StateT = TypeVar("StateT")
ResultT = TypeVar("ResultT")


class Adjustable(Generic[StateT, ResultT]):
    """What has settings and a result that follows them; each field of State is an attribute, to be read and set.

    Attributes:
        message: a sentence for the reader, "" where all is well.
    """

    State: ClassVar[type[Any]]  # of the settings: a frozen dataclass with declared controls
    stories: ClassVar[tuple[Story, ...]] = ()  # settings worth looking at
    brought: ClassVar[tuple[str, ...]] = ()  # fields of pictures and boxes: reset() keeps what the reader made of them
    session: ClassVar[tuple[str, ...]] = ()  # fields that undo() leaves as they are
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
            cls.__signature__ = _signature(cls)  # type: ignore[attr-defined]  # inspect looks for it

    def __init__(self, **settings: Any) -> None:
        unknown = sorted(set(settings) - {*controls_of(self.State), *self._inputs()})
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no {unknown[0]!r}; it takes {self._names()}")
        self._watchers: list[Callable[[dict[str, Any]], None]] = []
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
    def finish(state: Any, result: Any) -> Any:
        """The result with what takes long, where compute leaves that out: called when it is first looked at."""
        return result

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

    def watch(self, watcher: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call watcher({name: value}) after each change, with what changed; returns what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def refresh(self) -> None:
        """Show again what is shown somewhere: here, nothing is."""

    # -- the way back -----------------------------------------------------------------------------------------------

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

    # -- names ------------------------------------------------------------------------------------------------------

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


def _signature(cls: type[Adjustable[Any, Any]]) -> Signature:
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
