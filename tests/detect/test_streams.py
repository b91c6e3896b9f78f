"""predict(stream=True): any origin, in order, a batch at a time; and videos that are closed."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.detect.detectors import BrightSpot
from yolo_lite.detect.predict import predict
from yolo_lite.images.video import VideoSaver, read_frames, video_facts

WIDE, HIGH = (20, 10, 60, 40), (20, 10, 40, 60)  # patches: class 0 and class 1


def picture(patch: tuple[int, int, int, int], height: int = 64, width: int = 96) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = patch
    image[top:bottom, left:right] = 255
    return image


def write_picture(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def write_clip(path: Path, frames: int = 12, rate: float = 10) -> Path:
    """The patch is wide in even frames and high in odd ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoSaver(path.with_suffix(""), rate) as saver:
        for frame in range(frames):
            saver.write(picture(HIGH if frame % 2 else WIDE))
    assert saver.path == path
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("videos") / "clip.mp4")


@pytest.fixture
def model() -> BrightSpot:
    """Sees colours that a video's compression has changed a little."""

    class Tolerant(BrightSpot):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward((images > 0.5).float())

    return Tolerant()


def is_open(path: Path) -> bool:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list open files")
    links = [os.readlink(link) for link in folder.iterdir() if os.path.lexists(link)]
    return str(path.resolve()) in links


def test_an_endless_iterable_is_read_as_it_is_asked(model: BrightSpot) -> None:
    read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for read in itertools.count(1):
            yield picture(WIDE if read % 2 else HIGH)

    found = predict(model, frames(), img_size=96, batch_size=3, stream=True)
    assert read == 0
    for expected, each in zip(("1 wide bus", "1 person") * 4, found, strict=False):
        assert str(each) == expected
        assert read <= 9  # batches of three: no more than the one that is asked for
    assert read == 9


def test_the_order_stays_and_nothing_waits_for_its_shape(model: BrightSpot) -> None:
    shapes = [(64, 96), (96, 64), (64, 96), (96, 96), (64, 96), (96, 64), (64, 64)]
    images = [picture(WIDE if place % 2 else HIGH, *shape) for place, shape in enumerate(shapes)]
    read = 0

    def each() -> Iterator[np.ndarray]:
        nonlocal read
        for image in images:
            read += 1
            yield image

    given = 0
    for place, found in enumerate(predict(model, each(), img_size=96, batch_size=2, stream=True)):
        given += 1
        assert read <= place + 2
        assert found.size == shapes[place]
        assert np.array_equal(found.image, images[place])
        assert str(found) == ("1 wide bus" if place % 2 else "1 person")
    assert given == len(images)
    assert [str(each) for each in predict(model, images, img_size=96)] == ["1 person", "1 wide bus"] * 3 + ["1 person"]


def test_between_two_images_the_model_is_as_it_was(model: BrightSpot) -> None:
    for _ in predict(model, [picture(WIDE)] * 3, img_size=96, batch_size=1, stream=True):
        assert model.training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_folders_patterns_videos_and_pictures(model: BrightSpot, clip: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "b.png", picture(WIDE))
    write_picture(tmp_path / "deep" / "a.png", picture(HIGH))
    write_clip(tmp_path / "clip.mp4", frames=2)
    (tmp_path / "notes.txt").write_text("not a picture")

    def names(images: object) -> list[tuple[str, int | None]]:
        found = predict(model, images, img_size=96, stream=True)  # type: ignore[call-overload]
        return [(Path(each.path).name, each.frame) for each in found]

    everything = [("b.png", None), ("clip.mp4", 0), ("clip.mp4", 1), ("a.png", None)]
    assert names(tmp_path) == everything
    assert names(str(tmp_path / "*.png")) == [("b.png", None)]
    assert names(tmp_path / "**" / "*.png") == [("b.png", None), ("a.png", None)]
    assert names([tmp_path / "b.png", tmp_path / "clip.mp4", tmp_path / "deep"]) == everything
    assert names(clip) == [("clip.mp4", frame) for frame in range(12)]
    for missing in (tmp_path / "none.mp4", tmp_path / "none.png", str(tmp_path / "*.bmp")):
        with pytest.raises(FileNotFoundError, match=re.escape(str(missing))):
            predict(model, missing, stream=True)  # at once
    with pytest.raises(ValueError, match="stream=True"):
        predict(model, clip)
    with pytest.raises(ValueError, match="stream=True"):
        predict(model, tmp_path)


def test_patterns_over_arrays(model: BrightSpot, tmp_path: Path) -> None:
    for name in ("b", "a"):
        np.save(tmp_path / f"{name}.npy", picture(WIDE))
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1")

    def names(pattern: str) -> list[str]:
        found = predict(model, str(tmp_path / pattern), img_size=96, stream=True)
        return [Path(each.path).name for each in found if str(each) == "1 wide bus"]

    for pattern in ("*", "[ab].*", "*.npy", "."):
        assert names(pattern) == ["a.npy", "b.npy"]
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / "deep" / "c.npy", picture(WIDE))
    assert names("*") == names(".") == names("**") == ["a.npy", "b.npy", "c.npy"]
    (tmp_path / "deep" / "c.npy").unlink()
    write_picture(tmp_path / "a.png", picture(WIDE))  # of which a.npy is a copy; b.npy is of none
    for pattern in ("*", "."):
        with pytest.warns(UserWarning, match=r"1 \.npy.*b\.npy; an array beside pictures"):
            assert names(pattern) == ["a.png"]
    assert names("*.npy") == ["a.npy", "b.npy"]


def test_the_frames_of_a_video(model: BrightSpot, clip: Path) -> None:
    for place, found in enumerate(predict(model, clip, img_size=96, stream=True, batch_size=5)):
        assert found.frame == place
        assert str(found) == ("1 person" if place % 2 else "1 wide bus")
        assert np.abs(found.image.astype(int) - picture(HIGH if place % 2 else WIDE)).mean() < 8
        drawn = found.draw()
        assert drawn.shape == (64, 96, 3)
        assert (drawn != found.image).any()
    facts = video_facts(clip)
    assert (facts.frames, facts.rate) == (12, 10)


def test_closing_the_generator_closes_the_video(model: BrightSpot, clip: Path) -> None:
    for images in (clip, [clip, clip]):
        found = predict(model, images, img_size=96, stream=True, batch_size=2)
        next(found)
        assert is_open(clip)
        found.close()
        assert not is_open(clip)
    found = predict(model, clip, img_size=96, stream=True)
    assert len(list(found)) == 12
    assert not is_open(clip)
    broken = predict(BrightSpot(), clip, img_size=96, stream=True, conf_thres=2)
    with pytest.raises(ValueError, match="conf_thres"):
        next(broken)
    assert not is_open(clip)


def test_a_capture_that_was_given_stays_open(model: BrightSpot, clip: Path) -> None:
    capture = cv2.VideoCapture(str(clip))
    found = predict(model, capture, img_size=96, stream=True)
    assert str(next(found)) == "1 wide bus"
    assert model.inputs == [(1, 3, 64, 96)]  # what comes live does not wait for a batch
    found.close()
    assert capture.isOpened()
    assert len(list(read_frames(capture))) == 11
    capture.release()


def test_damaged_videos_get_a_sentence(model: BrightSpot, clip: Path, tmp_path: Path) -> None:
    bad = {"text.mp4": b"these are words", "empty.avi": b"", "cut.mp4": clip.read_bytes()[:700]}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=re.escape(name)):
            next(predict(model, tmp_path / name, img_size=96, stream=True))
    files = [tmp_path / "text.mp4", clip, tmp_path / "none.mp4"]
    with pytest.warns(UserWarning, match=r"2 of 14 images left out: .*text\.mp4.*none\.mp4"):
        found = list(predict(model, files, img_size=96, stream=True))
    assert [bool(each.unreadable) for each in found] == [True, *[False] * 12, True]
    with pytest.raises(ValueError, match="camera 97"):
        next(predict(model, 97, img_size=96, stream=True))


def test_a_video_that_breaks_off_and_one_whose_codec_is_missing(model: BrightSpot, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(20):
        writer.write(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=r"clip\.avi: breaks off after \d+ of 20 frames"):
        assert 0 < len(list(predict(model, path, img_size=96, stream=True))) < 15
    path.write_bytes(data.replace(b"MJPG", b"XYZW"))
    with pytest.raises(ValueError, match=r"clip\.avi: .*codec"):
        next(predict(model, path, img_size=96, stream=True))


def test_frames_of_a_video_have_one_size(tmp_path: Path) -> None:
    with VideoSaver(tmp_path / "out") as saver:
        saver.write(picture(WIDE))
        with pytest.raises(ValueError, match=r"32 x 32 .* 64 x 96"):
            saver.write(np.zeros((32, 32, 3), np.uint8))


def test_a_stream_goes_on_after_a_broken_picture(model: BrightSpot, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")
    with pytest.warns(UserWarning, match=r"1 of 3 images .*broken\.png"):
        found = list(predict(model, [picture(WIDE), broken, picture(HIGH)], img_size=96, stream=True, batch_size=2))
    assert [str(each).split(":")[0] for each in found] == ["1 wide bus", "not read", "1 person"]
    with pytest.raises(ValueError, match=r"broken\.png"):
        next(predict(model, broken, stream=True))
    with pytest.raises(ValueError, match=r"broken\.png"):
        list(predict(model, [picture(WIDE), broken], img_size=96, stream=True, strict=True))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_array_that_is_used_again_does_not_change_what_was_given(model: BrightSpot, batch_size: int) -> None:
    def frames() -> Iterator[np.ndarray]:
        frame = np.empty((64, 96, 3), np.uint8)
        for shade in range(8):
            frame[:] = shade
            yield frame

    found = list(predict(model, frames(), img_size=96, stream=True, batch_size=batch_size))
    assert [int(each.image.max()) for each in found] == list(range(8))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_came_before_an_error_of_the_stream_is_given(model: BrightSpot, batch_size: int) -> None:
    def frames() -> Iterator[np.ndarray]:
        yield from [picture(WIDE)] * 5
        raise KeyError("the camera was taken away")

    stream = predict(model, frames(), img_size=96, stream=True, batch_size=batch_size)
    assert [next(stream).cls.tolist() for _ in range(5)] == [[0]] * 5
    with pytest.raises(KeyError, match="taken away"):
        next(stream)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (-1, "camera -1: cameras are numbered from 0"),
        (10**20, "cameras are numbered from 0"),
        (cv2.VideoCapture("not there.mp4"), "a cv2.VideoCapture that is not open"),
        ("http://x/y.mp4", "^http://x/y.mp4: an address, not a file.*of a network camera"),
        ("rtsp://x/y", "^rtsp://x/y: an address, not a file"),
        (["http://x/y.jpg"], "^http://x/y.jpg: an address, not a file"),
    ],
)
def test_what_is_no_source_gets_a_sentence(model: BrightSpot, given: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(predict(model, given, img_size=96, stream=True))
