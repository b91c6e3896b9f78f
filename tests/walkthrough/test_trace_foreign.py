"""Functions and modules never seen before: recorded, or a sentence says why there is nothing to record."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn

from walkthrough import trace


def doubled(a: Any, b: int = 2) -> Any:
    c = a + b
    return c * 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor, **options: bool) -> Tensor:
        y = self.conv(x)
        return y.relu() if options.get("act", True) else y


def images() -> Tensor:
    return torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0))


def compiled_in_place() -> nn.Module:
    net = Net()
    net.compile()
    return net


WITHOUT_PYTHON: dict[str, tuple[Callable[[], Any], str]] = {
    "a scripted module": (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), "TorchScript.*no Python"),
    "a traced module": (lambda: torch.jit.trace(nn.Conv2d(3, 4, 3), images()), "TorchScript.*no Python"),
    "a traced function": (lambda: torch.jit.trace(doubled, images()), "TorchScript.*no Python"),
    "a method of a script": (lambda: torch.jit.script(nn.Conv2d(3, 4, 3)).forward, "TorchScript.*no Python"),
    "in a partial": (lambda: functools.partial(torch.jit.script(nn.ReLU())), "TorchScript.*no Python"),
    "a compiled module": (lambda: torch.compile(Net()), r"torch\.compile.*_orig_mod"),
    "a module compiled in place": (compiled_in_place, r"torch\.compile.*\.compile\(\) was not called"),
    "a compiled function": (lambda: torch.compile(doubled), r"torch\.compile.*no Python"),
    "an exported program": (lambda: torch.export.export(Net(), (images(),)), r"torch\.export"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("name", list(WITHOUT_PYTHON))
def test_what_does_not_run_in_python_gets_a_sentence(name: str) -> None:
    make, sentence = WITHOUT_PYTHON[name]
    made = make()
    with pytest.raises(ValueError, match=sentence):
        trace(made)
    with pytest.raises(ValueError, match=sentence):
        trace(doubled, into=made)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_function_that_calls_a_scripted_module_is_recorded() -> None:
    scripted = torch.jit.script(nn.ReLU())

    def calls(x: Tensor) -> Tensor:
        y = scripted(x)
        return y.sum()

    assert [step.kind for step in trace(calls)(images()).steps] == ["call", "line", "line"]


def repeated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def twice(*args: Any, **kwargs: Any) -> Any:
        function(*args, **kwargs)
        return function(*args, **kwargs)

    return twice


class Holder:
    def method(self, a: int) -> int:
        self.last = a
        return a * 2

    @classmethod
    def of_class(cls, a: int) -> int:
        return a * 2

    @staticmethod
    def of_none(a: int) -> int:
        return a * 2

    def __call__(self, a: int) -> int:
        return a * 2

    def __getattr__(self, name: str) -> Any:  # an object that has everything
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


def counted_up(n: int) -> Iterator[int]:
    for k in range(n):
        yield 2 * k


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (Holder().method, 1),
        (Holder.of_class, 1),
        (Holder.of_none, 1),
        (Holder(), 1),
        (functools.partial(doubled, b=0), 1),
        (functools.lru_cache(Holder.of_none), 1),
        (repeated(Holder.of_none), 2),
    ],
)
def test_callables_of_all_kinds_are_recorded(function: Callable[[int], int], calls: int) -> None:
    recording = trace(function)(4)
    assert (recording.result, recording.error, len(recording.calls), recording.notes) == (8, None, calls, ())


def test_a_generator_is_recorded_and_one_under_way_gets_a_sentence() -> None:
    assert trace(counted_up)(3).result == [0, 2, 4]
    with pytest.raises(ValueError, match=r"under way.*the function that makes it"):
        trace(counted_up(3))


def test_what_is_async_gets_a_sentence() -> None:
    async def waits() -> int:
        await asyncio.sleep(0)
        return 1

    async def gives() -> AsyncIterator[int]:
        yield 1

    for function in (waits, gives):
        with pytest.raises(ValueError, match=r"is async.*the functions that it awaits"):
            trace(function)
    under_way = waits()
    with pytest.raises(ValueError, match="under way"):
        trace(under_way)
    under_way.close()


def test_a_module_with_options_in_half_precision_is_recorded() -> None:
    recording = trace(Net().bfloat16())(images().bfloat16(), act=False)
    assert recording.at("y").values[0].dtype == "bfloat16"
    assert recording.steps[0].change("options").value.text == "{act: False}"
    assert recording.result.shape == (1, 4, 6, 6)
