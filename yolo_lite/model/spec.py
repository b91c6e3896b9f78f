"""Specs: the descriptions of networks, found by name or file, and their words, numbers and names, read and checked.

Their rows: ``rows.py``. Nothing in a spec is ever evaluated.
"""

import difflib
import numbers
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch
import yaml
from torch import Tensor, nn

from yolo_lite._moved import moved_name
from yolo_lite.model.families import NAMED

MAX_ANCHORS = 1000  # of a level; far above any network
KEYS = (  # of a YAML file or a dict
    *("nc", "ch", "names", "anchors", "depth_multiple", "width_multiple", "max_channels", "scales", "scale"),
    *("activation", "backbone", "head", "auxiliary", "family", "name", "settings", "reg_max", "words"),
)
SPECS = Path(__file__).parent / "specs"
SCALES: Mapping[str, tuple[float, float]] = MappingProxyType(  # depth multiple, width multiple
    {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
)
ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        cls.__name__: cls
        for cls in (nn.SiLU, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish, nn.Mish, nn.GELU, nn.ELU, nn.Identity)
    }
)


class SpecError(ValueError):
    """A description of a network that cannot be built; says which row, and what is wrong with it."""


class Shipped(NamedTuple):
    """A network that is bundled with the library."""

    file: str
    depth: float
    width: float


MODELS: Mapping[str, Shipped] = MappingProxyType(
    {f"yolov5{letter}": Shipped("yolov5", *scale) for letter, scale in SCALES.items()}
    | {f"yolov5{letter}6": Shipped("yolov5-p6", *scale) for letter, scale in SCALES.items()}
    | {f"yolov5{letter}-p2": Shipped("yolov5-p2", *scale) for letter, scale in SCALES.items()}
    | {name: Shipped(name, 1.0, 1.0) for name in ("yolov5-p2", "yolov5-p6", "yolov3", "yolov3-spp", "yolov3-tiny")}
)


def read_spec(source: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A shipped name, the path of a YAML file or of a Darknet .cfg, or a dict -> the spec as a dict, and what to call
    it in messages.

    A generation beside YOLOv5 has a "family" in its spec. YOLOv5: ``yolov5n.yaml`` and others.

    Where a file has ``scales`` and no ``scale``, the letter after the version in the file's name chooses, as users of
    such files expect: "yolov8s-mine.yaml" is scale s, "yolo11m.yaml" m. Without such a letter it is the first scale.

    Raises:
        FileNotFoundError: a path without a file. SpecError: an unknown name; a folder; text that is not YAML; not a
            mapping.
    """
    if isinstance(source, Mapping):
        _require_known_keys(source, "spec")
        return dict(source), "spec"
    if not isinstance(source, str | os.PathLike):
        hint = "; a Backbone gives one: backbone.spec(num_classes)" if hasattr(source, "spec") else ""
        raise SpecError(f"a network is made from a name, a path or a spec, not from a {type(source).__name__}{hint}")
    name = str(source)
    if name in MODELS:
        file, depth, width = MODELS[name]
        spec, _ = read_spec(SPECS / f"{file}.yaml")
        return {**spec, "depth_multiple": depth, "width_multiple": width}, name
    if name in NAMED:
        return dict(NAMED[name]), name
    path = Path(source)
    if path.suffix not in (".yaml", ".yml", ".cfg"):
        hint = "; use load() to read a checkpoint" if path.suffix in (".pt", ".safetensors", ".weights") else ""
        near = " or ".join(_near(name))
        raise SpecError(f"unknown model {name!r}: not {near}, and not the path of a .yaml or .cfg file{hint}")
    if path.is_dir():
        raise SpecError(f"{path}: a folder, not a {path.suffix} file")
    if not path.exists():
        bundled = [other for other in (path.stem, f"darknet-{path.stem}") if other in {*MODELS, *NAMED}]
        hint = f"; {bundled[0]!r}, without the suffix, is a bundled model" if bundled else ""
        raise FileNotFoundError(f"{path}: no such file{hint}")
    if path.suffix == ".cfg":
        return {"family": "darknet", "cfg": path.read_text(encoding="utf-8", errors="replace")}, str(path)
    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(spec, dict):
        raise SpecError(f"{path}: expected the keys nc, anchors, backbone and head, found {type(spec).__name__}")
    _require_known_keys(spec, str(path))
    return _with_scale(spec, path.stem), str(path)


def _require_known_keys(spec: Mapping[str, Any], where: str) -> None:
    """Raises SpecError for a key that is nearly one of the known ones; others are their writer's own.

    >>> _require_known_keys({"width_multiple": 0.5, "task": "detect"}, "mine.yaml")
    """
    elsewhere = {} if "family" in spec else {"channels": "ch"}  # as a data.yaml and create_model call it
    meant = {name: name for name in KEYS} | elsewhere
    for key in spec:
        near = [] if key in KEYS else difflib.get_close_matches(str(key).lower(), meant, n=1, cutoff=0.85)
        if near:
            raise SpecError(f"{where}: unknown key {key!r}: is {meant[near[0]]} meant? Rename it, or leave it out")


def _with_scale(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """The spec with the ``scale`` that a file's name says, if it has ``scales`` and says nothing itself.

    >>> _with_scale({"scales": {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]}}, "yolov8s-mine")["scale"]
    's'
    """
    match, scales = re.match(r"yolov?\d+([a-z])", name), spec.get("scales")
    if match is None or spec.get("scale") or not isinstance(scales, Mapping) or match[1] not in scales:
        return spec
    return {**spec, "scale": match[1]}


def _near(name: str) -> Sequence[str]:
    """Bundled models that may be meant: the Darknet of that name first."""
    if name.lower() in {*MODELS, *NAMED}:
        return [name.lower()]
    darknet = [f"darknet-{name.lower()}"] if f"darknet-{name.lower()}" in NAMED else []
    others = difflib.get_close_matches(name.lower(), [*MODELS, *NAMED], n=3)
    return [*darknet, *(other for other in others if other not in darknet)] or [*MODELS]


def with_family(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec, with a "family" where its rows are those of another generation than YOLOv5: its head says.

    Files of YOLOv8 and later have a Detect without anchors, ``Detect, [nc]``. With other arguments, ``scales`` and no
    anchors at all, it is that family's, too, whose builder says what is wrong.

    >>> with_family({"backbone": [], "head": [[[-1], 1, "Detect", ["nc"]]]})["family"]
    'yolov8'
    """
    rows = spec.get("head")
    last = rows[-1] if isinstance(rows, list) and rows else None
    if "family" in spec or not isinstance(last, list) or len(last) != 4 or not isinstance(last[3], list):
        return dict(spec)
    family = "yolo-world" if last[2] == "WorldDetect" else None
    if last[2] == "Detect" and "anchors" not in spec and "anchors" not in last[3]:
        family = "yolov8" if len(last[3]) == 1 or "scales" in spec else None
    return dict(spec) if family is None else {"family": family, **spec}


def read_activation(text: Any, where: str = "spec") -> nn.Module:
    """``"nn.LeakyReLU(0.1)"`` -> the module, by a table.

    >>> read_activation("nn.LeakyReLU(0.1)"), read_activation("ReLU")
    (LeakyReLU(negative_slope=0.1), ReLU())
    """
    match = re.fullmatch(r"(?:torch\.)?(?:nn\.)?(\w+)(?:\(([^()]*)\))?", str(text).strip())
    if match is None or match[1] not in ACTIVATIONS:
        raise SpecError(f"{where}: unknown activation {text!r}; known are {', '.join(ACTIVATIONS)}")
    numbers = [part.strip() for part in (match[2] or "").split(",")]
    try:  # `inplace=True` changes no result
        return ACTIVATIONS[match[1]](*(float(part) for part in numbers if part and not part.startswith("inplace")))
    except (TypeError, ValueError):
        raise SpecError(f"{where}: activation {text!r}: its arguments must be numbers") from None


def read_anchors(anchors: Any, strides: Sequence[int], where: str = "anchors") -> Tensor:
    """Anchors as a spec or a caller gives them -> (L, A, 2) float32 pixels.

    Args:
        anchors: (L, A, 2), or (L, 2 A) as YAML files write them, in the order of ``strides``; or a number A, for
            anchors of the area (4 strides)^2 with aspect ratios from 1:2 to 2:1, a start to be fitted to the data.
    Raises:
        SpecError: another number of levels, another shape, a size that is not positive.

    >>> read_anchors(3, [8]).round()
    tensor([[[23., 45.],
             [32., 32.],
             [45., 23.]]])
    """
    levels = len(strides)
    if is_whole(anchors):
        if not 1 <= anchors <= MAX_ANCHORS:
            raise SpecError(f"{where}: the number of anchors per level must be 1 or more, not {anchors}")
        powers = [index / (anchors - 1) - 0.5 if anchors > 1 else 0.0 for index in range(anchors)]
        anchors = [[(4 * stride * 2**power, 4 * stride / 2**power) for power in powers] for stride in strides]
    try:
        values = torch.as_tensor(anchors, dtype=torch.float32, device="cpu").detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise SpecError(f"{where}: anchors must be numbers, as many in each level, not {anchors!r}") from None
    if values.dim() == 2 and values.shape[1] % 2 == 0:
        values = values.unflatten(1, (-1, 2))  # (L, 2 A) -> (L, A, 2)
    if values.dim() != 3 or values.shape[-1] != 2 or values.numel() == 0:
        raise SpecError(f"{where}: anchors must have the shape (levels, anchors, 2), not {tuple(values.shape)}")
    if len(values) != levels:
        raise SpecError(f"{where}: {len(values)} levels of anchors, but Detect has {levels} (strides {list(strides)})")
    if not (values.isfinite() & (values > 0)).all():
        raise SpecError(f"{where}: anchor sizes must be positive, found {values.min().item():g}")
    return values


def in_stride_order(anchors: Tensor, strides: Sequence[int]) -> Tensor:
    """Small anchors to small strides: the levels of (L, A, 2) anchors reversed where their order is the other one."""
    areas = anchors.prod(-1).mean(-1)  # (L,)
    disagree = (areas[-1] - areas[0]) * (strides[-1] - strides[0]) < 0
    return anchors.flip(0) if disagree else anchors


def read_names(names: Sequence[str] | Mapping[int, str] | None, num_classes: int) -> tuple[str, ...]:
    """A list, or a dict {index: name} -> one name per class; None -> class0, class1 ...

    >>> read_names({1: "cat", 0: "dog"}, 2)
    ('dog', 'cat')
    """
    if names is None:
        return tuple(f"class{index}" for index in range(num_classes))
    if isinstance(names, str):
        raise SpecError(f"names must be a list of names, not the text {names!r}")
    if isinstance(names, Mapping):
        if sorted(names) != list(range(len(names))):
            raise SpecError(f"names must be numbered from 0 to {len(names) - 1}, not {', '.join(map(str, names))}")
        names = [names[index] for index in range(len(names))]
    if len(names) != num_classes:
        raise SpecError(f"{len(names)} names for {num_classes} classes: give one name per class")
    return tuple(str(name) for name in names)


def whole_number(value: Any, what: str) -> int:
    """The value, if it is a whole number of 1 or more."""
    if not is_whole(value) or value < 1:
        raise SpecError(f"{what} must be a whole number of 1 or more, not {value!r}")
    return int(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, of Python's or NumPy's; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
