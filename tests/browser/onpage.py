"""An explorer on a plain page: the page's own script in the real browser, the explorer in this process, no notebook.

    shown = OnPage(browser, IouPlayground())
    shown.change("box_loss", "giou")     # as a control does; returns once it is painted
    shown.root.locator(".wt-takeaway")   # anything that playwright can ask

Charts are drawn by a stub of plotly.js unless plotly=True.
"""

import base64
import gzip
import json
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from tests.browser.painting import PLOTLY
from walkthrough.explorers.base import Explorer
from walkthrough.render import live

TRAITS = (
    *("look", "title", "controls", "values", "actions", "uploads", "scene", "message", "headline", "stage"),
    *("opened", "refusals", "history", "advice", "words", "code", "cell", "seen", "moved"),
)
START = """async ({ script, state, messages }) => {
    const heard = {}
    const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)
    const tell = (event, ...given) => [...(heard[event] ?? [])].forEach((listen) => listen(...given))
    const receive = (answer) => {
        for (const [message, buffers] of answer.messages) tell("msg:custom", message, buffers.map(bytes))
        Object.assign(state, answer.state)
        if (Object.keys(answer.state).length) tell("change")
    }
    let dirty = {}
    const model = {
        get: (name) => state[name],
        set: (name, value) => { state[name] = dirty[name] = value },
        save_changes: async () => { const sent = dirty; dirty = {}; receive(await window.toKernel({ sent })) },
        send: async (message) => receive(await window.toKernel({ message })),
        on: (event, listen) => (heard[event] ??= []).push(listen),
        off: () => {},
    }
    window.show = receive
    window.model = model
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }))
    const module = (await import(address)).default
    module.render({ model, el: document.getElementById("host") })
    receive({ state: {}, messages })
}"""
PAINTED = """async (count) => {
    const root = document.querySelector(".wt")
    const until = async (ready) => {
        for (let k = 0; k < 500 && !ready(); k++) await new Promise((next) => setTimeout(next, 10))
    }
    await until(() => Number(root.dataset.drawn) > count)
    await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))
    return Number(root.dataset.drawn)
}"""


class OnPage:
    """A page with one explorer."""

    def __init__(
        self, browser: Browser, explorer: Explorer, width: int = 1000, theme: str = "light", plotly: bool = False
    ) -> None:
        self.explorer, self.live = explorer, explorer.widget
        self.errors: list[str] = []
        self._plotly = live.plotly() if plotly else gzip.compress(PLOTLY.encode())
        self._messages: list[tuple[dict[str, Any], list[bytes]]] = []
        self._told: dict[str, str] = {}
        self.live.send = lambda content, buffers=None: self._messages.append((content, list(buffers or [])))
        self.page: Page = browser.new_page(viewport={"width": width, "height": 1000})
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        ground = "#111" if theme == "dark" else "#fff"
        head = f"<style>{live.script('css')}</style><style>body {{ margin: 0; background: {ground} }}</style>"
        body = f"<body data-jp-theme-light='{'false' if theme == 'dark' else 'true'}'><div id='host'></div></body>"
        self.page.set_content(f"<html><head>{head}</head>{body}</html>")
        self.page.expose_function("toKernel", self._hear)
        first = self._answer()
        given = {"script": live.script("js"), "state": first["state"], "messages": first["messages"]}
        self.page.evaluate(START, given)
        self.root: Locator = self.page.locator(".wt")
        self.wait(0)

    def _hear(self, told: dict[str, Any]) -> dict[str, Any]:
        """What the page says, and the answer, as a kernel gives it."""
        try:
            if message := told.get("message"):
                if message["kind"] == "plotly":
                    self._messages.append(({"kind": "plotly"}, [self._plotly]))
                else:
                    self.live._on_message(None, message, [])
            for name, value in told.get("sent", {}).items():
                self._told[name] = json.dumps(value)
                setattr(self.live, name, value)
        except Exception as problem:  # in a callback of the browser it would be lost
            self.errors.append(repr(problem))
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """The traits that are not what the page knows, and the messages since the last time."""
        state = {name: getattr(self.live, name) for name in TRAITS if self.live.has_trait(name)}
        new = {name: value for name, value in state.items() if json.dumps(value) != self._told.get(name)}
        self._told |= {name: json.dumps(value) for name, value in new.items()}
        encoded = [[m, [base64.b64encode(part).decode() for part in parts]] for m, parts in self._messages]
        self._messages.clear()
        return {"state": new, "messages": encoded}

    @property
    def drawn(self) -> int:
        """How many pictures were painted so far."""
        return int(self.root.get_attribute("data-drawn") or 0)

    def wait(self, count: int) -> None:
        """Until more than count pictures are painted."""
        self.page.evaluate(PAINTED, count)

    def set(self, **settings: Any) -> None:
        """Set the explorer's settings here, and show what comes of it there."""
        self.explorer.set(**settings)
        self.show()

    def show(self) -> None:
        """Show what became of the explorer in this process."""
        before, answer = self.drawn, self._answer()
        self.page.evaluate("(answer) => window.show(answer)", answer)
        if answer["state"]:
            self.wait(before)

    def click(self, selector: str) -> None:
        """Click on something; returns once what comes of it is painted."""
        before = self.drawn
        self.root.locator(selector).first.click()
        self.wait(before)

    def close(self) -> None:
        """Close the page."""
        self.page.close()
