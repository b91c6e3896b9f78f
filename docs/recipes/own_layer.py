"""A layer of your own gets a name by ``register_layer``; from then on the rows of a YAML may use it.

Its channels are scaled by the width multiple, like those of all others.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

import yolo_lite as yl


@yl.register_layer("GatedConv")  # called with (in_channels, out_channels, *what else the row says)
class GatedConv(nn.Module):
    """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride): a convolution times a sigmoid gate."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 2 * out_channels, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, 1)
        return value * gate.sigmoid()


Path("gated.yaml").write_text("""
nc: 2
depth_multiple: 1.0
width_multiple: 0.5
anchors: 3  # per level, chosen by the data
backbone:  # from, number, layer, arguments
  - [-1, 1, Conv, [32, 3, 4]]
  - [-1, 1, GatedConv, [64, 3, 2]]
  - [-1, 2, C3, [64]]
head:
  - [-1, 1, GatedConv, [128, 3, 2]]
  - [[2, 3], 1, Detect, [nc, anchors]]
""")
model = yl.create_model("gated.yaml", names=["cat", "dog"])
print(model.rows[1].kind, tuple(model.strides))
assert isinstance(model.layers[1], GatedConv)
assert [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 64))] == [(1, 3, 8, 8, 7), (1, 3, 4, 4, 7)]

yl.save(model, "gated.safetensors")  # the file names the layer, so whoever loads it registers it first
assert isinstance(yl.load("gated.safetensors").layers[1], GatedConv)
