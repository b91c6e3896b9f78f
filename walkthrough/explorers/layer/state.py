"""What LayerExplorer computes: of one layer the cell at a place, what that cell can see, and its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.layer.detail import Joined, Reach, joined, reach
from walkthrough.explorers.layer.recordings import Recordings
from walkthrough.explorers.pictures import Annotated, PictureState
from walkthrough.layers.effective import EffectiveField
from walkthrough.layers.fields import ReceptiveField
from walkthrough.layers.record import LayerRecord


def _layers(state: "State") -> Mapping[str, int]:
    return {f"{record.index} {record.kind}": record.index for record in state.records}


def _highest_channel(state: "State") -> int:
    return max(channels_of(state.records[state.layer], state.output) - 1, 0) if state.records else 0


@dataclass(frozen=True)
class State(PictureState):
    """Which layer, which of its cells, which of its channels."""

    recordings: Recordings | None = given()
    records: tuple[LayerRecord, ...] = given(())  # of the shown picture
    layer: int = choice(
        0,
        _layers,
        help="the layer whose maps and receptive field are shown; a click in the graph does the same",
        linked=False,
        plays=1.2,
    )
    output: int = slider(
        0,
        0,
        lambda state: len(state.records[state.layer].output_shapes) - 1 if state.records else 0,
        help="which of its maps, where a layer gives several",
        shown=lambda state: bool(state.records) and len(state.records[state.layer].output_shapes) > 1,
    )
    channel: int = slider(
        -1,
        -1,
        _highest_channel,
        label="channel (-1: all)",
        help="the channel whose effective field is shown; -1: that of all channels together",
        heavy=True,
    )
    effective: bool = toggle(
        True,
        label="effective field",
        help="colours the pixels that change the cell, by their gradients: fewer than the receptive field has",
    )
    every_module: bool = toggle(
        False, label="modules in modules", help="lists the convolutions within blocks as layers of their own"
    )
    place: tuple[float, float] | None = point(is_place=True, help="click the picture: the cell there is looked at")
    map_place: tuple[float, float] | None = point(is_place=True, help="click a feature map: that cell, of that channel")


class Result(NamedTuple):
    """All that is shown."""

    picture: Annotated
    records: tuple[LayerRecord, ...]
    record: LayerRecord
    output: int
    channel: int  # -1: all
    cell: tuple[int, int]  # row, column
    field: ReceptiveField
    effective: EffectiveField | None
    joined: Joined | None
    reach: tuple[Reach, ...]  # for each object of the picture
    names: tuple[str, ...]  # of the classes
    new_class: int  # of a box that the reader draws
    every_module: bool


def compute(state: State) -> Result:
    """The layer's record, the cell at the chosen place, its field, and its gradient if asked for."""
    if not state.pictures or state.recordings is None:
        raise ValueError("there is no picture")
    record = state.records[state.layer]
    if not record.output_shapes:
        raise ValueError(f"layer {record.index} {record.kind} gives out no tensor")
    field = record.receptive_fields[state.output]
    cell = cell_at(field, state.place or first_place(state.shown), state.shown.size)
    effective = None
    if state.effective:
        gradients = state.recordings.gradients(state.shown, record, state.output)
        effective = gradients.of(*cell, None if state.channel < 0 else state.channel)
    found = joined(state.records, state.layer)
    return Result(
        state.shown,
        state.records,
        record,
        state.output,
        state.channel,
        cell,
        field,
        effective,
        found,
        tuple(reach(box, field.of(*cell), effective) for box in state.objects),
        state.names,
        state.new_class,
        state.every_module,
    )


def channels_of(record: LayerRecord, output: int) -> int:
    """Channels of an output: all values of a cell."""
    field, shape = record.receptive_fields[output], record.output_shapes[output]
    if field.dims is None:
        return prod(shape[1:])
    rows, cols = field.grid
    return prod(shape[1:]) // (rows * cols) if field.dims[0] else prod(shape[1:])  # images and cells in one dimension


def cell_at(field: ReceptiveField, place: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the cell that lies over a place xy of the picture; (0, 0) where there is no grid."""
    if field.dims is None:
        return 0, 0
    row, col = (int(p / pixels * cells) for p, pixels, cells in zip(place[::-1], size, field.grid, strict=True))
    return min(max(row, 0), field.grid[0] - 1), min(max(col, 0), field.grid[1] - 1)


def first_place(picture: Annotated) -> tuple[float, float]:
    """The middle of the first object, or of the picture."""
    x1, y1, x2, y2 = picture.boxes[0][:4] if picture.boxes else (0, 0, *picture.size[::-1])
    return (x1 + x2) / 2, (y1 + y2) / 2
