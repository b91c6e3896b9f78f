"""Every number a run can be tuned with, in one frozen dataclass; YAML in and out.

The defaults are YOLOv5's ``hyp.scratch-low``; reference values of the others: "med" lrf .1, cls .3, obj .7, scale .9,
mixup .1; "high" the same with copy_paste .1.
"""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
# Keys that official files may carry and that nothing computes with: read, then left out.
UNUSED_KEYS = ("anchors",)
LOSS_KEYS = ("box", "cls", "cls_pw", "obj", "obj_pw", "anchor_t", "fl_gamma", "label_smoothing")  # of YOLOv5's loss
# What the data are changed by; a finished dataset has decided them already.
AUGMENTATION_KEYS = (
    *("hsv_h", "hsv_s", "hsv_v", "degrees", "translate", "scale", "shear", "perspective", "flipud", "fliplr"),
    *("mosaic", "mixup", "copy_paste", "blur", "median_blur", "to_gray", "clahe", "brightness_contrast", "gamma"),
    *("jpeg", "random_resized_crop"),
)


class Description(NamedTuple):
    """What a setting is, and which values it may have."""

    text: str
    unit: str = ""
    low: float = 0.0
    high: float = math.inf

    def __str__(self) -> str:
        return f"{self.text}, in {self.unit}" if self.unit else self.text


def described(default: T, text: str, unit: str = "", low: float = 0.0, high: float = math.inf) -> T:
    """A field of a dataclass with its default, and its ``Description`` in the field's metadata."""
    metadata = {"description": Description(text, unit, low, high)}
    return dataclasses.field(default=default, metadata=metadata)


def probability(default: float, text: str) -> float:
    """A field between 0 and 1."""
    return described(default, text, high=1.0)


def descriptions(settings: "type[DataclassInstance]") -> dict[str, Description]:
    """Field -> description, for those fields of a dataclass that have one, such as all of ``Hyperparameters``.

    >>> descriptions(Hyperparameters)["lrf"].text
    'final learning rate, as a fraction of lr0'
    """
    fields = dataclasses.fields(settings)
    return {field.name: field.metadata["description"] for field in fields if "description" in field.metadata}


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The settings of optimiser, loss and augmentation. Frozen: change one with ``hyp.replace(box=0.1)``.

    Each field has the name of YOLOv5's key in its ``hyp.*.yaml`` files and options; the photometric ones have no key
    there (YOLOv5 leaves them to Albumentations).

    Raises:
        ValueError: a value that is not a finite number, or outside its range, with its name and the range.

    >>> Hyperparameters(anchor_t=3).replace(box=0.1).box
    0.1
    """

    # Optimiser and schedule
    lr0: float = described(0.01, "initial learning rate, after the warm-up")
    lrf: float = described(0.01, "final learning rate, as a fraction of lr0")
    momentum: float = described(0.937, "momentum of SGD; beta1 of Adam and AdamW")
    weight_decay: float = described(5e-4, "how strongly weights are drawn to 0; not biases, not norms")
    warmup_epochs: float = described(3.0, "length of the warm-up", unit="epochs")
    warmup_momentum: float = described(0.8, "momentum at the start of the warm-up: first steps go less far")
    warmup_bias_lr: float = described(0.1, "learning rate of the biases at the start of the warm-up")
    # Loss
    box: float = described(0.05, "gain of the box loss")
    cls: float = described(0.5, "gain of the class loss")
    cls_pw: float = described(1.0, "weight of the positives in the BCE of the classes (pos_weight)")
    obj: float = described(1.0, "gain of the objectness loss")
    obj_pw: float = described(1.0, "weight of the positives in the BCE of the objectness (pos_weight)")
    iou_t: float = described(0.20, "IoU threshold of training; stands in every official file, and nothing uses it")
    anchor_t: float = described(
        4.0, "threshold of matching: the largest ratio between the sides of an object and of its anchor", low=1.0
    )
    fl_gamma: float = described(0.0, "gamma of the focal loss; 0: plain BCE")
    label_smoothing: float = described(0.0, "label smoothing of the class targets", high=1.0)
    # Colour
    hsv_h: float = described(0.015, "largest change of the hue, as a fraction", high=1.0)
    hsv_s: float = described(0.7, "largest change of the saturation, as a fraction")
    hsv_v: float = described(0.4, "largest change of the value (brightness), as a fraction")
    # Geometry
    degrees: float = described(0.0, "largest rotation, either way", unit="degrees")
    translate: float = described(0.1, "largest translation, either way, as a fraction of the image's side")
    scale: float = described(0.5, "largest change of the scale: a factor between 1 - scale and 1 + scale")
    shear: float = described(0.0, "largest shear, either way", unit="degrees")
    perspective: float = described(0.0, "largest perspective, either way: 0 to 0.001")
    flipud: float = probability(0.0, "probability of a flip upside down")
    fliplr: float = probability(0.5, "probability of a flip left to right")
    # Mixing
    mosaic: float = probability(1.0, "probability of a mosaic of four images")
    mixup: float = probability(0.0, "probability of a mixup of two mosaics")
    copy_paste: float = described(
        0.0, "fraction of the objects with polygons that are copied, flipped and pasted", high=1.0
    )
    # Photometric
    blur: float = probability(0.01, "probability of a blur")
    median_blur: float = probability(0.01, "probability of a median blur")
    to_gray: float = probability(0.01, "probability of a grey image")
    clahe: float = probability(0.01, "probability of a histogram equalised by CLAHE")
    brightness_contrast: float = probability(0.0, "probability of a change of brightness and contrast")
    gamma: float = probability(0.0, "probability of a gamma correction")
    jpeg: float = probability(0.0, "probability of JPEG compression")
    random_resized_crop: float = probability(0.0, "probability of a crop of 80 to 100 % of the area")

    def __post_init__(self) -> None:
        for name, description in descriptions(Hyperparameters).items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), description))

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
        per_level = 3 / levels
        return self.replace(
            box=self.box * per_level,
            cls=self.cls * num_classes / 80 * per_level,
            obj=self.obj * (img_size / 640) ** 2 * per_level,
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
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such file of hyperparameters") from None
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not valid YAML: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path}: expected lines of `name: number`, found {type(values).__name__}")
        return cls.from_dict(values, where=str(path))

    def to_yaml(self, path: str | Path) -> None:
        """Writes every value, in the order of the fields."""
        Path(path).write_text(yaml.safe_dump(dataclasses.asdict(self), sort_keys=False), encoding="utf-8")


def _checked(name: str, value: Any, description: Description) -> float:
    try:  # YAML 1.1 reads 1e-3, without a dot, as text
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None
    low, high = description.low, description.high
    if not (math.isfinite(number) and low <= number <= high):
        span = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or larger, and finite"
        raise ValueError(f"{name} must be {span}, not {value!r}")
    return number
