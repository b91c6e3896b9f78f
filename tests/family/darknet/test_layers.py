from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.darknet.layers import (
    ACTIVATIONS,
    DarknetConnected,
    DarknetConv,
    DarknetCrop,
    DarknetLocal,
    DarknetMaxPool,
    DarknetReorg,
    DarknetRoute,
    DarknetShortcut,
    DarknetSoftmax,
    DarknetUpsample,
)
from yolo_lite.family.darknet.norm import DarknetBatchNorm, Origin


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def expected_norm(x: Tensor, mean: Tensor, var: Tensor, norm: nn.BatchNorm2d, origin: Origin) -> Tensor:
    """The formulas of facts.json."""
    below = var.sqrt() + 1e-6 if origin == "pjreddie" else (var + 1e-5).sqrt()
    mean, below = mean[:, None, None], below[:, None, None]
    return norm.weight[:, None, None] * (x - mean) / below + norm.bias[:, None, None]


def filled_norm(origin: Origin) -> DarknetBatchNorm:
    norm = DarknetBatchNorm(4, origin).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, *norm.statistics):
            tensor.copy_(torch.rand(4, generator=generator) * 1e-3)  # small: then the epsilons tell
    return norm


@pytest.mark.parametrize("origin", ["pjreddie", "alexeyab"])
def test_batch_norm_in_evaluation_mode(x: Tensor, origin: Origin) -> None:
    norm = filled_norm(origin).eval()
    mean, var = norm.statistics
    torch.testing.assert_close(norm(x), expected_norm(x, mean, var, norm, origin), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("origin", "share"), [("pjreddie", 0.01), ("alexeyab", 0.1)])
def test_batch_norm_in_training(x: Tensor, origin: Origin, share: float) -> None:
    norm = filled_norm(origin).train()
    before = [value.clone() for value in norm.statistics]
    mean = x.mean((0, 2, 3))
    var = ((x - mean[:, None, None]) ** 2).sum((0, 2, 3)) / (3 * 5 * 6 - 1)
    torch.testing.assert_close(norm(x), expected_norm(x, mean, var, norm, origin), rtol=1e-9, atol=1e-12)
    for old, new, seen in zip(before, norm.statistics, (mean, var), strict=True):
        torch.testing.assert_close(new, (1 - share) * old + share * seen)


@pytest.mark.parametrize("origin", ["pjreddie", "alexeyab"])
def test_batch_norm_of_a_constant_channel_has_a_finite_gradient(origin: Origin) -> None:
    x = torch.ones(2, 4, 3, 3, requires_grad=True)
    DarknetBatchNorm(4, origin)(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_batch_norm_needs_two_values_in_training() -> None:
    with pytest.raises(ValueError, match="more than one value"):
        DarknetBatchNorm(4, "pjreddie")(torch.zeros(1, 4, 1, 1))


@pytest.mark.parametrize("origin", ["pjreddie", "alexeyab"])
def test_folding_batch_norm_changes_nothing(x: Tensor, origin: Origin) -> None:
    for layer in (
        DarknetConv(4, 4, 3, (1, 1), 1, 2, 1, origin, "mish"),
        DarknetConnected(120, 4, origin, "leaky"),
    ):
        layer.double().eval().bn = filled_norm(origin).eval()
        before = layer(x)
        layer.fuse()
        assert isinstance(layer.bn, nn.Identity)
        torch.testing.assert_close(layer(x), before)


def test_activations() -> None:
    t = torch.tensor([-2.0, 0.5])
    known = {name: make()(t) for name, make in ACTIVATIONS.items()}
    torch.testing.assert_close(known["leaky"], torch.tensor([-0.2, 0.5]))
    torch.testing.assert_close(known["mish"], t * torch.tanh(torch.log1p(t.exp())))
    torch.testing.assert_close(known["swish"], t / (1 + (-t).exp()))
    assert torch.equal(known["linear"], t)


def test_dilated_convolution_keeps_the_size(x: Tensor) -> None:
    layer = DarknetConv(4, 2, 3, (1, 1), 1, 1, 3, None, "linear").double()
    assert layer(x).shape == (3, 2, 5, 6)


def test_local_has_other_weights_at_each_place(x: Tensor) -> None:
    layer = DarknetLocal(4, 2, 3, 2, 1, (3, 3), "linear").double()
    with torch.no_grad():
        layer.bias.copy_(torch.arange(18.0).reshape(2, 3, 3))
    padded = functional.pad(x, (1, 1, 1, 1))
    output = layer(x)
    for row, col in np.ndindex(3, 3):
        patch = padded[:, :, 2 * row : 2 * row + 3, 2 * col : 2 * col + 3].flatten(1)  # (N, C K K)
        expected = patch @ layer.weight[3 * row + col].T + layer.bias[:, row, col]
        torch.testing.assert_close(output[:, :, row, col], expected)


def test_max_pool_pads_the_smaller_half_before(x: Tensor) -> None:
    for size, stride, padding in ((2, 1, 1), (2, 2, 1), (3, 2, 2), (5, 1, 4), (4, 1, 3), (3, 3, 0)):
        output = DarknetMaxPool(size, (stride, stride), padding)(x)
        rows = (5 + padding - size) // stride + 1
        cols = (6 + padding - size) // stride + 1
        assert output.shape[2:] == (rows, cols)
        for row, col in np.ndindex(rows, cols):
            top, left = row * stride - padding // 2, col * stride - padding // 2
            window = x[:, :, max(top, 0) : top + size, max(left, 0) : left + size]
            assert torch.equal(output[:, :, row, col], window.amax((2, 3)))


def test_reorg_is_recorded_and_no_plain_space_to_depth(golden: Path) -> None:
    with np.load(golden / "family/darknet/extra_layers.npz") as recorded:
        x = torch.from_numpy(recorded["x"])
        assert torch.equal(DarknetReorg(2)(x), torch.from_numpy(recorded["reorg"]))
        assert not torch.equal(nn.PixelUnshuffle(2)(x), torch.from_numpy(recorded["reorg"]))
        assert torch.equal(DarknetMaxPool(2, (1, 1), 1)(x), torch.from_numpy(recorded["pool_2_1"]))


def test_reversed_reorg_undoes_positions_first(x: Tensor) -> None:
    deep = torch.cat([x[:, :, row : row + 4 : 2, col::2] for row in (0, 1) for col in (0, 1)], 1)  # (3, 16, 2, 3)
    assert torch.equal(DarknetReorg(2, reverse=True)(deep), x[:, :, :4])


def test_route_takes_a_part_of_each(x: Tensor) -> None:
    y = x + 1
    assert torch.equal(DarknetRoute(2, 1)([x, y]), torch.cat((x[:, 2:], y[:, 2:]), 1))
    assert torch.equal(DarknetRoute()([y]), y)


def test_shortcut_adds_all_and_then_activates(x: Tensor) -> None:
    assert torch.allclose(DarknetShortcut("leaky")([x, x, x]), functional.leaky_relu(3 * x, 0.1))


def test_upsample_repeats_and_scales(x: Tensor) -> None:
    expected = 0.5 * x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(DarknetUpsample(2, 0.5)(x), expected)


def test_crop_takes_the_middle_and_adjusts() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4) / 16
    assert torch.equal(DarknetCrop(2, 2, adjust=False)(x), x[:, :, 1:3, 1:3])
    assert torch.equal(DarknetCrop(4, 4, adjust=True)(x), 2 * x - 1)


def test_softmax_is_over_all_numbers_of_a_group(x: Tensor) -> None:
    output = DarknetSoftmax(2, 1.0)(x)
    torch.testing.assert_close(output.flatten(1).unflatten(1, (2, -1)).sum(-1), torch.ones(3, 2, dtype=torch.float64))
