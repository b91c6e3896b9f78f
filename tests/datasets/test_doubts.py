"""What is said about labels that are fine by themselves, and perhaps not where they are."""

from pathlib import Path

import pytest

from tests.datasets.yolo_folders import write_image, write_text
from yolo_lite.data.report import DatasetError
from yolo_lite.datasets.files.source import FileSource

ROW = "0 .5 .5 .5 .5\n"


def pair(image: Path, label: Path, row: str = ROW) -> None:
    write_image(image)
    write_text(label, row)


@pytest.mark.parametrize("images", ["images/{}", "{}"])
def test_one_label_file_for_pictures_of_two_splits(tmp_path, images):
    for split, names in (("train", ("0", "1")), ("val", ("0", "2"))):
        for name in names:
            pair(tmp_path / images.format(split) / f"{name}.jpg", tmp_path / "labels" / f"{name}.txt")
    for split, other in (("train", "val"), ("val", "train")):
        report = FileSource.open(tmp_path, split).report
        (problem,) = report.by_kind()["label files of two splits"]
        assert (problem.path, problem.note) == (str(tmp_path / "labels" / "0.txt"), False)
        assert str(tmp_path / images.format(split) / "0.jpg") in problem.message
        assert str(tmp_path / images.format(other) / "0.jpg") in problem.message
    write_text(tmp_path / "data.yaml", f"train: {images}\nval: {images}\nnames: [cat]\n".replace("{}", "train"))
    assert not FileSource.open(tmp_path).report.by_kind().get("label files of two splits")  # the same pictures


def test_labels_inside_the_dataset_come_before_those_outside(tmp_path):
    root, outside = tmp_path / "images" / "pets", tmp_path / "labels" / "pets"
    pair(root / "train" / "a.jpg", root / "train" / "a.txt")
    pair(root / "train" / "b.jpg", outside / "train" / "b.txt")  # none inside
    write_text(outside / "train" / "a.txt", "1 .5 .5 .5 .5\n" + ROW)
    pair(root / "val" / "c.jpg", root / "val" / "c.txt")
    for source in (root, [root / "train"], root / "train"):
        opened = FileSource.open(source, names=["cat", "dog"])
        assert opened.labels.objects_per_image.tolist() == [1, 1]
        (problem,) = opened.report.problems
        assert problem.path == str(outside / "train" / "a.txt")
        assert str(root / "train" / "a.txt") in problem.message
    inside = tmp_path / "cats"
    pair(inside / "images" / "train" / "a.jpg", inside / "labels" / "train" / "a.txt", ROW + "1 .5 .5 .5 .5\n")
    write_text(inside / "images" / "train" / "a.txt", ROW)
    for source in (inside, inside / "images" / "train", inside / "images"):
        opened = FileSource.open(source)
        assert opened.labels.num_objects == 2  # the folder labels of the dataset itself
        assert str(inside / "labels" / "train" / "a.txt") in opened.report.problems[0].message


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_highest_class_that_is_a_slip_of_the_pen(tmp_path, split):
    for part in ("train", "val"):
        for name in ("a", "b"):
            pair(tmp_path / "images" / part / f"{name}.jpg", tmp_path / "labels" / part / f"{name}.txt")
    path = write_text(tmp_path / "labels" / "train" / "b.txt", f"{ROW}250 .5 .5 .2 .2\n")
    source = FileSource.open(tmp_path, split)
    assert len(source.names) == 251
    (problem,) = source.report.problems
    assert (problem.path, problem.note) == (str(path), False)
    assert "250 occurs in 1 row: 249 classes" in problem.message
    write_text(path, f"{ROW}2 .5 .5 .2 .2\n")
    assert not FileSource.open(tmp_path, split).report.problems
    write_text(path, "".join(f"15 .5 .5 .2 .{digit}\n" for digit in range(1, 9)))
    assert not FileSource.open(tmp_path, split).report.problems  # often enough to be meant
    write_text(path, f"{ROW}250 .5 .5 .2 .2\n")
    assert not FileSource.open(tmp_path, split, names=[str(number) for number in range(251)]).report.problems


@pytest.mark.parametrize("folder", ["label", "annotations", "labelTxt", "labelTxt/train", "annotations/yolo"])
def test_label_files_in_a_folder_of_another_name_are_named(tmp_path, folder):
    for name in ("a", "b"):
        pair(tmp_path / "images" / "train" / f"{name}.jpg", tmp_path / folder / f"{name}.txt")
    report = FileSource.open(tmp_path).report
    (problem,) = report.by_kind()["labels not found"]
    assert f"{tmp_path / folder} has 2 .txt files" in problem.message
    assert str(tmp_path / "labels" / "train") in problem.message


@pytest.mark.parametrize(("suffix", "converter"), [(".xml", "voc"), (".json", "coco")])
def test_annotations_of_another_kind_beside_the_pictures(tmp_path, suffix, converter):
    for number in range(4):
        write_image(tmp_path / "images" / f"{number}.jpg")
        write_text(tmp_path / "labels" / f"{number}.txt", ROW)
    for number in range(2):
        (tmp_path / "labels" / f"{number}.txt").unlink()
        write_text(tmp_path / "images" / f"{number}{suffix}", "")
    (problem,) = FileSource.open(tmp_path).report.by_kind()["annotations of another kind"]
    assert problem.path == str(tmp_path / "images" / f"0{suffix}")
    assert f"2 of 4 pictures have {suffix} files" in problem.message
    assert f"`yolo-lite convert {converter}`" in problem.message
    write_text(tmp_path / "labels" / "0.txt", ROW)
    assert "annotations of another kind" not in FileSource.open(tmp_path).report.counts


def test_a_list_beside_the_folders_of_the_splits_is_said(tmp_path):
    for split in ("train", "val"):
        for name in ("a", "b"):
            pair(tmp_path / "images" / split / f"{name}.jpg", tmp_path / "labels" / split / f"{name}.txt")
    path = write_text(tmp_path / "train.txt", "images/train/a.jpg\n")
    source = FileSource.open(tmp_path)
    assert len(source) == 2
    assert [(each.path, each.kind, each.note) for each in source.report.problems] == [
        (str(path), "lists not used", True)
    ]
    assert not FileSource.open(tmp_path, "val").report.problems
    assert len(FileSource.open(path)) == 1


def test_pictures_in_no_list_are_counted(tmp_path):
    for name in "abcd":
        pair(tmp_path / "pictures" / f"{name}.jpg", tmp_path / "pictures" / f"{name}.txt")
    write_image(tmp_path / "runs" / "batch.jpg")
    write_text(tmp_path / "train.txt", "pictures/a.jpg\n")
    write_text(tmp_path / "val.txt", "pictures/b.jpg\n")
    for split in ("train", "val"):
        (note,) = FileSource.open(tmp_path, split).report.by_kind()["pictures in no list"]
        assert (note.path, note.note) == (str(tmp_path), True)
        assert "2 of 4 pictures" in note.message
        assert str(tmp_path / "pictures" / "c.jpg") in note.message
    write_text(tmp_path / "val.txt", "pictures/b.jpg\npictures/c.jpg\n./pictures/d.jpg\n")
    assert not FileSource.open(tmp_path).report.problems


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.HEIC", "JPEG"),
        ("b.mp4", "video"),
        ("b.jpg.crdownload", "download"),
        ("b.png.part", "download"),
    ],
)
def test_each_kind_that_is_passed_over_has_its_own_advice(tmp_path, name, said):
    pair(tmp_path / "images" / "0.jpg", tmp_path / "labels" / "0.txt")
    write_text(tmp_path / "images" / name, "xyz")
    write_text(tmp_path / "images" / "setup.crdownload", "xyz")  # of whatever
    (problem,) = FileSource.open(tmp_path).report.problems
    assert (problem.kind, problem.path) == ("pictures passed over", str(tmp_path / "images" / name))
    assert said in problem.message
    (tmp_path / "images" / "0.jpg").unlink()
    with pytest.raises(DatasetError, match=said):
        FileSource.open(tmp_path)


def test_a_git_lfs_pointer_is_named_as_such(tmp_path):
    pair(tmp_path / "images" / "0.jpg", tmp_path / "labels" / "0.txt")
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    path = write_text(tmp_path / "images" / "1.jpg", text)
    problem = FileSource.open(tmp_path).report.by_kind()["images left out"][0]
    assert problem.path == str(path)
    assert "Git LFS" in problem.message


@pytest.mark.parametrize(("count", "visible"), [(17, 2), (4, 2), (1, 2), (5, 1), (3, 0)])
def test_rows_with_keypoints_but_no_kpt_shape(tmp_path, count, visible):
    pair(tmp_path / "images" / "0.jpg", tmp_path / "labels" / "0.txt", f"0 .5 .5 .5 .5{f' .4 .6 {visible}' * count}\n")
    (problem,) = FileSource.open(tmp_path).report.problems
    assert (problem.path, problem.line) == (str(tmp_path / "labels" / "0.txt"), 1)
    assert f"`kpt_shape: [{count}, 3]`" in problem.message


def test_rows_without_keypoints_do_not_speak_of_them(tmp_path):
    pair(
        tmp_path / "images" / "0.jpg",
        tmp_path / "labels" / "0.txt",
        "0 1 2 3\n0 9 9 8 8 7 7 .5 .5 .3 .3\n0 1 2 3 4 5\n",
    )
    problems = FileSource.open(tmp_path).report.problems
    assert len(problems) == 3
    assert not any("kpt_shape" in problem.message for problem in problems)
