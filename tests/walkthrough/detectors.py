"""Models that the explorers have never seen: two, three and four levels, one class, and one that is no Yolo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import yolo_lite as yl

TWO_LEVELS = """
nc: 3
names: [cat, dog, bird]
anchors: [[10, 14, 23, 27], [37, 58, 81, 82]]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [12, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc, anchors]]
"""


def two_levels(folder: Path, num_classes: int | None = None) -> yl.Yolo:
    """A model of one's own: strides 8 and 16, two anchors each, three classes."""
    path = folder / "own.yaml"
    path.write_text(TWO_LEVELS)
    return yl.create_model(path, num_classes=num_classes)


def pictures(count: int = 2, size: int = 64, objects: int = 3, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Noise (N, 3, H, W) with objects (n, 6) on it."""
    generator = np.random.default_rng(7)
    images = torch.from_numpy(generator.random((count, 3, size, size), np.float32))
    rows = [
        (image, generator.integers(classes), *generator.uniform(0.3, 0.7, 2), *generator.uniform(0.15, 0.5, 2))
        for image in range(count)
        for _ in range(objects)
    ]
    return images, torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)


class TwoParts(NamedTuple):
    """The loss of Centres: other terms than box, obj and cls."""

    total: Tensor
    heat: Tensor
    size: Tensor
    count: int  # no term: it carries no gradient


class Centres(nn.Module):
    """A small anchor-free detector on the same protocol: one level, maps (N, K, H, W)."""

    names, num_classes, strides = ("thing",), 1, (16,)

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.SiLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Conv2d(8, 5, 3, 4, 1)  # objectness, x y w h

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.head(self.drop(self.backbone(images)))]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        flat = maps[0].flatten(2).transpose(1, 2)  # (N, H * W, 5)
        return torch.cat((flat[..., 1:], flat[..., :1].sigmoid(), torch.ones_like(flat[..., :1])), 2)

    def criterion(self, hyp: yl.Hyperparameters, img_size: int) -> Any:
        def loss(maps: Sequence[Tensor], targets: Tensor) -> TwoParts:
            heat = hyp.obj * maps[0][:, 0].sigmoid().mean()
            size = hyp.box * (maps[0][:, 3:] - targets[:, 4:].mean()).square().mean() if len(targets) else 0 * heat
            return TwoParts(3 * heat + 2 * size, heat, size, len(targets))

        return loss


class ByProtocol(nn.Module):
    """A Yolo of which nothing is to be seen but the detector protocol (yolo_lite.model.protocol)."""

    def __init__(self, model: yl.Yolo) -> None:
        super().__init__()
        self.inner = model
        self.names, self.num_classes, self.strides = (
            tuple(model.names),
            model.num_classes,
            tuple(map(int, model.strides)),
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.inner(images)

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        return self.inner.decode(maps)

    def criterion(self, hyp: yl.Hyperparameters, img_size: int = 640) -> "OnlyACriterion":
        return OnlyACriterion(self.inner.criterion(hyp, img_size))


class OnlyACriterion:
    """A loss that is no ComputeLoss, but offers what the protocol asks for."""

    def __init__(self, loss: yl.ComputeLoss) -> None:
        self._loss = loss

    def __call__(self, maps: Sequence[Tensor], targets: Tensor) -> yl.LossParts:
        return self._loss(maps, targets)

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> Any:
        return self._loss.assign(maps, targets)
