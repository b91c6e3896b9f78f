"""The rows of a spec, read and checked: each says what a layer reads, how often it repeats, its name and its arguments.

YOLOv5: ``parse_model``. Nothing in a row is ever evaluated.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from yolo_lite.model.registry import LayerKind, find_layer, is_own, known_layers, short_name
from yolo_lite.model.spec import SpecError, is_whole, read_activation

IMAGE = -1  # the input of the first layer
MAX_NUMBER = 1000  # of repetitions of one row; far above any network; checkpoints/own.py limits a file's sum
MAX_CHANNELS = 8192  # of one map
FAR = 10**9  # a number that is beyond every limit: larger ones are cut to it, as a float cannot hold all
PARTS = ("backbone", "head", "auxiliary")  # of a spec, lists of rows
COUNTS = ("kernel", "kernel_size", "stride", "dilation", "groups")  # names of arguments: whole numbers from 1 on
WORDS: Mapping[str, Any] = MappingProxyType({"None": None, "True": True, "False": False})


class Row(NamedTuple):
    """One row of a spec, with the multiples applied and every word replaced by what it stands for."""

    index: int  # type: ignore[assignment] # hides tuple.index, which is not of use for a row
    inputs: tuple[int, ...]  # indices of layers; IMAGE for the image
    takes_list: bool  # `from` was a list, so the layer gets a list of tensors
    number: int  # after the depth multiple
    kind: str  # the layer's name, without "nn."
    arguments: tuple[Any, ...]  # out_channels after the width multiple
    where: str  # for messages: "my.yaml: layer 12 (head row 2, Concat)"


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

    Some blocks, as RepNCSPELAN4, get the number of their inner blocks as an argument of that name; it counts too.

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
    number = _named(find_layer(name), arguments).get("number")
    return max(number, 1) if is_whole(number) else 1


def _named(kind: LayerKind | None, arguments: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a row by the names that the block has for them."""
    names = [] if kind is None else [*inspect.signature(kind.build).parameters][kind.takes != "none" :]
    if kind is not None and kind.repeats:
        names = names[:1] + names[2:]  # the second is the row's own number
    return dict(zip(names, arguments, strict=False))


def _read_row(row: Any, index: int, place: str, multiples: Multiples, heads: Sequence[str]) -> Row:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 4:
        raise SpecError(f"{place}): a row is [from, number, layer, arguments], not {row!r}")
    source, number, name, arguments = row
    where = f"{place}, {name})"
    if not isinstance(name, str) or (find_layer(name) is None and name not in heads):
        known = ", ".join(known_layers())
        raise SpecError(f"{where}: unknown layer {name!r}; known are {known}; add yours with register_layer")
    if not is_whole(number) or not 1 <= number <= MAX_NUMBER:
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
        _check_named(_named(kind, values), where)
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
    if not is_whole(source):
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
    if not values or not is_whole(values[0]) or values[0] < 1:
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


def _check_named(values: Mapping[str, Any], where: str) -> None:
    """Refuses what an argument of that name cannot be in any block: PyTorch's words would name no argument."""
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        if name in COUNTS and value is not None and not all(is_whole(each) and each >= 1 for each in several):
            raise SpecError(f"{where}: the argument {name} must be a whole number of 1 or more, not {value!r}")
        if name == "expansion":
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise SpecError(f"{where}: the argument expansion must be a number above 0, not {value!r}")
            if not 1 <= (hidden := int(values["out_channels"] * value)) <= MAX_CHANNELS:
                inside = f"{values['out_channels']} output channels times it are {hidden} inside the block"
                raise SpecError(f"{where}: the argument expansion is {value!r}: {inside}, not 1 to {MAX_CHANNELS}")


def _positive(spec: Mapping[str, Any], key: str, where: str) -> float:
    value = spec.get(key, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise SpecError(f"{where}: {key} must be a positive number, not {value!r}")
    return float(value)
