"""Which label file belongs to which image; nothing that belongs to none is lost in silence."""

import os
import unicodedata
import warnings
from pathlib import Path

import pytest

from tests.datasets.yolo_folders import write_folder, write_image, write_text
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import DatasetError
from yolo_lite.datasets.files.label_files import match_label_files
from yolo_lite.datasets.files.source import FileSource

ROW = "0 .5 .5 .5 .5\n"


def kinds(source: FileSource) -> dict[str, list[str]]:
    return {
        kind: sorted(Path(problem.path).name for problem in problems)
        for kind, problems in source.report.by_kind().items()
    }


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "labels/a.TXT"),
        ("images/a.jpg", "labels/a.Txt"),
        ("images/IMG_1.JPG", "labels/img_1.txt"),
        ("images/a.jpg", "labels/a.jpg.txt"),
        ("images/a.b.c.jpg", "labels/a.b.c.txt"),
        ("images/a..jpg", "labels/a..txt"),
        ("images/ein bild (1).png", "labels/ein bild (1).txt"),
        ("images/größe.jpg", "labels/größe.txt"),
        (unicodedata.normalize("NFD", "images/größe.jpg"), unicodedata.normalize("NFC", "labels/größe.txt")),
        (unicodedata.normalize("NFC", "images/größe.jpg"), unicodedata.normalize("NFD", "labels/größe.txt")),
        ("Images/a.jpg", "Labels/a.txt"),
        ("IMAGES/a.jpg", "labels/a.txt"),
        ("images/a.jpg", "LABELS/a.txt"),
        ("images/deep/a.jpg", "labels/deep/a.txt"),
        ("images/deep/a.jpg", "labels/a.txt"),
        ("images/a.jpg", "images/a.txt"),
        ("pictures/a.jpg", "labels/a.txt"),
        ("JPEGImages/a.jpg", "labels/a.txt"),
        ("pictures/images/a.jpg", "pictures/labels/a.txt"),
        ("images/set/images/a.jpg", "images/set/labels/a.txt"),
        ("images/set/images/a.jpg", "labels/set/images/a.txt"),
        ("a.jpg", "a.txt"),
        ("a.jpg", "labels/a.txt"),
        ("pets/a.jpg", "pets/labels/a.txt"),
    ],
)
def test_a_label_file_is_found(tmp_path, image, label):
    write_image(tmp_path / image)
    write_text(tmp_path / label, ROW)
    source = FileSource.open(tmp_path)
    assert source.labels.num_objects == 1
    assert not source.report.problems


def test_what_is_called_exactly_so_comes_first(tmp_path):
    for name in ("a.jpg", "A.jpg", "b.jpg"):
        write_image(tmp_path / "images" / name)
    for name in ("a.txt", "A.TXT", "B.txt", "b.TXT"):
        write_text(tmp_path / "labels" / name, ROW)
    matched = match_label_files([str(tmp_path / "images" / name) for name in ("a.jpg", "A.jpg", "b.jpg")])
    assert [Path(path).name for path in matched.paths] == ["a.txt", "A.TXT", "b.TXT"]
    assert [Path(path).name for path in matched.unused] == ["B.txt"]
    assert kinds(FileSource.open(tmp_path)) == {"label files without an image": ["B.txt"]}


def test_a_label_file_is_not_given_to_an_image_of_nearly_the_same_name(tmp_path):
    for name in ("a.jpg", "A.jpg"):
        write_image(tmp_path / "images" / name)
    write_text(tmp_path / "labels" / "a.txt", ROW)
    source = FileSource.open(tmp_path)
    assert kinds(source) == {"images without a label file": ["A.jpg"]}


def test_names_that_do_not_fit_are_counted_and_strict_refuses_them(tmp_path):
    for number in range(4):
        write_image(tmp_path / "images" / f"cam#{number}.jpg")
        write_text(tmp_path / "labels" / f"cam_{number}.txt", ROW)
    write_image(tmp_path / "images" / "x.jpg")
    write_text(tmp_path / "labels" / "x.txt", ROW)

    with pytest.warns(UserWarning, match="label files without an image: 4, images without a label file: 4;") as said:
        dataset = YoloDataset(tmp_path, 64)
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert dataset.report.counts["label files without an image"] == 4
    assert dataset.report.counts["images without a label file"] == 4
    with pytest.raises(DatasetError) as error:
        YoloDataset(tmp_path, 64, strict=True)
    assert "cam_0.txt" in str(error.value)


def test_background_pictures_are_no_error_and_most_pictures_without_labels_a_warning(tmp_path):
    write_folder(tmp_path, {f"{number}.png": ROW for number in range(4)} | {"x.png": None})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = YoloDataset(tmp_path, 64, strict=True).report
    assert (report.unlabelled, report.background, bool(report), report.is_doubtful) == (1, 1, False, False)

    write_folder(tmp_path, {f"more{number}.png": None for number in range(4)})
    with pytest.warns(UserWarning, match="images without a label file: 5;"):
        YoloDataset(tmp_path, 64, strict=True)  # said, and no error: they may be background

    write_text(tmp_path / "labels/train/lost.txt", ROW)  # or not
    with pytest.raises(DatasetError):
        YoloDataset(tmp_path, 64, strict=True)


def test_empty_label_files_are_background_and_without_an_image_they_lose_nothing(tmp_path):
    write_folder(tmp_path, {"a.png": ROW, "b.png": ""})
    assert not FileSource.open(tmp_path).report.problems
    write_text(tmp_path / "labels/train/c.txt", "\n")
    report = FileSource.open(tmp_path).report
    assert report.counts["label files without an image"] == 1
    assert not report


def test_other_texts_are_no_label_files(tmp_path):
    write_folder(tmp_path, {"a.png": ROW})
    for name, text in {
        "classes.txt": "cat\n",
        "README.txt": "Made in 2024 with 5 cameras at 0.5 m\n",
        "list.txt": "images/train/a.png\n",
        "notes.json": "{}",
    }.items():
        write_text(tmp_path / "labels" / "train" / name, text)
    assert not FileSource.open(tmp_path).report.problems


def test_labels_of_images_that_a_list_does_not_name_are_not_lost(tmp_path):
    write_folder(tmp_path, {"a.png": ROW, "b.png": ROW})
    path = write_text(tmp_path / "train.txt", "images/train/a.png\n")
    assert not FileSource.open(path).report.problems
    (tmp_path / "images/train/b.png").unlink()  # now it is nobody's
    assert kinds(FileSource.open(path)) == {"label files without an image": ["b.txt"]}


def test_labels_of_all_splits_in_one_folder_are_no_strays(tmp_path):
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / f"{split}.jpg")
        write_text(tmp_path / "labels" / f"{split}.txt", ROW)
    for split in ("train", "val"):
        source = FileSource.open(tmp_path, split)
        assert source.labels.num_objects == 1
        assert not source.report.problems
    write_text(tmp_path / "labels" / "lost.txt", ROW)
    assert kinds(FileSource.open(tmp_path)) == {"label files without an image": ["lost.txt"]}


def test_a_second_label_file_of_an_image_is_said(tmp_path):
    write_folder(tmp_path, {"a.png": ROW})
    write_text(tmp_path / "images/train/a.txt", f"{ROW}0 .1 .1 .1 .1\n")
    report = FileSource.open(tmp_path).report
    assert report.objects == 1
    (problem,) = report.by_kind()["label files without an image"]
    assert "another label file" in problem.message


def test_images_of_one_name_share_their_labels_and_are_noted(tmp_path):
    write_folder(tmp_path, {"a.jpg": ROW, "a.png": ROW})
    source = FileSource.open(tmp_path)
    assert source.labels.objects_per_image.tolist() == [1, 1]
    assert kinds(source) == {"images that share a label file": ["a.png"]}
    assert not source.report


def test_a_label_file_that_cannot_be_opened_takes_its_image_with_it(tmp_path):
    write_folder(tmp_path, {"a.png": ROW, "b.png": None, "c.png": None})
    os.symlink(tmp_path / "nowhere.txt", tmp_path / "labels/train/b.txt")
    (tmp_path / "labels/train/c.txt").mkdir()
    source = FileSource.open(tmp_path)
    assert [Path(path).name for path in source.paths] == ["a.png"]
    assert kinds(source) == {"images left out": ["b.txt", "c.txt"]}


# ------------------------------------------------------------------------------------------- pictures of other kinds


def test_pictures_that_are_not_read_are_counted_and_named(tmp_path):
    write_folder(tmp_path, {"a.jpg": ROW, "b.jpg": ROW})
    folder = tmp_path / "images" / "train"
    jpeg = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").rename(folder / "b.jfif")
    unread = ["IMG_1.HEIC", "x.heif", "y.CR2", "z.psd", "film.mp4", "w.jxl", "v.dng"]
    for name in unread:
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "no suffix").write_bytes(jpeg)
    (folder / "c.jpg_large").write_bytes(jpeg)
    for name in ("notes.md", "Thumbs.db", "a.xml", "._a.jpg", ".DS_Store", "data.bin"):
        (folder / name).write_bytes(b"\0\0\0")
    write_text(tmp_path / "labels/train/IMG_1.txt", ROW)  # which belongs to a picture

    source = FileSource.open(tmp_path)
    assert [Path(path).name for path in source.paths] == ["a.jpg", "b.jfif"]
    assert kinds(source) == {"pictures passed over": sorted([*unread, "no suffix", "c.jpg_large"])}
    assert source.report
    with pytest.warns(UserWarning, match="pictures passed over: 9;"):
        YoloDataset(tmp_path, 64)
    with pytest.raises(DatasetError):
        YoloDataset(tmp_path, 64, strict=True)


def test_a_folder_of_such_pictures_alone_says_what_to_do(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DatasetError, match=r"1 \.HEIC file"):
        FileSource.open(tmp_path)
