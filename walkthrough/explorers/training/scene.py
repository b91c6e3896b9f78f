"""What LiveTraining draws: losses, learning rates, figures, and predictions on fixed images."""

import numpy as np

from walkthrough.charts import numbers
from walkthrough.explorers.pictures import Annotated
from walkthrough.explorers.training.live_run import Progress
from walkthrough.explorers.training.state import Result, moving_mean
from walkthrough.scene import Boxes, Chart, Key, Layer, More, Panel, Picture, Scene, Series
from walkthrough.show import labelled_boxes
from yolo_lite.detect.matching import match_detections
from yolo_lite.detect.predict import Detections

MOST_POINTS = 300  # of a line
WHOLE_RUN = 500  # iterations up to which the axis shows all of the run from the beginning
COLOURS = ("#2A85C7", "#DB6413", "#0F9B74", "#C571A0", "#B98200")  # one per part of the loss
DASHES = ("solid", "dashed", "dotted", "dashdot")
FAINT = "4D"  # the opacity of what is not smoothed
GAINS = frozenset(("box", "obj", "cls"))  # hyperparameters that scale a part of the loss
FACTORS = 20  # between the highest and lowest loss, from which on the axis is logarithmic
LEGEND = (
    Key("labelled", "object", dash="solid"),
    Key("found by the averaged weights (EMA)", "prediction", dash="dashed"),
)


def scene_of(result: Result) -> Scene:
    """The fixed images, and the losses beside them; to be unfolded: learning rates and figures."""
    panels = tuple(_panel(result, place) for place in range(len(result.pictures)))
    more = More("learning rate and mAP", lambda: ((_rates(result), _figures(result.progress)),))
    return Scene(((*panels, _losses(result)),), LEGEND, more=(more,))


def takeaway_of(result: Result) -> str:
    """How far the run is, what the losses did since the beginning, and what is found in the fixed images."""
    progress, done = result.progress, len(result.progress.steps)
    if not done:
        return f"A run of {progress.schedule.iterations} iterations: press start, and watch the boxes find the objects."
    if not all(np.isfinite(values).all() for values in result.losses.values()):
        return (
            f"The loss is not finite after {done} iterations: this run is lost; reset, and use a lower learning rate."
        )
    since = _last_gain(progress)
    smoothed = moving_mean(np.sum([values[since:] for values in result.losses.values()], axis=0))
    first, last = smoothed[0], smoothed[-1]
    counts = [_hits_of(picture, found) for picture, found in zip(result.pictures, result.found, strict=False)]
    hits, objects = sum(hit for hit, _ in counts), sum(count for _, count in counts)
    found = f"; it finds {hits} of {objects} objects in these images" if objects else ""
    went = f"the loss went from {first:.3g} to {last:.3g}"
    if since:  # the gains scale the loss: what it was before says nothing beside what it is now
        went = f"since a gain was changed at {since}, {went}" if done > since + 1 else f"a gain was changed at {since}"
    return f"Iteration {done} of {progress.schedule.iterations}: {went}{found}."


def _last_gain(progress: Progress) -> int:
    """The iteration before which a gain of the loss was changed for the last time; 0 where none was."""
    done = len(progress.steps)
    return max((place for place, row in progress.changes if place < done and not GAINS.isdisjoint(row)), default=0)


def _losses(result: Result) -> Chart:
    """Each part raw and faint, and smoothed over it; a dotted line where a setting was changed."""
    done = len(result.progress.steps)
    kept = np.unique(np.linspace(0, max(done - 1, 0), MOST_POINTS).astype(int)) if done else np.zeros(0, int)
    marks = []
    for index, (name, values) in enumerate(result.losses.items()):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
        marks.append(Series("", numbers(kept), numbers(values[kept]), colour + FAINT, "solid"))
        marks.append(Series(name, numbers(kept), numbers(result.smoothed[name][kept]), colour, dash))
    values = np.concatenate(list(result.losses.values())) if done else np.ones(1)
    spread = values.min() > 0 and values.max() > FACTORS * values.min()
    changes = [change for change in result.progress.changes if change[0] > 0]
    upright = tuple(float(place) for place, _ in changes)
    caption = f"dotted: {', '.join(changes[-1][1])} changed at {changes[-1][0]}" if changes else "faint: each batch"
    caption = caption if done else "start or step to train"
    scale = "log" if spread else "linear"
    title = f"loss, {done} of {result.progress.schedule.iterations} iterations"
    return Chart(tuple(marks), title, caption, "iteration", "", scale, _span(result.progress), upright=upright)


def _rates(result: Result) -> Chart:
    """The learning rates that were used, and those that are planned."""
    marks = []
    past = [(step.iteration, step.bias_lr, step.lr) for step in result.progress.steps]
    past = past[:: -max(len(past) // MOST_POINTS, 1)][::-1]  # the newest among them
    ahead = [(place, rates.bias_lr, rates.other_lr) for place, rates in result.ahead]
    for column, (name, colour) in enumerate((("biases", COLOURS[0]), ("weights, norms", COLOURS[1])), 1):
        for rows, label, dash in ((past, name, "solid"), (ahead, f"{name}, planned", "dotted")):
            x, y = [row[0] for row in rows], [row[column] for row in rows]
            named = label if rows is past or not past else ""
            marks.append(Series(named, numbers(x), numbers(y), colour, dash))
    shown = tuple(mark for mark in marks if mark.x)
    return Chart(shown, "learning rate", "dotted: planned", "iteration", x_range=_span(result.progress))


def _figures(progress: Progress) -> Chart:
    """mAP on the validation images after each epoch."""
    rows = [row for row in progress.history if "mAP" in row]
    marks = tuple(
        Series(name, tuple(row["epoch"] + 1 for row in rows), tuple(row[name] for row in rows), colour, dash)
        for name, colour, dash in (("mAP50", COLOURS[0], "solid"), ("mAP", COLOURS[1], "dashed"))
        if rows
    )
    caption = "after each epoch" if rows or not progress.history else "there are no validation images"
    highest = progress.schedule.epochs
    return Chart(
        marks, "on validation images", caption, "epoch", x_range=(0.0, float(highest)), y_range=(0.0, 1.0)
    )  # fmt: skip


def _span(progress: Progress) -> tuple[float, float]:
    done, whole = len(progress.steps), progress.schedule.iterations
    return 0.0, float(max(min(whole, WHOLE_RUN), 1.05 * done))


def _panel(result: Result, place: int) -> Panel:
    """A fixed image with its objects, and what is found in it."""
    picture = result.pictures[place]
    height, width = picture.size
    title = f"image {picture.name}"
    is_last = place == len(result.pictures) - 1
    labels = Boxes(tuple(box[:4] for box in picture.boxes), colours=("object",), drag="objects" if is_last else "")
    field, drawn = ("objects", (float(result.new_class),)) if is_last else ("", ())
    layers: tuple[Layer, ...] = (Picture(picture.pixels), labels)
    words = "the weights are not finite any more"
    if result.found:
        predicted = labelled_boxes(result.found[place], names=result.names)
        boxes = Boxes(predicted.xyxy, predicted.labels, predicted.scores, predicted.colours, "dashed")
        layers, words = (*layers, boxes), _compared(picture, result.found[place])
    return Panel(layers, width, height, title, words, draw=field, drawn=drawn)


def _compared(picture: Annotated, found: Detections) -> str:
    """How many objects were found at IoU 0.5, and how many boxes are wrong."""
    hits, objects = _hits_of(picture, found)
    if not objects:
        return f"{len(found.conf)} boxes, nothing is labelled"
    return f"found {hits} of {objects}, {len(found.conf) - hits} wrong"


def _hits_of(picture: Annotated, found: Detections) -> tuple[int, int]:
    """How many objects were found at IoU 0.5, of how many."""
    rows = np.concatenate([found.xyxy.numpy(), found.conf.numpy()[:, None], found.cls.numpy()[:, None]], 1)  # (n, 6)
    objects = np.array([(box[4], *box[:4]) for box in picture.boxes], np.float32).reshape(-1, 5)
    return int(match_detections(rows, objects, np.array([0.5])).sum()), len(objects)
