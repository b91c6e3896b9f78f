"""Batches at random sizes: what TrainOptions.multi_scale asks for. YOLOv5: `--multi-scale`."""

import numpy as np
from torch import Tensor
from torch.nn import functional

SIZE_DRAW = 2  # sets the draws of batch sizes apart from those of samples and order, which have the same seed and epoch


def random_size(img_size: int, stride: int, seed: int, epoch: int, batch: int, least: int = 0) -> int:
    """A multiple of the stride within +- 50 % of img_size, and not below ``least``; a function of (seed, epoch, batch).

    >>> random_size(640, 32, seed=0, epoch=0, batch=0) % 32
    0
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, epoch, batch], spawn_key=(SIZE_DRAW,)))
    size = int(generator.integers(int(img_size * 0.5), int(img_size * 1.5) + stride))
    return max(size // stride * stride, stride, least)


def resized(images: Tensor, longest: int, stride: int) -> Tensor:
    """Images (N, 3, H, W) scaled so that the longer side is ``longest``, the other a multiple of the stride."""
    rows, cols = images.shape[2:]
    scale = longest / max(rows, cols)
    size = [max(round(side * scale / stride), 1) * stride for side in (rows, cols)]
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
