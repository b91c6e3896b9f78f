"""The picture of LossExplorer: the losses, the gradient by term and level, the numbers in a table."""

import math
from typing import Any

import torch
from torch import Tensor

from walkthrough.charts import numbers
from walkthrough.explorers.loss.state import Result
from walkthrough.gradients import MapGradients
from walkthrough.scene import Bars, Boxes, Chart, More, Panel, Picture, Scene, Table, counted
from walkthrough.show import class_name

CLEARLY = 1.5  # times the next: what the words say has to hold on every machine
NOW, DEFAULT, DEFAULT_COLOUR = "these settings", "default", "#8A8A8A"


def scene_of(result: Result) -> Scene:
    """The picture and the losses; to be unfolded: the gradient by term and level, the numbers."""
    more = (
        More("gradient by level", lambda: ((_gradients_chart(result),),)),
        More("all numbers", lambda: ((_table(result),),)),
    )
    return Scene(((_panel(result), _losses_chart(result)),), words=words_of(result), more=more)


def takeaway_of(result: Result) -> str:
    """The loss beside the default one, the term that is most of it, and where the gradient is."""
    now, default = (gradients.parts[0].item() for gradients in (result.now, result.default))
    if not math.isfinite(now):
        return "The loss is not finite, so there is no gradient to follow."
    fractions, norms, terms = fractions_of_terms(result.now), result.now.fractions, result.now.terms
    term, level = divmod(int(norms.argmax()), norms.shape[1])
    largest, beside = int(fractions.argmax()), f" (default {default:.3g})" if f"{now:.3g}" != f"{default:.3g}" else ""
    where = f"{norms[term, level]:.0%} of the gradient is that of {terms[term]} at stride {result.strides[level]}"
    return f"The loss is {now:.3g}{beside}: {fractions[largest]:.0%} of it is {terms[largest]}, and {where}."


def fractions_of_terms(gradients: MapGradients) -> Tensor:
    """(T,) each term as a fraction of the terms' sum; 0 where all are 0."""
    values = torch.stack([getattr(gradients.parts, term) for term in gradients.terms]).double().cpu()
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _beside(result: Result, values: Any, names: tuple[str, ...] | None = None) -> tuple[Bars, Bars]:
    """What values(gradients) gives for these settings, and beside it for the default ones."""
    names = names or result.now.terms
    return (
        Bars(names, values(result.now), name=NOW),
        Bars(names, values(result.default), DEFAULT_COLOUR, DEFAULT, "/"),
    )


def _panel(result: Result) -> Panel:
    state = result.state
    shown, (height, width) = state.shown, state.shown.size
    classes = tuple(int(box[4]) for box in state.objects)
    labels = tuple(class_name(cls, state.names) for cls in classes)
    boxes = Boxes(tuple(box[:4] for box in state.objects), labels, (), classes or (0,), drag="objects")
    title = f"{shown.name}, one of {counted(len(state.pictures), 'picture')}"
    drawn = (float(state.new_class),)
    return Panel((Picture(shown.pixels), boxes), width, height, title, _empty(result), draw="objects", drawn=drawn)


def _losses_chart(result: Result) -> Chart:
    marks = _beside(result, lambda gradients: numbers([getattr(gradients.parts, term) for term in gradients.terms]))
    return Chart(marks, "losses, gains included", _clearly(result), y_label="loss")


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
    return Table(columns, tuple(rows), "losses and their fractions of the total", caption)


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
