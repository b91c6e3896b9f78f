"""What is given in place of something else gets a sentence of ours, wherever it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import yolo_lite as yl
from yolo_lite.checkpoints.partial import load_weights
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.detections import Detections

SCENES = Shapes("val", 64, 4)
DATASET = YoloDataset(SCENES, 64)
MODEL = yl.create_model("yolov5n", names=DATASET.names)
IMAGE = np.zeros((64, 64, 3), np.uint8)


def detections(*sides: float) -> Detections:
    return Detections(torch.tensor([sides]), torch.ones(1), torch.tensor([0]), ("cat",))


def dataset(**options: Any) -> YoloDataset:
    return YoloDataset(SCENES, **({"img_size": 64} | options))


def evaluated(**options: Any) -> Any:
    return yl.evaluate(MODEL, DATASET, **options)


CASES: dict[str, Callable[[], Any]] = {
    "model is 'yolov5n', a name or path": lambda: yl.Trainer("yolov5n", DATASET),
    "model is None, not a detector: it lacks names": lambda: yl.Trainer(None, DATASET),
    "model is Linear, not a detector": lambda: yl.predict(nn.Linear(2, 2), IMAGE),
    "model is None, not a detector": lambda: yl.evaluate(None, DATASET),
    "model must be a torch.nn.Module, not 'x'": lambda: load_weights("x", MODEL),
    r"img_size must be a whole number, not \(64, 96\)": lambda: dataset(img_size=(64, 96)),
    "img_size must be a whole number, not 'x'": lambda: dataset(img_size="x"),
    "stride must be a whole number, at least 1, not 0": lambda: dataset(stride=0),
    "seed must be a whole number, at least 0, not 1.5": lambda: dataset(seed=1.5),
    "classes must be a list of names or numbers, not 0": lambda: dataset(classes=0),
    "names must be a list of class names, not 5": lambda: dataset(names=5),
    "transform must be a function .*, not 5": lambda: dataset(transform=5),
    "batch_size must be .* not 1.5": lambda: yl.create_dataloader(DATASET, 1.5),
    "workers must be .* not None": lambda: yl.create_dataloader(DATASET, workers=None),
    "rank must be .* not 'x'": lambda: yl.create_dataloader(DATASET, rank="x"),
    "world_size must be .* not 1.0": lambda: yl.create_dataloader(DATASET, world_size=1.0),
    "names must be a list of class names, not 6": lambda: yl.create_model("yolov8n", names=6),
    "seed must be a whole number, not 1.5": lambda: yl.create_model("yolov5n", seed=1.5),
    "path must be .* not None": lambda: yl.load(None),
    "names must be a list of class names, not 7": lambda: yl.load("shapes-n", names=7),
    "class_order must be a list .* not 5": lambda: evaluated(class_order=5),
    "class_order: 9 is not a class": lambda: evaluated(class_order=[0, 1, 2, 3, 4, 9]),
    "annotations is the path .* not 5": lambda: evaluated(annotations=5),
    "nowhere/x.json: there is no folder nowhere": lambda: evaluated(keep_detections=True).save_json("nowhere/x.json"),
    "k must be a whole number, not 2.0": lambda: DATASET.folds(2.0),
    "seed must be a whole number, at least 0, not -1": lambda: DATASET.folds(3, seed=-1),
    "epoch must be .* not -1": lambda: DATASET.sampler().set_epoch(-1),
    "an image of a dataset is chosen by its number, not by slice": lambda: DATASET[:2],
    "not by .*'shapes/val/000000'.*paths.index": lambda: DATASET.subset(["shapes/val/000000"]),
    "a subset has a list of image numbers, .* not 5": lambda: DATASET.subset(5),
    r"a mask of bools \(n,\), not {0}": lambda: detections(0, 0, 9, 9)[{0}],
    r"a mask of bools \(n,\), not \[None\]": lambda: detections(0, 0, 9, 9)[[None]],
    "nan, 9.0.* cannot be drawn": lambda: detections(0, 0, float("nan"), 9).draw(IMAGE),
    "inf, 9.0.* cannot be drawn": lambda: detections(0, 0, float("inf"), 9).draw(IMAGE),
}


@pytest.mark.filterwarnings("ignore")  # names that differ, and the like
@pytest.mark.parametrize("words", list(CASES))
def test_what_cannot_be_gets_a_sentence(words: str) -> None:
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
        CASES[words]()


def test_what_can_be_is_taken() -> None:
    assert DATASET.subset(slice(1, 3)).paths[0] == DATASET.paths[1]
    assert len(yl.create_dataloader(DATASET, np.int64(2))) == 2
    assert detections(-1e12, 5, 1e12, 30).draw(IMAGE).any()
    trainer = yl.Trainer(MODEL, DATASET, epochs=1, batch_size=2, auto_anchors=False, device="cpu")
    with pytest.raises(TypeError, match=r"why must be a text, which the run keeps, not b'x'"):
        trainer.stop(b"x")


def test_a_folder_that_is_missing_is_named_without_the_file_beside_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder") as caught:
        yl.save(MODEL, tmp_path / "none" / "x.safetensors")
    assert ".tmp" not in str(caught.value).replace(str(tmp_path), "")
