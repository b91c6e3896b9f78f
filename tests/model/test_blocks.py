"""Blocks: equal to what they claim to be equal to, and to hand-built sums of their parts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo_lite.model.block_variants import (
    C3SPP,
    C3TR,
    BottleneckCSP,
    C3Ghost,
    C3x,
    CrossConv,
    DWConv,
    GhostBottleneck,
    GhostConv,
)
from yolo_lite.model.blocks import C3, SPP, SPPF, Bottleneck, Concat, Conv, Focus, focus_to_stem


def lived_in(module: nn.Module) -> nn.Module:
    """In evaluation mode, with BatchNorm statistics and weights that are not the initial ones."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return module.eval()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_conv_is_convolution_batchnorm_silu() -> None:
    conv, x = lived_in(Conv(3, 8, 3, 2)), torch.rand(2, 3, 10, 12)
    y = F.conv2d(x, conv.conv.weight, stride=2, padding=1)
    mean, var = conv.bn.running_mean[:, None, None], conv.bn.running_var[:, None, None]
    y = (y - mean) / (var + 1e-3).sqrt() * conv.bn.weight[:, None, None] + conv.bn.bias[:, None, None]
    assert torch.allclose(conv(x), y * torch.sigmoid(y), atol=1e-5)
    assert conv.bn.momentum == 0.03
    assert conv.conv.bias is None


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_conv_pads_by_half_its_reach(kernel: int, dilation: int) -> None:
    conv = Conv(2, 2, kernel, dilation=dilation)
    assert conv.conv.padding == (((kernel - 1) * dilation + 1) // 2,) * 2
    if kernel % 2:
        assert conv(torch.zeros(1, 2, 20, 20)).shape[2:] == (20, 20)


def test_conv_takes_any_activation() -> None:
    assert isinstance(Conv(1, 1, activation=False).act, nn.Identity)
    assert isinstance(Conv(1, 1, activation=nn.ReLU()).act, nn.ReLU)


def test_bottleneck_adds_its_input_only_where_widths_agree() -> None:
    x = torch.rand(1, 8, 4, 4)
    block = lived_in(Bottleneck(8, 8))
    assert torch.equal(block(x), x + block.cv2(block.cv1(x)))
    without = lived_in(Bottleneck(8, 8, shortcut=False))
    assert torch.equal(without(x), without.cv2(without.cv1(x)))
    assert not Bottleneck(8, 16).add


def test_c3_joins_both_branches() -> None:
    block, x = lived_in(C3(8, 12, number=2)), torch.rand(1, 8, 4, 4)
    joined = torch.cat((block.m[1](block.m[0](block.cv1(x))), block.cv2(x)), 1)
    assert torch.equal(block(x), block.cv3(joined))
    assert parameters(C3(128, 128, 1)) == 74_496


def test_sppf_equals_spp_with_5_9_13() -> None:
    fast, slow = lived_in(SPPF(16, 24)), SPP(16, 24, (5, 9, 13)).eval()
    slow.load_state_dict(fast.state_dict())  # the same names, because pools hold nothing
    x = torch.randn(2, 16, 20, 17)
    assert torch.equal(fast(x), slow(x))
    assert parameters(SPPF(512, 512)) == 656_896


@pytest.mark.parametrize("channels", [1, 3])
def test_focus_equals_the_6x6_stem(channels: int) -> None:
    focus = lived_in(Focus(channels, 8, 3))
    stem = focus_to_stem(focus)
    assert stem.conv.kernel_size == (6, 6)
    x = torch.rand(2, channels, 32, 48)
    assert torch.allclose(focus(x), stem(x), atol=1e-5)
    with pytest.raises(ValueError, match="kernel 3"):
        focus_to_stem(Focus(3, 8, 1))


def test_focus_moves_pixels_and_loses_none() -> None:
    focus = Focus(1, 4, 1, activation=False)
    nn.init.dirac_(focus.conv.conv.weight)
    focus.conv.bn = nn.Identity()
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert focus(x)[0, :, 0, 0].tolist() == [0, 4, 1, 5]  # top left, bottom left, top right, bottom right


def test_concat() -> None:
    assert Concat()([torch.zeros(1, 2, 3, 3), torch.zeros(1, 5, 3, 3)]).shape == (1, 7, 3, 3)


@pytest.mark.parametrize(  # counts of the reference's blocks
    ("block", "count", "shape"),
    [
        (DWConv(32, 64, 3, 2), 704, (1, 64, 4, 4)),
        (BottleneckCSP(32, 64, 2), 28_224, (1, 64, 8, 8)),
        (C3SPP(32, 64), 9_056, (1, 64, 8, 8)),
        (CrossConv(32, 64, 3, 1), 18_688, (1, 64, 8, 8)),
        (C3x(32, 64, 2), 18_944, (1, 64, 8, 8)),
        (GhostConv(32, 64, 3, 2), 10_144, (1, 64, 4, 4)),
        (GhostBottleneck(32, 64, 3, 2), 5_808, (1, 64, 4, 4)),
        (C3Ghost(32, 64, 1), 7_608, (1, 64, 8, 8)),
        (C3TR(32, 64, 2), 26_144, (1, 64, 8, 8)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_more_blocks(block: nn.Module, count: int, shape: tuple[int, ...]) -> None:
    assert parameters(block) == count
    assert block(torch.rand(1, 32, 8, 8)).shape == shape


def test_the_transformer_treats_cells_as_a_set() -> None:
    """Without a term for the place, moving the cells about moves the outputs about in the same way."""
    block = lived_in(C3TR(8, 8, 1)).m
    x, order = torch.rand(2, 4, 3, 3), torch.randperm(9)

    def shuffled(maps: Tensor) -> Tensor:
        return maps.flatten(2)[..., order].view_as(maps)

    assert torch.allclose(block(shuffled(x)), shuffled(block(x)), atol=1e-6)
