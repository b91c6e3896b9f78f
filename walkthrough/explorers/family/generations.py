"""The detectors that FamilyExplorer compares: small networks of each generation, and the reader's own."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from walkthrough.explorers.detector import check_maps, checked_detector
from walkthrough.explorers.pictures import Annotated, images_of, taking
from walkthrough.gradients import maps_of
from walkthrough.gradients.numbers import RawNumbers, raw_numbers
from yolo_lite.family.building import narrower
from yolo_lite.family.darknet.network import CFG
from yolo_lite.family.yolov8.network import named_spec
from yolo_lite.model.spec import read_spec
from yolo_lite.model.yolo import create_model

SIZE = 224  # pixels: YOLOv1's 7 x 7 grid at stride 32
KEPT = 16  # passes of a model over a picture that stay in memory
SMALL_ANCHORS = [[5, 7, 9, 16, 18, 12], [16, 33, 33, 24, 32, 64], [62, 48, 84, 107, 201, 176]]  # for SIZE


def _darknet(name: str) -> Callable[[int], dict[str, Any]]:
    return lambda size: {"family": "darknet", "cfg": _text_of(name)}


def _text_of(name: str) -> str:
    return (CFG / "small" / f"{name}.cfg").read_text(encoding="utf-8")


def _yolov1(size: int) -> dict[str, Any]:
    text = _text_of("yolov1")
    side = size // 32
    outputs = side * side * (2 * 5 + 6)
    for old, new in (("=224", f"={size}"), ("side=7", f"side={side}"), ("output=784", f"output={outputs}")):
        text = text.replace(old, new)
    return {"family": "darknet", "cfg": text}


def _yolov5(size: int) -> dict[str, Any]:
    return read_spec("yolov5n")[0] | {"width_multiple": 0.12, "anchors": SMALL_ANCHORS}


def _yolov7(size: int) -> dict[str, Any]:
    return {"family": "yolov7", "width": 0.09, "anchors": SMALL_ANCHORS}


def _yolov8(name: str, width: float) -> Callable[[int], dict[str, Any]]:
    def spec(size: int) -> dict[str, Any]:
        rows = {key: value for key, value in named_spec(name).items() if key not in ("scales", "scale")}
        return rows | {"family": "yolov8", "depth_multiple": 0.33, "width_multiple": width}

    return spec


def _yolov9(size: int) -> dict[str, Any]:
    spec = named_spec("yolov9t")
    rows = {part: [narrower(row, 0.4) for row in spec[part]] for part in ("backbone", "head")}
    return {"family": "yolov8", **rows}


# What the choice calls a generation -> the spec of a network with fewer than half a million parameters, for a size
GENERATIONS: Mapping[str, Callable[[int], dict[str, Any]]] = MappingProxyType(
    {
        "YOLOv1": _yolov1,
        "YOLOv2": _darknet("yolov2"),
        "YOLOv3": _darknet("yolov3"),
        "YOLOv4": _darknet("yolov4"),
        "YOLOv5": _yolov5,
        "SSD": lambda size: {"family": "ssd", "backbone": "vgg16_bn", "width": 0.12, "size": size, "levels": 4},
        "RetinaNet": lambda size: {"family": "retinanet", "backbone": "resnet18", "width": 0.125, "channels": 32},
        "FCOS": lambda size: {"family": "fcos", "backbone": "resnet18", "width": 0.125, "channels": 32},
        "YOLOv7": _yolov7,
        "YOLOv8": _yolov8("yolov8n", 0.0625),
        "YOLOv9": _yolov9,
        "YOLO11": _yolov8("yolo11n", 0.0625),
        "YOLO-World": lambda size: {"family": "yolo-world", "name": "yolo-world"},
    }
)


def small_model(generation: str, num_classes: int = 6, size: int = SIZE) -> Any:
    """A small untrained network of a generation, in evaluation mode; the same weights each time.

    Raises:
        ValueError: a generation that is not known, or a size that its network cannot have.

    >>> sum(parameter.numel() for parameter in small_model("YOLOv2").parameters())
    57167
    """
    if generation not in GENERATIONS:
        raise ValueError(f"{generation!r} is not one of the generations {', '.join(GENERATIONS)}")
    if size % 32:
        raise ValueError(f"the small networks take pictures whose side is a multiple of 32, not {size}")
    model: Any = create_model(GENERATIONS[generation](size), num_classes=num_classes)
    return model.eval()


class Passed(NamedTuple):
    """What a model gave for a picture."""

    maps: tuple[Tensor, ...]
    decoded: Tensor  # (n, 5 + C)


class Detectors:
    """The reader's detectors and the small ones, made when first asked for; passes over pictures are kept."""

    def __init__(self, models: Mapping[str, Any], num_classes: int, size: int) -> None:
        self.size, self.num_classes, self.given = size, num_classes, tuple(models)
        self.names = (*models, *(name for name in GENERATIONS if name not in models))
        self._models = dict(models)
        self._passes: OrderedDict[tuple[str, int], tuple[Any, Passed]] = OrderedDict()
        self._numbers: dict[str, list[RawNumbers] | None] = {}

    def model(self, name: str) -> Any:
        """The detector of that name."""
        if name not in self._models:
            self._models[name] = small_model(name, self.num_classes, self.size)
        return self._models[name]

    def passed(self, name: str, picture: Annotated) -> Passed:
        """Its maps for a picture, and the boxes that they say."""
        key = (name, id(picture.pixels))  # the pixels are kept along, so that the number stays their own
        if key not in self._passes:
            model = self.model(name)
            with taking(picture):
                maps = maps_of(model, images_of((picture,), model))
                check_maps(model, maps)
                decoded = model.decode(maps)[0].float().cpu()
            self._passes[key] = (picture.pixels, Passed(tuple(maps), decoded))
            if len(self._passes) > KEPT:
                self._passes.popitem(last=False)
        return self._passes[key][1]

    def numbers(self, name: str, maps: Sequence[Tensor], cells: Tensor) -> list[RawNumbers] | None:
        """Which raw numbers belong to which prediction; looked for once."""
        if name not in self._numbers:
            self._numbers[name] = raw_numbers(self.model(name).decode, maps, cells)
        return self._numbers[name]


def named_models(models: Any) -> dict[str, Any]:
    """models= as {name: detector}: a mapping, a list, or one; each a detector, or the name or path of weights.

    Raises:
        ValueError: one that is not a detector, or whose loss does not say what it asks of each prediction.
    """
    if models is None:
        return {}
    if isinstance(models, Mapping):
        listed = {str(name): model for name, model in models.items()}
    else:
        each = list(models) if isinstance(models, list | tuple) else [models]
        listed = {_name(model, index): model for index, model in enumerate(each)}
    return {name: checked_detector(model) for name, model in listed.items()}


def _name(model: Any, index: int) -> str:
    kind = Path(model).stem if isinstance(model, str | Path) else type(model).__name__
    return f"{index} {kind}"
