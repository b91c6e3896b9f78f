"""What the project has never seen, all the way: a custom checkpoint, a folder of one's own, a photograph."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import yolo_lite as yl
from tests.checkpoints.official_files import save_official, small_model
from tests.datasets.yolo_folders import write_folder, write_image
from yolo_lite.cli import main

LABELS = {
    "first röd.jpg": "0 0.5 0.5 0.4 0.6\n2 0.2 0.3 0.1 0.2\n",
    "second one.png": "1 0.1 0.1 0.5 0.1 0.5 0.7 0.1 0.6\n",  # a polygon
    "background.jpg": None,
    "mixed.bmp": "1 0.7 0.6 0.3 0.3\n0 0.2 0.2 0.4 0.2 0.3 0.5\n7 0.5 0.5 0.1 0.1\n",  # the last row has no such class
}


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A three-class file in the official format, of a network of no official size."""
    path = tmp_path / "custom.pt"
    save_official(small_model(), path, monkeypatch)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "my data"
    write_folder(root, LABELS, "train", (90, 130))
    write_folder(root, LABELS, "val", (130, 90))
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [red, white, platelet]\n")
    return root


@pytest.mark.filterwarnings("ignore:.*class 7")
def test_val_and_predict(checkpoint: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--weights", str(checkpoint), "--img-size", "96", "--json"]
    assert main(["val", "--data", str(folder / "data.yaml"), *options]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 <= figures["map50"] <= 1
    photo = write_image(tmp_path / "a photograph.jpg", 301, 407)
    assert main(["predict", str(photo), "--conf-thres", "0.01", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["images"] if isinstance(found, dict) else found) == 1


@pytest.mark.filterwarnings("ignore:.*class 7")
@pytest.mark.parametrize("augment", [False, True])
def test_matches_loss_and_gradients(checkpoint: Path, folder: Path, augment: bool) -> None:
    model = yl.load(checkpoint).train()
    dataset = yl.YoloDataset(folder, img_size=96, augment=augment, hyp=yl.Hyperparameters(mixup=0.5, copy_paste=0.5))
    assert dataset.names == model.names
    assert "class 7" in str(dataset.report)
    batch = next(iter(yl.create_dataloader(dataset, batch_size=4)))
    maps = model(batch.images / 255)
    matches = yl.build_targets(batch.targets, [raw.shape[2:4] for raw in maps], model.anchors, model.strides)
    assert sum(len(level.image) for level in matches) > 0
    parts = model.criterion(yl.Hyperparameters(), 96)(maps, batch.targets)
    parts.total.backward()
    assert parts.total.isfinite()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_predictions_come_back_in_the_pixels_of_the_photograph(checkpoint: Path, tmp_path: Path) -> None:
    model = yl.load(checkpoint)
    found = yl.predict(model, write_image(tmp_path / "wide.png", 120, 400), conf_thres=1e-6, img_size=128)[0]
    assert len(found) > 0
    assert found.names == ("red", "white", "platelet")
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, [0, 2]] <= 400).all()
    assert (found.xyxy[:, [1, 3]] <= 120).all()


def test_blood_cells_with_three_classes(shared: Path) -> None:
    """The official weights with a new head, on a public dataset: one step on it lowers the loss."""
    model = yl.load(shared / "weights/yolov5n.pt", names=["RBC", "WBC", "Platelets"]).train()
    loader = yl.create_dataloader(shared / "data/bccd/data.yaml", batch_size=2, img_size=160)
    batch = next(iter(loader))
    criterion = model.criterion(yl.Hyperparameters(), 160)
    before = criterion(model(batch.images / 255), batch.targets)
    before.total.backward()
    torch.optim.SGD(model.parameters(), lr=1e-4).step()
    assert criterion(model(batch.images / 255), batch.targets).total < before.total
    photo = np.ascontiguousarray(loader.dataset.image(0))
    assert yl.predict(model, photo)[0].names == ("RBC", "WBC", "Platelets")
