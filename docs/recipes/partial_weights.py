"""Weights for a network that is not the file's: what fits by name and shape is taken, and the rest is said."""

import torch
from torch import nn

import yolo_lite as yl

model = yl.create_model("yolov5n", num_classes=2, seed=1)  # shapes-n has six classes
taken = yl.load_weights(model, "shapes-n")
print(taken)  # taken: 342 of 349 tensors; left as they were: layers.24.m.0.weight ((21, ...) here, (33, ...) there) ...
assert len(taken.taken) == 342 and all(name.startswith("layers.24.") for name in taken.left)


class Mine(nn.Module):
    """A module of your own that holds the backbone of a trained network under the names that it has there."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(yl.create_model("yolov5n").layers[:10])
        self.head = nn.Linear(256, 5)


mine = Mine()
taken = yl.load_weights(mine, "shapes-n")
assert set(taken.left) == {"head.weight", "head.bias"}
assert torch.equal(mine.layers[0].conv.weight, yl.load("shapes-n").layers[0].conv.weight)
