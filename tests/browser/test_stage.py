"""The rules of the stage, measured for every explorer of the gallery: small, still, and linked.

An explorer that does not obey a rule yet stands in the list of that rule, with its number; a number that is no longer
needed fails, so that the lists get shorter and never longer.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

import walkthrough
from tests.browser.onpage import OnPage
from tests.walkthrough.gallery import KINDS
from walkthrough.explorers.controls import bounds_of, controls_of, options_of
from walkthrough.explorers.page import used_controls
from walkthrough.explorers.stage import PARTS
from walkthrough.render import live
from walkthrough.render.layers import labels_of
from walkthrough.scene import AnyPanel, Boxes, Chart, Code, Panel, Scene, Table

HIGHEST, FIRST = 750, 200  # pixels at a width of 1,000
TALL: dict[str, int] = {}  # pixels
MOVING: dict[str, int] = {}  # controls that move under the pointer
UNLINKED = {  # tables of which no row lights a mark
    "AugmentationLab": 2,  # what chance decided, and the matrix, are about the whole image
}
MOST_LABELS = 15  # of a picture
SIZE = """root => {
    const top = root.getBoundingClientRect().top
    const picture = root.querySelector(".wt-scene :is(.wt-canvas, .wt-chart, .wt-source, table)")
    return [root.getBoundingClientRect().height, picture.getBoundingClientRect().top - top]
}"""
PLACE = """(root, name) => {
    const { left, top } = root.querySelector(`[data-name="${name}"]`).getBoundingClientRect()
    return [left, top]
}"""
PICTURES = """root => [
    ...[...root.querySelectorAll(".wt-canvas")].map(canvas => canvas.toDataURL()),
    ...[...root.querySelectorAll(".wt-lit-mark, .wt-name.wt-linked")].map(mark => mark.className.baseVal ?? "name"),
].join()"""


@pytest.fixture(scope="module", params=KINDS)
def shown(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[OnPage]:
    """An explorer as it opens, on a page 1,000 pixels wide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_running_loop", lambda: None)  # no drafts: each answer is whole
        page = OnPage(chromium, getattr(walkthrough, request.param)())
        yield page
        page.close()


def name_of(shown: OnPage) -> str:
    return type(shown.explorer).__name__


def panels_of(scene: Scene) -> list[AnyPanel]:
    return [panel for row in scene.all_rows for panel in row]


def test_an_explorer_fits_on_a_screen_and_its_picture_comes_first(shown: OnPage) -> None:
    height, first = shown.root.evaluate(SIZE)
    allowed = TALL.get(name_of(shown), HIGHEST)
    assert height <= allowed
    assert allowed == HIGHEST or height > HIGHEST, "it obeys now: take it off the list"
    assert first < FIRST
    assert shown.root.locator(".wt-takeaway").text_content().strip() == shown.explorer.headline != ""
    assert shown.errors == []


def others(name: str, explorer: Any) -> list[Any]:
    """A value of a setting other than the present one, if it has one: an end, or the next option."""
    control, now = controls_of(explorer.State)[name], getattr(explorer, name)
    match control.kind:
        case "slider":
            low, high = bounds_of(control, explorer.state)
            return [value for value in (high, low) if value != now][:1]
        case "toggle":
            return [not now]
        case "choice":
            return [value for value in options_of(control, explorer.state).values() if value != now][:1]
    return []


def test_nothing_moves_under_the_pointer(shown: OnPage) -> None:
    explorer, moved = shown.explorer, {}
    for button in shown.root.locator(".wt-fold:has-text('more setting'):visible").all():
        button.click()
    for name in used_controls(explorer.state):
        for value in others(name, explorer) if shown.root.locator(f"[data-name='{name}']").count() else ():
            before = shown.root.evaluate(PLACE, name)
            shown.set(**{name: value})
            if shown.root.locator(f"[data-name='{name}']").count():
                after = shown.root.evaluate(PLACE, name)
                moved |= (
                    {name: (before, after)} if max(abs(a - b) for a, b in zip(before, after, strict=True)) > 1 else {}
                )
    assert len(moved) <= MOVING.get(name_of(shown), 0), moved
    assert len(moved) == MOVING.get(name_of(shown), 0), "it obeys now: take it off the list"
    explorer.reset()
    shown.show()
    assert shown.errors == []


def test_the_strip_says_where_this_stands_in_training(shown: OnPage) -> None:
    parts = shown.root.locator(".wt-header .wt-parts li")
    assert parts.all_text_contents() == list(PARTS)
    assert shown.root.locator(".wt-parts .wt-here[aria-current=step]").all_text_contents() == [shown.explorer.part_of]


def test_a_picture_has_few_labels(shown: OnPage) -> None:
    for panel in panels_of(shown.explorer.page_scene()):
        if isinstance(panel, Panel):
            labels, left_out = labels_of(panel)
            assert len(labels) <= MOST_LABELS
            assert left_out == 0, f"{panel.title}: the explorer opens with more labels than are drawn"


def refs_of(part: Any) -> list[str]:
    if isinstance(part, Code):
        return [name.ref for name in part.names]
    count = len(part.rows) if isinstance(part, Table) else len(part.xyxy) if isinstance(part, Boxes) else 0
    own = list(getattr(part, "refs", ())) or [getattr(part, "ref", "")]
    return [f"{part.pick} {k}" for k in range(count)] if getattr(part, "pick", "") and own == [""] else own


def marks_of(panel: AnyPanel) -> set[str]:
    """What is drawn in a panel stands for these."""
    parts = {Panel: lambda: panel.layers, Chart: lambda: panel.marks, Code: lambda: (panel,)}
    return {ref for part in parts.get(type(panel), tuple)() for ref in refs_of(part)} - {""}


def test_rows_and_marks_light_each_other(shown: OnPage) -> None:
    if name_of(shown) == "Stepper":  # where the opened value lies on the picture
        shown.set(step=shown.explorer.recording.at("boxes")[0].index)
    scene, legend = shown.explorer.page_scene(), shown.root.locator(".wt-legend li:visible")
    assert legend.all_text_contents() == [key.text for key in scene.legend]  # marks that are seen, and no others
    while (folded := shown.root.locator(".wt-fold[aria-expanded='false']:visible")).count():
        folded.first.click()
    shown.page.wait_for_timeout(200)
    unfolded = [key.text for more in scene.more for key in more.legend]
    assert legend.all_text_contents() == [*(key.text for key in scene.legend), *unfolded]
    panels = panels_of(scene)
    marks = {ref for panel in panels for ref in marks_of(panel)}
    tables = [panel for panel in panels if isinstance(panel, Table)]
    linked = [table for table in tables if marks & set(refs_of(table))]
    unlinked = len(tables) - len(linked)
    assert unlinked == UNLINKED.get(name_of(shown), 0), [table.title for table in tables if table not in linked]
    for table in linked:
        ref = next(ref for ref in refs_of(table) if ref in marks)
        row = shown.root.locator(f"tr[data-ref='{ref}']").first
        row.scroll_into_view_if_needed()
        shown.page.mouse.move(1, 1)
        before = shown.root.evaluate(PICTURES)
        row.hover()
        assert "wt-linked" in row.get_attribute("class")
        assert shown.root.evaluate(PICTURES) != before
        shown.page.mouse.move(1, 1)
        assert shown.root.evaluate(PICTURES) == before
    assert shown.errors == []


@pytest.mark.parametrize(
    ("kind", "title", "ref"),
    [("ScheduleExplorer", "this iteration", "line biases"), ("LossExplorer", "all numbers", "term obj")],
)
def test_a_row_lights_a_line_or_a_bar_that_plotly_drew_and_is_lit_by_it(
    kind: str, title: str, ref: str, chromium: Browser
) -> None:
    shown = OnPage(chromium, getattr(walkthrough, kind)(), plotly=True)
    if kind == "ScheduleExplorer":
        shown.set(iteration=2000)  # the line that is dragged would stand before the first points
    shown.click(f".wt-fold:has-text('{title}')")
    row = shown.root.locator(f"tr[data-ref='{ref}']").first
    mark = shown.root.locator(".wt-plot .scatterlayer .trace, .wt-plot .barlayer .point")
    mark.first.wait_for()
    row.hover()
    lit = shown.root.locator(".wt-plot .wt-lit-mark")
    assert lit.count() >= 1
    width = "node => getComputedStyle(node.querySelector('.js-line, path')).strokeWidth"
    assert float(lit.first.evaluate(width).removesuffix("px")) >= 3
    place = lit.first.bounding_box()
    assert place is not None
    shown.page.mouse.move(1, 1)
    assert lit.count() == 0
    shown.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] * 0.7, steps=4)
    if kind == "ScheduleExplorer":  # the first point of the line
        shown.page.mouse.move(place["x"] + 10, place["y"] + 10, steps=4)
    row.locator("xpath=self::*[contains(@class, 'wt-linked')]").wait_for(timeout=3000)
    shown.page.mouse.down()
    shown.page.mouse.up()
    shown.page.mouse.move(1, 1)
    assert lit.count() >= 1  # a click keeps it lit
    assert shown.errors == []
    shown.close()


def test_a_variable_in_the_source_lights_its_row_and_a_click_opens_it(chromium: Browser) -> None:
    shown = OnPage(chromium, walkthrough.Stepper())
    name = shown.root.locator(".wt-name[data-ref='row 0']").last
    name.scroll_into_view_if_needed()
    name.hover()
    assert "wt-linked" in shown.root.locator("tr[data-ref='row 0']").get_attribute("class")
    before = shown.drawn
    name.click()
    shown.wait(before)
    assert (shown.explorer.name, shown.explorer.breakpoints) == ("targets", ())
    shown.click(".wt-line:has-text('check_anchors(anchors)') .wt-line-number")
    assert len(shown.explorer.breakpoints) == 1
    assert shown.errors == []
    shown.close()
