"""Annotation files as tools write them: crowds, groups, names of other machines, folders of all kinds, turned pictures.

Each is read right, or left out and counted, or refused with a sentence; never is a dataset of nothing a success.
"""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.datasets.annotated import (
    HEIGHT,
    WIDTH,
    annotation,
    coco,
    converted,
    image_sets,
    messages,
    rows,
    voc,
    voc_object,
    write_image,
)
from yolo_lite.cli import main
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import open_source
from yolo_lite.datasets.convert import convert_coco, convert_voc
from yolo_lite.images.headers import image_size, read_header
from yolo_lite.images.reading import read_image

BOX = [0, 0.2, 25 / 60, 0.2, 0.5]  # annotation(1) as a row
MASK = {"counts": [1552, 32, 4560], "size": [60, 100]}


def entry(**fields: Any) -> dict[str, Any]:
    return {"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT} | fields


def placed(folder: Path, split: str = "train") -> list[str]:
    """The images of a converted dataset."""
    base = folder / "images" / split
    return sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


# ---- crowds ---------------------------------------------------------------------------------------------------------


def test_a_dataset_of_crowds_alone_is_refused_and_kept_on_request(tmp_path: Path) -> None:
    content = coco(annotations=[annotation(1, segmentation=MASK, iscrowd=1)])
    with pytest.raises(DatasetError, match=r"\b1 annotations") as refused:
        converted(tmp_path, content)
    assert refused.value.report is not None
    assert refused.value.report.counts["crowd regions left out"] == 1
    assert "--crowd keep" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    report, out = converted(tmp_path, content, crowd="keep")
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert not report
    assert messages(report, "annotations changed") == [
        "annotation 1: a crowd; its box is written, and counts as an object"
    ]


def test_crowds_that_are_left_out_fail_strict_unless_that_was_asked_for(tmp_path: Path) -> None:
    content = coco(annotations=[annotation(1), annotation(2, segmentation=MASK, iscrowd=1)])
    path = written(tmp_path / "in" / "a.json", content)
    write_image(tmp_path / "in" / "a.jpg")
    assert main(["convert", "coco", str(path), str(tmp_path / "one")]) == 0
    assert main(["convert", "coco", str(path), str(tmp_path / "two"), "--strict"]) == 1
    assert main(["convert", "coco", str(path), str(tmp_path / "three"), "--strict", "--crowd", "drop"]) == 0
    assert main(["convert", "coco", str(path), str(tmp_path / "four"), "--strict", "--crowd", "keep"]) == 0
    assert [len(rows(tmp_path / name)) for name in ("one", "two", "three", "four")] == [1, 1, 1, 2]
    with pytest.raises(ValueError, match="keep, drop"):
        convert_coco(path, tmp_path / "five", crowd="yes")


@pytest.mark.parametrize(("flag", "kept"), [(0, 1), ("0", 1), (None, 1), (False, 1), (1, 0), ("1", 0), (True, 0)])
def test_crowd_flags_in_other_types(tmp_path: Path, flag: Any, kept: int) -> None:
    _, out = converted(tmp_path, coco(annotations=[annotation(1, iscrowd=flag), annotation(2)]))
    assert len(rows(out)) == kept + 1


# ---- categories -----------------------------------------------------------------------------------------------------


def test_a_category_that_groups_others_is_dropped(tmp_path: Path) -> None:
    groups = [{"id": 0, "name": "animals", "supercategory": "none"}]
    groups += [
        {"id": 1, "name": "cat", "supercategory": "animals"},
        {"id": 2, "name": "dog", "supercategory": "animals"},
    ]
    report, out = converted(tmp_path, coco(categories=groups, annotations=[annotation(1) | {"category_id": 2}]))
    assert open_source(out).names == ("cat", "dog")
    assert rows(out)[0][0] == 1
    assert not report
    (message,) = messages(report, "categories dropped")
    assert "category 0 ('animals')" in message
    assert "cat, dog" in message


def test_a_grouping_category_called_as_its_only_member(tmp_path: Path) -> None:
    groups = [{"id": 0, "name": "helmet", "supercategory": "none"}]
    groups += [{"id": 1, "name": "helmet", "supercategory": "helmet"}]
    _, out = converted(tmp_path, coco(categories=groups, annotations=[annotation(1) | {"category_id": 1}]))
    assert open_source(out).names == ("helmet",)
    assert rows(out)[0][0] == 0


def test_a_grouping_category_that_is_used_is_a_class(tmp_path: Path) -> None:
    groups = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 3, "name": "cat", "supercategory": "animals"},
    ]
    _, out = converted(
        tmp_path, coco(categories=groups, annotations=[annotation(1), annotation(2) | {"category_id": 0}])
    )
    assert open_source(out).names == ("animals", "cat")


def test_one_split_that_uses_a_grouping_category_keeps_it(tmp_path: Path) -> None:
    groups = [{"id": 0, "name": "animals", "supercategory": ""}, {"id": 3, "name": "cat", "supercategory": "animals"}]
    write_image(tmp_path / "a.jpg")
    train = written(tmp_path / "train.json", coco(categories=groups, annotations=[annotation(1)]))
    val = written(tmp_path / "val.json", coco(categories=groups, annotations=[annotation(1) | {"category_id": 0}]))
    convert_coco({"train": train, "val": val}, tmp_path / "out")
    assert open_source(tmp_path / "out").names == ("animals", "cat")


@pytest.mark.parametrize(
    "categories",
    [
        [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 3, "name": "cat", "supercategory": "animal"}],
        [{"id": 1, "name": "a", "supercategory": "cat"}, {"id": 3, "name": "cat", "supercategory": "a"}],
    ],
    ids=["its own supercategory", "each groups the other"],
)
def test_what_is_no_grouping_category(tmp_path: Path, categories: list[dict[str, Any]]) -> None:
    _, out = converted(tmp_path, coco(categories=categories, annotations=[annotation(1)]))
    assert "cat" in open_source(out).names
    assert rows(out)[0][0] == len(open_source(out).names) - 1


def test_two_categories_of_one_name(tmp_path: Path) -> None:
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}, {"id": 9, "name": " cat "}]
    content = coco(categories=categories, annotations=[annotation(1), annotation(2) | {"category_id": 9}])
    with pytest.raises(DatasetError, match=r"\b2 categories.*'cat' \(ids 3, 9\).*--merge-names"):
        converted(tmp_path, content)
    _, out = converted(tmp_path, content, merge_names=True)
    assert open_source(out).names == ("cat", "dog")
    assert [row[0] for row in rows(out)] == [0, 0]


def test_one_id_with_two_names_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"category 3.*'dog'.*'cat'"):
        converted(tmp_path, coco(categories=[{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]))
    assert converted(tmp_path, coco(categories=[{"id": 3, "name": "cat"}] * 2))[0].images == 1


@pytest.mark.parametrize(
    "category", [{"id": 3}, {"id": 3, "name": None}, {"id": 3, "name": " "}, {"name": "x"}], ids=str
)
def test_a_category_without_id_or_name(tmp_path: Path, category: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"\b2\b"):
        converted(tmp_path, coco(categories=[{"id": 1, "name": "cat"}, category]))


@pytest.mark.parametrize(("first", "second"), [(3, "3"), ("3", 3), (3.0, 3), ("c-3", "c-3")])
def test_ids_of_other_types(tmp_path: Path, first: Any, second: Any) -> None:
    content = coco(
        categories=[{"id": "c-1" if first == "c-3" else 1, "name": "dog"}, {"id": first, "name": "cat"}],
        images=[entry(id=first)],
        annotations=[{"id": 1, "image_id": second, "category_id": second, "bbox": [10, 10, 20, 30]}],
    )
    report, out = converted(tmp_path, content)
    assert not report
    assert rows(out) == [pytest.approx([1, *BOX[1:]], abs=1e-6)]


# ---- annotations ----------------------------------------------------------------------------------------------------

GOOD = {
    "no segmentation": {"segmentation": None},
    "empty segmentation": {"segmentation": []},
    "uncompressed mask": {"segmentation": MASK},
    "compressed mask": {"segmentation": {"counts": "abc", "size": [60, 100]}},
    "keypoints": {"keypoints": [12, 12, 2] * 17, "num_keypoints": 17, "segmentation": []},
    "attributes": {"attributes": {"occluded": True}, "area": "12"},
    "numbers as text": {"bbox": ["10", "10.0", "20", " 30 "]},
}


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_an_annotation_with_a_box_becomes_that_box(tmp_path: Path, fields: dict[str, Any]) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1) | fields]))
    assert not report
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]


@pytest.mark.parametrize(
    "bbox",
    ["1234", "[1, 2, 3, 4]", {"x": 1}, [None] * 4, [0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4, 5], [10, 10, -5, 5]],
    ids=str,
)
def test_a_bbox_that_means_nothing_is_left_out(tmp_path: Path, bbox: Any) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1, bbox), annotation(2)]))
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert messages(report, "annotations left out")[0].startswith("annotation 1: ")


def test_boxes_that_are_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    entries = [annotation(1, [0.1, 0.2, 0.3, 0.4]), annotation(2, None, segmentation=[[0.1, 0.1, 0.5, 0.1, 0.5, 0.9]])]
    with pytest.raises(DatasetError, match=r"\b2 annotations") as refused:
        converted(tmp_path, coco(annotations=entries))
    assert str(refused.value).count("fractions of the image") == 2


def test_entries_that_are_no_objects_are_left_out(tmp_path: Path) -> None:
    report, out = converted(tmp_path, coco(images=[entry(), 5], annotations=[None, annotation(1), "x"]))
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert "number 2 of images is 5" in messages(report, "images left out")[0]
    assert [message[:26] for message in messages(report, "annotations left out")] == [
        "number 1 of annotations is",
        "number 3 of annotations is",
    ]


SQUARE = [10, 10, 54, 10, 54, 50, 10, 50]


@pytest.mark.parametrize(
    "bbox",
    [(10, 10, 80, 40), (10, 10, 44, 45), (7, 10, 47, 40), (10, 6, 44, 44), (10, 10, 20, 40), (12, 12, 2, 2)],
    ids=str,
)
def test_a_box_is_kept_where_its_outline_says_otherwise(tmp_path: Path, bbox: tuple[float, ...]) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1, bbox, segmentation=[SQUARE])]))
    x, y, width, height = bbox
    expected = [0, (x + width / 2) / WIDTH, (y + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT]
    assert rows(out) == [pytest.approx(expected, abs=1e-6)]
    (message,) = messages(report, "annotations changed")
    assert message.startswith("annotation 1: ")
    assert "from 10, 10 to 54, 50" in message


@pytest.mark.parametrize("bbox", [(10, 10, 44, 40), (9.5, 10, 45.5, 41), (10, 10, 42.1, 38.5), (10, 10, 45, 41)])
def test_an_outline_that_agrees_up_to_rounding_is_written(tmp_path: Path, bbox: tuple[float, ...]) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1, bbox, segmentation=[SQUARE])]))
    assert rows(out) == [pytest.approx([0, *(np.reshape(SQUARE, (-1, 2)) / (WIDTH, HEIGHT)).ravel()], abs=1e-6)]
    assert not report.problems


def test_an_outline_over_the_border_agrees_with_its_box_inside(tmp_path: Path) -> None:
    outline = [-20, 10, 30, 10, 30, 80, -20, 80]
    report, out = converted(tmp_path, coco(annotations=[annotation(1, (-20, 10, 50, 70), segmentation=[outline])]))
    assert len(rows(out)[0]) > 5
    assert "clipped" in messages(report, "annotations changed")[0]


def test_a_tiny_box_is_not_replaced_by_an_outline_half_its_size(tmp_path: Path) -> None:
    outline = [10, 10, 12, 10, 12, 12, 10, 12]
    report, out = converted(tmp_path, coco(annotations=[annotation(1, (10, 10, 4, 4), segmentation=[outline])]))
    assert rows(out) == [pytest.approx([0, 0.12, 0.2, 0.04, 4 / 60], abs=1e-6)]
    assert report.counts["annotations changed"] == 1


@pytest.mark.parametrize("angle", [30, "30", 30.0, 330, -30, 150, 390])
def test_a_turned_box_becomes_its_extent(tmp_path: Path, angle: Any) -> None:
    content = coco(annotations=[annotation(1, (40, 20, 20, 10), attributes={"rotation": angle})])
    report, out = converted(tmp_path, content)
    width, height = 20 * 3**0.5 / 2 + 5, 10 + 10 * 3**0.5 / 2
    assert rows(out) == [pytest.approx([0, 0.5, 25 / HEIGHT, width / WIDTH, height / HEIGHT], abs=1e-6)]
    assert messages(report, "rotated boxes became their extent")[0].startswith("annotation 1: ")
    assert not report


@pytest.mark.parametrize(
    "fields",
    [
        *({"attributes": {"rotation": value}} for value in (0, 0.0, 180, "left", None, True, math.nan)),
        {"attributes": []},
        {"attributes": {"rotation": 30}, "segmentation": [[10, 10, 30, 10, 30, 40]]},
        {"attributes": {"rotation": 30}, "segmentation": MASK},
    ],
    ids=str,
)
def test_a_box_that_is_not_turned_stays(tmp_path: Path, fields: dict[str, Any]) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1, **fields)]), polygons=False)
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert "rotated boxes became their extent" not in report.counts


def test_a_turned_box_without_area_is_left_out(tmp_path: Path) -> None:
    bad = annotation(1, (40, 20, -20, 10), attributes={"rotation": 30})
    report, _ = converted(tmp_path, coco(annotations=[bad, annotation(2)]))
    assert "without area" in messages(report, "annotations left out")[0]
    assert "rotated boxes became their extent" not in report.counts


def test_keypoints_are_counted(tmp_path: Path) -> None:
    keypoints = [annotation(1, keypoints=[9, 9, 2]), annotation(2, keypoints=[0, 0, 0]), annotation(3, keypoints=5)]
    report, _ = converted(tmp_path, coco(annotations=[*keypoints, annotation(4, keypoints=[1, 2, 1, 0, 0, 0])]))
    (message,) = messages(report, "keypoints dropped")
    assert "2 annotations" in message
    assert not report


def test_a_mask_without_a_box_is_called_a_mask(tmp_path: Path) -> None:
    entries = [annotation(1, None, segmentation=MASK), annotation(2, None, segmentation="text"), annotation(3)]
    report, _ = converted(tmp_path, coco(annotations=entries))
    mask, text = messages(report, "annotations left out")
    assert "no bbox" in mask
    assert "a mask (RLE)" in mask
    assert "is written" not in mask + text


# ---- images that are listed twice or not at all ---------------------------------------------------------------------


def test_an_image_listed_once_for_each_annotation(tmp_path: Path) -> None:
    content = coco(
        images=[entry(), entry(id=8)], annotations=[annotation(1), annotation(2, (50, 10, 20, 30)) | {"image_id": 8}]
    )
    report, out = converted(tmp_path, content)
    assert len(rows(out)) == 2
    assert not report
    assert report.counts["images listed more than once"] == 1


def test_an_image_listed_twice_with_one_id(tmp_path: Path) -> None:
    report, out = converted(tmp_path, coco(images=[entry(), entry()], annotations=[annotation(1)]))
    assert len(rows(out)) == 1
    assert not report
    assert report.images == 1


def test_one_id_for_two_images_leaves_both_out(tmp_path: Path) -> None:
    for name in ("b", "c"):
        write_image(tmp_path / "in" / f"{name}.jpg")
    images = [entry(), entry(id=8, file_name="b.jpg"), entry(id=8, file_name="c.jpg")]
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1), annotation(2) | {"image_id": 8}]))
    assert placed(out) == ["a.jpg"]
    first, second = messages(report, "images left out")
    assert "b.jpg" in first
    assert "its id belongs to 2 images" in first
    assert "with its 1 annotations" in first
    assert "c.jpg" in second


def test_images_and_annotations_without_ids_do_not_find_each_other(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "b.jpg")
    nameless = {"file_name": "b.jpg", "width": WIDTH, "height": HEIGHT}
    lost = {"id": 2, "category_id": 3, "bbox": [1, 1, 5, 5]}
    report, out = converted(tmp_path, coco(images=[entry(), nameless], annotations=[annotation(1), lost]))
    assert placed(out) == ["a.jpg"]
    assert "it has no id" in messages(report, "images left out")[0]
    assert len(messages(report, "annotations left out")) == 1


def test_images_without_annotations_are_written_but_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "in" / "a.json", coco())
    write_image(tmp_path / "in" / "a.jpg")
    assert main(["convert", "coco", str(path), str(tmp_path / "out")]) == 1
    assert "no object" in capsys.readouterr().err
    assert placed(tmp_path / "out") == ["a.jpg"]


@pytest.mark.parametrize(
    "content", [coco(images=[]), coco(images=[entry(file_name="b.jpg")], annotations=[annotation(1)])]
)
def test_a_conversion_without_an_image_writes_nothing(tmp_path: Path, content: dict[str, Any]) -> None:
    path = written(tmp_path / "in" / "a.json", content)
    with pytest.raises(DatasetError, match=r"\btrain\b"):
        convert_coco(path, tmp_path / "out")
    assert main(["convert", "coco", str(path), str(tmp_path / "out")]) == 2
    assert [found.name for found in tmp_path.iterdir()] == ["in"]


def test_a_split_without_an_image_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.jpg")
    train = written(tmp_path / "in" / "train.json", coco(annotations=[annotation(1)]))
    val = written(tmp_path / "in" / "val.json", coco(images=[entry(file_name="b.jpg")], annotations=[annotation(1)]))
    with pytest.raises(DatasetError, match=r"\bval\b"):
        convert_coco({"train": train, "val": val}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_that_the_file_does_not_list_are_counted(tmp_path: Path) -> None:
    for name in ("b.jpg", "day/c.jpg"):
        write_image(tmp_path / "in" / name)
    report, out = converted(tmp_path, coco(annotations=[annotation(1)]))
    assert placed(out) == ["a.jpg"]
    (problem,) = report.problems
    assert (Path(problem.path).name, problem.kind, problem.note) == (
        "b.jpg",
        "images that no annotation file lists",
        True,
    )
    report = convert_coco(tmp_path / "in" / "a.json", tmp_path / "two", tmp_path / "in")
    assert report.counts["images that no annotation file lists"] == 2


def test_pictures_of_other_splits_and_those_left_out_are_listed(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "1/x.jpg", "2/x.jpg"):
        write_image(tmp_path / "photos" / name, width=WIDTH + (name[0] == "2"))
    images = [entry(), entry(id=8, file_name="elsewhere/x.jpg")]
    files = {
        "train": written(tmp_path / "train.json", coco(images=images, annotations=[annotation(1)])),
        "val": written(tmp_path / "val.json", coco(images=[entry(file_name="b.jpg")], annotations=[annotation(1)])),
    }
    report = convert_coco(files, tmp_path / "out", tmp_path / "photos")
    assert "images that no annotation file lists" not in report.counts
    assert report.counts["images left out"] == 1
    assert "images in several splits" not in report.counts


def test_a_picture_in_two_splits_is_noted(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    content = coco(annotations=[annotation(1)])
    files = {split: written(tmp_path / f"{split}.json", content) for split in ("train", "val")}
    report = convert_coco(files, tmp_path / "out")
    assert not report
    assert "train and val" in messages(report, "images in several splits")[0]


# ---- names of other machines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("images/1/90fb-a.jpg", "images/90fb-a.jpg"),
        ("/home/me/data/x.jpg", "x.jpg"),
        ("C:\\Users\\me\\photos\\x.jpg", "x.jpg"),
        ("..\\..\\images\\x.jpg", "images/x.jpg"),
        ("my%20cat.jpg", "my cat.jpg"),
        ("images/my%20cat%281%29.jpg", "images/my cat(1).jpg"),
        ("my%2520cat.jpg", "my cat.jpg"),
        ("%E5%AE%89.jpg", "安.jpg"),
        ("x.jpg?d=1234", "x.jpg"),
        ("https://host.example/path/x%201.jpg?size=640&token=a/b", "images/x 1.jpg"),
        ("/data/local-files/?d=photos/x.jpg", "images/x.jpg"),
        ("/data/local-files/?d=photos%5Cx.jpg", "images/x.jpg"),
        ("s3://bucket/folder/x.jpg", "x.jpg"),
        ("X.JPG", "x.jpg"),
        ("x.jpg", "X.JPG"),
        ("u\u0308.jpg", "ü.jpg"),
        ("x.jpg", "photos/2024/x.jpg"),
        ("12", "12.jpg"),
        ("https://host.example/" + "long/" * 100 + "x.jpg?token=" + "a" * 400, "x.jpg"),
    ],
)
def test_the_last_part_of_a_name_is_looked_for(tmp_path: Path, given: str, there: str) -> None:
    write_image(tmp_path / "in" / there)
    path = written(tmp_path / "in" / "result.json", coco(images=[entry(file_name=given)], annotations=[annotation(1)]))
    report = convert_coco(path, tmp_path / "out")
    (name,) = placed(tmp_path / "out")
    assert Path(name).name == Path(there).name
    assert rows(tmp_path / "out", str(Path(name).with_suffix(""))) == [pytest.approx(BOX, abs=1e-6)]
    assert not report
    (message,) = messages(report, "images found by the last part of their name")
    assert given in message
    assert there in message


@pytest.mark.parametrize("name", ["a%20b.jpg", "a?d=1.jpg", "a#1.jpg", "100%.jpg"])
def test_a_name_that_is_there_as_it_is_written_comes_first(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "in" / name)
    write_image(tmp_path / "in" / "a b.jpg")
    report, out = converted(tmp_path, coco(images=[entry(file_name=name)], annotations=[annotation(1)]))
    assert placed(out) == [name]
    assert "images found by the last part of their name" not in report.counts


def test_of_several_files_of_a_name_the_one_in_the_same_folders_is_meant(tmp_path: Path) -> None:
    for day in ("1", "2"):
        write_image(tmp_path / "photos" / day / "x.jpg")
    images = [entry(file_name="D:\\data\\2\\x.jpg"), entry(id=8, file_name="D:\\data\\1\\x.jpg")]
    content = coco(images=images, annotations=[annotation(1), annotation(2, (50, 10, 20, 30)) | {"image_id": 8}])
    convert_coco(written(tmp_path / "in" / "a.json", content), tmp_path / "out", tmp_path / "photos")
    assert placed(tmp_path / "out") == ["1/x.jpg", "2/x.jpg"]
    assert rows(tmp_path / "out", "2/x") == [pytest.approx(BOX, abs=1e-6)]
    assert rows(tmp_path / "out", "1/x")[0][1] == pytest.approx(0.6)


def test_several_files_of_a_name_are_reported(tmp_path: Path) -> None:
    for day in (1, 2):
        write_image(tmp_path / "in" / "photos" / str(day) / "x.jpg", width=WIDTH * day)
    images = [entry(), entry(id=8, file_name="elsewhere/x.jpg")]
    lost = annotation(2) | {"image_id": 8}
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1), lost]))
    assert placed(out) == ["a.jpg"]
    (message,) = messages(report, "images left out")
    assert "several files are called x.jpg" in message
    assert str(Path("photos", "1", "x.jpg")) in message
    assert "with its 1 annotations" in message


def test_copies_of_one_picture_are_one_picture(tmp_path: Path) -> None:
    for day in ("1", "2"):
        write_image(tmp_path / "in" / "photos" / day / "x.jpg")
    report, out = converted(tmp_path, coco(images=[entry(file_name="elsewhere/x.jpg")], annotations=[annotation(1)]))
    assert placed(out) == ["photos/1/x.jpg"]
    assert not report


def test_a_second_conversion_beside_the_first(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "photos" / "x.jpg")
    path = written(tmp_path / "in" / "a.json", coco(images=[entry(file_name="1/x.jpg")], annotations=[annotation(1)]))
    for name in ("one", "two"):
        assert convert_coco(path, tmp_path / "in" / name, placing="copy").objects == 1
    folder = voc(tmp_path, {"a": DOG})
    for name in ("one", "two"):
        assert convert_voc(folder, folder / name, placing="copy").objects == 1


def test_a_name_of_another_machine_is_no_exact_match(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "x.jpg")
    images = [entry(), entry(id=8, file_name="C:\\1\\x.jpg"), entry(id=9, file_name="C:\\2\\x.jpg")]
    _, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert placed(out) == ["a.jpg"]


def test_one_file_for_two_names_is_given_to_neither(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "x.jpg")
    images = [
        entry(),
        entry(id=8, file_name="1/x.jpg"),
        entry(id=9, file_name="2/x.jpg"),
        entry(id=10, file_name="9/a.jpg"),
    ]
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert placed(out) == ["a.jpg"]
    assert report.counts["images left out"] == 3


def test_a_split_is_searched_in_its_own_folder_first(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_image(tmp_path / "photos" / split / "x.jpg")
    path = written(
        tmp_path / "val.json", coco(images=[entry(file_name="elsewhere/x.jpg")], annotations=[annotation(1)])
    )
    report = convert_coco({"val": path}, tmp_path / "out", tmp_path / "photos")
    assert str(Path("valid", "x.jpg")) in messages(report, "images found by the last part of their name")[0]


def test_lvis_gives_an_address_alone(tmp_path: Path) -> None:
    image = {"id": 7, "coco_url": "http://host.example/train2017/a.jpg", "width": WIDTH, "height": HEIGHT}
    _, out = converted(tmp_path, coco(images=[image], annotations=[annotation(1)]))
    assert placed(out) == ["a.jpg"]


def test_labels_alone_are_called_as_the_file_of_an_address(tmp_path: Path) -> None:
    content = coco(images=[entry(file_name="https://host.example/x.jpg?d=1")], annotations=[annotation(1)])
    convert_coco(written(tmp_path / "a.json", content), tmp_path / "out", placing="none")
    assert len(rows(tmp_path / "out", "x")) == 1


# ---- files that are not what they should be -------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "in" / "a.json"
    write_image(tmp_path / "in" / "a.jpg")
    text = json.dumps(coco(categories=[{"id": 3, "name": "安全帽"}], annotations=[annotation(1)]), ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    convert_coco(path, tmp_path / "out")
    assert open_source(tmp_path / "out").names == ("安全帽",)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        ('{"images": "安全帽"}'.encode("gbk"), "UTF-8"),
        (b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "detections of a model"),
        (b'{"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]}', "captions"),
        (b'{"version": "5.0", "shapes": [], "imagePath": "a.jpg"}', "LabelMe"),
        (b'{"a.jpg123": {"filename": "a.jpg", "regions": []}}', "VIA"),
        (b'[{"id": 1, "data": {"image": "/data/a.jpg"}, "annotations": []}]', "Label Studio"),
        (b"[" * 100_000, "not valid JSON"),
        (b"null", "no list 'images'"),
    ],
)
def test_what_else_a_file_may_be_is_said(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DatasetError, match=match) as refused:
        convert_coco(tmp_path / "a.json", tmp_path / "out")
    assert "a.json" in str(refused.value)


def test_panoptic_annotations_are_named(tmp_path: Path) -> None:
    content = coco(annotations=[{"image_id": 7, "file_name": "a.png", "segments_info": []}])
    with pytest.raises(DatasetError, match="panoptic"):
        converted(tmp_path, content)


# ---- a folder of JSON files -----------------------------------------------------------------------------------------


def test_a_roboflow_folder(tmp_path: Path) -> None:
    groups = [{"id": 0, "name": "pets", "supercategory": "none"}, {"id": 3, "name": "cat", "supercategory": "pets"}]
    for split in ("train", "valid", "test"):
        write_image(tmp_path / "in" / split / "a.jpg")
        written(
            tmp_path / "in" / split / "_annotations.coco.json", coco(categories=groups, annotations=[annotation(1)])
        )
    report = convert_coco(tmp_path / "in", tmp_path / "out")
    assert report.images == 3
    assert [placed(tmp_path / "out", split) for split in ("train", "val", "test")] == [["a.jpg"]] * 3
    assert open_source(tmp_path / "out", "val").names == ("cat",)
    assert main(["convert", "coco", str(tmp_path / "in"), str(tmp_path / "two")]) == 0
    assert main(["convert", "coco", str(tmp_path / "in"), str(tmp_path / "three"), "--split", "val"]) == 2


def test_coco_itself_as_a_folder(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        write_image(tmp_path / "coco" / split / "a.jpg")
        for kind in ("instances", "captions", "person_keypoints"):
            content = coco(annotations=[annotation(1)]) if kind == "instances" else {"images": []}
            written(tmp_path / "coco" / "annotations" / f"{kind}_{split}.json", content)
    assert convert_coco(tmp_path / "coco", tmp_path / "out").objects == 2


def test_one_file_in_a_folder_is_train(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "images" / "default" / "a.jpg")
    written(tmp_path / "in" / "annotations" / "instances_default.json", coco(annotations=[annotation(1)]))
    assert convert_coco(tmp_path / "in", tmp_path / "out").objects == 1
    assert placed(tmp_path / "out") == ["a.jpg"]


@pytest.mark.parametrize("names", [[], ["a.json", "b.json"], ["train_1.json", "train_2.json", "val.json"]], ids=str)
def test_a_folder_that_does_not_say_which_file_is_which(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in names:
        written(tmp_path / "in" / name, coco())
    with pytest.raises(DatasetError, match="JSON") as refused:
        convert_coco(tmp_path / "in", tmp_path / "out")
    assert all(name in str(refused.value) for name in names)


# ---- pictures that are turned ---------------------------------------------------------------------------------------

TAG = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0%c\0\0\0\0\0\0\0"


def turned_photo(path: Path, orientation: int, spot: tuple[int, int, int, int], size: tuple[int, int]) -> Path:
    """A JPEG, black but for a white spot (xyxy in the pixels that are stored), with an EXIF orientation."""
    width, height = size
    stored = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = spot
    stored[top:bottom, left:right] = 255
    data = cv2.imencode(".jpg", stored)[1].tobytes()
    segment = TAG % orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    return path


def spot_in(path: Path) -> list[float]:
    """Where the white spot is in the picture as it is read, xywh normalised."""
    bright = read_image(path)[..., 0] > 128
    height, width = bright.shape
    ys, xs = np.nonzero(bright)
    left, top, right, bottom = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    return [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height]


SPOT = (16, 8, 48, 24)  # in a picture of 96 x 64


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_before_the_rotation_are_turned_with_the_picture(tmp_path: Path, orientation: int) -> None:
    photo = turned_photo(tmp_path / "in" / "a.jpg", orientation, SPOT, (96, 64))
    assert image_size(photo) == (96, 64)
    outline = [16, 8, 48, 8, 48, 24, 16, 24]
    entries = [annotation(1, [16, 8, 32, 16]), annotation(2, [16, 8, 32, 16], segmentation=[outline])]
    content = coco(images=[entry(width=96, height=64)], annotations=entries)
    report = convert_coco(written(tmp_path / "in" / "a.json", content), tmp_path / "out")
    expected = spot_in(photo)
    labels = open_source(tmp_path / "out").labels.of(0)
    for box in labels.boxes:
        assert box == pytest.approx(expected, abs=1e-5)
    (message,) = messages(report, "images with an EXIF rotation")
    assert "before it" in message
    assert not report


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_after_the_rotation_stay(tmp_path: Path, orientation: int) -> None:
    photo = turned_photo(tmp_path / "in" / "a.jpg", orientation, SPOT, (96, 64))
    x, y, width, height = np.array(spot_in(photo)) * (64, 96, 64, 96)
    boxes = [annotation(1, [x - width / 2, y - height / 2, width, height])]
    content = coco(images=[entry(width=64, height=96)], annotations=boxes)
    report = convert_coco(written(tmp_path / "in" / "a.json", content), tmp_path / "out")
    assert rows(tmp_path / "out")[0][1:] == pytest.approx(spot_in(photo), abs=1e-5)
    assert "after it" in messages(report, "images with an EXIF rotation")[0]


@pytest.mark.parametrize(("orientation", "size"), [(2, (96, 64)), (3, (96, 64)), (4, (96, 64)), (6, (64, 64))])
def test_a_rotation_that_the_size_does_not_show_is_said(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    turned_photo(tmp_path / "in" / "a.jpg", orientation, SPOT, size)
    content = coco(images=[entry(width=size[0], height=size[1])], annotations=[annotation(1)])
    report = convert_coco(written(tmp_path / "in" / "a.json", content), tmp_path / "out")
    assert f"orientation {orientation}" in messages(report, "images with an EXIF rotation")[0]
    assert len(rows(tmp_path / "out")) == 1


def test_a_turned_voc_picture(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": voc_object("dog", (17, 9, 48, 24))}, size=(96, 64))
    photo = turned_photo(folder / "JPEGImages" / "a.jpg", 6, SPOT, (96, 64))
    report = convert_voc(folder, tmp_path / "out")
    assert rows(tmp_path / "out")[0][1:] == pytest.approx(spot_in(photo), abs=1e-5)
    assert report.counts["images with an EXIF rotation"] == 1


def test_a_turned_picture_without_a_recorded_size(tmp_path: Path) -> None:
    photo = turned_photo(tmp_path / "in" / "a.jpg", 8, (64, 8, 92, 24), (96, 64))
    image = {"id": 7, "file_name": "a.jpg"}
    before = coco(images=[image], annotations=[annotation(1, [64, 8, 28, 16])])  # reaches beyond 64 x 96
    convert_coco(written(tmp_path / "in" / "a.json", before), tmp_path / "out")
    assert rows(tmp_path / "out")[0][1:] == pytest.approx(spot_in(photo), abs=1e-5)
    after = coco(images=[image], annotations=[annotation(1, [8, 64, 16, 28])])
    report = convert_coco(written(tmp_path / "in" / "b.json", after), tmp_path / "two")
    assert rows(tmp_path / "two")[0][1:] == pytest.approx([16 / 64, 78 / 96, 16 / 64, 28 / 96], abs=1e-5)
    assert "no size is recorded" in messages(report, "images with an EXIF rotation")[0]


def test_a_turned_picture_of_another_size_than_either(tmp_path: Path) -> None:
    photo = turned_photo(tmp_path / "in" / "a.jpg", 6, SPOT, (96, 64))
    images = [entry(width=192, height=128)]  # annotated before it was made smaller
    content = coco(images=images, annotations=[annotation(1, [32, 16, 64, 32])])
    convert_coco(written(tmp_path / "in" / "a.json", content), tmp_path / "out")
    assert rows(tmp_path / "out")[0][1:] == pytest.approx(spot_in(photo), abs=1e-5)
    write_image(tmp_path / "in" / "b.jpg")
    images = [entry(width=500, height=490), entry(id=8, file_name="b.jpg")]
    content = coco(images=images, annotations=[annotation(1), annotation(2) | {"image_id": 8}])
    report = convert_coco(written(tmp_path / "in" / "b.json", content), tmp_path / "two")
    assert placed(tmp_path / "two") == ["b.jpg"]
    assert "500 x 490" in messages(report, "images left out")[0]


def test_exif_orientations_are_read(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        assert read_header(turned_photo(tmp_path / "a.jpg", orientation, SPOT, (96, 64))).orientation == orientation
    assert read_header(write_image(tmp_path / "b.jpg")).orientation == 1
    assert read_header(write_image(tmp_path / "b.png")).orientation == 1
    assert read_header(write_image(tmp_path / "b.webp")).orientation is None
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00")
    assert read_header(tmp_path / "c.jpg").orientation == 1


# ---- sizes that disagree --------------------------------------------------------------------------------------------


def test_exchanged_width_and_height(tmp_path: Path) -> None:
    """Some tools write the height as the width."""
    report, out = converted(tmp_path, coco(images=[entry(width=HEIGHT, height=WIDTH)], annotations=[annotation(1)]))
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert "exchanged" in messages(report, "images of another size than stated")[0]


def test_a_picture_that_was_turned_after_it_was_annotated(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "b.jpg", height=WIDTH, width=HEIGHT)
    images = [entry(), entry(id=8, file_name="b.jpg")]
    boxes = [annotation(1), annotation(2, [70, 10, 20, 30]) | {"image_id": 8}]
    report, out = converted(tmp_path, coco(images=images, annotations=boxes))
    assert placed(out) == ["a.jpg"]
    assert "turned after it was annotated" in messages(report, "images left out")[0]


def test_boxes_that_fit_the_picture_alone(tmp_path: Path) -> None:
    report, out = converted(tmp_path, coco(images=[entry(width=20, height=20)], annotations=[annotation(1)]))
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]
    assert "its own size is used" in messages(report, "images of another size than stated")[0]


@pytest.mark.parametrize(
    "size", [{"width": None, "height": None}, {"width": 0, "height": 0}, {"width": "x", "height": -1}]
)
def test_without_a_size_the_picture_has_it(tmp_path: Path, size: dict[str, Any]) -> None:
    _, out = converted(tmp_path, coco(images=[entry(**size)], annotations=[annotation(1)]))
    assert rows(out) == [pytest.approx(BOX, abs=1e-6)]


# ---- VOC: folders of all kinds --------------------------------------------------------------------------------------

DOG = voc_object("dog", (11, 11, 30, 40))
DOG_ROW = [0, 0.2, 25 / 60, 0.2, 0.5]


def write_xml(path: Path, objects: str = DOG, filename: str = "", size: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>" if size else ""
    path.write_text(
        f"<annotation><filename>{filename or path.stem + '.jpg'}</filename>{stated}\n{objects}</annotation>"
    )
    return path


@pytest.mark.parametrize(
    ("xml", "image", "given"),
    [
        ("Annotations/a.xml", "JPEGImages/a.jpg", ""),
        ("annotations/a.xml", "images/a.png", ""),
        ("annotations/xmls/a.xml", "images/a.jpg", ""),
        ("a.xml", "a.jpg", ""),
        ("xml/a.xml", "a.jpg", ""),
        ("labels/a.xml", "images/a.JPG", ""),
        ("annotations/a.xml", "images/a.png", "annotations"),
        ("Annotations/a.xml", "JPEGImages/a.jpg", "Annotations"),
        ("xmls/a.xml", "a.jpg", "xmls"),
        ("Annotations/a.jpg.xml", "JPEGImages/a.jpg", ""),
        ("VOC2012/Annotations/a.xml", "VOC2012/JPEGImages/a.jpg", ""),
        ("data/a.xml", "data/a.jpg", ""),
    ],
)
def test_voc_layouts(tmp_path: Path, xml: str, image: str, given: str) -> None:
    write_image(tmp_path / "in" / image)
    write_xml(tmp_path / "in" / xml, filename=Path(image).name)
    report = convert_voc(tmp_path / "in" / given, tmp_path / "out")
    assert placed(tmp_path / "out") == [Path(image).name]
    assert rows(tmp_path / "out") == [pytest.approx(DOG_ROW, abs=1e-6)]
    assert not report.problems


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("{}/x.xml", "{}/x.jpg"),
        ("{}/Annotations/x.xml", "{}/JPEGImages/x.jpg"),
        ("{}/labels/x.xml", "{}/images/x.jpg"),
        ("annotations/{}/x.xml", "images/{}/x.jpg"),
        ("annotations/{}2017/x.xml", "{}2017/x.jpg"),
    ],
)
def test_voc_splits_by_folder(tmp_path: Path, xml: str, image: str) -> None:
    """Each split has an image of the same name, and its own box."""
    for number, split in enumerate(("train", "valid", "test")):
        write_image(tmp_path / "in" / image.format(split))
        write_xml(tmp_path / "in" / xml.format(split), voc_object("dog", (1 + 10 * number, 11, 20 + 10 * number, 40)))
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert not report.problems
    for number, split in enumerate(("train", "val", "test")):
        assert placed(tmp_path / "out", split) == ["x.jpg"]
        source = open_source(tmp_path / "out", split)
        assert source.labels.of(0).boxes[0, 0] == pytest.approx(0.1 + 0.1 * number)
        original = tmp_path / "in" / image.format(("train", "valid", "test")[number])
        assert (tmp_path / "out" / "images" / split / "x.jpg").samefile(original)


def test_voc_splits_by_the_folders_of_the_images(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "in" / "images" / split / f"{split}.jpg")
        write_xml(tmp_path / "in" / "annotations" / f"{split}.xml")
    convert_voc(tmp_path / "in", tmp_path / "out")
    assert [placed(tmp_path / "out", split) for split in ("train", "val")] == [["train.jpg"], ["val.jpg"]]


def test_voc_images_elsewhere(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "day" / "a.jpg")
    write_xml(tmp_path / "in" / "a.xml")
    with pytest.raises(DatasetError, match=r"a\.jpg"):
        convert_voc(tmp_path / "in", tmp_path / "out", images=tmp_path / "in")
    assert convert_voc(tmp_path / "in", tmp_path / "out", images=tmp_path / "photos").objects == 1
    command = ["convert", "voc", str(tmp_path / "in"), str(tmp_path / "two"), "--image-dir", str(tmp_path / "photos")]
    assert main(command) == 0
    with pytest.raises(FileNotFoundError, match="folder of images"):
        convert_voc(tmp_path / "in", tmp_path / "three", images=tmp_path / "nothing")


def test_voc_masks_are_not_taken_for_the_images(tmp_path: Path) -> None:
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png"), ("SegmentationObject", "png")):
        write_image(tmp_path / "VOC" / folder / f"a.{suffix}")
    path = write_xml(tmp_path / "VOC" / "Annotations" / "a.xml")
    path.write_text(path.read_text().replace("<filename>a.jpg</filename>", ""))
    report = convert_voc(tmp_path / "VOC", tmp_path / "out")
    assert placed(tmp_path / "out") == ["a.jpg"]
    assert not report.problems


def test_voc_subfolders_are_kept(tmp_path: Path) -> None:
    for animal in ("cats", "dogs"):
        write_image(tmp_path / "in" / animal / "1.jpg")
        write_xml(tmp_path / "in" / animal / "1.xml", voc_object(animal, (11, 11, 30, 40)))
    convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["cats/1.jpg", "dogs/1.jpg"]
    assert [rows(tmp_path / "out", f"{animal}/1")[0][0] for animal in ("cats", "dogs")] == [0, 1]


def test_two_images_that_an_annotation_may_belong_to(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG, "b": DOG})
    write_image(folder / "JPEGImages" / "a.png")  # other bytes than those of a.jpg
    path = folder / "Annotations" / "a.xml"
    assert convert_voc(folder, tmp_path / "one").objects == 2  # its filename says which
    assert placed(tmp_path / "one") == ["a.jpg", "b.jpg"]
    path.write_text(path.read_text().replace("<filename>a.jpg</filename>", ""))
    report = convert_voc(folder, tmp_path / "two")
    assert placed(tmp_path / "two") == ["b.jpg"]
    assert "several files may be its image" in messages(report, "images left out")[0]


def test_images_without_an_annotation_file_are_counted(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG})
    write_image(folder / "JPEGImages" / "b.jpg")
    report = convert_voc(folder, tmp_path / "out")
    assert report.counts["images without an annotation file"] == 1
    assert not report
    assert placed(tmp_path / "out") == ["a.jpg"]


@pytest.mark.parametrize(
    "filename", ["C:\\photos\\other.png", "/home/me/other.png", "https://host.example/other.png?x=1"]
)
def test_voc_filenames_of_another_machine(tmp_path: Path, filename: str) -> None:
    write_image(tmp_path / "in" / "other.png")
    write_xml(tmp_path / "in" / "1.xml", filename=filename)
    convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["other.png"]


def test_a_file_called_as_one_image_that_names_another(tmp_path: Path) -> None:
    """Nothing tells which of them is meant."""
    for name in ("1.jpg", "b.jpg", "c.jpg"):
        write_image(tmp_path / "in" / name, width=WIDTH + (name == "b.jpg"))
    write_xml(tmp_path / "in" / "1.xml", filename="b.jpg", size=False)
    write_xml(tmp_path / "in" / "c.xml")
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["c.jpg"]
    (message,) = messages(report, "images left out")
    assert "1.jpg" in message
    assert "b.jpg" in message
    assert "with its 1 objects" in message


@pytest.mark.parametrize("right", ["1.jpg", "b.jpg"])
def test_of_the_image_of_its_name_and_the_one_it_names_that_of_the_recorded_size_is_taken(
    tmp_path: Path, right: str
) -> None:
    for name in ("1.jpg", "b.jpg"):
        write_image(tmp_path / "in" / name, width=WIDTH if name == right else 50)
    write_xml(tmp_path / "in" / "1.xml", filename="b.jpg")
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == [right]
    assert right in messages(report, "annotation files that name another image")[0]
    assert not report


def test_a_stale_filename_that_another_file_is_called_as(tmp_path: Path) -> None:
    """All files were renamed by one; what is written in them stayed."""
    for number in (1, 2, 3):
        cv2.imwrite(str(write_image(tmp_path / "in" / f"{number}.jpg")), np.full((HEIGHT, WIDTH, 3), number * 50))
        box = voc_object("dog", (number, 11, 30, 40))
        write_xml(tmp_path / "in" / f"{number}.xml", box, filename=f"{number + 1}.jpg")
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert not report
    assert report.counts["annotation files that name another image"] == 2
    for number in (1, 2, 3):
        assert rows(tmp_path / "out", str(number))[0][3] == pytest.approx((31 - number) / WIDTH)


def test_an_image_that_is_named_is_not_taken_from_the_file_called_as_it(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "b.jpg")
    write_xml(tmp_path / "in" / "1.xml", voc_object("cat", (1, 1, 9, 9)), filename="b.jpg")
    write_xml(tmp_path / "in" / "b.xml")
    report = convert_voc(tmp_path / "in", tmp_path / "out", ["dog", "cat"])
    assert rows(tmp_path / "out", "b") == [pytest.approx(DOG_ROW, abs=1e-6)]
    (problem,) = [problem for problem in report.problems if not problem.note]
    assert Path(problem.path).name == "1.xml"
    assert "b.xml" in problem.message


def test_a_size_does_not_take_an_image_from_the_file_called_as_it(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path / "in" / f"{number}.jpg", width=WIDTH + number - 1)
        write_xml(tmp_path / "in" / f"{number}.xml", filename=f"{3 - number}.jpg")  # as wide as 1.jpg
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["1.jpg"]
    (problem,) = [problem for problem in report.problems if not problem.note]
    assert Path(problem.path).name == "2.xml"
    assert "which image is meant" in problem.message


def test_one_image_that_two_files_name(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "b.jpg")
    for name in ("1", "2"):
        write_xml(tmp_path / "in" / f"{name}.xml", filename="b.jpg")
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert report.objects == 1
    (problem,) = report.problems
    assert Path(problem.path).name == "2.xml"
    assert "1.xml" in problem.message


@pytest.mark.parametrize("filename", ["IMG_2022.jpg", "C:\\photos\\IMG_2022.png", "IMG_2022_jpg.rf.0123456789.jpg"])
def test_a_stale_filename_that_is_nowhere_changes_nothing(tmp_path: Path, filename: str) -> None:
    write_image(tmp_path / "in" / "1.jpg")
    write_xml(tmp_path / "in" / "1.xml", filename=filename)
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["1.jpg"]
    assert not report.problems


def test_copies_of_one_picture_under_both_names(tmp_path: Path) -> None:
    for name in ("1.jpg", "b.jpg"):
        write_image(tmp_path / "in" / name)
    write_xml(tmp_path / "in" / "1.xml", filename="b.jpg")
    assert not convert_voc(tmp_path / "in", tmp_path / "out")
    assert placed(tmp_path / "out") == ["b.jpg"]
    write_xml(tmp_path / "in" / "b.xml")
    assert not convert_voc(tmp_path / "in", tmp_path / "two")
    assert placed(tmp_path / "two") == ["1.jpg", "b.jpg"]


def test_lists_with_spaces_and_missing_splits(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"day 1": DOG, "b": DOG})
    main_dir = folder / "ImageSets" / "Main"
    main_dir.mkdir(parents=True)
    (main_dir / "train.txt").write_text("day 1\nb\n")
    (main_dir / "test.txt").write_text("gone\n")
    report = convert_voc(folder / "Annotations", tmp_path / "out")
    assert placed(tmp_path / "out") == ["b.jpg", "day 1.jpg"]
    assert not (tmp_path / "out" / "images" / "test").exists()
    assert report.counts["splits left out"] == 1
    assert report.counts["images left out"] == 1
    (main_dir / "train.txt").write_bytes(b"\xb0\n")
    with pytest.raises(DatasetError, match=r"train\.txt: .*UTF-8"):
        convert_voc(folder, tmp_path / "three")
    (main_dir / "train.txt").write_text("b\n")
    assert convert_voc(folder, tmp_path / "two").counts["annotation files in no list"] == 1


@pytest.mark.parametrize("name", ["valid", "validation", "Val", "val2012", "VALID"])
def test_lists_in_other_spellings(tmp_path: Path, name: str) -> None:
    folder = voc(tmp_path, dict.fromkeys("abcd", DOG))
    image_sets(folder, training="a\nb\n", **{name: "c\nd\nc\n"}, dog_train="a -1\n")
    report = convert_voc(folder, tmp_path / "out")
    assert [placed(tmp_path / "out", split) for split in ("train", "val")] == [["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"]]
    assert not report.problems


def test_lists_in_imagesets_itself(tmp_path: Path) -> None:
    folder = voc(tmp_path, dict.fromkeys("abc", DOG))
    for name, lines in (("train.txt", "a\n"), ("valid.txt", "b\n")):
        path = folder / "ImageSets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(lines)
    report = convert_voc(folder, tmp_path / "out")
    assert [placed(tmp_path / "out", split) for split in ("train", "val")] == [["a.jpg"], ["b.jpg"]]
    assert [Path(problem.path).name for problem in report.problems if not problem.note] == ["c.xml"]


def test_a_damaged_list_of_another_task_does_not_matter(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG, "b": DOG})
    image_sets(folder, train="a\n")
    (folder / "ImageSets" / "Layout").mkdir()
    (folder / "ImageSets" / "Layout" / "train.txt").write_bytes(b"\xff\n")
    assert bool(convert_voc(folder, tmp_path / "out"))
    assert placed(tmp_path / "out") == ["a.jpg"]


def test_two_lists_of_one_split_are_taken_together(tmp_path: Path) -> None:
    folder = voc(tmp_path, dict.fromkeys("abc", DOG))
    image_sets(folder, train="a\n", val="b\n", valid="b\nc\n")
    assert not convert_voc(folder, tmp_path / "out").problems
    assert placed(tmp_path / "out", "val") == ["b.jpg", "c.jpg"]


def test_annotation_files_in_no_list_are_a_problem(tmp_path: Path) -> None:
    folder = voc(tmp_path, dict.fromkeys("abcd", DOG))
    image_sets(folder, train="a\n", val="b\n", trainval="a\nb\nc\n")
    assert main(["convert", "voc", str(folder), str(tmp_path / "one")]) == 0
    assert main(["convert", "voc", str(folder), str(tmp_path / "two"), "--strict"]) == 1
    report = convert_voc(folder, tmp_path / "three")
    left_out = [Path(problem.path).name for problem in report.problems if not problem.note]
    assert left_out == ["c.xml", "d.xml"]
    assert all("is in no list" in message for message in messages(report, "images of annotation files in no list"))
    assert report.counts["images of annotation files in no list"] == 2
    assert "images without an annotation file" not in report.counts
    (folder / "ImageSets" / "Segmentation").mkdir()
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("c\nd\n")
    report = convert_voc(folder, tmp_path / "four")
    assert not report
    assert report.counts["annotation files in no list"] == 2


def test_the_image_of_a_damaged_annotation_file(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG, "b": DOG})
    (folder / "Annotations" / "b.xml").write_text("<annotation>")
    write_image(folder / "JPEGImages" / "c.jpg")
    report = convert_voc(folder, tmp_path / "out")
    assert "b.xml" in messages(report, "images of annotation files left out")[0]
    assert report.counts["images without an annotation file"] == 1


def test_an_image_in_the_lists_of_two_splits(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG, "b": DOG})
    image_sets(folder, train="a\n", val="a\nb\n")
    report = convert_voc(folder, tmp_path / "out")
    assert placed(tmp_path / "out", "val") == ["a.jpg", "b.jpg"]
    assert not report
    (problem,) = report.problems
    assert Path(problem.path).name == "a.jpg"
    assert "train and val" in problem.message


def test_an_image_with_an_annotation_file_in_two_splits(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "images" / "a.jpg")
    for split in ("train", "val"):
        write_xml(tmp_path / "in" / "annotations" / split / "a.xml")
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert [placed(tmp_path / "out", split) for split in ("train", "val")] == [["a.jpg"], ["a.jpg"]]
    assert not report
    assert report.counts["images in several splits"] == 1


def test_several_voc_folders_in_one(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        folder = voc(tmp_path / year, {"a": DOG})
        (folder / "ImageSets" / "Main").mkdir(parents=True)
    with pytest.raises(DatasetError, match="VOC folders"):
        convert_voc(tmp_path, tmp_path / "out")


# ---- VOC: objects and files -----------------------------------------------------------------------------------------

NO_NAME = "<object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>\n"
ROTATED = "<object><name>dog</name><robndbox><cx>9</cx></robndbox></object>\n"
PARTIAL = "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax></bndbox></object>\n"


@pytest.mark.parametrize(
    "bad",
    [NO_NAME, NO_NAME.replace("<bnd", "<name> </name><bnd"), "<object><name>dog</name></object>\n", ROTATED, PARTIAL,
     "<object/>\n", voc_object("dog", (0.1, 0.2, 0.3, 0.4)), voc_object("dog", (30, 40, 11, 11))],
    ids=["no name", "blank name", "no box", "rotated box", "three sides", "nothing", "shares", "reversed"],
)  # fmt: skip
def test_an_object_without_name_or_box_is_reported_with_its_line(tmp_path: Path, bad: str) -> None:
    report = convert_voc(voc(tmp_path, {"a": DOG + bad}), tmp_path / "out")
    assert rows(tmp_path / "out") == [pytest.approx(DOG_ROW, abs=1e-6)]
    assert open_source(tmp_path / "out").names == ("dog",)
    (problem,) = report.problems
    assert (Path(problem.path).name, problem.line, problem.note) == ("a.xml", 3, False)
    assert bool(report)


def test_objects_without_a_name_alone_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="object"):
        convert_voc(voc(tmp_path, {"a": NO_NAME}), tmp_path / "out")
    with pytest.raises(DatasetError, match=r"\b1 annotations"):
        convert_voc(tmp_path / "VOC", tmp_path / "out", ["dog"])
    assert not (tmp_path / "out").exists()


def test_voc_coordinates_that_count_from_0_are_noted(tmp_path: Path) -> None:
    folder = voc(tmp_path, {"a": DOG + voc_object("dog", (0, 5, 9, 9))})
    report = convert_voc(folder, tmp_path / "out")
    (message,) = messages(report, "coordinates that count from 0")
    assert "1 of 2 objects" in message
    assert "--zero-based" in message
    assert not report
    assert "coordinates that count from 0" not in convert_voc(folder, tmp_path / "two", one_based=False).counts


def test_voc_coordinates_between_pixels(tmp_path: Path) -> None:
    convert_voc(voc(tmp_path, {"a": voc_object("dog", (11.5, "11.25", " 30.5 ", 4e1))}), tmp_path / "out")
    assert rows(tmp_path / "out") == [pytest.approx([0, 20.5 / 100, 25.125 / 60, 0.2, 29.75 / 60], abs=1e-6)]


@pytest.mark.parametrize(("text", "count"), [("0", 1), ("", 1), ("Unspecified", 1), ("1", 0), ("True", 0), (" 1 ", 0)])
def test_difficult_in_words(tmp_path: Path, text: str, count: int) -> None:
    folder = voc(tmp_path, {"a": DOG + voc_object("dog", (1, 1, 9, 9), f"<difficult>{text}</difficult>")})
    assert convert_voc(folder, tmp_path / "out", difficult=False).objects == count + 1


@pytest.mark.parametrize("encoding", ["GB2312", "gbk", "Big5", "Shift_JIS", "utf-16", "iso-8859-1", "windows-1252"])
def test_xml_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    name = "Größe" if encoding in ("iso-8859-1", "windows-1252") else "安全"
    write_image(tmp_path / "in" / "a.jpg")
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<annotation>{voc_object(name, (11, 11, 30, 40))}</annotation>'
    (tmp_path / "in" / "a.xml").write_bytes(text.encode(encoding))
    convert_voc(tmp_path / "in", tmp_path / "out")
    assert open_source(tmp_path / "out").names == (name,)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"<annotations><image/></annotations>", "<annotations>"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "klingon"),
        (b'<?xml version="1.0" encoding="ascii"?><annotation>\xff</annotation>', "ascii"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        ("<annotation><folder>Größe</folder></annotation>".encode("latin-1"), "save it as UTF-8"),
        ("<?xml version='1.0'?><annotation>Größe</annotation>".encode("cp1252"), "save it as UTF-8"),
        ('<?xml version="1.0" encoding="UTF-8"?><annotation>安全</annotation>'.encode("gbk"), "save it as UTF-8"),
    ],
)
def test_xml_that_is_not_an_annotation(tmp_path: Path, data: bytes, match: str) -> None:
    folder = voc(tmp_path, {"a": DOG})
    (folder / "Annotations" / "b.xml").write_bytes(data)
    report = convert_voc(folder, tmp_path / "out")
    assert report.images == 1
    (message,) = messages(report, "images left out")
    assert match in message


@pytest.mark.parametrize(("value", "sides"), [("90", (10, 20)), ("0.0", (20, 10)), ("", (20, 10)), ("left", (20, 10))])
def test_a_turned_voc_box(tmp_path: Path, value: str, sides: tuple[int, int]) -> None:
    attributes = f"<attributes><attribute><name>rotation</name><value>{value}</value></attribute></attributes>"
    report = convert_voc(voc(tmp_path, {"a": voc_object("dog", (41, 21, 60, 30), attributes)}), tmp_path / "out")
    expected = [0, 0.5, 25 / HEIGHT, sides[0] / WIDTH, sides[1] / HEIGHT]
    assert rows(tmp_path / "out") == [pytest.approx(expected, abs=1e-6)]
    assert ("rotated boxes became their extent" in report.counts) == (sides == (10, 20))
    assert not report


def test_voc_class_names_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'dog'"):
        convert_voc(voc(tmp_path, {"a": DOG}), tmp_path / "out", ["dog", "cat", " dog"])


def test_voc_exits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = voc(tmp_path, {"a": DOG + NO_NAME})
    assert main(["convert", "voc", str(folder), str(tmp_path / "one")]) == 0
    assert main(["convert", "voc", str(folder), str(tmp_path / "two"), "--strict"]) == 1
    (folder / "JPEGImages" / "a.jpg").unlink()
    assert main(["convert", "voc", str(folder), str(tmp_path / "three")]) == 2
    assert "a.xml" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()
    assert main(["convert", "voc", str(tmp_path / "nowhere"), str(tmp_path / "four")]) == 2
