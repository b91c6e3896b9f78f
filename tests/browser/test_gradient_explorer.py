"""GradientExplorer in a real JupyterLab: another term, another level, a cell chosen in the table, an object moved."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.explorer import OpenExplorer

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
