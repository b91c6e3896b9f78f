"""build_targets: which anchors and cells are matched to which object.

An object is not assigned to one best anchor. On every level it is matched to each anchor whose size is within a factor
``anchor_t`` of its own, in the cell that holds its centre and in up to two neighbours that the centre is close to.
Four steps, each callable alone: ``to_grid_units``, ``ratio_test``, ``neighbour_cells``, ``make_assignment``.

YOLOv5's names: ``indices`` are image, anchor, row and column of the matches, ``tbox`` their box targets, ``tcls``
their classes, ``anch`` the anchors in cells.

Shape letters: n targets, A anchors of a level, p pairs (anchor, target) that pass the ratio test, m matches.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from yolo_lite._moved import moved_name

# The cells that may be responsible for an object, as (dx, dy) from its own: own, left, up, right, down. The order is
# the reference's.
NEIGHBOURS = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))


class Assignment(NamedTuple):
    """The m matches of one detection level, in the reference's order: by offset, then anchor, then target."""

    image: Tensor  # (m,) int64, index in the batch; this and the next three are YOLOv5's ``indices``
    anchor: Tensor  # (m,) int64, which of the level's A anchors
    row: Tensor  # (m,) int64, grid cell (``gj``)
    col: Tensor  # (m,) int64 (``gi``)
    cls: Tensor  # (m,) int64 (``tcls``)
    target: Tensor  # (m,) int64, the row of targets that this match comes from
    offset: Tensor  # (m,) int64: 0 own cell, 1 left, 2 up, 3 right, 4 down
    box: Tensor  # (m, 4) box target: x, y from the cell's corner (in [-0.5, 1.5]), w, h; in cells (``tbox``)
    anchor_wh: Tensor  # (m, 2) anchors in cells (``anch``)

    def to(self, device: torch.device | str) -> "Assignment":
        """The same matches on another device."""
        return Assignment(*(sent(field, device) for field in self))


def sent(values: Tensor, device: torch.device | str) -> Tensor:
    """The same values on another device; a CUDA GPU is not waited for. (MPS may read what is freed before it copies.)

    >>> sent(torch.ones(2), "cpu")
    tensor([1., 1.])
    """
    return values.to(device, non_blocking=torch.device(device).type == "cuda")


class RatioTest(NamedTuple):
    """How many times larger or smaller each object is than each anchor."""

    ratio: Tensor  # (A, n, 2) object / anchor, for width and height
    worst: Tensor  # (A, n) the larger of max(ratio, 1 / ratio) over the two sides
    passed: Tensor  # (A, n) bool, worst < anchor_t


def to_grid_units(targets: Tensor, grid: tuple[int, int]) -> Tensor:
    """Step 1: normalised boxes -> grid cells. YOLOv5: multiplied by ``gain``.

    Args:
        targets: (n, 6) image, class, xc, yc, w, h; normalised. grid: (rows, cols).
    Returns:
        (n, 4) xc, yc, w, h in cells.

    >>> to_grid_units(torch.tensor([[0.0, 3.0, 0.5, 0.5, 0.1, 0.2]]), (40, 80))
    tensor([[40., 20.,  8.,  8.]])
    """
    rows, cols = grid
    return targets[:, 2:6] * targets.new_tensor([cols, rows, cols, rows])


def ratio_test(wh: Tensor, anchor_wh: Tensor, anchor_t: float = 4.0) -> RatioTest:
    """Step 2: an anchor is matched to an object when neither side differs by a factor of ``anchor_t`` or more.

    This is why an anchor was rejected: ``worst`` says by what factor its worse side differs.

    Args:
        wh: (n, 2) sizes of the objects. anchor_wh: (A, 2), same unit.

    >>> ratio_test(torch.tensor([[5.6, 2.2]]), torch.tensor([[1.25, 1.6], [2.0, 3.75]])).worst
    tensor([[4.4800],
            [2.8000]])
    """
    ratio = wh[None] / anchor_wh[:, None]  # (A, n, 2)
    worst = torch.maximum(ratio, 1 / ratio).amax(2)  # (A, n)
    return RatioTest(ratio, worst, worst < anchor_t)


def neighbour_cells(xy: Tensor, grid: tuple[int, int]) -> Tensor:
    """Step 3: the cells responsible for each centre: its own and the neighbours less than half a cell away from it.

    Args:
        xy: (p, 2) centres in grid cells. grid: (rows, cols).
    Returns:
        (5, p) bool in the order of ``NEIGHBOURS``; the first row, the own cell, is all True. A centre that lies
        exactly on a line between two cells has its own cell twice: as its own and as its "right" neighbour.

    >>> neighbour_cells(torch.tensor([[2.3, 4.8]]), (8, 8)).int().flatten().tolist()
    [1, 1, 0, 0, 1]
    """
    rows, cols = grid
    from_far_side = xy.new_tensor([cols, rows]) - xy  # measured from the right and lower border
    left_up = ((xy % 1 < 0.5) & (xy > 1)).T  # (2, p); "> 1": the border has no neighbour
    right_down = ((from_far_side % 1 < 0.5) & (from_far_side > 1)).T  # (2, p)
    return torch.cat((torch.ones_like(left_up[:1]), left_up, right_down))


def make_assignment(
    targets: Tensor, boxes: Tensor, passed: Tensor, cells: Tensor, anchor_wh: Tensor, grid: tuple[int, int]
) -> Assignment:
    """Step 4: pairs and their cells -> indices into the raw maps, and the box target of each match.

    Args:
        targets: (n, 6). boxes: (n, 4) of step 1. passed: (A, n) of step 2. cells: (5, p) of step 3, for the p
            True entries of ``passed`` in order. anchor_wh: (A, 2) in cells. grid: (rows, cols).
    """
    rows, cols = grid
    anchor, target = passed.nonzero(as_tuple=True)  # (p,)
    offset, pair = cells.nonzero(as_tuple=True)  # (m,)
    anchor, target = anchor[pair], target[pair]
    box = boxes[target]  # (m, 4)

    half_step = box.new_tensor(NEIGHBOURS)[offset] / 2  # half a cell towards a neighbour ends inside it
    cell = (box[:, :2] + half_step).long()  # (m, 2) col, row
    col, row = cell[:, 0].clamp(0, cols - 1), cell[:, 1].clamp(0, rows - 1)  # a centre at exactly 1.0 has no cell
    xy = box[:, :2] - torch.stack((col, row), 1)
    image, cls = targets[target, :2].long().T
    return Assignment(image, anchor, row, col, cls, target, offset, torch.cat((xy, box[:, 2:]), 1), anchor_wh[anchor])


def assign_level(targets: Tensor, grid: tuple[int, int], anchor_wh: Tensor, anchor_t: float = 4.0) -> Assignment:
    """The four steps for one level. ``anchor_wh``: (A, 2) in cells of this level."""
    boxes = to_grid_units(targets, grid)  # (n, 4)
    passed = ratio_test(boxes[:, 2:], anchor_wh, anchor_t).passed  # (A, n)
    _, target = passed.nonzero(as_tuple=True)  # (p,)
    cells = neighbour_cells(boxes[target, :2], grid)  # (5, p)
    return make_assignment(targets, boxes, passed, cells, anchor_wh, grid)


def build_targets(
    targets: Tensor,
    grids: Sequence[tuple[int, int]],
    anchors: Tensor,
    strides: Sequence[float] | Tensor,
    anchor_t: float = 4.0,
) -> list[Assignment]:
    """Matches objects to anchors and cells, on every level. YOLOv5: ``build_targets``.

    Args:
        targets: (n, 6) float: image index, class, xc, yc, w, h; normalised to the network input.
        grids: (rows, cols) of each of the L levels.
        anchors: (L, A, 2) in pixels of the network input.
        strides: (L,) pixels per cell.
        anchor_t: largest factor between an object's side and an anchor's.
    Returns:
        one Assignment per level; m = 0 where no anchor is matched to any object.
    Raises:
        ValueError: shapes that do not fit, sizes that are not positive, centres outside the image.

    >>> one = torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.12]])
    >>> anchors = torch.tensor([[[10.0, 13], [16, 30], [33, 23]]])
    >>> (match,) = build_targets(one, [(80, 80)], anchors, [8])
    >>> match.anchor.tolist(), match.col.tolist(), match.offset.tolist()
    ([2, 2, 2, 2, 2], [40, 39, 40, 40, 40], [0, 1, 2, 3, 4])
    """
    targets, anchors, strides = check_targets(targets, grids, anchors, strides)
    check_anchor_t(anchor_t)
    anchors_in_cells = anchors / strides[:, None, None]
    return [
        assign_level(targets, (int(grid[0]), int(grid[1])), anchor_wh, anchor_t)
        for grid, anchor_wh in zip(grids, anchors_in_cells, strict=True)
    ]


def check_anchor_t(anchor_t: float) -> None:
    """A ValueError where no anchor could be matched."""
    if not anchor_t > 1:
        raise ValueError(f"anchor_t must be greater than 1 (an anchor fits itself exactly), not {anchor_t}")


def check_anchors(anchors: Tensor | None) -> None:
    """A ValueError for the anchors of a detector that has none."""
    if anchors is None:
        raise ValueError("no anchors: a detector without them has another loss, model.criterion(hyp), and its assign")


def check_targets(
    targets: Tensor, grids: Sequence[tuple[int, int]], anchors: Tensor, strides: Sequence[float] | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The three as float tensors on the targets' device, or a sentence about what does not fit."""
    check_anchors(anchors)
    if targets.ndim != 2 or targets.shape[1] != 6:
        raise ValueError(
            f"targets must be (n, 6): image, class, xc, yc, w, h; got {tuple(targets.shape)}"
            + (" (no objects? use torch.zeros(0, 6))" if targets.numel() == 0 else "")
        )
    targets = targets if targets.is_floating_point() else targets.float()
    anchors = torch.as_tensor(anchors, dtype=targets.dtype, device=targets.device)
    strides = torch.as_tensor(strides, dtype=targets.dtype, device=targets.device)
    if anchors.ndim != 3 or anchors.shape[2] != 2 or len(anchors) != len(strides):
        raise ValueError(
            f"anchors must be (levels, anchors, 2) in pixels for {len(strides)} strides; got {tuple(anchors.shape)}"
        )
    if len(grids) != len(strides):
        raise ValueError(f"{len(grids)} grids for {len(strides)} strides: give one (rows, cols) per level")
    if len(targets) and not _fit(torch.stack(targets.aminmax(dim=0))):  # the extremes speak for all
        centres_outside = (targets[:, 2:4] < 0) | (targets[:, 2:4] > 1)
        bad = (~targets.isfinite()).any(1) | centres_outside.any(1) | (targets[:, 4:6] <= 0).any(1)
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"targets row {row} is {[round(value, 6) for value in targets[row].tolist()]}: the centre must lie in "
            "[0, 1] and the size above 0 (are these pixels? divide by the image's width and height)"
        )
    return targets, anchors, strides


def _fit(extremes: Tensor) -> bool:
    """Whether targets are right whose columns have these extremes, (2, 6): finite, centres in [0, 1], sizes above 0."""
    low, high = extremes.tolist()
    return bool(extremes.isfinite().all()) and min(low[2:4]) >= 0 and max(high[2:4]) <= 1 and min(low[4:]) > 0


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
