"""Which module checks which recordings."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from tests.golden.family.compare import Comparison, Recording
from tests.golden.family.layout import Layout

Check = Callable[[Path], Iterable[Comparison]]
LayoutOf = Callable[[Recording, str], Layout]

# How the name of a file begins -> the module beside this one with its check. Of several, the longest one holds.
CHECKS = {
    "v1_": "yolov1",
    "v2_": "yolov2",
    "v2ab_": "yolov2",
    "v3_": "yolov3",
    "v4_": "yolov4",
    "extra_layers": "darknet_layers",
    "real_": "darknet_real",
    "tv_ssd": "ssd",
    "tv_retinanet": "retinanet",
    "tv_fcos": "fcos",
    "tv_ops": "tv_ops",
    "v8_": "yolov8",
    "yolo_blocks": "modern_blocks",
    "world_blocks": "yolo_world",
}


def module_of(file: Path) -> str | None:
    """The module that checks this file; None where the name begins with nothing known."""
    fitting = [prefix for prefix in CHECKS if file.name.startswith(prefix)]
    return CHECKS[max(fitting, key=len)] if fitting else None


def check_of(module: str) -> Check | None:
    """The ``check`` of a module; None as long as there is no such module."""
    found = _imported(module)
    return None if found is None else found.check


def layout_of_module(module: str) -> LayoutOf | None:
    """The ``layout`` of a module; None as long as there is no such module."""
    found = _imported(module)
    return None if found is None else found.layout


def _imported(module: str) -> ModuleType | None:
    name = f"{__package__}.{module}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
