"""Changes that no counter tells of: deep in lists, past version counters, in objects of every kind."""

import functools
import gc
import sys
import threading
import time
import tracemalloc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from walkthrough.trace import trace


def test_nested_lists_are_as_they_are_when_returned_and_at_each_change():
    def edit(rows, cols):
        table = [[0] * cols for _ in range(rows)]
        for row in range(rows):
            for col in range(cols):
                table[row][col] = row * 100 + col
        return table

    recording = trace(edit)(21, 6)
    for row, col in ((0, 0), (15, 3), (16, 3), (20, 5)):
        assert recording.returned.part(f"{row}.{col}").text == str(row * 100 + col)
    tables = recording.at("table").values
    assert len(tables) == 1 + 21 * 6 - 1  # the first cell was 0 before
    assert [value.part("20.5").text for value in tables[-2:]] == ["0", "2005"]


def test_members_three_levels_deep_and_past_the_first_32_are_not_stale():
    def change(deep, long):
        deep[0][0][20] = 5
        long[40] = [7]
        other = long
        long[50][0] = 8
        again = [long[50], long]
        return deep, other, again

    recording = trace(change)([[[0] * 30]], [[0] for _ in range(60)])
    assert recording.at("deep").value.part("0.0.20").text == "5"
    assert recording.at("long").values[1] is recording.at("other").values[0]
    assert recording.at("again").value.part("0.0").text == "8"
    assert recording.returned.part("0.0.0").text == "list of 30"


def test_what_did_not_change_is_shared_so_that_long_loops_take_little_memory():
    def fill(times):
        table = [[0] * 32 for _ in range(32)]
        for step in range(times):
            table[step % 32][step % 7] = step
        return table

    tracemalloc.start()
    try:
        recording = trace(fill)(1000)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 6e6
    first, second = recording.at("table").values[1:3]
    assert first.part("5") is second.part("5")
    assert second.part("2.2").text == "2"


def test_what_containers_hold_gives_way_to_later_ones():
    def make(times):
        for step in range(times):
            rows = [[step * 1000 + row + col / 7 for col in range(20)] for row in range(20)]
        return rows

    recording = trace(make, memory=1)(40)
    values = recording.at("rows").values
    assert values[0].parts == ()
    assert values[0].gone
    assert values[0].remark
    assert values[-1].part("19.19").text == f"{39019 + 19 / 7:.6g}"
    assert any("memory=" in note for note in recording.notes)


@pytest.mark.parametrize("size", [40, 3000])  # 6 KB, and 36 MB, more than is compared
def test_tensors_changed_past_their_counter_are_not_stale_when_returned(size):
    def step(w):
        w.data -= 0.5 * torch.ones_like(w)
        return w

    recording = trace(step)(torch.zeros(size, size))
    assert recording.returned.stats.high == -0.5
    assert [value.stats.high for value in recording.at("return").values] == [-0.5]
    if size == 40:
        assert recording.at("w")[1].change("w").kind == "in place"


def test_an_array_and_the_tensor_on_its_memory_are_both_seen_to_change():
    def step(array, tensor):
        array[7, 7] = 3
        both = [array, tensor]
        return both

    array = np.zeros((100, 100), np.float32)
    recording = trace(step)(array, torch.from_numpy(array))
    assert [part.stats.high for _, part in recording.at("both").value.parts] == [3, 3]
    assert recording.returned.part("1").stats.high == 3


class Counter:
    def __init__(self):
        self.n = 0

    def __repr__(self):
        return f"Counter({self.n})"


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a = 1

    def go(self):
        self.a += 1
        self.b = self.a
        del self.a


def test_objects_of_every_kind_are_described_as_they_are():
    def change():
        counter, space, small, sparse = Counter(), SimpleNamespace(a=1), bytearray(2), torch.eye(2).to_sparse()
        slotted = Slotted()
        counter.n = 5
        space.a = 6
        small[0] = 9
        sparse.mul_(3)
        slotted.b = 7
        other = counter
        return other

    recording = trace(change)()
    assert recording.returned.text == "Counter(5)"
    assert [value.text for value in recording.at("counter").values] == ["Counter(0)", "Counter(5)"]
    assert [value.text for value in recording.at("space").values] == ["SimpleNamespace(a=1)", "SimpleNamespace(a=6)"]
    assert recording.at("small").value.text == r"bytearray(b'\t\x00')"
    assert [step.change("sparse").kind for step in recording.at("sparse")] == ["new", "in place"]
    assert recording.at("slotted").value.text == "Slotted(a=1, b=7)"


def test_attributes_in_slots_are_recorded():
    recording = trace(Slotted().go)()
    assert [str(value) for value in recording.at("self.a").values] == ["2", "None"]
    assert recording.at("self.b").value.text == "2"


class Strange(float):
    def __eq__(self, other):
        return np.array([True, False])

    __hash__ = float.__hash__


def test_numbers_are_compared_by_what_they_are():
    def change():
        strange, zero, count = Strange(1), 0.0, 1000
        strange = Strange(2)
        zero = -0.0
        count = int("1000")
        return strange, zero, count

    recording = trace(change)()
    assert recording.notes == ()
    assert [value.text for value in recording.at("strange").values] == ["1", "2"]
    assert [value.text for value in recording.at("zero").values] == ["0", "-0"]
    assert len(recording.at("count")) == 1  # the same number


def test_properties_of_a_class_are_recorded_when_read_set_deleted_and_kept():
    class Owner:
        @functools.cached_property
        def kept(self):
            return 9

        @property
        def size(self):
            return 1

        @size.setter
        def size(self, value):
            self.value = value

        @size.deleter
        def size(self):
            self.value = 0

        def use(self):
            self.size = 3
            del self.size
            return self.kept + self.size

    recording = trace(Owner().use, into=Owner)()
    assert [call.name.split(".")[-1] for call in recording.calls] == ["use", "size", "size", "kept", "size"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 does not copy variables to and fro")
def test_threads_that_share_nonlocal_variables_bring_a_note():
    def work(threaded):
        count = 0

        def add():
            nonlocal count
            count += 1
            ready.wait()

        ready = threading.Event()
        thread = threading.Thread(target=add)
        if threaded:
            thread.start()
            time.sleep(0.01)
            ready.set()
            thread.join()
        return count

    assert any("nonlocal" in note for note in trace(work)(True).notes)
    assert trace(work)(False).notes == ()


def test_a_large_array_of_self_is_seen_to_change_in_one_place():
    class Owner:
        def __init__(self):
            self.table = np.zeros(100_000)

        def use(self):
            self.table[12345] = 1
            return 0

    assert trace(Owner().use)().at("self.table").value.stats.high == 1


def test_a_recording_ends_without_the_garbage_collector():
    def work(x):
        y = [x * 2, {"a": x}]
        return y

    gc.disable()
    try:
        recording = trace(work)(torch.ones(100))
        copy = weakref.ref(recording.at("x").value.array)
        assert copy() is not None
        del recording
        assert copy() is None
    finally:
        gc.enable()


def test_a_module_that_got_parameters_says_so_when_it_is_returned():
    def grow(net):
        net.append(nn.Linear(2, 3))
        return net

    assert trace(grow)(nn.Sequential()).returned.text == "Sequential, 9 parameters"
