"""Pictures of a run: the numbers of Trainer, Schedule and evaluate at the right place, for few classes and for many."""

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from walkthrough import (
    show_confusion,
    show_f1,
    show_history,
    show_precision_recall,
    show_predictions,
    show_schedule,
)
from walkthrough.heatmap import HeatMap
from walkthrough.render.matplotlib import render_png
from walkthrough.run import MOST_CELLS, MOST_LINES
from walkthrough.scene import Boxes, Chart, Scene, Series, Table
from walkthrough.serialise import from_json, to_json
from walkthrough.style import THEMES
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import ImageResult, summarise
from yolo_lite.detect.metrics import Metrics
from yolo_lite.detect.predict import Detections
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.trainer import Trainer

HISTORY = [
    {"epoch": 0, "train/box": 0.3, "train/obj": 0.2, "mAP50": 0.1, "mAP": 0.05, "lr": 0.1, "seconds": 1.0, "best": 1.0},
    {"epoch": 1, "train/box": 0.2, "train/obj": 0.1, "lr": 0.1, "seconds": 1.0, "best": 0.0},
    {"epoch": 2, "train/box": 0.1, "train/obj": 0.1, "mAP50": 0.4, "mAP": 0.2, "lr": 0.1, "seconds": 1.0, "best": 1.0},
]


def metrics_of(num_classes: int) -> Metrics:
    """Half of the classes are found, with a confidence that grows with the class; the others are taken for class 0."""
    generator = np.random.default_rng(3)
    results = []
    for cls in range(num_classes):
        corner = generator.uniform(0, 50, (4, 2))
        boxes = np.hstack((corner, corner + 20))  # (4, 4)
        said = cls if cls % 2 == 0 else 0
        conf = np.sort(generator.uniform(0.3, 0.4 + 0.6 * (cls + 1) / num_classes, (4, 1)), axis=0)[::-1]
        results.append(
            ImageResult(np.hstack((boxes, conf, np.full((4, 1), said))), np.hstack((np.full((4, 1), cls), boxes)))
        )
    return summarise(results, tuple(f"kind {cls}" for cls in range(num_classes)))


def charts(scene: Scene) -> list[Chart]:
    return [panel for row in scene.rows for panel in row if isinstance(panel, Chart)]


def lines(chart: Chart) -> dict[str, Series]:
    return {mark.name: mark for mark in chart.marks if mark.name}


# ---- history and schedule -------------------------------------------------------------------------------------------


def test_history_counts_epochs_from_one_and_leaves_out_what_was_not_validated() -> None:
    losses, figures = charts(show_history(HISTORY))
    assert lines(losses)["box"].x == (1.0, 2.0, 3.0)
    assert lines(losses)["box"].y == (0.3, 0.2, 0.1)
    assert (lines(figures)["mAP50"].x, lines(figures)["mAP50"].y) == ((1.0, 3.0), (0.1, 0.4))
    assert figures.caption == "best in epoch 3"


def test_history_of_a_trainer_of_its_folder_and_of_its_csv_is_one(tmp_path: Path) -> None:
    model = create_model("yolov5n", num_classes=len(Shapes.names))
    sets = [YoloDataset(Shapes(split, size=64, count=2), 64) for split in ("train", "val")]
    trainer = Trainer(model, *sets, out_dir=tmp_path, epochs=1, batch_size=2, img_size=64, auto_anchors=False)
    trainer.fit()
    with (tmp_path / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, trainer.history[0])
        writer.writeheader()
        writer.writerows(trainer.history)
    scenes = [show_history(run) for run in (trainer, tmp_path, str(tmp_path / "results.csv"), trainer.history)]
    assert all(scene == scenes[0] for scene in scenes)
    assert set(lines(charts(scenes[0])[0])) == {"box", "obj", "cls"}
    with pytest.raises(FileNotFoundError, match="no run"):
        show_history(tmp_path / "elsewhere")


def test_history_of_nothing_yet() -> None:
    assert [chart.marks for chart in charts(show_history([]))] == [(), ()]


def test_schedule_is_read_from_at() -> None:
    schedule = Schedule(Hyperparameters(), epochs=10, batches=50, batch_size=16)
    rate, momentum, accumulation = charts(show_schedule(schedule))
    for chart, name, field in (
        (rate, "biases", "bias_lr"),
        (rate, "weights and norms", "other_lr"),
        (momentum, "momentum", "momentum"),
        (accumulation, "batches per step", "accumulate"),
    ):
        line = lines(chart)[name]
        assert line.y == tuple(getattr(schedule.at(int(place)), field) for place in line.x)
        assert (line.x[0], line.x[-1]) == (0, 499)
    assert rate.caption == "warm-up: the first 150 iterations of 500"


def test_schedule_of_a_long_run_shows_its_warm_up_and_of_a_short_one_no_iteration_that_is_not_there() -> None:
    long = Schedule(Hyperparameters(), epochs=300, batches=7000, batch_size=16)
    places = lines(charts(show_schedule(long))[0])["biases"].x
    assert len(places) < 1000
    assert sum(place <= long.warmup_iterations for place in places) > 100
    assert places[-1] == long.iterations - 1
    short = Schedule(Hyperparameters(warmup_epochs=0), epochs=1, batches=1, batch_size=1)
    assert lines(charts(show_schedule(short))[0])["biases"].x == (0.0,)
    assert lines(charts(show_schedule(long, until=10))[0])["biases"].x == tuple(range(10))


# ---- curves ---------------------------------------------------------------------------------------------------------


def test_a_line_for_each_class_and_for_their_mean() -> None:
    metrics = metrics_of(3)
    (chart,) = charts(show_precision_recall(metrics))
    drawn = lines(chart)
    assert len(drawn) == 4
    for row, cls in enumerate(metrics.per_class):
        line = drawn[f"{cls.name}: AP50 {cls.map50:.2f}"]
        assert line.y == tuple(metrics.curves.precision_at_recall[row].tolist())
        assert line.x == tuple(metrics.curves.recall_axis.tolist())
    assert drawn[f"mean: mAP50 {metrics.map50:.2f}"].y[0] == metrics.curves.precision_at_recall[:, 0].mean()


def test_one_class_is_its_own_mean() -> None:
    (chart,) = charts(show_precision_recall(metrics_of(1)))
    assert [mark.name.split(":")[0] for mark in chart.marks] == ["kind 0"]


def test_of_many_classes_the_best_and_the_worst_are_named_and_none_is_left_out() -> None:
    metrics = metrics_of(80)
    (chart,) = charts(show_precision_recall(metrics))
    named = [name for name in lines(chart) if not name.startswith("mean")]
    assert len(named) <= MOST_LINES
    best = max(metrics.per_class, key=lambda cls: cls.map50)
    worst = min(metrics.per_class, key=lambda cls: cls.map50)
    assert f"AP50 {best.map50:.2f}" in named[0]
    assert f"AP50 {worst.map50:.2f}" in named[-1]
    assert len(chart.marks) == 80 + 1
    assert chart.caption == "named: the best 4 and the worst 4 of 80 classes"


def test_f1_precision_and_recall_against_confidence() -> None:
    metrics = metrics_of(3)
    f1, precision, recall = charts(show_f1(metrics))
    for chart, values in (
        (f1, metrics.curves.f1),
        (precision, metrics.curves.precision),
        (recall, metrics.curves.recall),
    ):
        assert chart.marks[0].y == pytest.approx(values.mean(0))
        assert chart.marks[0].x == tuple(metrics.curves.confidence.tolist())
        assert chart.marks[-1].x == (metrics.best_confidence,) * 2
    assert set(lines(f1)) == {"mean", "kind 0", "kind 1", "kind 2", f"best: {metrics.best_confidence:.2f}"}
    assert lines(precision) == lines(recall) == {}  # named beside the first


# ---- confusion ------------------------------------------------------------------------------------------------------


def test_confusion_has_its_counts_and_shares() -> None:
    matrix = np.array([[8, 1, 4], [0, 3, 0], [2, 0, 0]])
    ((panel,),) = show_confusion(matrix, ["cat", "dog"]).rows
    assert panel.rows == panel.columns == ("cat", "dog", "background")
    assert panel.words == (("8", "1", "4"), ("", "3", ""), ("2", "", ""))
    assert panel.shades[0] == pytest.approx((0.8, 0.25, 1.0))
    assert panel.shades[2] == pytest.approx((0.2, 0.0, 0.0))
    assert repr(show_confusion(matrix)) == (
        "confusion: heat map 3 x 3: detected against true class 0, class 1, background"
    )


def test_confusion_of_many_classes_names_those_that_are_mistaken() -> None:
    metrics = metrics_of(80)
    (heat,), (table,) = show_confusion(metrics).rows
    assert isinstance(heat, HeatMap)
    assert isinstance(table, Table)
    assert len(heat.rows) > MOST_CELLS
    assert table.rows[0] == ("kind 1", "kind 0", "4", "100%")
    assert all(row[0] != row[1] and "background" not in row for row in table.rows)


def test_a_matrix_that_is_none_is_explained() -> None:
    with pytest.raises(ValueError, match=r"\(C \+ 1, C \+ 1\), got \(2, 3\)"):
        show_confusion(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="words must have 2 rows of 1"):
        HeatMap(((0.0,), (0.0,)), (("a",),), ("x", "y"), ("z",))


# ---- predictions ----------------------------------------------------------------------------------------------------


def layers(panel: Any, kind: type) -> list[Any]:
    return [layer for layer in panel.layers if isinstance(layer, kind)]


def detections(dataset: YoloDataset, index: int, shift: float = 0.0) -> Detections:
    objects = dataset.objects(index)
    boxes, count = torch.tensor(objects.boxes) + shift, len(objects.cls)
    return Detections(boxes, torch.linspace(0.9, 0.5, count), torch.tensor(objects.cls), dataset.names)


def test_predictions_stand_beside_the_labels_of_their_image() -> None:
    dataset = YoloDataset(Shapes("val", size=96, count=3), 64)
    found = [detections(dataset, 2), detections(dataset, 0, shift=1000.0)]
    scene = show_predictions(found, dataset, indices=[2, 0])
    ((labels, predicted, _, missed),) = scene.rows
    (true,), (boxes,) = layers(labels, Boxes), layers(predicted, Boxes)
    assert (true.xyxy, true.labels, true.colours) == (boxes.xyxy, boxes.labels, boxes.colours)
    assert labels.width == 96  # the original
    assert (true.dash, boxes.dash) == ("solid", "dashed")
    assert boxes.scores[0] == 0.9
    assert true.scores == ()
    count = len(true.xyxy)
    assert predicted.caption == f"found {count} of {count}, 0 wrong"
    count = len(dataset.objects(0).cls)
    assert missed.caption == f"found 0 of {count}, {count} wrong"
    assert repr(scene) == "labels and predictions of 2 images"


@pytest.mark.parametrize("of", ["dataset", "batch"])
def test_a_model_predicts_by_itself(of: str) -> None:
    dataset = YoloDataset(Shapes("val", size=96, count=5), 64)
    batch = next(iter(create_dataloader(dataset, 3)))
    model = create_model("yolov5n", names=dataset.names)
    scene = show_predictions(model, dataset if of == "dataset" else batch, conf_thres=1e-5, count=4, columns=1)
    assert len(scene.rows) == (4 if of == "dataset" else 3)
    assert layers(scene.rows[0][1], Boxes)[0].labels[0] in dataset.names
    assert scene.rows[0][0].width == (96 if of == "dataset" else 64)


def test_predictions_in_rows_as_suppression_gives_them_and_none_at_all() -> None:
    dataset = YoloDataset(Shapes("val", size=64, count=2), 64)
    found = [torch.zeros(0, 6), torch.tensor([[1.0, 1, 9, 9, 0.7, 2]])]
    ((_, nothing, _, one),) = show_predictions(found, dataset).rows
    assert nothing.caption.startswith("found 0 of")
    assert layers(one, Boxes)[0].labels == (dataset.names[2],)
    with pytest.raises(ValueError, match="predictions of 1 images, but 2 images to show"):
        show_predictions(found[:1], dataset)


# ---- drawn ----------------------------------------------------------------------------------------------------------

SCENES = {
    "history": lambda: show_history(HISTORY),
    "no history": lambda: show_history([]),
    "schedule": lambda: show_schedule(Schedule(Hyperparameters(), 3, 40, 16)),
    "3 classes": lambda: show_precision_recall(metrics_of(3)),
    "80 classes": lambda: show_f1(metrics_of(80)),
    "3 confused": lambda: show_confusion(metrics_of(3)),
    "80 confused": lambda: show_confusion(metrics_of(80)),
    "400 confused": lambda: show_confusion(np.eye(401)),
    "nothing found": lambda: show_confusion(np.zeros((2, 2), int), ["a $name$ without an end " * 9]),
    "no cells": lambda: Scene(((HeatMap((), (), (), ()),),)),
}


@pytest.mark.parametrize("name", SCENES)
def test_every_picture_is_drawn_in_every_theme_without_a_warning(name: str) -> None:
    scene = SCENES[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for theme in THEMES:
            drawn = render_png(scene, theme)
            assert Image.open(io.BytesIO(drawn.data)).format == "PNG"
            assert drawn.width <= 880 + 1


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_a_word_is_seen_on_its_shade(shade: float) -> None:
    drawn = []
    for word in ("8888", ""):
        data = Scene(((HeatMap(((shade,),), ((word,),), ("a",), ("b",)),),)).png("light")
        drawn.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGBA").convert("L")).astype(int))
    difference = np.abs(drawn[0] - drawn[1])
    assert (difference > 80).sum() > 50


def test_a_heat_map_survives_json() -> None:
    scene = show_confusion(np.eye(3), ["a", "b"])
    assert from_json(to_json(scene)) == scene
