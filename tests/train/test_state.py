"""RunState: exactly what a run is between two batches, and all of it is saved."""

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors
import safetensors.torch

from tests.train.runs import new_run, resumed_run
from yolo_lite.data.report import Problem
from yolo_lite.running.diagnose import TrainingError
from yolo_lite.running.folder import read_header
from yolo_lite.train.saved_run import RunSettings, SavedRun
from yolo_lite.train.state import RunState

FULL = RunState(
    epoch=3,
    batch=2,
    iteration=14,
    last_step=13,
    best_fitness=0.5,
    best_epoch=1,
    history=[{"epoch": 0, "train/box": 0.1}],
    sums={"box": 0.25},
    class_maps=[0.5, 0.25],
    changes={3: {"lr0": 0.1}, 12: {"lr0": 0.2, "mosaic": 0.0}},
    dropped=2,
    stopped_by="enough",
    unreadable={"a.jpg": Problem("a.jpg", None, "cannot be decoded")},
)


def test_every_field_survives_json() -> None:
    defaults = RunState()
    assert all(getattr(FULL, field.name) != getattr(defaults, field.name) for field in dataclasses.fields(RunState))
    for state in (FULL, defaults):
        assert RunState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_missing_field_is_an_error() -> None:
    values = FULL.to_json()
    for name in values:
        with pytest.raises(KeyError, match=name):
            RunState.from_json({key: value for key, value in values.items() if key != name})


def test_what_is_saved_is_the_state_of_the_run(tmp_path: Path) -> None:
    trainer = new_run(tmp_path)
    for step in trainer.steps():
        if step.iteration == 5:
            break
    trainer.change(lr0=0.02)
    trainer.save()
    saved = SavedRun(tmp_path)
    assert saved.state == trainer.state
    assert saved.settings == trainer.settings
    assert RunState.from_json(read_header(tmp_path)) == trainer.state  # also without changes.json
    assert resumed_run(tmp_path).state == trainer.state


def test_the_trainer_has_the_fields_of_its_state() -> None:
    trainer = new_run(val=0)
    for field in dataclasses.fields(RunState):
        if field.name != "unreadable":  # which the trainer gives as a tuple
            assert getattr(trainer, field.name) is getattr(trainer.state, field.name)
    trainer.best_epoch = 4
    assert trainer.state.best_epoch == 4
    trainer.state.unreadable["a.jpg"] = problem = Problem("a.jpg", None, "cannot be decoded")
    assert trainer.unreadable == (problem,)
    assert trainer.loader.unreadable is trainer.state.unreadable


def test_run_json_is_the_settings(tmp_path: Path) -> None:
    trainer = new_run(tmp_path, freeze=(0, 1), metadata={"preset": "scratch"})
    assert RunSettings.from_json(json.loads((tmp_path / "run.json").read_text())) == trainer.settings


def test_a_header_that_lacks_something_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = new_run(tmp_path)
    trainer.save()
    header = read_header(tmp_path)
    del header["iteration"]
    monkeypatch.setattr("yolo_lite.running.folder.read_header", lambda folder: header)
    with pytest.raises(TrainingError, match=r"state\.safetensors.*iteration"):
        SavedRun(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("changes", [1]),
        ("changes", {"x": {}}),
        ("epoch", "two"),
        ("hyp", {"lr0": "x"}),
        ("options", {"foo": 1}),
        ("unreadable", [1]),
        ("version", "1"),
    ],
)
def test_a_header_with_a_damaged_value_names_the_file(tmp_path: Path, name: str, value: object) -> None:
    trainer = new_run(tmp_path)
    trainer.save()
    path = tmp_path / "state.safetensors"
    with safetensors.safe_open(path, "pt") as stored:
        header = json.loads(stored.metadata()["run"])
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {"run": json.dumps(header | {name: value})})
    with pytest.raises(TrainingError, match=r"state\.safetensors"):
        SavedRun(tmp_path)


@pytest.mark.parametrize("name", ["version", "optimizer_numbers", "scaler", "spec", "hyp"])
def test_a_header_without_a_part_names_it(tmp_path: Path, name: str) -> None:
    trainer = new_run(tmp_path)
    trainer.save()
    path = tmp_path / "state.safetensors"
    with safetensors.safe_open(path, "pt") as stored:
        header = json.loads(stored.metadata()["run"])
    tensors = safetensors.torch.load_file(path)
    del header[name]
    safetensors.torch.save_file(tensors, path, {"run": json.dumps(header)})
    with pytest.raises(TrainingError, match=rf"state\.safetensors.*{name}"):
        SavedRun(tmp_path)


def test_names_of_0_1_0_lead_to_where_they_are_now() -> None:
    from yolo_lite._moved import MOVED_NAMES
    from yolo_lite.running import folder
    from yolo_lite.train import optim, prepare, state

    for module in (optim, prepare, state):
        for name in MOVED_NAMES[module.__name__]:
            with pytest.warns(DeprecationWarning, match=f"{module.__name__}.{name}"):
                assert getattr(module, name) is not None
    with pytest.warns(DeprecationWarning, match="running.folder"):
        assert state.read_header is folder.read_header
    with pytest.raises(AttributeError, match="nothing_like_it"):
        state.nothing_like_it  # noqa: B018
