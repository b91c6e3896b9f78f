"""The commands with networks of other generations than YOLOv5."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from tests.family.tiny import CFG, tiny_yolov9
from yolo_lite.checkpoints.own import load
from yolo_lite.cli import main
from yolo_lite.datasets.shapes import Shapes, export_shapes
from yolo_lite.family.yolov9.auxiliary import with_auxiliary


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is not square."""
    path = tmp_path_factory.mktemp("photo") / "wide.png"
    cv2.imwrite(str(path), Shapes("val", 96).read(0)[:60])
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v3"])
def test_train_val_predict(name: str, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    shapes = tmp_path / "data"
    export_shapes(shapes, ("train", "val"), size=96, count=4)
    train = ("train", "--data", shapes / "data.yaml", "--model", CFG / f"{name}.cfg", "--epochs", 1, "--batch-size", 2)
    code, out, err = answer(capsys, *train, "--out", folder, "--set", "box=0.2", "--json", "--device", "cpu")
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    assert any("box=0.2" in message for message in document["messages"])
    weights = folder / "best.safetensors"
    assert load(weights).metadata["img_size"] == 96  # as the .cfg says
    assert load(weights).names == Shapes.names

    code, out, err = answer(capsys, "val", "--weights", weights, "--data", shapes / "data.yaml", "--json")
    assert code == 0, err
    assert json.loads(out)["img_size"] == 96
    assert json.loads(out)["rect"] is (name != "tiny-v1")

    code, out, err = answer(capsys, "predict", photo, "--weights", weights, "--json")
    assert code == 0, err
    assert json.loads(out)["img_size"] == 96


def test_a_yaml_of_yolov8(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder, shapes = tmp_path / "mine.yaml", tmp_path / "run", tmp_path / "data"
    file.write_text(yaml.safe_dump(with_auxiliary(tiny_yolov9())), encoding="utf-8")
    export_shapes(shapes, ("train", "val"), size=64, count=2)
    code, out, err = answer(capsys, "info", "--model", file)
    assert code == 0, err
    assert "CBFuse" in out
    train = ("train", "--data", shapes / "data.yaml", "--model", file, "--epochs", 1, "--batch-size", 2)
    code, out, err = answer(capsys, *train, "--img-size", 64, "--out", folder, "--json", "--device", "cpu")
    assert code == 0, err
    weights = folder / "best.safetensors"
    assert load(weights).spec["auxiliary"]
    for command in (("val", "--data", shapes / "data.yaml"), ("predict", photo)):
        code, out, err = answer(capsys, *command, "--weights", weights, "--json")
        assert code == 0, err
        assert json.loads(out)["img_size"] == 64


def test_another_size_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ("train", "--data", "shapes", "--model", CFG / "tiny-v1.cfg", "--img-size", 64, "--out", tmp_path / "run")
    code, _, err = answer(capsys, *train)
    assert code != 0
    assert "96 x 96" in err
    assert not (tmp_path / "run").exists()


def test_info_lists_options_without_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (CFG / "tiny-v3.cfg").read_text(encoding="utf-8").replace("[net]\n", "[net]\nlearning_rate=0.001\n")
    file = tmp_path / "net.cfg"
    file.write_text(text, encoding="utf-8")
    code, out, err = answer(capsys, "info", "--model", file)
    assert code == 0, err
    assert "learning_rate=0.001" in out
    code, out, err = answer(capsys, "info", "--model", file, "--json")
    assert any("learning_rate" in entry for entry in json.loads(out)["model"]["left_out"])


@pytest.mark.parametrize("name", ["darknet-yolov2-voc", "darknet-yolov1-tiny", "yolov4-tiny"])
def test_info_of_bundled_networks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer(capsys, "info", "--model", name, "--json")
    assert code == 0, err
    document = json.loads(out)["model"]
    assert document["img_size"] == [document["img_size"][0]] * 2
    assert (document["anchors"] is None) == (name == "darknet-yolov1-tiny")
