"""A Scene as JSON and back: for a canvas in the browser, for files, for tests."""

import base64
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import cv2
import numpy as np

from walkthrough import scene as data
from walkthrough.heatmap import HeatMap

PNG = "data:image/png;base64,"
LAYERS = (data.Picture, data.Boxes, data.Cells, data.Grid, data.Line, data.Points, data.Arrows, data.Text)
PANELS = (data.Panel, data.Chart, data.Table, data.Code, data.Guess, HeatMap)
MARKS = (data.Series, data.Bars, data.Histogram, data.NameInCode)
KINDS = {kind.__name__: kind for kind in (*LAYERS, *PANELS, *MARKS, data.Key, data.More, data.Scene)}


def png_uri(pixels: np.ndarray) -> str:
    """RGB (H, W, 3) uint8 as a PNG data URI."""
    encoded = cv2.imencode(".png", pixels[..., ::-1])[1]  # OpenCV writes BGR
    return PNG + base64.b64encode(encoded.tobytes()).decode()


def to_json(value: Any, pixels: Callable[[np.ndarray], str] = png_uri) -> Any:
    """A scene, or any part of one, as dicts, lists, numbers and strings; pixels says what becomes of an image.

    >>> to_json(data.Text(1, 2, "here"))["kind"]
    'Text'
    """
    if isinstance(value, str | int):
        return value  # most of a scene: asked for first
    if isinstance(value, data.More):
        unfolded = {"rows": to_json(value.unfolded(), pixels), "legend": to_json(value.legend, pixels)}
        return {"kind": "More", "title": value.title, **unfolded}
    if is_dataclass(value):
        parts = {f.name: to_json(getattr(value, f.name), pixels) for f in fields(value)}
        return {"kind": type(value).__name__} | parts
    if isinstance(value, np.ndarray):
        return pixels(value)
    if isinstance(value, tuple):
        if set(map(type, value)) == {float} and all(map(math.isfinite, value)):
            return list(value)  # long lines of charts
        return [to_json(item, pixels) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"kind": "float", "value": str(value)}  # JSON has no nan and no inf
    return value


def from_json(value: Any) -> Any:
    """The way back from to_json.

    >>> from_json(to_json(data.Text(1, 2, "here"))) == data.Text(1, 2, "here")
    True
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if isinstance(value, str) and value.startswith(PNG):
        encoded = np.frombuffer(base64.b64decode(value[len(PNG) :]), np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"an image of this scene cannot be read: {len(encoded)} bytes are not a whole PNG")
        return np.ascontiguousarray(image[..., ::-1])  # OpenCV reads BGR
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "float":
        return float(value["value"])
    if value.get("kind") not in KINDS:
        raise ValueError(f"kind {value.get('kind')!r} is not a part of a scene; the kinds are {', '.join(KINDS)}")
    return KINDS[value["kind"]](**{name: from_json(item) for name, item in value.items() if name != "kind"})
