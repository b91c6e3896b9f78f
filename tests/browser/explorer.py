"""An explorer in a cell of a notebook, in the browser: what a reader does to it, and what comes of it.

    def test_a_larger_anchor_t_takes_more(open_cell):
        explorer = open_cell("from walkthrough import AnchorExplorer\\nw = AnchorExplorer()\\nw")
        before = explorer.picture()
        explorer.set_slider("anchor_t", 8)          # real keys on the real slider; returns once it is painted
        assert explorer.picture() != before         # the panels, charts and tables look different
        assert explorer.ask("w.anchor_t") == "8.0"  # what the kernel holds
        assert explorer.errors == []                # of the browser's console

Names are those of the fields of the explorer's State; panels are told by their place (0, 1 ...) or title.
Places are in the panel's own pixels. set_slider, type_number, choose, toggle, press, drag, click and key wait until
the page has painted the answer; the variable of the explorer in the kernel is w.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import nbformat
from jupyter_client import BlockingKernelClient
from playwright.sync_api import Browser, Locator, TimeoutError

from tests.browser.lab import NOTEBOOK, OpenNotebook

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
SETTLED = 0.25  # seconds without a new picture after which nothing more is expected
Place = tuple[float, float]

CHARTS_ARE_DRAWN = """root => [...root.querySelectorAll(".wt-is-Chart")].every(
    chart => !chart.getClientRects().length || chart.querySelector(".main-svg"))"""  # plotly may have to come first
PANEL_AT = """(canvas, [x, y]) => {
    const frame = canvas.getBoundingClientRect(), [left, top, width] = canvas.dataset.window.split(" ").map(Number)
    return [frame.left + (x - left) * frame.width / width, frame.top + (y - top) * frame.width / width]
}"""
DRAWN = """panels => panels.map(panel => [
    [...panel.querySelectorAll("canvas")].map(canvas => canvas.toDataURL()),
    [...panel.querySelectorAll(".wt-plot path")].map(path => path.getAttribute("d")),
    [...panel.querySelectorAll(".wt-plot text")].map(text => text.textContent),
    [...panel.querySelectorAll("h4, figcaption, tr, .wt-line")].map(part => part.className + part.textContent),
])"""


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook with these code cells."""
    written = [nbformat.v4.new_code_cell(code) for code in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=written, metadata={"kernelspec": KERNELSPEC}), path)


class OpenExplorer:
    """The explorer that the code of a cell shows."""

    def __init__(self, browser: Browser, lab: str, folder: Path, home: Path, code: str, name: str) -> None:
        write_notebook(folder / name, code)
        self._home = home
        self.notebook = OpenNotebook(browser, lab, name)
        self.page = self.notebook.page
        self._client: BlockingKernelClient | None = None
        self.notebook.run_all()
        assert self.notebook.failures() == []
        self.root: Locator = self.page.locator(f"{NOTEBOOK} .wt").first
        try:
            self.page.wait_for_selector(f"{NOTEBOOK} .wt:not([data-drawn='0'])", timeout=30_000)
        except TimeoutError:
            shown = self.page.locator(f"{NOTEBOOK} .jp-OutputArea").all_inner_texts()
            raise AssertionError(f"no explorer was painted; console {self.errors}, outputs {shown}") from None
        self.settle()
        self.unfold()

    # -- what is to be seen -----------------------------------------------------------------------------------------

    @property
    def errors(self) -> list[str]:
        """What the browser's console complained about, warnings of ours among it."""
        return self.notebook.errors

    @property
    def drawn(self) -> int:
        """How many pictures were painted so far."""
        return int(self.root.get_attribute("data-drawn"))

    @property
    def message(self) -> str:
        """The sentences over the picture and at the controls; "" where all is well."""
        return " ".join(filter(None, self.root.locator(".wt-message, .wt-refusal").all_text_contents()))

    def settle(self, after: int | None = None) -> None:
        """Wait for a picture after the given one, if one is given, and then until no more come."""
        if after is not None:
            condition = "([root, count]) => Number(root.dataset.drawn) > count"
            self.page.wait_for_function(condition, arg=[self.root.element_handle(), after], timeout=20_000)
        before = -1
        while before != (before := self.drawn):
            self.page.wait_for_timeout(SETTLED * 1000)

    @contextmanager
    def painted(self) -> Iterator[None]:
        """Whatever is done inside, the picture that comes of it is on the page afterwards."""
        before = self.drawn
        yield
        self.settle(before)

    def unfold(self) -> None:
        """Open whatever is folded: the other settings, statistics, curves."""
        while (folded := self.root.locator(".wt-fold[aria-expanded='false']:visible")).count():
            folded.first.click()
        self.page.wait_for_function(CHARTS_ARE_DRAWN, arg=self.root.element_handle(), timeout=20_000)
        self.settle()

    def panel(self, which: int | str = 0) -> Locator:
        """The canvas of a panel, by place or title."""
        canvases = self.root.locator(".wt-is-Panel")
        found = canvases.nth(which) if isinstance(which, int) else canvases.filter(has_text=which).first
        return found.locator("canvas")

    def picture(self, selector: str = ".wt-panel") -> str:
        """A digest of what is drawn: the pixels of canvases, the lines of charts, the words of tables."""
        self.page.mouse.move(2, 2)  # nothing is lit up under the mouse
        self.page.wait_for_timeout(50)
        return blake2b(json.dumps(self.root.locator(selector).evaluate_all(DRAWN)).encode()).hexdigest()

    # -- what a reader does -----------------------------------------------------------------------------------------

    def control(self, name: str) -> Locator:
        """What holds the control of a field."""
        return self.root.locator(f"[data-name='{name}']")

    def set_slider(self, name: str, value: float) -> None:
        """Move a slider with the keyboard: to one end, then step by step, or by typing where the steps are many."""
        slider = self.control(name).locator("input[type=range]")
        low, high, step = (float(slider.get_attribute(bound)) for bound in ("min", "max", "step"))
        steps = round((value - low) / step)
        if steps > 60 or not low <= value <= high or self.control(name).locator("input[type=number]").count() == 0:
            return self.type_number(name, value)
        with self.painted():
            slider.focus()
            self.page.keyboard.press("Home")
            for _ in range(steps):
                self.page.keyboard.press("ArrowRight")
        return None

    def drag_slider(self, name: str, share: float) -> None:
        """Drag a slider with the mouse to a share (0 to 1) of its way."""
        slider = self.control(name).locator("input[type=range]")
        slider.scroll_into_view_if_needed()
        frame = slider.bounding_box()
        low, high = float(slider.get_attribute("min")), float(slider.get_attribute("max"))
        at = (float(slider.input_value()) - low) / (high - low)
        y = frame["y"] + frame["height"] / 2
        place = lambda part: frame["x"] + 7 + part * (frame["width"] - 14)  # noqa: E731
        with self.painted():
            self.page.mouse.move(place(at), y)
            self.page.mouse.down()
            self.page.mouse.move(place(share), y, steps=8)
            self.page.mouse.up()

    def type_number(self, name: str, value: float | str) -> None:
        """Type into the number field of a slider or a number."""
        field = self.control(name).locator("input[type=number]")
        with self.painted():
            field.fill(str(value))
            field.press("Enter")

    def choose(self, name: str, word: str) -> None:
        """Choose an option, whether they are buttons side by side or a list."""
        select = self.control(name).locator("select")
        with self.painted():
            if select.count():
                select.select_option(label=word)
            else:
                self.control(name).locator("label", has_text=word).first.click()

    def toggle(self, name: str) -> None:
        """Switch yes to no and back."""
        with self.painted():
            self.control(name).locator("input").click()

    def press(self, button: str) -> None:
        """Press a button by its words."""
        with self.painted():
            self.root.get_by_role("button", name=button, exact=True).click()

    def upload(self, path: Path) -> None:
        """Bring a picture."""
        with self.painted():
            self.root.locator("input[type=file]").set_input_files(path)

    def drag(self, start: Place, end: Place, panel: int | str = 0, holding: str | None = None) -> None:
        """Drag with the mouse from one place of a panel to another, holding a key such as Shift or none."""
        with self.painted():
            self.page.mouse.move(*self.on_page(start, panel))
            if holding:
                self.page.keyboard.down(holding)
            self.page.mouse.down()
            self.page.mouse.move(*self.on_page(end, panel), steps=6)
            self.page.mouse.up()
            if holding:
                self.page.keyboard.up(holding)

    def click(self, at: Place, panel: int | str = 0) -> None:
        """Click on a place of a panel."""
        with self.painted():
            self.page.mouse.click(*self.on_page(at, panel))

    def key(self, keys: str, panel: int | str | None = 0) -> None:
        """Press keys ("n ArrowRight Shift+ArrowDown") on a panel; panel None: where the focus is."""
        with self.painted():
            if panel is not None:
                self.panel(panel).focus()
            for key in keys.split():
                self.page.keyboard.press(key)

    def on_page(self, at: Place, panel: int | str = 0) -> Place:
        """A place of a panel in the pixels of the page."""
        canvas = self.panel(panel)
        canvas.scroll_into_view_if_needed()
        x, y = canvas.evaluate(PANEL_AT, list(at))
        return x, y

    # -- the kernel -------------------------------------------------------------------------------------------------

    def ask(self, expression: str) -> str:
        """The repr of an expression in the kernel of the notebook."""
        reply = self.client.execute_interactive(
            "", user_expressions={"it": expression}, timeout=30, output_hook=lambda _: None
        )
        it = reply["content"]["user_expressions"]["it"]
        assert it["status"] == "ok", it
        return it["data"]["text/plain"]

    def run(self, code: str) -> None:
        """Run code in the kernel, as another cell would."""
        reply = self.client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply["content"]

    @property
    def client(self) -> BlockingKernelClient:
        if self._client is None:
            connection = self._home / "runtime" / f"kernel-{self.notebook.kernel_id}.json"
            self._client = BlockingKernelClient(connection_file=str(connection))
            self._client.load_connection_file()
            self._client.start_channels()
            self._client.wait_for_ready(30)
        return self._client

    def close(self) -> None:
        """Close the tab and its kernel."""
        if self._client is not None:
            self._client.stop_channels()
        self.notebook.end_kernel()
        self.notebook.close()
