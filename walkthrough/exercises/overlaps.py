"""Exercises about overlaps: CIoU, the enclosing box, the IoU of shapes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import SIZE, STRIDES, case, numbers, of_tour, random_boxes, seeded, tour, uniform
from walkthrough.exercises.pictures import pair_scene, shapes_scene
from walkthrough.scene import Scene
from yolo_lite.boxes import EPS, bbox_iou, iou_terms, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.family.common import shape_iou

XYWH = ("x", "y", "w", "h")
FLOAT32 = "float32 has seven digits, and another order of the same sums changes the last of them"


# ---- CIoU ------------------------------------------------------------------------------------------------------------


def pair_cases() -> Iterator[tuple[str, Tensor, Tensor]]:
    """Boxes (n, 4) xyxy and others beside them: of the tour, at random, far apart."""
    for image in range(2):
        truth = tour().objects(image)
        moved = truth + uniform(tuple(truth.shape), -12, 12, seeded(image))
        ordered = torch.cat((torch.minimum(moved[:, :2], moved[:, 2:] - 1), moved[:, 2:]), 1)
        yield f"the tour batch, objects of image {image} and boxes near them", ordered, truth
    chance = seeded(30)
    yield "random boxes", random_boxes(40, chance), random_boxes(40, chance)
    yield "two boxes that do not touch", torch.tensor([[0.0, 0, 30, 20]]), torch.tensor([[60.0, 60, 80, 90]])


def ciou_cases() -> Iterator[Case]:
    """Pairs in centre form; the last one is a box and itself."""
    for name, a, b in pair_cases():
        yield Case(name, {"a": xyxy_to_xywh(a), "b": xyxy_to_xywh(b)})
    same = torch.tensor([[50.0, 40, 30, 20]])
    yield Case("a box and the same box", {"a": same, "b": same}, gradient=False)


def with_free_alpha(a: Tensor, b: Tensor) -> Tensor:
    """CIoU whose alpha is differentiated too."""
    terms = iou_terms(a, b)
    return terms.value("diou") - terms.v / (terms.v - terms.iou + (1 + EPS)) * terms.v


def without_eps(a: Tensor, b: Tensor) -> Tensor:
    """0 / 0 for two equal boxes."""
    terms = iou_terms(a, b, eps=0.0)
    alpha = (terms.v / (1 - terms.iou + terms.v)).detach()
    return terms.value("diou") - alpha * terms.v


def ciou_of_area(a: Tensor, b: Tensor) -> Tensor:
    """rho^2 over the area of the enclosing box."""
    terms = iou_terms(a, b)
    return terms.iou - terms.centre_distance_squared / terms.enclosing_area - terms.alpha * terms.v


def explain_pair(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The terms of the pair that differs."""
    if first is None or not first.index:
        return ""
    k, (a, b) = first.index[0], of.arguments.values()
    terms = iou_terms(a[k : k + 1], b[k : k + 1])
    words = {"IoU": terms.iou, "rho²": terms.centre_distance_squared, "c²": terms.enclosing_diagonal_squared}
    words |= {"v": terms.v, "alpha": terms.alpha}
    found = ", ".join(f"{name} {value.item():.4g}" for name, value in words.items())
    return f"Pair {k}: a = {numbers(a[k])}, b = {numbers(b[k])}. The library has {found}."


def ciou_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The two boxes of the pair that differs, and the box that encloses them."""
    if first is None:
        return None
    a, b = (xywh_to_xyxy(boxes[first.index[0]]) for boxes in of.arguments.values())
    return pair_scene(a, b)


CIOU = Exercise(
    "ciou",
    "07_backpropagation",
    "yolo_lite.boxes.bbox_iou",
    lambda a, b: bbox_iou(a, b, "ciou"),
    ciou_cases,
    (
        Mistake("IoU alone: centres and proportions are missing.", lambda a, b: bbox_iou(a, b, "iou")),
        Mistake("GIoU: the enclosing area C in place of centres and proportions.", lambda a, b: bbox_iou(a, b, "giou")),
        Mistake("DIoU: the term alpha v of the proportions is missing.", lambda a, b: bbox_iou(a, b, "diou")),
        Mistake(
            "alpha carries a gradient. In the paper it is a constant: compute it under torch.no_grad(), or detach it.",
            with_free_alpha,
        ),
        Mistake("0 / 0: no epsilon in the denominators, so a box and itself give nan.", without_eps),
        Mistake("rho² is divided by the enclosing box's area C; it is its diagonal squared, c².", ciou_of_area),
        Mistake(
            "the boxes are read as corners; they are x, y (centre), w, h.", lambda a, b: bbox_iou(a, b, "ciou", "xyxy")
        ),
    ),
    rtol=1e-3,
    atol=1e-4,
    because="the epsilon may stand in other places, and a gradient is a difference of larger numbers",
    axes=("pair", XYWH),
    gradient=("a",),
    explain=explain_pair,
    scene=ciou_scene,
)


# ---- the enclosing box -----------------------------------------------------------------------------------------------


def enclosing_cases() -> Iterator[Case]:
    """Pairs as corners."""
    for name, a, b in pair_cases():
        yield Case(name, {"a": a, "b": b})


def largest_sides(a: Tensor, b: Tensor) -> Tensor:
    """A published formula: the larger width and the larger height, wherever the boxes are."""
    return torch.maximum(a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]).square().sum(1)


def explain_enclosing(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The box around the pair that differs."""
    if first is None:
        return ""
    k, (a, b) = first.index[0], of.arguments.values()
    low, high = torch.minimum(a[k, :2], b[k, :2]), torch.maximum(a[k, 2:], b[k, 2:])
    return (
        f"Pair {k}: a = {numbers(a[k])}, b = {numbers(b[k])}. The box around both goes from {numbers(low)} to "
        f"{numbers(high)}: {numbers(high - low)} large."
    )


ENCLOSING = Exercise(
    "enclosing_diagonal_squared",
    "07b_nine_mistakes",
    "yolo_lite.boxes.iou_terms",
    lambda a, b: iou_terms(a, b, "xyxy").enclosing_diagonal_squared,
    enclosing_cases,
    (
        Mistake("max(w)² + max(h)²: it does not grow when the boxes move apart.", largest_sides),
        Mistake(
            "the box of the intersection: it goes from the smallest left to the largest right edge, not the other way.",
            lambda a, b: (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).square().sum(1),
        ),
        Mistake(
            "the diagonal itself: its square is asked for.",
            lambda a, b: iou_terms(a, b, "xyxy").enclosing_diagonal_squared.sqrt(),
        ),
    ),
    rtol=1e-5,
    atol=1e-3,
    because=FLOAT32,
    axes=("pair",),
    explain=explain_enclosing,
    scene=lambda of, function, yours, library, first: (
        None if first is None else pair_scene(*(boxes[first.index[0]] for boxes in of.arguments.values()))
    ),
)


# ---- the overlap of shapes -------------------------------------------------------------------------------------------


def shape_cases() -> Iterator[Case]:
    """The objects of the tour and the anchors of YOLOv5; then shapes at random."""
    wh = tour().batch.targets[:, 4:] * SIZE
    for level, stride in enumerate(STRIDES):
        yield of_tour(f"anchors of stride {stride}", wh=wh, anchors=tour().anchors[level])
    chance = seeded(40)
    yield case("random shapes", wh=uniform((30, 2), 1, 300, chance), anchors=uniform((5, 2), 5, 300, chance))
    yield case("no object", wh=torch.zeros(0, 2), anchors=tour().anchors[0])


def area_ratio(wh: Tensor, anchors: Tensor) -> Tensor:
    """The smaller area over the larger one."""
    a, b = wh.prod(1)[:, None], anchors.prod(1)
    return torch.minimum(a, b) / torch.maximum(a, b)


def explain_shapes(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The two shapes, their intersection and union."""
    if first is None:
        return ""
    wh, anchor = of.arguments["wh"][first.index[0]], of.arguments["anchors"][first.index[1]]
    inside = torch.minimum(wh, anchor).prod()
    union = wh.prod() + anchor.prod() - inside
    return (
        f"Object {numbers(wh)} and anchor {numbers(anchor)} with a common corner: intersection {inside:.4g}, union "
        f"{union:.4g}."
    )


def shape_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The object and the anchor, corner on corner."""
    if first is None:
        return None
    wh, anchor = of.arguments["wh"][first.index[0]], of.arguments["anchors"][first.index[1]]
    return shapes_scene(torch.cat((torch.zeros(2), wh)), torch.cat((torch.zeros(2), anchor)))


SHAPE_IOU = Exercise(
    "shape_iou",
    "11_losses_through_time",
    "yolo_lite.family.common.shape_iou",
    shape_iou,
    shape_cases,
    (
        Mistake(
            "the ratio of the areas: 10 x 40 and 20 x 20 have the same area, but only half of each is common.",
            area_ratio,
        ),
        Mistake(
            "the union counts the intersection twice: subtract it once.",
            lambda wh, anchors: torch.minimum(wh[:, None], anchors).prod(-1) / (wh.prod(1)[:, None] + anchors.prod(1)),
        ),
        Mistake(
            "one row for each anchor: the objects are asked for as rows, (n, A).",
            lambda wh, anchors: shape_iou(anchors, wh),
        ),
    ),
    rtol=1e-4,
    atol=1e-6,
    because=FLOAT32,
    axes=("object", "anchor"),
    explain=explain_shapes,
    scene=shape_scene,
)

ALL = (CIOU, ENCLOSING, SHAPE_IOU)
