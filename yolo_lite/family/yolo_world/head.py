"""YOLO-World's head: YOLOv8's, whose class branch gives an embedding that is compared with those of texts.

Source: Cheng et al. 2024 (arXiv 2401.17270). Attribute names are those in official checkpoints.

Shape letters: N batch, L levels, R distance bins, K texts, D numbers of an embedding, H W grid of a level.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from yolo_lite.family.blocks.words import BNContrastiveHead, ContrastiveHead
from yolo_lite.family.yolov8.head import DetectDFL, join_branches, last_bias

FIRST_BOX_BIAS = 1.0


class WorldDetect(DetectDFL):
    """For each cell, R numbers for the distance of each of four sides, and for each text how well it fits.

    Args:
        text_channels: D. norm: BatchNorm on the embeddings of regions (``BNContrastiveHead``, the second version)
            instead of unit length (``ContrastiveHead``). in_channels: L, of the feature maps. reg_max: R.

    Shape: a list of L feature maps (N, channels, H, W) and the texts (N, K, D) -> a list of L raw maps
    (N, 1, H, W, 4 R + K).

    >>> head = WorldDetect(10, True, [16, 32])
    >>> maps = [torch.zeros(1, 16, 8, 12), torch.zeros(1, 32, 4, 6)]
    >>> [tuple(raw.shape) for raw in head([*maps, torch.zeros(1, 5, 10)])]
    [(1, 1, 8, 12, 69), (1, 1, 4, 6, 69)]
    """

    def __init__(self, text_channels: int, norm: bool, in_channels: Sequence[int], reg_max: int = 16) -> None:
        # one class: the width of the class branch is that of the first map, as the vocabulary may change
        super().__init__(1, in_channels, reg_max)
        self.levels = len(in_channels)
        for branch in self.cv3:
            layers = cast(nn.Sequential, branch)
            layers[-1] = nn.Conv2d(cast(nn.Conv2d, layers[-1]).in_channels, text_channels, 1)
        self.cv4 = nn.ModuleList(
            BNContrastiveHead(text_channels) if norm else ContrastiveHead() for _ in range(self.levels)
        )

    def set_biases(self, strides: Sequence[float]) -> None:
        """The biases at the start of training. Those of the scores stand in the contrastive blocks."""
        with torch.no_grad():
            for branch in self.cv2:
                last_bias(branch).fill_(FIRST_BOX_BIAS)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps, text = features[: self.levels], features[self.levels :]  # no texts where they are fixed
        branches = zip(self.cv2, self.cv3, self.cv4, maps, strict=True)
        return [join_branches(box(x), contrast(embed(x), *text)) for box, embed, contrast, x in branches]

    @torch.no_grad()
    def fix(self, text: Tensor) -> None:
        """Makes these texts, (K, D), weights of convolutions: from now on ``forward`` takes the maps alone.

        With BatchNorm the comparison becomes part of the branch's last convolution: the head is YOLOv8's then.
        """
        for level, branch in enumerate(self.cv3):
            contrast = self.cv4[level]
            if isinstance(contrast, BNContrastiveHead):
                layers = cast(nn.Sequential, branch)
                layers[-1] = one_after_another(cast(nn.Conv2d, layers[-1]), contrast.fixed(text))
                self.cv4[level] = nn.Identity()
            elif isinstance(contrast, ContrastiveHead):
                self.cv4[level] = contrast.fixed(text)


@torch.no_grad()
def one_after_another(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """The one 1x1 convolution that computes what two in a row compute; both have a bias.

    >>> first, second, x = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1), torch.rand(1, 3, 4, 4)
    >>> torch.allclose(one_after_another(first, second)(x), second(first(x)), atol=1e-5)
    True
    """
    joined = nn.Conv2d(first.in_channels, second.out_channels, 1).to(first.weight)
    matrix = second.weight.flatten(1)  # (K, D)
    joined.weight.copy_((matrix @ first.weight.flatten(1))[..., None, None])
    cast(Tensor, joined.bias).copy_(matrix @ cast(Tensor, first.bias) + cast(Tensor, second.bias))
    return joined
