"""The picture of BackboneExplorer: the graph of layers, what a cell sees, the stages, and what all of it costs."""

from collections.abc import Mapping

from walkthrough.explorers.backbone.networks import Stage
from walkthrough.explorers.backbone.state import Cost, Result
from walkthrough.explorers.layer.graph import graph_panel
from walkthrough.graphs import LEGEND
from walkthrough.images import faded
from walkthrough.layers.table import shape_in_words
from walkthrough.scene import Bars, Boxes, Chart, Key, Layer, More, Panel, Picture, Scene, Table

FIELD, CELL = "anchor", "own"


def takeaway_of(result: Result) -> str:
    """What the network costs beside the first one, or its stages beside each other; how far the coarsest cells see."""
    now, start = result.now["all"], result.start["all"]
    costs = f"{now.parameters:,} parameters and {now.flops / 1e9:.2f} GFLOPs"
    if (now.parameters, now.flops) != (start.parameters, start.flops):
        more = [f"{a / max(b, 1) - 1:+.0%}" for a, b in ((now.parameters, start.parameters), (now.flops, start.flops))]
        beside = f" ({more[0]} and {more[1]} beside the first one)"
    else:
        beside = f": {_largest_stage(result)}"
    last = result.stages[-1]
    sees = "the whole picture" if last.sees is None else f"{last.sees} px"
    return f"{costs}{beside}; a cell at stride {last.stride} sees {sees}."


def _largest_stage(result: Result) -> str:
    """The stage that has most of the backbone's parameters, and what it has of its operations."""
    largest = max(result.stages, key=lambda stage: stage.parameters)
    whole = result.now["backbone"]
    parameters, flops = largest.parameters / max(whole.parameters, 1), largest.flops / max(whole.flops, 1)
    return f"{level_of(largest)} has {parameters:.0%} of the backbone's parameters and {flops:.0%} of its operations"


def scene_of(result: Result) -> Scene:
    """All of it as data."""
    rows = ((_photograph(result), _cost_table(result)),)
    more = (
        More("the network", lambda: ((_network(result),),), LEGEND),
        More("stage by stage", lambda: ((_stage_table(result),),)),
        More("cost of each stage", lambda: (_costs(result),)),
    )
    legend = (
        Key("a cell of the chosen layer", CELL, dash="solid"),
        Key("what it can see", FIELD, dash="dashed"),
    )
    return Scene(rows, legend, more=more)


def _network(result: Result) -> Panel:
    """The graph; parts and stages of the tables are lit in it."""
    parts = {f"part {part}": [r.index for r in result.records if part in (r.part, "all")] for part in result.now}
    stages = {f"stage {level_of(stage)}": stage.layers for stage in result.stages}
    return graph_panel(result.records, result.record.index, result.picture.size, {**parts, **stages})


def _costs(result: Result) -> tuple[Chart, Chart]:
    return (
        _stage_bars(result, "parameters", "thousand parameters", 1e3),
        _stage_bars(result, "flops", "MFLOPs", 1e6),
    )


def _photograph(result: Result) -> Panel:
    height, width = result.picture.size
    field, (row, col) = result.record.receptive_field, result.cell
    x1, y1, x2, y2 = field.of(row, col)
    pixels = faded(result.picture.pixels).round().astype("uint8")
    pixels[y1:y2, x1:x2] = result.picture.pixels[y1:y2, x1:x2]
    rows, cols = field.grid
    cell = (col * width / cols, row * height / rows, (col + 1) * width / cols, (row + 1) * height / rows)
    objects = tuple(box[:4] for box in result.picture.boxes)
    layers: list[Layer] = [
        Picture(pixels),
        Boxes(((x1, y1, x2, y2),), ("can see",), (), (FIELD,), "dashed", 2.0),
        Boxes(objects, width=1.2, drag="objects"),
        Boxes((cell,), (), (), (CELL,), width=2.0),
    ]
    title = f"layer {result.record.index} {result.record.kind}: {shape_in_words(result.record.output_shape)}"
    caption = f"its cell {result.cell} can see {field!r}"
    drawn = (float(result.new_class),)
    return Panel(tuple(layers), width, height, title, caption, pick="place", draw="objects", drawn=drawn)


def _cost_table(result: Result) -> Table:
    """Start and now, part by part; at the start, what each part is of all."""
    if result.now == result.start:
        return _first_costs(result)
    rows, refs = list[tuple[str, ...]](), list[str]()
    for part, now in _whole_first(result.now):
        start = result.start[part]
        refs += [f"part {part}"] * len(_lines(start, now))
        rows += [(f"{part}: {name}", before, after, change) for name, before, after, change in _lines(start, now)]
    columns = ("", "start", "now", "change")
    caption = "one picture; the time is of one pass, here and now"
    return Table(columns, tuple(rows), "what it costs", caption, refs=tuple(refs))


def _first_costs(result: Result) -> Table:
    """As there is nothing to compare with, each part as a percentage of the whole."""
    rows, refs, whole = list[tuple[str, ...]](), list[str](), result.now["all"]
    for part, now in _whole_first(result.now):
        lines = zip(_lines(now, now), now, whole, strict=True)
        rows += [(f"{part}: {name}", value, f"{own / max(of, 1e-12):.1%}") for (name, value, *_), own, of in lines]
        refs += [f"part {part}"] * len(now)
    caption = "of all: fraction of the whole network"
    return Table(("", "now", "of all"), tuple(rows), "what it costs", caption, refs=tuple(refs))


def _whole_first(costs: Mapping[str, Cost]) -> list[tuple[str, Cost]]:
    """The whole network before its parts: the totals are seen without scrolling."""
    return sorted(costs.items(), key=lambda part: part[0] != "all")


def _lines(start: Cost, now: Cost) -> list[tuple[str, str, str, str]]:
    return [
        ("layers", str(start.layers), str(now.layers), _change(start.layers, now.layers)),
        (
            "parameters",
            f"{start.parameters:,}",
            f"{now.parameters:,}",
            _change(start.parameters, now.parameters),
        ),
        ("MFLOPs", f"{start.flops / 1e6:,.0f}", f"{now.flops / 1e6:,.0f}", _change(start.flops, now.flops)),
        ("ms", f"{start.seconds * 1e3:.1f}", f"{now.seconds * 1e3:.1f}", _change(start.seconds, now.seconds)),
    ]


def _change(start: float, now: float) -> str:
    """
    >>> _change(4, 4), _change(4, 5), _change(4, 12)
    ('', '+25%', 'x 3.0')
    """
    if start == now or not start:
        return ""
    return f"x {now / start:.1f}" if now >= 2 * start else f"{now / start - 1:+.0%}"


def _stage_table(result: Result) -> Table:
    """What each stage passes on."""
    before = {stage.stride: stage for stage in result.start_stages}
    rows = tuple(_stage_row(stage, before.get(stage.stride), result) for stage in result.stages)
    columns = ("level", "stride", "layers", "map", "sees", "parameters", "MFLOPs", "neck reads", "at the start")
    refs = tuple(f"stage {level_of(stage)}" for stage in result.stages)
    return Table(columns, rows, "the backbone by strides: what each passes on", refs=refs)


def _stage_row(stage: Stage, before: Stage | None, result: Result) -> tuple[str, ...]:
    height, width = result.picture.size
    return (
        level_of(stage),
        str(stage.stride),
        "-".join(map(str, sorted({stage.layers[0], stage.layers[-1]}))),
        f"{stage.channels} x {height // stage.stride} x {width // stage.stride}",
        f"{stage.sees} px" if stage.sees else "all",
        f"{stage.parameters:,}",
        f"{stage.flops / 1e6:,.0f}",
        "" if stage.tap is None else f"layer {stage.tap}",
        "no such map" if before is None else f"{before.channels} ch., {before.sees or 'all'} px",
    )


def level_of(stage: Stage) -> str:
    """The level of the pyramid with this stride.

    >>> level_of(Stage(8, (), 0, 0, 0, 0, None))
    'P3'
    """
    return f"P{stage.stride.bit_length() - 1}"


def _stage_bars(result: Result, name: str, label: str, unit: float) -> Chart:
    """Where parameters and operations are: in which stage of the backbone."""
    names = tuple(level_of(stage) for stage in result.stages)
    values = tuple(getattr(stage, name) / unit for stage in result.stages)
    bars = Bars(names, values, refs=tuple(f"stage {name}" for name in names))
    return Chart((bars,), f"{label} of the backbone by level", "", "level", label)
