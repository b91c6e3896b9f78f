"""The picture of AugmentationLab: stages or samples, dropped boxes with the reason, the matrix of the warp."""

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np

from walkthrough.explorers.augmentation.state import Made, Result
from walkthrough.scene import AnyPanel, Boxes, Key, Layer, Line, More, Panel, Picture, Scene, Table, counted, table_of
from walkthrough.show import class_name
from yolo_lite.augment.box_filter import MIN_AREA_BOX, MIN_AREA_POLYGON, MIN_SIDE
from yolo_lite.augment.colour import PhotometricDraw
from yolo_lite.augment.objects import Objects
from yolo_lite.augment.warp import WarpDraw, Warped, WarpMatrices, map_points
from yolo_lite.data.samples import SampleDraw, Stage

A_ROW, MOST_ROWS = 5, 8
HOLD = 300  # CSS pixels of the pictures together, in every view
SHOWN = 480  # pixels of the longest side that go to the page; more would not be seen
RULE = f"to stay: > {MIN_SIDE} px, > {MIN_AREA_BOX:.0%} of the area (outlined: {MIN_AREA_POLYGON:.0%})"
Names = tuple[str, ...]
LEGEND = (
    Key("box that stays (colour: class)", 0, dash="solid"),
    Key("dropped", "object", dash="dashed"),
    Key("what the next step cuts out", "accent", dash="dashdot"),
)


def scene_of(result: Result) -> Scene:
    """All of it as data."""
    made = result.samples[0]
    if result.view == "grid":
        panels = [_finished(sample, result.names, f"seed {sample.seed}") for sample in result.samples]
    elif result.view == "sample":
        panels = [_original(result), _finished(made, result.names, "as the network sees it")]
    else:
        panels = [_original(result), *_stages(made, result.names)]
    rows: list[tuple[AnyPanel, ...]] = [tuple(panels[start : start + A_ROW]) for start in range(0, len(panels), A_ROW)]
    more = (More("boxes dropped, what chance decided", lambda: _numbers(made, result)),)
    return Scene(tuple(rows), LEGEND, more=more if result.view != "grid" else (), hold=HOLD)


def _numbers(made: Made, result: Result) -> tuple[tuple[AnyPanel, ...], ...]:
    tables: tuple[AnyPanel, ...] = (_drops(made, result.names), _draws(made.draw))
    if made.matrices is None or made.warp is None:
        return (tables,)
    return (tables, (_matrix(made.matrices, made.warp),))


def takeaway_of(result: Result) -> str:
    """What became of the image: the steps that changed it, and the boxes that are left."""
    made = result.samples[0]
    steps = [stage.name.replace("_", "-") for stage in made.stages[1:]]
    kept, lost = made.stages[-1].objects.num_objects, len(made.drops)
    why = f" ({', '.join(dict.fromkeys(_short(drop.reason, 1) for drop in made.drops))})" if lost else ""
    dropped = f"; {counted(lost, 'box', 'boxes')} dropped{why}" if lost else ""
    return (
        f"{result.original.name} after {', '.join(steps) or 'nothing'}: {counted(kept, 'box', 'boxes')} kept{dropped}."
    )


def _original(result: Result) -> Panel:
    """The image as it lies in the dataset, with boxes to be moved and drawn."""
    picture = result.original
    height, width = picture.size
    labels = tuple(class_name(int(box[4]), result.names) for box in picture.boxes)
    colours = tuple(int(box[4]) for box in picture.boxes)
    editable = Boxes(tuple(box[:4] for box in picture.boxes), labels, (), colours, drag="objects")
    layers = (_picture(picture.pixels), editable)
    caption = f"{width} x {height}" + ("" if picture.boxes else ", no objects: draw a box")
    return Panel(layers, width, height, picture.name, caption, draw="objects", drawn=(float(result.new_class),))


def _stages(made: Made, names: Names) -> list[Panel]:
    """A panel for each step that changed something; what the next one will cut out and drop is drawn in."""
    panels: list[Panel] = []
    stages = list(made.stages)
    for before, stage in zip([None, *stages], stages, strict=False):
        if before is not None and stage.image is before.image and stage.objects is before.objects:
            continue
        if isinstance(stage.result, Warped) and panels:
            panels[-1] = _with(panels[-1], *_outlook(stage.result, _refs(made, stage)))
        panels.append(_panel(made, stage, names))
    return panels


def _refs(made: Made, stage: Stage) -> dict[int, str]:
    """The objects that a step dropped, each with its row in the table."""
    first = next((row for row, drop in enumerate(made.drops) if drop.step == stage.name), 0)
    reasons = stage.result.box_filter.reasons if isinstance(stage.result, Warped) else ()
    dropped = [k for k, reason in enumerate(reasons) if reason]
    return {k: f"drop {first + place}" for place, k in enumerate(dropped)}


def _panel(made: Made, stage: Stage, names: Names, title: str = "") -> Panel:
    height, width = stage.image.shape[:2]
    layers: list[Layer] = [_picture(stage.image), _boxes(stage.objects, names)]
    caption = f"{width} x {height}, {counted(stage.objects.num_objects, 'box', 'boxes')}"
    panel = Panel(tuple(layers), width, height, title or stage.name.replace("_", "-"), caption)
    if not isinstance(stage.result, Warped):
        return panel
    refs = _refs(made, stage)
    return _with(panel, *_left_over(stage.result.after, stage.result.box_filter.reasons, names, refs))


def _finished(made: Made, names: Names, title: str) -> Panel:
    """The last stage with outlines, and with what is left of dropped boxes where no later step moved them."""
    last, lost = made.stages[-1], len(made.drops)
    outlines = [
        Line(table_of(polygon, 2, "outline"), int(cls), "solid", 1.0, closed=True)
        for polygon, cls in zip(last.objects.polygons, last.objects.cls, strict=True)
        if polygon is not None and len(polygon) > 2
    ]
    warp = next((stage for stage in made.stages if stage.name == "warp"), None)
    flip = made.draw.flip
    dropped: list[Layer] = []
    if warp is not None and (warped := warp.result) is not None and made.draw.crop is None and last.name != "transform":
        height, width = last.image.shape[:2]
        after = warped.after
        if flip is not None:
            after = after.mirrored(width if flip.left_right else None, height if flip.up_down else None)
        dropped = _left_over(after, warped.box_filter.reasons, names, _refs(made, warp))
    panel = _with(_panel(made, last, names, title), *outlines, *dropped)
    kept = counted(last.objects.num_objects, "box", "boxes")
    return replace(panel, caption=f"{kept}, {lost} dropped")


def _boxes(objects: Objects, names: Names) -> Boxes:
    labels = tuple(class_name(int(cls), names) for cls in objects.cls)
    return Boxes(table_of(objects.boxes, 4, "boxes"), labels, (), tuple(objects.cls.tolist()))


def _left_over(after: Objects, reasons: tuple[str, ...], names: Names, refs: Mapping[int, str]) -> list[Layer]:
    """What is still to be seen of the boxes that a step dropped, with the reason."""
    sides = after.boxes[:, 2:] - after.boxes[:, :2]  # (n, 2)
    seen = [k for k, reason in enumerate(reasons) if reason and (sides[k] > 0).all()]
    labels = tuple(f"{class_name(int(after.cls[k]), names)}: {_short(reasons[k], 1)}" for k in seen)
    rows = tuple(refs.get(k, "") for k in seen)
    return [Boxes(table_of(after.boxes[seen], 4, "boxes"), labels, dash="dashed", width=1.5, refs=rows)] if seen else []


def _outlook(warped: Warped, refs: Mapping[int, str]) -> list[Layer]:
    """On the picture before: the window of the step, and the boxes that it will drop."""
    height, width = warped.image.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    shape = table_of(map_points(corners, np.linalg.inv(warped.matrix)), 2, "window")
    window = Line(shape, "accent", "dashdot", 2.5, closed=True)
    gone = [k for k, reason in enumerate(warped.box_filter.reasons) if reason]
    boxes = table_of(warped.before.boxes[gone], 4, "boxes")
    return [window, *([Boxes(boxes, dash="dashed", width=1.5, refs=tuple(refs[k] for k in gone))] if gone else [])]


def _drops(made: Made, names: Names) -> Table:
    drops = made.drops
    rows = tuple((drop.step, class_name(drop.cls, names), _short(drop.reason, 2)) for drop in drops[:MOST_ROWS])
    title = f"{counted(len(drops), 'box', 'boxes')} dropped, {made.stages[-1].objects.num_objects} kept"
    title += f", {MOST_ROWS} shown" if len(drops) > MOST_ROWS else ""
    refs = tuple(f"drop {row}" for row in range(len(rows))) or ("",)
    return Table(
        ("step", "object", "what is left"), rows or (("-", "-", "no box was dropped"),), title, RULE, refs=refs
    )


def _draws(draw: SampleDraw) -> Table:
    """What chance decided besides the warp."""
    rows = []
    if draw.mosaic is not None:
        rows.append(
            ("mosaic", f"centre {draw.mosaic.mosaic.centre}, with images {_listed(draw.mosaic.mosaic.partners)}")
        )
    if draw.mixup is not None:
        rows.append(("mixup", f"{draw.mixup.ratio:.2f} of the first"))
    if draw.crop is not None:
        rows.append(("crop", f"{draw.crop.width:.0%} x {draw.crop.height:.0%} of the sides"))
    for name, strength in (draw.photometric or PhotometricDraw())._asdict().items():
        if strength is not None:
            rows.append((name, _listed(strength) if isinstance(strength, tuple) else f"{strength:.3g}"))
    if draw.hsv is not None:
        rows.append(("hsv", "gains " + _listed(draw.hsv.gains)))
    if draw.flip is not None:
        turned = [name.replace("_", "-") for name, done in draw.flip._asdict().items() if done]
        rows.append(("flip", ", ".join(turned) or "none"))
    return Table(("step", "drawn"), tuple(rows), "what chance decided")


def _matrix(matrices: WarpMatrices, drawn: WarpDraw) -> Table:
    """M = T S R P C, row by row."""
    factors = (matrices.combined, *matrices)
    rows = tuple(tuple("  ".join(_number(value) for value in matrix[row]) for matrix in factors) for row in range(3))
    columns = ("M", "T translation", "S shear", "R rotation, zoom", "P perspective", "C centre")
    drawn_values = f"angle {_number(drawn.angle)}, zoom {_number(drawn.scale)}, shear {_listed(drawn.shear)}"
    drawn_values += f", translation {_listed(drawn.translate)}"
    if any(drawn.perspective):
        drawn_values += f", perspective {' '.join(f'{value:.2g}' for value in drawn.perspective)}"
    return Table(columns, rows, "the warp's matrix, M = T S R P C", f"drawn: {drawn_values}")


def _number(value: float) -> str:
    """Three digits; -0 is 0."""
    return f"{round(value, 6) + 0.0:.3g}"


def _listed(values: tuple[float, ...]) -> str:
    return " ".join(_number(value) for value in values)


def _short(reason: str, parts: int) -> str:
    """The first parts of the reason without the rule: "1.4 px wide: must be over 2" -> "1.4 px wide"."""
    return ", ".join(part.split(":")[0] for part in reason.split("; ")[:parts])


def _picture(pixels: np.ndarray) -> Picture:
    """An image on its own pixels, with no more of them than can be seen."""
    height, width = pixels.shape[:2]
    scale = SHOWN / max(height, width)
    if scale >= 1:
        return Picture(pixels)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Picture(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (0, 0, width, height))


def _with(panel: Panel, *layers: Layer) -> Panel:
    return replace(panel, layers=(*panel.layers, *layers))
