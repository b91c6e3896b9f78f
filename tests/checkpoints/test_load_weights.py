"""Weights that fit a network in part, and what a file says about weights that were trained on."""

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.train.runs import TINY, tiny
from yolo_lite.checkpoints.own import load, save
from yolo_lite.checkpoints.partial import load_weights
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.yolo import create_model


def same(model: nn.Module, other: nn.Module, names) -> bool:
    here, there = model.state_dict(), other.state_dict()
    return all(torch.equal(here[name], there[name]) for name in names)


def test_everything_fits_the_same_network(tmp_path):
    trained = tiny(seed=1)
    trained.set_anchors([[9, 9, 17, 13], [25, 25, 41, 41]])
    save(trained, tmp_path / "one.safetensors")
    for source in (trained, trained.state_dict(), tmp_path / "one.safetensors", str(tmp_path / "one.safetensors")):
        model = tiny()
        found = load_weights(model, source)
        if isinstance(source, nn.Module | dict):
            assert not found.left
        assert same(model, trained, trained.state_dict())
        assert model.spec["anchors"] == trained.spec["anchors"]
        assert not found.unused


def test_a_head_of_other_classes_is_left_with_its_anchors():
    trained, model = tiny(seed=1), create_model(TINY, num_classes=2)
    model.set_anchors([[9, 9, 17, 13], [25, 25, 41, 41]])
    before = model.anchors.clone()
    found = load_weights(model, trained)
    assert all(name.startswith("layers.3.") for name in found.left)
    assert any("(14, 8, 1, 1) here, (22, 8, 1, 1) there" in reason for reason in found.left.values())
    assert same(model, trained, found.taken)
    assert torch.equal(model.anchors, before)
    total = len(model.state_dict())
    assert "layers.3.anchors" in found.left
    assert str(found).startswith(
        f"taken: {len(found.taken)} of {total} tensors; left as they were: layers.3.m.0.weight"
    )


def test_a_module_of_ones_own_and_a_plain_file(tmp_path):
    trained, model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(3, 4, 3))
    trained[1].num_batches_tracked += 7
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "plain.safetensors")
    found = load_weights(model, tmp_path / "plain.safetensors")
    assert found.taken == ("0.weight", "0.bias")
    assert set(found.unused.values()) == {"no tensor of that name here"}
    assert torch.equal(model[0].weight, trained[0].weight)
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5))  # a counter goes with its statistics
    assert "1.num_batches_tracked" in load_weights(other, trained).left
    assert other[1].num_batches_tracked == 0


def test_tensors_of_nan_and_of_complex_numbers_are_left():
    model = nn.Conv2d(3, 4, 3)
    before = model.weight.clone()
    for value in (model.weight + torch.nan, model.weight * 1j):
        found = load_weights(model, {"weight": value.detach(), "bias": torch.ones(4)})
        assert found.taken == ("bias",)
        assert found.left["weight"] in ("NaN there", "complex numbers there")
        assert torch.equal(model.weight, before)


def test_what_cannot_be_taken_is_said_and_changes_nothing(tmp_path):
    model = tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"none of its tensors fits.*layers\.0"):
        load_weights(model, nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="is fused and the model is not"):
        load_weights(model, tiny().fuse())
    with pytest.raises(TypeError, match="holds dict under 'model'"):
        load_weights(model, {"model": {}})
    with pytest.raises(TypeError, match="not a int"):
        load_weights(model, 3)
    with pytest.raises(CheckpointError, match="no such file"):
        load_weights(model, tmp_path / "none.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ------------------------------------------------------------------------------------ what a file says of its training


@pytest.fixture
def parent(tmp_path):
    model = tiny()
    save(model, tmp_path / "parent.safetensors", {"img_size": 64, "date": "long ago", "fitness": 0.5})
    return tmp_path / "parent.safetensors"


SAID = {"img_size": 64, "date": "long ago", "fitness": 0.5}


def test_a_copy_says_what_its_file_says(parent, tmp_path):
    for half, model in ((False, load(parent)), (True, load(parent)), (False, load(parent).fuse())):
        save(model, tmp_path / "copy.safetensors", half=half)
        assert load(tmp_path / "copy.safetensors").metadata == SAID


def test_weights_that_were_trained_since_are_not_those_of_the_parent(parent, tmp_path):
    model = load(parent).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    model(torch.rand(2, 3, 64, 64))[0].mean().backward()
    optimizer.step()
    save(model, tmp_path / "child.safetensors")
    child = load(tmp_path / "child.safetensors")
    assert child.metadata == {"img_size": 64, "parent": SAID}
    model.metadata = {"img_size": 64, "note": "of my loop"}
    save(model, tmp_path / "child.safetensors")
    assert load(tmp_path / "child.safetensors").metadata == model.metadata


def test_a_new_head_is_not_what_the_file_speaks_of(parent):
    assert load(parent, num_classes=2).metadata == {"img_size": 64, "parent": SAID}
    assert load(parent, names=tuple("abcdef"), num_classes=6).metadata == SAID
