"""RetinaNet's network: ResNet, feature pyramid, two towers that all levels share.

Shape letters: N batch, A anchors per cell, C classes, H W grid of a level.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite.family.building import Layers, one_of, read_entries, read_settings, width_of
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
from yolo_lite.family.retinanet.loss import RetinaNetLoss, RetinaNetSettings, decode_retinanet
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.layered import anchor_rows

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "backbone": "resnet50",  # a key of RESNETS
        "width": 1.0,  # multiplies the channels of the backbone
        "channels": 256,  # of the pyramid and the head
        "version": 1,  # 2: torchvision's second recipe: GroupNorm in the head, P6 from C5, GIoU loss
        "settings": {},  # of the loss, by name: {"box_loss": "giou"}
    }
)


class RetinaNetHead(nn.Module):
    """Two towers, one for classes and one for boxes, the same for all levels.

    Shape: list of (N, channels, H, W) -> list of (N, A, H, W, 4 + C).
    """

    def __init__(self, channels: int, num_anchors: int, num_classes: int, norm: bool) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.cls_tower, self.box_tower = (tower(channels, norm, bias=not norm) for _ in range(2))
        self.cls = head_conv(channels, num_anchors * num_classes, prior_bias())
        self.box = head_conv(channels, num_anchors * 4)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [self.level(feature) for feature in features]

    def level(self, feature: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, A, H, W, 4 + C)."""
        raw = self.box(self.box_tower(feature)), self.cls(self.cls_tower(feature))
        return torch.cat([anchors_apart(each, self.num_anchors) for each in raw], -1)


class RetinaNet(PyramidDetector):
    """A RetinaNet, a detector. Make one with ``create_model("retinanet")``.

    Images of any size that is a multiple of 32, square or not; pixels in [0, 1].
    """

    def __init__(
        self, spec: Mapping[str, Any], layers: Layers, names: Sequence[str], settings: RetinaNetSettings
    ) -> None:
        modules = nn.ModuleList(layers.modules)
        super().__init__(spec, layers.rows, modules, STRIDES, names, spec["ch"])
        self.settings = settings

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the head belong to which class, see ``LayeredDetector``."""
        rows = anchor_rows(self.num_classes, self.settings.anchors_per_cell, before=0)
        return {f"layers.{self.rows[-1].index}.cls.{name}": rows for name in ("weight", "bias")}

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, 1, class scores."""
        return decode_retinanet(maps, self.strides, self.settings)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> RetinaNetLoss:
        """The loss of this model; its anchors follow from the maps, so that any image size will do.

        Args:
            hyp, img_size: without effect. options: of ``RetinaNetLoss``: settings, by default the model's.
        """
        return RetinaNetLoss(self.strides, self.num_classes, **{"settings": self.settings, **options})


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> RetinaNet:
    """A RetinaNet from its spec; entries in ``DEFAULTS``.

    >>> model = build({"family": "retinanet", "backbone": "resnet18", "width": 0.25, "channels": 32}, "an example", 2)
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))][:2]
    [(1, 9, 8, 12, 6), (1, 9, 4, 6, 6)]
    """
    filled, class_names = read_entries(spec, where, DEFAULTS, num_classes, anchors, names, channels)
    version = one_of(filled, "version", (1, 2), where)
    published = RetinaNetSettings(box_loss="giou" if version == 2 else "l1")
    settings = read_settings(filled, published, where)
    wide = pyramid_channels(filled, where)
    layers = Layers(where)
    backbone = one_of(filled, "backbone", tuple(RESNETS), where)
    features = add_resnet(layers, backbone, filled["ch"], width_of(filled, where))
    levels = add_pyramid(layers, features, wide, extra_from_c5=version == 2)
    head = RetinaNetHead(wide, settings.anchors_per_cell, len(class_names), norm=version == 2)
    layers.add(head, levels, (wide, settings.anchors_per_cell, len(class_names)))
    return RetinaNet(filled, layers, class_names, settings)
