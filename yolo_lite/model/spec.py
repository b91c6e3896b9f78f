"""Specs: the YAML rows that describe a network, read and checked. Nothing in them is ever evaluated."""

import difflib
import inspect
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

import torch
import yaml
from torch import Tensor, nn

from yolo_lite.model.families import NAMED
from yolo_lite.model.registry import find_layer, is_own, known_layers, short_name

IMAGE = -1  # the input of the first layer
MAX_NUMBER = 1000  # of repetitions of one row; far above any network; checkpoints/own.py limits a file's sum
MAX_CHANNELS = 8192  # of one map
FAR = 10**9  # a number that is beyond every limit: larger ones are cut to it, as a float cannot hold all
PARTS = ("backbone", "head", "auxiliary")  # of a spec, lists of rows
SPECS = Path(__file__).parent / "specs"
SCALES: Mapping[str, tuple[float, float]] = MappingProxyType(  # depth multiple, width multiple
    {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
)
WORDS: Mapping[str, Any] = MappingProxyType({"None": None, "True": True, "False": False})
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


class Row(NamedTuple):
    """One row of a spec, with the multiples applied and every word replaced by what it stands for."""

    index: int  # type: ignore[assignment] # hides tuple.index, which is not of use for a row
    inputs: tuple[int, ...]  # indices of layers; IMAGE for the image
    takes_list: bool  # `from` was a list, so the layer gets a list of tensors
    number: int  # after the depth multiple
    kind: str  # the layer's name, without "nn."
    arguments: tuple[Any, ...]  # out_channels after the width multiple
    where: str  # for messages: "my.yaml: layer 12 (head row 2, Concat)"


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
        return dict(source), "spec"
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
    return _with_scale(spec, path.stem), str(path)


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
    darknet = [f"darknet-{name.lower()}"] if f"darknet-{name.lower()}" in NAMED else []
    others = difflib.get_close_matches(name.lower(), [*MODELS, *NAMED], n=3)
    return [*darknet, *(other for other in others if other not in darknet)] or [*MODELS]


def with_family(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec, with a "family" where its rows are those of another generation than YOLOv5: its head tells.

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


class Multiples(NamedTuple):
    """What multiplies the numbers of a spec's rows."""

    depth: float
    width: float
    max_channels: float  # before the width multiple

    def channels(self, number: int) -> int:
        """ceil(min(number, max_channels) * width / 8) * 8"""
        return math.ceil(min(number, self.max_channels, FAR) * min(self.width, FAR) / 8) * 8

    def repeats(self, number: int) -> int:
        """A number above 1 times the depth, rounded, and at least 1."""
        return max(round(min(number, FAR) * min(self.depth, FAR)), 1) if number > 1 else 1


def read_multiples(spec: Mapping[str, Any], where: str = "spec") -> Multiples:
    """``depth_multiple``, ``width_multiple`` and ``max_channels``, or the row of ``scales`` that ``scale`` names.

    Without ``scale``, the first row of ``scales``.

    >>> read_multiples({"scales": {"n": [0.33, 0.25, 1024], "m": [0.67, 0.75, 768]}, "scale": "m"})
    Multiples(depth=0.67, width=0.75, max_channels=768.0)
    """
    scales = spec.get("scales")
    if scales is not None:
        if not isinstance(scales, Mapping) or not scales:
            raise SpecError(f"{where}: scales must be {{name: [depth, width, max_channels]}}, not {scales!r}")
        scale = spec.get("scale") or next(iter(scales))
        if scale not in scales:
            raise SpecError(f"{where}: no scale {scale!r}: choose one of {', '.join(map(str, scales))}")
        values = scales[scale]
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (2, 3):
            raise SpecError(f"{where}: scale {scale!r} must be [depth, width, max_channels], not {values!r}")
        spec = dict(zip(("depth_multiple", "width_multiple", "max_channels"), values, strict=False))
    return Multiples(
        _positive(spec, "depth_multiple", where),
        _positive(spec, "width_multiple", where),
        _positive(spec, "max_channels", where) if "max_channels" in spec else math.inf,
    )


def read_rows(
    spec: Mapping[str, Any],
    where: str = "spec",
    heads: Sequence[str] = ("Detect",),
    parts: Sequence[str] = ("backbone", "head"),
) -> list[Row]:
    """Every row of backbone and head, checked. YOLOv5: ``parse_model``.

    Args:
        heads: what the last row may be, and no other. parts: of the spec; beyond the head, each ends with one as well.
    Raises:
        SpecError: a row that is not four long, an unknown layer, a `from` that does not point at an earlier layer,
            a number out of range; or a network whose last and only Detect is not its last row.
    """
    multiples = read_multiples(spec, where)
    rows: list[Row] = []
    ends: list[int] = []
    for part in parts:
        part_rows = spec.get(part)
        if not isinstance(part_rows, Sequence) or isinstance(part_rows, str):
            raise SpecError(f"{where}: needs a list of rows under `{part}`, found {part_rows!r}")
        for position, row in enumerate(part_rows):
            place = f"{where}: layer {len(rows)} ({part} row {position}"
            rows.append(_read_row(row, len(rows), place, multiples, heads))
        if part != "backbone":
            ends.append(len(rows) - 1)
    detects = [row.index for row in rows if row.kind in heads]
    if not rows or detects != ends:
        raise SpecError(
            f"{where}: the last row, and no other, must be {' or '.join(heads)}; it is in {detects or 'no row'}"
        )
    return rows


def count_blocks(spec: Mapping[str, Any], where: str = "spec") -> int:
    """How many blocks the rows of all parts ask for, of any generation; nothing is built, and no row is checked.

    Some blocks, as RepNCSPELAN4, are told the number of their inner blocks in an argument of that name; it counts too.

    >>> count_blocks({"backbone": [[-1, 3, "C3", [64]], [-1, 1, "RepNCSPELAN4", [64, 64, 32, 2]]], "head": []})
    5
    """
    multiples, total = read_multiples(spec, where), 0
    for part in PARTS:
        rows = spec.get(part)
        for row in rows if isinstance(rows, Sequence) else ():
            match row:
                case [_, int(number), str(name), [*arguments]]:
                    total += multiples.repeats(number) * _inner_number(name, arguments)
    return total


def _inner_number(name: str, arguments: Sequence[Any]) -> int:
    """What a row says for the argument "number" of a block that is not repeated by its row."""
    kind = find_layer(name)
    if kind is None or kind.repeats:
        return 1
    known = [*inspect.signature(kind.build).parameters]
    place = known.index("number") - (kind.takes != "none") if "number" in known else len(arguments)
    return max(arguments[place], 1) if place < len(arguments) and _is_int(arguments[place]) else 1


def _read_row(row: Any, index: int, place: str, multiples: Multiples, heads: Sequence[str]) -> Row:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 4:
        raise SpecError(f"{place}): a row is [from, number, layer, arguments], not {row!r}")
    source, number, name, arguments = row
    where = f"{place}, {name})"
    if not isinstance(name, str) or (find_layer(name) is None and name not in heads):
        known = ", ".join(known_layers())
        raise SpecError(f"{where}: unknown layer {name!r}; known are {known}; add yours with register_layer")
    if not _is_int(number) or not 1 <= number <= MAX_NUMBER:
        raise SpecError(f"{where}: number must be a whole number from 1 to {MAX_NUMBER}, not {number!r}")
    repeats = multiples.repeats(number)
    if repeats > MAX_NUMBER:
        raise SpecError(f"{where}: {number} times depth_multiple {multiples.depth:g} is more than {MAX_NUMBER}")
    if not isinstance(arguments, Sequence) or isinstance(arguments, str):
        raise SpecError(f"{where}: arguments must be a list, not {arguments!r}")
    values = [_value(argument, where) for argument in arguments]
    kind = find_layer(name)
    if kind is not None and kind.takes == "in_out":
        values[:1] = [_scaled_width(values, multiples, where)]
    if name not in heads and not is_own(name):
        _check_sizes(values, where)
    if (inner := _inner_number(name, values)) * repeats > MAX_NUMBER:
        raise SpecError(f"{where}: {repeats} times {inner} inner blocks are more than {MAX_NUMBER}")
    listed = isinstance(source, Sequence) and not isinstance(source, str)
    inputs = tuple(_input(entry, index, where) for entry in (source if listed else [source]))
    if not inputs:
        raise SpecError(f"{where}: `from` is empty")
    return Row(index, inputs, listed or name in heads, repeats, short_name(name), tuple(values), where)


def _input(source: Any, index: int, where: str) -> int:
    """`from` -> the index of a layer: negative counts back from this row, others count from the first; or "image"."""
    if source == "image":
        return IMAGE
    if not _is_int(source):
        raise SpecError(f"{where}: `from` must be whole numbers, not {source!r}")
    layer = index + source if source < 0 else source
    if index == 0 and source == -1:
        return IMAGE
    if index == 0:
        raise SpecError(f"{where}: `from` {source}: no layer comes before the first, which reads the image: write -1")
    if not 0 <= layer < index:
        raise SpecError(f"{where}: `from` {source} points at layer {layer}, but only 0 to {index - 1} come before it")
    return layer


def _value(argument: Any, where: str) -> Any:
    """A word of a row -> what it stands for. Other texts ("nearest") are left as they are."""
    if isinstance(argument, list | tuple):
        return [_value(entry, where) for entry in argument]
    if isinstance(argument, str) and argument.startswith(("nn.", "torch.nn.")):
        return read_activation(argument, where)
    return WORDS.get(argument, argument) if isinstance(argument, str) else argument


def _scaled_width(values: Sequence[Any], multiples: Multiples, where: str) -> int:
    """The number of output channels, after the width multiple."""
    if not values or not _is_int(values[0]) or values[0] < 1:
        first = repr(values[0]) if values else "missing"
        raise SpecError(f"{where}: the first argument is the number of output channels, a whole number, not {first}")
    channels = multiples.channels(values[0])
    if channels > MAX_CHANNELS:
        times = f" times width_multiple {multiples.width:g}" if multiples.width != 1 else ""
        raise SpecError(f"{where}: {values[0]} output channels{times} are more than {MAX_CHANNELS}")
    return channels


def _check_sizes(values: Sequence[Any], where: str) -> None:
    """Refuses numbers that no layer can have, such as channels inside a block, before memory is asked for."""
    for value in values:
        if isinstance(value, list):
            _check_sizes(value, where)
        elif isinstance(value, int | float) and not value <= MAX_CHANNELS:
            raise SpecError(
                f"{where}: the argument {value!r} must be at most {MAX_CHANNELS}, the most channels of a map"
            )


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
    if _is_int(anchors):
        if not 1 <= anchors <= MAX_NUMBER:
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


def _positive(spec: Mapping[str, Any], key: str, where: str) -> float:
    value = spec.get(key, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise SpecError(f"{where}: {key} must be a positive number, not {value!r}")
    return float(value)


def whole_number(value: Any, what: str) -> int:
    """The value, if it is a whole number of 1 or more."""
    if not _is_int(value) or value < 1:
        raise SpecError(f"{what} must be a whole number of 1 or more, not {value!r}")
    return int(value)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
