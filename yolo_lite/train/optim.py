"""What the optimiser is told: parameter groups, the schedule of rates, and the moving average of the weights.

The schedule is a pure function of the iteration, so that a notebook can plot it and a resumed run needs no state.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from yolo_lite.hyperparameters import Hyperparameters

OptimizerName = Literal["SGD", "Adam", "AdamW", "RMSprop"]
Norms = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm


class ParameterGroups(NamedTuple):
    """The three groups: weight decay pulls only on weights that mix features."""

    biases: list[nn.Parameter]  # no decay; their rate starts high and comes down
    weights: list[nn.Parameter]  # decay
    norms: list[nn.Parameter]  # scales of normalisation layers, no decay


def parameter_groups(model: nn.Module) -> ParameterGroups:
    """Sorts the trainable parameters of any model, each exactly once.

    >>> groups = parameter_groups(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    >>> [len(group) for group in groups]
    [2, 1, 1]
    """
    groups = ParameterGroups([], [], [])
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue  # shared between modules, or frozen
            seen.add(parameter)
            kind = groups.biases if name == "bias" else groups.norms if isinstance(module, Norms) else groups.weights
            kind.append(parameter)
    return groups


def create_optimizer(
    model: nn.Module, hyp: Hyperparameters, name: OptimizerName = "SGD", weight_decay: float | None = None
) -> torch.optim.Optimizer:
    """The optimiser with its groups in the order biases, weights, norms.

    Args:
        weight_decay: of the weights; None = hyp.weight_decay. Training passes ``scaled_weight_decay``.
    """
    decay = hyp.weight_decay if weight_decay is None else weight_decay
    biases, weights, norms = parameter_groups(model)
    groups = [
        {"params": biases, "weight_decay": 0.0, "name": "biases"},
        {"params": weights, "weight_decay": decay, "name": "weights"},
        {"params": norms, "weight_decay": 0.0, "name": "norms"},
    ]
    if name == "SGD":
        return torch.optim.SGD(groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0)
    if name in ("Adam", "AdamW"):  # beta1 does what momentum does
        return getattr(torch.optim, name)(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999))
    if name == "RMSprop":
        return torch.optim.RMSprop(groups, lr=hyp.lr0, momentum=hyp.momentum)
    raise ValueError(f"unknown optimizer {name!r}: choose SGD, Adam, AdamW or RMSprop")


class Rates(NamedTuple):
    """What the schedule asks for at one iteration."""

    bias_lr: float
    other_lr: float
    momentum: float
    accumulate: int  # batches whose gradients are added up before a step


@dataclass(frozen=True)
class Schedule:
    """Rates of a whole run, as a function of the iteration (counted over all epochs, from 0).

    Warm-up runs over iterations 0 .. ``warmup_iterations`` inclusive: the rate of the weights rises from 0, that of
    the biases falls from hyp.warmup_bias_lr, momentum and accumulation rise; then the rate falls to lr0 * lrf.

    >>> schedule = Schedule(Hyperparameters(), epochs=10, batches=25, batch_size=16)
    >>> schedule.at(0)
    Rates(bias_lr=0.1, other_lr=0.0, momentum=0.8, accumulate=1)
    >>> schedule.at(249).accumulate
    4
    """

    hyp: Hyperparameters
    epochs: int
    batches: int  # per epoch
    batch_size: int
    nominal_batch: int = 64  # what hyp.lr0 and hyp.weight_decay were found with
    cosine: bool = False
    least_warmup: int = 100  # iterations, however short the epochs are

    def __post_init__(self) -> None:
        for name in ("epochs", "batches", "batch_size", "nominal_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def iterations(self) -> int:
        return self.epochs * self.batches

    @property
    def warmup_iterations(self) -> int:
        if self.hyp.warmup_epochs == 0:
            return 0
        return max(round(self.hyp.warmup_epochs * self.batches), self.least_warmup)

    @property
    def accumulate(self) -> int:
        """Batches per step after warm-up."""
        return max(round(self.nominal_batch / self.batch_size), 1)

    @property
    def scaled_weight_decay(self) -> float:
        """hyp.weight_decay for the images that one step really sees."""
        return self.hyp.weight_decay * self.batch_size * self.accumulate / self.nominal_batch

    def factor(self, epoch: float) -> float:
        """Share of lr0 at an epoch: 1 at the start, lrf at the end; linear or half a cosine."""
        done = epoch / self.epochs
        share = (1 + math.cos(math.pi * done)) / 2 if self.cosine else 1 - done
        return share * (1 - self.hyp.lrf) + self.hyp.lrf

    def at(self, iteration: int) -> Rates:
        """The rates at an iteration."""
        hyp = self.hyp
        lr = hyp.lr0 * self.factor(iteration // self.batches)
        if iteration > self.warmup_iterations or self.warmup_iterations == 0:
            return Rates(lr, lr, hyp.momentum, self.accumulate)
        done = iteration / self.warmup_iterations
        return Rates(
            bias_lr=_between(hyp.warmup_bias_lr, lr, done),
            other_lr=_between(0.0, lr, done),
            momentum=_between(hyp.warmup_momentum, hyp.momentum, done),
            accumulate=max(1, round(_between(1, self.nominal_batch / self.batch_size, done))),
        )

    def steps(self) -> Iterator[int]:
        """The iterations that end in an optimiser step; the others only add to the gradients."""
        last_step = -1
        for iteration in range(self.iterations):
            if iteration - last_step >= self.at(iteration).accumulate:
                last_step = iteration
                yield iteration


def _between(start: float, end: float, done: float) -> float:
    return start + (end - start) * done


def apply_rates(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Writes the rates into an optimiser of ``create_optimizer``; momentum into SGD and RMSprop only."""
    for group in optimizer.param_groups:
        group["lr"] = rates.bias_lr if group["name"] == "biases" else rates.other_lr
        if "momentum" in group:
            group["momentum"] = rates.momentum


class ModelEma:
    """Exponential moving average of all floating state of a model: a smoother, usually better, copy of it.

    average <- d average + (1 - d) value with d = decay (1 - e^(-updates / tau)): early, when the weights still move
    fast, the average follows quickly.

    >>> ema = ModelEma(nn.Linear(2, 2))
    >>> ema.decay_at(2000)
    0.6320573467726748
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, tau: float = 2000.0) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.tau, self.updates = decay, tau, 0

    def decay_at(self, updates: int) -> float:
        """The weight of the old average in that update."""
        return self.decay * (1 - math.exp(-updates / self.tau))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes one optimiser step into the average; counters, BatchNorm's for example, are copied."""
        self.updates += 1
        decay = self.decay_at(self.updates)
        now = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.mul_(decay).add_(now[name].detach(), alpha=1 - decay)
            else:
                average.copy_(now[name])
