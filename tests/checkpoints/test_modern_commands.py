"""What people do with an official file of YOLOv8: `yolo-lite val` and `info` on the .pt itself."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.datasets.yolo_folders import encoded, write_text
from yolo_lite.checkpoints.own import save
from yolo_lite.cli import main
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

from .official_modern_files import save_modern

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
SIZE, COUNT, STEPS = 64, 6, 150  # pixels, images, steps of the optimiser
ROWS: dict[str, Any] = {
    "scales": {"n": [1, 1, 64]},
    "backbone": [
        *([-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [24, 3, 2]], [-1, 1, "C2f", [24, True]]),
        *([-1, 1, "Conv", [32, 3, 2]], [-1, 1, "C2f", [32, True]]),  # 4, stride 8
        *([-1, 1, "Conv", [48, 3, 2]], [-1, 1, "SPPF", [48, 5]]),  # 6, stride 16
    ],
    "head": [[[4, 6], 1, "Detect", ["nc"]]],
}


def scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (SIZE, SIZE, 3), RGB, with a square of each colour in a quarter of its own; rows (3, 5) of labels."""
    rng = np.random.default_rng(index)
    picture, rows = np.full((SIZE, SIZE, 3), 120, np.uint8), []
    for cls, (quarter, colour) in enumerate(zip(rng.permutation(4), COLOURS.values(), strict=False)):
        side = int(rng.integers(16, 27))
        left, top = (int(rng.integers(1, 31 - side)) + 32 * half for half in (quarter % 2, quarter // 2))
        cv2.rectangle(picture, (left, top), (left + side - 1, top + side - 1), colour, -1)
        rows.append([cls, (left + side / 2) / SIZE, (top + side / 2) / SIZE, side / SIZE, side / SIZE])
    return picture, np.array(rows)


def batch() -> tuple[Tensor, Tensor]:
    """All scenes: images (COUNT, 3, SIZE, SIZE) and targets (3 * COUNT, 6)."""
    scenes = [scene(index) for index in range(COUNT)]
    images = torch.from_numpy(np.stack([picture for picture, _ in scenes])).permute(0, 3, 1, 2) / 255
    numbered = [np.insert(rows, 0, index, 1) for index, (_, rows) in enumerate(scenes)]
    return images, torch.from_numpy(np.concatenate(numbered)).float()


@pytest.fixture(scope="module")
def model() -> LayeredDetector:
    """A small YOLOv8 that finds many of the scenes' squares, in numbers that half precision has."""
    network = create_model({"family": "yolov8", **ROWS, "reg_max": 16}, names=list(COLOURS), seed=0)
    loss, (images, targets) = network.criterion(Hyperparameters(), SIZE), batch()
    optimizer = torch.optim.AdamW(network.parameters(), 0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(network(images), targets).total.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():  # BatchNorm's averages are far behind after so few steps
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        network(images)
    return network.half().float().eval()


@pytest.fixture(scope="module")
def official(model: LayeredDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return save_modern(model, tmp_path_factory.mktemp("official") / "best.pt", monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes on disk; their classes stand in another order than in the network."""
    folder, names = tmp_path_factory.mktemp("data"), sorted(COLOURS)
    for index in range(COUNT):
        picture, rows = scene(index)
        (folder / "images" / "val").mkdir(parents=True, exist_ok=True)
        (folder / "images" / "val" / f"{index}.png").write_bytes(encoded(picture, ".png"))
        lines = [f"{names.index(list(COLOURS)[int(row[0])])} {' '.join(map(str, row[1:]))}" for row in rows]
        write_text(folder / "labels" / "val" / f"{index}.txt", "\n".join(lines))
    return write_text(folder / "data.yaml", json.dumps({"val": "images/val", "names": names}))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_val(model: LayeredDetector, official: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = official.with_name("own.safetensors")
    save(model, own)
    official_answer, own_answer = (
        json.loads(
            run(capsys, *("val", "--weights", file, "--data", data, "--device", "cpu", "--json", "--img-size", SIZE))
        )
        for file in (official, own)
    )
    # how well so short a training ends differs from machine to machine; colours mixed up would give 0
    assert official_answer["map50"] > 0.2
    assert official_answer["map50"] == pytest.approx(own_answer["map50"], abs=1e-6)
    assert official_answer["per_class"] == own_answer["per_class"]
    assert "rectangles of 96 px" in run(capsys, "val", "--weights", official, "--data", data, "--device", "cpu")


def test_info(model: LayeredDetector, official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = json.loads(run(capsys, "info", "--weights", official, "--json"))["model"]
    assert described["names"] == list(COLOURS)
    assert described["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (described["strides"], described["anchors"], described["img_size"]) == ([8, 16], None, [96, 96])
    assert [row["kind"] for row in described["layers"]] == [row.kind for row in model.rows]
    text = run(capsys, "info", "--weights", official)
    assert "3 classes: red, green, blue" in text
    assert "date now" in text  # what was saved with it
