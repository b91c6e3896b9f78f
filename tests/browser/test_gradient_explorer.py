"""GradientExplorer in a real JupyterLab: another term, another level, a cell chosen in the table, an object moved."""

import time
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.browser.explorer import OpenExplorer
from tests.browser.onpage import OnPage
from walkthrough import IouPlayground

CELL = "from walkthrough import GradientExplorer\nw = GradientExplorer()\nw"


def test_terms_levels_cells_and_objects(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    canvases = explorer.root.locator(".wt-is-Panel canvas")
    expect(canvases).to_have_count(3)
    before = explorer.picture()
    explorer.choose("term", "obj background")
    assert explorer.picture() != before
    assert explorer.ask("{cell.target for cell in w.result.strongest}") == "{None}"
    explorer.choose("term", "box")
    explorer.choose("level", "stride 16 / P4")
    expect(canvases).to_have_count(1)
    before = explorer.picture()
    with explorer.painted():
        explorer.root.locator("tbody tr").nth(2).click()
    assert explorer.ask("w.result.chosen") == "2"
    assert explorer.picture() != before
    lines = explorer.picture(".wt-is-Chart")
    norms = explorer.ask("w.result.layers.total.tolist()")
    explorer.run("x1, y1, x2, y2, _ = w.objects[0]")
    x, y = (float(explorer.ask(place)) for place in ("(x1 + x2) / 2", "(y1 + y2) / 2"))
    explorer.drag((x, y), (x - 30, y - 20))
    expect(explorer.root.locator(".wt-late")).to_have_count(0)  # the layers follow
    assert explorer.picture(".wt-is-Chart") != lines
    assert explorer.ask("w.result.layers.total.tolist()") != norms
    assert explorer.message == ""
    assert explorer.errors == []


SEEN = """node => {
    const look = () => node.hidden || (node.dataset.seen = node.textContent)
    new MutationObserver(look).observe(node, { attributes: true, attributeFilter: ["hidden"] })
}"""


class Slow(IouPlayground):
    """An explorer whose stories take long."""

    def page_story(self, label: str) -> None:
        time.sleep(0.8)
        super().page_story(label)


def test_an_answer_that_takes_long_is_announced(chromium: Browser) -> None:
    shown = OnPage(chromium, Slow())
    status = shown.root.locator(".wt-status")
    status.evaluate(SEEN)
    shown.click(".wt-story")
    assert status.get_attribute("data-seen") == "computing ..."
    expect(status).to_be_hidden()
    assert shown.errors == []
    shown.close()
