"""A result in words, as a picture and as code: all of it without a page."""

from pathlib import Path
from textwrap import wrap
from typing import Any, ClassVar

from walkthrough.explorers.adjusting import Adjustable, ResultT, StateT, differs
from walkthrough.explorers.controls import controls_of
from walkthrough.explorers.copying import cell_of
from walkthrough.explorers.stage import first_sentence
from walkthrough.scene import Scene, Table

LINE = 110  # characters of a sentence that stands in place of a picture


class Describable(Adjustable[StateT, ResultT]):
    """What says and draws its result, and writes the code that leads to it."""

    title: ClassVar[str] = ""

    @staticmethod
    def scene(result: Any) -> Scene:
        """The result as a picture."""
        raise TypeError("an explorer defines scene(result)")

    @staticmethod
    def takeaway(result: Any) -> str:
        """What the result shows, in one sentence that changes with the settings; "": the first sentence of words()."""
        return ""

    def words(self) -> str:
        """The result in words, without digits that differ from machine to machine: for screen readers and nbval."""
        return repr(self.scene(self.result))

    @property
    def headline(self) -> str:
        """The takeaway as the page shows it in large type; "" where there is no result."""
        if self._computed is None:
            return ""
        said = self.takeaway(self._computed) or first_sentence(self.words())
        return " ".join(said.splitlines())  # a class name may have a line break, a headline has none

    def as_scene(self) -> Scene:
        """The result as a Scene; a sentence where there is none."""
        result = self.result
        if result is not None:
            return self.scene(result)
        lines = tuple((line,) for line in wrap(self.message, LINE))
        return Scene(((Table((self.title or type(self).__name__,), lines),),), words=self.message)

    def save(self, path: str | Path, theme: str = "light", width: int = 880) -> None:
        """Write the picture as a file in the format of its ending; see Scene.save."""
        self.as_scene().save(path, theme, width)

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

    # -- code -------------------------------------------------------------------------------------------------------

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


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
