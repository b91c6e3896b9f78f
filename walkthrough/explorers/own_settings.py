"""The settings that a generation's loss has of its own, as sliders, and whether it uses Hyperparameters at all.

``model.criterion(hyp, img_size, settings=...)`` of every generation beside YOLOv5 takes a frozen dataclass of its own,
as YOLOv2's coord_scale and RetinaNet's alpha; YOLOv4 one for each level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor

from walkthrough.explorers.controls import Bound, given, slider
from walkthrough.explorers.detector import DetectorState
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss

# Slider -> setting, where Hyperparameters has a setting of that name, too, or two generations mean different things
RENAMED = {
    "focal_gamma": "gamma",
    "box_gain": "box",
    "obj_gain": "obj",
    "cls_gain": "cls",
    "own_anchor_t": "anchor_t",
    "score_power": "alpha",
    "overlap_power": "beta",
}
TASK_ALIGNED = ("score_power", "overlap_power")  # in place of "alpha", of settings that have a beta
GROUP = "settings of this generation"
# Objects of four sizes: whatever a hyperparameter changes, it changes for one of them
PROBE = ((0.2, 0.2, 0.1, 0.1), (0.7, 0.3, 0.3, 0.2), (0.4, 0.7, 0.5, 0.5), (0.5, 0.5, 0.9, 0.8))
OTHER = Hyperparameters(
    box=0.5, obj=3.0, cls=3.0, anchor_t=1.5, fl_gamma=1.0, label_smoothing=0.2, obj_pw=2.0, cls_pw=2.0
)


def _own(name: str, default: float, high: Bound, help: str, step: float | None = None, low: Bound = 0) -> Any:
    """A slider for a setting; up to twice the model's own value, unless the setting is a probability or an IoU."""

    def top(state: Any) -> float:
        if callable(high):
            return high(state)
        return max(high, 2 * state.first_value(name)) if high > 1 else high

    return slider(
        default,
        low,
        top,
        step,
        group=GROUP,
        help=help,
        shown=lambda state: name in state.own_names,
    )


def _gain(name: str, help: str) -> Any:
    return _own(name, 1.0, lambda state: 2 * state.first_value(name) or 1.0, help)


def _least_positive(state: Any) -> float:
    return float(state.negative_iou) if "negative_iou" in state.own_names else 0.01


@dataclass(frozen=True)
class OwnSettingsState(DetectorState):
    """A detector's own settings by their names; only those that it has are on the page."""

    coord_scale: float = _own(
        "coord_scale", 5.0, 10, "factor of the box errors: places and sizes count more than objectness", 0.05
    )
    object_scale: float = _own("object_scale", 1.0, 10, "factor of the objectness error where an object is", 0.05)
    noobject_scale: float = _own(
        "noobject_scale",
        0.5,
        5,
        "factor of the objectness error where none is: small, because such cells are many",
        0.05,
    )
    class_scale: float = _own("class_scale", 1.0, 5, "factor of the class error where an object is", 0.05)
    thresh: float = _own("thresh", 0.6, 1, "IoU with an object above which a prediction is not background")
    early_images: int = _own(
        "early_images",
        12800,
        25600,
        "until training has seen this many images, boxes are moved to their anchors; 0: never",
        1,
    )
    ignore_thresh: float = _own("ignore_thresh", 0.7, 1, "IoU with an object above which a prediction is ignored")
    truth_thresh: float = _own("truth_thresh", 1.0, 1, "IoU above which a prediction is matched; 1: never")
    iou_normalizer: float = _own("iou_normalizer", 0.75, 2, "factor of the box loss in the sum: places and sizes")
    obj_normalizer: float = _own(
        "obj_normalizer", 1.0, 8, "factor of the objectness loss in the sum: whether there is an object", 0.05
    )
    iou_thresh: float = _own("iou_thresh", 1.0, 1, "IoU in shape above which further anchors are matched; 1: none")
    label_smooth_eps: float = _own(
        "label_smooth_eps", 0.0, 1, "moves the targets 0 and 1 of the classes towards each other"
    )
    positive_iou: float = _own(
        "positive_iou", 0.5, 1, "an anchor with at least this IoU is positive", low=_least_positive
    )
    negative_iou: float = _own(
        "negative_iou", 0.4, lambda state: state.positive_iou, "an anchor with less IoU is background; between: ignored"
    )
    negatives: float = _own(
        "negatives",
        3.0,
        10,
        "this many background predictions count for each positive one, the worst first (OHEM)",
        0.1,
    )
    alpha: float = _own("alpha", 0.25, 1, "focal loss: weight of the positives, 1 - alpha of the negatives")
    focal_gamma: float = _own(
        "focal_gamma", 2.0, 5, "focal loss: how much less easy predictions count; 0: as much as others", 0.05
    )
    radius: float = _own("radius", 1.5, 5, "centre sampling: positives lie this near the centre, in strides", 0.05, 0.1)
    range: float = _own("range", 8.0, 32, "largest side of a level's objects, in strides", 0.1, low=0.1)
    box_gain: float = _gain("box_gain", "factor of the box loss in the sum: places and sizes")
    obj_gain: float = _gain("obj_gain", "factor of the objectness loss in the sum: whether there is an object")
    cls_gain: float = _gain("cls_gain", "factor of the class loss in the sum: which class it is")
    dfl: float = _gain("dfl", "factor of the distribution focal loss (DFL): how sharp the bins of a side are")
    own_anchor_t: float = _own("own_anchor_t", 4.0, 10, "candidates: largest ratio of sides to an anchor", 0.1, 1.1)
    topk: int = _own("topk", 10, 20, "how many candidates of an object are looked at, the best first", 1, 1)
    iou_weight: float = _own(
        "iou_weight",
        3.0,
        10,
        "how much a poor overlap counts in the cost of a match, beside the class: factor of -log IoU",
        0.05,
    )
    score_power: float = _own("score_power", 0.5, 2, "alpha: exponent of the class score in the alignment", 0.05)
    overlap_power: float = _own("overlap_power", 6.0, 12, "beta: exponent of the overlap in the alignment", 0.1)
    min_side: float = _own("min_side", 16.0, 64, "pixels: shorter sides of an object count as that long", 1)
    own_settings: tuple[Any, ...] = given(())  # of the model's loss: one, one for each level, or none
    uses_hyp: bool = given(True)  # whether its loss changes with Hyperparameters

    @property
    def own_names(self) -> tuple[str, ...]:
        """The settings that have a slider: numbers that may be changed."""
        return tuple(settings_with_sliders(self.own_settings))

    def first_value(self, name: str) -> float:
        """What the model's own settings say; the first level's where levels differ."""
        return float(settings_with_sliders(self.own_settings).get(name, 0.0))

    @property
    def changed_settings(self) -> dict[str, float]:
        """Those that the reader changed, by their names in the settings."""
        first = settings_with_sliders(self.own_settings)
        changed = {name: getattr(self, name) for name in first if getattr(self, name) != first[name]}
        return {RENAMED.get(name, name): value for name, value in changed.items()}

    @property
    def criterion_options(self) -> dict[str, Any]:
        """What ``criterion`` gets beside hyp and img_size: settings=, where one was changed."""
        changed = self.changed_settings
        if not changed:
            return {}
        levels = [replace(settings, **changed) for settings in self.own_settings]
        return {"settings": levels[0] if len(levels) == 1 else levels}


SLIDERS = tuple(field.name for field in fields(OwnSettingsState) if field.metadata["control"].group == GROUP)


def settings_with_sliders(levels: Sequence[Any]) -> dict[str, float]:
    """Name -> value of the first level's settings that are numbers, have a slider, and may be more than one value."""
    if not levels:
        return {}
    known = {field.name: field.metadata.get("description") for field in fields(levels[0])}
    free = {name for name, text in known.items() if text is None or text.low < text.high}
    left_out = ("alpha",) if "beta" in free else TASK_ALIGNED
    named = {name: RENAMED.get(name, name) for name in SLIDERS if name not in left_out}
    values = {name: getattr(levels[0], own) for name, own in named.items() if own in free}
    return {name: v for name, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def own_settings(model: Any, size: int, hyp: Hyperparameters | None = None) -> dict[str, Any]:
    """The fields of OwnSettingsState for a model: its settings, with a value for each slider."""
    loss = model.criterion(hyp or Hyperparameters(), size)
    found = getattr(loss, "settings", None)
    levels = tuple(found) if isinstance(found, list | tuple) else (found,)
    known = takes_option(model, "settings") and all(is_dataclass(each) for each in levels)
    levels = levels if known else ()
    return {"own_settings": levels} | settings_with_sliders(levels)


def takes_option(model: Any, name: str) -> bool:
    """Whether criterion takes an option of this name."""
    options = signature(model.criterion).parameters
    return name in options or any(option.kind is Parameter.VAR_KEYWORD for option in options.values())


def is_hyp_used(model: Any, maps: Sequence[Tensor], size: int) -> bool:
    """Whether the model's loss changes with Hyperparameters: tried on its maps with objects of four sizes."""
    first, second = (model.criterion(hyp, size) for hyp in (Hyperparameters(), OTHER))
    if type(first) is ComputeLoss:
        return True
    if not getattr(model, "reads_hyp", True):
        return False
    targets = torch.tensor([(image, 0, *box) for image in range(len(maps[0])) for box in PROBE])
    with torch.no_grad():
        try:
            one, other = (loss([raw.clone() for raw in maps], targets)[0] for loss in (first, second))
        except Exception:  # of whatever kind: the loss is the reader's, and is asked again with the real objects
            return True
    return not torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def settings_code(state: OwnSettingsState, size: int, options: str = "") -> str:
    """The lines that make the loss with these settings, after one that makes hyp."""
    changed = ", ".join(f"{name}={value:.10g}" for name, value in state.changed_settings.items())
    if not changed:
        return f"loss = model.criterion(hyp, img_size={size}{options})"
    each = f"replace(own, {changed})" if len(state.own_settings) == 1 else f"[replace(each, {changed}) for each in own]"
    return (
        "from dataclasses import replace\n"
        f"own = model.criterion(hyp, img_size={size}).settings\n"
        f"loss = model.criterion(hyp, img_size={size}, settings={each}{options})"
    )


def level_name(stride: float) -> str:
    """
    >>> level_name(8), level_name(100)
    ('stride 8 / P3', 'stride 100')
    """
    power = int(stride).bit_length() - 1
    return f"stride {stride:g} / P{power}" if stride == 2**power else f"stride {stride:g}"
