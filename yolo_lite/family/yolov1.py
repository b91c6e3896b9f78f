"""YOLOv1: a grid of cells, in each of them one object, B boxes, and squared errors for everything.

Sources: Redmon et al. 2016 (arXiv 1506.02640), equation 3; where the paper leaves something open, Darknet's
``detection`` layer.

Shape letters: N batch, S rows and columns of the grid, B boxes of a cell, C classes, m objects, n = B S S predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from yolo_lite.coding import decode_grid, encode_grid, prediction_cells
from yolo_lite.family.common import (
    add_at,
    centre_iou,
    check_setting,
    count_dropped,
    flat_index,
    gradients_in,
    object_cells,
    read_objects,
    sum_of_squares,
    summed,
    working_type,
)
from yolo_lite.loss.criterion import NEGATIVE, POSITIVE, AssignedPredictions, PredictionMatches


@dataclass(frozen=True)
class Yolov1Settings:
    """The grid and the loss of YOLOv1; Darknet: the options of a ``[detection]`` section. Defaults: the paper's."""

    grid: int = 7  # S; Darknet: side
    boxes: int = 2  # B; Darknet: num. Its published descriptions have 3
    square_root: bool = True  # w and h are square roots: an error counts more in a small box; Darknet: sqrt
    rescore: bool = True  # the confidence target of the responsible box is its IoU, else 1
    softmax: bool = False  # class scores go through softmax (cross entropy); the paper's are trained as they are
    object_scale: float = 1.0  # weight of the confidence of responsible boxes
    noobject_scale: float = 0.5  # lambda_noobj: nearly all boxes are without an object and would outvote the others
    class_scale: float = 1.0
    coord_scale: float = 5.0  # lambda_coord

    def __post_init__(self) -> None:
        for name in ("grid", "boxes"):
            check_setting(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("object_scale", "noobject_scale", "class_scale", "coord_scale"):
            check_setting(self, name, getattr(self, name) >= 0, "at least 0")

    def outputs(self, num_classes: int) -> int:
        """How many numbers the network gives for an image, S S (5B + C): 1470 in the paper.

        >>> Yolov1Settings().outputs(20)
        1470
        """
        return self.grid**2 * (5 * self.boxes + num_classes)


class Yolov1Output(NamedTuple):
    """The flat output of the network, cut into its three parts."""

    classes: Tensor  # (N, S, S, C)
    confidence: Tensor  # (N, B, S, S)
    boxes: Tensor  # (N, B, S, S, 4): x, y from the cell's corner in cells; w, h or their square roots in images


def split_output(out: Tensor, num_classes: int, settings: Yolov1Settings | None = None) -> Yolov1Output:
    """Cuts the flat output into parts; they are views of it.

    Args:
        out: (N, S S (5B + C)): first the classes of all cells, then all confidences, then all boxes; row by row.
    Raises:
        ValueError: another length.

    >>> [tuple(part.shape) for part in split_output(torch.zeros(1, 1470), 20)]
    [(1, 7, 7, 20), (1, 2, 7, 7), (1, 2, 7, 7, 4)]
    """
    settings = settings or Yolov1Settings()
    grid, boxes = settings.grid, settings.boxes
    length = settings.outputs(num_classes)
    if out.ndim != 2 or out.shape[1] != length:
        raise ValueError(
            f"the output must be (N, {length}) for a grid of {grid} x {grid}, {boxes} boxes and {num_classes} classes; "
            f"got {tuple(out.shape)}"
        )
    cells = grid * grid
    classes, confidence, coordinates = out.split((cells * num_classes, cells * boxes, cells * boxes * 4), 1)
    return Yolov1Output(
        classes.view(-1, grid, grid, num_classes),
        confidence.view(-1, grid, grid, boxes).permute(0, 3, 1, 2),  # (N, B, S, S)
        coordinates.view(-1, grid, grid, boxes, 4).permute(0, 3, 1, 2, 4),  # (N, B, S, S, 4)
    )


def decode_yolov1(
    out: Tensor, num_classes: int, settings: Yolov1Settings | None = None, img_size: int | tuple[int, int] = 448
) -> Tensor:
    """The flat output -> boxes in pixels and scores.

    Args:
        out: (N, S S (5B + C)). img_size: of the network's input in pixels; an int, or (height, width).
    Returns:
        (N, B S S, 5 + C), at least float32: x, y (centre), w, h in pixels, confidence (which may be below 0 or above
        1), class scores; first box of each cell row by row, then the second one. The B boxes of a cell share its
        class scores.

    >>> settings = Yolov1Settings(grid=1, boxes=1)
    >>> decode_yolov1(torch.tensor([[0.9, 0.8, 0.5, 0.5, 0.6, 0.5]]), 1, settings, 100)
    tensor([[[50.0000, 50.0000, 36.0000, 25.0000,  0.8000,  0.9000]]])
    """
    settings = settings or Yolov1Settings()
    parts = split_output(out.to(working_type(out)), num_classes, settings)
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    boxes = decode_grid(parts.boxes, settings.square_root) * parts.boxes.new_tensor([width, height, width, height])
    scores = parts.classes.softmax(-1) if settings.softmax else parts.classes
    scores = scores[:, None].expand(-1, settings.boxes, -1, -1, -1)  # (N, B, S, S, C)
    return torch.cat((boxes, parts.confidence[..., None], scores), -1).flatten(1, 3)  # (N, B S S, 5 + C)


class Yolov1LossParts(NamedTuple):
    """The loss of a batch, taken apart; every field a scalar that carries gradient. In ``assign``: (N, n)."""

    total: Tensor  # box + obj + cls, as Darknet a sum over images, cells and boxes; the terms of equation 3:
    box: Tensor  # first and second term: lambda_coord times the squared errors of x, y, w and h of responsible boxes
    obj: Tensor  # third and fourth term: of all confidences; lambda_noobj weights boxes that are not responsible
    cls: Tensor  # fifth term: of the classes of cells with an object; in assign, at the responsible box


class Yolov1Assignment(NamedTuple):
    """Which box is responsible for which object, and what it is trained towards; no gradient."""

    image: Tensor  # (m,) int64, as all the next ones
    box: Tensor  # which of the B boxes
    row: Tensor
    col: Tensor
    target: Tensor  # the row of targets
    cls: Tensor
    coordinates: Tensor  # (m, 4) target of x, y, w, h, as the network gives them
    confidence: Tensor  # (m,) target: the IoU that the box has now, or 1


class Yolov1Loss(nn.Module):
    """The loss of YOLOv1; follows ``Criterion``.

    Half squared errors, whose gradients are the plain differences that Darknet trains with (equation 3 has no halves).
    A cell has one object: the first one in the order of targets. Later ones in it are dropped, and counted in
    ``dropped``.

    Args:
        num_classes: C. gain: factor of everything; Darknet divides by the batch, in its learning rate.

    >>> loss = Yolov1Loss(2, Yolov1Settings(grid=1, boxes=1))
    >>> out = torch.tensor([[0.0, 1.0, 0.5, 0.5, 0.5, 0.6, 0.6]])  # classes, confidence, box
    >>> parts = loss([out], torch.tensor([[0, 1, 0.5, 0.5, 0.36, 0.25]]))
    >>> [round(part.item(), 4) for part in parts]
    [0.0439, 0.025, 0.0189, 0.0]
    """

    def __init__(self, num_classes: int, settings: Yolov1Settings | None = None, gain: float = 1.0) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, not {num_classes}")
        self.num_classes, self.settings, self.gain = num_classes, settings or Yolov1Settings(), gain
        self.dropped = 0  # objects without a responsible box, in all calls so far

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> Yolov1LossParts:
        """The loss of a batch.

        Args:
            maps: [the flat output (N, S S (5B + C))]. targets: (n, 6) image, class, xc, yc, w, h; normalised.
        """
        assignment = self.assignments(maps, targets)
        self.dropped += count_dropped(targets, self._matches(assignment))
        return summed(self.of_assignments(maps, assignment))

    def assign(self, maps: Sequence[Tensor], targets: Tensor) -> AssignedPredictions:
        """What this loss asks of every prediction, and what each costs; no prediction is ignored. Counts nothing.

        >>> loss = Yolov1Loss(1, Yolov1Settings(grid=2, boxes=1))
        >>> assigned = loss.assign([torch.zeros(1, 24)], torch.tensor([[0, 0, 0.6, 0.2, 0.1, 0.1]]))
        >>> assigned.role, assigned.target
        (tensor([[0, 1, 0, 0]], dtype=torch.int8), tensor([[-1,  0, -1, -1]]))
        """
        assignment = self.assignments(maps, targets)
        losses = self.of_assignments(maps, assignment)
        matches = self._matches(assignment)
        target = torch.full_like(losses.total, -1, dtype=torch.int64)  # (N, n)
        target[matches.image, matches.prediction] = matches.target
        role = torch.where(target >= 0, POSITIVE, NEGATIVE).to(torch.int8)
        cells = prediction_cells([self._shape(maps)[1:]]).to(target.device)
        return AssignedPredictions(role, target, losses, matches, cells)

    @torch.no_grad()
    def assignments(self, maps: Sequence[Tensor], targets: Tensor) -> Yolov1Assignment:
        """The responsible box of each object that has a cell of its own; everything in a step that has no gradient."""
        output, settings = self._output(maps), self.settings
        objects = read_objects(targets, maps, self.num_classes)
        row, col = object_cells(objects.box, settings.grid, settings.grid)  # (m,) each
        cell = (objects.image * settings.grid + row) * settings.grid + col
        first = ~(cell[:, None] == cell).tril(-1).any(1)  # (m,): no earlier object is in this cell
        image, cls, boxes, target, row, col = (each[first] for each in (*objects, row, col))
        decoded = decode_grid(output.boxes, settings.square_root)[image, :, row, col]  # (m, B, 4)
        iou = centre_iou(decoded, boxes[:, None])  # (m, B)
        distance = (decoded - boxes[:, None]).square().sum(-1)  # (m, B), decides where no box overlaps
        box = torch.where((iou > 0).any(1), iou.argmax(1), distance.argmin(1))  # (m,)
        best = iou.gather(1, box[:, None])[:, 0]
        confidence = best if settings.rescore else torch.ones_like(best)
        coordinates = encode_grid(boxes, (settings.grid, settings.grid), settings.square_root)
        return Yolov1Assignment(image, box, row, col, target, cls, coordinates, confidence)

    def of_assignments(self, maps: Sequence[Tensor], assignment: Yolov1Assignment) -> Yolov1LossParts:
        """The losses of all predictions, fields (N, n), for an assignment that is held fixed."""
        output, settings, shape = self._output(maps), self.settings, self._shape(maps)
        image, box, row, col, *_ = assignment
        place = flat_index(shape, image, box, row, col)  # (m,)
        errors = (output.boxes[image, box, row, col] - assignment.coordinates).square().sum(1) / 2  # (m,)
        confidence = output.confidence  # (N, B, S, S)
        responsible = add_at(place, torch.ones_like(errors), shape).view(shape)  # 1 there, else 0
        background = settings.noobject_scale * (1 - responsible) * confidence.square() / 2  # (N, B, S, S)
        positive = (confidence[image, box, row, col] - assignment.confidence).square() / 2  # (m,)
        cls = self._class_losses(output.classes[image, row, col], assignment.cls)  # (m,)

        box_losses = self.gain * settings.coord_scale * add_at(place, errors, shape)  # (N, n), as the next ones
        obj_losses = self.gain * (background.flatten(1) + settings.object_scale * add_at(place, positive, shape))
        cls_losses = self.gain * settings.class_scale * add_at(place, cls, shape)
        return Yolov1LossParts(box_losses + obj_losses + cls_losses, box_losses, obj_losses, cls_losses)

    def layer_gradient(self, maps: Sequence[Tensor], targets: Tensor) -> list[Tensor]:
        """What Darknet's layer stores, with the sign of a gradient: (N, S S (5B + C)) float64, without the gain.

        >>> loss = Yolov1Loss(1, Yolov1Settings(grid=1, boxes=1))
        >>> loss.layer_gradient([torch.tensor([[0.0, 0.5, 0.0, 0.0, 0.0, 0.0]])], torch.zeros(0, 6))[0]
        tensor([[0.0000, 0.2500, 0.0000, 0.0000, 0.0000, 0.0000]], dtype=torch.float64)
        """
        maps = [maps[0].double()]
        assignment = self.assignments(maps, targets)
        return gradients_in(maps, lambda leaves: self.of_assignments(leaves, assignment).total.sum() / self.gain)

    def cost(self, maps: Sequence[Tensor], targets: Tensor) -> float:
        """The number that Darknet prints: the sum of the squares of the gradient, not the loss; without the gain."""
        return sum_of_squares(self.layer_gradient(maps, targets))

    def _class_losses(self, values: Tensor, cls: Tensor) -> Tensor:
        """(m, C) numbers of the cells with an object, (m,) their classes -> (m,)."""
        if self.settings.softmax:
            return cross_entropy(values, cls, reduction="none")
        return (values - one_hot(cls, self.num_classes).to(values)).square().sum(1) / 2

    def _matches(self, assignment: Yolov1Assignment) -> PredictionMatches:
        grid = self.settings.grid
        prediction = (assignment.box * grid + assignment.row) * grid + assignment.col  # (m,)
        return PredictionMatches(assignment.image, prediction, assignment.target)

    def _output(self, maps: Sequence[Tensor]) -> Yolov1Output:
        if len(maps) != 1:
            raise ValueError(f"{len(maps)} maps: YOLOv1 has one output, (N, S S (5B + C))")
        return split_output(maps[0].to(working_type(maps[0])), self.num_classes, self.settings)

    def _shape(self, maps: Sequence[Tensor]) -> tuple[int, int, int, int]:
        """(N, B, S, S)."""
        return len(maps[0]), self.settings.boxes, self.settings.grid, self.settings.grid
