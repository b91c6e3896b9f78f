import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.datasets.yolo_folders import write_folder, write_image, write_text
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import DatasetError, DatasetWarning
from yolo_lite.data.source import ImageSource, open_source
from yolo_lite.datasets.files.source import FileSource
from yolo_lite.datasets.shapes import export_shapes

ROW = "1 0.5 0.5 0.25 0.5"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two training images, one for validation."""
    root = write_folder(tmp_path / "data set", {"b.png": ROW, "a.jpg": f"0 0.5 0.5 0.1 0.1\n{ROW}"})
    return write_folder(root, {"c.png": ROW}, split="val")


def stems(source: ImageSource) -> list[str]:
    return [Path(path).stem for path in source.paths]


# -------------------------------------------------------------------------------------------------------- data.yaml


@pytest.mark.parametrize(
    "content",
    [
        "train: images/train\nval: images/val\nnames: [cat, no]",
        "path: .\ntrain: [images/train]\nval: images/val\nnames: {0: cat, 1: no}\nnc: 2",
        "path: null\ntrain: ./images/train/\nvalid: images/val\ntest:\nnc: ~\nnames:\n- cat\n- no",
        "train: ../images/train\nval: ../images/val\nnames: ['cat', 'no']",  # too high by one
        "train: images\\train\nval: images\\val\nnames: ['cat', 'no']",
    ],
)
def test_data_yaml(folder, content):
    path = write_text(folder / "data.yaml", content)
    train, val = FileSource.open(path), FileSource.open(str(path), "val")

    assert stems(train) == ["a", "b"]
    assert stems(val) == ["c"]
    assert train.names == ("cat", "no")  # and not False, which YAML would make of it
    assert train.labels.objects_per_image.tolist() == [2, 1]
    assert train.sizes.tolist() == [[48, 64], [48, 64]]
    assert isinstance(train, ImageSource)
    assert not train.report


def test_path_is_looked_for_beside_the_yaml_and_then_in_the_working_folder(folder, tmp_path, monkeypatch):
    path = write_text(tmp_path / "configs" / "mine.yaml", "path: ../data set\ntrain: images/train\nnames: [a, b]")
    assert stems(FileSource.open(path)) == ["a", "b"]

    write_text(path, "path: data set\ntrain: images/train\nnames: [a, b]")
    monkeypatch.chdir(tmp_path)
    assert stems(FileSource.open(path)) == ["a", "b"]

    write_text(path, "path: elsewhere\ntrain: images/train\nnames: [a, b]")
    with pytest.raises(FileNotFoundError) as error:
        FileSource.open(path)
    assert str(tmp_path / "configs" / "elsewhere") in str(error.value)
    assert str(tmp_path / "elsewhere") in str(error.value)
    assert "1 .yaml file" in str(error.value)  # what there is instead


def test_a_list_of_folders_and_lists(folder):
    write_text(folder / "more.txt", "images/val/c.png\n")
    path = write_text(folder / "data.yaml", "train: [images/train, more.txt]\nnc: 2")
    source = FileSource.open(path)

    assert stems(source) == ["a", "b", "c"]
    assert source.names == ("class0", "class1")
    assert stems(FileSource.open([folder / "images" / "val", folder / "more.txt"])) == ["c", "c"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("train: images/train\nnames: [a, b]\nnc: 3", "`nc: 3` but 2 names"),
        ("train: images/train", "add a line such as `names: [cat, dog]`"),
        ("train: images/train\nnames: {0: a, 2: b}", "class 1"),
        ("train: images/train\nnames: a", "`names`"),
        ("train: images/train\nnames: [a, [b]]", "`names`"),
        ("train: images/train\nnc: many", "`nc: many`"),
        ("val: images/val\nnames: [a, b]", "`train:`"),
        ("names: [a, b]", "train, val nor test"),
        ("- train", "list"),
        ("train: [unclosed\nnames: {", "YAML"),
        ("", "NoneType"),
    ],
)
def test_a_data_yaml_that_cannot_be_used(folder, content, says):
    path = write_text(folder / "data.yaml", content)
    with pytest.raises(DatasetError) as error:
        FileSource.open(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_a_split_whose_folder_is_missing_names_what_was_tried(folder):
    path = write_text(folder / "data.yaml", "train: pictures\nnames: [a, b]\ndownload: https://example.org/a.zip")
    with pytest.raises(FileNotFoundError) as error:
        FileSource.open(path)
    assert f"`train: pictures`: there is no {folder / 'pictures'}" in str(error.value)
    assert "the folders images, labels" in str(error.value)
    assert "download" in str(error.value)


# ---------------------------------------------------------------------------------------------------------- folders


def test_a_folder_with_splits(folder):
    assert stems(FileSource.open(folder)) == ["a", "b"]
    assert stems(FileSource.open(folder, "val")) == ["c"]
    assert FileSource.open(folder).names == ("0", "1")  # numbered from the labels
    assert stems(FileSource.open(folder / "images", "val")) == ["c"]
    assert stems(FileSource.open(folder / "images" / "val", "train")) == ["c"]  # the folder itself has no splits
    with pytest.raises(DatasetError, match=r"'test'.*train .*, val "):
        FileSource.open(folder, "test")


def test_names_beside_the_images(folder):
    write_text(folder / "labels" / "classes.txt", "cat\n\nmy dog\n")
    assert FileSource.open(folder).names == ("cat", "my dog")

    write_text(folder / "data.yaml", "names: [tiger, lion]")
    write_text(folder / "labels" / "classes.txt", "")
    assert FileSource.open(folder).names == ("tiger", "lion")
    assert FileSource.open(folder, names=["x", "y"]).names == ("x", "y")

    write_text(folder / "data.yaml", "train: images/val\nnames: [tiger, lion]")
    assert stems(FileSource.open(folder)) == ["c"]  # what the data.yaml says comes first


def test_train_images_and_train_labels(tmp_path):
    write_image(tmp_path / "train" / "images" / "a.jpg")
    write_text(tmp_path / "train" / "labels" / "a.txt", ROW)
    write_image(tmp_path / "valid" / "images" / "b.jpg")

    assert FileSource.open(tmp_path).labels.num_objects == 1
    assert stems(FileSource.open(tmp_path, "val")) == ["b"]


@pytest.mark.parametrize("images", ["pictures", "images", "."])
def test_labels_beside_the_images(tmp_path, images):
    write_image(tmp_path / images / "a.jpg")
    write_text(tmp_path / images / "a.txt", ROW)
    source = FileSource.open(tmp_path)

    assert source.labels.num_objects == 1
    assert not source.report.problems


def test_a_folder_of_images_and_its_sibling_labels(tmp_path):
    write_image(tmp_path / "images" / "deep" / "below" / "ein bild ü.png")
    write_text(tmp_path / "labels" / "deep" / "below" / "ein bild ü.txt", ROW)
    source = FileSource.open(tmp_path)

    assert source.labels.num_objects == 1
    assert source.read(0).shape == (48, 64, 3)


def test_hidden_and_other_files_are_no_images_and_links_are_followed(folder, tmp_path):
    write_text(folder / "images" / "train" / "notes.md", "text")
    write_text(folder / "images" / "train" / "._a.jpg", "left by another system")
    write_image(tmp_path / "elsewhere" / "z.JPG".lower())
    os.symlink(tmp_path / "elsewhere", folder / "images" / "train" / "linked")
    os.symlink(folder / "images" / "train", folder / "images" / "train" / "circle")

    assert stems(FileSource.open(folder)) == ["a", "b", "z"]


def test_missing_and_empty_folders_say_what_was_found(tmp_path):
    write_text(tmp_path / "here" / "notes.md", "text")
    with pytest.raises(FileNotFoundError, match=r"nowhere; .*here"):
        FileSource.open(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"1 \.md file"):
        FileSource.open(tmp_path / "here")
    (tmp_path / "void").mkdir()
    with pytest.raises(DatasetError, match="nothing"):
        FileSource.open(tmp_path / "void")
    with pytest.raises(DatasetError, match=r"data\.yaml"):
        FileSource.open(tmp_path / "here" / "notes.md")
    with pytest.raises(DatasetError, match="train, val, test"):
        FileSource.open(tmp_path, "training set")


# ------------------------------------------------------------------------------------------------------------ lists


def test_a_list_is_read_relative_to_its_folder(folder, tmp_path, monkeypatch):
    absolute = (folder / "images" / "val" / "c.png").absolute()
    lines = ["./images/train/b.png", "", f"  {absolute}  ", "images\\train\\a.jpg"]
    path = folder / "train.txt"
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))

    source = FileSource.open(path)
    assert stems(source) == ["b", "c", "a"]
    assert source.labels.objects_per_image.tolist() == [1, 1, 2]

    monkeypatch.chdir(folder)
    write_text(tmp_path / "lists" / "train.txt", "images/train/b.png")
    assert stems(FileSource.open(tmp_path / "lists" / "train.txt")) == ["b"]  # else from the working folder


def test_an_image_that_a_list_names_in_vain_is_reported_with_its_line(folder):
    path = write_text(folder / "train.txt", "images/train/a.jpg\nimages/train/lost.jpg\n")
    source = FileSource.open(path)

    assert stems(source) == ["a"]
    assert [(problem.path, problem.line) for problem in source.report.problems] == [(str(path), 2)]
    assert "lost.jpg" in source.report.problems[0].message

    write_text(path, "\n\n")
    with pytest.raises(DatasetError, match="blank"):
        FileSource.open(path)
    write_text(path, "lost.jpg\n")
    with pytest.raises(DatasetError, match=r"\b1 images"):
        FileSource.open(path)


# ----------------------------------------------------------------------------------------------------------- checks


def test_images_without_labels_are_notes_and_labels_without_images_are_left_out(folder):
    write_image(folder / "images" / "train" / "unlabelled.png")
    write_text(folder / "labels" / "train" / "renamed.txt", ROW)
    source = FileSource.open(folder)
    kinds = {problem.kind: Path(problem.path).name for problem in source.report.problems}

    assert kinds == {"images without a label file": "unlabelled.png", "label files without an image": "renamed.txt"}
    assert stems(source) == ["a", "b", "unlabelled"]
    assert source.report.counts["background"] == 1
    assert [(problem.kind, problem.note) for problem in source.report.problems] == [
        ("images without a label file", True),
        ("label files without an image", False),
    ]


def test_keypoints_by_kpt_shape_are_said_once(folder):
    write_text(folder / "labels" / "train" / "a.txt", "0 .5 .5 .4 .4 .45 .45 .55 .45 .55 .55 .45 .55\n" * 2)
    content = "train: images/train\nval: images/val\nnames: [cat, dog]\n"
    write_text(folder / "data.yaml", content)
    assert FileSource.open(folder).labels.of(0).polygons[0].shape == (6, 2)

    path = write_text(folder / "data.yaml", f"{content}kpt_shape: [4, 2]\n")
    source = FileSource.open(folder)
    np.testing.assert_allclose(source.labels.of(0).boxes, [[0.5, 0.5, 0.4, 0.4]])
    (note,) = source.report.by_kind()["keypoints not read"]
    assert note.path == str(path)
    assert "[4, 2]" in note.message
    assert not source.report


def test_no_labels_at_all_is_a_problem(tmp_path):
    write_folder(tmp_path, {"a.png": None, "b.png": None})
    report = FileSource.open(tmp_path).report

    assert report
    assert report.by_kind()["labels not found"][0].message.startswith("not one of 2 images has a label file")


def test_a_class_beyond_the_names_is_left_out(folder):
    source = FileSource.open(folder, names=["only"])

    assert source.labels.objects_per_image.tolist() == [1, 0]
    assert len(source.report.problems) == 2
    assert "the only class is 0" in source.report.problems[0].message


def test_nothing_is_written_beside_the_images(folder):
    before = sorted(path for path in folder.rglob("*"))
    FileSource.open(folder).read(0)

    assert sorted(path for path in folder.rglob("*")) == before


def test_the_built_in_sources_come_by_name():
    source = open_source("shapes", "val")

    assert isinstance(source, ImageSource)
    assert len(source) == len(source.paths) == len(source.labels) == len(source.sizes)
    np.testing.assert_array_equal(source.read(3).shape[:2], source.sizes[3])


@pytest.mark.parametrize(
    ("name", "split", "images", "objects", "classes"),
    [
        ("coco8", "train", 4, 13, 80),
        ("coco8", "val", 4, 17, 80),
        ("bccd", "train", 205, 2804, 3),
        ("bccd", "val", 87, 1137, 3),
        ("bccd", "test", 72, 945, 3),
    ],
)
def test_real_datasets(shared, name, split, images, objects, classes):
    source = FileSource.open(shared / "data" / name / "data.yaml", split)
    rows = [len(path.read_text().split("\n")) - 1 for path in (shared / "data" / name / "labels" / split).glob("*.txt")]

    assert len(source) == images
    assert source.labels.num_objects == sum(rows) == objects
    assert len(source.names) == classes
    assert not source.report.problems
    for index in (0, len(source) - 1):
        assert source.read(index).shape == (*source.sizes[index], 3)


def test_an_exported_folder_is_found_after_it_was_moved(tmp_path: Path) -> None:
    """Its data.yaml names no folder but its own; an older one names it in full."""
    export_shapes(tmp_path / "here", ("train",), size=64, count=2)
    file = tmp_path / "here" / "data.yaml"
    assert yaml.safe_load(file.read_text())["path"] == "."
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "data.yaml"
    assert len(open_source(moved)) == 2
    moved.write_text(moved.read_text().replace("path: .", f"path: {file.parent}"))
    assert len(open_source(moved)) == 2


@pytest.mark.parametrize("name", [".", "data.yaml"])
def test_a_copied_folder_is_read_itself(tmp_path: Path, name: str) -> None:
    export_shapes(tmp_path / "here", ("train",), size=64, count=2)
    copy = Path(shutil.copytree(tmp_path / "here", tmp_path / "copy"))
    (copy / "images" / "train" / "000000.jpg").unlink()
    assert len(open_source(copy / name)) == 1
    file = copy / "data.yaml"  # as older versions wrote it
    file.write_text(file.read_text().replace("path: .", f"path: {tmp_path / 'here'}"))
    with pytest.warns(DatasetWarning, match=r"leads to .*here.images.train, which is used, and not to .*copy"):
        assert len(YoloDataset(copy / name, 64)) == 2
