"""A trained backbone goes into a detector with another neck, head or classes."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import yolo_lite as yl
from tests.family.darknet.cfgs import V3
from yolo_lite.checkpoints.darknet import load_darknet_weights, save_darknet_weights
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.family.backbones import features
from yolo_lite.model.layered import LayeredDetector


def built(seed: int, num_classes: int = 2, **dials: Any) -> LayeredDetector:
    return yl.create_model(yl.Backbone(width=0.25, depth=0.33, **dials).spec(num_classes), seed=seed)


def state(model: LayeredDetector) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("other", [{"neck": "BiFPN"}, {"neck": "FPN"}, {"head": "v8"}, {"neck_block": "C2f"}], ids=str)
def test_the_whole_backbone_is_taken_and_nothing_else(tmp_path: Path, other: dict[str, Any]) -> None:
    trained, model = built(1, 3), built(2, **other)
    before = state(model)
    yl.save(trained, tmp_path / "trained.safetensors")
    taken = yl.load_backbone(model, tmp_path / "trained.safetensors")
    backbone = {name for name in before if int(name.split(".")[1]) < 10}
    assert set(taken.taken) == backbone
    assert (taken.left, taken.unused, taken.layers) == ({}, {}, 10)
    assert all(torch.equal(model.state_dict()[name], trained.state_dict()[name]) for name in backbone)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before.keys() - backbone)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(features(model.eval(), images), features(trained.eval(), images))


def test_what_does_not_fit_stays_and_is_named() -> None:
    trained, model = built(1), built(2, stem="Focus", blocks=("C3", "C3", "C2f", "C3"), norm="GroupNorm")
    before = state(model)
    taken = yl.load_backbone(model, trained)
    assert "C2f here, C3 there" in taken.left["layers.6.cv1.conv.weight"]
    assert "Focus here, Conv there" in taken.left["layers.0.conv.conv.weight"]
    assert "layers.1.bn.running_mean" in taken.unused
    assert "layers.1.conv.weight" in taken.taken
    assert set(taken.taken).isdisjoint(taken.left)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in taken.left)
    assert f"{len(taken.taken)} of {len(taken.taken) + len(taken.left)} tensors" in str(taken)


def test_little_that_is_taken_is_a_warning() -> None:
    """Layers 0 to 2 are the same; those behind are wider."""
    trained, model = built(1), built(2, channels=(64, 128, 512, 1024, 2048))
    with pytest.warns(
        UserWarning, match=r"^the source: most of the model's backbone stays.*\(less than half\)"
    ) as said:
        taken = yl.load_backbone(model, trained)
    assert 0 < 2 * len(taken.taken) < len(taken.taken) + len(taken.left)
    assert str(taken) in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yl.load_backbone(built(2), trained)


def test_other_shapes_are_said() -> None:
    trained, model = built(1), built(2, channels=(64, 128, 256, 512, 768))
    taken = yl.load_backbone(model, trained)
    assert taken.left["layers.7.conv.weight"] == "(192, 128, 3, 3) here, (256, 128, 3, 3) there"


def test_if_nothing_fits_it_is_an_error_and_the_model_stays() -> None:
    model = yl.create_model(yl.Backbone(width=0.5, depth=0.33).spec(2))
    before = state(model)
    with pytest.raises(CheckpointError, match=r"\(32, 3, 6, 6\) here, \(16, 3, 6, 6\) there"):
        yl.load_backbone(model, built(1))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_fused_and_unfused_weights_are_not_mixed() -> None:
    with pytest.raises(CheckpointError, match="fused"):
        yl.load_backbone(built(1), built(2).fuse())
    assert yl.load_backbone(built(1).fuse(), built(2).fuse()).left == {}


def test_another_activation_is_said() -> None:
    relu, leaky, silu = built(1, activation="ReLU"), built(1, activation="LeakyReLU"), built(2)
    assert str(yl.load_backbone(silu, leaky)).endswith("SiLU() here, LeakyReLU(negative_slope=0.1) there")
    assert yl.load_backbone(relu, silu).activations == ("ReLU()", "SiLU()")
    assert "activation" not in str(yl.load_backbone(silu, built(3)))


def test_what_is_no_detector_is_refused() -> None:
    model = built(1)
    with pytest.raises(TypeError, match=r"model must be a detector.*not 'x'"):
        yl.load_backbone("x", model)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="source must be the path of a checkpoint or a detector, not None"):
        yl.load_backbone(model, None)  # type: ignore[arg-type]


def test_a_network_without_backbone_rows_is_refused() -> None:
    with pytest.raises(CheckpointError, match="fcos"):
        yl.load_backbone(built(1), yl.create_model({"family": "fcos", "width": 0.25, "backbone": "resnet18"}))


def test_of_two_darknets_the_layers_are_taken_that_agree() -> None:
    cfg = V3
    model = yl.create_model({"family": "darknet", "cfg": cfg}, num_classes=5, seed=2)
    trained = yl.create_model({"family": "darknet", "cfg": cfg}, seed=1)
    taken = yl.load_backbone(model, trained)
    assert 0 < taken.layers < len(model.layers)
    assert all(torch.equal(model.state_dict()[name], trained.state_dict()[name]) for name in taken.taken)


def test_a_part_of_a_darknet_file_is_a_backbone(tmp_path: Path) -> None:
    model, trained = (yl.create_model({"family": "darknet", "cfg": V3}, seed=seed) for seed in (1, 2))
    save_darknet_weights(trained, tmp_path / "net.weights")  # type: ignore[arg-type]
    read = load_darknet_weights(yl.create_model({"family": "darknet", "cfg": V3}), tmp_path / "net.weights", upto=1)  # type: ignore[arg-type]
    size = 20 + 4 * sum(v.numel() for n, v in trained.state_dict().items()
                        if n.startswith("layers.0.") and not n.endswith("tracked"))  # fmt: skip
    part = tmp_path / "net.conv.1"
    part.write_bytes((tmp_path / "net.weights").read_bytes()[:size])
    taken = yl.load_backbone(model, part)
    assert read.layers == (0,)
    assert taken.taken
    assert all(name.startswith("layers.0.") for name in taken.taken)
    assert torch.equal(model.state_dict()["layers.0.conv.weight"], trained.state_dict()["layers.0.conv.weight"])
