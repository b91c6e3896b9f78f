"""Images of any number of channels through OpenCV, some of whose functions take at most four. H W C of an image."""

from collections.abc import Callable

import numpy as np


def in_groups(image: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies a function to each band: to groups of 1, 3 or 4 of them, which OpenCV computes all alike.

    It rounds two channels differently in warps, and refuses five in others.

    Args:
        image: (H, W, C) uint8. function: (H, W, 1, 3 or 4) -> the same channels, where a single one may lose its axis.
    Returns:
        (H', W', C) uint8.

    >>> in_groups(np.zeros((4, 6, 5), np.uint8), lambda group: group[::2]).shape
    (2, 6, 5)
    """
    if image.shape[2] == 3:
        return function(image)
    parts, start = [], 0
    while left := image.shape[2] - start:
        width = {2: 1, 6: 3}.get(left, min(left, 4))
        part = function(np.ascontiguousarray(image[..., start : start + width]))
        parts.append(part[..., None] if part.ndim == 2 else part)
        start += width
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
