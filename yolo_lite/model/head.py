"""Detect, the head: it makes raw maps, which ``coding.decode`` decodes into boxes. YOLOv5: ``Detect``.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of a level's grid.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from yolo_lite._moved import moved_name
from yolo_lite.model.blocks import Fusible
from yolo_lite.model.packed import PackedConvolution

# The prior, what the head predicts before training: about 8 objects in an image of 640 pixels, each class with a
# probability of 0.6 / C. RetinaNet's idea (arXiv 1708.02002, section 3.3), with these numbers.
PRIOR_OBJECTS = 8
PRIOR_IMAGE_SIZE = 640
PRIOR_CLASS_PROBABILITY = 0.6
NO_ACTIVATION = nn.Identity()


class Detect(Fusible):
    """One 1x1 convolution per level: for each cell and anchor, four numbers for the box, one objectness, C classes.

    Args:
        num_classes: C. anchors: (L, A, 2) width and height in pixels. strides: L, pixels per cell.
        in_channels: L, the channels of the feature maps.

    Shape: a list of L feature maps (N, channels, H, W) -> a list of L raw maps (N, A, H, W, 5 + C), the same in
    training and in evaluation mode; ``decode`` makes boxes of them. They are views of what the convolutions give, in
    its memory layout, and not contiguous.

    >>> head = Detect(2, torch.ones(1, 3, 2), strides=[8], in_channels=[16])
    >>> head([torch.zeros(1, 16, 10, 12)])[0].shape
    torch.Size([1, 3, 10, 12, 7])
    """

    anchors: Tensor
    packed: tuple[PackedConvolution, ...] = ()  # after ``fuse``: one per level

    def __init__(self, num_classes: int, anchors: Tensor, strides: Sequence[int], in_channels: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("anchors", anchors)
        outputs = anchors.shape[1] * (5 + num_classes)  # A * (5 + C)
        self.m = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for channels in in_channels)
        self._add_prior(strides)

    def _add_prior(self, strides: Sequence[int]) -> None:
        """Add log-odds of the prior to the random start of the biases, so that early losses stay small.

        YOLOv5: ``_initialize_biases``.
        """
        with torch.no_grad():
            for conv, stride in zip(self.m, strides, strict=True):
                bias = cast(Tensor, conv.bias).view(-1, 5 + self.num_classes)  # (A, 5 + C)
                bias[:, 4] += math.log(PRIOR_OBJECTS / (PRIOR_IMAGE_SIZE / stride) ** 2)
                bias[:, 5:] += math.log(PRIOR_CLASS_PROBABILITY / (self.num_classes - 0.99999))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps = []
        for level, (conv, feature) in enumerate(zip(self.m, features, strict=True)):
            out = self._convolved(level, conv, feature)  # (N, channels, H, W) -> (N, A * (5 + C), H, W)
            out = out.unflatten(1, (-1, 5 + self.num_classes))  # (N, A, 5 + C, H, W)
            maps.append(out.permute(0, 1, 3, 4, 2))  # (N, A, H, W, 5 + C)
        return maps

    def _convolved(self, level: int, conv: nn.Module, feature: Tensor) -> Tensor:
        if self.packed and self.packed[level].is_for(conv, NO_ACTIVATION, feature):
            return self.packed[level](conv, NO_ACTIVATION, feature)
        return cast(Tensor, conv(feature))

    def fuse(self) -> None:
        """Computes the same; inference on a CPU is faster, see ``PackedConvolution``."""
        self.packed = tuple(PackedConvolution() for _ in self.m)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
