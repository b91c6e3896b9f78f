"""Writes files like the official ones: whole modules of classes that live nowhere but in the pickle."""

import copy
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from yolo_lite.model.yolo import Yolo, create_model

ANCHORS = [[5, 6, 7, 9, 12, 10], [15, 20, 30, 25, 40, 41.5]]
SPEC = {
    "nc": 3,
    "depth_multiple": 1.0,
    "width_multiple": 0.35,  # no official size
    "anchors": ANCHORS,
    "backbone": [[-1, 1, "Conv", [32, 6, 2, 2]], [-1, 1, "Conv", [32, 3, 2]], [-1, 2, "C3", [32]]],
    "head": [
        [-1, 1, "SPPF", [32, 5]],
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 0], 1, "Concat", [1]],
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [[6, 7], 1, "Detect", ["nc", "anchors"]],
    ],
}


def small_model(seed: int = 1) -> Yolo:
    """Three classes, two levels, and BatchNorm statistics that are not the initial ones."""
    model = create_model(SPEC, names=["red", "white", "platelet"], seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.half().float().eval()  # official files are in half precision


def save_official(
    model: Yolo,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str = "",
    root_class: str = "DetectionModel",
    training: bool = False,
    content: Callable[[nn.Module], Any] | None = None,
) -> None:
    """The model as an official file: its classes renamed to models.common.*, anchors in cells, half precision.

    content: what is saved instead of the usual dict, made of the network; its own classes count as YOLOv5's.
    """
    modules = {name: types.ModuleType(name) for name in (f"{package}models.common", f"{package}models.yolo")}
    for parent in (f"{package}models", package.rstrip(".")):
        if parent:
            modules[parent] = types.ModuleType(parent)

    def pretend(module: nn.Module, where: str, name: str) -> None:
        home = modules[f"{package}{where}"]
        if not hasattr(home, name):
            setattr(home, name, type(name, (nn.Module,), {"__module__": home.__name__}))
        module.__class__ = getattr(home, name)

    layers = copy.deepcopy(model.layers)
    head = layers[-1]
    head.stride = torch.tensor(model.strides, dtype=torch.float32)
    head.anchors = head.anchors / head.stride.view(-1, 1, 1)
    for module in list(layers.modules()):
        if type(module).__module__.startswith("yolo_lite"):
            pretend(module, "models.yolo" if module is head else "models.common", type(module).__name__)
    root = nn.Module()
    root.model = nn.Sequential(*layers)
    root.yaml, root.names, root.hyp = dict(SPEC, ch=3), dict(enumerate(model.names)), {"lr0": 0.01}
    pretend(root, "models.yolo", root_class)
    root.half()
    saved = content(root) if content else None
    usual = {
        "epoch": 4,
        "best_fitness": np.float64(0.5),
        "model": root,
        "ema": None,
        "optimizer": None,
        "date": "now",
    }
    if training:  # the averaged weights are the ones to be read
        worse = copy.deepcopy(root)
        for parameter in worse.parameters():
            parameter.data.zero_()
        optimizer = torch.optim.SGD(root.parameters(), lr=0.1, momentum=0.9)
        extra = {"updates": 3, "optimizer": optimizer.state_dict(), "opt": {"path": Path("runs"), "freeze": {0, 1}}}
        usual |= {"model": worse, "ema": root, "best_fitness": np.array([0.5]), **extra}
    with monkeypatch.context() as patched:
        for name, module in modules.items():
            patched.setitem(sys.modules, name, module)
        torch.save(usual if content is None else saved, path)


def with_extra(source: Path, target: Path, pickled: bytes) -> Path:
    """The same file, whose dict has one entry more: what these opcodes put on the stack."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("data.pkl"):
                start = data.index(b"(") + 1  # of the entries of the outermost dict
                data = data[:start] + b"X\x05\x00\x00\x00extra" + pickled + data[start:]
            out.writestr(name, data)
    return target


def write_pt(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A zip as torch.save writes it, around any pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return path
