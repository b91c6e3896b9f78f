"""What a convolution reads, at one cell: a window, in every channel."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from walkthrough.graphs import LABEL, ground
from walkthrough.images import heat
from walkthrough.scene import Boxes, Key, Layer, Line, Panel, Picture, Scene, Text
from walkthrough.style import ORANGE

WIDTH, SIDE, GAP, TOP = 516, 96, 14, 26  # pixels of the drawing, of a map's height, between maps, above them


class _Maps(NamedTuple):
    """Maps under one another: what draws them, and where the window of each lies, x1 y1 x2 y2."""

    layers: list[Layer]
    windows: list[tuple[float, float, float, float]]


def show_convolution(weight: Any, x: Any, cell: tuple[int, int], channel: int = 0, title: str = "") -> Scene:
    """A convolution of stride 1 at one cell: the window in every input channel, and every output that it goes into.

    Every output channel reads every input channel. The lines of one output channel are solid, and its weights are
    drawn on them; the others' are thin.

    Args:
        weight: (c_out, c_in, k, k), k odd. x: (c_in, H, W), its input; the fewer cells, the better they are seen.
        cell: row and column. channel: of the output.
    Raises:
        ValueError: a weight that does not fit the input; a cell or a channel that is not there.

    >>> show_convolution(torch.ones(4, 3, 3, 3), torch.zeros(3, 8, 8), (2, 5))
    3x3 convolution, 3 to 4 channels: 27 numbers, 9 from each of 3 channels, make a number of channel 0
    """
    kernels, given = torch.as_tensor(weight).detach().float(), torch.as_tensor(x).detach().float()
    fits = kernels.dim() == 4 and given.dim() == 3 and kernels.shape[1] == len(given) and kernels.shape[-1] % 2
    if not fits:
        raise ValueError(
            f"a weight (c_out, c_in, k, k) with odd k and an input (c_in, H, W), not {tuple(kernels.shape)} and "
            f"{tuple(given.shape)}"
        )
    (many, c_in, size, _), (_, height, width), (row, col) = kernels.shape, given.shape, cell
    if not (0 <= row < height and 0 <= col < width and 0 <= channel < many):
        raise ValueError(f"cell {cell} of {height} x {width}, channel {channel} of {many}: no such place")
    made = functional.conv2d(given[None], kernels, padding=size // 2)[0]  # (c_out, H, W)
    high = TOP + max(c_in, many) * (SIDE + GAP)
    inputs = _stack(given, GAP, high, size, cell)
    outputs = _stack(made, WIDTH - GAP - SIDE * width / height, high, 1, cell)
    layers: list[Layer] = [ground(WIDTH, high), *inputs.layers, *outputs.layers]
    layers.append(Text(GAP, 6, f"{c_in} input channels", LABEL, size=12))
    layers.append(Text(WIDTH - GAP, 6, f"{many} output channels", LABEL, "right", 12))
    for out in (*(other for other in range(many) if other != channel), channel):  # the chosen one's lie on top
        wires = [_wire(window, outputs.windows[out]) for window in inputs.windows]
        thin = [Line(wire, LABEL, "dotted", 0.9) for wire in wires]
        layers += thin if out != channel else _weighted(kernels[channel], wires)
    total = c_in * size * size
    words = f"{size}x{size} convolution, {c_in} to {many} channels: {total} numbers, {size * size} from each of {c_in} "
    words += f"channels, make a number of channel {channel}"
    caption = f"{total} weights for each output channel, {total * many:,} in all"
    legend = (
        Key("a window, and the cell that it makes", "#FFFFFF", dash="solid"),
        Key("one output channel, and its weights", ORANGE, dash="solid"),
        Key("the other output channels", LABEL, dash="dotted"),
    )
    return Scene(((Panel(tuple(layers), WIDTH, high, title or f"{size} x {size}", caption),),), legend, words)


def _stack(maps: Tensor, left: float, height: float, size: int, cell: tuple[int, int]) -> _Maps:
    """(c, H, W) maps, in the middle of height, each with a window of size x size cells around the cell."""
    count, rows, columns = maps.shape
    side, (row, col) = SIDE / rows, cell
    start = TOP + (height - TOP - count * (SIDE + GAP)) / 2
    stack = _Maps([], [])
    for number, values in enumerate(maps):
        top = start + number * (SIDE + GAP)
        x, y = left + (col - size // 2) * side, top + (row - size // 2) * side
        window = (x, y, x + size * side, y + size * side)
        stack.layers.append(Picture(heat(values), (left, top, left + columns * side, top + SIDE)))
        stack.layers.append(Boxes((window,), colours=("#FFFFFF",)))
        stack.windows.append(window)
    return stack


def _wire(window: Sequence[float], cell: Sequence[float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """From the right side of a window to the left side of an output's cell."""
    return (window[2], (window[1] + window[3]) / 2), (cell[0], (cell[1] + cell[3]) / 2)


def _weighted(kernels: Tensor, wires: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> list[Layer]:
    """The wires of an output channel, each with its (k, k) weights as a small map; one scale of colours for all."""
    size = kernels.shape[-1]
    layers: list[Layer] = []
    colours = heat(kernels.reshape(-1, size)).reshape(-1, size, size, 3)
    x, half = WIDTH * 0.42, 10.0 + 5 * (size - 1)
    for pixels, (start, end) in zip(colours, wires, strict=True):
        slope = (end[1] - start[1]) / (end[0] - start[0])
        before, middle, after = ((at, start[1] + slope * (at - start[0])) for at in (x - half, x, x + half))
        square = (x - half, middle[1] - half, x + half, middle[1] + half)
        layers += [Line((start, before), ORANGE, width=2.0), Line((after, end), ORANGE, width=2.0)]
        layers += [Picture(pixels, square), Boxes((square,), colours=(ORANGE,), width=1.0)]
    return layers
