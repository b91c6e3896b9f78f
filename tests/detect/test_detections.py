"""Detections: a sequence of what was found, that can be chosen from, written down and drawn."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.detect.detectors import BrightSpot, Replay
from yolo_lite.detect.detections import Detection, Detections
from yolo_lite.detect.drawing import PALETTE
from yolo_lite.detect.predict import predict

NAMES = ("person", "bus", "box")


@pytest.fixture
def found() -> Detections:
    boxes = torch.tensor([[10.0, 10, 30, 40], [0, 0, 9, 9], [40, 20, 60, 38]])
    return Detections(boxes, torch.tensor([0.9, 0.6, 0.3]), torch.tensor([2, 0, 1]), NAMES, size=(40, 60), path="a.png")


def test_it_is_a_sequence(found: Detections) -> None:
    assert list(found) == found.named() == [found[0], found[1], found[2]]
    assert found[-1] == found[2] == found[np.int64(2)] == found[torch.tensor(2)]
    assert found[0] == Detection("box", pytest.approx(0.9), (10, 10, 30, 40))
    name, conf, (left, _, _, _) = found[1]
    assert (name, conf, left) == ("person", pytest.approx(0.6), 0)


@pytest.mark.parametrize(
    ("which", "places"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        (slice(5, 9), []),
        ([2, 0], [2, 0]),
        ((-1,), [2]),
        ([], []),
        ([True, False, True], [0, 2]),
        (np.array([False, True, False]), [1]),
        (np.array([1, 1]), [1, 1]),
        (torch.tensor([0.9, 0.6, 0.3]) > 0.5, [0, 1]),
        (torch.tensor([2]), [2]),
    ],
)
def test_choosing_gives_detections(found: Detections, which: object, places: list[int]) -> None:
    chosen = found[which]  # type: ignore[call-overload]
    assert isinstance(chosen, Detections)
    assert chosen.conf.tolist() == found.conf[places].tolist()
    assert chosen.cls.tolist() == found.cls[places].tolist()
    assert chosen.xyxy.tolist() == found.xyxy[places].tolist()
    assert (chosen.names, chosen.size, chosen.path) == (NAMES, (40, 60), "a.png")


@pytest.mark.parametrize(
    ("which", "kind", "words"),
    [
        (3, IndexError, "3 of 3"),
        ([0, -4], IndexError, "-4 of 3"),
        ([True, False], IndexError, "mask"),
        ([0.5], TypeError, "float"),
        ("box", TypeError, "box"),
        (None, TypeError, "None"),
        (True, TypeError, "True"),
    ],
)
def test_what_chooses_nothing_gets_a_sentence(
    found: Detections, which: object, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        found[which]  # type: ignore[call-overload]


def test_as_plain_values(found: Detections) -> None:
    values = json.loads(json.dumps(found.to_dicts()))
    assert [each["name"] for each in values] == ["box", "person", "bus"]
    assert [each["class"] for each in values] == [2, 0, 1]
    assert values[2]["xyxy"] == [40, 20, 60, 38]
    assert values[0]["conf"] == pytest.approx(0.9)


def test_drawing(found: Detections, tmp_path: Path) -> None:
    image = np.full((40, 60, 3), 255, np.uint8)
    drawn = found.draw(image)
    assert drawn.shape == (40, 60, 3)
    assert (image == 255).all()
    assert (drawn == PALETTE[2]).all(-1).any()
    assert (found[:0].draw(image) == 255).all()
    assert np.array_equal(found.draw(torch.from_numpy(image).permute(2, 0, 1)), drawn)
    with pytest.raises(ValueError, match=r"20 x 30 .* 40 x 60"):
        found.draw(np.zeros((20, 30, 3), np.uint8))
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes())
    (of_a_file,) = predict(BrightSpot(), path, img_size=64)
    assert of_a_file.path == str(path)
    assert of_a_file.draw().shape == (40, 60, 3)
    (of_an_array,) = predict(BrightSpot(), image, img_size=64)
    with pytest.raises(ValueError, match=r"found\.draw\(image\)"):
        of_an_array.draw()


def test_a_box_may_be_several_classes() -> None:
    decoded = torch.tensor([[[32.0, 32, 20, 20, 1, 0.8, 0.6, 0.1]]])
    image = np.zeros((64, 64, 3), np.uint8)
    (best,) = predict(Replay(NAMES, [decoded]), image, img_size=64)
    (several,) = predict(Replay(NAMES, [decoded]), image, img_size=64, multi_label=True)
    assert [each.name for each in best] == ["person"]
    assert [each.name for each in several] == ["person", "bus"]


def test_classes_by_name_or_number() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[10:40, 10:60] = 255
    for classes in (["wide bus"], "wide bus", 0, [0], ["wide bus", 1], ("person", 0), np.int64(0), np.array(0), {0}):
        assert len(predict(BrightSpot(), image, img_size=64, classes=classes)[0]) == 1  # type: ignore[call-overload]
    for classes in ("person", 1, ["person"], []):
        assert len(predict(BrightSpot(), image, img_size=64, classes=classes)[0]) == 0
    with pytest.raises(ValueError, match=r"'Wide Bsu' .*did you mean 'wide bus'\?"):
        predict(BrightSpot(), image, classes=["Wide Bsu"])


def test_a_size_of_height_and_width() -> None:
    model = BrightSpot()
    image = np.zeros((50, 100, 3), np.uint8)
    image[10:40, 20:90] = 255
    for size, expected in (((64, 128), (64, 128)), ((100, 100), (64, 128)), ((64, 64), (32, 64))):
        (found,) = predict(model, image, img_size=size)
        assert model.inputs[-1][2:] == expected
        assert (found.xyxy[0] - torch.tensor([20.0, 10, 90, 40])).abs().max() < 3
    predict(model, image, img_size=(64, 64), auto=False)
    assert model.inputs[-1][2:] == (64, 64)
