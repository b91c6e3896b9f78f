"""What check says: a sentence, the first difference, what stands behind it, a picture, and the way into the Stepper."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from walkthrough.exercises.compare import Finding
from walkthrough.exercises.exercise import Case, Exercise
from walkthrough.exercises.running import copied
from walkthrough.explorers.stepper import Stepper
from walkthrough.scene import Scene
from walkthrough.trace import trace

LINE = "padding:.1em 0;margin:0"
FRAME = "border-left:4px solid {colour};padding:.2em .8em;margin:.3em 0;max-width:60em"
RIGHT, WRONG, EMPTY = "#009E73", "#D55E00", "#8A8A8A"  # said in words, too


@dataclass(frozen=True, eq=False)
class Verdict:
    """The result of ``check``: shows itself in a notebook, and in a terminal as text.

    >>> print(Verdict("nms", True, "my_nms: equal on 6 inputs"))
    my_nms: equal on 6 inputs
    """

    exercise: str  # its name
    passed: bool
    message: str  # one line: what was found
    written: bool = True  # False: there is only `...` so far
    mistake: str = ""  # a usual one with the same numbers, in a sentence
    details: tuple[str, ...] = ()  # what stands behind it, the most useful first
    finding: Finding | None = None
    case: Case | None = None  # the input that it is about
    scene: Scene | None = None
    function: Callable[..., Any] | None = None
    definition: Exercise | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """Copies of the arguments it failed on: ``my_nms(**verdict.inputs)`` fails again."""

        return {name: getattr(value, "detach", lambda v=value: v)() for name, value in self._copies().items()}

    def step(self) -> Stepper:
        """The reader's own function in the Stepper, with the input it failed on, or with the first one.

        Raises:
            ValueError: nothing is written yet, or the function ends Python (SystemExit).
        """
        if self.case is None or self.function is None or not self.written:
            raise ValueError(f"{self.exercise}: there is nothing to step through before it is written")
        try:
            recording = trace(self.function)(*self._copies().values())
        except SystemExit as error:
            raise ValueError(
                f"{self.exercise}: the function ends Python (SystemExit), so there are no steps"
            ) from error
        stepper = Stepper(recording, **({} if self.case.pixels is None else {"images": self.case.pixels}))
        if recording.error is not None:
            stepper.last()  # where it went wrong
        return stepper

    def _copies(self) -> dict[str, Any]:
        return copied(self.definition, self.case) if self.definition and self.case else {}

    def __repr__(self) -> str:
        return "\n  ".join((self.message, *self.details))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def _html(self) -> str:
        colour = RIGHT if self.passed else WRONG if self.written else EMPTY
        lines = [f'<p style="{LINE}"><b>{escape(self.message)}</b></p>']
        for number, line in enumerate(map(_with_code, self.details)):
            is_mistake = number == 0 and self.mistake  # the sentence that helps most
            lines.append(f'<p style="{LINE}">{f"<b>{line}</b>" if is_mistake else line}</p>')
        if self.scene is not None:
            lines.append(_image(self.scene))
        return f'<div style="{FRAME.format(colour=colour)}">{"".join(lines)}</div>'


def _image(scene: Scene) -> str:
    """A picture with its words, as wide as its panels need."""
    from walkthrough.render.matplotlib import render_png  # matplotlib is loaded with the first picture

    drawn = render_png(scene, "any", min(360 * len(scene.rows[0]), 800))
    source = f"data:image/png;base64,{base64.b64encode(drawn.data).decode()}"
    size = f'width="{drawn.width}" height="{drawn.height}" style="max-width:100%;object-fit:contain;height:auto"'
    return f'<img {size} alt="{escape(repr(scene), quote=True)}" src="{source}">'


def _with_code(line: str) -> str:
    """Escaped, with `words in backticks` as code.

    >>> _with_code("see `x < 4`")
    'see <code>x &lt; 4</code>'
    """
    parts = escape(line, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
