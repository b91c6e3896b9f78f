"""Going on: bit for bit where the run stopped, or one sentence that says why not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.datasets.yolo_folders import write_folder
from tests.train.runs import HYP, RICH, SIZE, TINY, digest, new_run, resumed_run, scenes, tiny
from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.model.yolo import create_model
from yolo_lite.running.diagnose import TrainingError
from yolo_lite.train.callbacks import LineLog
from yolo_lite.train.trainer import Trainer


def stop_after(trainer: Trainer, iterations: int) -> Trainer:
    """Runs so many batches, then drops the run."""
    for step in trainer.steps():
        if step.iteration + 1 == iterations:
            break
    return trainer


SETTINGS: dict[str, dict[str, Any]] = {
    "everything": {},
    "SGD": {"optimizer": "SGD", "channels_last": True},
    "RMSprop": {"optimizer": "RMSprop", "nominal_batch": 12},
    "float16": {"precision": "float16", "optimizer": "AdamW"},
    "bfloat16": {"precision": "bfloat16", "freeze": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_in_mid_epoch_equals_the_whole_run(tmp_path, name):
    options = {"epochs": 2} | SETTINGS[name]
    whole = new_run(tmp_path / "whole", **options).fit()
    stop_after(new_run(tmp_path / "cut", save_every=0, **options), 3)  # the last save may be older than that
    resumed = resumed_run(tmp_path / "cut")
    assert 0 < resumed.iteration <= 3
    resumed.fit()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert [row["train/box"] for row in resumed.history] == [row["train/box"] for row in whole.history]
    assert (resumed.best_fitness, resumed.best_epoch) == (whole.best_fitness, whole.best_epoch)


def test_gradients_that_wait_are_kept(tmp_path):
    new_run(tmp_path / "whole", epochs=1, nominal_batch=16, least_warmup=0, hyp=HYP.replace(warmup_epochs=0)).fit()
    cut = new_run(tmp_path / "cut", epochs=1, nominal_batch=16, least_warmup=0, hyp=HYP.replace(warmup_epochs=0))
    stop_after(cut, 2).save()
    resumed = resumed_run(tmp_path / "cut")
    assert resumed.iteration == 2
    assert [step.stepped for step in resumed.steps()] == [False, True]
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_when_a_run_is_saved_changes_nothing(tmp_path):
    new_run(tmp_path / "often", save_every=0, epochs=2).fit()
    new_run(tmp_path / "rarely", epochs=2).fit()
    new_run(None, epochs=2).fit()
    assert digest(tmp_path / "often") == digest(tmp_path / "rarely")


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_change_nothing(tmp_path):
    """Neither in a whole run, nor in one that is paused with batches on their way, changed and resumed."""

    def run(name: str, workers: int) -> None:
        trainer = new_run(tmp_path / name, val=0, epochs=3, workers=workers)
        for step in trainer.steps():
            if step.iteration == 1:
                break
        trainer.change(mosaic=0.5, hsv_v=0.1)
        stop_after(trainer, 6)
        resumed_run(tmp_path / name, val=0).fit()

    run("none", 0)
    run("two", 2)
    assert digest(tmp_path / "none") == digest(tmp_path / "two")


def test_a_run_that_was_resumed_before_its_first_batch(tmp_path):
    new_run(tmp_path / "whole", epochs=1).fit()
    trainer = new_run(tmp_path / "cut", epochs=1)

    class Stop:
        def on_batch_end(self, trainer, step):
            raise KeyboardInterrupt

    trainer.callbacks = [Stop()]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    resumed = resumed_run(tmp_path / "cut")
    assert resumed.iteration == 0
    resumed.fit()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_changes_are_made_again(tmp_path):
    """Rates and loss from the next batch, augmentation from the next epoch; also those after the last checkpoint."""

    def change(trainer: Trainer) -> Trainer:
        for step in trainer.steps():
            if step.iteration == 1:
                trainer.change(lr0=0.05, weight_decay=0.05, obj=2.0, mosaic=0.0)
            if step.iteration == 6:
                trainer.change(lr0=0.001, fliplr=0.0)
                break
        return trainer

    whole = change(new_run(tmp_path / "whole", save_every=0)).fit()
    change(new_run(tmp_path / "late", save_every=0))
    change(new_run(tmp_path / "early"))  # saves at the end of the first epoch only
    unchanged = new_run(tmp_path / "unchanged").fit()
    for name in ("late", "early"):
        resumed = resumed_run(tmp_path / name)
        assert resumed.hyp.lr0 == 0.05
        assert resumed.optimizer.param_groups[1]["weight_decay"] == pytest.approx(0.05)
        resumed.fit()
        assert resumed.hyp == whole.hyp
        assert digest(tmp_path / name) == digest(tmp_path / "whole") != digest(tmp_path / "unchanged")
    assert unchanged.train_set.hyp == HYP


def test_early_stopping_goes_on_counting(tmp_path):
    trainer = new_run(tmp_path, epochs=9, patience=3)
    trainer.best_fitness = 1.0  # nothing will be better
    trainer.best_epoch = 0
    stop_after(trainer, 9)
    resumed = resumed_run(tmp_path)
    assert (resumed.best_fitness, resumed.epoch) == (1.0, 2)
    resumed.fit()
    assert resumed.stopped
    assert resumed.epoch == 4
    again = resumed_run(tmp_path)
    assert again.stopped
    assert list(again.steps()) == []


def test_a_finished_run_does_nothing_more(tmp_path):
    new_run(tmp_path, epochs=1).fit()
    before = digest(tmp_path)
    assert list(resumed_run(tmp_path).steps()) == []
    assert digest(tmp_path) == before


def test_from_sources_alone(tmp_path, monkeypatch):
    """Sources given as text, also relative to the folder that the run began in."""
    rows = {f"{index}.png": "0 0.5 0.5 0.5 0.25\n" for index in range(4)}
    write_folder(tmp_path / "data", rows, size=(64, 64))
    write_folder(tmp_path / "unseen", rows, split="val", size=(64, 64))
    monkeypatch.chdir(tmp_path)
    options = {"img_size": 64, "epochs": 1, "batch_size": 2, "device": "cpu"}
    names = YoloDataset("data", 64).names
    model = create_model(TINY, names=names)
    stop_after(Trainer(model, "data", Path("unseen"), out_dir="run", **options), 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resumed = Trainer.resume(tmp_path / "run").fit()
    assert resumed.model.names == tuple(names)
    assert resumed.history[-1]["epoch"] == 0


def test_checkpoints_are_models(tmp_path):
    trainer = new_run(tmp_path, epochs=2).fit()
    for name in ("last", "best"):
        model = load(tmp_path / f"{name}.safetensors")
        assert model.names == Shapes.names
    assert load(tmp_path / "last.safetensors").metadata == {
        "img_size": SIZE,
        "rule": "yolov5",
        "date": trainer.metadata["date"],
        "epoch": 2,
        "iteration": 8,
        "fitness": trainer.best_fitness,
    }
    last = load(tmp_path / "last.safetensors")
    assert all(map(torch.equal, last.parameters(), trainer.ema.model.parameters()))


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A run of two epochs, one of them done."""
    folder = tmp_path_factory.mktemp("cut") / "run"
    stop_after(new_run(folder, epochs=2), 5)
    return folder


def test_a_folder_with_a_run_is_not_overwritten(cut):
    before = digest(cut)
    with pytest.raises(FileExistsError, match=r"run.*Trainer\.resume\(.*yolo-lite train --resume"):
        new_run(cut)
    assert digest(cut) == before


def test_where_a_run_goes_on_is_said_within_its_epoch(cut, capsys):
    LineLog().on_start(resumed_run(cut))
    assert "resuming in epoch 2, after 0 of 4 batches" in capsys.readouterr().err


def test_what_must_be_given_again(cut):
    with pytest.raises(ValueError, match=r"train=.*val="):
        Trainer.resume(cut)
    with pytest.raises(ValueError, match="val="):
        Trainer.resume(cut, train=scenes())


def test_what_must_be_the_same(cut):
    val = scenes("val", 4)
    with pytest.raises(TrainingError, match=r"16 training images.*12.*last\.safetensors"):
        Trainer.resume(cut, train=scenes(count=12), val=val)
    for others in (scenes(count=32).subset(range(16, 32)), scenes("val", augment=True)):
        with pytest.raises(TrainingError, match=r"other names or labels than these 16: put the dataset back"):
            Trainer.resume(cut, train=others, val=val)
    with pytest.raises(ValueError, match=r"classes ring, .* model= has a, b"):
        Trainer.resume(cut, train=scenes(), val=val, model=create_model(TINY, names=list("abcdef")))
    with pytest.raises(ValueError, match=r"augment=False.*augment=True"):
        Trainer.resume(cut, train=scenes(augment=False), val=val)
    other = tiny(TINY | {"backbone": [[-1, 1, "Conv", [16, 3, 4]], *TINY["backbone"][1:]]})
    with pytest.raises(TrainingError, match=r"state\.safetensors: .*size mismatch for"):
        Trainer.resume(cut, train=scenes(), val=val, model=other)


def test_other_classes_or_other_images_to_validate_on(tmp_path, caplog):
    stop_after(new_run(tmp_path / "run", epochs=2), 1).save()
    for names in (list("abcdef"), ["Ring", *Shapes.names[1:]]):
        train = YoloDataset(Shapes("train", SIZE, 16), SIZE, HYP, augment=True, names=names)
        if names[0] == "a":
            with pytest.raises(ValueError, match=r"learnt the classes ring, .* now have a, b, .*names="):
                Trainer.resume(tmp_path / "run", train=train, val=scenes("val", 4))
        else:  # the same but for a capital letter
            Trainer.resume(tmp_path / "run", train=train, val=scenes("val", 4))
    assert not any("validated on" in record.message for record in caplog.records)
    trainer = Trainer.resume(tmp_path / "run", train=scenes(), val=scenes("val", 8).subset(range(4, 8)))
    (said,) = [record for record in caplog.records if "validated on other images" in record.message]
    assert (said.name, said.levelname) == ("yolo_lite.train", "WARNING")
    assert said.message in trainer.messages
    new_run(tmp_path / "alone", epochs=2, val=0).save()
    messages = Trainer.resume(tmp_path / "alone", train=scenes(), val=scenes("val", 4)).messages
    assert any("validated on no images" in message for message in messages)


@pytest.mark.parametrize("keep", [0, 7, 200, 0.5, 0.999])
def test_a_torn_state_is_explained(cut, tmp_path, keep):
    """Nothing here writes such a file; a broken disk might."""
    folder = tmp_path / "torn"
    shutil.copytree(cut, folder)
    data = (cut / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(TrainingError, match=r"state\.safetensors: "):
        resumed_run(folder)


def test_no_run_there(cut, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.*state\.safetensors"):
        Trainer.resume(tmp_path / "nothing")
    new_run(tmp_path / "unborn")
    with pytest.raises(FileNotFoundError, match=r"unborn.*state\.safetensors.*first batch"):
        resumed_run(tmp_path / "unborn")
    new_run(tmp_path / "unborn", epochs=1).fit()


def test_damaged_changes_are_explained(cut, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(cut, folder)
    (folder / "changes.json").write_text("{")
    with pytest.raises(TrainingError, match=r"changes\.json: "):
        resumed_run(folder)


def test_run_json_says_what_runs(cut):
    settings = json.loads((cut / "run.json").read_text())
    assert settings["options"] == settings["options"] | RICH | {"epochs": 2, "img_size": SIZE}
    assert settings["names"] == list(Shapes.names)
    assert settings["world_size"] == 1
