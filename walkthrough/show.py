"""show_*: pictures of what yolo_lite computes. Each takes what the library returns, or plain arrays; gives a Scene."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from walkthrough.images import faded, heat, to_numpy, to_rgb
from walkthrough.scene import Boxes, Cells, Grid, Key, Layer, Panel, Picture, Points, Scene, Text, counted, table_of
from walkthrough.seen import map_in_words
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.data.dataset import Batch
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE, AssignedPredictions, PredictionMatches
from yolo_lite.loss.targets import Assignment

OBJECT = Key("object", "object", dash="solid")
SMALLEST_NUMBERED = 20  # cells across a picture: with more of them a number does not fit into one
ROLES = {"positive": POSITIVE, "ignored": IGNORED, "negative": NEGATIVE}


def show_image(
    image: Any,
    boxes: Any = None,
    labels: Sequence[str | int] | None = None,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Scene:
    """An image and what was found in it.

    Args:
        image: path, PIL image, array or tensor, (H, W), (H, W, 3) or (3, H, W).
        boxes: (n, 4) xyxy pixels, (n, 6) with confidence and class, or what predict returned for the image.
        labels: n words, or n class indices; otherwise the classes that boxes brings, if any.
        names: class names, for class indices.

    >>> show_image(np.zeros((48, 64), np.uint8), [[4, 4, 20, 30]], ["cat"])
    picture 64 x 48, 1 box: cat
    """
    panel = _image_panel(to_rgb(image), title)
    if boxes is None:
        return Scene(((panel,),))
    return Scene(((_with(panel, labelled_boxes(boxes, labels, names)),),))


def labelled_boxes(boxes: Any, labels: Sequence[str | int] | None = None, names: Sequence[str] | None = None) -> Boxes:
    """Boxes in any of the library's forms, coloured by class."""
    xyxy, scores, classes = boxes, None, None
    if hasattr(boxes, "xyxy"):  # Detections
        xyxy, scores, classes, names = boxes.xyxy, boxes.conf, boxes.cls, names or boxes.names
    elif hasattr(boxes, "boxes"):  # Objects
        xyxy, classes = boxes.boxes, boxes.cls
    xyxy = to_numpy(xyxy)
    xyxy = xyxy.reshape(-1, 4) if xyxy.size in (0, 4) else xyxy
    if xyxy.ndim == 2 and xyxy.shape[1] == 6:  # non_max_suppression's rows
        xyxy, scores, classes = xyxy[:, :4], xyxy[:, 4], xyxy[:, 5]
    if labels is not None:
        classes = labels
    classes = [] if classes is None else [c if isinstance(c, str) else int(c) for c in classes]
    order = list(dict.fromkeys(classes))
    colours = tuple(order.index(c) if isinstance(c, str) else c for c in classes)
    rounded = () if scores is None else tuple(round(float(score), 4) for score in scores)
    return Boxes(table_of(xyxy, 4, "boxes"), tuple(class_name(c, names) for c in classes), rounded, colours or (0,))


def class_name(cls: str | int, names: Sequence[str] | Mapping[int, str] | None = None) -> str:
    """
    >>> class_name(1, ("cat", "dog")), class_name(7), class_name("bird")
    ('dog', 'class 7', 'bird')
    """
    if isinstance(cls, str):
        return cls
    known = dict(names) if isinstance(names, Mapping) else dict(enumerate(names or ()))
    return str(known.get(cls, f"class {cls}"))


def show_batch(batch: Batch, names: Sequence[str] | None = None, columns: int = 4) -> Scene:
    """The images of a batch with their targets, numbered as the targets' first column numbers them."""
    panels = []
    for index, image in enumerate(batch.images):
        pixels = to_rgb(image)
        mine = batch.targets[batch.targets[:, 0] == index]
        xyxy = xywh_to_xyxy(to_numpy(mine[:, 2:6])) * np.tile(pixels.shape[1::-1], 2)
        panel = _image_panel(pixels, f"image {index}")
        panels.append(_with(panel, labelled_boxes(xyxy, mine[:, 1].long().tolist(), names)))
    return Scene(tuple(tuple(panels[k : k + columns]) for k in range(0, len(panels), columns)))


def show_grid(image: Any, strides: int | Sequence[int] = (8, 16, 32), boxes: Any = None) -> Scene:
    """The cells of each detection level over the image, at true scale; with boxes, the cells of their centres."""
    pixels = to_rgb(image)
    height, width = pixels.shape[:2]
    panels = []
    for stride in [strides] if isinstance(strides, int) else [int(s) for s in strides]:
        panel = _image_panel(pixels, f"stride {stride}", f"{-(-height // stride)} x {-(-width // stride)} cells")
        if boxes is not None:
            xyxy = np.asarray(labelled_boxes(boxes).xyxy).reshape(-1, 4)
            centres = (xyxy[:, :2] + xyxy[:, 2:]) / 2
            panel = _with(
                panel,
                Cells(centres[:, ::-1] // stride, stride),
                Boxes(table_of(xyxy, 4, "boxes")),
                Points(centres, "object", size=4),
            )
        panels.append(_with(panel, Grid(stride, width, height)))
    legend = () if boxes is None else (OBJECT, Key("cell of its centre", "own"))
    return Scene((tuple(panels),), legend)


def show_assignment(
    images: Any,
    matches: Sequence[Assignment],
    strides: Sequence[int] | Tensor,
    image_index: int = 0,
    window: Sequence[float] | None = None,
) -> Scene:
    """Which cells and anchors are matched to the objects of one image, a panel for each detection level.

    Args:
        images: a Batch, a tensor (N, 3, H, W), or the one image at the size of the network input.
        matches: what build_targets returned, one Assignment per level.
        strides: pixels per cell of each level.
        image_index: which image of the batch.
        window: xyxy pixels to look at more closely; None: the whole image.
    Raises:
        ValueError: another number of levels than of strides; what ``assign`` returned, which is for ``show_roles``.
    """
    if isinstance(matches, AssignedPredictions | PredictionMatches):
        raise ValueError(
            "this is what assign of a loss returns, or its .matches: give all that it returned to show_roles; "
            "show_assignment takes what build_targets returns, one Assignment per level"
        )
    images = getattr(images, "images", images)
    pixels = to_rgb(images[image_index] if getattr(images, "ndim", 3) == 4 else images)
    strides = [int(stride) for stride in strides]
    if len(matches) != len(strides):
        raise ValueError(f"{len(matches)} levels of matches, but {len(strides)} strides")
    panels = tuple(_assignment_panel(pixels, m, s, image_index) for m, s in zip(matches, strides, strict=True))
    if window is not None:
        left, top, right, bottom = (float(side) for side in window)
        panels = tuple(replace(p, left=left, top=top, width=right - left, height=bottom - top) for p in panels)
    legend = (
        OBJECT,
        Key("own cell", "own"),
        Key("neighbour", "neighbour", hatch="/"),
        Key("anchor", "anchor", dash="dashed"),
    )
    return Scene((panels,), legend)


def show_roles(
    image: Any,
    assigned: AssignedPredictions,
    strides: Sequence[float],
    image_index: int = 0,
    boxes: Any = None,
    window: Sequence[float] | None = None,
) -> Scene:
    """What any loss asks of each prediction of an image: positive, ignored or negative, a panel for each level.

    A cell is filled for the most that one of its predictions is (positive before ignored). Where a level has several
    predictions per cell, the number in a filled cell counts those of the colour's role; the caption says where cells
    are too small for it. Cells that are not filled hold negatives alone.

    Args:
        image: the one image, at the size of the network input. assigned: what ``assign`` of a loss returned.
        strides: pixels per cell of each level. image_index: which image of the batch.
        boxes: (n, 4) xyxy pixels of its objects, to be drawn over it.
        window: xyxy pixels to look at more closely; None: the whole image. Captions count all of a level.
    Raises:
        ValueError: another number of levels than of strides.
    """
    pixels, levels = to_rgb(image), int(assigned.cells[:, 0].max()) + 1
    if levels != len(strides):
        raise ValueError(f"predictions of {levels} levels, but {len(strides)} strides")
    role = assigned.role[image_index].detach().cpu()  # (n,)
    places = assigned.cells.cpu()  # (n, 4)
    seen = (0.0, 0.0, *map(float, pixels.shape[1::-1])) if window is None else tuple(map(float, window))
    panels = []
    for level, stride in enumerate(strides):
        here = places[:, 0] == level
        panel = _roles_panel(pixels, role[here], places[here], float(stride), seen)
        panels.append(panel if boxes is None else _with(panel, Boxes(table_of(boxes, 4, "boxes"))))
    legend = (Key("positive", "own"), Key("ignored", "neighbour", hatch="x"))
    return Scene((tuple(panels),), legend if boxes is None else (OBJECT, *legend))


def _roles_panel(pixels: np.ndarray, role: Tensor, places: Tensor, stride: float, window: Sequence[float]) -> Panel:
    """One level: role (k,), places (k, 4)."""
    left_side, top, right_side, bottom = window
    count = {name: int((role == value).sum()) for name, value in ROLES.items()}
    caption = ", ".join(f"{number} {name}" for name, number in count.items())
    panel = _image_panel(faded(pixels), f"stride {stride:.4g}", caption)
    positive, several = _cells_of(places[role == POSITIVE])
    ignored, more = _cells_of(places[role == IGNORED])
    left = (ignored[:, None] != positive).any(-1).all(-1)  # (i,) cells without a positive
    numbers = torch.cat((several, more[left]))
    cells = torch.cat((positive, ignored[left]))
    several_each = int(places[:, 1].max()) > 0  # with one prediction per cell there is nothing to count
    room = stride >= (right_side - left_side) / SMALLEST_NUMBERED
    texts = [
        Text((col + 0.5) * stride, (row + 0.5) * stride, str(number), anchor="center", size=10)
        for (row, col), number in zip(cells.tolist(), numbers.tolist(), strict=True)
        if room and several_each
    ]
    if several_each and len(cells) and not room:
        panel = replace(panel, caption=f"{caption} (cells too small for numbers)")
    panel = _with(
        panel,
        Grid(stride, panel.width, panel.height, opacity=0.15),
        Cells(table_of(ignored[left], 2, "cells"), stride, "neighbour", hatch="x", opacity=0.8),
        Cells(table_of(positive, 2, "cells"), stride, "own", opacity=0.9),
        *texts,
    )
    return replace(panel, left=left_side, top=top, width=right_side - left_side, height=bottom - top)


def _cells_of(places: Tensor) -> tuple[Tensor, Tensor]:
    """(k, 4) places -> (c, 2) their cells, row and column, each once, and how many predictions each holds."""
    cells, number = places[:, 2:].unique(dim=0, return_counts=True)
    return cells.view(-1, 2), number


def _assignment_panel(pixels: np.ndarray, match: Assignment, stride: int, image_index: int) -> Panel:
    mine = of_image(match, image_index)
    objects = matched_xyxy(mine, mine.box[:, :2], mine.box[:, 2:]) * stride  # (m, 4) pixels
    panel = _image_panel(faded(pixels), f"stride {stride}", counted(len(mine.row), "match", "matches"))
    return _with(
        panel,
        *cell_layers(mine, stride, panel.width, panel.height),
        Boxes(table_of(anchors_of(mine, stride), 4, "boxes"), colours=("anchor",), dash="dashed", width=1.2),
        Boxes(table_of(objects.round().unique(dim=0), 4, "boxes")),
    )


def of_image(match: Assignment, image_index: int) -> Assignment:
    """The matches of one image of a batch."""
    return Assignment(*(field[match.image == image_index].detach().cpu() for field in match))


def cell_layers(match: Assignment, stride: float, width: float, height: float) -> tuple[Grid, Cells, Cells]:
    """The lattice of a level; the neighbours matched to an object, hatched; the own cells, over them."""
    cells = torch.stack((match.row, match.col), 1)  # (m, 2)
    own = match.offset == 0
    return (
        Grid(stride, width, height, opacity=0.15),
        Cells(cells[~own].unique(dim=0), stride, "neighbour", hatch="/", opacity=0.8),
        Cells(cells[own].unique(dim=0), stride, "own", opacity=0.9),
    )


def anchors_of(match: Assignment, stride: float) -> Tensor:
    """(k, 4) xyxy pixels: the anchors in the own cells, where they lie when all logits are 0."""
    centre = torch.full_like(match.anchor_wh, 0.5)
    return (matched_xyxy(match, centre, match.anchor_wh) * stride)[match.offset == 0].unique(dim=0)


def matched_xyxy(match: Assignment, xy: Tensor, wh: Tensor) -> Tensor:
    """(m, 4) boxes in cells of the grid; xy is measured from the corner of each match's cell."""
    corner = torch.stack((match.col, match.row), 1)  # (m, 2)
    return xywh_to_xyxy(torch.cat((corner + xy, wh), 1))


def show_feature_maps(
    maps: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    count: int = 16,
    image_index: int = 0,
    columns: int = 8,
    first: int = 0,
) -> Scene:
    """Some channels of feature maps (N, C, H, W), from first on, each stretched from its lowest to its highest value.

    A mapping or sequence gives one panel each. Of raw detection maps (N, A, H, W, 5 + C): the A objectness maps.
    """
    if isinstance(maps, Tensor | np.ndarray):
        maps = {"": maps}
    elif not isinstance(maps, Mapping):
        maps = {f"map {k}": tensor for k, tensor in enumerate(maps)}
    return Scene(
        tuple((_maps_panel(name, to_numpy(m), count, image_index, columns, first),) for name, m in maps.items())
    )


def _maps_panel(name: str, maps: np.ndarray, count: int, image_index: int, columns: int, first: int) -> Panel:
    what = "channel"
    if maps.ndim == 5:
        maps, what = maps[..., 4], "objectness of anchor"
    if maps.ndim == 3:
        maps = maps[None]
    if maps.ndim != 4:
        raise ValueError(f"feature maps have the shape (N, C, H, W), got {maps.shape}")
    channels = maps[image_index][first : first + count]  # (count, H, W)
    if not len(channels):
        raise ValueError(f"there is no channel {first}: there are {maps.shape[1]}")
    height, width = channels.shape[1:]
    columns = min(columns, len(channels))
    gap = 0.06 * width
    layers: list[Layer] = []
    for index, channel in enumerate(channels):
        x, y = index % columns * (width + gap), index // columns * (height + gap)
        words = map_in_words(channel, f"{what} {first + index}")
        layers.append(Picture(heat(channel), (x, y, x + width, y + height), words))
        if len(channels) > 1:
            layers.append(Text(x + gap / 2, y + gap / 2, str(first + index), anchor="left", size=9))
    rows = -(-len(channels) // columns)
    size, which = f"{height} x {width}", f"{what} {first}"
    which += f" to {first + len(channels) - 1}" if len(channels) > 1 else ""
    shown = f"{which} of {maps.shape[1]}, {size}" if maps.shape[1] > 1 else size
    return Panel(tuple(layers), columns * (width + gap) - gap, rows * (height + gap) - gap, name, shown)


def _image_panel(pixels: np.ndarray, title: str = "", caption: str = "") -> Panel:
    return Panel((Picture(pixels),), pixels.shape[1], pixels.shape[0], title, caption)


def _with(panel: Panel, *layers: Any) -> Panel:
    return replace(panel, layers=(*panel.layers, *layers))
