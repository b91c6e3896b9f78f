"""Exercises about decoding: raw numbers to boxes and back, distances as distributions."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import STRIDES, case, numbers, of_tour, seeded, tour, uniform
from walkthrough.exercises.pictures import two_boxes
from walkthrough.scene import Scene
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.coding import decode_distances, decode_distribution, decode_matches, encode_matches

XYWH = ("x", "y", "w", "h")
XYXY = ("left", "top", "right", "bottom")


# ---- decode ----------------------------------------------------------------------------------------------------------


def library_decode(t: Tensor, cell: Tensor, anchor: Tensor, stride: float) -> Tensor:
    """``decode_matches`` gives boxes from the cell's corner in cells: moved to the cell, in pixels."""
    boxes = decode_matches(t, anchor / stride)
    return torch.cat((boxes[:, :2] + cell, boxes[:, 2:]), 1) * stride


def decode_cases() -> Iterator[Case]:
    """The cells and anchors of the tour's matches, with raw numbers drawn at random."""
    for level, (match, stride) in enumerate(zip(tour().matches, STRIDES, strict=True)):
        mine = match.image == 0
        cell = torch.stack((match.col, match.row), 1)[mine].float()
        t = uniform((len(cell), 4), -3, 3, seeded(level))
        anchor = match.anchor_wh[mine] * stride
        found = of_tour(f"stride {stride}", tour().pixels(0), t=t, cell=cell, anchor=anchor, stride=float(stride))
        if len(cell):
            yield found
    chance = seeded(10)
    yield case(
        "random numbers",
        t=uniform((50, 4), -6, 6, chance),
        cell=torch.randint(0, 40, (50, 2), generator=chance).float(),
        anchor=uniform((50, 2), 8, 400, chance),
        stride=16.0,
    )
    none = torch.zeros(0, 4)
    yield case("no match at all", t=none, cell=none[:, :2], anchor=none[:, :2], stride=8.0)


def decoded(t: Tensor, cell: Tensor, anchor: Tensor, stride: float, centre: Any, ratio: Any) -> Tensor:
    """Mistaken decodings share their frame."""
    return torch.cat(((centre(t[:, :2]) + cell) * stride, ratio(t[:, 2:]) * anchor), 1)


def right_centre(t: Tensor) -> Tensor:
    """YOLOv5's centre from the cell's corner, in cells."""
    return 2 * t.sigmoid() - 0.5


def right_ratio(t: Tensor) -> Tensor:
    """YOLOv5's size in anchors."""
    return (2 * t.sigmoid()) ** 2


def explain_decode(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The match that differs: its raw numbers, cell and anchor."""
    if first is None or not first.index:
        return ""
    k, given = first.index[0], of.arguments
    if "t" in given:
        return (
            f"Match {k} has t {numbers(given['t'][k])}, cell (column, row) {numbers(given['cell'][k])}, anchor "
            f"{numbers(given['anchor'][k])}: yours {numbers(yours[k])}, the library's {numbers(library[k])}."
        )
    return (
        f"Match {k} has the box {numbers(given['box'][k])} and the anchor {numbers(given['anchor'][k])}, in cells: "
        f"yours {numbers(yours[k])}, the library's {numbers(library[k])}."
    )


def decode_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The box of the match that differs."""
    if first is None:
        return None
    mine, theirs = (xywh_to_xyxy(boxes[first.index[0]].detach()).tolist() for boxes in (yours, library))
    return two_boxes(mine, theirs, of.pixels)


DECODE = Exercise(
    "decode",
    "00_start_here",
    "yolo_lite.coding.decode_matches",
    library_decode,
    decode_cases,
    (
        Mistake(
            "without the factor 2 of the centre (this is YOLOv3's sigma(t) + cell). YOLOv5 has 2 sigma(t) - 0.5.",
            lambda t, cell, anchor, stride: decoded(t, cell, anchor, stride, torch.sigmoid, right_ratio),
        ),
        Mistake(
            "without the - 0.5 of the centre: it moves all boxes by half a cell.",
            lambda t, cell, anchor, stride: decoded(t, cell, anchor, stride, lambda x: 2 * x.sigmoid(), right_ratio),
        ),
        Mistake(
            "the size as exp(t) times the anchor, as in YOLOv3. YOLOv5 has (2 sigma(t)) squared.",
            lambda t, cell, anchor, stride: decoded(t, cell, anchor, stride, right_centre, torch.exp),
        ),
        Mistake(
            "the size without its square: 2 sigma(t) times the anchor.",
            lambda t, cell, anchor, stride: decoded(t, cell, anchor, stride, right_centre, lambda x: 2 * x.sigmoid()),
        ),
        Mistake(
            "row and column exchanged: `cell` is (column, row), as x comes before y.",
            lambda t, cell, anchor, stride: decoded(t, cell.flip(1), anchor, stride, right_centre, right_ratio),
        ),
        Mistake(
            "the centre still in cells: it is not multiplied by the stride.",
            lambda t, cell, anchor, stride: decoded(t, cell, anchor, 1.0, right_centre, right_ratio),
        ),
    ),
    rtol=1e-5,
    atol=1e-3,
    because="a thousandth of a pixel: at x = 640 the last digit of float32 is worth 6e-5 pixels",
    axes=("match", XYWH),
    explain=explain_decode,
    scene=decode_scene,
)


# ---- encode ----------------------------------------------------------------------------------------------------------


def encode_cases() -> Iterator[Case]:
    """The box targets of the tour's matches, and boxes of which some cannot be reached by any prediction."""
    for match, stride in zip(tour().matches, STRIDES, strict=True):
        yield of_tour(f"stride {stride}", box=match.box, anchor=match.anchor_wh)
    chance = seeded(20)
    anchor = uniform((40, 2), 1, 9, chance)
    box = torch.cat((uniform((40, 2), -0.4, 1.4, chance), anchor * uniform((40, 2), 0.1, 3.8, chance)), 1)
    yield case("random boxes", box=box, anchor=anchor)
    ends = torch.tensor([[0.5, 0.5, 8, 2], [-0.5, 1.5, 2, 2], [1.6, 0.2, 2, 9]])
    yield case("boxes at the end of what a cell can reach, and beyond", box=ends, anchor=torch.full((3, 2), 2.0))


def encoded(box: Tensor, anchor: Tensor, centre: Any, size: Any) -> Tensor:
    """Mistaken encodings share their frame."""
    return torch.cat((centre(box[:, :2]), size(box[:, 2:] / anchor)), 1)


def right_encoded_centre(xy: Tensor) -> Tensor:
    """The raw number of a centre."""
    return ((xy + 0.5) / 2).logit()


def right_encoded_size(ratio: Tensor) -> Tensor:
    """The raw number of a size in anchors."""
    return (ratio.sqrt() / 2).logit()


ENCODE = Exercise(
    "encode",
    "04_grids_and_anchors",
    "yolo_lite.coding.encode_matches",
    encode_matches,
    encode_cases,
    (
        Mistake(
            "the root of the size is missing: (2 s) squared is the ratio, so s is half the root of it.",
            lambda box, anchor: encoded(box, anchor, right_encoded_centre, lambda r: (r / 4).logit()),
        ),
        Mistake(
            "the 0.5 of the centre is missing: x = 2 s - 0.5, so s = (x + 0.5) / 2.",
            lambda box, anchor: encoded(box, anchor, lambda xy: (xy / 2).logit(), right_encoded_size),
        ),
        Mistake(
            "the size as a logarithm, as in YOLOv3.",
            lambda box, anchor: encoded(box, anchor, right_encoded_centre, torch.log),
        ),
        Mistake(
            "clamped: a box that no number encodes gets one all the same. The library gives inf or nan there.",
            lambda box, anchor: encoded(
                box, anchor, lambda xy: ((xy + 0.5) / 2).logit(1e-6), lambda r: (r.sqrt() / 2).logit(1e-6)
            ),
        ),
        Mistake(
            "the sigmoid is not undone: s is returned, and ln(s / (1 - s)) is asked for.",
            lambda box, anchor: encoded(box, anchor, lambda xy: (xy + 0.5) / 2, lambda r: r.sqrt() / 2),
        ),
    ),
    rtol=1e-3,
    atol=1e-4,
    because="near its ends the inverse of the sigmoid makes a small rounding large",
    axes=("match", XYWH),
    explain=explain_decode,
)


# ---- distances as distributions --------------------------------------------------------------------------------------


def library_distribution(logits: Tensor, points: Tensor, stride: float) -> Tensor:
    """The expected bins are distances in cells."""
    return decode_distances(decode_distribution(logits) * stride, points)


def distribution_cases() -> Iterator[Case]:
    """The points of one image of the tour that lie in the middle of an object, then points at random."""
    for stride in STRIDES:
        boxes = tour().objects(0)
        points = ((boxes[:, :2] + boxes[:, 2:]) / 2 / stride).floor() * stride + stride / 2
        logits = uniform((len(points), 4, 16), -4, 4, seeded(stride))
        yield of_tour(f"stride {stride}", tour().pixels(0), logits=logits, points=points, stride=float(stride))
    chance = seeded(50)
    yield case(
        "random numbers",
        logits=uniform((30, 4, 8), -6, 6, chance),
        points=uniform((30, 2), 0, 640, chance),
        stride=32.0,
    )


def most_likely(logits: Tensor, points: Tensor, stride: float) -> Tensor:
    """The most likely bin."""
    return decode_distances(logits.argmax(-1).float() * stride, points)


def explain_distribution(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The four distances of the point that differs."""
    if first is None:
        return ""
    k, given = first.index[0], of.arguments
    distances = decode_distribution(given["logits"][k])
    return (
        f"Point {k} is at {numbers(given['points'][k])}; the library's distances are {numbers(distances)} cells of "
        f"{given['stride']:g} pixels to left, top, right and bottom."
    )


def distribution_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The box of the point that differs."""
    if first is None:
        return None
    mine, theirs = yours[first.index[0]].detach().tolist(), library[first.index[0]].tolist()
    return two_boxes(mine, theirs, of.pixels)


DISTRIBUTION = Exercise(
    "distribution_to_box",
    "13_anchor_free",
    "yolo_lite.coding.decode_distribution and decode_distances",
    library_distribution,
    distribution_cases,
    (
        Mistake("the most likely bin: the expectation is asked for, the sum of bin times probability.", most_likely),
        Mistake(
            "the distances are left in cells: times the stride they are pixels.",
            lambda logits, points, stride: library_distribution(logits, points, 1.0),
        ),
        Mistake(
            "softmax over the four sides (dim 1): each side has a distribution of its own, over its bins.",
            lambda logits, points, stride: decode_distances(
                (logits.softmax(1) * torch.arange(logits.shape[-1])).sum(-1) * stride, points
            ),
        ),
        Mistake(
            "left and top are added to the point: they lie on its other side, so subtract them.",
            lambda logits, points, stride: points.repeat(1, 2) + decode_distribution(logits) * stride,
        ),
        Mistake(
            "without softmax: logits are not probabilities.",
            lambda logits, points, stride: decode_distances(
                (logits * torch.arange(logits.shape[-1])).sum(-1) * stride, points
            ),
        ),
    ),
    rtol=1e-5,
    atol=1e-2,
    because="a hundredth of a pixel: sixteen products are added, and multiplied by the stride",
    axes=("point", XYXY),
    explain=explain_distribution,
    scene=distribution_scene,
)

ALL = (DECODE, ENCODE, DISTRIBUTION)
