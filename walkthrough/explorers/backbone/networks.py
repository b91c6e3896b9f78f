"""The networks that BackboneExplorer builds: of a choice of dials, what every layer makes of a picture."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from walkthrough.explorers.layer.graph import stride_of
from walkthrough.explorers.pictures import Annotated, images_of, taking
from walkthrough.layers.record import LayerRecord, record_layers
from yolo_lite.family.backbones import Backbone
from yolo_lite.model.yolo import create_model

KEPT = 8  # passes that stay in memory
CLASSES = 6


class Networks:
    """Untrained networks of dials on pictures: each is built and recorded once, and kept for the last few."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Backbone, int], tuple[Annotated, tuple[LayerRecord, ...]]] = OrderedDict()

    def records(self, dials: Backbone, picture: Annotated) -> tuple[LayerRecord, ...]:
        """Every layer of the network, on the picture. Raises ValueError where the two do not fit."""
        key = (dials, id(picture.pixels))  # the picture is kept along, so that the number stays its own
        if key not in self._kept:
            model = create_model(dials.spec(CLASSES)).eval()
            with taking(picture):
                self._kept[key] = picture, tuple(record_layers(model, images_of((picture,))))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key][1]


class Stage(NamedTuple):
    """The layers of a backbone that have one stride."""

    stride: int
    layers: tuple[int, ...]
    channels: int  # of the last of them
    sees: int | None  # pixels along a side, of a cell of the last of them; None: the whole image
    parameters: int
    flops: int
    tap: int | None  # the layer that neck or head read, if one


def stages_of(records: Sequence[LayerRecord], rows: int) -> tuple[Stage, ...]:
    """The stages, from fine to coarse.

    Args:
        rows: of the image.
    """
    backbone = [record for record in records if record.part == "backbone"]
    read = {source for record in records if record.part != "backbone" for source in record.inputs}
    strides = {record.index: round(stride_of(record, rows)) for record in backbone}
    found = []
    for stride in sorted(set(strides.values())):
        own = [record for record in backbone if strides[record.index] == stride]
        taps = [record.index for record in own if record.index in read]
        found.append(
            Stage(
                stride,
                tuple(record.index for record in own),
                own[-1].output_shape[1],
                own[-1].receptive_field.size[0],
                sum(record.parameters for record in own),
                sum(record.flops for record in own),
                taps[-1] if taps else None,
            )
        )
    return tuple(found)


def first_tap(records: Sequence[LayerRecord], rows: int) -> int:
    """The layer of the backbone's finest tap."""
    return next((stage.tap for stage in stages_of(records, rows) if stage.tap is not None), 0)


def like_layer(before: Sequence[LayerRecord], layer: int, after: Sequence[LayerRecord], rows: int) -> int:
    """The layer of another network that ends the stage of this one's; the finest tap where there is none."""
    stride = next((stage.stride for stage in stages_of(before, rows) if layer in stage.layers), 0)
    found = next((stage for stage in stages_of(after, rows) if stage.stride == stride), None)
    return first_tap(after, rows) if found is None else found.layers[-1] if found.tap is None else found.tap
