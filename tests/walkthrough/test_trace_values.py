"""Values in words: whatever a function may hold, without addresses, without being touched."""

import time
import tracemalloc
from array import array
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from walkthrough.trace import trace

Pair = namedtuple("Pair", "first second")


@dataclass
class Holder:
    number: int
    tensor: torch.Tensor


class Rude:
    def __repr__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


def value_of(thing):
    def hold(thing):
        return thing

    return trace(hold)(thing).at("thing").value


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (torch.tensor([1.0, float("nan"), float("inf")]), "(3,) float32 [1, nan, inf]"),
        (torch.arange(12.0).view(3, 4), "(3, 4) float32, 0 to 11, mean 5.5"),
        (torch.tensor([[1.0, float("nan")]] * 5), "(5, 2) float32, 1 to 1, mean 1, 5 NaN"),
        (torch.full((3, 3), float("-inf")), "(3, 3) float32, 9 inf"),
        (torch.arange(8).view(2, 4) > 2, "(2, 4) bool, 5 True"),
        (torch.tensor(2.5, requires_grad=True), "float32 2.5, carries gradient"),
        (torch.ones(8, dtype=torch.bfloat16), "(8,) bfloat16, 1 to 1, mean 1"),
        (torch.zeros(0, 4), "(0, 4) float32"),
        (torch.empty(3, 4, device="meta"), "(3, 4) float32, on meta"),
        (torch.eye(3).to_sparse(), "(3, 3) float32"),
        (torch.tensor([3 + 4j] * 8).conj(), "(8,) complex64, 5 to 5, mean 5"),
        (np.array(["a", "bb"]), "(2,) <U2 ['a', 'bb']"),
        (np.array([{}, None], dtype=object), "(2,) object"),
        (np.float32(0.5), "0.5"),
        (10**5000, "int of 16610 bits"),
        ("x" * 1000, "'" + "x" * 60 + "' ..."),
        (Pair(1, [2]), "Pair(first=1, second=[2])"),
        (Holder(2, torch.ones(2)), "Holder(number=2, tensor=(2,) float32 [1, 1])"),
        ({"a": torch.ones(2, 2), (1, 2): 3}, "{a: (2, 2) float32, (1, 2): 3}"),
        ({3, 1, 2}, "{1, 2, 3}"),
        ([torch.ones(2, 2)] * 3, "list of 3 (2, 2) float32"),
        (nn.Linear(2, 3), "Linear, 9 parameters"),
        (Rude(), "Rude, which raises RuntimeError"),
        (object(), "<object>"),
        (np, "module numpy"),
        ((), "()"),
        ((1,), "(1,)"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "thing",
)
def test_values_in_words(thing, text):
    assert value_of(thing).text == text


def test_a_list_that_holds_itself_ends():
    loop: list = [1]
    loop.append(loop)
    assert value_of(loop).text.startswith("[1, ")


def test_parts_of_containers_are_found_by_path():
    value = value_of({"pair": Pair(torch.arange(3), 5)})
    assert np.array_equal(value.part("pair.first").array, [0, 1, 2])
    assert value.part("pair.third") is None
    assert value.part("") is value


def test_parts_are_found_under_keys_with_dots_and_without_letters():
    held = {"fc": {"weight": 1, "bias": 2}, "fc.weight": 3, "": {"": 4}, "a.b.c": {"d.e": 5}}
    value = value_of(held)
    found = [value.part(path).text for path in ("fc.weight", "fc.bias", ".", "a.b.c.d.e")]
    assert found == ["3", "2", "4", "5"]
    assert value.part("").type == "dict"
    assert value.part("") is not value
    assert value.part("fc.weight.x") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.tensor([[1.0], [float("nan")]]).expand(2, 2_000_000_000),
        lambda: np.broadcast_to(np.array([[1.0], [np.nan]], np.float32), (2, 2_000_000_000)),
    ],
)
def test_what_is_only_repeated_is_read_once(make):
    start = time.perf_counter()
    value = value_of(make())
    assert time.perf_counter() - start < 2
    assert value.text == "(2, 2000000000) float32, 1 to 1, mean 1, 2000000000 NaN"


def test_windows_that_overlap_are_sampled_and_say_so():
    value = value_of(np.lib.stride_tricks.sliding_window_view(np.arange(100_000.0), 50_000))
    assert value.text.startswith("(50001, 50000) float64, 0 to 9")
    assert value.text.endswith("(of a sample)")


@pytest.mark.filterwarnings("ignore:ComplexHalf", "ignore:The PyTorch API of nested tensors")
def test_kinds_of_tensors_and_arrays_that_numpy_does_not_know():
    assert value_of(torch.full((9,), 2, dtype=torch.complex32)).text == "(9,) complex32, 2 to 2, mean 2"
    assert value_of(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])).text == "2 of float32"
    masked = np.ma.masked_array([1.0, 2.0, 999.0] * 4, mask=[0, 0, 1] * 4)
    assert value_of(masked).text == "(12,) float64, 1 to 2, mean 1.5, 4 masked"


def test_the_beginning_of_long_bytes_is_looked_at_only():
    zeros, sevens = bytearray(10**8), array("i", [7]) * 10**7
    tracemalloc.start()
    assert value_of(zeros).text.endswith("...")
    assert value_of(sevens).text.startswith("array('i', [7, 7, 7")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6  # bytes: no copy of them, nor a text of all
