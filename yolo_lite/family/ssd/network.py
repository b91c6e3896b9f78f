"""SSD's network: VGG16, layers that make the map smaller and smaller, and a pair of convolutions on each.

Shape letters: N batch, A default boxes per cell, C classes, H W grid of a level.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite.family.building import Layers, one_of, read_entries, read_settings, width_of
from yolo_lite.family.pyramid import anchors_apart
from yolo_lite.family.ssd.loss import SsdLoss, SsdSettings, decode_ssd
from yolo_lite.family.vgg import add_vgg, vgg_grids
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.layered import LayeredDetector, anchor_rows
from yolo_lite.model.spec import SpecError, whole_number

LARGEST_SIZE = 4096  # pixels
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "backbone": "vgg16",  # or "vgg16_bn": BatchNorm after every convolution, easier to train from scratch
        "width": 1.0,  # multiplies all channels but the head's
        "size": 300,  # side of the images in pixels, or [height, width]
        "levels": 6,  # maps with default boxes; 2 to 6: small images need fewer
        "settings": {},  # of the loss, by name: {"negatives": 1.0}
    }
)


class SsdHead(nn.Module):
    """On each level one convolution for offsets and one for classes, the background's column first.

    Shape: list of (N, channels, H, W) -> list of (N, A, H, W, 4 + 1 + C).
    """

    def __init__(self, channels: Sequence[int], anchors: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.anchors = tuple(anchors)
        self.box, self.cls = (
            nn.ModuleList(
                nn.Conv2d(wide, count * columns, 3, padding=1) for wide, count in zip(channels, anchors, strict=True)
            )
            for columns in (4, 1 + num_classes)
        )
        for conv in [*self.box, *self.cls]:
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        levels = zip(features, self.box, self.cls, self.anchors, strict=True)
        return [
            torch.cat([anchors_apart(conv(feature), count) for conv in (box, cls)], -1)
            for feature, box, cls, count in levels
        ]


class Ssd(LayeredDetector):
    """An SSD, a detector. Make one with ``create_model("ssd300")``.

    Its images have one size, ``fixed_size``: where the default boxes are follows from it, and from the maps alone it
    cannot be told (38 cells are 300 pixels, and 304). Another size is another spec, with the same weights.
    Images in [0, 1].
    """

    fixed_size: tuple[int, int]
    reads_hyp = False

    def __init__(
        self,
        spec: Mapping[str, Any],
        layers: Layers,
        names: Sequence[str],
        settings: SsdSettings,
        size: tuple[int, int],
    ) -> None:
        grids = vgg_grids(size[0], len(settings.steps))
        strides = [step or size[0] // rows for step, rows in zip(settings.steps, grids, strict=True)]
        modules = nn.ModuleList(layers.modules)
        super().__init__(spec, layers.rows, modules, strides, names, spec["ch"])
        self.settings, self.fixed_size = settings, size

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the head belong to which class; the background's column belongs to none."""
        prefix = f"layers.{self.rows[-1].index}.cls"
        counts = enumerate(self.settings.anchors_per_cell())
        rows = {level: anchor_rows(self.num_classes, count, before=1) for level, count in counts}
        return {f"{prefix}.{level}.{name}": each for level, each in rows.items() for name in ("weight", "bias")}

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, 1, class scores."""
        return decode_ssd(maps, self.fixed_size, self.settings)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> SsdLoss:
        """The loss of this model, for images of its size.

        Args:
            hyp, img_size: without effect. options: of ``SsdLoss``: settings, by default the model's.
        """
        return SsdLoss(self.fixed_size, self.num_classes, **{"settings": self.settings, **options})


def ssd_settings(levels: int) -> SsdSettings:
    """The published settings; with fewer levels, their scales are spread from .15 to 1.05 again.

    >>> ssd_settings(6) == SsdSettings(), ssd_settings(3).scales
    (True, (0.07, 0.15, 0.6, 1.05))
    """
    step = 0.9 / (levels - 1)
    published = SsdSettings()
    scales = (published.scales[0], *(round(0.15 + step * level, 6) for level in range(levels)))
    return SsdSettings(scales, published.ratios[:levels], published.steps[:levels])


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> Ssd:
    """An SSD from its spec; entries in ``DEFAULTS``.

    >>> model = build({"family": "ssd", "width": 0.125, "size": 64, "levels": 3}, "an example", 2)
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 64))]
    [(1, 4, 8, 8, 7), (1, 6, 4, 4, 7), (1, 6, 2, 2, 7)]
    """
    filled, class_names = read_entries(spec, where, DEFAULTS, num_classes, anchors, names, channels)
    levels = one_of(filled, "levels", (2, 3, 4, 5, 6), where)
    size = _size(filled["size"], levels, where)
    norm = one_of(filled, "backbone", ("vgg16", "vgg16_bn"), where) == "vgg16_bn"
    settings = read_settings(filled, ssd_settings(levels), where)
    layers = Layers(where)
    features = add_vgg(layers, filled["ch"], width_of(filled, where), norm, levels)
    head = SsdHead([each.channels for each in features], settings.anchors_per_cell(), len(class_names))
    layers.add(head, [each.layer for each in features], (settings.anchors_per_cell(), len(class_names)))
    return Ssd(filled, layers, class_names, settings, size)


def _size(given: Any, levels: int, where: str) -> tuple[int, int]:
    """Height and width, if every level has a cell."""
    height, width = given if isinstance(given, list | tuple) and len(given) == 2 else (given, given)
    size = tuple(whole_number(side, f"{where}: size, in pixels,") for side in (height, width))
    for side in size:
        if min(vgg_grids(side, levels)) < 1 or side > LARGEST_SIZE:
            smallest = next(side for side in range(8, LARGEST_SIZE) if min(vgg_grids(side, levels)) >= 1)
            limits = f"{levels} levels take images of {smallest} to {LARGEST_SIZE} pixels"
            raise SpecError(f"{where}: {limits}, not {side}: choose another size, or fewer levels")
    return size[0], size[1]
