"""Pictures of a training run and of what came out: losses, rates, curves, confusion, predictions beside labels.

They draw what Trainer, Schedule and evaluate give, of any model and any dataset.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from walkthrough.charts import numbers, show_table
from walkthrough.heatmap import HeatMap
from walkthrough.images import to_numpy, to_rgb
from walkthrough.scene import Boxes, Chart, Key, Panel, Scene, Series, counted
from walkthrough.show import class_name, labelled_boxes, show_batch, show_image
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.detect.matching import match_detections
from yolo_lite.detect.metrics import Metrics
from yolo_lite.detect.predict import predict
from yolo_lite.running.folder import read_header
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.trainer import Trainer

Rows = Sequence[Mapping[str, Any]]
MOST_LINES, MOST_CELLS, MOST_PAIRS = 9, 14, 12  # classes with a line of their own; cells with a number; rows of a table
MOST_POINTS = 400  # of a schedule's lines: a run may have a million iterations
FAINT = "#8A8A8A40"  # lines without a name
UNIT_RANGE = (-0.02, 1.05)  # the range of an axis that runs from 0 to 1


# ---- while it runs --------------------------------------------------------------------------------------------------


def show_history(run: "Trainer | str | Path | Rows") -> Scene:
    """Losses and figures over the epochs.

    Args:
        run: the Trainer; the folder of its run, or a results.csv; or rows as in ``Trainer.history``.

    >>> show_history([{"epoch": 0, "train/box": 0.1, "mAP50": 0.2}, {"epoch": 1, "train/box": 0.08, "mAP50": 0.4}])
    losses: chart with line 'box' through 2 points, from ≈ 0.1 to ≈ 0.08
    on the validation images: chart with line 'mAP50' through 2 points, from ≈ 0.2 to ≈ 0.4
    """
    rows = _history(run)
    known = dict.fromkeys(name for row in rows for name in row)
    losses = {name.removeprefix("train/"): _line(rows, name) for name in known if name.startswith("train/")}
    figures: dict[str, tuple[list[float], list[float]]] = {
        name: _line(rows, name) for name in ("mAP50", "mAP", "precision", "recall") if name in known
    }
    best = [int(row["epoch"]) + 1 for row in rows if float(row.get("best") or 0)]
    left = _chart(losses, "losses", "epoch", "mean over the epoch's batches")
    right = _chart(figures, "on the validation images", "epoch", "", y_range=UNIT_RANGE)
    return Scene(((left, replace(right, caption=f"best in epoch {best[-1]}" if best else "")),))


def _history(run: Any) -> Rows:
    if isinstance(run, str | Path):
        path = Path(run)
        if path.suffix != ".csv":
            return read_header(path)["history"]
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return getattr(run, "history", run)


def _line(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """Epochs, counted from 1, and values; an epoch without one, because nothing was validated, is left out."""
    points = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row.get(name) not in (None, "")]
    return [epoch for epoch, _ in points], [value for _, value in points]


def show_schedule(schedule: Schedule, until: int | None = None) -> Scene:
    """What ``Schedule.at`` says over the iterations: the learning rate of each group, momentum, batches per step.

    Args:
        until: only this many of the first iterations, those of the warm-up for example.

    >>> from yolo_lite.hyperparameters import Hyperparameters
    >>> print(show_schedule(Schedule(Hyperparameters(), epochs=10, batches=25, batch_size=16)))  # doctest: +ELLIPSIS
    learning rate: chart with line 'biases' through 250 points, from ≈ 0.1 to ≈ 0.001...
    momentum: chart with line 'momentum' through 250 points, from ≈ 0.8 to ≈ 0.937
    accumulation: chart with line 'batches per step' through 250 points, from ≈ 1 to ≈ 4
    """
    count = schedule.iterations if until is None else min(until, schedule.iterations)
    warm = min(schedule.warmup_iterations, count - 1)
    parts = np.linspace(0, count - 1, MOST_POINTS), np.linspace(0, warm, MOST_POINTS // 2), [warm + 1, count - 1]
    places = np.unique(np.concatenate(parts).astype(int).clip(0, count - 1)).tolist()
    rates = [schedule.at(iteration) for iteration in places]
    lines = {
        "learning rate": {"biases": "bias_lr", "weights and norms": "other_lr"},
        "momentum": {"momentum": "momentum"},
        "accumulation": {"batches per step": "accumulate"},
    }
    charts = []
    for title, named in lines.items():
        drawn = {name: (places, [getattr(rate, field) for rate in rates]) for name, field in named.items()}
        charts.append(_chart(drawn, title, "iteration"))
    warmup = f"warm-up: the first {counted(schedule.warmup_iterations, 'iteration')} of {schedule.iterations}"
    return Scene(((replace(charts[0], caption=warmup),), tuple(charts[1:])))


# ---- what came out --------------------------------------------------------------------------------------------------


def show_precision_recall(metrics: Metrics) -> Scene:
    """Precision against recall at IoU 0.5, of each class and their mean: the envelope that average precision measures.

    Of many classes the best and the worst have a name; the others are faint.
    """
    curves = metrics.curves
    names = [f"{cls.name}: AP50 {cls.map50:.2f}" for cls in metrics.per_class]
    mean = f"mean: mAP50 {metrics.map50:.2f}"
    chart = _class_chart(metrics, names, curves.recall_axis, curves.precision_at_recall, mean)
    chart = replace(chart, title="precision against recall, IoU 0.5", x_label="recall", y_label="precision")
    return Scene(((chart,),), words=f"precision against recall of {_classes(metrics)} and their mean")


def show_f1(metrics: Metrics) -> Scene:
    """F1, precision and recall against the confidence from which on detections count, at IoU 0.5."""
    curves, best = metrics.curves, metrics.best_confidence
    names = [cls.name for cls in metrics.per_class]
    charts = []
    for title, values in (("F1", curves.f1), ("precision", curves.precision), ("recall", curves.recall)):
        chart = _class_chart(metrics, names, curves.confidence, values, "mean")
        mark = Series(f"best: {best:.2f}", (best, best), (0.0, 1.0), FAINT[:7], "dotted")
        chart = replace(chart, marks=(*chart.marks, mark), title=title, x_label="confidence", y_label=title)
        if title != "F1":  # the names stand beside the first
            unnamed = tuple(replace(line, name="") for line in chart.marks)
            chart = replace(chart, marks=unnamed, legend="inside", caption="lines as above")
        charts.append(chart)
    words = f"F1, precision and recall against confidence, of {_classes(metrics)} and their mean"
    return Scene(((charts[0],), tuple(charts[1:])), words=words)


def _class_chart(metrics: Metrics, names: Sequence[str], x: np.ndarray, values: np.ndarray, mean: str) -> Chart:
    """A line for the mean, and one for each class: all named where they are few, else the best and the worst."""
    order = sorted(range(len(names)), key=lambda row: -metrics.per_class[row].map50)
    half = MOST_LINES // 2
    named = order if len(order) <= MOST_LINES else [*order[:half], *order[-half:]]
    xs = numbers(x)
    marks = [Series(mean, xs, numbers(values.mean(0)))] if len(names) > 1 else []
    marks += [Series(_short(names[row]), xs, numbers(values[row])) for row in named]
    marks += [Series("", xs, numbers(values[row]), FAINT, "solid") for row in order if row not in named]
    caption = f"named: the best {half} and the worst {half} of {len(names)} classes" if len(named) < len(order) else ""
    return Chart(tuple(marks), caption=caption, x_range=UNIT_RANGE, y_range=UNIT_RANGE, legend="beside")


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _classes(metrics: Metrics) -> str:
    return counted(len(metrics.per_class), "class", "classes")


def show_confusion(metrics: Metrics | Any, names: Sequence[str] | None = None) -> Scene:
    """How often each class was taken for each other, or for background.

    Each column is shaded by the fraction of the objects of that class, the numbers count detections. Of many classes,
    where no number fits into a cell, a table names those that are most often taken for another.

    Args:
        metrics: what evaluate returned, or its matrix (C + 1, C + 1): row = detected, column = true, last = background.
        names: C class names; left out: those of metrics.
    """
    matrix = to_numpy(getattr(metrics, "confusion", metrics))  # (C + 1, C + 1)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(f"a confusion matrix has the shape (C + 1, C + 1), got {matrix.shape}")
    names = names or getattr(metrics, "names", None)
    known = tuple(class_name(cls, names) for cls in range(len(matrix) - 1))
    shades = matrix / matrix.sum(0).clip(1)
    panel = HeatMap(
        tuple(map(numbers, shades)),
        tuple(tuple(f"{count:,}" if count else "" for count in row) for row in matrix.tolist()),
        (*known, "background"),
        (*known, "background"),
        "confusion",
        "last row: missed; last column: false alarms",
        "detected",
        "true",
        "fraction of the column",
    )
    if len(matrix) <= MOST_CELLS:
        return Scene(((panel,),))
    return Scene(((panel,), *_confusions(matrix, known).rows))


def _confusions(matrix: np.ndarray, names: Sequence[str]) -> Scene:
    """The largest counts off the diagonal, background left out, as a table."""
    off = matrix[:-1, :-1] * (1 - np.eye(len(names), dtype=np.int64))
    largest = [divmod(int(place), len(names)) for place in np.argsort(-off, axis=None, kind="stable")[:MOST_PAIRS]]
    rows = [
        (names[true], names[detected], int(off[detected, true]), f"{off[detected, true] / matrix[:, true].sum():.0%}")
        for detected, true in largest
        if off[detected, true]
    ]
    return show_table(["true", "taken for", "times", "of its objects"], rows, "classes taken for another most often")


# ---- predictions ----------------------------------------------------------------------------------------------------


def show_predictions(
    found: Any,
    images: YoloDataset | Batch,
    count: int = 4,
    names: Sequence[str] | None = None,
    conf_thres: float = 0.25,
    indices: Iterable[int] | None = None,
    columns: int = 2,
) -> Scene:
    """Labels and predictions of images, side by side: a colour and a name per class, confidence behind the name.

    Args:
        found: a model; or what was found in each of the images, in order: what predict or non_max_suppression returned.
        images: a dataset, whose original images are shown; or a batch, as the network sees it.
        count: how many images. indices: which of the dataset or batch; left out: the first.
        names: class names; left out: those of the dataset, or of the model.
        conf_thres: of a model's predictions. columns: images in a row; 1 shows crowded ones larger.
    """
    size = len(images.images) if isinstance(images, Batch) else len(images)
    chosen = [range(size)[index] for index in (range(min(count, size)) if indices is None else indices)]
    names = names or getattr(images, "names", None) or getattr(found, "names", None)
    labels, pixels = _labelled(images, chosen, names)
    if hasattr(found, "decode"):  # a model
        longest = images.img_size if isinstance(images, YoloDataset) else max(images.images.shape[2:])
        found = predict(found, pixels, conf_thres, img_size=longest)
    elif len(found) < len(chosen):
        raise ValueError(f"predictions of {len(found)} images, but {len(chosen)} images to show")
    pairs = [
        (label, _predicted(image, boxes, label, names))
        for image, boxes, label in zip(pixels, found, labels, strict=False)
    ]
    rows = tuple(sum(pairs[k : k + columns], ()) for k in range(0, len(pairs), columns))
    legend = (Key("labelled", "object", dash="solid"), Key("predicted", "object", dash="dashed"))
    return Scene(rows, legend, f"labels and predictions of {counted(len(pairs), 'image')}")


def _labelled(images: Any, chosen: Sequence[int], names: Any) -> tuple[list[Panel], list[np.ndarray]]:
    """A panel with labels, and the RGB image, of each chosen image."""
    if isinstance(images, Batch):
        panels = [panel for row in show_batch(images, names).rows for panel in row if isinstance(panel, Panel)]
        titles = [f"labels: {Path(images.paths[index]).name}" for index in chosen]
        shown = [replace(panels[index], title=title) for index, title in zip(chosen, titles, strict=True)]
        return shown, [to_rgb(images.images[index]) for index in chosen]
    pixels = [images.image(index) for index in chosen]
    titles = [f"labels: {Path(images.paths[index]).name}" for index in chosen]
    scenes = [
        show_image(image, images.objects(index), names=names, title=title)
        for image, index, title in zip(pixels, chosen, titles, strict=True)
    ]
    return [panel for scene in scenes for panel in scene.rows[0] if isinstance(panel, Panel)], pixels


def _predicted(image: np.ndarray, found: Any, labels: Panel, names: Any) -> Panel:
    boxes = replace(labelled_boxes(found, names=names), dash="dashed")
    (panel,) = (panel for panel in show_image(image, title="predictions").rows[0] if isinstance(panel, Panel))
    return replace(panel, layers=(*panel.layers, boxes), caption=_compared(boxes, labels))


def _compared(boxes: Boxes, labels: Panel) -> str:
    """How many of the labelled objects were found at IoU 0.5, and how many boxes are wrong, in words."""
    (true,) = [layer for layer in labels.layers if isinstance(layer, Boxes)]
    order = sorted(range(len(boxes.xyxy)), key=lambda place: -boxes.scores[place])
    detections = [(*boxes.xyxy[place], boxes.scores[place], boxes.colours[place]) for place in order]
    labelled = [(cls, *box) for cls, box in zip(true.colours, true.xyxy, strict=False)]
    correct = match_detections(np.reshape(detections, (-1, 6)), np.reshape(labelled, (-1, 5)), np.array([0.5]))
    hits, wrong = int(correct.sum()), len(boxes.xyxy) - int(correct.sum())
    return f"found {hits} of {len(true.xyxy)}, {wrong} wrong"


def _chart(lines: Mapping[str, tuple], title: str, x_label: str = "", y_label: str = "", **more: Any) -> Chart:
    marks = tuple(Series(name, numbers(list(x)), numbers(list(y))) for name, (x, y) in lines.items())
    return Chart(marks, title, "", x_label, y_label, **more)
