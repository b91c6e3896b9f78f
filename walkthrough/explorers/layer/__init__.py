"""LayerExplorer: the layers of a model as a graph, and of one of them all that it makes and can see."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from walkthrough._moved import moved_name
from walkthrough.explorers.advice import fetched_weights
from walkthrough.explorers.copying import model_lines
from walkthrough.explorers.detector import fit_pictures, network_size
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.layer.detail import joined
from walkthrough.explorers.layer.recordings import Recordings
from walkthrough.explorers.layer.scene import PAGE, is_map, place_in_maps, scene_of, takeaway_of
from walkthrough.explorers.layer.state import Result, State, channels_of, compute, first_place
from walkthrough.explorers.pictures import (
    IMAGE_SIZE,
    Annotated,
    Annotations,
    PictureExplorer,
    annotate,
    images_of,
    listed_names,
    pictured,
)
from walkthrough.explorers.stage import Story
from walkthrough.layers.record import LayerRecord
from walkthrough.layers.table import came_from, shape_in_words
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import collate
from yolo_lite.datasets.shapes import Shapes

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0

SCENES = (0, 2, 10, 15)  # of the validation images


def _story(label: str, kinds: tuple[str, ...], look_for: str) -> Story:
    """A story about the last layer of one of these kinds, for the models that have one."""

    def settings(state: State) -> Mapping[str, Any]:
        found = [record.index for record in state.records if record.kind in kinds]
        return {"layer": found[-1]} if found else {}

    return Story(label, settings, look_for)


class LayerExplorer(PictureExplorer[State, Result]):
    """The graph of a model's layers; of the chosen one its modules, maps, and the part of the picture that a cell sees.

    Args:
        images, targets: see annotate; left out: drawn scenes for a model of their classes, otherwise the tour's
            photographs. names: of the classes, the model's where left out.
        model: a Yolo, or any module on (N, 3, H, W) in [0, 1]; a name or path is loaded; left out: "shapes-n".
        img_size: to letterbox listed images to; left out: what the model was trained at, or 640.

    >>> w = LayerExplorer(layer=12, place=(128, 128))
    >>> w.result.record.kind, w.result.record.inputs, w.result.cell, w.result.field.size
    ('Concat', (11, 6), (8, 8), (650, 650))
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Layer by layer"
    part_of = "layers"
    primary = ("layer", "channel")
    stories = (
        Story("first edges", {"layer": 0}, "a cell sees a few pixels; its channels answer to edges and colours."),
        _story("pooling", ("SPPF", "SPP"), "a cell sees the whole picture, and what lies near it counts most."),
        _story("joined", ("Concat",), "what comes from above and what from beside, channel after channel."),
        _story("predictions", ("Detect", "DetectDFL"), "of all that it sees, its object counts most for a cell."),
    )

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
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
            "place": first_place(pictures[0]),
            "left_out": " ".join(left_out),
        }

    def settle(self, before: State, after: State) -> State:
        """Another picture is recorded; a click on a map chooses cell and channel; what is not there is left."""
        recordings = after.recordings
        if not after.pictures or recordings is None:
            return after
        after = super().settle(before, after)
        if before.pictures and after.shown.pixels is not before.shown.pixels:
            after = replace(after, records=tuple(recordings.records(after.shown)))
            if after.place == before.place:
                after = replace(after, place=first_place(after.shown))
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

    def words(self) -> str:
        """What the layer is, and what its cell sees."""
        result = self.require()
        record, (row, col) = result.record, result.cell
        shapes = "; ".join(map(shape_in_words, record.output_shapes))
        x1, y1, x2, y2 = result.field.of(row, col)
        lines = [
            f"{len(result.records)} layers; {record.index} {record.kind}, from {came_from(record)}: {shapes}, "
            f"{record.parameters:,} parameters",
            f"a cell sees {result.field}; in picture {result.picture.name} the one at row {row}, column {col} sees "
            f"x {x1} to {x2}, y {y1} to {y2}",
        ]
        if is_map(record, result.output):
            what = f"channel {result.channel}" if result.channel >= 0 else "its channels"
            lines.append(f"maps: {what}, dark blue where lowest, yellow where highest")
        return "\n".join(lines)

    def network(self) -> Any:
        """The network whose layers are shown."""
        return self.state.recordings.model if self.state.recordings is not None else None

    def use(self, name: str) -> None:
        """Look at the layers of official weights that were fetched."""
        model = opened_model(fetched_weights()[name])
        recordings, own = Recordings(model), self.own_pictures()
        known = pictured(own, listed_names(getattr(model, "names", None) or ()))["names"]
        records = tuple(recordings.records(self.state.shown))
        shown = {"pictures": own, "picture": own.index(self.state.shown)}
        self.set(**shown, recordings=recordings, records=records, names=known)

    def cell_names(self) -> dict[str, str]:
        """The model, and a batch of the pictures."""
        return super().cell_names() | {"model": model_lines(self._given.get("model"), type(self).__name__, "shapes-n")}

    def as_code(self) -> str:
        """The same numbers without an explorer."""
        state, (row, col) = self.state, self.result.cell if self.result is not None else (0, 0)
        which = {"channel": state.channel, "output": state.output, "image": state.picture}
        chosen = {name: value for name, value in which.items() if value > (-1 if name == "channel" else 0)}
        options = "".join(f", {name}={value}" for name, value in chosen.items())
        return (
            f"record = record_layers(model, images)[{state.layer}]\nrecord.receptive_fields[{state.output}]"
            f".of({row}, {col}), effective_field(model, images, record, {row}, {col}{options})"
        )


def _middle(record: LayerRecord, output: int, cell: tuple[int, int], picture: Annotated) -> tuple[float, float]:
    rows, cols = record.receptive_fields[output].grid
    return (cell[1] + 0.5) * picture.size[1] / cols, (cell[0] + 0.5) * picture.size[0] / rows


def _pictures(model: nn.Module, images: Any, targets: Any, img_size: int | None, left_out: list[str]) -> Annotations:
    size = network_size(model, img_size, IMAGE_SIZE)
    if images is None and tuple(getattr(model, "names", None) or ()) == load_names():
        side = size if isinstance(size, int) else max(size)
        dataset = YoloDataset(Shapes("val", side, max(SCENES) + 1), side, stride=1)
        pictures = fit_pictures(annotate(collate([dataset[index] for index in SCENES])), size)
        return pictures if targets is None else annotate(images_of(pictures), targets)
    if images is None:  # the tour's photographs are square
        return fit_pictures(annotate(None, targets, max(size) if isinstance(size, tuple) else size), size)
    return annotate(images, targets, size, getattr(model, "names", None) or (), left_out)


def load_names() -> tuple[str, ...]:
    """The classes of the drawn scenes."""
    return tuple(Shapes("val", 64, 1).names)
