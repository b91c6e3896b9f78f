"""check: is a reader's function the library's? If not, where does it first differ, and why?"""

import contextlib
import difflib
from collections.abc import Callable
from typing import Any

from walkthrough.exercises.compare import Distance, Finding, compare, distance
from walkthrough.exercises.exercise import PREFIX, Case, Exercise
from walkthrough.exercises.explaining import picture_of, recognised, words_behind
from walkthrough.exercises.registry import EXERCISES
from walkthrough.exercises.running import Outcome, compare_outcomes, is_unwritten, run
from walkthrough.exercises.verdict import Verdict
from walkthrough.numbers import approx


def check(function: Callable[..., Any], exercise: str | Exercise | None = None) -> Verdict:
    """Compares a function of yours with the library's, on the tour batch and on random inputs.

    Args:
        function: yours. Its name says which exercise it is of: ``my_nms``, or ``nms``.
        exercise: the name, where that of the function is another; or an Exercise of your own.
    Returns:
        Verdict: whether it passed; otherwise the first difference in numbers and, where that makes sense, in a picture.
        ``check(my_nms).step()`` opens your function in the Stepper, with the input it failed on.
    Raises:
        ValueError: there is no such exercise; the message lists them.

    >>> import torch
    >>> def my_enclosing_diagonal_squared(a, b):
    ...     size = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    ...     return (size**2).sum(1)
    >>> check(my_enclosing_diagonal_squared).passed
    True
    """
    definition = find_exercise(function, exercise)
    name = getattr(function, "__name__", definition.function_name)
    if is_unwritten(function):
        return _unwritten(definition, name, function)
    cases = list(definition.cases())
    apart: list[Distance] = []
    passed: list[tuple[Case, Outcome]] = []
    for number, case in enumerate(cases, 1):
        library = run(definition, definition.library, case)
        if library.finding is not None:  # nobody's fault but ours
            raise RuntimeError(f"the library cannot do {definition.name} on {case.name}: {library.finding.sentence}")
        yours = run(definition, function, case)
        if _says_not_implemented(yours):
            return _unwritten(definition, name, function)
        finding = yours.finding or compare_outcomes(definition, yours, library)
        comparable = finding is None or finding.difference is not None
        unsteady = _unsteady(definition, function, case, yours) if comparable else None
        finding = finding or unsteady
        if finding is not None:
            message = f"{name}: input {number} of {len(cases)}, {case.name}: {finding.sentence}"
            mistake = "" if unsteady else recognised(definition, function, case, yours, passed)
            details = words_behind(definition, function, case, finding, yours, library, mistake)
            scene = picture_of(definition, function, case, finding, yours, library)
            return Verdict(
                definition.name, False, message, True, mistake, details, finding, case, scene, function, definition
            )
        apart.append(distance(definition, yours.result, library.result))
        passed.append((case, yours))
    message = _success(name, apart)
    return Verdict(definition.name, True, message, case=cases[0], function=function, definition=definition)


def find_exercise(function: Callable[..., Any], exercise: str | Exercise | None = None) -> Exercise:
    """The exercise that a function is of, by its name or by what is given.

    Raises:
        ValueError: not a function, or no such exercise.
    """
    if not callable(function):
        raise ValueError(f"check takes a function, such as check({PREFIX}nms), not {type(function).__name__}")
    if isinstance(exercise, Exercise):
        return exercise
    own_name = getattr(getattr(function, "func", function), "__name__", "?")
    short = str(own_name if exercise is None else exercise).removeprefix(PREFIX)
    if short in EXERCISES:
        return EXERCISES[short]
    close = difflib.get_close_matches(short, EXERCISES, n=1)
    near = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"there is no exercise {short!r}.{near} Name the function {PREFIX}... or give the name: check(f, 'nms'). "
        f"There are: {', '.join(EXERCISES)}."
    )


def _unsteady(exercise: Exercise, function: Callable[..., Any], case: Case, before: Outcome) -> Finding | None:
    """A second call with the same input that gives something else."""
    again = run(exercise, function, case)
    if again.finding is not None:
        return Finding(f"the second call with the same input fails: {again.finding.sentence}")
    with contextlib.suppress(Exception):  # of several results one may be of another type each time
        if compare(exercise, again.result, before.result) is None:
            return None
    return Finding("a second call with the same input gives another result: it draws chance, or keeps something.")


def _says_not_implemented(outcome: Outcome) -> bool:
    return outcome.finding is not None and outcome.finding.sentence.startswith("it raises NotImplementedError")


def _unwritten(exercise: Exercise, name: str, function: Callable[..., Any]) -> Verdict:
    message = f"{name}: not written yet"
    details = ("Put your own lines in place of the `...`, and run the cell again.",)
    return Verdict(exercise.name, False, message, False, details=details, function=function, definition=exercise)


def _success(name: str, apart: list[Distance]) -> str:
    numbers, largest = sum(each.numbers for each in apart), max(each.largest for each in apart)
    found = f"largest difference {approx(largest, '.0e')}" if largest else f"0 of {numbers:,} numbers differ"
    return f"{name}: equal on {len(apart)} inputs: {found}"
