"""The detector protocol: what a generation of YOLO has to offer, to be trained, evaluated and explored."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import Criterion


class Detector(Protocol):
    """All that the library asks of a model: any generation of YOLO, and any module of your own, will do.

    ``predict`` and ``evaluate`` do without ``criterion``. A model with an attribute ``channels``, a whole number, takes
    images of this many; others take three.
    """

    @property
    def names(self) -> Sequence[str]:
        """Of the C classes."""
        ...

    @property
    def num_classes(self) -> int:
        """C."""
        ...

    @property
    def strides(self) -> Sequence[float] | Tensor:
        """(L,) pixels per cell of each level."""
        ...

    def __call__(self, images: Tensor) -> Any:
        """(N, 3 or channels, H, W) in [0, 1] -> raw maps, of whatever kind ``decode`` and the loss take."""
        ...

    def decode(self, maps: Any) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, objectness (1 where a generation has none), class scores."""
        ...

    def criterion(self, hyp: Hyperparameters, img_size: int = 640) -> Criterion:
        """The loss of this model for training images of that size in pixels; generations may take more options."""
        ...
