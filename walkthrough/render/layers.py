"""The layers of a Panel, drawn on matplotlib axes whose units are the panel's pixels."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Affine2D

from walkthrough.render.text import Look, Rect, font, place_label, shortened, width_of
from walkthrough.scene import Arrows, Boxes, Cells, Grid, Layer, Line, Panel, Picture, Points, Text
from walkthrough.style import colour, readable_on

MOST_LABELS = 15  # of a picture
REST = "#333333"  # the ground of the words about the others
PX = 0.72  # points per CSS pixel
DASH = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.5)), "dashdot": (0, (5, 2, 1, 2))}


def halo(width: float, paint: str) -> list | None:
    """A dark rim, so that a line is seen on any photograph; none of a faint one, which it would be stronger than."""
    return (
        None
        if len(paint) > len("#RRGGBB")
        else [Stroke(linewidth=(width + 1.8) * PX, foreground="#00000099"), Normal()]
    )


def draw_panel(axes: Axes, panel: Panel, scale: float) -> None:
    """All layers; scale: CSS pixels on the page per pixel of the panel."""
    axes.set_xlim(panel.left, panel.left + panel.width)
    axes.set_ylim(panel.top + panel.height, panel.top)
    axes.set_axis_off()
    for layer in panel.layers:
        draw_layer(axes, layer, scale)
    draw_labels(axes, panel, scale)


def draw_layer(axes: Axes, layer: Layer, scale: float) -> None:
    """One layer, without the labels of its boxes."""
    match layer:
        case Picture():
            x1, y1, x2, y2 = layer.extent or (0, 0, layer.pixels.shape[1], layer.pixels.shape[0])
            enlarged = (x2 - x1) * scale > 1.5 * layer.pixels.shape[1]
            how = "nearest" if enlarged else "antialiased"
            axes.imshow(layer.pixels, extent=(x1, x2, y2, y1), interpolation=how, aspect="auto", zorder=1)
        case Boxes():
            _draw_boxes(axes, layer)
        case Cells():
            _draw_cells(axes, layer)
        case Grid():
            _draw_grid(axes, layer, scale)
        case Line():
            xs, ys = zip(*(layer.points + layer.points[:1] if layer.closed else layer.points), strict=True)
            style: Look = {"color": colour(layer.colour), "linestyle": DASH[layer.dash], "linewidth": layer.width * PX}
            axes.plot(xs, ys, path_effects=halo(layer.width, colour(layer.colour)), zorder=4, **style)
        case Points():
            xs, ys = zip(*layer.xy, strict=True) if layer.xy else ((), ())
            look: Look = {"marker": layer.marker, "s": (layer.size * PX) ** 2, "color": colour(layer.colour)}
            axes.scatter(xs, ys, edgecolors="#000000AA", linewidths=0.6, zorder=5, **look)
        case Arrows():
            for x1, y1, x2, y2 in layer.ends:
                style = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
                paint = colour(layer.colour)
                look = {"color": paint, "linewidth": layer.width * PX, "path_effects": halo(layer.width, paint)}
                axes.add_patch(FancyArrowPatch((x1, y1), (x2, y2), zorder=5, **style, **look))
        case Text():
            rim = [Stroke(linewidth=1.6, foreground="#000000B0"), Normal()]
            style = {"color": colour(layer.colour), "fontproperties": font(layer.size), "parse_math": False}
            place: Look = {"ha": layer.anchor, "va": "top", "clip_on": True, "zorder": 6, "path_effects": rim}
            axes.text(layer.x, layer.y, layer.text, **style, **place)


def _draw_boxes(axes: Axes, layer: Boxes) -> None:
    for index, (x1, y1, x2, y2) in enumerate(layer.xyxy):
        edge = colour(each(layer.colours, index, "object"))
        style: Look = {"edgecolor": edge, "linestyle": DASH[layer.dash], "linewidth": layer.width * PX}
        effects = halo(layer.width, edge) if layer.dash == "solid" else None
        if layer.fill:
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, color=edge[:7], alpha=layer.fill, lw=0, zorder=4))
        if layer.width:
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, zorder=4, path_effects=effects, **style))


def _draw_cells(axes: Axes, layer: Cells) -> None:
    """All cells as one patch: a fine grid has hundreds, and a patch for each takes seconds."""
    if not layer.cells:
        return
    face, stride = colour(layer.colour), layer.stride
    squares = [Path.unit_rectangle().transformed(Affine2D().translate(c, r).scale(stride)) for r, c in layer.cells]
    cells = Path.make_compound_path(*squares)
    rim = face if layer.hatch else "#FFFFFF"
    inside = face + f"{round(layer.opacity * 255):02X}"
    axes.add_patch(PathPatch(cells, facecolor=inside, edgecolor=rim, linewidth=0.6, zorder=2.5))
    if layer.hatch:
        look: Look = {"hatch": layer.hatch * 4, "edgecolor": "#000000B0", "linewidth": 0}
        axes.add_patch(PathPatch(cells, fill=False, zorder=2.6, **look))


def _draw_grid(axes: Axes, layer: Grid, scale: float) -> None:
    columns, rows = int(-(-layer.width // layer.stride)), int(-(-layer.height // layer.stride))
    lines = [((k * layer.stride, 0.0), (k * layer.stride, layer.height)) for k in range(columns + 1)]
    lines += [((0.0, k * layer.stride), (layer.width, k * layer.stride)) for k in range(rows + 1)]
    width = min(0.8, 0.12 * layer.stride * scale)  # a fine lattice gets fine lines, or it would hide the image
    axes.add_collection(
        LineCollection(lines, colors=colour(layer.colour), linewidths=width, alpha=layer.opacity, zorder=2)
    )


def label_of(boxes: Boxes, index: int) -> str:
    """What stands beside a box; "" of most."""
    return " ".join(part for part in (each(boxes.labels, index, ""), score_of(boxes, index)) if part)


def labels_of(panel: Panel) -> tuple[list[tuple[Boxes, int, str]], int]:
    """The labels that a picture has room for, those of layers with few of them first; and how many are left out.

    >>> many = Boxes(((0, 0, 9, 9),) * 20, ("x",))
    >>> found, rest = labels_of(Panel((many, Boxes(((0, 0, 9, 9),), ("chosen",))), 99, 99))
    >>> found[0][2], len(found), rest
    ('chosen', 15, 6)
    """
    layers = [layer for layer in panel.layers if isinstance(layer, Boxes)]
    words = [[(k, word) for k in range(len(boxes.xyxy)) if (word := label_of(boxes, k))] for boxes in layers]
    order = sorted(range(len(layers)), key=lambda place: len(words[place]))
    found = [(layers[place], k, word) for place in order for k, word in words[place]]
    return found[:MOST_LABELS], len(found[MOST_LABELS:])


def draw_labels(axes: Axes, panel: Panel, scale: float) -> None:
    """The labels of boxes, none over another where there is room; of many, how many more there are."""
    room = (panel.left * scale, panel.top * scale, panel.width * scale, panel.height * scale)
    size = 11 if room[2] > 300 else 9
    placed: list[tuple[Rect, str, str]] = []
    found, left_out = labels_of(panel)
    for boxes, index, word in found:
        x1, y1, x2, y2 = boxes.xyxy[index]
        text = shortened(word, room[2] - 8, size)
        extent = (width_of(text, size) + 6, size * 1.5)
        box = (x1 * scale, y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale)
        rect = place_label(box, extent, room, [rect for rect, _, _ in placed])
        placed.append((rect, text, colour(each(boxes.colours, index, "object"))[:7]))
    for rect, text, fill in reversed(placed):  # what has the first choice lies on top
        _draw_label(axes, rect, text, size, fill, scale)
    if left_out:
        text = f"{left_out} more without a label"
        wide, high = width_of(text, size) + 6, size * 1.5
        _draw_label(axes, (room[0] + room[2] - wide, room[1] + room[3] - high, wide, high), text, size, REST, scale)


def _draw_label(axes: Axes, rect: Rect, text: str, size: float, fill: str, scale: float) -> None:
    x, y, width, height = (value / scale for value in rect)
    axes.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor="none", zorder=7))
    style: Look = {"color": readable_on(fill), "fontproperties": font(size), "parse_math": False}
    axes.text(x + 3 / scale, y + height * 0.76, text, va="baseline", clip_on=True, zorder=8, **style)


def score_of(boxes: Boxes, index: int) -> str:
    """The confidence of a box as written behind its label; "" where there is none."""
    return f"{each(boxes.scores, index, 0.0):.2f}" if boxes.scores else ""


def each(values: tuple, index: int, default: Any) -> Any:
    """The value of one box, where there is none, one for all, or one each."""
    return default if not values else values[0] if len(values) == 1 else values[index]
