"""FCOS's network: ResNet, feature pyramid, two towers with GroupNorm that all levels share.

Shape letters: N batch, C classes, H W grid of a level.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite.family.building import Layers, one_of, read_entries, width_of
from yolo_lite.family.fcos.loss import FcosLoss, FcosSettings, decode_fcos
from yolo_lite.family.pyramid import (
    STRIDES,
    PyramidDetector,
    add_pyramid,
    anchors_apart,
    head_conv,
    prior_bias,
    pyramid_channels,
    tower,
)
from yolo_lite.family.resnet import RESNETS, add_resnet
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.layered import anchor_rows

# Where the raw sides begin. torchvision begins at 0, with half of them below the ReLU: these have no gradient, and in a
# short training without a pretrained backbone some stay there for good.
FIRST_SIDE = 2.0  # strides
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "backbone": "resnet50",  # a key of RESNETS
        "width": 1.0,  # multiplies the channels of the backbone
        "channels": 256,  # of the pyramid and the head, a multiple of 8
    }
)


class FcosHead(nn.Module):
    """Two towers, one for classes, one for boxes and centre-ness, the same for all levels.

    Shape: list of (N, channels, H, W) -> list of (N, 1, H, W, 4 + 1 + C).
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_tower, self.box_tower = tower(channels, norm=True), tower(channels, norm=True)
        self.cls = head_conv(channels, num_classes, prior_bias())
        self.box = head_conv(channels, 4, FIRST_SIDE)
        self.centreness = head_conv(channels, 1)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [self.level(feature) for feature in features]

    def level(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 1, H, W, 5 + C)."""
        of_box = self.box_tower(feature)
        raw = self.box(of_box), self.centreness(of_box), self.cls(self.cls_tower(feature))
        return anchors_apart(torch.cat(raw, 1), 1)


class Fcos(PyramidDetector):
    """An FCOS, a detector. Make one with ``create_model("fcos")``.

    Images of any size that is a multiple of 32, square or not; pixels in [0, 1].
    """

    def __init__(self, spec: Mapping[str, Any], layers: Layers, names: Sequence[str], settings: FcosSettings) -> None:
        modules = nn.ModuleList(layers.modules)
        super().__init__(spec, layers.rows, modules, STRIDES, names, spec["ch"])
        self.settings = settings

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the head belong to which class, see ``LayeredDetector``."""
        rows = anchor_rows(self.num_classes, 1, before=0)
        return {f"layers.{self.rows[-1].index}.cls.{name}": rows for name in ("weight", "bias")}

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, root of centre-ness, roots of class scores."""
        return decode_fcos(maps, self.strides, self.settings)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> FcosLoss:
        """The loss of this model; its points follow from the maps, so that any image size will do.

        Args:
            hyp, img_size: without effect. options: of ``FcosLoss``: settings, by default the model's.
        """
        return FcosLoss(self.strides, self.num_classes, **{"settings": self.settings, **options})


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> Fcos:
    """An FCOS from its spec; entries in ``DEFAULTS``.

    >>> model = build({"family": "fcos", "backbone": "resnet18", "width": 0.25, "channels": 32}, "an example", 2)
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))][:2]
    [(1, 1, 8, 12, 7), (1, 1, 4, 6, 7)]
    """
    filled, class_names = read_entries(spec, where, DEFAULTS, num_classes, anchors, names, channels)
    wide = pyramid_channels(filled, where)
    layers = Layers(where)
    backbone = one_of(filled, "backbone", tuple(RESNETS), where)
    features = add_resnet(layers, backbone, filled["ch"], width_of(filled, where))
    levels = add_pyramid(layers, features, wide)
    layers.add(FcosHead(wide, len(class_names)), levels, (wide, len(class_names)))
    return Fcos(filled, layers, class_names, FcosSettings())
