"""Errors in a recording: which step raised them, in which words."""

import asyncio
import contextlib
import gc
import weakref

import pytest
import torch

from walkthrough.trace import load_trace, trace


def test_the_step_that_failed_is_not_that_of_an_error_which_was_handled_before():
    def read(path):
        return open(path)

    def load(path):
        with contextlib.suppress(FileNotFoundError):
            read(path)
        raise FileNotFoundError(2, "weights missing", "weights.pt")

    for _ in range(5):  # the second error often takes the place of the first in memory
        recording = trace(load, into=read)("no such file")
        assert recording.failed.line == load.__code__.co_firstlineno + 3
        assert repr(recording).splitlines()[-1].startswith("raised FileNotFoundError: [Errno 2] weights missing")


def test_an_error_raised_by_the_iterator_of_a_loop_is_recorded_at_the_loop(tmp_path):
    def total(words):
        for _ in map(int, words):
            pass

    def batches():
        for _ in torch.utils.data.DataLoader([torch.zeros(2), torch.zeros(3)], batch_size=2):
            pass

    recording = trace(total)(["1", "x"])
    assert recording.failed.line == total.__code__.co_firstlineno + 1
    assert "invalid literal" in repr(recording).splitlines()[-1]
    assert "stack expects each tensor" in trace(batches)().failed.error


def test_an_error_out_of_sight_is_named_with_its_words_also_after_saving(tmp_path):
    def loop():
        for _ in range(100):
            pass
        raise ValueError("the reason")

    recording = trace(loop, most_steps=5)()
    recording.save(tmp_path / "loop.trace")
    for each in (recording, load_trace(tmp_path / "loop.trace")):
        assert each.failed is None
        assert "raised ValueError: the reason" in repr(each)


def test_awaiting_and_yielding_from_others_raise_nothing():
    def run():
        async def work():
            await asyncio.sleep(0)
            return 1

        def inner():
            yield 1
            return 2

        def outer():
            got = yield from inner()
            return got

        return asyncio.run(work()), list(outer())

    recording = trace(run)()
    assert recording.result == (1, [1])
    assert [step.error for step in recording if step.error] == []
    assert [value.text for value in recording.at("got").values] == ["2"]


def test_an_async_for_that_ends_raises_nothing_but_a_missing_next_one_does():
    async def numbers(count):
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    def run():
        async def work():
            found = []
            async for number in numbers(2):
                found.append(number)
            found += [number async for number in numbers(2)]
            try:
                await anext(numbers(0))
            except StopAsyncIteration:
                found.append("none")
            return found

        return asyncio.run(work())

    recording = trace(run)()
    assert recording.result == [0, 1, 0, 1, "none"]
    assert [step.error for step in recording if step.error] == ["StopAsyncIteration"]


def test_iterators_written_in_python_end_loops_without_an_error():
    class Countdown:
        def __init__(self, start):
            self.left = start

        def __iter__(self):
            return self

        def __next__(self):
            if self.left == 0:
                raise StopIteration
            self.left -= 1
            return self.left

    def use():
        looped = []
        for number in Countdown(2):
            looped.append(number)
        one, two = Countdown(2)
        return looped, [number + 0 for number in Countdown(2)], one + two, sum(Countdown(3))

    recording = trace(use)()
    assert recording.result == ([1, 0], [1, 0], 1, 3)
    assert [step.error for step in recording if step.error] == []


def test_a_stop_that_a_line_asked_for_is_an_error_of_that_line():
    def first(values):
        return next(iter(values))

    recording = trace(first)([])
    assert isinstance(recording.error, StopIteration)
    assert recording.failed.line == first.__code__.co_firstlineno + 1
    assert recording.failed.error == "StopIteration"


def test_a_call_that_fails_before_its_first_line_says_what_it_raised():
    recording = trace(lambda a, b: a)(1)
    assert "missing 1 required positional argument: 'b'" in recording.notes[0]
    assert "cache" not in repr(recording)


def test_a_context_manager_says_that_its_lines_run_later():
    @contextlib.contextmanager
    def opened():
        yield 1

    def use():
        with opened() as one:
            return one

    assert "run where it is entered" in trace(opened)().notes[0]
    assert "opened" in trace(use, into=opened)().calls[1].name


def test_numbers_that_are_none_and_objects_that_cannot_be_named_get_a_sentence():
    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    def work():
        return 1

    for wrong in ({"memory": "64"}, {"most_steps": "x"}, {"most_steps": None}, {"memory": float("nan")}):
        with pytest.raises(ValueError, match="must be numbers above 0, not "):
            trace(work, **wrong)
    with pytest.raises(ValueError, match="not Rude Rude, which raises RuntimeError"):
        trace(Rude())


def test_errors_that_an_error_came_from_keep_no_variables_alive_but_those_of_the_caller_do():
    class Large:
        pass

    kept = []

    def inner():
        large = Large()
        kept.append(weakref.ref(large))
        raise KeyError("inner")

    def work():
        try:
            inner()
        except KeyError as problem:
            raise ValueError("outer") from problem

    try:
        raise OSError("of the caller")
    except OSError as mine:
        recording = trace(work)()
        untouched = mine.__traceback__ is not None
    assert untouched
    assert isinstance(recording.error.__cause__, KeyError)
    assert recording.error.__cause__.__traceback__ is None
    gc.collect()
    assert kept[0]() is None
