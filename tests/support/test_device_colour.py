"""Colours changed on the device are those that OpenCV makes, and the run is the same one."""

import cv2
import numpy as np
import pytest
import torch

from tests.train.runs import new_run, scenes, tiny
from yolo_lite.augment.colour import HsvDraw, apply_hsv, draw_hsv, hsv_tables
from yolo_lite.augment.objects import Objects
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support import device_colour
from yolo_lite.support.device_colour import apply_hsv_tables
from yolo_lite.train.trainer import Trainer

HYP = Hyperparameters(hsv_h=0.5, hsv_s=0.9, hsv_v=0.9)


def tables(*draws: HsvDraw) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.stack(hsv_tables(drawn)) for drawn in draws]))


def require_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal where OpenCV has fused multiply-add; one apart in a thousandth at most where it has not."""
    apart = (found.int() - expected.int()).abs()
    assert int(apart.max()) <= 1
    assert float((apart > 0).float().mean()) < 1e-2


def test_a_batch_is_what_opencv_makes_of_each_image() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (6, 96, 64, 3), dtype=np.uint8)
    images[1] //= 16  # dark
    images[2, :, :, 1:] = images[2, :, :, :1]  # gray
    images[3] = images[3] // 128 * 255  # black, white and full colours
    draws = [draw_hsv(HYP, 64, generator) for _ in images]
    draws[4], draws[5] = HsvDraw((1.0, 0.0, 2.0)), HsvDraw((1.5, 1.0, 1.0))
    found = apply_hsv_tables(torch.from_numpy(images).permute(0, 3, 1, 2), tables(*draws))
    expected = np.stack([apply_hsv(image, drawn) for image, drawn in zip(images, draws, strict=True)])
    assert found.dtype == torch.uint8
    require_alike(found, torch.from_numpy(expected).permute(0, 3, 1, 2))


def test_hue_saturation_and_value_are_exact() -> None:
    levels = np.r_[0:256:5, 254].astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    found = torch.stack(device_colour._to_hsv(torch.from_numpy(colours).permute(0, 2, 1)[:, :, None]), -1)
    assert np.array_equal(found.numpy().reshape(1, -1, 3), cv2.cvtColor(colours, cv2.COLOR_RGB2HSV))


def test_a_sample_leaves_its_colours_to_the_device() -> None:
    plain, later = scenes(hyp=HYP), scenes(hyp=HYP)
    later.hsv_later = True
    batch = next(iter(create_dataloader(later, 4)))
    assert batch.hsv is not None
    for index, (image, table) in enumerate(zip(batch.images, batch.hsv, strict=True)):
        drawn = plain.draw(index)
        assert drawn.hsv is not None
        assert torch.equal(table[None], tables(drawn.hsv))
        assert torch.equal(image, plain.apply(drawn._replace(hsv=None)).image)
        require_alike(apply_hsv_tables(image[None], table[None])[0], plain[index].image)


def test_there_is_nothing_to_change_without_gains() -> None:
    for dataset in (scenes(hyp=HYP.replace(hsv_h=0, hsv_s=0, hsv_v=0)), scenes("val", hyp=HYP)):
        dataset.hsv_later = True
        assert next(iter(create_dataloader(dataset, 4))).hsv is None


def test_the_run_is_the_same_on_the_device() -> None:
    """Losses of steps, validated and resumed ones too: colours are drawn from (seed, epoch, index) either way."""
    plain = [step.parts.total.item() for step in new_run(epochs=2, hyp=HYP).steps()]
    run = new_run(epochs=2, hyp=HYP, hsv_on_device=True)
    assert [step.parts.total.item() for step in run.steps()] == pytest.approx(plain, rel=2e-3)
    assert run.train_set.hsv_later
    assert not run.val_set.hsv_later


def test_workers_change_nothing() -> None:
    later = scenes(hyp=HYP)
    later.hsv_later = True
    for alone, sent in zip(create_dataloader(later, 8), create_dataloader(later, 8, workers=1), strict=True):
        assert torch.equal(alone.hsv, sent.hsv)
        assert torch.equal(alone.images, sent.images)


def test_the_dataset_of_the_caller_stays_as_it_is() -> None:
    given = scenes(hyp=HYP)
    run = Trainer(tiny(), given, None, HYP, hsv_on_device=True, auto_anchors=False, device="cpu", batch_size=4)
    assert run.train_set.hsv_later
    assert not given.hsv_later


def gray(image: np.ndarray, objects: Objects, _: np.random.Generator) -> tuple[np.ndarray, Objects]:
    return image, objects


def test_a_transform_has_to_see_the_colours() -> None:
    given = YoloDataset(Shapes("train", 64, 8), 64, HYP, augment=True, transform=gray)
    with pytest.raises(ValueError, match=r"hsv_on_device.*gray"):
        Trainer(tiny(), given, None, HYP, hsv_on_device=True, auto_anchors=False, device="cpu")
