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
from walkthrough.render.text import quiet
from walkthrough.scene import Panel, Picture, Scene

SHARP, MOST_SIDE = 2.0, 16_000  # pixels per CSS pixel without photographs; pixels of a side, at most
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

    def whole(length: float) -> float:
        return round(length * density) / density

    sharp = [Placed(panel, tuple(map(whole, rect))) for panel, rect in placed]  # type: ignore[arg-type]  # four of them
    exact = tuple((math.ceil(side * density) + 1e-4) / density for side in size)
    figure = figure_of(scene, sharp, exact, style.theme(theme), density)  # type: ignore[arg-type]  # parts of a pixel
    canvas = FigureCanvasAgg(figure)
    with quiet():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _density(placed: list[Placed]) -> float:
    """Pixels of the file per CSS pixel: those of the densest photograph, or a multiple where it is enlarged."""
    own = [
        picture.pixels.shape[1] / ((right - left) * rect[2] / panel.width)
        for panel, rect in placed
        if isinstance(panel, Panel)
        for picture in panel.layers
        if isinstance(picture, Picture)
        for left, _, right, _ in [picture.extent or (0, 0, picture.pixels.shape[1], 0)]
        if right > left
    ]
    densest = max(own, default=SHARP)
    return densest * max(1, math.ceil(1 / densest))


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
