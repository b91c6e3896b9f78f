"""evaluate: how well a detector finds the objects of a labelled dataset."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset
from tqdm import tqdm

from yolo_lite.augment.letterbox import Geometry, to_original
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data.dataset import Batch, Sample, YoloDataset
from yolo_lite.data.report import Problem
from yolo_lite.detect.average_precision import IOU_THRESHOLDS, RULES, AveragePrecision, Rule, average_precision
from yolo_lite.detect.evaluation_data import (
    Doubts,
    Source,
    as_loader,
    check_batch,
    check_dataset,
    checked_order,
    dataset_of,
    matched_classes,
)
from yolo_lite.detect.inference import Stopwatch, in_parts, inference, network_input
from yolo_lite.detect.matching import confusion_matrix, match_detections
from yolo_lite.detect.metrics import ClassMetrics, ImageDetections, Metrics, Seconds
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.model.protocol import Detector
from yolo_lite.support.arguments import require_model
from yolo_lite.support.coco_ap import CocoScores, coco_scores, require_coco
from yolo_lite.support.coco_truth import CROWD, ImageTruth, boxes_as_objects
from yolo_lite.support.ground_truth import (
    Labelled,
    annotation_file,
    ground_truth,
    knows_labels,
    paths_of_all,
    truth_of_dataset,
    truth_of_labels,
)

IOU_75 = int(np.abs(IOU_THRESHOLDS - 0.75).argmin())  # column of IoU .75


class ImageResult(NamedTuple):
    """What was found in an image, and what is there; pixels of the original image."""

    detections: np.ndarray  # (n, 6) float32 xyxy, confidence, class; best first
    labels: np.ndarray  # (m, 5) float32 class, xyxy


def evaluate(
    model: Detector,
    loader: Iterable[Batch] | YoloDataset | Subset[Sample] | Source,
    rule: Rule = "coco",
    conf_thres: float = 0.001,
    iou_thres: float = 0.6,
    max_det: int = 300,
    progress: bool = False,
    class_order: Sequence[int] | None = None,
    *,
    img_size: int | None = None,
    batch_size: int | None = None,
    split: str | None = None,
    rect: bool | None = None,
    keep_detections: bool = False,
    annotations: str | Path | bool | None = None,
    gather: Callable[[Any], list[Any]] | None = None,
) -> Metrics:
    """Detects the objects of every batch and compares them with the labels, in pixels of the original images.

    YOLOv5: ``val.run``.

    Runs where the model's weights are, and leaves the model as it was. Images that cannot be read are left out, with
    their labels: ``Metrics.left_out`` names them, and the figures are those of the others. A dataset with strict=True
    raises instead.

    Args:
        loader: batches of unaugmented images, as ``create_dataloader`` gives them; a YoloDataset, or a Subset of one;
            or anything that one is made from ("data.yaml", a folder, "shapes"), opened as ``yolo-lite val`` does it.
        rule: "coco", the figures of pycocotools; or "yolov5", those that YOLOv5 prints. Precision, recall, curves and
            confusion come from YOLOv5's matching under either rule.
        conf_thres, iou_thres, max_det: see ``non_max_suppression``; every class above the threshold counts. A higher
            ``conf_thres`` cuts the curve short: average precision is lower.
        progress: draws a bar.
        class_order: the model's class for each class of the labels; None: classes that the loader's dataset and the
            model know by the same names are matched by name, with a warning where their order or spelling differs.
        img_size, batch_size, split, rect: of the dataset that is opened. Left out: the size of the model's training,
            32, "val", and the smallest rectangles that hold the images of a batch.
        keep_detections: keep what was found in each image, as ``Metrics.detections``; ``Metrics.save_json`` writes it.
        annotations: the COCO annotation file to take objects, areas and crowd regions from. None: the one that
            ``yolo-lite convert coco`` wrote (see ``yolo_lite.support.coco_truth``), if any, where it fits the labels;
            False: none, so that areas are those of the boxes.
        gather: of several processes, each with a loader of its part (``rank``, ``world_size``), joins what they found:
            ``world.gathered`` of ``yl.distributed()``. Each of them then has the metrics of the whole.
    Warns:
        Names that differ, images of another size than the model was trained at (half as much again, or more), images
        left out by the loader, output with NaN, an annotation file that does not fit the labels.
    Raises:
        ValueError: no images, no labels, other classes than the model's, mixed images, batches that are not as
            ``create_dataloader`` makes them, or given ``annotations`` of other images or classes. DatasetError: an
            image of a strict dataset that cannot be read. ModuleNotFoundError: the rule "coco" without
            faster-coco-eval. TypeError: the model is a name or path.

    >>> from yolo_lite.datasets.shapes import Shapes
    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", names=["ring", "tile", "triangle", "star", "heart", "moon"])
    >>> metrics = evaluate(model, Shapes("val", 64, 12), img_size=64, batch_size=4, keep_detections=True)
    >>> metrics.map50 < 0.05, len(metrics.detections) == metrics.num_images  # it has learnt nothing yet
    (True, True)
    """
    require_model(model)
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    if rule == "coco":
        require_coco()  # before hours are spent
    batches = as_loader(model, loader, img_size=img_size, batch_size=batch_size, split=split, rect=rect)
    dataset = dataset_of(batches)
    check_dataset(model, dataset)
    class_order = matched_classes(model, dataset) if class_order is None else checked_order(class_order, model)
    wanted = annotations if rule == "coco" or keep_detections else False
    truth = truth_of_dataset(dataset, wanted, class_order)

    nms_options = {"conf_thres": conf_thres, "iou_thres": iou_thres, "max_det": max_det}
    doubts = Doubts(model, getattr(dataset, "img_size", None) is not None)
    part = _detect(model, batches, class_order, nms_options, progress, doubts)
    found = _joined([part] if gather is None else gather(part), dataset)
    doubts.look_back(batches, len(found.images) + len(found.left_out))
    names, images = tuple(model.names), [image.labelled for image in found.images]
    if not knows_labels(dataset):
        file = annotation_file([image.path for image in images], wanted)
        truth = ground_truth(file, images, names, required=bool(wanted))
    truths = truth.of(images) if truth else truth_of_labels(images, paths_of_all(dataset))
    results = [ImageResult(image.detections, image.labelled.labels) for image in found.images]
    seconds = Seconds(**{stage: total / len(images) for stage, total in found.seconds.items()})
    metrics = summarise(results, names, rule, seconds, truths)
    num_crowds = int(sum(image.objects[:, CROWD].sum() for image in truths))
    return replace(
        metrics,
        left_out=tuple(found.left_out.values()),
        annotations=truth.path if truth else "",
        num_objects=sum(len(image.objects) for image in truths) - num_crowds,
        num_crowds=num_crowds,
        detections=tuple(map(_kept, found.images, truths)) if keep_detections else None,
        category_ids=truth.category_ids if truth else tuple(range(len(names))),
    )


class _Image(NamedTuple):
    labelled: Labelled  # under the model's classes
    detections: np.ndarray  # (n, 6) float32 xyxy, confidence, class; best first


class _Found(NamedTuple):
    images: list[_Image]
    left_out: dict[str, Problem]  # by path
    seconds: dict[str, float]  # of each stage, for all images


def _detect(
    model: Detector,
    loader: Iterable[Batch],
    order: Sequence[int] | None,
    nms_options: Mapping[str, Any],
    progress: bool,
    doubts: Doubts,
) -> _Found:
    """Runs the model on every batch."""
    stopwatch = Stopwatch(model)
    images: list[_Image] = []
    left_out: dict[str, Problem] = {}
    with inference(model):
        for batch in tqdm(loader, desc="evaluate", disable=not progress):
            geometries = check_batch(model, batch, order)
            doubts.look_at_input(batch, geometries)
            left_out |= {problem.path: problem for problem in batch.unreadable}
            found: list[Tensor] = []
            for part in in_parts(batch.images, model):
                with stopwatch.measure("preprocess"):
                    inputs = network_input(part, model)
                with stopwatch.measure("inference"):
                    boxes = model.decode(model(inputs))
                doubts.look_at_output(boxes)
                with stopwatch.measure("nms"):
                    found += non_max_suppression(boxes, multi_label=True, **nms_options)
            images += _in_original_pixels(_renumbered(batch, order), geometries, found)
    left_out |= getattr(loader, "unreadable", {})  # a batch of such images alone is not given out
    return _Found(images, left_out, stopwatch.seconds)


def _joined(parts: Sequence[_Found], dataset: Any) -> _Found:
    """What several processes found, in the dataset's order; of one, as it is.

    Raises:
        ValueError: no images, or more than the dataset has: processes had the same ones.
    """
    images = [image for part in parts for image in part.images]
    left_out = {path: problem for part in parts for path, problem in part.left_out.items()}
    if not images:
        why = f"not one can be read: {next(iter(left_out.values()))}" if left_out else "check the dataset and its split"
        raise ValueError(f"the loader gave no images: {why}")
    if len(parts) > 1 and hasattr(dataset, "paths"):
        if len(images) > len(dataset.paths):
            raise ValueError(
                f"{len(parts)} processes gave {len(images)} images of {len(dataset.paths)}: make each loader with "
                "rank=world.rank, world_size=world.size"
            )
        place = {path: index for index, path in enumerate(dataset.paths)}
        images.sort(key=lambda image: place.get(image.labelled.path, 0))
    stages = dict.fromkeys(stage for part in parts for stage in part.seconds)
    return _Found(images, left_out, {stage: sum(part.seconds.get(stage, 0.0) for part in parts) for stage in stages})


def _kept(image: _Image, truth: ImageTruth) -> ImageDetections:
    rows, (path, size, labels) = image.detections, image.labelled
    return ImageDetections(path, rows[:, :4], rows[:, 4], rows[:, 5].astype(int), size, labels, truth.image_id)


def summarise(
    results: list[ImageResult],
    names: tuple[str, ...],
    rule: Rule = "coco",
    seconds: Seconds | None = None,
    truths: Sequence[ImageTruth] | None = None,
) -> Metrics:
    """Detections and labels of all images -> Metrics: evaluation without a model, for detections from anywhere.

    Args:
        truths: of the images, for COCO's rule: areas and crowd regions. Left out: the labels, with their boxes' areas.

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
    coco = _coco(detections, labels, len(names), truths) if rule == "coco" else None
    if coco is not None:
        scores = scores._replace(ap=coco.ap[scores.classes])
    means = [float(ap.mean()) for ap in (scores.ap, scores.ap[:, 0], scores.ap[:, IOU_75])]
    if coco is not None:  # the same means, summed as pycocotools sums them
        means = [mean if exact is None else exact for mean, exact in zip(means, coco.summary, strict=False)]
    confusion = np.sum([confusion_matrix(*result, len(names)) for result in results], axis=0)
    return Metrics(
        rule=rule,
        map=means[0],
        map50=means[1],
        map75=means[2],
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
        coco=coco and coco.summary,
    )


def _coco(
    detections: list[np.ndarray], labels: list[np.ndarray], num_classes: int, truths: Sequence[ImageTruth] | None
) -> CocoScores:
    if truths is None:
        return coco_scores(detections, [boxes_as_objects(rows) for rows in labels], num_classes)
    ids, never_found = [truth.image_id for truth in truths], [truth.never_found for truth in truths]
    return coco_scores(detections, [truth.objects for truth in truths], num_classes, ids, never_found)


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


def _in_original_pixels(batch: Batch, geometries: Sequence[Geometry], found: list[Tensor]) -> Iterator[_Image]:
    """Detections and labels of a batch, image by image."""
    height, width = batch.images.shape[2:]
    targets = batch.targets.float().cpu()  # (n, 6) image, class, xc, yc, w, h normalised
    corners = xywh_to_xyxy(targets[:, 2:] * torch.tensor((width, height, width, height)))
    for image, (detections, geometry) in enumerate(zip(found, geometries, strict=True)):
        detections, here = detections.cpu(), targets[:, 0] == image
        detected = torch.cat((to_original(detections[:, :4], geometry), detections[:, 4:]), 1)
        labels = torch.cat((targets[here, 1:2], to_original(corners[here], geometry)), 1)
        height_width = int(geometry.original_size[0]), int(geometry.original_size[1])
        yield _Image(Labelled(batch.paths[image], height_width, labels.numpy()), detected.numpy())


def _renumbered(batch: Batch, order: Sequence[int] | None) -> Batch:
    """The labels of a batch under the model's class numbers."""
    if order is None:
        return batch
    targets = batch.targets.clone()
    targets[:, 1] = torch.as_tensor(order, dtype=targets.dtype)[targets[:, 1].long()]
    return batch._replace(targets=targets)
