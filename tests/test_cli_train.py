"""yolo-lite train, as a shell sees it: what it prints, where, what lies in the run's folder, and its exit codes."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.test_unreadable import damaged_jpeg
from tests.datasets.yolo_folders import write_image
from tests.train.runs import torchrun
from yolo_lite.checkpoints.own import load, save
from yolo_lite.cli import main
from yolo_lite.cli.options import Parser
from yolo_lite.cli.train import add_fields, free_folder
from yolo_lite.datasets.shapes import KINDS, export_shapes
from yolo_lite.hyperparameters import Hyperparameters, descriptions
from yolo_lite.model.yolo import create_model
from yolo_lite.train.options import TrainOptions, preset
from yolo_lite.train.trainer import Trainer

TINY = """
nc: 80
depth_multiple: 1.0
width_multiple: 0.125
anchors: [[6,6, 12,12, 24,24]]
backbone:
  - [-1, 1, Conv, [32, 6, 2, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
head:
  - [[2], 1, Detect, [nc, anchors]]
"""
CLASSES = len(KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 16 + 16 images of 64 px, and the description of a network of a few thousand weights."""
    place = tmp_path_factory.mktemp("train")
    export_shapes(place / "data", ("train", "val"), size=64, count=16)
    (place / "tiny.yaml").write_text(TINY)
    return place


@pytest.fixture
def arguments(folder: Path) -> list[str]:
    """A run of one epoch, four batches."""
    settings = "--img-size 64 --batch-size 4 --epochs 1 --preset small-data --device cpu"
    return ["--data", str(folder / "data"), "--model", str(folder / "tiny.yaml"), *settings.split()]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*given: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["train", *map(str, given)])
        return code, *capfd.readouterr()

    return call


def shell(*given: object) -> list[str]:
    return [sys.executable, "-m", "yolo_lite", "train", *map(str, given)]


def test_a_run_ends_with_a_table_and_a_folder(run: Any, arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "a run"  # commands that are printed quote it
    code, said, told = run(*arguments, "--epochs", 2, "--out", out)
    assert code == 0
    head, *figures = (line.split() for line in said.splitlines()[:3])
    assert head == ["epoch", "mAP50", "mAP", "precision", "recall"]
    assert [row[0] for row in figures] == ["best", "last"]
    assert re.search(r"^training \d+\.\d s \(\d+ images/s\), validation \d+\.\d s, preparation \d+\.\d s$", said, re.M)
    assert said.splitlines()[-1].endswith(f"--weights '{out}/best.safetensors' --img-size 64")
    assert len(re.findall(r"^epoch [12]/2  box .* mAP50 .* s", told, re.M)) == 2
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert load(out / "best.safetensors").num_classes == CLASSES
    assert load(out / "last.safetensors").names == load(out / "best.safetensors").names


def test_json_is_one_document_with_the_figures_of_the_run(run: Any, arguments: list[str], tmp_path: Path) -> None:
    start = time.monotonic()
    code, said, _ = run(*arguments, "--json", "--out", tmp_path / "out")
    whole = time.monotonic() - start
    document = json.loads(said)
    assert (code, document["epochs_done"], document["iterations"], document["cut"]) == (0, 1, 4, False)
    (row,) = csv.DictReader((tmp_path / "out" / "results.csv").open())
    for figure, name in {"map": "mAP", "map50": "mAP50", "precision": "precision", "recall": "recall"}.items():
        assert document["last"][figure] == document["best"][figure] == float(row[name])
    assert all(seconds > 0 for seconds in document["seconds"].values())
    assert sum(document["seconds"].values()) < whole + 0.01  # rounded; each second counts once
    assert document["images_per_s"] == pytest.approx(16 / document["seconds"]["training"], rel=0.05)


def test_settings_reach_the_run_and_what_is_asked_for_goes_before_the_preset(
    run: Any, arguments: list[str], tmp_path: Path
) -> None:
    asked = "--nominal-batch 8 --no-augment --set box=0.1 --set lr0=1e-3 --precision bfloat16 --rule coco --seed 3"
    assert run(*arguments, *asked.split(), "--out", tmp_path / "out")[0] == 0
    said = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (said["hyp"]["box"], said["hyp"]["lr0"]) == (0.1, 0.001)
    small = preset("small-data")
    assert small.hyp.lrf != Hyperparameters().lrf
    assert said["hyp"]["lrf"] == small.hyp.lrf
    options = said["options"]
    assert (options["nominal_batch"], options["augment"], options["precision"]) == (8, False, "bfloat16")
    assert (options["rule"], options["seed"], options["ema_tau"], options["cosine"]) == (
        "coco",
        3,
        small.options.ema_tau,
        small.options.cosine,
    )


def test_a_file_of_hyperparameters(run: Any, arguments: list[str], tmp_path: Path) -> None:
    Hyperparameters(box=0.2, cls=0.7).to_yaml(tmp_path / "hyp.yaml")
    given = ["--hyp", tmp_path / "hyp.yaml", "--set", "cls=0.9", "--out", tmp_path / "out"]
    assert run(*arguments, *given)[0] == 0
    hyp = json.loads((tmp_path / "out" / "run.json").read_text())["hyp"]
    assert (hyp["box"], hyp["cls"], hyp["lrf"]) == (0.2, 0.9, Hyperparameters().lrf)


def test_every_field_is_an_option_of_its_type() -> None:
    parser = Parser("train")
    add_fields(parser)
    said = parser.format_help()
    asked: dict[str, Any] = {}
    line: list[str] = []
    for name in TrainOptions.__annotations__:
        option, default = f"--{name.replace('_', '-')}", getattr(TrainOptions, name)
        assert option in said
        if isinstance(default, bool):
            asked[name] = not default
            line.append(option if asked[name] else option.replace("--", "--no-", 1))
        elif default is not None:
            asked[name] = default
            line += [option, str(default)]
    assert vars(parser.parse_args(line)) == asked
    assert vars(parser.parse_args([])) == {}  # what nobody asked for does not go before a preset
    words = " ".join(said.split())
    for settings in (TrainOptions, Hyperparameters):
        for name, description in descriptions(settings).items():
            assert str(description) in words, name
    assert f"{TrainOptions.batch_size}" in words


def test_starting_from_weights_keeps_the_head_where_the_classes_are_as_many(
    run: Any, arguments: list[str], folder: Path, tmp_path: Path
) -> None:
    arguments[2:4] = ["--weights", str(tmp_path / "start.safetensors")]
    still = ["--set", "lr0=0", "--set", "warmup_bias_lr=0", "--no-auto-anchors"]  # nothing learns
    for classes, kept in ((CLASSES, True), (3, False)):
        start = create_model(folder / "tiny.yaml", num_classes=classes, seed=5)
        save(start, tmp_path / "start.safetensors")
        assert run(*arguments, *still, "--out", tmp_path / f"out{classes}")[0] == 0
        end = load(tmp_path / f"out{classes}" / "last.safetensors")
        before, after = start.state_dict(), end.state_dict()
        first = next(name for name in before if name.endswith("conv.weight"))
        assert torch.allclose(before[first], after[first], atol=1e-6)
        head = next(name for name in before if before[name].ndim == 4 and "layers.3" in name)
        assert (before[head].shape == after[head].shape) is kept
        assert end.names == KINDS


def test_stopped_after_some_seconds_and_gone_on_with_equals_a_run_in_one(
    run: Any, arguments: list[str], tmp_path: Path
) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    code, said, _ = run(*arguments, "--stop-after", "1e-6", "--json", "--out", cut)
    document = json.loads(said)
    assert (code, document["cut"], document["epochs_done"], document["iterations"]) == (0, True, 0, 1)
    assert document["last"]["epoch"] == 1
    assert load(cut / "last.safetensors").num_classes == CLASSES  # validated and saved
    code, said, _ = run("--resume", cut)
    assert (code, "--resume" in said) == (0, False)
    assert run(*arguments, "--out", whole)[0] == 0
    first, second = (load(place / "last.safetensors").state_dict() for place in (cut, whole))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_a_cut_run_says_that_its_learning_rate_is_that_of_a_longer_one(
    run: Any, arguments: list[str], tmp_path: Path
) -> None:
    _, said, _ = run(*arguments, "--stop-after", "1e-6", "--out", tmp_path / "out")
    assert re.search("1 batches.* learning rate .*1 epochs", said)
    assert f"yolo-lite train --resume {tmp_path / 'out'}" in said


def test_runs_are_numbered_and_none_is_written_over(
    run: Any, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "train-1").mkdir(parents=True)
    assert run(*arguments)[0] == 0
    assert (tmp_path / "runs" / "train-2" / "best.safetensors").is_file()
    assert free_folder(Path("runs")) == Path("runs/train-3")
    before = (tmp_path / "runs" / "train-2" / "state.safetensors").read_bytes()
    code, said, told = run(*arguments, "--out", "runs/train-2")
    assert (code, said) == (2, "")
    assert "runs/train-2" in told
    assert (tmp_path / "runs" / "train-2" / "state.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ([], ["--data", "--resume"]),
        (["--data", "shapes"], ["--model", "--weights"]),
        (["--data", "none", "--model", "yolov5n"], ["none"]),
        (["--data", "shapes", "--model", "yolov9000"], ["'yolov9000'"]),
        (["--data", "shapes", "--weights", "none.pt"], ["none.pt"]),
        (["--data", "shapes", "--model", "yolov5n", "--weights", "a.pt"], ["--model", "--weights"]),
        (["--data", "shapes", "--model", "yolov5n", "--set", "boxx=1"], ["'boxx'", "box"]),
        (["--data", "shapes", "--model", "yolov5n", "--set", "box"], ["--set", "'box'", "NAME=VALUE"]),
        (["--data", "shapes", "--model", "yolov5n", "--set", "box=a"], ["box", "'a'"]),
        (["--data", "shapes", "--model", "yolov5n", "--set", "mosaic=2"], ["mosaic", "0", "1", "2"]),
        (["--data", "shapes", "--model", "yolov5n", "--hyp", "none.yaml"], ["none.yaml"]),
        (["--data", "shapes", "--model", "yolov5n", "--epochs", "0"], ["epochs", "1", "0"]),
        (["--data", "shapes", "--model", "yolov5n", "--box-loss", "CIoU"], ["--box-loss", "'CIoU'", "ciou"]),
        (["--data", "shapes", "--model", "yolov5n", "--device", "abacus"], ["--device", "abacus"]),
        (["--data", "shapes", "--model", "yolov5n", "--stop-after", "0"], ["--stop-after", "'0'"]),
        (["--data", "shapes", "--model", "yolov5n", "--img-size", "65"], ["65", "96"]),
        (["--resume", "none"], ["none"]),
        (["--resume", "none", "--epochs", "3", "--set", "box=1", "--seed", "1"], ["--resume", "--set", "--seed"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], facts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, told = run(*given)
    assert (code, said) == (2, "")
    assert all(fact in told for fact in facts), told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_run_that_cannot_go_on_says_why_and_what_is_left(run: Any, arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, told = run(*arguments, "--epochs", 30, "--set", "lr0=1e20", "--out", out)
    assert (code, said) == (1, "")
    last = told.splitlines()[-1]
    assert re.match("yolo-lite train: .*finite", last)
    assert last.endswith(f"--weights {out / 'last.safetensors'}") is (out / "last.safetensors").exists()


def test_a_damaged_run_is_not_gone_on_with(run: Any, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"torn")
    code, _, told = run("--resume", tmp_path)
    assert code == 1
    assert str(tmp_path / "state.safetensors") in told


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")
def test_ctrl_c_says_how_to_go_on(run: Any, arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = shell(*arguments, "--epochs", 100_000, "--out", out)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert f"`yolo-lite train --resume {out}`" in told.splitlines()[-1]
    assert run("--resume", out, "--stop-after", "1e-6")[0] == 0


def test_two_processes_speak_with_one_voice(arguments: list[str], tmp_path: Path) -> None:
    answer = torchrun(*shell(*arguments, "--json", "--out", tmp_path / "out")[1:], timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["iterations"] == 2  # 16 images, 4 a process and batch
    assert len(re.findall(r"^epoch 1/1", answer.stderr, re.M)) == 1


def test_a_run_of_the_command_is_a_run_of_the_library(run: Any, arguments: list[str], tmp_path: Path) -> None:
    assert run(*arguments, "--out", tmp_path / "out")[0] == 0
    trainer = Trainer.resume(tmp_path / "out")
    assert (trainer.epoch, trainer.history[0]["epoch"], trainer.options.img_size) == (1, 0, 64)


# ---- data that people have -------------------------------------------------------------------------------------------


def damage(folder: Path, split: str, index: int) -> Path:
    """One picture of a copy whose header is good and whose body is not."""
    path = sorted((folder / "images" / split).iterdir())[index]
    path.write_bytes(damaged_jpeg(64, 64))
    return path


def test_a_damaged_image_is_named_once_and_beside_the_figures(run: Any, arguments: list[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    export_shapes(data, ("train", "val"), size=64, count=16)
    trained, validated = damage(data, "train", 2), damage(data, "val", 3)
    arguments[1] = str(data)
    code, said, told = run(*arguments, "--epochs", 2, "--out", tmp_path / "out")
    assert code == 0
    assert told.count(str(trained)) == told.count(str(validated)) == 1
    assert f": 1 ({trained})" in said
    assert f": 1 ({validated})" in said
    assert "1 unreadable" in told
    document = json.loads(run("--resume", tmp_path / "out", "--json")[1])
    assert document["unreadable"] == [str(trained)]
    for number, path in enumerate((trained, validated)):
        code, said, told = run(*arguments, "--strict", "--out", tmp_path / f"strict{number}")
        assert (code, said) == (1, "")
        assert str(path) in told.splitlines()[-1]
        write_image(path, 64, 64)  # a good one


def test_weights_of_another_image_size_are_said(run: Any, arguments: list[str], tmp_path: Path) -> None:
    assert "trained at" not in run(*arguments, "--out", tmp_path / "first")[2]
    begin = ["--data", arguments[1], "--weights", tmp_path / "first" / "last.safetensors", "--epochs", 1]
    told = run(*begin, "--img-size", 96, "--batch-size", 4, "--out", tmp_path / "second")[2]
    assert re.search("trained at 64 px.* 96 px", told)
    assert "--img-size 64" in told
    assert "trained at" not in run(*begin, "--img-size", 64, "--batch-size", 4, "--out", tmp_path / "third")[2]


def test_data_without_a_split_to_validate_on_names_the_option(run: Any, arguments: list[str], tmp_path: Path) -> None:
    export_shapes(tmp_path / "data", ("train",), size=64, count=16)
    arguments[1] = str(tmp_path / "data" / "data.yaml")
    code, said, told = run(*arguments, "--out", tmp_path / "out")
    assert (code, said, (tmp_path / "out").exists()) == (2, "", False)
    assert "val" in told
    assert "--val" in told
    assert run(*arguments, "--val", tmp_path / "data" / "images" / "train", "--out", tmp_path / "out")[0] == 0


def test_going_on_by_a_checkpoint_and_with_a_finished_run(run: Any, arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*arguments, "--epochs", 2, "--stop-after", "1e-6", "--out", out)[0] == 0
    code, said, told = run("--resume", out / "last.safetensors")
    assert (code, f"best weights: {out}/best.safetensors" in said) == (0, True)
    assert "epoch 1, after 1 of 4 batches" in told
    before = (out / "state.safetensors").read_bytes()
    code, said, told = run("--resume", out)
    assert (code, f"best weights: {out}/best.safetensors" in said) == (0, True)
    assert "2 of 2 epochs" in told
    assert f"yolo-lite train --weights {out / 'last.safetensors'}" in told
    assert "batches" not in told
    assert (out / "state.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "kept"), [(["2"], 2), (["0", "1", "2"], [0, 1, 2]), (["1"], 1), (["2", "0"], [2, 0])]
)
def test_layers_to_freeze(run: Any, arguments: list[str], tmp_path: Path, given: list[str], kept: Any) -> None:
    assert run(*arguments, "--freeze", *given, "--out", tmp_path / "out")[0] == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["options"]["freeze"] == kept


@pytest.mark.parametrize("given", [["0", "3"], ["9"], ["0", "-1"], ["a"]])
def test_layers_that_cannot_be_frozen(run: Any, arguments: list[str], tmp_path: Path, given: list[str]) -> None:
    code, _, told = run(*arguments, "--freeze", *given, "--out", tmp_path / "out")
    assert code == 2
    assert "freeze" in told.splitlines()[-1]
    assert not (tmp_path / "out").exists()
