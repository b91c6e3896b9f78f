"""Maps, targets and helpers for the losses of YOLOv3 and YOLOv4."""

import pytest
import torch
from torch import Tensor

from yolo_lite.family.yolov3.heads import AnchorHeadLoss

ANCHORS = torch.tensor(
    [[10.0, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119], [116, 90], [156, 198], [373, 326]]
)
MASKS, STRIDES = [[0, 1, 2], [3, 4, 5], [6, 7, 8]], [8, 16, 32]
NET = (96, 160)  # height, width

# Image 1 has no objects. Rows 0 and 1, 4 and 5 are alike in place and shape; 6 has no width.
TARGETS = torch.tensor(
    [
        [0, 0, 0.51, 0.51, 0.11, 0.22],
        [0, 1, 0.52, 0.52, 0.12, 0.23],
        [0, 1, 0.30, 0.70, 0.20, 0.60],
        [0, 2, 0.80, 0.20, 0.90, 0.95],
        [2, 2, 0.23, 0.31, 0.36, 0.45],
        [2, 2, 0.24, 0.32, 0.37, 0.46],
        [2, 0, 0.50, 0.50, 0.00, 0.40],
    ],
    dtype=torch.float64,
)


def noise(num_classes: int = 3, batch: int = 3, spread: float = 0.7) -> list[Tensor]:
    """Raw maps in float64 of three levels."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch, 3, NET[0] // stride, NET[1] // stride, 5 + num_classes) for stride in STRIDES]
    return [spread * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def holds_gradcheck(loss: AnchorHeadLoss, targets: Tensor = TARGETS) -> bool:
    """Whether the gradient is the derivative of the loss, where assignments are held fixed.

    In the numbers of the matched predictions, and in one map in a random direction.
    """
    maps = noise(loss.num_classes)[: len(loss.masks)]
    levels = loss.assignments(maps, targets)
    places = [level.positive.cells for level in levels]
    matched = [raw.flatten(0, 3)[cells].requires_grad_() for raw, cells in zip(maps, places, strict=True)]
    others = torch.zeros(1, dtype=torch.float64, requires_grad=True)  # added to all numbers

    def of_matched(shift: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        moved = [
            (raw + shift).flatten(0, 3).index_add(0, cells, row - raw.flatten(0, 3)[cells]).view_as(raw)
            for raw, cells, row in zip(maps, places, rows, strict=True)
        ]
        return tuple(each.sum() for each in loss.of_assignments(moved, levels))

    assert sum(map(len, matched)) > 3
    return torch.autograd.gradcheck(of_matched, (others, *matched), eps=1e-6, atol=1e-6, rtol=1e-5)


def adds_up(loss: AnchorHeadLoss, targets: Tensor = TARGETS) -> None:
    """assign's losses are those of the loss itself; so are their gradients, and total is the sum of the others."""
    maps = [raw.requires_grad_() for raw in noise(loss.num_classes)]
    parts, assigned = loss(maps, targets), loss.assign(maps, targets)
    for name, each in assigned.losses._asdict().items():
        assert each.shape == assigned.role.shape
        torch.testing.assert_close(each.sum(), getattr(parts, name), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(parts.total, parts.box + parts.obj + parts.cls)
    expected, ours = (torch.autograd.grad(each, maps) for each in (parts.total, assigned.losses.total.sum()))
    for pair in zip(ours, expected, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-10, atol=1e-10)


def consistent(loss: AnchorHeadLoss, targets: Tensor = TARGETS) -> None:
    """Positive where there is a match, its target among the matches; cells say where matches are."""
    maps = noise(loss.num_classes)
    assigned, levels = loss.assign(maps, targets), loss.assignments(maps, targets)
    matched = torch.zeros_like(assigned.role, dtype=torch.bool)
    matched[assigned.matches.image, assigned.matches.prediction] = True
    assert torch.equal(assigned.role == 1, matched)
    assert torch.equal(assigned.target >= 0, matched)
    pairs = set(zip(*(each.tolist() for each in assigned.matches), strict=True))
    for image, prediction in matched.nonzero().tolist():
        assert (image, prediction, int(assigned.target[image, prediction])) in pairs
    cells = assigned.cells[assigned.matches.prediction]
    expected = [
        torch.stack((torch.full_like(m.row, number), m.anchor, m.row, m.col), 1)
        for number, m in enumerate(level.matches for level in levels)
    ]
    assert torch.equal(cells, torch.cat(expected))


def refuses_bad_input(loss: AnchorHeadLoss) -> None:
    maps = noise(loss.num_classes)
    with pytest.raises(ValueError, match=r"2.*3"):
        loss(maps[:2], TARGETS)
    with pytest.raises(ValueError, match="map 1"):
        loss([maps[0], maps[1][..., :-1], maps[2]], TARGETS)
    with pytest.raises(ValueError, match=r"row 3.*class 3"):
        loss(maps, TARGETS.index_put((torch.tensor(3), torch.tensor(1)), torch.tensor(3.0).double()))
    with pytest.raises(ValueError, match=r"row 0.*image index 5"):
        loss(maps, TARGETS.index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(5.0).double()))
    with pytest.raises(ValueError, match="6"):
        loss(maps, TARGETS[:, :5])
