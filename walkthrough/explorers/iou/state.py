"""What IouPlayground computes: the terms of four overlaps, their gradients, and gradient descent under each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from walkthrough.explorers.controls import Boxes, boxes, choice, slider
from walkthrough.explorers.iou.comparison import Comparison, compare
from yolo_lite.boxes import IOU_KINDS, IouKind, IouTerms, iou_terms, xyxy_to_xywh
from yolo_lite.overlap_gradients import iou_gradient, iou_gradients

WIDTH, HEIGHT = 240, 170  # pixels of the plane
SMALLEST = 1.0  # pixels: descent lets no side get shorter, as the head's (2 sigmoid)^2 * anchor does not


@dataclass(frozen=True)
class State:
    """Settings of the playground."""

    boxes: Boxes = boxes(
        ((40.0, 90.0, 130.0, 140.0), (115.0, 25.0, 195.0, 125.0)),
        label="prediction, truth",
        help="the prediction, then the truth: drag the inside, a side or a corner",
    )
    box_loss: IouKind = choice(
        "ciou", IOU_KINDS, help="the loss that is gone down: its gradient is in the arrows, and its way in the picture"
    )
    rate: float = slider(
        800.0,
        1,
        2000,
        step=1.0,
        log=True,
        unit="px²",
        label="learning rate",
        help="a step is this times the gradient: too large, and the box jumps; it falls to 0 on the way",
    )
    steps: int = slider(20, 1, 300, help="how many steps of gradient descent the prediction goes, in x, y, w and h")
    step: int = slider(
        0,
        0,
        lambda state: state.steps,
        label="step",
        help="of the way down the chosen loss: where the prediction is after this many steps of gradient descent",
        linked=False,
        plays=0.25,
    )


@dataclass(frozen=True, eq=False)
class Result:
    """What the two boxes lead to. K kinds in the order of IOU_KINDS."""

    state: State
    terms: IouTerms  # each (1,)
    overlap: dict[str, float]  # of each kind; the loss is 1 - overlap
    by_formula: Tensor  # (4,) d loss / d (x, y, w, h) of the prediction
    by_autograd: Tensor  # (4,) the same, as training gets it
    descent: "Descent"
    comparison: Comparison  # with L1, smooth L1 and L2
    moved: Tensor  # (4,) xywh: the prediction after state.step steps down its loss
    slope: Tensor  # (4,) d loss / d (x, y, w, h) there


@dataclass(frozen=True, eq=False)
class Descent:
    """Gradient descent under each loss, s steps."""

    boxes: Tensor  # (K, s + 1, 4) xywh of the prediction
    losses: Tensor  # (K, s + 1) each in its own measure
    ious: Tensor  # (K, s + 1) plain IoU, to compare them by


def compute(state: State) -> Result:
    """The terms, both gradients and the descent under each loss."""
    pred, truth = (xyxy_to_xywh(torch.tensor([box[:4]])) for box in state.boxes)  # (1, 4) each
    terms = iou_terms(pred, truth)
    moving = pred.clone().requires_grad_()
    loss = 1 - iou_terms(moving, truth).value(state.box_loss)  # (1,)
    descent = descend(pred, truth, state.rate, state.steps)
    moved = descent.boxes[IOU_KINDS.index(state.box_loss), state.step]  # (4,)
    return Result(
        state=state,
        terms=terms,
        overlap={kind: terms.value(kind).item() for kind in IOU_KINDS},
        by_formula=-iou_gradient(pred, truth, state.box_loss)[0],
        by_autograd=torch.autograd.grad(loss.sum(), moving)[0][0],
        descent=descent,
        comparison=compare(pred, truth),
        moved=moved,
        slope=-iou_gradient(moved[None], truth, state.box_loss)[0],
    )


def descend(pred: Tensor, truth: Tensor, rate: float, steps: int) -> Descent:
    """Gradient descent on x, y, w, h from pred (1, 4) to truth (1, 4), under the K losses side by side."""
    box, way = pred.repeat(len(IOU_KINDS), 1), []  # (K, 4)
    with torch.inference_mode():  # a fifth faster than no_grad: this follows the reader's hand
        for step in range(steps + 1):
            box = torch.cat((box[:, :2], box[:, 2:].clamp(min=SMALLEST)), 1)
            way.append(box)
            every = torch.stack(tuple(iou_gradients(box, truth).values()))  # (K, K, 4) of each kind, at each box
            uphill = every.diagonal().T  # (K, 4) each by its own
            box = box + rate * (1 - step / steps) * uphill
    boxes = torch.stack(way, 1)  # (K, s + 1, 4)
    terms = iou_terms(boxes, truth)  # each (K, s + 1)
    losses = torch.stack([1 - terms.value(kind)[row] for row, kind in enumerate(IOU_KINDS)])
    return Descent(boxes, losses, terms.iou)
