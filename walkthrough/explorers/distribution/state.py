"""What DistributionExplorer computes: one side's distribution, its expectation, its loss and the gradient.

Shape letters: R bins of a distance, t targets at which the loss is drawn.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from walkthrough.explorers.controls import Boxes, boxes, choice, given, point, slider
from walkthrough.explorers.distribution.reading import SIDES, Reading
from walkthrough.explorers.pictures import WHICH_PICTURE, Annotated, Annotations
from yolo_lite.coding import LAST_BIN_MARGIN, decode_distribution, encode_distribution
from yolo_lite.family.yolov8.loss import distribution_focal_loss

# The distribution of the beginning: the most probable bin is 4, and the target is between 5 and 6
LOGITS = (-2.0, -1.5, 0.0, 2.0, 3.0, 2.5, 1.5, 0.5, -0.5, -1.0, -1.5, -2.0, -2.0, -2.0, -2.0, -2.0)
TARGET, SPAN, MOST_BINS = 5.3, 6.0, 64
POINTS_PER_BIN = 8  # of the line that shows the loss at every target

LEFT, UP, WIDTH, TALL = (
    34.0,
    10.0,
    320.0,
    110.0,
)  # pixels of the plane; the last: of the tallest bar
BAND = (UP + TALL + 24, 13.0, 18.0)  # where the two bars of distances start, how tall they are, and their distance
WIDE = 0.35  # of a bin, half the width of a bar


def _has_pictures(state: "State") -> bool:
    return bool(state.pictures)


@dataclass(frozen=True)
class State:
    """One side of one box: the logits of its bins and the distance that it should have."""

    target: float = slider(
        TARGET,
        0,
        lambda state: len(state.logits) - 1,
        0.01,
        label="target distance",
        unit="cells",
        help="how far the side of the object is from the point: the two bins around it are asked for",
        linked=False,
    )
    step_size: float = slider(
        1.0,
        0.1,
        20,
        0.1,
        log=True,
        label="learning rate",
        help="how far the button's gradient step moves the logits: too large, and it jumps over the target",
        linked=False,
    )
    picture: int = choice(
        0,
        lambda state: {picture.name: index for index, picture in enumerate(state.pictures)} or {"none": 0},
        help=WHICH_PICTURE,
        linked=False,
        shown=_has_pictures,
    )
    side: int = choice(
        0,
        {name: index for index, name in enumerate(SIDES)},
        help="which side of the box: each has bins of its own",
        linked=False,
        shown=_has_pictures,
    )
    prediction: int = slider(
        0,
        0,
        lambda state: max(len(state.reading.points) - 1, 0) if state.reading else 0,
        label="point",
        help="which of the points that are matched to an object; the one with the largest target score comes first",
        linked=False,
        shown=_has_pictures,
    )
    bars: Boxes = boxes(help="drag a bar's upper end: the logit of that bin")
    distance: Boxes = boxes(help="drag its right end: the target distance")
    place: tuple[float, float] | None = point(help="click a point of the picture to see its numbers", is_place=True)
    logits: tuple[float, ...] = given(LOGITS)
    span: float = given(SPAN)  # logits between -span and span are drawn
    pictures: Annotations = given(())
    names: tuple[str, ...] = given(())
    model: object = given()
    reading: Reading | None = given()  # of the shown picture

    @property
    def shown(self) -> Annotated:
        """The chosen picture."""
        return self.pictures[self.picture]


@dataclass(frozen=True, eq=False)
class Result:
    """What the bins of one side say, and what the loss makes of it."""

    logits: Tensor  # (R,)
    target: float  # as given
    clamped: float  # as the loss takes it, below the last bin
    probability: Tensor  # (R,) softmax of the logits
    wanted: Tensor  # (R,) the target distribution: the two bins beside the target
    expectation: float  # the distance that the distribution stands for
    loss: float
    least: float  # the loss that no distribution is below: the entropy of the target
    by_formula: Tensor  # (R,) d loss / d logits: softmax - target
    by_autograd: Tensor  # (R,) the same, as training gets it
    targets: Tensor  # (t,) from 0 to R - 1
    losses: Tensor  # (t,) of these logits, at each of them
    span: float
    step_size: float
    side: int
    prediction: int
    shown: Annotated | None
    names: tuple[str, ...]
    reading: Reading | None


def compute(state: State) -> Result:
    """All numbers, from the functions that training calls."""
    logits, target = torch.tensor(state.logits), torch.tensor(state.target)  # (R,), ()
    count = len(logits)
    moving = logits.clone().requires_grad_()
    loss = distribution_focal_loss(moving, target)
    wanted, probability = encode_distribution(target, count), logits.softmax(-1)
    targets = torch.linspace(0, count - 1, POINTS_PER_BIN * (count - 1) + 1)
    return Result(
        logits=logits,
        target=state.target,
        clamped=target.clamp(0, count - 1 - LAST_BIN_MARGIN).item(),
        probability=probability,
        wanted=wanted,
        expectation=decode_distribution(logits).item(),
        loss=loss.item(),
        least=-torch.special.xlogy(wanted, wanted).sum().item(),
        by_formula=probability - wanted,
        by_autograd=torch.autograd.grad(loss, moving)[0],
        targets=targets,
        losses=distribution_focal_loss(logits.expand(len(targets), count), targets),
        span=state.span,
        step_size=state.step_size,
        side=state.side,
        prediction=state.prediction,
        shown=state.shown if state.pictures else None,
        names=state.names,
        reading=state.reading,
    )


# Bars of the plane <-> numbers


def unit(count: int) -> float:
    """Pixels from one bin to the next."""
    return WIDTH / count


def x_of(distance: float, count: int) -> float:
    """Where a distance is on the plane: a whole number in the middle of its bin."""
    return LEFT + (distance + 0.5) * unit(count)


def span_of(logits: tuple[float, ...]) -> float:
    """How far from 0 the drawn logits reach.

    >>> span_of((0.0, -11.5)), span_of((0.0, 2.0))
    (12.0, 6.0)
    """
    return max(SPAN, float(math.ceil(max(map(abs, logits)))))


def bars_of(logits: tuple[float, ...], span: float) -> Boxes:
    """A bar for each logit, from -span up to it.

    >>> bars_of((0.0, 6.0), 6.0)[1]
    (218.0, 10.0, 330.0, 120.0)
    """
    half = WIDE * unit(len(logits))
    tops = [UP + TALL * (span - max(min(logit, span), -span)) / (2 * span) for logit in logits]
    middles = [x_of(index, len(logits)) for index in range(len(logits))]
    return tuple((x - half, top, x + half, UP + TALL) for x, top in zip(middles, tops, strict=True))


def logit_of(top: float, span: float) -> float:
    """The logit whose bar ends there, to a hundredth."""
    return round(max(-span, min(span, span - 2 * span * (top - UP) / TALL)), 2)


def distance_bar(distance: float, count: int, row: int = 0) -> tuple[float, float, float, float]:
    """The bar of a distance: from 0 to it; row 0 or 1."""
    start, height, apart = BAND
    return x_of(0, count), start + row * apart, max(x_of(distance, count), x_of(0, count)), start + row * apart + height


def distance_of(right: float, count: int) -> float:
    """The distance whose bar ends there, to a hundredth of a cell."""
    return round(max(0.0, min(count - 1.0, (right - LEFT) / unit(count) - 0.5)), 2)
