"""Pairs of an object and an anchor that are worth a look, in whatever picture is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from walkthrough.explorers.anchors.state import Anchors, State
from walkthrough.explorers.controls import Boxes
from walkthrough.explorers.pictures import Annotations
from walkthrough.explorers.stage import Story
from yolo_lite.loss.targets import ratio_test

THIN = 3.0  # one side over the other
ANCHOR_T = 4.0
CLEAR = 1 / 8  # of the shorter side: an object as far from the border lies well within the picture
INF = float("inf")


def clearance(box: Sequence[float], size: tuple[int, int]) -> float:
    """Pixels between an object and the nearest border of its picture, which is (height, width).

    >>> clearance((20, 30, 60, 90), (100, 100))
    10
    """
    x1, y1, x2, y2 = box[:4]
    return min(x1, y1, size[1] - x2, size[0] - y2)


def clear_objects(objects: Boxes, size: tuple[int, int]) -> list[int]:
    """Those that lie well within the picture, or come closest to it: an object at a border shows half of its cells.

    >>> clear_objects(((0, 0, 30, 30, 0), (30, 30, 70, 70, 0), (45, 45, 55, 55, 0)), (100, 100))
    [1, 2]
    """
    room = [min(clearance(box, size), CLEAR * min(size)) for box in objects]
    best = max(room, default=0.0)
    return [index for index, pixels in enumerate(room) if pixels >= (best / 2 if best > 0 else best)]


def clearest_picture(pictures: Annotations) -> int:
    """The first of those with an object that lies well within the picture, or comes closest to it."""
    room = [max((min(clearance(b, p.size), CLEAR * min(p.size)) for b in p.boxes), default=-INF) for p in pictures]
    return room.index(max(room)) if room else 0


def opening_pair(anchors: Anchors, objects: Boxes, size: tuple[int, int]) -> tuple[int, int, int]:
    """Level, anchor and object of the pair that fits best, of the objects that lie well within the picture."""
    clear = clear_objects(objects, size)
    level, anchor, place = best_pair(anchors, tuple(objects[index] for index in clear))
    return level, anchor, clear[place] if clear else 0


def best_pair(anchors: Anchors, objects: Boxes) -> tuple[int, int, int]:
    """Level, anchor and object of the pair that fits best."""
    wh = torch.tensor([(x2 - x1, y2 - y1) for x1, y1, x2, y2, *_ in objects])
    if not len(wh) or not (wh > 0).all():
        return 0, 0, 0
    worst = ratio_test(wh, torch.tensor(anchors).flatten(0, 1)).worst  # (L A, n)
    place, chosen = divmod(int(worst.argmin()), len(wh))
    return *divmod(place, len(anchors[0])), chosen


def _best(state: State) -> Mapping[str, Any]:
    if state.other is not None or not state.objects:
        return {}
    level, anchor, chosen = opening_pair(state.anchors, state.objects, state.shown.size)
    return {"level": level, "anchor": anchor, "object": chosen}


def _rejected(state: State) -> Mapping[str, Any]:
    """The nearest anchor that does not match a thin object; of several such objects the one nearest to the middle."""
    if state.other is not None or not state.objects:
        return {}
    boxes = torch.tensor([box[:4] for box in state.objects])
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)  # (n, 2)
    thin = sides.amax(1) / sides.amin(1)
    away = ((boxes[:, :2] + boxes[:, 2:]) / 2 - torch.tensor(state.shown.size[::-1]) / 2).norm(dim=1)
    chosen = int(torch.where(thin >= min(THIN, float(thin.max())), away, torch.inf).argmin())
    worst = ratio_test(sides[chosen : chosen + 1], torch.tensor(state.anchors).flatten(0, 1)).worst[:, 0]  # (L A,)
    misses = torch.where(worst >= ANCHOR_T, worst, torch.inf)
    if misses.isinf().all():
        return {}
    level, anchor = divmod(int(misses.argmin()), len(state.anchors[0]))
    return {"level": level, "anchor": anchor, "object": chosen, "anchor_t": ANCHOR_T}


def _threshold(anchor_t: float) -> Any:
    return lambda state: {} if state.other is not None else {"anchor_t": anchor_t}


STORIES = (
    Story("a good fit", _best, "the ratio of the longer side to the shorter one: near 1 in width and in height."),
    Story(
        "why was it rejected?",
        _rejected,
        "one side decides: it differs from the anchor's by more than anchor_t, however well the other fits.",
    ),
    Story(
        "anchor_t 2", _threshold(2.0), "outlines that turn dotted: anchors that are no longer matched to the object."
    ),
    Story("anchor_t 1.2", _threshold(1.2), "purple dots: objects without any anchor. The loss never sees them."),
)
