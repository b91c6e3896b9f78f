"""Layer records agree with the model's summary, with recorded numbers and with gradients; the model stays as it was."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough.layers import (
    CellGradients,
    LayerRecord,
    effective_field,
    feature_statistics,
    record_layers,
    show_layers,
)

TWO_LEVELS = {
    "nc": 3,
    "anchors": 2,
    "backbone": [[-1, 1, "Conv", [8, 6, 2, 2]], [-1, 1, "C3", [8]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "SPPF", [16]]],
    "head": [[-1, 1, "nn.Upsample", [None, 2, "nearest"]], [[-1, 1], 1, "Concat", [1]], [[5, 3], 1, "Detect", []]],
}

MANY_KINDS = {
    "nc": 3,
    "anchors": 2,
    "backbone": [[-1, 1, "Focus", [8, 3]], [-1, 2, "C3TR", [16]], [-1, 1, "C3Ghost", [16]], [-1, 1, "C3SPP", [16]]],
    "head": [[-1, 1, "BottleneckCSP", [16]], [[4], 1, "Detect", []]],
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class Functional(nn.Module):
    """A module of nobody's library: sums, slices, functional calls, one layer called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first = functional.relu(self.stem(images))
        deep = self.body(functional.avg_pool2d(self.body(first), 2))
        resized = functional.interpolate(deep, scale_factor=2, mode="bilinear")
        joined = self.body(resized[:, :, 1:-1] + first[:, :, 1:-1])
        return self.up(joined), {"coarse": deep}


# ---- against the model's own summary, and against recorded numbers ---------------------------------------------------


@pytest.mark.parametrize("source", ["yolov5n", "yolov5n6", "yolov5n-p2", "yolov3-tiny", TWO_LEVELS, MANY_KINDS])
def test_inputs_parameters_flops_and_shapes_are_those_of_the_summary(source: str | dict) -> None:
    model = yl.create_model(source, num_classes=3)
    records = record_layers(model, noise(2, 3, 64, 128))
    for record, row in zip(records, model.summary((64, 128)).rows, strict=True):
        assert (record.index, record.kind, record.inputs) == (row.index, row.kind, row.inputs)
        assert (record.parameters, record.flops) == (row.parameters, row.flops)
        for shapes, expected in ((record.input_shapes, row.input_shapes), (record.output_shapes, row.output_shapes)):
            assert [shape[1:] for shape in shapes] == [shape[1:] for shape in expected]
            assert {shape[0] for shape in shapes} == {2}
    assert [record.part for record in records].count("head") == 1


def test_shapes_and_parameters_of_yolov5n_are_those_of_the_reference(golden: Path) -> None:
    facts = json.loads((golden / "facts.json").read_text())
    records = record_layers(yl.create_model("yolov5n"), torch.zeros(1, 3, 640, 640), kept_depth=0)
    recorded = [shape if isinstance(shape[0], list) else [shape] for shape in facts["yolov5n_shapes_4x640"]]
    for record, shapes in zip(records, recorded, strict=True):  # the reference was given four images
        assert [list(shape[1:]) for shape in record.output_shapes] == [shape[1:] for shape in shapes]
    known = facts["models"]["yolov5n"]
    assert [record.parameters for record in records] == known["layer_parameters"]
    assert sum(record.parameters for record in records) == known["parameters"]


def test_fused_attention_costs_what_its_parts_cost() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)  # (N, H * W, 32)
            return self.inner(tokens, tokens, tokens, need_weights=False)[0]

    (record,) = record_layers(Attention(), noise(2, 32, 4, 6))
    projections, products = 4 * 24 * 32 * 32, 2 * 24 * 24 * 32
    assert record.flops == 2 * (projections + products)


def test_outputs_are_those_of_the_layers() -> None:
    model, images = yl.create_model("yolov5n").eval(), noise(1, 3, 64, 96)
    records = record_layers(model, images)
    for record, (_, output) in zip(records, model.forward_layers(images), strict=True):
        for mine, theirs in zip(record.outputs, output if isinstance(output, list) else [output], strict=True):
            assert torch.equal(mine, theirs)


def test_a_fused_model_sees_as_much_as_before_with_fewer_parameters() -> None:
    model, images = yl.create_model("yolov5n"), noise(1, 3, 64, 64)
    plain, fused = record_layers(model, images), record_layers(model.fuse(), images)
    assert [r.receptive_field.size for r in plain] == [r.receptive_field.size for r in fused]
    assert sum(r.parameters for r in plain) > sum(r.parameters for r in fused)


# ---- modules within layers -------------------------------------------------------------------------------------------


def test_modules_within_a_layer_form_a_graph_of_their_own() -> None:
    records = record_layers(yl.create_model("yolov5n"), noise(1, 3, 64, 64), depth=None, kept_depth=1)
    c3, sppf = records[2], records[9]
    assert [module.name for module in c3.inside] == [f"layers.2.{name}" for name in ("cv1", "m", "cv2", "cv3")]
    assert [module.inputs for module in c3.inside] == [(-1,), (0,), (-1,), (1, 2)]
    bottleneck = c3.inside[1].inside[0]
    assert [module.kind for module in bottleneck.inside] == ["Conv", "Conv"]
    assert sum(module.flops for module in c3.inside) == c3.flops
    assert sum(module.parameters for module in c3.inside) == c3.parameters
    assert [(module.call, module.inputs) for module in sppf.inside[1:4]] == [(0, (0,)), (1, (1,)), (2, (2,))]
    assert sppf.inside[4].inputs == (0, 1, 2, 3)
    with pytest.raises(ValueError, match=r"output of layers\.2\.cv1 was not kept"):
        _ = c3.inside[0].output
    assert c3.output.shape == (1, 32, 16, 16)


def test_depth_says_how_far_modules_are_recorded() -> None:
    model, images = yl.create_model("yolov5n"), noise(1, 3, 64, 64)
    assert record_layers(model, images)[2].inside == ()
    two = record_layers(model, images, depth=2)[2]
    assert len(two.inside) == 4
    assert two.inside[1].inside == ()
    assert two.inside[0].output.shape == (1, 16, 16, 16)


def test_any_module_is_recorded_call_by_call() -> None:
    model, images = Functional(), noise(2, 3, 32, 32)
    records = record_layers(model, images)
    assert [record.name for record in records] == ["stem", "body", "body", "body", "up"]
    assert [record.call for record in records] == [0, 0, 1, 2, 0]
    assert [record.inputs for record in records] == [(-1,), (0,), (1,), (2, 0), (3,)]
    assert [record.parameters for record in records] == [304, 148, 0, 0, 260]  # a layer called again adds none
    assert torch.equal(records[4].output, model(images)[0])
    assert records[4].part == ""


def test_a_module_without_modules_is_its_own_only_layer() -> None:
    (record,) = record_layers(nn.Conv2d(1, 2, 3, padding=1), noise(1, 1, 8, 8))
    assert (record.kind, record.inputs, record.flops) == ("Conv2d", (-1,), 2 * 9 * 2 * 64)
    assert repr(record.receptive_field) == "3 x 3 pixels, every 1 pixels"
    field = effective_field(nn.Conv2d(1, 2, 3, padding=1), noise(1, 1, 8, 8), record, 4, 4)
    assert field.box == (3, 3, 6, 6)
    with pytest.warns(DeprecationWarning, match="mask"):
        assert torch.equal(field.heard, field.mask)


def test_a_module_with_several_outputs_has_a_record_of_each() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"same": x, "half": functional.max_pool2d(x, 2)}

    (record,) = record_layers(Twice(), noise(1, 3, 8, 8))
    assert record.output_shapes == ((1, 3, 8, 8), (1, 3, 4, 4))
    assert [field.size for field in record.receptive_fields] == [(1, 1), (2, 2)]
    assert CellGradients(Twice(), noise(1, 3, 8, 8), record, output=1).of(1, 3, channel=0).gradient.sum() == 1


# ---- receptive fields ------------------------------------------------------------------------------------------------


def positive(model: nn.Module) -> nn.Module:
    """In double precision, with weights above zero and averages for maxima: no path to a pixel is cancelled or cut."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            parent = model.get_submodule(name.rpartition(".")[0])
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            setattr(parent, name.rpartition(".")[2], pool)
        elif isinstance(module, nn.SiLU):
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], nn.Identity())
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.01)
    return model


def cells_of(record: LayerRecord) -> list[tuple[int, int]]:
    """Corners, edges and the middle."""
    rows, cols = record.receptive_field.grid
    return [(0, 0), (rows - 1, cols - 1), (rows // 2, 0), (rows // 2, cols // 2), ((rows + 1) // 3, (2 * cols) // 3)]


def assert_exact(model: nn.Module, images: Tensor, indices: list[int] | None = None) -> None:
    """The field that was worked out is the one that gradients measure, at the borders too."""
    images = images.double() + 0.1
    records = record_layers(model, images)
    for record in records if indices is None else [records[index] for index in indices]:
        assert record.receptive_field.because == ""
        gradients = CellGradients(model, images, record)
        for row, col in cells_of(record):
            measured = gradients.of(row, col).box
            assert record.receptive_field.of(row, col) == measured, (record.index, record.kind, row, col)


def test_fields_of_plain_convolutions_are_the_textbook_numbers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 6, 2, 2), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 2, dilation=2))
    records = record_layers(layers, noise(1, 3, 64, 64))
    assert [record.receptive_field.size for record in records] == [(6, 6), (10, 10), (26, 26)]
    assert [record.receptive_field.stride for record in records] == [(2, 2), (4, 4), (4, 4)]
    assert_exact(positive(layers), noise(1, 3, 64, 64))


def test_fields_of_a_yolo_are_what_gradients_measure() -> None:
    assert_exact(positive(yl.create_model(TWO_LEVELS)), noise(1, 3, 96, 160))


def test_fields_through_the_three_levels_are_what_gradients_measure() -> None:
    model = positive(yl.create_model("yolov5n"))
    assert_exact(model, noise(1, 3, 192, 128), indices=[4, 6, 12, 17, 24])


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "functional": Functional,
    "uneven": lambda: nn.Sequential(nn.Conv2d(3, 4, (1, 5), (1, 3)), nn.AvgPool2d((3, 2), (2, 1))),
    "adaptive": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((5, 3)), nn.Conv2d(4, 4, 1)),
    "bilinear": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Upsample(scale_factor=2, mode="bilinear")),
    "corners": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 3), nn.Upsample((20, 33), mode="bilinear", align_corners=True)),
    "nearest to an odd size": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Upsample((37, 40))),
    "shuffle": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 12, 3, 1, 1), nn.PixelShuffle(2)),
    "padded": lambda: nn.Sequential(nn.ZeroPad2d((3, 1, 0, 2)), nn.Conv2d(3, 3, 3, 2)),
    "transposed": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1)),
    "focus": lambda: nn.Sequential(yl.create_model({**TWO_LEVELS, "backbone": FOCUS}).layers[0]),
    "cross convolutions": lambda: nn.Sequential(*list(yl.create_model({**TWO_LEVELS, "backbone": CROSS}).layers)[:2]),
}
FOCUS = [[-1, 1, "Focus", [8, 3]], *TWO_LEVELS["backbone"][1:]]
CROSS = [[-1, 1, "Conv", [8, 6, 2, 2]], [-1, 1, "C3x", [8]], *TWO_LEVELS["backbone"][2:]]


@pytest.mark.parametrize("name", list(OTHERS))
def test_fields_of_modules_of_all_kinds_are_what_gradients_measure(name: str) -> None:
    assert_exact(positive(OTHERS[name]()), noise(1, 3, 28, 36))


def test_a_field_holds_every_pixel_with_a_gradient_of_an_ordinary_model() -> None:
    model, images = yl.load("shapes-n"), noise(1, 3, 128, 192)
    for record in record_layers(model, images)[2::3]:
        gradients = CellGradients(model, images, record)
        for row, col in cells_of(record)[2:4]:
            x1, y1, x2, y2 = gradients.of(row, col).box
            left, top, right, bottom = record.receptive_field.of(row, col)
            assert left <= x1 < x2 <= right
            assert top <= y1 < y2 <= bottom


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("scale", [1.3, 0.37, 1.7, 2, (0.5, 2.9)])
def test_fields_of_resizing_by_a_scale_hold_every_pixel_with_a_gradient(mode: str, scale: float) -> None:
    model, images = nn.Upsample(scale_factor=scale, mode=mode), noise(1, 1, 16, 13).double()
    (record,) = record_layers(model, images)
    gradients, (rows, cols) = CellGradients(model, images, record), record.receptive_field.grid
    for k in range(max(rows, cols)):
        row, col = min(k, rows - 1), min(k, cols - 1)
        (x1, y1, x2, y2), box = record.receptive_field.of(row, col), gradients.of(row, col).box
        assert (min(x1, box[0]), min(y1, box[1]), max(x2, box[2]), max(y2, box[3])) == (x1, y1, x2, y2)
        assert (x1, y1, x2, y2) == box or mode == "bicubic"  # whose outer taps weigh nothing on whole numbers


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def shifted(x: Tensor) -> Tensor:
    out = x.clone()
    out[:, :, 2:] += x[:, :, :-2]
    return out


def shifted_twice(x: Tensor) -> Tensor:
    out = x.clone()
    out[:, :, 1::2, 3:9] += x[:, :, ::2, :6]
    return functional.avg_pool2d(out, 2) * 1


def from_zeros(x: Tensor) -> Tensor:
    out = torch.zeros(x.shape, dtype=x.dtype)
    out[:, :, 3:, :-1] = x[:, :, :-3, 1:]
    return functional.avg_pool2d(out, 3, 1, 1) + 0.1 * x


def by_channel(x: Tensor) -> Tensor:
    out = x.clone()
    out[:, :1] += functional.avg_pool2d(x, 3, 1, 1)[:, :1]
    out[:, 2] = 0
    return out


def seen_through_a_part(x: Tensor) -> Tensor:
    out = x.clone()
    part = out[:, :, 4:]
    out += functional.avg_pool2d(x, 3, 1, 1)
    return part * 1


@pytest.mark.parametrize("function", [shifted, shifted_twice, from_zeros, by_channel, seen_through_a_part])
def test_what_is_written_into_a_part_of_a_tensor_is_seen_in_all_of_it(function: Callable[[Tensor], Tensor]) -> None:
    model, images = nn.Sequential(Calls(function), nn.Conv2d(3, 2, 1)), noise(1, 3, 14, 12)
    records = record_layers(positive(model), images.double())
    assert [record.inputs for record in records] == [(-1,), (0,)]
    gradients, field = CellGradients(model, images.double(), records[1]), records[1].receptive_field
    assert field.because == ""
    for row, col in cells_of(records[1]):
        x1, y1, x2, y2 = gradients.of(row, col).box
        left, top, right, bottom = field.of(row, col)
        assert left <= x1 < x2 <= right, (row, col)
        assert top <= y1 < y2 <= bottom, (row, col)
    if function in (shifted, by_channel, seen_through_a_part):
        assert_exact(model, images)


def test_a_part_that_runs_along_no_axis_is_measured_through_the_module() -> None:
    def scattered(x: Tensor) -> Tensor:
        out = x.clone()
        out.flatten(1)[:, 7:] += x.flatten(1)[:, :-7]
        return out

    def summed(x: Tensor) -> Tensor:
        out = x.clone()
        out.flatten(1).cumsum_(1)
        return out

    def within_itself(x: Tensor) -> Tensor:
        out = x.clone()
        cells = out.flatten(2)
        cells[:, :, 5:] += cells[:, :, :-5].clone()
        return out

    for function in (scattered, summed, within_itself):
        model, images = nn.Sequential(Calls(function)), noise(1, 3, 8, 8).double()
        (record,) = record_layers(model, images)
        measured = effective_field(model, images, record, 4, 4).box
        assert (record.receptive_field.because, record.receptive_field.of(4, 4)) == ("", measured)


def test_an_activation_in_place_leaves_the_fields_as_they_were() -> None:
    def activated(x: Tensor) -> Tensor:
        out = x.clone()
        out.flatten(1).relu_()
        out[:, :, 3:].mul_(2)
        return out

    (record,) = record_layers(nn.Sequential(Calls(activated)), noise(1, 3, 8, 8))
    assert (record.receptive_field.size, record.receptive_field.of(4, 5)) == ((1, 1), (5, 4, 6, 5))


class Squeeze(nn.Module):
    """Channels weighted by what is in the whole map: Hu et al. 2017 (arXiv 1709.01507)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(Squeeze(), nn.Conv2d(4, 4, 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.PReLU(), nn.Conv2d(4, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.PReLU(), nn.Conv2d(4, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
        yl.create_model({**TWO_LEVELS, "backbone": [*TWO_LEVELS["backbone"][:3], [-1, 1, "C3TR", [16]]]}),
    ],
    ids=[
        "squeeze and excitation",
        "group normalisation",
        "instance normalisation",
        "statistics of the batch",
        "classifier",
        "transformer",
    ],
)
def test_what_mixes_the_whole_map_sees_the_whole_image(model: nn.Module) -> None:
    images = noise(1, 3, 64, 64)
    record = record_layers(model, images)[-1]
    assert record.receptive_field.size == (None, None)
    assert record.receptive_field.of(0, 0) == (0, 0, 64, 64)
    assert "the whole image" in repr(record.receptive_field)
    assert effective_field(model.double(), images.double(), record, 0, 0).box == (0, 0, 64, 64)


def test_batch_normalisation_by_what_was_learnt_leaves_cells_apart() -> None:
    record = record_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), noise(1, 3, 16, 16))[1]
    assert (record.receptive_field.size, record.receptive_field.because) == ((3, 3), "")


def test_a_cell_that_is_not_there_is_refused_in_words() -> None:
    model, images = nn.Conv2d(3, 4, 3, padding=1), noise(1, 3, 8, 9)
    (record,) = record_layers(model, images)
    with pytest.raises(ValueError, match=r"no cell \(8, 0\) in 8 rows and 9 columns"):
        record.receptive_field.of(8, 0)
    with pytest.raises(ValueError, match=r"no cell \(0, 9\)"):
        effective_field(model, images, record, 0, 9)
    with pytest.raises(ValueError, match="no channel 4 among the 4"):
        effective_field(model, images, record, 0, 0, channel=4)


def test_the_effective_field_of_a_wide_average_is_all_of_it() -> None:
    model = nn.AvgPool2d(9, 1, 4)
    images = noise(1, 3, 32, 32)
    (record,) = record_layers(model, images)
    found = effective_field(model, images, record, 16, 16, channel=1)
    assert found.size == 9
    assert found.gradient.sum().item() == pytest.approx(1)


# ---- statistics ------------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_numpy_with_nan_left_out() -> None:
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1)).relu()
    maps[0, 1, 2, 3] = float("nan")
    maps[1, 2, 0, 0] = -4
    whole, channels = feature_statistics(maps), feature_statistics(maps, per_channel=True)
    clean = maps[~maps.isnan()]
    expected = (clean.mean(), clean.std(unbiased=False), clean.min(), clean.max())
    assert whole[:4] == pytest.approx([float(value) for value in expected], rel=1e-5)
    assert whole.nans == pytest.approx(1 / maps.numel())
    assert whole.zeros == pytest.approx(float((maps == 0).float().mean()))
    assert whole.negatives == pytest.approx(1 / maps.numel())
    assert channels.nans.tolist() == pytest.approx([0, 1 / 70, 0])
    assert channels.max[0] == maps[:, 0].max()
    assert channels.min.tolist() == [0, 0, -4]
    with pytest.raises(ValueError, match="channels are the second dimension"):
        feature_statistics(torch.zeros(3), per_channel=True)


def test_statistics_hold_though_a_later_layer_works_in_place() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    images = noise(1, 3, 8, 8)
    conv, relu = record_layers(model, images)
    assert torch.equal(conv.output, model[0](images))
    assert conv.statistics[0].negatives > 0
    assert relu.statistics[0].negatives == 0
    assert (relu.inputs, relu.statistics[0].zeros) == ((0,), pytest.approx(conv.statistics[0].negatives))


# ---- the model is as it was ------------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Counts its calls in a buffer, in evaluation mode too, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if len(x) == 7:
            raise RuntimeError("seven images")
        return x + torch.rand(1)


@pytest.mark.parametrize("count", [1, 7])
def test_recording_leaves_no_trace_on_the_model(count: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), Counting()).train()
    model[1].eval()  # frozen, as some train
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    images = noise(count, 3, 8, 8)
    if count == 7:
        with pytest.raises(RuntimeError, match="seven images"):
            record_layers(model, images)
    else:
        record = record_layers(model, images)[2]
        effective_field(model, images, record, 2, 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True, True]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert images.grad_fn is None
    assert not images.requires_grad


class Rebinding(nn.Module):
    """Puts a new buffer in the place of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return x * 1


def test_a_buffer_that_is_put_in_anothers_place_is_taken_back() -> None:
    model = nn.Sequential(Rebinding())
    before = model[0].calls
    effective_field(model, noise(1, 3, 4, 4), record_layers(model, noise(1, 3, 4, 4))[0], 0, 0)
    assert model[0].calls is before
    assert before == 0


def test_images_that_a_model_writes_into_are_copies() -> None:
    model, images = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), noise(1, 3, 8, 8) - 0.5
    before = images.clone()
    relu, conv = record_layers(model, images)
    assert relu.statistics[0].negatives == 0
    assert effective_field(model, images, conv, 2, 2).gradient.sum() > 0
    assert torch.equal(images, before)


class Fallback(nn.Module):
    """Tries one convolution and takes another where that fails; then an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.act = nn.Sequential(nn.ReLU(), nn.Conv2d(9, 3, 1)), nn.Conv2d(3, 3, 1), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.first(x)
        except RuntimeError:
            x = self.other(x)
        return self.act(x)


def test_layers_after_one_that_fails_and_is_caught_are_recorded() -> None:
    model, images = Fallback(), noise(1, 3, 5, 5)
    records = record_layers(model, images, depth=None)
    assert [(record.index, record.name, record.inputs) for record in records] == [(0, "other", (-1,)), (1, "act", (0,))]
    assert all(record.seconds > 0 for record in records)
    assert effective_field(model, images, records[1], 2, 2).box == (2, 2, 3, 3)


# ---- unusual layers --------------------------------------------------------------------------------------------------


class Position(nn.Module):
    """Gives a parameter, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.ones(1, 3, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(len(x), -1, -1, -1)


def test_a_layer_that_does_not_read_the_image_has_an_empty_effective_field() -> None:
    model, images = nn.Sequential(Position()), noise(1, 3, 8, 8)
    (record,) = record_layers(model, images)
    assert record.receptive_field.of(0, 0) == (0, 0, 0, 0)
    assert repr(record.receptive_field) == "nothing of the image"
    assert effective_field(model, images, record, 0, 0).box == (0, 0, 0, 0)


def test_outputs_without_cells_or_numbers_are_recorded_all_the_same() -> None:
    functions = [lambda x: x[:0], lambda x: x.to_sparse(), lambda x: torch.fft.fft2(x), lambda x: x.sum()]
    records = [record_layers(nn.Sequential(Calls(function)), noise(1, 3, 4, 4))[0] for function in functions]
    assert [record.output_shape for record in records] == [(0, 3, 4, 4), (1, 3, 4, 4), (1, 3, 4, 4), ()]
    assert all(value != value for value in records[0].statistics[0])
    assert records[1].statistics[0].mean == pytest.approx(float(noise(1, 3, 4, 4).mean()))
    assert records[2].statistics[0].max == pytest.approx(float(torch.fft.fft2(noise(1, 3, 4, 4)).abs().max()))
    assert feature_statistics(torch.zeros(2, 3, 0), per_channel=True).mean.isnan().tolist() == [True] * 3


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: None, r"0 \(Calls\) gave no tensor"),
        (lambda x: object(), r"0 \(Calls\) gave no tensor"),
        (lambda x: x.sum(), "no cells to take gradients of"),
        (lambda x: torch.fft.fft2(x), "complex64 tensor"),
        (lambda x: x.to_sparse(), "sparse tensor"),
        (lambda x: x[:0], "no image 0 in 1 images and 0 outputs"),
        (lambda x: x.detach(), "no gradient leads"),
    ],
)
def test_what_has_no_effective_field_gets_a_sentence(function: Callable[[Tensor], object], sentence: str) -> None:
    model, images = nn.Sequential(Calls(function)), noise(1, 3, 4, 4)
    (record,) = record_layers(model, images)
    with pytest.raises(ValueError, match=sentence):
        effective_field(model, images, record, 0, 0)
    if "no tensor" in sentence:
        with pytest.raises(ValueError, match=sentence):
            _ = record.output_shape


def test_whole_numbers_have_no_gradient() -> None:
    model, images = nn.Sequential(Calls(lambda x: x * 2)), torch.ones(1, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"images of floats, not torch\.uint8"):
        effective_field(model, images, record_layers(model, images)[0], 0, 0)


def test_images_of_another_form_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\), not \(3, 8, 8\)"):
        record_layers(nn.Conv2d(3, 4, 3), noise(3, 8, 8))
    with pytest.raises(ValueError, match="not list"):
        record_layers(nn.Conv2d(3, 4, 3), [noise(3, 8, 8)])
    with pytest.raises(ValueError, match="depth is 1 or more"):
        record_layers(nn.Conv2d(3, 4, 3), noise(1, 3, 8, 8), depth=0)
    with pytest.raises(ValueError, match="multiples of 32"):
        record_layers(yl.create_model("yolov5n"), noise(1, 3, 33, 64))


# ---- the table -------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_layer_and_for_each_module_in_it() -> None:
    records = record_layers(yl.create_model("yolov5n"), noise(1, 3, 64, 64), depth=2)
    table, deep = show_layers(records).rows[0][0], show_layers(records, inside=True).rows[0][0]
    assert len(table.rows) == 25
    assert table.rows[12][:5] == ("12", "11, 6", "Concat", "256 x 4 x 4", "0")
    assert table.columns[-2:] == ("sees", "time")
    assert table.rows[0][-2:] == ("6 x 6", f"{records[0].seconds * 1e3:.2f} ms")
    assert len(deep.rows) == 25 + sum(len(record.inside) for record in records)
    assert deep.rows[1][2] == "conv Conv2d"
