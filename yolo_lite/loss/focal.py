"""Binary cross-entropy on logits and its focal forms. YOLOv5: ``BCEcls``, ``BCEobj``, ``FocalLoss``, ``QFocalLoss``.

Sources: focal loss, Lin et al. 2017 (arXiv 1708.02002), eq. 5; quality focal loss, Li et al. 2020
(arXiv 2006.04388), in ``bce_with_focal`` with the alpha balance that YOLOv5 keeps; varifocal loss, Zhang et al. 2020
(arXiv 2008.13367).
"""

from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
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


def quality_focal_loss(logits: Tensor, targets: Tensor, beta: float = 2.0) -> Tensor:
    """``|y - p|^beta * BCE``: focal loss for soft targets y, as in its paper (arXiv 2006.04388, eq. 4).

    Args:
        logits, targets: same shape; targets in [0, 1], for example the overlap of a box.
    Returns:
        the shape of the logits, not reduced; 0 where p = y.

    >>> import torch
    >>> quality_focal_loss(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.0, 0.5, 1.0]))  # 0.25 * ln 2 on both sides
    tensor([0.1733, 0.0000, 0.1733])
    """
    bce = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return bce * (targets - logits.sigmoid()).abs() ** beta


def varifocal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """``q * BCE`` where the target q is above 0, ``alpha p^gamma * BCE`` where it is 0 (arXiv 2008.13367, eq. 2).

    Only negatives are weighted down by how easy they are; a positive counts as much as its box is good.

    Args:
        logits, targets: same shape; targets in [0, 1], for example the overlap of a box, 0 for negatives.
    Returns:
        the shape of the logits, not reduced.

    >>> import torch
    >>> varifocal_loss(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))  # 0.75 * 0.25 * ln 2; ln 2
    tensor([0.1300, 0.6931])
    """
    bce = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return bce * torch.where(targets > 0, targets, alpha * logits.sigmoid() ** gamma)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
