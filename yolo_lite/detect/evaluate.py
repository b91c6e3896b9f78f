"""evaluate: how well a detector finds the objects of a labelled dataset."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from yolo_lite.augment.letterbox import Geometry, to_original
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data.dataset import Batch
from yolo_lite.data.report import Problem
from yolo_lite.detect.average_precision import IOU_THRESHOLDS, RULES, AveragePrecision, Rule, average_precision
from yolo_lite.detect.inference import Stopwatch, inference, network_input, require_size, trained_size
from yolo_lite.detect.matching import confusion_matrix, match_detections
from yolo_lite.detect.metrics import ClassMetrics, Metrics, Seconds
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.model.protocol import Detector
from yolo_lite.support.class_names import class_order as match_classes
from yolo_lite.support.coco_ap import coco_average_precision, require_coco

SIZE_RATIO = 1.5  # between the sizes of training and evaluation; beyond it figures fall by half and more
IOU_75 = int(np.abs(IOU_THRESHOLDS - 0.75).argmin())  # column of IoU .75


class ImageResult(NamedTuple):
    """What was found in an image, and what is there; pixels of the original image."""

    detections: np.ndarray  # (n, 6) float32 xyxy, confidence, class; best first
    labels: np.ndarray  # (m, 5) float32 class, xyxy


def evaluate(
    model: Detector,
    loader: Iterable[Batch],
    rule: Rule = "coco",
    conf_thres: float = 0.001,
    iou_thres: float = 0.6,
    max_det: int = 300,
    progress: bool = False,
    class_order: Sequence[int] | None = None,
) -> Metrics:
    """Detects the objects of every batch and compares them with the labels, in pixels of the original images.

    YOLOv5: ``val.run``.

    Runs where the model's weights are, and leaves the model as it was. Images that cannot be read are left out, with
    their labels: ``Metrics.left_out`` names them, and the figures are those of the others. A dataset with strict=True
    raises instead.

    Args:
        loader: batches of unaugmented images, as ``create_dataloader`` gives them.
        rule: "coco", the figures of pycocotools; or "yolov5", those that YOLOv5 prints. Precision, recall, curves and
            confusion come from YOLOv5's matching under either rule.
        conf_thres, iou_thres, max_det: see ``non_max_suppression``; every class above the threshold counts.
        progress: draws a bar.
        class_order: the model's class for each class of the labels; None: classes that the loader's dataset and the
            model know by the same names are matched by name, with a warning where their order or spelling differs.
    Warns:
        Names that differ, and images of another size than the model was trained at (half as much again, or more).
    Raises:
        ValueError: no images, no labels, other classes than the model's, or mixed images. DatasetError: an image of a
            strict dataset that cannot be read. ModuleNotFoundError: the rule "coco" without faster-coco-eval.

    >>> from yolo_lite.data.loader import create_dataloader
    >>> from yolo_lite.model.yolo import create_model
    >>> loader = create_dataloader("shapes", batch_size=4, split="val", img_size=64)
    >>> model = create_model("yolov5n", names=loader.dataset.names)
    >>> evaluate(model, loader).map50 < 0.05  # it has learnt nothing yet
    True
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    if rule == "coco":
        require_coco()  # before hours are spent
    dataset = getattr(loader, "dataset", None)
    _check_dataset(model, dataset)
    if class_order is None:
        class_order = _matched_classes(model, dataset)
    stopwatch = Stopwatch(model)
    results: list[ImageResult] = []
    left_out: dict[str, Problem] = {}
    with inference(model):
        for batch in tqdm(loader, desc="evaluate", disable=not progress):
            geometry = _check_batch(model, batch)
            left_out |= {problem.path: problem for problem in batch.unreadable}
            with stopwatch.measure("preprocess"):
                images = network_input(batch.images, model)
            with stopwatch.measure("inference"):
                boxes = model.decode(model(images))
            with stopwatch.measure("nms"):
                found = non_max_suppression(boxes, conf_thres, iou_thres, multi_label=True, max_det=max_det)
            results += _in_original_pixels(_renumbered(batch, class_order), geometry, found)
    left_out |= getattr(loader, "unreadable", {})  # a batch of such images alone is not given out
    if not results:
        why = f"not one can be read: {next(iter(left_out.values()))}" if left_out else "check the dataset and its split"
        raise ValueError(f"the loader gave no images: {why}")
    seconds = Seconds(**{stage: total / len(results) for stage, total in stopwatch.seconds.items()})
    metrics = summarise(results, tuple(model.names), rule, seconds)
    return replace(metrics, left_out=tuple(left_out.values()))


def summarise(
    results: list[ImageResult], names: tuple[str, ...], rule: Rule = "coco", seconds: Seconds | None = None
) -> Metrics:
    """Detections and labels of all images -> Metrics: evaluation without a model, for detections from anywhere.

    >>> box = np.array([[1.0, 1, 9, 9]])
    >>> result = ImageResult(np.hstack((box, [[0.9, 0]])), np.hstack(([[0]], box)))
    >>> summarise([result], ("cat", "dog")).per_class[0].name
    'cat'
    """
    detections, labels = [result.detections for result in results], [result.labels for result in results]
    all_labels, all_detections = np.concatenate(labels), np.concatenate(detections)
    if not len(all_labels):
        raise ValueError(f"none of the {len(results)} images has a label, so there is nothing to compare with")
    correct = np.concatenate([match_detections(*result) for result in results])
    scores = average_precision(correct, all_detections[:, 4], all_detections[:, 5], all_labels[:, 0], rule)
    if rule == "coco":
        scores = scores._replace(ap=coco_average_precision(detections, labels, len(names))[scores.classes])
    confusion = np.sum([confusion_matrix(*result, len(names)) for result in results], axis=0)
    return Metrics(
        rule=rule,
        map=float(scores.ap.mean()),
        map50=float(scores.ap[:, 0].mean()),
        map75=float(scores.ap[:, IOU_75].mean()),
        precision=float(scores.precision.mean()),
        recall=float(scores.recall.mean()),
        best_confidence=scores.best_confidence,
        per_class=_per_class(scores, labels, names),
        confusion=confusion,
        curves=scores.curves,
        names=names,
        num_images=len(results),
        num_labels=len(all_labels),
        seconds=seconds or Seconds(0.0, 0.0, 0.0),
    )


def _per_class(scores: AveragePrecision, labels: list[np.ndarray], names: tuple[str, ...]) -> tuple[ClassMetrics, ...]:
    shown = np.concatenate([np.unique(of_image[:, 0]) for of_image in labels])  # each class once per image
    return tuple(
        ClassMetrics(
            name=names[cls],
            images=int((shown == cls).sum()),
            labels=int(scores.num_labels[row]),
            precision=float(scores.precision[row]),
            recall=float(scores.recall[row]),
            map50=float(scores.ap[row, 0]),
            map=float(scores.ap[row].mean()),
        )
        for row, cls in enumerate(scores.classes.tolist())
    )


def _in_original_pixels(batch: Batch, geometries: Sequence[Geometry], found: list[Tensor]) -> Iterator[ImageResult]:
    """Detections and labels of a batch, image by image."""
    height, width = batch.images.shape[2:]
    targets = batch.targets.float().cpu()  # (n, 6) image, class, xc, yc, w, h normalised
    corners = xywh_to_xyxy(targets[:, 2:] * torch.tensor((width, height, width, height)))
    for image, (detections, geometry) in enumerate(zip(found, geometries, strict=True)):
        detections, here = detections.cpu(), targets[:, 0] == image
        detected = torch.cat((to_original(detections[:, :4], geometry), detections[:, 4:]), 1)
        labels = torch.cat((targets[here, 1:2], to_original(corners[here], geometry)), 1)
        yield ImageResult(detected.numpy(), labels.numpy())


def _check_dataset(model: Detector, dataset: Any) -> None:
    """Before hours are spent: what can be known from the dataset alone."""
    num_classes = getattr(dataset, "num_classes", model.num_classes)
    if num_classes != model.num_classes and not hasattr(dataset, "names"):
        raise ValueError(f"the model has {model.num_classes} classes, the dataset {num_classes}: not the same")
    size, trained = getattr(dataset, "img_size", None), trained_size(model)
    require_size(model, size)
    if getattr(dataset, "rect", False) and getattr(model, "fixed_size", None) is not None:
        raise ValueError(
            f"rectangles for {type(model).__name__}, which takes one size: make the dataset with rect=False"
        )
    if size and trained and not 1 / SIZE_RATIO < size / trained < SIZE_RATIO:
        warnings.warn(
            f"images of {size} px for a model that was trained at {trained}: objects have another size than in "
            f"training. A dataset of img_size={trained}, in the shell --img-size {trained}, has them as they were",
            stacklevel=3,
        )
    if getattr(getattr(dataset, "labels", None), "num_objects", 1) == 0:
        raise ValueError(f"none of the {len(dataset)} images has a label, so there is nothing to compare with")


def _matched_classes(model: Detector, dataset: Any) -> tuple[int, ...] | None:
    """The model's class for each of the dataset's; None where the numbers agree or the dataset has no names."""
    names = getattr(dataset, "names", None)
    if names is None:
        return None
    order, message = match_classes(model.names, names)
    if message:
        warnings.warn(message, stacklevel=3)
    return order


def _renumbered(batch: Batch, order: Sequence[int] | None) -> Batch:
    """The labels of a batch under the model's class numbers."""
    if order is None:
        return batch
    targets = batch.targets.clone()
    targets[:, 1] = torch.as_tensor(order, dtype=targets.dtype)[targets[:, 1].long()]
    return batch._replace(targets=targets)


def _check_batch(model: Detector, batch: Batch) -> list[Geometry]:
    """How each image of a batch was resized; a ValueError where the batch cannot be evaluated."""
    if not isinstance(batch, Batch):
        raise ValueError(f"evaluate takes a loader of batches, from create_dataloader, not of {type(batch).__name__}")
    geometries = [geometry for geometry in batch.geometry if geometry is not None]
    if len(geometries) < len(batch.geometry):
        raise ValueError("evaluate needs images that nothing was mixed into: make the dataset with augment=False")
    highest = int(batch.targets[:, 1].max()) if len(batch.targets) else 0
    if highest >= model.num_classes:
        raise ValueError(f"a label has class {highest}, but the model's classes are 0 to {model.num_classes - 1}")
    return geometries
