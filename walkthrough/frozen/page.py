"""The script that frozen explorers share on a page, and the page of one that is saved."""

import json
import re
from functools import cache
from html import escape
from importlib.resources import files

DEFAULT = re.compile(r"^export default .*\n", re.MULTILINE)
COMMENT = re.compile(r"^\s*(//.*|/\*\*?(.|\n)*?\*/)\n", re.MULTILINE)
INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
FROZEN_MODULES = ("scales", "plots", "frozen")  # after those of the live page

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ background: Canvas; color: CanvasText; margin: 1rem auto; max-width: 1000px; padding: 0 .5rem }}
</style>
</head>
<body>
{fragment}
{script}
</body>
</html>
"""


@cache
def script_text() -> str:
    """The shared script as JavaScript: the live page's modules, the charts without plotly.js, the styles.

    It wakes all frozen explorers on the page, those that it finds and, each time it runs again, those that came since.
    """
    from walkthrough.render.live import look, script, without_imports  # and with it anywidget: when it is needed

    folder = files("walkthrough.render")
    modules = [
        script("js"),
        *(without_imports((folder / f"{n}.js").read_text(encoding="utf-8")) for n in FROZEN_MODULES),
    ]
    code = INDENT.sub("", COMMENT.sub("", DEFAULT.sub("", "\n".join(modules))))
    styles = script("css") + (folder / "frozen.css").read_text(encoding="utf-8")
    given = json.dumps({"look": look(), "styles": INDENT.sub("", COMMENT.sub("", styles))})
    return f'(() => {{\n"use strict";\n{code}\nwakeAll({given});\n}})();\n'


def script_html() -> str:
    """The same as an element of HTML."""
    return f"<script>\n{script_text()}</script>"


def fragment_html(data: dict[str, object], words: str) -> str:
    """A frozen explorer as HTML, for a page with the script: until it is awake, and without scripts, its words."""
    return f'<div class="wt-frozen">{_words_html(words)}<script type="application/json">{_json(data)}</script></div>'


def host_html(address: str, words: str) -> str:
    """The same with what it is made of in a file, that of data_script."""
    return f'<div class="wt-frozen" data-src="{escape(address)}">{_words_html(words)}</div>'


def data_script(data: dict[str, object]) -> str:
    """What a frozen explorer is made of as a script: a page from a file may fetch scripts, and no other files."""
    return f"document.currentScript.frozen = {_json(data)};\n"


def _words_html(words: str) -> str:
    return f'<div class="wt-frozen-words">{"<br>".join(escape(words, quote=False).splitlines())}</div>'


def _json(data: dict[str, object]) -> str:
    """JSON that ends no script element."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def page_html(title: str, fragment: str) -> str:
    """A page of its own, that needs no other file."""
    return PAGE.format(title=escape(title), fragment=fragment, script=script_html())
