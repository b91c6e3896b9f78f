"""Exercises about matching: the ratio test, objectness targets, non-maximum suppression."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import STRIDES, case, numbers, of_tour, random_boxes, seeded, tour, uniform
from walkthrough.exercises.pictures import LEGEND, LIBRARY, YOURS, rows, shapes_scene
from walkthrough.images import faded
from walkthrough.scene import Boxes, Cells, Panel, Picture, Scene
from yolo_lite.boxes import box_iou
from yolo_lite.detect.nms import nms, separate_classes
from yolo_lite.loss.loss import objectness_targets
from yolo_lite.loss.targets import Assignment, ratio_test, to_grid_units

# ---- ratio test -----------------------------------------------------------------------------------------------------


def ratio_cases() -> Iterator[Case]:
    """The objects of the tour against the anchors of each grid; shapes at random; a factor of exactly four."""
    for level, stride in enumerate(STRIDES):
        cells = 640 // stride
        wh = to_grid_units(tour().batch.targets, (cells, cells))[:, 2:]
        yield of_tour(f"stride {stride}", wh=wh, anchor_wh=tour().anchors[level] / stride, anchor_t=4.0)
    chance = seeded(60)
    wh, anchors = uniform((60, 2), 0.2, 40, chance), uniform((4, 2), 1, 20, chance)
    yield case("random shapes", wh=wh, anchor_wh=anchors, anchor_t=2.5)
    four = torch.tensor([[8.0, 2.0], [2.0, 0.5], [7.9, 2.0]])
    yield case("a side exactly four times as long", wh=four, anchor_wh=torch.tensor([[2.0, 2.0]]), anchor_t=4.0)
    yield case("no object", wh=torch.zeros(0, 2), anchor_wh=anchors, anchor_t=4.0)


def ratios(wh: Tensor, anchor_wh: Tensor) -> Tensor:
    """(A, n, 2) object over anchor."""
    return wh[None] / anchor_wh[:, None]


def both_ways(wh: Tensor, anchor_wh: Tensor) -> Tensor:
    """(A, n, 2) the larger of a ratio and its inverse."""
    return torch.maximum(ratios(wh, anchor_wh), 1 / ratios(wh, anchor_wh))


def explain_ratio(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The four quotients of the pair that differs."""
    if first is None:
        return ""
    a, k = first.index
    wh, anchor = of.arguments["wh"][k], of.arguments["anchor_wh"][a]
    (w, h), (w_inverse, h_inverse) = (wh / anchor).tolist(), (anchor / wh).tolist()
    return (
        f"Object {k} is {numbers(wh)} cells large, anchor {a} {numbers(anchor)}: w / w_a = {w:.3g}, w_a / w = "
        f"{w_inverse:.3g}, h / h_a = {h:.3g}, h_a / h = {h_inverse:.3g}. The largest must be below "
        f"{of.arguments['anchor_t']:g}."
    )


def ratio_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The object and the anchor, one over the other."""
    if first is None:
        return None
    half = of.arguments["wh"][first.index[1]] / 2, of.arguments["anchor_wh"][first.index[0]] / 2
    return shapes_scene(*(torch.cat((-side, side)) for side in half))


RATIO_TEST = Exercise(
    "ratio_test",
    "05_build_targets",
    "yolo_lite.loss.targets.ratio_test",
    lambda wh, anchor_wh, anchor_t: ratio_test(wh, anchor_wh, anchor_t).passed,
    ratio_cases,
    (
        Mistake(
            "one direction only, object / anchor: an object that is far too small passes. Take the inverse as well.",
            lambda wh, anchor_wh, anchor_t: (ratios(wh, anchor_wh) < anchor_t).all(-1),
        ),
        Mistake(
            "one direction only, anchor / object: an object that is far too large passes. Take the inverse as well.",
            lambda wh, anchor_wh, anchor_t: (1 / ratios(wh, anchor_wh) < anchor_t).all(-1),
        ),
        Mistake(
            "one good side is enough: both sides must be within the factor.",
            lambda wh, anchor_wh, anchor_t: (both_ways(wh, anchor_wh) < anchor_t).any(-1),
        ),
        Mistake(
            "<= in place of <: a factor of exactly anchor_t does not pass.",
            lambda wh, anchor_wh, anchor_t: (both_ways(wh, anchor_wh) <= anchor_t).all(-1),
        ),
        Mistake(
            "the areas are compared: a box four times as wide and a quarter as high has the same area.",
            lambda wh, anchor_wh, anchor_t: (
                torch.maximum(ratios(wh, anchor_wh).prod(-1), 1 / ratios(wh, anchor_wh).prod(-1)) < anchor_t
            ),
        ),
        Mistake(
            "the rejected ones: True stands for a pair that passes.",
            lambda wh, anchor_wh, anchor_t: (both_ways(wh, anchor_wh) >= anchor_t).any(-1),
        ),
    ),
    axes=("anchor", "object"),
    explain=explain_ratio,
    scene=ratio_scene,
)

# ---- objectness targets ---------------------------------------------------------------------------------------------


def objectness_cases() -> Iterator[Case]:
    """The matches of the tour with overlaps drawn at random, some negative; then three of one prediction."""
    for match, stride in zip(tour().matches, STRIDES, strict=True):
        overlap = uniform((len(match.cls),), -0.3, 1, seeded(stride))
        shape = (4, 3, 640 // stride, 640 // stride)
        yield of_tour(f"stride {stride}", tour().pixels(0), shape=shape, matches=match, overlap=overlap)
    yield case(
        "three matches of one prediction",
        shape=(1, 1, 2, 3),
        matches=small_assignment([0, 0, 0, 1], [2, 2, 2, 0]),
        overlap=torch.tensor([0.4, 0.8, 0.3, 0.5]),
    )
    yield case("no match", shape=(1, 3, 4, 4), matches=small_assignment([], []), overlap=torch.zeros(0))


def small_assignment(rows: list[int], cols: list[int]) -> Assignment:
    """Matches of image 0 and anchor 0."""
    row, col = torch.tensor(rows, dtype=torch.int64), torch.tensor(cols, dtype=torch.int64)
    none = torch.zeros_like(row)
    boxes = torch.zeros(len(row), 4)
    return Assignment(none, none, row, col, none, none, none, boxes, boxes[:, :2])


def filled(
    shape: tuple[int, ...], matches: Assignment, values: Tensor, order: Any = None, turned: bool = False
) -> Tensor:
    """Targets written one after the other, for mistakes that share this part."""
    targets = torch.zeros(shape)
    for k in range(len(values)) if order is None else order:
        row, col = (matches.col, matches.row) if turned else (matches.row, matches.col)
        targets[matches.image[k], matches.anchor[k], row[k], col[k]] = values[k]
    return targets


def explain_objectness(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The matches of the prediction that differs."""
    if first is None:
        return ""
    match, overlap = of.arguments["matches"], of.arguments["overlap"]
    places = torch.stack((match.image, match.anchor, match.row, match.col), 1)
    mine = (places == torch.tensor(first.index)).all(1).nonzero()[:, 0].tolist()
    if not mine:
        return "No match has this prediction: its target is 0."
    listed = ", ".join(f"match {k} with an overlap of {overlap[k]:.3g}" for k in mine)
    return f"To this prediction belong, in the order of the list: {listed}."


def objectness_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The cell that differs, on its picture."""
    if first is None or of.pixels is None:
        return None
    image, _, row, col = first.index
    stride = 640 // of.arguments["shape"][2]
    layers = (
        Picture(faded(tour().pixels(image))),
        Cells(((row, col),), stride, YOURS, opacity=0.9),
        Boxes(rows(tour().objects(image)), colours=(LIBRARY,)),
    )
    words = f"image {image} with its objects, and the cell at row {row}, column {col} of stride {stride}"
    return Scene(((Panel(layers, 640, 640, f"image {image}", "orange: the cell of the first difference"),),), (), words)


OBJECTNESS = Exercise(
    "objectness_targets",
    "06_loss",
    "yolo_lite.loss.loss.objectness_targets",
    objectness_targets,
    objectness_cases,
    (
        Mistake(
            "negative overlaps are kept: CIoU can be below 0, a target cannot. Take 0 for them.",
            lambda shape, matches, overlap: filled(shape, matches, overlap.detach()),
        ),
        Mistake(
            "1 for every match: the target is how well the box fits, the overlap.",
            lambda shape, matches, overlap: filled(shape, matches, torch.ones_like(overlap)),
        ),
        Mistake(
            "the largest of several overlaps: of the matches of one prediction the last one decides.",
            lambda shape, matches, overlap: filled(
                shape, matches, overlap.detach().clamp(min=0), overlap.detach().argsort().tolist()
            ),
        ),
        Mistake(
            "the first of several matches: of the matches of one prediction the last one decides.",
            lambda shape, matches, overlap: filled(
                shape, matches, overlap.detach().clamp(min=0), reversed(range(len(overlap)))
            ),
        ),
        Mistake(
            "row and column exchanged: the map has rows before columns.",
            lambda shape, matches, overlap: filled(shape, matches, overlap.detach().clamp(min=0), turned=True),
        ),
    ),
    axes=("image", "anchor", "row", "column"),
    gradient=("overlap",),
    explain=explain_objectness,
    scene=objectness_scene,
)

# ---- non-maximum suppression ----------------------------------------------------------------------------------------


def library_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou_thres: float) -> Tensor:
    """Classes are moved apart, then all boxes go through one suppression."""
    return nms(separate_classes(boxes, classes), scores, iou_thres)


def nms_cases() -> Iterator[Case]:
    """Boxes scattered around the objects of the tour; random ones; a chain; an IoU that is the threshold."""
    for image in range(3):
        truth, cls = tour().objects(image), tour().classes(image)
        chance = seeded(image)
        boxes = truth.repeat(5, 1) + uniform((5 * len(truth), 4), -10, 10, chance)
        given = {"boxes": boxes, "scores": uniform((len(boxes),), 0.3, 1, chance), "classes": cls.repeat(5)}
        yield Case(f"the tour batch, image {image}", {**given, "iou_thres": 0.45}, tour().pixels(image))
    chance = seeded(70)
    boxes, scores = random_boxes(80, chance), uniform((80,), 0, 1, chance)
    classes = torch.randint(0, 3, (80,), generator=chance)
    yield case("random boxes of three classes", boxes=boxes, scores=scores, classes=classes, iou_thres=0.3)
    chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    falling, one = torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)
    yield case("a chain of three boxes", boxes=chain, scores=falling, classes=one, iou_thres=0.3)
    halves = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 4]])
    yield case("an IoU of exactly the threshold", boxes=halves, scores=falling[:2], classes=one[:2], iou_thres=0.5)
    none = torch.zeros(0)
    yield case("no boxes", boxes=none.view(0, 4), scores=none, classes=none.long(), iou_thres=0.45)


def by_all_better(boxes: Tensor, scores: Tensor, classes: Tensor, iou_thres: float) -> Tensor:
    """A box goes when any better one overlaps it, one that went itself included."""
    order = scores.argsort(descending=True, stable=True)
    ranked, cls = boxes[order], classes[order]
    rivals = (box_iou(ranked, ranked) > iou_thres) & (cls[:, None] == cls)
    return order[~rivals.triu(1).any(0)]


def from_threshold_on(boxes: Tensor, scores: Tensor, classes: Tensor, iou_thres: float) -> Tensor:
    """>= in place of >."""
    return library_nms(boxes, scores, classes, max(iou_thres - 1e-5, 0.0))


def explain_nms(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The best box that only one of the two keeps, and its best rival."""
    boxes, scores, classes, iou_thres = of.arguments.values()
    mine, theirs = yours.tolist(), library.tolist()
    if mine == theirs:
        return ""
    odd = sorted(set(mine) ^ set(theirs), key=lambda k: -scores[k].item())
    if not odd:
        return "The same boxes are kept, in another order: the best one comes first."
    k = odd[0]
    of_same = [other for other in theirs if other != k and classes[other] == classes[k]]
    overlap = max(((box_iou(boxes[k : k + 1], boxes[o : o + 1]).item(), o) for o in of_same), default=(0.0, -1))
    kept = "you keep it and the library does not" if k in mine else "the library keeps it and you do not"
    rival = f"its largest IoU with a kept box of its class is {overlap[0]:.3g} (box {overlap[1]})"
    return (
        f"Box {k} (score {scores[k]:.3g}, class {int(classes[k])}): {kept}; "
        f"{rival if overlap[1] >= 0 else 'no other box of its class is kept'}, the threshold is {iou_thres:g}. "
        f"Yours keeps {len(mine)} of {len(boxes)} boxes, the library {len(theirs)}."
    )


def nms_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """What each keeps, over the given boxes."""
    if of.pixels is None:
        return None
    boxes = of.arguments["boxes"]
    panels = []
    for title, kept, colour, dash in (("yours", yours, YOURS, "dashed"), ("the library's", library, LIBRARY, "solid")):
        layers = (Picture(faded(of.pixels)), Boxes(rows(boxes[kept]), colours=(colour,), dash=dash))
        panels.append(Panel(layers, 640, 640, f"{title}: {len(kept)} boxes kept"))
    return Scene((tuple(panels),), LEGEND)


NMS = Exercise(
    "nms",
    "09_inference_and_map",
    "yolo_lite.detect.nms",
    library_nms,
    nms_cases,
    (
        Mistake(
            "all boxes as one class: a box must only be suppressed by a box of its own class.",
            lambda boxes, scores, classes, iou_thres: nms(boxes, scores, iou_thres),
        ),
        Mistake(
            "in the order of the input: the best box comes first.",
            lambda boxes, scores, classes, iou_thres: library_nms(boxes, scores, classes, iou_thres).sort().values,
        ),
        Mistake(
            "the worst box first: sort the scores in descending order.",
            lambda boxes, scores, classes, iou_thres: library_nms(boxes, -scores, classes, iou_thres),
        ),
        Mistake(
            "a box that is suppressed itself suppresses others: only kept boxes may.",
            by_all_better,
        ),
        Mistake(">= in place of >: a box whose IoU is exactly the threshold stays.", from_threshold_on),
        Mistake(
            "nothing is suppressed: only the order changes.",
            lambda boxes, scores, classes, iou_thres: scores.argsort(descending=True, stable=True),
        ),
    ),
    axes=("kept box",),
    explain=explain_nms,
    scene=nms_scene,
)

ALL = (RATIO_TEST, OBJECTNESS, NMS)
