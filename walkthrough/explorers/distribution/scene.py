"""The picture of DistributionExplorer: bars to drag, the numbers, the gradient, the loss at every target."""

import numpy as np

from walkthrough.explorers.distribution.reading import SIDES, PointReading
from walkthrough.explorers.distribution.state import (
    BAND,
    LEFT,
    TALL,
    UP,
    WIDE,
    WIDTH,
    Result,
    bars_of,
    distance_bar,
    unit,
    x_of,
)
from walkthrough.heatmap import HeatMap
from walkthrough.images import faded
from walkthrough.scene import (
    Bars,
    Boxes,
    Chart,
    Key,
    Layer,
    Line,
    More,
    Panel,
    Picture,
    Points,
    Rows,
    Scene,
    Series,
    Table,
    counted,
)
from walkthrough.scene import Text as Words
from walkthrough.show import class_name
from yolo_lite.coding import LAST_BIN_MARGIN, decode_distribution

GROUND = np.full((2, 2, 3), (44, 48, 54), np.uint8)  # dark under either theme, so that white bars show
FLOOR = BAND[0] + 2 * BAND[2] + 8 + TALL  # pixels: where the bars of probabilities stand
HEIGHT, RIGHT = FLOOR + 6, LEFT + WIDTH + 8
LEGEND = (
    Key("logit: drag its upper end", "anchor", dash="solid"),
    Key("target: drag its right end; of each bin", "object", dash="dotted"),
    Key("expectation: predicted distance", "prediction", dash="dashed"),
    Key("probability: softmax", "own"),
)
NARROW, NAMED = 16, 80  # pixels: a bin from which each of them is numbered; the name of a distance
HOLD = 360  # CSS pixels of picture and bars: the captions have two lines
LEAST = 320.0  # CSS pixels of the bars: narrower ones are hard to drag, and their numbers run together


def takeaway_of(result: Result) -> str:
    """The distance that the bins stand for, the one they should have, and how much of the loss can be learnt away."""
    stands = f"The bins stand for {result.expectation:.2f} cells, and the target is {result.target:.2f}"
    is_cut = result.target > result.clamped + LAST_BIN_MARGIN / 2
    cut = f" (taken as {result.clamped:.2f}: there is no bin beyond the last)" if is_cut else ""
    learnt = f"of which {result.loss - result.least:.2f} can be learnt away"
    return f"{stands}{cut}: the loss is {result.loss:.2f}, {learnt}."


def scene_of(result: Result) -> Scene:
    """The bars, and beside them the point in its picture, or the side's numbers; to be unfolded: all else."""
    more = More("gradient and loss", lambda: ((_gradient(result), _losses(result)),))
    if result.shown is None or result.reading is None:
        return Scene(((_plane(result), _table(result)),), LEGEND, more=(more,))
    numbers = More("numbers of this side", lambda: ((_table(result),),))
    sides = More("the four sides", lambda: ((_sides(result),),))
    return Scene(((_picture(result), _plane(result)),), LEGEND, more=(numbers, sides, more), hold=HOLD)


def _plane(result: Result) -> Panel:
    logits, count = tuple(result.logits.tolist()), len(result.logits)
    predicted, lower = distance_bar(result.expectation, count, 1), int(result.clamped)
    probability = result.probability.tolist()
    wanted = _columns(result.wanted.tolist(), is_sparse=True)
    refs = tuple("bins" if index in (lower, lower + 1) else "" for index in range(count))
    bins = tuple(f"logit of bin {k}" for k in range(count))
    shares = tuple(f"probability {value:.2f} of bin {k}" for k, value in enumerate(probability))
    layers: tuple[Layer, ...] = (
        Picture(GROUND, (0, 0, RIGHT, HEIGHT)),
        *_axes(count, result.span),
        Boxes(bars_of(logits, result.span), colours=("anchor",), width=1.2, drag="bars", fill=0.3, names=bins),
        Boxes(
            (distance_bar(result.target, count),),
            colours=("object",),
            width=1.2,
            drag="distance",
            fill=0.35,
            refs=("target",),
            names=("target distance",),
        ),
        Boxes(
            (predicted,),
            colours=("prediction",),
            dash="dashed",
            width=1.2,
            fill=0.4,
            refs=("expectation",),
            names=("expectation",),
        ),
        _beside(f"target {result.target:.2f}", result.target, count, 0),
        _beside(f"expectation {result.expectation:.2f}", result.expectation, count, 1),
        Boxes(_columns(probability), colours=("own",), width=0.8, fill=0.6, refs=refs, names=shares),
        Boxes(wanted, (), (), ("object",), "dotted", 1.8, refs=("target bins",) * len(wanted)),
        Line(((predicted[2], FLOOR - TALL - 6), (predicted[2], FLOOR)), "prediction", "dashed", 1.2),
    )
    side = "" if result.reading is None else f": the {SIDES[result.side]} side"
    caption = "above: logits; below: probabilities"
    return Panel(layers, RIGHT, HEIGHT, f"Drag the bars{side}", caption, least_width=LEAST)


def _axes(count: int, span: float) -> list[Layer]:
    """The numbers of the bins between both kinds of bars, and what the heights mean."""
    every = -(-NARROW // unit(count))
    lines: list[Layer] = [
        Line(((LEFT, y), (LEFT + WIDTH, y)), "#9AA4AE", "dotted", 0.8) for y in (UP, UP + TALL / 2, UP + TALL)
    ]
    lines += [Line(((LEFT, FLOOR), (LEFT + WIDTH, FLOOR)), "#9AA4AE", "solid", 0.8)]
    heights = ((UP, f"{span:g}"), (UP + TALL / 2, "0"), (UP + TALL, f"-{span:g}"), (FLOOR - TALL, "1"), (FLOOR, "0"))
    sides = [Words(LEFT - 4, y - 6, word, "#C9D1D9", "right", 9) for y, word in heights]
    bins = [
        Words(x_of(index, count), UP + TALL + 6, str(index), "#C9D1D9", "center", 9)
        for index in range(count)
        if index % every == 0
    ]
    return [*lines, *sides, *bins]


def _beside(text: str, distance: float, count: int, row: int) -> Words:
    """The name of a distance's bar, where there is room for it."""
    x, y = x_of(distance, count), BAND[0] + row * BAND[2] + 1
    fits = x < LEFT + WIDTH - NAMED
    return Words(x + 5 if fits else x - 5, y, text, "object", "left" if fits else "right", 9)


def _columns(values: list[float], is_sparse: bool = False) -> Rows:
    """Bars of probabilities; sparse: those above 0 alone."""
    half, count = WIDE * unit(len(values)), len(values)
    return tuple(
        (x_of(k, count) - half, FLOOR - TALL * value, x_of(k, count) + half, FLOOR)
        for k, value in enumerate(values)
        if value > 0 or not is_sparse
    )


def _table(result: Result) -> Table:
    lower = int(result.clamped)
    above = result.wanted[lower + 1].item()
    p_lower, p_above = result.probability[lower : lower + 2].tolist()
    differ = f"differ by {(result.by_formula - result.by_autograd).abs().max():.0e}"
    rows = [  # what, value, and what it stands for in the pictures
        ("target distance t", f"{result.target:.2f} cells" + _limited(result), "target"),
        (f"target of the bins {lower} and {lower + 1}", f"{1 - above:.2f} and {above:.2f}", "target bins"),
        ("their probabilities now", f"{p_lower:.3f} and {p_above:.3f}", "bins"),
        ("expectation, sum of i p_i", f"{result.expectation:.3f} cells", "expectation"),
        (f"loss: -{1 - above:.2f} ln p_{lower} - {above:.2f} ln p_{lower + 1}", f"{result.loss:.4f}", "bins"),
        ("least loss for this target", f"{result.least:.4f}", "target bins"),
        ("gradient: formula and autograd", differ, "gradient"),
    ]
    if (point := _point(result)) is not None:
        true, stride = point.distances[result.side], point.stride
        rows.insert(0, ("true distance", f"{true:.2f} cells of {stride} pixels, {true * stride:.1f} pixels", "side"))
    refs = tuple(ref for _, _, ref in rows)
    return Table(("what", "value"), tuple(row[:2] for row in rows), "One side of one box", refs=refs)


def _limited(result: Result) -> str:
    return "" if abs(result.clamped - result.target) < 1e-6 else f", limited to {result.clamped:.2f}"


def _gradient(result: Result) -> Chart:
    names = tuple(str(index) for index in range(len(result.logits)))
    bars = Bars(names, tuple(result.by_autograd.tolist()), "accent", refs=("gradient",) * len(names))
    title, caption = "Gradient of each logit: softmax - target", "a step makes logits larger where it is negative"
    return Chart((bars,), title, caption, "bin", "d loss / d logit")


def _losses(result: Result) -> Chart:
    line = Series("loss", tuple(result.targets.tolist()), tuple(result.losses.tolist()), dash="solid")
    caption = f"dotted: the target {result.target:.2f}; between two bins a straight line"
    return Chart(
        (line,), "The loss of these logits at every target", caption, "target distance in cells", "loss",
        y_range=(0, 1.08 * max(line.y)), upright=(result.target,), legend="none",
    )  # fmt: skip


def _point(result: Result) -> PointReading | None:
    """The chosen point of the picture."""
    return None if result.reading is None else result.reading.points[result.prediction]


def _picture(result: Result) -> Panel:
    shown, point, reading = result.shown, _point(result), result.reading
    assert shown is not None
    assert point is not None
    assert reading is not None
    height, width = shown.size
    ends = ((point.box[0], point.y), (point.x, point.box[1]), (point.box[2], point.y), (point.x, point.box[3]))
    cls = class_name(point.cls, result.names)
    truth = tuple(box[:4] for box in shown.boxes)
    layers: tuple[Layer, ...] = (
        Picture(faded(shown.pixels)),
        Boxes(truth, dash="dotted"),
        Points(tuple((other.x, other.y) for other in reading.points), "own", "o", 4),
        Boxes((point.box,), (f"{cls} {point.score:.2f}",), (), ("prediction",), "dashed"),
        *(
            Line(
                ((point.x, point.y), end),
                *("anchor" if index == result.side else "prediction", "solid", 2.0),
                ref="side" if index == result.side else "",
            )
            for index, end in enumerate(ends)
        ),
        Points(((point.x, point.y),), "anchor", "s", 7),
    )
    target = f"score {point.score:.2f}, target score {point.target_score:.2f}"
    matched = f"matched to object {point.object}, {cls}; {target}" if point.object >= 0 else "no point is positive"
    among = f", one of {counted(reading.positives, 'positive')}" if reading.positives else ""
    caption = f"prediction {result.prediction}{among} (dots; click one):\n{matched}"
    name = f"picture {shown.name}" if shown.name.isdecimal() else shown.name
    return Panel(layers, width, height, name, caption, pick="place")


def _sides(result: Result) -> HeatMap:
    point = _point(result)
    assert point is not None
    probability = point.logits.softmax(-1)  # (4, R)
    distances = decode_distribution(point.logits).tolist()
    shades = tuple(tuple(row) for row in probability.tolist())
    words = tuple(tuple(f"{value:.2f}"[1:] if 0.005 <= value < 1 else "" for value in row) for row in shades)
    said = ", ".join(f"{name} {distance:.2f}" for name, distance in zip(SIDES, distances, strict=True))
    return HeatMap(
        shades, words, SIDES, tuple(str(index) for index in range(probability.shape[1])),
        "The four distributions of this point", f"expectations in cells: {said}", "", "bin", "probability",
    )  # fmt: skip
