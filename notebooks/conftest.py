"""Under nbval, a notebook whose saved outputs come from fetched files is skipped, saying why, where those are absent.

Such a notebook runs without them too, on what comes along, but then it rightly prints something else than was saved.
"""

import os
from pathlib import Path

import pytest

NEEDED = {"10_real_weights_and_your_data.ipynb": ("yolov5n.pt", "coco8", "bccd")}
HOW = "its first section says how to fetch them; YOLO_LITE_SHARED may say where they are"


def find(name: str, folder: Path) -> Path | None:
    """A fetched file or folder, where a notebook that runs in ``folder`` looks for it."""
    places = ("downloads", "../shared", "../../shared", os.environ.get("YOLO_LITE_SHARED", "downloads"))
    paths = [folder / place / part / name for place in places for part in ("", "weights", "data")]
    return next((path for path in paths if path.exists()), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = NEEDED.get(item.path.name, ()) if item.path.parent == Path(__file__).parent else ()
        absent = [name for name in needed if find(name, item.path.parent) is None]
        if absent:
            item.add_marker(pytest.mark.skip(f"its saved outputs need {', '.join(absent)}, not here: {HOW}"))
