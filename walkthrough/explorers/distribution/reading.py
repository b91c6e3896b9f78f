"""What a detector with distributions says of a picture: its positive points, and the bins of their four sides.

Shape letters: R bins of a distance, P points of an image, C classes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from walkthrough.explorers.pictures import Annotated, images_of, taking, targets_of
from walkthrough.gradients import maps_of
from yolo_lite.coding import decode_distances, decode_distribution, encode_distances
from yolo_lite.family.anchored import flatten
from yolo_lite.family.yolov8.loss import Points as GridPoints
from yolo_lite.family.yolov8.loss import Yolov8Loss, grid_points, split_columns
from yolo_lite.hyperparameters import Hyperparameters

SIDES = ("left", "top", "right", "bottom")
MOST_POINTS = 100


class PointReading(NamedTuple):
    """One point."""

    x: float  # pixels
    y: float
    stride: int
    logits: Tensor  # (4, R)
    box: tuple[float, ...]  # xyxy pixels, as predicted
    cls: int  # the object's class, or the one with the largest score
    object: int  # row of the picture's objects; -1: the point is matched to none
    score: float  # of that class
    target_score: float  # what the score is trained towards
    distances: tuple[float, ...]  # 4, true ones in cells; without an object the predicted ones


class Reading(NamedTuple):
    """The points that are shown of a picture."""

    points: tuple[PointReading, ...]  # positives by target score; where there are none, the one with the best score
    positives: int  # of the whole picture


def loss_of(model: Any, size: int) -> Yolov8Loss:
    """The loss of a detector whose distances are distributions; a ValueError for any other detector."""
    loss = model.criterion(Hyperparameters(), size)
    if not isinstance(loss, Yolov8Loss):
        raise ValueError(
            f"only heads of YOLOv8's kind (YOLOv8, v9, 11, YOLO-World) predict distances as distributions; the loss "
            f"of {type(model).__name__} is {type(loss).__name__}"
        )
    return loss


def read_picture(model: Any, picture: Annotated) -> Reading:
    """Runs the model on a picture, and its loss's assignment on what came out."""
    loss = loss_of(model, max(picture.size))
    with taking(picture):
        maps = maps_of(model, images_of((picture,), model))[: len(loss.strides)]  # without auxiliary ones
    with torch.no_grad():
        asked = loss.ask(maps, targets_of((picture,)))
        flat = flatten(maps).cpu()
        points = grid_points(loss.shapes(maps), loss.strides, flat)
    sides, logits = (part[0] for part in split_columns(flat, loss.reg_max))
    passed = _Passed(points, sides, logits, asked.target[0].cpu(), asked.aligned.target_scores[0].sum(-1).cpu())
    positives = (passed.target >= 0).nonzero()[:, 0]
    order = positives[passed.target_score[positives].argsort(descending=True, stable=True)][:MOST_POINTS]
    chosen = order if len(order) else passed.logits.amax(1).argmax()[None]
    return Reading(tuple(_point(passed, index, picture) for index in chosen.tolist()), len(positives))


class _Passed(NamedTuple):
    """What a model said of all points of a picture, and what its loss asks of them."""

    points: GridPoints
    sides: Tensor  # (P, 4, R)
    logits: Tensor  # (P, C)
    target: Tensor  # (P,) row of the picture's objects, or -1
    target_score: Tensor  # (P,)


def _point(passed: _Passed, index: int, picture: Annotated) -> PointReading:
    """One of the points."""
    xy, stride = passed.points.xy[index], passed.points.stride[index]  # (2,), (1,)
    predicted, row = decode_distribution(passed.sides[index]), int(passed.target[index])  # (4,) cells
    truth = torch.tensor(picture.boxes[row][:4]) if row >= 0 else decode_distances(predicted * stride, xy)
    cls = int(picture.boxes[row][4]) if row >= 0 else int(passed.logits[index].argmax())
    return PointReading(
        x=float(xy[0]),
        y=float(xy[1]),
        stride=int(stride),
        logits=passed.sides[index],
        box=tuple(decode_distances(predicted * stride, xy).tolist()),
        cls=cls,
        object=row,
        score=float(passed.logits[index, cls].sigmoid()),
        target_score=float(passed.target_score[index]),
        distances=tuple(encode_distances(truth / stride, xy / stride).tolist()),
    )
