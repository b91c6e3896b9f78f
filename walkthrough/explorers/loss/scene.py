"""The picture of LossExplorer: the losses, the gradient by term and level, the numbers in a table."""

import math
from typing import Any

import torch
from torch import Tensor

from walkthrough.charts import numbers
from walkthrough.explorers.loss.predictions import Predictions
from walkthrough.explorers.loss.state import Result
from walkthrough.gradients import MapGradients
from walkthrough.images import faded
from walkthrough.scene import Bars, Boxes, Chart, Key, Layer, More, Panel, Picture, Scene, Table, counted, table_of
from walkthrough.show import class_name

TINY = 1e-12
CLEARLY = 1.5  # times the next: what the words say has to hold on every machine
# From a small loss to the largest one: colours of viridis, ever lighter, in ever thicker lines.
SHADES = (("#31688E", 1.2), ("#21918C", 1.8), ("#5DC863", 2.6), ("#FDE725", 3.4))
MOST_LISTED, MOST_LABELLED = 10, 1  # predictions in the table; of those in the picture that have their loss beside them
NOW, DEFAULT, DEFAULT_COLOUR = "these settings", "default", "#8A8A8A"


def scene_of(result: Result) -> Scene:
    """The picture and the losses; to be unfolded: the gradient by term and level, the numbers."""
    more: tuple[More, ...] = (
        More("gradient by level", lambda: ((_gradients_chart(result),),)),
        More("all numbers", lambda: ((_table(result),),)),
    )
    if (found := result.predictions) is not None:
        more = (*more, More("predictions", lambda: ((_predictions_table(result, found),),)))
    return Scene(((_panel(result), _losses_chart(result)),), _legend(result), words_of(result), more)


def takeaway_of(result: Result) -> str:
    """The loss beside the default one, the term that is most of it, and whether the gradient is there too."""
    now, default = (gradients.parts[0].item() for gradients in (result.now, result.default))
    if not math.isfinite(now):
        return "The loss is not finite, so there is no gradient to follow."
    fractions, norms, terms = fractions_of_terms(result.now), result.now.fractions, result.now.terms
    term, level = divmod(int(norms.argmax()), norms.shape[1])
    largest, beside = int(fractions.argmax()), f" (default {default:.3g})" if f"{now:.3g}" != f"{default:.3g}" else ""
    own = f"{terms[largest]} is {fractions[largest]:.0%} of it and has {norms[largest].sum():.0%} of the gradient"
    where = f"{norms[term, level]:.0%} of the gradient is that of {terms[term]} at stride {result.strides[level]}"
    return f"The loss is {now:.3g}{beside}: {own}; {where}."


def is_default(result: Result) -> bool:
    """Whether these settings give what the default ones give, so that there is one set of bars and not two."""
    return result.now.parts == result.default.parts and torch.equal(result.now.norms, result.default.norms)


def fractions_of_terms(gradients: MapGradients) -> Tensor:
    """(T,) each term as a fraction of the terms' sum; 0 where all are 0."""
    values = torch.stack([getattr(gradients.parts, term) for term in gradients.terms]).double().cpu()
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _beside(result: Result, values: Any, names: tuple[str, ...] | None = None) -> tuple[Bars, ...]:
    """What values(gradients) gives for these settings, and beside it for the default ones, where these are others."""
    names = names or result.now.terms
    refs = tuple(f"term {name.split()[0]}" for name in names)  # "box 8": that of box at stride 8
    now = Bars(names, values(result.now), name=NOW, refs=refs)
    if is_default(result):
        return (now,)
    return (now, Bars(names, values(result.default), DEFAULT_COLOUR, DEFAULT, "/", refs))


def _panel(result: Result) -> Panel:
    state = result.state
    shown, (height, width) = state.shown, state.shown.size
    labels = tuple(class_name(int(box[4]), state.names) for box in state.objects)
    boxes = Boxes(tuple(box[:4] for box in state.objects), labels, drag="objects")
    predicted = _predicted(result, result.predictions) if result.predictions is not None else []
    title = (
        f"picture {shown.name}, one of {len(state.pictures)}" if len(state.pictures) > 1 else f"picture {shown.name}"
    )
    layers = (Picture(faded(shown.pixels)), *predicted, boxes)
    caption, drawn = _empty(result) or _drawn(result.predictions), (float(state.new_class),)
    return Panel(layers, width, height, title, caption, draw="objects", drawn=drawn)


def _drawn(found: Predictions | None) -> str:
    """How many positives there are, and how many of them are drawn."""
    if found is None:
        return ""
    drawn = int(found.positive.sum())
    rest = f",\ndrawn: the {drawn} of largest loss" if drawn < found.positives else ""
    return f"{counted(found.positives, 'positive prediction')}{rest}"


def _predicted(result: Result, found: Predictions) -> list[Layer]:
    """The predictions in the colour of their loss, the largest on top; their cells are seen when they are lit."""
    total, layers = found.losses["total"], list[Layer]()
    largest = float(total.max()) if len(total) else 0.0
    shade = (len(SHADES) * total / max(largest, TINY)).long().clamp(max=len(SHADES) - 1)
    for index, (colour, width) in enumerate(SHADES):
        for is_positive, dash in ((True, "solid"), (False, "dotted")):
            rows = ((shade == index) & (found.positive == is_positive)).nonzero()[:, 0].flip(0).tolist()
            labels = tuple(f"loss {total[row]:.2g}" if row < MOST_LABELLED else "" for row in rows)
            refs = tuple(f"prediction {row}" for row in rows)
            boxes = table_of(found.boxes[rows], 4, "boxes")
            layers += [Boxes(boxes, labels, (), (colour,), dash, width, refs=refs)] if rows else []
    return [*layers, _cells(result, found)]


def _cells(result: Result, found: Predictions) -> Boxes:
    """The cell of each prediction, which is seen when it is lit."""
    strides = torch.tensor(result.strides)[found.cells[:, 0]]
    col, row = found.cells[:, 3], found.cells[:, 2]
    sides = torch.stack((col, row, col + 1, row + 1), 1) * strides[:, None]  # (k, 4)
    refs = tuple(f"prediction {row}" for row in range(len(sides)))
    return Boxes(table_of(sides, 4, "cells"), width=0, refs=refs)


def _legend(result: Result) -> tuple[Key, ...]:
    objects = (Key("object", "object", dash="solid"),)
    found = result.predictions
    if found is None or not len(found.boxes):
        return objects
    ends = [float(found.losses["total"].max()) * (k + 1) / len(SHADES) for k in range(len(SHADES))]
    words = (f"prediction with loss up to {ends[0]:.2g}", *(f"to {end:.2g}" for end in ends[1:]))
    keys = tuple(Key(word, colour, dash="solid") for (colour, _), word in zip(SHADES, words, strict=True))
    return (*objects, *keys, Key("dotted: prediction of background", SHADES[-1][0], dash="dotted"))


def _predictions_table(result: Result, found: Predictions) -> Table:
    """The predictions with the largest losses, term by term."""
    state, rows = result.state, list[tuple[str, ...]]()
    for row in range(min(len(found.boxes), MOST_LISTED)):
        level, anchor, *place = found.cells[row].tolist()
        target = int(found.target[row])
        about = f"{target} {class_name(int(state.objects[target][4]), state.names)}" if target >= 0 else "background"
        losses = (f"{values[row]:.3g}" for values in found.losses.values())
        rows.append((str(result.strides[level]), *map(str, place), str(anchor), about, *losses))
    columns = ("stride", "row", "column", "anchor", "matched to", *found.losses)
    refs = tuple(f"prediction {row}" for row in range(len(rows)))
    caption = "point at one: its box and its cell are lit" if rows else "no prediction has a loss"
    return Table(columns, tuple(rows), f"{state.shown.name}: the largest losses", caption, refs=refs)


def _losses_chart(result: Result) -> Chart:
    marks = _beside(result, lambda gradients: numbers([getattr(gradients.parts, term) for term in gradients.terms]))
    total, count = result.now.parts[0].item(), len(result.state.pictures)
    terms = sum(getattr(result.now.parts, term).item() for term in result.now.terms)
    is_times = count > 1 and math.isclose(total, terms * count, rel_tol=1e-3)
    sums = f"their sum times {count} pictures is the loss" if is_times else ""
    title = "losses at the default settings" if len(marks) == 1 else "losses, gains included"
    return Chart(marks, title, "\n".join(filter(None, (sums, _clearly(result)))), y_label="loss")


def _gradients_chart(result: Result) -> Chart:
    names = tuple(f"{term} {stride}" for term in result.now.terms for stride in result.strides)
    marks = _beside(result, lambda gradients: _percent(gradients.fractions), names)
    caption = (
        "norm of the gradient with respect to the raw maps of a level, as a fraction of the sum of all these norms"
    )
    return Chart(
        marks, "fraction of the gradient norms by term and level", caption, "term, and stride of the level", "%"
    )


def _table(result: Result) -> Table:
    rows, fractions, default_fractions = [], fractions_of_terms(result.now), fractions_of_terms(result.default)
    for index, term in enumerate(result.now.terms):
        uses_hyp = result.state.uses_hyp
        gain = getattr(result.hyp, term, None) if uses_hyp else None
        scaled = getattr(result.scaled, term, None) if uses_hyp else None
        loss, default_loss = (getattr(gradients.parts, term).item() for gradients in (result.now, result.default))
        gradient = result.now.norms[index].norm().item()
        fraction, default_fraction = (f"{of[index]:.1%}" for of in (fractions, default_fractions))
        losses = (f"{loss:.4f}", fraction, f"{default_loss:.4f}", default_fraction)
        gains = (_digits(gain), _digits(scaled)) if uses_hyp else ()
        rows.append((term, *gains, *losses, f"{gradient:.3g}"))
    total, default_loss = (gradients.parts[0].item() for gradients in (result.now, result.default))
    gain_columns = ("gain", "scaled") if result.state.uses_hyp else ()
    columns = ("", *gain_columns, "loss", "fraction", "default", "fraction", "gradient")
    scaled_words = "scaled: gain after scaling; " if result.state.uses_hyp else ""
    caption = f"total {total:.4f}, default {default_loss:.4f}; {scaled_words}gradient: norm on the maps"
    refs = tuple(f"term {term}" for term in result.now.terms)
    return Table(columns, tuple(rows), "losses and their fractions of the total", caption, refs=refs)


def _percent(fractions: Tensor) -> tuple[float, ...]:
    return tuple(round(100 * fraction, 1) for fraction in numbers(fractions))


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _empty(result: Result) -> str:
    """What is special about this batch; "" where nothing is."""
    matches = result.now.matches
    if not bool(result.now.parts[0].isfinite()):
        return "The loss is not finite: the model's maps hold values that are not."
    if not any(picture.boxes for picture in result.state.pictures):
        if "obj" in result.now.terms:
            return "No objects: box and class loss are 0, objectness is trained towards 0 in every cell."
        return "No objects: every prediction is background."
    if matches is not None and not sum(len(match.image) for match in matches):
        if not result.state.uses_hyp:
            return "No object is matched: only the loss of the background is left."
        return f"No object is matched at anchor_t {result.hyp.anchor_t:g}: only objectness is left."
    has_no_class_loss = result.num_classes == 1 and "cls" in result.now.terms and not bool(result.now.parts.cls)
    return "One class: there is no class loss." if has_no_class_loss else ""


def _clearly(result: Result) -> str:
    """The term with the largest loss and the one with the largest gradient, or those that are about as large."""
    losses = {term: getattr(result.now.parts, term).item() for term in result.now.terms}
    gradients = dict(zip(result.now.terms, result.now.norms.norm(dim=1).tolist(), strict=True))
    return f"{_outstanding(losses, 'loss', 'losses')}; {_outstanding(gradients, 'gradient', 'gradients')}"


def _outstanding(values: dict[str, float], one: str, many: str) -> str:
    """The names whose value is not clearly below the largest."""
    most = max(values.values(), default=0.0)
    names = [name for name, value in values.items() if value > 0 and value * CLEARLY >= most]
    return f"largest {one if len(names) == 1 else many}: {' and '.join(names)}" if names else f"no {one} above 0"


def words_of(result: Result) -> str:
    """How many pictures and objects there are, and how many matches at each stride."""
    pictures, matches = result.state.pictures, result.now.matches
    objects = sum(len(picture.boxes) for picture in pictures)
    words = f"{counted(len(pictures), 'picture')}, {counted(objects, 'object')}"
    if matches is not None:
        pairs = zip(matches, result.strides, strict=True)
        each = (f"{len(match.image)} at stride {stride}" for match, stride in pairs)
        words += f", matches: {', '.join(each)}"
    return "\n".join(filter(None, (words, _clearly(result), _empty(result))))
