"""What the losses of YOLOv1 to YOLOv4 share: their objects, their overlaps, and adding losses up.

Darknet's conventions, which hold in all of them: sums over images, cells and boxes, divided by nothing; overlaps of
boxes in centre form, without an epsilon; of several candidates with the same overlap the first one is the best.

Shape letters: N batch, n predictions per image in the order of ``decode``, C classes, m objects or matches.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from yolo_lite.loss.criterion import PredictionMatches

Terms = TypeVar("Terms", bound=NamedTuple)


class Objects(NamedTuple):
    """The objects of a batch that a loss looks at, in the order of targets: it decides collisions."""

    image: Tensor  # (m,) int64
    cls: Tensor  # (m,) int64
    box: Tensor  # (m, 4) xc, yc, w, h; fractions of the image
    target: Tensor  # (m,) int64, the row of targets


def read_objects(targets: Tensor, maps: Sequence[Tensor], num_classes: int, max_boxes: int | None = None) -> Objects:
    """Checks targets and takes the objects from them.

    Left out is what no cell can be responsible for: a box without width or height, or with its centre outside the
    image; and of each image what comes after its first ``max_boxes`` objects. Darknet's loaders leave these out, too.
    (Darknet also ends the list of an image at an object with xc = 0; here it is an object.)

    Args:
        targets: (n, 6) image, class, xc, yc, w, h; normalised. maps: whose batch, dtype and device count.
        max_boxes: per image; None for all.
    Raises:
        ValueError: targets of another shape; a class or an image index out of range.

    >>> targets = torch.tensor([[0, 1, 0.5, 0.5, 0.2, 0.2], [0, 0, 0.5, 0.5, 0.0, 0.2]])  # the second is a line
    >>> read_objects(targets, [torch.zeros(1, 30)], 2).target
    tensor([0])
    """
    check_targets(targets, len(maps[0]), num_classes)
    targets = targets.to(maps[0].device, working_type(maps[0]))
    centre, size = targets[:, 2:4], targets[:, 4:6]
    kept = (size > 0).all(1) & (centre >= 0).all(1) & (centre <= 1).all(1)  # (n,); nan is False
    image = targets[:, 0].long()
    if max_boxes is not None:
        same_image = (image[:, None] == image) & kept  # (n, n)
        kept = kept & (same_image.tril(-1).sum(1) < max_boxes)  # how many come before, in the same image
    rows = kept.nonzero()[:, 0]
    return Objects(image[rows], targets[rows, 1].long(), targets[rows, 2:6], rows)


def check_targets(targets: Tensor, batch: int, num_classes: int) -> None:
    """ValueError for targets of another shape than (n, 6), or with a class or image that does not exist."""
    if targets.ndim != 2 or targets.shape[1] != 6:
        raise ValueError(f"targets must be (n, 6): image, class, xc, yc, w, h; got {tuple(targets.shape)}")
    for column, name, limit in ((1, "class", num_classes), (0, "image index", batch)):
        values = targets[:, column]
        bad = (~((values >= 0) & (values < limit))).nonzero()
        if len(bad):
            row = int(bad[0])
            what = "the model has classes" if column else "the batch has images"
            raise ValueError(f"targets row {row} has {name} {values[row]:g}, but {what} 0 to {limit - 1}")


def check_maps(maps: Sequence[Tensor], num_anchors: Sequence[int], num_classes: int) -> None:
    """ValueError unless there is, for each level, a map (N, that many anchors, H, W, 5 + C) of one batch."""
    if len(maps) != len(num_anchors):
        raise ValueError(f"{len(maps)} maps for {len(num_anchors)} levels of anchors")
    for level, (raw, anchors) in enumerate(zip(maps, num_anchors, strict=True)):
        if raw.ndim != 5 or (raw.shape[1], raw.shape[4]) != (anchors, 5 + num_classes) or len(raw) != len(maps[0]):
            raise ValueError(
                f"map {level} must be ({len(maps[0])}, {anchors}, H, W, {5 + num_classes}) for {anchors} anchors "
                f"and {num_classes} classes; got {tuple(raw.shape)}"
            )


def working_type(raw: Tensor) -> torch.dtype:
    """The dtype to compute a loss in: at least float32."""
    return torch.promote_types(raw.dtype, torch.float32)


def object_cells(box: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """(m, 4) boxes, as fractions -> row and column of the cell with the centre, (m,) int64 each.

    A centre on the right or lower border (exactly 1) belongs to the last cell; Darknet would write past its grid.

    >>> object_cells(torch.tensor([[1.0, 0.4, 0.1, 0.1]]), 2, 3)
    (tensor([0]), tensor([2]))
    """
    col, row = (box[:, :2] * box.new_tensor([cols, rows])).long().unbind(1)
    return row.clamp(max=rows - 1), col.clamp(max=cols - 1)


# Overlaps


def centre_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes in centre form, element by element as shapes broadcast; 0 where their sides do not overlap.

    ``boxes.box_iou`` adds an epsilon, which is too much for boxes in fractions of the image.

    Args:
        a, b: (..., 4) xc, yc, w, h in the same unit.
    Returns:
        (...) in [0, 1]; 0 where both boxes have no area, and for a negative width or height.

    >>> centre_iou(torch.tensor([0.4, 0.5, 0.2, 0.2]), torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.9, 0.5, 0.2, 0.2]]))
    tensor([0.3333, 0.0000])
    """
    upper = torch.minimum(a[..., :2] + a[..., 2:4] / 2, b[..., :2] + b[..., 2:4] / 2)
    lower = torch.maximum(a[..., :2] - a[..., 2:4] / 2, b[..., :2] - b[..., 2:4] / 2)
    return _iou((upper - lower).clamp(min=0).prod(-1), a[..., 2:4].prod(-1) + b[..., 2:4].prod(-1))


def shape_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every shape of ``a`` with every one of ``b``, all boxes moved to the origin: (n, 2), (m, 2) -> (n, m).

    >>> shape_iou(torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 2.0], [4.0, 1.0]]))
    tensor([[0.3333, 0.5000]])
    """
    return _iou(torch.minimum(a[:, None], b).prod(-1), a.prod(-1)[:, None] + b.prod(-1))


def _iou(intersection: Tensor, areas: Tensor) -> Tensor:
    return torch.where(intersection > 0, intersection / (areas - intersection), torch.zeros_like(intersection))


# Boxes of Darknet's letterbox


def from_letterbox(boxes: Tensor, net_size: tuple[int, int], image_size: tuple[int, int]) -> Tensor:
    """Boxes in a network input that Darknet has letterboxed -> in the original image, as Darknet writes them.

    Darknet cuts the scaled size to whole pixels and does not clip; what ``predict`` uses is ``to_original``.

    Args:
        boxes: (..., 4) xc, yc, w, h, fractions of the network input. net_size, image_size: (height, width).
    Returns:
        (..., 4) fractions of the original image.

    >>> from_letterbox(torch.tensor([0.5, 0.25, 0.5, 0.25]), (100, 100), (50, 100))  # half of the height is padding
    tensor([0.5000, 0.0000, 0.5000, 0.5000])
    """
    (net_h, net_w), (height, width) = net_size, image_size
    if net_w * height < net_h * width:  # net_w / width < net_h / height
        scaled_w, scaled_h = net_w, height * net_w // width
    else:
        scaled_w, scaled_h = width * net_h // height, net_h
    scaled, net = boxes.new_tensor([scaled_w, scaled_h]), boxes.new_tensor([net_w, net_h])
    centre = (boxes[..., :2] * net - (net - scaled) / 2) / scaled
    return torch.cat((centre, boxes[..., 2:4] * net / scaled), -1)


# Losses of predictions, and their sum


def flat_index(shape: Sequence[int], image: Tensor, anchor: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """(m,) int64: places in a map of predictions (N, A, H, W), flattened.

    >>> flat_index((1, 2, 3, 3), *torch.tensor([[0], [1], [0], [2]]))
    tensor([11])
    """
    _, anchors, rows, cols = shape
    return ((image * anchors + anchor) * rows + row) * cols + col


def last_on_place(place: Tensor) -> Tensor:
    """(m,) bool: whether no later object is on the same place, (m,) int64. Darknet: the last one overwrites.

    >>> last_on_place(torch.tensor([7, 3, 7]))
    tensor([False,  True,  True])
    """
    return ~(place[:, None] == place).triu(1).any(1)


def add_at(place: Tensor, values: Tensor, shape: Sequence[int]) -> Tensor:
    """A map of this shape, flattened to (N, n), with (m,) values added to zeros at (m,) places of ``flat_index``."""
    zeros = values.new_zeros(math.prod(shape))
    return zeros.index_add(0, place, values).view(shape[0], -1)


def summed(losses: Terms) -> Terms:
    """The losses of all predictions -> those of the batch, every field added up; the first is their total.

    The total is computed from the other sums, as ``LossTerms`` asks: its gradient can then be told apart by terms.
    """
    terms = [field.sum() for field in losses[1:]]
    return losses._make([torch.stack(terms).sum(), *terms])


def count_dropped(targets: Tensor, matches: PredictionMatches) -> int:
    """How many objects are matched to no prediction."""
    return len(targets) - len(matches.target.unique())


def gradients_in(values: Sequence[Tensor], total: Callable[[list[Tensor]], Tensor]) -> list[Tensor]:
    """The derivative of ``total(values)`` in the values, in float64; whatever mode autograd is in."""
    with torch.enable_grad():
        leaves = [each.detach().double().requires_grad_() for each in values]
        gradients = torch.autograd.grad(total(leaves), leaves, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    ]


def sum_of_squares(gradients: Sequence[Tensor]) -> float:
    """What Darknet prints as the cost of a layer: of all its gradients, the squares added up."""
    return sum(float(gradient.double().square().sum()) for gradient in gradients)


# Settings


def check_setting(settings: object, name: str, ok: bool, must: str) -> None:
    """ValueError with the setting, its value and what it must be, unless ok."""
    if not ok:
        raise ValueError(f"{type(settings).__name__}: {name} must be {must}, not {getattr(settings, name)!r}")


def check_gains(settings: object, names: Sequence[str]) -> None:
    """ValueError unless each of these settings is a finite number of at least 0."""
    for name in names:
        value = getattr(settings, name)
        ok = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        check_setting(settings, name, ok, "a finite number of at least 0")


def check_count(settings: object, name: str) -> None:
    """ValueError unless the setting is a whole number of at least 1."""
    value = getattr(settings, name)
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    check_setting(settings, name, ok, "a whole number of at least 1")
