"""Backbone: the choices that every backbone makes, one field each. ``spec`` writes them as the rows of a YAML file.

P2 to P7 are levels of the pyramid: a map of level Pk has stride 2 ** k, one cell per 2 ** k pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from yolo_lite.family.backbones.choices import check_choices, check_groups, check_stages
from yolo_lite.family.backbones.writing import write_spec
from yolo_lite.model.spec import Multiples, SpecError

CHANNELS = (64, 128, 256, 512, 1024, 1024, 1024)  # before the width multiple: of the stem and of P2 to P7
REPEATS = (3, 6, 9, 3, 3, 3)  # before the depth multiple: of P2 to P7
LEVELS: Mapping[str, int] = MappingProxyType({f"P{level}": 2**level for level in range(2, 8)})  # name -> stride


class Stage(NamedTuple):
    """One stage: a step to fewer cells, then its blocks. Numbers are those that are built, after the multiples."""

    block: str
    channels: int
    repeats: int
    step: int  # how many cells of the stage before become one, along each side
    stride: int  # pixels per cell of its output
    groups: int  # of the convolutions of 3x3 in its blocks


@dataclass(frozen=True)
class Backbone:
    """A backbone, its neck and its head, as choices. A tuple of a stage's numbers has one per stage, first to last.

    Args:
        stem: how pixels become the first map, of stride 2: "6x6", one convolution; "Focus", a 2x2 square becomes one
            cell (computes the same); "3x3", two convolutions, of which the first has stride 2.
        blocks: of the stages: "residual" (Bottlenecks), "C3", "C2f", "ELAN", "RepConv"; one for all, or one for each.
        channels: of the stem and of each stage, before ``width``; None: those of YOLOv5, twice as many per level.
        repeats: of each stage's blocks, before ``depth``; None: those of YOLOv5 (3, 6, 9, 3).
        steps: what each stage multiplies the stride by: 1, 2 or 4; None: (2, 2, ...) down to the last tap. (4, 1, 2, 2)
            leaves fine grids early, which is cheap; (1, 2, 2, 2, 2) late.
        width, depth: multiply all channels and all repeats. YOLOv5n: .25 and .33.
        groups: of the 3x3 convolutions in blocks. depthwise: every channel is a group there, and the steps are
            a depthwise 3x3 and a 1x1 convolution (MobileNets, arXiv 1704.04861).
        activation: "SiLU", "ReLU", "LeakyReLU" (of slope .1), "ReLU6", "Mish", "Hardswish".
        norm: "BatchNorm"; "SyncBN", which is BatchNorm over all processes where several train on GPUs; "GroupNorm".
        pooling: after the last stage: "SPPF", "SPP" or "none".
        taps: the levels that neck and head read, "P2" to "P7"; the last stage is one of them.
        tap_before_pooling: the last tap is the last stage's own map; what was pooled only goes down to finer levels.
        neck: "FPN" (arXiv 1612.03144), from coarse to fine; "PAN" (arXiv 1803.01534), and back; "BiFPN" (arXiv
            1911.09070), both ways with learnt weights.
        neck_block, neck_repeats: as blocks and repeats, at each level of FPN and PAN; a BiFPN is repeated as a whole.
        neck_channels: of every map in a BiFPN, before ``width``.
        head: "v5", with three anchors per level; "v8", without anchors.
    Raises:
        SpecError (a ValueError): a choice that is not known, or choices that do not fit together.

    The default is YOLOv5l, row by row.
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

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell of each tap."""
        return tuple(LEVELS[tap] for tap in self.taps)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages with their numbers, as they are built."""
        raise NotImplementedError

    def spec(self, num_classes: int = 80) -> dict[str, Any]:
        """The rows of a YAML file, as a dict that ``create_model`` accepts and ``yaml.safe_dump`` writes."""
        raise NotImplementedError
