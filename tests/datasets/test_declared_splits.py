"""Exports of labelling tools, as they are: which images are train, val and test, and what is an error."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.datasets.yolo_folders import write_image, write_text
from yolo_lite.data.report import DatasetError
from yolo_lite.datasets.files.source import FileSource

ROW = "0 0.5 0.5 0.5 0.5\n"
SPLITS = {"train": 3, "val": 2, "test": 1}


def pair(image: Path, label: Path | None = None, row: str = ROW) -> None:
    """An image and its labels, beside it where nothing else is said."""
    write_image(image)
    write_text(label or image.with_suffix(".txt"), row)


def names_in(folder: Path, split: str) -> list[str]:
    return sorted(Path(path).name for path in FileSource.open(folder, split).paths)


def expect_splits(folder: Path, classes: Iterable[str] = ("cat",), splits: Iterable[str] = ("train", "val")) -> None:
    """Images train0, train1 ... are train and those alone; every image has its label, none is left out."""
    for split in splits:
        source = FileSource.open(folder, split)
        assert sorted(Path(path).stem for path in source.paths) == [f"{split}{n}" for n in range(SPLITS[split])]
        assert source.labels.objects_per_image.tolist() == [1] * SPLITS[split]
        assert source.names == tuple(classes)
        assert not source.report, source.report


def cvat_yolo(root: Path, prefix: str = "data/") -> Path:
    """CVAT, "YOLO 1.1"."""
    for split, folder, said in (("train", "obj_train_data", "train"), ("val", "obj_valid_data", "valid")):
        for number in range(SPLITS[split]):
            pair(root / folder / f"{split}{number}.jpg")
        lines = [f"{prefix}{folder}/{split}{number}.jpg" for number in range(SPLITS[split])]
        write_text(root / f"{said}.txt", "\n".join(lines))
    write_text(root / "obj.names", "cat\n")
    said = "classes = 1\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
    write_text(root / "obj.data", said)
    return root


@pytest.mark.parametrize("root", ["export", "data"])
def test_cvat_yolo(tmp_path, root):
    folder = cvat_yolo(tmp_path / root)
    expect_splits(folder)
    expect_splits(folder / "obj.data")
    assert len(FileSource.open(folder / "valid.txt")) == 2
    assert FileSource.open(folder / "train.txt").names == ("cat",)
    with pytest.raises(DatasetError, match=r"obj\.data: .*`test:`.*train, val"):
        FileSource.open(folder, "test")


def test_cvat_yolo_with_one_subset_has_no_validation(tmp_path):
    folder = cvat_yolo(tmp_path)
    write_text(folder / "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    shutil.rmtree(folder / "obj_valid_data")
    assert len(FileSource.open(folder)) == 3
    with pytest.raises(DatasetError, match=r"`val:`.*train"):
        FileSource.open(folder, "val")


def test_lists_declare_splits_without_obj_data_too(tmp_path):
    folder = cvat_yolo(tmp_path)
    (folder / "obj.data").unlink()
    expect_splits(folder)
    for said in ("train", "valid"):
        text = (folder / f"{said}.txt").read_text()
        write_text(folder / f"{said}.txt", text.replace(f"obj_{said}_data", "pictures"))
    (folder / "obj_train_data").rename(folder / "pictures")
    for path in (folder / "obj_valid_data").iterdir():
        path.rename(folder / "pictures" / path.name)
    (folder / "obj_valid_data").rmdir()
    expect_splits(folder)
    (folder / "valid.txt").unlink()
    with pytest.raises(DatasetError, match=r"'val'.*train\.txt"):
        FileSource.open(folder, "val")


def test_obj_data_with_names_that_are_not_there_says_so(tmp_path):
    folder = cvat_yolo(tmp_path)
    (folder / "obj.names").unlink()
    report = FileSource.open(folder).report
    assert report.by_kind()["class names not found"][0].path == str(folder / "obj.data")
    assert report


def test_cvat_ultralytics(tmp_path):
    for split in ("train", "val"):
        for number in range(SPLITS[split]):
            pair(
                tmp_path / "images" / split / f"{split}{number}.jpg",
                tmp_path / "labels" / split / f"{split}{number}.txt",
            )
        lines = [f"data/images/{split}/{split}{number}.jpg" for number in range(SPLITS[split])]
        write_text(tmp_path / f"{split}.txt", "\n".join(lines))
    write_text(tmp_path / "data.yaml", "names:\n  0: cat\npath: .\ntrain: train.txt\nval: val.txt\n")
    expect_splits(tmp_path)


@pytest.mark.parametrize("prefix", ["../", "football-players-1/", "", "/content/football-1/", "C:\\data\\f-1\\"])
def test_roboflow_yolo(tmp_path, prefix):
    for split, said in (("train", "train"), ("val", "valid"), ("test", "test")):
        for number in range(SPLITS[split]):
            name = f"{split}{number}"
            pair(tmp_path / said / "images" / f"{name}.jpg", tmp_path / said / "labels" / f"{name}.txt")
    write_text(tmp_path / "README.roboflow.txt", "Provided by a user\n")
    text = "".join(f"{key}: {prefix}{said}/images\n" for key, said in (("train", "train"), ("val", "valid")))
    write_text(
        tmp_path / "data.yaml", f"{text}test: ../test/images\n\nnc: 1\nnames: ['cat']\nroboflow:\n  version: 1\n"
    )
    expect_splits(tmp_path, splits=SPLITS)


def test_roboflow_darknet(tmp_path):
    for split, said in (("train", "train"), ("val", "valid"), ("test", "test")):
        for number in range(SPLITS[split]):
            pair(tmp_path / said / f"{split}{number}.jpg")
        write_text(tmp_path / said / "_darknet.labels", "cat\n")
    expect_splits(tmp_path, splits=SPLITS)


def test_label_studio(tmp_path):
    for number in range(3):
        pair(tmp_path / "images" / f"a{number}.jpg", tmp_path / "labels" / f"a{number}.txt")
    write_text(tmp_path / "notes.json", '{"categories": [{"id": 0, "name": "cat"}], "info": {"version": "1.0"}}')
    assert FileSource.open(tmp_path).names == ("cat",)  # and of classes.txt, which it has besides
    write_text(tmp_path / "classes.txt", "cat\n")
    source = FileSource.open(tmp_path)
    assert (source.names, len(source), source.report.problems) == (("cat",), 3, ())


def test_label_studio_without_images_says_what_there_is(tmp_path):
    write_text(tmp_path / "labels" / "a.txt", ROW)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="images: "):
        FileSource.open(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("{}/images", "{}/labels"),
        ("images/{}", "labels/{}"),
        ("{}", "{}"),
        ("Images/{}", "Labels/{}"),
        ("IMAGES/{}", "LABELS/{}"),
        ("Images/{}", "labels/{}"),
        ("images/{}", "LABELS/{}"),
        ("images/{}", "labels"),
        ("{}", "{}/labels"),
        ("{}", "labels/{}"),
        ("images/{}2017", "labels/{}2017"),
        ("archive/my data/{}/images", "archive/my data/{}/labels"),
        ("archive/images/images/{}", "archive/images/labels/{}"),
        ("images/{}/images", "labels/{}/images"),
        ("größe ü/{}/images", "größe ü/{}/labels"),
        ("obj_{}_data", "obj_{}_data"),
    ],
)
@pytest.mark.parametrize("written", ["train val test", "Train Valid Test", "training validation testing"])
def test_splits_by_the_names_of_folders(tmp_path, images, labels, written):
    for split, said in zip(SPLITS, written.split(), strict=True):
        for number in range(SPLITS[split]):
            name = f"{split}{number}"
            pair(tmp_path / images.format(said) / f"{name}.jpg", tmp_path / labels.format(said) / f"{name}.txt")
    write_text(tmp_path / "classes.txt", "cat\n")
    if images.startswith(("archive", "größe")):  # the folder that holds the dataset is not the dataset
        (tmp_path / "classes.txt").rename(tmp_path / images.partition("/{}")[0] / "classes.txt")
    expect_splits(tmp_path, splits=SPLITS)


def test_two_folders_of_one_split_are_said(tmp_path):
    pair(tmp_path / "train" / "a.jpg")
    pair(tmp_path / "val" / "b.jpg")
    pair(tmp_path / "valid" / "c.jpg")
    source = FileSource.open(tmp_path, "val")
    assert names_in(tmp_path, "val") == ["b.jpg"]
    assert source.report
    assert source.report.by_kind()["folders left out"][0].path == str(tmp_path / "valid")


def test_several_datasets_in_one_folder_are_not_mixed(tmp_path):
    for name in ("cats", "dogs"):
        pair(tmp_path / name / "train" / "images" / "a.jpg", tmp_path / name / "train" / "labels" / "a.txt")
    with pytest.raises(DatasetError, match=r"cats, .*dogs"):
        FileSource.open(tmp_path)


def test_what_a_training_leaves_beside_the_images_is_no_dataset(tmp_path):
    pair(tmp_path / "images" / "deep" / "a.jpg", tmp_path / "labels" / "deep" / "a.txt")
    write_image(tmp_path / "runs" / "train" / "batch.jpg")
    assert names_in(tmp_path, "train") == ["a.jpg"]


def test_validation_that_is_only_a_folder_beside_a_data_yaml_is_noted(tmp_path):
    pair(tmp_path / "train" / "images" / "a.jpg", tmp_path / "train" / "labels" / "a.txt")
    pair(tmp_path / "valid" / "images" / "b.jpg", tmp_path / "valid" / "labels" / "b.txt")
    write_text(tmp_path / "data.yaml", "train: train/images\nval:\nnames: [cat]\n")
    source = FileSource.open(tmp_path, "val")
    assert [Path(path).name for path in source.paths] == ["b.jpg"]
    assert source.report.problems[0].path == str(tmp_path / "data.yaml")
    with pytest.raises(DatasetError, match=r"`val:`.*train"):
        FileSource.open(tmp_path / "data.yaml", "val")
    with pytest.raises(DatasetError, match=r"`test:`.*train"):
        FileSource.open(tmp_path, "test")


def test_a_split_without_images_is_an_error(tmp_path):
    pair(tmp_path / "train" / "images" / "a.jpg", tmp_path / "train" / "labels" / "a.txt")
    (tmp_path / "valid" / "images").mkdir(parents=True)
    write_text(tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat]\n")
    with pytest.raises(DatasetError, match="images: "):
        FileSource.open(tmp_path, "val")


def test_a_test_split_without_labels_is_background_and_said(tmp_path):
    pair(tmp_path / "train" / "images" / "a.jpg", tmp_path / "train" / "labels" / "a.txt")
    write_image(tmp_path / "test" / "images" / "b.jpg")
    report = FileSource.open(tmp_path, "test").report
    assert report.counts["images without a label file"] == 1
    assert "labels not found" in report.counts


# ------------------------------------------------------------------------------------------------- other .yaml files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docker-compose.yaml", "services:\n  web:\n    image: nginx\n"),
        ("hyp.yaml", "lr0: 0.01\nmosaic: 1.0\n"),
        ("yolov5n.yaml", "nc: 80\nanchors: 3\nbackbone:\n  [[-1, 1, Conv, [64, 6, 2, 2]]]\nhead: []\n"),
        ("dvc.yaml", "stages:\n  train:\n    cmd: python train.py\n"),
        ("params.yaml", "train: {epochs: 3}\nval: 0.2\n"),
        ("args.yaml", "task: detect\ndata: coco8.yaml\nval: true\nsplit: val\n"),
        ("ci.yml", "test: pytest -q\ntrain: python train.py\n"),
        ("broken.yaml", "{{ template }}: [\n"),
        ("tabs.yaml", "a:\n\t- b\n"),
        ("two.yaml", "a: 1\n---\nb: 2\n"),
        ("list.yaml", "- a\n- b\n"),
        ("empty.yaml", ""),
        ("binary.yaml", "\0\x01\x02"),
        ("tag.yaml", "!!python/object:os.system [a]\n"),
        ("environment.yml", "name: lab\ndependencies: [python]\n"),
    ],
)
@pytest.mark.parametrize("layout", ["images", "train", "data.yaml"])
def test_a_foreign_yaml_beside_the_data_changes_nothing(tmp_path, name, text, layout):
    pair(tmp_path / "train" / "images" / "train0.jpg", tmp_path / "train" / "labels" / "train0.txt")
    if layout == "images":
        (tmp_path / "train" / "images").rename(tmp_path / "images")
        (tmp_path / "train" / "labels").rename(tmp_path / "labels")
    if layout == "data.yaml":
        write_text(tmp_path / "data.yaml", "train: train/images\nnames: [cat]\n")
    write_text(tmp_path / name, text)
    source = FileSource.open(tmp_path)
    assert source.names == (("cat",) if layout == "data.yaml" else ("0",))
    assert source.labels.num_objects == 1
    assert not source.report.problems


def test_a_dataset_yaml_of_any_name_is_found(tmp_path):
    pair(tmp_path / "pictures" / "a.jpg")
    write_text(tmp_path / "pets.yaml", "train: pictures\nval: pictures\nnames: [cat]\n")
    write_text(tmp_path / "hyp.yaml", "lr0: 0.01\n")
    assert FileSource.open(tmp_path, "val").names == ("cat",)
    write_text(tmp_path / "other.yaml", "train: pictures\nval: pictures\nnames: [dog]\n")
    with pytest.raises(DatasetError, match=r"other\.yaml and .*pets\.yaml"):
        FileSource.open(tmp_path)
    write_text(tmp_path / "data.yaml", "train: pictures\nval: pictures\nnames: [cow]\n")
    assert FileSource.open(tmp_path).names == ("cow",)


@pytest.mark.parametrize(
    "text", ["train: [\nnames: {", "train: images\n\tval: x\n", "val: true\ntrain: images\nnames: [a]"]
)
def test_a_data_yaml_that_cannot_be_read_is_an_error_and_not_passed_over(tmp_path, text):
    pair(tmp_path / "images" / "a.jpg", tmp_path / "labels" / "a.txt")
    write_text(tmp_path / "data.yaml", text)
    with pytest.raises(DatasetError, match=r"data\.yaml: "):
        FileSource.open(tmp_path)


# ----------------------------------------------------------------------------------------- paths of another machine


def dataset(root: Path) -> Path:
    for split in ("train", "val"):
        for number in range(SPLITS[split]):
            name = f"{split}{number}"
            pair(root / "images" / split / f"{name}.jpg", root / "labels" / split / f"{name}.txt")
    return root


@pytest.mark.parametrize(
    ("path", "before"),
    [
        (None, "/content/drive/MyDrive/pets/"),
        (None, "D:\\data\\pets\\"),
        (None, "C:/Users/me/Desktop/pets/"),
        (None, "\\\\server\\share\\pets\\"),
        (None, "../datasets/pets/"),
        (None, "./pets/"),
        (None, "~/pets/"),
        ("../datasets/pets", ""),
        ("/kaggle/input/pets", ""),
        ("/kaggle/input/pets/", "./"),
        ("D:\\data\\pets", ""),
        ("pets", ""),
        ("datasets/pets", ""),
        ("/train/pets", ""),
        ("/x", "../"),
    ],
)
@pytest.mark.parametrize("is_list", [False, True])
def test_the_end_of_a_path_of_another_machine_is_looked_for_beside_the_data_yaml(tmp_path, path, before, is_list):
    root = dataset(tmp_path / "here")
    text = f"path: {path}\n" if path else ""
    turn = "\\" if "\\" in before else "/"
    for split in ("train", "val"):
        value = f"{before}images{turn}{split}"
        text += f"{split}: {[value] if is_list else value}\n"
    write_text(root / "data.yaml", f"{text}names: [cat]\n")
    expect_splits(root)
    expect_splits(root / "data.yaml")
    notes = FileSource.open(root, "val").report.by_kind()["paths found elsewhere"]
    assert len(notes) == 1
    assert notes[0].path == str(root / "data.yaml")
    assert str(root) in notes[0].message  # what was taken


def test_letters_of_another_size_are_found_too(tmp_path):
    root = dataset(tmp_path)
    write_text(root / "data.yaml", "train: Images/Train\nval: Images/Val\nnames: [cat]\n")
    expect_splits(root)


@pytest.mark.parametrize("train", ["/content/pets/train/images", "D:\\pets\\train\\images", "pets/train"])
def test_what_tells_splits_apart_is_never_dropped(tmp_path, train):
    """There is an images, but no train/images: val would silently be train."""
    pair(tmp_path / "images" / "a.jpg", tmp_path / "labels" / "a.txt")
    write_text(tmp_path / "data.yaml", f"train: {train}\nval: {train.replace('train', 'valid')}\nnames: [cat]\n")
    for split in ("train", "val"):
        with pytest.raises(FileNotFoundError, match="there is no "):
            FileSource.open(tmp_path, split)


def test_lists_of_another_machine(tmp_path):
    root = dataset(tmp_path / "here")
    for split, before in (("train", "/home/somebody/pets/"), ("val", "D:\\pets\\")):
        turn = before[-1]
        lines = [f"{before}images{turn}{split}{turn}{split}{number}.jpg" for number in range(SPLITS[split])]
        write_text(root / "lists" / f"{split}.txt", "\r\n".join(lines))
    write_text(root / "data.yaml", "path: /x/pets\ntrain: lists/train.txt\nval: lists/val.txt\nnames: [cat]\n")
    expect_splits(root)
    notes = FileSource.open(root).report.by_kind()["paths found elsewhere"]
    assert [(Path(note.path).name, note.line) for note in notes] == [("data.yaml", None), ("train.txt", 1)]
    assert "3 lines" in notes[1].message

    write_text(root / "lists" / "train.txt", "/y/images/train/lost.jpg\n/y/images/train/train0.jpg\n")
    report = FileSource.open(root).report
    assert [problem.line for problem in report.by_kind()["images left out"]] == [1]


def test_absolute_paths_and_the_same_image_twice(tmp_path):
    root = dataset(tmp_path)
    image = (root / "images/train/train0.jpg").absolute()
    path = write_text(root / "list.txt", f"{image}\nimages/val/val0.jpg\n{image}\n")
    report = FileSource.open(path).report
    assert report.images == 3
    assert [(problem.line, problem.note) for problem in report.by_kind()["images named twice"]] == [(3, True)]


def test_patterns(tmp_path):
    for camera in ("left", "right"):
        pair(tmp_path / "images" / camera / "train" / "a.jpg", tmp_path / "labels" / camera / "train" / "a.txt")
    write_text(tmp_path / "data.yaml", "train: images/*/train\nval: images/left/train/*.jpg\nnames: [cat]\n")
    assert len(FileSource.open(tmp_path)) == 2
    source = FileSource.open(tmp_path, "val")
    assert (len(source), source.labels.num_objects) == (1, 1)


def test_linked_folders_and_a_link_to_nowhere(tmp_path):
    dataset(tmp_path / "elsewhere")
    root = tmp_path / "here"
    root.mkdir()
    for name in ("images", "labels"):
        os.symlink(tmp_path / "elsewhere" / name, root / name)
    os.symlink(tmp_path / "nowhere.jpg", tmp_path / "elsewhere" / "images" / "val" / "lost.jpg")
    write_text(root / "classes.txt", "cat\n")
    expect_splits(root, splits=("train",))
    source = FileSource.open(root, "val")
    assert len(source) == 2
    assert [Path(problem.path).name for problem in source.report.problems] == ["lost.jpg"]


def test_a_list_of_images_in_python(tmp_path):
    root = dataset(tmp_path)
    source = FileSource.open([root / "images/train/train0.jpg", str(root / "images/val/val1.jpg")], names=["cat"])
    assert source.labels.objects_per_image.tolist() == [1, 1]
    with pytest.raises(DatasetError, match="list"):
        FileSource.open([])
    with pytest.raises(FileNotFoundError):
        FileSource.open([root / "images/train/train0.jpg", root / "images/train/lost.jpg"])


def test_lists_of_names_alone(tmp_path):
    for number in range(3):
        pair(tmp_path / "images" / f"a{number}.jpg", tmp_path / "labels" / f"a{number}.txt")
    for lines in (("a0.jpg\na1.jpg", "a2.jpg"), ("a0\na1\n", "a2\n"), ('"images/a0.jpg"\nimages/a1\n', "images/a2")):
        for split, text in zip(("train", "val"), lines, strict=True):
            write_text(tmp_path / f"{split}.txt", text)
        assert [names_in(tmp_path, split) for split in ("train", "val")] == [["a0.jpg", "a1.jpg"], ["a2.jpg"]]


def test_a_train_txt_may_be_the_labels_of_an_image(tmp_path):
    pair(tmp_path / "train.jpg")
    pair(tmp_path / "other.jpg")
    assert FileSource.open(tmp_path).labels.objects_per_image.tolist() == [1, 1]


def test_images_outside_the_splits_are_said(tmp_path):
    for name in ("train/images/a.jpg", "train/b.jpg", "val/c.jpg", "d.jpg", "more/e.jpg", "runs/f.jpg"):
        write_image(tmp_path / name)
    report = FileSource.open(tmp_path).report.by_kind()
    assert [Path(problem.path).name for problem in report["folders left out"]] == ["train"]
    outside = report["folders outside the splits"]
    assert [(Path(problem.path), problem.note) for problem in outside] == [
        (tmp_path, True),
        (tmp_path / "more", True),
    ]


def test_images_beside_a_dataset_are_not_mixed_with_it(tmp_path):
    write_image(tmp_path / "a.jpg")
    for name in ("sub/train/b.jpg", "sub/val/c.jpg"):
        write_image(tmp_path / name)
    with pytest.raises(DatasetError, match=r"sub"):
        FileSource.open(tmp_path)
    assert names_in(tmp_path / "sub", "val") == ["c.jpg"]


def test_a_name_of_two_classes_is_noted(tmp_path):
    pair(tmp_path / "images" / "a.jpg", tmp_path / "labels" / "a.txt")
    write_text(tmp_path / "data.yaml", "train: images\nval: images\nnames: [cat, dog, cat]\n")
    source = FileSource.open(tmp_path)
    assert source.names == ("cat", "dog", "cat")
    assert "cat" in source.report.by_kind()["class names given twice"][0].message


def test_a_folder_without_splits_is_all_of_them_and_says_so(tmp_path):
    for number in range(2):
        pair(tmp_path / "pets" / "images" / f"a{number}.jpg", tmp_path / "pets" / "labels" / f"a{number}.txt")
    assert not FileSource.open(tmp_path / "pets").report.problems
    report = FileSource.open(tmp_path / "pets", "val").report
    assert report.images == 2
    assert [(problem.kind, problem.note) for problem in report.problems] == [("no splits", True)]
    (tmp_path / "pets").rename(tmp_path / "val")
    assert not FileSource.open(tmp_path / "val", "val").report.problems  # it is the split itself


# ------------------------------------------------------------------------- the working folder, and two of one meaning


@pytest.mark.parametrize("place", ["", "pets"])
@pytest.mark.parametrize(
    "text", ["path: pets\ntrain: images/train", "train: pets/images/train", "path: /x/pets\ntrain: images/train"]
)
def test_what_lies_beside_the_data_yaml_comes_before_the_working_folder(tmp_path, monkeypatch, text, place):
    root = dataset(tmp_path / "here")
    dataset(tmp_path / "working" / place)
    monkeypatch.chdir(tmp_path / "working")
    write_text(root / "data.yaml", f"{text}\nnames: [cat]\n")
    source = FileSource.open(root)
    assert {Path(path).parent for path in source.paths} == {root / "images" / "train"}
    (note,) = source.report.by_kind()["paths found elsewhere"]
    assert str(root) in note.message


@pytest.mark.parametrize(
    "text", ["path: pets\ntrain: images/train", "train: pets/images/train", "train: pets/images/t*"]
)
def test_the_working_folder_comes_last_and_is_said(tmp_path, monkeypatch, text):
    (tmp_path / "configs").mkdir()
    path = write_text(tmp_path / "configs" / "pets.yaml", f"{text}\nnames: [cat]\n")
    root = dataset(tmp_path / "working" / "pets")
    monkeypatch.chdir(root.parent)
    source = FileSource.open(path)
    assert {Path(each).parent for each in source.paths} == {root / "images" / "train"}
    (note,) = source.report.by_kind()["paths found elsewhere"]
    assert (note.path, note.note) == (str(path), True)
    assert "working folder" in note.message
    assert str(root / "images" / "train") in note.message


def test_a_names_file_of_the_working_folder_comes_last_and_is_said(tmp_path, monkeypatch):
    root = cvat_yolo(tmp_path / "here")
    write_text(tmp_path / "working" / "data" / "obj.names", "dog\n")
    monkeypatch.chdir(tmp_path / "working")
    assert FileSource.open(root).names == ("cat",)
    (root / "obj.names").unlink()
    source = FileSource.open(root)
    assert source.names == ("dog",)
    notes = source.report.by_kind()["paths found elsewhere"]
    (note,) = [note for note in notes if "names: data/obj.names" in note.message]
    assert "working folder" in note.message
    assert str(tmp_path / "working" / "data" / "obj.names") in note.message


@pytest.mark.parametrize(("path", "taken"), [("", "inside"), ("path: .\n", "inside"), ("path: sub\n", "outside")])
def test_two_exports_side_by_side(tmp_path, path, taken):
    """../train/images of an export: the folder of its data.yaml, unless path: says where to begin."""
    root = tmp_path / "inside"
    base = root / "sub" if "sub" in path else root
    inside, outside = base / "train" / "images", base.parent / "train" / "images"
    for number, place in enumerate((inside, outside)):
        pair(place / f"{number}.jpg", place.parent / "labels" / f"{number}.txt")
    write_text(root / "data.yaml", f"{path}train: ../train/images\nnames: [cat]\n")
    source = FileSource.open(root)
    place, other = (inside, outside) if taken == "inside" else (outside, inside)
    assert Path(source.paths[0]).resolve().parent == place
    (note,) = source.report.by_kind()["paths with two meanings"]
    assert (note.path, note.note) == (str(root / "data.yaml"), True)
    assert place != other
    assert note.message.index(str(place)) < note.message.index(str(other))
    assert str(other) in note.message


def test_what_is_not_there_is_told_with_what_lies_beside_the_data_yaml(tmp_path):
    pair(tmp_path / "pictures" / "a.jpg")
    path = write_text(tmp_path / "data.yaml", "train: /content/pets/train\nval: /content/pets/val\nnames: [cat]\n")
    with pytest.raises(FileNotFoundError) as error:
        FileSource.open(path)
    assert f"{tmp_path} has 1 .yaml file, the folders pictures" in str(error.value)
    with pytest.raises(FileNotFoundError) as error:
        FileSource.open("/no-such-folder/pets")
    assert "; / has" not in str(error.value)


# --------------------------------------------------------------------------------------------------- said twice


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("train: images\nnames: {0: cat, 0: dog}\n", "0", 2),
        ("train: images\nnames:\n  0: cat\n  1: dog\n  '1': cow\n", "1", 5),
        ("train: images\nnames: [cat]\ntrain: images\n", "train", 3),
        ("train: images\nnames: [cat]\nnames: [dog]\n", "names", 3),
        ("train: images\nnc: 1\nnames: [cat]\nnc: 2\n", "nc", 4),
    ],
)
def test_a_key_that_is_there_twice_names_the_line(tmp_path, text, key, line):
    pair(tmp_path / "images" / "a.jpg", tmp_path / "labels" / "a.txt")
    path = write_text(tmp_path / "data.yaml", text)
    for source in (tmp_path, path):
        with pytest.raises(DatasetError) as error:
            FileSource.open(source)
        assert str(error.value).startswith(f"{path}:{line}: ")
        assert f"`{key}:`" in str(error.value)


def test_a_foreign_yaml_with_a_key_twice_changes_nothing(tmp_path):
    pair(tmp_path / "images" / "a.jpg", tmp_path / "labels" / "a.txt")
    write_text(tmp_path / "params.yaml", "train: {epochs: 3}\ntrain: {epochs: 4}\n")
    assert not FileSource.open(tmp_path).report.problems


def test_an_obj_data_that_contradicts_itself(tmp_path):
    folder = cvat_yolo(tmp_path)
    text = (folder / "obj.data").read_text()
    path = write_text(folder / "obj.data", text.replace("classes = 1", "classes = 3"))
    with pytest.raises(DatasetError) as error:
        FileSource.open(folder)
    assert f"{path}: `classes = 3` but 1 name in {folder / 'obj.names'}" in str(error.value)
    write_text(path, f"{text}train = data/valid.txt\n")
    with pytest.raises(DatasetError, match=r"obj\.data:6: `train = data/valid\.txt`"):
        FileSource.open(folder)
