"""Exercises: the answers in the notebooks pass, the cells as committed are not written yet, wrong answers are found."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor

from walkthrough import check
from walkthrough.exercises import EXERCISES, Case, Exercise, Mistake
from walkthrough.exercises.exercise import Difference
from walkthrough.exercises.marking import RESULTS

TEXTS = Path(__file__).parents[2] / "notebooks" / "text"
GALLERY = "90_gallery"
IN_NOTEBOOKS = [each for each in EXERCISES.values() if (TEXTS / f"{each.notebook}.py").is_file()]
MISTAKES = [(each, mistake) for each in EXERCISES.values() for mistake in each.mistakes]


@cache
def cells_of(notebook: str) -> tuple[list[str], list[str]]:
    """Code and markdown cells of a notebook's text."""
    cells = jupytext.read(TEXTS / f"{notebook}.py", fmt="py:percent").cells
    return tuple([cell.source for cell in cells if cell.cell_type == kind] for kind in ("code", "markdown"))


def committed_cell(exercise: Exercise) -> str:
    """The cell in which the reader writes."""
    (cell,) = [cell for cell in cells_of(exercise.notebook)[0] if f"def {exercise.function_name}(" in cell]
    return cell


def answer_of(exercise: Exercise) -> str:
    """The code of the folded answer."""
    (text,) = [
        text
        for text in cells_of(exercise.notebook)[1]
        if "<details>" in text and f"def {exercise.function_name}(" in text
    ]
    assert text.startswith("<details><summary>An answer")  # what hand-outs leave out
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The same function under another name."""

    def renamed(*arguments: Any) -> Any:
        return function(*arguments)

    renamed.__name__ = name
    return renamed


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_librarys_own_function_passes(exercise: Exercise) -> None:
    verdict = check(exercise.library, exercise.name)
    assert verdict.passed, verdict
    assert "0 of" in verdict.message


@pytest.mark.parametrize("exercise", IN_NOTEBOOKS, ids=[each.name for each in IN_NOTEBOOKS])
def test_the_answer_in_the_notebook_passes_in_place_of_the_dots(exercise: Exercise) -> None:
    space: dict[str, Any] = {}
    exec(
        committed_cell(exercise).replace(f"check({exercise.function_name})", ""), space
    )  # imports and the empty function
    assert check(space[exercise.function_name]).message == f"{exercise.function_name}: not written yet"
    exec(answer_of(exercise), space)
    verdict = check(space[exercise.function_name])
    assert verdict.passed, verdict


@pytest.mark.parametrize("exercise", IN_NOTEBOOKS, ids=[each.name for each in IN_NOTEBOOKS])
def test_the_cell_says_what_goes_in_and_out_and_stands_before_the_questions(exercise: Exercise) -> None:
    cell = committed_cell(exercise)
    names = ", ".join(next(iter(exercise.cases())).arguments)
    assert f"def {exercise.function_name}({names}):" in cell
    assert "Returns: " in cell
    assert cell.rstrip().endswith(f"check({exercise.function_name})")
    titles = [line for text in cells_of(exercise.notebook)[1] for line in text.splitlines() if line.startswith("## ")]
    assert titles[titles.index("## Questions") - 1] == f"## Your turn: write `{exercise.function_name}`"


def test_every_notebook_of_the_tour_has_an_exercise() -> None:
    notebooks = {path.stem for path in TEXTS.glob("[0-8]*.py")}  # from 90 on: collections
    assert notebooks <= {each.notebook for each in EXERCISES.values()}


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=[f"{e.name}-{m.sentence[:30]}" for e, m in MISTAKES])
def test_a_usual_mistake_is_found_and_recognised(exercise: Exercise, mistake: Mistake) -> None:
    verdict = check(named(mistake.function, exercise.function_name))
    assert not verdict.passed
    assert verdict.details[0] == f"A usual mistake gives the same numbers: {mistake.sentence}"
    assert verdict.mistake == mistake.sentence
    assert f"`check({exercise.function_name}).step()`" in verdict.details[-1]


def test_the_first_difference_is_said_in_numbers_and_shown() -> None:
    def my_ratio_test(wh: Tensor, anchor_wh: Tensor, anchor_t: float) -> Tensor:
        return (wh[None] / anchor_wh[:, None] < anchor_t).all(-1)

    verdict = check(my_ratio_test)
    first = verdict.finding.difference
    assert (first.yours, first.library) == (True, False)
    anchor, thing = first.index
    wh, anchor_wh, anchor_t = verdict.inputs.values()
    assert (anchor_wh[anchor] / wh[thing]).max() >= anchor_t  # far too small: the library rejects it
    assert not (wh[thing] / anchor_wh[anchor] >= anchor_t).any()
    assert f"at anchor {anchor}, object {thing}: yours True, the library's False" in verdict.message
    assert torch.equal(my_ratio_test(**verdict.inputs)[anchor, thing], torch.tensor(True))
    shown = verdict._repr_mimebundle_()
    assert shown["text/plain"] == repr(verdict)
    assert re.search('<img width="[0-9]+" height="[0-9]+" [^>]*alt="the object and the anchor', shown["text/html"])
    assert f"<b>{verdict.details[0]}</b>" in shown["text/html"]


# ---- wrong in other ways than by a number: my_shape_iou, which takes wh (n, 2) and anchors (A, 2) -------------------


def transposed(wh: Tensor, anchors: Tensor) -> Tensor:
    return EXERCISES["shape_iou"].library(wh, anchors).T


def of_double_precision(wh: Tensor, anchors: Tensor) -> Tensor:
    return EXERCISES["shape_iou"].library(wh, anchors).double()


def as_list(wh: Tensor, anchors: Tensor) -> list[list[float]]:
    return EXERCISES["shape_iou"].library(wh, anchors).tolist()


def without_return(wh: Tensor, anchors: Tensor) -> None:
    EXERCISES["shape_iou"].library(wh, anchors)


def half_written(wh: Tensor, anchors: Tensor) -> Any:
    return ... if len(wh) else EXERCISES["shape_iou"].library(wh, anchors)


def raising(wh: Tensor, anchors: Tensor) -> Tensor:
    sides = wh * 2
    return sides[:, 7]


def writing_into_its_input(wh: Tensor, anchors: Tensor) -> Tensor:
    result = EXERCISES["shape_iou"].library(wh, anchors)
    wh *= 2
    return result


def drawing_chance(wh: Tensor, anchors: Tensor) -> Tensor:
    return EXERCISES["shape_iou"].library(wh, anchors) + 1e-7 * torch.randint(0, 1 << 20, (1,))


def keeping_something(wh: Tensor, anchors: Tensor, seen: list[int] = []) -> Tensor:  # noqa: B006  # that is the mistake
    seen.append(1)
    return EXERCISES["shape_iou"].library(wh, anchors) * (1 if len(seen) == 1 else 2)


def of_one_argument(wh: Tensor) -> Tensor:
    return wh


WRONG = (
    (transposed, ("(3, 23)", "(23, 3)", "(object, anchor)", "Transposed, it is right")),
    (of_double_precision, ("float64", "float32")),
    (as_list, ("a list of 23", "a float32 tensor of shape (23, 3)")),
    (without_return, ("None", "return")),
    (half_written, ("...",)),
    (raising, ("IndexError", '"return sides[:, 7]"', "index 7")),
    (writing_into_its_input, ("wh[0, 0] was", "afterwards", "x = x * 2")),
    (keeping_something, ("second call", "another result")),
    (of_one_argument, ("(wh", "(wh, anchors)", "signature")),
)


@pytest.mark.parametrize(("function", "facts"), WRONG, ids=[function.__name__ for function, _ in WRONG])
def test_what_is_wrong_is_said_in_a_sentence(function: Callable[..., Any], facts: tuple[str, ...]) -> None:
    verdict = check(function, "shape_iou")
    assert not verdict.passed
    assert verdict.written
    assert [fact for fact in facts if fact not in verdict.finding.sentence] == []
    assert verdict.finding.difference is None
    assert "input 1 of 5, the tour batch, anchors of stride 8" in verdict.message


def test_inputs_are_not_shared_between_calls() -> None:
    check(writing_into_its_input, "shape_iou")
    assert check(EXERCISES["shape_iou"].library, "shape_iou").passed


def test_chance_is_found() -> None:
    assert not check(drawing_chance, "shape_iou").passed


def test_a_gradient_that_is_missing_or_too_much_is_said() -> None:
    library = EXERCISES["ciou"].library
    assert "no gradient reaches" in check(lambda a, b: library(a, b).detach(), "ciou").message
    with_gradient = EXERCISES["objectness_targets"].library

    def attached(shape: Any, matches: Any, overlap: Tensor) -> Tensor:
        return with_gradient(shape, matches, overlap) + 0 * overlap.sum()

    assert "carry a gradient" in check(attached, "objectness_targets").message


def test_empty_bodies_are_not_written_yet() -> None:
    def my_nms(boxes: Any, scores: Any, classes: Any, iou_thres: Any) -> Any:
        raise NotImplementedError

    def my_fuse(conv: Any, norm: Any) -> Any:
        pass

    for function in (my_nms, my_fuse):
        verdict = check(function)
        assert (verdict.passed, verdict.written) == (False, False)
        with pytest.raises(ValueError, match="nothing to step through"):
            verdict.step()


def ending_python(wh: Tensor, anchors: Tensor) -> Tensor:
    raise SystemExit("done")


def sparse(wh: Tensor, anchors: Tensor) -> Tensor:
    return EXERCISES["shape_iou"].library(wh, anchors).to_sparse()


def on_meta(wh: Tensor, anchors: Tensor) -> Tensor:
    return EXERCISES["shape_iou"].library(wh, anchors).to("meta")


def of_objects(wh: Tensor, anchors: Tensor) -> Any:
    return np.array([{}, None], dtype=object)


@pytest.mark.parametrize(
    ("function", "fact"),
    [
        (ending_python, "it raises SystemExit in line"),
        (sparse, "return result.to_dense()"),
        (on_meta, "on the device meta"),
        (of_objects, "object NumPy array"),
    ],
)
def test_results_that_cannot_be_compared_get_a_sentence(function: Callable[..., Any], fact: str) -> None:
    verdict = check(function, "shape_iou")
    assert not verdict.passed
    assert fact in verdict.finding.sentence


def test_numbers_that_cannot_be_read_get_a_sentence() -> None:
    assert "OverflowError" in check(lambda kernels, strides: 10**400, "receptive_field").message
    odd = np.array({}, dtype=object)
    assert "its numbers cannot be read: TypeError" in check(lambda kernels, strides: odd, "receptive_field").message


def test_a_function_that_ends_python_has_no_steps() -> None:
    with pytest.raises(ValueError, match="ends Python"):
        check(ending_python, "shape_iou").step()


def test_strides_above_two_and_whole_numbers_count() -> None:
    def my_receptive_field(kernels: Any, strides: Any) -> Any:
        size, step = 1, 1
        for kernel, stride in zip(kernels, strides, strict=True):
            size, step = size + (kernel - 1) * step, step * min(stride, 2)
        return size

    verdict = check(my_receptive_field)
    assert (verdict.case.arguments, verdict.finding.difference.library) == (
        {"kernels": (3, 3), "strides": (4, 1)},
        11,
    )
    as_float = check(lambda *a: float(EXERCISES["receptive_field"].library(*a)), "receptive_field")
    assert "its result is 6.0; a whole number is asked for, an int" in as_float.message


def twice(*mistakes: Mistake) -> Exercise:
    """An exercise with two inputs: twice as much as goes in."""
    cases = (Case("ones", {"x": torch.ones(2)}), Case("twos", {"x": torch.full((2,), 2.0)}))
    return Exercise("twice", "", "", lambda x: 2 * x, lambda: cases, mistakes)


def test_a_mistake_that_shows_on_an_input_which_passed_is_not_named() -> None:
    exercise = twice(Mistake("three times", lambda x: 3 * x), Mistake("its square is added", lambda x: x**2 + x))
    verdict = check(lambda x: 6 * x / 2 if x[0] == 2 else 2 * x, exercise)  # right on ones
    assert (verdict.case.name, verdict.mistake) == ("twos", "its square is added")
    assert check(lambda x: 3 * x, exercise).mistake == "three times"


def test_no_mistake_is_named_where_a_second_call_gives_something_else() -> None:
    calls: list[int] = []

    def my_twice(x: Tensor) -> Tensor:
        calls.append(1)
        return (2 + len(calls)) * x

    verdict = check(my_twice, twice(Mistake("three times", lambda x: 3 * x)))
    assert (verdict.passed, verdict.mistake) == (False, "")


def test_a_zero_is_written() -> None:
    assert check(lambda kernels, strides: 0, "receptive_field").written


def test_the_name_says_which_exercise_it_is() -> None:
    library = EXERCISES["nms"].library
    assert check(named(library, "nms")).exercise == check(named(library, "my_nms")).exercise == "nms"
    with pytest.raises(ValueError, match="Did you mean 'ratio_test'") as problem:
        check(named(library, "my_ratiotest"))
    assert all(name in str(problem.value) for name in EXERCISES)
    with pytest.raises(ValueError, match=r"there is no exercise '5'.* There are: .*nms"):
        check(library, 5)
    with pytest.raises(ValueError, match="not Tensor"):
        check(torch.zeros(3), "nms")


def test_step_opens_the_stepper_on_the_readers_lines_with_the_input_that_failed() -> None:
    def my_decode(t: Tensor, cell: Tensor, anchor: Tensor, stride: float) -> Tensor:
        s = t.sigmoid()
        centre = (2 * s[:, :2] + cell) * stride
        return torch.cat((centre, (2 * s[:, 2:]) ** 2 * anchor), 1)

    verdict = check(my_decode)
    stepper = verdict.step()
    assert "my_decode" in stepper.state.recording.name
    assert torch.equal(stepper.state.recording.result, my_decode(*verdict.inputs.values()))
    assert stepper.state.name == "s"  # what the first step that changes a tensor changes
    stopped = check(raising, "shape_iou").step()
    assert isinstance(stopped.state.recording.error, IndexError)
    assert stopped.state.step == len(stopped.state.recording) - 1  # where it went wrong


def test_a_verdict_is_text_in_a_terminal() -> None:
    lines = repr(check(transposed, "shape_iou")).splitlines()
    assert lines[0].startswith("transposed: input 1 of 5")
    assert any(line.strip().startswith("The input: wh (23, 2), anchors (3, 2)") for line in lines)


def test_an_exercise_of_ones_own() -> None:
    """The program of docs/exercises.md."""
    text = (TEXTS.parents[1] / "docs" / "exercises.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    exec(text.split("## An exercise of your own")[1].split("```python\n")[1].split("```")[0], space)
    verdict = check(lambda boxes: boxes, space["corners"])
    assert verdict.finding.difference == Difference("", (0, 0), 5.0, 3.0, 8, 8)
    assert "at box 0, left" in verdict.message
    right = check(space["corners"].library, space["corners"])
    assert right.passed


def test_the_page_for_teachers_lists_all_exercises() -> None:
    text = (TEXTS.parents[1] / "docs" / "exercises.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| `my_(\w+)` \|", text, re.MULTILINE)
    assert rows == [(each.notebook.partition("_")[0], each.name) for each in EXERCISES.values()]
    assert [name for name in RESULTS if f"| {name} |" not in text] == []
