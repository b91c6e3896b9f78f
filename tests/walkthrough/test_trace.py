"""The recorder: what it writes down, of functions of every kind, from here and from other libraries."""

import contextlib
import functools
import linecache
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import yolo_lite as yl
from walkthrough.trace import trace
from yolo_lite.loss import targets as steps_of_matching

INLINED = sys.version_info >= (3, 12)  # comprehensions run in the function around them; before, they are calls
STRIDES = [8, 16, 32]
GRIDS = [(80, 80), (40, 40), (20, 20)]
ANCHORS = torch.tensor(
    [[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
)


def some_targets(count: int = 43) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    image, cls = torch.randint(0, 4, (count, 1), generator=generator), torch.randint(0, 80, (count, 1))
    return torch.cat((image, cls * 0, torch.rand(count, 4, generator=generator) * 0.8 + 0.1), 1)


def words(excerpt) -> list[str]:
    return [value.text for value in excerpt.values]


def numbers_of(recording, name: str) -> list[str]:
    return words(recording.at(name))


# -- yolo_lite ---------------------------------------------------------------------------------------------------------


def test_build_targets_is_recorded_with_its_named_steps():
    targets = some_targets()
    recording = trace(yl.build_targets, into=steps_of_matching)(targets, GRIDS, ANCHORS, STRIDES)
    names = [call.name for call in recording.calls]
    for step in ("check_targets", "assign_level", "to_grid_units", "ratio_test", "neighbour_cells", "make_assignment"):
        assert names.count(step) == (1 if step == "check_targets" else 3)
    assert {call.depth for call in recording.calls} == ({0, 1, 2} if INLINED else {0, 1, 2, 3})
    for level, (grid, values) in enumerate(zip(GRIDS, recording.at("boxes")[1::2], strict=False)):
        assert np.array_equal(values.change("boxes").value.array, steps_of_matching.to_grid_units(targets, grid)), level


def test_recorded_values_are_those_that_the_function_returned():
    recording = trace(yl.build_targets, into=steps_of_matching.make_assignment)(some_targets(), GRIDS, ANCHORS, STRIDES)
    expected = yl.build_targets(some_targets(), GRIDS, ANCHORS, STRIDES)
    rows = recording.at("row").values
    assert [value.shape for value in rows] == [level.row.shape for level in expected]
    for value, level in zip(rows, expected, strict=True):
        assert value.complete
        assert np.array_equal(value.array, level.row)
        assert value.stats.high == level.row.max()
        assert value.stats.mean == pytest.approx(level.row.double().mean().item())


def test_the_loss_is_recorded_as_a_module_with_its_methods():
    loss = yl.ComputeLoss(ANCHORS, STRIDES, 2)
    maps = [torch.zeros(4, 3, rows, cols, 7, requires_grad=True) for rows, cols in GRIDS]
    recording = trace(loss, into=yl.ComputeLoss)(maps, some_targets())
    expected = loss(maps, some_targets())
    assert torch.equal(recording.result.total, expected.total)
    assert [call.name for call in recording.calls].count("ComputeLoss.level") == 3
    assert recording.returned.part("total").array == pytest.approx(expected.total.item())


# -- slices and words --------------------------------------------------------------------------------------------------


def running_mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


def test_loops_are_recorded_by_iteration():
    recording = trace(running_mean)([1, 2, 6])
    assert numbers_of(recording, "total") == ["0", "1", "3", "9"]
    line = running_mean.__code__.co_firstlineno + 3
    assert [step.iteration for step in recording.lines[line]] == [1, 2, 3]
    assert [step.iteration for step in recording.line(line - 1)] == [1, 2, 3, 4]  # the last time the loop ends
    assert recording.at("return").value.text == "3"


def test_a_slice_of_lines_and_of_steps_prints_its_source_and_changes():
    recording = trace(running_mean)([1, 2, 6])
    first = running_mean.__code__.co_firstlineno
    assert repr(recording.lines[first + 1 : first + 2]).split() == [
        str(first + 1),
        "total",
        "=",
        "0",
        "total",
        "=",
        "0",
    ]
    assert len(recording[2:5]) == 3
    assert recording[2:5][0] is recording.steps[2]
    assert repr(recording) == repr(trace(running_mean)([1, 2, 6]))


def test_a_name_that_was_not_recorded_gets_a_sentence_with_those_that_were():
    recording = trace(running_mean)([1])
    with pytest.raises(ValueError, match=r"nothing named 'matched' .* values, total, value, return"):
        recording.at("matched")
    with pytest.raises(ValueError, match=r"no call of 'make_assignment' .* running_mean. Name it in into="):
        recording.of("make_assignment")


def test_the_state_after_a_step_holds_what_was_known_then():
    recording = trace(running_mean)([1, 2, 6])
    third = recording.at("total")[2]
    assert {name: value.text for name, value in recording.state(third.index).items()} == {
        "values": "[1, 2, 6]",
        "total": "3",
        "value": "2",
    }


# -- changes in place --------------------------------------------------------------------------------------------------


def test_tensors_changed_in_place_are_seen_past_every_counter():
    def change(x):
        x[0] = 5
        x.data.add_(1)
        x.numpy()[1] = 9
        x.add_(0)
        view = x[2:]
        view.zero_()

    recording = trace(change)(torch.ones(4))
    notes = [change.note for step in recording for change in step.changes if change.name == "x" and change.note]
    assert notes == ["1 of 4 changed", "4 of 4 changed", "1 of 4 changed", "0 of 4 changed", "2 of 4 changed"]
    assert np.array_equal(recording.at("x").value.array, [6, 9, 0, 0])
    assert np.array_equal(recording.at("x").values[1].array, [5, 1, 1, 1])  # as it was then


@pytest.mark.parametrize("size", [10, 50_000, 3_000_000])
def test_arrays_changed_in_place_are_seen_small_and_large(size):
    def change(array):
        array[3] = 1
        other = array
        other[...] = 2
        return other

    recording = trace(change)(np.zeros(size))
    kinds = [step.change("array").kind for step in recording.at("array")]
    assert kinds[0] == "argument"
    assert kinds[-1] == "in place"
    if size * 8 <= 16 * 2**20:
        assert kinds == ["argument", "in place", "in place"]  # even a single one of 50,000, by the line that names it


def test_containers_changed_in_place_are_seen_and_what_is_in_them():
    def change(items, table):
        items.append(3)
        table["a"][0].mul_(2)
        table["b"] = items
        items.sort()

    recording = trace(change)([2, 1], {"a": [torch.ones(2)]})
    assert numbers_of(recording, "items") == ["[2, 1]", "[2, 1, 3]", "[1, 2, 3]"]
    changed = [[change.name for change in step.changes] for step in recording if step.kind == "line"]
    assert changed == [["items"], ["table"], ["table"], ["items", "table", "return"]]


def test_attributes_and_buffers_of_self_are_recorded_when_they_change():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))
            self.calls = 0

        def forward(self, x):
            self.seen += len(x)
            self.calls += 1
            self.last = x
            return x

    recording = trace(Counter())(torch.ones(3))
    assert numbers_of(recording, "self.seen") == ["(1,) float32 [3]"]
    assert recording.at("self.seen")[0].change("self.seen").kind == "in place"
    assert numbers_of(recording, "self.calls") == ["1"]
    assert recording.at("self.last")[0].change("self.last").kind == "new"


def test_deleted_names_are_said_to_be_gone():
    def drop():
        x = 1
        del x
        return None

    recording = trace(drop)()
    assert recording.at("x").values[-1] is None
    assert "x deleted" in repr(recording)


def test_a_deleted_attribute_is_said_to_be_gone():
    class Holder:
        def go(self):
            self.x = 1
            del self.x

    recording = trace(Holder().go)()
    assert recording.at("self.x").values[-1] is None
    assert "self.x" not in recording.state(-1)


# -- functions of every kind -------------------------------------------------------------------------------------------


def test_a_module_of_torch_with_nested_modules():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    recording = trace(layer, into=(layer.self_attn, nn.TransformerEncoderLayer))(x)
    assert torch.equal(recording.result, layer(x))
    names = [call.name for call in recording.calls]
    assert names[0] == "TransformerEncoderLayer.forward"
    assert {"TransformerEncoderLayer._sa_block", "MultiheadAttention.forward"} <= set(names)
    assert recording.at("self").values[0].text == "TransformerEncoderLayer, 2,224 parameters"
    assert [step.text for step in recording.at("return").values][-1] == recording.returned.text
    assert torch.equal(trace(layer.forward)(x).result, layer(x))


def test_numpy_routines_behind_their_dispatchers():
    x = np.arange(10.0)
    recording = trace(np.polyfit)(x, x**2, 2)
    assert np.array_equal(recording.result, np.polyfit(x, x**2, 2))
    assert recording.at("lhs").values[0].shape == (10, 3)
    assert recording.at("lhs")[1].change("lhs").kind == "in place"
    assert np.array_equal(trace(np.linalg.svd)(np.eye(3)).result.S, np.ones(3))


@pytest.mark.parametrize("fn", [np.add, len, torch.relu, torch.Tensor.add])
def test_compiled_functions_get_a_sentence(fn):
    with pytest.raises(ValueError, match=r"is compiled .* no lines of Python"):
        trace(fn)


def test_async_functions_and_things_that_are_none_get_a_sentence():
    async def later():
        pass

    with pytest.raises(ValueError, match="later is async"):
        trace(later)
    with pytest.raises(ValueError, match="not int 3"):
        trace(3)
    with pytest.raises(ValueError, match="above 0"):
        trace(running_mean, memory=0)


def test_recursion_is_recorded_by_depth():
    def factorial(n):
        return 1 if n == 0 else n * factorial(n - 1)

    recording = trace(factorial)(5)
    assert recording.result == 120
    assert [call.depth for call in recording.calls] == [0, 1, 2, 3, 4, 5]
    assert numbers_of(recording, "return") == ["1", "1", "2", "6", "24", "120"]
    assert [call.parent for call in recording.calls] == [None, 0, 1, 2, 3, 4]


def test_recursion_up_to_the_limit_and_beyond_costs_steps_not_the_function():
    def deep(n):
        return 0 if n == 0 else 1 + deep(n - 1)

    room = sys.getrecursionlimit() - len_of_stack() - 12
    near = trace(deep)(room)
    assert near.result == room
    beyond = trace(deep)(sys.getrecursionlimit() + 10)
    assert isinstance(beyond.error, RecursionError)
    assert any("recursion limit" in note for note in beyond.notes)


def len_of_stack() -> int:
    frame, count = sys._getframe(), 0
    while frame:
        frame, count = frame.f_back, count + 1
    return count


def test_generators_are_run_to_their_end():
    def squares(n):
        for k in range(n):
            got = yield k * k
        return got

    recording = trace(squares)(3)
    assert recording.result == [0, 1, 4]
    assert numbers_of(recording, "yield") == ["0", "1", "4"]
    assert [step.kind for step in recording].count("resume") == 3
    assert len(recording.calls) == 1


def test_a_generator_inside_is_recorded_across_its_resumes():
    def squares(n):
        for k in range(n):
            yield k * k

    def total(n):
        result = 0
        for square in squares(n):
            result += square
        return result

    recording = trace(total, into=squares)(4)
    assert recording.result == 14
    assert [call.name.split(".")[-1] for call in recording.calls] == ["total", "squares"]
    assert [step.change("yield").value.text for step in recording.at("yield")] == ["0", "1", "4", "9"]
    assert [value.text for value in recording.at("k").values] == ["0", "1", "2", "3"]


def test_what_a_generator_yields_is_recorded_also_where_it_is_none():
    def pause():
        yield
        got = yield None
        return got

    recording = trace(pause)()
    assert recording.result == [None, None]
    assert numbers_of(recording, "yield") == ["None", "None"]
    assert [step.kind for step in recording].count("resume") == 2
    assert len(recording.calls) == 1
    assert recording.at("return").value.text == "None"


def test_a_generator_that_yields_from_another_passes_its_values_on():
    def inner():
        yield 1
        yield 2
        return "done"

    def outer():
        got = yield from inner()
        yield got

    recording = trace(outer, into=inner)()
    assert recording.result == [1, 2, "done"]
    assert [call.name.split(".")[-1] for call in recording.calls] == ["outer", "inner"]
    of_outer = [step for step in recording.at("yield") if step.call == 0]
    assert [step.change("yield").value.text for step in of_outer] == ["1", "2", "'done'"]
    assert numbers_of(recording, "got") == ["'done'"]


def test_an_error_thrown_into_a_generator_ends_it_or_is_caught_there():
    def numbers():
        try:
            yield 1
        except KeyError:
            yield 2
        yield 3

    def use():
        generator = numbers()
        first = next(generator)
        second = generator.throw(KeyError("caught"))
        with contextlib.suppress(ValueError):
            generator.throw(ValueError("not caught"))
        return first, second

    recording = trace(use, into=numbers)()
    assert recording.result == (1, 2)
    assert numbers_of(recording, "yield") == ["1", "2"]
    inside = [step.error for step in recording if step.error and step.call == 1]
    assert inside == ["KeyError: 'caught'", "ValueError: not caught"]
    assert recording.failed is None


def test_comprehensions_of_every_kind_are_recorded_with_their_variables():
    def comprehend(values):
        squares = [value**2 for value in values]
        halves = {value: value / 2 for value in values}
        kept = {value for value in values if value > 1}
        pairs = [(row, col) for row in values for col in values]
        return squares, halves, kept, pairs

    values = [1, 2, 3]
    recording = trace(comprehend)(values)
    assert recording.result == comprehend(values)
    kinds = ["listcomp", "dictcomp", "setcomp", "listcomp"]
    assert [call.name.split(": ")[-1] for call in recording.calls][1:] == ([] if INLINED else kinds)
    assert words_in(recording, "value") == ["1", "2", "3"] * 3
    assert words_in(recording, "row") == ["1", "2", "3"]
    assert set(recording.state(-1)) == {"values", "squares", "halves", "kept", "pairs", "return"}  # nothing is left


def words_in(recording, name: str) -> list[str]:
    """Every value that a variable got; where a comprehension ends, its variables are deleted."""
    return [value.text for value in recording.at(name).values if value is not None]


def test_a_variable_of_a_comprehension_does_not_touch_one_of_the_same_name():
    def both(values):
        x = "outside"
        doubled = [
            x * 2
            for x in values
        ]  # fmt: skip
        return x, doubled

    recording = trace(both)([1, 2])
    assert recording.result == ("outside", [2, 4])
    assert recording.state(-1)["x"].text == "'outside'"
    assert recording.state(-1)["doubled"].text == "[2, 4]"


def test_an_error_in_a_comprehension_is_recorded_once_where_it_was_raised():
    def invert(values):
        return [1 / value for value in values]

    recording = trace(invert)([1, 0])
    assert isinstance(recording.error, ZeroDivisionError)
    assert recording.failed.line == invert.__code__.co_firstlineno + 1
    assert recording.failed.change("value").value.text == "0"
    assert recording.failed.error == "ZeroDivisionError: division by zero"


def test_an_endless_generator_is_closed_where_the_steps_end():
    closed = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    recording = trace(endless, most_steps=30)()
    assert set(recording.result) == {1}
    assert closed == [True]
    assert "recorded until step 30" in recording.notes[0]


class Accumulator:
    def __init__(self, start=0):
        self.total = start

    def add(self, value):
        self.total += value
        return self

    @classmethod
    def of(cls, value):
        made = cls(value)
        return made

    @staticmethod
    def double(value):
        return 2 * value

    @property
    def half(self):
        half = self.total / 2
        return half

    def __call__(self, value):
        return value + self.total


@torch.no_grad()
def without_gradient(x):
    y = x * 2
    return y


@contextlib.contextmanager
def doubled(value):
    result = value * 2
    yield result


def logged(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args)

    return inner


@logged
@logged
def wrapped(value):
    result = value + 1
    return result


@pytest.mark.parametrize(
    ("fn", "args", "name", "result"),
    [
        (Accumulator(1).__call__, (2,), "Accumulator.__call__", 3),
        (Accumulator(1), (2,), "Accumulator.__call__", 3),
        (Accumulator.of, (2,), "Accumulator.of", None),
        (Accumulator, (2,), "Accumulator.__init__", None),
        (Accumulator.double, (2,), "Accumulator.double", 4),
        (functools.partial(Accumulator.double, 3), (), "Accumulator.double", 6),
        (functools.partial(functools.partial(wrapped), 3), (), "wrapped", 4),
        (wrapped, (1,), "wrapped", 2),
        (lambda value: [v * v for v in value], ([1, 2],), "lambda", [1, 4]),
    ],
)
def test_callables_of_every_kind(fn, args, name, result):
    recording = trace(fn)(*args)
    assert recording.calls[0].name == name
    assert len(recording) >= 2
    if result is not None:
        assert recording.result == result


def test_a_decorated_function_keeps_what_its_decorator_does():
    x = torch.ones(2, requires_grad=True)
    recording = trace(without_gradient)(x)
    assert not recording.result.requires_grad
    assert recording.at("y").value.text == "(2,) float32 [2, 2]"
    assert trace(doubled)(3).result.__enter__() == 6


def test_into_takes_classes_with_properties_and_class_methods():
    def use():
        made = Accumulator.of(4)
        return made.add(2).half

    recording = trace(use, into=Accumulator)()
    assert [call.name for call in recording.calls][1:] == [
        "Accumulator.of",
        "Accumulator.__init__",
        "Accumulator.add",
        "Accumulator.half",
    ]
    assert numbers_of(recording, "self.total") == ["4", "6"]


def test_closures_tell_what_comes_from_outside():
    factor = 3

    def scaled(x):
        return x * factor

    recording = trace(scaled)(2)
    assert {change.name: change.kind for change in recording[0].changes} == {"x": "argument", "factor": "outer"}


def test_functions_of_a_notebook_cell_bring_their_source():
    source = "def cell(x):\n    y = x + 1\n    return y\n"
    name = "<ipython-input-7-0123456789ab>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    scope: dict = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), scope)
    recording = trace(scope["cell"])(1)
    assert recording.sources[0].lines == ("def cell(x):", "    y = x + 1", "    return y")
    assert recording.text(recording.at("y")[0]).strip() == "y = x + 1"


def test_functions_without_source_show_their_line_numbers():
    scope: dict = {}
    exec("def hidden(x):\n    y = x + 1\n    return y\n", scope)
    recording = trace(scope["hidden"])(1)
    assert [step.line for step in recording] == [1, 2, 3]
    assert recording.sources[0].lines == ()
    assert "2  (no source)\n         y = 2" in repr(recording)


def test_a_cached_function_says_that_no_line_ran():
    @functools.lru_cache
    def cached(x):
        return x + 1

    cached(1)
    recording = trace(cached)(1)
    assert (recording.result, len(recording)) == (2, 0)
    assert "no line of" in recording.notes[0]


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_is_kept_with_the_line_that_raised_it():
    def outer(x):
        y = x
        return inner(y)

    def inner(y):
        z = y + 1
        raise ValueError(f"not {z}")

    recording = trace(outer, into=inner)(1)
    assert isinstance(recording.error, ValueError)
    assert recording.result is None
    assert recording.failed.line == inner.__code__.co_firstlineno + 2
    assert recording.calls[recording.failed.call].name.endswith("inner")
    assert repr(recording).endswith("raised ValueError: not 2")


def test_errors_that_are_caught_are_recorded_and_the_function_goes_on():
    def careful():
        try:
            int("x")
        except ValueError:
            result = 1
        with contextlib.suppress(KeyError):
            raise KeyError("swallowed")
        for _ in iter([1]):
            pass
        return result

    recording = trace(careful)()
    assert recording.result == 1
    assert recording.error is None
    assert [step.error.split(":")[0] for step in recording if step.error] == ["ValueError", "KeyError"]
    assert recording.failed is None


def test_wrong_targets_are_traced_to_the_line_that_refuses_them():
    recording = trace(yl.build_targets, into=steps_of_matching.check_targets)(
        some_targets() * 640, GRIDS, ANCHORS, STRIDES
    )
    assert "targets row 0" in str(recording.error)
    assert recording.text(recording.failed).strip() == "raise ValueError("


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_copies_stay_in_the_budget_and_the_oldest_large_ones_give_way_first():
    def make():
        small = torch.arange(10)
        for k in range(20):
            large = torch.full((1000, 100), float(k))  # 400 kB
        return small, large

    recording = trace(make, memory=2)()
    kept = [value for step in recording for change in step.changes if (value := change.value) and value.copy]
    arrays = {id(value.array): value.array for value in kept if value.array is not None}
    assert sum(array.nbytes for array in arrays.values()) <= 2 * 2**20
    large = recording.at("large").values
    assert [value.array is not None for value in large] == [False] * 15 + [True] * 5
    assert [value.stats.mean for value in large] == list(range(20))  # statistics stay
    assert large[0].gone
    assert large[0].remark
    assert recording.at("small").value.complete
    assert "memory=" in recording.notes[0]


def test_of_a_large_tensor_the_beginning_is_kept_and_all_of_it_counted():
    def make():
        x = torch.arange(3_000_000).view(3, 1000, 1000).float()
        return x.sum()

    value = trace(make, memory=8)().at("x").value
    assert value.array.shape == (1, 524, 1000)
    assert value.array.nbytes <= 2 * 2**20
    assert (value.stats.low, value.stats.high) == (0, 2_999_999)
    assert value.remark == "copied: the first 1 x 524 x 1000 of 3 x 1000 x 1000"


def test_a_long_loop_stops_being_recorded_but_not_running():
    def loop(n):
        total = 0
        for k in range(n):
            total += k
        return total

    recording = trace(loop, most_steps=1000)(100_000)
    assert recording.result == sum(range(100_000))
    assert len(recording) == 1000
    assert recording.notes == ("recorded until step 1,000; the function went on (most_steps= sets how far)",)


def test_printing_is_the_same_in_another_process():
    code = (
        "import numpy as np, torch\nfrom walkthrough.trace import trace\n"
        "def f(a, b):\n    c = {'x', 'y', object}\n    d = a @ b\n    e = [lambda: 1, open, np]\n    return c, d, e\n"
        "words = repr(trace(f)(torch.eye(2), torch.ones(2, 2)))\n"
    )
    scope: dict = {"__name__": "__main__"}
    exec(code, scope)
    other = subprocess.run([sys.executable, "-c", code + "print(words)"], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == scope["words"]
    assert "0x" not in other.stdout
