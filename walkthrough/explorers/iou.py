"""IouPlayground: two boxes, four ways to say how well they agree, and where each way pulls the prediction."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from walkthrough import scene as draw
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import Boxes, boxes, choice, slider
from walkthrough.scene import Chart, Key, Line, Panel, Picture, Scene, Series, Table
from walkthrough.style import DASHES, THEMES
from yolo_lite.boxes import IOU_KINDS, IouKind, IouTerms, iou_terms, xyxy_to_xywh
from yolo_lite.overlap_gradients import iou_gradient, iou_gradients

WIDTH, HEIGHT = 240, 170  # pixels of the plane
GROUND = np.full((2, 2, 3), (44, 48, 54), np.uint8)  # dark under either theme, so that white boxes show
HULL = "#9AA4AE"
SMALLEST = 1.0  # pixels: descent lets no side get shorter, as the head's (2 sigmoid)^2 * anchor does not
LONGEST_ARROW, SHORTEST_ARROW = 30.0, 3.0  # pixels
PARAMETERS = ("x", "y", "w", "h")
LOOKS = dict(zip(IOU_KINDS, zip(THEMES["any"].series, DASHES, strict=False), strict=True))  # middle tones: any ground


@dataclass(frozen=True)
class IouState:
    """Settings of the playground."""

    boxes: Boxes = boxes(
        ((40.0, 90.0, 130.0, 140.0), (115.0, 25.0, 195.0, 125.0)),
        label="prediction, truth",
        help="the prediction, then the truth: drag the inside, a side or a corner",
    )
    box_loss: IouKind = choice("ciou", IOU_KINDS, help="whose gradient the arrows and the table show")
    rate: float = slider(800.0, 1, 2000, step=1.0, log=True, unit="px²", help="a step is rate x gradient; falls to 0")
    steps: int = slider(20, 1, 300, help="steps of gradient descent on x, y, w, h of the prediction")


@dataclass(frozen=True, eq=False)
class IouResult:
    """What the two boxes lead to. K kinds in the order of IOU_KINDS."""

    state: IouState
    terms: IouTerms  # each (1,)
    overlap: dict[str, float]  # of each kind; the loss is 1 - overlap
    by_formula: Tensor  # (4,) d loss / d (x, y, w, h) of the prediction
    by_autograd: Tensor  # (4,) the same, as training gets it
    descent: "Descent"


@dataclass(frozen=True, eq=False)
class Descent:
    """Gradient descent under each loss, s steps."""

    boxes: Tensor  # (K, s + 1, 4) xywh of the prediction
    losses: Tensor  # (K, s + 1) each in its own measure
    ious: Tensor  # (K, s + 1) plain IoU, to compare them by


class IouPlayground(Explorer):
    """Two boxes to drag; IoU, GIoU, DIoU and CIoU with every term, their gradients and the way down from here.

    Args:
        boxes: the prediction and the truth, (x1, y1, x2, y2) each, on a plane of 240 x 170 pixels.
        box_loss: "iou", "giou", "diou" or "ciou". rate, steps: of the gradient descent.

    >>> w = IouPlayground()
    >>> w.boxes = [(50, 80, 150, 140), (90, 70, 160, 160)]
    >>> round(w.result.overlap["ciou"], 4), w.result.by_formula
    (0.3769, tensor([-0.0119, -0.0005, -0.0021, -0.0052]))
    """

    State = IouState
    title = "IoU playground"

    def settle(self, before: IouState, after: IouState) -> IouState:
        """There are always two boxes, within the plane."""
        if len(after.boxes) != 2:
            raise ValueError(f"boxes holds two boxes, the prediction and the truth, not {len(after.boxes)}")
        for x1, y1, x2, y2, *_ in after.boxes:
            if not (x1 >= 0 and y1 >= 0 and x2 <= WIDTH and y2 <= HEIGHT):
                raise ValueError(
                    f"boxes lie between (0, 0) and ({WIDTH}, {HEIGHT}), not at {x1:g} {y1:g} {x2:g} {y2:g}"
                )
        return after

    @staticmethod
    def compute(state: IouState) -> IouResult:
        """The terms, both gradients and the descent under each loss."""
        pred, truth = (xyxy_to_xywh(torch.tensor([box[:4]])) for box in state.boxes)  # (1, 4) each
        terms = iou_terms(pred, truth)
        moving = pred.clone().requires_grad_()
        loss = 1 - iou_terms(moving, truth).value(state.box_loss)  # (1,)
        return IouResult(
            state=state,
            terms=terms,
            overlap={kind: terms.value(kind).item() for kind in IOU_KINDS},
            by_formula=-iou_gradient(pred, truth, state.box_loss)[0],
            by_autograd=torch.autograd.grad(loss.sum(), moving)[0][0],
            descent=descend(pred, truth, state.rate, state.steps),
        )

    @staticmethod
    def scene(result: IouResult) -> Scene:
        """Plane and terms; overlaps and gradients; losses and IoU along the way down."""
        down, rate = result.descent, f"lines as on the left; rate {result.state.rate:g} px², to 0"
        reached = _chart(down.ious, "The IoU that each loss reaches", "IoU", rate)
        legend = (
            Key("enclosing box, its diagonal", HULL, dash="dashed"),
            Key("centre distance", "own", dash="solid"),
            Key("down the gradient", "anchor", dash="solid"),
        )
        return Scene(
            (
                (_plane(result), _terms(result)),
                (_overlaps(result), _gradients(result)),
                (
                    _chart(down.losses, "Each loss on its way down", "1 - overlap", "as the ways of the centre above"),
                    replace(reached, legend="none"),
                ),
            ),
            legend,
        )

    def words(self) -> str:
        """The four overlaps, and whether the formula agrees with autograd."""
        overlaps = ", ".join(f"{kind} {value:.3f}" for kind, value in self.result.overlap.items())
        agree = torch.allclose(self.result.by_formula, self.result.by_autograd, atol=1e-5)
        return f"{overlaps}; the gradient by formula {'equals' if agree else 'differs from'} autograd's"

    def as_code(self) -> str:
        """The same overlap by the library."""
        pred, truth = (list(box[:4]) for box in self.state.boxes)
        return (
            f"pred, truth = torch.tensor([{pred}]), torch.tensor([{truth}])\n"
            f'yl.bbox_iou(pred, truth, "{self.state.box_loss}", "xyxy")'
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


def _plane(result: IouResult) -> Panel:
    pred, truth = (np.array(box[:4]) for box in result.state.boxes)
    hull = (*np.minimum(pred, truth)[:2], *np.maximum(pred, truth)[2:])
    centres = [tuple((box[:2] + box[2:]) / 2) for box in (pred, truth)]
    ways = list(zip(result.descent.boxes[..., :2], LOOKS.values(), strict=True))  # (s + 1, 2) each
    arrows, names, longest = _arrows(result.by_autograd, pred)
    loss = f"the {result.state.box_loss} loss"
    slope = f"arrows: where {loss} falls in x, y, w, h; the longest by {longest:.2g} a pixel"
    layers = (
        Picture(GROUND, (0, 0, WIDTH, HEIGHT)),
        draw.Boxes((hull,), colours=(HULL,), dash="dashed", width=1.2),
        Line((hull[:2], hull[2:]), HULL, "dotted", 1.2),
        draw.Boxes((pred, truth), ("prediction", "truth"), (), ("prediction", "object"), drag="boxes"),
        Line(centres, "own", width=1.2),
        *(Line(way, colour, dash, 2) for way, (colour, dash) in ways),
        *(draw.Points(way[-1:], colour, "s", 5) for way, (colour, _) in ways),
        draw.Points(centres, "own"),
        draw.Arrows(arrows, "anchor"),
        *names,
    )
    caption = slope if longest > 0 else f"{loss} has no gradient here: no arrows"
    return Panel(layers, WIDTH, HEIGHT, "Drag the boxes", caption)


def _arrows(gradient: Tensor, pred: np.ndarray) -> tuple[list[tuple[float, ...]], list[draw.Text], float]:
    """The way down: in x and y from the centre, in w and h from the sides that they move; names; largest component."""
    longest = gradient.abs().max().item()
    if not longest > 0:
        return [], [], 0.0
    dx, dy, dw, dh = (-gradient * LONGEST_ARROW / longest).tolist()
    x1, y1, x2, y2 = pred.tolist()
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    all_of_them = (
        ("x", (x, y, x + dx, y)),
        ("y", (x, y, x, y + dy)),
        ("w", (x2, y, x2 + dw, y)),
        ("w", (x1, y, x1 - dw, y)),
        ("h", (x, y2, x, y2 + dh)),
        ("h", (x, y1, x, y1 - dh)),
    )
    shown = [(name, e) for name, e in all_of_them if abs(e[2] - e[0]) + abs(e[3] - e[1]) >= SHORTEST_ARROW]
    names = [draw.Text(e[2] + 2, e[3] + 1, name, "anchor") for name, e in shown]
    return [ends for _, ends in shown], names, longest


def _terms(result: IouResult) -> Table:
    terms = {name: value.item() for name, value in result.terms._asdict().items()}
    rows = (
        ("intersection", f"{terms['intersection']:,.1f} px²"),
        ("union", f"{terms['union']:,.1f} px²"),
        ("enclosing box C", f"{terms['hull']:,.1f} px²"),
        ("centre distance ρ", f"{terms['distance2'] ** 0.5:.2f} px"),
        ("diagonal c of C", f"{terms['diagonal2'] ** 0.5:.2f} px"),
        ("v, difference of aspect", f"{terms['v']:.5f}"),
        ("α = v / (1 - IoU + v)", f"{terms['alpha']:.5f}"),
    )
    return Table(("term", "value"), rows, "What they are made of")


def _overlaps(result: IouResult) -> Table:
    terms, overlap = result.terms, result.overlap
    hull = ((terms.hull - terms.union) / terms.hull).item()
    distance, aspect = (terms.distance2 / terms.diagonal2).item(), (terms.alpha * terms.v).item()
    iou = f"{overlap['iou']:.4f}"
    made = {
        "iou": ("intersection / union", iou),
        "giou": ("IoU - (C - union) / C", f"{iou} - {hull:.4f}"),
        "diou": ("IoU - ρ² / c²", f"{iou} - {distance:.4f}"),
        "ciou": ("IoU - ρ² / c² - α v", f"{iou} - {distance:.4f} - {aspect:.4f}"),
    }
    rows = tuple((kind, *made[kind], f"{overlap[kind]:.4f}", f"{1 - overlap[kind]:.4f}") for kind in IOU_KINDS)
    chosen = (IOU_KINDS.index(result.state.box_loss),)
    return Table(("kind", "formula", "here", "overlap", "loss"), rows, "Four overlaps", marked=chosen)


def _gradients(result: IouResult) -> Table:
    pairs = zip(PARAMETERS, result.by_formula.tolist(), result.by_autograd.tolist(), strict=True)
    rows = tuple((name, f"{formula:+.6f}", f"{autograd:+.6f}") for name, formula, autograd in pairs)
    most = (result.by_formula - result.by_autograd).abs().max().item()
    title = f"d {result.state.box_loss} loss / d x, y, w, h"
    return Table(("of", "by formula", "by autograd"), rows, title, f"largest difference {most:.1g}")


def _chart(values: Tensor, title: str, y_label: str, caption: str) -> Chart:
    """One line for each kind; values: (K, s + 1)."""
    steps = tuple(float(step) for step in range(values.shape[1]))
    lines = zip(LOOKS.items(), values.tolist(), strict=True)
    marks = tuple(Series(kind, steps, tuple(row), colour, dash) for (kind, (colour, dash)), row in lines)
    return Chart(marks, title, caption, "step", y_label)
