"""The picture of IouPlayground: the plane with both boxes, the terms, the gradients, and the way down."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from walkthrough import scene as draw
from walkthrough.explorers.iou.comparison import beside_plain_losses
from walkthrough.explorers.iou.state import HEIGHT, WIDTH, Result
from walkthrough.scene import Chart, Key, Line, More, Panel, Picture, Scene, Series, Table
from walkthrough.style import DASHES, THEMES
from yolo_lite.boxes import IOU_KINDS, xywh_to_xyxy

GROUND = np.full((2, 2, 3), (44, 48, 54), np.uint8)  # dark under either theme, so that white boxes show
ENCLOSING = "#9AA4AE"
LONGEST_ARROW, SHORTEST_ARROW = 30.0, 3.0  # pixels
PARAMETERS = ("x", "y", "w", "h")
MOVES = (("right", "left"), ("down", "up"), ("wider", "narrower"), ("taller", "lower"))  # of x, y, w, h; up, down
NAMES = {"iou": "IoU", "giou": "GIoU", "diou": "DIoU", "ciou": "CIoU"}
LOOKS = dict(zip(IOU_KINDS, zip(THEMES["any"].series, DASHES, strict=False), strict=True))  # middle tones: any ground


def scene_of(result: Result) -> Scene:
    """Plane and terms; to be unfolded: overlaps and gradients, the way down, and plain differences beside them."""
    down, rate = result.descent, f"lines as on the left; learning rate {result.state.rate:g} px², to 0"
    at = float(result.state.step)
    reached = _chart(down.ious, at, "The IoU that each loss reaches", "IoU", rate)
    losses = _chart(down.losses, at, "Each loss on its way down", "1 - overlap", "as the ways of the centre above")
    legend = (
        Key("intersection", "accent"),
        Key("enclosing box, its diagonal", ENCLOSING, dash="dashed"),
        Key("centre distance", "own", dash="solid"),
        Key("down the gradient", "anchor", dash="solid"),
        Key("way of the centre under each loss", LOOKS["ciou"][0], dash="dashed"),
    )
    more = (
        More("formulas and gradients", ((_overlaps(result), _gradients(result)),)),
        More("the way down", ((losses, replace(reached, legend="none")),)),
        beside_plain_losses(result.comparison, result.state.box_loss),
    )
    return Scene(((_plane(result), _terms(result)),), legend, more=more)


def takeaway_of(result: Result) -> str:
    """How the boxes lie, and what gradient descent on the chosen loss does to the prediction."""
    if result.state.step:
        return _step_in_words(result)
    (x1, y1, x2, y2), (tx1, ty1, tx2, ty2) = (box[:4] for box in result.state.boxes)
    area, union, iou = result.terms.intersection.item(), result.terms.union.item(), result.overlap["iou"]
    where = f"The boxes share {area:,.0f} of {union:,.0f} px²: IoU {iou:.2f}"
    if not area:
        where = "The boxes do not overlap: IoU 0"
    elif x1 >= tx1 and y1 >= ty1 and x2 <= tx2 and y2 <= ty2:
        where = f"The prediction lies inside the truth: IoU {iou:.2f} is the fraction that it covers"
    kind = result.state.box_loss
    loss, gradient = f"the {NAMES[kind]} loss is {1 - result.overlap[kind]:.2f}", result.by_autograd
    if not gradient.abs().max() > 0:
        return f"{where}; {loss} and has no gradient, so nothing moves."
    largest = int(gradient.abs().argmax())
    way = MOVES[largest][int(gradient[largest] > 0)]
    does = f"moves the prediction {way}" if largest < 2 else f"makes the prediction {way}"
    return f"{where}; {loss}, and going down it mostly {does}."


def _step_in_words(result: Result) -> str:
    """What this many steps made of loss and IoU."""
    state, row = result.state, IOU_KINDS.index(result.state.box_loss)
    losses, ious = result.descent.losses[row], result.descent.ious[row]  # (s + 1,) each
    way = f"Step {state.step} of {state.steps} down the {NAMES[state.box_loss]} loss"
    loss, iou = (f"from {each[0]:.2f} to {each[state.step]:.2f}" for each in (losses, ious))
    return f"{way}: the loss goes {loss}, IoU {iou}."


def _plane(result: Result) -> Panel:
    pred, truth = (np.array(box[:4]) for box in result.state.boxes)
    both = tuple(box[:4] for box in result.state.boxes)
    enclosing = (*np.minimum(pred, truth)[:2], *np.maximum(pred, truth)[2:])
    centres = tuple(tuple((box[:2] + box[2:]) / 2) for box in (pred, truth))
    ways = list(zip(result.descent.boxes[..., :2], LOOKS.values(), strict=True))  # (s + 1, 2) each
    there = xywh_to_xyxy(result.moved).numpy()
    arrows, names, longest = _arrows(result.slope, there)
    loss = f"the {result.state.box_loss} loss"
    slope = f"arrows: where {loss} falls in x, y, w, h; the longest by {longest:.2g} a pixel"
    layers: tuple[draw.Layer, ...] = (
        Picture(GROUND, (0, 0, WIDTH, HEIGHT)),
        draw.Boxes((enclosing,), colours=(ENCLOSING,), dash="dashed", width=1.2, refs=("enclosing",)),
        Line((enclosing[:2], enclosing[2:]), ENCLOSING, "dotted", 1.2, ref="diagonal"),
        *_intersection(result, pred, truth),
        draw.Boxes(both, ("prediction", "truth"), (), ("prediction", "object"), drag="boxes", refs=("union", "union")),
        Line(centres, "own", width=1.2, ref="distance"),
        *(Line(way, colour, dash, 2, ref=kind) for kind, (way, (colour, dash)) in zip(IOU_KINDS, ways, strict=True)),
        *(draw.Points(way[-1:], colour, "s", 5) for way, (colour, _) in ways),
        *_moved(result, there),
        draw.Points(centres, "own"),
        draw.Arrows(tuple(arrows), "anchor", refs=tuple(f"d {name.text}" for name in names)),
        *names,
    )
    caption = slope if longest > 0 else f"{loss} has no gradient here: no arrows"
    return Panel(layers, WIDTH, HEIGHT, "Drag the boxes", caption)


def _moved(result: Result, xyxy: np.ndarray) -> tuple[draw.Boxes, ...]:
    """The prediction at the chosen step down its loss; before the first step it is where the reader put it."""
    if not result.state.step:
        return ()
    label = f"step {result.state.step} of {result.state.steps}"
    return (draw.Boxes((tuple(xyxy.tolist()),), (label,), (), ("prediction",), "dashed"),)


def _intersection(result: Result, pred: np.ndarray, truth: np.ndarray) -> tuple[draw.Boxes, ...]:
    """What the boxes share, filled, with its area; nothing where they do not overlap."""
    area = result.terms.intersection.item()
    if not area:
        return ()
    shared = (*np.maximum(pred, truth)[:2], *np.minimum(pred, truth)[2:])
    name = f"intersection {area:,.0f} px²"  # no label: it would hide the arrows of the prediction
    boxes = draw.Boxes((shared,), colours=("accent",), width=1, fill=0.5, refs=("intersection",), names=(name,))
    return (boxes,)


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


def _terms(result: Result) -> Table:
    terms = {name: value.item() for name, value in result.terms._asdict().items()}
    rows = (
        ("intersection", f"{terms['intersection']:,.1f} px²"),
        ("union", f"{terms['union']:,.1f} px²"),
        ("enclosing box C", f"{terms['enclosing_area']:,.1f} px²"),
        ("centre distance ρ", f"{terms['centre_distance_squared'] ** 0.5:.2f} px"),
        ("diagonal c of C", f"{terms['enclosing_diagonal_squared'] ** 0.5:.2f} px"),
        ("v, difference of aspect", f"{terms['v']:.5f}"),
        ("α = v / (1 - IoU + v)", f"{terms['alpha']:.5f}"),
    )
    refs = ("intersection", "union", "enclosing", "distance", "diagonal", "", "")
    return Table(("term", "value"), rows, "What they are made of", "point at a row or at its mark", refs=refs)


def _overlaps(result: Result) -> Table:
    terms, overlap = result.terms, result.overlap
    outside = ((terms.enclosing_area - terms.union) / terms.enclosing_area).item()
    distance = (terms.centre_distance_squared / terms.enclosing_diagonal_squared).item()
    aspect = (terms.alpha * terms.v).item()
    iou = f"{overlap['iou']:.4f}"
    made = {
        "iou": ("intersection / union", iou),
        "giou": ("IoU - (C - union) / C", f"{iou} - {outside:.4f}"),
        "diou": ("IoU - ρ² / c²", f"{iou} - {distance:.4f}"),
        "ciou": ("IoU - ρ² / c² - α v", f"{iou} - {distance:.4f} - {aspect:.4f}"),
    }
    rows = tuple((kind, *made[kind], f"{overlap[kind]:.4f}", f"{1 - overlap[kind]:.4f}") for kind in IOU_KINDS)
    chosen = (IOU_KINDS.index(result.state.box_loss),)
    return Table(("kind", "formula", "here", "overlap", "loss"), rows, "Four overlaps", marked=chosen, refs=IOU_KINDS)


def _gradients(result: Result) -> Table:
    pairs = zip(PARAMETERS, result.by_formula.tolist(), result.by_autograd.tolist(), strict=True)
    rows = tuple((name, f"{formula:+.6f}", f"{autograd:+.6f}") for name, formula, autograd in pairs)
    most = (result.by_formula - result.by_autograd).abs().max().item()
    title = f"d {result.state.box_loss} loss / d x, y, w, h"
    refs = tuple(f"d {name}" for name in PARAMETERS)
    return Table(("of", "by formula", "by autograd"), rows, title, f"largest difference {most:.1g}", refs=refs)


def _chart(values: Tensor, at: float, title: str, y_label: str, caption: str) -> Chart:
    """One line for each kind, and one that is dragged at the step that is shown; values: (K, s + 1)."""
    steps = tuple(float(step) for step in range(values.shape[1]))
    lines = zip(LOOKS.items(), values.tolist(), strict=True)
    marks = tuple(Series(kind, steps, tuple(row), colour, dash) for (kind, (colour, dash)), row in lines)
    return Chart(marks, title, caption, "step", y_label, upright=(at,), drag="step")
