"""YOLOv8's head: one branch for boxes, one for classes, no anchors.

Source: the two branches are decoupled as in YOLOX, Ge et al. 2021 (arXiv 2107.08430); distances are distributions as
in Generalized Focal Loss, Li et al. 2020 (arXiv 2006.04388). Attribute names are those in official checkpoints.

Shape letters: N batch, L levels, R distance bins, C classes, H W grid of a level.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from yolo_lite.model.blocks import Conv

FIRST_BOX_BIAS = 2.0
OBJECTS, IMAGE_SIZE = 5, 640  # about five objects in an image of that size, spread over classes and cells


class DistanceBins(nn.Module):
    """The numbers 0 to R - 1, as the fixed weights of a 1x1 convolution: checkpoints hold them so.

    Nothing computes with them: ``decode_yolov8`` counts the bins itself.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.copy_(torch.arange(bins).view(1, bins, 1, 1))


class DetectDFL(nn.Module):
    """For each cell, R numbers for the distance of each of four sides, and C for the classes.

    Args:
        num_classes: C. in_channels: L, of the feature maps. reg_max: R.
        depthwise: YOLO11's class branch, whose 3x3 convolutions have one group per channel.
        strides: L, pixels per cell: of the start biases only. By default 8, 16, 32 ...

    Shape: a list of L feature maps (N, channels, H, W) -> a list of L raw maps (N, 1, H, W, 4 R + C), the same in
    training and in evaluation mode; ``decode_yolov8`` makes boxes of them.

    >>> head = DetectDFL(2, [16, 32])
    >>> [tuple(raw.shape) for raw in head([torch.zeros(1, 16, 8, 12), torch.zeros(1, 32, 4, 6)])]
    [(1, 1, 8, 12, 66), (1, 1, 4, 6, 66)]
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        reg_max: int = 16,
        depthwise: bool = False,
        strides: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.reg_max = num_classes, reg_max
        of_boxes = max(16, in_channels[0] // 4, 4 * reg_max)
        of_classes = max(in_channels[0], min(num_classes, 100))
        class_branch = depthwise_branch if depthwise else plain_branch
        self.cv2 = nn.ModuleList(plain_branch(channels, of_boxes, 4 * reg_max) for channels in in_channels)
        self.cv3 = nn.ModuleList(class_branch(channels, of_classes, num_classes) for channels in in_channels)
        self.dfl = DistanceBins(reg_max)
        self.set_biases([8 * 2**level for level in range(len(in_channels))] if strides is None else strides)

    def set_biases(self, strides: Sequence[float]) -> None:
        """The biases at the start of training: long sides, and class scores as rare as objects are."""
        with torch.no_grad():
            for box, cls, stride in zip(self.cv2, self.cv3, strides, strict=True):
                last_bias(box).fill_(FIRST_BOX_BIAS)
                score = OBJECTS / self.num_classes / (IMAGE_SIZE / stride) ** 2
                last_bias(cls).fill_(math.log(score))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        branches = zip(self.cv2, self.cv3, features, strict=True)
        return [join_branches(box(feature), cls(feature)) for box, cls, feature in branches]


def join_branches(box: Tensor, cls: Tensor) -> Tensor:
    """(N, 4 R, H, W) and (N, C, H, W) -> a raw map (N, 1, H, W, 4 R + C)."""
    return torch.cat((box, cls), 1).permute(0, 2, 3, 1).unsqueeze(1).contiguous()


def plain_branch(channels: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions and a 1x1 one with bias: (N, channels, H, W) -> (N, outputs, H, W)."""
    return nn.Sequential(Conv(channels, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, outputs, 1))


def depthwise_branch(channels: int, hidden: int, outputs: int) -> nn.Sequential:
    """The same with each 3x3 convolution split in two: 3x3 within each channel, 1x1 across channels."""
    pairs = [
        nn.Sequential(Conv(before, before, 3, groups=before), Conv(before, hidden, 1)) for before in (channels, hidden)
    ]
    return nn.Sequential(*pairs, nn.Conv2d(hidden, outputs, 1))


def last_bias(branch: nn.Module) -> Tensor:
    """The bias of a branch's last convolution."""
    return cast(Tensor, cast(nn.Sequential, branch)[-1].bias)
