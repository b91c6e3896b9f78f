"""The optimiser: its parameter groups, what the schedule writes into it, and layers that it leaves alone."""

from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from yolo_lite._moved import moved_name
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.schedule import Rates, Schedule

OptimizerName = Literal["SGD", "Adam", "AdamW", "RMSprop"]
Norms = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm


class ParameterGroups(NamedTuple):
    """The three groups: weight decay acts only on weights that mix features. YOLOv5: `smart_optimizer`, `g`."""

    biases: list[nn.Parameter]  # no decay; their learning rate falls from a high start
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
    """The optimiser with its groups in the order biases, weights, norms. YOLOv5: `smart_optimizer`.

    With ``foreach`` it goes through all tensors of a group in one call, not in a Python loop; the numbers are the same.

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
        return torch.optim.SGD(groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0, foreach=True)
    if name in ("Adam", "AdamW"):  # beta1 does what momentum does
        kind = torch.optim.Adam if name == "Adam" else torch.optim.AdamW
        return kind(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999), foreach=True)
    if name == "RMSprop":
        return torch.optim.RMSprop(groups, lr=hyp.lr0, momentum=hyp.momentum, foreach=True)
    raise ValueError(f"unknown optimizer {name!r}: choose SGD, Adam, AdamW or RMSprop")


def apply_rates(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Writes learning rates into an optimiser of ``create_optimizer``; momentum into SGD and RMSprop only."""
    for group in optimizer.param_groups:
        group["lr"] = rates.bias_lr if group["name"] == "biases" else rates.other_lr
        if "momentum" in group:
            group["momentum"] = rates.momentum


def set_decay(optimizer: torch.optim.Optimizer, hyp: Hyperparameters, schedule: Schedule) -> None:
    """Writes changed hyperparameters into an optimiser: weight decay and beta1, which ``apply_rates`` leaves alone."""
    for group in optimizer.param_groups:
        if group["name"] == "weights":
            group["weight_decay"] = schedule.scaled_weight_decay
        if "betas" in group:
            group["betas"] = (hyp.momentum, group["betas"][1])


def freeze_layers(model: nn.Module, freeze: int | tuple[int, ...]) -> None:
    """Layers keep weights and BatchNorm statistics. YOLOv5: `--freeze`.

    Args:
        freeze: how many of the first layers, or the numbers of the layers.
    """
    if not freeze:
        return
    layers = getattr(model, "layers", None)
    if layers is None:
        raise ValueError(f"freeze={freeze} needs a model with .layers, which {type(model).__name__} does not have")
    before_head = min(getattr(model, "heads", None) or [len(layers) - 1])
    if isinstance(freeze, int) and freeze > before_head:
        raise ValueError(f"freeze must lie between 0 and {before_head}, the layers before the head, not {freeze}")
    numbers = range(freeze) if isinstance(freeze, int) else freeze
    wrong = [number for number in numbers if number >= before_head]
    if wrong:
        raise ValueError(f"freeze: the layers before the head are 0 to {before_head - 1}, there is no {wrong[0]}")
    for number in numbers:
        layers[number].eval().requires_grad_(False)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
