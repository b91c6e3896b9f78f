"""A large dataset that is opened again as it was: never another one than reading all files gives."""

import os
from pathlib import Path

import pytest

from tests.datasets.test_label_cache import ROWS, aged, contents
from tests.datasets.yolo_folders import write_folder, write_image, write_text
from yolo_lite.datasets.files import label_cache, source
from yolo_lite.datasets.files.source import FileSource


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A dataset whose files are old enough to be kept, with a linked folder and a linked label file."""
    monkeypatch.setattr(label_cache, "user_cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(label_cache, "LEAST", 1)
    root = write_folder(tmp_path / "data", ROWS)
    write_text(root / "classes.txt", "x\ny\nz\n")
    for name in ("one", "two"):
        write_image(tmp_path / name / "e.png", 10, 20)
        write_text(tmp_path / f"{name}.txt", f"{0 if name == 'one' else 2} 0.5 0.5 0.1 0.1\n")  # of one size
    os.symlink(tmp_path / "one", root / "images" / "train" / "more")
    (root / "labels" / "train" / "more").mkdir()
    (root / "images" / "labels" / "train").mkdir(parents=True)
    os.symlink(tmp_path / "one.txt", root / "labels" / "train" / "more" / "e.txt")
    aged(tmp_path)
    return root


@pytest.fixture
def looked(monkeypatch) -> list[int]:
    """How many images were matched with label files, each time that was done."""
    found: list[int] = []
    match = source.match_label_files
    monkeypatch.setattr(source, "match_label_files", lambda *given: found.append(len(given[0])) or match(*given))
    return found


def kept(folder: Path) -> list[Path]:
    return list((folder.parent / "cache" / "labels").glob("*.opened"))


def test_what_stayed_as_it_was_is_not_matched_again(folder, looked):
    first = contents(FileSource.open(folder))
    again = FileSource.open(folder)

    assert looked == [5]
    assert contents(again) == first
    assert again.read(4).shape == (10, 20, 3)
    assert len(first[-1].problems) == 3


def test_another_spelling_or_working_folder_is_opened_for_itself(folder, monkeypatch):
    FileSource.open(folder)
    for place in (folder, folder / "images"):
        monkeypatch.chdir(place)
        relative = os.path.relpath(folder)
        for _ in range(2):
            assert FileSource.open(relative).paths[0] == os.path.normpath(f"{relative}/images/train/a.png")


def replace(path: Path, text: str) -> None:
    """A text of the same size, with the same time of change."""
    size, stat = len(path.read_bytes()), path.stat()
    write_text(path, text)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == size


def relink(path: Path, target: Path) -> None:
    path.unlink()
    os.symlink(target, path)


CHANGES = {
    "a label file edited": lambda train, labels: replace(labels / "a.txt", ROWS["a.png"].replace("0 0.5", "2 0.5")),
    "two label files swapped": lambda train, labels: (
        os.rename(labels / "a.txt", labels / "x"),
        os.rename(labels / "b.txt", labels / "a.txt"),
        os.rename(labels / "x", labels / "b.txt"),
    ),
    "a label file added": lambda train, labels: write_text(labels / "c.txt", "0 0.5 0.5 0.1 0.1\n"),
    "a label file in other letters": lambda train, labels: write_text(labels / "C.TXT", "0 0.5 0.5 0.1 0.1\n"),
    "a label file in another place": lambda train, labels: write_text(
        train / "labels" / "c.txt", "0 0.5 0.5 0.1 0.1\n"
    ),
    "a label file nearby": lambda train, labels: write_text(
        train.parent / "labels" / "train" / "c.txt", "0 0.5 0.5 0.1 0.1\n"
    ),
    "a label file removed": lambda train, labels: (labels / "a.txt").unlink(),
    "a label file without an image": lambda train, labels: write_text(labels / "z.txt", "0 0.5 0.5 0.1 0.1\n"),
    "a link to another label file": lambda train, labels: relink(
        labels / "more" / "e.txt", train.parents[2] / "two.txt"
    ),  # mostly of the same tick of the clock: the number of the file alone tells them apart
    "what a link leads to": lambda train, labels: replace(train.parents[2] / "one.txt", "2 0.5 0.5 0.1 0.1\n"),
    "an image added": lambda train, labels: write_image(train / "more" / "f.png", 10, 20),
    "an image replaced": lambda train, labels: write_image(train / "d.png", 20, 30),
    "an image renamed": lambda train, labels: os.rename(train / "d.png", train / "f.png"),
    "an image damaged": lambda train, labels: write_text(train / "d.png", "text"),
    "a picture that is not read": lambda train, labels: write_text(train / "f.heic", "text"),
    "a link to another folder": lambda train, labels: (
        write_image(train.parents[2] / "two" / "f.png", 10, 20),
        relink(train / "more", train.parents[2] / "two"),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_seen(folder, monkeypatch, change):
    before = contents(FileSource.open(folder))
    assert kept(folder)
    change(folder / "images" / "train", folder / "labels" / "train")
    for place in (folder, folder.parent / "one", folder.parent / "two"):
        for path in place.rglob("*.*"):
            if path.stat().st_mtime != 10**9:  # what stayed as it was keeps the time of its status, too
                os.utime(path, (10**9, 10**9))
    found = [contents(FileSource.open(folder)) for _ in range(2)]
    monkeypatch.setattr(label_cache, "user_cache_dir", lambda: folder.parent / "another cache")

    assert found == [contents(FileSource.open(folder))] * 2
    assert found[0] != before


@pytest.mark.parametrize("name", ["*.opened", "*.labels"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-7], lambda data: data[:70] + b"1" + data[71:]]
)
def test_what_is_torn_is_replaced(folder, looked, name, damage):
    first = contents(FileSource.open(folder))
    (file,) = (folder.parent / "cache" / "labels").glob(name)
    file.write_bytes(damage(file.read_bytes()))

    assert [contents(FileSource.open(folder)) for _ in range(2)] == [first] * 2
    assert looked == [5, 5]


def test_what_may_change_unseen_is_not_kept(folder):
    os.utime(folder / "labels" / "train" / "a.txt")  # now, and once more at the same time perhaps
    FileSource.open(folder)
    assert not kept(folder)

    aged(folder)
    write_text(folder / "labels" / "train" / "z.txt", "0 0.5 0.5 0.1 0.1\n")  # of a picture of another split perhaps
    aged(folder)
    FileSource.open(folder)
    assert not kept(folder)
