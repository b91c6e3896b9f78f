"""Which raw numbers of the maps belong to a prediction, and what each of them is called.

A map (N, A, H, W, K) says so by its shape. Of one flat output, as YOLOv1's, and of the names, ``decode`` tells: a
number belongs to the predictions that change with it.

Shape letters: N batch, L levels, n predictions per image, A anchors, H W cells, K numbers of a prediction, C classes,
F numbers of a flat output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BOX = 4  # the first columns of decode: x, y, w, h


@dataclass(frozen=True, eq=False)
class RawNumbers:
    """The raw numbers of the predictions of one level."""

    shape: tuple[int, int, int]  # A, H, W
    names: tuple[str, ...]  # K: "t_x", ..., "objectness", "class 0", ...
    index: Tensor | None = None  # (A, H, W, K) int64, places in the flat output of an image; None: the shape says it

    def of(self, raw: Tensor) -> Tensor:
        """(N, A, H, W, K) of a map, or of a gradient of its shape.

        >>> RawNumbers((1, 1, 2), ("t_x",), torch.tensor([[[[1], [0]]]])).of(torch.tensor([[0.5, 0.25]])).flatten()
        tensor([0.2500, 0.5000])
        """
        if self.index is not None:
            return raw.flatten(1)[:, self.index.to(raw.device)]
        return raw if raw.ndim == 5 else raw.permute(0, 2, 3, 1)[:, None]


def raw_numbers(
    decode: Callable[[Sequence[Tensor]], Tensor], maps: Sequence[Tensor], cells: Tensor
) -> list[RawNumbers] | None:
    """The raw numbers of all predictions, level by level.

    Args:
        decode: the model's. maps: raw maps (N, A, H, W, K), (N, K, H, W), or one flat output (N, F).
        cells: (n, 4) level, anchor, row, column of each decoded box, as ``assign`` of a loss tells them.
    Returns:
        None where maps and cells do not go together, or where a flat output's numbers are not told apart by decode.

    >>> import yolo_lite as yl
    >>> model = yl.create_model("yolov5n", num_classes=2)
    >>> maps = model(torch.zeros(1, 3, 64, 64))
    >>> cells = model.criterion(yl.Hyperparameters(), 64).assign(maps, torch.zeros(0, 6)).cells
    >>> raw_numbers(model.decode, maps, cells)[0].names
    ('t_x', 't_y', 't_w', 't_h', 'objectness', 'class 0', 'class 1')
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Away from 0, where a square root's square has no slope, and above it, where distances have none below
        probes = [torch.full_like(raw[:1], 0.5).requires_grad_() for raw in maps]
        decoded, cells = decode(probes)[0].cpu(), cells.cpu()  # (n, 5 + C)
        if len(decoded) != len(cells) or int(cells[:, 0].max()) >= len(maps):
            return None
        found = [_level(level, probes, decoded, cells) for level in range(len(maps))]
    return None if any(numbers is None for numbers in found) else [n for n in found if n is not None]


def _level(level: int, probes: list[Tensor], decoded: Tensor, cells: Tensor) -> RawNumbers | None:
    own = (cells[:, 0] == level).nonzero()[:, 0]  # predictions of this level
    if not len(own):
        return None
    anchors, rows, cols = (int(count) + 1 for count in cells[own, 1:].amax(0))
    shape = (anchors, rows, cols)
    if probes[level].ndim == 2:
        return _of_flat(probes[level], decoded[own], cells[own], shape)
    view = RawNumbers(shape, ())
    if tuple(view.of(probes[level]).shape[1:4]) != shape:
        return None
    first = [view.of(slope)[0, 0, 0, 0] for slope in _slopes(decoded[own[0], : BOX + 2], probes[level])]  # 6 of (K,)
    return RawNumbers(shape, _names(torch.stack(first), decoded.shape[1] - 5))


def _of_flat(raw: Tensor, decoded: Tensor, cells: Tensor, shape: tuple[int, int, int]) -> RawNumbers | None:
    """A flat output: of each column of decode, the number that the column changes with.

    One anchor at a time, as several may share numbers: then a number belongs to one prediction, and the slope of
    1, 2, 3 ... times the predictions says to which, as a multiple of the slope of their plain sum.
    """
    columns = []
    for column in range(decoded.shape[1]):
        places = np.full(len(cells), -1)
        for anchor in range(shape[0]):
            own = (cells[:, 1] == anchor).nonzero()[:, 0]
            values = decoded[own, column]
            counted = values * torch.arange(1, len(own) + 1).to(values)
            plain, ranked = (slope.cpu() for slope in _slopes(torch.stack((values.sum(), counted.sum())), raw))
            steep = plain[0].argsort()  # the steepest last: with softmax all classes move one, the others down
            steep = steep[plain[0, steep] != 0]
            owner = (ranked[0, steep] / plain[0, steep]).round().long() - 1
            places[own[owner].numpy()] = steep.numpy()
        if (places >= 0).all():  # objectness of a detector without one changes with nothing
            columns.append((column, torch.from_numpy(places)))
    names = ("x", "y", "w", "h", "confidence", *(f"class {cls}" for cls in range(decoded.shape[1] - 5)))
    if [column for column, _ in columns[:BOX]] != list(range(BOX)):
        return None
    index = torch.zeros(*shape, len(columns), dtype=torch.int64)
    index[tuple(cells[:, 1:].T)] = torch.stack([places for _, places in columns], 1)
    return RawNumbers(shape, tuple(names[column] for column, _ in columns), index)


def _slopes(outputs: Tensor, raw: Tensor) -> list[Tensor]:
    """The derivative of each output by a map."""
    zero = torch.zeros_like(raw)
    found: list[Any] = [
        torch.autograd.grad(output, raw, retain_graph=True, allow_unused=True)[0] if output.requires_grad else None
        for output in outputs
    ]
    return [zero if slope is None else slope for slope in found]


def _names(slopes: Tensor, num_classes: int) -> tuple[str, ...]:
    """(6, K) derivatives of x, y, w, h, objectness and the first class by the K numbers of a prediction -> names."""
    count = slopes.shape[1]
    if count not in (BOX + num_classes, BOX + 1 + num_classes):
        return _names_of_bins(slopes, count - num_classes, num_classes)
    moves = slopes[:BOX, :BOX] != 0  # (4, 4) which side of the box each of the first four moves
    if bool(moves.eq(torch.eye(BOX, dtype=torch.bool, device=moves.device)).all()):
        box: tuple[str, ...] = ("t_x", "t_y", "t_w", "t_h")
    elif bool((moves.sum(0) == 2).all()):  # a distance to a side moves the centre and changes the size
        box = tuple(_distance(slopes[:BOX, number]) for number in range(BOX))
    else:
        box = tuple(str(number) for number in range(BOX))
    extra: tuple[str, ...] = ()
    if count == BOX + 1 + num_classes:
        is_objectness = bool(slopes[BOX, BOX] != 0)
        extra = ("centre-ness" if box[0] == "l" else "objectness",) if is_objectness else ("background",)
    return (*box, *extra, *(f"class {cls}" for cls in range(num_classes)))


def _names_of_bins(slopes: Tensor, bins: int, num_classes: int) -> tuple[str, ...]:
    """Names where the first numbers are the bins of four distances (DFL); plain numbers where they are not."""
    each, rest = divmod(bins, BOX)
    if each < 2 or rest or bool((slopes[:2, :bins].abs().sum(0) == 0).all()):
        return tuple(str(number) for number in range(slopes.shape[1]))
    # more of a side's last bin makes its distance larger
    sides = [_distance(slopes[:BOX, (side + 1) * each - 1]) for side in range(BOX)]
    named = [f"{side} bin {number}" for side in sides for number in range(each)]
    return (*named, *(f"class {cls}" for cls in range(num_classes)))


def _distance(slope: Tensor) -> str:
    """The name of a distance that moves x or y this way."""
    if slope[0] != 0:
        return "l" if slope[0] < 0 else "r"
    return "t" if slope[1] < 0 else "b"
