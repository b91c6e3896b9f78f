"""What the loss of every generation offers: a batch's loss, and what it asks of each single prediction.

Shape letters: N batch, n predictions per image in the order of ``decode``, m matches.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1  # in AssignedPredictions.role
# Which gradient a loss of Darknet has, where Darknet does not follow its derivative, or its paper says something else.
Faithful = Literal["darknet", "paper"]


class LossTerms(Protocol):
    """A NamedTuple of tensors: first the ``total``, then the terms that it is made of. ``LossParts``, for example.

    The total is computed from the very tensors that are returned beside it (a weighted sum of them): then its gradient
    can be divided by terms, as LossExplorer and GradientExplorer do.
    """

    @property
    def _fields(self) -> tuple[str, ...]: ...

    @property
    def total(self) -> Tensor: ...

    def _asdict(self) -> dict[str, Any]: ...

    def __iter__(self) -> Iterator[Tensor]: ...


class PredictionMatches(NamedTuple):
    """All m pairs of a prediction and an object. A prediction matched to several objects is in several pairs."""

    image: Tensor  # (m,) int64, index in the batch
    prediction: Tensor  # (m,) int64, which of the image's n
    target: Tensor  # (m,) int64, the object: a row of targets


class AssignedPredictions(NamedTuple):
    """What a loss asks of every prediction, and what each costs. ``walkthrough.show_roles`` draws it.

    Fields: ``role`` 1 positive, 0 negative, -1 ignored; ``target`` the object of a positive, a row of targets;
    ``losses`` of each prediction; ``matches`` all pairs of prediction and object; ``cells`` level, anchor, row, column.
    """

    role: Tensor  # (N, n) int8: POSITIVE, NEGATIVE (trained towards "no object") or IGNORED (no such loss)
    target: Tensor  # (N, n) int64, the object of a positive: a row of targets; -1 where there is none.
    # Of several objects matched to one prediction, the one that the loss gives it to; matches has them all
    losses: LossTerms  # fields (N, n), gains included: each adds up to the field of what the loss itself returns
    matches: PredictionMatches
    cells: Tensor  # (n, 4) int64, where each prediction is: level, anchor (0 without anchors), row, column


class Criterion(Protocol):
    """A loss: what ``model.criterion(hyp, img_size)`` returns. ``ComputeLoss`` is YOLOv5's.

    maps are the model's raw maps, of whatever kind its ``decode`` takes; LossExplorer and GradientExplorer need a list
    of tensors, one for each level. targets: (n, 6) image, class, xc, yc, w, h;
    normalised.
    """

    def __call__(self, maps: Any, targets: Tensor) -> LossTerms:
        """The loss of a batch: scalars that carry gradient."""
        ...

    def assign(self, maps: Any, targets: Tensor) -> AssignedPredictions:
        """For every prediction whether it is positive, negative or ignored, its object and its losses."""
        ...
