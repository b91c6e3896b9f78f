"""NmsExplorer in a real JupyterLab: thresholds are dragged, boxes clicked."""

from ast import literal_eval
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import NmsExplorer\nw = NmsExplorer()\nw"


def test_thresholds_change_what_is_kept_and_a_click_asks_who_suppressed_whom(
    open_cell: Callable[[str], OpenExplorer],
) -> None:
    explorer = open_cell(CELL)
    before, kept = explorer.picture(), int(explorer.ask("len(w.result.decided.kept)"))
    explorer.drag_slider("iou_thres", 0.9)
    assert int(explorer.ask("len(w.result.decided.kept)")) > kept
    assert explorer.picture() != before
    explorer.press("reset")
    assert int(explorer.ask("len(w.result.decided.kept)")) == kept

    # The edge of a kept box in the panel on the right, where it is the only one.
    box = literal_eval(explorer.ask("w.result.decided.found.xyxy[w.result.decided.kept[0]].tolist()"))
    explorer.click((box[0], (box[1] + box[3]) / 2), panel=1)
    assert explorer.ask("w.chosen") == "(0.0,)"
    assert explorer.ask("w.result.choice.verdict") == "'kept'"
    assert explorer.picture() != before
    explorer.toggle("agnostic")
    assert explorer.ask("w.result.decided.rule.agnostic") == "True"

    explorer.press("reset")
    explorer.panel(0).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):  # the first candidate, and two on, and one back
        explorer.page.keyboard.press(key)
    explorer.key("Enter", panel=None)
    assert explorer.ask("w.chosen") == "(1.0,)"
    assert "Arrow keys go from box to box" in explorer.panel(0).get_attribute("aria-label")
    assert explorer.message == ""
    assert explorer.errors == []


def test_the_curves_stay_until_those_of_the_new_settings_are_there(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    late, chart = explorer.root.locator(".wt-late"), explorer.root.locator(".wt-is-Chart")
    expect(chart.locator(".wt-placeholder")).to_have_count(0)  # plotly is fetched once, when a chart is wanted
    lines, words = explorer.picture(".wt-is-Chart"), chart.text_content()
    explorer.run("from dataclasses import replace")
    explorer.run("w.widget.show_scene(w.draft(replace(w.result, figures=None)))")  # the draft, for long
    expect(late).to_have_count(1)
    assert (explorer.picture(".wt-is-Chart"), chart.text_content()) == (lines, words)
    explorer.drag_slider("iou_thres", 0.9)
    expect(late).to_have_count(0)
    assert explorer.picture(".wt-is-Chart") != lines
    assert explorer.errors == []
