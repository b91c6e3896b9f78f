"""What stands behind a difference: in words, as a usual mistake, as a picture."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from walkthrough.exercises.compare import Finding
from walkthrough.exercises.exercise import Case, Exercise, Mistake
from walkthrough.exercises.running import Outcome, compare_outcomes, run
from walkthrough.scene import Scene

Function = Callable[..., Any]


def words_behind(
    exercise: Exercise, function: Function, case: Case, finding: Finding, yours: Outcome, library: Outcome, mistake: str
) -> tuple[str, ...]:
    """Lines below the first sentence, the most useful one first."""
    lines = [f"A usual mistake gives the same numbers: {mistake}" if mistake else ""]
    if yours.finding is None and exercise.explain is not None:
        lines.append(_tried(exercise.explain, case, yours.result, library.result, finding.difference) or "")
    name = getattr(function, "__name__", "f")
    lines += [
        f"The input: {', '.join(in_words(name, value) for name, value in case.arguments.items())}.",
        f"Line by line: `check({name}).step()`. The library's own: {exercise.source}.",
    ]
    return tuple(line for line in lines if line)


def picture_of(
    exercise: Exercise, function: Function, case: Case, finding: Finding, yours: Outcome, library: Outcome
) -> Scene | None:
    """The difference as a picture, where that makes sense."""
    if yours.finding is not None or exercise.scene is None:
        return None
    found: Scene | None = _tried(exercise.scene, case, function, yours.result, library.result, finding.difference)
    return found


def recognised(
    exercise: Exercise, function: Function, case: Case, yours: Outcome, passed: Sequence[tuple[Case, Outcome]] = ()
) -> str:
    """The sentence of the usual mistake with the same wrong numbers, or ""; of several, one with them on all inputs.

    passed: inputs on which the function is right, with what it gave: a mistake that shows there is not the reader's.
    """
    if yours.finding is not None:
        return ""
    seen = [*passed, (case, yours)]
    alike = [each for each in exercise.mistakes if all(_same(exercise, each, other, of) for other, of in seen)]
    if len(alike) < 2:
        return alike[0].sentence if alike else ""
    others = [(other, run(exercise, function, other)) for other in exercise.cases()]
    agreeing = [
        sum(outcome.finding is None and _same(exercise, mistake, other, outcome) for other, outcome in others)
        for mistake in alike
    ]
    return alike[agreeing.index(max(agreeing))].sentence


def _same(exercise: Exercise, mistake: Mistake, case: Case, yours: Outcome) -> bool:
    wrong = run(exercise, mistake.function, case)
    return wrong.finding is None and bool(_tried(lambda: compare_outcomes(exercise, yours, wrong) is None))


def in_words(name: str, value: Any) -> str:
    """An argument as it stands in a list of arguments.

    >>> in_words("anchor_t", 4.0)
    'anchor_t = 4.0'
    """
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return f"{name} {tuple(value.shape)}"
    if isinstance(value, int | float) or (isinstance(value, tuple | list) and not hasattr(value, "_fields")):
        return f"{name} = {value}"
    return f"{name} ({type(value).__name__})"


def _tried(make: Function, *arguments: Any) -> Any:
    """Words and pictures of a result that may be anything: where they cannot be made, the sentence stands alone."""
    try:
        return make(*arguments)
    except (Exception, SystemExit):
        return None
