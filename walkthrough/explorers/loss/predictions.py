"""The predictions of the shown picture that cost most: where they are, what each of their losses is, and why."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.pictures import Annotations
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.loss.criterion import POSITIVE
from yolo_lite.loss.loss import LevelLoss

MOST_POSITIVES, MOST_BACKGROUND = 60, 6  # that are drawn; the others are counted


class Predictions(NamedTuple):
    """k predictions of one picture, the largest loss first."""

    boxes: Tensor  # (k, 4) xyxy pixels, as decoded now
    losses: dict[str, Tensor]  # term, "total" among them -> (k,)
    positive: Tensor  # (k,) bool; of the others the loss is that of background
    target: Tensor  # (k,) which object of the picture; -1 of background
    cells: Tensor  # (k, 4) level, anchor, row, column
    positives: int  # how many there are in the picture, drawn or not


def predictions_of(
    loss: Any,
    maps: Sequence[Tensor],
    decoded: Tensor | None,
    pictures: Annotations,
    shown: int,
    targets: Tensor,
    levels: Sequence[LevelLoss] = (),
) -> Predictions | None:
    """What the loss says of the predictions for one of the pictures; None where it does not say.

    Args:
        maps, decoded: of all pictures; decoded: (N, n, 5 + C). targets: of all pictures.
        levels: what a ComputeLoss made of these maps, where that is known: then it is not computed again.
    """
    if decoded is None or not hasattr(loss, "assign"):
        return None
    with torch.no_grad():
        assigned = loss.assigned(levels) if levels else loss.assign([level.clone() for level in maps], targets)
    role, total = assigned.role[shown].cpu(), assigned.losses.total[shown].float().cpu()  # (n,)
    order = total.nan_to_num().argsort(descending=True, stable=True)
    is_positive = (role == POSITIVE)[order]
    worst = torch.cat((order[is_positive][:MOST_POSITIVES], order[~is_positive][:MOST_BACKGROUND]))
    worst = worst[total[worst].nan_to_num().argsort(descending=True, stable=True)]
    boxes = xywh_to_xyxy(decoded[shown, worst, :4].float().cpu())
    is_drawn = boxes.isfinite().all(1) & total[worst].isfinite()
    kept = worst[is_drawn]
    before = sum(len(picture.boxes) for picture in pictures[:shown])  # rows of targets that are of others
    target = assigned.target[shown].cpu()[kept]
    return Predictions(
        boxes[is_drawn],
        {term: values[shown].float().cpu()[kept] for term, values in assigned.losses._asdict().items()},
        role[kept] == POSITIVE,
        torch.where(target >= 0, target - before, -1),
        assigned.cells.cpu()[kept],
        int(is_positive.sum()),
    )
