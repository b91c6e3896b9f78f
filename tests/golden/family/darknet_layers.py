"""Checks ``extra_layers``: YOLOv2's pass-through layer, and the max pooling that keeps the size of the image."""

from collections.abc import Iterator
from pathlib import Path

import torch

from tests.golden.family.compare import Comparison, Recording, exact, read_recording
from tests.golden.family.layout import Layout, layout_of
from yolo_lite.family.darknet.layers import DarknetMaxPool, DarknetReorg

LAYERS = {"reorg": DarknetReorg(2), "pool_2_1": DarknetMaxPool(2, (1, 1), 1)}


def layout(recorded: Recording, name: str) -> Layout:
    return layout_of("x", " ".join(LAYERS))


def check(file: Path) -> Iterator[Comparison]:
    recording = read_recording(file)
    x = torch.from_numpy(recording["x"])
    for key, layer in LAYERS.items():
        yield exact(key, layer(x), recording[key])
