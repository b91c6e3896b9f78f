"""A Scene as a file, in the format of its ending: pictures of all colours, vector graphics, a page.

A notebook keeps its pictures small (render_png: a palette, and fewer pixels). A file does not: the largest photograph
of a scene has its own pixels in it, one for one where there is room.
"""

import io
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from walkthrough import style
from walkthrough.render.layout import Placed, layout
from walkthrough.render.matplotlib import figure_of
from walkthrough.render.standalone import page_of
from walkthrough.render.text import Rect, quiet
from walkthrough.scene import Panel, Picture, Scene

SHARP, LEAST = 2.0, 0.75  # pixels of the file per CSS pixel: without photographs, and with small ones at least
MOST_SIDE = 16_000  # pixels
QUALITY = 95


def write_scene(scene: Scene, path: Path, theme: str, width: int) -> None:
    """Write a scene as PNG, JPEG, WebP, SVG, PDF or HTML.

    Raises:
        ValueError: the ending of the path is none of these; FileNotFoundError: there is no such folder.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        what = f"the ending {path.suffix!r}" if kind else "a name without an ending"
        raise ValueError(f"{path.name}: {what} says of no format that can be written; use one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}: make it first")
    path.write_bytes(FORMATS[kind](scene, theme, width))


def pixels_of(scene: Scene, theme: str, width: int) -> np.ndarray:
    """(H, W, 4) uint8 RGBA of a scene, in all colours, as dense as its photographs are."""
    placed, size = layout(scene, width)
    density = min(_density(placed), MOST_SIDE / max(size))
    sharp = [Placed(place.panel, _on_pixels(place, density)) for place in placed]
    exact = tuple((math.ceil(side * density) + 1e-4) / density for side in size)
    figure = figure_of(scene, sharp, exact, style.theme(theme), density)  # type: ignore[arg-type]  # parts of a pixel
    canvas = FigureCanvasAgg(figure)
    with quiet():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _density(placed: list[Placed]) -> float:
    """Pixels of the file per CSS pixel: those of the densest photograph, or a multiple where words would be tiny."""
    panels = [(panel, rect[2]) for panel, rect in placed if isinstance(panel, Panel)]
    own = [each * panel.width / wide for panel, wide in panels for each in _pixels_per_unit(panel)]
    densest = max(own, default=SHARP)
    return densest * max(1, math.ceil(LEAST / densest))


def _pixels_per_unit(panel: Panel) -> list[float]:
    """Of each photograph of a panel: how many of its own pixels lie in one of the panel's units."""
    pictures = [layer for layer in panel.layers if isinstance(layer, Picture)]
    extents = [picture.extent or (0.0, 0.0, float(picture.pixels.shape[1]), 0.0) for picture in pictures]
    return [p.pixels.shape[1] / (x2 - x1) for p, (x1, _, x2, _) in zip(pictures, extents, strict=True) if x2 > x1]


def _on_pixels(place: Placed, density: float) -> Rect:
    """Where a panel goes, from whole pixels to whole pixels of the file, with as many as its photograph has."""
    panel, (x, y, width, height) = place.panel, (side * density for side in place.rect)
    if isinstance(panel, Panel):
        for each in _pixels_per_unit(panel):
            scale = each * max(1, round(width / (panel.width * each)))
            exact = (panel.width * scale, panel.height * scale)
            if all(abs(a - b) < 2 + 0.01 * b for a, b in zip(exact, (width, height), strict=True)):
                width, height = exact
    return round(x) / density, round(y) / density, round(width) / density, round(height) / density


def _raster(kind: str) -> Callable[[Scene, str, int], bytes]:
    def write(scene: Scene, theme: str, width: int) -> bytes:
        rgba, file = pixels_of(scene, theme, width), io.BytesIO()
        picture = Image.fromarray(rgba)
        if kind == "JPEG" or (rgba[..., 3] == 255).all():  # JPEG has no transparency: on white
            ground = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(ground, picture).convert("RGB")
        options: dict[str, dict[str, int]] = {"JPEG": {"quality": QUALITY, "subsampling": 0}, "WEBP": {"lossless": 1}}
        picture.save(file, kind, **options.get(kind, {}))
        return file.getvalue()

    return write


def _vector(kind: str) -> Callable[[Scene, str, int], bytes]:
    def write(scene: Scene, theme: str, width: int) -> bytes:
        placed, size = layout(scene, width)
        figure: Figure = figure_of(scene, placed, size, style.theme(theme))
        for axes in figure.axes:
            for image in axes.images:
                image.set_interpolation("none")  # the pixels themselves go into the file
        file, dates = io.BytesIO(), {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with quiet(), matplotlib.rc_context({"svg.hashsalt": "walkthrough"}):  # the same file each time
            figure.savefig(file, format=kind, metadata=dates[kind])
        return file.getvalue()

    return write


FORMATS: dict[str, Callable[[Scene, str, int], bytes]] = {
    ".png": _raster("PNG"),
    ".jpg": _raster("JPEG"),
    ".jpeg": _raster("JPEG"),
    ".webp": _raster("WEBP"),
    ".svg": _vector("svg"),
    ".pdf": _vector("pdf"),
    ".html": lambda scene, theme, width: page_of(scene, theme, width).encode(),
}
