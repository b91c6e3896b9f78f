"""evaluate: perfect, blind and mixed-up detectors, on batches made by hand and on drawn scenes."""

import itertools
import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detect.detectors import BrightSpot, Replay
from yolo_lite.augment.letterbox import Geometry
from yolo_lite.data.dataset import Batch
from yolo_lite.detect.average_precision import RULES
from yolo_lite.detect.evaluate import ImageResult, evaluate, summarise
from yolo_lite.detect.metrics import Metrics
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
    [(("dog", "cow", "bird"), "'dog' is class 1 .* class 0.*cow"), (("cat", "dog"), "3 classes.*2.*cat")],
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
