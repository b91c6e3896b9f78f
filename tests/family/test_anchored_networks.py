"""The networks of SSD, RetinaNet and FCOS."""

import json

import pytest
import torch

from yolo_lite.family.anchored import AnchoredLoss
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.families import builder
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model
from yolo_lite.support.summary import flop_counter

PUBLISHED = {  # parameters with COCO's 91 columns, and multiply-adds of the convolutions
    "ssd": ({"family": "ssd"}, 90, 300, 35_641_826, 34_858_153_472),
    "retinanet": ({"family": "retinanet"}, 91, 640, 34_068_119, 96_880_198_400),
    "retinanet-v2": ({"family": "retinanet", "version": 2}, 91, 640, 38_198_935, 97_293_075_200),
    "fcos": ({"family": "fcos"}, 91, 640, 32_322_720, 81_972_224_000),
}
SMALL = {
    "ssd": {"family": "ssd", "width": 0.125, "size": [96, 128], "levels": 4},
    "ssd-bn": {"family": "ssd", "backbone": "vgg16_bn", "width": 0.125, "size": [96, 128], "levels": 4},
    "retinanet": {"family": "retinanet", "backbone": "resnet18", "width": 0.125, "channels": 16},
    "retinanet-v2": {"family": "retinanet", "backbone": "resnet50", "width": 0.125, "channels": 16, "version": 2},
    "fcos": {"family": "fcos", "backbone": "resnet18", "width": 0.125, "channels": 16},
}
SIZE = (96, 128)
each_small = pytest.mark.parametrize("spec", SMALL.values(), ids=SMALL)


def small(spec: dict, **given: object) -> LayeredDetector:
    return create_model(spec, num_classes=3, **given)


@pytest.mark.parametrize(("spec", "num_classes", "size", "parameters", "macs"), PUBLISHED.values(), ids=PUBLISHED)
def test_parameters_and_cost_are_the_published_ones(
    spec: dict, num_classes: int, size: int, parameters: int, macs: int
) -> None:
    with torch.device("meta"):  # shapes without numbers
        model = builder(spec["family"])(spec, "a test", num_classes)
    assert sum(each.numel() for each in model.parameters()) == parameters
    with torch.no_grad(), flop_counter() as counter:
        model(torch.zeros(1, 3, size, size, device="meta"))
    counted = counter.get_flop_counts()["Global"]
    assert sum(number for operation, number in counted.items() if "convolution" in str(operation)) == 2 * macs


@each_small
def test_forward_decode_criterion(spec: dict) -> None:
    model = small(spec)
    maps = model(torch.rand(2, 3, *SIZE))
    boxes = model.decode(maps)
    assert boxes.shape == (2, sum(raw.shape[1:4].numel() for raw in maps), 5 + 3)
    assert boxes.isfinite().all()
    assert (boxes[..., 4:] >= 0).all()
    assert (boxes[..., 4:] <= 1).all()
    loss = model.criterion(Hyperparameters(), SIZE[1])
    assert isinstance(loss, AnchoredLoss)
    parts = loss(maps, torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.5], [1, 2, 0.4, 0.5, 0.6, 0.7]]))
    assert loss.dropped == 0
    parts.total.backward()
    missing = [name for name, each in model.named_parameters() if each.grad is None]
    assert missing == []


@each_small
def test_rows_describe_layers(spec: dict) -> None:
    model = small(spec)
    assert [row.index for row in model.rows] == list(range(len(model.layers)))
    outputs = {row.index: output for row, output in model.forward_layers(torch.rand(1, 3, *SIZE))}
    assert len(outputs[len(model.rows) - 1]) == len(model.strides)
    assert model.summary(SIZE).parameters == sum(each.numel() for each in model.parameters())


@each_small
def test_the_seed_decides_the_weights(spec: dict) -> None:
    first, again, other = (torch.cat([p.flatten() for p in small(spec, seed=s).parameters()]) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@each_small
def test_the_spec_builds_the_network_again(spec: dict) -> None:
    model = small(spec, names=["a", "b", "c"], channels=1)
    again = create_model(json.loads(json.dumps(model.spec)))
    assert (again.num_classes, again.channels) == (3, 1)
    again.load_state_dict(model.state_dict())
    images = torch.rand(1, 1, *SIZE)
    for ours, theirs in zip(model.eval()(images), again.eval()(images), strict=True):
        assert torch.equal(ours, theirs)


@each_small
def test_fused_gives_the_same(spec: dict) -> None:
    model = small(spec)
    model(torch.rand(2, 3, *SIZE))  # BatchNorm has seen something
    images = torch.rand(1, 3, *SIZE)
    for ours, fused in zip(model.eval()(images), model.fuse()(images), strict=True):
        torch.testing.assert_close(ours, fused, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["retinanet", "fcos"])
def test_pyramids_take_multiples_of_32(name: str) -> None:
    model = small(SMALL[name])
    assert [tuple(raw.shape[2:4]) for raw in model(torch.rand(2, 3, 64, 160))] == [
        (8, 20),
        (4, 10),
        (2, 5),
        (1, 3),
        (1, 2),
    ]
    with pytest.raises(ValueError, match="80 x 128"):
        model(torch.rand(1, 3, 80, 128))
    with pytest.raises(ValueError, match="3, H, W"):
        model(torch.rand(1, 4, 64, 64))
    with pytest.raises(ValueError, match="uint8"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_ssd_takes_its_size_alone() -> None:
    with pytest.raises(ValueError, match="96 x 128"):
        small(SMALL["ssd"])(torch.rand(1, 3, 128, 128))


def test_priors_begin_at_one_in_a_hundred() -> None:
    for name in ("retinanet", "fcos"):
        decoded = (model := small(SMALL[name]).eval()).decode(model(torch.zeros(1, 3, *SIZE)))
        scores = decoded[..., 5:] if name == "retinanet" else decoded[..., 5:] ** 2
        assert scores.mean().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"family": "ssd", "size": 200}, "200"),
        ({"family": "ssd", "size": 100_000}, "100000"),
        ({"family": "ssd", "levels": 7}, "7"),
        ({"family": "ssd", "backbone": "vgg19"}, "vgg19"),
        ({"family": "retinanet", "backbone": "resnet"}, "resnet"),
        ({"family": "retinanet", "width": 0}, "0"),
        ({"family": "retinanet", "wdith": 1.0}, "wdith"),
        ({"family": "retinanet", "version": True}, "True"),
        ({"family": "fcos", "channels": 20}, "20"),
        ({"family": "fcos", "nc": 0}, "0"),
    ],
)
def test_what_cannot_be_built_is_named(spec: dict, named: str) -> None:
    with pytest.raises(SpecError, match=named):
        create_model(spec)


def test_anchors_are_not_given_from_outside() -> None:
    with pytest.raises(SpecError, match="anchors"):
        create_model(SMALL["fcos"], anchors=3)


def test_names_make_classes() -> None:
    model = create_model(SMALL["fcos"] | {"names": ["cat", "dog"]})
    assert (model.names, model.num_classes) == (("cat", "dog"), 2)


def test_explorers_know_what_the_head_of_ssd_sees() -> None:
    """Normalising over channels mixes no cells."""
    from walkthrough.layers.record import record_layers

    size = [128, 128]
    records = record_layers(small(SMALL["ssd"] | {"size": size}), torch.rand(1, 3, *size))
    assert records[-1].receptive_field.because == ""
