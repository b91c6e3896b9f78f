"""The command yolo-lite, as a shell sees it: what it prints, where, and its exit codes."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from tests.data.test_unreadable import damaged_jpeg
from tests.datasets.yolo_folders import write_folder
from tests.support.coco_worlds import pycocotools_evaluation
from yolo_lite import __version__
from yolo_lite.checkpoints.own import load, save
from yolo_lite.cli import GROUPS, main
from yolo_lite.cli.options import Parser, pick_workers
from yolo_lite.cli.predict import find_images
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import export_shapes
from yolo_lite.detect.drawing import PALETTE, draw_detections
from yolo_lite.detect.predict import Detections, predict
from yolo_lite.model.yolo import create_model

COMMANDS = ["train", "val", "predict", "info", "anchors", "fetch", "convert coco", "convert voc", "write", "export"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset on disk: 6 + 6 images of 96 px, 6 classes."""
    folder = tmp_path_factory.mktemp("shapes") / "data"
    export_shapes(folder, ("train", "val"), size=96, count=6)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Path:
    """A network for its classes that has learnt nothing."""
    path = tmp_path_factory.mktemp("weights") / "six.safetensors"
    save(create_model("yolov5n", names=YoloDataset(shapes, 96).names), path)
    return path


class Answer:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


def shell(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yolo_lite", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


# ---- the command as a whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_an_example_that_parses(run: Any, command: str) -> None:
    answer = run(*command.split(), "--help")
    assert answer.code == 0
    example = answer.out.rstrip().splitlines()[-1].strip()
    assert answer.out.rstrip().endswith(f"example:\n  {example}")
    assert example.startswith(f"yolo-lite {command}")
    parser = Parser("yolo-lite")
    commands = parser.add_subparsers(dest="command", parser_class=Parser)
    for group in GROUPS:
        group.add_commands(commands)
    assert callable(parser.parse_args(example.replace("'", "").split()[1:]).run)


def test_help_needs_nothing_heavy() -> None:
    """The commands' modules import torch, cv2 and numpy when they run. (Whether the package does is its own matter.)"""
    code = """if True:
        import importlib.machinery, pathlib, sys, types
        package = types.ModuleType("yolo_lite")  # without what its __init__ imports
        package.__path__, package.__version__ = [str(pathlib.Path("yolo_lite").absolute())], "0"
        sys.modules["yolo_lite"] = package
        from yolo_lite.cli import main
        assert main(["val", "--help"]) == 0
        print({"torch", "cv2", "numpy"} & set(sys.modules))
    """
    project = Path(__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project, timeout=60)
    assert answer.stdout.splitlines()[-1] == "set()", answer.stderr


def test_version(run: Any) -> None:
    assert run("--version").out == f"yolo-lite {__version__}\n"


def test_python_m_and_its_exit_code(tmp_path: Path) -> None:
    answer = shell("info", "--data", tmp_path / "none")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("yolo-lite info: ")
    assert str(tmp_path / "none") in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ([], "COMMAND"),
        (["vall"], "'vall'"),
        (["val", "--weights", "a.pt"], "--data"),
        (["val", "--img", "640"], "--weights"),
        (["val", "--weights", "a", "--data", "b", "--img-size", "x"], "--img-size: 'x'"),
        (["val", "--weights", "a", "--data", "b", "--conf-thres", "1.5"], "--conf-thres: '1.5'"),
        (["val", "--weights", "a", "--data", "b", "--conf-thres", "nan"], "--conf-thres: 'nan'"),
        (["val", "--weights", "a", "--data", "b", "--workers", "-1"], "--workers: '-1'"),
        (["anchors", "--data", "b", "--anchor-t", "0"], "--anchor-t: '0'"),
        (["predict", "--weights", "a.pt"], "IMAGE"),
    ],
)
def test_wrong_usage_is_one_sentence(run: Any, arguments: list[str], fact: str) -> None:
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert fact in answer.err
    assert "--help)" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["val", "--weights", "none.pt", "--data", "shapes"], ["none.pt"]),
        (["val", "--weights", "yolov5s.pt", "--data", "shapes"], ["yolov5s.pt: ", "`yolo-lite fetch yolov5s`"]),
        (["info", "--weights", "some/yolov5s.pt"], ["some/yolov5s.pt: ", "`yolo-lite fetch yolov5s`"]),
        (["val", "--weights", "yolov5n", "--data", "shapes"], ["`yolo-lite fetch yolov5n`", "yolov5n.pt"]),
        (["val", "--weights", "yolo11n.pt", "--data", "shapes"], ["yolo11n.pt: ", "`yolo-lite fetch yolo11n`"]),
        (["val", "--weights", "yolov3", "--data", "shapes"], ["yolov3", "weights", ".pt"]),
        (["val", "--weights", "my.yaml", "--data", "shapes"], ["my.yaml", "weights"]),
        (["predict", "none.jpg", "--weights", "none.pt"], ["none.jpg"]),
        (["info"], ["--weights", "--model", "--data"]),
        (["info", "--model", "yolov9000"], ["yolov9000"]),
        (["fetch"], ["yolo-lite fetch --list"]),
        (["fetch", "coco9"], ["coco9"]),
        (["fetch", "a://b", "c://d", "--sha256", "0" * 64], ["--sha256", "2"]),
        (["convert", "coco", "none.json", "out"], ["none.json"]),
        (["convert", "coco", "a.json", "out", "--train", "b.json"], ["--train", "a.json", "b.json"]),
        (["convert", "voc", "none", "out"], ["none"]),
    ],
)
def test_bad_input_is_one_sentence(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], facts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert all(fact in answer.err for fact in facts), answer.err
    assert answer.err.startswith(f"yolo-lite {arguments[0]}: ")
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(run: Any) -> None:
    with pytest.raises(ValueError, match="coco9"):
        run("fetch", "coco9", "--debug")


def test_a_mistake_of_ours_is_not_hidden(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_lite.datasets.shapes.export_shapes", lambda *_: {}["nothing"])
    with pytest.raises(KeyError):
        run("write", "shapes", "out")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")
def test_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yolo_lite", "write", "shapes", str(tmp_path), "--count", "300", "--size", "640"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any((tmp_path / "images").rglob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (130, "stopped\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_reader_that_has_seen_enough() -> None:
    command = f"{sys.executable} -m yolo_lite info --model yolov5n | head -1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stderr) == (0, "")


# ---- the size of the images -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_at_96(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """The same network, in a file that knows the size of its training."""
    path = tmp_path_factory.mktemp("sized") / "sized.safetensors"
    save(load(weights), path, metadata={"img_size": 96, "preset": "small-data"})
    return path


def test_val_writes_results_that_pycocotools_scores_as_printed(
    run: Any, shapes: Path, weights: Path, tmp_path: Path
) -> None:
    arguments = ("val", "--weights", weights, "--data", shapes, "--img-size", 96, "--device", "cpu", "--json")
    answer = run(*arguments, "--save-json", tmp_path / "found.json")
    results, labels = (json.loads((tmp_path / name).read_text()) for name in ("found.json", "found-annotations.json"))
    printed = [-1 if value is None else value for value in json.loads(answer.out)["coco"].values()]
    np.testing.assert_allclose(printed, pycocotools_evaluation(labels, results).stats, rtol=0, atol=1e-15)
    assert "found-annotations.json" in answer.err
    assert run(*arguments, "--save-json", tmp_path / "no" / "found.json").code == 2
    assert run(*arguments, "--annotations", tmp_path / "no.json").code == 2
    given = run(
        *arguments, "--annotations", tmp_path / "found-annotations.json", "--save-json", tmp_path / "again.json"
    )
    assert json.loads(given.out)["annotations"] == str(tmp_path / "found-annotations.json")
    assert json.loads(given.out)["map"] == pytest.approx(printed[0], abs=1e-6)
    assert not (tmp_path / "again-annotations.json").exists()


def test_val_takes_the_size_of_the_training_and_says_so(run: Any, shapes: Path, trained_at_96: Path) -> None:
    arguments = ("val", "--weights", trained_at_96, "--data", shapes, "--device", "cpu")
    own, asked = run(*arguments), run(*arguments, "--img-size", 96)
    assert "96 px, as in training" in own.out.splitlines()[0]
    assert "as in training" not in asked.out
    assert own.out.splitlines()[1:-1] == asked.out.splitlines()[1:-1]  # the last line has times
    assert run(*arguments, "--json").json["img_size"] == 96


def test_val_of_a_file_that_does_not_know_its_size_takes_640_and_says_so(run: Any, shapes: Path, weights: Path) -> None:
    answer = run("val", "--weights", weights, "--data", shapes, "--device", "cpu")
    assert "640 px" in answer.out.splitlines()[0]
    assert "as in training" not in answer.out


def test_predict_takes_the_size_of_the_training_and_says_so(run: Any, shapes: Path, trained_at_96: Path) -> None:
    arguments = ("predict", shapes / "images/val/000000.jpg", "--weights", trained_at_96, "--conf-thres", 0)
    own, asked = run(*arguments, "--json"), run(*arguments, "--img-size", 96, "--json")
    assert "96 px, as in training" in own.err
    assert asked.err == ""
    assert own.json["img_size"] == asked.json["img_size"] == 96
    assert own.json["images"][0]["detections"] == asked.json["images"][0]["detections"]


def test_info_and_anchors_take_the_size_of_the_training(run: Any, shapes: Path, trained_at_96: Path) -> None:
    answer = run("info", "--weights", trained_at_96)
    assert "img_size 96" in answer.out
    assert "preset small-data" in answer.out
    assert run("info", "--weights", trained_at_96, "--json").json["model"]["img_size"] == [96, 96]
    assert run("anchors", "--data", shapes, "--weights", trained_at_96, "--json").json["img_size"] == 96
    assert run("anchors", "--data", shapes, "--json").json["img_size"] == 640


# ---- classes by name ------------------------------------------------------------------------------------------------


def renamed(shapes: Path, folder: Path, names: Sequence[str], order: Sequence[int]) -> Path:
    """The dataset with other class names, and every class i of its labels written as order[i]."""
    shutil.copytree(shapes, folder)
    for path in folder.glob("labels/*/*.txt"):
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(" ".join([str(order[int(row[0])]), *row[1:]]) + "\n" for row in rows))
    data = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump({**data, "path": str(folder), "names": list(names)}))
    return folder / "data.yaml"


def test_val_matches_classes_in_another_order_by_name(
    run: Any, shapes: Path, trained_at_96: Path, tmp_path: Path
) -> None:
    names = load(trained_at_96).names
    other = renamed(shapes, tmp_path / "reversed", names[::-1], list(range(len(names)))[::-1])
    plain, found = (run("val", "--weights", trained_at_96, "--data", data, "--json") for data in (shapes, other))
    assert "by name" in found.err
    assert "by name" not in plain.err
    assert found.json["confusion"] == plain.json["confusion"]
    assert found.json["map50"] == plain.json["map50"]


def test_val_of_a_set_with_one_more_class(run: Any, shapes: Path, trained_at_96: Path, tmp_path: Path) -> None:
    names = load(trained_at_96).names
    more = renamed(shapes, tmp_path / "more", ["spare", *names], range(1, 7))
    assert f"--classes {' '.join(names)}" in run("val", "--weights", trained_at_96, "--data", more).err
    arguments = ("val", "--weights", trained_at_96, "--json", "--data")
    found, plain = run(*arguments, more, "--classes", *names), run(*arguments, shapes)
    assert found.json["map50"] == plain.json["map50"]


def test_val_says_which_names_differ(run: Any, shapes: Path, trained_at_96: Path, tmp_path: Path) -> None:
    names, order = list(load(trained_at_96).names), list(range(6))
    answer = run(
        "val", "--weights", trained_at_96, "--data", renamed(shapes, tmp_path / "a", [*names[:5], "comet"], order)
    )
    assert answer.code == 0
    assert f"{names[5]} / comet" in answer.err
    numbers = renamed(shapes, tmp_path / "b", [str(number) for number in order], order)
    answer = run("val", "--weights", trained_at_96, "--data", numbers)
    assert "by number" in answer.err
    mixed = renamed(shapes, tmp_path / "c", [names[1], "comet", *names[2:]], order)
    answer = run("val", "--weights", trained_at_96, "--data", mixed)
    assert (answer.code, answer.out) == (2, "")
    assert all(name in answer.err for name in (names[1], "comet"))


# ---- val ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "map50", "map_"),
    [([], 0.701, 0.468), (["--batch-size", 1], 0.696, 0.486), (["--no-rect"], 0.629, 0.351)],
)
def test_val_prints_the_reference_figures(
    run: Any, shared: Path, options: list[object], map50: float, map_: float
) -> None:
    data = shared / "data" / "coco8" / "data.yaml"
    answer = run(
        "val", "--weights", shared / "weights" / "yolov5n.pt", "--data", data, "--rule", "yolov5", "--json", *options
    )
    assert answer.code == 0
    assert answer.json["map50"] == pytest.approx(map50, abs=0.003)
    assert answer.json["map"] == pytest.approx(map_, abs=0.003)


def test_val_prints_a_table(run: Any, weights: Path, shapes: Path) -> None:
    answer = run("val", "--weights", weights, "--data", shapes, "--img-size", 96, "--device", "cpu")
    assert answer.code == 0
    assert answer.out.splitlines()[0] == f"{weights} on {shapes} (val), rectangles of 96 px"
    assert re.search(r"all +6 ", answer.out)
    assert "6 images, coco rule" in answer.out


def test_val_with_worker_processes_says_the_same(run: Any, weights: Path, shapes: Path) -> None:
    figures = []
    for workers in (0, 2):
        arguments = ("--data", shapes, "--img-size", 96, "--workers", workers, "--batch-size", 2)
        answer = run("val", "--weights", weights, *arguments, "--json").json
        figures.append({name: value for name, value in answer.items() if name != "seconds"})
    assert figures[0] == figures[1]


def test_val_another_number_of_classes(run: Any, weights: Path, shared: Path) -> None:
    answer = run("val", "--weights", weights, "--data", shared / "data" / "coco8")
    assert (answer.code, answer.out) == (2, "")
    assert "6 classes" in answer.err
    assert "80" in answer.err
    assert answer.err.count("\n") == 1


def test_val_bad_labels_are_left_out_or_strictly_refused(run: Any, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    export_shapes(folder, ("val",), size=96, count=3)
    with (folder / "labels" / "val" / "000000.txt").open("a") as file:
        file.write("99 .5 .5 .1 .1\n")
    lenient = run("val", "--weights", weights, "--data", folder, "--img-size", 96)
    assert lenient.code == 0
    assert "class 99" in lenient.err
    strict = run("val", "--weights", weights, "--data", folder, "--img-size", 96, "--strict")
    assert (strict.code, strict.out) == (1, "")
    assert "class 99" in strict.err


def test_val_damaged_images_are_left_out_or_strictly_refused(run: Any, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    export_shapes(folder, ("val",), size=96, count=3)
    damaged = sorted((folder / "images" / "val").iterdir())[1]
    damaged.write_bytes(damaged_jpeg(96, 96))  # its header is good
    arguments = ("val", "--weights", weights, "--data", folder, "--img-size", 96, "--batch-size", 1)
    lenient = run(*arguments)
    assert (lenient.code, lenient.err.count(str(damaged))) == (0, 1)
    assert "2 images, coco rule" in lenient.out
    assert "1 left out" in lenient.out
    assert str(damaged) in lenient.out
    assert [entry["path"] for entry in run(*arguments, "--json").json["left_out"]] == [str(damaged)]
    strict = run(*arguments, "--strict")
    assert (strict.code, strict.out) == (1, "")
    assert str(damaged) in strict.err


def test_val_image_size_that_cannot_be(run: Any, weights: Path, shapes: Path) -> None:
    answer = run("val", "--weights", weights, "--data", shapes, "--img-size", 100)
    assert answer.code == 2
    assert all(fact in answer.err for fact in ("100", "32"))


def test_few_images_need_no_workers() -> None:
    assert pick_workers(None, 4) == 0
    assert pick_workers(None, 5000) > 0
    assert pick_workers(3, 4) == 3


# ---- predict --------------------------------------------------------------------------------------------------------


def test_predict_says_what_the_library_says(run: Any, shared: Path) -> None:
    images, checkpoint = shared / "data/coco8/images/val", shared / "weights/yolov5n.pt"
    answer = run("predict", images, "--weights", checkpoint, "--json", "--batch-size", 3, "--device", "cpu")
    assert answer.code == 0
    paths = sorted(images.iterdir())
    expected = predict(load(checkpoint), paths)
    assert [entry["path"] for entry in answer.json["images"]] == list(map(str, paths))
    for entry, found in zip(answer.json["images"], expected, strict=True):
        assert [each["name"] for each in entry["detections"]] == [each.name for each in found.named()]
        boxes = np.array([each["xyxy"] for each in entry["detections"]]).reshape(-1, 4)
        assert np.allclose(boxes, found.xyxy.numpy(), atol=0.01)


@pytest.mark.parametrize("name", ["nope.cfg", "nope.yaml"])
@pytest.mark.parametrize("command", ["predict", "val"])
def test_weights_that_are_not_there(run: Any, shapes: Path, tmp_path: Path, command: str, name: str) -> None:
    options = [str(shapes)] if command == "predict" else ["--data", str(shapes)]
    answer = run(command, "--weights", str(tmp_path / name), *options)
    assert answer.code != 0
    assert f"{name}: no such file" in answer.err
    assert "without weights" not in answer.err
    (tmp_path / name).write_text("nc: 3\n", encoding="utf-8")
    assert f"{name} is a network without weights" in run(command, "--weights", str(tmp_path / name), *options).err


def test_predict_prints_a_line_per_image(run: Any, weights: Path, shapes: Path) -> None:
    answer = run("predict", shapes / "images", "--weights", weights, "--img-size", 96)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert len(lines) == 12
    assert re.fullmatch(rf"{re.escape(str(shapes))}/images/train/000000.jpg +\d+ ms  nothing found", lines[0])


def test_predict_saves_drawings_and_labels(run: Any, weights: Path, shapes: Path, tmp_path: Path) -> None:
    drawn, labels = tmp_path / "deep" / "drawn", tmp_path / "labels"
    arguments = ("--weights", weights, "--img-size", 96, "--conf-thres", 0, "--max-det", 5)
    answer = run("predict", shapes / "images", *arguments, "--save", drawn, "--save-txt", labels, "--json")
    assert answer.code == 0
    names = [f"{split}/{index:06d}" for split in ("train", "val") for index in range(6)]
    assert sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.png")) == [f"{n}.png" for n in names]
    for name, entry in zip(names, answer.json["images"], strict=True):
        original, picture = cv2.imread(str(shapes / f"images/{name}.jpg")), cv2.imread(str(drawn / f"{name}.png"))
        assert picture.shape == original.shape
        assert not np.array_equal(picture, original)
        rows = np.loadtxt(labels / f"{name}.txt", ndmin=2)
        left, top, right, bottom = np.array([each["xyxy"] for each in entry["detections"]]).T / 96
        assert len(rows) == 5
        assert np.allclose(
            rows[:, 1:], np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], 1), atol=1e-5
        )
    again = run("predict", shapes / "images", *arguments, "--save", drawn)
    assert again.code == 2
    assert str(drawn) in again.err


def test_predict_goes_on_after_a_broken_image(run: Any, weights: Path, shapes: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    good = shapes / "images/val/000000.jpg"
    answer = run("predict", broken, good, "--weights", weights, "--img-size", 96, "--json", "--batch-size", 2)
    assert answer.code == 1
    assert [entry["path"] for entry in answer.json["images"]] == [str(good)]
    assert [entry["path"] for entry in answer.json["unreadable"]] == [str(broken)]
    assert str(broken) in answer.err


def test_predict_only_some_classes(run: Any, weights: Path, shapes: Path) -> None:
    image, arguments = shapes / "images/val/000000.jpg", ("--weights", weights, "--img-size", 96, "--conf-thres", 0)
    answer = run("predict", image, *arguments, "--json", "--classes", "star", 0)
    assert {each["class"] for each in answer.json["images"][0]["detections"]} <= {0, load(weights).names.index("star")}
    wrong = run("predict", image, *arguments, "--classes", 6)
    assert wrong.code == 2
    assert all(fact in wrong.err for fact in ("--classes 6", "0 to 5", "star"))


def test_find_images(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/1.jpg", "b/deep/2.PNG", "b/notes.txt", "[x].jpg", "no suffix"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(*patterns: str) -> dict[str, str]:
        sources = find_images([str(tmp_path / pattern) for pattern in patterns]).sources
        return {source.path.relative_to(tmp_path).as_posix(): source.name.as_posix() for source in sources}

    assert found("b") == {"b/1.jpg": "1", "b/deep/2.PNG": "deep/2"}
    assert found("a/1.jpg", "b/1.jpg", "a") == {"a/1.jpg": "1", "b/1.jpg": "1-2"}
    assert found("*.jpg", "b/*/*") == {"[x].jpg": "[x]", "b/deep/2.PNG": "2"}
    assert set(found("**/*")) == {"[x].jpg", "a/1.jpg", "b/1.jpg", "b/deep/2.PNG"}
    assert found("[x].jpg", "no suffix") == {"[x].jpg": "[x]", "no suffix": "no suffix"}
    (tmp_path / "empty").mkdir()
    for pattern in ("empty", "*.bmp"):
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / pattern))):
            found(pattern)


@pytest.mark.parametrize("size", [(20, 20), (40, 300), (1500, 2000)])
def test_drawings_of_any_size(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 255, np.uint8)
    height, width = size
    boxes = torch.tensor([[0, 0, width, height], [width * 0.4, height * 0.4, width * 0.6, height * 0.6]]).float()
    found = Detections(boxes, torch.tensor([0.9, 0.4]), torch.tensor([1, 100]), tuple(f"class{n}" for n in range(101)))
    drawn = draw_detections(image, found)
    assert drawn.shape == image.shape
    assert (image == 255).all()
    for cls in (1, 100) if min(size) > 30 else (1,):  # a label may cover the smallest
        assert (drawn == PALETTE[cls % len(PALETTE)]).all(-1).any()


# ---- info and anchors -----------------------------------------------------------------------------------------------


def test_info_about_a_model(run: Any, weights: Path) -> None:
    untrained, trained = run("info", "--model", "yolov5s", "--json"), run("info", "--weights", weights, "--json")
    assert untrained.json["model"]["parameters"] == 7_235_389
    assert len(untrained.json["model"]["layers"]) == 25
    assert len(trained.json["model"]["names"]) == 6
    text = run("info", "--model", "yolov5n").out
    assert "1,872,157 parameters" in text
    assert re.search(r"stride +8: 10 x 13  16 x 30  33 x 23", text)


def test_info_names_texts_and_the_branch_that_only_training_has(run: Any) -> None:
    assert re.search(r"13  12, texts +C2fAttn", run("info", "--model", "yolo-world", "--img-size", 64).out)
    text = run("info", "--model", "yolov9t-pgi", "--img-size", 64).out
    without = create_model("yolov9t").summary(64).parameters
    assert f"layers 23 to 38: a branch that only training has; without it {without:,} parameters" in text


def test_info_about_data(run: Any, shapes: Path, shared: Path) -> None:
    data = run("info", "--data", shared / "data/bccd", "--split", "train", "--json").json["data"]
    assert {row["name"]: row["objects"] for row in data["classes"]} == {"RBC": 2381, "WBC": 214, "Platelets": 209}
    assert data["counts"]["images"] == 205
    both = run("info", "--data", shared / "data/coco8", "--model", "yolov5n").out
    assert "73 of 80 classes" in both
    assert re.search("640 to 640 .* 425 to 480 ", both)


def test_info_strict(run: Any, tmp_path: Path) -> None:
    export_shapes(tmp_path, ("train",), size=96, count=2)
    assert run("info", "--data", tmp_path, "--strict").code == 0
    (tmp_path / "images/train/000000.jpg").write_bytes(b"no image")
    answer = run("info", "--data", tmp_path, "--strict", "--json")
    assert answer.code == 1
    assert answer.json["data"]["problems"][0]["path"].endswith("000000.jpg")
    assert run("info", "--data", tmp_path).code == 0


def test_anchors_that_fit_are_kept(run: Any, shared: Path) -> None:
    answer = run("anchors", "--data", shared / "data/bccd", "--json").json
    assert answer["objects"] == 2804
    assert answer["in use"]["best_possible_recall"] > 0.99
    assert "suggested" not in answer


def test_anchors_are_fitted_when_asked(run: Any, shared: Path) -> None:
    arguments = ("anchors", "--data", shared / "data/bccd", "--fit", 2, "--generations", 50)
    answer = run(*arguments, "--json").json
    assert np.shape(answer["suggested"]["anchors"]) == (3, 2, 2)
    assert answer["suggested"]["mean_best_ratio"] > answer["in use"]["mean_best_ratio"]
    assert run(*arguments, "--json").json == answer  # same seed, same anchors
    text = run(*arguments).out
    yaml_line = re.search(r"^anchors: (\[\[.*\]\])$", text, re.MULTILINE)
    assert yaml_line
    assert np.allclose(json.loads(yaml_line[1]), np.reshape(answer["suggested"]["anchors"], (3, 4)), atol=0.06)


def test_anchors_that_do_not_fit_are_replaced(run: Any, shapes: Path, tmp_path: Path) -> None:
    model = create_model("yolov5n", anchors=[[500, 600, 700, 500]] * 3)
    save(model, tmp_path / "huge.safetensors")
    arguments = ("--weights", tmp_path / "huge.safetensors", "--img-size", 96, "--generations", 20)
    answer = run("anchors", "--data", shapes, *arguments)
    assert "best possible recall 0.0000" in answer.out
    assert "anchors suggested" in answer.out
    assert re.search(r"^anchors: \[\[", answer.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("rows", "found"), [(["0 .5 .5 .5 .01"] * 3, 1), (["0 .5 .5 .001 .001"], 0), (["0 .5 .5 .5 .01", ""], 1)]
)
def test_anchors_stay_where_few_shapes_are_known(run: Any, tmp_path: Path, rows: list[str], found: int) -> None:
    write_folder(tmp_path, {f"{place}.png": row for place, row in enumerate(rows)})
    answer = run("anchors", "--data", tmp_path)
    assert answer.code == 0
    assert "keep" in answer.out.splitlines()[-1]
    assert f"found {found} among" in answer.out.splitlines()[-1]
    assert "suggested" not in run("anchors", "--data", tmp_path, "--json").json
    refused = run("anchors", "--data", tmp_path, "--fit", 2)
    assert (refused.code, refused.out) == (2, "")
    assert "--fit 2: 6 anchors" in refused.err
    assert f"found {found} among" in refused.err


def test_anchors_without_objects(run: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((9, 9, 3), np.uint8))
    answer = run("anchors", "--data", tmp_path)
    assert answer.code == 2
    assert "train" in answer.err


# ---- fetch, convert, write ------------------------------------------------------------------------------------------


def test_fetch(run: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.bin").write_bytes(b"content")
    answer = run("fetch", (tmp_path / "in" / "a.bin").as_uri(), "--folder", tmp_path / "out", "--json")
    assert list(answer.json["fetched"].values()) == [str(tmp_path / "out" / "a.bin")]
    wrong = run("fetch", (tmp_path / "in" / "a.bin").as_uri(), "--folder", tmp_path / "out", "--sha256", "0" * 64)
    assert wrong.code == 2
    assert "SHA-256" in wrong.err
    listed = run("fetch", "--list")
    assert re.search(r"^yolov5n .*AGPL-3.0", listed.out, re.MULTILINE)
    assert "coco8" in run("fetch", "--list", "--json").json["known"]


def coco_file(folder: Path, name: str, bbox: list[float]) -> Path:
    cv2.imwrite(str(folder / "a.png"), np.zeros((50, 100, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 2, "bbox": [10, 10, 20, 20]},
            {"id": 6, "image_id": 1, "category_id": 2, "bbox": bbox},
        ],
        "categories": [{"id": 2, "name": "cat"}],
    }
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_convert_coco(run: Any, tmp_path: Path) -> None:
    train, val = coco_file(tmp_path, "a.json", [1, 1, 5, 5]), coco_file(tmp_path, "b.json", [1, 1, 0, 5])
    answer = run("convert", "coco", train, tmp_path / "out", "--val", val, "--image-dir", tmp_path, "--images", "copy")
    assert answer.code == 0
    assert answer.out.splitlines()[0] == str(tmp_path / "out" / "data.yaml")
    assert "annotation 6" in answer.out
    assert len(YoloDataset(tmp_path / "out", 64, split="train").objects(0).cls) == 2
    assert len(YoloDataset(tmp_path / "out", 64, split="val").objects(0).cls) == 1
    strict = run("convert", "coco", val, tmp_path / "strict", "--strict", "--json")
    assert strict.code == 1
    assert strict.json["counts"]["objects"] == 1
    assert strict.json["problems"][0]["kind"] == "annotations left out"
    none = run("convert", "coco", train, tmp_path / "none", "--images", "none", "--split", "test")
    assert str(tmp_path / "none" / "images") in none.out
    again = run("convert", "coco", train, tmp_path / "out")
    assert again.code == 2
    assert str(tmp_path / "out") in again.err


def test_convert_voc(run: Any, tmp_path: Path) -> None:
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / "VOC" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "VOC/JPEGImages/a.jpg"), np.zeros((50, 100, 3), np.uint8))
    box = "<bndbox><xmin>11</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox>"
    objects = "".join(f"<object><name>{name}</name>{box}</object>" for name in ("dog", "cat"))
    (tmp_path / "VOC/Annotations/a.xml").write_text(f"<annotation>{objects}</annotation>")
    assert run("convert", "voc", tmp_path / "VOC", tmp_path / "out").code == 0
    assert (tmp_path / "out/labels/train/a.txt").read_text() == "1 0.15 0.1 0.1 0.2\n0 0.15 0.1 0.1 0.2\n"
    only = run("convert", "voc", tmp_path / "VOC", tmp_path / "dogs", "--names", "dog", "--zero-based", "--strict")
    assert only.code == 1
    assert (tmp_path / "dogs/labels/train/a.txt").read_text() == "0 0.155 0.11 0.09 0.18\n"


def test_write(run: Any, tmp_path: Path) -> None:
    answer = run("write", "shapes", tmp_path / "out", "--count", 2, "--size", 64, "--splits", "train", "test", "--json")
    assert answer.json == {"data": str(tmp_path / "out" / "data.yaml"), "images": 4}
    assert len(YoloDataset(tmp_path / "out", 64, split="test")) == 2


def test_the_old_name_of_write_warns(run: Any, tmp_path: Path) -> None:
    answer = run("export", "--splits", "val", "shapes", tmp_path / "out", "--count", 1, "--size", 64)
    assert answer.code == 0
    assert "yolo-lite write shapes" in answer.err
    assert "0.3.0" in answer.err
    assert len(YoloDataset(tmp_path / "out", 64, split="val")) == 1
