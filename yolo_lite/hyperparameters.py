"""Every number a run can be tuned with, in one frozen dataclass; YAML in and out.

The defaults are YOLOv5's ``hyp.scratch-low``; reference values of the others: "med" lrf .1, cls .3, obj .7, scale .9,
mixup .1; "high" the same with copy_paste .1.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# Keys that official files may carry and that nothing computes with: read, then left out.
UNUSED_KEYS = ("anchors",)
# Chances and shares: these lie in [0, 1], the others only have to be positive.
SHARES = frozenset(
    {
        "label_smoothing", "hsv_h", "flipud", "fliplr", "mosaic", "mixup", "copy_paste", "blur", "median_blur",
        "to_gray", "clahe", "brightness_contrast", "gamma", "jpeg", "random_resized_crop",
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The settings of optimiser, loss and augmentation. Frozen: change one with ``hyp.replace(box=0.1)``.

    Raises:
        ValueError: a value that is no finite number, or outside its range, with its name and the range.

    >>> Hyperparameters(anchor_t=3).replace(box=0.1).box
    0.1
    """

    # Optimiser and schedule
    lr0: float = 0.01  # rate after warm-up
    lrf: float = 0.01  # last rate, as a share of lr0
    momentum: float = 0.937  # SGD momentum; beta1 of Adam
    weight_decay: float = 5e-4
    warmup_epochs: float = 3.0
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.1  # the biases start here and come down
    # Loss
    box: float = 0.05  # gain of the box loss
    cls: float = 0.5  # gain of the class loss
    cls_pw: float = 1.0  # weight of positives in the class BCE
    obj: float = 1.0  # gain of the objectness loss
    obj_pw: float = 1.0  # weight of positives in the objectness BCE
    iou_t: float = 0.20  # in every official file, used by nothing
    anchor_t: float = 4.0  # an anchor matches an object up to this many times larger or smaller
    fl_gamma: float = 0.0  # focal loss gamma; 0 = plain BCE
    label_smoothing: float = 0.0
    # Colour
    hsv_h: float = 0.015  # largest change of hue, saturation, value, as a share
    hsv_s: float = 0.7
    hsv_v: float = 0.4
    # Geometry
    degrees: float = 0.0  # rotation, +- degrees
    translate: float = 0.1  # shift, +- share of the side
    scale: float = 0.5  # zoom, 1 +- share
    shear: float = 0.0  # +- degrees
    perspective: float = 0.0  # +- share, 0 to 0.001
    flipud: float = 0.0  # probabilities from here on
    fliplr: float = 0.5
    # Mixing
    mosaic: float = 1.0
    mixup: float = 0.0
    copy_paste: float = 0.0  # share of the polygons that are pasted
    # Photometric
    blur: float = 0.01
    median_blur: float = 0.01
    to_gray: float = 0.01
    clahe: float = 0.01
    brightness_contrast: float = 0.0
    gamma: float = 0.0
    jpeg: float = 0.0
    random_resized_crop: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))

    def replace(self, **changes: float) -> "Hyperparameters":
        """A copy with some values changed; an unknown name is an error that lists its neighbours."""
        return Hyperparameters.from_dict(dataclasses.asdict(self) | changes)

    def scaled(self, levels: int, num_classes: int, img_size: int) -> "Hyperparameters":
        """A copy with the three loss gains fitted to a model: the only place in the library that scales them.

        box * 3/levels, cls * (num_classes/80) * 3/levels, obj * (img_size/640)^2 * 3/levels: the defaults were
        found with 3 levels, 80 classes and 640 pixels.

        >>> Hyperparameters().scaled(levels=3, num_classes=80, img_size=320).obj
        0.25
        """
        share = 3 / levels
        return self.replace(
            box=self.box * share,
            cls=self.cls * num_classes / 80 * share,
            obj=self.obj * (img_size / 640) ** 2 * share,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "hyperparameters") -> "Hyperparameters":
        """From names and numbers; what is not named keeps its default."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known and name not in UNUSED_KEYS:
                near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}?" if near else f"the known ones are {', '.join(known)}"
                raise ValueError(f"{where}: unknown hyperparameter {name!r}; {hint}")
        try:
            return cls(**{name: value for name, value in values.items() if name in known})
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    @classmethod
    def of(cls, given: "Hyperparameters | Mapping[str, Any] | str | Path | None") -> "Hyperparameters":
        """From what a user gives: these, a dict of some of them, a YAML file's path; None = the defaults.

        >>> Hyperparameters.of({"box": 0.1}).box
        0.1
        """
        if isinstance(given, Hyperparameters):
            return given
        if given is None or isinstance(given, Mapping):
            return cls.from_dict(given or {})
        if isinstance(given, str | Path):
            return cls.from_yaml(given)
        raise ValueError(
            f"hyp must be Hyperparameters, a dict of names and numbers, or the path of a YAML file, "
            f"not {type(given).__name__}"
        )

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Hyperparameters":
        """From a YAML file of ``name: number`` lines, an official ``hyp.*.yaml`` for example."""
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not valid YAML: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path}: expected lines of `name: number`, found {type(values).__name__}")
        return cls.from_dict(values, where=str(path))

    def to_yaml(self, path: str | Path) -> None:
        """Writes every value, in the order of the fields."""
        Path(path).write_text(yaml.safe_dump(dataclasses.asdict(self), sort_keys=False), encoding="utf-8")


def _checked(name: str, value: Any) -> float:
    try:  # YAML 1.1 reads 1e-3, without a dot, as text
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None
    low = 1.0 if name == "anchor_t" else 0.0
    high = 1.0 if name in SHARES else math.inf
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, not {value!r}")
    return number
