"""Random annotations with crowds and areas, random detections, and what pycocotools makes of them."""

import contextlib
import copy
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest


def random_objects(generator: np.random.Generator, num_classes: int = 3, size: float = 300) -> np.ndarray:
    """(k, 7) class, x, y, w, h, area, crowd: of all sizes, areas below those of the boxes, one in six a crowd."""
    count = int(generator.integers(0, 9))
    side = np.exp(generator.uniform(np.log(5), np.log(size * 0.8), count))
    boxes = np.column_stack(
        (generator.uniform(0, size * 0.6, (count, 2)), side[:, None] * generator.uniform(0.6, 1.5, (count, 2)))
    )
    area = boxes[:, 2] * boxes[:, 3] * generator.uniform(0.3, 1, count)
    return np.column_stack((generator.integers(0, num_classes, count), boxes, area, generator.random(count) < 1 / 6))


def random_detections(generator: np.random.Generator, objects: np.ndarray, num_classes: int = 3) -> np.ndarray:
    """(n, 6) xyxy, confidence, class, float32: near objects, inside crowds, anywhere; many confidences are equal."""
    rows = []
    for cls, x, y, w, h, _, crowd in objects.tolist():
        for _ in range(int(generator.integers(0, 4))):
            part = generator.uniform(0.2, 1) if crowd else 1
            left, top = np.array([x, y]) + generator.normal(0, 0.06 * w, 2)
            near = left, top, left + w * part, top + h * part
            rows.append([*near, np.round(generator.random(), 1), cls if generator.random() < 0.9 else 0])
    for _ in range(int(generator.integers(0, 4))):
        left, top, w, h = generator.uniform(1, 150, 4)
        rows.append([left, top, left + w, top + h, np.round(generator.random(), 2), generator.integers(num_classes)])
    found = np.array(rows, np.float32).reshape(-1, 6)
    return found[np.argsort(-found[:, 4], kind="stable")]


def pycocotools_evaluation(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> Any:
    """A COCOeval with its summary, from pycocotools itself."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is what the figures are compared with")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        there = coco.COCO()
        there.dataset = copy.deepcopy(truth)  # pycocotools adds to it
        there.createIndex()
        evaluation = cocoeval.COCOeval(there, there.loadRes(copy.deepcopy(list(results))), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
