"""The official YOLOv5n on real photographs: the same detections and the same figures as the reference."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.detect.test_nms import SETTINGS
from yolo_lite.checkpoints.own import load
from yolo_lite.data.loader import create_dataloader
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.detect.predict import predict
from yolo_lite.model.yolo import Yolo

IMAGES = {0: {"img_size": 640, "auto": False}, 1: {"img_size": 320}, 2: {"img_size": 320}}  # as they were recorded
# How the four validation images are batched -> mAP50 and mAP of the reference, by YOLOv5's rule.
FIGURES = {
    "one rectangular batch of 4": ({"rect": True, "batch_size": 4}, 0.701, 0.468),
    "rectangular batches of 2": ({"rect": True, "batch_size": 2}, 0.696, 0.486),
    "rectangular, one by one": ({"rect": True, "batch_size": 1}, 0.696, 0.486),
    "square": ({"rect": False, "batch_size": 4}, 0.629, 0.351),
}


@pytest.fixture(scope="module")
def model(shared: Path) -> Yolo:
    return load(shared / "weights" / "yolov5n.pt")


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "golden" / "yolov5n_forward.npz"))


@pytest.mark.parametrize("image", IMAGES)
def test_nms_on_all_boxes_of_the_model(model: Yolo, recorded: dict[str, np.ndarray], image: int) -> None:
    rgb = recorded[f"image{image}"][..., ::-1].copy()
    with torch.no_grad():
        boxes = model.eval().decode(model(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255))
    for setting, options in SETTINGS.items():
        expected = torch.from_numpy(recorded[f"nms_{setting}{image}"])
        (found,) = non_max_suppression(boxes, **options)
        assert torch.equal(found[:, 5], expected[:, 5]), setting
        torch.testing.assert_close(found[:, :4], expected[:, :4], rtol=0, atol=0.05)
        torch.testing.assert_close(found[:, 4], expected[:, 4], rtol=0, atol=1e-5)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("setting", ["predict", "agnostic", "classes", "few"])
def test_predict_finds_the_recorded_boxes_in_the_original(
    model: Yolo, recorded: dict[str, np.ndarray], shared: Path, image: int, setting: str
) -> None:
    expected = torch.from_numpy(recorded[f"scaled_{setting}{image}"])
    path = shared / "data" / "coco8" / str(recorded[f"file{image}"])
    (found,) = predict(model, path, **IMAGES[image], **SETTINGS[setting])
    assert found.cls.tolist() == expected[:, 5].tolist()
    torch.testing.assert_close(found.xyxy.round(), expected[:, :4], rtol=0, atol=0)
    torch.testing.assert_close(found.conf, expected[:, 4], rtol=0, atol=1e-5)


@pytest.mark.parametrize("batching", FIGURES)
def test_evaluate_gives_the_reference_figures(model: Yolo, shared: Path, batching: str) -> None:
    options, map50, map50_95 = FIGURES[batching]
    loader = create_dataloader(shared / "data" / "coco8" / "data.yaml", split="val", **options)
    metrics = evaluate(model, loader, rule="yolov5")
    assert metrics.map50 == pytest.approx(map50, abs=0.003)
    assert metrics.map == pytest.approx(map50_95, abs=0.003)
    assert (metrics.num_images, metrics.num_labels) == (4, 17)


def test_a_file_in_words(model: Yolo, shared: Path) -> None:
    photographs = sorted((shared / "data" / "coco8" / "images" / "val").glob("*.jpg"))
    words = [str(found) for found in predict(model, photographs)]
    assert all(word != "nothing found" for word in words)
    assert [str(found) for found in predict(model, photographs, batch_size=1)] == words
