"""The generators of random numbers that a recorded function draws from, besides PyTorch's, NumPy's and Python's own.

Two recordings of a call are the same only where these are in the same state at its beginning: notes name them.
"""

import pickle
import random
from collections.abc import Iterable, Mapping
from itertools import islice
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch

from walkthrough.trace.containers import attributes_of
from walkthrough.trace.watch import FIXED

GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
DEEPEST, MOST_MEMBERS = 2, 32
OF_THE_SYSTEM = 2**64  # a larger number is the seed that NumPy takes from the system where it was given none


class Seen(NamedTuple):
    """A generator when it was seen first."""

    name: str
    generator: Any
    state: Any
    is_input: bool


class Chance:
    """The generators that a recorded function can draw from.

    >>> chance, rng = Chance(), random.Random(0)
    >>> chance.look("given", {"rng": rng})
    >>> _ = rng.random()
    >>> print(chance.notes()[0])
    random numbers: given.rng was drawn from, and goes on from there: another call, and its recording, have others ...
    """

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}

    def look(self, name: str, obj: Any, is_input: bool = True, depth: int = DEEPEST) -> None:
        """Notes the generator that an object is, or holds."""
        if isinstance(obj, GENERATORS):
            if id(obj) not in self._seen:
                self._seen[id(obj)] = Seen(name, obj, _state_of(obj), is_input)
        elif depth:
            for key, member in islice(_members_of(obj), MOST_MEMBERS):
                self.look(f"{name}.{key}", member, is_input, depth - 1)

    def look_at_call(self, found: Mapping[str, Any], frame: FrameType) -> None:
        """Those that a call begins with: in its arguments, variables from outside, and globals that it names."""
        for name, obj in found.items():
            self.look(name, obj)
        for name in frame.f_code.co_names:
            self.look(name, frame.f_globals.get(name), depth=0)

    def notes(self) -> list[str]:
        """Sentences about those that were drawn from since, where another call may have other numbers."""
        drawn = [seen for seen in self._seen.values() if _state_of(seen.generator) != seen.state]
        given = [seen.name for seen in drawn if seen.is_input]
        made = [seen.name for seen in drawn if not seen.is_input and _may_lack_seed(seen.generator)]
        notes = []
        if given:
            notes.append(
                f"random numbers: {', '.join(given)} {_was(given)} drawn from, and {_goes(given)} on from there: "
                "another call, and its recording, have others unless they begin in the same state"
            )
        if made:
            notes.append(
                f"random numbers: {', '.join(made)} {_was(made)} made and drawn from: another call, and its recording, "
                "have the same ones only where a seed is given"
            )
        return notes


def _was(names: list[str]) -> str:
    return "were" if len(names) > 1 else "was"


def _goes(names: list[str]) -> str:
    return "go" if len(names) > 1 else "goes"


def _members_of(obj: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(obj, dict):
        return dict.items(obj)
    if isinstance(obj, list | tuple):
        return enumerate(obj)
    if isinstance(obj, (*FIXED, torch.Tensor, np.ndarray)):
        return ()
    try:
        return attributes_of(obj) or ()
    except Exception:  # of an object that is another's proxy
        return ()


def _state_of(generator: Any) -> Any:
    """What can be compared; None of one that keeps no state, as random.SystemRandom."""
    try:
        if isinstance(generator, torch.Generator):
            return generator.get_state().numpy().tobytes()
        if isinstance(generator, np.random.Generator):
            return pickle.dumps(generator.bit_generator.state)
        if isinstance(generator, np.random.RandomState):
            return pickle.dumps(generator.get_state(legacy=False))
        return generator.getstate()
    except Exception:  # of a subclass
        return None


def _may_lack_seed(generator: Any) -> bool:
    """Whether one that was made in the function may begin otherwise in another call."""
    if isinstance(generator, np.random.Generator):
        seed = getattr(getattr(generator.bit_generator, "seed_seq", None), "entropy", None)
        return isinstance(seed, int) and seed >= OF_THE_SYSTEM
    return not isinstance(generator, torch.Generator)  # which begins with the same seed where it gets none
