"""Writes files as the package of YOLOv8 and YOLO11 does: modules of classes that live nowhere but in the pickle."""

import copy
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from yolo_lite.model.layered import LayeredDetector

PACKAGE = "ultralytics.nn"
PLACES = {
    **dict.fromkeys(("Conv", "DWConv", "Concat", "RepConv"), "conv"),
    "Detect": "head",
}  # all others: block
NAMES = {"DetectDFL": "Detect", "DistanceBins": "DFL"}
HEADS = {"heads": "num_heads", "key": "key_dim", "width": "head_dim"}  # of an Attention


def randomised(model: LayeredDetector, seed: int = 1) -> LayeredDetector:
    """Statistics and weights that are not the initial ones, and exact in half precision."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
    return model.half().float().eval()


def people_s_yaml(model: LayeredDetector, **changes: Any) -> dict[str, Any]:
    """What the package keeps beside a network: rows as its YAML files have them, before its own decisions."""
    spec = {
        key: value for key, value in model.spec.items() if key not in ("family", "reg_max", "settings", "depthwise")
    }
    rows = {part: [list(row) for row in spec[part]] for part in ("backbone", "head")}
    return {**spec, **rows, "channels": spec.pop("ch"), "yaml_file": "some.yaml", **changes}


class Package:
    """The modules of the package, empty but for the classes that files name.

    Args:
        flat: everything in ``ultralytics.nn.modules``, as in early releases.
    """

    def __init__(self, flat: bool = False) -> None:
        self.flat = flat
        names = ("", ".nn", ".nn.tasks", ".nn.modules", *(f".nn.modules.{end}" for end in ("conv", "block", "head")))
        self.modules = {f"ultralytics{name}": types.ModuleType(f"ultralytics{name}") for name in names}

    def pretend(self, module: nn.Module, name: str, where: str | None = None) -> None:
        """Makes the module one of a class of this name in the package."""
        place = f"{PACKAGE}.modules" + ("" if self.flat else f".{PLACES.get(name, 'block')}")
        home = self.modules[where or place]
        if not hasattr(home, name):
            setattr(home, name, type(name, (nn.Module,), {"__module__": home.__name__}))
        module.__class__ = getattr(home, name)

    def network(self, model: LayeredDetector, described: Mapping[str, Any], kind: str = "DetectionModel") -> nn.Module:
        """The model as the package's network, with all that it notes at layers and head."""
        layers = copy.deepcopy(model.layers)
        for row, layer in zip(model.rows, layers, strict=True):
            layer.i, layer.f, layer.type = row.index, list(row.inputs), row.kind
        head = layers[-1]
        head.nc, head.nl, head.no = model.num_classes, len(model.strides), model.num_classes + 4 * head.reg_max
        head.stride, head.inplace = torch.tensor(model.strides, dtype=torch.float32), True
        head.anchors, head.strides = torch.empty(2, 0), torch.empty(0)
        del head.num_classes
        for module in list(layers.modules()):
            if not type(module).__module__.startswith("yolo_lite"):
                continue
            name = type(module).__name__
            if name == "Attention":
                for ours, theirs in HEADS.items():
                    setattr(module, theirs, module.__dict__.pop(ours))
            if name == "Conv" and isinstance(module.bn, nn.Identity):  # folded: the package deletes it
                del module.bn
            self.pretend(module, NAMES.get(name, name))
        root = nn.Module()
        root.model, root.save = nn.Sequential(*layers), [4, 6]
        root.yaml, root.names = dict(described), dict(enumerate(model.names))
        root.args, root.nc, root.stride, root.task = {"imgsz": 96}, model.num_classes, head.stride, "detect"
        self.pretend(root, kind, f"{PACKAGE}.tasks")
        return root.eval()

    def save(self, content: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """``torch.save`` while the package seems to be installed."""
        with monkeypatch.context() as patched:
            for name, module in self.modules.items():
                patched.setitem(sys.modules, name, module)
            torch.save(content, path)
        return path


def stripped(root: nn.Module) -> dict[str, Any]:
    """What a training leaves at its end."""
    arguments = {"task": "detect", "imgsz": 96, "data": "own.yaml", "save_dir": Path("runs")}
    usual = {"epoch": -1, "best_fitness": None, "ema": None, "updates": None, "optimizer": None, "date": "now"}
    return {**usual, "model": root, "train_args": arguments, "version": "8.3.0", "license": "AGPL-3.0"}


def in_training(root: nn.Module) -> dict[str, Any]:
    """What it writes after each epoch: averaged weights, and the state of its optimiser."""
    worse = copy.deepcopy(root)
    for parameter in worse.parameters():
        parameter.data.zero_()
    trained = copy.deepcopy(root).float()
    optimizer = torch.optim.AdamW(trained.parameters())
    for parameter in trained.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    extra = {"optimizer": optimizer.state_dict(), "scaler": {"scale": 65536.0}, "train_results": {"epoch": [1.0]}}
    return {**stripped(worse), "ema": root, "epoch": 4, "updates": 30, **extra}


def save_modern(
    model: LayeredDetector,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    half: bool = True,
    flat: bool = False,
    content: Callable[[nn.Module], Any] = stripped,
    kind: str = "DetectionModel",
    **changes: Any,
) -> Path:
    """The model as a file of the package.

    Args:
        content: what is saved, made of the network. kind: class of the network. changes: of its ``yaml``.
    """
    package = Package(flat)
    root = package.network(model, people_s_yaml(model, **changes), kind)
    saved = content(root.half() if half else root)
    return package.save(saved, path, monkeypatch)
