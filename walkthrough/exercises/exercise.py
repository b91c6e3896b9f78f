"""What an exercise is: a step of the library, inputs to try it on, and the mistakes that people make in it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from walkthrough.scene import Scene

PREFIX = "my_"  # of the reader's functions, so that they do not hide the library's


@dataclass(frozen=True, eq=False)
class Case:
    """One input that a reader's function is tried on."""

    name: str  # where it comes from, in words: "the tour batch, stride 8"
    arguments: Mapping[str, Any]  # by name, in the order of the signature
    pixels: np.ndarray | None = None  # (H, W, 3) uint8, what the boxes lie on, where there is a picture
    gradient: bool = True  # False: gradients are not compared, as the function has a corner there


class Mistake(NamedTuple):
    """A usual wrong answer, recognised by its numbers."""

    sentence: str  # what was written, and what to look at
    function: Callable[..., Any]  # computes it; same arguments as the exercise


@dataclass(frozen=True)
class Difference:
    """The first number, in the order of the index, that is not the library's."""

    output: str  # which of several results; "" where there is one
    index: tuple[int, ...]  # () for a single number
    yours: float
    library: float
    count: int  # numbers of this result that differ
    total: int  # numbers of this result


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function for the reader to write, and everything that ``check`` needs to know about it.

    name: without the reader's ``my_``. notebook: the stem of the notebook that asks for it.
    library: computes the same with the functions that training calls; ``source`` names them for the reader.
    cases: the inputs, those from the tour batch first, then random ones from a generator with a fixed seed.
    rtol, atol: a difference may be atol + rtol times the library's number; ``because`` says why. 0 and 0: equal.
    outputs: names, where a tuple is returned. axes: what the indices of a result count; names in place of a number for
    the columns of a box. gradient: arguments whose gradient of the summed result is compared too.
    explain: what stands behind a difference, in words: (case, yours, library's, difference) -> a sentence, or "".
    scene: the same as a picture, or None.
    """

    name: str
    notebook: str
    source: str
    library: Callable[..., Any]
    cases: Callable[[], Iterable[Case]]
    mistakes: tuple[Mistake, ...]
    rtol: float = 0.0
    atol: float = 0.0
    because: str = "whole numbers and decisions are equal, or they are not"
    outputs: tuple[str, ...] = ()
    axes: tuple[str | tuple[str, ...], ...] = ()
    gradient: tuple[str, ...] = ()
    explain: Callable[[Case, Any, Any, Difference | None], str] | None = None
    scene: Callable[[Case, Callable[..., Any], Any, Any, Difference | None], Scene | None] | None = None

    @property
    def function_name(self) -> str:
        """What the reader's function is called in the notebook: "my_nms"."""
        return PREFIX + self.name

    def place(self, index: tuple[int, ...]) -> str:
        """An index in words: "anchor 0, object 6"."""
        words = []
        for axis, number in enumerate(index):
            counted = self.axes[axis] if axis < len(self.axes) else "index"
            words.append(counted[number] if isinstance(counted, tuple) else f"{counted} {number}")
        return ", ".join(words)
