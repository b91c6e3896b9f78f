"""What the commands say about a dataset of which something is left out, and what --strict makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.yolo_folders import write_image, write_text
from yolo_lite.checkpoints.own import load, save
from yolo_lite.cli import main
from yolo_lite.model.yolo import create_model

TRAIN = ("--model", "yolov5n", "--img-size", 64, "--batch-size", 2, "--epochs", 1, "--no-auto-anchors")


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def lines(self, text: str) -> list[str]:
        """The lines on stderr that have this in them."""
        return [line for line in self.err.splitlines() if text in line]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for three classes that has learnt nothing."""
    path = tmp_path_factory.mktemp("weights") / "three.safetensors"
    save(create_model("yolov5n", names=("dog", "person", "cat")), path)
    return path


def pair(root: Path, split: str, name: str, label: str | None = None, cls: int = 0) -> None:
    write_image(root / "images" / split / f"{name}.jpg", 64, 96)
    write_text(root / "labels" / split / f"{label or name}.txt", f"{cls} .5 .5 .5 .5\n")


@pytest.fixture
def misnamed(tmp_path: Path) -> Path:
    """Two images a split, one of which has a label file of another name."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        pair(root, split, f"{split}0")
        pair(root, split, f"{split}#1", f"{split}_1")
    write_text(root / "classes.txt", "dog\nperson\ncat\n")
    return root


def test_every_command_counts_in_one_line_what_is_left_out(run: Any, misnamed: Path, weights: Path) -> None:
    trained = run("train", *TRAIN, "--data", misnamed, "--out", misnamed / "run")
    validated = run("val", "--weights", weights, "--data", misnamed, "--img-size", 64)
    fitted = run("anchors", "--data", misnamed, "--img-size", 64)
    assert [answer.code for answer in (trained, validated, fitted)] == [0, 0, 0]
    for answer, splits in ((trained, ("train", "val")), (validated, ("val",)), (fitted, ("train",))):
        said = answer.lines("label files without an image: 1, images without a label file: 1;")
        assert len(said) == len(splits)
        for line, split in zip(said, splits, strict=True):
            assert line.startswith(f"warning: {misnamed} ({split}): 2 images")
            assert f"{split}_1.txt" in line
            assert f"yolo-lite info --data {misnamed} --split {split}" in line
        assert "print(dataset.report)" not in answer.err
    described = run("info", "--data", misnamed)
    assert "label files without an image: 1\n" in described.out


def test_every_command_is_strict_where_asked(run: Any, misnamed: Path, weights: Path) -> None:
    for command in (("info",), ("anchors", "--img-size", 64), ("val", "--weights", weights, "--img-size", 64)):
        answer = run(*command, "--data", misnamed, "--strict")
        assert answer.code == 1, command
        assert "label files without an image: 1" in answer.out + answer.err


def test_train_is_strict_where_asked(run: Any, misnamed: Path) -> None:
    out = misnamed / "run"
    answer = run("train", *TRAIN, "--data", misnamed, "--out", out, "--strict")
    assert (answer.code, answer.out) == (1, "")
    assert "label files without an image: 1" in answer.err
    assert not out.exists()
    for split in ("train", "val"):
        (misnamed / "labels" / split / f"{split}_1.txt").unlink()
    answer = run("train", *TRAIN, "--data", misnamed, "--out", out, "--strict")
    assert answer.code == 0, answer.err
    assert len(answer.lines("images without a label file: 1")) == 2


def test_strict_takes_background_pictures_as_they_are(run: Any, misnamed: Path, weights: Path) -> None:
    for split in ("train", "val"):
        (misnamed / "labels" / split / f"{split}_1.txt").unlink()
    for command in (("info",), ("anchors", "--img-size", 64), ("val", "--weights", weights, "--img-size", 64)):
        answer = run(*command, "--data", misnamed, "--strict")
        assert answer.code == 0, answer.err
        assert "images without a label file: 1" in answer.out + answer.err  # said all the same
        assert "warning" not in answer.err


def test_reports_are_in_the_documents_of_json(run: Any, misnamed: Path, weights: Path) -> None:
    for command in (("anchors", "--img-size", 64), ("val", "--weights", weights, "--img-size", 64)):
        document = json.loads(run(*command, "--data", misnamed, "--json").out)
        assert document["report"]["counts"]["label files without an image"] == 1


# ---- class names ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """Class 2 in train and 1 in val alone, and no names."""
    root = tmp_path / "data"
    for split, classes in (("train", (0, 2)), ("val", (0, 1))):
        for cls in classes:
            pair(root, split, f"{split}{cls}", cls=cls)
    return root


@pytest.mark.parametrize("names", [["dog,person,cat"], ["dog", "person", "cat"], ["dog, person", "cat"]])
def test_names(run: Any, nameless: Path, weights: Path, names: list[str]) -> None:
    described = json.loads(run("info", "--data", nameless, "--names", *names, "--json").out)
    assert [row["name"] for row in described["data"]["classes"]] == ["dog", "person", "cat"]
    answer = run("val", "--weights", weights, "--data", nameless, "--img-size", 64, "--names", *names)
    assert (answer.code, answer.err.count("warning")) == (0, 0)


@pytest.mark.parametrize("given", [("--names", "dog,person,cat"), ()])
def test_one_class_list_for_train_and_val_and_for_the_run_that_goes_on(
    run: Any, nameless: Path, tmp_path: Path, given: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    answer = run("train", *TRAIN, "--epochs", 2, "--data", nameless, *given, "--out", out, "--stop-after", 1e-6)
    assert answer.code == 0, answer.err
    names = ("dog", "person", "cat") if given else ("0", "1", "2")
    assert load(out / "last.safetensors").names == names
    gone_on = run("train", "--resume", out)
    assert gone_on.code == 0, gone_on.err
    assert load(out / "last.safetensors").names == names
    assert "names:" not in answer.err + gone_on.err


@pytest.mark.parametrize("turned", [False, True])
def test_train_and_val_in_two_folders_have_one_class_list(
    run: Any, nameless: Path, tmp_path: Path, turned: bool
) -> None:
    folders = [nameless / "images" / "train", nameless / "images" / "val"][:: -1 if turned else 1]
    answer = run("train", *TRAIN, "--data", folders[0], "--val", folders[1], "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert load(tmp_path / "run" / "last.safetensors").names == ("0", "1", "2")
    assert "rows left out" not in answer.err


def test_names_in_place_of_those_of_the_data(run: Any, nameless: Path, tmp_path: Path) -> None:
    write_text(nameless / "labels" / "train" / "classes.txt", "a\nb\nc\n")
    write_text(nameless / "labels" / "val" / "classes.txt", "b\na\nc\n")
    command = ("train", *TRAIN, "--data", nameless, "--out", tmp_path / "run")
    refused = run(*command)
    assert refused.code == 2
    assert "labels/train/classes.txt" in refused.err
    assert "labels/val/classes.txt" in refused.err
    assert not (tmp_path / "run").exists()
    assert run(*command, "--names", "dog,person,cat").code == 0
    assert load(tmp_path / "run" / "last.safetensors").names == ("dog", "person", "cat")


def test_names_that_are_empty_or_too_few(run: Any, nameless: Path) -> None:
    assert run("info", "--data", nameless, "--names", "dog,,cat").code == 2
    answer = run("info", "--data", nameless, "--names", "dog,person", "--strict")
    assert answer.code == 1
    assert "class 2" in answer.out


def test_val_of_data_without_names_has_those_of_the_model(run: Any, nameless: Path, weights: Path) -> None:
    answer = run("val", "--weights", weights, "--data", nameless / "images" / "val", "--img-size", 64, "--json")
    assert answer.code == 0, answer.err
    assert {"dog", "person"} <= {row["name"] for row in json.loads(answer.out)["per_class"]}


# ---- pictures that are passed over ----------------------------------------------------------------------------------


def test_predict_counts_and_names_what_it_passes_over(run: Any, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_image(folder / "a.jpg", 64, 96)
    (folder / "b.jfif").write_bytes((folder / "a.jpg").read_bytes())
    for number in range(3):
        (folder / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    for pattern in (folder, folder / "*"):
        command = ("predict", pattern, "--weights", weights, "--img-size", 64)
        answer = run(*command)
        assert answer.code == 0
        assert len(answer.lines("3 .heic")) == 1
        assert "IMG_2.HEIC" in answer.err
        assert answer.out.count("nothing found") == 2
        document = json.loads(run(*command, "--json").out)
        assert [Path(path).name for path in document["passed_over"]] == [f"IMG_{number}.HEIC" for number in range(3)]
        strict = run(*command, "--strict")
        assert (strict.code, strict.out) == (1, "")
    for name in ("a.jpg", "b.jfif"):
        (folder / name).unlink()
    nothing = run("predict", folder, "--weights", weights)
    assert nothing.code == 2
    assert "IMG_0.HEIC" in nothing.err


def test_predict_counts_files_without_a_suffix_by_pattern_as_in_a_folder(
    run: Any, weights: Path, tmp_path: Path
) -> None:
    write_image(tmp_path / "a.jpg", 64, 96)
    (tmp_path / "b").write_bytes((tmp_path / "a.jpg").read_bytes())
    write_text(tmp_path / "c", "a text")
    for pattern in (tmp_path, tmp_path / "*"):
        answer = run("predict", pattern, "--weights", weights, "--img-size", 64)
        assert (answer.code, answer.out.count("nothing found")) == (0, 1)
        assert len(answer.lines("1 no suffix")) == 1


@pytest.mark.parametrize("empty", ["", " "])
def test_predict_refuses_an_empty_name(run: Any, weights: Path, tmp_path: Path, monkeypatch: Any, empty: str) -> None:
    write_image(tmp_path / "a.jpg", 64, 96)
    monkeypatch.chdir(tmp_path)
    answer = run("predict", empty, "--weights", weights)
    assert (answer.code, answer.out) == (2, "")
    assert repr(empty) in answer.err


def test_predict_says_that_an_argument_is_there_twice(run: Any, weights: Path, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", 64, 96)
    answer = run("predict", path, path, "--weights", weights, "--img-size", 64)
    assert (answer.code, answer.out.count("nothing found")) == (0, 1)
    assert len(answer.lines("twice")) == 1
    assert str(path) in answer.lines("twice")[0]
