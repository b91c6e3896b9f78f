"""EMA: the moving average of the weights, which is validated and saved instead of the weights themselves."""

import copy
import math

import torch
from torch import nn


class ModelEma:
    """Exponential moving average (EMA) of all floating state of a model: a smoother, usually better, copy of it.

    average <- d average + (1 - d) value with d = decay (1 - e^(-updates / tau)): early, when the weights still move
    fast, the average follows quickly. What does not change, such as anchors and frozen layers, stays exactly as it is.
    YOLOv5: `ModelEMA`, `ema`; its EMA weights are ``ema.model``.

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
        """Takes the weights after a step into the EMA weights; counters, such as BatchNorm's, are copied."""
        self.updates += 1
        decay = self.decay_at(self.updates)
        now = model.state_dict()
        averages, values = [], []
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                values.append(now[name].detach())
            else:
                average.copy_(now[name])
        # average + (1 - d) (value - average), of all tensors in one call; what never changes stays exactly the same
        torch._foreach_lerp_(averages, values, 1 - decay)
