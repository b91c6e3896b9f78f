"""evaluate: perfect, blind and mixed-up detectors, on batches made by hand and on drawn scenes."""

import itertools
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detect.detectors import BrightSpot, Replay
from yolo_lite.augment.letterbox import Geometry
from yolo_lite.checkpoints.own import load
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import collate, create_dataloader
from yolo_lite.datasets.shapes import Shapes, export_shapes
from yolo_lite.detect.average_precision import RULES
from yolo_lite.detect.evaluate import ImageResult, evaluate, summarise
from yolo_lite.detect.evaluation_data import open_dataset
from yolo_lite.detect.metrics import Metrics
from yolo_lite.model.yolo import create_model
from yolo_lite.support.coco_ap import coco_average_precision

NAMES = ("cat", "dog", "bird")
PERFECT = {"coco": 1.0, "yolov5": 0.995}
# A 400 x 300 picture in a 256 x 256 input: half the size, and 53 px of gray above and below.
GEOMETRY = Geometry(original_size=(300, 400), ratio=0.5, pad=(28.0, 53.0))
INPUT = 256


def random_labels(seed: int, num_images: int = 4) -> torch.Tensor:
    """(n, 6) image, class, xc, yc, w, h normalised; boxes inside the picture, far from one another."""
    generator = np.random.default_rng(seed)
    rows = []
    for image in range(num_images):
        for column in range(3):
            left, top = 40 + 65 * column + generator.uniform(0, 5), 60 + generator.uniform(0, 60)
            w, h = generator.uniform(15, 50, 2)
            rows.append([image, generator.integers(3), left + w / 2, top + h / 2, w, h])
    labels = torch.tensor(np.array(rows), dtype=torch.float32)
    labels[:, 2:] /= INPUT
    return labels


def batch_of(labels: torch.Tensor, num_images: int = 4, geometry: Geometry | None = GEOMETRY) -> Batch:
    images = torch.full((num_images, 3, INPUT, INPUT), 200, dtype=torch.uint8)
    return Batch(images, labels, tuple(f"{k}.jpg" for k in range(num_images)), (geometry,) * num_images)


def decoded_from(labels: torch.Tensor, num_images: int = 4) -> torch.Tensor:
    """What a detector would say that knows the labels: (N, n, 5 + C)."""
    rows = torch.zeros(num_images, 20, 5 + len(NAMES))
    for image in range(num_images):
        here = labels[labels[:, 0] == image]
        rows[image, : len(here), :4] = here[:, 2:] * INPUT
        rows[image, : len(here), 4] = 0.9
        rows[image, torch.arange(len(here)), 5 + here[:, 1].long()] = 0.9
    return rows


def evaluate_batch(labels: torch.Tensor, decoded: torch.Tensor, **options):
    return evaluate(Replay(NAMES, [decoded]), [batch_of(labels)], **options)


@pytest.mark.parametrize("rule", RULES)
def test_a_detector_that_knows_the_labels(rule) -> None:
    labels = random_labels(0)
    metrics = evaluate_batch(labels, decoded_from(labels), rule=rule)
    assert metrics.map == pytest.approx(PERFECT[rule])
    assert metrics.map50 == metrics.map75 == pytest.approx(PERFECT[rule])
    assert metrics.precision == metrics.recall == pytest.approx(1)
    assert metrics.fitness == pytest.approx(PERFECT[rule])
    counts = torch.bincount(labels[:, 1].long(), minlength=3)
    assert [cls.name for cls in metrics.per_class] == [NAMES[k] for k in range(3) if counts[k]]
    assert [cls.labels for cls in metrics.per_class] == counts[counts > 0].tolist()
    assert metrics.confusion.tolist() == np.diag([*counts.tolist(), 0]).tolist()
    assert (metrics.num_images, metrics.num_labels) == (4, 12)
    assert min(metrics.seconds) >= 0


@pytest.mark.parametrize("rule", RULES)
def test_a_detector_that_sees_nothing(rule) -> None:
    labels = random_labels(1)
    metrics = evaluate_batch(labels, torch.zeros(4, 20, 8), rule=rule)
    assert metrics.map == metrics.map50 == metrics.recall == 0
    assert metrics.confusion[3].sum() == 12


def test_a_detector_that_takes_cats_for_dogs() -> None:
    labels = random_labels(2)
    decoded = decoded_from(labels)
    decoded[..., [5, 6]] = decoded[..., [6, 5]]
    metrics = evaluate_batch(labels, decoded)
    by_name = {cls.name: cls.map for cls in metrics.per_class}
    assert by_name == pytest.approx({"cat": 0, "dog": 0, "bird": 1})
    counts = torch.bincount(labels[:, 1].long(), minlength=3).tolist()
    assert metrics.confusion[1, 0] == counts[0]  # called dog, are cats
    assert metrics.confusion[0, 1] == counts[1]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_coco_figures_are_those_of_the_boxes_in_the_original(seed: int) -> None:
    """Computed here from boxes mapped back by hand."""
    generator = np.random.default_rng(seed)
    labels = random_labels(seed)
    decoded = decoded_from(labels)
    decoded[..., :4] += torch.from_numpy(generator.normal(0, 2, (4, 20, 4))).float()
    decoded[:, :3, 4] = torch.from_numpy(generator.uniform(0.3, 0.9, (4, 3))).float()

    def original(xywh: np.ndarray) -> np.ndarray:
        corners = np.concatenate((xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, :2] + xywh[:, 2:] / 2), 1)
        mapped = (corners - [28, 53, 28, 53]) * 2
        return np.clip(mapped, 0, [400, 300, 400, 300])

    detections, truths = [], []
    for image in range(4):
        rows = decoded[image, :3].double().numpy()
        conf = rows[:, 4] * rows[:, 5:].max(1)
        detections.append(np.column_stack((original(rows[:, :4]), conf, rows[:, 5:].argmax(1))))
        here = labels[labels[:, 0] == image].double().numpy()
        truths.append(np.column_stack((here[:, 1], original(here[:, 2:] * INPUT))))
    expected = coco_average_precision(detections, truths, 3)
    assert evaluate_batch(labels, decoded).map == pytest.approx(np.nanmean(expected), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_how_images_are_batched_changes_nothing(rule) -> None:
    labels = random_labels(3)
    decoded = decoded_from(labels) + 0.3 * torch.rand(4, 20, 8, generator=torch.Generator().manual_seed(0))
    decoded[..., 4:] = decoded[..., 4:].clamp(max=0.95)
    together = evaluate(Replay(NAMES, [decoded]), [batch_of(labels)], rule=rule)
    single = []
    for image in range(4):
        here = labels[labels[:, 0] == image].clone()
        here[:, 0] = 0
        single.append(batch_of(here, num_images=1))
    apart = evaluate(Replay(NAMES, decoded.split(1)), single, rule=rule)
    one, other = together.to_dict(with_curves=True), apart.to_dict(with_curves=True)
    del one["seconds"], other["seconds"]
    assert one == other


def test_a_table_and_json() -> None:
    labels = random_labels(0)
    metrics = evaluate_batch(labels, decoded_from(labels))
    table = str(metrics)
    assert all(word in table for word in ("all", "cat", "dog", "bird", "mAP50", "4 images, coco rule"))
    plain = json.loads(json.dumps(metrics.to_dict()))
    assert plain["map"] == metrics.map
    assert plain["per_class"][0]["name"] == "cat"
    assert "curves" not in plain
    curves = json.loads(json.dumps(metrics.to_dict(with_curves=True)))["curves"]
    assert np.shape(curves["f1"]) == (len(metrics.per_class), len(curves["confidence"]))
    assert np.shape(curves["precision_at_recall"]) == (len(metrics.per_class), len(curves["recall_axis"]))


def test_detections_from_anywhere() -> None:
    labels = np.array([[0, 10, 10, 50, 50]])
    found = np.array([[10, 10, 50, 50, 0.9, 0], [60, 60, 90, 90, 0.95, 0]])
    metrics = summarise([ImageResult(found, labels), ImageResult(np.zeros((0, 6)), np.zeros((0, 5)))], ("cell",))
    assert metrics.map == pytest.approx(0.5)
    assert metrics.num_images == 2
    assert metrics.confusion.tolist() == [[1, 1], [0, 0]]


def test_the_model_keeps_its_mode() -> None:
    model = BrightSpot()
    labels = torch.tensor([[0, 1, 0.5, 0.5, 0.25, 0.25]])
    images = torch.zeros(1, 3, INPUT, INPUT, dtype=torch.uint8)
    images[..., 96:160, 96:160] = 255
    geometry = Geometry((256, 256), 1.0, (0.0, 0.0))
    metrics = evaluate(model, [Batch(images, labels, ("a",), (geometry,))], rule="yolov5")
    assert metrics.map == pytest.approx(0.995)
    assert model.training
    assert model.norm.training


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        ([], "no images"),
        ([batch_of(torch.zeros(0, 6))], "none of the 4 images has a label"),
        ([batch_of(random_labels(0), geometry=None)], "augment=False"),
        ([batch_of(torch.tensor([[0, 3, 0.5, 0.5, 0.1, 0.1]]))], "class 3, but the model's classes are 0 to 2"),
        ([1, 2], "create_dataloader"),
    ],
)
def test_what_cannot_be_evaluated_gets_a_sentence(loader, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(Replay(NAMES, [torch.zeros(4, 20, 8)]), loader)


def test_an_unknown_rule_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="coco, yolov5"):
        evaluate(Replay(NAMES, []), [], rule="voc")  # type: ignore[arg-type]


def test_another_number_of_classes_gets_a_sentence() -> None:
    class Loader(list):
        class dataset:
            num_classes = 80

    with pytest.raises(ValueError, match=r"3 classes.* 80"):
        evaluate(Replay(NAMES, []), Loader())


# ---- classes by name, and the size of the images --------------------------------------------------------------------


class Named(list):
    """Batches of a dataset with class names."""

    def __init__(self, batches: list[Batch], names: tuple[str, ...], img_size: int = INPUT) -> None:
        super().__init__(batches)
        self.dataset = type("Dataset", (), {"names": names, "num_classes": len(names), "img_size": img_size})()


def figures(metrics: Metrics) -> dict:
    return {key: value for key, value in metrics.to_dict(with_curves=True).items() if key != "seconds"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_classes_in_another_order_are_matched_by_name(order: tuple[int, ...]) -> None:
    labels = random_labels(0)
    plain = evaluate(Replay(NAMES, [decoded_from(labels)]), Named([batch_of(labels)], NAMES))
    reordered = labels.clone()
    reordered[:, 1] = torch.tensor([order.index(int(cls)) for cls in labels[:, 1]])
    loader = Named([batch_of(reordered)], tuple(NAMES[index] for index in order))
    before = reordered.clone()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = evaluate(Replay(NAMES, [decoded_from(labels)]), loader)
    assert figures(found) == figures(plain)
    assert found.map == pytest.approx(1)
    assert [("by name" in str(warning.message)) for warning in said] == [True] * (order != (0, 1, 2))
    assert torch.equal(before, reordered)  # the loader's own labels stay as they were


@pytest.mark.parametrize("names", [("0", "1", "2"), ("class0", "class1", "class2"), ("cat", "dog", "crow")])
def test_names_that_differ_are_said_and_compared_by_number(names: tuple[str, ...]) -> None:
    labels = random_labels(0)
    with pytest.warns(UserWarning, match=names[2]):
        metrics = evaluate(Replay(NAMES, [decoded_from(labels)]), Named([batch_of(labels)], names))
    assert metrics.map == pytest.approx(1)
    assert metrics.names == NAMES


@pytest.mark.filterwarnings("error")
def test_capitals_and_spaces_are_nothing_to_speak_of() -> None:
    labels = random_labels(0)
    loader = Named([batch_of(labels)], (" Cat", "DOG", "bird "))
    assert evaluate(Replay(NAMES, [decoded_from(labels)]), loader).map == pytest.approx(1)


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (("dog", "cow", "bird"), "'dog' is class 1 .* class 0.*cow"),
        (("cat", "dog"), "3 classes.*2.*cat"),
        (
            ("Dog", "bird", "cow", "cat"),
            r"4: .*classes=\['cat', 'Dog', 'bird'\].*--classes cat Dog bird",
        ),
    ],
)
def test_classes_that_cannot_be_matched_are_named(names: tuple[str, ...], facts: str) -> None:
    with pytest.raises(ValueError, match=facts):
        evaluate(Replay(NAMES, []), Named([], names))


@pytest.mark.filterwarnings("error")
def test_an_order_that_is_given_is_taken() -> None:
    labels = random_labels(0)
    shifted = labels.clone()
    shifted[:, 1] = (labels[:, 1] + 1) % 3
    loader = Named([batch_of(shifted)], ("x", "y", "z"))
    metrics = evaluate(Replay(NAMES, [decoded_from(labels)]), loader, class_order=[2, 0, 1])
    assert metrics.map == pytest.approx(1)


@pytest.mark.parametrize(("trained", "said"), [(64, True), (100, True), (200, False), (256, False), (512, True)])
def test_another_size_than_the_training_had_is_said(trained: int, said: bool) -> None:
    labels = random_labels(0)
    model = Replay(NAMES, [decoded_from(labels)])
    model.metadata = {"img_size": trained}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        evaluate(model, Named([batch_of(labels)], NAMES))
    assert [str(trained) in str(warning.message) and "256" in str(warning.message) for warning in found] == [
        True
    ] * said


SHAPES = Shapes("val", size=64, count=6)


# ---- what would make figures silently wrong -------------------------------------------------------------------------


def test_a_plain_loader_of_another_size_than_the_training_had_is_said() -> None:
    labels = random_labels(0)
    model = Replay(NAMES, [decoded_from(labels)])
    model.metadata = {"img_size": 640}
    with pytest.warns(UserWarning, match=r"256 px .* trained at 640"):
        evaluate(model, [batch_of(labels)])


def test_augmented_images_are_an_error_before_one_is_read() -> None:
    dataset = YoloDataset(SHAPES, 64, augment=True)
    model = create_model("yolov5n", names=dataset.names)
    for source in (dataset, create_dataloader(dataset, 4)):
        with pytest.raises(ValueError, match="augment=False"):
            evaluate(model, source)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda batch: {"images": batch.images / 255}, r"float32 from .* uint8"),
        (lambda batch: {"images": (batch.images / 255 - 0.5) / 0.2}, r"float32 from .* uint8"),
        (lambda batch: {"targets": batch.targets * torch.tensor([1, 1, *[INPUT] * 4])}, "not in pixels"),
        (lambda batch: {"targets": batch.targets + torch.tensor([4, 0, 0, 0, 0, 0])}, "column 0"),
        (lambda batch: {"targets": batch.targets - torch.tensor([0, 9, 0, 0, 0, 0])}, "class -"),
        (lambda batch: {"paths": batch.paths[:2]}, "2 paths"),
    ],
)
def test_batches_that_would_be_misread_get_a_sentence(change, words: str) -> None:
    labels = random_labels(0)
    batch = batch_of(labels)
    with pytest.raises(ValueError, match=words):
        evaluate(Replay(NAMES, [decoded_from(labels)]), [batch._replace(**change(batch))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda batch: {"images": (batch.images / 255).to(torch.uint8) + 1}, "above 1"),
        (lambda batch: {"geometry": (Geometry((300, 400), 1.0, (0.0, 0.0)),) * 4}, "300 x 400 pixels .* 256 x 256"),
    ],
)
def test_batches_that_look_wrong_are_said_once(change, words: str) -> None:
    labels = random_labels(0)
    batch = batch_of(labels)._replace(**change(batch_of(labels)))
    with pytest.warns(UserWarning, match=words) as said:
        evaluate(Replay(NAMES, [decoded_from(labels)] * 3), [batch] * 3)
    assert len(said) == 1


@pytest.mark.filterwarnings("error")
def test_floats_up_to_255_are_images_too() -> None:
    labels = random_labels(0)
    batch = batch_of(labels)
    found = evaluate(Replay(NAMES, [decoded_from(labels)]), [batch._replace(images=batch.images.float())])
    assert found.map == pytest.approx(1)


def test_output_that_is_not_a_number_is_said() -> None:
    labels = random_labels(0)
    decoded = decoded_from(labels)
    decoded[0, 0, 2] = torch.nan
    with pytest.warns(UserWarning, match="NaN"):
        evaluate_batch(labels, decoded)


def test_a_decode_of_other_classes_gets_a_sentence() -> None:
    labels = random_labels(0)
    with pytest.raises(ValueError, match="2 classes; the model has 3"):
        evaluate_batch(labels, decoded_from(labels)[..., :7])


def test_images_that_the_loader_left_out_are_said() -> None:
    labels = random_labels(0)

    class Loader(Named):
        def __init__(self) -> None:
            super().__init__([batch_of(labels)], NAMES)
            self.dataset.__class__.__len__ = lambda self: 5

    with pytest.warns(UserWarning, match="4 of 5 images"):
        evaluate(Replay(NAMES, [decoded_from(labels)]), Loader())


def test_names_are_found_through_a_subset() -> None:
    dataset = YoloDataset(SHAPES, 64)
    part = torch.utils.data.Subset(dataset, range(3))
    loader = torch.utils.data.DataLoader(part, batch_size=3, collate_fn=collate)
    names = (*dataset.names[1:], dataset.names[0])
    with pytest.warns(UserWarning, match="by name"):
        evaluate(create_model("yolov5n", names=names), loader)


# ---- anything that a dataset is made of -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_a_source_is_opened_as_val_opens_it(tmp_path) -> None:
    export_shapes(tmp_path / "data", ("train", "val"), size=96, count=5)
    dataset = YoloDataset(tmp_path / "data", 96, split="val", rect=True, batch_size=32)
    model = load("shapes-n")
    model.metadata = {"img_size": 128}
    expected = evaluate(model, create_dataloader(dataset, 32))
    folder, train = tmp_path / "data", evaluate(model, tmp_path / "data", img_size=96, split="train")
    for source in (folder / "data.yaml", str(folder), [str(folder / "images/val")], dataset.source):
        assert figures(evaluate(model, source, img_size=96)) == figures(expected)
    assert figures(evaluate(model, dataset)) == figures(expected)
    assert train.num_labels != expected.num_labels
    assert figures(evaluate(model, folder, img_size=96, rect=False, batch_size=2)) != figures(expected)


@pytest.mark.parametrize("option", [{"img_size": 64}, {"split": "val"}, {"rect": True}])
def test_options_that_a_dataset_has_already_are_an_error(option) -> None:
    dataset = YoloDataset(SHAPES, 64)
    model = create_model("yolov5n", names=dataset.names)
    for source in (dataset, create_dataloader(dataset)):
        with pytest.raises(ValueError, match=next(iter(option))):
            evaluate(model, source, **option)


def test_a_model_that_is_a_path_gets_a_sentence() -> None:
    with pytest.raises(TypeError, match="shapes-n"):
        evaluate("shapes-n", "shapes")


def test_a_source_is_opened_at_the_size_of_the_training() -> None:
    model = create_model("yolov5n", num_classes=6)
    model.metadata = {"img_size": 96}
    assert open_dataset(model, SHAPES).img_size == 96
    assert open_dataset(model, SHAPES).rect


# ---- parts of a dataset ---------------------------------------------------------------------------------------------


def results_of(metrics: Metrics) -> list[dict]:
    return sorted(metrics.coco_results(), key=lambda row: (row["image_id"], -row["score"], row["bbox"]))


def test_an_image_has_one_id_in_every_part_of_a_dataset(tmp_path) -> None:
    export_shapes(tmp_path / "data", ("val",), size=128, count=6)
    for path in [*tmp_path.rglob("0*.jpg"), *tmp_path.rglob("0*.txt")]:
        path.rename(path.with_stem(f"p_{path.stem}"))  # a name that is not a number
    model, dataset = load("shapes-n"), YoloDataset(tmp_path / "data", 128, split="val")
    model.metadata = {"img_size": 128}
    whole = evaluate(model, create_dataloader(dataset, 1), keep_detections=True)
    parts = [
        evaluate(model, create_dataloader(dataset.subset(which), 1), keep_detections=True) for which in ([4, 1], [0, 5])
    ]
    rows = [row for part in parts for row in results_of(part)]
    ids = {image.path: image.image_id for image in whole.detections}
    assert all(ids[image.path] == image.image_id for part in parts for image in part.detections)
    assert rows
    assert all(row in results_of(whole) for row in rows)
    parts[0].save_json(tmp_path / "found.json", tmp_path / "labels.json")
    written = json.loads((tmp_path / "labels.json").read_text())
    assert {image["id"] for image in written["images"]} == {image.image_id for image in parts[0].detections}


@pytest.mark.filterwarnings("error")
def test_processes_that_share_a_dataset_have_the_figures_of_one() -> None:
    model, dataset = load("shapes-n"), YoloDataset(Shapes("val", 128, 7), 128)
    model.metadata = {"img_size": 128}
    parts: list[bytes] = []

    def gather(part: object) -> list:  # what World.gathered does, one process after the other
        parts.append(pickle.dumps(part))
        return list(map(pickle.loads, parts))

    first, second = (create_dataloader(dataset, 2, rank=rank, world_size=2) for rank in range(2))
    with pytest.warns(UserWarning, match=r"4 of 7 images.*gather"):
        evaluate(model, first, gather=gather)
    joined = evaluate(model, second, gather=gather, keep_detections=True)
    whole = evaluate(model, create_dataloader(dataset, 2), keep_detections=True)
    assert figures(joined) == figures(whole)
    assert joined.coco_results() == whole.coco_results()
    with pytest.raises(ValueError, match=r"10 images of 7.*rank=world\.rank"):
        evaluate(model, second, gather=gather)
