"""Layers of others: what is not known of an operation is measured, or said to be unknown; never asserted."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from walkthrough.layers import CellGradients, LayerRecord, effective_field, record_layers, show_layers
from walkthrough.layers.calls import Seen
from walkthrough.layers.fields import Node
from walkthrough.layers.measure import measured, target_of
from walkthrough.layers.operations import followed
from yolo_lite.family.blocks import C2PSA


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def after_a_convolution(module: nn.Module, side: int = 16) -> tuple[nn.Module, Tensor, LayerRecord]:
    """A 3 x 3 convolution with weights above zero, then the module; and the record of that."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), module).double()
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter.abs_().add_(0.01)
    images = noise(1, 3, side, side).double() + 0.1
    return model, images, record_layers(model, images)[1]


def assert_holds_every_gradient(model: nn.Module, images: Tensor, record: LayerRecord) -> None:
    gradients, (rows, cols) = CellGradients(model, images, record), record.receptive_field.grid
    for row, col in [(0, 0), (rows - 1, cols - 1), (rows // 2, cols // 2), (rows // 3, cols - 1)]:
        x1, y1, x2, y2 = gradients.of(row, col).box
        left, top, right, bottom = record.receptive_field.of(row, col)
        assert (min(left, x1), min(top, y1), max(right, x2), max(bottom, y2)) == (left, top, right, bottom)


KINDS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Hardswish": (lambda: nn.Hardswish(inplace=True), 3),
    "PReLU": (lambda: nn.PReLU(4), 3),
    "LogSigmoid": (nn.LogSigmoid, 3),
    "GLU": (lambda: nn.GLU(1), 3),
    "RReLU": (nn.RReLU, 3),
    "RReLU in place": (lambda: nn.RReLU(inplace=True), 3),
    "Mish in place": (lambda: nn.Mish(inplace=True), 3),
    "Threshold in place": (lambda: nn.Threshold(0.1, 0.0, inplace=True), 3),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), 3),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), 3),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d((2, 1, 1, 0)), 3),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(2), 3),
    "CircularPad2d": (lambda: nn.CircularPad2d((1, 2, 0, 1)), 3),
    "circular padding": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), 5),
    "Unfold": (lambda: nn.Unfold(3, padding=1), 5),
    "Fold": (lambda: nn.Sequential(nn.Unfold(2, stride=2), nn.Fold((16, 16), 2, stride=2)), 4),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5), 4),
    "Unflatten": (lambda: nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (16, 16))), 3),
    **{f"rot90, {k}": (lambda k=k: Calls(lambda x: torch.rot90(x, k, (2, 3))), 3) for k in (1, 2, 3)},
    "windows": (lambda: Calls(lambda x: x.unfold(2, 3, 1).unfold(3, 3, 1).mean((4, 5))), 5),
}


@pytest.mark.parametrize("name", list(KINDS))
def test_fields_of_layers_that_were_taken_for_global(name: str) -> None:
    make, side = KINDS[name]
    model, images, record = after_a_convolution(make())
    assert (record.receptive_field.because, record.receptive_field.size) == ("", (side, side))
    assert_holds_every_gradient(model, images, record)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4 * 16 * 16, 3), nn.ReLU(), nn.Linear(3, 2)), "the whole image"),
        (nn.Sequential(nn.Flatten(2), nn.Linear(16 * 16, 5)), "the whole image"),
        (Calls(lambda x: x.mean((2, 3))), "the whole image"),
        (Calls(lambda x: x.mean(2)), "all x 3 pixels, every 0 x 1 pixels"),
        (Calls(lambda x: x.amax(3)), "3 x all pixels, every 1 x 0 pixels"),
        (nn.GLU(-1), "3 x 11 pixels, every 1 pixels"),
    ],
)
def test_what_becomes_of_rows_and_columns(module: nn.Module, words: str) -> None:
    model, images, record = after_a_convolution(module)
    assert str(record.receptive_field) == words
    if record.receptive_field.dims is not None:
        assert_holds_every_gradient(model, images, record)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.roll(int(torch.randint(0, 9, (1,))), 3),
        lambda x: x.roll(random.randrange(9), 3),
        lambda x: x.roll(np.random.randint(9), 3),  # noqa: NPY002
        lambda x: x[:, :, torch.randperm(16)],
        lambda x: x.roll(3, 3) if torch.rand(1) > 0.5 else x,
    ],
)
def test_cells_chosen_by_chance_are_unknown(function: Callable[[Tensor], Tensor]) -> None:
    _, _, record = after_a_convolution(nn.Sequential(Calls(function), nn.ReLU()))
    assert record.receptive_field.because == "numbers drawn by chance"
    noisy = after_a_convolution(Calls(lambda x: x + torch.rand(1) + torch.rand_like(x)))[2]
    assert str(noisy.receptive_field) == "3 x 3 pixels, every 1 pixels"


def test_where_rows_and_columns_do_not_go_their_own_ways_the_field_is_unknown() -> None:
    turned = Calls(lambda x: torch.from_numpy(np.rot90(x.numpy(), axes=(2, 3)).copy()))
    assert after_a_convolution(turned)[2].receptive_field.because


# ---- modules of a reader --------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Every cell listens to every cell; or to those of its window."""

    def __init__(self, window: int = 0) -> None:
        super().__init__()
        self.window, self.inner = window, nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        size = self.window or height
        cut = x.view(n, c, height // size, size, width // size, size).permute(0, 2, 4, 3, 5, 1)
        tokens = cut.reshape(-1, size * size, c)
        made = self.inner(tokens, tokens, tokens)[0]
        return made.view(n, height // size, width // size, size, size, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


class PerToken(nn.Module):
    """Rows and columns are flattened, and come back: each cell for itself, as in MLPs of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (N, H * W, C)
        return self.linear(self.norm(tokens)).transpose(1, 2).view(x.shape)


def filtered(x: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(x) * noise(16, 16, seed=1)).real


OWN: dict[str, tuple[Callable[[], nn.Module], tuple[int | None, int | None]]] = {
    "roll": (lambda: Calls(lambda x: torch.roll(x, 5, 2)), (3, 3)),
    "roll by parts": (lambda: Calls(lambda x: torch.cat([x[:, :, 5:], x[:, :, :5]], 2)), (3, 3)),
    "halves changed": (lambda: Calls(lambda x: torch.cat([x[:, :, 8:], x[:, :, :8]], 2)), (3, 3)),
    "flip": (lambda: Calls(lambda x: x.flip(3)), (3, 3)),
    "sort of channels": (lambda: Calls(lambda x: x.sort(1)[0]), (3, 3)),
    "largest channel": (lambda: Calls(lambda x: x * x.argmax(1, keepdim=True)), (3, 3)),
    "NumPy": (lambda: Calls(lambda x: torch.from_numpy(x.detach().numpy() * 2)), (3, 3)),
    "a look-up": (lambda: Calls(lambda x: x[:, :, torch.arange(15, -1, -1)]), (3, 3)),
    "tokens": (PerToken, (3, 3)),
    "windows of attention": (lambda: Attention(4), (6, 6)),
    "attention": (Attention, (None, None)),
    "a filter of frequencies": (lambda: Calls(filtered), (None, None)),
    "a filter along rows": (lambda: Calls(lambda x: torch.fft.irfft(torch.fft.rfft(x) * noise(9, seed=1))), (3, None)),
    "a running sum": (lambda: Calls(lambda x: x.cumsum(2)), (None, 3)),
    "group normalisation": (lambda: nn.GroupNorm(2, 4), (None, None)),
}


@pytest.mark.parametrize("name", list(OWN))
def test_what_modules_never_seen_before_read_is_measured(name: str) -> None:
    make, size = OWN[name]
    model, images, record = after_a_convolution(make())
    assert (record.receptive_field.because, record.receptive_field.size) == ("", size)
    if name != "NumPy":
        assert_holds_every_gradient(model, images, record)


@pytest.mark.parametrize("swapped", [(False, False), (True, True), (False, True)])
def test_the_rule_of_attention_gives_what_is_measured(swapped: tuple[bool, bool]) -> None:
    """Products of two maps of 3 x 4 tokens, which stand in the second dimension (False) or in the third."""
    dims = [(2, 2) if last else (1, 1) for last in swapped]
    shapes = [(2, 12, 12)] * 2 if swapped[0] == swapped[1] else [(2, 12, 5), (2, 5, 12)]
    tensors = [noise(*shape, seed=seed).double() for seed, shape in enumerate(shapes)]
    known = [Seen(Node((3, 4)), each) for each in dims]
    made = torch.bmm(*tensors)
    pairs = [(seen, tuple(tensor.shape)) for seen, tensor in zip(known, tensors, strict=True)]
    by_rule = followed(torch.ops.aten.bmm.default, tuple(tensors), {}, made, pairs, True)
    assert by_rule is not None
    target = target_of(0, made, by_rule.dims, known[0])
    assert target is not None
    (node,) = measured(lambda given: [torch.bmm(*given)], list(zip(tensors, known, strict=True)), [target]) or ()
    assert node.size == by_rule.node.size == (3, 4)
    assert len(node.sources) == 2
    for (source, *rules), (measured_source, *measured_rules) in zip(by_rule.node.sources, node.sources, strict=True):
        assert source is measured_source
        for rule, other, cells in zip(rules, measured_rules, source.size, strict=True):
            found, expected = (
                [x.clip(0, cells - 1).tolist() for x in r(*[np.arange(cells)] * 2)] for r in (rule, other)
            )
            assert found == expected


def test_attention_over_many_places_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial would take the square of the places."""
    monkeypatch.setattr(
        "walkthrough.layers.follow.measured", lambda again, read, asked: pytest.fail("measured") if asked else None
    )
    record = record_layers(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), C2PSA(8, 8)), noise(1, 3, 6, 6))[1]
    assert (record.receptive_field.because, record.receptive_field.size) == ("", (None, None))


def test_a_unit_that_is_shut_is_measured_all_the_same() -> None:
    shut = nn.Sequential(Calls(lambda x: torch.roll(x - 100, 5, 2)), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    model, images, record = after_a_convolution(shut)
    assert effective_field(model, images, record, 8, 8).box == (0, 0, 0, 0)
    assert record.receptive_field.of(8, 8) == (6, 1, 11, 6)


def test_what_cannot_be_measured_is_said_to_be_unknown() -> None:
    def strange(x: Tensor) -> Tensor:
        if not bool((x == strange.given).all()):  # type: ignore[attr-defined]
            raise RuntimeError("other numbers")
        return torch.from_numpy(x.numpy().copy())

    images = noise(1, 3, 8, 8)
    strange.given = images  # type: ignore[attr-defined]
    records = record_layers(nn.Sequential(Calls(strange), nn.Conv2d(3, 2, 3)), images)
    for record in records:
        assert record.receptive_field.because == "what was not followed"
        assert "unknown" in repr(record.receptive_field)
        assert show_layers([record]).rows[0][0].rows[0][6] == "unknown"
    calls: list[int] = []
    fickle = Calls(lambda x: calls.append(0) or torch.from_numpy(x.numpy() + len(calls)))  # type: ignore[func-returns-value]
    assert record_layers(nn.Sequential(fickle), images)[0].receptive_field.because == "what was not followed"
    lost = record_layers(nn.Sequential(Calls(lambda x: x.unflatten(2, (4, 4)).transpose(1, 2))), noise(1, 3, 16, 16))
    assert "unknown" in repr(lost[0].receptive_field)


def test_measuring_leaves_the_model_and_chance_alone() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.from_numpy((x * self.weight + 0.1 * torch.rand(1)).detach().numpy()).add_(self.calls)

    model, images = nn.Sequential(Counting(), nn.Conv2d(3, 4, 3)).train(), noise(1, 3, 12, 12)
    state, before = torch.random.get_rng_state(), images.clone()
    records = record_layers(model, images)
    assert records[1].receptive_field.size == (3, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(images, before)
    assert model[0].calls == 0
    assert model[0].training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


# ---- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_have_cells_row_by_row() -> None:
    class Tokens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(2).transpose(1, 2)

    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), Tokens(), nn.LayerNorm(8), nn.Linear(8, 5))
    images = noise(2, 3, 16, 24)
    record = record_layers(model, images)[3]
    assert (record.output_shape, record.receptive_field.dims) == ((2, 24, 5), (1, 1))
    assert (record.receptive_field.grid, record.receptive_field.stride) == ((4, 6), (4, 4))
    assert record.receptive_field.of(1, 2) == (8, 4, 12, 8)
    assert effective_field(model, images, record, 1, 2, channel=4, image=1).box == (8, 4, 12, 8)


# ---- models of all kinds --------------------------------------------------------------------------------------------


@dataclass
class Found:
    maps: Tensor
    others: dict[str, tuple[Tensor, Tensor]]


class Nested(nn.Module):
    """Gives a dataclass; takes named options."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor, **options: bool) -> Found:
        y = self.conv(x)
        return Found(y.relu() if options.get("act", True) else y, {"pair": (y, functional.max_pool2d(y, 2))})


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = Nested(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x, act=False).others["pair"][1])


def test_outputs_in_dataclasses_and_options_by_name_are_recorded() -> None:
    inner, last = record_layers(Around(), noise(1, 3, 8, 8))
    assert inner.output_shapes == ((1, 4, 8, 8), (1, 4, 8, 8), (1, 4, 4, 4))
    assert (last.inputs, last.receptive_field.size) == ((0,), (4, 4))


def test_half_precision_is_recorded_and_images_that_do_not_fit_get_a_sentence() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Calls(lambda x: torch.roll(x, 1, 2))).bfloat16()
    assert record_layers(model, noise(1, 3, 12, 12).bfloat16())[1].receptive_field.size == (3, 3)
    with pytest.raises(ValueError, match="images are float32 on cpu, the model bfloat16"):
        record_layers(model, noise(1, 3, 12, 12))


def scripted_inside() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(nn.ReLU()))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), "TorchScript"),
        (lambda: torch.jit.trace(nn.Conv2d(3, 4, 3), noise(1, 3, 8, 8)), "TorchScript"),
        (scripted_inside, "^1 of the model is TorchScript"),
        (lambda: torch.compile(nn.Conv2d(3, 4, 3)), r"torch\.compile.*_orig_mod"),
        (lambda: torch.export.export(nn.Conv2d(3, 4, 3), (noise(1, 3, 8, 8),)), r"torch\.export"),
        (lambda: torch.export.export(nn.Conv2d(3, 4, 3), (noise(1, 3, 8, 8),)).module(), r"torch\.export"),
        (lambda: "yolov5n", "is str, not a torch.nn.Module"),
        (lambda: nn.Conv2d(3, 4, 3, device="meta"), "meta device"),
    ],
)
def test_what_does_not_run_in_python_gets_a_sentence(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        record_layers(make(), noise(1, 3, 8, 8))
