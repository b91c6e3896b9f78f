"""CBLinear and CBFuse: how one branch of a YOLOv9 network feeds several maps into another branch.

Source: the composite backbones of CBNet, Liu et al. 2019 (arXiv 1909.03625), and the reversible branch of YOLOv9,
Wang et al. 2024 (arXiv 2402.13616).

Shape letters: N batch, C channels, H rows, W columns.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate

from yolo_lite.model.spec import whole_number


class CBLinear(nn.Module):
    """One 1x1 convolution with a bias and nothing after it, whose output is cut into several maps.

    Args:
        in_channels: C. outs: channels of each map; a width multiple does not change them.
    Raises:
        SpecError: an entry that is not a whole number of 1 or more. ValueError: not a list, or an empty one.

    Shape: (N, in_channels, H, W) -> a list of (N, outs[i], H, W).

    >>> import torch
    >>> [tuple(part.shape) for part in CBLinear(12, [4, 6])(torch.zeros(1, 12, 9, 7))]
    [(1, 4, 9, 7), (1, 6, 9, 7)]
    """

    def __init__(self, in_channels: int, outs: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(outs, Sequence) or not outs:
            raise ValueError(f"a CBLinear needs a list of channels, one for each map, such as [64, 128], not {outs!r}")
        self.outs = [whole_number(channels, "the channels of each map") for channels in outs]
        self.conv = nn.Conv2d(in_channels, sum(self.outs), 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.conv(x).split(self.outs, 1))


class CBFuse(nn.Module):
    """Of each CBLinear one map, enlarged to the last input's size (nearest), all added to the last input.

    Args:
        indices: for each CBLinear in turn, which of its maps, from 0.
    Raises:
        ValueError: indices that are not such a list; in ``forward``, inputs that do not fit them.

    Shape: a list of lists of maps, then (N, C, H, W) -> (N, C, H, W). The maps that are chosen have C channels.

    >>> import torch
    >>> near, far = torch.ones(1, 6, 8, 8), CBLinear(12, [4, 6])(torch.ones(1, 12, 2, 2))
    >>> CBFuse([1])([far, near]).shape
    torch.Size([1, 6, 8, 8])
    """

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__()
        whole = isinstance(indices, Sequence) and all(isinstance(index, int) and index >= 0 for index in indices)
        if not whole or not indices:
            raise ValueError(f"a CBFuse needs a list of indices from 0, one for each CBLinear, not {indices!r}")
        self.indices = list(indices)

    def forward(self, inputs: Sequence[list[Tensor] | Tensor]) -> Tensor:
        *branches, target = inputs
        lists = [branch for branch in branches if isinstance(branch, list)]
        if len(lists) != len(self.indices) or len(branches) != len(lists) or not isinstance(target, Tensor):
            raise ValueError(f"{len(self.indices)} indices need as many CBLinear and then one map as inputs")
        total = target
        for index, branch in zip(self.indices, lists, strict=True):
            if index >= len(branch):
                raise ValueError(f"index {index} of a CBLinear with {len(branch)} maps: indices count from 0")
            if branch[index].shape[1] != target.shape[1]:
                raise ValueError(f"a map of {branch[index].shape[1]} channels cannot be added to {target.shape[1]}")
            total = total + interpolate(branch[index], size=target.shape[2:], mode="nearest")
        return total
