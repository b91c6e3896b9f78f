"""Stepper in a real JupyterLab: keys step forward and back, clicks set breakpoints and open variables."""

from collections.abc import Callable

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import Stepper\nw = Stepper()\nw"


def test_a_reader_steps_through_build_targets_forward_and_back(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    before, first = explorer.picture(), int(explorer.ask("w.step"))
    explorer.press("next")
    explorer.key("n", panel=None)
    assert explorer.ask("w.step") == str(first + 2)
    forward = explorer.picture()
    assert forward != before
    explorer.key("p", panel=None)
    explorer.key("p", panel=None)
    assert explorer.ask("w.step") == str(first)
    assert explorer.picture() == before

    explorer.drag_slider("step", 0.7)
    assert int(explorer.ask("w.step")) > 50
    assert explorer.picture() != forward
    explorer.choose("view", "histogram")
    assert explorer.ask("w.view") == "'histogram'"
    explorer.choose("view", "table")

    explorer.run("w.step = w.recording.of('make_assignment')[0].index")
    line = explorer.root.locator(".wt-line", has_text="half_step = ")
    with explorer.painted():
        line.locator(".wt-line-number").click()
    assert explorer.ask("len(w.breakpoints)") == "1"
    assert "●" in line.text_content()
    explorer.key("b", panel=None)  # the line has the focus
    assert "half_step = " in explorer.root.locator(".wt-lit").text_content()
    assert explorer.ask("w.name") == "'half_step'"
    with explorer.painted():
        explorer.root.locator(".wt-table tr", has_text="boxes").first.click()
    assert explorer.ask("w.name") == "'boxes'"
    assert explorer.ask("w.result.overlay.reading") == "'boxes xywh, cells'"
    assert explorer.message == ""
    assert explorer.errors == []


def test_a_moved_object_is_recorded_again(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell("from walkthrough import Stepper\nw = Stepper()\nw.read_as = 'nothing'\nw")
    count = explorer.ask("len(w.objects)")
    explorer.drag((300, 60), (380, 160), panel="0 coffee")
    assert explorer.ask("len(w.objects)") == str(int(count) + 1)
    assert explorer.ask("len(w.recording.result[0].target) + len(w.recording.result[1].target) > 0") == "True"
    assert explorer.errors == []
