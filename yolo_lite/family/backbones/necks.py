"""A neck's rows: FPN, PAN and BiFPN mix the maps of a backbone's taps.

Maps of fine levels know where things are, those of coarse levels what they are; a neck gives both to each.
Taps and the indices that functions give stand from fine to coarse.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from yolo_lite.family.backbones.stages import RowList, Tap

NECKS = ("FPN", "PAN", "BiFPN")


class Neck(NamedTuple):
    """Which neck, and of what."""

    kind: str
    block: str  # at each level of FPN and PAN
    repeats: int  # of that block; of a whole BiFPN
    channels: int  # of a BiFPN


def add_neck(rows: RowList, neck: Neck, taps: Sequence[Tap], top: int) -> list[int]:
    """The neck's rows; gives the index of each level's output.

    Args:
        top: the layer from which the way down to finer levels starts: the last tap, or what was pooled of it.
    """
    if neck.kind == "BiFPN":
        return _add_bifpn(rows, neck, taps, top)
    reduced, outputs = _add_top_down(rows, neck, taps, top)
    if neck.kind == "FPN" or len(taps) == 1:
        last = taps[-1]
        return [*outputs, rows.add_block(neck.block, last.channels, neck.repeats, 1, False, last.layer)]
    if top != taps[-1].layer:
        reduced[-1] = taps[-1].layer
    return _add_bottom_up(rows, neck, taps, reduced, outputs)


def _add_top_down(rows: RowList, neck: Neck, taps: Sequence[Tap], top: int) -> tuple[list[int], list[int]]:
    """From coarse to fine (FPN, Lin et al. 2016, arXiv 1612.03144), joined where the paper adds.

    Returns:
        The 1x1 convolutions on all levels but the finest, and the outputs of all levels but the coarsest.
    """
    reduced: list[int] = []
    outputs: list[int] = []
    source = top
    for coarse, fine in zip(taps[:0:-1], taps[-2::-1], strict=True):
        reduced.append(rows.add("Conv", [fine.channels, 1, 1], source))
        up = rows.add("nn.Upsample", [None, coarse.stride // fine.stride, "nearest"])
        rows.add("Concat", [1], [up, fine.layer])
        source = rows.add_block(neck.block, fine.channels, neck.repeats, shortcut=False)
        outputs.append(source)
    return reduced[::-1], outputs[::-1]


def _add_bottom_up(
    rows: RowList, neck: Neck, taps: Sequence[Tap], reduced: Sequence[int], outputs: Sequence[int]
) -> list[int]:
    """And back from fine to coarse (PAN, Liu et al. 2018, arXiv 1803.01534)."""
    found = [outputs[0]]
    for fine, coarse, beside in zip(taps, taps[1:], reduced, strict=False):
        step = coarse.stride // fine.stride
        down = rows.add("Conv", [fine.channels, 2 * step - 1, step], found[-1])
        rows.add("Concat", [1], [down, beside])
        found.append(rows.add_block(neck.block, coarse.channels, neck.repeats, shortcut=False))
    return found


def _add_bifpn(rows: RowList, neck: Neck, taps: Sequence[Tap], top: int) -> list[int]:
    """Down and up again with weighted sums, several times (EfficientDet, Tan et al. 2019, arXiv 1911.09070)."""
    maps = [rows.add("Conv", [neck.channels, 1, 1], tap.layer) for tap in taps]
    start = maps[-1] if top == taps[-1].layer else rows.add("Conv", [neck.channels, 1, 1], top)
    if len(taps) == 1:
        return maps
    steps = [coarse.stride // fine.stride for fine, coarse in pairwise(taps)]
    for _ in range(neck.repeats):
        maps = _add_bifpn_layer(rows, neck.channels, steps, maps, start)
        start = maps[-1]
    return maps


def _add_bifpn_layer(rows: RowList, channels: int, steps: Sequence[int], maps: Sequence[int], start: int) -> list[int]:
    """Each level reads its input, the level above on the way down, and the level below on the way up."""

    def fused(*sources: int) -> int:
        rows.add("WeightedFusion", [], sources)
        rows.add("DWConv", [channels, 3, 1])
        return rows.add("Conv", [channels, 1, 1])

    going_down = [start]  # from coarse to fine
    for step, source in zip(steps[::-1], maps[-2::-1], strict=True):
        going_down.append(fused(source, rows.add("nn.Upsample", [None, step, "nearest"], going_down[-1])))
    going_down.reverse()
    found = [going_down[0]]
    for step, source, between in zip(steps, maps[1:], going_down[1:], strict=True):
        down = rows.add("nn.MaxPool2d", [2 * step - 1, step, step - 1], found[-1])
        found.append(fused(*dict.fromkeys((source, between, down))))  # the coarsest has no map between
    return found
