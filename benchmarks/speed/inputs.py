"""What every side is given: the same numbers from the same seed. Needs PyTorch alone; imports nothing of the project.

Shape letters: N batch, n targets or boxes, C classes.
"""

from typing import Any

import torch
from torch import Tensor

STRIDES, ANCHORS_PER_LEVEL = (8, 16, 32), 3


def images(batch: int, size: int) -> Tensor:
    """(N, 3, size, size) float32 in [0, 1]."""
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def targets(objects: int, batch: int, classes: int) -> Tensor:
    """(n, 6) image, class, xc, yc, w, h normalised; sorted by image; sides of 2 to 52 % of the image."""
    chance = torch.Generator().manual_seed(1)
    image = torch.randint(0, batch, (objects, 1), generator=chance).float().sort(0)[0]
    cls = torch.randint(0, classes, (objects, 1), generator=chance).float()
    sides = torch.rand(objects, 2, generator=chance) * 0.5 + 0.02
    return torch.cat([image, cls, torch.rand(objects, 2, generator=chance), sides], 1)


def raw_maps(batch: int, size: int, classes: int) -> list[Tensor]:
    """A network's raw maps, (N, 3, H, W, 5 + C) for each of the three strides."""
    chance = torch.Generator().manual_seed(2)
    sides = [size // stride for stride in STRIDES]
    return [torch.randn(batch, ANCHORS_PER_LEVEL, side, side, 5 + classes, generator=chance) for side in sides]


def boxes_to_suppress(count: int, classes: int = 80, size: int = 640) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 4) xyxy in pixels, with sides of up to a fifth of the image; (n,) scores, all different; (n,) classes."""
    chance = torch.Generator().manual_seed(3)
    corner, sides = torch.rand(2, count, 2, generator=chance) * size * torch.tensor([[[1.0]], [[0.2]]])
    cls = torch.randint(0, classes, (count,), generator=chance)
    scores = (torch.randperm(count, generator=chance) + 1) / (count + 1)
    return torch.cat((corner, corner + sides), 1), scores, cls


def scored_detections(count: int, classes: int = 80) -> tuple[Any, ...]:
    """correct (n, 10) bool, confidences (n,), classes (n,), classes of the labels (n / 6.25,); arrays."""
    import numpy as np

    chance = np.random.default_rng(0)
    correct = chance.random((count, 10)) < 0.4
    labels = max(1, count * 4 // 25)
    return correct, chance.random(count), chance.integers(0, classes, count), chance.integers(0, classes, labels)
