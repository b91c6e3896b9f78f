"""`yolo-lite predict` on videos, and what it saves."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolo_lite.cli import main
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.images.video import VideoSaver, video_facts

SMALL = ("--weights", "shapes-n", "--img-size", "128", "--device", "cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scenes at 5 frames per second."""
    scenes = Shapes("val", size=128, count=6)
    with VideoSaver(tmp_path_factory.mktemp("videos") / "clip", rate=5) as saver:
        for index in range(6):
            saver.write(scenes.read(index))
    return saver.path


def test_a_video_with_drawn_boxes(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), np.zeros((96, 128, 3), np.uint8))
    folders = {"--save": tmp_path / "drawn", "--save-txt": tmp_path / "labels"}
    options = [str(word) for pair in folders.items() for word in pair]
    assert main(["predict", str(clip), str(picture), *SMALL, *options, "--save-conf"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "6 frames: " in lines[0]
    assert "nothing found" in lines[1]

    drawn = tmp_path / "drawn" / "clip.mp4"
    assert video_facts(drawn).frames == 6
    assert video_facts(drawn).rate == 5
    assert (tmp_path / "drawn" / "photo.png").exists()
    before, after = cv2.VideoCapture(str(clip)), cv2.VideoCapture(str(drawn))
    for _ in range(6):
        (_, one), (_, other) = before.read(), after.read()
        assert one.shape == other.shape
        assert np.abs(one.astype(int) - other).max() > 100  # boxes and their names
    labels = sorted((tmp_path / "labels" / "clip").iterdir())
    assert [path.name for path in labels] == [f"{frame:06d}.txt" for frame in range(6)]
    rows = np.concatenate([np.loadtxt(path, ndmin=2) for path in labels])
    assert rows.shape[1] == 6
    assert ((rows[:, 1:] >= 0) & (rows[:, 1:] <= 1)).all()
    assert (rows[:, 5] > 0.25).all()
    assert rows[:, 5].max() > 0.5


def test_the_document_of_a_video(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(clip.parent), *SMALL, "--json", "--batch-size", "4", "--multi-label"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(entry["path"], entry["frame"]) for entry in document["images"]] == [(str(clip), n) for n in range(6)]
    (video,) = document["videos"]
    assert video == {"path": str(clip), "frames": 6, "announced": 6, "frames_per_second": 5, "saved": None}
    assert any(entry["detections"] for entry in document["images"])
    assert document["images"][0]["height"] == 128


def test_damaged_videos(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(clip.read_bytes()[:900])
    for files, frames in (([damaged], 0), ([damaged, clip], 6)):
        assert main(["predict", *map(str, files), *SMALL, "--json"]) == 1
        answer = capsys.readouterr()
        document = json.loads(answer.out)
        assert len(document["images"]) == frames
        assert [entry["path"] for entry in document["unreadable"]] == [str(damaged)]
        assert str(damaged) in answer.err


def test_a_video_that_breaks_off_is_left_out_in_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 128))
    for _ in range(10):
        writer.write(np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["predict", str(path), *SMALL]) == 1
    assert "of 10 frames" in capsys.readouterr().err


def test_confidences_need_label_files(capsys: pytest.CaptureFixture[str], clip: Path) -> None:
    assert main(["predict", str(clip), *SMALL, "--save-conf"]) == 2
    assert "--save-txt" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["yolov5s", "yolov5s.pt"])
@pytest.mark.parametrize("command", [["predict", "a.png"], ["val", "--data", "shapes"], ["train", "--data", "shapes"]])
def test_weights_that_can_be_fetched(
    command: list[str],
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.zeros((32, 32, 3), np.uint8))
    assert main([*command, "--weights", weights, "--device", "cpu"]) == 2
    assert "`yolo-lite fetch yolov5s`" in capsys.readouterr().err
