"""DistributionExplorer: a distance as a distribution over bins, and distribution focal loss (DFL)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from walkthrough.explorers.base import Action, Explorer
from walkthrough.explorers.detector import checked_detector, network_size, pictures_for
from walkthrough.explorers.distribution.reading import SIDES, Reading, loss_of, read_picture
from walkthrough.explorers.distribution.scene import scene_of, takeaway_of
from walkthrough.explorers.distribution.state import (
    LOGITS,
    MOST_BINS,
    Result,
    State,
    bars_of,
    compute,
    distance_bar,
    distance_of,
    logit_of,
    span_of,
)
from walkthrough.explorers.pictures import listed_names, pictured
from walkthrough.explorers.stage import Story
from walkthrough.images import to_numpy
from yolo_lite.support.known_names import coco_names


class DistributionExplorer(Explorer[State, Result]):
    """The bins of one side of a box: drag their logits or the target, see expectation, loss and gradient (DFL).

    With a detector, the distributions are those that it predicts for a picture, and the targets the true distances of
    the object that its loss matches the point to.

    Args:
        logits: (R,) of the bins 0 to R - 1; left out: 16 of them, made by hand.
        model: a detector whose head predicts distributions (YOLOv8, v9, 11, YOLO-World), or the name or path of
            weights.
        images, targets, names: see annotate; left out: drawn scenes, or photographs for COCO's classes.
        img_size: to letterbox listed images to; left out: what the model was trained at.

    >>> w = DistributionExplorer(logits=[0.0, 0.0, 0.0, 0.0], target=1.25)
    >>> w.result.expectation, w.result.wanted.tolist()
    (1.5, [0.0, 0.75, 0.25, 0.0])
    >>> w.result.by_autograd.tolist()  # softmax - target
    [0.25, -0.5, 0.0, 0.25]
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Distribution focal loss"
    part_of = "loss"
    primary = "target"
    stories = (
        Story("between two bins", {"target": 2.5}, "two bins share the target: the loss of the best bins is not 0."),
        Story("on a bin", {"target": 4.0}, "one bin is all of the target, and the loss can become 0."),
        Story("too far", lambda state: {"target": len(state.logits) - 1.0}, "no bin lies beyond the last: it is cut."),
    )
    actions = (Action("step", "gradient step", "g", "one step of gradient descent on the logits"),)

    @classmethod
    def prepare(
        cls,
        logits: Any = None,
        model: Any = None,
        images: Any = None,
        targets: Any = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        img_size: int | None = None,
    ) -> dict[str, Any]:
        """See the class. The model runs here, and again for each picture that is chosen."""
        if model is None:
            if images is not None or targets is not None:
                raise ValueError("images= and targets= are for a detector: give one too, as model=")
            logits = LOGITS if logits is None else checked_logits(logits)
            return {"logits": logits, "span": span_of(logits)}
        if logits is not None:
            raise ValueError("logits= are one side's by hand, model= predicts its own: give one of them")
        model = checked_detector(model)
        size = network_size(model, img_size)
        loss_of(model, size if isinstance(size, int) else max(size))
        known = listed_names(getattr(model, "names", None) or ())
        pictures = pictures_for(model, images, targets, size, known)
        known = coco_names() if images is None and model.num_classes == 80 else known
        found = pictured(pictures, known if names is None else listed_names(names))
        reading = read_picture(model, pictures[0])
        return {"pictures": pictures, "names": found["names"], "model": model, "reading": reading} | _side(
            reading, 0, 0
        )

    def settle(self, before: State, after: State) -> State:
        """Bars and numbers say the same, whichever of them was moved; another point brings its own."""
        after = _another_point(before, after) if after.pictures else after
        if after.logits is not before.logits:
            logits = checked_logits(after.logits)
            after = replace(after, logits=logits, span=span_of(logits))
        elif after.bars != before.bars:
            after = replace(after, logits=_dragged(before, after))
        count = len(after.logits)
        if after.distance != before.distance:
            if len(after.distance) != 1:
                raise ValueError(f"distance holds one bar, the target's, not {len(after.distance)}")
            after = replace(after, target=distance_of(after.distance[0][2], count))
        after = replace(after, target=min(after.target, float(count - 1)))
        return replace(after, bars=bars_of(after.logits, after.span), distance=(distance_bar(after.target, count),))

    def step(self) -> None:
        """One step of gradient descent on the logits of this side alone, as far as the loss's gradient says."""
        result = self.require()
        self.set(logits=tuple((result.logits - self.state.step_size * result.by_autograd).tolist()))

    def words(self) -> str:
        """Target, bins, and whether formula and autograd agree; of logits by hand also what they lead to."""
        result = self.require()
        lower = int(result.clamped)
        above = result.wanted[lower + 1].item()
        agree = (result.by_formula - result.by_autograd).abs().max() < 1e-6
        of_side = "" if result.reading is None else f"{SIDES[result.side]} side: "
        target = f"target {result.target:.2f}: bins {lower} and {lower + 1} with {1 - above:.2f} and {above:.2f}"
        now = f"expectation {result.expectation:.2f}, loss {result.loss:.3f}; " if result.reading is None else ""
        return f"{of_side}{target}; {now}softmax - target {'equals' if agree else 'differs from'} autograd's gradient"

    def as_code(self) -> str:
        """The same numbers without an explorer."""
        logits = ", ".join(f"{logit:.6g}" for logit in self.state.logits)
        return (
            "from yolo_lite.coding import decode_distribution\n"
            "from yolo_lite.family.yolov8 import distribution_focal_loss\n"
            f"logits, target = torch.tensor([{logits}]), torch.tensor({self.state.target:.6g})\n"
            "expectation, loss = decode_distribution(logits), distribution_focal_loss(logits, target)"
        )


def checked_logits(logits: Any) -> tuple[float, ...]:
    """Logits (R,) as floats; a ValueError for anything else.

    >>> checked_logits([1, 2.5])
    (1.0, 2.5)
    """
    try:
        found = tuple(float(logit) for logit in to_numpy(logits).ravel())
    except (TypeError, ValueError):
        raise ValueError(f"logits is a list of numbers, one for each bin, not {logits!r}") from None
    if not 2 <= len(found) <= MOST_BINS or not all(map(math.isfinite, found)):
        raise ValueError(f"logits holds 2 to {MOST_BINS} finite numbers, one for each bin, not {list(found)}")
    return found


def _dragged(before: State, after: State) -> tuple[float, ...]:
    """The logits of bars that moved; the others as they are."""
    if len(after.bars) != len(before.logits):
        raise ValueError(f"bars holds one bar for each of the {len(before.logits)} bins, not {len(after.bars)}")
    moved = zip(before.logits, before.bars, after.bars, strict=True)
    return tuple(logit if old == new else logit_of(new[1], after.span) for logit, old, new in moved)


def _another_point(before: State, after: State) -> State:
    """A new model, picture, point or side: the logits and the distance that belong to it."""
    is_new = after.model is not before.model or after.pictures is not before.pictures
    if is_new or after.picture != before.picture:
        model = checked_detector(after.model)
        picture = min(after.picture, len(after.pictures) - 1)
        kept = after.prediction if after.prediction != before.prediction else 0
        found = read_picture(model, after.pictures[picture])
        after = replace(after, model=model, picture=picture, prediction=kept, reading=found)
        is_new = True
    reading = after.reading
    assert reading is not None
    if after.place is not None:
        x, y = after.place
        gaps = [math.hypot(point.x - x, point.y - y) for point in reading.points]
        after = replace(after, prediction=gaps.index(min(gaps)), place=None)
    after = replace(after, prediction=min(after.prediction, len(reading.points) - 1))
    if is_new or (after.prediction, after.side) != (before.prediction, before.side):
        numbers = _side(reading, after.prediction, after.side)
        given = {"target": after.target} if after.target != before.target else {}
        after = replace(after, **(numbers | given))
    return after


def _side(reading: Reading, prediction: int, side: int) -> dict[str, Any]:
    """The logits of one side of a point, and its true distance as far as the bins reach."""
    point = reading.points[prediction]
    logits = tuple(point.logits[side].tolist())
    return {
        "logits": logits,
        "span": span_of(logits),
        "target": round(max(0.0, min(point.distances[side], len(logits) - 1.0)), 2),
    }
