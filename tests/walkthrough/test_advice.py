"""What explorers say of a photograph before a network that knows drawn shapes alone."""

from pathlib import Path

import numpy as np
import pytest

import yolo_lite as yl
from walkthrough import LayerExplorer, LossExplorer

PHOTOGRAPH = np.full((64, 64, 3), 90, np.uint8)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where yolov5n.pt was fetched to."""
    monkeypatch.chdir(tmp_path)
    yl.save(yl.create_model("yolov5n", names=["cat", "dog"]), tmp_path / "made.safetensors")
    return (tmp_path / "made.safetensors").rename(tmp_path / "yolov5n.pt")


@pytest.mark.parametrize("explorer", [LayerExplorer, LossExplorer])
def test_weights_that_were_fetched_are_offered_and_used(explorer: type, weights: Path) -> None:
    w = explorer()
    assert w.page_state()["advice"] == {}
    w.add_picture(PHOTOGRAPH, "photo")
    advice = w.page_state()["advice"]
    assert advice["offers"] == ["yolov5n"]
    assert f'{explorer.__name__}(model="yolov5n.pt")' in advice["text"]
    w.page_pressed("use yolov5n")
    assert (w.names[:2], w.message) == (("cat", "dog"), "")
    assert w.page_state()["advice"] == {}
    w.page_pressed("use yolov5x")  # which is not there
    assert w.message == ""


def test_without_weights_the_command_that_brings_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    advice = LayerExplorer(images=PHOTOGRAPH).page_state()["advice"]
    assert advice["offers"] == []
    assert "yolo-lite fetch yolov5n" in advice["text"]


def test_drawn_scenes_need_no_advice() -> None:
    scenes = next(iter(yl.create_dataloader("shapes", split="val", batch_size=1, img_size=64)))
    assert LayerExplorer(images=scenes).page_state()["advice"] == {}
