"""What BackboneExplorer computes: of the chosen dials a network, its layers on a picture, and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from walkthrough.explorers.backbone.networks import Networks, Stage, stages_of
from walkthrough.explorers.controls import choice, given, point, toggle
from walkthrough.explorers.layer.state import cell_at
from walkthrough.explorers.pictures import Annotated, PictureState
from walkthrough.layers.record import LayerRecord
from yolo_lite.family.backbones import Backbone
from yolo_lite.family.backbones.dials import ACTIVATIONS, CHANNELS, REPEATS
from yolo_lite.family.backbones.necks import NECKS
from yolo_lite.family.backbones.stages import BLOCKS, POOLINGS, STEMS
from yolo_lite.model.norms import NORMS

START = Backbone(width=0.25, depth=0.33)
WIDTHS, DEPTHS, GROUPS = (0.125, 0.25, 0.5, 0.75, 1.0), (0.33, 0.67, 1.0), (1, 2, 4, 8)
TAPS = (("P3", "P4"), ("P3", "P4", "P5"), ("P2", "P3", "P4", "P5"), ("P3", "P4", "P5", "P6"))
DIALS = (
    *("stem", "blocks", "steps", "width", "depth", "groups", "depthwise", "activation", "norm"),
    *("pooling", "taps", "tap_before_pooling", "neck", "head"),
)
AS_GIVEN, EARLY, LATE = "as given", "early", "late"
TAP_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType({" ".join(taps): taps for taps in TAPS})


def _with_own(name: str, known: tuple[Any, ...]) -> Any:
    """The usual values of a dial, and the one of the reader's own backbone."""

    def options(state: "State") -> dict[str, Any]:
        values = dict.fromkeys((*known, getattr(state.backbone, name)))
        return {_word(value): value for value in values}

    return options


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class State(PictureState):
    """The dials, one for each choice of a Backbone; a layer and a place to look at."""

    networks: Networks | None = given()
    backbone: Backbone = given(START)  # what the numbers are compared with; what no control stands for is taken from it
    records: tuple[LayerRecord, ...] = given(())  # of the chosen dials
    stem: str = choice(START.stem, STEMS, group="backbone", help="how pixels become the first map, of stride 2")
    blocks: Any = choice(
        START.blocks,
        _with_own("blocks", tuple(BLOCKS)),
        label="block",
        group="backbone",
        help="the block that each stage repeats",
    )
    downsampling: str = choice(
        AS_GIVEN,
        (AS_GIVEN, EARLY, LATE),
        group="backbone",
        help="where the grid becomes coarser: early, the first stage has stride 8; late, one more stage at stride 2",
    )
    width: float = choice(
        START.width,
        _with_own("width", WIDTHS),
        group="backbone",
        help="multiplies the channels of every layer: twice as wide costs about four times as much",
    )
    depth: float = choice(
        START.depth,
        _with_own("depth", DEPTHS),
        group="backbone",
        help="multiplies how often the stages repeat their block: deeper sees further, and costs as much more",
    )
    groups: int = choice(
        START.groups,
        _with_own("groups", GROUPS),
        group="backbone",
        help="3x3 convolutions read only the channels of their own group: more groups, fewer parameters",
    )
    depthwise: bool = toggle(
        START.depthwise,
        group="backbone",
        help="3x3 convolutions read one channel each: cheapest, and 1x1 ones mix them",
    )
    activation: str = choice(
        START.activation,
        tuple(ACTIVATIONS),
        group="backbone",
        help="what each number goes through after a convolution; without it all layers together would be one",
    )
    norm: str = choice(
        START.norm, NORMS, group="backbone", help="what keeps the numbers of a layer in one range while it learns"
    )
    pooling: str = choice(
        START.pooling,
        POOLINGS,
        group="backbone",
        help="after the last stage, maxima over wide windows: what is far away is seen, too",
    )
    taps: tuple[str, ...] = choice(
        START.taps,
        _with_own("taps", TAPS),
        group="neck and head",
        help="the levels that the neck reads, each with a grid of its own: P2 finds small objects, and costs most",
    )
    tap_before_pooling: bool = toggle(
        START.tap_before_pooling,
        label="tap before pooling",
        group="neck and head",
        help="the coarsest level is read before the pooling, and what was pooled goes to finer levels only",
    )
    neck: str = choice(
        START.neck,
        NECKS,
        group="neck and head",
        help="how levels learn of each other: FPN from coarse to fine, PAN back again as well",
    )
    head: str = choice(
        START.head,
        ("v5", "v8"),
        group="neck and head",
        help="v5 corrects anchors and has an objectness; v8 has neither",
    )
    layer: int = choice(
        0,
        lambda state: {f"{record.index} {record.kind}": record.index for record in state.records},
        help="the layer whose map and receptive field are shown; a click in the graph does the same",
        group="look",
        linked=False,
    )
    place: tuple[float, float] | None = point(is_place=True, help="click the picture: the cell there is looked at")

    @property
    def dials(self) -> Backbone:
        """The chosen backbone. Raises SpecError (a ValueError) where the choices do not fit together."""
        names = [name for name in DIALS if name != "steps"]
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(self.backbone, name)}
        if self.downsampling != AS_GIVEN:
            changed |= schedule(self.downsampling, len(replace(self.backbone, **changed).stage_steps))
        return replace(self.backbone, **changed)


def schedule(kind: str, stages: int) -> dict[str, tuple[int, ...]]:
    """Fields of a Backbone: where the grid becomes coarser.

    Args:
        kind: "early", the stride is 8 after the first stage; "late", one more stage before the first step, as wide as
            the stem and as deep as the first stage. stages: how many there are usually, with a step of 2 each.

    >>> schedule("early", 4), schedule("late", 3)["steps"]
    ({'steps': (4, 1, 2, 2)}, (1, 2, 2, 2))
    """
    if kind == EARLY:
        return {"steps": (4, 1, *(2,) * (stages - 2))}
    channels = (CHANNELS[0], *CHANNELS[: stages + 1])
    return {"steps": (1, *(2,) * stages), "channels": channels, "repeats": (REPEATS[0], *REPEATS[:stages])}


class Cost(NamedTuple):
    """Of a network, or of a part of it."""

    layers: int
    parameters: int
    flops: int  # for one image
    seconds: float  # of one pass over the picture


class Result(NamedTuple):
    """All that is shown."""

    picture: Annotated
    dials: Backbone
    records: tuple[LayerRecord, ...]
    record: LayerRecord  # the chosen layer
    cell: tuple[int, int]  # row, column
    stages: tuple[Stage, ...]
    now: Mapping[str, Cost]  # of backbone, neck, head and all
    start: Mapping[str, Cost]  # of the backbone that is compared with
    start_stages: tuple[Stage, ...]
    new_class: int  # of a box that the reader draws


def compute(state: State) -> Result:
    """The layers of the chosen network, what they cost, and what those of the first one cost."""
    if not state.pictures or state.networks is None:
        raise ValueError("there is no picture")
    records = state.networks.records(state.dials, state.shown)
    start = state.networks.records(state.backbone, state.shown)
    record = records[state.layer]
    height, width = state.shown.size
    rows = state.shown.size[0]
    return Result(
        state.shown,
        state.dials,
        records,
        record,
        cell_at(record.receptive_field, state.place or (width / 2, height / 2), state.shown.size),
        stages_of(records, rows),
        costs(records),
        costs(start),
        stages_of(start, rows),
        state.new_class,
    )


def costs(records: tuple[LayerRecord, ...]) -> dict[str, Cost]:
    """What each part of the network costs, and all of it.

    >>> from walkthrough.explorers.pictures import annotate
    >>> costs(Networks().records(START, annotate(size=64)[0]))["all"].parameters
    1772035
    """
    parts = {part: [r for r in records if r.part == part] for part in ("backbone", "neck", "head")}
    return {part: _cost(found) for part, found in (parts | {"all": list(records)}).items()}


def _cost(records: list[LayerRecord]) -> Cost:
    sums = (sum(getattr(record, name) for record in records) for name in ("parameters", "flops", "seconds"))
    return Cost(len(records), *sums)
