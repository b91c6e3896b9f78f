import math
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.yolo_folders import picture, write_folder, write_image, write_text
from yolo_lite.augment.letterbox import resize_longest, to_original
from yolo_lite.augment.objects import PADDING_VALUE
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data import cache as cache_module
from yolo_lite.data.cache import RamCache, user_cache_dir
from yolo_lite.data.dataset import YoloDataset, rectangle_shapes
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import DatasetError, Report
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.reading import ImageError

ALL_ON = Hyperparameters(
    degrees=10,
    shear=5,
    perspective=0.0005,
    flipud=0.5,
    mosaic=0.6,
    mixup=0.6,
    copy_paste=0.5,
    blur=0.3,
    median_blur=0.3,
    to_gray=0.3,
    clahe=0.3,
    brightness_contrast=0.3,
    gamma=0.3,
    jpeg=0.3,
    random_resized_crop=0.5,
)
NO_COLOUR = {"hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "blur": 0, "median_blur": 0, "to_gray": 0, "clahe": 0}


class Rectangles:
    """A source of black pictures with one white rectangle each, which is their only object."""

    names = ("white",)

    def __init__(self, sizes: list[tuple[int, int]], seed: int = 0) -> None:
        self.sizes = np.array(sizes, np.int64)
        self.paths = [f"rectangle {index}" for index in range(len(sizes))]
        generator = np.random.default_rng(seed)
        self.corners = []  # left, top, right, bottom
        for height, width in sizes:
            left, top = int(generator.integers(width // 2)), int(generator.integers(height // 2))
            right = int(generator.integers(left + width // 4, width)) + 1
            self.corners.append((left, top, right, int(generator.integers(top + height // 4, height)) + 1))
        shares = np.array(self.corners) / self.sizes[:, [1, 0, 1, 0]]
        boxes = np.concatenate(((shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]), 1)
        self.labels = LabelStore.build(
            [ImageLabels(np.zeros(1, np.int64), b[None].astype(np.float32), (None,)) for b in boxes]
        )
        self.report = Report.of(self.labels.objects_per_image)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> np.ndarray:
        left, top, right, bottom = self.corners[index]
        image = np.zeros((*self.sizes[index], 3), np.uint8)
        image[top:bottom, left:right] = 255
        return image


def pixel_boxes(sample) -> np.ndarray:
    """(n, 4) xyxy in pixels of the network input."""
    height, width = sample.image.shape[1:]
    return (xywh_to_xyxy(sample.labels[:, 2:]) * torch.tensor([width, height, width, height])).numpy()


def interior(mask: np.ndarray, box: np.ndarray, margin: int) -> np.ndarray:
    """The part of the mask inside the box, without a margin."""
    left, top, right, bottom = box
    rows = slice(math.ceil(top) + margin, max(math.floor(bottom) - margin, 0))
    return mask[rows, math.ceil(left) + margin : max(math.floor(right) - margin, 0)]


def around(boxes, size: tuple[int, int], margin: int) -> np.ndarray:
    """Mask of all boxes and a margin around them."""
    mask = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        rows = slice(max(math.floor(top) - margin, 0), math.ceil(bottom) + margin)
        mask[rows, max(math.floor(left) - margin, 0) : math.ceil(right) + margin] = True
    return mask


def same(first, second) -> bool:
    return torch.equal(first.image, second.image) and torch.equal(first.labels, second.labels)


@pytest.fixture
def folder(tmp_path) -> Path:
    polygon = "0 0.2 0.2 0.8 0.3 0.7 0.8 0.3 0.7"
    return write_folder(
        tmp_path / "data",
        {"a.jpg": f"0 0.5 0.5 0.5 0.4\n{polygon}", "b.png": polygon, "c.png": "", "d.jpg": "1 0.3 0.3 0.2 0.2"},
        size=(96, 128),
    )


# ------------------------------------------------------------------------------------------------------- validation


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.booleans(), st.integers(0, 2**16))
def test_validation_boxes_lie_where_the_picture_shows_them(height, width, rect, seed):
    height, width = max(height, 8), max(width, 8)
    source = Rectangles([(height, width)], seed)
    dataset = YoloDataset(source, img_size=96, rect=rect)
    sample = dataset[0]
    image, (box,) = sample.image.numpy(), pixel_boxes(sample)
    geometry = sample.geometry

    assert geometry.original_size == (height, width)
    assert sample.labels[:, 0].tolist() == [0]
    assert image.shape == (3, *dataset.shape(0))
    back = to_original(box[None], geometry)[0]
    assert np.abs(back - source.corners[0]).max() < 1.5 / geometry.ratio + 1e-3  # rounding of a side is up to a pixel

    margin = math.ceil(2 + geometry.ratio)  # enlarging blurs edges over one pixel of the original
    assert interior(image[0] > 200, box, margin).all()
    assert not ((image[0] > 200) & ~around([box], image.shape[1:], margin)).any()


def test_what_lies_beside_the_letterboxed_picture_is_gray():
    sample = YoloDataset(Rectangles([(50, 100)]), img_size=64)[0]

    assert sample.geometry.ratio == 0.64
    assert sample.geometry.pad == (0, 16)
    assert (sample.image[:, :16] == PADDING_VALUE).all()
    assert (sample.image[:, 48:] == PADDING_VALUE).all()
    assert not (sample.image[:, 16:48] == PADDING_VALUE).any()


def test_a_sample_is_rgb_channels_first(tmp_path):
    write_image(tmp_path / "images" / "a.png", 64, 64)
    with pytest.warns(UserWarning, match="label file"):
        dataset = YoloDataset(tmp_path, img_size=64)

    np.testing.assert_array_equal(dataset[0].image.numpy().transpose(1, 2, 0), picture(64, 64))
    np.testing.assert_array_equal(dataset.image(0), picture(64, 64))
    assert dataset[0].image.dtype == torch.uint8
    assert dataset[0].image.is_contiguous()
    assert dataset[0].labels.shape == (0, 6)


def test_objects_are_in_pixels_of_the_original(folder):
    dataset = YoloDataset(folder, img_size=64)
    objects = dataset.objects(0)

    np.testing.assert_allclose(objects.boxes[0], [32, 28.8, 96, 67.2], rtol=1e-5)
    assert objects.polygons[0] is None
    np.testing.assert_allclose(objects.polygons[1][1], [0.8 * 128, 0.3 * 96], rtol=1e-5)


# -------------------------------------------------------------------------------------------------------- rectangles


@pytest.mark.parametrize(
    ("sizes", "batch_size", "pad", "shapes"),
    [
        ([(480, 640), (480, 640)], 2, 0.5, [(512, 672)]),
        ([(480, 640), (480, 640)], 2, 0.0, [(480, 640)]),
        ([(640, 480)], 1, 0.0, [(640, 480)]),
        ([(427, 640), (480, 640)], 2, 0.0, [(480, 640)]),  # all wide: the tallest of them
        ([(480, 640), (640, 480)], 2, 0.5, [(672, 672)]),  # wide and tall: square
        ([(480, 640), (640, 640)], 2, 0.0, [(640, 640)]),
        ([(640, 640), (640, 320)], 1, 0.0, [(640, 640), (640, 320)]),
        ([(100, 640), (427, 640), (640, 427)], 2, 0.0, [(448, 640), (640, 448)]),
    ],
)
def test_rectangle_shapes(sizes, batch_size, pad, shapes):
    assert rectangle_shapes(np.array(sizes), batch_size, 640, 32, pad).tolist() == [list(shape) for shape in shapes]


def test_rect_sorts_by_shape_and_everything_goes_along():
    sizes = [(100, 100), (50, 100), (100, 40), (60, 100), (50, 100)]
    source = Rectangles(sizes)
    dataset = YoloDataset(source, img_size=64, rect=True, batch_size=2)
    order = [1, 4, 3, 0, 2]  # stable: 1 before 4

    assert list(dataset.paths) == [source.paths[index] for index in order]
    assert dataset.sizes.tolist() == [list(sizes[index]) for index in order]
    assert dataset.batch_shapes.tolist() == [[64, 96], [96, 96], [96, 64]]  # 64 * share + half a stride, rounded up
    for place, index in enumerate(order):
        np.testing.assert_array_equal(dataset.image(place), source.read(index))
        np.testing.assert_allclose(dataset.objects(place).boxes[0], source.corners[index], atol=1e-3)
        assert dataset[place].image.shape[1:] == tuple(dataset.batch_shapes[place // 2])


def test_rectangles_without_half_a_stride_and_without_mosaics_when_augmenting():
    dataset = YoloDataset(Rectangles([(50, 100)] * 3), 64, Hyperparameters(mosaic=1), augment=True, rect=True)

    assert dataset.batch_shapes.tolist() == [[32, 64]]
    assert dataset[0].image.shape == (3, 32, 64)
    assert dataset.draw(0).mosaic is None


def test_the_shape_of_coco8_is_that_of_the_reference(shared):
    dataset = YoloDataset(shared / "data" / "coco8" / "data.yaml", 640, split="val", rect=True, batch_size=4)

    assert dataset.batch_shapes.tolist() == [[672, 672]]


# ------------------------------------------------------------------------------------------------------- augmenting


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_augmented_boxes_lie_where_the_picture_shows_them(mosaic):
    source = Rectangles([(60, 100), (100, 60), (90, 90), (40, 120), (300, 200)], seed=3)
    hyp = Hyperparameters(mosaic=mosaic, flipud=0.5, random_resized_crop=0.5, **NO_COLOUR)
    dataset = YoloDataset(source, 128, hyp, augment=True, seed=5)
    shown = 0
    for epoch in range(12):
        for index in range(len(dataset)):
            draw = dataset.draw(index, epoch)
            (warp,) = [stage for stage in dataset.stages(draw) if stage.name == "warp"]
            everything = around(warp.result.after.boxes, (128, 128), margin=4)  # the dropped ones too
            assert not ((warp.image[..., 0] > 200) & ~everything).any()
            sample = dataset.apply(draw)
            for box in pixel_boxes(sample):
                assert interior(sample.image[0].numpy() > 200, box, margin=4).all()
                shown += 1
    assert shown > 40


def test_a_sample_depends_on_seed_epoch_and_index_only(folder):
    dataset = YoloDataset(folder, 64, ALL_ON, augment=True, seed=1)
    again = YoloDataset(folder, 64, ALL_ON, augment=True, seed=1)
    samples = {(epoch, index): dataset[(epoch, index)] for epoch in range(3) for index in range(4)}

    for key in reversed(samples):  # in another order
        assert same(again[key], samples[key])
    assert same(dataset[2], samples[0, 2])
    again.epoch = 2
    assert same(again[2], samples[2, 2])
    assert not same(samples[0, 2], samples[1, 2])
    assert not same(samples[0, 2], YoloDataset(folder, 64, ALL_ON, augment=True, seed=2)[2])


def test_global_randomness_is_neither_used_nor_touched(folder):
    dataset = YoloDataset(folder, 64, ALL_ON, augment=True)
    np.random.seed(0)  # noqa: NPY002 the state that must not change is this one
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = [dataset[index] for index in range(4)]
    after = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002

    assert (before[0] == after[0]).all()
    assert torch.equal(before[1], after[1])
    assert all(same(dataset[index], sample) for index, sample in enumerate(first))


def test_threads_do_not_change_a_sample(folder):
    dataset = YoloDataset(folder, 64, ALL_ON, augment=True)
    expected = [dataset[index] for index in range(4)]
    results: dict[int, object] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: dataset[i]})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(same(results[index], expected[index]) for index in range(4))


def test_stages_lead_to_the_sample_and_show_what_was_dropped(folder):
    dataset = YoloDataset(folder, 64, ALL_ON.replace(mosaic=1, mixup=1, random_resized_crop=1), augment=True)
    draw = dataset.draw(1, 3)
    stages = list(dataset.stages(draw))
    sample = dataset.apply(draw)
    names = [stage.name for stage in stages]

    assert names == ["mosaic", "copy_paste", "warp", "mixup", "crop", "photometric", "hsv", "flip"]
    np.testing.assert_array_equal(stages[-1].image.transpose(2, 0, 1), sample.image)
    assert len(sample.labels) == stages[-1].objects.num_objects
    assert same(sample, dataset.sample(1, 3))
    assert stages[0].image.shape == (128, 128, 3)
    warped = stages[2].result
    assert len(warped.box_filter.kept) == warped.before.num_objects == stages[1].objects.num_objects
    assert warped.box_filter.kept.sum() == stages[2].objects.num_objects
    assert sample.geometry is None

    alone = dataset.apply(draw._replace(mosaic=None, second_mosaic=None, mixup=None, warp=draw.mosaic.warp))
    assert alone.image.shape == (3, 64, 64)  # any draw can be changed by hand


def test_partners_that_a_warp_does_not_show_are_not_read(folder, monkeypatch):
    dataset = YoloDataset(folder, 64, Hyperparameters(mosaic=1, scale=0.9), augment=True)
    read, load = [], dataset._load
    monkeypatch.setattr(dataset, "_load", lambda index: read.append(index) or load(index))
    counts = set()
    for epoch in range(12):
        draw = dataset.draw(1, epoch)
        read.clear()
        sample = dataset.apply(draw)
        counts.add(len(read))
        assert read[0] == 1
        *_, whole = dataset.stages(draw)
        assert (sample.image.numpy() == whole.image.transpose(2, 0, 1)).all()
        assert len(sample.labels) == whole.objects.num_objects
    assert min(counts) < 4 == max(counts)


def test_the_stages_of_a_single_image(folder):
    plain = YoloDataset(folder, 64)
    warped = YoloDataset(folder, 64, Hyperparameters(mosaic=0), augment=True)

    assert [stage.name for stage in plain.stages(plain.draw(0))] == ["load", "letterbox"]
    names = [stage.name for stage in warped.stages(warped.draw(0))]
    assert names == ["load", "letterbox", "warp", "photometric", "hsv", "flip"]
    assert warped[0].geometry is None
    assert plain[0].geometry is not None


def test_probabilities_decide_how_often(folder):
    dataset = YoloDataset(folder, 64, Hyperparameters(mosaic=0.7, mixup=0.5), augment=True)
    draws = [dataset.draw(0, epoch) for epoch in range(1500)]
    with_mosaic = [draw for draw in draws if draw.mosaic is not None]

    assert len(with_mosaic) / 1500 == pytest.approx(0.7, abs=0.04)  # 3 standard deviations
    assert sum(draw.mixup is not None for draw in with_mosaic) / len(with_mosaic) == pytest.approx(0.5, abs=0.05)
    assert all(draw.mixup is None for draw in draws if draw.mosaic is None)
    partners = np.bincount([i for draw in with_mosaic for i in draw.mosaic.mosaic.partners], minlength=4)
    assert partners.min() / partners.sum() > 0.22  # every image, the image itself too


def test_changing_one_setting_leaves_the_other_draws_alone(folder):
    one = YoloDataset(folder, 64, Hyperparameters(), augment=True).draw(2, 5)
    other = YoloDataset(folder, 64, Hyperparameters(mixup=1, degrees=45, hsv_h=0.5, fliplr=0.5), augment=True).draw(
        2, 5
    )

    assert one.mosaic.mosaic == other.mosaic.mosaic
    assert one.mosaic.warp == other.mosaic.warp._replace(angle=one.mosaic.warp.angle)
    assert one.flip == other.flip
    assert one.hsv.gains[1:] == other.hsv.gains[1:]


# ----------------------------------------------------------------------------------------------------------- caches


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_samples_are_the_same_with_and_without_a_cache(folder, tmp_path, kind, augment):
    write_image(folder / "images" / "train" / "wide.jpg", 20, 200)
    write_image(folder / "images" / "train" / "large.jpg", 400, 300)
    plain = YoloDataset(folder, 64, ALL_ON, augment)
    before = sorted(folder.rglob("*"))
    cached = YoloDataset(folder, 64, ALL_ON, augment, cache=kind, cache_dir=tmp_path / "cache")
    keys = [(epoch, index) for epoch in range(2) for index in range(len(plain))]

    for key in keys + keys:  # the second time from the cache
        sample = cached[key]
        assert same(sample, plain[key])
        sample.image.zero_()  # writing into a sample harms nobody
    assert sorted(folder.rglob("*")) == before
    assert "Cache(" in repr(cached)


def test_the_disk_cache_notices_changed_damaged_and_deleted_files(folder, tmp_path):
    options = {"cache": "disk", "cache_dir": tmp_path / "cache"}
    first = YoloDataset(folder, 64, **options)
    expected = [first[index] for index in range(4)]
    files = sorted((tmp_path / "cache").iterdir())
    assert [file.suffix for file in files] == [".npy"] * 4

    for file in files:  # torn by a crash, say
        file.write_bytes(file.read_bytes()[:200])
    assert all(same(first[index], expected[index]) for index in range(4))
    for file in files:
        file.write_bytes(b"")
    assert all(same(first[index], expected[index]) for index in range(4))
    for file, array in zip(
        files, (np.ones((64, 64, 3)), np.ones((64, 64), np.uint8), np.ones(3), np.ones(0)), strict=True
    ):
        np.save(file, array)  # an array, but not an image
    assert all(same(first[index], expected[index]) for index in range(4))

    write_image(folder / "images" / "train" / "b.png", 96, 128, seed=77)
    changed = YoloDataset(folder, 64, **options)[1]
    assert not torch.equal(changed.image, expected[1].image)
    assert same(changed, YoloDataset(folder, 64)[1])
    assert same(YoloDataset(folder, 96, **options)[0], YoloDataset(folder, 96)[0])  # another size, another file

    (folder / "images" / "train" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png: "):
        first[1]


def test_a_cache_that_does_not_fit_is_refused(folder, monkeypatch):
    monkeypatch.setattr(cache_module, "available_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"\b4 images.*0\.00 GiB.*cache='disk'"):
        YoloDataset(folder, 64, cache="ram")


def test_the_ram_cache_says_how_large_it_is(folder):
    dataset = YoloDataset(folder, 64, cache="ram")

    assert isinstance(dataset.cache, RamCache)
    assert dataset.cache.nbytes == 4 * 64 * 48 * 3
    np.testing.assert_array_equal(dataset.cache.load(2), resize_longest(dataset.image(2), 64, False).image)
    assert cache_module.available_memory() is None or cache_module.available_memory() > 0


def test_the_disk_cache_is_the_users_own_and_for_files_only(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "linux")
    dataset = YoloDataset(folder, 64, cache="disk")
    dataset[0]

    assert user_cache_dir() == tmp_path / "home" / "yolo-lite"
    assert len(list((tmp_path / "home" / "yolo-lite" / "images").iterdir())) == 1
    with pytest.raises(ValueError, match=r"cache='disk'.*rectangle 0"):
        YoloDataset(Rectangles([(10, 10)]), 64, cache="disk")


# ---------------------------------------------------------------------------------------------------------- options


def test_one_class_for_all(folder):
    dataset = YoloDataset(folder, 64, single_cls=True)

    assert dataset.names == ("object",)
    assert not dataset.labels.cls.any()
    assert not torch.cat([dataset[index].labels for index in range(4)])[:, 1].any()
    assert YoloDataset(folder, 64, single_cls=True, names=["cell"]).names == ("cell",)


def test_names(folder):
    assert YoloDataset(folder, 64).names == ("0", "1")
    assert YoloDataset(folder, 64, names=["cat", "dog"]).num_classes == 2
    assert YoloDataset(Rectangles([(9, 9)]), 64, names=["blank"]).names == ("blank",)
    with pytest.raises(ValueError, match=r"\b2 names.*\b1 class"):
        YoloDataset(Rectangles([(9, 9)]), 64, names=["cat", "dog"])
    with pytest.raises(ValueError, match="'cat'"):
        YoloDataset(folder, 64, names="cat")


def test_problems_warn_or_raise(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        YoloDataset(folder, 64, strict=True)  # nothing wrong, nothing said
    write_text(folder / "labels" / "train" / "d.txt", "1 0.3 0.3 0.2 0.2\n1 2 2 2 2\nx\n")

    with pytest.warns(UserWarning, match=r"rows left out: 2; .*d\.txt:2: x centre 2 "):
        dataset = YoloDataset(folder, 64)
    assert dataset.report.counts["rows left out"] == 2
    assert len(dataset[3].labels) == 1
    with pytest.raises(DatasetError, match=r"(?s)4 images .*d\.txt:2: x centre 2 .*d\.txt:3: ") as error:
        YoloDataset(folder, 64, strict=True)
    assert len(error.value.report.problems) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"img_size": 100}, "128"),
        ({"img_size": 0}, "32"),
        ({"img_size": -5, "stride": 64}, "64"),
        ({"seed": -1}, "seed must be a whole number, at least 0, not -1"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, not 0"),
        ({"cache": "tape"}, "cache 'tape'"),
    ],
)
def test_options_that_cannot_be(folder, options, says):
    with pytest.raises(ValueError) as error:
        YoloDataset(folder, **options)
    assert says in str(error.value)


def test_an_object_that_is_no_source_says_what_it_lacks():
    with pytest.raises(TypeError, match=r"dict.*names, paths, sizes, labels"):
        YoloDataset({"train": "images"})


def test_places(folder):
    dataset = YoloDataset(folder, 64)

    assert same(dataset[-1], dataset[3])
    assert same(dataset[np.int64(2)], dataset[2])
    assert len(list(dataset)) == 4  # iterating ends
    for call in (dataset.sample, dataset.image, dataset.objects, dataset.draw):
        with pytest.raises(IndexError, match=r"\b4\b.*\b4\b"):
            call(4)


def test_a_file_deleted_meanwhile_is_named(folder):
    dataset = YoloDataset(folder, 64, augment=True, strict=True)
    (folder / "images" / "train" / "b.png").unlink()
    (folder / "images" / "train" / "d.jpg").write_bytes(b"gone")

    with pytest.raises(FileNotFoundError, match=r"b\.png: "):
        dataset[1]
    with pytest.raises(ImageError, match=r"d\.jpg: "):
        dataset.image(3)


def test_a_dataset_can_be_pickled(folder):
    dataset = YoloDataset(folder, 64, ALL_ON, augment=True, rect=True)

    assert same(pickle.loads(pickle.dumps(dataset))[2], dataset[2])


def test_the_built_in_datasets():
    dataset = YoloDataset("shapes", 64, augment=True, split="val")

    assert dataset[0].image.shape == (3, 64, 64)
    assert repr(dataset).startswith(f"YoloDataset({len(dataset)} images, ")
