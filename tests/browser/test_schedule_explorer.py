"""ScheduleExplorer in a real JupyterLab: settings are typed, dragged and chosen."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.explorer import OpenExplorer

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


def test_a_cell_that_runs_again_shows_its_charts_as_large_as_before(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)  # from now on plotly is there: a view may be drawn before it is on the page
    look = "plots => plots.map(plot => [plot.clientWidth, getComputedStyle(plot.querySelector('text')).fontFamily])"
    plots = explorer.page.locator(".wt-plot:has(.main-svg)")
    count, first = plots.count(), plots.evaluate_all(look)
    assert min(width for width, _ in first) > 100
    for _ in range(6):
        explorer.notebook.run_all()
        explorer.notebook.wait_for_explorers()
        expect(plots).to_have_count(count)
        explorer.page.wait_for_timeout(300)
        assert plots.evaluate_all(look) == first
    assert explorer.errors == []
