"""Backbone: the choices that every backbone makes, one field each. ``spec`` writes them as the rows of a YAML file.

P2 to P7 are levels of the pyramid: a map of level Pk has stride 2 ** k, one cell per 2 ** k pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from yolo_lite.family.backbones.checks import check_channels, check_numbers, check_products, check_stages, check_words
from yolo_lite.family.backbones.necks import Neck, add_neck
from yolo_lite.family.backbones.stages import BLOCKS, RowList, Stage, Tap, add_pooling, add_stage, add_stem
from yolo_lite.model.rows import Multiples

CHANNELS = (64, 128, 256, 512, 1024, 1024, 1024)  # of the stem and of P2 to P7, before the width multiple
REPEATS = (3, 6, 9, 3, 3, 3)  # of P2 to P7, before the depth multiple
LEVELS: Mapping[str, int] = MappingProxyType({f"P{level}": 2**level for level in range(2, 8)})  # name -> stride
ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {name: f"nn.{name}" for name in ("SiLU", "ReLU", "ReLU6", "Mish", "Hardswish")} | {"LeakyReLU": "nn.LeakyReLU(0.1)"}
)


@dataclass(frozen=True)
class Backbone:
    """A backbone, its neck and its head, as choices. A tuple of numbers has one per stage, from first to last.

    Args:
        stem: how pixels become the first map, of stride 2: "6x6", one convolution; "Focus", a 2x2 square becomes one
            cell (computes the same); "3x3", two convolutions, of which the first has stride 2.
        blocks: of the stages: "residual" (Bottlenecks), "C3", "C2f", "ELAN", "RepConv"; one for all, or one for each.
        channels: of the stem and of each stage, before ``width``; None: those of YOLOv5, 64, 128 ... 1024.
        repeats: of each stage's blocks, before ``depth``; None: those of YOLOv5 (3, 6, 9, 3).
        steps: what each stage multiplies the stride by: 1, 2 or 4; None: (2, 2, ...) down to the last tap. With
            (4, 1, 2, 2) the grid becomes coarse early, which is cheap; with (1, 2, 2, 2, 2) late.
        width, depth: multiply all channels and all repeats. YOLOv5n: .25 and .33.
        groups: of the 3x3 convolutions in the stages' blocks; of an ELAN, they make an E-ELAN.
        depthwise: every channel is a group there, and each step is a depthwise and a 1x1 convolution (MobileNets,
            arXiv 1704.04861). Not for ELAN.
        activation: "SiLU", "ReLU", "LeakyReLU" (of slope .1), "ReLU6", "Mish", "Hardswish".
        norm: "BatchNorm"; "SyncBN", which is BatchNorm over all processes where several train on GPUs; "GroupNorm".
        pooling: after the last stage: "SPPF", "SPP" or "none".
        taps: the levels that neck and head read, "P2" to "P7"; the last is the last stage's.
        tap_before_pooling: the last tap is the last stage's own map; what was pooled only goes down to finer levels.
        neck: "FPN" (arXiv 1612.03144), from coarse to fine; "PAN" (arXiv 1803.01534), and back; "BiFPN" (arXiv
            1911.09070), both ways with learnt weights.
        neck_block, neck_repeats: as blocks and repeats, at each level of FPN and PAN; a BiFPN is repeated as a whole.
            The neck does not follow ``blocks``: with blocks="C2f" alone it keeps its C3.
        neck_channels: of every map in a BiFPN, before ``width``.
        head: "v5", with three anchors per level; "v8", without anchors.
    Raises:
        SpecError (a ValueError): a choice that is not known, or choices that do not fit together.

    The default is YOLOv5l, 46.6 million weights for 80 classes; YOLOv5n has width=.25, depth=.33.

    >>> dials = Backbone(width=0.25, depth=0.33, pooling="none", taps=("P3", "P4"))
    >>> dials.strides, [stage.channels for stage in dials.stages]
    ((8, 16), [32, 64, 128])
    >>> dials.spec()["backbone"][:3]
    [[-1, 1, 'Conv', [16, 6, 2, 2]], [-1, 1, 'Conv', [32, 3, 2]], [-1, 1, 'C3', [32, True, 1]]]
    """

    stem: str = "6x6"
    blocks: str | tuple[str, ...] = "C3"
    channels: tuple[int, ...] | None = None
    repeats: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None
    width: float = 1.0
    depth: float = 1.0
    groups: int = 1
    depthwise: bool = False
    activation: str = "SiLU"
    norm: str = "BatchNorm"
    pooling: str = "SPPF"
    taps: tuple[str, ...] = ("P3", "P4", "P5")
    tap_before_pooling: bool = False
    neck: str = "PAN"
    neck_block: str = "C3"
    neck_repeats: int = 3
    neck_channels: int = 256
    head: str = "v5"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # of a YAML file
                object.__setattr__(self, field.name, tuple(value))
        dials = vars(self)
        check_words(dials, ACTIVATIONS, LEVELS)
        check_numbers(dials)
        check_stages(dials, self.stage_steps, LEVELS, len(CHANNELS) - 1)
        repeats, channels = self.multiples.repeats(self.neck_repeats), self.multiples.channels(self.neck_channels)
        check_products(dials, self.stages, repeats, channels)
        check_channels(dials, self.stages)

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell of each tap."""
        return tuple(LEVELS[tap] for tap in self.taps)

    @property
    def stage_steps(self) -> tuple[int, ...]:
        """``steps``, or those that they are by default: stride 2 in each, from the stem's 2 to the last tap's."""
        return self.steps or (2,) * (int(math.log2(self.strides[-1])) - 1)

    @property
    def multiples(self) -> Multiples:
        """Depth and width, as they multiply the numbers of a YAML file's rows."""
        return Multiples(self.depth, self.width, math.inf)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages with their numbers, as they are built."""
        steps, found, stride = self.stage_steps, [], 2
        blocks = (self.blocks,) * len(steps) if isinstance(self.blocks, str) else self.blocks
        channels = self.channels or CHANNELS[: len(steps) + 1]
        repeats = self.repeats or REPEATS[: len(steps)]
        for block, step, number, wide in zip(blocks, steps, repeats, channels[1:], strict=True):
            stride *= step
            width = self.multiples.channels(wide)
            groups = width // BLOCKS[block] if self.depthwise else self.groups
            found.append(Stage(block, width, self.multiples.repeats(number), step, stride, groups))
        return tuple(found)

    def spec(self, num_classes: int = 80) -> dict[str, Any]:
        """The rows of a YAML file, as a dict that ``create_model`` accepts and ``yaml.safe_dump`` writes.

        Its rows have the numbers that are built: no multiples remain.

        >>> from yolo_lite.model.yolo import create_model
        >>> create_model(Backbone(width=0.25, depth=0.33, taps=("P2", "P3", "P4", "P5")).spec(2)).strides
        (4, 8, 16, 32)
        """
        rows = RowList()
        taps, top = self._add_backbone(rows)
        length = len(rows.rows)
        repeats, channels = self.multiples.repeats(self.neck_repeats), self.multiples.channels(self.neck_channels)
        outputs = add_neck(rows, Neck(self.neck, self.neck_block, repeats, channels), taps, top)
        rows.rows.append([outputs, 1, "Detect", ["nc", "anchors"] if self.head == "v5" else ["nc"]])
        return {
            "nc": num_classes,
            **({"anchors": 3} if self.head == "v5" else {"family": "yolov8"}),
            "activation": ACTIVATIONS[self.activation],
            "norm": self.norm,
            "backbone": rows.rows[:length],
            "head": rows.rows[length:],
        }

    def _add_backbone(self, rows: RowList) -> tuple[list[Tap], int]:
        """The backbone's rows; its taps, and the layer at its end."""
        in_channels = self.multiples.channels((self.channels or CHANNELS)[0])
        add_stem(rows, self.stem, in_channels)
        taps: dict[int, Tap] = {}  # by stride: the last stage that has it
        for stage in self.stages:
            index = add_stage(rows, stage, in_channels, self.depthwise)
            taps[stage.stride] = Tap(index, stage.channels, stage.stride)
            in_channels = stage.channels
        end = add_pooling(rows, self.pooling, in_channels)
        if not self.tap_before_pooling:
            taps[self.strides[-1]] = Tap(end, in_channels, self.strides[-1])
        return [taps[stride] for stride in self.strides], end
