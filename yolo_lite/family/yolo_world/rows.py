"""The rows of a YOLO-World become layers: those that read texts get them as their last input.

Shape letters: D numbers of a text's embedding.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from yolo_lite.family.blocks.words import ContrastiveHead
from yolo_lite.family.yolo_world.head import WorldDetect
from yolo_lite.model.assembly import build_layers, replace_defaults, strides_of
from yolo_lite.model.rows import Multiples, Row, read_multiples, read_rows
from yolo_lite.model.spec import SpecError, whole_number

DETECT = "WorldDetect"
TEXT = -2  # the index by which rows name the texts of the vocabulary; -1 is the image
HEAD_WIDTH = 32  # channels of a head of attention: more heads than that allows are not made


class BuiltRows(NamedTuple):
    """Layers of a spec."""

    rows: list[Row]
    layers: nn.ModuleList
    strides: tuple[int, ...]
    text_channels: int  # D


def build_rows(spec: Mapping[str, Any], where: str) -> BuiltRows:
    """Layers of all rows; those that read texts get them as their last input."""
    rows = read_rows(spec, where, heads=(DETECT,))
    text_channels, norm = _read_detect(rows[-1])
    rows = _with_texts(rows, read_multiples(spec, where), text_channels)
    texts = torch.zeros(1, spec["nc"], text_channels, device="meta")
    modules, outputs = build_layers(rows[:-1], spec["ch"], {TEXT: texts})
    features = [cast(Tensor, outputs[source]) for source in rows[-1].inputs[:-1]]
    strides = strides_of(features, rows[-1])
    head = WorldDetect(text_channels, norm, [each.shape[1] for each in features], spec["reg_max"])
    _start_contrast(head, spec.get("contrast"), where)
    layers = nn.ModuleList([*modules, head])
    replace_defaults(layers, spec, where)
    return BuiltRows(rows, layers, strides, text_channels)


def _start_contrast(head: WorldDetect, start: Any, where: str) -> None:
    """Other start values of the contrast, for trainings of a few hundred steps: the published ones lie far off."""
    if start is None:
        return
    if not isinstance(start, list | tuple) or len(start) != 2 or not all(isinstance(x, int | float) for x in start):
        raise SpecError(f"{where}: contrast must be [logarithm of the factor, bias], not {start!r}")
    for contrast in head.cv4:
        nn.init.constant_(cast(ContrastiveHead, contrast).logit_scale, start[0])
        nn.init.constant_(cast(ContrastiveHead, contrast).bias, start[1])


def _read_detect(row: Row) -> tuple[int, bool]:
    """D, and whether the contrast has a BatchNorm: [nc, D, True], as files of YOLO-World have it."""
    if len(row.arguments) not in (2, 3) or not isinstance(row.arguments[-1], bool | int):
        raise SpecError(f"{row.where}: its arguments must be [nc, text channels, with BatchNorm], not {row.arguments}")
    norm = row.arguments[2] if len(row.arguments) == 3 else False
    return whole_number(row.arguments[1], f"{row.where}: the text channels"), bool(norm)


def _with_texts(rows: Sequence[Row], multiples: Multiples, text_channels: int) -> list[Row]:
    """The rows with what files leave out: the texts as an input, widths scaled, D as the last argument.

    Attention after an ImagePoolingAttn reads the texts that this has updated; the head reads the given ones.
    """
    found, texts = [], TEXT
    for row in rows:
        if row.kind == "C2fAttn":
            row = row._replace(arguments=(*_attention(row, multiples), text_channels))
            row = row._replace(inputs=(*row.inputs, texts), takes_list=True)
        elif row.kind in ("ImagePoolingAttn", DETECT):
            arguments = row.arguments if row.kind == DETECT else (*row.arguments, text_channels)
            row = row._replace(inputs=(*row.inputs, TEXT), arguments=arguments, takes_list=True)
            texts = row.index
        found.append(row)
    return found


def _attention(row: Row, multiples: Multiples) -> tuple[int, int, int]:
    """Channels, embedding channels, heads: a row has [channels, embedding channels, heads] before the width."""
    if len(row.arguments) != 3:
        raise SpecError(f"{row.where}: its arguments must be [channels, embedding channels, heads]")
    channels, embed, heads = row.arguments
    most = multiples.max_channels / 2
    scaled = -(-min(embed, most) * multiples.width // 8) * 8
    return channels, int(scaled), max(round(min(heads, most // HEAD_WIDTH) * multiples.width), 1)
