"""A run on a dataset with a step of one's own: named in its checkpoints, and resumed with the same step only."""

import numpy as np
import pytest

from tests.train.runs import tiny
from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.train.trainer import Trainer

SCENES = Shapes("train", 64, 4)


def negative(image, objects, rng):
    return (255 - image if rng.random() < 0.5 else image), objects


def gray(image, objects, rng):
    return np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8), objects


def data(transform=None) -> YoloDataset:
    return YoloDataset(SCENES, 64, augment=True, transform=transform)


def test_a_run_resumes_with_the_same_transform_only(tmp_path):
    val = YoloDataset(SCENES, 64)
    options = {"epochs": 2, "batch_size": 2, "auto_anchors": False, "device": "cpu"}
    whole = Trainer(tiny(), data(negative), val, out_dir=tmp_path / "run", **options)
    steps = whole.steps()
    for _ in range(2):
        next(steps)
    whole.save()
    assert load(tmp_path / "run" / "last.safetensors").metadata["transform"] == "negative"
    for transform, says in ((None, "none"), (gray, "gray")):
        with pytest.raises(ValueError, match=rf"on images after negative, .*{says}"):
            Trainer.resume(tmp_path / "run", train=data(transform), val=val)

    changed = YoloDataset(SCENES, 64, transform=gray)
    with pytest.raises(ValueError, match="is validated on images without a transform, but"):
        Trainer.resume(tmp_path / "run", train=data(negative), val=changed)
    resumed = Trainer.resume(tmp_path / "run", train=data(negative), val=val)
    first, second = next(steps), next(resumed.steps())
    assert [part.item() for part in first.parts] == [part.item() for part in second.parts]
