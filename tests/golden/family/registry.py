"""Which module checks which recordings."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.golden.family.compare import Comparison

Check = Callable[[Path], Iterable[Comparison]]

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
    name = f"{__package__}.{module}"
    if importlib.util.find_spec(name) is None:
        return None
    check: Check = importlib.import_module(name).check
    return check
