"""error_costs: how much average precision each kind of error costs over a dataset (TIDE's dAP).

TIDE, section 2.3: dAP of a kind is the average precision that there would be if an oracle corrected the errors of that
kind and no others, minus the one that there is.

- classification, localization: the detection gets the class, or the box, of the label that it is about; of several
  that then have found the same label the best stays, the others are removed.
- both, duplicate, background: the detection is removed.
- missed: the label is removed, so that the rest counts as all that was to be found.

The costs of all kinds do not add up to what is missing to 1: one error can hide another.

Shape letters: n detections and m labels of all images together.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from yolo_lite.analysis.errors import BACKGROUND, CORRECT, FOREGROUND, KINDS, ImageErrors, Kind, find_errors
from yolo_lite.detect.average_precision import average_precision
from yolo_lite.detect.metrics import ImageDetections, Metrics

REMOVED = ("both", "duplicate", "background")


@dataclass(frozen=True, eq=False)
class ErrorCosts:
    """Average precision, and what errors cost of it; ``str()`` is a table."""

    ap: float  # mean over the classes, at IoU = foreground
    costs: dict[Kind, float]  # dAP of each kind
    false_positives: float  # dAP of all wrong detections together: they are removed
    false_negatives: float  # dAP of all labels that were not found together: they are removed
    counts: dict[Kind, int]  # errors of each kind
    images: tuple[ImageErrors, ...]  # of each image, in the order given
    foreground: float
    background: float

    def __str__(self) -> str:
        lines = [f"{'error':>15}  count    dAP"]
        lines += [f"{kind:>15}  {self.counts[kind]:5}  {cost:5.3f}" for kind, cost in self.costs.items()]
        wrong = sum(self.counts.values()) - self.counts["missed"]
        not_found = sum(int((image.found_by < 0).sum()) for image in self.images)
        lines += [
            f"{'false positives':>15}  {wrong:5}  {self.false_positives:5.3f}",
            f"{'false negatives':>15}  {not_found:5}  {self.false_negatives:5.3f}",
            f"AP {self.ap:.3f} at IoU {self.foreground:g}, {len(self.images)} images",
        ]
        return "\n".join(lines)


def error_costs(
    found: Metrics | Sequence[ImageDetections], foreground: float = FOREGROUND, background: float = BACKGROUND
) -> ErrorCosts:
    """Finds the errors in every image, corrects one kind after the other, and measures average precision each time.

    Average precision is that of ``average_precision`` at IoU = foreground under the rule "coco", of detections that
    were matched as YOLOv5 matches them; ``Metrics.map50`` of the rule "coco" may differ in the third digit, as COCO
    matches otherwise and looks at 100 detections per class and image. Crowd regions of an annotation file are not
    known here: a detection in one counts as wrong.

    Args:
        found: what ``evaluate(..., keep_detections=True)`` returned, or its ``detections``.
        foreground, background: IoU thresholds, see ``find_errors``.
    Raises:
        ValueError: the detections were not kept, there is no label, or other thresholds.

    >>> labels = np.float32([[0, 0, 0, 10, 10], [0, 50, 50, 60, 60]])
    >>> boxes = np.float32([[20, 20, 30, 30], [0, 0, 10, 10]])  # the surer one finds nothing
    >>> image = ImageDetections("a.jpg", boxes, np.float32([0.9, 0.6]), np.array([0, 0]), (64, 64), labels, 1)
    >>> print(error_costs([image]))
              error  count    dAP
     classification      0  0.000
       localization      0  0.000
               both      0  0.000
          duplicate      0  0.000
         background      1  0.252
             missed      1  0.248
    false positives      1  0.252
    false negatives      1  0.248
    AP 0.252 at IoU 0.5, 1 images
    """
    errors, every = _sorted(found, foreground, background)
    ap = _corrected_ap(every, ())
    return ErrorCosts(
        ap=ap,
        costs={kind: _corrected_ap(every, (kind,)) - ap for kind in KINDS},
        false_positives=_ap(every, every.kinds == CORRECT) - ap,
        false_negatives=_ap(every, labels=every.is_found) - ap,
        counts={kind: sum(image.counts[kind] for image in errors) for kind in KINDS},
        images=errors,
        foreground=foreground,
        background=background,
    )


def corrected_ap(
    found: Metrics | Sequence[ImageDetections],
    kinds: Collection[Kind],
    foreground: float = FOREGROUND,
    background: float = BACKGROUND,
) -> float:
    """Average precision if all errors of these kinds together were corrected; of all six kinds it is 1.

    Arguments and errors as of ``error_costs``.

    >>> labels = np.float32([[0, 0, 0, 10, 10]])
    >>> image = ImageDetections("a.jpg", labels[:, 1:], np.float32([0.9]), np.array([1]), (64, 64), labels, 1)
    >>> corrected_ap([image], ()), corrected_ap([image], ["classification"])
    (0.0, 1.0)
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"unknown kind of error {unknown[0]!r}: choose of {', '.join(KINDS)}")
    return _corrected_ap(_sorted(found, foreground, background)[1], kinds)


class _Joined(NamedTuple):
    """Detections and labels of all images, image after image."""

    conf: np.ndarray  # (n,)
    cls: np.ndarray  # (n,) int64
    kinds: np.ndarray  # (n,) str
    label: np.ndarray  # (n,) int64, row of the m labels; -1 of background
    label_cls: np.ndarray  # (m,) int64
    is_missed: np.ndarray  # (m,) bool
    is_found: np.ndarray  # (m,) bool


def _sorted(
    found: Metrics | Sequence[ImageDetections], foreground: float, background: float
) -> tuple[tuple[ImageErrors, ...], _Joined]:
    """The errors of each image, and all images joined."""
    images = found.detections if isinstance(found, Metrics) else found
    if images is None:
        raise ValueError("the detections were not kept: evaluate(..., keep_detections=True) keeps them")
    if not any(len(image.labels) for image in images):
        raise ValueError(f"none of the {len(images)} images has a label, so there is nothing to compare with")
    errors = tuple(
        find_errors(np.column_stack((image.xyxy, image.conf, image.cls)), image.labels, foreground, background)
        for image in images
    )
    starts = np.cumsum([0, *(len(image.labels) for image in images)])
    labels = [np.where(each.label < 0, -1, each.label + start) for each, start in zip(errors, starts, strict=False)]
    return errors, _Joined(
        np.concatenate([image.conf for image in images]),
        np.concatenate([image.cls for image in images]),
        np.concatenate([each.kinds for each in errors]),
        np.concatenate(labels),
        np.concatenate([image.labels[:, 0] for image in images]).astype(np.int64),
        np.concatenate([each.missed for each in errors]),
        np.concatenate([each.found_by >= 0 for each in errors]),
    )


def _corrected_ap(every: _Joined, corrected: Collection[Kind]) -> float:
    """Average precision after the errors of these kinds were corrected."""
    cls = every.cls
    if "classification" in corrected:
        cls = np.where(every.kinds == "classification", every.label_cls[every.label], cls)
    hits = np.isin(every.kinds, [CORRECT, *(kind for kind in corrected if kind not in REMOVED)])
    kept = ~hits & ~np.isin(every.kinds, [kind for kind in corrected if kind in REMOVED])  # the wrong ones that stay
    right = np.zeros(len(cls), bool)
    candidates = np.flatnonzero(hits)
    candidates = candidates[np.argsort(-every.conf[candidates], kind="stable")]
    right[candidates[np.unique(every.label[candidates], return_index=True)[1]]] = True  # the best of each label
    labels = ~every.is_missed if "missed" in corrected else np.ones(len(every.label_cls), bool)
    return _ap(every._replace(cls=cls), kept | right, labels, right)


def _ap(
    every: _Joined, kept: np.ndarray | None = None, labels: np.ndarray | None = None, right: np.ndarray | None = None
) -> float:
    """Average precision of the detections that are kept for the labels that are; 1 where no label is left to find."""
    kept = np.ones(len(every.cls), bool) if kept is None else kept
    right = every.kinds == CORRECT if right is None else right
    wanted = every.label_cls if labels is None else every.label_cls[labels]
    if not len(wanted):
        return 1.0
    scores = average_precision(right[kept, None], every.conf[kept], every.cls[kept], wanted)
    return float(scores.ap.mean())
