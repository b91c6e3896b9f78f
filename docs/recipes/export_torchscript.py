"""TorchScript: a file that runs with PyTorch alone, in Python or C++.

Sides of the images are multiples of the largest stride.
"""

import json

import torch

import yolo_lite as yl

model = yl.load("shapes-n")
yl.export(model, "shapes.torchscript", decode=True)

# From here on, without yolo_lite:
description = {"description.json": ""}
network = torch.jit.load("shapes.torchscript", _extra_files=description)
print(json.loads(description["description.json"])["names"])
images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))  # RGB in [0, 1]
with torch.no_grad():
    boxes = network(images)  # (N, n, 5 + C): x, y, w, h in pixels, objectness, class scores
    assert torch.allclose(boxes, model.decode(model(images)), atol=0.01)
print(tuple(boxes.shape))
