"""Images whose header is good and whose body is not, or that are gone by the time they are read: replaced in training,
left out of validation, named in either."""

import errno
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets.yolo_folders import encoded, picture, write_folder, write_image
from tests.detect.detectors import BrightSpot
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import YoloLoader, create_dataloader
from yolo_lite.data.report import DatasetError
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.headers import image_size
from yolo_lite.images.reading import ImageError

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
COUNT = 9
DAMAGED = (3, 4, 8)  # two in a row, and the last: index 0 takes its place
MIXING = Hyperparameters(mosaic=0.7, mixup=0.5, degrees=5, copy_paste=1.0)


def damaged_jpeg(height: int = 48, width: int = 64) -> bytes:
    """Whole from start to end marker, with a size, and impossible to decode: its Huffman tables are nonsense."""
    data = bytearray(encoded(picture(height, width), ".jpg"))
    table = data.index(b"\xff\xc4")
    data[table + 5 : table + 21] = b"\xff" * 16  # counts of codes by length, beyond what there can be
    return bytes(data)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Nine pictures with 0 to 3 outlined objects each, three of the pictures damaged."""
    outline = "{} 0.1 0.1 0.{} 0.1 0.5 0.8\n"
    rows = {f"{i}.jpg": "".join(outline.format(i % 2, 3 + i % 5 + k) for k in range(i % 4)) for i in range(COUNT)}
    write_folder(tmp_path / "data", rows)
    for index in DAMAGED:
        image(tmp_path / "data", index).write_bytes(damaged_jpeg())
    return tmp_path / "data"


def image(folder: Path, index: int) -> Path:
    return folder / "images" / "train" / f"{index}.jpg"


def names(paths) -> list[str]:
    return [Path(path).name for path in paths]


def contents(batch: Batch) -> tuple:
    return batch.images.numpy().tobytes(), batch.targets.numpy().tobytes(), batch.paths, batch.geometry


def all_of(loader: YoloLoader, epochs: int = 2) -> list[tuple]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [contents(batch) for _ in range(epochs) for batch in loader]


def test_the_header_says_nothing_of_it(folder):
    assert image_size(image(folder, 3)) == (48, 64)
    dataset = YoloDataset(folder, 64)
    assert len(dataset) == COUNT
    assert not dataset.report
    with pytest.raises(ImageError, match=r"3\.jpg"):
        dataset[3]


# --------------------------------------------------------------------------------------------------------- training


def test_the_next_image_that_can_be_read_takes_the_place(folder):
    dataset = YoloDataset(folder, 64, Hyperparameters(mosaic=0), augment=True)
    for index, instead in ((3, 5), (4, 5), (8, 0), (2, 2)):
        sample = dataset[index]
        assert names([sample.path]) == [f"{instead}.jpg"]
        lost = range(index, index + (instead - index) % COUNT)
        assert names(problem.path for problem in sample.unreadable) == [f"{place}.jpg" for place in lost]
        assert all(str(folder) in problem.message for problem in sample.unreadable)  # says which took its place
        expected = dataset.apply(dataset.draw(index)._replace(index=instead))
        assert torch.equal(sample.image, expected.image)
        assert torch.equal(sample.labels, expected.labels)
    *_, last = dataset.stages(dataset.draw(3))  # what explorers show
    np.testing.assert_array_equal(last.image.transpose(2, 0, 1), dataset[3].image)


def test_partners_in_mosaics_and_mixups_are_replaced_too(folder):
    dataset = YoloDataset(folder, 64, MIXING.replace(mosaic=1, mixup=1), augment=True)
    met = set()
    for index in range(COUNT):
        draw, sample = dataset.draw(index), dataset[index]
        used = {index, *draw.mosaic.mosaic.partners, draw.second_mosaic.index, *draw.second_mosaic.mosaic.partners}
        lost = set(names(problem.path for problem in sample.unreadable))
        assert lost >= {f"{place}.jpg" for place in used & set(DAMAGED)}
        met |= lost
    assert met == {f"{place}.jpg" for place in DAMAGED}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_batches_for_any_number_of_workers(folder, workers):
    options = {"batch_size": 2, "shuffle": True, "img_size": 64, "augment": True, "seed": 3, "hyp": MIXING}
    alone = create_dataloader(folder, **options)
    expected = all_of(alone)
    loader = create_dataloader(folder, workers=workers, **options)
    assert all_of(loader) == expected
    assert sum(len(paths) for _, _, paths, _ in expected) == 2 * COUNT  # no batch is smaller
    assert sorted(names(loader.unreadable)) == sorted(names(alone.unreadable)) == [f"{i}.jpg" for i in DAMAGED]
    loader.set_epoch(1, start_batch=2)  # as a run that is resumed asks: nothing was read before
    fresh = create_dataloader(folder, workers=workers, **options)
    fresh.set_epoch(1, start_batch=2)
    assert all_of(loader, 1) == all_of(fresh, 1) == expected[len(alone) + 2 :]


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_caches_change_nothing(folder, tmp_path, cache):
    options = {"batch_size": 2, "shuffle": True, "img_size": 64, "augment": True, "hyp": MIXING}
    plain = create_dataloader(folder, **options)
    cached = create_dataloader(folder, cache=cache, cache_dir=tmp_path / "cache", **options)
    assert all_of(cached) == all_of(plain)
    assert names(cached.unreadable) == names(plain.unreadable)


def test_each_is_named_once(folder):
    loader = create_dataloader(folder, 3, img_size=64, augment=True, hyp=MIXING)
    with pytest.warns(UserWarning, match=r"\.jpg") as said:
        list(loader)
    list(loader)
    assert sorted(names(str(warning.message).split(": ")[0] for warning in said)) == [f"{i}.jpg" for i in DAMAGED]
    assert "(3 so far)" in str(said[-1].message)


def test_many_are_counted(tmp_path):
    write_folder(tmp_path, {f"{i:02}.jpg": "0 0.5 0.5 0.5 0.5" for i in range(30)})
    loader = create_dataloader(tmp_path, 4, img_size=32, augment=True)
    for path in loader.dataset.paths[:28]:
        Path(path).unlink()
    with pytest.warns(UserWarning, match=r"\.jpg") as said:
        assert sum(len(batch.paths) for batch in loader) == 30
    assert len(said) == 21
    assert len(loader.unreadable) == 28


def test_files_that_change_while_training(folder):
    dataset = YoloDataset(folder, 64, Hyperparameters(mosaic=0), augment=True)
    image(folder, 0).unlink()
    write_image(image(folder, 1), 20, 30)  # another size than its labels and its place in memory were made for
    image(folder, 2).unlink()
    image(folder, 2).mkdir()
    said = {index: str(dataset[index].unreadable[0]) for index in range(3)}
    assert "0.jpg: no such image file" in said[0]
    assert "48 x 64" in said[1]
    assert "20 x 30" in said[1]
    assert "directory" in said[2]
    assert names([dataset[0].path]) == ["5.jpg"]


def test_not_one_can_be_read_any_more(folder):
    loader = create_dataloader(folder, 2, img_size=64, augment=True)
    for index in range(COUNT):
        image(folder, index).unlink()
    with pytest.raises(DatasetError, match=rf"{COUNT} images .*0\.jpg") as caught:
        list(loader)
    assert len(caught.value.report.problems) == COUNT


def test_a_machine_without_room_is_not_the_files_fault(folder, monkeypatch):
    dataset = YoloDataset(folder, 64, augment=True)

    def full(index: int) -> np.ndarray:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(dataset.source, "read", full)
    for loader in (create_dataloader(dataset, 2), create_dataloader(YoloDataset(dataset.source, 64), 2)):
        with pytest.raises(OSError, match="Too many open files"):
            list(loader)


def test_a_cache_that_cannot_be_written_is_not_the_images_fault(folder, tmp_path, monkeypatch):
    dataset = YoloDataset(folder, 64, augment=True, cache="disk", cache_dir=tmp_path / "cache")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("yolo_lite.data.cache.atomic_write", full)
    with pytest.raises(DatasetError, match=r"cache: .*No space left"):
        dataset[0]


@pytest.mark.parametrize(("augment", "workers"), [(True, 0), (False, 0), (True, 1)])
def test_strict_ends_the_run_with_the_name(folder, augment, workers):
    loader = create_dataloader(folder, 2, workers=workers, img_size=64, augment=augment, strict=True)
    with pytest.raises(DatasetError, match=r"[348]\.jpg: .*damaged") as caught:
        list(loader)
    assert len(caught.value.report.problems) == 1
    with pytest.raises(ImageError, match=r"3\.jpg"):
        loader.dataset[3]


# ------------------------------------------------------------------------------------------------------- validation


def test_loaders_of_plain_images_leave_it_out(folder):
    loader = create_dataloader(folder, 2, img_size=64)
    with pytest.warns(UserWarning, match=r"\.jpg: ") as said:
        batches = list(loader)
    assert len(said) == len(DAMAGED)
    assert [names(batch.paths) for batch in batches] == [["0.jpg", "1.jpg"], ["2.jpg"], ["5.jpg"], ["6.jpg", "7.jpg"]]
    assert batches[1].targets[:, 0].tolist() == [0, 0]
    assert sorted(names(loader.unreadable)) == [f"{i}.jpg" for i in DAMAGED]
    image(folder, 3).write_bytes(encoded(picture(), ".jpg"))
    list(loader)
    assert sorted(names(loader.unreadable)) == ["4.jpg", "8.jpg"]  # one was put back


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (2, 0), (16, 0), (1, 2)])
@pytest.mark.filterwarnings("ignore:.*image left out:UserWarning")
def test_figures_are_those_of_the_others(tmp_path, batch_size, workers):
    """With the damaged files and without them: their objects do not count as missed."""
    folder = tmp_path
    write_folder(folder, {f"{i}.jpg": f"{int(i > 4)} 0.5 0.5 0.5 0.25" for i in range(COUNT)}, "val", (64, 64))
    white = np.zeros((64, 64, 3), np.uint8)
    white[24:40, 16:48] = 255  # class 0; from the fifth image on the labels say otherwise
    for index in range(COUNT):
        path = folder / "images" / "val" / f"{index}.jpg"
        path.write_bytes(damaged_jpeg() if index in DAMAGED else encoded(white, ".jpg"))
    options = {"img_size": 64, "split": "val", "workers": workers}
    found = evaluate(BrightSpot(), create_dataloader(folder, batch_size, **options), rule="yolov5")
    assert sorted(names(problem.path for problem in found.left_out)) == [f"{i}.jpg" for i in DAMAGED]
    for path in map(Path, [problem.path for problem in found.left_out]):
        path.unlink()
        (folder / "labels" / "val" / path.with_suffix(".txt").name).unlink()
    others = evaluate(BrightSpot(), create_dataloader(folder, batch_size, **options), rule="yolov5")
    assert (found.num_images, found.num_labels) == (others.num_images, others.num_labels) == (6, 6)
    assert others.recall == 0.5  # all of class 0, none of class 1
    assert (found.map, found.map50, found.recall) == (others.map, others.map50, others.recall)
    assert others.left_out == ()
    assert "3.jpg" in str(found)
    assert [entry["path"] for entry in found.to_dict()["left_out"]] == [problem.path for problem in found.left_out]


def test_a_strict_dataset_is_not_evaluated(folder):
    with pytest.raises(DatasetError, match=r"3\.jpg"):
        evaluate(BrightSpot(), create_dataloader(folder, 2, img_size=64, strict=True))


@pytest.mark.filterwarnings("ignore:.*image left out:UserWarning")
def test_nothing_is_left_to_evaluate(folder):
    loader = create_dataloader(folder, 2, img_size=64)
    for index in range(COUNT):
        image(folder, index).write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.jpg"):
        evaluate(BrightSpot(), loader)
