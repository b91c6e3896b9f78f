"""The word ``norm`` of a spec: another normalisation in place of every BatchNorm.

Shape letters: N batch, C channels, H rows, W columns.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from yolo_lite.model.blocks import BN_EPS, BN_MOMENTUM, batch_norm
from yolo_lite.model.spec import SpecError

NORMS = ("BatchNorm", "SyncBN", "GroupNorm")
GROUPS = 32  # of a GroupNorm at most, as in its paper
GROUP_CHANNELS = 8  # that a group has at least, where GROUPS allow it: one channel alone is not a group


def group_norm(channels: int, groups: int = GROUPS) -> nn.GroupNorm:
    """GroupNorm (Wu and He 2018, arXiv 1803.08494), in at most that many groups, of 8 channels or more where possible.

    Shape: (N, C, H, W) -> the same.

    >>> [group_norm(channels).num_groups for channels in (8, 64, 96, 256, 1024)]
    [1, 8, 4, 32, 32]
    """
    return nn.GroupNorm(math.gcd(groups, channels, max(channels // GROUP_CHANNELS, 1)), channels)


def sync_batch_norm(channels: int) -> nn.SyncBatchNorm:
    """BatchNorm over the batches of all processes, where several train on GPUs; else it computes what BatchNorm does.

    Shape: (N, C, H, W) -> the same.
    """
    return nn.SyncBatchNorm(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def read_norm(text: Any, where: str = "spec") -> Callable[[int], nn.Module]:
    """``"BatchNorm"``, ``"SyncBN"``, ``"GroupNorm"`` or ``"GroupNorm(16)"``, of at most 16 groups -> what makes it.

    Raises:
        SpecError: another word.

    >>> read_norm("GroupNorm(16)")(256).num_groups
    16
    """
    match = re.fullmatch(r"(?:nn\.)?(BatchNorm|SyncBN|GroupNorm)(?:\(([1-9]\d{0,4})\))?", str(text).strip())
    if match is None or (match[2] and match[1] != "GroupNorm"):
        known = ", ".join(NORMS)
        raise SpecError(f"{where}: unknown norm {text!r}; known are {known}, and GroupNorm(16) for 16 groups at most")
    if match[1] == "GroupNorm":
        return partial(group_norm, groups=int(match[2])) if match[2] else group_norm
    return sync_batch_norm if match[1] == "SyncBN" else batch_norm


def replace_norms(layers: nn.Module, norm: Callable[[int], nn.Module]) -> None:
    """Another normalisation wherever a layer has a BatchNorm. A BatchNorm stays what it is where it is asked for.

    A GroupNorm depends on the image, so no convolution can take it in: ``fuse`` leaves it.
    """
    if norm is batch_norm:
        return
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, norm(child.num_features))
