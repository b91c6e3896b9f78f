"""What the command line reads and writes, word by word: letters that a console does not know, options of many words."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.datasets.annotated import annotation, coco, voc, voc_object, write_image
from yolo_lite.checkpoints.own import save
from yolo_lite.cli import main
from yolo_lite.cli.options import Parser, any_letter, print_json
from yolo_lite.cli.predict import add_commands as add_predict
from yolo_lite.model.yolo import create_model

NAMES = ("安全帽", "Größe")
CONSOLES = ["ascii", "cp1252", "cp437", "latin-1", "utf-8", "utf-16", "cp037"]


class Console:
    """stdout and stderr as a redirected console of some encoding has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self.monkeypatch = monkeypatch
        self.out, self.err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in "oe")

    def open(self) -> None:
        """Puts them in the place of pytest's, which it sets anew when a test begins."""
        self.monkeypatch.setattr(sys, "stdout", self.out)
        self.monkeypatch.setattr(sys, "stderr", self.err)

    def run(self, *arguments: object) -> int:
        self.open()
        return main([str(argument) for argument in arguments])

    @property
    def printed(self) -> bytes:
        self.out.flush()
        return self.out.buffer.getvalue()

    @property
    def text(self) -> str:
        return self.printed.decode(self.out.encoding)

    @property
    def said(self) -> str:
        self.err.flush()
        return self.err.buffer.getvalue().decode(self.err.encoding)


@pytest.fixture(params=CONSOLES)
def console(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Console:
    return Console(monkeypatch, request.param)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes whose names few consoles know, in a folder and with an image of such names."""
    folder = tmp_path_factory.mktemp("安") / "Größe"
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        data = cv2.imencode(".jpg", np.full((64, 96, 3), 90, np.uint8))[1].tobytes()
        (folder / "images" / split / "安.jpg").write_bytes(data)
        (folder / "labels" / split / "安.txt").write_text("0 .5 .5 .5 .5\n1 .2 .2 .2 .2\n7 .2 .2 .2 .2\n")
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: [{', '.join(NAMES)}]", "utf-8")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "安.safetensors"
    save(create_model("yolov5n", names=NAMES), path)
    return path


# ---- letters --------------------------------------------------------------------------------------------------------


def test_output_does_not_stop_for_a_letter(console: Console, dataset: Path) -> None:
    assert console.run("info", "--data", dataset) == 0
    assert "96 to 96" in console.text
    knows = console.out.encoding in ("utf-8", "utf-16")
    assert ("安全帽" if knows else "\\u5b89\\u5168\\u5e3d") in console.text
    assert ("Größe" if console.out.encoding != "ascii" else "Gr\\xf6\\xdfe") in console.text


def test_json_is_ascii_on_every_console(console: Console, dataset: Path) -> None:
    assert console.run("info", "--data", dataset, "--json") == 0
    document = json.loads(console.printed.decode("ascii"))
    assert [row["name"] for row in document["data"]["classes"]] == list(NAMES)
    assert console.said == ""


def test_errors_and_help_are_printed_on_every_console(console: Console, tmp_path: Path) -> None:
    assert console.run("info", "--data", tmp_path / "没有") == 2
    assert "yolo-lite info: " in console.said
    assert console.run("predict", "--help") == 0
    assert "--classes" in console.text


def test_json_of_every_command_is_ascii(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, weights: Path
) -> None:
    write_image(tmp_path / "a.jpg")
    content = coco(
        categories=[{"id": 3, "name": "安全帽"}], annotations=[annotation(1), annotation(2) | {"image_id": "没"}]
    )
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "bad.yaml").write_text("depth_multiple: [没有]", "utf-8")
    common = ("--weights", weights, "--img-size", 64, "--device", "cpu")
    commands: list[tuple[Any, ...]] = [
        ("predict", dataset / "images", *common),
        ("val", "--data", dataset, *common),
        ("info", *common[:2]),
        ("anchors", "--data", dataset, "--generations", 1),
        ("convert", "coco", tmp_path / "a.json", tmp_path / "外", "--merge-names"),
        ("convert", "voc", voc(tmp_path, {"a": voc_object("安", (1, 1, 9, 9))}), tmp_path / "外2"),
        ("write", "shapes", tmp_path / "外3", "--count", 1),
        ("fetch", "--list"),
    ]
    for command in commands:
        console = Console(monkeypatch, "ascii")
        assert console.run(*command, "--json") == 0, (command, console.said)
        assert json.loads(console.printed.decode("ascii")), command


def test_a_file_name_that_is_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path) -> None:
    """Bytes that are not UTF-8 in a name reach Python as lone surrogates, which UTF-8 cannot encode either."""
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    try:
        (tmp_path / name).write_bytes(write_image(tmp_path / "in" / "a.jpg").read_bytes())
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this disk takes no such name: {error}")
    console = Console(monkeypatch, "utf-8")
    settings = ("--weights", weights, "--img-size", 64, "--device", "cpu")
    assert console.run("predict", tmp_path / name, *settings) == 0
    assert "\\udcff.jpg" in console.text
    console = Console(monkeypatch, "utf-8")
    assert console.run("predict", tmp_path / name, *settings, "--json") == 0
    assert json.loads(console.printed)["images"][0]["path"] == str(tmp_path / name)


def test_a_shell_of_another_encoding(dataset: Path) -> None:
    command = [sys.executable, "-m", "yolo_lite", "info", "--data", str(dataset), "--strict"]
    for encoding in ("cp1252", "ascii:strict"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
        assert done.returncode == 1, done.stderr  # class 7 does not exist
        assert b"\\u5b89" in done.stdout
        assert done.stderr == b""


def test_streams_are_given_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(monkeypatch, "ascii")
    console.open()
    with contextlib.suppress(KeyboardInterrupt), any_letter():
        print("安")
        raise KeyboardInterrupt
    assert console.printed.strip() == b"\\u5b89"
    assert (console.out.errors, console.err.errors) == ("strict", "strict")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    with any_letter():
        print_json({"name": "安", "value": float("nan")})
        assert json.loads(sys.stdout.getvalue()) == {"name": "安", "value": None}


# ---- options of many words ------------------------------------------------------------------------------------------


def parsed(*words: str) -> Any:
    parser = Parser("yolo-lite")
    add_predict(parser.add_subparsers(dest="command", parser_class=Parser))
    return parser.parse_args(["predict", *words])


@pytest.mark.parametrize(
    ("words", "classes", "images"),
    [
        ("--classes 0 a.jpg --weights w", ["0"], ["a.jpg"]),
        ("--weights w --classes 0 a.jpg", ["0"], ["a.jpg"]),
        ("--classes 0 2 cat a.jpg --weights w", ["0", "2", "cat"], ["a.jpg"]),
        ("--classes 0 there.jpg there.jpg --weights w", ["0"], ["there.jpg", "there.jpg"]),
        ("--classes 0 photos/a.jpg *.png --weights w", ["0"], ["photos/a.jpg", "*.png"]),
        ("--classes 0 --classes 2 a.jpg --weights w", ["0", "2"], ["a.jpg"]),
        ("--weights w --classes 0 -- a.jpg", ["0"], ["a.jpg"]),
        ("a.jpg --classes 0 2 --weights w", ["0", "2"], ["a.jpg"]),
        ("a.jpg b.jpg --weights w --classes cat", ["cat"], ["a.jpg", "b.jpg"]),
        ("--classes=0 a.jpg --weights w", ["0"], ["a.jpg"]),
        ("--classes 0 --weights w a.jpg", ["0"], ["a.jpg"]),
        ("--classes cat photos --weights w --save out", ["cat"], ["photos"]),
    ],
)
def test_classes_do_not_swallow_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, classes: list[str], images: list[str]
) -> None:
    write_image(tmp_path / "there.jpg")
    monkeypatch.chdir(tmp_path)
    options = parsed(*words.split())
    assert (options.classes, options.images) == (classes, images)
    assert options.weights == "w"


def test_classes_alone_leave_nothing_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--classes", "0", "--weights", "w")
    assert "IMAGE" in capsys.readouterr().err


def test_predict_with_classes_before_the_image(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = write_image(tmp_path / "a.jpg")
    settings = ["--weights", str(weights), "--img-size", "64", "--device", "cpu"]
    assert main(["predict", "--classes", "0", str(photo), *settings]) == 0
    assert main(["predict", *settings, "--classes", "Größe", "0", str(photo)]) == 0
    assert str(photo) in capsys.readouterr().out
    assert main(["predict", str(photo), *settings, "--classes", "0", str(photo)]) == 2
    err = capsys.readouterr().err
    assert str(photo) in err
    assert "--classes" in err


@pytest.mark.parametrize("order", ["--names dog cat {} {}", "{} --names dog cat {}", "{} {} --names dog cat"])
def test_names_do_not_swallow_the_folders(tmp_path: Path, order: str) -> None:
    folder = voc(tmp_path, {"a": voc_object("dog", (1, 1, 9, 9)) + voc_object("cat", (1, 1, 9, 9))})
    words = order.replace("{}", str(folder), 1).replace("{}", str(tmp_path / "out"), 1).split()
    assert main(["convert", "voc", *words]) == 0
    assert (tmp_path / "out" / "data.yaml").read_text().endswith("names:\n  0: dog\n  1: cat\n")


def test_splits_do_not_swallow_the_dataset(tmp_path: Path) -> None:
    assert main(["write", "--splits", "train", "test", "shapes", str(tmp_path / "out"), "--count", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["test", "train"]
