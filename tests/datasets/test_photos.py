"""The labelled photographs, and the batch that the tour is about."""

import importlib.util

import cv2
import numpy as np
import pytest
import torch

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.source import ImageSource, open_source
from yolo_lite.datasets.photos import Photos, tour_batch
from yolo_lite.loss.targets import build_targets

needs_photos = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="needs scikit-image: pip install 'yolo-lite[lab]'"
)
ANCHORS = torch.tensor(
    [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]], dtype=torch.float32
).view(3, 3, 2)


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos()


@needs_photos
def test_it_is_an_image_source(photos: Photos) -> None:
    assert isinstance(photos, ImageSource)
    assert len(photos) == len(photos.paths) == len(photos.sizes) == len(photos.labels) == 6
    assert len(photos.names) == 80
    assert not photos.report
    assert photos.report.background == 1
    assert len(open_source("photos")) == 6


@needs_photos
def test_every_photograph_is_read_as_its_labels_expect(photos: Photos) -> None:
    for index, photo in enumerate(photos.photos):
        image = photos.read(index)
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
        assert image.shape[:2] == photo.size == tuple(photos.sizes[index])
        assert photo.credit
        assert photo.about


@needs_photos
def test_the_labels_lie_within_the_photographs(photos: Photos) -> None:
    for photo in photos.photos:
        for box, outline in zip(photo.labels.boxes, photo.labels.polygons, strict=True):
            assert 0 <= outline.min() <= outline.max() <= 1
            low, high = outline.min(axis=0), outline.max(axis=0)
            assert np.allclose(box, [*(low + high) / 2, *high - low], atol=1e-6)
            assert ((high - low) * photo.size[::-1] >= 15).all()
    found = {photos.names[cls] for cls in photos.labels.cls.tolist()}
    assert found == {"person", "cat", "cup", "spoon", "dining table", "horse"}


@needs_photos
def test_the_outlines_lie_on_what_they_name(photos: Photos) -> None:
    """Where colours tell an object from its surroundings: the share of such pixels within the outline and without."""
    telling = {
        "horse.png": ("horse", lambda image: image.sum(axis=-1) < 380, 0.98, 0.01),
        "camera.png": ("person", lambda image: image.mean(axis=-1) < 60, 0.85, 0.08),
        "astronaut.png": ("person", lambda image: image[..., 0].astype(int) - image[..., 2] > 120, 0.35, 0.06),
    }
    for index, photo in enumerate(photos.photos):
        if photo.file in telling:
            name, rule, least_within, most_without = telling[photo.file]
            place = [photos.names[cls] for cls in photo.labels.cls].index(name)
            image, mask = photos.read(index), np.zeros(photo.size, np.uint8)
            outline = photo.labels.polygons[place] * np.array(photo.size[::-1])
            cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
            hit = rule(image)
            assert hit[mask > 0].mean() > least_within, photo.file
            assert hit[mask == 0].mean() < most_without, photo.file


def test_without_scikit_image_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'yolo-lite\[lab\]'"):
        Photos()


def test_an_installation_without_the_photographs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("yolo_lite.datasets.photos._photo_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"coffee\.png: "):
        Photos()


@needs_photos
def test_another_picture_of_that_name_is_refused(photos: Photos, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for photo in photos.photos:
        cv2.imwrite(str(tmp_path / photo.file), np.zeros((10, 20, 3), np.uint8))
    monkeypatch.setattr("yolo_lite.datasets.photos._photo_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"20x10 px.*600x400 px"):
        Photos().read(0)


# The tour's batch


@needs_photos
def test_the_tour_batch_has_work_for_all_levels() -> None:
    batch = tour_batch()
    assert (batch.images.shape, batch.images.dtype) == ((4, 3, 640, 640), torch.uint8)
    assert batch.targets.shape[1] == 6
    assert 15 <= len(batch.targets) <= 45
    assert torch.bincount(batch.targets[:, 0].long(), minlength=4).min() >= 4
    assert len(batch.targets[:, 1].unique()) == 6
    assert (batch.targets[:, 4:] * 640).min() < 32
    strides = [8, 16, 32]
    levels = build_targets(batch.targets, [(640 // stride, 640 // stride) for stride in strides], ANCHORS, strides)
    assert min(len(level.image) for level in levels) >= 20


@needs_photos
def test_the_tour_batch_is_what_the_dataset_gives() -> None:
    one, two = tour_batch(size=128, batch=9), tour_batch(size=128, batch=9)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.targets, two.targets)
    assert not torch.equal(one.images[0], one.images[6])  # the same photo leads, another epoch
    assert not torch.equal(tour_batch(size=128, seed=1).images, one.images[:4])
    with pytest.raises(ValueError, match=r"batch.*\b0\b"):
        tour_batch(batch=0)


@needs_photos
def test_photos_letterboxed_as_for_validation() -> None:
    sample = YoloDataset("photos", img_size=320)[0]
    assert sample.image.shape == (3, 320, 320)
    assert len(sample.labels) == 3
    assert sample.path == "photos/coffee.png"
