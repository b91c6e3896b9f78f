"""A branch that only training has: what YOLOv7's auxiliary head and YOLOv9's programmable gradients have in common.

Shape letters: N batch, L levels, H rows and W columns of an image.
"""

import copy
from typing import Any, Self

from torch import Tensor

from yolo_lite.model.layered import LayeredDetector


class AuxiliaryDetector(LayeredDetector):
    """A detector whose rows under "auxiliary", if it has any, are a branch with a head of its own.

    The rows of the branch stand last. In training mode ``forward`` gives the L main maps and then the branch's L; in
    evaluation mode the branch does not run. ``fuse`` leaves it out. The loss accepts L maps and 2 L maps.
    """

    settings: Any  # of the loss; auxiliary is the weight of the branch

    @property
    def has_auxiliary(self) -> bool:
        """Whether it has a branch that only training uses."""
        return len(self.heads) > 1

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [0, 1] -> L raw maps, in training mode also the branch's L."""
        maps: list[Tensor] = []
        for row, output in self.forward_layers(images):
            if row.index in self.heads:
                maps += output
                if not self.training:
                    break  # what follows is the branch
        return maps

    def without_auxiliary(self) -> Self:
        """A copy without the auxiliary branch: the same outputs in evaluation mode, with fewer parameters."""
        model = copy.deepcopy(self)
        count = self.heads[0] + 1
        model.layers, model.rows, model.heads = model.layers[:count], self.rows[:count], self.heads[:1]
        model.spec = {key: value for key, value in model.spec.items() if key != "auxiliary"}
        model.set_last_use()
        return model

    def fuse(self) -> Self:
        """A copy in evaluation mode in which every block has its simplest form, without the auxiliary branch."""
        return super(AuxiliaryDetector, self.without_auxiliary()).fuse()
