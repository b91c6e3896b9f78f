"""What the auxiliary branch changes in the gradients of the main layers, layer by layer."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_lite.family.auxiliary import AuxiliaryDetector
from yolo_lite.hyperparameters import Hyperparameters


class LayerGradient(NamedTuple):
    """The gradient of one layer's parameters, without the branch and with it."""

    index: int  # type: ignore[assignment] # hides tuple.index, which is not of use for a row
    kind: str
    parameters: int
    norm: float  # of the gradient of the main loss
    norm_with: float  # of the gradient of the main loss plus the weighted loss of the branch
    cosine: float  # of the angle between both; nan where one is 0


class GradientTable(NamedTuple):
    """All main layers that have parameters; ``print`` it for a table."""

    rows: tuple[LayerGradient, ...]
    weight: float  # of the branch's loss

    def __str__(self) -> str:
        lines = [f"{'layer':>5}  {'kind':<14}{'parameters':>12}{'norm':>12}{'with':>12}{'ratio':>8}{'cosine':>8}"]
        for row in self.rows:
            ratio = row.norm_with / row.norm if row.norm else torch.nan
            numbers = f"{row.norm:>12.4g}{row.norm_with:>12.4g}{ratio:>8.3f}{row.cosine:>8.3f}"
            lines.append(f"{row.index:>5}  {row.kind:<14}{row.parameters:>12,}{numbers}")
        return "\n".join([*lines, f"weight of the branch's loss: {self.weight:g}"])


def compare_gradients(model: AuxiliaryDetector, images: Tensor, targets: Tensor) -> GradientTable:
    """Norm and direction of each main layer's gradient, with and without the auxiliary branch.

    Both are computed from one pass in training mode of a copy: the model stays as it is.

    Args:
        model: with a branch. images: (N, 3, H, W) in [0, 1]. targets: (n, 6) image, class, xc, yc, w, h; normalised.
    Raises:
        ValueError: a model without a branch.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov9t-pgi", num_classes=2)
    >>> table = compare_gradients(model, torch.rand(2, 3, 64, 64), torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.4]]))
    >>> [row.norm_with == row.norm for row in table.rows if row.index in (0, 15)]  # backbone, neck
    [False, True]
    """
    if not isinstance(model, AuxiliaryDetector) or not model.has_auxiliary:
        raise ValueError("this model has no auxiliary branch: create_model('yolov9t-pgi') makes one that has")
    probe = copy.deepcopy(model).train()  # BatchNorm counts what it sees
    loss, levels = probe.criterion(Hyperparameters()), len(probe.strides)
    maps = probe(images)
    layers = [row for row in probe.rows[: probe.heads[0] + 1] if parameters_of(probe, row.index)]
    learnt = [parameter for row in layers for parameter in parameters_of(probe, row.index)]
    totals = [loss(maps[:levels], targets).total, loss(maps, targets).total]
    grads = [torch.autograd.grad(total, learnt, retain_graph=True, materialize_grads=True) for total in totals]
    rows, start = [], 0
    for row in layers:
        count = len(parameters_of(probe, row.index))
        without, both = (torch.cat([each.double().flatten() for each in grad[start : start + count]]) for grad in grads)
        norm, norm_with = without.norm().item(), both.norm().item()
        cosine = (without @ both).item() / (norm * norm_with) if norm and norm_with else torch.nan
        rows.append(LayerGradient(row.index, row.kind, without.numel(), norm, norm_with, cosine))
        start += count
    return GradientTable(tuple(rows), probe.settings.auxiliary)


def parameters_of(model: AuxiliaryDetector, index: int) -> list[torch.nn.Parameter]:
    """Those of a layer that learn."""
    return [parameter for parameter in model.layers[index].parameters() if parameter.requires_grad]
