"""An explorer on the page: one anywidget that holds its controls, its pictures, its charts and its words.

All of it goes to the browser as data in a few traits, in one message for each change: the scene as JSON with a key for
each image, the controls and their values. What an image holds goes apart and once. What the reader does comes back in
moved, numbered; seen says how far that has been dealt with, so that the page knows which of its own changes are still
under way and lets no late answer overwrite them. The drawing is in ``walkthrough/render/*.js``.
"""

import asyncio
import gzip
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import anywidget
import cv2
import numpy as np
import traitlets

from walkthrough import style
from walkthrough.images import heat
from walkthrough.render.page import Shown
from walkthrough.scene import Scene
from walkthrough.serialise import to_json

# The modules of walkthrough/render/*.js; each imports only from those before it, and the browser gets all as one.
MODULES = (
    *("words", "typed", "colours", "dom", "geometry", "places", "pen", "boxes", "change", "classes", "edit", "keys"),
    *("page", "links", "labels", "canvas", "marker", "charts", "tables", "source", "guess", "uploads", "refusals"),
    *("history", "advice", "stops", "play", "controls", "stage", "layout", "still", "live"),
)
STYLES = ("live", "motion")
IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?!default )", re.MULTILINE)
LOSSLESS = 160 * 160  # pixels up to which an image goes as PNG, as maps do; photographs as JPEG, 12 times faster
QUALITY, REMEMBERED = 92, 64
REST = 0.04  # seconds without a change of settings, after which what takes long is drawn


class Live(anywidget.AnyWidget):
    """The page's side of an explorer. After a scene is painted, the page counts up data-drawn on its root element."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    look = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    controls: traitlets.List[Any] = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    actions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    uploads = traitlets.Bool().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    headline = traitlets.Unicode().tag(sync=True)
    stage = traitlets.Dict().tag(sync=True)
    opened: traitlets.List[str] = traitlets.List().tag(sync=True)  # from the page: titles of what is unfolded
    refusals = traitlets.Dict().tag(sync=True)
    history = traitlets.Dict().tag(sync=True)
    advice = traitlets.Dict().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    cell = traitlets.Unicode().tag(sync=True)
    moved = traitlets.Dict().tag(sync=True, echo_update=False)  # from the page: {page, number, values}
    seen = traitlets.Dict().tag(sync=True)  # {page, number} of what was last dealt with

    def __init__(self, explorer: Shown) -> None:
        self._explorer = explorer
        self._encoded: OrderedDict[str, bytes] = OrderedDict()
        self._sent: set[str] = set()
        self._rest: asyncio.TimerHandle | None = None  # what is still to be drawn
        traits, _ = self._state_and_keys(explorer.page_scene())
        super().__init__(_esm=script("js"), _css=script("css"), look=look(), **traits)
        self.on_msg(self._on_message)
        self.observe(self._on_moved, "moved")
        self.observe(lambda _: self._guarded(self.show), "opened")

    def view(self) -> dict[str, Any]:
        """What a notebook needs to show the live page: a mime type and the key of this widget."""
        bundle = super()._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle or {}
        return {kind: value for kind, value in data.items() if kind != "text/plain"}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._explorer._repr_mimebundle_()

    def show(self) -> None:
        """Bring the page up to date: at once, but for what an explorer leaves out of its draft."""
        if self._rest is not None:
            self._rest.cancel()
        draft = self._explorer.page_draft()
        loop = _running_loop() if draft is not None else None
        self._rest = loop.call_later(REST, self._guarded, self.show_scene) if loop else None
        self.show_scene(draft if loop else None)

    def show_scene(self, draft: Scene | None = None) -> None:
        """Put a draft, or else the explorer's scene, and its settings on the page."""
        traits, keys = self._state_and_keys(draft or self._explorer.page_scene())
        self._send_pictures([key for key in keys if key not in self._sent])
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)

    def _state_and_keys(self, scene: Scene) -> tuple[dict[str, Any], list[str]]:
        """The traits, and the keys of the images in the scene."""
        keys: dict[str, None] = {}

        def key_of(pixels: np.ndarray) -> str:
            key = self._key(pixels)
            keys[key] = None
            return key

        json = to_json(replace(scene, more=()), key_of)
        json["more"] = [
            {
                "title": more.title,
                "legend": to_json(more.legend),
                "rows": to_json(more.unfolded(), key_of) if more.title in self.opened else None,
            }
            for more in scene.more
        ]
        return {"scene": json, **self._explorer.page_state()}, list(keys)

    def _key(self, pixels: np.ndarray) -> str:
        """A name for an image's content, under which its bytes are kept and sent."""
        pixels = np.ascontiguousarray(pixels)
        key = blake2b(pixels.data, digest_size=8, key=str(pixels.shape).encode()).hexdigest()
        if key not in self._encoded:
            self._encoded[key] = encode(pixels)
            while len(self._encoded) > REMEMBERED:
                self._sent.discard(self._encoded.popitem(last=False)[0])
        self._encoded.move_to_end(key)
        return key

    def _send_pictures(self, keys: list[str]) -> None:
        known = [key for key in keys if key in self._encoded]
        if known:
            self._sent.update(known)
            self.send({"kind": "pictures", "keys": known}, [self._encoded[key] for key in known])

    def _on_moved(self, change: dict[str, Any]) -> None:
        """The reader changed settings: the answer to it and the new scene go back in one message."""
        moved = change["new"]
        with self.hold_sync():
            gesture = f"{moved['page']} {moved.get('gesture', '')}"
            self._guarded(lambda: self._explorer.page_moved(moved["values"], gesture))
            self.seen = {"page": moved["page"], "number": moved["number"]}

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        with self.hold_sync():
            match message.get("kind"):
                case "plotly":
                    self.send({"kind": "plotly"}, [plotly()])
                case "need":
                    self._send_pictures(message["keys"])
                case "unseen":
                    self._guarded(self._explorer.page_unseen)
                case "action":
                    self._guarded(lambda: self._explorer.page_pressed(message["method"]))
                case "story":
                    self._guarded(lambda: self._explorer.page_story(message["label"]))
                case "picture":
                    name = message["name"]
                    self._guarded(lambda: self._explorer.add_picture(decoded(name, buffers), name))
            if "number" in message:
                self.seen = {"page": message["page"], "number": message["number"]}

    def _guarded(self, work: Callable[[], object]) -> None:
        """Run what the reader asked for; what goes wrong becomes a sentence on the page, never a traceback."""
        try:
            work()
        except Exception as problem:
            self._explorer.report(problem)
            self.message = self._explorer.message


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that will go on after this change, as a kernel's does; None in a plain program."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def encode(pixels: np.ndarray) -> bytes:
    """RGB (H, W, 3) uint8 as a file the browser reads: small maps exactly, photographs nearly so."""
    small = pixels.shape[0] * pixels.shape[1] <= LOSSLESS
    kind, options = (
        (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]) if small else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    )
    return cv2.imencode(kind, pixels[..., ::-1], options)[1].tobytes()


def decoded(name: str, buffers: list[Any]) -> np.ndarray:
    """The picture a reader uploaded, as RGB (H, W, 3) uint8."""
    data = np.frombuffer(buffers[0], np.uint8) if buffers else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"{name} is not a picture that can be read: take a JPEG, PNG, BMP or WebP file")
    return np.ascontiguousarray(image[..., ::-1])


@cache
def script(kind: str) -> str:
    """The JavaScript or the CSS of the page."""
    folder = files("walkthrough.render")
    if kind == "css":
        return "\n".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
    return "\n".join(without_imports((folder / f"{name}.js").read_text(encoding="utf-8")) for name in MODULES)


def without_imports(module: str) -> str:
    """A module's source as a part of one script, in which all names are known."""
    return EXPORT.sub("", IMPORT.sub("", module))


@cache
def plotly() -> bytes:
    """plotly.js, compressed: sent once to a page that shows a chart."""
    return gzip.compress((files("plotly") / "package_data" / "plotly.min.js").read_bytes(), 6)


@cache
def look() -> dict[str, Any]:
    """The colours of walkthrough.style for the page."""
    themes = {name: vars(theme) for name, theme in style.THEMES.items()}
    return {
        "meaning": style.MEANING,
        "classes": list(style.CLASSES),
        "dashes": list(style.DASHES),
        "markers": list(style.MARKERS),
        "shades": [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in heat(np.arange(64)[None])[0].tolist()],
        "themes": {name: {**theme, "series": list(theme["series"])} for name, theme in themes.items()},
    }
