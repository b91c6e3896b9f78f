"""The cache of what was read of a large dataset: the same as reading, whatever happened to files and cache."""

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.datasets.yolo_folders import write_folder, write_image, write_text
from yolo_lite.datasets.files import label_cache
from yolo_lite.datasets.files.file_lock import file_lock
from yolo_lite.datasets.files.source import FileSource

ROWS = {
    "a.png": "0 0.5 0.5 0.5 0.4\n1 0.2 0.2 0.8 0.3 0.7 0.8\n",
    "b.jpg": "2 0.5 0.5 0.5 0.4\n# a comment\n9 1.5 0.5 0.5 0.4\n",
    "c.png": None,
    "d.png": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A dataset whose files are old enough to be kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(label_cache, "user_cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(label_cache, "LEAST", 1)
    return aged(write_folder(tmp_path / "data", ROWS))


def aged(root: Path) -> Path:
    for path in root.rglob("*.*"):
        os.utime(path, (10**9, 10**9))
    return root


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the files that were read."""
    found: list[str] = []
    for name in ("channels_size", "parse_label_file"):
        function = getattr(label_cache, name)

        def noted(path, *rest, function=function):
            found.append(os.path.basename(path))
            return function(path, *rest)

        monkeypatch.setattr(label_cache, name, noted)
    return found


def contents(source: FileSource) -> tuple:
    labels = [tensor.tolist() for tensor in vars(source.labels).values()]
    return source.paths[:], source.sizes.tolist(), labels, source.names, source.report


def cache_file(folder: Path) -> Path:
    (found,) = (folder.parent / "cache" / "labels").glob("*.labels")
    return found


def test_opened_again_nothing_is_read_and_all_is_the_same(folder, reads):
    first = contents(FileSource.open(folder))
    assert sorted(reads) == ["a.png", "a.txt", "b.jpg", "b.txt", "c.png", "d.png", "d.txt"]
    reads.clear()

    assert contents(FileSource.open(folder)) == first
    assert reads == []
    assert len(first[-1].problems) == 3
    assert not [path for path in folder.rglob("*") if path.suffix not in (".png", ".jpg", ".txt", "")]


def test_a_relative_path_has_the_same_entries(folder, reads, monkeypatch):
    FileSource.open(folder)
    reads.clear()
    monkeypatch.chdir(folder)
    source = FileSource.open("images/train")

    assert reads == []
    assert not os.path.isabs(source.report.problems[0].path)


def test_only_what_changed_is_read(folder, reads):
    FileSource.open(folder)
    labels = folder / "labels" / "train"
    reads.clear()

    text = ROWS["a.png"].replace("0 0.5", "2 0.5")  # of the same size, with the same time of change
    write_text(labels / "new.txt", text)
    os.utime(labels / "new.txt", (10**9, 10**9))
    os.replace(labels / "new.txt", labels / "a.txt")
    write_image(folder / "images" / "train" / "d.png", 20, 30)
    write_text(labels / "c.txt", "0 0.5 0.5 0.1 0.1")
    source = FileSource.open(folder)

    assert sorted(reads) == ["a.txt", "c.txt", "d.png"]
    assert source.labels.of(0).cls.tolist() == [2, 1]
    assert source.labels.of(2).cls.tolist() == [0]
    assert source.sizes[3].tolist() == [20, 30]


def test_a_file_that_has_just_changed_is_not_kept(folder, reads):
    label = folder / "labels" / "train" / "a.txt"
    now = time.time()
    os.utime(label, (now, now))
    FileSource.open(folder)
    reads.clear()
    FileSource.open(folder)

    assert reads == ["a.txt"]


def test_other_classes_read_the_labels_by_their_own_rules(folder):
    FileSource.open(folder)
    assert FileSource.open(folder, names=["x", "y"]).labels.num_objects == 2  # class 2 is a mistake then
    assert FileSource.open(folder).labels.num_objects == 3


def test_an_image_that_cannot_be_read_is_tried_each_time(folder):
    image = folder / "images" / "train" / "a.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:50])
    aged(folder)
    assert len(FileSource.open(folder)) == 3
    image.write_bytes(whole)
    assert len(FileSource.open(folder)) == 4


def rewritten(data: bytes, **changes) -> bytes:
    tensors = {name: value.copy() for name, value in safetensors.numpy.load(data[32:]).items()}
    for name, change in changes.items():
        tensors[name] = change(tensors[name])
    body = safetensors.numpy.save(tensors)
    return hashlib.sha256(body).digest() + body


def problems_of(value) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), np.uint8).copy()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-7],
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: b"PK\x03\x04" + bytes(500),
        lambda data: hashlib.sha256(b"{}").digest() + b"{}",
        lambda data: hashlib.sha256(b"\xff" * 40).digest() + b"\xff" * 40,
        lambda data: rewritten(data, cls=lambda value: value - 5),
        lambda data: rewritten(data, cls=lambda value: value + 10_000),
        lambda data: rewritten(data, boxes=lambda value: value * np.float32("nan")),
        lambda data: rewritten(data, boxes=lambda value: value.astype(np.float64)),
        lambda data: rewritten(data, boxes=lambda value: value[:-1]),
        lambda data: rewritten(data, objects=lambda value: value - 1),
        lambda data: rewritten(data, points=lambda value: value + 1),
        lambda data: rewritten(data, sizes=lambda value: -value),
        lambda data: rewritten(data, image_stamps=lambda value: value[:-1]),
        lambda data: rewritten(data, problems=lambda value: problems_of({"a": 1})),
        lambda data: rewritten(data, problems=lambda value: problems_of([[0, "x", "y", "z", 1]])),
        lambda data: rewritten(data, problems=lambda value: np.full(9, 255, np.uint8)),
    ],
)
def test_what_is_torn_foreign_or_implausible_is_replaced(folder, damage, reads):
    first = contents(FileSource.open(folder))
    file = cache_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    reads.clear()

    assert contents(FileSource.open(folder)) == first
    assert len(reads) == 7
    reads.clear()
    assert contents(FileSource.open(folder)) == first
    assert reads == []


def test_without_a_cache_folder_files_are_read(folder, tmp_path, monkeypatch):
    write_text(tmp_path / "cache", "a file")
    first, second = contents(FileSource.open(folder)), contents(FileSource.open(folder))
    assert first == second


def test_small_datasets_are_not_kept(folder, monkeypatch):
    monkeypatch.setattr(label_cache, "LEAST", 5)
    FileSource.open(folder)
    assert not (folder.parent / "cache").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no locks: each process reads for itself")
def test_of_several_that_open_it_at_once_one_reads(folder, reads, monkeypatch):
    """As the processes that torchrun starts on one machine; the lock is held for each opening, not each process."""
    read = label_cache.channels_size
    monkeypatch.setattr(label_cache, "channels_size", lambda *image: time.sleep(0.02) or read(*image))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(contents, pool.map(FileSource.open, [folder] * 3)))

    assert found[0] == found[1] == found[2]
    assert len(reads) == 7


def test_a_lock_waits_and_gives_up(tmp_path):
    path = tmp_path / "lock"
    with file_lock(path):
        started = time.monotonic()
        with file_lock(path, patience=0.2):
            waited = time.monotonic() - started
    with file_lock(path), file_lock(tmp_path / "another", patience=100):
        pass
    with file_lock(tmp_path / "no folder" / "lock"):  # it only saves work
        pass

    assert waited >= 0.2 or sys.platform == "win32"
