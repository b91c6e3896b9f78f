"""ComputeLoss: box, objectness and class loss."""

from typing import NamedTuple

from torch import Tensor


class LossParts(NamedTuple):
    """One loss, taken apart; every field a scalar that carries gradient."""

    total: Tensor  # (box + obj + cls) * batch size
    box: Tensor  # gain * sum over levels of mean(1 - CIoU)
    obj: Tensor  # gain * sum over levels of balance * mean BCE over all cells
    cls: Tensor  # gain * sum over levels of mean BCE over matches x classes
