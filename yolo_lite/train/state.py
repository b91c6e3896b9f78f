"""What a run is between two batches: its RunState, and the tensors beside it.

Both together are exactly what a checkpoint keeps (saved_run.py), and all that a killed process needs to go
on as if nothing had happened. Chance needs no state: every draw is a function of seed, epoch and index.
"""

from dataclasses import dataclass, field, fields
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from yolo_lite._moved import moved_name
from yolo_lite.data.report import Problem
from yolo_lite.loss.criterion import Criterion
from yolo_lite.train.ema import ModelEma

Value = TypeVar("Value")


COUNTERS = ("epoch", "batch", "iteration", "last_step", "best_epoch", "dropped")  # whole numbers of a RunState


@dataclass
class RunState:
    """Where a run is. Every field is saved; ``Trainer.state`` is the only place that has it.

    >>> state = RunState(iteration=7, changes={3: {"lr0": 0.1}, 9: {"lr0": 0.2}})
    >>> state.changed_by(7)
    {'lr0': 0.1}
    >>> RunState.from_json(state.to_json()) == state
    True
    """

    epoch: int = 0  # of the batch to come
    batch: int = 0  # the batch to come, counted within its epoch; YOLOv5: `i`
    iteration: int = 0  # the batch to come, counted over all epochs; YOLOv5: `ni`
    last_step: int = -1  # iteration of the last optimiser step; YOLOv5: `last_opt_step`
    best_fitness: float = -inf  # YOLOv5: `best_fitness`
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)  # a row per epoch, as in results.csv
    sums: dict[str, float] = field(default_factory=dict)  # of the loss's parts over this epoch; YOLOv5: `mloss`, a mean
    class_maps: list[float] | None = None  # mAP of each class at the last validation; YOLOv5: `maps`
    changes: dict[int, dict[str, float]] = field(default_factory=dict)  # iteration -> hyperparameters changed before it
    dropped: int = 0  # objects of this epoch that the loss could match to no prediction, in this process
    stopped_by: str | None = None  # what ``Trainer.stop`` was given, where the run was stopped here
    unreadable: dict[str, Problem] = field(default_factory=dict)  # path -> training image that could not be read

    def changed_by(self, iteration: int) -> dict[str, float]:
        """All hyperparameters changed before the batch of that iteration, the last value of each."""
        changes = [self.changes[key] for key in sorted(self.changes) if key <= iteration]
        return {name: value for values in changes for name, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """Name -> value of every field, in what JSON can say."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return values | {"unreadable": list(self.unreadable.values())}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunState":
        """From what ``to_json`` gave; other names beside its own are passed over.

        Raises:
            KeyError: a field is missing. TypeError, ValueError: one is damaged.
        """
        found = {entry.name: values[entry.name] for entry in fields(cls)}
        problems = [Problem(*entry) for entry in found["unreadable"]]
        found["unreadable"] = {problem.path: problem for problem in problems}
        for name in COUNTERS:
            if not isinstance(found[name], int):
                raise TypeError(f"{name} is {found[name]!r}, not a whole number")
        found["changes"] = {int(iteration): changed for iteration, changed in found["changes"].items()}
        return cls(**found)


class OfState(Generic[Value]):
    """A field of RunState as an attribute of a run: ``trainer.epoch`` is ``trainer.state.epoch``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, run: Any, owner: type) -> Value:
        value: Value = getattr(run.state, self.name)
        return value

    def __set__(self, run: Any, value: Value) -> None:
        setattr(run.state, self.name, value)


class Learner(NamedTuple):
    """What training changes in place: tensors, and a few numbers that belong to them."""

    model: nn.Module  # weights, and gradients that wait for a step
    ema: ModelEma
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Criterion  # a module where it has a state, such as the balance of the levels
    layout: torch.memory_format  # of tensors with four axes

    def tensors(self) -> dict[str, Tensor]:
        """All that is to be saved."""
        moments = self.optimizer.state_dict()["state"]
        groups = {f"optimizer/{index}": values for index, values in moments.items()}
        groups |= {prefix: module.state_dict() for prefix, module in self._modules().items()}
        groups["gradient"] = {name: parameter.grad for name, parameter in self.model.named_parameters()}
        named = {f"{prefix}/{name}": value for prefix, values in groups.items() for name, value in values.items()}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def numbers(self) -> dict[str, Any]:
        """What JSON keeps beside the tensors."""
        plain = {
            index: {key: value for key, value in values.items() if not isinstance(value, Tensor)}
            for index, values in self.optimizer.state_dict()["state"].items()
        }
        return {"ema_updates": self.ema.updates, "scaler": self.scaler.state_dict(), "optimizer_numbers": plain}

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Puts back what ``tensors`` and ``numbers`` gave.

        Raises:
            RuntimeError: tensors of another model.
        """
        for prefix, module in self._modules().items():
            module.load_state_dict(_part(tensors, prefix))
        tensors = {name: self._laid_out(value) for name, value in tensors.items()}
        _restore_optimizer(self.optimizer, numbers["optimizer_numbers"], _part(tensors, "optimizer"))
        for name, gradient in _part(tensors, "gradient").items():
            parameter = self.model.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
        self.scaler.load_state_dict(numbers["scaler"])
        self.ema.updates = numbers["ema_updates"]

    def _modules(self) -> dict[str, nn.Module]:
        modules = {"model": self.model, "ema": self.ema.model, "loss": self.loss}
        return {name: module for name, module in modules.items() if isinstance(module, nn.Module)}

    def _laid_out(self, value: Tensor) -> Tensor:
        return value.contiguous(memory_format=self.layout) if value.ndim == 4 else value


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, numbers: dict[str, dict[str, Any]], moments: dict[str, Tensor]
) -> None:
    entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers.items()}
    for name, value in moments.items():
        index, key = name.split("/")
        entries.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]  # learning rates are set anew before each step
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
