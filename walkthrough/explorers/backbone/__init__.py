"""BackboneExplorer: turn a dial of a backbone, and see shapes, fields, cost and the graph of layers change."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from walkthrough.explorers.backbone.networks import Networks, first_tap, like_layer
from walkthrough.explorers.backbone.scene import level_of, scene_of, takeaway_of
from walkthrough.explorers.backbone.state import DIALS, START, Result, State, compute
from walkthrough.explorers.inputs import is_dataset, opened_dataset
from walkthrough.explorers.pictures import Annotations, PictureExplorer, annotate, listed_names, pictured
from walkthrough.explorers.stage import Story
from walkthrough.layers.table import shape_in_words
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import collate
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.family.backbones import Backbone

SIZE, SCENES = 256, 4  # pixels of the pictures, a multiple of every stride up to P7's; how many scenes


class BackboneExplorer(PictureExplorer[State, Result]):
    """The choices that every backbone makes, one control for each; what the network of these choices is and costs.

    The networks are untrained. Numbers come from ``record_layers`` of ``create_model(dials.spec())``.

    Args:
        images, targets, names: see annotate; left out: drawn scenes.
        backbone: a Backbone to start from and to compare with; left out: that of YOLOv5n.
        img_size: side to which pictures are letterboxed.

    >>> w = BackboneExplorer(pooling="none")
    >>> stride_32 = w.result.stages[-1]
    >>> stride_32.sees, w.result.start_stages[-1].sees
    (266, 650)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Backbone: the dials"
    part_of = "layers"
    primary = ("blocks", "width", "depth")
    stories = (
        Story("no pooling", {"pooling": "none"}, "fewer parameters, and the coarsest cells see far less."),
        Story("coarser early", {"downsampling": "early"}, "cheaper, and small objects have fewer cells."),
        Story("twice as wide", {"width": 0.5}, "four times the parameters, and the same receptive field."),
        Story("with P2", {"taps": ("P2", "P3", "P4", "P5")}, "a level of stride 4 for small objects; see its cost."),
    )

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        images: Any = None,
        targets: Any = None,
        backbone: Backbone | None = None,
        names: Sequence[str] | None = None,
        img_size: int = SIZE,
    ) -> dict[str, Any]:
        """See the class. The first network runs here, on the first picture."""
        backbone = START if backbone is None else backbone
        if not isinstance(backbone, Backbone):
            raise ValueError(f"backbone: {type(backbone).__name__} is not a Backbone (yolo_lite.family.backbones)")
        images = opened_dataset(images) if is_dataset(images) else images
        scenes = Shapes("val", img_size, SCENES)
        known = names if names is not None else getattr(images, "names", None) or scenes.names
        pictures = _pictures(images, targets, img_size, scenes, listed_names(known))
        networks = Networks()
        records = networks.records(backbone, pictures[0])
        own = {name: getattr(backbone, name) for name in DIALS if name != "steps"}
        return (
            pictured(pictures, listed_names(known))
            | own
            | {
                "networks": networks,
                "backbone": backbone,
                "records": records,
                "layer": first_tap(records, pictures[0].size[0]),
            }
        )

    def settle(self, before: State, after: State) -> State:
        """Other dials or another picture: another pass; the end of the same stage is looked at."""
        after = super().settle(before, after)
        if not after.pictures or after.networks is None:
            return after
        dials = after.dials
        changed = not before.pictures or dials != before.dials
        if changed or after.shown is not before.shown:
            after = replace(after, records=after.networks.records(dials, after.shown))
        if before.pictures and changed and after.layer == before.layer:
            layer = like_layer(before.records, before.layer, after.records, after.shown.size[0])
            after = replace(after, layer=layer)
        if after.layer >= len(after.records):
            after = replace(after, layer=first_tap(after.records, after.shown.size[0]))
        return after

    def words(self) -> str:
        """The dials that were turned, the stages, and the cost, which is the same on every machine."""
        result = self.require()
        turned = [name for name in DIALS if getattr(result.dials, name) != getattr(self.state.backbone, name)]
        dials = ", ".join(f"{name} {getattr(result.dials, name)}" for name in turned) or "as at the start"
        stages = "; ".join(
            f"{level_of(stage)} stride {stage.stride}, {stage.channels} channels, "
            f"sees {f'{stage.sees} pixels' if stage.sees else 'all'}{'' if stage.tap is None else ', read by the neck'}"
            for stage in result.stages
        )
        now, start = result.now["all"], result.start["all"]
        return (
            f"{dials}\n{stages}\n"
            f"{now.layers} layers, {now.parameters:,} parameters ({start.parameters:,} at the start), "
            f"{now.flops / 1e6:,.0f} MFLOPs ({start.flops / 1e6:,.0f}); "
            f"layer {result.record.index} {result.record.kind}: {shape_in_words(result.record.output_shape)}"
        )

    def as_code(self) -> str:
        """The same network without an explorer."""
        dials, plain = self.state.dials, Backbone()
        options = [f"{name}={value!r}" for name, value in vars(dials).items() if value != getattr(plain, name)]
        return (
            "from yolo_lite.family.backbones import Backbone\n"
            f"dials = Backbone({', '.join(options)})\n"
            "model = yl.create_model(dials.spec(6)).eval()\n"
            "show_layers(record_layers(model, images))"
        )


def _pictures(images: Any, targets: Any, size: int, scenes: Shapes, names: Sequence[str]) -> Annotations:
    if images is not None:
        return annotate(images, targets, size, names)
    dataset = YoloDataset(scenes, size)
    return annotate(collate([dataset[index] for index in range(SCENES)]))
