"""Small losses of SSD, RetinaNet and FCOS, with maps that fit them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from yolo_lite.family.anchored import AnchoredLoss
from yolo_lite.family.fcos.loss import FcosLoss, decode_fcos
from yolo_lite.family.retinanet.loss import RetinaNetLoss, RetinaNetSettings, decode_retinanet
from yolo_lite.family.ssd.loss import SsdLoss, SsdSettings, decode_ssd

SIZE = (64, 96)  # height, width
GRIDS = ((8, 12), (4, 6))
STRIDES = (8, 16)


class Kind(NamedTuple):
    """One loss, its decode, and the shape of its maps."""

    make: Callable[[int], AnchoredLoss]
    decode: Callable[[list[Tensor]], Tensor]
    anchors: tuple[int, int]
    columns: int  # beside the classes

    def maps(self, num_classes: int, images: int = 2, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Random raw maps, the same on every call; of FCOS all sides are positive."""
        generator = torch.Generator().manual_seed(3)
        shapes = [(images, a, *grid, self.columns + num_classes) for a, grid in zip(self.anchors, GRIDS, strict=True)]
        maps = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
        if self is KINDS["fcos"]:
            for raw in maps:
                raw[..., :4] = raw[..., :4].abs() + 0.1
        return maps


SSD = SsdSettings((0.2, 0.4, 0.7), ((2,), (2, 3)), (8, None))
RETINANET = RetinaNetSettings((24, 48))
RETINANET_GIOU = RetinaNetSettings((24, 48), box_loss="giou")
KINDS = {
    "ssd": Kind(lambda classes: SsdLoss(SIZE, classes, SSD), lambda maps: decode_ssd(maps, SIZE, SSD), (4, 6), 5),
    "retinanet": Kind(
        lambda classes: RetinaNetLoss(STRIDES, classes, RETINANET),
        lambda maps: decode_retinanet(maps, STRIDES, RETINANET),
        (9, 9),
        4,
    ),
    "retinanet-giou": Kind(
        lambda classes: RetinaNetLoss(STRIDES, classes, RETINANET_GIOU),
        lambda maps: decode_retinanet(maps, STRIDES, RETINANET_GIOU),
        (9, 9),
        4,
    ),
    "fcos": Kind(
        lambda classes: FcosLoss(STRIDES, classes),
        lambda maps: decode_fcos(maps, STRIDES, FcosLoss(STRIDES, 1).settings),
        (1, 1),
        5,
    ),
}
TARGETS = torch.tensor(  # rows of images are mixed on purpose
    [
        [1, 2, 0.40, 0.50, 0.30, 0.50],
        [0, 0, 0.50, 0.50, 0.55, 0.70],
        [1, 1, 0.75, 0.30, 0.25, 0.30],
        [0, 1, 0.20, 0.30, 0.21, 0.33],
    ]
)
