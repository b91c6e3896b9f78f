"""ScheduleExplorer in a real JupyterLab: settings are typed, dragged and chosen."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.explorer import OpenExplorer

WATCHED = """() => {
    const seen = [], watch = new MutationObserver(changes => seen.push(...changes))
    const what = { attributeFilter: ["d"], childList: true, subtree: true }
    document.querySelectorAll(".wt-plot .scatterlayer").forEach(lines => watch.observe(lines, what))
    return seen
}"""
CELL = "from walkthrough import ScheduleExplorer\nw = ScheduleExplorer()\nw"


def test_settings_of_the_schedule_move_its_charts_and_its_table(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    before = explorer.picture()
    explorer.drag_slider("lr0", 0.9)
    assert float(explorer.ask("w.lr0")) > 0.01
    assert explorer.picture() != before
    explorer.choose("cosine", "cosine")
    assert explorer.ask("w.result.schedule.cosine") == "True"
    explorer.choose("optimizer", "AdamW")
    explorer.type_number("iteration", 500)
    assert "beta1" in explorer.root.text_content()
    assert "iteration 500 of 3750" in explorer.root.text_content()
    before = explorer.picture()
    explorer.toggle("zoom")
    assert explorer.picture() != before
    explorer.type_number("epochs", 2)
    assert explorer.ask("w.iteration") == "249"
    assert explorer.errors == []


def test_only_the_upright_line_moves_with_the_iteration(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    plots = explorer.page.locator(".wt-plot:has(.main-svg)")
    explorer.type_number("iteration", 5)  # its numbers are long: the table beside a chart gets no wider
    redrawn = explorer.page.evaluate_handle(WATCHED)
    places = []
    for iteration in (500, 3000):
        explorer.type_number("iteration", iteration)
        uprights = plots.locator(".shapelayer path")
        assert uprights.count() == 3
        places.append([box["x"] for box in (line.bounding_box() for line in uprights.all())])
    assert all(right > left + 100 for left, right in zip(*places, strict=True))
    assert redrawn.evaluate("seen => seen.length") == 0
    explorer.toggle("zoom")
    assert redrawn.evaluate("seen => seen.length") > 0
    assert plots.locator(".shapelayer path").count() == 0  # iteration 3000 is out of sight
    assert explorer.errors == []


def test_a_cell_that_runs_again_shows_its_charts_as_large_as_before(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)  # from now on plotly is there: a view may be drawn before it is on the page
    look = "plots => plots.map(plot => [plot.clientWidth, getComputedStyle(plot.querySelector('text')).fontFamily])"
    plots = explorer.page.locator(".wt-plot:has(.main-svg)")
    count, first = plots.count(), plots.evaluate_all(look)
    assert min(width for width, _ in first) > 100
    for _ in range(6):
        explorer.notebook.run_all()
        explorer.notebook.wait_for_explorers()
        explorer.unfold()
        expect(plots).to_have_count(count)
        explorer.page.wait_for_timeout(300)
        assert plots.evaluate_all(look) == first
    assert explorer.errors == []
