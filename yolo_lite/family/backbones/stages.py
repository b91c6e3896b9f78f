"""A backbone's rows: stem, stages, pooling; what a stage's block is in a row."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

STEMS = ("6x6", "Focus", "3x3")
POOLINGS = ("SPPF", "SPP", "none")
# Block -> what groups of its 3x3 convolutions must divide is the channels over this number.
BLOCKS: Mapping[str, int] = MappingProxyType({"residual": 2, "C3": 2, "C2f": 2, "ELAN": 4, "RepConv": 1})


class Stage(NamedTuple):
    """One stage: a step to fewer cells, then its blocks. Numbers are those that are built, after the multiples."""

    block: str
    channels: int
    repeats: int
    step: int  # the stride of this stage over that of the one before
    stride: int  # pixels per cell of its output
    groups: int  # of the 3x3 convolutions in its blocks


class Tap(NamedTuple):
    """A map that the neck reads."""

    layer: int  # the index of the one that gives it
    channels: int
    stride: int


class RowList:
    """Rows of a spec, collected one after another.

    >>> rows = RowList()
    >>> rows.add("Conv", [16, 3, 2]), rows.add("Conv", [32, 3, 2]), rows.add("Concat", [1], [0, 1])
    (0, 1, 2)
    >>> rows.rows[2]
    [[0, -1], 1, 'Concat', [1]]
    """

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def add(self, layer: str, arguments: Sequence[Any], source: int | Sequence[int] = -1, number: int = 1) -> int:
        """Appends a row and gives its index.

        Args:
            source: index of the layer that it reads, or several; -1 for the one before.
        """
        last = len(self.rows) - 1

        def written(index: int) -> int:
            return -1 if index == last else index  # as people write it

        sources = written(source) if isinstance(source, int) else [written(each) for each in source]
        self.rows.append([sources, number, layer, list(arguments)])
        return last + 1

    def add_block(
        self, block: str, channels: int, repeats: int, groups: int = 1, shortcut: bool = True, source: int = -1
    ) -> int:
        """Appends the row of a stage's blocks. An ELAN has a pair of 3x3 convolutions for each repeat."""
        if block == "ELAN":
            grouped = [groups] if groups > 1 else []
            pairs = [channels, None, None, 2 * repeats, 2]
            return self.add("EELAN" if grouped else "ELAN", pairs + grouped, source)
        if block == "RepConv":
            return self.add("RepConv", [channels, 3, 1, None, groups, 1, True, shortcut], source, repeats)
        layer = "Bottleneck" if block == "residual" else block
        return self.add(layer, [channels, shortcut, groups], source, repeats)


def add_stem(rows: RowList, stem: str, channels: int) -> None:
    """Pixels become the first map, of stride 2."""
    if stem == "6x6":
        rows.add("Conv", [channels, 6, 2, 2])
    elif stem == "Focus":
        rows.add("Focus", [channels, 3])
    else:
        rows.add("Conv", [channels, 3, 2])
        rows.add("Conv", [channels, 3, 1])


def add_stage(rows: RowList, stage: Stage, in_channels: int, depthwise: bool) -> int:
    """A step of kernel 2 * step - 1, so that no cell is skipped, then the blocks."""
    kernel = 2 * stage.step - 1
    if stage.step > 1 and depthwise:
        rows.add("DWConv", [in_channels, kernel, stage.step])
        rows.add("Conv", [stage.channels, 1, 1])
    elif stage.step > 1 or stage.channels != in_channels:
        rows.add("Conv", [stage.channels, kernel, stage.step])
    return rows.add_block(stage.block, stage.channels, stage.repeats, stage.groups)


def add_pooling(rows: RowList, pooling: str, channels: int) -> int:
    """Each place sees what is around it, in windows of 5, 9 and 13 cells. Without pooling, no row."""
    if pooling == "none":
        return len(rows.rows) - 1
    return rows.add(pooling, [channels, 5] if pooling == "SPPF" else [channels, [5, 9, 13]])
