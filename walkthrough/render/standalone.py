"""A Scene as a page of its own: what the live page paints, with all that it needs in one file, and no kernel."""

import base64
import json
from html import escape
from typing import Any

import cv2
import numpy as np

from walkthrough import style
from walkthrough.render.live import look, plotly, script
from walkthrough.scene import Chart, Scene
from walkthrough.serialise import to_json

# The live page asks a model for its traits and for pictures; here they are in the file.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ background: {ground}; margin: 1rem auto; max-width: {width}px; padding: 0 .5rem; font-family: sans-serif }}
{css}
.wt {{ border: 0 }}
.wt-head, .wt-main, .wt-code-line, .wt-hint {{ display: none }}
</style>
</head>
<body>
<main></main>
<noscript><pre style="color: {text}">{words}</pre></noscript>
<script type="application/json" id="traits">{traits}</script>
<script type="application/json" id="files">{files}</script>
<script type="module">
{js}
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const traits = read("traits"), files = read("files");
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const heard = {{}};
const tell = (message, keys) => heard["msg:custom"]?.forEach((hear) => hear(message, keys.map((k) => bytes(files[k]))));
const model = {{
  get: (name) => traits[name],
  set: (name, value) => {{ traits[name] = value; }},
  save_changes: () => {{}},
  on: (event, hear) => (heard[event] ??= []).push(hear),
  off: () => {{}},
  send: (message) => setTimeout(() => {{
    if (message.kind === "plotly") tell({{ kind: "plotly" }}, ["plotly"]);
    if (message.kind === "need") tell({{ kind: "pictures", keys: message.keys }}, message.keys);
  }}, 0),
}};
__page.render({{ model, el: document.querySelector("main") }});
</script>
</body>
</html>
"""
INTERACTIVE = ("pick", "drag", "draw")  # what a kernel would answer


def page_of(scene: Scene, theme: str, width: int) -> str:
    """A scene as HTML. Charts bring plotly.js with them, about 2 MB."""
    files: dict[str, str] = {}

    def key_of(pixels: np.ndarray) -> str:
        key = f"picture{len(files)}"
        files[key] = base64.b64encode(_png(pixels)).decode()
        return key

    shown = _still(to_json(scene, key_of))
    if any(isinstance(panel, Chart) for row in scene.all_rows for panel in row):
        files["plotly"] = base64.b64encode(plotly()).decode()
    words, colours = repr(scene), style.theme(theme)
    traits = {"look": look(), "title": "", "controls": [], "values": {}, "actions": [], "uploads": False}
    traits |= {"scene": shown, "message": "", "words": words, "code": "", "moved": {}, "seen": {}}
    return PAGE.format(
        title=escape(words.split("\n")[0][:120]),
        ground=colours.background,
        text=colours.text,
        width=width,
        css=script("css"),
        js=script("js").replace("export default {", "const __page = {"),
        words=escape(words),
        traits=_in_script(traits),
        files=_in_script(files),
    )


def _in_script(value: Any) -> str:
    """JSON that ends no script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _still(value: Any) -> Any:
    """A scene's JSON without what a reader could change."""
    if isinstance(value, dict):
        return {key: "" if key in INTERACTIVE else _still(part) for key, part in value.items()}
    return [_still(part) for part in value] if isinstance(value, list) else value


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
