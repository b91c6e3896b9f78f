"""Layer records as a table."""

from collections.abc import Iterator, Sequence

from walkthrough.charts import show_table
from walkthrough.layers.fields import ReceptiveField
from walkthrough.layers.record import LayerRecord, Shape
from walkthrough.scene import Scene

COLUMNS = ("layer", "from", "module", "output", "parameters", "MFLOPs", "sees", "time")


def show_layers(records: Sequence[LayerRecord], inside: bool = False, title: str = "") -> Scene:
    """What record_layers found, a row for each layer; with inside, a row for each module in it too, moved in.

    >>> from torch import nn, zeros
    >>> from walkthrough import record_layers
    >>> show_layers(record_layers(nn.Sequential(nn.Conv2d(3, 8, 3)), zeros(1, 3, 8, 8)))  # doctest: +ELLIPSIS
    layer  from   module  output     parameters  MFLOPs  sees   time
    -----  -----  ------  ---------  ----------  ------  -----  ...
        0  image  Conv2d  8 x 6 x 6         224     0.0  3 x 3  ... ms
    """
    rows = [row for record in records for row in _rows(record, inside, 0)]
    return show_table(COLUMNS, rows, title)


def _rows(record: LayerRecord, inside: bool, depth: int) -> Iterator[tuple[str, ...]]:
    yield (
        "\u00a0" * 4 * depth + str(record.index),
        came_from(record),
        record.kind if depth == 0 else f"{record.name.split('.', 2)[-1]} {record.kind}",
        "  ".join(map(shape_in_words, record.output_shapes)),
        f"{record.parameters:,}",
        f"{record.flops / 1e6:,.1f}",
        "  ".join(dict.fromkeys(map(field_in_words, record.receptive_fields))),
        f"{record.seconds * 1e3:.2f} ms",
    )
    for module in record.inside if inside else ():
        yield from _rows(module, inside, depth + 1)


def came_from(record: LayerRecord) -> str:
    """The sources of a layer: their numbers, or the image."""
    return ", ".join("image" if source == -1 else str(source) for source in record.inputs)


def shape_in_words(shape: Shape) -> str:
    """A shape without its first dimension, the number of images.

    >>> shape_in_words((1, 64, 80, 80))
    '64 x 80 x 80'
    """
    return " x ".join(map(str, shape[1:])) or "1"


def field_in_words(field: ReceptiveField) -> str:
    """The size of a receptive field in pixels."""
    if field.because:
        return "unknown"
    height, width = field.size
    return "whole image" if height is None and width is None else f"{_side(height)} x {_side(width)}"


def _side(pixels: int | None) -> str:
    return "all" if pixels is None else str(pixels)
