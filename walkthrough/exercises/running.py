"""A reader's function on one input: what it returned, or a sentence about what went wrong on the way."""

import copy
import dis
import inspect
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from walkthrough.exercises.compare import Finding, compare
from walkthrough.exercises.exercise import Case, Exercise
from walkthrough.exercises.memory import OUT_OF_MEMORY, is_out_of_memory

NOTHING = {"RESUME", "NOP", "LOAD_CONST", "POP_TOP", "RETURN_VALUE", "RETURN_CONST"}  # what `...` is compiled to


class Outcome(NamedTuple):
    """What a call gave: a result and gradients, or a finding."""

    result: Any = None
    gradients: tuple[Tensor, ...] = ()  # of the summed result, with respect to exercise.gradient
    finding: Finding | None = None


def is_unwritten(function: Callable[..., Any]) -> bool:
    """Whether the body is a docstring and `...`, or pass: nothing of it does anything.

    >>> def empty(x):
    ...     "Half of x."
    ...     ...
    >>> is_unwritten(empty), is_unwritten(lambda x: x / 2)
    (True, False)
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    steps = list(dis.get_instructions(code))
    constants = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {step.opname for step in steps} <= NOTHING and all(value in (None, ...) for value in constants)


def run(exercise: Exercise, function: Callable[..., Any], case: Case) -> Outcome:
    """Calls the function on copies of the case's arguments, and looks at them afterwards."""
    arguments = copied(exercise, case)
    problem = signature_problem(function, arguments)
    if problem:
        return Outcome(finding=Finding(problem))
    try:
        result = function(*arguments.values())
    except (Exception, SystemExit) as error:
        return Outcome(finding=Finding(error_sentence(function, error)))
    changed = _changed_argument(case.arguments, arguments)
    if changed:
        return Outcome(finding=Finding(changed))
    if not exercise.gradient or not isinstance(result, Tensor):
        return Outcome(result)
    return _with_gradients(exercise, result, arguments, case.gradient)


def copied(exercise: Exercise, case: Case) -> dict[str, Any]:
    """The arguments, of which nothing is shared with the case; those whose gradient is asked for ask for it."""
    arguments = {name: copy.deepcopy(value) for name, value in case.arguments.items()}
    for name in exercise.gradient:
        arguments[name].requires_grad_()
    return arguments


def _with_gradients(exercise: Exercise, result: Tensor, arguments: dict[str, Any], wanted: bool) -> Outcome:
    asked = [arguments[name] for name in exercise.gradient]
    if not wanted or not result.requires_grad:
        return Outcome(result)
    try:
        found = torch.autograd.grad(result.sum(), asked, allow_unused=True)
    except RuntimeError as error:
        return Outcome(finding=Finding(f"its gradient cannot be computed: {_first_line(error)}"))
    return Outcome(result, tuple(torch.zeros_like(a) if g is None else g for a, g in zip(asked, found, strict=True)))


def compare_outcomes(exercise: Exercise, yours: Outcome, library: Outcome) -> Finding | None:
    """The first thing that differs in the results, or in their gradients where the exercise asks for them."""
    finding = compare(exercise, yours.result, library.result)
    if finding is not None or not exercise.gradient:
        return finding
    if library.result.requires_grad != yours.result.requires_grad:
        if yours.result.requires_grad:
            return Finding(
                "the numbers are right, but they carry a gradient, unlike the library's: detach the overlaps."
            )
        return Finding("the numbers are right, but no gradient reaches the input: no .item(), .detach() or NumPy here.")
    for name, mine, theirs in zip(exercise.gradient, yours.gradients, library.gradients, strict=False):
        finding = compare(exercise, mine, theirs)
        if finding is not None:
            return Finding(
                f"the values are right; in the gradient with respect to {name}, {finding.sentence}", finding.difference
            )
    return None


def signature_problem(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """A sentence where the function cannot be called with this many arguments, otherwise ""."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled ones do not say
        return ""
    try:
        signature.bind(*arguments.values())
    except TypeError:
        return f"it takes {signature}, but is called with ({', '.join(arguments)}): keep the signature of the exercise."
    return ""


def error_sentence(function: Callable[..., Any], error: BaseException) -> str:
    """An error with the line of the reader's function in which it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in frames if frame.filename == file]
    where = f" in line {own[-1].lineno}" if own else ""
    line = f', "{own[-1].line}"' if own and own[-1].line else ""
    what = OUT_OF_MEMORY if is_out_of_memory(error) else _first_line(error)
    return f"it raises {type(error).__name__}{where}{line}: {what}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _changed_argument(before: Any, after: dict[str, Any]) -> str:
    """A sentence about an input that the function wrote into, or ""."""
    for name, value in before.items():
        for part, old, new in _arrays(name, value, after[name]):
            if old.shape != new.shape:
                return f"it changes its input {part} in place: its shape {old.shape} is now {new.shape}."
            wrong = ~np.isclose(old, new, rtol=0, atol=0, equal_nan=True)
            if wrong.any():
                index = tuple(int(k) for k in np.argwhere(wrong)[0])
                at = f"[{', '.join(map(str, index))}]" if index else ""
                return (
                    f"it changes its input: {part}{at} was {old[index]:.4g} and is {new[index]:.4g} afterwards. The "
                    "caller goes on working with it: make a new tensor (x = x * 2 instead of x *= 2)."
                )
    return ""


def _arrays(name: str, before: Any, after: Any) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every tensor and array in an argument, with its name."""
    if isinstance(before, nn.Module):
        yield from _arrays(name, before.state_dict(), after.state_dict())
    elif isinstance(before, dict):
        for key in before:
            yield from _arrays(f"{name}.{key}", before[key], after[key])
    elif isinstance(before, Tensor):
        yield name, before.detach().numpy().astype(np.float64), after.detach().numpy().astype(np.float64)
    elif isinstance(before, np.ndarray):
        yield name, before.astype(np.float64), after.astype(np.float64)
    elif isinstance(before, tuple | list) and len(before) == len(after):
        names = getattr(before, "_fields", range(len(before)))
        for key, old, new in zip(names, before, after, strict=True):
            yield from _arrays(f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]", old, new)
    elif isinstance(before, list):
        yield name, np.zeros(len(before)), np.zeros(len(after))
