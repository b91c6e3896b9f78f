"""A network that knows drawn shapes alone, and a photograph: what the page says, and the weights that it offers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_lite.datasets.fetch import KNOWN
from yolo_lite.datasets.shapes import Shapes

FOLDERS = (".", "downloads", "../downloads")  # where readers of the notebooks fetch to


def fetched_weights(folders: Sequence[str | Path] = FOLDERS) -> dict[str, Path]:
    """Official weights that ``yolo_lite.datasets.fetch`` has brought into one of these folders: name -> file.

    >>> fetched_weights(["nowhere"])
    {}
    """
    files = {name: Path(resource.urls[0]).name for name, resource in KNOWN.items()}
    places = {name: [Path(folder, file) for folder in folders] for name, file in files.items() if file.endswith(".pt")}
    found = {name: next((path for path in paths if path.is_file()), None) for name, paths in places.items()}
    return {name: path for name, path in found.items() if path is not None}


def knows_shapes_alone(model: Any) -> bool:
    """Whether a network's classes are the drawn shapes.

    >>> from yolo_lite import load
    >>> knows_shapes_alone(load("shapes-n"))
    True
    """
    return tuple(getattr(model, "names", None) or ()) == Shapes.names


def are_drawn(images: Any) -> bool:
    """Whether images= names the drawn scenes, or holds a batch or a dataset of them.

    >>> are_drawn("shapes"), are_drawn("cat.jpg"), are_drawn(None)
    (True, False, True)
    """
    if images is None or isinstance(images, str | Path):
        return images is None or str(images) == "shapes"
    paths = getattr(images, "paths", None) or ()
    drawn = bool(len(paths)) and all(str(path).startswith("shapes/") for path in paths)
    return drawn or tuple(getattr(images, "names", None) or ()) == Shapes.names


def advice_on(explorer: str) -> dict[str, Any]:
    """What the page says, and the weights that a button would use: {"text", "offers": [names]}."""
    found = fetched_weights()
    first = next(iter(found.values()), Path("yolov5n.pt"))
    hint = "" if found else ", which `yolo-lite fetch yolov5n` brings"
    text = (
        f"This network knows six shapes ({', '.join(Shapes.names)}), and nothing that photographs show: "
        f'give it official weights, {explorer}(model="{first.as_posix()}"){hint}'
    )
    return {"text": text, "offers": list(found)}
