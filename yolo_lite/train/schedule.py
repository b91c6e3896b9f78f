"""The schedule of a run: warm-up of learning rates, momentum and accumulation, then the way down to lr0 * lrf.

It is a pure function of the iteration, so that a notebook can plot it and a resumed run needs no state.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from yolo_lite.hyperparameters import Hyperparameters


class Rates(NamedTuple):
    """What the schedule asks for at one iteration: learning rates, momentum and accumulation."""

    bias_lr: float
    other_lr: float
    momentum: float
    accumulate: int  # batches whose gradients are added up before a step; YOLOv5: `accumulate`


@dataclass(frozen=True)
class Schedule:
    """Learning rates of a whole run, as a function of the iteration (counted over all epochs, from 0; YOLOv5: `ni`).

    Warm-up runs over iterations 0 .. ``warmup_iterations`` inclusive: the learning rate of the weights rises from 0,
    that of the biases falls from hyp.warmup_bias_lr, momentum and accumulation rise; then the learning rate falls to
    lr0 * lrf.

    >>> schedule = Schedule(Hyperparameters(), epochs=10, batches=25, batch_size=16)
    >>> schedule.at(0)
    Rates(bias_lr=0.1, other_lr=0.0, momentum=0.8, accumulate=1)
    >>> schedule.at(249).accumulate
    4
    """

    hyp: Hyperparameters
    epochs: int
    batches: int  # per epoch; YOLOv5: `nb`
    batch_size: int  # images, of all processes together
    nominal_batch: int = 64  # what hyp.lr0 and hyp.weight_decay were found with; YOLOv5: `nbs`
    cosine: bool = False  # YOLOv5: `--cos-lr`
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
        """YOLOv5: `nw`."""
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
        """Learning rate at an epoch as a fraction of lr0: 1 at the start, lrf at the end; linear or half a cosine.

        YOLOv5: `lf`, `one_cycle`.
        """
        done = epoch / self.epochs
        left = (1 + math.cos(math.pi * done)) / 2 if self.cosine else 1 - done
        return left * (1 - self.hyp.lrf) + self.hyp.lrf

    def at(self, iteration: int) -> Rates:
        """Learning rates, momentum and accumulation at an iteration."""
        hyp = self.hyp
        lr = hyp.lr0 * self.factor(iteration // self.batches)
        if iteration > self.warmup_iterations or self.warmup_iterations == 0:
            return Rates(lr, lr, hyp.momentum, self.accumulate)
        done = iteration / self.warmup_iterations  # fraction of the warm-up
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
