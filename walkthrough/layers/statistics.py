"""Statistics of feature maps."""

from typing import NamedTuple

import torch
from torch import Tensor


class FeatureStatistics(NamedTuple):
    """Of a feature map, or of each of its C channels: numbers, or tensors (C,). NaN is left out of all but nans.

    All are NaN where there is nothing to count.
    """

    mean: float | Tensor
    std: float | Tensor  # of the values themselves: divided by their number, not by one less
    min: float | Tensor
    max: float | Tensor
    zeros: float | Tensor  # fractions, from 0 to 1
    negatives: float | Tensor
    nans: float | Tensor


def feature_statistics(maps: Tensor, per_channel: bool = False) -> FeatureStatistics:
    """Mean, spread, range, and the fractions of zeros, negative values and NaN.

    Args:
        maps: any shape; with per_channel (N, C, ...). Of complex numbers the magnitudes are taken.
    Raises:
        ValueError: per_channel of a tensor without channels.

    >>> feature_statistics(torch.tensor([[0.0, -1.0, 3.0, 2.0]]))[:4]
    (1.0, 1.5811388492584229, -1.0, 3.0)
    >>> feature_statistics(torch.zeros(2, 3, 4, 4), per_channel=True).zeros
    tensor([1., 1., 1.])
    """
    if per_channel and maps.ndim < 2:
        raise ValueError(f"channels are the second dimension of (N, C, ...), which {tuple(maps.shape)} lacks")
    values = maps.detach()
    values = values if values.layout is torch.strided else values.to_dense()
    values = values.abs() if values.is_complex() else values
    values = values if values.dtype == torch.float64 else values.float()
    rows = values.transpose(0, 1).flatten(1) if per_channel else values.flatten()[None]  # (C, n)
    if not rows.shape[1]:
        nothing = torch.full_like(rows.sum(1), torch.nan)  # (C,)
        return FeatureStatistics(*((nothing if per_channel else torch.nan,) * len(FeatureStatistics._fields)))
    nan = rows.isnan()
    clean = rows.masked_fill(nan, 0.0) if nan.any() else rows
    known = (rows.shape[1] - nan.sum(1)).to(rows.dtype)  # (C,)
    mean = clean.sum(1) / known
    spread = ((clean - mean[:, None]).square() * ~nan).sum(1) / known
    ends = [rows.masked_fill(nan, far).amin(1) if far > 0 else rows.masked_fill(nan, far).amax(1) for far in _FAR]
    fractions = [mask.sum(1) / rows.shape[1] for mask in (rows == 0, rows < 0, nan)]
    found = (mean, spread.sqrt(), *ends, *fractions)
    return FeatureStatistics(*(found if per_channel else (float(part) for part in found)))


_FAR = (float("inf"), float("-inf"))
