"""A detector's backbone alone: its last map, averaged, describes a picture; a linear layer makes classes of it.

Shape letters: N batch, F channels of the backbone's last map, H rows, W columns, K classes of pictures.
"""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import seeded


def backbone_length(model: LayeredDetector) -> int:
    """How many of a network's layers, from the first, are its backbone: the rows under ``backbone`` of its spec.

    Raises:
        ValueError: a network whose spec has no such rows.
    """
    rows = model.spec.get("backbone")
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        family = model.spec.get("family", type(model).__name__)
        raise ValueError(f"a network of the family {family}, whose spec does not say in rows where its backbone ends")
    return len(rows)


def backbone_of(model: LayeredDetector) -> LayeredDetector:
    """The first layers of a detector, up to the end of its backbone: they are shared with it, not copied.

    Called with images (N, 3, H, W), it gives a list of one map, (N, F, H / stride, W / stride).

    Raises:
        ValueError: a network whose spec has no rows of a backbone.
    """
    length = backbone_length(model)
    layers = nn.ModuleList(list(model.layers)[:length])
    found = LayeredDetector(model.spec, model.rows[:length], layers, model.strides, model.names, model.channels)
    found.training = model.training  # of the layers, each keeps its own
    return found


def features(model: LayeredDetector, images: Tensor) -> Tensor:
    """The mean of the backbone's last map over its cells: one vector per image, (N, 3, H, W) -> (N, F).

    Raises:
        ValueError: a network whose spec has no rows of a backbone, or images that do not fit it.

    >>> import torch
    >>> from yolo_lite.model.yolo import create_model
    >>> features(create_model("yolov5n").eval(), torch.zeros(2, 3, 64, 96)).shape
    torch.Size([2, 256])
    """
    return mean_over_cells(backbone_of(model)(images)[0])


def feature_channels(model: LayeredDetector) -> int:
    """F, of the backbone's last map."""
    backbone = copy.deepcopy(backbone_of(model)).to("meta").eval()
    side = backbone.size_multiple
    return int(backbone(torch.zeros(1, model.channels, side, side, device="meta"))[0].shape[1])


def mean_over_cells(last: Tensor) -> Tensor:
    """Global average pooling: (N, F, H, W) -> (N, F)."""
    return last.mean((2, 3))


class Classifier(nn.Module):
    """A detector's backbone, the mean over all cells, and one linear layer: classes of whole pictures.

    Its layers are the detector's own: training one trains both.

    Args:
        model: gives the backbone. num_classes: K; None: no last layer, so it gives what ``features`` does.
        seed: of the last layer's weights; the global random state is neither read nor changed.
    Raises:
        ValueError: a network whose spec has no rows of a backbone.

    Shape: (N, 3, H, W) -> (N, K), or (N, F) without a last layer.

    >>> import torch
    >>> from yolo_lite.model.yolo import create_model
    >>> Classifier(create_model("yolov5n"), num_classes=10).eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """

    def __init__(self, model: LayeredDetector, num_classes: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.backbone = backbone_of(model)
        self.last: nn.Module = nn.Identity()
        if num_classes is not None:
            with seeded(seed):
                self.last = nn.Linear(feature_channels(model), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.last(mean_over_cells(self.backbone(images)[0])))  # (N, F) -> (N, K)
