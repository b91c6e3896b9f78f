"""What the losses of SSD, RetinaNet and FCOS share: flat predictions, the objects of an image, one loss a prediction.

In all three, which predictions are matched to an object follows from geometry alone (its overlap with anchors, or the
points inside it), before the network has said anything. Each prediction is matched to one object at most.

Shape letters: N batch, L levels, A anchors per cell, n predictions per image in the order of ``decode``, m objects of
one image, K columns of classes.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_lite.boxes import xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.coding import prediction_cells
from yolo_lite.family.common import check_targets
from yolo_lite.loss.criterion import (
    IGNORED,
    NEGATIVE,
    POSITIVE,
    AssignedPredictions,
    LossTerms,
    PredictionMatches,
)

BACKGROUND, BETWEEN = -1, -2  # in place of an object: no object; neither an object nor background

Shapes = list[tuple[int, int, int]]  # (A, H, W) of each level


class BoxAndClass(NamedTuple):
    """The loss of SSD and RetinaNet; scalars that carry gradient. In ``assign``: (N, n), of each prediction."""

    total: Tensor  # box + cls
    box: Tensor
    cls: Tensor


class Objects(NamedTuple):
    """The m objects of one image."""

    row: Tensor  # (m,) int64, of targets
    xyxy: Tensor  # (m, 4) float32 pixels
    cls: Tensor  # (m,) int64


class Matched(NamedTuple):
    """Each positive prediction with its object, p in all."""

    image: Tensor  # (p,) int64
    prediction: Tensor  # (p,) int64, which of the image's n
    row: Tensor  # (p,) int64, of targets
    cls: Tensor  # (p,) int64
    box: Tensor  # (p, 4) x, y, w, h of the object in pixels


class Asked(NamedTuple):
    """What a loss asks of every prediction, and what each costs."""

    target: Tensor  # (N, n) int64: a row of targets, BACKGROUND or BETWEEN
    ignored: Tensor  # (N, n) bool
    losses: LossTerms  # fields (N, n)


def image_size(shapes: Shapes, strides: Sequence[int]) -> tuple[int, int]:
    """Height and width in pixels of the images that gave maps of these shapes.

    Images whose sides are multiples of the smallest stride, as letterboxed ones are, fill the finest grid exactly:
    its size times its stride is the image, square or not. So the coarser grids, whose last cells may reach beyond the
    image, need no number from outside.

    >>> image_size([(9, 12, 16), (9, 6, 8), (9, 3, 4), (9, 2, 2), (9, 1, 1)], [8, 16, 32, 64, 128])
    (96, 128)
    """
    finest = min(range(len(strides)), key=lambda level: strides[level])
    return shapes[finest][1] * strides[finest], shapes[finest][2] * strides[finest]


def level_steps(shapes: Shapes, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels between neighbouring cells of each level, down and across: floor(image size / grid size).

    >>> level_steps([(9, 12, 16), (9, 2, 2), (9, 1, 1)], (96, 128))
    [(8, 8), (48, 64), (96, 128)]
    """
    return [(size[0] // rows, size[1] // cols) for _, rows, cols in shapes]


def level_shapes(maps: Sequence[Tensor], anchors: Sequence[int], columns: int) -> Shapes:
    """(A, H, W) of each level.

    Raises:
        ValueError: maps of other shapes than (N, anchors, H, W, columns), level by level.
    """
    if len(maps) != len(anchors):
        raise ValueError(f"{len(maps)} maps, but this detector has {len(anchors)} levels")
    for level, (raw, count) in enumerate(zip(maps, anchors, strict=True)):
        if raw.ndim != 5 or (raw.shape[1], raw.shape[4]) != (count, columns):
            raise ValueError(f"map {level} must be (N, {count}, H, W, {columns}), not {tuple(raw.shape)}")
        if raw.shape[0] != maps[0].shape[0]:  # unlike len(), no constant to torch.export
            raise ValueError(f"map {level} has a batch of {len(raw)}, map 0 one of {len(maps[0])}: they must agree")
    return [(raw.shape[1], raw.shape[2], raw.shape[3]) for raw in maps]


def flatten(maps: Sequence[Tensor]) -> Tensor:
    """L maps (N, A, H, W, columns) -> (N, n, columns), at least float32."""
    flat = torch.cat([raw.flatten(1, 3) for raw in maps], 1)
    return flat.to(torch.promote_types(flat.dtype, torch.float32))


def boxes_in_pixels(targets: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, 4) float64: x, y, w, h of all objects. float64: half a rounding decides between objects that tie."""
    height, width = size
    return targets[:, 2:].double() * targets.new_tensor([width, height, width, height], dtype=torch.float64)


def objects_of_images(targets: Tensor, size: tuple[int, int], batch: int, device: torch.device) -> list[Objects]:
    """The objects of each image, in the order of targets. Their boxes are float32, in which matching is defined.

    Left out is what no offsets can express: a box without width or height, or with a number that is not finite.
    """
    xyxy = xywh_to_xyxy(boxes_in_pixels(targets, size)).float()
    usable = (targets[:, 4:] > 0).all(1) & targets.isfinite().all(1)
    found = []
    for image in range(batch):
        row = ((targets[:, 0] == image) & usable).nonzero().squeeze(1)
        found.append(Objects(row.to(device), xyxy[row].to(device), targets[row, 1].long().to(device)))
    return found


def rows_of(row: Tensor, matched: Tensor) -> Tensor:
    """Indices into an image's objects -> rows of targets; negative ones stay."""
    if not len(row):
        return matched
    return torch.where(matched >= 0, row[matched.clamp(min=0)], matched)


def matched_pairs(target: Tensor, targets: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Matched:
    """The positives among target (N, n), with their objects."""
    image, prediction = (target >= 0).nonzero(as_tuple=True)
    row = target[image, prediction]
    boxes = boxes_in_pixels(targets, size).to(dtype).to(target.device)
    return Matched(image, prediction, row, targets[:, 1].long().to(target.device)[row], boxes[row])


def overlaps(objects: Tensor, anchors: Tensor) -> Tensor:
    """(m, n) IoU of boxes (m, 4) and (n, 4) xyxy: nothing is added to the union, so equal overlaps stay equal."""
    top_left = torch.maximum(objects[:, None, :2], anchors[None, :, :2])  # (m, n, 2)
    bottom_right = torch.minimum(objects[:, None, 2:], anchors[None, :, 2:])  # (m, n, 2)
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)  # (m, n)
    area_objects, area_anchors = ((boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (objects, anchors))
    return intersection / (area_objects[:, None] + area_anchors[None] - intersection)


def scatter(values: Tensor, pairs: Matched, like: Tensor) -> Tensor:
    """One value a pair -> (N, n), 0 elsewhere. Carries gradient."""
    return torch.zeros_like(like).index_put((pairs.image, pairs.prediction), values)


def one_hot(pairs: Matched, logits: Tensor) -> Tensor:
    """(N, n, K) class targets: 1 at each positive's class, 0 elsewhere."""
    class_targets = torch.zeros_like(logits)
    class_targets[pairs.image, pairs.prediction, pairs.cls] = 1
    return class_targets


class AnchoredLoss(nn.Module):
    """What SsdLoss, RetinaNetLoss and FcosLoss share: ``ask`` is theirs, the rest follows from it.

    Attributes:
        dropped: how many objects had no prediction matched to them, since this loss was made.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        self.num_classes, self.dropped = num_classes, 0

    @abstractmethod
    def shapes(self, maps: Sequence[Tensor]) -> Shapes:
        """(A, H, W) of each level; a ValueError for maps that this loss does not take."""

    @abstractmethod
    def match(self, shapes: Shapes, size: tuple[int, int], objects: Sequence[Objects]) -> Tensor:
        """(N, n) int64: for every prediction a row of targets, BACKGROUND or BETWEEN."""

    @abstractmethod
    def size(self, shapes: Shapes) -> tuple[int, int]:
        """Height and width of the images in pixels."""

    @abstractmethod
    def terms(self, flat: Tensor, target: Tensor, pairs: Matched, shapes: Shapes) -> tuple[LossTerms, Tensor]:
        """The losses of every prediction, fields (N, n), and which have none (N, n)."""

    def ask(self, maps: Sequence[Tensor], targets: Tensor) -> Asked:
        """Matches, and the loss of every prediction."""
        targets = targets.cpu()  # a few rows: to look through them image by image, a GPU would wait each time
        shapes = self.shapes(maps)
        check_targets(targets, len(maps[0]), self.num_classes)
        size, device = self.size(shapes), maps[0].device
        with torch.no_grad():
            target = self.match(shapes, size, objects_of_images(targets, size, len(maps[0]), device))
        flat = flatten(maps)
        losses, ignored = self.terms(flat, target, matched_pairs(target, targets, size, flat.dtype), shapes)
        return Asked(target, ignored, losses)

    def summed(self, maps: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """The sum over all predictions of each field but the total; counts the objects that were dropped."""
        asked = self.ask(maps, targets)
        self.dropped += len(targets) - len(asked.target[asked.target >= 0].unique())
        return [term.sum() for term in list(asked.losses)[1:]]

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """For every prediction its role, its object and its losses: the terms of the loss, not added up."""
        asked = self.ask(maps, targets)
        role = torch.where(asked.target >= 0, POSITIVE, NEGATIVE)
        role = torch.where(asked.ignored, IGNORED, role).to(torch.int8)
        image, prediction = (asked.target >= 0).nonzero(as_tuple=True)
        pairs = PredictionMatches(image, prediction, asked.target[image, prediction])
        cells = prediction_cells(self.shapes(maps)).to(role.device)
        return AssignedPredictions(role, asked.target.clamp(min=-1), asked.losses, pairs, cells)


def place_anchors(shape: Sequence[int], corners: Tensor, step: tuple[int, int]) -> Tensor:
    """Anchors around the origin, at the upper left corner of every cell.

    Args:
        shape: (A, H, W). corners: (A, 4) xyxy around (0, 0). step: pixels per cell down and across.
    Returns:
        (A * H * W, 4) xyxy.
    """
    _, rows, cols = shape
    y = torch.arange(rows, device=corners.device) * step[0]
    x = torch.arange(cols, device=corners.device) * step[1]
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1).repeat(1, 1, 2)  # (H, W, 4) x, y, x, y
    return (corners[:, None, None] + place).flatten(0, 2)


def as_xywh(anchors: Tensor, like: Tensor) -> Tensor:
    """xyxy -> centre and size, of the type of another tensor and where it is."""
    return xyxy_to_xywh(anchors.to(like))
