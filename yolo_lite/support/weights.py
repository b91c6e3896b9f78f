"""The tensors that a callable computes with: of a module its parameters, of others what they hold."""

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

LONGEST, DEEPEST = 1000, 3  # containers that are looked into


def weights_of(callable_object: Any) -> Iterator[tuple[str, Tensor]]:
    """By name: of a module its parameters; of a function, partial or object the tensors that it holds.

    >>> import torch
    >>> gain = nn.Parameter(torch.ones(1))
    >>> def loss(maps, targets):
    ...     return maps[0].sum() * gain
    >>> [name for name, _ in weights_of(loss)], [name for name, _ in weights_of(nn.Linear(1, 1))]
    (['gain'], ['weight', 'bias'])
    """
    if isinstance(callable_object, nn.Module):
        return callable_object.named_parameters()
    return _tensors_in(_held_by(callable_object), DEEPEST)


def _held_by(made: Any) -> dict[str, Any]:
    """What it computes with, by name: attributes, arguments of a partial, defaults, variables from outside."""
    if isinstance(made, partial):
        return _held_by(made.func) | {f"argument {place}": each for place, each in enumerate(made.args)} | made.keywords
    if inspect.ismethod(made):
        return _held_by(made.__self__)
    if not inspect.isfunction(made):
        return dict(getattr(made, "__dict__", {}))
    defaults = {name: parameter.default for name, parameter in inspect.signature(made).parameters.items()}
    try:
        outside = inspect.getclosurevars(made)
    except ValueError:  # one of them does not exist yet
        return defaults
    return defaults | dict(outside.globals) | dict(outside.nonlocals)


def _tensors_in(held: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Tensor]]:
    for name, value in held.items():
        if isinstance(value, Tensor):
            yield str(name), value
        elif isinstance(value, nn.Module):
            yield from ((f"{name}.{inner}", weight) for inner, weight in value.named_parameters())
        elif isinstance(value, list | tuple | dict) and depth and len(value) <= LONGEST:
            members = value.items() if isinstance(value, dict) else enumerate(value)
            yield from _tensors_in({f"{name}[{key!r}]": each for key, each in members}, depth - 1)
