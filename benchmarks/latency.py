"""How long after a reader's action the picture is painted, for every explorer, in a real JupyterLab in Chromium.

usage: python benchmarks/latency.py [name of an explorer ...]      no name: all that walkthrough exports

Needs what the browser tests need: pip install -e '.[dev]', and a chromium or google-chrome on the PATH. A slider of
each explorer is moved thirty times by one step, and one that waits for release, where there is such. The clock runs in
the page: from the event to the moment after the frame that shows the kernel's answer (data-drawn is counted up in
that frame). The kernel and the browser share this machine, and what else runs on it is in the figures.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of the browser tests

from playwright.sync_api import Browser, sync_playwright

import walkthrough
from tests.browser.explorer import OpenExplorer
from tests.browser.lab import FLAGS, find_chromium, running_lab
from walkthrough.explorers.controls import controls_of

MOVES, WARM_UP = 30, 4
MEASURE = """([root, slider, key]) => new Promise((resolve, reject) => {
    const before = root.dataset.drawn
    let start = 0
    const observer = new MutationObserver(() => {
        if (root.dataset.drawn === before) return
        observer.disconnect()
        setTimeout(() => resolve(performance.now() - start), 0)  // behind the frame
    })
    observer.observe(root, { attributes: true, attributeFilter: ["data-drawn"] })
    setTimeout(() => reject(new Error("nothing was painted")), 20000)
    const up = slider.valueAsNumber < Number(slider.max)
    start = performance.now()
    if (key === "up" && up) slider.stepUp(); else slider.stepDown()
    slider.dispatchEvent(new Event("input", { bubbles: true }))
    slider.dispatchEvent(new Event("change", { bubbles: true }))
})"""


def main(names: Sequence[str]) -> int:
    explorers = {name: getattr(walkthrough, name) for name in walkthrough.__all__ if is_explorer(name)}
    unknown = sorted(set(names) - set(explorers))
    if unknown or find_chromium() is None:
        print(f"No explorer {unknown[0]}: there are {', '.join(explorers)}." if unknown else "No chromium on the PATH.")
        return 2
    print(f"{'explorer':18} {'moved':16} {'median':>9} {'p90':>9}   milliseconds from event to painted pixels")
    with opened() as (browser, lab, folder, home):
        for name in names or explorers:
            for slider, times in measured(browser, lab, folder, home, name, explorers[name]):
                ninetieth = statistics.quantiles(times, n=10)[-1]
                print(f"{name:18} {slider:16} {statistics.median(times):9.0f} {ninetieth:9.0f}", flush=True)
    return 0


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
    browser: Browser, lab: str, folder: Path, home: Path, name: str, kind: type
) -> Iterator[tuple[str, list[float]]]:
    """The first slider that is sent on the way, and the first that waits for release, where there are such."""
    explorer = OpenExplorer(
        browser, lab, folder, home, f"from walkthrough import {name}\nw = {name}()\nw", f"{name}.ipynb"
    )
    for heavy in (False, True):
        for field, control in controls_of(kind.State).items():
            slider = explorer.control(field).locator("input[type=range]")
            if control.kind == "slider" and control.heavy is heavy and slider.count():
                yield field + (" (heavy)" if heavy else ""), moved(explorer, field)
                break
    explorer.close()


def moved(explorer: OpenExplorer, field: str) -> list[float]:
    """Times of single moves, to and fro around where the slider stands."""
    root = explorer.root.element_handle()
    slider = explorer.control(field).locator("input[type=range]").element_handle()
    times = []
    for move in range(WARM_UP + MOVES):
        times.append(explorer.page.evaluate(MEASURE, [root, slider, "up" if move % 4 < 2 else "down"]))
        explorer.page.wait_for_timeout(60)
    return times[WARM_UP:]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
