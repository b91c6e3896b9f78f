"""Greedy non-maximum suppression of many boxes on the CPU: keeps what ``suppress`` keeps, and is quick.

Few pairs of boxes overlap; the work lies in finding these. Boxes whose IoU is above t share more than t of either
one's width. With boxes sorted by their left edges, those that a box may be a rival of stand side by side, from its own
left edge to some way before its right one: a sweep along x. Only these pairs are compared, by the formula and in the
number format of ``box_iou``, so the answers are the same to the last bit.

Shape letters: n boxes, p pairs, k kept boxes, b boxes of a block.
"""

from typing import Literal

import numpy as np

from yolo_lite.boxes import EPS

BLOCK = 512  # boxes decided together; bounds the memory: no more than BLOCK * BLOCK pairs are listed at a time
PART = 256  # kept boxes that a block is compared with at a time: what the first ones beat is gone for the next
SLACK = 0.999  # of the threshold: float32 may round an IoU up by less
Pairs = tuple[np.ndarray, np.ndarray]


def kept_ranks(ranked: np.ndarray, iou_thres: float, limit: int | None = None) -> np.ndarray:
    """Ranks of the boxes that survive greedy suppression, rising.

    Args:
        ranked: (n, 4) float32 xyxy, finite, best first.
        iou_thres: a box goes when its IoU with a better kept one is above this. limit: stop once this many are kept.
    Returns:
        (k,) int64.

    >>> kept_ranks(np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]], np.float32), 0.5)
    array([0, 2])
    """
    count = len(ranked)
    limit = count if limit is None else limit
    # Where all are to be decided: group by group, so that a block has few rivals that were kept before.
    group = _groups(ranked) if limit >= count else np.zeros(count, np.int64)  # (n,)
    order = group.argsort(kind="stable")  # best first within each group
    group, edges = group[order], np.ascontiguousarray(ranked[order].T)  # (n,), (4, n)
    stays = np.zeros(count, bool)
    with np.errstate(all="ignore"):  # of an infinite area, IoU is 0 or NaN: above no threshold
        for start in range(0, count, BLOCK):
            block = np.arange(start, min(start + BLOCK, count))
            since = int(group.searchsorted(group[start]))
            kept = since + stays[since:start].nonzero()[0]
            for first in range(0, len(kept), PART):
                part = kept[first : first + PART]
                block = block[~_beaten(edges.take(part, 1), edges.take(block, 1), iou_thres)]
            stays[block] = _decide(len(block), *_rivals(edges.take(block, 1), iou_thres))
            if np.count_nonzero(stays) >= limit:
                break
    return np.sort(order[stays])[:limit]


def _groups(boxes: np.ndarray) -> np.ndarray:
    """(n,) boxes of different numbers lie apart along x, as those of different classes do once they are moved apart."""
    by_left = boxes[:, 0].argsort()
    left, reach = boxes[by_left, 0], np.maximum.accumulate(boxes[by_left, 2])
    group = np.zeros(len(boxes), np.int64)
    group[by_left[1:]] = (left[1:] >= reach[:-1]).cumsum()
    return group


def _beaten(kept: np.ndarray, block: np.ndarray, iou_thres: float) -> np.ndarray:
    """Which boxes of a block (4, b) overlap one of those kept before, (4, k), too much -> (b,) bool."""
    beaten = np.zeros(block.shape[1], bool)
    starts_in_kept = _near(kept, block, iou_thres, "left")
    kept_starts_in = _near(block, kept, iou_thres, "right")[::-1]
    for i, j in (starts_in_kept, kept_starts_in):  # (p,), (p,)
        beaten[j[_iou(kept, i, block, j) > np.float32(iou_thres)]] = True
    return beaten


def _rivals(block: np.ndarray, iou_thres: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs among the boxes of a block (4, b), best first, that overlap too much: the better, the worse; (p,) each."""
    i, j = _near(block, block, iou_thres, "left")
    above = (_iou(block, i, block, j) > np.float32(iou_thres)) & (i != j)
    i, j = i[above], j[above]
    return np.minimum(i, j), np.maximum(i, j)


def _decide(count: int, better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """Which of b boxes stay -> (b,) bool: those of which no better rival stays.

    Starting from "all stay" and applying that sentence to all boxes at once makes at least one more box final in each
    round, so the rounds end in the greedy answer.
    """
    stays = np.ones(count, bool)
    while True:
        update = np.ones(count, bool)
        update[worse[stays[better]]] = False
        if np.array_equal(update, stays):
            return stays
        stays = update


def _near(a: np.ndarray, b: np.ndarray, iou_thres: float, side: Literal["left", "right"]) -> Pairs:
    """Every box of a (4, n) with those of b (4, m) whose left edge lies where a rival's can -> places in both, (p,).

    ``side`` "left": equal left edges count too.
    """
    left, right = a[0].astype(float), a[2].astype(float)  # float64: the end of the reach must not be rounded down
    by_left = b[0].argsort()
    starts = b[0, by_left].astype(float)
    first = starts.searchsorted(left, side)
    count = np.maximum(starts.searchsorted(right - SLACK * iou_thres * (right - left)) - first, 0)  # (n,)
    i = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(i)) - np.repeat(count.cumsum() - count, count)  # 0, 1, ... for each box of a
    return i, by_left[place + first[i]]


def _iou(a: np.ndarray, i: np.ndarray, b: np.ndarray, j: np.ndarray) -> np.ndarray:
    """IoU of boxes a[:, i] with b[:, j] -> (p,), as ``box_iou`` computes it."""
    left1, top1, right1, bottom1 = (edge.take(i) for edge in a)
    left2, top2, right2, bottom2 = (edge.take(j) for edge in b)
    zero, eps = np.float32(0), np.float32(EPS)
    width = np.maximum(np.minimum(right1, right2) - np.maximum(left1, left2), zero)
    height = np.maximum(np.minimum(bottom1, bottom2) - np.maximum(top1, top2), zero)
    intersection = width * height
    areas = (right1 - left1) * (bottom1 - top1) + (right2 - left2) * (bottom2 - top2)
    iou: np.ndarray = intersection / (areas - intersection + eps)
    return iou
