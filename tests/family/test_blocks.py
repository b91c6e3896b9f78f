"""The blocks of the generations after YOLOv5, alone and in the rows of a spec."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from yolo_lite.family import blocks
from yolo_lite.family.blocks import KINDS, CBFuse, CBLinear, RepConv
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

# The arguments of a row, by the name of the layer; the first is the number of channels. "...+" repeats inside.
ROWS: dict[str, list[Any]] = {
    "C2f": [32, True],
    "C3k": [32, True, 1, 0.5, 5],
    "C3k2": [32, True, 0.25],
    "RepCSP": [32],
    "C2PSA": [32],
    "RepConv": [32, 3, 2],
    "RepBottleneck": [32],
    "ELAN": [32],
    "EELAN": [32, 16, 8, 4, 1, 2],
    "ELAN1": [32, 16, 8],
    "RepNCSPELAN4": [32, 16, 8, 2],
    "SPPELAN": [32, 8],
    "ADown": [32],
    "AConv": [32],
    "MPConv": [32],
}
HALVING = ("ADown", "AConv", "MPConv")


def network(*rows: list[Any], inputs: int = -1, **more: Any) -> LayeredDetector:
    """A stem of stride 4, the rows, and a Detect on the last."""
    stem = [[-1, 1, "Conv", [16, 3, 4]]]
    head = [[[inputs], 1, "Detect", ["nc", "anchors"]]]
    return create_model({"nc": 2, "anchors": 2, "backbone": stem + list(rows), "head": head, **more}, seed=3)


def with_random_statistics(module: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, as if it had been trained."""
    generator = torch.Generator().manual_seed(5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, low in ((norm.weight, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5)):
                values.data = torch.rand(values.shape, generator=generator) + low
            norm.running_var = torch.rand(norm.weight.shape, generator=generator) + 0.5
    return module.double().eval()


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def convolutions(module: nn.Module) -> int:
    return sum(isinstance(each, nn.Conv2d) for each in module.modules())


def test_every_block_that_rows_may_name_is_tested() -> None:
    # others stand beside them: those of YOLO-World read a text, and have tests of their own
    of_words = {name for name, kind in KINDS.items() if getattr(kind.build, "__module__", "").endswith(".words")}
    assert set(KINDS) - of_words == {*ROWS, "CBLinear", "CBFuse", "WeightedFusion"}  # the last in test_backbones


@pytest.mark.parametrize("name", ROWS)
def test_rows_with_a_width_multiple_and_repeats(name: str) -> None:
    if name in HALVING or name == "RepConv":
        model = network([-1, 1, name, ROWS[name]], width_multiple=0.5)
        assert model.strides == (8,)
    else:
        model = network([-1, 6, name, ROWS[name]], width_multiple=0.5, depth_multiple=0.5)
        assert model.strides == (4,)
        if KINDS[name].repeats:
            assert len(model.layers[1].m) == 3
        else:
            assert isinstance(model.layers[1], nn.Sequential)
            assert len(model.layers[1]) == 3
    outputs = [output for _, output in model.forward_layers(torch.rand(1, 3, 64, 64))]
    assert outputs[1].shape[:2] == (1, 16)


@pytest.mark.parametrize("name", [name for name in ROWS if name != "RepConv"])
@pytest.mark.parametrize(("height", "width"), [(9, 7), (8, 6), (13, 2)])
def test_sizes_that_are_odd(name: str, height: int, width: int) -> None:
    arguments = ROWS[name]
    block = KINDS[name].build(12, arguments[0], *([1] if KINDS[name].repeats else []), *arguments[1:])
    shape = block(torch.rand(2, 12, height, width)).shape
    if name == "MPConv":  # rounds up, as a convolution of stride 2 does
        height, width = height + height % 2, width + width % 2
    assert shape == ((2, 32, height // 2, width // 2) if name in HALVING else (2, 32, height, width))


@pytest.mark.parametrize("options", [{}, {"identity": True}, {"identity": True, "groups": 2}, {"stride": 2}])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("inside_first", [False, True])
def test_a_fused_rep_conv_computes_the_same(options: dict[str, Any], kernel: int, inside_first: bool) -> None:
    block = with_random_statistics(RepConv(8, 8, kernel, **options))
    x = random(2, 8, 9, 7)
    with torch.no_grad():
        before = block(x)
    if inside_first:
        block.conv1.fuse()
        block.conv2.fuse()
    block.fuse()
    assert [name for name, _ in block.named_parameters()] == ["conv.weight", "conv.bias"]
    torch.testing.assert_close(block(x), before, atol=1e-10, rtol=0)
    block.fuse()
    torch.testing.assert_close(block(x), before, atol=1e-10, rtol=0)


def test_a_rep_conv_without_identity_may_change_its_channels() -> None:
    block = with_random_statistics(RepConv(6, 10, 3, 2, 1, 2, activation=nn.ReLU()))
    x = random(1, 6, 7, 8)
    before = block(x)
    block.fuse()
    assert isinstance(block.act, nn.ReLU)
    torch.testing.assert_close(block(x), before, atol=1e-10, rtol=0)


def test_other_norms_are_not_folded() -> None:
    block = RepConv(8, 8, identity=True).eval()
    block.bn = nn.GroupNorm(2, 8)
    x = torch.rand(1, 8, 5, 5)
    before = block(x)
    block.fuse()
    assert block.conv is None
    torch.testing.assert_close(block(x), before)


def test_a_whole_network_is_fused() -> None:
    model = with_random_statistics(
        network(
            *([-1, 1, "RepConv", [16, 3, 1, 1, 1, 1, True, True]], [-1, 1, "RepConv", [24, 3, 2]]),
            *([-1, 1, "RepNCSPELAN4", [24, 16, 8, 2]], [-1, 1, "ADown", [32]], [-1, 1, "C2PSA", [32]]),
            *([-1, 2, "RepConv", [32]], [-1, 1, "EELAN", [32]]),
        )
    )
    x = random(1, 3, 64, 96)
    with torch.no_grad():
        before = model(x)[0]
    fused = model.fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert convolutions(model) - convolutions(fused) == sum(isinstance(each, RepConv) for each in model.modules()) == 8
    with torch.no_grad():
        torch.testing.assert_close(fused(x)[0], before, atol=1e-10, rtol=0)
        torch.testing.assert_close(model(x)[0], before, atol=0, rtol=0)


def test_a_rep_conv_learns_in_all_branches() -> None:
    block = RepConv(8, 8, identity=True)
    block(torch.rand(2, 8, 5, 5)).square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in block.parameters())


def test_attention_weighs_all_places() -> None:
    """By the formula, place by place and head by head."""
    block = with_random_statistics(blocks.Attention(8, heads=2))
    x = random(1, 8, 2, 3)
    of_heads = block.qkv(x).view(2, 8, 6)  # two heads of 2 + 2 + 4 channels, 6 places
    expected = torch.zeros(8, 6, dtype=torch.float64)
    for head, (query, key, value) in enumerate(part.split((2, 2, 4)) for part in of_heads):
        for place in range(6):
            weights = torch.stack([query[:, place] @ key[:, other] / 2**0.5 for other in range(6)]).softmax(0)
            expected[4 * head : 4 * head + 4, place] = value @ weights
    values = torch.cat([part[4:] for part in of_heads]).view(1, 8, 2, 3)
    torch.testing.assert_close(block(x), block.proj(expected.view(1, 8, 2, 3) + block.pe(values)))


def test_what_an_elan_joins() -> None:
    block = with_random_statistics(blocks.ELAN(8, 32, hidden=8, inner=6, number=4, every=2))
    x = random(1, 8, 5, 5)
    second = block.m[1](block.m[0](block.cv2(x)))
    fourth = block.m[3](block.m[2](second))
    torch.testing.assert_close(block(x), block.cv3(torch.cat((block.cv1(x), block.cv2(x), second, fourth), 1)))


def test_an_e_elan_of_one_group_is_an_elan() -> None:
    plain, wide = blocks.ELAN(8, 16), blocks.EELAN(8, 16, groups=1)
    wide.load_state_dict(plain.state_dict())
    x = torch.rand(1, 8, 5, 5)
    torch.testing.assert_close(plain.eval()(x), wide.eval()(x))


def test_an_e_elan_shuffles_and_adds_its_groups() -> None:
    block = blocks.EELAN(8, 16, hidden=4, inner=2, number=1, every=1, groups=2)
    joined: list[Tensor] = []
    block.cv3.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    block.m[0] = nn.Sequential(nn.Conv2d(4, 4, 1))
    nn.init.zeros_(block.m[0][0].weight)
    block.m[0][0].bias.data = torch.tensor([1.0, 10, 100, 1000])  # groups of two; shuffled: 1, 100, 10, 1000
    block(torch.rand(1, 8, 2, 2))
    assert joined[0].shape == (1, 4 + 4 + 2, 2, 2)
    assert joined[0][0, 8:, 0, 0].tolist() == [11, 1100]


def reversible(*more: list[Any]) -> LayeredDetector:
    """Maps of stride 4, 8 and 16; what two of them give is added to the first."""
    return network(
        *([-1, 1, "AConv", [16]], [-1, 1, "AConv", [32]]),  # layers 1, 2
        *([1, 1, "CBLinear", [[16]]], [2, 1, "CBLinear", [[8, 16]]]),  # layers 3, 4
        *more,
    )


def test_maps_of_one_branch_are_added_to_another() -> None:
    model = reversible([[3, 4, 0], 1, "CBFuse", [[0, 1]]])
    assert model.strides == (4,)
    outputs = [output for _, output in model.forward_layers(torch.rand(1, 3, 64, 64))]
    stem, near, far, total = outputs[0], outputs[3], outputs[4], outputs[5]
    assert [part.shape for part in far] == [(1, 8, 4, 4), (1, 16, 4, 4)]
    expected = stem + near[0].repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = expected + far[1].repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(total, expected)


def test_enlarging_to_a_size_that_is_no_multiple() -> None:
    parts, target = CBLinear(3, [2, 4])(torch.rand(1, 3, 2, 3)), torch.zeros(1, 4, 5, 7)
    assert CBFuse([1])([parts, target]).shape == target.shape


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ([2, 1, "C2f", [16, True, 1, 0.01]], "16 0"),
        ([2, 1, "C3k2", [8, False, 0.125]], "1 0"),
        ([2, 1, "C2f", ["many"]], "many"),
        ([2, 1, "C2PSA", [1000]], "500 7"),
        ([2, 1, "RepConv", [24, 4]], "4"),
        ([2, 1, "RepConv", [24, 3, 1, 0]], "0"),
        ([2, 1, "RepConv", [24, 3, 1, 1, 1, 1, True, True]], "32 24 identity=False"),
        ([2, 1, "RepConv", [32, 3, 2, 1, 1, 1, True, True]], "stride 2 identity=False"),
        ([2, 1, "RepNCSPELAN4", [16, 15, 8]], "c3 15"),
        ([2, 1, "RepNCSPELAN4", [16, 16]], "c4"),
        ([2, 1, "RepNCSPELAN4", [16, 16, 8, 0]], "number 0"),
        ([2, 1, "RepNCSPELAN4", [16, 16, 8, 5000]], "5000 inner 1000"),
        ([2, 1, "ELAN", [32, 8, 8, 1002]], "1002 inner 1000"),
        ([2, 501, "RepNCSPELAN4", [16, 16, 8, 2]], "501 2 1000"),
        ([2, 1, "Conv", [10**400]], "output channels 8192"),
        ([2, 1, "ELAN1", [16, 10**9, 8]], "1000000000 8192"),
        ([2, 1, "CBLinear", [[16, 10**9]]], "1000000000 8192"),
        ([2, 1, "C3k", [16, True, 1, 0.5, 0]], "kernel 0"),
        ([2, 1, "C3k", [16, True, 1, 0.5, "3"]], "kernel 3"),
        ([2, 1, "SPPF", [16, -1]], "-1"),
        ([2, 1, "SPPF", [16, 4]], "4"),
        ([2, 1, "SPPELAN", [16, 8, "5"]], "5"),
        ([2, 1, "Conv", [16, "3", 1, 1]], "3"),
        ([2, 1, "C2f", [16, True, 1, "x"]], "x"),
        ([2, 1, "C2f", [16, True, 1, 8000.0]], "128000 8192"),
        ([2, 1, "ELAN1", [16, 16, 0.5]], "c4 0.5"),
        ([2, 1, "SPPELAN", [16, None]], "c3 None"),
        ([2, 1, "ELAN", [32, 8, 8, 4, 3]], "every 3 4"),
        ([2, 1, "EELAN", [32, 9, 8, 4, 2, 2]], "groups 9 2"),
        ([2, 1, "CBLinear", [16]], "16 list"),
        ([2, 1, "CBLinear", [[]]], "[] list"),
        ([2, 1, "CBLinear", [[16, 0]]], "0"),
        ([[3, 4, 0], 1, "CBFuse", [0]], "0 list"),
        ([[3, 4, 0], 1, "CBFuse", [[0]]], "1"),
        ([[3, 4, 0], 1, "CBFuse", [[0, 0]]], "8 16"),
        ([[3, 4, 0], 1, "CBFuse", [[0, 2]]], "2"),
        ([[3, 4], 1, "CBFuse", [[0]]], "1"),
        ([[3, 0, 4], 1, "CBFuse", [[0, 1]]], "2"),
        ([4, 1, "CBFuse", [[0]]], "1"),
        ([4, 1, "C2f", [16]], "layer 4 CBFuse"),
    ],
)
def test_a_row_that_cannot_be_built_is_named(row: list[Any], facts: str) -> None:
    with pytest.raises(SpecError) as caught:
        reversible(row)
    message = str(caught.value)
    assert message.startswith(f"spec: layer 5 (backbone row 5, {row[2]})")
    assert "\n" not in message
    assert len(message) < 300 or "0" * 100 in message
    for fact in facts.split():
        assert fact in message.partition("): ")[2]
