"""SSD: default boxes on maps of six sizes, softmax with a class for the background, three hard negatives a positive.

Source: Liu et al. 2015, SSD: Single Shot MultiBox Detector (arXiv 1512.02325), with the scales of torchvision 0.29.

Shape letters: N batch, L levels, A default boxes per cell, n of them per image in the order of ``decode``, m objects of
one image, p positives, C classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.coding import decode_offsets, encode_offsets
from yolo_lite.family.anchored import (
    BACKGROUND,
    AnchoredLoss,
    BoxAndClass,
    Matched,
    Objects,
    Shapes,
    flatten,
    level_shapes,
    overlaps,
    rows_of,
    scatter,
)


@dataclass(frozen=True)
class SsdSettings:
    """SSD300's published values."""

    scales: tuple[float, ...] = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)  # L + 1; of the image: a level's boxes
    # have its scale s, and one square the geometric mean of s and the next level's
    ratios: tuple[tuple[float, ...], ...] = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))  # L; width / height, and inverse
    steps: tuple[int | None, ...] = (8, 16, 32, 64, None, None)  # L; pixels between centres; None: image / grid
    positive_iou: float = 0.5  # a default box with at least this overlap is positive
    negatives: float = 3.0  # hard negatives (OHEM) for every positive of the image
    weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)  # of the offsets: 1 / "variances"

    def __post_init__(self) -> None:
        levels = len(self.ratios)
        if not levels or len(self.scales) != levels + 1 or len(self.steps) != levels:
            raise ValueError(
                f"{levels} levels of ratios need {levels + 1} scales and {levels} steps, not {len(self.scales)} and "
                f"{len(self.steps)}"
            )
        if min(self.scales) <= 0 or min(min(ratios, default=1) for ratios in self.ratios) <= 0:
            raise ValueError(f"scales {self.scales} and ratios {self.ratios} must be positive")
        if not 0 < self.positive_iou <= 1 or self.negatives < 0 or min(self.weights) <= 0:
            raise ValueError(
                f"positive_iou {self.positive_iou} must lie between 0 and 1, negatives {self.negatives} must not be "
                f"negative, weights {self.weights} must be positive"
            )

    def anchors_per_cell(self) -> list[int]:
        """A of each level.

        >>> SsdSettings().anchors_per_cell()
        [4, 6, 6, 6, 4, 4]
        """
        return [2 + 2 * len(ratios) for ratios in self.ratios]

    def cell_sizes(self, level: int) -> Tensor:
        """(A, 2) width and height of a level's default boxes as fractions of the image, at most 1."""
        scale = self.scales[level]
        sizes = [(scale, scale), (math.sqrt(scale * self.scales[level + 1]),) * 2]
        for ratio in self.ratios[level]:
            wide = (scale * math.sqrt(ratio), scale / math.sqrt(ratio))
            sizes += [wide, wide[::-1]]
        return torch.tensor(sizes).clamp(max=1)


def default_boxes(shapes: Shapes, size: tuple[int, int], settings: SsdSettings) -> Tensor:
    """All default boxes of an image; on an image that is not square they are stretched with it.

    Args:
        shapes: (A, H, W) of each level. size: height and width of the image in pixels.
    Returns:
        (n, 4) float32: x, y (centre), w, h in pixels; they may reach outside the image.

    >>> boxes = default_boxes([(4, 1, 2)], (10, 20), SsdSettings((0.5, 0.5), ((2,),), (None,)))
    >>> boxes[:2].tolist()
    [[5.0, 5.0, 10.0, 5.0], [15.0, 5.0, 10.0, 5.0]]
    """
    height, width = size
    image = torch.tensor([width, height], dtype=torch.float32)
    levels = []
    for level, (count, rows, cols) in enumerate(shapes):
        step = settings.steps[level]
        down, across = (step, step) if step is not None else (height / rows, width / cols)
        y, x = (torch.arange(rows) + 0.5) * down, (torch.arange(cols) + 0.5) * across
        centre = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)  # (H, W, 2) pixels
        sides = settings.cell_sizes(level) * image  # (A, 2)
        centre, sides = centre.expand(count, rows, cols, 2), sides[:, None, None].expand(count, rows, cols, 2)
        levels.append(torch.cat((centre, sides), -1).flatten(0, 2))
    return torch.cat(levels)


def match_default_boxes(objects: Tensor, anchors: Tensor, positive_iou: float = 0.5) -> Tensor:
    """Which object each default box is matched to: its best, if they overlap enough; the best box of an object, to it.

    Where several objects have the same best default box, it is matched to the last one.

    Args:
        objects: (m, 4), anchors: (n, 4), both xyxy in the same unit.
    Returns:
        (n,) int64: index of the object or BACKGROUND.
    """
    if not len(objects):
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    iou = overlaps(objects, anchors)  # (m, n)
    best, which = iou.max(0)  # (n,)
    matched = torch.where(best >= positive_iou, which, BACKGROUND)
    overlap, place = iou.max(1)  # (m,) the best default box of each object
    rank = torch.arange(len(objects), device=matched.device).where(overlap > 0, BACKGROUND)
    last = torch.full_like(matched, BACKGROUND).scatter_reduce(0, place, rank, "amax")  # the same on every run
    return torch.where(last >= 0, last, matched)


def hard_negatives(cls: Tensor, positive: Tensor, negatives: float = 3.0) -> Tensor:
    """Which negatives are trained: of each image the ones of the largest loss, this many for every positive (OHEM).

    Args:
        cls: (N, n) cross-entropy. positive: (N, n) bool.
    Returns:
        (N, n) bool; none where an image has no positive.

    >>> hard_negatives(torch.tensor([[0.1, 9, 3, 2]]), torch.tensor([[False, True, False, False]]), 2)
    tensor([[False, False,  True,  True]])
    """
    order = cls.detach().masked_fill(positive, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(1)  # (N, n) 0 is the hardest
    return (rank < negatives * positive.sum(1, keepdim=True)) & ~positive


def decode_ssd(maps: Sequence[Tensor], size: tuple[int, int], settings: SsdSettings) -> Tensor:
    """Raw maps (N, A, H, W, 4 + 1 + C) of images of this size -> (N, n, 5 + C): x, y, w, h in pixels, 1, class scores.

    The scores are probabilities that, with that of the background, add up to 1.
    """
    flat = flatten(maps)
    shapes = [(raw.shape[1], raw.shape[2], raw.shape[3]) for raw in maps]
    boxes = decode_offsets(flat[..., :4], default_boxes(shapes, size, settings).to(flat), settings.weights)
    return torch.cat((boxes, torch.ones_like(flat[..., :1]), flat[..., 4:].softmax(-1)[..., 1:]), -1)


class SsdLoss(AnchoredLoss):
    """SSD's loss: smooth L1 of the positives' offsets, cross-entropy of positives and hard negatives.

    Both are sums over the batch, divided by the positives of the whole batch (at least 1). Other negatives have no
    loss: in ``assign`` they are ignored.

    Args:
        size: height and width of the images in pixels. num_classes: C, without the background.
        settings: default boxes, matching, number of negatives.

    >>> loss = SsdLoss((64, 64), 2, SsdSettings((0.3, 0.5), ((2,),), (8,)))
    >>> maps, targets = [torch.zeros(1, 4, 8, 8, 7)], torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.3]])
    >>> assigned = loss.assign(maps, targets)
    >>> [(assigned.role == role).sum().item() for role in (1, 0, -1)]
    [1, 3, 252]
    >>> torch.allclose(assigned.losses.total.sum(), loss(maps, targets).total)
    True
    """

    def __init__(self, size: tuple[int, int], num_classes: int, settings: SsdSettings | None = None) -> None:
        super().__init__(num_classes)
        self.image, self.settings = size, settings or SsdSettings()

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> BoxAndClass:
        """The loss of a batch.

        Args:
            maps: L of (N, A, H, W, 4 + 1 + C): offsets, logits of the background and of the classes.
            targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        box, cls = self.summed(maps, targets)
        return BoxAndClass(box + cls, box, cls)

    def shapes(self, maps: Sequence[Tensor]) -> Shapes:
        """(A, H, W) of each level."""
        return level_shapes(maps, self.settings.anchors_per_cell(), 5 + self.num_classes)

    def size(self, shapes: Shapes) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.image

    def match(self, shapes: Shapes, size: tuple[int, int], objects: Sequence[Objects]) -> Tensor:
        """(N, n) int64: for every default box a row of targets or BACKGROUND."""
        anchors = xywh_to_xyxy(default_boxes(shapes, size, self.settings)).to(objects[0].xyxy.device)
        limit = self.settings.positive_iou
        return torch.stack([rows_of(each.row, match_default_boxes(each.xyxy, anchors, limit)) for each in objects])

    def terms(self, flat: Tensor, target: Tensor, pairs: Matched, shapes: Shapes) -> tuple[BoxAndClass, Tensor]:
        """The losses of every default box, and which are ignored."""
        settings, divisor = self.settings, max(1, len(pairs.row))
        column = torch.zeros_like(target)  # 0 is the background's
        column[pairs.image, pairs.prediction] = pairs.cls + 1
        entropy = functional.cross_entropy(flat[..., 4:].transpose(1, 2), column, reduction="none")  # (N, n)
        positive = target >= 0
        ignored = ~(positive | hard_negatives(entropy, positive, settings.negatives))
        cls = entropy.masked_fill(ignored, 0) / divisor

        anchors = default_boxes(shapes, self.image, settings).to(flat)[pairs.prediction]  # (p, 4)
        offset_targets = encode_offsets(pairs.box, anchors, settings.weights)
        offsets = flat[pairs.image, pairs.prediction, :4]
        of_pairs = functional.smooth_l1_loss(offsets, offset_targets, reduction="none").sum(-1)  # (p,)
        box = scatter(of_pairs / divisor, pairs, cls)
        return BoxAndClass(box + cls, box, cls), ignored
