"""Every bundled network, against the recorded facts; and what networks do."""

import copy
import json
import math
import warnings
import weakref
from pathlib import Path

import pytest
import torch

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.spec import MODELS
from yolo_lite.model.yolo import Yolo, create_model

RECORDED = [
    *("yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x", "yolov5n6", "yolov5s6", "yolov5-p2"),
    *("yolov3", "yolov3-spp", "yolov3-tiny"),
]


@pytest.fixture(scope="module")
def facts(golden: Path) -> dict:
    return json.loads((golden / "facts.json").read_text())


@pytest.fixture(scope="module")
def nano() -> Yolo:
    return create_model("yolov5n").eval()


def absolute(index: int, source: int | list[int]) -> tuple[int, ...]:
    """`from` as recorded -> indices of layers, -1 for the image."""
    sources = source if isinstance(source, list) else [source]
    return tuple(index + entry if entry < 0 and index else entry for entry in sources)


def test_every_recorded_model_is_tried(facts: dict) -> None:
    assert sorted(RECORDED) == sorted(facts["models"])


@pytest.mark.parametrize("name", RECORDED)
def test_layers_are_the_recorded_ones(name: str, facts: dict) -> None:
    recorded, model = facts["models"][name], create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == recorded["parameters"]
    assert len(model.layers) == recorded["layers"]
    assert list(model.strides) == recorded["stride"]
    assert [row.kind for row in model.rows] == recorded["types"]
    assert [row.inputs for row in model.rows] == [absolute(*pair) for pair in enumerate(recorded["from_"])]
    assert [sum(p.numel() for p in layer.parameters()) for layer in model.layers] == recorded["layer_parameters"]


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(RECORDED)))
def test_the_other_sizes_build_and_run(name: str) -> None:
    model = create_model(name, num_classes=2)
    shapes = model.summary(img_size=256).rows[-1].output_shapes
    assert shapes == tuple((1, 3, 256 // stride, 256 // stride, 7) for stride in model.strides)


def test_every_shape_of_yolov5n_at_640(facts: dict, nano: Yolo) -> None:
    with torch.no_grad():
        pairs = list(nano.forward_layers(torch.zeros(4, 3, 640, 640)))
    shapes = [list(output.shape) if torch.is_tensor(output) else [list(o.shape) for o in output] for _, output in pairs]
    assert shapes == facts["yolov5n_shapes_4x640"]


def test_detect_bias_starts_at_the_prior(facts: dict, nano: Yolo) -> None:
    for conv, stride, recorded in zip(
        nano.detect.m, nano.strides, facts["models"]["yolov5n"]["detect_bias"], strict=True
    ):
        bound = 1 / math.sqrt(conv.in_channels)  # PyTorch's random start of a 1x1 convolution's bias
        bias = conv.bias.detach().view(3, 85)
        objectness, classes = math.log(8 / (640 / stride) ** 2), math.log(0.6 / (80 - 0.99999))
        assert (bias[:, :4].abs() <= bound).all()
        assert ((bias[:, 4] - objectness).abs() <= bound).all()
        assert ((bias[:, 5:] - classes).abs() <= bound).all()
        assert abs(recorded[4] - objectness) <= bound  # the recorded numbers: first anchor, one class
        assert abs(recorded[5] - classes) <= bound


def test_anchors_are_in_the_order_of_the_strides() -> None:
    assert create_model("yolov5s").anchors[0].tolist() == [[10, 13], [16, 30], [33, 23]]
    assert create_model("yolov5s6").anchors[3, 2].tolist() == [925, 792]
    assert create_model("yolov3").strides == (8, 16, 32)
    backwards = [[116, 90, 156, 198, 373, 326], [30, 61, 62, 45, 59, 119], [10, 13, 16, 30, 33, 23]]
    model = create_model("yolov5n", anchors=backwards)
    assert model.anchors[0].tolist() == [[10, 13], [16, 30], [33, 23]]


def test_a_number_of_anchors_gives_sizes_that_grow_with_the_stride() -> None:
    model = create_model("yolov5n-p2")
    assert model.anchors.shape == (4, 3, 2)
    areas = model.anchors.prod(-1)  # (L, A)
    assert torch.allclose(areas, (4 * torch.tensor(model.strides)[:, None].float()) ** 2 * torch.ones(4, 3))


def test_train_and_eval_mode_give_maps_of_the_same_shape(nano: Yolo) -> None:
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        trained, evaluated = create_model("yolov5n").train()(images), nano(images)
    assert [raw.shape for raw in trained] == [raw.shape for raw in evaluated]
    assert [tuple(raw.shape[2:4]) for raw in evaluated] == [(8, 12), (4, 6), (2, 3)]
    assert nano.decode(evaluated).shape == (2, 3 * (96 + 24 + 6), 85)


def test_forward_runs_through_forward_layers(nano: Yolo) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        outputs = dict(enumerate(output for _, output in nano.forward_layers(images)))
        for row in nano.rows[:-1]:  # each layer again, from the recorded outputs of the layers that its row names
            inputs = [images if source == -1 else outputs[source] for source in row.inputs]
            assert torch.equal(nano.layers[row.index](inputs if row.takes_list else inputs[0]), outputs[row.index])
        assert all(torch.equal(a, b) for a, b in zip(nano(images), outputs[24], strict=True))


def test_only_what_later_layers_read_is_kept(nano: Yolo) -> None:
    alive: dict[int, weakref.ref] = {}
    with torch.no_grad():
        for row, output in nano.forward_layers(torch.zeros(1, 3, 64, 64)):
            if row.index < 24:
                alive[row.index] = weakref.ref(output)
            del output
            if row.index == 13:
                kept = [index for index, reference in alive.items() if reference() is not None]
    assert kept == [4, 10, 13]  # 4 for layer 16, 10 for layer 22; 6 was last read by layer 12


def test_same_seed_same_weights_and_the_global_state_stays() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (create_model("yolov5n", num_classes=1, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    third = create_model("yolov5n", num_classes=1, seed=3)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
        assert torch.equal(value, third.state_dict()[key])
    weights = [model.layers[0].conv.weight for model in (first, other)]
    assert not torch.equal(*weights)


def test_building_leaves_batchnorm_statistics_alone(nano: Yolo) -> None:
    assert (nano.layers[0].bn.running_mean == 0).all()
    assert nano.layers[0].bn.num_batches_tracked == 0


@pytest.mark.parametrize(("name", "parameters"), [("yolov5n", 1_867_405), ("yolov5s", 7_225_885)])
def test_a_fused_copy_computes_the_same(name: str, parameters: int) -> None:
    model = create_model(name)
    with torch.no_grad():
        model.train()(torch.rand(4, 3, 64, 64))  # statistics other than the initial ones
    model.eval()
    fused = model.fuse()
    assert sum(parameter.numel() for parameter in fused.parameters()) == parameters
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(fused(images), model(images), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-4)
    assert isinstance(model.layers[0].bn, torch.nn.BatchNorm2d)  # the model itself is as it was
    assert not fused.training


@pytest.mark.parametrize(
    ("name", "gigaflops"),
    [("yolov5n", 4.5), ("yolov5s", 16.5), ("yolov5m", 49.0), ("yolov5l", 109.1), ("yolov5x", 205.7)],
)
def test_summary_counts_the_published_cost(name: str, gigaflops: float) -> None:
    assert round(create_model(name).summary().flops / 1e9, 1) == gigaflops


def test_summary_rows(facts: dict, nano: Yolo) -> None:
    summary = nano.summary(640)
    assert [row.parameters for row in summary.rows] == facts["models"]["yolov5n"]["layer_parameters"]
    shapes = [list(row.output_shapes[0][1:]) for row in summary.rows[:-1]]
    assert shapes == [shape[1:] for shape in facts["yolov5n_shapes_4x640"][:-1]]
    assert summary.rows[12].input_shapes == ((1, 128, 40, 40), (1, 128, 40, 40))
    # layer 0 by hand: 320 x 320 places, 16 filters of 6 x 6 x 3 taps, 2 per tap; and BatchNorm, 2 per element
    assert summary.rows[0].flops == 320 * 320 * 16 * (6 * 6 * 3 * 2 + 2)
    text = str(summary)
    assert "1,872,157 parameters, 4.5 GFLOPs at 640 x 640" in text
    assert len(text.splitlines()) == 27  # a heading, 25 layers, the totals
    assert nano.summary((320, 640)).img_size == (320, 640)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(1, 3, 100, 64), "100 x 64.*multiples of 32"),
        (torch.zeros(1, 3, 0, 64), "multiples of 32"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "float.*255"),
        (torch.zeros(3, 64, 64), r"shape \(N, 3, H, W\), not \(3, 64, 64\)"),
        (torch.zeros(1, 64, 64, 3), r"shape \(N, 3, H, W\)"),
        ([[1.0]], "must be a tensor.*list"),
    ],
)
def test_bad_images_are_one_sentence(nano: Yolo, images: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        nano(images)
    assert "\n" not in str(error.value)


def test_criterion_scales_the_gains() -> None:
    model = create_model("yolov5n", num_classes=4)
    loss = model.criterion(Hyperparameters(), img_size=320)
    parts = loss(model(torch.zeros(1, 3, 64, 64)), torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]]))
    reference = model.criterion(Hyperparameters(), img_size=640)
    again = reference(model(torch.zeros(1, 3, 64, 64)), torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]]))
    assert torch.allclose(parts.obj * 4, again.obj)  # (320 / 640)^2
    assert parts.total.requires_grad


def test_set_anchors_keeps_spec_and_buffer_together(nano: Yolo) -> None:
    model = create_model("yolov5n")
    model.set_anchors(model.anchors * 2)
    assert model.anchors[0, 0].tolist() == [20, 26]
    assert torch.equal(create_model(model.spec).anchors, model.anchors)
    with pytest.raises(ValueError, match=r"2 levels.*anchors.*3"):
        model.set_anchors(torch.ones(2, 3, 2))
    with pytest.raises(ValueError, match=r"2 anchors per level.*3"):
        model.set_anchors(torch.ones(3, 2, 2))


def test_gray_and_many_channels() -> None:
    model = create_model("yolov5n", num_classes=1, channels=1)
    assert model(torch.zeros(1, 1, 64, 64))[0].shape == (1, 3, 8, 8, 6)


def test_compiled_and_exported_models_compute_the_same(nano: Yolo) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = nano(images)[0]
        compiled = torch.compile(nano, backend="eager", fullgraph=True)(images)[0]
        exported = torch.export.export(nano, (images,)).module()(images)[0]
    assert torch.equal(compiled, expected)
    assert torch.equal(exported, expected)


def test_a_model_that_version_0_1_0_pickled_computes_the_same() -> None:
    model = create_model("yolov5n", num_classes=2).eval()
    images = torch.rand(1, 3, 64, 64)
    old = copy.copy(model)
    state = {name: value for name, value in model.__dict__.items() if name != "rows"}  # which 0.1.0 did not have
    old.__dict__.clear()
    old.__setstate__(state)
    assert [row._replace(where="") for row in old.rows] == [row._replace(where="") for row in model.rows]
    for mine, theirs in zip(old(images), model(images), strict=True):
        assert torch.equal(mine, theirs)


def test_scripting_gets_a_sentence_and_tracing_works() -> None:
    model = create_model("yolov5n", num_classes=2).eval()
    with pytest.raises(TypeError, match=r"torch\.jit\.trace"):
        torch.jit.script(model)
    images = torch.rand(1, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, images, strict=False)
    assert all(torch.equal(one, other) for one, other in zip(traced(images), model(images), strict=True))
