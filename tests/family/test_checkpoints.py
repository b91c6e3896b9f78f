"""Checkpoints of other generations than YOLOv5 that are damaged, foreign or greedy: refused before memory is spent."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from tests.family.tiny import TINY, tiny_model, tiny_yolov9
from yolo_lite.checkpoints.own import HEADER_KEY, CheckpointError, load, save
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

# A connected layer of 9408 x 2 000 000 000 weights
GREEDY = """[net]
width=56
height=56
[connected]
output=2000000000
[connected]
output=784
[detection]
classes=6
num=2
side=7
coords=4
"""


def rewritten(model: LayeredDetector, folder: Path, **changes: Any) -> Path:
    """A file of the model, its header changed."""
    file = folder / "model.safetensors"
    save(model, file)
    with safetensors.safe_open(file, "pt") as stored:
        header = json.loads(stored.metadata()[HEADER_KEY])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, file, {HEADER_KEY: json.dumps(header | changes)})
    return file


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "yolov99"}, r"yolov99.*darknet, ssd"),
        ({"architecture": ["ssd"]}, "does not know"),
        ({"architecture": "yolo"}, r"'yolo'.*'darknet'"),
        ({"architecture": "ssd"}, r"'ssd'.*'darknet'"),
        ({"spec": {"family": "ssd"}}, r"'darknet'.*'ssd'"),
        ({"spec": {"family": "darknet"}}, "cannot be built"),
        ({"spec": {"family": "darknet", "cfg": 7}}, "cannot be built"),
        ({"spec": {"family": "darknet", "cfg": "[net]\nwidth=32\n[evil]\n"}}, "evil"),
        ({"spec": {"family": "darknet", "cfg": GREEDY}}, "cannot be built.*limit"),
        ({"spec": {"family": "darknet", "cfg": GREEDY, "max_floats": 10**18}}, "cannot be built.*max_floats"),
        ({"spec": {"family": "darknet", "name": "yolov4"}}, "cannot be built|do not fit"),
        ({"names": ["only one"]}, "cannot be built"),
        ({"fused": True}, "do not fit"),
    ],
)
def test_a_header_that_lies(changes: dict, words: str, tmp_path: Path) -> None:
    file = rewritten(tiny_model("v3"), tmp_path, **changes)
    with pytest.raises(CheckpointError, match=words) as error:
        load(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("name", TINY)
def test_classes_that_the_weights_do_not_have(name: str, tmp_path: Path) -> None:
    model = tiny_model(name)
    names = [f"class {index}" for index in range(9)]
    file = rewritten(model, tmp_path, names=names, spec=model.spec | {"nc": 9})
    # of a network whose classes are texts, it is words that the weights do not have
    what = "encoder.vectors.* is missing" if model.classes_are_texts else "9 classes"
    with pytest.raises(CheckpointError, match=rf"do not fit the network.*{what}"):
        load(file)


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("ssd", {"width": 1e9}),
        ("ssd", {"width": 8}),
        ("ssd", {"size": 10**9}),
        ("ssd", {"levels": 10**9}),
        ("retinanet", {"channels": 10**9}),
        ("retinanet", {"channels": 2048}),
        ("fcos", {"backbone": "resnet" + "9" * 100}),
        ("fcos", {"width": "wide"}),
        ("fcos", {"ch": 10**12}),
    ],
)
def test_specs_of_absurd_size(name: str, entries: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the meta device, which computes shapes without memory, sees them."""
    model = tiny_model(name)
    file = rewritten(model, tmp_path, spec=model.spec | entries)
    monkeypatch.setattr("yolo_lite.checkpoints.assemble.seeded", lambda seed: pytest.fail("it is built"))
    with pytest.raises(CheckpointError, match=r"cannot be built|do not fit"):
        load(file)


@pytest.mark.parametrize(
    "row",
    [
        [-1, 1000, "C2f", [16]],
        [-1, 1, "RepNCSPELAN4", [16, 16, 8, 10**9]],
        [-1, 1, "ELAN", [16, 8, 8, 10**9, 1]],
    ],
)
def test_rows_that_ask_for_thousands_of_blocks(row: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model(with_auxiliary(tiny_yolov9()))
    rows = [*model.spec["backbone"], row, row, row]
    file = rewritten(model, tmp_path, spec=model.spec | {"backbone": rows})
    monkeypatch.setattr("yolo_lite.checkpoints.assemble._network", lambda *_: pytest.fail("it is built"))
    with pytest.raises(CheckpointError, match=r"rows ask for [\d,]+ blocks"):
        load(file)


@pytest.mark.parametrize("name", TINY)
def test_a_missing_and_a_foreign_tensor(name: str, tmp_path: Path) -> None:
    model = tiny_model(name)
    file = rewritten(model, tmp_path)
    with safetensors.safe_open(file, "pt") as stored:
        metadata = stored.metadata()
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    key = next(iter(tensors))
    missing = {other: value for other, value in tensors.items() if other != key}
    for changed in (missing, tensors | {"x": tensors[key].clone()}):
        safetensors.torch.save_file(changed, file, metadata)
        with pytest.raises(CheckpointError, match=rf"do not fit the network: ({key}|x) is"):
            load(file)


def test_anchors_that_were_set_come_back(tmp_path: Path) -> None:
    model = tiny_model("v3")
    assert model.anchors is not None
    anchors = model.anchors * 1.5
    model.set_anchors(anchors)  # type: ignore[operator]
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.anchors is not None
    torch.testing.assert_close(again.anchors, anchors)


def test_rows_of_classes_move_together(tmp_path: Path) -> None:
    """SSD's background stays where it is."""
    model = tiny_model("ssd")
    save(model, tmp_path / "model.safetensors")
    moved = load(tmp_path / "model.safetensors", names=model.names[::-1])
    for name, rows in model.class_outputs().items():
        before, after = model.state_dict()[name], moved.state_dict()[name]
        assert torch.equal(before[rows < 0], after[rows < 0])
        for index in range(model.num_classes):
            assert torch.equal(before[rows == index], after[rows == model.num_classes - 1 - index])
