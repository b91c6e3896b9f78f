"""COCO's average precision, computed in memory by faster-coco-eval: the figures that pycocotools gives.

It differs from ``average_precision(rule="coco")`` in the matching alone: COCO matches the detections of a class in
turn, each to the best label that is still free, and looks at no more than 100 per class and image.
"""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from faster_coco_eval import COCO

MAX_DETECTIONS = 100  # per image and class


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
        detections: per image (n, 6) xyxy in pixels, confidence, class. labels: per image (m, 5) class, xyxy.
    Returns:
        (num_classes, 10); NaN for classes without labels.

    >>> box = np.array([[1.0, 1, 9, 9]])
    >>> detections, labels = np.hstack((box, [[0.9, 0]])), np.hstack(([[0]], box))
    >>> coco_average_precision([detections], [labels], num_classes=2)[:, 0].round(4)
    array([ 1., nan])
    """
    require_coco()
    from faster_coco_eval import COCOeval_faster

    truth = _coco(labels, num_classes, box_columns=slice(1, 5), class_column=0)
    found = _coco(detections, num_classes, box_columns=slice(0, 4), class_column=5, score_column=4)
    evaluation = COCOeval_faster(truth, found, "bbox")
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, 0]  # (T, 101, C), -1 where a class has no label
    average: np.ndarray = np.where(precision < 0, np.nan, precision).mean(1)  # (T, C)
    return average.T


def _coco(
    images: Sequence[np.ndarray],
    num_classes: int,
    box_columns: slice,
    class_column: int,
    score_column: int | None = None,
) -> "COCO":
    """Rows per image -> COCO's tables."""
    from faster_coco_eval import COCO

    annotations: list[dict[str, Any]] = []
    for image, rows in enumerate(images):
        for row in np.asarray(rows, np.float64).tolist():
            left, top, right, bottom = row[box_columns]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": int(row[class_column]),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
            if score_column is not None:
                annotation["score"] = row[score_column]
            annotations.append(annotation)
    return COCO(
        {
            "images": [{"id": image} for image in range(len(images))],
            "categories": [{"id": cls} for cls in range(num_classes)],
            "annotations": annotations,
        }
    )
