"""What each of the two painters draws of a scene, in one form: places in CSS pixels, colours as "#RRGGBB".

The page is the real script in the real browser, without a notebook: its model is a stub, plotly.js notes what it is
told to draw, and both painters write in matplotlib's own fonts, so that the same words are equally wide.
"""

import base64
import gzip
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text
from playwright.sync_api import Browser, Page

from walkthrough import style
from walkthrough.render import layout, live
from walkthrough.render import matplotlib as png
from walkthrough.scene import Cells, Chart, Panel, Scene
from walkthrough.serialise import to_json

WIDTH = 880  # of the PNG; the page gets as much room for its panels
RIMS = ("rgba(0, 0, 0, 0.6)", "rgba(0, 0, 0, 0.667)")  # of lines and of marks, as a browser says it
Rect = tuple[float, float, float, float]  # x, y, width, height


@dataclass
class Drawn:
    """A panel as one painter draws it; places are relative to its own corner, but for rect."""

    kind: str
    rect: Rect  # relative to the first panel's row
    boxes: list[tuple[Rect, str]] = field(default_factory=list)  # sides and colour
    cells: list[tuple[Rect, str]] = field(default_factory=list)
    labels: list[tuple[Rect, str]] = field(default_factory=list)  # the ground behind the words
    words: list[tuple[str, float, float, str]] = field(default_factory=list)  # text, x, y, colour
    pictures: list[Rect] = field(default_factory=list)
    marks: list[tuple[str, str]] = field(default_factory=list)  # of a chart: name and colour
    inner: Rect | None = None  # of a chart: between the axes


@dataclass
class Painting:
    """A scene as one painter draws it."""

    panels: list[Drawn]
    keys: list[str]  # colours of the legend


# -- the page --------------------------------------------------------------------------------------------------------

# It makes the groups that plotly.js makes of lines and bars, without a drawing in them.
PLOTLY = """const group = (name, ...inside) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "g")
    node.setAttribute("class", name)
    node.append(...inside)
    return node
};
module.exports = {
    react: async (node, data, layout) => {
        [node.layout, node.told] = [layout, data]
        const [lines, bars] = ["scatter", "bar"].map((type) => data.filter((trace) => trace.type === type))
        const svg = group("stub")
        const points = (trace) => trace.x.map(() => group("point"))
        svg.append(group("scatterlayer", ...lines.map(() => group("trace"))))
        svg.append(group("barlayer", ...bars.map((trace) => group("trace", ...points(trace)))))
        node.replaceChildren(svg)
    },
    purge() {},
};"""
NOTES = """if (!window.notes) {
const notes = window.notes = new WeakMap()
const noted = (ctx) => notes.get(ctx.canvas) ?? (notes.set(ctx.canvas, []), notes.get(ctx.canvas))
const pen = CanvasRenderingContext2D.prototype
const wrap = (name, note) => {
    const plain = pen[name]
    pen[name] = function (...given) { note(this, ...given); return plain.apply(this, given) }
}
wrap("clearRect", (ctx) => notes.set(ctx.canvas, []))
wrap("beginPath", (ctx) => ctx.path = null)
wrap("rect", (ctx, ...rect) => ctx.path = rect)
wrap("stroke", (ctx) => noted(ctx).push([ctx.path ? "box" : "line", ctx.path, ctx.strokeStyle]))
wrap("fillRect", (ctx, ...rect) => noted(ctx).push(["fill", rect, ctx.fillStyle, ctx.globalAlpha]))
wrap("fillText", (ctx, text, x, y) => noted(ctx).push(["text", text, x, y, ctx.fillStyle]))
wrap("drawImage", (ctx, image, ...rect) => noted(ctx).push(["image", rect]))
}"""
PAINT = """async ({ script, state, pictures, plotly, fonts }) => {
    document.body.replaceChildren()
    for (const [family, weight, data] of fonts) {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0))
        const face = new FontFace(family, bytes, { weight })
        document.fonts.add(await face.load())
    }
    const host = document.body.appendChild(document.createElement("div"))
    host.id = "host"
    const listeners = []
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer
    const tell = (message, buffers) => listeners.forEach((listen) => listen(message, buffers.map(bytes)))
    const model = {
        get: (name) => state[name], set() {}, save_changes() {}, off() {},
        on: (event, listen) => event === "msg:custom" && listeners.push(listen),
        send: (message) => message.kind === "plotly" && setTimeout(() => tell({ kind: "plotly" }, [plotly]), 0),
    }
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }))
    const module = (await import(address)).default
    module.render({ model, el: host })
    tell({ kind: "pictures", keys: Object.keys(pictures) }, Object.values(pictures))
    const root = host.querySelector(".wt")
    const until = async (ready) => { while (!ready()) await new Promise((next) => setTimeout(next, 20)) }
    await until(() => root.dataset.drawn !== "0")
    await until(() => [...root.querySelectorAll(".wt-plot")].every((plot) => plot.told))
    const frame = (node) => {
        const { x, y, width, height } = node.getBoundingClientRect()
        return [x, y, width, height]
    }
    const canvasOf = (panel) => panel.querySelector(".wt-canvas")
    const panels = [...root.querySelectorAll(".wt-panel")].map((panel) => {
        const part = panel.querySelector(".wt-canvas, .wt-chart, .wt-scroll, .wt-heat-frame")
        const plot = panel.querySelector(".wt-plot")
        return {
            kind: panel.className.match(/wt-is-(\\w+)/)[1], rect: frame(part),
            notes: canvasOf(panel) ? notes.get(canvasOf(panel)) ?? [] : [],
            told: plot?.told.map(({ name, line, marker }) => [name, line?.color ?? marker.color]) ?? [],
            margin: plot?.layout.margin ?? null,
            table: panel.querySelector("table") && frame(panel.querySelector("table")),
        }
    })
    const keys = [...root.querySelectorAll(".wt-swatch")].map((swatch) => notes.get(swatch) ?? [])
    return { panels, keys, origin: frame(root.querySelector(".wt-rows")) }
}"""


class PagePainter:
    """Paints scenes with the page's own script; script and css may be replaced by others."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1200, "height": 2000})
        self.script, self.css = live.script("js"), live.script("css")
        self.painted = 0

    def paint(self, scene: Scene, state: dict[str, Any] | None = None) -> Painting:
        """Paint a scene; state: what the page is told besides."""
        pictures: dict[str, str] = {}
        self.painted += 1

        def key_of(pixels: np.ndarray) -> str:
            key = f"picture {len(pictures)} of scene {self.painted}"  # the script keeps pictures by their key
            pictures[key] = base64.b64encode(live.encode(np.ascontiguousarray(pixels))).decode()
            return key

        nothing = {"title": "", "controls": [], "values": {}, "actions": [], "uploads": False}
        told = {**nothing, "message": "", "words": "", "code": "", "seen": {}, "look": live.look(), **(state or {})}
        told["scene"] = to_json(scene, key_of)
        width = WIDTH - 2 * layout.MARGIN + 2 * 18 + 2  # with the padding and the border of the root element
        fonts_css = "#host .wt { font-family: 'DejaVu Sans'; --jp-code-font-family: 'DejaVu Sans Mono' }"
        head = f"<style>{self.css}</style><style>#host {{ width: {width}px }} {fonts_css}</style>"
        self.page.set_content(f"<html><head>{head}</head><body data-jp-theme-light='true'></body></html>")
        self.page.evaluate(NOTES)
        given = {"script": self.script, "state": told, "pictures": pictures, "fonts": _fonts()}
        plotly = base64.b64encode(gzip.compress(PLOTLY.encode())).decode()
        found = self.page.evaluate(PAINT, {**given, "plotly": plotly})
        panels = [panel for row in scene.rows for panel in row]
        shown = [_from_page(note, panel, found["origin"]) for note, panel in zip(found["panels"], panels, strict=True)]
        return Painting(shown, [_key_on_page(notes) for notes in found["keys"]])


def _fonts() -> list[tuple[str, str, str]]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [("DejaVu Sans", "400", "DejaVuSans"), ("DejaVu Sans", "700", "DejaVuSans-Bold")]
    faces += [("DejaVu Sans Mono", "400", "DejaVuSansMono"), ("DejaVu Sans Mono", "700", "DejaVuSansMono-Bold")]
    read = lambda name: base64.b64encode((folder / f"{name}.ttf").read_bytes()).decode()  # noqa: E731
    return [(family, weight, read(name)) for family, weight, name in faces]


def _key_on_page(notes: list[list[Any]]) -> str:
    """The colour of an entry of the legend: of its line, or of its ground, which comes before its hatch."""
    lines, grounds = ([note[2] for note in notes if note[0] == kind] for kind in ("line", "fill"))
    return _colour((lines or grounds)[0])


def _from_page(note: dict[str, Any], panel: Any, origin: list[float]) -> Drawn:
    x, y, width, height = note["table"] if note["kind"] == "Table" else note["rect"]
    drawn = Drawn(note["kind"], (x - origin[0], y - origin[1], width, height))
    if isinstance(panel, Panel):
        fills = [n for n in note["notes"] if n[0] == "fill" and isinstance(n[2], str)]
        cells = sum(len(layer.cells) for layer in panel.layers if isinstance(layer, Cells))
        drawn.cells = [(tuple(n[1]), _colour(n[2])) for n in fills if n[3] < 1][:cells]
        grounds = [n for n, after in pairwise(note["notes"]) if n[0] == "fill" and after[0] == "text"]
        drawn.labels = [(tuple(n[1]), _colour(n[2])) for n in grounds]
        drawn.boxes = [(tuple(n[1]), _colour(n[2])) for n in note["notes"] if n[0] == "box" and n[2] not in RIMS]
        drawn.words = [(n[1], n[2], n[3], _colour(n[4])) for n in note["notes"] if n[0] == "text"]
        drawn.pictures = [tuple(n[1]) for n in note["notes"] if n[0] == "image"]
    if isinstance(panel, Chart):
        drawn.marks = [(name, _colour(paint)) for name, paint in note["told"]]
        left, right, top, bottom = (note["margin"][side] for side in "lrtb")
        inner = (left, top, width - left - right, height - top - bottom)
        drawn.inner = None if panel.legend == "beside" else inner  # plotly.js makes room for the names by itself
    return drawn


# -- matplotlib --------------------------------------------------------------------------------------------------------


def paint_png(scene: Scene) -> Painting:
    """A scene as matplotlib's artists, in the light theme."""
    placed, size = layout.layout(scene, WIDTH)
    figure = png.figure_of(scene, placed, size, style.theme("light"))
    FigureCanvasAgg(figure).draw()
    panels = [_from_axes(axes, panel, rect) for axes, (panel, rect) in zip(figure.axes, placed, strict=False)]
    keys = []
    if scene.legend:
        lines, patches = iter(figure.axes[-1].lines), [p for p in figure.axes[-1].patches if p.get_fill()]
        grounds = iter(patches)
        keys = [_key_colour(bool(key.dash), lines, grounds) for key in scene.legend]
    return Painting(panels, keys)


def _key_colour(is_line: bool, lines: Any, grounds: Any) -> str:
    ground = _colour(to_hex(next(grounds).get_facecolor()))
    return _colour(to_hex(next(lines).get_color())) if is_line else ground


def _from_axes(axes: Axes, panel: Any, rect: Rect) -> Drawn:
    x, y, width, height = rect
    drawn = Drawn(type(panel).__name__, (x - layout.MARGIN, y - layout.MARGIN, width, height))
    place = _Places(axes)
    if isinstance(panel, Panel):
        x, y, *size = place.axes()
        drawn.rect = (x - layout.MARGIN, y - layout.MARGIN, *size)
        cells = sum(len(layer.cells) for layer in panel.layers if isinstance(layer, Cells))
        for patch in (p for p in axes.patches if isinstance(p, Rectangle)):
            entry = (
                place.rect(patch),
                _colour(to_hex(patch.get_facecolor() if patch.get_fill() else patch.get_edgecolor())),
            )
            if patch.get_zorder() >= 7:
                drawn.labels.append(entry)
            elif patch.get_zorder() == 4 and not patch.get_fill():
                drawn.boxes.append(entry)
        for patch in (p for p in axes.patches if isinstance(p, PathPatch) and p.get_zorder() == 2.5):
            found = _colour(to_hex(patch.get_facecolor()))  # all cells of a layer are one patch
            drawn.cells += [(place.outline(corners), found) for corners in patch.get_path().to_polygons()]
        drawn.words = [place.text(text) for text in sorted(axes.texts, key=Text.get_zorder)]
        drawn.pictures = [place.image(image) for image in axes.images]
        assert len(drawn.cells) == cells
    if isinstance(panel, Chart):
        inner = place.axes()
        drawn.inner = None if panel.legend == "beside" else (inner[0] - x, inner[1] - y, inner[2], inner[3])
        drawn.marks = _marks(axes, panel)
    return drawn


def _marks(axes: Axes, chart: Chart) -> list[tuple[str, str]]:
    lines, bars = iter(axes.lines), iter(axes.containers)
    found = []
    for mark in chart.marks:
        if hasattr(mark, "x"):
            found.append((mark.name, _colour(to_hex(next(lines).get_color()))))
        else:
            patches = next(bars).patches
            paint = to_hex(patches[0].get_facecolor()[:3]) if patches else ""
            found.append((mark.name, _colour(paint) if paint else ""))
    return found


class _Places:
    """Where artists are, in CSS pixels from the upper left corner of their axes."""

    def __init__(self, axes: Axes) -> None:
        self.parent, self.figure = axes, axes.figure

    def axes(self) -> Rect:
        """Of the whole figure."""
        box = self.parent.get_position()
        width, height = self.figure.get_size_inches() * 100
        return box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height

    def point(self, x: float, y: float) -> tuple[float, float]:
        left, top = self.parent.transAxes.transform((0, 1))
        px, py = self.parent.transData.transform((x, y))
        return px - left, top - py

    def rect(self, patch: Rectangle) -> Rect:
        x, y = self.point(patch.get_x(), patch.get_y())
        right, bottom = self.point(patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height())
        return x, y, right - x, bottom - y

    def outline(self, corners: np.ndarray) -> Rect:
        """Of the rectangle around (n, 2) corners."""
        (left, top), (right, bottom) = corners.min(0), corners.max(0)
        return self.rect(Rectangle((left, top), right - left, bottom - top))

    def image(self, image: AxesImage) -> Rect:
        left, right, bottom, top = image.get_extent()
        x, y = self.point(left, top)
        end, foot = self.point(right, bottom)
        return x, y, end - x, foot - y

    def text(self, text: Text) -> tuple[str, float, float, str]:
        return (text.get_text(), *self.point(*text.get_position()), _colour(to_hex(text.get_color())))


def _colour(value: str) -> str:
    """Without its opacity, which the browser writes as rgba(r, g, b, a)."""
    if value.startswith("rgba("):
        return "#" + "".join(f"{int(part):02X}" for part in value[5:].split(",")[:3])
    return to_hex(to_rgba(value)[:3]).upper()
