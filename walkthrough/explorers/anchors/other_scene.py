"""The picture of AnchorExplorer for another rule than YOLOv5's: matched cells, and every anchor beside the object."""

from walkthrough import scene as draw
from walkthrough.explorers.anchors.other_rule import OtherMatches
from walkthrough.explorers.own_settings import level_name
from walkthrough.images import faded
from walkthrough.scene import Cells, Grid, Key, Layer, Panel, Picture, Scene, Table, counted
from walkthrough.show import class_name
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.loss.criterion import IGNORED


def other_scene(result: OtherMatches) -> Scene:
    """The picture with the cells of one level; every anchor of every level; all objects."""
    rows: tuple[tuple[Panel | Table, ...], ...] = ((_picture(result),),)
    if result.picture.boxes:
        rows += ((_anchors(result),), (_objects(result),))
    legend = (
        Key("object", "object", dash="solid"),
        Key("matched to the object", "own"),
        Key("matched to another", "neighbour", hatch="/"),
        Key("ignored", "accent", hatch="x"),
        Key("chosen anchor", "anchor", dash="dashed"),
    )
    return Scene(rows, legend, other_words(result))


def _name(result: OtherMatches, index: int) -> str:
    return f"{index} {class_name(int(result.picture.boxes[index][4]), result.names)}"


def _picture(result: OtherMatches) -> Panel:
    height, width = result.picture.size
    on_level = result.cells[:, 0] == result.level
    stride = width / (int(result.cells[on_level, 3].max()) + 1)
    own = result.matches_of(result.object)
    others = result.pairs[result.pairs[:, 1] != result.object, 0]
    ignored = (result.role == IGNORED).nonzero()[:, 0]
    layers: list[Layer] = [Picture(faded(result.picture.pixels))]
    kinds = ((ignored, "accent", "x", 0.25), (others, "neighbour", "/", 0.5), (own, "own", "", 0.75))
    for predictions, colour, hatch, opacity in kinds:
        here = predictions[on_level[predictions]]
        cells = result.cells[here, 2:].unique(dim=0)
        layers += [Cells(draw.table_of(cells, 2, "cells"), stride, colour, hatch, opacity)] if len(here) else []
    layers.append(Grid(stride, width, height))
    if (place := _shown_anchor(result)) is not None:
        box = xywh_to_xyxy(result.anchors[place][None])
        layers.append(draw.Boxes(draw.table_of(box, 4, "boxes"), colours=("anchor",), dash="dashed"))
    boxes = tuple(box[:4] for box in result.picture.boxes)
    labels = tuple(
        _name(result, index) + ("" if len(result.matches_of(index)) else ": no anchor") for index in range(len(boxes))
    )
    layers.append(draw.Boxes(boxes, labels, (), ("object",), drag="objects", pick="object"))
    layers += [draw.Boxes((boxes[result.object],), width=4)] if boxes else []
    count = int(on_level[result.pairs[:, 0]].sum())
    title = f"{level_name(result.strides[result.level])}: {counted(count, 'match', 'matches')}"
    return Panel(
        tuple(layers), width, height, title, _by_level(result), draw="objects", drawn=(float(result.new_class),)
    )


def _shown_anchor(result: OtherMatches) -> int | None:
    """Where the chosen anchor is drawn: where it overlaps the chosen object most."""
    own = ((result.cells[:, 0] == result.level) & (result.cells[:, 1] == result.anchor)).nonzero()[:, 0]
    return int(own[result.overlaps[own].argmax()]) if len(own) and result.picture.boxes else None


def _by_level(result: OtherMatches) -> str:
    levels = result.cells[result.pairs[:, 0], 0]
    counts = (f"{int((levels == level).sum())} at {stride}" for level, stride in enumerate(result.strides))
    return f"{result.rule}, matches by stride: {', '.join(counts)}; ignored: {int((result.role == IGNORED).sum()):,}"


def _anchors(result: OtherMatches) -> Table:
    """Every anchor of every level beside the chosen object."""
    own, rows, marked = result.matches_of(result.object), list[tuple[str, ...]](), list[int]()
    for level, stride in enumerate(result.strides):
        on_level = result.cells[:, 0] == level
        for anchor in result.cells[on_level, 1].unique().tolist():
            places = (on_level & (result.cells[:, 1] == anchor)).nonzero()[:, 0]
            if (level, anchor) == (result.level, result.anchor):
                marked.append(len(rows))
            width, height = result.anchors[places[0], 2:].tolist()
            matched = int((on_level[own] & (result.cells[own, 1] == anchor)).sum())
            overlaps = (f"{float(values[places].max()):.2f}" for values in (result.shapes, result.overlaps))
            rows.append((str(stride), f"{anchor}: {width:.3g} x {height:.3g}", *overlaps, str(matched)))
    x1, y1, x2, y2 = result.picture.boxes[result.object][:4]
    title = f"Object {_name(result, result.object)}, {x2 - x1:.0f} x {y2 - y1:.0f} px, and every anchor"
    caption = "IoU in shape: with the same centre; IoU in place: the best of all cells"
    columns = ("stride", "anchor (px)", "IoU in shape", "IoU in place", "matches")
    return Table(columns, tuple(rows), title, caption, tuple(marked))


def _objects(result: OtherMatches) -> Table:
    rows = []
    for index in range(len(result.picture.boxes)):
        levels = result.cells[result.matches_of(index), 0]
        counts = [int((levels == level).sum()) for level in range(len(result.strides))]
        rows.append((_name(result, index), *map(str, counts), str(sum(counts))))
    columns = ("object", *(f"stride {stride}" for stride in result.strides), "all")
    return Table(columns, tuple(rows), "Matches of every object", marked=(result.object,), pick="object")


def other_words(result: OtherMatches) -> str:
    """How many predictions are matched to each object."""
    counts = [len(result.matches_of(index)) for index in range(len(result.picture.boxes))]
    lines = [f"{result.picture.name}: {counted(len(counts), 'object')}, matched by {result.rule}"]
    lines += [f"{_name(result, index)}: {counted(count, 'match', 'matches')}" for index, count in enumerate(counts)]
    return "\n".join(lines)
