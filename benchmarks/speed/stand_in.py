"""What the peer needs of torchvision, for where its compiled part cannot load: names to import, and a slow exact NMS.

Imported in the peer's process only. Nothing that is measured with it uses the NMS: such rows are then left out.
"""

import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

VERSION = "0.28.0"
TRANSFORMS = ("Compose", "ToTensor", "Normalize", "CenterCrop", "Resize", "RandomResizedCrop", "ToPILImage")


def has_torchvision() -> bool:
    """Whether the real one loads here, with its compiled operations.

    A torchvision that was built for another PyTorch imports, and has no nms.
    """
    try:
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, OSError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        return False
    return True


def install() -> None:
    """Puts the modules in torchvision's place."""
    functional = _module("torchvision.transforms.functional")
    nothing = type("Nothing", (), {"__init__": lambda self, *_, **__: None})
    transforms = _module("torchvision.transforms", functional=functional, **dict.fromkeys(TRANSFORMS, nothing))
    datasets = _module("torchvision.datasets", ImageFolder=type("ImageFolder", (), {}))
    operations = _module("torchvision.ops", nms=nms)
    _module("torchvision", __version__=VERSION, ops=operations, transforms=transforms, datasets=datasets)
    if not any(True for _ in importlib.metadata.distributions(name="torchvision")):
        sys.meta_path.append(_Finder())


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression, one kept box after the other -> (k,) indices, best first."""
    left, kept = scores.argsort(descending=True, stable=True), []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        top_left = torch.maximum(boxes[best, :2], boxes[left, :2])
        sides = (torch.minimum(boxes[best, 2:], boxes[left, 2:]) - top_left).clamp(min=0)
        both = sides.prod(1)
        left = left[both / (area[best] + area[left] - both) <= iou_threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    vars(module).update(content)
    sys.modules[name] = module
    return module


class _Distribution(importlib.metadata.Distribution):
    def read_text(self, filename: str) -> str | None:
        return f"Name: torchvision\nVersion: {VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return path


class _Finder(importlib.metadata.DistributionFinder):
    def find_spec(self, *_: Any) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        return [_Distribution()] if context is None or context.name in (None, "torchvision") else []
