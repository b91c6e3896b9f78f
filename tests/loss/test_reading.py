"""read_predictions gives the numbers and the gradient of plain indexing, and nothing in a level's loss waits."""

import copy
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import yolo_lite.loss.loss as loss_module
from tests.loss.test_matching import some_targets
from tests.loss.test_targets import ANCHORS, STRIDES
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss import reading
from yolo_lite.loss.loss import ComputeLoss, add_levels, deciding_match
from yolo_lite.loss.reading import Predictions, read_plainly, read_predictions
from yolo_lite.loss.targets import Assignment, build_targets

GRIDS = [(16, 24), (8, 12), (4, 6)]
WAITS = {"nonzero", "_local_scalar_dense", "lift_fresh", "masked_select", "is_nonzero", "equal", "_unique2"}


def noise(dtype: torch.dtype = torch.float32, images: int = 9) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(images, 3, *grid, 8, generator=generator).to(dtype).requires_grad_() for grid in GRIDS]


def matches_on(level: int, count: int = 200) -> Assignment:
    return build_targets(some_targets(count), GRIDS, ANCHORS, STRIDES)[level]


def gradient_of(read: Any, raw: Tensor, matches: Assignment, terms: str = "both") -> tuple[Predictions, Tensor]:
    """Of something that reads all, but the objectness in one way only, as a loss does."""
    found = read(raw, matches)
    parts = {
        "matched": found.matched[:, [0, 1, 2, 3, 5, 6, 7]].sin().sum(),
        "objectness": (found.objectness * 3).cos().sum(),
    }
    total = sum(parts.values()) if terms == "both" else parts[terms]
    return found, torch.autograd.grad(total, raw)[0]


@pytest.mark.parametrize("terms", ["both", "matched", "objectness"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradient_of_plain_indexing_to_the_last_bit(dtype, terms):
    for level, raw in enumerate(noise(dtype)):
        matches = matches_on(level)
        cell = torch.stack(matches[:4])
        assert cell.unique(dim=1).shape[1] < cell.shape[1], "several objects are matched to one prediction"
        (ours, gradient), (theirs, expected) = (
            gradient_of(read, raw, matches, terms) for read in (read_predictions, read_plainly)
        )
        assert all(map(torch.equal, ours, theirs))
        assert torch.equal(gradient, expected)
        assert gradient.dtype == raw.dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_single(dtype):
    raw, matches = noise(dtype)[1], matches_on(1)
    (ours, gradient), (theirs, expected) = (
        gradient_of(read, raw, matches) for read in (read_predictions, read_plainly)
    )
    assert ours.matched.dtype == ours.objectness.dtype == torch.float32
    assert all(map(torch.equal, ours, theirs))
    # where several gradients meet they are added in half precision; plain indexing rounds only their sum
    torch.testing.assert_close(gradient, expected, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
    alone = torch.ones(raw.shape[:4], dtype=torch.bool)
    alone[matches.image, matches.anchor, matches.row, matches.col] = False
    assert torch.equal(gradient[alone], expected[alone])


def test_the_gradient_has_the_layout_of_the_map():
    (raw, *_), matches = noise(), matches_on(0)
    heads = raw.detach().permute(0, 1, 4, 2, 3).contiguous()  # as a convolution returns it
    permuted = heads.permute(0, 1, 3, 4, 2).requires_grad_()
    _, gradient = gradient_of(read_predictions, permuted, matches)
    assert gradient.stride() == permuted.stride() != raw.stride()
    assert torch.equal(gradient, gradient_of(read_plainly, raw, matches)[1])
    shared = raw.detach()[:1].expand(9, -1, -1, -1, -1)  # nine images in the memory of one
    _, gradient = gradient_of(read_predictions, shared.requires_grad_(), matches)
    assert torch.equal(gradient, gradient_of(read_plainly, shared, matches)[1])


def test_no_matches_no_cells_and_no_gradient_asked_for():
    raw, none = noise()[2], matches_on(2, count=0)
    assert torch.equal(gradient_of(read_predictions, raw, none)[1], gradient_of(read_plainly, raw, none)[1])
    empty = torch.zeros(0, 3, 4, 6, 8, requires_grad=True)
    assert gradient_of(read_predictions, empty, none)[1].shape == empty.shape
    one = torch.zeros(1, 1, 1, 1, 6)
    read = read_predictions(one, none)
    assert not read.objectness.requires_grad
    assert read.objectness.data_ptr() != one[..., 4].data_ptr()  # a copy: whoever writes into it changes no map


def test_the_gradient_can_be_differentiated_again():
    matches = matches_on(2, count=4)
    raw = torch.randn(9, 3, 4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def total(raw: Tensor) -> Tensor:
        matched, objectness = read_predictions(raw, matches)
        return matched.pow(3).sum() + objectness.pow(3).sum()

    (first,) = torch.autograd.grad(total(raw), raw, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), raw)
    times = torch.zeros(raw.shape[:4], dtype=torch.float64).index_put_(
        tuple(matches[:4]), torch.ones_like(matches.anchor_wh[:, 0], dtype=torch.float64), accumulate=True
    )
    expected = 6 * raw * times[..., None]
    expected[..., 4] += 6 * raw[..., 4]
    torch.testing.assert_close(second, expected)


def test_two_calls_give_two_gradients():
    raw, matches = noise()[1], matches_on(1)
    first = gradient_of(read_predictions, raw, matches)[1]
    kept = first.clone()
    second = gradient_of(read_predictions, raw, matches)[1]
    second.fill_(7)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("options", [{}, {"collisions": "best"}, {"focal": "quality"}])
def test_the_whole_loss_and_its_gradient_are_those_of_plain_indexing(monkeypatch, options):
    hyp = Hyperparameters(fl_gamma=1.5 if "focal" in options else 0.0, obj_pw=2.0, label_smoothing=0.1)
    loss, targets = ComputeLoss(ANCHORS, STRIDES, 3, hyp, **options), some_targets(150)
    targets[:, 1] %= 3

    def run() -> list[Tensor]:
        maps = noise()
        parts = copy.deepcopy(loss)(maps, targets)
        return [*parts, *torch.autograd.grad(parts.total, maps)]

    def plainly(raw: Tensor, matches: Assignment) -> Predictions:
        read = read_plainly(raw, matches)
        return read._replace(objectness=read.objectness.contiguous())  # exp has other last bits where numbers lie apart

    ours = run()
    monkeypatch.setattr(loss_module, "read_predictions", plainly)
    monkeypatch.setattr(loss_module, "match_levels", build_targets)
    assert all(map(torch.equal, ours, run()))


@pytest.mark.parametrize("collisions", ["last", "best"])
def test_the_deciding_match_is_the_one_that_a_loop_finds(collisions):
    generator = torch.Generator().manual_seed(0)
    for count in (0, 1, 7, 300):
        cell = torch.randint(0, max(count // 3, 1), (count,), generator=generator)
        overlap = torch.randint(0, 5, (count,), generator=generator) / 4  # with equals: the later one decides
        found = deciding_match(cell, overlap, collisions)
        best: dict[int, int] = {}
        for match, place in enumerate(cell.tolist()):
            if collisions == "last" or overlap[match] >= overlap[best.get(place, match)]:
                best[place] = match
        assert found.tolist() == [best[place] for place in cell.tolist()]


class Calls(TorchDispatchMode):
    """Counts PyTorch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        masks = (
            [index for index in args[1] if index is not None] if name in ("index", "index_put_", "index_put") else []
        )
        self.counts["a mask" if any(index.dtype == torch.bool for index in masks) else name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("collisions", ["last", "best"])
def test_nothing_in_a_levels_loss_waits_for_a_gpu(monkeypatch, collisions):
    """No shape depends on values, no value is asked for, and no list becomes a tensor, which would be copied."""
    monkeypatch.setattr(reading, "zeros", lambda like, device: torch.zeros_like(like, device=device))  # as on a GPU
    loss = ComputeLoss(ANCHORS, STRIDES, 3, Hyperparameters(fl_gamma=1.5, obj_pw=2.0), collisions=collisions)
    maps, targets = noise(), some_targets(50) % torch.tensor([9, 3, 1, 1, 1, 1])
    assignments, count = loss.matches(maps, targets), torch.tensor(20.0)
    with Calls() as calls:
        levels = [loss.level(raw, match, 1.0, count) for raw, match in zip(maps, assignments, strict=True)]
        add_levels(levels, 9).total.backward()
    assert calls.counts["index_put_"] == 3, "the backward pass was looked at, too"
    assert not calls.counts.keys() & (WAITS | {"a mask"})
    assert math.isfinite(sum(raw.grad.abs().sum().item() for raw in maps if raw.grad is not None))
