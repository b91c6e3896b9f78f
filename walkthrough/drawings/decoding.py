"""A decoded box, drawn on its cell with the letters of the papers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from walkthrough.graphs import ground
from walkthrough.images import faded, to_rgb
from walkthrough.scene import Arrows, Boxes, Cells, Grid, Key, Layer, Panel, Picture, Points, Scene, Text, table_of
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.coding import decode_matches


def show_decoding(
    raw: Any, cell: tuple[int, int], anchor_wh: Sequence[float], stride: float, image: Any = None
) -> Scene:
    """How four raw numbers become a box, with the letters of the papers, at true scale.

    c_x, c_y: the cell's corner. p_w, p_h: the anchor, or prior. b_x ... b_h: the box. YOLOv5's formula.

    Args:
        raw: (4) or more raw numbers of a prediction. cell: row and column. anchor_wh: in pixels.
        stride: pixels per cell. image: the network's input, to be drawn below.
    Raises:
        ValueError: fewer than four numbers, or a stride or an anchor that is not positive.

    >>> show_decoding(torch.zeros(85), (14, 11), (116, 90), 32)
    row 14, column 11 of stride 32: a box of 116 x 90 px around (368, 464), from an anchor of 116 x 90 px
    """
    numbers, anchor = torch.as_tensor(raw).detach().float().ravel()[:4], torch.tensor([*map(float, anchor_wh)])
    if len(numbers) < 4 or stride <= 0 or anchor.shape != (2,) or not (anchor > 0).all():
        raise ValueError(
            f"a box is decoded from 4 raw numbers, a positive stride and an anchor's width and height, not from "
            f"{len(numbers)} numbers, stride {stride} and {anchor.tolist()}"
        )
    row, col = cell
    corner = torch.tensor([col, row]) * stride  # (2,) x, y
    x, y, w, h = decode_matches(numbers[None], anchor[None] / stride)[0].tolist()  # cells, from the corner
    (left, top), centre = corner.tolist(), ((col + x) * stride, (row + y) * stride)
    box = table_of(xywh_to_xyxy(torch.tensor([[*centre, w * stride, h * stride]])), 4, "boxes")
    prior = table_of(xywh_to_xyxy(torch.cat((corner + stride / 2, anchor))[None]), 4, "boxes")
    reach = (left - stride / 2, top - stride / 2, left + 1.5 * stride, top + 1.5 * stride)
    below: tuple[Layer, ...] = () if image is None else (Picture(faded(to_rgb(image))),)
    near = _Window(left - 0.9 * stride, top - 0.9 * stride, left + 1.9 * stride, top + 1.9 * stride)
    edges = [*box, *prior, reach]
    far = _Window(*(min(edge[k] for edge in edges) - stride for k in (0, 1)),
                  *(max(edge[k] for edge in edges) + stride for k in (2, 3)))  # fmt: skip
    marks = (Cells(((row, col),), stride, "own", opacity=0.3), Points((centre,), "prediction", "o", 9))
    step, line = 0.06 * stride, 0.16 * stride
    beside, side = (-1.5 * step, "right") if x > 0.5 else (1.5 * step, "left")  # of the arrow that goes down
    way = (
        Boxes((reach,), (), (), ("own",), "dotted", 2.0),
        Arrows(((left, top, centre[0], top), (centre[0], top, *centre)), "#FFFFFF", 2.0),
        Points(((left, top),), "own", "s", 9),
        Text(left + step, top - 2 * line, f"corner (c_x, c_y) = ({col}, {row})", size=12),
        Text(left + step, top - line, f"right by 2σ(t_x) - 0.5 = {x:.2f}", size=12),
        Text(centre[0] + beside, top + 0.5 * step, "down by 2σ(t_y)", anchor=side, size=12),
        Text(centre[0] + beside, top + 0.5 * step + line, f"- 0.5 = {y:.2f}", anchor=side, size=12),
        Text(left - stride / 2 + step, top - stride / 2 + step, "as far as any t reaches", "own", size=11),
    )
    sizes = (
        Boxes(prior, (f"p_w = {anchor[0]:g}, p_h = {anchor[1]:g}",), (), ("anchor",), "dashed"),
        Boxes(box, (f"b_w = {w * stride:.0f}, b_h = {h * stride:.0f}",), (), ("prediction",)),
    )
    panels = (
        near.panel((*below, *marks, *way), stride, "the centre, in cells", f"b_x = {stride:g} ({col} + {x:.2f}) = "
                   f"{centre[0]:.0f}, b_y = {stride:g} ({row} + {y:.2f}) = {centre[1]:.0f}"),
        far.panel((*below, *marks, *sizes), stride, "the size, in anchors", f"b_w = p_w (2σ(t_w))² = {anchor[0]:g} x "
                  f"{w * stride / anchor[0]:.2f}, b_h = {anchor[1]:g} x {h * stride / anchor[1]:.2f}"),
    )  # fmt: skip
    legend = (
        Key("the cell", "own"),
        Key("where its centres may lie", "own", dash="dotted"),
        Key("the anchor, or prior", "anchor", dash="dashed"),
        Key("the box", "prediction", dash="solid"),
    )
    words = f"row {row}, column {col} of stride {stride:g}: a box of {w * stride:.0f} x {h * stride:.0f} px around "
    words += f"({centre[0]:.0f}, {centre[1]:.0f}), from an anchor of {anchor[0]:g} x {anchor[1]:g} px"
    return Scene((panels,), legend, words)


class _Window(NamedTuple):
    """A part of the picture, x1 y1 x2 y2 in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def panel(self, layers: tuple[Layer, ...], stride: float, title: str, caption: str) -> Panel:
        """These layers seen through the window, over a ground, with the lines of the grid."""
        width, height = self.right - self.left, self.bottom - self.top
        lines = Grid(stride, max(self.right, stride), max(self.bottom, stride), opacity=0.3)
        every = (ground(width, height, self.left, self.top), *layers[:-1], lines, layers[-1])
        return Panel(every, width, height, title, caption, self.left, self.top)
