"""Rows of a spec become modules: each is tried on the outputs of those before it, which gives its input channels.

Shape letters: N batch, C channels, H rows, W columns.
"""

import copy
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from yolo_lite.model.norms import read_norm, replace_norms
from yolo_lite.model.registry import LayerKind, find_layer
from yolo_lite.model.rows import IMAGE, Row
from yolo_lite.model.spec import SpecError, read_activation

TRACE_SIZE = 256  # pixels; a stride is this over the size of a level's grid, so no stride may be larger
MAX_WORDS = 1000  # characters of another library's message; a tampered file may make it any length

Output = Tensor | list[Tensor]


def build_layers(
    rows: Sequence[Row], channels: int, given: Mapping[int, Tensor] | None = None
) -> tuple[list[nn.Module], dict[int, Output]]:
    """The module of every row but those of heads, and what each gives for one image of TRACE_SIZE pixels.

    Args:
        rows: all before a head. channels: of the image.
        given: outputs on the meta device of what is not a layer, by the index that rows name it with, beside the image.
    """
    image = torch.zeros(1, channels, TRACE_SIZE, TRACE_SIZE, device="meta")
    outputs: dict[int, Output] = {IMAGE: image, **(given or {})}
    layers = []
    for row in rows:
        inputs = [outputs[source] for source in row.inputs]
        layer = _build(row, [_channels(feature) for feature in inputs])
        outputs[row.index] = _traced(layer, inputs, row)
        layers.append(layer)
    return layers, outputs


class Body(NamedTuple):
    """The layers of a network, without its heads."""

    modules: dict[int, nn.Module]  # by the index of their rows; whoever makes the heads adds them
    heads: dict[int, list[int]]  # rows of heads, and the channels of the maps that each reads
    strides: tuple[int, ...]  # of these maps, the same for every head


def build_body(rows: Sequence[Row], channels: int, head: str = "Detect") -> Body:
    """The modules of all rows but those of heads: the main one, and maybe one of a branch that only training has.

    Args:
        channels: of the image. head: the kind of these rows.
    Raises:
        SpecError: a row that cannot be built or reads the maps of a head; heads with maps of different strides.
    """
    heads = [row for row in rows if row.kind == head]
    indices = [row.index for row in heads]
    for row in rows:
        if any(source in indices for source in row.inputs):
            raise SpecError(f"{row.where}: reads the maps of a {head}, which no layer can use: name a layer before it")
    body = [row for row in rows if row.kind != head]
    modules, outputs = build_layers(body, channels)
    read = [[cast(Tensor, outputs[source]) for source in row.inputs] for row in heads]
    strides = [strides_of(features, row) for features, row in zip(read, heads, strict=True)]
    if strides[-1] != strides[0]:
        found = f"its maps have the strides {list(strides[-1])}, the main ones {list(strides[0])}"
        raise SpecError(f"{heads[-1].where}: {found}: both need the same")
    widths = [[feature.shape[1] for feature in features] for features in read]
    by_row = dict(zip([row.index for row in body], modules, strict=True))
    return Body(by_row, dict(zip(indices, widths, strict=True)), strides[0])


def _channels(feature: Output) -> Any:
    return [each.shape[1] for each in feature] if isinstance(feature, list) else feature.shape[1]


def _build(row: Row, in_channels: list[Any]) -> nn.Module:
    """The module of one row: one instance, or as many as the row repeats in a Sequential."""
    kind = cast(LayerKind, find_layer(row.kind))  # read_rows has checked the name
    channels = in_channels if len(in_channels) > 1 else in_channels[0]
    several = [source for source, each in zip(row.inputs, in_channels, strict=True) if isinstance(each, list)]
    if several and kind.takes != "none":
        raise SpecError(f"{row.where}: reads layer {several[0]}, which gives several maps: only CBFuse reads those")
    try:
        if kind.takes == "none":
            modules = [kind.build(*row.arguments) for _ in range(row.number)]
        elif kind.takes == "in":
            modules = [kind.build(channels, *row.arguments) for _ in range(row.number)]
        elif kind.repeats:
            modules = [kind.build(channels, row.arguments[0], row.number, *row.arguments[1:])]
        else:  # the second and later are fed by the first
            starts = [channels] + [row.arguments[0]] * (row.number - 1)
            modules = [kind.build(start, *row.arguments) for start in starts]
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        what = f"cannot be built with the arguments ({_arguments(row)})"
        if kind.takes == "in" and "multiple values" in str(error):
            what += ", as its channels are those of its input: leave them out"
        raise SpecError(f"{row.where}: {what}: {_short(error)}") from error
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _traced(layer: nn.Module, inputs: list[Output], row: Row) -> Output:
    """The layer's output for inputs on the meta device: shapes without numbers, and nothing learnt from them."""
    probe = copy.deepcopy(layer).to("meta").eval()
    try:
        with torch.no_grad():
            output = probe(inputs if row.takes_list else inputs[0])
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, NotImplementedError) as error:
        shapes = ", ".join(str(tuple(feature.shape)) for each in inputs for feature in _as_list(each))
        what = f"fails with the arguments ({_arguments(row)}) on inputs of the shapes {shapes}"
        raise SpecError(f"{row.where}: {what}: {_short(error)}") from error
    if not all(isinstance(each, Tensor) for each in _as_list(output)) or _as_list(output)[-1].dim() not in (3, 4):
        raise SpecError(f"{row.where}: must return a tensor of shape (N, C, H, W), or a list of them")
    return cast(Output, output)


def _arguments(row: Row) -> str:
    return ", ".join(map(str, row.arguments))


def _short(error: Exception) -> str:
    """The first line, whole: in those that follow, PyTorch lists all signatures of a function called wrongly."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], MAX_WORDS, placeholder=" ...")


def _as_list(output: Any) -> list[Any]:
    return output if isinstance(output, list) else [output]


def strides_of(features: Sequence[Tensor], row: Row) -> tuple[int, ...]:
    """Pixels per cell of the maps that a head reads."""
    return tuple(_stride(feature, row) for feature in features)


def _stride(feature: Tensor, row: Row) -> int:
    if not isinstance(feature, Tensor) or feature.dim() != 4:
        raise SpecError(f"{row.where}: reads maps of shape (N, C, H, W), and no lists")
    rows, cols = feature.shape[2:]
    if rows == 0 or TRACE_SIZE % rows or rows != cols:
        grid = f"an image of {TRACE_SIZE} pixels gives a grid of {rows} x {cols}"
        raise SpecError(f"{row.where}: {grid}, so its stride is not a whole number")
    return TRACE_SIZE // rows


def replace_activations(layers: nn.Module, activation: nn.Module) -> None:
    """Another activation wherever a block has the default one."""
    for module in layers.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = copy.deepcopy(activation)


def replace_defaults(layers: nn.Module, spec: Mapping[str, Any], where: str = "spec") -> None:
    """The ``activation`` and the ``norm`` that a spec asks for, in place of SiLU and BatchNorm.

    Raises:
        SpecError: a word that is not known.
    """
    if "activation" in spec:
        replace_activations(layers, read_activation(spec["activation"], where))
    if "norm" in spec:
        replace_norms(layers, read_norm(spec["norm"], where))
