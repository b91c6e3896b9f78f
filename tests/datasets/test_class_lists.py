"""Class names from wherever tools put them: one list for all splits."""

from pathlib import Path

import pytest

from tests.datasets.yolo_folders import write_image, write_text
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import class_names
from yolo_lite.datasets.files.class_lists import agreed, class_lists, folders_above
from yolo_lite.datasets.files.source import FileSource

NAMES = ("dog", "person", "cat")
LIST = "".join(f"{name}\n" for name in NAMES)


def row(cls: int) -> str:
    return f"{cls} .5 .5 .5 .5\n"


def write_splits(root: Path, images: str = "images/{}", labels: str = "labels/{}", lists: str = "", text: str = LIST):
    """Class 2 in train and 1 in val alone, and the class list of each split."""
    for split, cls in (("train", 2), ("val", 1)):
        write_image(root / images.format(split) / f"{split}.jpg")
        write_text(root / labels.format(split) / f"{split}.txt", row(cls))
        if lists:
            write_text(root / lists.format(split), text)
    return root


def test_without_names_the_classes_of_all_splits_are_counted(tmp_path):
    write_splits(tmp_path)
    assert FileSource.open(tmp_path).names == FileSource.open(tmp_path, "val").names == ("0", "1", "2")
    write_text(tmp_path / "labels/train/train.txt", row(0))
    assert FileSource.open(tmp_path).names == ("0", "1")
    write_text(tmp_path / "labels/val/val.txt", "12345678 .5 .5 .5 .5\nx\n")  # a bad row of the other split
    assert FileSource.open(tmp_path).names == ("0",)


@pytest.mark.parametrize(
    "lists",
    [
        "classes.txt",
        "obj.names",
        "coco.names",
        "Classes.txt",
        "class_names.txt",
        "predefined_classes.txt",
        "labels.txt",
        "labels/classes.txt",
        "labels/{}/classes.txt",
        "images/classes.txt",
        "images/{}/classes.txt",
        "images/{}/_darknet.labels",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_where_tools_put_the_list(tmp_path, lists, encoding):
    write_splits(tmp_path, lists=lists)
    for path in [*tmp_path.rglob("*lass*.txt"), *tmp_path.rglob("*.names"), *tmp_path.rglob("*.labels")]:
        path.write_bytes(LIST.replace("\n", "\r\n").replace("cat", "cat ").encode(encoding))
    for split in ("train", "val"):
        source = FileSource.open(tmp_path, split)
        assert source.names == NAMES
        assert not source.report.problems
        assert FileSource.open(tmp_path / "images" / split).names == NAMES


@pytest.mark.parametrize(
    ("images", "labels", "lists"),
    [
        ("{}", "{}", "classes.txt"),
        ("{}", "{}", "{}/classes.txt"),
        ("{}", "{}/labels", "{}/labels/classes.txt"),
        ("{}/images", "{}/labels", "classes.txt"),
        ("{}/images", "{}/labels", "{}/classes.txt"),
        ("{}/images", "{}/labels", "{}/labels/classes.txt"),
        ("{}/images", "{}/labels", "{}/images/classes.txt"),
    ],
)
def test_splits_with_their_own_folders(tmp_path, images, labels, lists):
    write_splits(tmp_path, images, labels, lists)
    assert FileSource.open(tmp_path).names == FileSource.open(tmp_path, "val").names == NAMES


def test_a_list_of_images_has_the_names_of_its_folder_or_of_its_images(tmp_path):
    write_splits(tmp_path)
    path = write_text(tmp_path / "lists" / "train.txt", "../images/train/train.jpg\n")
    assert FileSource.open(path).names == ("0", "1", "2")
    write_text(tmp_path / "labels" / "train" / "classes.txt", LIST)
    assert FileSource.open(path).names == NAMES
    assert class_names(path) == NAMES


def test_lists_that_grow_are_one(tmp_path):
    """labelImg writes a list beside each file, as long as classes were known at the time."""
    write_splits(tmp_path)
    write_text(tmp_path / "labels/train/classes.txt", "dog\nperson\n")
    write_text(tmp_path / "labels/val/classes.txt", LIST)
    assert FileSource.open(tmp_path).names == NAMES


def test_lists_that_contradict_are_an_error_that_names_both_and_the_way_out(tmp_path):
    write_splits(tmp_path)
    first = write_text(tmp_path / "labels/train/classes.txt", LIST)
    second = write_text(tmp_path / "labels/val/classes.txt", "person\ndog\ncat\n")
    for split in ("train", "val"):
        with pytest.raises(DatasetError) as error:
            FileSource.open(tmp_path, split)
        assert str(first) in str(error.value)
        assert str(second) in str(error.value)
        assert "--names" in str(error.value)
        assert FileSource.open(tmp_path, split, names=NAMES).names == NAMES


def test_a_data_yaml_comes_first_and_a_list_that_contradicts_it_is_a_warning_that_names_both(tmp_path):
    write_splits(tmp_path, lists="labels/{}/classes.txt")
    path = write_text(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: [dog, person, cat, cow]\n")
    assert not FileSource.open(tmp_path).report.problems

    write_text(path, "train: images/train\nval: images/val\nnames: [cat, dog, person]\n")
    with pytest.warns(UserWarning, match="class lists that disagree: 2"):
        dataset = YoloDataset(tmp_path, 64)
    assert dataset.names == ("cat", "dog", "person")
    problem = dataset.report.by_kind()["class lists that disagree"][0]
    assert problem.path == str(path)
    assert str(tmp_path / "labels/train/classes.txt") in problem.message
    with pytest.raises(DatasetError):
        YoloDataset(tmp_path, 64, strict=True)


def test_a_data_yaml_without_names_takes_them_from_a_list(tmp_path):
    write_splits(tmp_path, lists="classes.txt")
    path = write_text(tmp_path / "data.yaml", "train: images/train\nval: images/val\n")
    assert FileSource.open(path).names == NAMES
    write_text(path, "train: images/train\nval: images/val\nnc: 3\n")
    assert FileSource.open(path).names == NAMES
    write_text(path, "train: images/train\nval: images/val\nnc: 4\n")
    assert FileSource.open(path).names == ("class0", "class1", "class2", "class3")
    write_text(path, "train: images/train\nval: images/val\nnames: ./classes.txt\n")
    assert FileSource.open(path).names == NAMES
    (tmp_path / "classes.txt").unlink()
    write_text(path, "train: images/train\nval: images/val\n")
    assert FileSource.open(path, names=NAMES).names == NAMES  # no other is needed


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("names: {1: dog, 2: person, 3: cat}", "none for class 0"),
        ("names: {0: dog, 2: cat}", "none for class 1"),
        ("names: [dog, person, cat]\nnc: 2", "`nc: 2` but 3 names"),
        ("names: {dog: 0}", "none for class 0"),
        ("nc: 0", "must be the number of classes"),
        ("names: [dog]\nkpt_shape: 17", "kpt_shape"),
        ("names: [dog]\nkpt_shape: [17, 5]", "kpt_shape"),
    ],
)
def test_names_that_cannot_be_used_name_the_file(tmp_path, said, answer):
    write_splits(tmp_path)
    path = write_text(tmp_path / "data.yaml", f"train: images/train\nval: images/val\n{said}\n")
    with pytest.raises(DatasetError) as error:
        FileSource.open(path)
    assert str(path) in str(error.value)
    assert answer in str(error.value)


@pytest.mark.parametrize(
    ("encoding", "name"), [("gbk", "猫狗"), ("cp1252", "Löwe"), ("cp1251", "кошка"), ("cp932", "猫")]
)
def test_names_in_an_encoding_that_cannot_be_told_name_file_and_line(tmp_path, encoding, name):
    write_splits(tmp_path)
    path = tmp_path / "classes.txt"
    path.write_bytes(f"dog\n{name}\ncat\n".encode(encoding))
    with pytest.raises(DatasetError) as error:
        FileSource.open(tmp_path)
    assert f"{path}:2: " in str(error.value)
    assert "save the file as UTF-8" in str(error.value)
    assert FileSource.open(tmp_path, names=NAMES).names == NAMES

    path.unlink()
    path = tmp_path / "data.yaml"
    path.write_bytes(f"# {name}\ntrain: images/train\nval: images/val\nnames: [dog, {name}, cat]\n".encode(encoding))
    with pytest.raises(DatasetError) as error:
        FileSource.open(tmp_path)
    assert str(path) in str(error.value)
    assert "UTF-8" in str(error.value)
    path.write_bytes(f"# {name}\ntrain: images/train\nval: images/val\nnames: [dog, person, cat]\n".encode(encoding))
    assert FileSource.open(tmp_path).names == NAMES  # a comment has no say


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_a_data_yaml_in_other_encodings(tmp_path, encoding):
    write_splits(tmp_path)
    text = "train: images/train\r\nval: images/val\r\nnames: [dog, Löwe, cat]\r\n"
    (tmp_path / "data.yaml").write_bytes(text.encode(encoding))
    assert FileSource.open(tmp_path).names == ("dog", "Löwe", "cat")


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "cp1251", "utf-8", "utf-16"])
def test_a_list_of_images_in_any_encoding_whose_files_are_there(tmp_path, encoding):
    stem = {"gbk": "猫狗", "cp1251": "кошка"}.get(encoding, "größe")
    write_image(tmp_path / "images" / f"{stem}.jpg")
    write_text(tmp_path / "labels" / f"{stem}.txt", row(0))
    (tmp_path / "train.txt").write_bytes(f"./images/{stem}.jpg\r\nimages/{stem}2.jpg\r\n".encode(encoding))
    source = FileSource.open(tmp_path / "train.txt")
    assert source.labels.num_objects == 1
    assert [problem.line for problem in source.report.problems] == [2]


def test_a_labels_txt_may_be_the_labels_of_an_image(tmp_path):
    write_image(tmp_path / "labels.jpg")
    write_text(tmp_path / "labels.txt", row(1))
    source = FileSource.open(tmp_path)
    assert (source.names, source.labels.num_objects) == (("0", "1"), 1)


def test_sources_that_disagree_are_named(tmp_path):
    for name, text in (("a", "dog\ncat\n"), ("b", "cat\ndog\n"), ("c", "dog\n")):
        write_image(tmp_path / name / "images" / f"{name}.jpg")
        write_text(tmp_path / name / "labels" / f"{name}.txt", row(0))
        write_text(tmp_path / name / "classes.txt", text)
    assert FileSource.open([tmp_path / "a", tmp_path / "c"]).names == ("dog", "cat")
    with pytest.raises(DatasetError, match=r"/a and .*/b"):
        FileSource.open([tmp_path / "a", tmp_path / "b"])


def test_lists_are_looked_for_up_to_the_folder_of_the_dataset_and_no_further(tmp_path):
    assert folders_above(Path("my/pets/images/train"))[-1] == Path("my/pets")
    write_text(tmp_path / "classes.txt", LIST)
    write_image(tmp_path / "pets" / "a.jpg")
    assert FileSource.open(tmp_path / "pets").names == ("0",)
    assert agreed([]) is None
    assert class_lists([tmp_path / "nowhere"]) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("# classes\ndog\nperson\ncat\n", {"comment lines": [1]}),
        ("dog\n  # two more\nperson\n\n# end\ncat\n", {"comment lines": [2, 5]}),
        ("0: dog\n1: person\n2: cat\n", {"class lists read another way": [None]}),
        ("0 dog\n1 person\n2\tcat\n", {"class lists read another way": [None]}),
        ("0,dog\n1,person\n2,cat\n", {"class lists read another way": [None]}),
        ("# id name\n0:'dog'\n1:'person'\n2:'cat'\n", {"comment lines": [1], "class lists read another way": [None]}),
        ("dog, person,cat", {"class lists read another way": [None]}),
        ("['dog', 'person', 'cat']\n", {"class lists read another way": [None]}),
        ("\"dog\"\n'person'\ncat\n", {}),
        ("'dog',\n'person',\n'cat'\n", {}),
    ],
)
@pytest.mark.parametrize("declared", [False, True])
def test_other_ways_to_write_a_list(tmp_path, text, kinds, declared):
    path = write_text(write_splits(tmp_path) / "classes.txt", text)
    if declared:
        write_text(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: classes.txt\n")
    source = FileSource.open(tmp_path)
    assert source.names == NAMES
    assert {kind: [each.line for each in found] for kind, found in source.report.by_kind().items()} == kinds
    assert all(problem.path == str(path) and problem.note for problem in source.report.problems)


@pytest.mark.parametrize(
    "names",
    [
        ("1: dog", "2: cat"),
        ("3 wheeler", "4 wheeler"),
        ("dog's", "'n"),
        ("salt, pepper", "cat"),
        ("C#", "F#"),
        ("0", "1"),
        ("traffic light",),
    ],
)
def test_names_that_only_look_like_another_way(tmp_path, names):
    write_image(tmp_path / "images" / "a.jpg")
    write_text(tmp_path / "labels" / "a.txt", row(0))
    write_text(tmp_path / "classes.txt", "\n".join(names))
    source = FileSource.open(tmp_path)
    assert (source.names, source.report.problems) == (names, ())
