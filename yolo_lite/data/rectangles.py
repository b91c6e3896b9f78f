"""Network inputs in the shape of the images. YOLOv5: `rect`."""

import numpy as np


def by_shape(sizes: np.ndarray) -> np.ndarray:
    """The order (n,) of images by height / width, from sizes (n, 2)."""
    return np.argsort(sizes[:, 0] / sizes[:, 1], kind="stable")


def rectangle_shapes(sizes: np.ndarray, batch_size: int, img_size: int, stride: int, pad: float) -> np.ndarray:
    """The smallest network input for each ``batch_size`` consecutive images, in multiples of the stride.

    YOLOv5: `rect`, `batch_shapes`.

    Args:
        sizes: (n, 2) height and width, sorted by height / width. pad: strides added before rounding up.
    Returns:
        (batches, 2) int64 height and width.

    >>> rectangle_shapes(np.array([[480, 640], [640, 640]]), 1, 640, 32, 0.5).tolist()
    [[512, 672], [672, 672]]
    """
    aspects = sizes[:, 0] / sizes[:, 1]  # (n,)
    fractions = []  # of img_size, height and width
    for start in range(0, len(aspects), batch_size):
        low, high = aspects[start : start + batch_size].min(), aspects[start : start + batch_size].max()
        fractions.append((high, 1) if high < 1 else (1, 1 / low) if low > 1 else (1, 1))
    return (np.ceil(np.array(fractions) * img_size / stride + pad) * stride).astype(np.int64)
