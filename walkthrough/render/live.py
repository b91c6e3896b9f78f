"""An explorer on the page: one anywidget that holds its controls, its pictures, its charts and its words.

All of it goes to the browser as data in a few traits, in one message for each change: the scene as JSON, the pixels
of its images apart (an image that stays is not sent again), the controls and their values. What the reader does comes
back as new values, so that messages which overtake each other lose nothing. The drawing is in walkthrough/render/*.js.
"""

import gzip
from collections import OrderedDict
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import anywidget
import cv2
import numpy as np
import traitlets

from walkthrough import style
from walkthrough.explorers.controls import bounds_of, controls_of, options_of
from walkthrough.serialise import to_json

SCRIPTS = ("controls.js", "canvas.js", "charts.js", "tables.js", "live.js")  # one module in the browser
LOSSLESS = 256 * 256  # pixels up to which an image goes as PNG; photographs above that as JPEG
QUALITY, REMEMBERED = 92, 32


class Live(anywidget.AnyWidget):
    """The page's side of an explorer."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    controls = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    actions = traitlets.List().tag(sync=True)
    uploads = traitlets.Bool().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    pictures = traitlets.Dict().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    look = traitlets.Dict().tag(sync=True)

    def __init__(self, explorer: Any) -> None:
        self._explorer = explorer
        self._encoded: OrderedDict[str, bytes] = OrderedDict()
        super().__init__(_esm=script("js"), _css=script("css"), look=look(), **self._told(explorer))
        self.on_msg(self._on_message)
        self.observe(self._on_values, "values")

    def show(self, explorer: Any) -> None:
        """Bring the page up to date."""
        told = self._told(explorer)
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in told.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)

    def _told(self, explorer: Any) -> dict[str, Any]:
        pictures: dict[str, bytes] = {}
        controls = {n: c for n, c in controls_of(explorer.State).items() if c.kind != "given"}
        controls = {n: c for n, c in controls.items() if c.of_use(explorer.state)}
        return {
            "scene": to_json(explorer.picture(), lambda pixels: self._key(pixels, pictures)),
            "pictures": pictures,
            "title": explorer.title or type(explorer).__name__,
            "controls": [told(name, control, explorer.state) for name, control in controls.items()],
            "values": {name: value_of(name, control, explorer.state) for name, control in controls.items()},
            "actions": [vars(action) for action in explorer.actions],
            "uploads": explorer.uploads,
            "message": explorer.message,
            "words": explorer.words() if explorer.result is not None else "",
            "code": explorer.as_code(),
        }

    def _key(self, pixels: np.ndarray, pictures: dict[str, bytes]) -> str:
        """A name for an image's content, under which its bytes are sent."""
        pixels = np.ascontiguousarray(pixels)
        key = blake2b(pixels.tobytes() + str(pixels.shape).encode(), digest_size=8).hexdigest()
        if key not in self._encoded:
            self._encoded[key] = encode(pixels)
            while len(self._encoded) > REMEMBERED:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        pictures[key] = self._encoded[key]
        return key

    def _on_values(self, change: dict[str, Any]) -> None:
        """The reader moved something; nothing to do where Python did."""
        state, controls = self._explorer.state, controls_of(self._explorer.State)
        known = {n: v for n, v in change["new"].items() if n in controls}
        changed = {n: v for n, v in known.items() if v != value_of(n, controls[n], state)}
        if changed:
            self._guarded(lambda: self._explorer.set(**changed))

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        match message.get("kind"):
            case "plotly":
                self.send({"kind": "plotly"}, [plotly()])
            case "action":
                names = {"reset", *(action.method for action in self._explorer.actions)}
                if message["method"] in names:
                    self._guarded(getattr(self._explorer, message["method"]))
            case "picture":
                self._guarded(lambda: self._explorer.add_picture(decoded(message["name"], buffers), message["name"]))

    def _guarded(self, work: Any) -> None:
        """Run what the reader asked for; what goes wrong becomes a sentence on the page, never a traceback."""
        try:
            work()
        except Exception as problem:
            words = str(problem) if isinstance(problem, ValueError) else f"{type(problem).__name__}: {problem}"
            self._explorer.message = words
            self.message = words


def told(name: str, control: Any, state: Any) -> dict[str, Any]:
    """A control as the page needs it."""
    low, high = bounds_of(control, state)
    options = list(options_of(control, state)) if control.kind == "choice" else []
    named = {n: getattr(control, n) for n in ("kind", "help", "step", "unit", "log", "heavy", "group")}
    return {"name": name, "label": control.label or name, "low": low, "high": high, "options": options, **named}


def value_of(name: str, control: Any, state: Any) -> Any:
    """A setting as the page holds it: the words of a choice, lists for boxes and points."""
    value = getattr(state, name)
    match control.kind:
        case "choice":
            return next((word for word, option in options_of(control, state).items() if option == value), "")
        case "boxes":
            return [list(box) for box in value]
        case "point":
            return None if value is None else list(value)
    return value


def encode(pixels: np.ndarray) -> bytes:
    """RGB (H, W, 3) uint8 as a file the browser reads: small maps exactly, photographs nearly so."""
    small = pixels.shape[0] * pixels.shape[1] <= LOSSLESS
    kind, options = (
        (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]) if small else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    )
    return cv2.imencode(kind, pixels[..., ::-1], options)[1].tobytes()


def decoded(name: str, buffers: list[Any]) -> np.ndarray:
    """The picture a reader uploaded, as RGB (H, W, 3) uint8."""
    image = cv2.imdecode(np.frombuffer(buffers[0], np.uint8), cv2.IMREAD_COLOR) if buffers else None
    if image is None:
        raise ValueError(f"{name} is not a picture that can be read: take a JPEG, PNG, BMP or WebP file")
    return np.ascontiguousarray(image[..., ::-1])


@cache
def script(kind: str) -> str:
    """The JavaScript or the CSS of the page."""
    folder = files("walkthrough.render")
    names = SCRIPTS if kind == "js" else ("live.css",)
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


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
        "themes": {name: {**theme, "series": list(theme["series"])} for name, theme in themes.items()},
    }
