"""What upsampling cannot give back, and what a skip brings; how much of an object a cell sees."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from walkthrough.layers.effective import EffectiveField
from walkthrough.layers.record import LayerRecord


class Reach(NamedTuple):
    """How much a cell has to do with an object."""

    seen: float  # fraction of the object's area that lies in the cell's receptive field
    heard: float | None  # fraction of the cell's gradient that lies on the object; None where it was not measured


def reach(box: Sequence[float], field: tuple[int, int, int, int], effective: EffectiveField | None) -> Reach:
    """What a cell with this receptive field x1 y1 x2 y2 sees of an object x1 y1 x2 y2, in pixels.

    Pixels that the object covers in part count as its own.

    >>> import torch
    >>> reach((0, 0, 20, 10), (10, 0, 64, 64), EffectiveField(torch.ones(64, 64)))
    Reach(seen=0.5, heard=0.048828125)
    """
    sides = [(box[k], box[k + 2], field[k], field[k + 2]) for k in (0, 1)]
    seen = math.prod(_share(*side) for side in sides)
    if effective is None:
        return Reach(seen, None)
    gradient = effective.gradient.double()  # (H, W)
    x1, y1, x2, y2 = (max(side, 0) for side in box[:4])  # labels may reach over the border
    inside = gradient[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)].sum()
    return Reach(seen, float(inside / gradient.sum()) if gradient.any() else 0.0)


def _share(low: float, high: float, field_low: float, field_high: float) -> float:
    """How much of low to high lies within the field; of a mere point, whether it does."""
    if high <= low:
        return float(field_low <= low <= field_high)
    return max(min(high, field_high) - max(low, field_low), 0) / (high - low)


class Joined(NamedTuple):
    """An upsampled map and the map of the same grid put beside it. Maps are (H, W): mean ``|x|`` over channels."""

    coarse: int  # index of the layer before the upsampling
    up: int
    skip: int  # index of the layer that the skip comes from
    factor: int  # cells of the finer grid along a side of a coarse cell
    before: Tensor  # (H / factor, W / factor)
    after: Tensor
    fine: Tensor
    detail: Tensor  # mean |x - mean of its block| over channels: what no coarser grid can hold
    share_up: float  # of the variance, how much lies within the blocks: of the upsampled map
    share_fine: float  # of the map that the skip brings


def strength(maps: Tensor) -> Tensor:
    """(C, H, W) -> (H, W): mean of ``|x|`` over the channels."""
    return maps.abs().mean(0)


def within_blocks(maps: Tensor, factor: int) -> tuple[Tensor, float]:
    """What a map (C, H, W) holds beyond the means of its factor x factor blocks, and its fraction of the variance.

    A map that nearest-neighbour upsampling made is constant in each block:

    >>> import torch
    >>> coarse = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> detail, share = within_blocks(coarse.repeat_interleave(2, 1).repeat_interleave(2, 2), 2)
    >>> round(share, 6)
    0.0
    """
    means = functional.avg_pool2d(maps, factor)  # (C, H / factor, W / factor)
    detail = maps - means.repeat_interleave(factor, 1).repeat_interleave(factor, 2)  # (C, H, W)
    total = (maps - maps.mean((1, 2), keepdim=True)).square().sum()
    return detail, float(detail.square().sum() / total) if total > 0 else 0.0


def joined(records: Sequence[LayerRecord], index: int) -> Joined | None:
    """For an upsampling or the concatenation after it: what goes in and what the skip adds; None for other layers."""
    record = records[index]
    up: int | None = index
    after: LayerRecord | None = record
    if _factor(records, index):
        after = next((r for r in records[index + 1 :] if index in r.inputs and _skips(records, r, index)), None)
    else:
        up = next((source for source in record.inputs if _factor(records, source)), None)
    if after is None or up is None or not (skips := _skips(records, after, up)):
        return None
    factor, coarse = _factor(records, up), records[up].inputs[0]
    maps, fine = records[up].output[0], records[skips[0]].output[0]  # (C, H, W)
    detail, share = within_blocks(fine, factor)
    return Joined(
        coarse,
        up,
        skips[0],
        factor,
        strength(records[coarse].output[0]),
        strength(maps),
        strength(fine),
        strength(detail),
        within_blocks(maps, factor)[1],
        share,
    )


def _factor(records: Sequence[LayerRecord], index: int) -> int:
    """By how much a layer without parameters makes its one input finer; 0 where it does not upsample."""
    record = records[index] if index >= 0 else None
    if record is None or record.parameters or len(record.inputs) != 1 or record.inputs[0] < 0:
        return 0
    shapes = (*record.input_shapes, *record.output_shapes)
    if len(shapes) != 2 or any(len(shape) != 4 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        return 0
    (*_, rows_in, cols_in), (*_, rows, cols) = shapes
    factor = rows // rows_in
    return factor if factor > 1 and (rows, cols) == (rows_in * factor, cols_in * factor) else 0


def _skips(records: Sequence[LayerRecord], record: LayerRecord, up: int) -> list[int]:
    """The other inputs, of the same grid as the upsampled one."""
    grid = records[up].output_shape[2:]
    others = [source for source in record.inputs if source not in (up, -1)]
    return [source for source in others if len(s := records[source].output_shape) == 4 and s[2:] == grid]
