"""LayerExplorer: the layers of a model as a graph, and of one of them all that it makes and can see."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from walkthrough.explorers.controls import choice, given, point, slider, toggle
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.layer_detail import Joined, Reach, joined, reach
from walkthrough.explorers.layer_scene import PAGE, place_in_maps, scene_of
from walkthrough.explorers.pictures import (
    IMAGE_SIZE,
    Annotated,
    Annotations,
    PictureExplorer,
    PictureState,
    annotate,
    images_of,
    listed_names,
    pictured,
    taking,
)
from walkthrough.layers.effective import CellGradients, EffectiveField
from walkthrough.layers.fields import ReceptiveField
from walkthrough.layers.record import LayerRecord, record_layers
from walkthrough.layers.table import came_from, shape_in_words
from walkthrough.scene import Scene
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import collate
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import trained_size

SCENES = (0, 2, 10, 15)  # of the validation images
KEPT = 4  # pictures whose records stay in memory


class Recordings:
    """A model's passes over pictures: made once, kept for the last few pictures."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._records: OrderedDict[int, tuple[Annotated, list[LayerRecord]]] = OrderedDict()
        self._gradients: tuple[Any, CellGradients] | None = None

    def records(self, picture: Annotated) -> list[LayerRecord]:
        """All layers for a picture. Raises ValueError where the model cannot take it."""
        key = id(picture.pixels)  # the picture is kept along, so that the number stays its own
        if key not in self._records:
            self._records[key] = (picture, self._recorded(picture))
            if len(self._records) > KEPT:
                self._records.popitem(last=False)
        return self._records[key][1]

    def gradients(self, picture: Annotated, record: LayerRecord, output: int) -> CellGradients:
        """What gives the gradients of a layer's cells; kept for the last layer that was asked for."""
        key = (id(picture.pixels), record, output)
        if self._gradients is None or self._gradients[0] != key:
            self._gradients = None  # frees the pass before the next one is made
            self._gradients = key, CellGradients(self.model, self._input(picture), record, output)
        return self._gradients[1]

    def _recorded(self, picture: Annotated) -> list[LayerRecord]:
        with taking(picture):
            return record_layers(self.model, self._input(picture), depth=None, kept_depth=1)

    def _input(self, picture: Annotated) -> torch.Tensor:
        weight = next(iter((*self.model.parameters(), *self.model.buffers())), None)
        images = images_of((picture,))
        return images if weight is None or not weight.is_floating_point() else images.to(weight.device, weight.dtype)


def _layers(state: "State") -> Mapping[str, int]:
    return {f"{record.index} {record.kind}": record.index for record in state.records}


def _highest_channel(state: "State") -> int:
    return max(channels_of(state.records[state.layer], state.output) - 1, 0) if state.records else 0


@dataclass(frozen=True)
class State(PictureState):
    """Which layer, which of its cells, which of its channels."""

    recordings: Recordings | None = given()
    records: tuple[LayerRecord, ...] = given(())  # of the shown picture
    layer: int = choice(0, _layers, help="click a layer in the graph", linked=False)
    output: int = slider(
        0,
        0,
        lambda state: len(state.records[state.layer].output_shapes) - 1 if state.records else 0,
        help="which of the layer's outputs",
        shown=lambda state: bool(state.records) and len(state.records[state.layer].output_shapes) > 1,
    )
    channel: int = slider(-1, -1, _highest_channel, help="whose gradient; -1: the sum of all channels", heavy=True)
    effective: bool = toggle(True, label="effective field", help="measure by gradients what the cell listens to")
    every_module: bool = toggle(False, label="modules in modules")
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


class LayerExplorer(PictureExplorer):
    """The graph of a model's layers; of the chosen one its modules, maps, and the part of the picture that a cell sees.

    Args:
        images, targets: see annotate; left out: drawn scenes for a model of their classes, otherwise the tour's
            photographs. names: of the classes, the model's where left out.
        model: a Yolo, or any module that takes (N, 3, H, W) in [0, 1]; a name or path is loaded; left out: "shapes-n".
        img_size: to letterbox listed images to; left out: what the model was trained at, or 640.

    >>> w = LayerExplorer(layer=12, place=(128, 128))
    >>> w.result.record.kind, w.result.record.inputs, w.result.cell, w.result.field.size
    ('Concat', (11, 6), (8, 8), (650, 650))
    """

    State = State
    title = "Layer by layer"

    @classmethod
    def prepare(
        cls,
        images: Any = None,
        model: Any = None,
        img_size: int | None = None,
        targets: Any = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
    ) -> dict[str, Any]:
        """See the class. The model runs here, on the first picture."""
        model = opened_model("shapes-n" if model is None else model)
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"a model is a torch.nn.Module, or the name or path of weights, not {type(model).__name__}"
            )
        left_out: list[str] = []
        pictures = _pictures(model, images, targets, img_size, left_out)
        recordings = Recordings(model)
        records = tuple(recordings.records(pictures[0]))
        layer = max((k for k, record in enumerate(records) if len(record.inputs) > 1 and joined(records, k)), default=0)
        known = getattr(model, "names", None) or () if names is None else names
        return pictured(pictures, listed_names(known)) | {
            "recordings": recordings,
            "records": records,
            "layer": layer,
            "place": _first_place(pictures[0]),
            "left_out": " ".join(left_out),
        }

    def settle(self, before: State, after: State) -> State:
        """Another picture is recorded; a click on a map chooses cell and channel; what is not there is left."""
        if not after.pictures or after.recordings is None:
            return after
        after = super().settle(before, after)
        if before.pictures and after.shown.pixels is not before.shown.pixels:
            after = replace(after, records=tuple(after.recordings.records(after.shown)))
            if after.place == before.place:
                after = replace(after, place=_first_place(after.shown))
        if after.layer >= len(after.records):
            after = replace(after, layer=0)
        record = after.records[after.layer]
        if not record.output_shapes:
            return replace(after, output=0, channel=-1, map_place=None)
        if after.output >= len(record.output_shapes) or after.layer != before.layer:
            after = replace(after, output=min(after.output, len(record.output_shapes) - 1))
        channels = channels_of(record, after.output)
        if after.map_place is not None:
            found = place_in_maps(record, after.output, max(after.channel, 0) // PAGE * PAGE, after.map_place)
            after = replace(after, map_place=None)
            if found is not None:
                channel, row, col = found
                after = replace(after, channel=channel, place=_middle(record, after.output, (row, col), after.shown))
        return replace(after, channel=after.channel if after.channel < channels else -1)

    @staticmethod
    def compute(state: State) -> Result:
        """The layer's record, the cell at the chosen place, its field, and its gradient if wanted."""
        if not state.pictures or state.recordings is None:
            raise ValueError("there is no picture")
        record = state.records[state.layer]
        if not record.output_shapes:
            raise ValueError(f"layer {record.index} {record.kind} gives out no tensor")
        field = record.receptive_fields[state.output]
        cell = cell_at(field, state.place or _first_place(state.shown), state.shown.size)
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

    @staticmethod
    def scene(result: Result) -> Scene:
        """The graph; picture and maps; what upsampling lost; numbers and modules."""
        return scene_of(result)

    def words(self) -> str:
        """What the layer is, and what its cell sees."""
        result: Result = self.result
        record, (row, col) = result.record, result.cell
        shapes = "; ".join(map(shape_in_words, record.output_shapes))
        x1, y1, x2, y2 = result.field.of(row, col)
        lines = [
            f"{len(result.records)} layers; {record.index} {record.kind}, from {came_from(record)}: {shapes}, "
            f"{record.parameters:,} parameters",
            f"a cell sees {result.field}; in {result.picture.name} the one at row {row}, column {col} sees "
            f"x {x1} to {x2}, y {y1} to {y2}",
        ]
        return "\n".join(lines)

    def as_code(self) -> str:
        """The same numbers without an explorer."""
        state, (row, col) = self.state, self.result.cell if self.result is not None else (0, 0)
        which = {"channel": state.channel, "output": state.output, "image": state.picture}
        told = "".join(f", {name}={value}" for name, value in which.items() if value > (-1 if name == "channel" else 0))
        return (
            f"record = record_layers(model, images)[{state.layer}]\nrecord.receptive_fields[{state.output}]"
            f".of({row}, {col}), effective_field(model, images, record, {row}, {col}{told})"
        )


def channels_of(record: LayerRecord, output: int) -> int:
    """Channels of an output: all values of a cell."""
    dims, shape = record.receptive_fields[output].dims, record.output_shapes[output]
    count = 1
    for dim, cells in enumerate(shape):
        count *= 1 if dim == 0 or (dims is not None and dim in dims) else cells
    return count


def cell_at(field: ReceptiveField, place: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the cell that lies over a place xy of the picture; (0, 0) where there is no grid."""
    if field.dims is None:
        return 0, 0
    row, col = (int(p / pixels * cells) for p, pixels, cells in zip(place[::-1], size, field.grid, strict=True))
    return min(max(row, 0), field.grid[0] - 1), min(max(col, 0), field.grid[1] - 1)


def _middle(record: LayerRecord, output: int, cell: tuple[int, int], picture: Annotated) -> tuple[float, float]:
    rows, cols = record.receptive_fields[output].grid
    return (cell[1] + 0.5) * picture.size[1] / cols, (cell[0] + 0.5) * picture.size[0] / rows


def _first_place(picture: Annotated) -> tuple[float, float]:
    """The middle of the first object, or of the picture."""
    x1, y1, x2, y2 = picture.boxes[0][:4] if picture.boxes else (0, 0, *picture.size[::-1])
    return (x1 + x2) / 2, (y1 + y2) / 2


def _pictures(model: nn.Module, images: Any, targets: Any, img_size: int | None, left_out: list[str]) -> Annotations:
    trained = trained_size(model) or IMAGE_SIZE
    stride = max((int(stride) for stride in getattr(model, "strides", ())), default=1)
    size = img_size or -(-trained // stride) * stride
    if images is None and tuple(getattr(model, "names", None) or ()) == load_names():
        dataset = YoloDataset(Shapes("val", size, max(SCENES) + 1), size)
        pictures = annotate(collate([dataset[index] for index in SCENES]))
        return pictures if targets is None else annotate(images_of(pictures), targets)
    return annotate(images, targets, size, getattr(model, "names", None) or (), left_out)


def load_names() -> tuple[str, ...]:
    """The classes of the drawn scenes."""
    return tuple(Shapes("val", 64, 1).names)
