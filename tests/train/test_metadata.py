"""What checkpoints say about the run that made them, and which class of the validation data is which."""

import datetime
import json
from pathlib import Path

import pytest
import torch

from tests.train.runs import RICH, SIZE, new_run, resumed_run, scenes, tiny
from yolo_lite.checkpoints.own import load, save
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import input_size
from yolo_lite.train.trainer import Trainer

FAST = RICH | {"epochs": 1, "multi_scale": False, "image_weights": False, "autobalance": False}


def test_every_checkpoint_says_what_the_run_was(tmp_path: Path) -> None:
    parent = tiny()
    parent.metadata = {"img_size": 640, "date": "long ago", "fitness": 0.9, "note": "of the parent"}
    save(parent, tmp_path / "parent.safetensors")
    model = load(tmp_path / "parent.safetensors")
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    metadata = {"preset": "small-data"}
    trainer = Trainer(model, scenes(), scenes("val", 4), out_dir=tmp_path / "run", metadata=metadata, **FAST).fit()
    for name in ("last", "best"):
        model = load(tmp_path / "run" / f"{name}.safetensors")
        found = dict(model.metadata)
        date = datetime.datetime.fromisoformat(found.pop("date"))
        assert before <= date <= datetime.datetime.now(datetime.UTC)
        assert found == {
            "img_size": SIZE,
            "rule": "yolov5",
            "preset": "small-data",
            "epoch": 1,
            "iteration": 4,
            "fitness": trainer.best_fitness,
            "parent": parent.metadata,
        }
        assert input_size(model) == SIZE
    assert input_size(trainer.model) == input_size(trainer.ema.model) == SIZE  # what is predicted with at once
    save(model, tmp_path / "copy.safetensors")
    assert load(tmp_path / "copy.safetensors").metadata == model.metadata
    assert json.loads((tmp_path / "run" / "run.json").read_text())["metadata"] == trainer.metadata


def test_a_resumed_run_is_still_the_same_run(tmp_path: Path) -> None:
    first = new_run(tmp_path / "run", epochs=2, metadata={"preset": "finetune"})
    first.metadata["date"] = "2026-01-02T03:04:05+00:00"
    steps = first.steps()
    for _ in range(5):
        next(steps)
    steps.close()
    resumed_run(tmp_path / "run").fit()
    found = load(tmp_path / "run" / "last.safetensors").metadata
    assert (found["date"], found["preset"], found["epoch"]) == ("2026-01-02T03:04:05+00:00", "finetune", 2)


def test_metadata_that_json_cannot_say_is_an_error_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="metadata"):
        Trainer(tiny(), scenes(), out_dir=tmp_path / "run", metadata={"path": Path("x")}, **FAST)
    assert not (tmp_path / "run").exists()


class Renamed:
    """The scenes, their classes in another order and under other names where asked."""

    def __init__(self, names: tuple[str, ...], split: str = "val", count: int = 4) -> None:
        self.base, self.names = Shapes(split, SIZE, count), names
        self.paths, self.sizes, self.report, self.read = (
            self.base.paths,
            self.base.sizes,
            self.base.report,
            self.base.read,
        )
        labels = self.base.labels
        order = [names.index(name) if name in names else place for place, name in enumerate(self.base.names)]
        self.labels = labels.select(range(len(labels)))
        self.labels.cls = torch.tensor(order)[labels.cls.long()].to(labels.cls.dtype)

    def __len__(self) -> int:
        return len(self.base)


def test_validation_data_in_another_order_are_matched_by_name() -> None:
    model = tiny()
    plain = Trainer(model, scenes(), scenes("val", 4), **FAST)
    reordered = YoloDataset(Renamed(Shapes.names[::-1]), SIZE)
    other = Trainer(tiny(), scenes(), reordered, **FAST)
    assert any("by name" in message for message in other.messages)
    assert not any("by name" in message for message in plain.messages)
    figures = [{k: v for k, v in each.validate().to_dict().items() if k != "seconds"} for each in (plain, other)]
    assert figures[0] == figures[1]


def test_a_model_with_names_of_its_own_is_validated_by_the_names_of_the_training_data() -> None:
    model = tiny()
    model.names = tuple("abcdef")
    plain = Trainer(tiny(), scenes(), scenes("val", 4), **FAST).validate()
    renamed = Trainer(model, scenes(), YoloDataset(Renamed(Shapes.names[::-1]), SIZE), **FAST).validate()
    assert renamed.confusion.tolist() == plain.confusion.tolist()
    assert renamed.names == tuple("abcdef")


def test_a_model_that_knows_the_classes_in_another_order_is_an_error() -> None:
    model = tiny()
    model.names = Shapes.names[::-1]
    with pytest.raises(ValueError, match=r"load\(path, names=dataset\.names\)"):
        Trainer(model, scenes(), **FAST)


def test_validation_data_of_other_classes_are_an_error_before_the_run() -> None:
    names = (Shapes.names[1], "comet", *Shapes.names[2:])
    with pytest.raises(ValueError, match=f"{Shapes.names[1]}.*comet"):
        Trainer(tiny(), scenes(), YoloDataset(Renamed(names), SIZE), **FAST)
