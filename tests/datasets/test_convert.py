"""COCO and VOC -> YOLO: there and back, and everything that annotation files have wrong with them."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

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
from yolo_lite.data.report import DatasetError
from yolo_lite.data.source import open_source
from yolo_lite.datasets.convert import convert_coco, convert_voc
from yolo_lite.datasets.convert.finding import below
from yolo_lite.datasets.convert.outlines import join_parts
from yolo_lite.datasets.files.label_rows import parse_label_file

# ---- COCO: there and back -------------------------------------------------------------------------------------------


def yolo_to_coco(source: Path, split: str) -> dict[str, Any]:
    """The labels of a YOLO folder as COCO JSON, with category ids 10, 20, 30 ... in another order."""
    opened = open_source(source / "data.yaml", split)
    images, annotations = [], []
    for index, path in enumerate(opened.paths):
        height, width = opened.sizes[index].tolist()
        images.append({"id": 1000 - index, "file_name": Path(path).name, "width": width, "height": height})
        labels = opened.labels.of(index)
        for cls, box, polygon in zip(labels.cls, labels.boxes.astype(float), labels.polygons, strict=True):
            xywh = [(box[0] - box[2] / 2) * width, (box[1] - box[3] / 2) * height, box[2] * width, box[3] * height]
            outline = [] if polygon is None else [(polygon.astype(float) * (width, height)).ravel().tolist()]
            entry = {"id": len(annotations), "image_id": 1000 - index, "category_id": int(cls) * 10 + 10}
            annotations.append({**entry, "bbox": xywh, "segmentation": outline, "iscrowd": 0})
    categories = [{"id": number * 10 + 10, "name": name} for number, name in enumerate(opened.names)]
    return {"images": images, "annotations": annotations[::-1], "categories": categories[::-1]}


@pytest.mark.parametrize("dataset", ["coco8", "bccd"])
def test_coco_there_and_back(shared: Path, tmp_path: Path, dataset: str) -> None:
    source = shared / "data" / dataset
    files = {split: tmp_path / f"{split}.json" for split in ("train", "val")}
    for split, path in files.items():
        path.write_text(json.dumps(yolo_to_coco(source, split)))
    report = convert_coco(files, tmp_path / "out", images=source / "images")
    assert not report
    for split in files:
        before, after = open_source(source / "data.yaml", split), open_source(tmp_path / "out" / "data.yaml", split)
        assert after.names == before.names
        assert [Path(path).name for path in after.paths] == [Path(path).name for path in before.paths]
        assert np.array_equal(after.sizes, before.sizes)
        for index in range(len(before)):
            first, second = before.labels.of(index), after.labels.of(index)
            assert np.array_equal(np.sort(first.cls), np.sort(second.cls))
            assert np.allclose(_sorted(first), _sorted(second), atol=2e-6)
            assert np.array_equal(before.read(index), after.read(index))


def _sorted(labels: Any) -> np.ndarray:
    """The boxes in an order that does not depend on how they were listed."""
    table = np.concatenate([labels.cls[:, None], labels.boxes], axis=1)
    return table[np.lexsort(table.round(4).T[::-1])]


def test_polygons_come_back(tmp_path: Path) -> None:
    outline = [10, 10, 30, 10, 30, 40, 20, 45.5, 10, 40]
    report, out = converted(tmp_path, coco(annotations=[annotation(1, (10, 10, 20, 35.5), segmentation=[outline])]))
    assert str(report) == "1 image (1 with objects, 0 background), 1 object"
    labels, _ = parse_label_file(out / "labels/train/a.txt", 1)
    assert labels.polygons[0] is not None
    assert np.allclose(labels.polygons[0] * (WIDTH, HEIGHT), np.reshape(outline, (-1, 2)), atol=1e-4)
    _, boxes = converted(tmp_path / "boxes", json.loads((tmp_path / "in/a.json").read_text()), polygons=False)
    assert rows(boxes) == [pytest.approx([0, 0.2, 27.75 / 60, 0.2, 35.5 / 60], abs=1e-6)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_joined_parts_keep_extent_and_area(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * math.pi, 9)[:-1]
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    shifts = [np.array([3 * place, generator.uniform(-9, 9)]) for place in range(count)]
    parts = [circle[:: generator.choice([-1, 1])] + shift for shift in shifts]  # either way round
    line = join_parts(parts)
    points = np.concatenate(parts)
    assert np.allclose([line.min(0), line.max(0)], [points.min(0), points.max(0)])
    area = sum(cv2.contourArea(part.astype(np.float32)) for part in parts)
    assert cv2.contourArea(line.astype(np.float32)) == pytest.approx(area, rel=1e-4)
    assert len(line) == len(points) + 2 * (count - 1)


def test_an_outline_of_two_parts_spans_both(tmp_path: Path) -> None:
    parts = [[10, 10, 20, 10, 20, 20, 10, 20], [40, 30, 50, 30, 50, 50], [1, 2]]
    _, out = converted(tmp_path, coco(annotations=[annotation(1, (10, 10, 40, 40), segmentation=parts)]))
    labels, _ = parse_label_file(out / "labels/train/a.txt", 1)
    assert labels.boxes[0] == pytest.approx([0.3, 0.5, 0.4, 40 / 60], abs=1e-6)
    assert labels.polygons[0] is not None


# ---- COCO: what is wrong with annotations ---------------------------------------------------------------------------

BAD = {
    "nan": annotation(1, [math.nan, 0, 5, 5]),
    "infinite": annotation(1, [0, 0, math.inf, 5]),
    "no width": annotation(1, [10, 10, 0, 5]),
    "negative": annotation(1, [10, 10, -4, 5]),
    "outside": annotation(1, [200, 10, 4, 5]),
    "on the border": annotation(1, [WIDTH, 10, 4, 5]),
    "three numbers": annotation(1, [1, 2, 3]),
    "words": annotation(1, ["a", "b", "c", "d"]),
    "no list": annotation(1, 5),
    "nothing": annotation(1, None),
    "mask without box": annotation(1, None, segmentation={"counts": "abc", "size": [60, 100]}),
    "category": annotation(1) | {"category_id": 99},
    "no category": {"id": 1, "image_id": 7, "bbox": [1, 1, 5, 5]},
    "image": annotation(1) | {"image_id": 99},
    "no image": {"id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_annotation_is_left_out_and_the_good_one_stays(tmp_path: Path, bad: dict[str, Any]) -> None:
    report, out = converted(tmp_path, coco(annotations=[bad, annotation(2)]))
    assert len(rows(out)) == 1
    assert bool(report)
    (message,) = messages(report, "annotations left out")
    assert message.startswith("annotation 1: ")
    assert message.endswith(("; left out", "; left out of the labels"))
    file = json.loads((out / "annotations/instances_train.json").read_text())
    kept = [each["bbox"] for each in file["annotations"] if each["id"] == 1]
    assert kept == ([bad["bbox"]] if message.endswith("labels") else [])  # evaluation counts it


def test_boxes_are_normalised_and_clipped(tmp_path: Path) -> None:
    boxes = [annotation(1, [10, 12, 20, 30]), annotation(2, [-10, 30, 30, 60]), annotation(3, ["0", 0, 100.4, 60])]
    report, out = converted(tmp_path, coco(annotations=boxes))
    expected = [[0, 0.2, 27 / 60, 0.2, 0.5], [0, 0.1, 0.75, 0.2, 0.5], [0, 0.5, 0.5, 1, 1]]
    assert rows(out) == [pytest.approx(row, abs=1e-6) for row in expected]
    assert not report
    assert messages(report, "annotations changed") == ["annotation 2: it reached over the border; clipped to the image"]


def test_crowds_are_counted_and_masks_become_boxes(tmp_path: Path) -> None:
    mask = {"counts": [1, 2], "size": [60, 100]}
    entries = [annotation(1, segmentation=mask, iscrowd=1), annotation(2, segmentation=mask, iscrowd=0)]
    report, out = converted(tmp_path, coco(annotations=entries))
    assert len(rows(out)) == 1
    assert report
    assert report.counts["crowd regions left out"] == 1
    assert messages(report, "annotations changed") == ["annotation 2: a mask (RLE); its box is written"]


@pytest.mark.parametrize(
    "outline",
    [[[1, 2, 3, 4]], [[math.nan] * 8], [["a"] * 6], "text", [[200, 0, 250, 0, 250, 50]], [[0, 50, 5, 50, 5, 55]], [[]]],
    ids=["two points", "nan", "words", "no list", "outside", "elsewhere", "empty"],
)
def test_a_bad_outline_leaves_the_box(tmp_path: Path, outline: Any) -> None:
    report, out = converted(tmp_path, coco(annotations=[annotation(1, (60, 5, 20, 30), segmentation=outline)]))
    assert rows(out) == [pytest.approx([0, 0.7, 20 / 60, 0.2, 0.5], abs=1e-6)]
    assert "box is written" in messages(report, "annotations changed")[0]


def test_an_outline_without_box_or_wrapping_will_do(tmp_path: Path) -> None:
    entries = [annotation(1, None, segmentation=[10, 10, 30, 10, 30, 40]), annotation(2, [], segmentation=[])]
    report, out = converted(tmp_path, coco(annotations=entries))
    assert rows(out) == [pytest.approx([0, 0.1, 1 / 6, 0.3, 1 / 6, 0.3, 4 / 6], abs=1e-6)]
    assert messages(report, "annotations left out") == ["annotation 2: it has neither a bbox nor an outline; left out"]


# ---- COCO: classes and images ---------------------------------------------------------------------------------------


def test_classes_count_from_0_in_the_order_of_their_ids(tmp_path: Path) -> None:
    categories = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "no"}]
    _, out = converted(tmp_path, coco(categories=categories, annotations=[annotation(1) | {"category_id": 90}]))
    assert rows(out)[0][0] == 2
    assert open_source(out / "data.yaml").names == ("person", "no", "toothbrush")
    assert yaml.safe_load((out / "data.yaml").read_text())["train"] == "images/train"


def test_images_without_a_size_are_measured(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.jpg", "width": None, "height": 0}]
    _, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert rows(out) == [pytest.approx([0, 0.2, 25 / 60, 0.2, 0.5], abs=1e-6)]


def test_an_image_of_another_size_than_stated_is_noted(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.jpg", "width": 200, "height": 120}]
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert rows(out) == [pytest.approx([0, 0.1, 25 / 120, 0.1, 0.25], abs=1e-6)]
    assert "100 x 60, stated is 200 x 120" in messages(report, "images of another size than stated")[0]


def test_subfolders_background_images_and_missing_ones(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "images" / "day 1" / "ü.png")
    write_image(tmp_path / "in" / "b.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no image")
    names = {7: "day 1\\ü.png", 8: "b.jpg", 9: "missing.jpg", 10: "broken.jpg", 11: None}
    images = [{"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} for number, name in names.items()]
    lost = annotation(2) | {"image_id": 9}
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1), lost]))
    assert (out / "images/train/day 1/ü.png").is_file()
    assert len(rows(out, "day 1/ü")) == 1
    assert rows(out, "b") == []
    assert report.counts == {
        "images": 2,
        "labelled": 1,
        "background": 1,
        "objects": 1,
        "images left out": 3,
        "images that no annotation file lists": 1,  # a.jpg
    }
    nameless, missing, broken = messages(report, "images left out")
    assert "image 9 (missing.jpg): no such file" in missing
    assert "with its 1 annotations" in missing
    assert "image 10 (broken.jpg): not an image" in broken
    assert "image 11 (None): it has no file_name" in nameless
    assert len(open_source(out / "data.yaml")) == 2


@pytest.mark.parametrize("place", ["images/val2017", "val2017", "images", "images/train"])
def test_images_are_looked_for_in_the_usual_places(tmp_path: Path, place: str) -> None:
    write_image(tmp_path / "coco" / place / "x.jpg")
    path = tmp_path / "coco" / "annotations" / "instances_val2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps(coco(images=[{"id": 7, "file_name": "x.jpg"}], annotations=[annotation(1)])))
    assert convert_coco(path, tmp_path / "out").objects == 1


@pytest.mark.parametrize("name", ["../../evil.jpg", "/tmp/evil.jpg", "..\\..\\evil.jpg", "C:\\evil.jpg"])
def test_nothing_is_written_outside_the_new_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "in" / "evil.jpg")
    images = [{"id": 7, "file_name": name, "width": WIDTH, "height": HEIGHT}]
    _, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert [path.name for path in (out / "images/train").iterdir()] == ["evil.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_two_images_with_one_label_file(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png")
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "a.png"}]
    report, out = converted(tmp_path, coco(images=images, annotations=[annotation(1)]))
    assert len(rows(out)) == 1
    assert "an image before it has the same name" in messages(report, "images left out")[0]


def test_images_are_linked_copied_or_left_where_they_are(tmp_path: Path) -> None:
    original = write_image(tmp_path / "in" / "a.jpg")
    content = coco(annotations=[annotation(1)])
    (tmp_path / "in" / "a.json").write_text(json.dumps(content))
    for placing in ("link", "copy", "none"):
        convert_coco(tmp_path / "in" / "a.json", tmp_path / placing, placing=placing)
        assert len(rows(tmp_path / placing)) == 1
    assert (tmp_path / "link/images/train/a.jpg").samefile(original)
    assert not (tmp_path / "copy/images/train/a.jpg").samefile(original)
    assert (tmp_path / "copy/images/train/a.jpg").read_bytes() == original.read_bytes()
    assert list((tmp_path / "none/images/train").iterdir()) == []


def test_without_links_images_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    _, out = converted(tmp_path, coco())
    assert (out / "images/train/a.jpg").read_bytes() == (tmp_path / "in/a.jpg").read_bytes()


def test_labels_alone_need_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco(annotations=[annotation(1)])))
    convert_coco(tmp_path / "a.json", tmp_path / "out", placing="none")
    assert len(rows(tmp_path / "out")) == 1


# ---- COCO: what cannot be converted ---------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert converted(tmp_path, coco())[0].images == 1  # an empty one is not
    with pytest.raises(FileExistsError, match="folder"):
        converted(tmp_path, coco())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([], "'images'"),
        (coco(annotations=None), "'annotations'"),
        (coco(images=[1]), "'images'"),
        (coco(categories=[{"name": "cat"}]), "id"),
        (coco(categories=[]), "categories"),
    ],
)
def test_what_is_no_coco_file(tmp_path: Path, content: Any, match: str) -> None:
    with pytest.raises(DatasetError, match=match):
        converted(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError, match="annotation file"):
        convert_coco(path, tmp_path / "out")
    path.write_text("{")
    with pytest.raises(DatasetError, match="JSON"):
        convert_coco(path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="folder of images"):
        convert_coco(path, tmp_path / "out", images=tmp_path / "nothing")
    with pytest.raises(ValueError, match="train, val, test"):
        convert_coco({"training": path}, tmp_path / "out")
    with pytest.raises(ValueError, match="link, copy, none"):
        convert_coco(path, tmp_path / "out", placing="move")


def test_two_files_must_agree_about_categories(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco()))
    (tmp_path / "b.json").write_text(json.dumps(coco(categories=[{"id": 3, "name": "dog"}])))
    with pytest.raises(DatasetError, match=r"category 3.*'dog'.*'cat'.*a\.json"):
        convert_coco({"train": tmp_path / "a.json", "val": tmp_path / "b.json"}, tmp_path / "out")


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo_lite.datasets.convert.converted._place", interrupt)
    with pytest.raises(KeyboardInterrupt):
        converted(tmp_path, coco())
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("name", "expected"), [("a/b.jpg", "a/b.jpg"), ("/x/b.jpg", "b.jpg"), ("http://host/b.jpg", "b.jpg"), (".", "")]
)
def test_below(name: str, expected: str) -> None:
    assert str(below(name)).strip(".") == expected


# ---- VOC ------------------------------------------------------------------------------------------------------------


def test_voc_counts_pixels_from_1(tmp_path: Path) -> None:
    whole, one_pixel = voc_object("dog", (1, 1, WIDTH, HEIGHT)), voc_object("cat", ("11.0", 21, 11, 21))
    report = convert_voc(voc(tmp_path, {"a": whole + one_pixel}), tmp_path / "out")
    assert rows(tmp_path / "out") == [
        pytest.approx([1, 0.5, 0.5, 1, 1], abs=1e-6),
        pytest.approx([0, 0.105, 20.5 / 60, 0.01, 1 / 60], abs=1e-6),
    ]
    assert not report
    assert open_source(tmp_path / "out" / "data.yaml").names == ("cat", "dog")
    convert_voc(tmp_path / "VOC", tmp_path / "zero", one_based=False)
    assert rows(tmp_path / "zero")[0] == pytest.approx([1, 0.505, 30.5 / 60, 0.99, 59 / 60], abs=1e-6)


def test_voc_there_and_back(shared: Path, tmp_path: Path) -> None:
    """All boxes of BCCD's val split: whole pixels, so that VOC can hold them."""
    source = open_source(shared / "data" / "bccd" / "data.yaml", "val")
    files: dict[str, str] = {}
    for index, path in enumerate(source.paths):
        height, width = source.sizes[index].tolist()
        labels = source.labels.of(index)
        centre, half = labels.boxes[:, :2].astype(float), labels.boxes[:, 2:].astype(float) / 2
        corners = np.concatenate([centre - half, centre + half], 1) * ([width, height] * 2)
        whole = corners.round()
        assert np.allclose(corners, whole, atol=0.01)
        names = [source.names[cls] for cls in labels.cls]
        files[Path(path).stem] = "".join(
            voc_object(name, (box[0] + 1, box[1] + 1, box[2], box[3])) for name, box in zip(names, whole, strict=True)
        )
        assert (height, width) == (480, 640)
    folder = tmp_path / "VOC"
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").symlink_to(Path(source.paths[0]).parent)
    for stem, objects in files.items():
        (folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
    report = convert_voc(folder, tmp_path / "out", source.names)
    assert not report
    after = open_source(tmp_path / "out" / "data.yaml")
    assert after.names == source.names
    for index in range(len(source)):
        assert np.array_equal(after.labels.of(index).cls, source.labels.of(index).cls)
        assert np.allclose(after.labels.of(index).boxes, source.labels.of(index).boxes, atol=2e-5)


def test_voc_splits(tmp_path: Path) -> None:
    folder = voc(tmp_path, {stem: voc_object("dog", (1, 1, 9, 9)) for stem in ("a", "b", "c.d", "e")})
    image_sets(
        folder, train="a\nc.d\n\n", val="b 1\n", trainval="a\nb\nc.d\n", test="gone\ne.jpg\n", dog_train="a -1\n"
    )
    report = convert_voc(folder, tmp_path / "out")
    stems = {
        split: sorted(p.stem for p in (tmp_path / "out/labels" / split).iterdir()) for split in ("train", "val", "test")
    }
    assert stems == {"train": ["a", "c.d"], "val": ["b"], "test": ["e"]}
    assert report.counts["images left out"] == 1
    assert "gone.xml" in str(report)
    (folder / "ImageSets/Main/train.txt").unlink()
    (folder / "ImageSets/Main/val.txt").unlink()
    assert convert_voc(folder, tmp_path / "two").images == 4


def test_voc_names_choose_the_classes(tmp_path: Path) -> None:
    objects = voc_object("dog", (1, 1, 9, 9)) + voc_object("cat", (1, 1, 9, 9)) + voc_object("cow", (2, 2, 9, 9))
    report = convert_voc(voc(tmp_path, {"a": objects}), tmp_path / "out", ["dog", "cat"])
    assert [row[0] for row in rows(tmp_path / "out")] == [0, 1]
    (problem,) = report.problems
    assert str(problem).endswith("a.xml:4: class 'cow' is not one of those asked for; left out")


def test_voc_difficult_objects(tmp_path: Path) -> None:
    objects = voc_object("dog", (1, 1, 9, 9), "<difficult>1</difficult>") + voc_object("dog", (2, 2, 9, 9))
    folder = voc(tmp_path, {"a": objects})
    assert convert_voc(folder, tmp_path / "all").objects == 2
    report = convert_voc(folder, tmp_path / "easy", difficult=False)
    assert report.objects == 1
    assert report.counts["difficult objects left out"] == 1
    assert not report


@pytest.mark.parametrize(
    "box", [("nan", 1, 9, 9), (9, 9, 1, 1), (200, 1, 210, 9), ("", 1, 9, 9), ("x", 1, 9, 9)], ids=str
)
def test_a_bad_voc_object_is_left_out_with_its_line(tmp_path: Path, box: tuple[Any, ...]) -> None:
    folder = voc(tmp_path, {"a": voc_object("dog", (1, 1, 9, 9)) + voc_object("dog", box)})
    report = convert_voc(folder, tmp_path / "out")
    assert report.objects == 1
    (problem,) = report.problems
    assert (Path(problem.path).name, problem.line) == ("a.xml", 3)


def test_parts_of_an_object_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    convert_voc(voc(tmp_path, {"a": voc_object("person", (1, 1, 9, 9), part)}), tmp_path / "out")
    assert rows(tmp_path / "out") == [pytest.approx([0, 0.045, 0.075, 0.09, 0.15], abs=1e-6)]


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotation><filename>&b;</filename></annotation>'
LEAK = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'


@pytest.mark.parametrize("content", [BOMB, LEAK, "<!DOCTYPE a><annotation/>"])
def test_xml_with_a_dtd_is_refused(tmp_path: Path, content: str) -> None:
    folder = voc(tmp_path, {"a": voc_object("dog", (1, 1, 9, 9)), "b": ""})
    (folder / "Annotations" / "b.xml").write_text(content)
    report = convert_voc(folder, tmp_path / "out")
    assert report.images == 1
    assert "declares a DTD" in messages(report, "images left out")[0]


@pytest.mark.parametrize("content", ["", "<annotation>", "no xml", "<a>&b;</a>", "<a></b>"])
def test_broken_xml_is_reported(tmp_path: Path, content: str) -> None:
    folder = voc(tmp_path, {"a": voc_object("dog", (1, 1, 9, 9)), "b": ""})
    (folder / "Annotations" / "b.xml").write_text(content)
    report = convert_voc(folder, tmp_path / "out")
    assert report.images == 1
    assert report.counts["images left out"] == 1


def test_voc_sizes_come_from_the_image_where_they_are_missing(tmp_path: Path) -> None:
    convert_voc(voc(tmp_path, {"a": voc_object("dog", (1, 1, 50, 30))}, size=(0, 0)), tmp_path / "out")
    assert rows(tmp_path / "out") == [pytest.approx([0, 0.25, 0.25, 0.5, 0.5], abs=1e-6)]


def test_xml_files_beside_their_images_will_do(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "other name.png")
    text = f"<annotation><filename>other name.png</filename>{voc_object('dog', (1, 1, 9, 9))}</annotation>"
    (tmp_path / "in" / "a.xml").write_text(text)
    (tmp_path / "in" / "b.xml").write_text(text.replace("other name", "missing"))
    report = convert_voc(tmp_path / "in", tmp_path / "out")
    assert report.images == 1
    assert (tmp_path / "out/images/train/other name.png").is_file()
    assert len(open_source(tmp_path / "out").labels.of(0).cls) == 1
    assert "no image b.jpg" in messages(report, "images left out")[0]


def test_what_is_no_voc_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\.xml"):
        convert_voc(tmp_path, tmp_path / "out")
    with pytest.raises(DatasetError, match="object"):
        convert_voc(voc(tmp_path, {"a": ""}), tmp_path / "out")
