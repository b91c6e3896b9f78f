"""How long after a reader's action the picture is painted, for every control of every explorer, in a real JupyterLab.

usage: python benchmarks/latency.py                                the slowest control of each explorer
       python benchmarks/latency.py name of an explorer ...        all controls of these
       python benchmarks/latency.py --folded [name ...]            with only the settings unfolded

Needs what the browser tests need: pip install -e '.[dev]', and a chromium or google-chrome on the PATH. Everything
is unfolded first: statistics, tables, curves; with --folded they stay as an explorer opens. Every control
that an explorer shows is then used twenty times: a slider moved by one step, the next option of a choice, a box
on the picture moved by a pixel or chosen, a row of a table clicked, a button pressed. The clock runs in the page: from
the event to the moment after the frame that shows the kernel's answer (data-drawn is counted up in that frame).
"complete": the same until no part of the picture is late any more, where an explorer draws what takes long afterwards.
The kernel and the browser share this machine, and what else runs on it is in the figures.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the browser tests

from playwright.sync_api import Browser, ElementHandle, Locator, sync_playwright

import walkthrough
from tests.browser.explorer import OpenExplorer
from tests.browser.lab import FLAGS, find_chromium, running_lab

MOVES, WARM_UP = 20, 3
PAUSE = 60  # milliseconds between two moves
CONTINUING = ("start", "pause")  # buttons after which pictures come by themselves
MEASURE = """([root, node, kind, move]) => new Promise((resolve, reject) => {
    const use = {
        range: () => { step(); tell("input"); tell("change") },
        number: () => { step(); tell("input"); tell("change") },
        select: () => { node.selectedIndex = (node.selectedIndex + 1) % node.options.length; tell("change") },
        radio: () => all("input")[(all("input").findIndex(input => input.checked) + 1) % all("input").length].click(),
        checkbox: () => node.click(),
        button: () => node.click(),
        picture: () => { press(up ? "ArrowRight" : "ArrowLeft"); if (isChosen) press("Enter") },
        table: () => all(".wt-pickable")[1 + move % 2].click(),
    }
    const up = move % 4 < 2
    const isChosen = !node.ariaLabel?.includes("Tab chooses") && node.ariaLabel?.includes("Enter chooses")
    const all = selector => [...node.querySelectorAll(selector)]
    const tell = name => node.dispatchEvent(new Event(name, { bubbles: true }))
    const press = key => node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }))
    const step = () => up && !(node.max && node.valueAsNumber >= Number(node.max)) ? node.stepUp() : node.stepDown()
    if (kind === "picture" && document.activeElement !== node) { node.focus(); press("Tab") }
    const before = root.dataset.drawn
    let start = 0, painted = 0
    const look = () => {
        if (root.dataset.drawn === before) return
        painted ||= performance.now()
        if (root.querySelector(".wt-late")) return
        observer.disconnect()
        resolve([painted - start, performance.now() - start])
    }
    const observer = new MutationObserver(() => setTimeout(look, 0))  // behind the frame
    observer.observe(root, { attributes: true, attributeFilter: ["data-drawn"] })
    setTimeout(() => reject(new Error("nothing was painted")), 20000)
    start = performance.now()
    use[kind]()
})"""


class Used(NamedTuple):
    """Something on the page that a reader uses."""

    name: str
    kind: str  # as in MEASURE
    node: ElementHandle


class FoldedExplorer(OpenExplorer):
    """One of which only the settings are unfolded, so that they can be used."""

    def unfold(self) -> None:
        settings = self.root.locator(".wt-fold[aria-expanded='false']:visible").filter(has_text="settings")
        if settings.count():
            settings.click()
        self.settle()


def main(arguments: Sequence[str]) -> int:
    opening = FoldedExplorer if "--folded" in arguments else OpenExplorer
    names = [name for name in arguments if name != "--folded"]
    explorers = [name for name in walkthrough.__all__ if is_explorer(name)]
    unknown = sorted(set(names) - set(explorers))
    if unknown or find_chromium() is None:
        print(f"No explorer {unknown[0]}: there are {', '.join(explorers)}." if unknown else "No chromium on the PATH.")
        return 2
    print(f"{'milliseconds, median of ' + str(MOVES):42} {'painted':>9} {'p90':>9} {'complete':>9}")
    with opened() as (browser, lab, folder, home):
        for name in names or explorers:
            lines = [Line.of(name, used, times) for used, times in measured(opening, browser, lab, folder, home, name)]
            for line in lines if names else [max(lines, key=lambda line: line.painted)]:
                print(line, flush=True)
    return 0


class Line(NamedTuple):
    """What is printed of a control; milliseconds."""

    explorer: str
    used: str
    painted: float
    ninetieth: float
    complete: float

    @classmethod
    def of(cls, explorer: str, used: str, times: Sequence[Sequence[float]]) -> "Line":
        """times: (painted, complete) of each move."""
        painted, complete = zip(*times, strict=True)
        ninetieth = statistics.quantiles(painted, n=10)[-1]
        return cls(explorer, used, statistics.median(painted), ninetieth, statistics.median(complete))

    def __str__(self) -> str:
        return f"{self.explorer:18} {self.used:23} {self.painted:9.0f} {self.ninetieth:9.0f} {self.complete:9.0f}"


def is_explorer(name: str) -> bool:
    found = getattr(walkthrough, name)
    return isinstance(found, type) and issubclass(found, walkthrough.Explorer) and found is not walkthrough.Explorer


@contextmanager
def opened() -> Iterator[tuple[Browser, str, Path, Path]]:
    """A browser, and a JupyterLab on an empty folder."""
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder, home = Path(made, "notebooks"), Path(made, "home")
        folder.mkdir()
        with running_lab(folder, home) as lab:
            browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=list(FLAGS))
            yield browser, lab, folder, home
            browser.close()


def measured(
    opening: type[OpenExplorer], browser: Browser, lab: str, folder: Path, home: Path, name: str
) -> Iterator[tuple[str, list]]:
    """The name of each thing that a reader uses, and the times of its moves to and fro; reset after each."""
    code = f"from walkthrough import {name}\nw = {name}()\nw"
    explorer = opening(browser, lab, folder, home, code, f"{name}.ipynb")
    root = explorer.root.element_handle()
    names = [used.name for used in usable(explorer.root)]
    for place, used_name in enumerate(names):
        used = usable(explorer.root)[place]
        times = []
        for move in range(WARM_UP + MOVES):
            times.append(explorer.page.evaluate(MEASURE, [root, used.node, used.kind, move]))
            explorer.page.wait_for_timeout(PAUSE)
        yield used_name, times[WARM_UP:]
        explorer.press("reset")
    explorer.close()


def usable(root: Locator) -> list[Used]:
    """Controls, the first picture with something to move, the first table with rows to choose, buttons."""
    found = []
    for control in root.locator("[data-name]").all():
        name = control.get_attribute("data-name")
        if control.locator("input[type=radio]").count():
            found.append(Used(name, "radio", control.element_handle()))
            continue
        for kind in ("input[type=range]", "select", "input[type=checkbox]", "input[type=number]"):
            if control.locator(kind).count():
                word = kind.partition("=")[2].rstrip("]") or kind
                found.append(Used(name, word, control.locator(kind).first.element_handle()))
                break
    moves = "canvas:is([aria-label*='Tab chooses'], [aria-label*='Arrow keys'])"
    for kind, selector in (("picture", moves), ("table", "table:has(.wt-pickable ~ .wt-pickable)")):
        if root.locator(selector).count():
            found.append(Used(f"({kind})", kind, root.locator(selector).first.element_handle()))
    for button in root.locator("button.wt-action").all():
        if button.inner_text() not in CONTINUING:
            found.append(Used(f"button {button.inner_text()}", "button", button.element_handle()))
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
