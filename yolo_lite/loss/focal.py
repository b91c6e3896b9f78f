"""Binary cross-entropy on logits and its focal forms. YOLOv5: ``BCEcls``, ``BCEobj``, ``FocalLoss``, ``QFocalLoss``.

Sources: focal loss, Lin et al. 2017 (arXiv 1708.02002), eq. 5; quality focal loss, Li et al. 2020
(arXiv 2006.04388), with the alpha balance that YOLOv5 keeps.
"""

from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from torch import Tensor
from torch.nn import functional

from yolo_lite._moved import moved_name

FocalKind = Literal["focal", "quality"]


class SmoothedTargets(NamedTuple):
    """Class targets: without smoothing 1 and 0."""

    positive: float
    negative: float


def smooth_targets(label_smoothing: float = 0.0) -> SmoothedTargets:
    """Class targets under label smoothing e: positives 1 - e/2, negatives e/2. YOLOv5: ``cp``, ``cn``.

    >>> smooth_targets(0.1)
    SmoothedTargets(positive=0.95, negative=0.05)
    """
    return SmoothedTargets(1 - label_smoothing / 2, label_smoothing / 2)


def focal_weight(
    logits: Tensor, targets: Tensor, gamma: float, alpha: float = 0.25, kind: FocalKind = "focal"
) -> Tensor:
    """What focal loss multiplies the cross-entropy with: near 0 where the prediction is already right.

    "focal": ``alpha_t (1 - p_t)^gamma`` with ``p_t = t p + (1 - t)(1 - p)``; "quality", for soft targets:
    ``alpha_t |t - p|^gamma``. Shapes as the logits.
    """
    probability = logits.sigmoid()
    balance = targets * alpha + (1 - targets) * (1 - alpha)
    if kind == "quality":
        return balance * (targets - probability).abs() ** gamma
    if kind != "focal":
        raise ValueError(f"unknown focal loss {kind!r}: choose 'focal' or 'quality'")
    p_t = targets * probability + (1 - targets) * (1 - probability)
    return balance * (1 - p_t) ** gamma


def bce_with_focal(
    logits: Tensor,
    targets: Tensor,
    pos_weight: float = 1.0,
    gamma: float = 0.0,
    alpha: float = 0.25,
    kind: FocalKind = "focal",
) -> Tensor:
    """Element-wise binary cross-entropy, focal where gamma > 0.

    Args:
        logits, targets: same shape; targets may be soft, in [0, 1]. pos_weight: weight of the positive term.
    Returns:
        the shape of the logits, not reduced.

    >>> import torch
    >>> bce_with_focal(torch.tensor([2.0, -2.0]), torch.tensor([1.0, 0.0]), gamma=2.0)
    tensor([0.0005, 0.0014])
    """
    loss = functional.binary_cross_entropy_with_logits(
        logits, targets, reduction="none", pos_weight=None if pos_weight == 1 else logits.new_full((), pos_weight)
    )
    return loss * focal_weight(logits, targets, gamma, alpha, kind) if gamma > 0 else loss


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
