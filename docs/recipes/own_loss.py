"""A loss of your own: change what the objectness is trained towards, or give any function of maps and targets."""

from typing import NamedTuple

from torch import Tensor

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes


class AllOrNothing(yl.ComputeLoss):
    """YOLOv5's loss, but a matched prediction is an object and nothing in between."""

    def objectness_target(self, shape, matches, overlap):
        return (super().objectness_target(shape, matches, overlap) > 0).to(overlap)


class Parts(NamedTuple):
    """What a loss returns: first the total, then whatever is to stand in the history."""

    total: Tensor
    yolo: Tensor
    size: Tensor


class WithPenalty:
    """YOLOv5's loss, and a penalty for large raw outputs."""

    def __init__(self, model, hyp, img_size):
        self.loss = model.criterion(hyp, img_size)

    def __call__(self, maps, targets):
        yolo, size = self.loss(maps, targets).total, sum(raw.square().mean() for raw in maps)
        return Parts(yolo + 0.01 * size, yolo, size)


train = yl.YoloDataset(Shapes("train", 64, 16), 64, augment=True)
options = {"epochs": 2, "batch_size": 8, "preset": "small-data", "auto_anchors": False, "device": "cpu"}
model = yl.create_model("yolov5n", names=train.names)
trainer = yl.Trainer(model, train, criterion=AllOrNothing.of, **options).fit()
assert type(trainer.loss) is AllOrNothing and "train/obj" in trainer.history[1]


def with_penalty(model, hyp, img_size):
    """Called once the anchors are settled, and again whenever a hyperparameter changes."""
    return WithPenalty(model, hyp, img_size)


trainer = yl.Trainer(yl.create_model("yolov5n", names=train.names), train, criterion=with_penalty, **options).fit()
assert trainer.history[1]["train/size"] > 0
