"""Recording changes nothing: not results, gradients, chance, counters, debuggers or torch's modes."""

import contextlib
import gc
import random
import sys
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import yolo_lite as yl
from tests.walkthrough.test_trace import ANCHORS, GRIDS, STRIDES, some_targets
from walkthrough.trace import trace
from yolo_lite.loss import loss as module_of_loss
from yolo_lite.loss import targets as module_of_targets


def states_of_chance() -> tuple:
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the stream that others draw from


def test_matches_are_the_same_bit_for_bit():
    targets = some_targets()
    before, version = targets.clone(), targets._version
    expected = yl.build_targets(targets, GRIDS, ANCHORS, STRIDES)
    recording = trace(yl.build_targets, into=module_of_targets)(targets, GRIDS, ANCHORS, STRIDES)
    for found, level in zip(recording.result, expected, strict=True):
        for name, ours, theirs in zip(level._fields, found, level, strict=True):
            assert torch.equal(ours, theirs), name
            assert ours.dtype == theirs.dtype
    assert torch.equal(targets, before)
    assert targets._version == version


def test_loss_and_gradients_are_the_same_bit_for_bit():
    def gradients(run) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        generator = torch.Generator().manual_seed(1)
        maps = [torch.randn(4, 3, r, c, 7, generator=generator).requires_grad_() for r, c in GRIDS]
        parts = run(maps, some_targets())
        parts.total.backward()
        return list(parts), [raw.grad for raw in maps]

    loss = yl.ComputeLoss(ANCHORS, STRIDES, 2)
    parts, grads = gradients(loss)
    recorded = gradients(lambda *args: trace(loss, into=(module_of_loss, module_of_targets))(*args).result)
    for ours, theirs in zip([*recorded[0], *recorded[1]], [*parts, *grads], strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_with_dropout_and_batch_statistics_trains_the_same():
    def step(record: bool) -> tuple[torch.Tensor, ...]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten())
        x = torch.randn(2, 3, 8, 8)
        out = trace(model, into=nn.BatchNorm2d)(x).result if record else model(x)
        out.square().mean().backward()
        return out, *model.buffers(), *(p.grad for p in model.parameters()), torch.get_rng_state()

    for ours, theirs in zip(step(True), step(False), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_draws_from_any_source_of_chance():
    def calm(x):
        y = x * 2
        z = [y, {"a": y.numpy()}]
        return z

    before = states_of_chance()
    trace(calm)(torch.ones(50_000))
    assert states_of_chance() == before


def test_in_place_counters_gradient_flags_and_graph_are_untouched():
    seen = []

    def work(x):
        y = x * 2
        seen.append((x._version, y._version, y.grad_fn.name(), y.requires_grad))
        y += 1
        seen.append((x._version, y._version, y.grad_fn.name(), y.is_leaf))
        return y

    x = torch.ones(3, requires_grad=True)
    work(x)
    direct = list(seen)
    seen.clear()
    recording = trace(work)(x)
    assert seen == direct
    recording.result.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_an_in_place_change_that_autograd_needs_still_fails_where_it_should():
    def work(x):
        y = x.sigmoid()
        z = y.sum()
        y.add_(1)
        z.backward()

    recording = trace(work)(torch.ones(3, requires_grad=True))
    assert "modified by an inplace operation" in str(recording.error)
    assert recording.failed.line == work.__code__.co_firstlineno + 4


def test_a_recorded_tensor_may_still_be_resized():
    def work():
        x = torch.zeros(2)
        x.resize_(100)
        return x

    recording = trace(work)()
    assert recording.error is None
    assert recording.at("x")[1].change("x").kind == "in place"


@pytest.mark.parametrize(
    "context", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_inside_modes_of_torch_the_result_is_the_same(context):
    def work(x):
        with context():
            y = x @ x
            y += 1
            y[0] = 3
        return y

    x = torch.arange(9.0).view(3, 3)
    recording = trace(work)(x)
    assert torch.equal(recording.result, work(x))
    assert recording.result.dtype == work(x).dtype
    products = recording.at("y").values
    assert [step.change("y").kind for step in recording.at("y")] == ["new", "in place", "in place"]
    assert products[0].array[0].tolist() == [15, 18, 21]
    assert products[2].array[0].tolist() == [3, 3, 3]


def test_modes_that_count_operations_do_not_count_ours():
    names: list[str] = []

    class Listening(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(str(func))
            return func(*args, **(kwargs or {}))

    def work(x):
        y = x @ x
        z = y.relu_()
        return z

    with Listening():
        work(torch.ones(3, 3))
        direct = list(names)
        names.clear()
        recording = trace(work)(torch.ones(3, 3))
        assert names == direct
    assert recording.at("y").values[0].complete
    with FlopCounterMode(display=False) as counter:
        trace(work)(torch.ones(3, 3))
    assert counter.get_total_flops() == 2 * 27


def test_a_graph_that_torch_jit_traces_holds_nothing_of_ours():
    def work(x):
        y = x * 2
        return y + 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        direct = torch.jit.trace(work, torch.ones(2))
        recorded = torch.jit.trace(lambda x: trace(work)(x).result, torch.ones(2))
    kinds = [[node.kind() for node in traced.graph.nodes()] for traced in (direct, recorded)]
    assert kinds[0] == kinds[1]


def test_under_vmap_and_grad_values_are_not_read_but_the_result_is_right():
    def work(x):
        y = x * x
        return y.sum()

    x = torch.arange(6.0).view(2, 3)
    recordings = []

    def recorded(x):
        recordings.append(trace(work)(x))
        return recordings[-1].result

    assert torch.equal(torch.vmap(recorded)(x), torch.vmap(work)(x))
    assert torch.equal(torch.func.grad(recorded)(x[1]), 2 * x[1])
    assert recordings[0].at("y").value.text == "(3,) float32"
    assert recordings[0].at("y").value.copy is None


def test_a_tensor_class_of_somebody_else_is_not_called_into():
    calls: list[str] = []

    class Loud(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            calls.append(getattr(func, "__name__", str(func)))
            return super().__torch_function__(func, types, args, kwargs)

    def work(x):
        y = x + 1
        return y

    x = torch.ones(3).as_subclass(Loud)
    calls.clear()
    work(x)
    direct = list(calls)
    calls.clear()
    recording = trace(work)(x)
    assert calls == direct
    assert recording.at("y").value.text == "(3,) float32 [2, 2, 2]"


def test_iterators_are_not_advanced_and_containers_not_called_into():
    class Greedy(list):
        def __iter__(self):
            raise RuntimeError("asked")

        def __len__(self):
            raise RuntimeError("asked")

    def work():
        numbers = iter([1, 2, 3])
        squares = (k * k for k in [1, 2, 3])
        greedy = Greedy([1])
        first = next(numbers)
        return first, next(squares), list(numbers), list.__len__(greedy)

    recording = trace(work)()
    assert recording.error is None
    assert recording.result == (1, 1, [2, 3], 1)
    assert recording.at("greedy").value.text == "Greedy(1)"


def test_warnings_are_neither_added_nor_swallowed():
    def work():
        x = np.array([np.nan, np.inf, 1.0] * 5)
        y = torch.tensor([float("nan")] * 20)
        leaf = (torch.ones(2, requires_grad=True) * 2).sum()
        warnings.warn("mine", UserWarning, stacklevel=1)
        return x, y, leaf

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trace(work)()
    assert [str(warning.message) for warning in caught] == ["mine"]


# -- whoever else traces -----------------------------------------------------------------------------------------------


def test_a_tracer_that_was_there_is_there_again_after_returns_errors_and_interrupts():
    def other(frame, event, arg):
        return None

    def fine():
        return 1

    def wrong():
        raise ValueError("wrong")

    def interrupted():
        raise KeyboardInterrupt

    def leaving():
        raise SystemExit(3)

    before = sys.gettrace()
    try:
        sys.settrace(other)
        for fn in (fine, wrong):
            trace(fn)()
            assert sys.gettrace() is other
        with pytest.raises(KeyboardInterrupt):
            trace(interrupted)()
        assert sys.gettrace() is other
        with pytest.raises(SystemExit):
            trace(leaving)()
        assert sys.gettrace() is other
    finally:
        sys.settrace(before)


def test_a_trace_within_a_trace_and_the_outer_one_goes_on():
    def inner(x):
        y = x + 1
        return y

    def outer(x):
        first = trace(inner)(x).result
        second = first * 2
        return second

    recording = trace(outer)(1)
    assert recording.result == 4
    assert [value.text for value in recording.at("second").values] == ["4"]


def test_a_debugger_started_inside_is_left_alone():
    def debugger(frame, event, arg):
        return None

    def work():
        sys.settrace(debugger)
        return 1

    before = sys.gettrace()
    try:
        trace(work)()
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(before)


def test_other_threads_run_unrecorded_and_undisturbed():
    found = []

    def work():
        def other():
            local = sum(range(1000))
            found.append((local, sys.gettrace()))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return found[0][0]

    recording = trace(work)()
    assert recording.result == 499500
    assert "local" not in {change.name for step in recording for change in step.changes}
    assert found[0][1] is None


def test_recordings_in_two_threads_do_not_meet():
    def count(start):
        total = start
        for k in range(200):
            total += k
        return total

    recordings = {}
    threads = [
        threading.Thread(target=lambda start=start: recordings.update({start: trace(count)(start)}))
        for start in (0, 1000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for start, recording in recordings.items():
        assert recording.result == start + 19900
        assert len(recording.at("total")) == 200
        assert len(recording.calls) == 1


def test_an_error_keeps_no_variables_alive():
    def work():
        large = torch.zeros(1000)
        raise ValueError(f"with {large.shape}")

    recording = trace(work)()
    assert recording.error.__traceback__ is None
    assert str(recording.error) == "with torch.Size([1000])"


def test_objects_of_a_recorded_call_end_with_it():
    alive = []

    class Locked:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()

    def use(fail=False):
        lock = Locked()
        if fail:
            raise ValueError(str(lock))
        return 1

    def give():
        return Locked()

    def each():
        lock = Locked()
        yield lock

    def work():
        use()
        counts = [len(alive)]
        give()
        counts += [len(alive)]
        with contextlib.suppress(ValueError):
            use(fail=True)
        counts += [len(alive)]
        next(each())
        counts += [len(alive)]
        return counts

    gc.disable()
    try:
        assert work() == [0, 0, 0, 0]
        assert trace(work, into=(use, give, each))().result == [0, 0, 0, 0]
        trace(use, most_steps=2)()
        assert alive == []
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------- generators of the function's own

notebook_generator = np.random.default_rng(0)


class Noisy:
    def __init__(self, seed=0):
        self._rng = random.Random(seed)

    def draw(self):
        return self._rng.random()


def draw_from(rng):
    return rng.random() if hasattr(rng, "random") else float(torch.rand(1, generator=rng))


def draw_within(settings):
    return settings["chance"][0].random()


def draw_outside():
    return notebook_generator.normal()


def draw_made(seed=None, kind=np.random.default_rng):
    made = kind(seed)
    return made.random()


def look_only(rng, other):
    return other.random()


@pytest.mark.parametrize(
    ("fn", "arguments", "name"),
    [
        (draw_from, (random.Random(0),), "rng was"),
        (draw_from, (np.random.default_rng(0),), "rng was"),
        (draw_from, (np.random.RandomState(0),), "rng was"),
        (draw_from, (torch.Generator().manual_seed(0),), "rng was"),
        (draw_within, ({"chance": [random.Random(0)]},), "settings.chance.0 was"),
        (draw_outside, (), "notebook_generator was"),
        (Noisy().draw, (), "self._rng was"),
        (look_only, (random.Random(0), random.Random(1)), "other was"),
        (draw_made, (), "made was made"),
        (draw_made, (None, random.Random), "made was made"),
    ],
)
def test_generators_of_its_own_are_named_and_draw_what_they_draw_unrecorded(fn, arguments, name):
    first, second = trace(fn)(*arguments), trace(fn)(*arguments)
    assert first.result != second.result
    for recording in (first, second):
        (note,) = recording.notes
        assert note.startswith(f"random numbers: {name}")
    assert note in repr(second)


def test_generators_that_make_no_difference_are_not_named():
    rng = random.Random(0)
    for fn, arguments in (
        (draw_made, (5,)),
        (look_only, (rng, SimpleNamespace(random=lambda: 4))),
        (lambda: torch.rand(1, generator=torch.Generator()), ()),
    ):
        assert trace(fn)(*arguments).notes == ()
    assert rng.random() == random.Random(0).random()
