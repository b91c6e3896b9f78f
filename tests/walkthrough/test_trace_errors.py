"""Errors in a recording: which step raised them, in which words."""

import asyncio
import contextlib

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
