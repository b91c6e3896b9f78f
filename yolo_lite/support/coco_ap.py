"""COCO's average precision, computed in memory by faster-coco-eval: the figures that pycocotools gives.

It differs from ``average_precision(rule="coco")`` in the matching: COCO matches the detections of a class in turn, each
to the best label that is still free, and looks at no more than 100 per class and image. Detections in a crowd region,
or of an object whose area is not asked for, count neither as right nor as wrong.

Shape letters: n detections and k objects of one image, C classes, T IoU thresholds.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from yolo_lite.support.coco_truth import AREA, BOX, CLASS, CROWD, boxes_as_objects

if TYPE_CHECKING:
    from faster_coco_eval import COCO

MAX_DETECTIONS = [1, 10, 100]  # per image and class; average precision looks at the last
AREAS = {"all": [0, 1e10], "small": [0, 32**2], "medium": [32**2, 96**2], "large": [96**2, 1e10]}  # square pixels
IOU_50, IOU_75 = 0, 5  # rows of the thresholds .5, .55, ..., .95


class CocoSummary(NamedTuple):
    """The twelve figures that pycocotools prints (``COCOeval.stats``), in its order; None where it has -1: no objects.

    Small, medium and large are objects of an area below 32 x 32, up to 96 x 96, and above, in pixels of the original
    image. AP is average precision, AR average recall, both over the classes and IoU .5, .55, ..., .95.
    """

    ap: float | None
    ap50: float | None  # at IoU .5
    ap75: float | None  # at IoU .75
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float | None  # the recall that the best detection of each class in an image reaches
    ar_10: float | None  # the best ten
    ar_100: float | None
    ar_small: float | None  # the best hundred, as in the next two
    ar_medium: float | None
    ar_large: float | None


class CocoScores(NamedTuple):
    """Average precision of each class, and the summary over all of them."""

    ap: np.ndarray  # (C, T) at the IoU thresholds .5, .55, ..., .95; NaN for classes without objects
    summary: CocoSummary


def require_coco() -> None:
    """Raises ModuleNotFoundError where the package that this rule needs is missing; ``rule="yolov5"`` needs none."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise ModuleNotFoundError(
            "the rule 'coco' needs faster-coco-eval, which is not installed: pip install faster-coco-eval, "
            "or choose the rule 'yolov5'"
        )


def coco_average_precision(
    detections: Sequence[np.ndarray], labels: Sequence[np.ndarray], num_classes: int
) -> np.ndarray:
    """Average precision of each class at the IoU thresholds .5, .55, ..., .95.

    Areas are those of the boxes, no label is a crowd.

    Args:
        detections: per image (n, 6) xyxy in pixels, confidence, class. labels: per image (k, 5) class, xyxy.
    Returns:
        (C, 10); NaN for classes without labels.

    >>> box = np.array([[1.0, 1, 9, 9]])
    >>> detections, labels = np.hstack((box, [[0.9, 0]])), np.hstack(([[0]], box))
    >>> coco_average_precision([detections], [labels], num_classes=2)[:, 0].round(4)
    array([ 1., nan])
    """
    return coco_scores(detections, [boxes_as_objects(rows) for rows in labels], num_classes).ap


def coco_scores(
    detections: Sequence[np.ndarray],
    objects: Sequence[np.ndarray],
    num_classes: int,
    image_ids: Sequence[int] | None = None,
    never_found: Sequence[int | None] | None = None,
) -> CocoScores:
    """COCO's figures for boxes, of objects with areas and crowd regions.

    Args:
        detections: per image (n, 6) xyxy in pixels, confidence, class.
        objects: per image (k, 7) class, x, y, width, height, area, 1 for a crowd (see ``ImageTruth``).
        image_ids: of detections with equal confidence, those of the image with the lower id come first. Left out: in
            the order given.
        never_found: per image the row of an object that no detection finds, see ``ImageTruth``.

    >>> found = np.array([[0.0, 0, 8, 8, 0.9, 0], [50, 50, 60, 60, 0.95, 0]])
    >>> crowd = np.array([[0, 0, 0, 8, 8, 50, 0], [0, 40, 40, 60, 60, 3000, 1]])
    >>> coco_scores([found], [crowd], num_classes=1).summary.ap_small
    1.0
    """
    require_coco()
    from faster_coco_eval import COCOeval_faster

    ids = range(len(detections)) if image_ids is None else _ranks(image_ids)
    truth = [[_object_entry(row) for row in rows.astype(float).tolist()] for rows in objects]
    for entries, row in zip(truth, never_found or (), strict=False):
        if row is not None:
            entries[row]["id"] = 0
    found = [_detection_entries(_looked_at(rows.astype(float))) for rows in detections]
    evaluation = COCOeval_faster(_coco(ids, truth, num_classes), _coco(ids, found, num_classes), "bbox")
    evaluation.params.maxDets = MAX_DETECTIONS
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [*AREAS.values()], [*AREAS]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])  # (T, 101, C, areas, limits), -1 where a class has no object
    recall = np.asarray(evaluation.eval["recall"])  # (T, C, areas, limits), likewise
    of_class = precision[:, :, :, 0, -1]
    average: np.ndarray = np.where(of_class < 0, np.nan, of_class).mean(1)  # (T, C)
    return CocoScores(average.T, _summary(precision, recall))


def _summary(precision: np.ndarray, recall: np.ndarray) -> CocoSummary:
    best = precision[..., -1]  # (T, 101, C, areas)
    return CocoSummary(
        *(_mean(values) for values in (best[..., 0], best[IOU_50, ..., 0], best[IOU_75, ..., 0])),
        *(_mean(best[..., area]) for area in (1, 2, 3)),
        *(_mean(recall[..., 0, limit]) for limit in range(len(MAX_DETECTIONS))),
        *(_mean(recall[..., area, -1]) for area in (1, 2, 3)),
    )


def _ranks(ids: Sequence[int]) -> list[int]:
    """Small numbers of the same order: faster-coco-eval keeps ids as floats, which from 2**53 on are not all there.

    >>> _ranks([2**60 + 1, 7, 2**60])
    [2, 0, 1]
    """
    place = {number: rank for rank, number in enumerate(sorted(ids))}
    return [place[number] for number in ids]


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _object_entry(row: list[float]) -> dict[str, Any]:
    return {"category_id": int(row[CLASS]), "bbox": row[BOX], "area": row[AREA], "iscrowd": int(row[CROWD])}


def _looked_at(rows: np.ndarray) -> np.ndarray:
    """Of the detections of an image, (n, 6), those that COCO looks at: the best of each class."""
    order = np.lexsort((-rows[:, 4], rows[:, 5]))  # class by class, best first
    cls = rows[order, 5]
    place = np.arange(len(rows)) - cls.searchsorted(cls)  # 0 = best of its class
    best: np.ndarray = rows[np.sort(order[place < MAX_DETECTIONS[-1]])]
    return best


def _detection_entries(rows: np.ndarray) -> list[dict[str, Any]]:
    """Detections (n, 6) xyxy, confidence, class."""
    sides = rows[:, 2:4] - rows[:, :2]
    columns = np.hstack((rows[:, :2], sides)), rows[:, 4], rows[:, 5].astype(int), sides.prod(1)
    return [
        {"category_id": cls, "bbox": box, "score": conf, "area": area, "iscrowd": 0}
        for box, conf, cls, area in zip(*(column.tolist() for column in columns), strict=True)
    ]


def result_entry(row: Sequence[float]) -> dict[str, Any]:
    """A detection (6,) xyxy, confidence, class as COCO's results have it, but for its image.

    >>> result_entry([1.0, 2.0, 4.0, 6.0, 0.5, 0])
    {'category_id': 0, 'bbox': [1.0, 2.0, 3.0, 4.0], 'score': 0.5}
    """
    left, top, right, bottom, conf, cls = row
    return {"category_id": int(cls), "bbox": [left, top, right - left, bottom - top], "score": conf}


def _coco(ids: Sequence[int], entries: Sequence[list[dict[str, Any]]], num_classes: int) -> "COCO":
    """The entries of each image -> COCO's tables."""
    from faster_coco_eval import COCO

    listed = [(number, entry) for number, image in zip(ids, entries, strict=True) for entry in image]
    tables = {
        "images": [{"id": number} for number in ids],
        "categories": [{"id": cls} for cls in range(num_classes)],
        "annotations": [
            {"id": place, "image_id": number, **entry} for place, (number, entry) in enumerate(listed, start=1)
        ],
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found annotation id 0")  # meant, and said by ground_truth
        return COCO(tables)
