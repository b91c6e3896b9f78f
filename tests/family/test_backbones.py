"""Every combination of dials is a network, with the strides that the dials say."""

import random
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from yolo_lite.family.backbones import Backbone, Classifier, backbone_of, features
from yolo_lite.family.backbones.dials import ACTIVATIONS
from yolo_lite.family.blocks import WeightedFusion
from yolo_lite.model.blocks import Conv
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

SMALL: dict[str, Any] = {"width": 0.25, "depth": 0.33}
CHOICES: dict[str, list[Any]] = {
    "stem": ["6x6", "Focus", "3x3"],
    "blocks": ["residual", "C3", "C2f", "ELAN", "RepConv"],
    "groups": [1, 2, 4],
    "depthwise": [False, False, True],
    "activation": list(ACTIVATIONS),
    "norm": ["BatchNorm", "SyncBN", "GroupNorm"],
    "pooling": ["SPPF", "SPP", "none"],
    "taps": [("P3", "P4", "P5"), ("P2", "P3"), ("P3", "P4", "P5", "P6"), ("P3", "P5", "P7"), ("P4",)],
    "tap_before_pooling": [False, True],
    "neck": ["FPN", "PAN", "BiFPN"],
    "neck_block": ["residual", "C3", "C2f", "ELAN", "RepConv"],
    "neck_repeats": [1, 6],
    "head": ["v5", "v8"],
}


def sampled(seed: int) -> Backbone:
    chosen = {name: random.Random(f"{seed} {name}").choice(values) for name, values in CHOICES.items()}
    if chosen["blocks"] == "ELAN":
        chosen["depthwise"] = False
    if len(chosen["taps"]) == 1:
        chosen["tap_before_pooling"] = False
    return Backbone(**SMALL, **chosen)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def built(**dials: Any) -> LayeredDetector:
    return create_model(Backbone(**{**SMALL, **dials}).spec(2))


@pytest.mark.parametrize("seed", range(40))
def test_every_combination_builds_with_its_strides(seed: int) -> None:
    dials = sampled(seed)
    spec = dials.spec(2)
    assert yaml.safe_load(yaml.safe_dump(spec)) == spec
    model = create_model(spec)
    assert model.strides == dials.strides
    reads = {source for row in model.rows for source in row.inputs}
    assert reads >= set(range(len(model.rows) - 1))  # no layer is for nothing


@pytest.mark.parametrize("seed", range(4))
def test_combinations_train_and_fuse(seed: int) -> None:
    model = create_model(sampled(seed).spec(2))
    side = 2 * model.size_multiple
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    sum(raw.square().mean() for raw in model(images)).backward()  # type: ignore[union-attr]
    without = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []
    model.eval()
    for fused, plain in zip(model.fuse()(images), model(images), strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "width", "depth"), [("yolov5n", 0.25, 0.33), ("yolov5m", 0.75, 0.67)])
def test_the_default_is_yolov5(name: str, width: float, depth: float) -> None:
    ours, theirs = create_model(Backbone(width=width, depth=depth).spec()), create_model(name)
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert [(row.kind, row.inputs) for row in ours.rows] == [(row.kind, row.inputs) for row in theirs.rows]


def test_a_dial_changes_what_it_says() -> None:
    assert isinstance(built(activation="LeakyReLU").layers[0].act, nn.LeakyReLU)
    assert built(activation="LeakyReLU").layers[0].act.negative_slope == 0.1
    assert isinstance(built(norm="GroupNorm").layers[0].bn, nn.GroupNorm)
    assert [row.kind for row in built(blocks=("C3", "C2f", "ELAN", "residual")).rows if row.kind.endswith("neck")] == [
        "Bottleneck"
    ]
    assert [row.kind for row in built(pooling="SPP").rows].count("SPP") == 1
    assert "SPPF" not in [row.kind for row in built(pooling="none").rows]
    assert len([layer for layer in built(neck="BiFPN").modules() if isinstance(layer, WeightedFusion)]) == 4
    assert parameters(built(depthwise=True)) < parameters(built(groups=4)) < parameters(built())


def test_depthwise_blocks_have_a_group_for_each_channel() -> None:
    for block in ("residual", "C3", "C2f", "RepConv"):
        backbone = backbone_of(built(blocks=block, depthwise=True))
        wide = [m.conv for m in backbone.modules() if isinstance(m, Conv) and m.conv.kernel_size == (3, 3)]
        in_blocks = [conv for conv in wide if block != "C2f" or conv.groups > 1]  # a C2f's first 3x3 is whole
        assert in_blocks
        assert {conv.groups / conv.in_channels for conv in in_blocks} == {1}


@pytest.mark.parametrize(
    ("steps", "strides"), [((4, 1, 2, 2), [8, 8, 16, 32]), ((1, 2, 2, 2, 2), [2, 4, 8, 16, 32])], ids=["early", "late"]
)
def test_strides_may_come_early_or_late(steps: tuple[int, ...], strides: list[int]) -> None:
    dials = Backbone(**SMALL, steps=steps)
    assert [stage.stride for stage in dials.stages] == strides
    model = create_model(dials.spec())
    assert model.strides == (8, 16, 32)
    rows = list(model.forward_layers(torch.zeros(1, 3, 64, 64)))
    sides = [output.shape[-1] for row, output in rows if row.kind == "C3"]  # type: ignore[union-attr]
    assert [64 // side for side in sides[: len(steps)]] == strides


def test_early_strides_cost_less() -> None:
    flops = [create_model(Backbone(**SMALL, steps=steps, channels=(64,) * 5).spec()).summary(64).flops
             for steps in ((4, 1, 2, 2), (2, 2, 2, 2), (1, 4, 2, 2))]  # fmt: skip
    assert flops == sorted(flops)


@pytest.mark.parametrize("neck", ["FPN", "PAN", "BiFPN"])
def test_a_tap_before_pooling_still_sends_the_pooled_map_down(neck: str) -> None:
    model = built(neck=neck, tap_before_pooling=True)
    pooled = next(row.index for row in model.rows if row.kind == "SPPF")
    readers = {source: [row.index for row in model.rows if source in row.inputs] for source in (pooled, pooled - 1)}
    assert all(any(reader > pooled for reader in found) for found in readers.values())


def test_lists_of_a_yaml_file_are_tuples() -> None:
    dials = Backbone(taps=["P3", "P4"], repeats=[1, 1, 1])  # type: ignore[arg-type]
    assert dials == Backbone(taps=("P3", "P4"), repeats=(1, 1, 1))
    assert hash(dials) == hash(Backbone(taps=("P3", "P4"), repeats=(1, 1, 1)))


@pytest.mark.parametrize(
    ("dials", "facts"),
    [
        ({"activation": "Swish"}, ["activation", "Swish", "SiLU"]),
        ({"norm": "LayerNorm"}, ["norm", "LayerNorm", "GroupNorm"]),
        ({"stem": None}, ["stem", "None", "Focus"]),
        ({"blocks": ("C3", "C4")}, ["blocks", "C4", "C2f"]),
        ({"blocks": ("C3", "C3")}, ["blocks", "2", "4 stages"]),
        ({"channels": (64, 128)}, ["channels", "2", "4 stages"]),
        ({"repeats": (1, 2, 3, 0)}, ["repeats", "0"]),
        ({"repeats": "3"}, ["repeats", "'3'"]),
        ({"steps": (2, 2, 3, 2)}, ["steps", "3"]),
        ({"steps": (2, 2, 2)}, ["P5", "32", "16"]),
        ({"steps": (2, 2, 2, 2, 2)}, ["64", "P5"]),
        ({"steps": (4, 2, 2), "taps": ("P2", "P5")}, ["P2", "4"]),
        ({"steps": (1,) * 3 + (2,) * 4}, ["channels", "7", "6"]),
        ({"taps": ()}, ["taps", "()"]),
        ({"taps": ("P4", "P3")}, ["taps", "P4, P3"]),
        ({"taps": ("P3", "P8")}, ["taps", "P8", "P7"]),
        ({"taps": "P3"}, ["taps", "'P3'"]),
        ({"width": 0}, ["width", "0"]),
        ({"depth": True}, ["depth", "True"]),
        ({"groups": 3}, ["groups", "3", "64", "stage 0"]),
        ({"groups": 1.5}, ["groups", "1.5"]),
        ({"depthwise": True, "blocks": ("C3", "C3", "ELAN", "C3")}, ["depthwise", "stage 2", "ELAN"]),
        ({"depthwise": 1}, ["depthwise", "1"]),
        ({"taps": ("P4",), "tap_before_pooling": True}, ["tap_before_pooling", "one tap", "none"]),
        ({"repeats": (1000,) * 4, "depth": 8}, ["repeats times depth 8", "stage 0", "8000", "1000"]),
        ({"neck_repeats": 1000, "depth": 8}, ["neck_repeats times depth 8", "8000", "1000"]),
        ({"neck_repeats": 501, "neck_block": "ELAN"}, ["neck_repeats", "ELAN", "1002"]),
        ({"channels": (64, 64, 64, 64, 2000), "width": 8}, ["channels times width 8", "stage 3", "16000"]),
        ({"neck": "NAS"}, ["neck", "NAS", "BiFPN"]),
        ({"head": "v6"}, ["head", "v6", "v8"]),
    ],
    ids=str,
)
def test_choices_that_do_not_fit_are_one_sentence(dials: dict[str, Any], facts: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        Backbone(**dials)
    assert "\n" not in str(caught.value)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_weights_of_a_fusion_are_positive_and_sum_to_one() -> None:
    fusion = WeightedFusion([4, 4, 4])
    fusion.weight.data = torch.tensor([3.0, -1.0, 1.0])
    torch.testing.assert_close(fusion.weights(), torch.tensor([0.75, 0.0, 0.25]), atol=1e-4, rtol=0)
    maps = [torch.full((1, 4, 2, 2), value) for value in (1.0, 50.0, 5.0)]
    torch.testing.assert_close(fusion(maps), torch.full((1, 4, 2, 2), 2.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("channels", [[4], [4, 8], 4])
def test_a_fusion_needs_maps_of_the_same_channels(channels: Any) -> None:
    with pytest.raises(ValueError, match="same channels"):
        WeightedFusion(channels)


def test_features_are_the_mean_of_the_backbones_last_map() -> None:
    model = built().eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    last = next(output for row, output in model.forward_layers(images) if row.kind == "SPPF")
    assert isinstance(last, torch.Tensor)
    torch.testing.assert_close(features(model, images), last.mean((2, 3)))
    torch.testing.assert_close(Classifier(model).eval()(images), features(model, images))


def test_a_classifier_shares_the_detectors_backbone_and_no_more() -> None:
    model = built(head="v8")
    classifier = Classifier(model, 5)
    backbone = {id(parameter) for parameter in classifier.backbone.parameters()}
    assert backbone < {id(parameter) for parameter in model.parameters()}
    assert parameters(classifier) == parameters(classifier.backbone) + 5 * (256 + 1)
    classifier(torch.zeros(2, 3, 64, 64)).sum().backward()
    head = next(parameter for parameter in model.layers[-1].parameters())
    assert model.layers[0].conv.weight.grad is not None
    assert head.grad is None


def test_a_classifiers_last_layer_comes_from_its_seed() -> None:
    model = built()
    weights = [Classifier(model, 3, seed=seed).last.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_network_without_backbone_rows_has_no_backbone_to_share() -> None:
    with pytest.raises(ValueError, match="darknet"):
        backbone_of(create_model("darknet-yolov3-tiny"))
