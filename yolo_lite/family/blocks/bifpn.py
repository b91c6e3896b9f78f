"""WeightedFusion: maps added with learnt weights, the step of a BiFPN.

Shape letters: N batch, C channels, H rows, W columns, K number of maps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPSILON = 1e-4


class WeightedFusion(nn.Module):
    """The sum of K maps, each times its weight, where weights are positive and sum to 1: fast normalised fusion.

    Maps of different levels count differently, and how much is learnt. A ReLU keeps weights from falling below 0.

    Args:
        in_channels: of each map, all the same.
    Raises:
        ValueError: fewer than two maps, or maps of different channels.
    Source: EfficientDet, Tan et al. 2019 (arXiv 1911.09070), section 3.3.

    Shape: a list of K maps (N, C, H, W) -> (N, C, H, W).

    >>> fusion = WeightedFusion([8, 8])
    >>> fusion([torch.ones(1, 8, 2, 2), torch.zeros(1, 8, 2, 2)])[0, 0].round(decimals=3).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(in_channels, Sequence) or len(in_channels) < 2 or len(set(in_channels)) > 1:
            raise ValueError(f"adds two maps or more of the same channels, not of {in_channels}")
        self.weight = nn.Parameter(torch.ones(len(in_channels)))  # (K,)

    def weights(self) -> Tensor:
        """What each map is multiplied by, (K,)."""
        positive = self.weight.relu()  # (K,)
        return positive / (positive.sum() + EPSILON)

    def forward(self, maps: list[Tensor]) -> Tensor:
        weighted = [weight * x for weight, x in zip(self.weights(), maps, strict=True)]  # K x (N, C, H, W)
        return torch.stack(weighted).sum(0)  # (N, C, H, W)
