"""COCO's annotation file beside a dataset: written by convert, found by evaluate, compared with pycocotools."""

import json
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import yolo_lite as yl
from tests.detect.detectors import Replay
from tests.support.coco_worlds import pycocotools_evaluation, random_detections, random_objects
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.data.report import DatasetWarning
from yolo_lite.datasets.convert import convert_coco
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.metrics import Metrics
from yolo_lite.model.yolo import create_model
from yolo_lite.support.coco_truth import read_truth
from yolo_lite.support.ground_truth import image_ids

NAMES = ("cat", "dog", "bird")
SIZE = 320
IDS = (902, 17, 355, 64, 128, 5)  # of the images, not in the order of their names


def coco_content(seed: int = 0) -> dict[str, Any]:
    """Six images of 320 x 320 px; categories 30, 20, 10."""
    generator = np.random.default_rng(seed)
    images, annotations = [], []
    for place, number in enumerate(IDS):
        images.append({"id": number, "file_name": f"{place}.png", "width": SIZE, "height": SIZE})
        for cls, x, y, w, h, area, crowd in random_objects(generator).tolist():
            bbox = [x, y, min(w, SIZE - x), min(h, SIZE - y)]
            entry = {"image_id": number, "category_id": 10 + 10 * int(cls), "bbox": bbox, "area": area}
            annotations.append({"id": len(annotations) + 1, **entry, "iscrowd": int(crowd)})
    categories = [{"id": 10 + 10 * cls, "name": name} for cls, name in reversed(list(enumerate(NAMES)))]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The dataset that convert makes of it."""
    (tmp_path / "in").mkdir()
    for place in range(len(IDS)):
        cv2.imwrite(str(tmp_path / f"in/{place}.png"), np.full((SIZE, SIZE, 3), 90, np.uint8))
    (tmp_path / "in/val.json").write_text(json.dumps(coco_content()))
    convert_coco({"val": tmp_path / "in/val.json"}, tmp_path / "out", crowd="drop")
    return tmp_path / "out"


def replay(content: dict[str, Any], names: tuple[str, ...] = NAMES, seed: int = 1) -> Replay:
    """A detector that finds something near the objects, in the order of the files."""
    generator = np.random.default_rng(seed)
    decoded = []
    for number in IDS:
        own = [entry for entry in content["annotations"] if entry["image_id"] == number]
        objects = np.array([[e["category_id"] / 10 - 1, *e["bbox"], 1, e["iscrowd"]] for e in own]).reshape(-1, 7)
        found = random_detections(generator, objects)
        rows = torch.zeros(1, 40, 8)
        xyxy = torch.from_numpy(found[:, :4].clip(0, SIZE))
        rows[0, : len(found), :4] = torch.cat(((xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]), 1)
        rows[0, : len(found), 4] = torch.from_numpy(found[:, 4])
        classes = [names.index(NAMES[int(cls)]) for cls in found[:, 5]]
        rows[0, torch.arange(len(found)), 5 + torch.tensor(classes, dtype=torch.long)] = 1
        decoded.append(rows)
    return Replay(names, decoded)


def figures(source: Any, names: tuple[str, ...] = NAMES, **options: Any) -> Metrics:
    model = replay(coco_content(), names)
    given = {} if isinstance(source, YoloDataset | torch.utils.data.DataLoader) else {"img_size": SIZE, "rect": False}
    if not isinstance(source, torch.utils.data.DataLoader):
        given["batch_size"] = 1
    return evaluate(model, source, keep_detections=True, iou_thres=1.0, **given, **options)


def said(*arguments: Any, **options: Any) -> tuple[Metrics, str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        metrics = figures(*arguments, **options)
    return metrics, " ".join(str(each.message) for each in found)


def assert_equal(metrics: Metrics, stats: np.ndarray) -> None:
    found = [-1 if value is None else value for value in metrics.coco]
    np.testing.assert_allclose(found, stats, rtol=0, atol=1e-15)  # the last bit depends on the order of a sum
    assert [metrics.map, metrics.map50, metrics.map75] == found[:3]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("names", [NAMES, ("bird", "cat", "dog")])
def test_the_results_of_a_converted_set_score_as_printed(folder: Path, names: tuple[str, ...]) -> None:
    if names != NAMES:
        warnings.filterwarnings("ignore", "class names")
    metrics = figures(folder / "data.yaml", names)
    assert metrics.annotations == str(folder / "annotations/instances_val.json")
    assert "crowd regions of" in str(metrics)
    metrics.save_json(folder / "results.json")
    results = json.loads((folder / "results.json").read_text())
    assert len(results) == sum(len(image.conf) for image in metrics.detections)
    for file in (folder.parent / "in/val.json", folder / "annotations/instances_val.json"):
        assert_equal(metrics, pycocotools_evaluation(json.loads(file.read_text()), results).stats)
    assert metrics.coco != figures(folder / "data.yaml", names, annotations=False).coco


def test_the_written_file_is_the_original_without_outlines(folder: Path) -> None:
    written, original = json.loads((folder / "annotations/instances_val.json").read_text()), coco_content()
    assert [image["id"] for image in written["images"]] == list(IDS)
    assert written["categories"] == original["categories"][::-1]
    assert written["annotations"] == original["annotations"]
    assert sum(annotation["iscrowd"] for annotation in written["annotations"]) > 2


def test_detections_are_in_pixels_of_the_original(folder: Path) -> None:
    metrics = figures(folder)
    assert [Path(image.path).name for image in metrics.detections] == [f"{place}.png" for place in range(6)]
    assert [image.image_id for image in metrics.detections] == list(IDS)
    first = metrics.detections[0]
    row = replay(coco_content()).decoded[0][0, 0]
    x, y, w, h = row[:4].tolist()
    np.testing.assert_allclose(first.xyxy[0], [x - w / 2, y - h / 2, x + w / 2, y + h / 2], atol=1e-3)
    assert first.conf[0] == row[4]
    assert first.cls[0] == row[5:].argmax()
    assert first.size == (SIZE, SIZE)
    assert sum(len(image.labels) for image in metrics.detections) == metrics.num_labels
    assert "detections" not in json.loads(json.dumps(metrics.to_dict()))


def test_without_the_file_labels_are_written_for_pycocotools(folder: Path) -> None:
    metrics = figures(folder, annotations=False)
    assert metrics.annotations == ""
    assert "areas of the boxes" in str(metrics)
    metrics.save_json(folder / "results.json", folder / "labels.json")
    files = (json.loads((folder / name).read_text()) for name in ("labels.json", "results.json"))
    assert_equal(metrics, pycocotools_evaluation(*files).stats)
    with pytest.raises(ValueError, match="instances_val"):
        figures(folder).save_json(folder / "results.json", folder / "labels.json")


def test_detections_that_were_not_kept_get_a_sentence(folder: Path) -> None:
    metrics = evaluate(replay(coco_content()), folder, img_size=SIZE, batch_size=1)
    with pytest.raises(ValueError, match="keep_detections=True"):
        metrics.save_json(folder / "results.json")


def change_a_label(folder: Path) -> None:
    path = next(path for path in (folder / "labels/val").iterdir() if path.stat().st_size)
    cls, *values = path.read_text().splitlines()[0].split()
    rest = "".join(path.read_text().splitlines(keepends=True)[1:])
    path.write_text(f"{(int(cls) + 1) % 3} {' '.join(values)}\n{rest}")


def add_a_label(folder: Path) -> None:
    with (folder / "labels/val/0.txt").open("a") as file:
        file.write("0 0.9 0.9 0.05 0.05\n")


def resize_an_image(folder: Path) -> None:
    (folder / "images/val/0.png").unlink()  # it is a link to the original
    cv2.imwrite(str(folder / "images/val/0.png"), np.zeros((SIZE // 2, SIZE // 2, 3), np.uint8))


def rename_an_image(folder: Path) -> None:
    for kind, suffix in (("images", "png"), ("labels", "txt")):
        (folder / f"{kind}/val/0.{suffix}").rename(folder / f"{kind}/val/!.{suffix}")


def drop_a_category(folder: Path) -> None:
    path = folder / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "lion"
    content["categories"].append({"id": 99, "name": "cow"})
    path.write_text(json.dumps(content))


def cut_the_file(folder: Path) -> None:
    path = folder / "annotations/instances_val.json"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_a_label, "labels of 1 images differ"),
        (add_a_label, "labels of 1 images differ"),
        (resize_an_image, "is 160 x 160 pixels, and 320 x 320"),
        (rename_an_image, "1 of 6 images are not in"),
        (drop_a_category, "4 categories, the dataset 3"),
        (cut_the_file, "not valid JSON"),
    ],
)
def test_a_file_that_does_not_fit_is_said_and_not_used(folder: Path, change: Any, words: str) -> None:
    change(folder)
    expected = figures(folder, annotations=False)
    found, message = said(folder)
    assert words in message
    assert "instances_val.json" in message
    assert found.coco == expected.coco
    assert found.annotations == ""
    if "labels" not in words:  # a file that was asked for
        with pytest.raises(ValueError, match=words):
            figures(folder, annotations=folder / "annotations/instances_val.json")


def test_chosen_classes_are_compared_with_the_file_and_one_of_all_is_said(folder: Path) -> None:
    part = YoloDataset(folder, SIZE, split="val", classes=["dog", "cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = evaluate(Replay(("dog", "cat"), [torch.zeros(1, 1, 7)] * 6), part, batch_size=1)
    assert metrics.annotations
    alike = YoloDataset(folder, SIZE, split="val", single_cls=True)
    with pytest.warns(UserWarning, match="if it was not opened with classes or names of its own"):
        evaluate(Replay(("object",), [torch.zeros(1, 1, 6)] * 6), alike, batch_size=1)


def test_a_file_that_was_asked_for_is_used_although_labels_differ(folder: Path) -> None:
    before = figures(folder)
    add_a_label(folder)
    found, message = said(folder, annotations=folder / "annotations/instances_val.json")
    assert "differ" in message
    assert found.coco == before.coco


def test_an_annotation_of_id_0_counts_as_pycocotools_counts_it(folder: Path) -> None:
    file = folder / "annotations/instances_val.json"
    truth, before = json.loads(file.read_text()), figures(folder)
    for annotation in truth["annotations"]:
        annotation["id"] -= 1
    file.write_text(json.dumps(truth))
    found, message = said(folder, annotations=file)
    assert "id 0, of" in message
    assert "Found annotation" not in message
    assert_equal(found, pycocotools_evaluation(truth, found.coco_results()).stats)
    assert found.map < before.map


def test_images_that_are_gone_are_said(folder: Path) -> None:
    (folder / "images/val/5.png").unlink()
    found, message = said(folder)
    assert "lists 6 images, and 5 of them" in message
    assert found.num_images == 5
    results = found.coco_results()
    truth = json.loads((folder / "annotations/instances_val.json").read_text())
    truth["images"] = [image for image in truth["images"] if image["id"] != IDS[5]]
    truth["annotations"] = [each for each in truth["annotations"] if each["image_id"] != IDS[5]]
    assert_equal(found, pycocotools_evaluation(truth, results).stats)


def test_a_missing_file_is_an_error_at_once(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other\.json"):
        figures(folder, annotations=folder / "other.json")
    with pytest.raises(FileNotFoundError, match=r"other\.json"):
        evaluate(Replay(NAMES, []), [], annotations=folder / "other.json")


def test_a_loader_of_a_part_takes_the_file_too(folder: Path) -> None:
    dataset = YoloDataset(folder, SIZE, split="val")
    part = torch.utils.data.Subset(dataset, range(4))
    loader = create_dataloader(dataset, 1)
    of_part = torch.utils.data.DataLoader(part, batch_size=1, collate_fn=loader.collate_fn)
    whole, cut = figures(loader), figures(of_part)
    assert whole.annotations == cut.annotations != ""
    assert whole.detections[3].image_id == cut.detections[3].image_id == IDS[3]
    assert cut.num_images == 4


@pytest.mark.filterwarnings("error")
def test_plain_batches_take_it_when_they_are_read(folder: Path) -> None:
    batches = list(create_dataloader(folder, 1, split="val", img_size=SIZE))
    found = evaluate(replay(coco_content()), batches, iou_thres=1.0)
    assert found.coco == figures(folder).coco
    assert found.annotations


def test_crowds_that_are_kept_are_labels_and_crowds_all_the_same(folder: Path) -> None:
    convert_coco({"val": folder.parent / "in/val.json"}, folder.parent / "kept", crowd="keep")
    written = json.loads((folder.parent / "kept/annotations/instances_val.json").read_text())
    assert written["annotations"] == coco_content()["annotations"]
    found, message = said(folder.parent / "kept")
    assert not message
    assert found.num_labels > figures(folder).num_labels
    assert found.coco == figures(folder).coco
    assert f"{found.num_objects} objects, their areas and {found.num_crowds} crowd regions of" in str(found)
    assert found.num_objects + found.num_crowds == len(written["annotations"])


def test_crowds_alone_that_are_kept_are_objects(folder: Path) -> None:
    content = coco_content()
    for each in content["annotations"]:
        each["iscrowd"] = 1
    (folder.parent / "in/val.json").write_text(json.dumps(content))
    report = convert_coco({"val": folder.parent / "in/val.json"}, folder.parent / "kept", crowd="keep")
    assert "and counts as an object" in str(report)
    assert said(folder.parent / "kept")[0].num_crowds == 0


@pytest.mark.parametrize("crowd", ["drop", "keep"])
def test_what_no_label_can_hold_is_counted_as_pycocotools_counts_it(folder: Path, crowd: Any) -> None:
    content = coco_content()
    for bbox in ([50, 60, 0, 30], [70, 20, 12, 0], [SIZE + 9, 5, 20, 20]):
        place = {"image_id": IDS[1], "category_id": 20, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0}
        content["annotations"].append({"id": 7 * len(content["annotations"]) + 1000, **place})
    content["annotations"].sort(key=lambda each: IDS.index(each["image_id"]))
    (folder.parent / "in/val.json").write_text(json.dumps(content))
    report = convert_coco({"val": folder.parent / "in/val.json"}, folder.parent / "more", crowd=crowd)
    assert report.counts["annotations left out"] == 3
    assert "left out of the labels" in str(report)
    written = json.loads((folder.parent / "more/annotations/instances_val.json").read_text())
    assert written["annotations"] == content["annotations"]
    metrics, message = said(folder.parent / "more")
    assert "differ" not in message
    assert_equal(metrics, pycocotools_evaluation(content, metrics.coco_results()).stats)
    assert metrics.coco != figures(folder).coco


def test_a_category_that_the_dataset_leaves_out_is_left_out_of_the_file(folder: Path) -> None:
    names = ("bird", "cat")
    dataset = YoloDataset(folder, SIZE, split="val", classes=names)
    found = evaluate(create_model("yolov5n", names=names), create_dataloader(dataset, 1), keep_detections=True)
    content = coco_content()
    assert found.annotations
    assert found.category_ids == (30, 10)
    assert found.num_objects == sum(e["category_id"] != 20 and not e["iscrowd"] for e in content["annotations"])


def test_a_turned_and_a_resized_picture_count_in_their_own_pixels(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), np.zeros((100, 200, 3), np.uint8))
    image = {"id": "a", "file_name": "a.png", "width": 400, "height": 200}
    box = {"id": 1, "image_id": "a", "category_id": "c", "bbox": [40, 20, 100, 60], "area": 3000}
    turned = {**box, "id": 2, "bbox": [200, 100, 80, 40], "area": 3200, "attributes": {"rotation": 90}}
    content = {"images": [image], "annotations": [box, turned], "categories": [{"id": "c", "name": "cat"}]}
    (tmp_path / "in/a.json").write_text(json.dumps(content))
    convert_coco(tmp_path / "in/a.json", tmp_path / "out")
    truth = read_truth(tmp_path / "out/annotations/instances_train.json")
    assert (truth.images[0].image_id, truth.images[0].size, truth.category_ids) == (1, (100, 200), (0,))
    expected = [[0, 20, 10, 50, 30, 750, 0], [0, 110, 40, 20, 40, 800, 0]]
    np.testing.assert_allclose(truth.images[0].objects, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("default", DatasetWarning)
        found = evaluate(Replay(("cat",), [torch.zeros(1, 1, 6)]), tmp_path / "out", split="train", img_size=64)
    assert found.annotations


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"images": [{"id": 1, "width": 3, "height": 3}]}, "number 1 of images: it has no 'file_name'"),
        ({"annotations": [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}]}, "no category 5"),
        ({"annotations": [{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}]}, "image 9"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2]}]}, "number 1 of annotations"),
        ({"categories": [{"id": "x", "name": "cat"}]}, "'x' is not a whole number"),
        ({"categories": None}, "lists images, annotations, categories"),
    ],
)
def test_a_file_that_is_not_one_names_the_entry(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    image = {"id": 1, "file_name": "a.png", "width": 3, "height": 3}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "cat"}], **entry}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        read_truth(tmp_path / "a.json")


def test_images_without_a_file_are_numbered_by_their_names() -> None:
    assert image_ids(["x/10.jpg", "x/9.jpg"]) == [10, 9]
    assert image_ids(["x/10.jpg", "y/10.jpg", "a.jpg"]) == [2, 3, 1]


def test_a_trainer_validates_with_it(folder: Path) -> None:
    model = yl.create_model("yolov5n", names=NAMES)
    dataset = YoloDataset(folder, SIZE, split="val")
    trainer = yl.Trainer(model, YoloDataset(folder, SIZE, split="val"), dataset, epochs=1, batch_size=2, rule="coco")
    assert trainer.validate().annotations == str(folder / "annotations/instances_val.json")
